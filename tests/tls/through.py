"""Clients through a context of ours, as libraries use one: over a blocking socket, and over an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Protocol

from pinio.core.policy import Policy
from pinio.testing.listener import Listener
from pinio.tls.config.settings import StockContext
from pinio.tls.context.inner import inner_context
from pinio.tls.context.pinned import PinnedSSLContext, create_ssl_context
from pinio.tls.handshake.sessions import SessionCache
from pinio.typing import PolicyLike
from tests.tls.cast import Told

SECRET = b"the password is swordfish"


class Swappable:
    """A source whose policy the test swaps."""

    def __init__(self, current: Policy) -> None:
        self.current = current


def context_for(policy: PolicyLike, **options: Any) -> PinnedSSLContext:
    """One that logs nothing and keeps its sessions to itself."""
    return create_ssl_context(
        policy, **{"observer": Told(), "resumption": SessionCache(), **options}
    )


def inner(context: PinnedSSLContext, host: str = "localhost") -> ssl.SSLContext:
    """The private context from which connections to a host are made."""
    return inner_context(context.profile(context.expectation.endpoint(host)))


def unsealed(context: ssl.SSLContext) -> ssl.SSLContext:
    """An inner context, open to changes: what only code that means to do it can do."""
    object.__setattr__(context, "__class__", StockContext)
    return context


class Addressed(Protocol):
    """A server, wherever it runs."""

    @property
    def address(self) -> tuple[str, int]: ...


@contextlib.contextmanager
def tcp(server: Addressed) -> Iterator[socket.socket]:
    """A blocking connection, closed at the end whoever took it over."""
    with contextlib.closing(socket.create_connection(server.address, timeout=60)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # sent is sent
        yield sock


@contextlib.contextmanager
def blocking(
    context: ssl.SSLContext, server: Addressed, name: str | None = "localhost"
) -> Iterator[ssl.SSLSocket]:
    """A blocking connection whose handshake is done."""
    with tcp(server) as sock, context.wrap_socket(sock, server_hostname=name) as tls:
        yield tls


def ask(context: ssl.SSLContext, server: Addressed, name: str | None = "localhost") -> bytes:
    """Say the secret to an echo, over a blocking socket."""
    with blocking(context, server, name) as tls:
        tls.sendall(SECRET)
        return tls.recv(len(SECRET))


async def ask_asyncio(
    context: ssl.SSLContext, server: Listener, name: str | None = "localhost"
) -> bytes:
    """Say the secret to an echo, over the running event loop's own TLS."""
    reader, writer = await asyncio.open_connection(
        *server.address, ssl=context, server_hostname=name
    )
    try:
        writer.write(SECRET)
        return await reader.readexactly(len(SECRET))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
