"""The raw doors that dial a Unix socket: asyncio's own functions, with pins.

A path is no name, so `server_hostname` says whose certificate is expected. It is looked up in the
policy as a host is, and the peer behind the socket, often a proxy to that host, has to show a
pinned key of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, overload

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinsLike, Trust
from pinio.errors import PolicyError
from pinio.tls.config.engine import EngineChoice
from pinio.tls.connection.asyncio_streams import LIMIT, Streams, streams
from pinio.tls.connection.establish import App, Reach, Timeouts, reached
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.handshake.sessions import SessionCache
from pinio.tls.request import ConnectionRequest
from pinio.tls.unexpected import advised
from pinio.typing import Observer, PolicyLike

if TYPE_CHECKING:
    from pinio.tls.context.pinned import PinnedSSLContext
    from pinio.tls.signatures import UnixByContext, UnixByPins, UnixByPolicy

AnyPath: TypeAlias = str | bytes | os.PathLike[str]


@overload
async def create_unix_connection(
    protocol_factory: Callable[[], App],
    path: AnyPath | None = None,
    **arguments: Unpack[UnixByPolicy],
) -> tuple[PinnedTransport, App]: ...
@overload
async def create_unix_connection(
    protocol_factory: Callable[[], App],
    path: AnyPath | None = None,
    **arguments: Unpack[UnixByPins],
) -> tuple[PinnedTransport, App]: ...
@overload
async def create_unix_connection(
    protocol_factory: Callable[[], App],
    path: AnyPath | None = None,
    **arguments: Unpack[UnixByContext],
) -> tuple[PinnedTransport, App]: ...
@advised
async def create_unix_connection(
    protocol_factory: Callable[[], App],
    path: AnyPath | None = None,
    *,
    policy: PolicyLike | None = None,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    ssl: PinnedSSLContext | Literal[True] | None = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
    engine: EngineChoice = "openssl",
    sock: socket.socket | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[PinnedTransport, App]:
    """Connect as `loop.create_unix_connection` does, over TLS that shows a pinned key.

    The protocol's `connection_made` is called after the peer's keys were judged, and never where
    they are refused.

        transport, protocol = await pinio.create_unix_connection(
            Client, "/run/proxy.sock", policy=policy, server_hostname="api.example.com"
        )

    Args:
        protocol_factory: makes the application's protocol.
        path: where the Unix socket is.
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
        sock: a connected Unix socket to use, instead of `path`.
        server_hostname: the name that the certificate must have and that is looked up in the
            policy. It is required, because a path is no name.
        ssl_handshake_timeout: seconds for the TLS handshake, and for a second one where resuming a
            session fails; 60 if None.
        ssl_shutdown_timeout: seconds for the end of TLS; 30 if None.

    Returns:
        The transport, and the protocol that the factory made.

    Raises:
        PolicyError: the arguments make no sense.
        PinVerificationError: the peer is refused; `.refusal` has the reason and what was seen.
        ssl.SSLError: the TLS handshake failed.
        OSError: nothing listens at `path`, or the connection broke.
        ConnectionAbortedError: the handshake took longer than `ssl_handshake_timeout`.
        NotImplementedError: the loop has no Unix sockets (Windows).
    """
    request = ConnectionRequest.of(
        None, None, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl,
        server_hostname=_name(server_hostname), observer=observer, resumption=resumption, engine=engine,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    reach = _reach(path, sock)
    return await reached(reach, protocol_factory, request, timeouts, again=sock is None)


@overload
async def open_unix_connection(
    path: AnyPath | None = None,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[UnixByPolicy],
) -> Streams: ...
@overload
async def open_unix_connection(
    path: AnyPath | None = None,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[UnixByPins],
) -> Streams: ...
@overload
async def open_unix_connection(
    path: AnyPath | None = None,
    *,
    limit: int = LIMIT,
    **arguments: Unpack[UnixByContext],
) -> Streams: ...
@advised
async def open_unix_connection(
    path: AnyPath | None = None,
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
    sock: socket.socket | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Streams:
    """Open a pair of streams as `asyncio.open_unix_connection` does, over TLS that shows a pinned key.

    It returns after the peer's keys were judged, and raises where they are refused.

        reader, writer = await pinio.open_unix_connection(
            "/run/proxy.sock", policy=policy, server_hostname="api.example.com"
        )

    Args:
        path: where the Unix socket is.
        limit: bytes that the reader buffers before it pauses the transport.
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
        sock: a connected Unix socket to use, instead of `path`.
        server_hostname: the name that the certificate must have and that is looked up in the
            policy. It is required, because a path is no name.
        ssl_handshake_timeout: seconds for the TLS handshake, and for a second one where resuming a
            session fails; 60 if None.
        ssl_shutdown_timeout: seconds for the end of TLS; 30 if None.

    Returns:
        The reader and the writer.

    Raises:
        PolicyError: the arguments make no sense.
        PinVerificationError: the peer is refused; `.refusal` has the reason and what was seen.
        ssl.SSLError: the TLS handshake failed.
        OSError: nothing listens at `path`, or the connection broke.
        ConnectionAbortedError: the handshake took longer than `ssl_handshake_timeout`.
        NotImplementedError: the loop has no Unix sockets (Windows).
    """
    request = ConnectionRequest.of(
        None, None, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl,
        server_hostname=_name(server_hostname), observer=observer, resumption=resumption, engine=engine,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    reach = _reach(path, sock)
    return await streams(
        limit, lambda factory: reached(reach, factory, request, timeouts, again=sock is None)
    )


def _name(server_hostname: str | None) -> str:
    if server_hostname is None:
        raise PolicyError("pass server_hostname=: a path is no name that a certificate could have")
    return server_hostname


def _reach(path: AnyPath | None, sock: socket.socket | None) -> Reach:
    """How the plain connection comes about."""
    if (path is None) == (sock is None):
        raise PolicyError("pass path or sock, one of the two, and server_hostname")
    kind = getattr(socket, "AF_UNIX", None), socket.SOCK_STREAM
    if sock is not None and (sock.family, sock.type) != kind:
        raise PolicyError("sock is a Unix stream socket here; create_connection takes others")
    connect: Any = asyncio.get_running_loop().create_unix_connection
    return partial(connect, path=None if path is None else os.fspath(path), sock=sock)
