"""The raw doors that begin TLS on an open connection: STARTTLS, tunnels, TLS within TLS.

What a peer said in clear must not be taken for something that it said under TLS: bytes that had arrived before are refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Unpack, cast, overload

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinsLike, Trust
from pinio.errors import PolicyError
from pinio.tls.asked import Asked, asked
from pinio.tls.dial import check_port
from pinio.tls.establish import Timeouts, context_for, engine, over
from pinio.tls.judgement import Judgement
from pinio.tls.sessions import SessionCache
from pinio.tls.streams import LIMIT, Streams, buffered, retire, transport_of, unread
from pinio.tls.transport import PinnedTransport
from pinio.typing import Observer, PolicyLike

if TYPE_CHECKING:
    from pinio.tls.arguments import UpgradeByContext, UpgradeByPins, UpgradeByPolicy


@overload
async def start_tls(
    transport: asyncio.BaseTransport,
    protocol: asyncio.BaseProtocol,
    **arguments: Unpack[UpgradeByPolicy],
) -> PinnedTransport: ...
@overload
async def start_tls(
    transport: asyncio.BaseTransport,
    protocol: asyncio.BaseProtocol,
    **arguments: Unpack[UpgradeByPins],
) -> PinnedTransport: ...
@overload
async def start_tls(
    transport: asyncio.BaseTransport,
    protocol: asyncio.BaseProtocol,
    **arguments: Unpack[UpgradeByContext],
) -> PinnedTransport: ...
async def start_tls(
    transport: asyncio.BaseTransport,
    protocol: asyncio.BaseProtocol,
    *,
    policy: PolicyLike | None = None,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    ssl: object = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
    server_hostname: str,
    port: int | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> PinnedTransport:
    """Like `loop.start_tls`, pinned; over a plain transport, over the loop's own TLS, or over another pinned one.

    `server_hostname` is the name that the certificate must have and that is looked up in the policy; `port` stands in reports.
    `protocol` must be used with the returned transport from now on, and the old transport no more.

    Raises what `create_connection` raises, and `InjectedPlaintextError` if `protocol` is a stream that holds unread bytes.
    """
    if port is not None:
        check_port(port)
    wanted = asked(
        None, port, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl, server_hostname=server_hostname,
        observer=observer, resumption=resumption,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    lower = _upgradable(transport)
    context = await context_for(asyncio.get_running_loop(), wanted.profile)
    _refuse_injected(lower, unread(protocol), wanted)
    return await over(
        lower, engine(context, wanted), protocol, timeouts, introduce=False, context=wanted.context
    )


@overload
async def upgrade(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[UpgradeByPolicy],
) -> Streams: ...
@overload
async def upgrade(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[UpgradeByPins],
) -> Streams: ...
@overload
async def upgrade(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[UpgradeByContext],
) -> Streams: ...
async def upgrade(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    limit: int = LIMIT,
    policy: PolicyLike | None = None,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    ssl: object = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
    server_hostname: str,
    port: int | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Streams:
    """Upgrade a pair of streams to pinned TLS, as STARTTLS protocols do; returns the new pair, and the old one raises on use.

    Call it when the server's go-ahead was read. Bytes that arrived after it in plaintext are an injection
    (`InjectedPlaintextError`, and the connection is closed). Raises what `start_tls` raises.
    """
    if port is not None:
        check_port(port)
    wanted = asked(
        None, port, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl, server_hostname=server_hostname,
        observer=observer, resumption=resumption,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    lower = _upgradable(transport_of(writer))
    await writer.drain()
    loop = asyncio.get_running_loop()
    context = await context_for(loop, wanted.profile)
    injected = buffered(reader)
    retire(reader, writer)
    _refuse_injected(lower, injected, wanted)
    new_reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(new_reader, loop=loop)
    transport = await over(
        lower, engine(context, wanted), protocol, timeouts, introduce=True, context=wanted.context
    )
    return new_reader, asyncio.StreamWriter(transport, protocol, new_reader, loop)


def _refuse_injected(lower: asyncio.Transport, injected: bool, wanted: Asked) -> None:
    """Bytes that came in plaintext must not be read as if TLS had protected them."""
    if injected:
        lower.abort()
        raise Judgement(wanted.endpoint, wanted.profile, wanted.observer).refuse("INJECTED_PLAINTEXT")


_NEEDED: Final = (
    "abort",
    "get_write_buffer_size",
    "pause_reading",
    "resume_reading",
    "set_protocol",
    "set_write_buffer_limits",
    "write",
)


def _upgradable(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """A transport that TLS can be put on, by what it can do: uvloop's are no `asyncio.Transport`."""
    if not all(_implements(transport, name) for name in _NEEDED):
        raise PolicyError(f"a {type(transport).__name__} cannot carry TLS")
    if transport.is_closing():
        raise ConnectionResetError("the transport is closing")
    return cast(asyncio.Transport, transport)


def _implements(transport: object, name: str) -> bool:
    """Whether it has the method, and of its own: what it inherits from `asyncio.Transport` raises NotImplementedError."""
    method = getattr(transport, name, None)
    return callable(method) and getattr(method, "__func__", None) is not getattr(asyncio.Transport, name)
