"""The raw doors that begin TLS on an open connection: STARTTLS, tunnels, TLS within TLS.

What a peer said in clear must not be taken for something that it said under TLS: bytes that had
arrived before are refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, Unpack, cast, overload

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinsLike, Trust
from pinio.errors import PolicyError
from pinio.tls.config.engine import EngineChoice
from pinio.tls.connection.asyncio_streams import (
    LIMIT,
    Streams,
    buffered,
    retire,
    transport_of,
    unread,
)
from pinio.tls.connection.establish import Timeouts, connect_over
from pinio.tls.connection.factory import engine_factory
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.sessions import SessionCache
from pinio.tls.request import ConnectionRequest
from pinio.tls.unexpected import advised
from pinio.typing import Observer, PolicyLike

if TYPE_CHECKING:
    from pinio.tls.context.pinned import PinnedSSLContext
    from pinio.tls.signatures import UpgradeByContext, UpgradeByPins, UpgradeByPolicy


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
@advised
async def start_tls(
    transport: asyncio.BaseTransport,
    protocol: asyncio.BaseProtocol,
    *,
    policy: PolicyLike | None = None,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    ssl: PinnedSSLContext | Literal[True] | None = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
    engine: EngineChoice = "openssl",
    server_hostname: str,
    port: int | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> PinnedTransport:
    """Begin TLS on an open transport as `loop.start_tls` does, and judge the peer's keys.

    The transport is a plain one, one of the loop's own TLS, or another pinned one. `protocol` must
    be used with the returned transport from now on, and the old transport no more.

    Args:
        transport: the open transport.
        protocol: its protocol; it is not told of a new connection.
        policy: which keys are expected of which host: a `Policy`, or a source of one such as
            `FileSource`.
        pins: the keys that are expected of this host, instead of `policy`: pins as text, or a
            `PinSet`.
        trust: beside `pins`, what verifies the peer: `"pkix"` (the default) or `"leaf-pin"`.
        anchors: beside `pins`, the CAs that verification may end in; certifi's by default.
        ssl: a `PinnedSSLContext` of `create_ssl_context`, instead of `policy` and `pins`. True
            beside one of these means nothing, for code that was written for asyncio.
        observer: is called with the `Permit` or `Refusal`; the default logs refusals.
        resumption: whether a TLS session may be resumed, or the `SessionCache` to keep sessions in.
        engine: who does the TLS: `"openssl"`, `"rustls"` (the package `pinio-rustls`), or `"auto"`,
            which is rustls where it is installed and can do what is asked.
        server_hostname: the name that the certificate must have and that is looked up in the
            policy.
        port: stands in reports.
        ssl_handshake_timeout: seconds for the TLS handshake; 60 if None.
        ssl_shutdown_timeout: seconds for the end of TLS; 30 if None.

    Returns:
        The transport to use from now on.

    Raises:
        PolicyError: the arguments make no sense, or the transport cannot carry TLS.
        PinVerificationError: the peer is refused; `InjectedPlaintextError` where `protocol` is a
            stream that holds unread bytes.
        ssl.SSLError: the TLS handshake failed.
        OSError: the connection broke.
        ConnectionAbortedError: the handshake took longer than `ssl_handshake_timeout`.
    """
    request = ConnectionRequest.of(
        None, port, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl, server_hostname=server_hostname,
        observer=observer, resumption=resumption, engine=engine,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    lower = _upgradable(transport)
    make_engine = await engine_factory(asyncio.get_running_loop(), request)
    _refuse_injected(lower, unread(protocol), request)
    return await connect_over(
        lower,
        make_engine(request),
        protocol,
        timeouts,
        notify_connected=False,
        context=request.context,
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
@advised
async def upgrade(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    limit: int = LIMIT,
    policy: PolicyLike | None = None,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    ssl: PinnedSSLContext | Literal[True] | None = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
    engine: EngineChoice = "openssl",
    server_hostname: str,
    port: int | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Streams:
    """Begin TLS on an open pair of streams, as STARTTLS protocols do, and judge the peer's keys.

    Call it when the server's go-ahead was read. Bytes that arrived after it in plaintext are an
    injection (`InjectedPlaintextError`, and the connection is closed). The old pair raises on use.

        reader, writer = await pinio.upgrade(
            reader, writer, policy=policy, server_hostname="mail.example.com"
        )

    Args:
        reader: the open pair's reader.
        writer: the open pair's writer.
        limit: bytes that the new reader buffers before it pauses the transport.
        policy: which keys are expected of which host: a `Policy`, or a source of one such as
            `FileSource`.
        pins: the keys that are expected of this host, instead of `policy`: pins as text, or a
            `PinSet`.
        trust: beside `pins`, what verifies the peer: `"pkix"` (the default) or `"leaf-pin"`.
        anchors: beside `pins`, the CAs that verification may end in; certifi's by default.
        ssl: a `PinnedSSLContext` of `create_ssl_context`, instead of `policy` and `pins`. True
            beside one of these means nothing, for code that was written for asyncio.
        observer: is called with the `Permit` or `Refusal`; the default logs refusals.
        resumption: whether a TLS session may be resumed, or the `SessionCache` to keep sessions in.
        engine: who does the TLS: `"openssl"`, `"rustls"` (the package `pinio-rustls`), or `"auto"`,
            which is rustls where it is installed and can do what is asked.
        server_hostname: the name that the certificate must have and that is looked up in the
            policy.
        port: stands in reports.
        ssl_handshake_timeout: seconds for the TLS handshake; 60 if None.
        ssl_shutdown_timeout: seconds for the end of TLS; 30 if None.

    Returns:
        The new reader and the new writer.

    Raises:
        RuntimeError: the pair was upgraded before.
        PolicyError: the arguments make no sense, or the writer's transport cannot carry TLS.
        PinVerificationError: the peer is refused, for its keys or for an injection.
        ssl.SSLError: the TLS handshake failed.
        OSError: the connection broke.
        ConnectionAbortedError: the handshake took longer than `ssl_handshake_timeout`.
    """
    request = ConnectionRequest.of(
        None, port, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl, server_hostname=server_hostname,
        observer=observer, resumption=resumption, engine=engine,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    lower = _upgradable(transport_of(writer))
    await writer.drain()
    loop = asyncio.get_running_loop()
    make_engine = await engine_factory(loop, request)
    injected = buffered(reader)
    retire(reader, writer)
    _refuse_injected(lower, injected, request)
    new_reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(new_reader, loop=loop)
    transport = await connect_over(
        lower,
        make_engine(request),
        protocol,
        timeouts,
        notify_connected=True,
        context=request.context,
    )
    return new_reader, asyncio.StreamWriter(transport, protocol, new_reader, loop)


def _refuse_injected(lower: asyncio.Transport, injected: bool, request: ConnectionRequest) -> None:
    """Bytes that came in plaintext must not be read as if TLS had protected them."""
    if injected:
        lower.abort()
        raise Judge(request.endpoint, request.profile, request.observer).refuse(
            "INJECTED_PLAINTEXT"
        )


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
    return callable(method) and getattr(method, "__func__", None) is not getattr(
        asyncio.Transport, name
    )
