"""A TLS server on strings: a test says, step by step, what the other side of its connection does, and sees what it saw.

A step is a callable of the server's `Connection`, run in the server's thread. The ones below are
enough for most stories.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Literal, Self, TypeVar, overload

import pinio
from pinio.testing import Connection, Leaf, Server
from pinio.tls.connection.transport import PinnedTransport
from tests.tls.cast import GENUINE, pinned
from tests.tls.conformance.diary import Diary

MUCH = bytes(range(256)) * 4 * 1024 * 2
"""2 MiB: more than the sockets of a puppet's connection hold."""

T = TypeVar("T")
AnyDiary = TypeVar("AnyDiary", bound=asyncio.BaseProtocol)
Step = Callable[[Connection], T]

POLICY = pinned(resumption=False)


class Puppet:
    """A server that does what it is told. `async with Puppet(tls_version) as puppet: …`."""

    def __init__(
        self,
        tls_version: ssl.TLSVersion | None = None,
        identity: Leaf | ssl.SSLContext = GENUINE,
        **options: Any,
    ) -> None:
        self.server = Server(identity, handler=self._obey, tls_version=tls_version, **options)
        self._orders: queue.SimpleQueue[tuple[Step[Any], Future[Any]] | None] = queue.SimpleQueue()

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        assert self.server._socket is not None
        # Accepted sockets inherit it: a client soon has more to send than the sockets hold.
        self.server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        return self

    async def __aexit__(self, *error: object) -> None:
        for _ in self.server.connections:
            self._orders.put(None)
        await self.server.__aexit__(None, None, None)

    def _obey(self, connection: Connection) -> None:
        while (order := self._orders.get()) is not None:
            step, answer = order
            try:
                answer.set_result(step(connection))
            except Exception as error:  # noqa: BLE001 - raised where the step was asked for
                answer.set_exception(error)

    async def does(self, step: Step[T]) -> T:
        """Wait for a step to be taken; returns what it returns."""
        answer: Future[T] = Future()
        self._orders.put((step, answer))
        return await asyncio.wrap_future(answer)

    async def sends(self, data: bytes) -> None:
        await self.does(lambda connection: connection.sendall(data))

    async def hears(self, size: int) -> bytes:
        return await self.does(exactly(size))

    @property
    def where(self) -> dict[str, Any]:
        """The arguments of a pinned connection to this server."""
        return {
            "host": self.server.host,
            "port": self.server.port,
            "server_hostname": "localhost",
            "policy": POLICY,
        }

    @overload
    async def connect(self, **options: Any) -> tuple[PinnedTransport, Diary]: ...
    @overload
    async def connect(
        self, factory: Callable[[], AnyDiary], **options: Any
    ) -> tuple[PinnedTransport, AnyDiary]: ...
    async def connect(self, factory: Callable[[], Any] = Diary, **options: Any) -> Any:
        """A pinned connection to this server, open on both sides."""
        transport, app = await pinio.create_connection(factory, **(self.where | options))
        small(transport)
        await self.does(lambda connection: None)
        return transport, app


def small(transport: asyncio.BaseTransport) -> None:
    """Give the client's socket little room, so that it soon has more to send than fits."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)


def exactly(size: int) -> Step[bytes]:
    """Read so many bytes."""

    def step(connection: Connection) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = connection.recv(size - len(data))
            if not chunk:
                raise EOFError(f"the client ended after {len(data)} of {size} bytes")
            data += chunk
        return bytes(data)

    return step


Ending = Literal["clean", "ragged", "reset"]


def to_the_end(connection: Connection) -> tuple[bytes, Ending]:
    """Read until the client ends; and how it did."""
    data = bytearray()
    try:
        while chunk := connection.recv():
            data += chunk
    except ssl.SSLEOFError:
        return bytes(data), "ragged"
    except OSError:
        return bytes(data), "reset"
    return bytes(data), "clean"


def farewell(connection: Connection) -> bytes:
    """A close_notify, to be sent. What the client has said already can be read afterwards."""
    assert connection.tls is not None
    # SSL_shutdown() as Python calls it looks for the peer's close_notify at once, and breaks on
    # anything else.
    unread = connection._incoming.read()
    with suppress(ssl.SSLWantReadError):
        connection.tls.unwrap()
    connection._incoming.write(unread)
    return connection.seal(b"")


def goodbye(connection: Connection) -> None:
    """Send a close_notify and leave TCP as it is."""
    connection.send_raw(farewell(connection))


def close(connection: Connection) -> None:
    """End this half in good order: close_notify, then TCP's FIN."""
    goodbye(connection)
    truncate(connection)


def truncate(connection: Connection) -> None:
    """End this half of TCP without a close_notify."""
    connection.close(goodbye=False)


def reset(connection: Connection) -> None:
    """Reset the TCP connection."""
    connection.abort()


def last_words(data: bytes) -> Step[None]:
    """Application data and close_notify in one segment, then FIN."""

    def step(connection: Connection) -> None:
        connection.send_raw(connection.seal(data) + farewell(connection))
        truncate(connection)

    return step


def in_one_segment(*messages: bytes) -> Step[None]:
    """Each message in a record of its own, all of them in one segment."""

    def step(connection: Connection) -> None:
        connection.send_raw(b"".join(map(connection.seal, messages)))

    return step


async def turns(count: int = 20) -> None:
    """Let the loop look at its sockets so many times.

    On loopback, what was sent is there when the sender returns.
    """
    for _ in range(count):
        await asyncio.sleep(0)
