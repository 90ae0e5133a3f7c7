"""What aiohttp does every day, with `PinnedConnector` exactly as with `TCPConnector`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pinio.aiohttp import PinnedConnector
from pinio.testing import RawServer, silent
from tests.tls.cast import GENUINE, ROOT, pinned

Connect = Callable[..., aiohttp.TCPConnector]


@pytest.fixture(params=["TCPConnector", "PinnedConnector"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """A connector of either kind, with the arguments that both take."""
    if request.param == "TCPConnector":
        return lambda **options: aiohttp.TCPConnector(ssl=ROOT.client_context(), **options)
    return lambda **options: PinnedConnector(pinned(), **options)


class Site:
    """A web application behind the genuine certificate."""

    def __init__(self) -> None:
        self.peers: list[Any] = []
        self.waiting, self.release = asyncio.Event(), asyncio.Event()
        self.url = ""

    async def hello(self, request: web.Request) -> web.Response:
        self.peers.append(request.transport.get_extra_info("peername") if request.transport else None)
        return web.Response(text="hello")

    async def count(self, request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(b"x" * 65536)
        return response

    async def wait(self, request: web.Request) -> web.Response:
        self.waiting.set()
        await self.release.wait()
        return web.Response()

    async def echo(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket


@pytest.fixture
async def site(tls_version: ssl.TLSVersion) -> AsyncIterator[Site]:
    site = Site()
    application = web.Application(client_max_size=1 << 30)
    for name in ("hello", "stream", "wait", "echo"):
        application.router.add_get(f"/{name}", getattr(site, name))
    application.router.add_post("/count", site.count)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    where = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=GENUINE.server_context(tls_version=tls_version))
    await where.start()
    site.url = f"https://localhost:{runner.addresses[0][1]}"
    yield site
    site.release.set()
    await runner.cleanup()


async def test_streaming_both_ways(site: Site, connect: Connect) -> None:
    """Megabytes up and down, in pieces."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"y" * 65536

    async with aiohttp.ClientSession(site.url, connector=connect()) as client:
        async with client.post("/count", data=body()) as response:
            assert await response.text() == str(64 * 65536)
        async with client.get("/stream") as response:
            assert sum([len(chunk) async for chunk in response.content.iter_any()]) == 64 * 65536


@pytest.mark.parametrize(("options", "connections"), [({}, 1), ({"force_close": True}, 3)])
async def test_keep_alive_and_force_close(
    options: dict[str, Any], connections: int, site: Site, connect: Connect
) -> None:
    """Connections are used again, unless they are not to be."""
    async with aiohttp.ClientSession(site.url, connector=connect(**options)) as client:
        for _ in range(3):
            async with client.get("/hello") as response:
                assert await response.text() == "hello"
    assert len(set(site.peers)) == connections


async def test_limits(site: Site, connect: Connect) -> None:
    """No more connections at once than allowed."""
    async with aiohttp.ClientSession(site.url, connector=connect(limit=2)) as client:
        answers = await asyncio.gather(*(client.get("/hello") for _ in range(8)))
        assert [await answer.text() for answer in answers] == ["hello"] * 8
    assert len(set(site.peers)) <= 2


async def test_websockets(site: Site, connect: Connect) -> None:
    """Both ways, and an orderly end."""
    async with (
        aiohttp.ClientSession(site.url, connector=connect()) as client,
        client.ws_connect("/echo") as socket,
    ):
        for text in ("a", "b" * 100_000):
            await socket.send_str(text)
            assert await socket.receive_str() == text


async def test_a_slow_answer_times_out(site: Site, connect: Connect) -> None:
    """By `ClientTimeout`, and the session is usable afterwards."""
    async with aiohttp.ClientSession(site.url, connector=connect()) as client:
        with pytest.raises(TimeoutError):
            await client.get("/wait", timeout=aiohttp.ClientTimeout(sock_read=0.05))
        async with client.get("/hello") as response:
            assert response.status == 200


async def test_a_handshake_that_stalls_times_out(connect: Connect) -> None:
    """A server that accepts and says nothing: `sock_connect` covers the handshake."""
    async with RawServer(silent) as server, aiohttp.ClientSession(connector=connect()) as client:
        with pytest.raises(aiohttp.ConnectionTimeoutError):
            await client.get(
                f"https://localhost:{server.port}/", timeout=aiohttp.ClientTimeout(sock_connect=0.05)
            )


async def test_cancellation_frees_the_connection(site: Site, connect: Connect) -> None:
    """A cancelled request gives its place back."""
    async with aiohttp.ClientSession(site.url, connector=connect(limit=1)) as client:
        waiting = asyncio.create_task(client.get("/wait"))
        await site.waiting.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with client.get("/hello") as response:
            assert response.status == 200


async def test_nobody_there_is_an_ordinary_error(connect: Connect) -> None:
    """Refused connections and unknown names are aiohttp's own errors."""
    async with RawServer(silent) as server:
        port = server.port
    async with aiohttp.ClientSession(connector=connect()) as client:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await client.get(f"https://localhost:{port}/")
    assert isinstance(caught.value.os_error, ConnectionRefusedError)


async def test_traces_and_the_dns_cache(site: Site, connect: Connect) -> None:
    """The same signals in the same order."""
    heard: list[str] = []
    trace = aiohttp.TraceConfig()
    for name in (
        "connection_create_start",
        "connection_create_end",
        "connection_reuseconn",
        "dns_resolvehost_start",
    ):

        async def note(*_: Any, name: str = name) -> None:
            heard.append(name)

        getattr(trace, f"on_{name}").append(note)
    async with aiohttp.ClientSession(site.url, connector=connect(), trace_configs=[trace]) as client:
        for _ in range(2):
            async with client.get("/hello") as response:
                await response.read()
    assert heard == [
        "connection_create_start",
        "dns_resolvehost_start",
        "connection_create_end",
        "connection_reuseconn",
    ]


async def test_closing_the_session_ends_its_connections(site: Site, connect: Connect) -> None:
    """Gracefully: what is in the pool is closed, and no warning is left."""
    connector = connect()
    async with (
        aiohttp.ClientSession(site.url, connector=connector) as client,
        client.get("/hello") as response,
    ):
        await response.read()
    assert connector.closed
