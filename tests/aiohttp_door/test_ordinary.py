"""What aiohttp does every day, with `PinnedConnector` exactly as with `TCPConnector`."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.aiohttp.errors import ClientTLSFailedError
from pinio.errors import NotJudgedError
from pinio.testing import ConnectProxy, RawServer, Server, hear, http, reset, silent
from pinio.testing.connection import Connection
from tests.aiohttp_door.world import Addresses
from tests.tls.cast import GENUINE, ROOT, Told, end_of, pinned

Connect = Callable[..., aiohttp.TCPConnector]
_PARAMETERS = inspect.signature(aiohttp.TCPConnector).parameters


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
        self.peers.append(
            request.transport.get_extra_info("peername") if request.transport else None
        )
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
    where = web.TCPSite(
        runner, "127.0.0.1", 0, ssl_context=GENUINE.server_context(tls_version=tls_version)
    )
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


@pytest.mark.parametrize("option", ["limit", "limit_per_host"])
async def test_limits(site: Site, connect: Connect, option: str) -> None:
    """No more connections at once than allowed."""
    async with aiohttp.ClientSession(site.url, connector=connect(**{option: 2})) as client:
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


@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "tunnel"])
@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (b"this is no TLS\r\n", aiohttp.ClientConnectorSSLError),
        (reset, aiohttp.ClientConnectorError),
    ],
    ids=["nonsense", "reset"],
)
async def test_a_handshake_that_fails(
    connect: Connect, tunnel: bool, ending: Any, kind: Any
) -> None:
    """aiohttp's own errors, told apart as aiohttp does, though ours says more."""
    async with (
        RawServer(hear, ending) as server,
        ConnectProxy() as proxy,
        aiohttp.ClientSession(connector=connect()) as client,
    ):
        with pytest.raises(kind) as caught:
            await client.get(
                f"https://localhost:{server.port}/",
                proxy=f"http://localhost:{proxy.port}" if tunnel else None,
            )
    assert type(caught.value) in (kind, ClientTLSFailedError)
    assert isinstance(caught.value, ssl.SSLError) == (kind is aiohttp.ClientConnectorSSLError)


@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "tunnel"])
async def test_a_handshake_that_stalls_times_out(connect: Connect, tunnel: bool) -> None:
    """A server that accepts and says nothing: `sock_connect` covers the handshake."""
    async with (
        RawServer(silent) as server,
        ConnectProxy() as proxy,
        aiohttp.ClientSession(connector=connect()) as client,
    ):
        with pytest.raises(aiohttp.ConnectionTimeoutError):
            await client.get(
                f"https://localhost:{server.port}/",
                timeout=aiohttp.ClientTimeout(sock_connect=0.05),
                proxy=f"http://localhost:{proxy.port}" if tunnel else None,
            )


@pytest.mark.parametrize("stage", ["answer", "handshake"])
async def test_the_total_time_is_limited(site: Site, connect: Connect, stage: str) -> None:
    """Wherever a request is stuck; and its place is free again."""
    async with (
        RawServer(silent) as stuck,
        aiohttp.ClientSession(connector=connect(limit=1)) as client,
    ):
        url = f"{site.url}/wait" if stage == "answer" else f"https://localhost:{stuck.port}/"
        with pytest.raises(TimeoutError):
            await client.get(url, timeout=aiohttp.ClientTimeout(total=0.05))
        async with client.get(f"{site.url}/hello") as response:
            assert response.status == 200


async def test_cancellation_in_the_handshake_closes_the_socket(
    site: Site, connect: Connect
) -> None:
    """The server sees the end, and the place in the pool is free."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: Connection) -> None:
        loop.call_soon_threadsafe(heard.set)

    server = RawServer(hear, tell, silent)
    async with server as stuck, aiohttp.ClientSession(connector=connect(limit=1)) as client:
        waiting = asyncio.create_task(client.get(f"https://localhost:{stuck.port}/"))
        await heard.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with client.get(f"{site.url}/hello") as response:
            assert response.status == 200
        await end_of(stuck)


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


async def test_nobody_there_is_an_ordinary_error(connect: Connect, reserved_port: int) -> None:
    """Refused connections and unknown names are aiohttp's own errors."""
    async with aiohttp.ClientSession(connector=connect()) as client:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await client.get(f"https://localhost:{reserved_port}/")
    assert isinstance(caught.value.os_error, ConnectionRefusedError)


@pytest.mark.parametrize(
    "options", [{}, {"force_close": True}, {"use_dns_cache": False, "force_close": True}]
)
async def test_the_dns_cache(options: dict[str, Any], connect: Connect) -> None:
    """A name is resolved once, for as many connections as are made, unless it is not to be kept."""
    async with Server(GENUINE, handler=http()) as server:
        addresses = Addresses(server)
        async with aiohttp.ClientSession(
            connector=connect(resolver=addresses, **options)
        ) as client:
            for _ in range(3):
                async with client.get("https://localhost/") as response:
                    assert response.status == 200
    assert addresses.asked == (3 if options.get("use_dns_cache") is False else 1)


async def test_traces(site: Site, connect: Connect) -> None:
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
    async with aiohttp.ClientSession(
        site.url, connector=connect(), trace_configs=[trace]
    ) as client:
        for _ in range(2):
            async with client.get("/hello") as response:
                await response.read()
    assert heard == [
        "connection_create_start",
        "dns_resolvehost_start",
        "connection_create_end",
        "connection_reuseconn",
    ]


