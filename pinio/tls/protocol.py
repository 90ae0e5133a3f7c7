"""Between the loop's plain transport and the application: ciphertext comes in here.

Theory of operation. The loop reads into `get_buffer`'s memory and calls `buffer_updated`. The bytes go into the engine's BIO in
slices and out again as plaintext, record by record, to whatever application protocol is set; nothing is queued. What is
written goes the other way in `PinnedTransport`, which the application holds. The buffer is shared by all connections of a
loop that is known to hand it back at once (it fills the buffer and calls `buffer_updated` in one step): that spares
256 KiB per connection. The protocol tells the application nothing before the gate is open.

Which callbacks an application sees, and in which order, is what asyncio's own TLS transport does.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, cast
from weakref import WeakKeyDictionary

from pinio.tls.engine import RECORD, SLICE, Engine
from pinio.tls.gate import Event, State

if TYPE_CHECKING:
    from pinio.tls.transport import PinnedTransport

logger = logging.getLogger("pinio")

SHARED: Final = 256 * 1024
"""Bytes of a loop's shared receive buffer."""
PRIVATE: Final = 32 * 1024
"""Bytes of a private one, on loops that are not known to hand a buffer back at once."""

WRITE_HIGH_WATER: Final = 512 * 1024
"""Bytes of ciphertext waiting to be sent at which the application is asked to pause; what asyncio's TLS allows."""

TICKET_READS: Final = 3
"""Reads after which a session ticket is no longer waited for; servers send it right after the handshake."""

_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


_AT_ONCE: Final = frozenset({"asyncio.selector_events", "uvloop.loop"})
"""Where the transports are defined that fill the buffer and call `buffer_updated` in one step."""


def receive_buffer(loop: asyncio.AbstractEventLoop, lower: asyncio.Transport) -> memoryview:
    """The loop's shared receive buffer; one of the connection's own where sharing is not known to be safe.

    It is not over TLS of ours: plaintext of the outer connection would be read into the memory from which the outer one is
    still taking ciphertext.
    """
    if type(lower).__module__ not in _AT_ONCE:
        return memoryview(bytearray(PRIVATE))
    buffer = _buffers.get(loop)
    if buffer is None:
        buffer = _buffers[loop] = memoryview(bytearray(SHARED))
    return buffer


