"""Cancelled or out of time at any step, a request leaves nothing behind, and its peers see the end."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

import aiohttp
import pytest

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.core.policy import Policy
from pinio.testing import ConnectProxy, CutRelay, RawServer, Server, hear, http, silent
from pinio.testing.listener import Listener
from tests.aiohttp_door.world import PROXY, Addresses
from tests.tls.cast import ABSENT, GENUINE, ROOT, end_of, pinned
from tests.tls.residue import TURNS, cancelled_after, nothing_left_behind

PATHS = [
    "direct",
    "connect",
    "tls in tls",
    "plain",
    "plain by an HTTPS proxy",
    "own TLS",
    "own TLS, connect",
    "happy eyeballs",
    "no address cache",
    "refused",
    "refused, tls in tls",
]


class Path:
    """Everybody on one of the paths, and the request that takes it."""

    def __init__(self, name: str, version: ssl.TLSVersion) -> None:
        self.name, self.version = name, version
        self.stack = AsyncExitStack()
        self.servers: list[Server] = []
        self.connector: dict[str, Any] = {}
        self.request: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        plain = self.name.startswith("plain")
        server = await self.enter(
            Server(plain=True, handler=http())
            if plain
            else Server(GENUINE, handler=http(), tls_version=self.version)
        )
        self.url = f"{server.scheme}://localhost:{server.port}/"
        if "proxy" in self.name or "connect" in self.name or "tls in tls" in self.name:
            proxy = await self.enter(self.proxy(plain))
            self.request["proxy"] = f"{proxy.scheme}://127.0.0.1:{proxy.port}"
        if "own" in self.name:
            self.request["ssl"] = ROOT.client_context()
        if self.name == "happy eyeballs":
            addresses = Addresses(("127.0.0.2", 1), ("127.0.0.3", 1), server)
            self.connector = {"resolver": addresses, "happy_eyeballs_delay": 0.001, "interleave": 1}
        if self.name == "no address cache":
            self.connector = {"use_dns_cache": False}
        return self

    async def enter(self, server: Server) -> Server:
        self.servers.append(await self.stack.enter_async_context(server))
        return server

    def proxy(self, plain: bool) -> Server:
        tls = "HTTPS" in self.name or "tls in tls" in self.name
        if plain:  # it answers by itself
            return Server(PROXY, handler=http(), tls_version=self.version)
        return ConnectProxy(PROXY if tls else None, tls_version=self.version if tls else None)

    async def __aexit__(self, *error: object) -> None:
        await self.stack.aclose()

    @property
    def policy(self) -> Policy:
        if "plain" in self.name or "own" in self.name:
            return pinned(host="elsewhere.test", policy={"unpinned": "allow"})
        return pinned(ABSENT) if "refused" in self.name else pinned()

    def session(self, **options: Any) -> aiohttp.ClientSession:
        """A session whose connector makes a connection for each request."""
        proxies = (
            pinned(PROXY.pin, host="127.0.0.1")
            if "https" in str(self.request.get("proxy"))
            else None
        )
        return aiohttp.ClientSession(
            connector=PinnedConnector(
                self.policy,
                proxy_policy=proxies,
                force_close=True,
                observer=lambda _: None,
                **self.connector,
                **options,
            )
        )

    async def ask(self, client: aiohttp.ClientSession, **options: Any) -> bytes:
        async with client.get(self.url, **self.request, **options) as response:
            return await response.read()

    async def ended(self) -> None:
        """Wait until every server has seen the end of each connection."""
        for server in self.servers:
            await end_of(server)


@pytest.fixture(autouse=True)
async def leaves_nothing() -> AsyncIterator[None]:
    async with nothing_left_behind():
        yield


@pytest.fixture(params=PATHS)
async def path(
    request: pytest.FixtureRequest, tls_version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Path]:
    if request.param.startswith("own TLS"):
        # The loop's own TLS complains where its transport was closed meanwhile.
        caplog.set_level(logging.CRITICAL, "asyncio")
    async with Path(request.param, tls_version) as path:
        yield path


async def test_cancelled_at_any_turn_of_the_loop(path: Path) -> None:
    """While names are resolved, TCP connects, TLS shakes hands, a tunnel is made, an answer is read."""
    answers: list[Any] = []
    async with path.session() as client:
        for turns in TURNS:
            try:
                answers.append(await cancelled_after(turns, path.ask(client)))
            except pinio.PinMismatchError as refused:
                answers.append(refused)
        # The session is open: nothing but the cancellation closes a connection.
        await path.ended()
    assert answers[-1] is not None, "the last of them was not cancelled"


@pytest.mark.parametrize("limit", ["total", "connect", "sock_connect"])
async def test_out_of_time_at_any_moment(path: Path, limit: str) -> None:
    """The limits of aiohttp, from nearly nothing to one that suffices."""
    async with path.session() as client:
        for milliseconds in (*range(1, 12), 14, 20, 30, 60_000):
            timeout = aiohttp.ClientTimeout(**{limit: milliseconds / 1000})
            with suppress(TimeoutError, aiohttp.ClientConnectorError):
                await path.ask(client, timeout=timeout)
        await path.ended()


async def test_cancelled_while_waiting_for_a_place_in_the_pool(path: Path) -> None:
    """The request that has the place goes on; so does the next one, once it is free."""
    async with path.session(limit=1) as client:
        for turns in TURNS[::3]:
            first = asyncio.ensure_future(path.ask(client))
            await asyncio.sleep(0)
            with suppress(pinio.PinMismatchError):
                await cancelled_after(turns, path.ask(client))
            with suppress(pinio.PinMismatchError):
                assert await first == b"ok"
        await path.ended()


class Stuck(Addresses):
    """A resolver that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.resolving = asyncio.Event()

    async def resolve(self, *arguments: Any, **options: Any) -> list[Any]:
        self.resolving.set()
        await asyncio.Event().wait()
        return []