@pytest.mark.filterwarnings("ignore:The ssl_shutdown_timeout parameter:DeprecationWarning")
async def test_closing_the_session_ends_its_connections(
    connect: Connect, tls_version: ssl.TLSVersion
) -> None:
    """What is in the pool is closed, in the order of TLS where there is time for it, and the server sees the end."""
    options = {"ssl_shutdown_timeout": 5} if "ssl_shutdown_timeout" in _PARAMETERS else {}
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        connector = connect(**options)
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get(f"https://localhost:{server.port}/") as response,
        ):
            await response.read()
        assert connector.closed
        await end_of(server)
        assert [record.error for record in server.connections] == [None]


class Late:
    """A connector that hands out a connection when its server has gone already."""

    gone = False

    async def _create_connection(self, *arguments: Any) -> Any:
        protocol = await super()._create_connection(*arguments)  # type: ignore[misc]
        there = (lambda: protocol.transport is not None) if self.gone else protocol.is_connected
        while there():  # noqa: ASYNC110  # there is no event for half of it
            await asyncio.sleep(0)
        return protocol


@pytest.mark.parametrize("gone", [False, True], ids=["closing", "gone"])
@pytest.mark.parametrize("kind", ["TCPConnector", "PinnedConnector"])
async def test_a_server_that_leaves_after_the_handshake(
    kind: str, gone: bool, tls_version: ssl.TLSVersion
) -> None:
    """It is an ordinary error, for one connection: no refusal, and no second attempt of ours."""
    base, arguments = (
        (aiohttp.TCPConnector, {"ssl": ROOT.client_context()})
        if kind == "TCPConnector"
        else (PinnedConnector, {"policy": pinned()})
    )
    connector = type("Connector", (Late, base), {"gone": gone})(**arguments)
    async with Server(GENUINE, handler=leave, tls_version=tls_version) as server:
        async with aiohttp.ClientSession(connector=connector) as client:
            with pytest.raises(aiohttp.ClientError) as caught:
                await client.post(f"https://localhost:{server.port}/", data=b"x")
        await end_of(server)
        assert not isinstance(caught.value, pinio.PinError) and len(server.connections) == 1


def leave(connection: Connection) -> None:
    """Say nothing, and close."""


async def test_a_server_that_closes_an_idle_connection(site: Site, connect: Connect) -> None:
    """The next request makes another one."""

    def once(connection: Connection) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        Server(GENUINE, handler=once) as server,
        aiohttp.ClientSession(connector=connect()) as client,
    ):
        for _ in range(3):
            async with client.get(f"https://localhost:{server.port}/") as response:
                assert await response.text() == "ok"
            await end_of(server)
    assert len(server.connections) == 3


@pytest.mark.parametrize("scheme", ["unix", "http+unix", "npipe"])
async def test_other_kinds_of_url_are_none_of_this_connector(scheme: str, connect: Connect) -> None:
    """A unix socket has a connector of its own in aiohttp, which knows no TLS."""
    async with aiohttp.ClientSession(connector=connect()) as client:
        with pytest.raises(aiohttp.NonHttpUrlClientError):
            await client.get(f"{scheme}://localhost/")


@pytest.mark.parametrize("given", [False, True], ids=["policy", "ssl"])
async def test_what_is_set_on_the_context_of_a_response_reaches_no_other_connection(
    given: bool,
) -> None:
    """It is the program's own, or one of this connection's; it pins whoever dials again with it."""
    context = pinio.create_ssl_context(pinned())
    connector = PinnedConnector(ssl=context) if given else PinnedConnector(pinned())
    answered: list[Any] = []
    async with Server(GENUINE, handler=http(b"x" * 1_000_000), alpn=["h2", "http/1.1"]) as server:
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(2):
                async with session.get(
                    f"https://localhost:{server.port}/", headers={"Connection": "close"}
                ) as response:
                    assert (
                        response.connection is not None
                        and response.connection.transport is not None
                    )
                    answered.append(response.connection.transport.get_extra_info("sslcontext"))
                    if not given:
                        answered[-1].set_alpn_protocols(["h2"])
        await end_of(server)
    assert all(isinstance(one, pinio.PinnedSSLContext) for one in answered)
    assert [one is context for one in answered] == [given, given]
    assert (answered[0] is answered[1]) == given
    assert {record.alpn for record in server.connections} <= {None, "http/1.1"}


async def test_a_response_that_gave_its_connection_back_says_who_knows_the_permit() -> None:
    """aiohttp takes a connection back once the body has arrived; which pin matched, the observer heard."""
    told = Told()
    async with (
        Server(GENUINE, handler=http(b"ok")) as server,
        aiohttp.ClientSession(connector=PinnedConnector(pinned(), observer=told)) as client,
        client.get(f"https://localhost:{server.port}/") as response,
    ):
        await response.read()
        with pytest.raises(NotJudgedError, match=r"holds no connection: .*observer="):
            pinio.attest(response)
    assert [str(decision.pin) for decision in told if isinstance(decision, pinio.Permit)] == [
        GENUINE.pin
    ]
