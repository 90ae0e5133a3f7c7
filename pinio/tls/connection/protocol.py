"""Between the loop's plain transport and the application: ciphertext comes in here.

Theory of operation. The loop reads into `get_buffer`'s memory and calls `buffer_updated`. The bytes
go into the engine's BIO in slices and out again as plaintext, record by record, to whatever
application protocol is set (`Delivery`). What is written goes the other way in `PinnedTransport`,
which the application holds. Before the gate is open the application is told nothing.

A pause stops the lower transport once more ciphertext comes, for most pauses end before that, and
stopping and starting costs two system calls. What came then waits in `_held`, outside the BIO,
which would keep its size for ever: one read of the loop.

An end takes two steps. `close` sends close_notify and moves the gate to CLOSING; the peer's
close_notify, or the end of TCP, moves it to CLOSED and closes the lower transport, which still
sends what it holds. The shutdown timeout runs from the first step to `connection_lost`.

Which callbacks an application sees, and in which order, is what asyncio's own TLS transport does.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, cast

from pinio.tls.connection.buffers import plain_buffer, receive_buffer
from pinio.tls.connection.delivery import OVERRUN, Delivery, Ending
from pinio.tls.connection.engine import SLICE, Engine, EngineError, NeedsInput, Truncated
from pinio.tls.handshake.gate import (
    CLOSED,
    CLOSED_BY_PEER,
    CLOSING,
    HANDSHAKING,
    OPEN,
    PERMITTED,
    REFUSED,
    SHUTDOWN,
)

if TYPE_CHECKING:
    from pinio.tls.connection.transport import PinnedTransport

logger = logging.getLogger("pinio")

WRITE_HIGH_WATER: Final = 512 * 1024
"""Bytes of ciphertext waiting to be sent at which the application is asked to pause; what asyncio's TLS allows."""

TICKET_READS: Final = 3
"""Reads after which a session ticket is no longer waited for; servers send it right after the handshake."""

_NOBODY: Final = asyncio.BaseProtocol()
_NOTHING: Final = memoryview(b"")


