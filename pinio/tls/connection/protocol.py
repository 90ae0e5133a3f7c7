"""Between the loop's plain transport and the application: one connection's events, in order."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from enum import Enum
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
"""Bytes of unsent ciphertext at which the application is asked to pause, as in asyncio's TLS."""

TICKET_READS: Final = 3
"""Reads within which a session ticket is expected; servers send it right after the handshake."""

_NOBODY: Final = asyncio.BaseProtocol()
_NOTHING: Final = memoryview(b"")


class AppState(Enum):
    """Which callbacks the application's protocol has had."""

    INIT = "init"
    """None: the gate has not been open."""
    CONNECTED = "connected"
    """`connection_made`; an application of start_tls had it from the transport before."""
    EOF = "eof"
    """`eof_received` too."""
    LOST = "lost"
    """`connection_lost` too, or the connection ended before `connection_made`."""


# Before Python 3.12 a member of an enum costs ten times what a global does.
INIT, CONNECTED, EOF, LOST = AppState


# A connection has three states that change independently.
#
# 1. The gate (`handshake/gate.py`) says whether application bytes may flow. This class moves it
#    from OPEN to CLOSING and CLOSED; the judge alone moves it to OPEN. Each event looks at the gate
#    first: the same ciphertext is a handshake message, data, or the wait for a close_notify.
#
# 2. `_app_state` says what the application has heard. It moves INIT -> CONNECTED -> EOF -> LOST,
#    may skip any of them, and never goes back. The gate cannot replace it: after a refusal no
#    callback may come, after a close `connection_lost` must, and the gate is shut in both.
#    start_tls begins in CONNECTED: its application had `connection_made` before, and gets
#    `connection_lost` after a refusal too. The callbacks and their order are those of asyncio's
#    own TLS transport.
#
# 3. The two directions below and above, which have a flag for each fact that nothing else holds:
#
#    `_lower_paused`    The lower transport was told to stop reading. Kept so that each pause is
#                       undone once: any transport may be below, and not all allow two in a row.
#    `_lower_ended`     The peer closed its half of TCP. If the application has paused, data may
#                       still wait, so that the end is acted on after `resume_reading`.
#    `_resuming`        `_resumed` is scheduled. The application is not paused any more, but data
#                       from before the pause still waits: an end must not overtake it.
#    `_writing_paused`  The lower transport's buffer is above its limit. Kept also while the
#                       application may not be told: before `connection_made` and within a write.
#    `_in_write`        A write goes down record by record. `pause_writing` and `resume_writing` of
#                       the application wait for its end, or what they write would come in between.
#
# Data comes in by `buffer_updated`, in the loop's memory, which is the loop's again when it
# returns. It goes to the engine in slices and comes out as plaintext by `Delivery`. What is written
# takes the other way in `PinnedTransport`. There is no queue here but `_held`: one read of the loop
# that arrived while the application had paused. It stays outside the engine, whose buffer would
# keep its size. The lower transport is paused only then, since most pauses end before more arrives
# and stopping and starting costs two system calls.
#
# An end has two steps. `close` sends close_notify and moves the gate to CLOSING. The peer's
# close_notify, or the end of TCP, moves it to CLOSED and closes the lower transport, which still
# sends what it holds. One timer (`_timer`) bounds the handshake, and then the time from `close` to
# `connection_lost`. `abort`, `fatal` and `_fail` end at once, the last two with an error.
#
# Invariants:
# - Before the gate is open the application gets no byte and, but for start_tls, no callback. What
#   the engine gives out is sent by `_flush` alone, which takes nothing once the peer is refused.
# - After `connection_lost` no reference to the application, the transport or the loop's memory is
#   left, so that a connection is freed without the collector.
# - An exception that is no `Exception` aborts the connection: it may have lost decrypted data, and
#   the stream must not resume after a gap.
# - `_error` keeps the first error; `connection_lost` and the waiter of `opened` get that one.
#
# Who calls what: the loop calls the methods of `BufferedProtocol`, one after another, on its own
# thread. The functions that open connections call `opened` and `abandon`. `PinnedTransport` calls
# `close`, `abort`, `fatal`, `pause_reading`, `resume_reading`, `set_app`, and `begin_write` and
# `end_write` around a long write. Each of these may be called from within an application callback,
# so that every method here looks at the gate again after it has called one.
class PinnedProtocol(asyncio.BufferedProtocol):
    """The loop's side of one pinned connection."""

    __slots__ = (
        "_answers", "_app_state", "_buffer", "_delivery", "_engine", "_error", "_gate",
        "_handshake_timeout", "_held", "_in_write", "_loop", "_lower", "_lower_ended",
        "_lower_paused", "_resuming", "_session_wanted", "_shutdown_timeout", "_timer",
        "_transport", "_waiter", "_writing_paused", "eof",
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
        self._app_state = INIT if notify_connected else CONNECTED
        self._writing_paused = self._in_write = False
        self._answers = 0  # bytes of key updates since the lower transport's buffer was last empty
        self.eof: Literal["clean", "ragged"] | None = None
        """How the peer ended: "clean" with a close_notify, "ragged" without; None before.

        A ragged end may be a truncation (RFC 8446 section 6.1).
        """

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
                # With TLS 1.3 the last flight is still here. The task that waits for the connection
                # runs before this call does, and what it writes at once goes out with the flight,
                # in one segment and one system call.
                self._loop.call_soon(self._flush)

    def _open(self) -> None:
        self._cancel_timer()
        transport = cast("PinnedTransport", self._transport)
        transport.opened(self._lower)
        if self._app_state is INIT:
            self._app_state = CONNECTED
            try:
                transport.notify_connected(self._delivery.app)
                if self._writing_paused:
                    cast(asyncio.Protocol, self._delivery.app).pause_writing()
            except Exception as error:  # noqa: BLE001 - the application's
                self.fatal(error, "the protocol's connection_made() failed")
                self._wake(error)
                return
        self._wake(None)
        # A server that speaks first may do so in the segment of its last flight.
        if self._engine.incoming.pending:
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
            # The future holds the error, whose traceback holds this frame. Break that cycle, or the
            # connection would stay until the collector runs.
            self._waiter = waiter = None

    def _wake(self, error: BaseException | None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
            waiter.exception()  # mark it as retrieved, in case the waiting task was cancelled

    def _fail(self, error: BaseException) -> None:
        """End a handshake that failed: send nothing more, tell the application nothing."""
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
            # A copy, for the loop reads into its buffer again.
            self._held = memoryview(b"".join((self._held, left)))
            self._pause_lower(True)

    def _feed(self, data: memoryview) -> memoryview:
        """Feed ciphertext, slice by slice, until the application pauses; returns what is left."""
        feed, delivery = self._engine.incoming.write, self._delivery
        try:
            while data and not delivery.paused:
                feed(data[:SLICE])
                data = data[SLICE:]
                delivery.more = bool(data)
                self._advance()
        except BaseException:
            # An interrupt: decrypted data that is not delivered is in memory that other connections
            # use next.
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
            self._engine.incoming.read()  # closed: discard input

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
            # An interrupt may lose decrypted data; abort rather than resume after a gap.
            self.abort()
            raise
        if self._session_wanted:
            self._keep_session()
        if ended:
            self._peer_ended("clean")

    def _answer(self) -> None:
        """Send what TLS itself answers, such as a KeyUpdate to a KeyUpdate.

        Raises `ConnectionAbortedError` for a peer that sends KeyUpdate requests without reading our
        replies: these would fill the memory.
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
        """Keep the session after one of the first reads, which bring the ticket of TLS 1.3."""
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
        # Inside another pinned connection this may come after the end.
        return False

    def _peer_ended(self, how: Literal["clean", "ragged"]) -> None:
        """The peer sends no more: tell the application, which may write once more, and close."""
        if how == "ragged":
            self._engine.invalidate_session(Truncated())
        self._tell_eof(how)
        self._close("clean" if how == "clean" else None)

    def _tell_eof(self, how: Literal["clean", "ragged"]) -> None:
        """Tell the application, once, that the peer has ended."""
        self.eof = self.eof or how
        if self._app_state is not CONNECTED:
            return
        self._app_state = EOF
        try:
            keep_open = cast(asyncio.Protocol, self._delivery.app).eof_received()
        except Exception as error:  # noqa: BLE001 - the application's
            self.fatal(error, "the protocol's eof_received() failed")
            return
        if keep_open:
            logger.warning("returning true from eof_received() has no effect when using TLS")

    def close(self) -> None:
        """Send what is buffered and a close_notify, wait for the peer's, then close.

        The wait lasts for the shutdown timeout at most.
        """
        self._close(None)

    def _close(self, ended: Ending | None) -> None:
        """Close; `ended` says how the peer has ended, None if it has not."""
        if self._gate.state is not OPEN or self._lower is None:
            return
        self._gate.advance(SHUTDOWN)
        held, self._held = self._held, _NOTHING
        self._delivery.paused = False
        try:
            # OpenSSL does not shut down before all application data was read; discard it.
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
        self._pause_lower(False)  # to see the peer's close_notify
        if self._closing():
            self._timer = self._loop.call_later(self._shutdown_timeout, self._shutdown_timed_out)

    def _closing(self) -> bool:
        """Whether the peer's close_notify or the sending of the last bytes is awaited."""
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
        if self._engine.outgoing.pending:  # nothing follows a close_notify, no KeyUpdate either
            self._engine.outgoing.read()
        if ended:
            self._finish(ended)

    def _finish(self, how: Ending) -> None:
        """End TLS; the lower transport sends what it holds, and closes."""
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
        """Close at once; what is buffered is lost. A closed loop has closed the lower transport."""
        if self._gate.permit is None:
            self._engine.ended(None)
        self._gate.fail()
        if self._lower is not None and not self._loop.is_closed():
            self._lower.abort()

    def abandon(self) -> None:
        """Abort, and end now: uvloop never reports the end of a dial that was cancelled."""
        self.abort()
        self.connection_lost(None)

    def fatal(self, error: BaseException, message: str) -> None:
        """Abort because of `error`, which the application hears from `connection_lost`."""
        if isinstance(error, EngineError):
            if (refusal := self._engine.invalidate_session(error)) is not None:
                instead = refusal.error()
                instead.__cause__ = error
                error = instead
            self._flush()  # the alert, as far as the lower transport sends it at once
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
        # Break all reference cycles, so that a connection is freed without the collector.
        self._delivery.set_app(_NOBODY)
        self._lower = self._transport = self._error = None
        self._buffer = self._held = _NOTHING
        self._app_state = LOST
        if transport is not None:
            transport.lost()
        if told:
            app.connection_lost(cast("Exception | None", error))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _app_told(self) -> bool:
        """Whether the application knows of the connection and not of its end."""
        return self._app_state is CONNECTED or self._app_state is EOF

    # PinnedTransport writes; here is the flow control of the lower transport.

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._app_told and not self._in_write:
            cast(asyncio.Protocol, self._delivery.app).pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._app_told and not self._in_write:  # also after a pause that began before start_tls
            cast(asyncio.Protocol, self._delivery.app).resume_writing()

    def begin_write(self) -> bool:
        """Begin a write of several records; returns whether writing is paused.

        The application is asked to pause by `end_write`: what it then writes, or the close_notify
        if it closes, must not come between two records.
        """
        self._in_write = True
        return self._writing_paused

    def end_write(self, paused: bool) -> None:
        """End that write; `paused` is what `begin_write` returned. Tell of a pause or its end."""
        self._in_write = False
        if self._writing_paused is paused:
            return
        try:
            (self.resume_writing if paused else self.pause_writing)()
        except Exception as error:  # noqa: BLE001 - the application's; the connection goes on
            message = f"the protocol's {'resume' if paused else 'pause'}_writing() failed"
            self._complain(error, message)

    def _flush(self) -> None:
        data = self._engine.take()
        if data and self._lower is not None:
            self._lower.write(data)
