"""Servers that cannot resume a session and do not shake hands in full instead, and the doors that meet them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.testing import Connection, ConnectProxy, tls_alert
from pinio.testing.listener import Listener
from pinio.testing.relay import Direction, relay
from pinio.tls.handshake.sessions import SessionCache
from pinio.typing import PolicyLike
from tests.tls.cast import GENUINE, ISSUER, ROOT, App, Told
from tests.tls.messages import PRE_SHARED_KEY, SESSION_TICKET, ClientHello
from tests.tls.unix import unix_socket

How = Literal["alert", "end", "reset", "stall", "alert late", "end late", "reset late"]
AT_ONCE: tuple[How, ...] = ("alert", "end", "reset")
"""What it does when it sees the offer."""
LATE: tuple[How, ...] = ("alert late", "end late", "reset late")
"""What it does when it sees the client's Finished, which a client may send before its last wait."""


class Unresuming(Listener):
    """A way to a server, on which no connection survives that offers a session; `how=None` lets all pass."""

    scheme = "https"

    def __init__(self, server: Listener, how: How | None, port: int = 0) -> None:
        super().__init__(host=server.host, port=port)
        self.how = how
        self.always = False
        """Whether all others end like that, too."""
        self.offers: list[bool] = []
        """Whether each connection offered a session."""
        self.stalled = threading.Event()
        self._server = server

    def serve(self, connection: Connection) -> None:
        connection.settled = True
        hello = connection.recv()
        if not hello:
            return
        offered = offers_session(hello)
        self.offers.append(offered)
        onward = connection.dial(self._server.address)
        if (offered or self.always) and self.how is not None:
            if self.how.endswith("late"):
                onward.sendall(hello)
                connection.sendall(onward.recv())
                connection.recv()
            self._end(connection, self.how.removesuffix(" late"))
            return
        onward.sendall(hello)
        replies = connection.record.replies
        relay(Direction(connection, onward), Direction(onward, connection, note=replies.extend))

    def _end(self, connection: Connection, how: str) -> None:
        match how:
            case "alert":
                connection.sendall(tls_alert("internal_error"))
            case "reset":
                connection.abort()
            case "stall":
                self.stalled.set()
                connection.drain()
            case _:
                pass


def offers_session(hello: bytes) -> bool:
    """Whether a client hello offers to resume a session (RFC 8446 section 4.2.11, RFC 5077 section 3.2)."""
    extensions = ClientHello.parse(hello).extensions
    return PRE_SHARED_KEY in extensions or bool(extensions.get(SESSION_TICKET))


class Contextless(Listener):
    """OpenSSL with a client certificate required and no session id context, which gives sessions and takes none."""

    scheme = "https"

    def __init__(self, version: int) -> None:
        super().__init__()
        self._context = context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        context.use_certificate(x509.load_der_x509_certificate(GENUINE.der))
        context.use_privatekey(load_pem_private_key(GENUINE.private_key_pem.encode(), None))  # type: ignore[arg-type]
        context.add_extra_chain_cert(x509.load_der_x509_certificate(ISSUER.der))
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(crypto.X509.from_cryptography(x509.load_der_x509_certificate(ROOT.der)))
        context.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *seen: bool(seen[-1])
        )

    def serve(self, connection: Connection) -> None:
        connection.settled = True
        tls = SSL.Connection(self._context, connection.socket)
        tls.set_accept_state()
        with contextlib.suppress(SSL.Error):
            tls.do_handshake()
            tls.recv(len(ASK))
            tls.sendall(ANSWER)
            tls.shutdown()


class There:
    """How a door is used: where to, and what is expected."""

    def __init__(self, port: int, policy: PolicyLike, cache: SessionCache, **options: Any) -> None:
        self.port = port
        self.address = "127.0.0.1", port
        self.told = Told()
        self.context = pinio.create_ssl_context(
            policy, resumption=cache, observer=self.told, **options
        )


Door = Callable[[There], Awaitable[None]]
"""Connects, asks for a page, hangs up. Raises `OSError`."""

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(ASK)
        await writer.drain()
        _check(await reader.read(len(ANSWER)))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _check(answer: bytes) -> None:
    if answer != ANSWER:
        raise ConnectionResetError("it hung up")


async def open_connection(there: There, **options: Any) -> None:
    await _ask(*await pinio.open_connection("localhost", there.port, ssl=there.context, **options))


async def create_connection(there: There) -> None:
    app = App(ASK)
    await pinio.create_connection(
        lambda: app,
        "localhost",
        there.port,
        ssl=there.context,
        happy_eyeballs_delay=0.25,
    )
    assert app.calls[:1] == ["connection_made"]
    await app.lost
    _check(bytes(app.received))


async def open_unix_connection(there: There) -> None:
    async with unix_socket(there) as path:
        await _ask(
            *await pinio.open_unix_connection(path, server_hostname="localhost", ssl=there.context)
        )


async def over_a_socket(there: There) -> None:
    sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", there.port))
    sock.setblocking(False)
    await _ask(
        *await pinio.open_connection(sock=sock, server_hostname="localhost", ssl=there.context)
    )


async def upgrade(there: There) -> None:
    plain = await asyncio.open_connection("127.0.0.1", there.port)
    await _ask(*await pinio.upgrade(*plain, ssl=there.context, server_hostname="localhost"))


async def start_tls(there: There) -> None:
    app = App()
    plain, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol, "127.0.0.1", there.port
    )
    transport = await pinio.start_tls(
        plain,
        app,
        ssl=there.context,
        server_hostname="localhost",
    )
    transport.write(ASK)
    await app.lost
    _check(bytes(app.received))


async def streams_of_the_loop(there: There, **options: Any) -> None:
    await _ask(
        *await asyncio.open_connection("localhost", there.port, ssl=there.context, **options)
    )


async def blocking_socket(there: There, timeout: float = 60) -> None:
    await asyncio.to_thread(_ask_blocking, there, timeout)


def _ask_blocking(there: There, timeout: float) -> None:
    with (
        socket.create_connection(("127.0.0.1", there.port), timeout=timeout) as sock,
        there.context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.sendall(ASK)
        _check(tls.recv(len(ANSWER)))


async def by_aiohttp(there: There, **options: Any) -> None:
    connector = PinnedConnector(ssl=there.context)
    try:
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get(f"https://localhost:{there.port}/", **options) as response,
        ):
            assert await response.read() == b"ok"
    except aiohttp.ClientError as error:
        raise ConnectionError(*error.args) from error


async def by_aiohttp_through_a_tunnel(there: There) -> None:
    async with ConnectProxy() as proxy:
        await by_aiohttp(there, proxy=proxy.url)


DIALLING: dict[str, Door] = {
    "open_connection": open_connection,
    "create_connection": create_connection,
    "open_unix_connection": open_unix_connection,
    "aiohttp": by_aiohttp,
}
"""Doors that dial: they try again by themselves."""
CARRIED: dict[str, Door] = {
    "sock": over_a_socket,
    "upgrade": upgrade,
    "start_tls": start_tls,
    "aiohttp, tunnel": by_aiohttp_through_a_tunnel,
    "context over BIO": streams_of_the_loop,
    "context over a socket": blocking_socket,
}
"""Doors whose connection somebody else opened: there it is the caller who tries again."""
