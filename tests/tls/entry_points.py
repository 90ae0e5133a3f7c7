"""Every way into pinio, to one server: for tests of what all of them have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import aiohttp
import httpx
import pytest

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.httpx import AsyncPinnedHTTPTransport
from pinio.requests import PinnedSession
from pinio.testing import ConnectProxy
from pinio.testing.listener import Listener
from pinio.typing import Observer, PolicyLike
from tests.aiohttp_door.world import PROXY, Addresses
from tests.tls.cast import App, end_of, pinned
from tests.tls.through import ask, ask_asyncio

Enter: TypeAlias = Callable[[Listener, str, PolicyLike, Observer], Awaitable[None]]
"""Connect to a server under a name and a policy. Raises what the entry point raises."""


async def open_connection(
    server: Listener, name: str, policy: PolicyLike, observer: Observer
) -> None:
    _, writer = await pinio.open_connection(
        *server.address, server_hostname=name, policy=policy, observer=observer
    )
    writer.transport.abort()


async def create_connection(
    server: Listener, name: str, policy: PolicyLike, observer: Observer
) -> None:
    transport, _ = await pinio.create_connection(
        App, *server.address, server_hostname=name, policy=policy, observer=observer
    )
    transport.abort()


async def start_tls(server: Listener, name: str, policy: PolicyLike, observer: Observer) -> None:
    loop = asyncio.get_running_loop()
    lower, app = await loop.create_connection(lambda: App(b""), *server.address)
    transport = await pinio.start_tls(
        lower, app, server_hostname=name, port=server.port, policy=policy, observer=observer
    )
    transport.abort()


async def upgrade(server: Listener, name: str, policy: PolicyLike, observer: Observer) -> None:
    streams = await asyncio.open_connection(*server.address)
    _, writer = await pinio.upgrade(
        *streams, server_hostname=name, port=server.port, policy=policy, observer=observer
    )
    writer.transport.abort()


async def over_bio(server: Listener, name: str, policy: PolicyLike, observer: Observer) -> None:
    await ask_asyncio(pinio.create_ssl_context(policy, observer=observer), server, name)


async def over_socket(server: Listener, name: str, policy: PolicyLike, observer: Observer) -> None:
    await asyncio.to_thread(ask, pinio.create_ssl_context(policy, observer=observer), server, name)


async def aiohttp_direct(
    server: Listener, name: str, policy: PolicyLike, observer: Observer
) -> None:
    await _get(server, name, policy, observer)


async def aiohttp_tunnel(
    server: Listener, name: str, policy: PolicyLike, observer: Observer
) -> None:
    async with ConnectProxy(interceptor=server) as proxy:
        await _get(server, name, policy, observer, proxy=f"http://127.0.0.1:{proxy.port}")


async def aiohttp_tls_in_tls(
    server: Listener, name: str, policy: PolicyLike, observer: Observer
) -> None:
    async with ConnectProxy(PROXY, interceptor=server) as proxy:
        await _get(server, name, policy, observer, proxy=f"https://127.0.0.1:{proxy.port}")


async def aiohttp_proxy(
    server: Listener, name: str, policy: PolicyLike, observer: Observer
) -> None:
    """The server is where the proxy should be."""
    connector = PinnedConnector(
        pinned(host="origin.test"),
        proxy_policy=policy,
        observer=observer,
        resolver=Addresses(server.address),
    )
    async with aiohttp.ClientSession(connector=connector) as client:
        await client.get("https://origin.test/", proxy=f"https://{name}:{server.port}")


async def by_requests(server: Listener, name: str, policy: PolicyLike, observer: Observer) -> None:
    def get() -> None:
        with PinnedSession(policy, observer=observer) as session:
            session.trust_env = False
            session.get(f"https://{name}:{server.port}/", timeout=60)

    await asyncio.to_thread(get)


async def by_httpx(server: Listener, name: str, policy: PolicyLike, observer: Observer) -> None:
    transport = AsyncPinnedHTTPTransport(policy, observer=observer)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        await client.get(f"https://{name}:{server.port}/", timeout=60)


async def _get(
    server: Listener, name: str, policy: PolicyLike, observer: Observer, **options: Any
) -> None:
    def decided(decision: pinio.Permit | pinio.Refusal) -> None:
        if decision.host != "127.0.0.1":  # the proxy is another matter
            observer(decision)

    to_proxies = pinned(PROXY.pin, host="127.0.0.1")
    connector = PinnedConnector(
        policy,
        proxy_policy=to_proxies if options.get("proxy", "").startswith("https:") else None,
        observer=decided,
        resolver=Addresses(server.address),
    )
    async with aiohttp.ClientSession(connector=connector) as client:
        await client.get(f"https://{name}:{server.port}/", **options)


ENTRY_POINTS: Final[dict[str, Enter]] = {
    "open_connection": open_connection,
    "create_connection": create_connection,
    "start_tls": start_tls,
    "upgrade": upgrade,
    "context over BIO": over_bio,
    "context over a socket": over_socket,
    "aiohttp": aiohttp_direct,
    "aiohttp, tunnel": aiohttp_tunnel,
    "aiohttp, TLS in TLS": aiohttp_tls_in_tls,
    "aiohttp, proxy": aiohttp_proxy,
    "requests": by_requests,
    "httpx": by_httpx,
}
PORTLESS: Final = frozenset({over_bio, over_socket, by_requests, by_httpx})
"""A context hears no port."""

entry_point: Final = pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)

_OWN = {name: enter for name, enter in ENTRY_POINTS.items() if enter not in (by_requests, by_httpx)}
own_entry_point: Final = pytest.mark.parametrize("enter", _OWN.values(), ids=_OWN)
"""Without the adapters, whose libraries wrap what they are raised from."""


async def refused(
    enter: Enter, server: Listener, policy: PolicyLike, observer: Observer
) -> BaseException:
    """The error of a connection to `localhost`, once the server has seen the end of it."""
    with pytest.raises((OSError, httpx.TransportError)) as caught:
        await enter(server, "localhost", policy, observer)
    await end_of(server)
    return caught.value