class Stage:
    """A request that gets as far as a stage, and no further."""

    def __init__(self, stack: AsyncExitStack, genuine: Server) -> None:
        self.stack = stack
        self.stalled: Listener = genuine
        self.port = genuine.port
        self.proxy: str | None = None
        self.resolver: Stuck | None = None

    async def stalls(self, listener: Listener) -> None:
        self.stalled = await self.stack.enter_async_context(listener)

    @property
    def reached(self) -> bool:
        return bool(self.stalled.connections) or (
            self.resolver is not None and self.resolver.resolving.is_set()
        )

    def session(self) -> aiohttp.ClientSession:
        proxies = (
            pinned(PROXY.pin, host="127.0.0.1") if str(self.proxy).startswith("https") else None
        )
        connector = PinnedConnector(pinned(), proxy_policy=proxies, resolver=self.resolver)
        return aiohttp.ClientSession(connector=connector)


STAGES = {
    "the name": ("cancelled", "total", "connect"),
    "the first byte": ("cancelled", "total", "connect", "sock_connect"),
    "the certificates": ("cancelled", "total", "connect", "sock_connect"),
    "the answer of the proxy": ("cancelled", "total", "connect"),
    "TLS with the proxy": ("cancelled", "total", "connect", "sock_connect"),
    "TLS in the tunnel": ("cancelled", "total", "connect", "sock_connect"),
    "TLS in the tunnel of an HTTPS proxy": ("cancelled", "total", "connect", "sock_connect"),
}
"""What never comes, and what ends the waiting for it; the last two limits of aiohttp leave some of it out."""


async def stage_of(name: str, stack: AsyncExitStack) -> Stage:
    genuine = await stack.enter_async_context(Server(GENUINE, handler=http()))
    stage = Stage(stack, genuine)
    tunnel = ConnectProxy(PROXY if "HTTPS" in name else None)
    if name == "the name":
        stage.resolver = Stuck()
    elif name == "the answer of the proxy":
        await stage.stalls(RawServer(hear, silent))
        stage.proxy = f"http://127.0.0.1:{stage.stalled.port}"
    elif name == "TLS with the proxy":
        proxy = await stack.enter_async_context(ConnectProxy(PROXY))
        await stage.stalls(CutRelay(proxy, after_bytes=0, ending="stall"))
        stage.proxy = f"https://127.0.0.1:{stage.stalled.port}"
    else:
        await stage.stalls(
            CutRelay(genuine, after_bytes=700 if "cert" in name else 0, ending="stall")
        )
        stage.port = stage.stalled.port
        stage.proxy = (await stack.enter_async_context(tunnel)).url if "tunnel" in name else None
    return stage


@pytest.mark.parametrize(
    ("name", "ends"), [(name, end) for name, ends in STAGES.items() for end in ends]
)
async def test_while_a_peer_says_nothing(name: str, ends: str) -> None:
    """The end of a request that waits for a peer is the end of every socket of it."""
    limits = {} if ends == "cancelled" else {ends: 0.1}
    async with AsyncExitStack() as stack:
        stage = await stage_of(name, stack)
        client = await stack.enter_async_context(stage.session())
        asking = client.get(
            f"https://localhost:{stage.port}/",
            proxy=stage.proxy,
            timeout=aiohttp.ClientTimeout(**limits),
        )
        task = asyncio.ensure_future(asking)
        if ends == "cancelled":
            while not stage.reached:  # noqa: ASYNC110  # by a thread
                await asyncio.sleep(0)
            await stage.stalled.quiet()
            assert not task.done()
            task.cancel()
        with pytest.raises(asyncio.CancelledError if ends == "cancelled" else TimeoutError):
            await task
        for record in stage.stalled.connections:
            assert await asyncio.to_thread(record.ended.wait, 60)
