"""Clients, with pins and without, by every way to an interceptor.

Each asks `GET /` with a secret in a header, and raises what its library raises. The pinned and the
unpinned client of a door differ in nothing but the context.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import httpx
import requests
from aiohttp_socks import ProxyConnector

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.httpx import AsyncPinnedHTTPTransport
from pinio.requests import PinnedSession
from tests.interceptors.base import HOST, Way


@dataclass(frozen=True)
class Target:
    """Where a client connects to, and what it brings.

    Attributes:
        port: of the genuine server, or of what stands in its place.
        proxy: the port of the proxy; None where there is none.
        context: a `PinnedSSLContext`, or a stock one.
        cafile: the CAs of a stock client that takes a file.
        secret: what nobody but the genuine server should see.
    """

    port: int
    proxy: int | None
    context: ssl.SSLContext
    cafile: Path
    secret: str

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/"

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Secret": self.secret}

    @property
    def pinned(self) -> pinio.PinnedSSLContext | None:
        return self.context if isinstance(self.context, pinio.PinnedSSLContext) else None


Client: TypeAlias = Callable[[Target, Way], Coroutine[Any, Any, None]]


async def raw(target: Target, way: Way) -> None:
    """asyncio's streams; through a proxy by CONNECT or SOCKS and an upgrade."""
    port = target.port if target.proxy is None else target.proxy
    if target.proxy is None:
        if target.pinned is not None:
            streams = await pinio.open_connection(
                "127.0.0.1", port, ssl=target.pinned, server_hostname=HOST
            )
        else:
            streams = await asyncio.open_connection(
                "127.0.0.1", port, ssl=target.context, server_hostname=HOST
            )
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await (_connect if way == "connect" else _socks)(reader, writer, target.port)
            if target.pinned is not None:
                streams = await pinio.upgrade(
                    reader, writer, ssl=target.pinned, server_hostname=HOST
                )
            else:
                await writer.start_tls(target.context, server_hostname=HOST)
                streams = reader, writer
        except BaseException:
            writer.transport.abort()
            raise
    await _ask(*streams, target)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target) -> None:
    try:
        head = f"GET / HTTP/1.1\r\nHost: {HOST}:{target.port}\r\nX-Secret: {target.secret}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        if not (await reader.readline()).startswith(b"HTTP/1."):
            raise ConnectionError("no answer")
    finally:
        writer.transport.abort()


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    writer.write(f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
    if b" 200 " not in await reader.readuntil(b"\r\n\r\n"):
        raise ConnectionError("the proxy opens no tunnel")


async def _socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """RFC 1928, without authentication."""
    writer.write(b"\x05\x01\x00")
    await reader.readexactly(2)
    name = HOST.encode()
    writer.write(b"\x05\x01\x00\x03" + bytes((len(name),)) + name + struct.pack("!H", port))
    head = await reader.readexactly(4)
    if head[1]:
        raise ConnectionError(f"the proxy answers {head[1]}")
    size = {1: 4, 4: 16}.get(head[3]) or (await reader.readexactly(1))[0]
    await reader.readexactly(size + 2)


async def by_aiohttp(target: Target, way: Way) -> None:
    """aiohttp; through SOCKS by aiohttp-socks, to which a context is given."""
    options: dict[str, Any] = {}
    connector: aiohttp.BaseConnector
    if way == "socks":
        connector = ProxyConnector.from_url(
            f"socks5://127.0.0.1:{target.proxy}", rdns=True, ssl=target.context
        )
    elif target.pinned is not None:
        connector = PinnedConnector(ssl=target.pinned)
    else:
        connector = aiohttp.TCPConnector(ssl=target.context)
    if way == "connect":
        options["proxy"] = f"http://127.0.0.1:{target.proxy}"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(target.url, headers=target.headers, **options) as response,
    ):
        await response.read()


async def by_httpx(target: Target, way: Way, *, http2: bool = False) -> None:
    """httpx, over memory BIOs."""
    proxy = _proxy(target, way)
    options: dict[str, Any] = {"trust_env": False, "timeout": 60}
    if target.pinned is not None:
        transport = AsyncPinnedHTTPTransport(ssl=target.pinned, proxy=proxy, http2=http2)
        options |= {"transport": transport}
    else:
        options |= {"verify": target.context, "proxy": proxy, "http2": http2}
    async with httpx.AsyncClient(**options) as client:
        await client.get(target.url, headers=target.headers)


async def by_http2(target: Target, way: Way) -> None:
    """httpx, offering HTTP/2."""
    await by_httpx(target, way, http2=True)


async def by_requests(target: Target, way: Way) -> None:
    """requests, over blocking sockets."""
    proxy = _proxy(target, way)
    proxies = {} if proxy is None else {"https": proxy.replace("socks5:", "socks5h:")}

    def get() -> None:
        session = requests.Session() if target.pinned is None else PinnedSession(ssl=target.pinned)
        with session:
            session.trust_env = False
            if target.pinned is None:
                session.verify = str(target.cafile)
            session.get(target.url, headers=target.headers, proxies=proxies, timeout=60)

    await asyncio.to_thread(get)


def _proxy(target: Target, way: Way) -> str | None:
    if target.proxy is None:
        return None
    return f"{'http' if way == 'connect' else 'socks5'}://127.0.0.1:{target.proxy}"


CLIENTS: dict[str, Client] = {
    "streams": raw,
    "aiohttp": by_aiohttp,
    "httpx": by_httpx,
    "httpx, HTTP/2": by_http2,
    "requests": by_requests,
}
BLOCKING = frozenset({"requests"})
"""Over blocking sockets OpenSSL sends the end of the handshake by itself."""