class PinnedProtocol(asyncio.BufferedProtocol):
    """The loop's side of one pinned connection."""

    __slots__ = (
        "_answers", "_app_eof", "_app_told", "_buffer", "_delivery", "_engine", "_error", "_gate", "_handshake_timeout", "_held",
        "_in_write", "_loop", "_lower", "_lower_ended", "_lower_paused", "_resuming", "_session_wanted", "_shutdown_timeout",
        "_timer", "_transport", "_waiter", "_writing_paused", "eof",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: Engine,
        app: asyncio.BaseProtocol,
        transport: PinnedTransport,
        *,
        handshake_timeout: float,
        shutdown_timeout: float,
        notify_connected: bool,
    ) -> None:
        self._loop = loop
        self._lower: asyncio.Transport | None = None
        self._lower_paused = self._lower_ended = self._resuming = False
        self._buffer = self._held = _NOTHING
        self._engine = engine
        self._gate = engine.judge.gate
        self._delivery = Delivery(engine, app, plain_buffer(loop))
        self._transport: PinnedTransport | None = transport
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = loop.create_future()
        self._error: BaseException | None = None
        self._session_wanted = TICKET_READS
        # Whether the application knows of the connection and of its end; under start_tls it has
        # long known of the connection.
        self._app_told = not notify_connected
        self._app_eof = False
        self._writing_paused = self._in_write = False
        self._answers = 0  # bytes since the lower transport last had nothing to send
        self.eof: Literal["clean", "ragged"] | None = None
        """How the peer ended: with a close_notify, or without (RFC 8446 section 6.1: a truncation, perhaps). None: not yet."""

    @property
    def app(self) -> asyncio.BaseProtocol | None:
        """The application's protocol; None when the connection is lost."""
        return self._delivery.app if self._delivery.app is not _NOBODY else None

    def set_app(self, app: asyncio.BaseProtocol) -> None:
        """Deliver to `app` from now on."""
        if self._transport is not None:
            self._delivery.set_app(app)

    # Handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lower = lower = cast(asyncio.Transport, transport)
        self._buffer = receive_buffer(self._loop, lower)
        lower.set_write_buffer_limits(WRITE_HIGH_WATER)
        self._timer = self._loop.call_later(self._handshake_timeout, self._handshake_timed_out)
        self._advance_handshake()

    def _advance_handshake(self) -> None:
        """Go on with the handshake; open the connection when it is done."""
        try:
            done = self._engine.handshake()
            if not done:
                self._flush()
        except Exception as error:  # noqa: BLE001 - whatever it is, it keeps the gate shut
            self._fail(error)
            return
        if done:
            self._open()
            if self._engine.outgoing.pending:
                # With TLS 1.3 the last flight is still here. Whoever waits for the connection runs
                # before this call does, and what it writes at once goes out with the flight, in one
                # segment and one system call.
                self._loop.call_soon(self._flush)

    def _open(self) -> None:
        self._cancel_timer()
        transport = cast("PinnedTransport", self._transport)
        transport.opened(self._lower)
        if not self._app_told:
            self._app_told = True
            try:
                transport.notify_connected(self._delivery.app)
                if self._writing_paused:
                    cast(asyncio.Protocol, self._delivery.app).pause_writing()
            except Exception as error:  # noqa: BLE001 - the application's
                self.fatal(error, "the protocol's connection_made() failed")
                self._wake(error)
                return
        self._wake(None)
        if (
            self._engine.incoming.pending
        ):  # a server that speaks first, in the segment of its last flight
            self._advance()

    async def opened(self) -> None:
        """Wait until the gate is open.

        Raises what kept it shut; whatever ends the wait otherwise takes the socket with it.
        """
        waiter = self._waiter
        try:
            if waiter is not None:
                await waiter
        except BaseException:
            self.abort()
            raise
        finally:
            # It holds the error, whose traceback holds this frame: no cycle, or it would take the
            # collector to free the rest.
            self._waiter = waiter = None

    def _wake(self, error: BaseException | None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
            waiter.exception()  # whoever was to wait may have been cancelled: then it is nobody's, and no complaint

    def _fail(self, error: BaseException) -> None:
        """The handshake failed or the peer was refused: nothing more is sent, the application is told nothing."""
        self._engine.ended(error)
        self._gate.fail()
        self._error = self._error or error
        self._wake(self._error)
        if self._lower is not None:
            self._lower.abort()

    def _handshake_timed_out(self) -> None:
        self._fail(
            ConnectionAbortedError(
                f"the TLS handshake took longer than {self._handshake_timeout} seconds"
            )
        )

    # Reading

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        received = self._buffer[:nbytes]
        if nbytes <= SLICE and not self._delivery.paused and not self._held:  # nearly always
            self._engine.incoming.write(received)
            if self._gate.state is OPEN:
                self._receive()
            else:
                self._advance()
        elif left := received if self._held else self._feed(received):
            self._held = memoryview(b"".join((self._held, left)))  # the buffer is the loop's again
            self._pause_lower(True)

    def _feed(self, data: memoryview) -> memoryview:
        """Take in ciphertext, slice by slice, until the application pauses; returns what is left."""
        feed, delivery = self._engine.incoming.write, self._delivery
        try:
            while data and not delivery.paused:
                feed(data[:SLICE])
                data = data[SLICE:]
                delivery.more = bool(data)
                self._advance()
        except BaseException:
            # An interrupt. What is decrypted and not delivered yet stands in memory that other
            # connections will use.
            self.abort()
            raise
        delivery.more = False
        return data

    def _advance(self) -> None:
        """Act on what the engine holds."""
        state = self._gate.state
        if state is OPEN:
            self._receive()
        elif state is HANDSHAKING or state is PERMITTED:
            self._advance_handshake()
        elif state is CLOSING:
            self._await_close_notify()
        else:
            self._engine.incoming.read()  # nobody is left to care

    def _receive(self) -> None:
        """Deliver what the engine holds, until the application pauses or closes."""
        try:
            ended = self._delivery.run()
            if self._engine.outgoing.pending:
                self._answer()
        except Exception as error:  # noqa: BLE001 - a broken record, or the application's
            self.fatal(error, "receiving on a pinned connection failed")
            return
        except BaseException:
            # An interrupt: what was decrypted and not delivered is lost, and the stream must not go
            # on behind the gap.
            self.abort()
            raise
        if self._session_wanted:
            self._keep_session()
        if ended:
            self._peer_ended("clean")

    def _answer(self) -> None:
        """Send what TLS says of its own accord: to a key update, a key update.

        Raises `ConnectionAbortedError` for a peer that asks again and again and takes no answer:
        they would fill all memory.
        """
        if self._lower is None or not self._lower.get_write_buffer_size():
            self._answers = 0
        self._answers += self._engine.outgoing.pending
        if self._answers > OVERRUN:
            raise ConnectionAbortedError(
                "the peer asks for new keys again and again, and takes none"
            )
        self._flush()

    def _keep_session(self) -> None:
        """After the first reads: a TLS 1.3 ticket comes with them, or not at all."""
        self._session_wanted -= 1
        if self._engine.heard():
            self._session_wanted = 0

    @property
    def reading(self) -> bool:
        """Whether the application takes bytes now."""
        return not self._delivery.paused and self._gate.state is OPEN

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`."""
        if self.reading:
            self._delivery.paused = True

    def resume_reading(self) -> None:
        """Deliver again, from the next iteration of the loop on."""
        if self._delivery.paused:
            self._delivery.paused = False
            self._resuming = True
            self._loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        """Deliver what had arrived before the pause, then let the loop read on."""
        self._resuming = False
        if self.reading and self._delivery.pending():
            self._receive()
        if held := self._held:
            self._held = _NOTHING
            self._held = self._feed(held)
        if not self.reading:
            return
        if self._lower_ended:
            self._peer_ended("ragged")
        else:
            self._pause_lower(False)

    def _pause_lower(self, paused: bool) -> None:
        lower = self._lower
        if lower is None or lower.is_closing() or paused is self._lower_paused:
            return
        self._lower_paused = paused
        if paused:
            lower.pause_reading()
        else:
            lower.resume_reading()

    # Ending

    def eof_received(self) -> bool:
        """The peer closed its half of TCP.

        True keeps the lower transport open, for data that waits for `resume_reading`.
        """
        self._lower_ended = True
        state = self._gate.state
        if state is OPEN:
            if self._delivery.paused or self._resuming:
                return True
            self._peer_ended("ragged")
        elif state is CLOSING:
            self._finish("ragged")
        elif state is not CLOSED and state is not REFUSED:
            self._fail(
                ConnectionResetError("the peer closed the connection during the TLS handshake")
            )
        # Over TLS of our own this may come after the end.
        return False

    def _peer_ended(self, how: Literal["clean", "ragged"]) -> None:
        """Nothing more will come: tell the application, which may have last words, and close."""
        if how == "ragged":
            self._engine.invalidate_session(Truncated())
        self._tell_eof(how)
        self._close("clean" if how == "clean" else None)

    def _tell_eof(self, how: Literal["clean", "ragged"]) -> None:
        """Tell the application, once, that the peer has ended."""
        self.eof = self.eof or how
        if self._app_eof or not self._app_told:
            return
        self._app_eof = True
        try:
            keep_open = cast(asyncio.Protocol, self._delivery.app).eof_received()
        except Exception as error:  # noqa: BLE001 - the application's
            self.fatal(error, "the protocol's eof_received() failed")
            return
        if keep_open:
            logger.warning("returning true from eof_received() has no effect when using TLS")

    def close(self) -> None:
        """Send what is buffered and a close_notify, wait for the peer's for at most the shutdown timeout, then close."""
        self._close(None)

    def _close(self, ended: Ending | None) -> None:
        """Close; `ended` says that the peer has ended already, and how."""
        if self._gate.state is not OPEN or self._lower is None:
            return
        self._gate.advance(SHUTDOWN)
        held, self._held = self._held, _NOTHING
        self._delivery.paused = False
        try:
            # OpenSSL does not shut down over application data that nobody has read, wanted or not.
            ended = ended or self._delivery.discard()
            with suppress(NeedsInput):
                self._engine.shutdown()
            self._flush()
        except EngineError as error:
            self.fatal(error, "the TLS shutdown failed")
            return
        except BaseException:  # an interrupt, or an observer's
            self.abort()
            raise
        if ended:
            self._finish(ended)
        self._feed(held)
        if self._lower_ended:
            self._finish("ragged")
        self._pause_lower(False)  # or the peer's close_notify would never be seen
        if self._closing():
            self._timer = self._loop.call_later(self._shutdown_timeout, self._shutdown_timed_out)

    def _closing(self) -> bool:
        """Whether there is something left to wait for: the peer's close_notify, or that the last bytes are sent."""
        lower = self._lower
        return lower is not None and (
            self._gate.state is CLOSING or lower.get_write_buffer_size() > 0
        )

    def _await_close_notify(self) -> None:
        """Read on for the peer's close_notify."""
        try:
            ended = self._delivery.discard()
        except EngineError as error:
            self.fatal(error, "the TLS shutdown failed")
            return
        except BaseException:
            self.abort()
            raise
        if self._engine.outgoing.pending:  # an answer to a key update, after our last word
            self._engine.outgoing.read()
        if ended:
            self._finish(ended)

    def _finish(self, how: Ending) -> None:
        """TLS is over; the lower transport sends what it holds, and closes."""
        if self._gate.state is not CLOSING or self._lower is None:
            return
        if how != "overrun":
            self._tell_eof(how)
        if self._gate.state is CLOSING:
            self._gate.advance(CLOSED_BY_PEER)
            self._lower.close()

    def _shutdown_timed_out(self) -> None:
        self.fatal(
            TimeoutError(f"the TLS shutdown took longer than {self._shutdown_timeout} seconds"),
            "closing failed",
        )

    def abort(self) -> None:
        """Close at once; what is buffered is lost. A loop that was closed has closed the rest."""
        if self._gate.permit is None:
            self._engine.ended(None)
        self._gate.fail()
        if self._lower is not None and not self._loop.is_closed():
            self._lower.abort()

    def abandon(self) -> None:
        """Abort, and hear of the end now: uvloop drops the transport of a dial that is cancelled without a word."""
        self.abort()
        self.connection_lost(None)

    def fatal(self, error: BaseException, message: str) -> None:
        """Abort because of `error`, which the application hears from `connection_lost`."""
        if isinstance(error, EngineError):
            if (refusal := self._engine.invalidate_session(error)) is not None:
                instead = refusal.error()
                instead.__cause__ = error
                error = instead
            self._flush()  # the alert that says why, as far as the lower transport sends it at once
        self._gate.fail()
        self._error = self._error or error
        if self._lower is not None:
            self._lower.abort()
        if not isinstance(error, OSError):
            self._complain(error, message)
        elif self._loop.get_debug():
            logger.debug("%r: %s", self._transport, message, exc_info=error)

    def _complain(self, error: BaseException, message: str) -> None:
        self._loop.call_exception_handler(
            {"message": message, "exception": error, "transport": self._transport, "protocol": self}
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if self._gate.state is OPEN and isinstance(exc, OSError):
            self._engine.invalidate_session(exc)
        elif self._gate.state is HANDSHAKING or self._gate.state is PERMITTED:
            self._engine.ended(exc or ConnectionResetError())
        self._gate.fail()
        self._cancel_timer()
        error = self._error or exc
        self._wake(
            error or ConnectionResetError("the connection was lost during the TLS handshake")
        )
        app, told = self._delivery.app, self._app_told
        transport = self._transport
        # Whatever is part of a cycle goes now, so that a connection is freed without the collector.
        self._delivery.set_app(_NOBODY)
        self._lower = self._transport = self._error = None
        self._buffer = self._held = _NOTHING
        self._app_told = False
        if transport is not None:
            transport.lost()
        if told:
            app.connection_lost(cast("Exception | None", error))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Writing is PinnedTransport's; here is what the lower transport says about it.

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._app_told and not self._in_write:
            cast(asyncio.Protocol, self._delivery.app).pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._app_told and not self._in_write:  # also of a pause from before start_tls
            cast(asyncio.Protocol, self._delivery.app).resume_writing()

    def begin_write(self) -> bool:
        """One write begins that goes down record by record; returns whether the application was asked to pause.

        It is asked when all is down: what it then writes, or the close_notify if it closes, must
        not come in between.
        """
        self._in_write = True
        return self._writing_paused

    def end_write(self, paused: bool) -> None:
        """That write is down: ask the application now what it was not asked meanwhile."""
        self._in_write = False
        if self._writing_paused is paused:
            return
        try:
            (self.resume_writing if paused else self.pause_writing)()
        except Exception as error:  # noqa: BLE001 - the application's, and no reason to end the connection
            message = f"the protocol's {'resume' if paused else 'pause'}_writing() failed"
            self._complain(error, message)

    def _flush(self) -> None:
        data = self._engine.take()
        if data and self._lower is not None:
            self._lower.write(data)
