"""The raw doors that dial: asyncio's own functions, with pins. Those that begin TLS on an open connection are `starttls`.

The signatures are asyncio's; what differs is that one of `policy`, `pins` and `ssl` says what is
expected of the peer. The name is canonicalised and the policy read once, before a socket exists;
after a refusal no other address is tried, because a refusal is an answer and not a failure to get
one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, Unpack, overload

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinsLike, Trust
from pinio.errors import PolicyError
from pinio.tls.config.engine import EngineChoice
from pinio.tls.connection.asyncio_streams import LIMIT, Streams, streams
from pinio.tls.connection.establish import App, Reach, Timeouts, reached
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.dial import Dialling, dial, dialled
from pinio.tls.handshake.sessions import SessionCache
from pinio.tls.request import ConnectionRequest
from pinio.tls.unexpected import advised
from pinio.typing import Observer, PolicyLike

if TYPE_CHECKING:
    from pinio.tls.context.pinned import PinnedSSLContext
    from pinio.tls.signatures import DialByContext, DialByPins, DialByPolicy


@overload
async def create_connection(
    protocol_factory: Callable[[], App],
    host: str | None = None,
    port: int | None = None,
    **arguments: Unpack[DialByPolicy],
) -> tuple[PinnedTransport, App]: ...
@overload
async def create_connection(
    protocol_factory: Callable[[], App],
    host: str | None = None,
    port: int | None = None,
    **arguments: Unpack[DialByPins],
) -> tuple[PinnedTransport, App]: ...
@overload
async def create_connection(
    protocol_factory: Callable[[], App],
    host: str | None = None,
    port: int | None = None,
    **arguments: Unpack[DialByContext],
) -> tuple[PinnedTransport, App]: ...
@advised
async def create_connection(
    protocol_factory: Callable[[], App],
    host: str | None = None,
    port: int | None = None,
    *,
    policy: PolicyLike | None = None,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    ssl: PinnedSSLContext | Literal[True] | None = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
    engine: EngineChoice = "openssl",
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
) -> tuple[PinnedTransport, App]:
    """Connect as `loop.create_connection` does, over TLS that shows a pinned key.

    The protocol's `connection_made` is called after the peer's keys were judged, and never where
    they are refused. Where a handshake fails in which a TLS session was offered, the server is
    dialled once more for a full handshake; each of the two has the whole `ssl_handshake_timeout`.

        policy = pinio.Policy({"api.example.com": ["sha256/…", "sha256/…"]})
        transport, protocol = await pinio.create_connection(
            Client, "api.example.com", 443, policy=policy
        )

    Args:
        protocol_factory: makes the application's protocol.
        host: the host to connect to; it is looked up in the policy.
        port: the port, from 1 to 65535.
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
        family: the address family, for `getaddrinfo`.
        proto: the protocol, for `getaddrinfo`.
        flags: flags of `getaddrinfo`.
        sock: a connected socket to use, instead of `host` and `port`.
        local_addr: host and port to connect from.
        server_hostname: the name that the certificate must have and that is looked up in the
            policy, if it is not `host`.
        ssl_handshake_timeout: seconds for the TLS handshake, and for a second one where resuming a
            session fails; 60 if None.
        ssl_shutdown_timeout: seconds for the end of TLS; 30 if None.
        happy_eyeballs_delay: seconds after which the next address is tried beside the one before
            (RFC 8305); None tries one after the other.
        interleave: how many addresses of one family come first before families alternate.
        all_errors: whether an `ExceptionGroup` with the error of each address is raised, if none
            answers.

    Returns:
        The transport, and the protocol that the factory made.

    Raises:
        PolicyError: the arguments make no sense.
        PinVerificationError: the peer is refused; `.refusal` has the reason and what was seen.
        ssl.SSLError: the TLS handshake failed.
        OSError: no address answers, or the connection broke.
        ConnectionAbortedError: the handshake took longer than `ssl_handshake_timeout`.
    """
    request = ConnectionRequest.of(
        host, port, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl, server_hostname=server_hostname,
        observer=observer, resumption=resumption, engine=engine,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    how = Dialling(local_addr, family, proto, flags, happy_eyeballs_delay, interleave, all_errors)
    reach = _reach(host, port, sock, how)
    return await reached(reach, protocol_factory, request, timeouts, again=sock is None)


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
@advised
async def open_connection(
    host: str | None = None,
    port: int | None = None,
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
) -> Streams:
    """Open a pair of streams as `asyncio.open_connection` does, over TLS that shows a pinned key.

    It returns after the peer's keys were judged, and raises where they are refused.

        policy = pinio.Policy({"api.example.com": ["sha256/…", "sha256/…"]})
        reader, writer = await pinio.open_connection("api.example.com", 443, policy=policy)

    Args:
        host: the host to connect to; it is looked up in the policy.
        port: the port, from 1 to 65535.
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
        family: the address family, for `getaddrinfo`.
        proto: the protocol, for `getaddrinfo`.
        flags: flags of `getaddrinfo`.
        sock: a connected socket to use, instead of `host` and `port`.
        local_addr: host and port to connect from.
        server_hostname: the name that the certificate must have and that is looked up in the
            policy, if it is not `host`.
        ssl_handshake_timeout: seconds for the TLS handshake, and for a second one where resuming a
            session fails; 60 if None.
        ssl_shutdown_timeout: seconds for the end of TLS; 30 if None.
        happy_eyeballs_delay: seconds after which the next address is tried beside the one before
            (RFC 8305); None tries one after the other.
        interleave: how many addresses of one family come first before families alternate.
        all_errors: whether an `ExceptionGroup` with the error of each address is raised, if none
            answers.

    Returns:
        The reader and the writer.

    Raises:
        PolicyError: the arguments make no sense.
        PinVerificationError: the peer is refused; `.refusal` has the reason and what was seen.
        ssl.SSLError: the TLS handshake failed.
        OSError: no address answers, or the connection broke.
        ConnectionAbortedError: the handshake took longer than `ssl_handshake_timeout`.
    """
    request = ConnectionRequest.of(
        host, port, policy=policy, pins=pins, trust=trust, anchors=anchors, ssl=ssl, server_hostname=server_hostname,
        observer=observer, resumption=resumption, engine=engine,
    )  # fmt: skip
    timeouts = Timeouts.of(ssl_handshake_timeout, ssl_shutdown_timeout)
    how = Dialling(local_addr, family, proto, flags, happy_eyeballs_delay, interleave, all_errors)
    reach = _reach(host, port, sock, how)
    return await streams(
        limit, lambda factory: reached(reach, factory, request, timeouts, again=sock is None)
    )


def _reach(host: str | None, port: int | None, sock: socket.socket | None, how: Dialling) -> Reach:
    """How the plain connection comes about."""
    if sock is not None and (host is not None or port is not None):
        raise PolicyError("host and port cannot go with sock; name the server by server_hostname")
    loop = asyncio.get_running_loop()
    if sock is not None:
        return partial(loop.create_connection, sock=sock)
    if host is None or port is None:
        raise PolicyError("pass host and port, or sock and server_hostname")
    return lambda factory: dial(loop, factory, dialled(host), port, how)