class PinnedProtocol(asyncio.BufferedProtocol):
    """The loop's side of one pinned connection."""

    __slots__ = (
        "_app", "_app_buffer", "_app_eof", "_app_received", "_buffer", "_engine", "_error", "_gate", "_handshake_timeout",
        "_incoming", "_loop", "_lower", "_lower_paused", "_paused", "_session_wanted", "_shutdown_timeout", "_started", "_timer", "_transport", "_writing_paused",
        "eof", "waiter",
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
        introduce: bool,
    ) -> None:
        self._loop = loop
        self._lower: asyncio.Transport | None = None
        self._engine = engine
        self._gate = engine.judgement.gate
        self._incoming = engine.incoming
        self._transport: PinnedTransport | None = transport
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout
        # Whether the application has been told of the connection; under start_tls it was, long ago.
        self._started = not introduce
        self._app_eof = False
        self._session_wanted = TICKET_READS
        self._paused = False
        self._lower_paused = False
        self._writing_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None
        self.waiter: asyncio.Future[None] = loop.create_future()
        """Done when the gate has opened, or failed with what kept it shut."""
        self.eof: Literal["clean", "ragged"] | None = None
        """How the peer ended: with a close_notify, or without (RFC 8446 section 6.1: a truncation, perhaps). None: not yet."""
        self.set_app(app)

    def set_app(self, app: asyncio.BaseProtocol) -> None:
        """Deliver to `app` from now on."""
        self._app = app
        self._app_buffer = app if isinstance(app, asyncio.BufferedProtocol) else None
        self._app_received = None if self._app_buffer else cast(asyncio.Protocol, app).data_received

    @property
    def app(self) -> asyncio.BaseProtocol:
        """The application's protocol."""
        return self._app

    # Handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lower = lower = cast(asyncio.Transport, transport)
        self._buffer = receive_buffer(self._loop, lower)
        lower.set_write_buffer_limits(WRITE_HIGH_WATER)
        self._timer = self._loop.call_later(self._handshake_timeout, self._handshake_timed_out)
        self._shake(self._engine.handshake)

    def _shake(self, step: Callable[[], bool | None]) -> None:
        """Take a step of the handshake; open the connection after the last one."""
        try:
            done = step()
            self._flush()
        except Exception as error:
            self._fail(error)
            return
        if done:
            self._open()

    def _open(self) -> None:
        self._cancel_timer()
        transport = self._transport
        assert transport is not None
        transport.opened(self._lower)
        if not self._started:
            self._started = True
            try:
                self._app.connection_made(transport)
            except Exception as error:
                self.fatal(error, "the protocol's connection_made() failed")
                self._wake(error)
                return
        self._wake(None)
        if self._incoming.pending:  # a server that speaks first, in the segment of its last flight
            self._receive()

    def _fail(self, error: Exception) -> None:
        """The handshake failed or the peer was refused: nothing more is sent, the application is told nothing."""
        self._gate.fail()
        self._error = error
        self._wake(error)
        if self._lower is not None:
            self._lower.abort()

    def _wake(self, error: BaseException | None) -> None:
        self._cancel_timer()
        if not self.waiter.done():
            if error is None:
                self.waiter.set_result(None)
            else:
                self.waiter.set_exception(error)

    def _handshake_timed_out(self) -> None:
        self._fail(
            ConnectionAbortedError(f"the TLS handshake took longer than {self._handshake_timeout} seconds")
        )

    # Reading

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        feed, buffer = self._incoming.write, self._buffer
        if nbytes <= SLICE:
            feed(buffer[:nbytes])
            self._advance()
            return
        for start in range(0, nbytes, SLICE):
            feed(buffer[start : min(start + SLICE, nbytes)])
            self._advance()

    def _advance(self) -> None:
        state = self._gate.state
        if state is State.OPEN:
            if not self._paused:
                self._receive()
        elif state is State.HANDSHAKING or state is State.PERMITTED:
            self._shake(self._engine.handshake)
        elif state is State.CLOSING:
            self._shut_down()

    def _receive(self) -> None:
        """Deliver what the BIO holds, until the application pauses or closes."""
        try:
            ended = (
                self._receive_copied()
                if self._app_buffer is None
                else self._receive_buffered(self._app_buffer)
            )
        except Exception as error:
            self.fatal(error, "receiving on a pinned connection failed")
            return
        if self._session_wanted:
            self._keep_session()
        if ended:
            self._end("clean")
            self.close()
        elif self._engine.outgoing.pending:  # an answer to a key update
            self._flush()

    def _keep_session(self) -> None:
        """After the first reads: a TLS 1.3 ticket comes with them, or not at all."""
        self._session_wanted -= 1
        if self._engine.keep_session():
            self._session_wanted = 0

    def _receive_copied(self) -> bool:
        """Record by record to `data_received`; True at the peer's close_notify."""
        read, gate, incoming = self._engine.read, self._gate, self._incoming
        while not self._paused and gate.state is State.OPEN and self._app_received is not None:
            try:
                data = read(RECORD)
            except ssl.SSLWantReadError:
                return False
            if not data:
                return True
            self._app_received(data)
            # A read of RECORD bytes leaves none of its record behind, so an empty BIO means that there is no more.
            if not incoming.pending:
                return False
        # set_protocol() inside data_received() may have switched to a BufferedProtocol.
        return self._receive_buffered(self._app_buffer) if self._app_buffer is not None else False

    def _receive_buffered(self, app: asyncio.BufferedProtocol) -> bool:
        """Into the application's own buffer, as many records as it holds; True at the peer's close_notify."""
        engine, gate, incoming = self._engine, self._gate, self._incoming
        while not self._paused and gate.state is State.OPEN and app is self._app_buffer:
            buffer = memoryview(app.get_buffer(incoming.pending or -1)).cast("B")
            size = len(buffer)
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer")
            count = filled = 0
            try:
                while filled < size:
                    count = engine.read(size - filled, buffer[filled:])
                    filled += count
                    if not count or not (incoming.pending or engine.pending()):
                        break
            except ssl.SSLWantReadError:
                count = -1
            if filled:
                app.buffer_updated(filled)
            if not count:
                return True
            if not (incoming.pending or engine.pending()):
                return False
            if count < 0:
                return False
        return False

    def pause_reading(self) -> None:
        if not self._paused and self._gate.state is State.OPEN:
            self._paused = True
            self._pause_lower(True)

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        """Deliver what arrived before the pause, then let the loop read on."""
        if (
            not self._paused
            and self._gate.state is State.OPEN
            and (self._incoming.pending or self._engine.pending())
        ):
            self._receive()
        if self._paused or self._gate.state is not State.OPEN:
            return
        if self.eof is not None and self._lower is not None:  # it came while the application was pausing
            self._end(self.eof)
            self._lower.close()
        self._pause_lower(False)

    def _pause_lower(self, paused: bool) -> None:
        if self._lower is not None and paused is not self._lower_paused:
            self._lower_paused = paused
            if paused:
                self._lower.pause_reading()
            else:
                self._lower.resume_reading()

    @property
    def reading(self) -> bool:
        return not self._paused and self._gate.state is State.OPEN

    # Ending

    def eof_received(self) -> bool:
        """The peer closed its half of TCP. True keeps the lower transport open, for data that waits for `resume_reading`."""
        state = self._gate.state
        if state is State.OPEN:
            self.eof = self.eof or "ragged"
            if self._paused:
                return True
            self._end("ragged")
        elif state is State.CLOSING:
            self._end("ragged")
        else:
            self._fail(ConnectionResetError("the peer closed the connection during the TLS handshake"))
        return False

    def _end(self, how: Literal["clean", "ragged"]) -> None:
        """Tell the application, once, that the peer has ended."""
        self.eof = self.eof or how
        if self._app_eof or not self._started:
            return
        self._app_eof = True
        try:
            keep_open = cast(asyncio.Protocol, self._app).eof_received()
        except Exception as error:
            self.fatal(error, "the protocol's eof_received() failed")
            return
        if keep_open:
            logger.warning("returning true from eof_received() has no effect when using TLS")

    def close(self) -> None:
        """Send what is buffered and a close_notify, wait for the peer's for at most the shutdown timeout, then close."""
        if self._gate.state is not State.OPEN or self._lower is None:
            return
        self._gate.advance(Event.SHUTDOWN)
        self._timer = self._loop.call_later(self._shutdown_timeout, self._shutdown_timed_out)
        self._paused = False
        self._pause_lower(False)  # or the peer's close_notify would never be seen
        self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._engine.shutdown()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:  # application data after our close_notify, for one
            self.fatal(error, "the TLS shutdown failed")
        else:
            self._flush()
            self._end("clean")
            if self._lower is not None:
                self._lower.close()

    def _shutdown_timed_out(self) -> None:
        self.fatal(
            TimeoutError(f"the TLS shutdown took longer than {self._shutdown_timeout} seconds"), "shutdown"
        )

    def abort(self) -> None:
        """Close at once; what is buffered is lost."""
        self._gate.fail()
        if self._lower is not None:
            self._lower.abort()

    def fatal(self, error: BaseException, message: str) -> None:
        """Abort because of `error`, which the application hears from `connection_lost`."""
        self._gate.fail()
        self._error = self._error or error
        if self._lower is not None:
            self._lower.abort()
        if isinstance(error, OSError):
            if self._loop.get_debug():
                logger.debug("%r: %s", self._transport, message, exc_info=error)
        else:
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self._transport, "protocol": self}
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.fail()
        error = self._error or exc
        app = self._app
        self._lower = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.lost()
        self._wake(error or ConnectionResetError("the connection was lost during the TLS handshake"))
        # What may form a cycle goes now, so that a failed connection is freed without the collector.
        self._app_buffer = self._app_received = None
        if self._started:
            self._started = False
            app.connection_lost(cast("Exception | None", error))

    # Writing is PinnedTransport's; here is what the lower transport says about it.

    def pause_writing(self) -> None:
        if self._started:
            self._writing_paused = True
            self._app.pause_writing()

    def resume_writing(self) -> None:
        if self._writing_paused:
            self._writing_paused = False
            self._app.resume_writing()

    def _flush(self) -> None:
        data = self._engine.take()
        if data and self._lower is not None:
            self._lower.write(data)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
