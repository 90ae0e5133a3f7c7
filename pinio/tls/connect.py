"""The raw doors that dial: asyncio's own functions, with pins. Those that begin TLS on an open connection are `starttls`.

The signatures are asyncio's; what differs is that one of `policy`, `pins` and `ssl` says what is expected of the peer. The
name is canonicalised and the policy read once, before a socket exists; after a refusal no other address is tried, because a
refusal is an answer and not a failure to get one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinsLike, Trust
from pinio.errors import PolicyError
from pinio.tls.asked import asked
from pinio.tls.dial import Dialling, check_port, dial, dialled
from pinio.tls.establish import Timeouts, context_for, engine, pair
from pinio.tls.protocol import PinnedProtocol
from pinio.tls.sessions import SessionCache
from pinio.tls.streams import LIMIT, Streams
from pinio.tls.transport import PinnedTransport
from pinio.typing import Observer, PolicyLike

if TYPE_CHECKING:
    from pinio.tls.arguments import DialByContext, DialByPins, DialByPolicy

_App = TypeVar("_App", bound=asyncio.BaseProtocol)


@overload
async def create_connection(
    protocol_factory: Callable[[], _App],
    host: str | None = None,
    port: int | None = None,
    **arguments: Unpack[DialByPolicy],
) -> tuple[PinnedTransport, _App]: ...
@overload
async def create_connection(
    protocol_factory: Callable[[], _App],
    host: str | None = None,
    port: int | None = None,
    **arguments: Unpack[DialByPins],
) -> tuple[PinnedTransport, _App]: ...
@overload
async def create_connection(
    protocol_factory: Callable[[], _App],
    host: str | None = None,
    port: int | None = None,
    **arguments: Unpack[DialByContext],
) -> tuple[PinnedTransport, _App]: ...
async def create_connection(
    protocol_factory: Callable[[], _App],
    host: str | None = None,
    port: int | None = None,
    *,
    policy: PolicyLike | None = None,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    ssl: object = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: socket.socket | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
) -> tuple[PinnedTransport, _App]:
    """Like `loop.create_connection`, over pinned TLS.

    One of `policy`, `pins` and `ssl` (a `PinnedSSLContext`) says what is expected; `trust` and `anchors` go with `pins` and mean
    what they mean in `PinSet`. `ssl=True` beside `policy` or `pins` means nothing, for code that was written for asyncio.
    `observer` hears the decision. `resumption` is False for a full handshake, or a `SessionCache` of one's own. Timeouts are in
    seconds; the other arguments are asyncio's. The application's protocol is told of the connection once its keys were judged.

    Where a handshake fails in which a TLS session was offered, the server is dialled once more for a full handshake; each of the
    two has the whole `ssl_handshake_timeout`.

    Raises `PolicyError` for arguments that make no sense, `PinVerificationError` where the peer is refused, `ssl.SSLError` where
    TLS fails, `OSError` where no address answers, `ConnectionAbortedError` after the handshake timeout.
    """
    if port is not None:
        check_port(port)
    wanted = asked(
        host, port, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl, server_hostname=server_hostname,
        observer=observer, resumption=resumption,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    if sock is not None and (host is not None or port is not None):
        raise PolicyError("host and port cannot go with sock; name the server by server_hostname")
    loop = asyncio.get_running_loop()
    context = await context_for(loop, wanted.profile)
    app = protocol_factory()
    if sock is not None:
        protocol, transport = pair(loop, engine(context, wanted), app, timeouts, context=wanted.context)
        await _carried(protocol, loop.create_connection(partial(_itself, protocol), sock=sock))
        await protocol.opened()
        return transport, app
    if host is None or port is None:
        raise PolicyError("pass host and port, or sock and server_hostname")
    how = Dialling(local_addr, family, proto, flags, happy_eyeballs_delay, interleave, all_errors)
    while True:
        tls = engine(context, wanted)
        protocol, transport = pair(loop, tls, app, timeouts, context=wanted.context)
        await _carried(protocol, dial(loop, partial(_itself, protocol), dialled(host), port, how))
        try:
            await protocol.opened()
            return transport, app
        except Exception:
            if not tls.again:
                raise
        # Where resuming a session fails, a full handshake may not; the application has not been told of anything yet.
        wanted = wanted._replace(resumption=False)


def _itself(protocol: PinnedProtocol) -> PinnedProtocol:
    """A protocol factory for a loop."""
    return protocol


async def _carried(protocol: PinnedProtocol, dialling: Awaitable[object]) -> None:
    """Wait until the protocol has a lower transport."""
    try:
        await dialling
    except BaseException:
        protocol.abort()
        # uvloop drops the transport of a cancelled create_connection without a word.
        protocol.connection_lost(None)
        raise


@overload
async def open_connection(
    host: str | None = None,
    port: int | None = None,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[DialByPolicy],
) -> Streams: ...
@overload
async def open_connection(
    host: str | None = None,
    port: int | None = None,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[DialByPins],
) -> Streams: ...
@overload
async def open_connection(
    host: str | None = None,
    port: int | None = None,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[DialByContext],
) -> Streams: ...
async def open_connection(
    host: str | None = None,
    port: int | None = None,
    *,
    limit: int = LIMIT,
    **arguments: Any,
) -> Streams:
    """Like `asyncio.open_connection`, over pinned TLS; takes the arguments of `create_connection`.

    `limit` is the number of bytes that the reader buffers before it pauses the transport.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(lambda: protocol, host, port, **arguments)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
