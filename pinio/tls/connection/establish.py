"""Puts pinned TLS on a plain transport; what the raw entry points have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

from pinio.errors import PolicyError
from pinio.tls.connection.engine import Engine
from pinio.tls.connection.factory import engine_factory
from pinio.tls.connection.protocol import PinnedProtocol
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.request import ConnectionRequest

App = TypeVar("App", bound=asyncio.BaseProtocol)
Reach: TypeAlias = Callable[[Callable[[], PinnedProtocol]], Awaitable[object]]
"""Opens a plain connection for a protocol, as `loop.create_connection` does."""

HANDSHAKE_TIMEOUT: Final = 60.0
"""Seconds; asyncio's default."""
SHUTDOWN_TIMEOUT: Final = 30.0
"""Seconds; asyncio's default."""


class Timeouts(NamedTuple):
    """In seconds."""

    handshake: float = HANDSHAKE_TIMEOUT
    shutdown: float = SHUTDOWN_TIMEOUT

    @classmethod
    def of(cls, handshake: float | None, shutdown: float | None) -> Timeouts:
        """From arguments, where None is the default.

        Raises `PolicyError` for what is not positive.
        """
        for name, value in (
            ("ssl_handshake_timeout", handshake),
            ("ssl_shutdown_timeout", shutdown),
        ):
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise PolicyError(f"{name} is a positive number of seconds, not {value!r}")
        return cls(handshake or HANDSHAKE_TIMEOUT, shutdown or SHUTDOWN_TIMEOUT)


def make_connection(
    loop: asyncio.AbstractEventLoop,
    engine: Engine,
    app: asyncio.BaseProtocol,
    timeouts: Timeouts,
    *,
    notify_connected: bool = True,
    context: PinnedSSLContext | None = None,
) -> tuple[PinnedProtocol, PinnedTransport]:
    """Make the two halves of a connection: the loop's protocol and the application's transport.

    `notify_connected` says whether the application's `connection_made` is called; `context` is the
    one that the caller passed as `ssl=`.
    """
    transport = PinnedTransport(engine, context)
    protocol = PinnedProtocol(
        loop,
        engine,
        app,
        transport,
        handshake_timeout=timeouts.handshake,
        shutdown_timeout=timeouts.shutdown,
        notify_connected=notify_connected,
    )
    transport.attach(protocol)
    return protocol, transport


async def connect_over(
    lower: asyncio.Transport,
    engine: Engine,
    app: asyncio.BaseProtocol,
    timeouts: Timeouts,
    *,
    notify_connected: bool,
    context: PinnedSSLContext | None = None,
) -> PinnedTransport:
    """Put pinned TLS between an open transport and its application."""
    if lower.is_closing():
        raise ConnectionResetError("the transport is closing")
    protocol, transport = make_connection(
        asyncio.get_running_loop(),
        engine,
        app,
        timeouts,
        notify_connected=notify_connected,
        context=context,
    )
    lower.pause_reading()
    lower.set_protocol(protocol)
    protocol.connection_made(lower)
    lower.resume_reading()
    await protocol.opened()
    return transport


async def reached(
    reach: Reach,
    factory: Callable[[], App],
    request: ConnectionRequest,
    timeouts: Timeouts,
    *,
    again: bool,
) -> tuple[PinnedTransport, App]:
    """Open a plain connection and put pinned TLS between it and its application.

    `again` says whether it may be opened once more, for a full handshake, where the offer of a
    session brought a handshake to its end.
    """
    loop = asyncio.get_running_loop()
    make_engine = await engine_factory(loop, request)
    app = factory()
    while True:
        engine = make_engine(request, dials_again=again)
        protocol, transport = make_connection(loop, engine, app, timeouts, context=request.context)
        await _carried(protocol, reach(partial(_itself, protocol)))
        try:
            await protocol.opened()
            return transport, app
        except Exception:
            if not (again and engine.again):
                raise
        # Where resuming a session fails, a full handshake may not; the application has not been
        # told of anything yet.
        request = request._replace(resumption=False)


def _itself(protocol: PinnedProtocol) -> PinnedProtocol:
    """A protocol factory for a loop."""
    return protocol


async def _carried(protocol: PinnedProtocol, reaching: Awaitable[object]) -> None:
    """Wait until the protocol has a lower transport."""
    try:
        await reaching
    except BaseException:
        protocol.abandon()
        raise
