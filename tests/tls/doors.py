"""Every way in which a program opens a pinned TLS connection, behind one call.

Each takes a pinned context and a server's port, and yields a `Line`, whatever lies under it. A
server for `upgrade` and `start_tls` needs no STARTTLS dialogue: TLS begins at once on an open
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeAlias

import aiohttp

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.tls.context.pinned import PinnedSSLContext
from tests.tls.cast import App

HOST = "localhost"


class Line(Protocol):
    """An open connection."""

    async def say(self, data: bytes) -> None:
        """Write."""
        ...

    async def hear(self, size: int) -> bytes:
        """Read so many bytes. Raises `OSError` or `EOFError` where the connection ends before."""
        ...


Door: TypeAlias = Callable[[PinnedSSLContext, int], AbstractAsyncContextManager[Line]]


class StreamLine:
    """A pair of asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self, size: int) -> bytes:
        return await self.reader.readexactly(size)


class AppLine:
    """A transport and an application's protocol."""

    def __init__(self, transport: asyncio.Transport, app: App) -> None:
        self.transport, self.app = transport, app

    async def say(self, data: bytes) -> None:
        self.transport.write(data)

    async def hear(self, size: int) -> bytes:
        arrives = asyncio.ensure_future(self.app.has_received(size))
        await asyncio.wait((arrives, self.app.lost), return_when=asyncio.FIRST_COMPLETED)
        if not arrives.done():
            arrives.cancel()
            raise self.app.lost.result() or EOFError
        data = await arrives
        del self.app.received[:]
        return data


class SocketLine:
    """A blocking socket, used in threads."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    async def say(self, data: bytes) -> None:
        await asyncio.to_thread(self.socket.sendall, data)

    async def hear(self, size: int) -> bytes:
        return await asyncio.to_thread(self._hear, size)

    def _hear(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (more := self.socket.recv(size - len(data))):
                raise EOFError
            data += more
        return data


class HTTPLine:
    """A session of aiohttp: what is said is a request's body, what is heard is the answer's."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.answer = b""

    async def say(self, data: bytes) -> None:
        async with self.session.post(self.url, data=data) as response:
            self.answer += await response.read()

    async def hear(self, size: int) -> bytes:
        data, self.answer = self.answer[:size], self.answer[size:]
        return data


@asynccontextmanager
async def _closing(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncIterator[Line]:
    try:
        yield StreamLine(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def open_connection(context: PinnedSSLContext, port: int) -> AsyncIterator[Line]:
    streams = await pinio.open_connection(HOST, port, ssl=context)
    async with _closing(*streams) as line:
        yield line


@asynccontextmanager
async def create_connection(context: PinnedSSLContext, port: int) -> AsyncIterator[Line]:
    transport, app = await pinio.create_connection(lambda: App(b""), HOST, port, ssl=context)
    try:
        yield AppLine(transport, app)
    finally:
        transport.abort()
        await app.lost


@asynccontextmanager
async def start_tls(context: PinnedSSLContext, port: int) -> AsyncIterator[Line]:
    loop = asyncio.get_running_loop()
    plain, app = await loop.create_connection(lambda: App(b""), HOST, port)
    try:
        transport = await pinio.start_tls(plain, app, ssl=context, server_hostname=HOST)
        yield AppLine(transport, app)
    finally:
        plain.abort()
        await app.lost


@asynccontextmanager
async def upgrade(context: PinnedSSLContext, port: int) -> AsyncIterator[Line]:
    plain = await asyncio.open_connection(HOST, port)
    try:
        streams = await pinio.upgrade(*plain, ssl=context, server_hostname=HOST)
        async with _closing(*streams) as line:
            yield line
    finally:
        with contextlib.suppress(Exception):  # the old pair is retired
            plain[1].transport.abort()


@asynccontextmanager
async def connector(context: PinnedSSLContext, port: int) -> AsyncIterator[Line]:
    async with aiohttp.ClientSession(connector=PinnedConnector(ssl=context)) as session:
        line = HTTPLine(session, f"https://{HOST}:{port}/")
        await line.say(b"")  # the session connects with the first request
        line.answer = b""
        yield line


@asynccontextmanager
async def loop_tls(context: PinnedSSLContext, port: int) -> AsyncIterator[Line]:
    """The event loop's own TLS over a context, as asyncio clients use one: over BIOs."""
    streams = await asyncio.open_connection(HOST, port, ssl=context)
    async with _closing(*streams) as line:
        yield line


@asynccontextmanager
async def loop_start_tls(context: PinnedSSLContext, port: int) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        await writer.start_tls(context, server_hostname=HOST)
    except BaseException:
        writer.transport.abort()  # asyncio tells nobody that such a connection is lost
        raise
    async with _closing(reader, writer) as line:
        yield line


@asynccontextmanager
async def sockets(context: PinnedSSLContext, port: int) -> AsyncIterator[Line]:
    """A blocking socket, as requests and most database drivers use one."""

    def dial() -> socket.socket:
        sock = socket.create_connection((HOST, port), timeout=60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return context.wrap_socket(sock, server_hostname=HOST)
        except BaseException:
            sock.close()
            raise

    tls = await asyncio.to_thread(dial)
    try:
        yield SocketLine(tls)
    finally:
        tls.close()


OVER_BIO: dict[str, Any] = {
    "open_connection": open_connection,
    "create_connection": create_connection,
    "start_tls": start_tls,
    "upgrade": upgrade,
    "aiohttp": connector,
    "context, loop": loop_tls,
    "context, loop.start_tls": loop_start_tls,
}
"""Where pinio, or the loop through its object, sends what TLS says."""
DOORS: dict[str, Any] = {**OVER_BIO, "context, socket": sockets}
