"""A proxy that `proxy_policy=` speaks of, named by `http://`: it hears nothing, by whatever way it was named."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import aiohttp
import pytest

import pinio
from pinio.aiohttp import ClientPinError, PinnedConnector
from pinio.core.policy import Policy
from pinio.testing import Connection, ConnectProxy, Server, http
from tests.aiohttp_door.world import PLAIN_PROXY, PROXY, Addresses
from tests.tls.cast import ABSENT, GENUINE, ROOT, SPARE, Swapped, Told, end_of, pinned

SECRET = "T0PSECRET"
PINNED = pinned(PROXY.pin, host="proxy.test")
"""What is expected of the proxy, whose every address is one without TLS."""
ORIGINS = pinned(policy={"exempt": {"plain.test": "a test"}})


class Client:
    """A session, its observer, and every way in which it can be told of a proxy."""

    def __init__(self, proxy: Server, policy: Any = ORIGINS, **options: Any) -> None:
        self.told = Told()
        self.proxy = f"http://user:{SECRET}@proxy.test:{proxy.port}"
        options.setdefault("resolver", Addresses(proxy))
        self.connector = PinnedConnector(policy, observer=self.told, **options)

    async def ask(self, url: str, how: str, environment: pytest.MonkeyPatch) -> bytes:
        """Make one request through the proxy."""
        session: dict[str, Any] = {}
        request: dict[str, Any] = {}
        if how == "request":
            request["proxy"] = self.proxy
        elif how == "session":
            session["proxy"] = self.proxy
        else:
            session["trust_env"] = True
            for scheme in ("http", "https", "ws", "wss"):
                environment.delenv(f"{scheme}_proxy", raising=False)
                environment.setenv(f"{scheme}_proxy".upper(), self.proxy)
            environment.setenv("NO_PROXY", "127.0.0.1")
        async with aiohttp.ClientSession(connector=self.connector, **session) as client:
            if url.startswith("ws"):
                await client.ws_connect(url, **request)
            async with client.get(url, headers={"Authorization": SECRET}, **request) as response:
                return await response.read()


@pytest.mark.parametrize("how", ["request", "session", "environment"])
@pytest.mark.parametrize("scheme", ["https", "http", "wss", "ws"])
@pytest.mark.parametrize("said", ["pinned", "report-only", "unlisted"])
async def test_a_proxy_that_is_to_speak_tls_hears_nothing_in_clear(
    how: str, scheme: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No CONNECT, no password and no request: it is not even dialled, and the observer hears of it."""
    proxies = {
        "pinned": PINNED,
        "report-only": pinned(PROXY.pin, host="proxy.test", mode="report-only"),
        "unlisted": pinned(PROXY.pin, host="another.test"),
    }[said]
    url = f"{scheme}://{'localhost' if scheme in ('https', 'wss') else 'plain.test'}/"
    async with Server(plain=True, handler=http()) as proxy:
        client = Client(proxy, proxy_policy=proxies)
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await client.ask(url, how, monkeypatch)
        await proxy.quiet()
        assert proxy.application_bytes == b"" and not proxy.connections
        assert isinstance(caught.value, ClientPinError) and caught.value.refusal.port == proxy.port
    assert [caught.value.refusal] == client.told
    assert caught.value.refusal.host == "proxy.test"
    assert caught.value.reason == ("UNPINNED_HOST" if said == "unlisted" else "PLAINTEXT_REFUSED")
    assert "this is a proxy" in str(caught.value) and "proxy_policy=" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("how", ["request", "session", "environment"])
async def test_a_redirect_through_the_proxy(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names a proxy for each hop apart: the first of them needs none."""
    async with (
        Server(plain=True, handler=http()) as proxy,
        Server(
            plain=True, handler=http(status=302, headers=[("Location", "https://localhost/")])
        ) as redirects,
    ):
        exempt = {PLAIN_PROXY: "a test", "plain.test": "a test"}
        client = Client(proxy, pinned(policy={"exempt": exempt}), proxy_policy=PINNED)
        with pytest.raises(pinio.errors.PlaintextRefusedError):
            await client.ask(redirects.url, how, monkeypatch)
        await proxy.quiet()
        await end_of(redirects)
    assert proxy.application_bytes == b"" and not proxy.connections
    assert len(redirects.requests) == (how == "environment")


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("says", ["exempt", "allow", "nothing"])
async def test_a_proxy_that_may_be_spoken_to_in_clear(
    says: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that `proxy_policy=` exempts or allows; and any, where it is not given: see the decision on that."""
    proxies = {
        "exempt": pinned(
            PROXY.pin, host="another.test", policy={"exempt": {"proxy.test": "a test"}}
        ),
        "allow": pinned(PROXY.pin, host="another.test", policy={"unpinned": "allow"}),
        "nothing": None,
    }[says]
    pins = pinio.PinSet(GENUINE.pin, backup=SPARE, anchors=ROOT.anchors)
    proxy_pins = pinio.PinSet(PROXY.pin, backup=SPARE, anchors=ROOT.anchors)
    origins = Policy({"localhost": pins, "proxy.test": proxy_pins}, exempt={"plain.test": "a test"})
    async with Server(GENUINE, handler=http()) as server:
        routes = {"localhost:443": server.address}
        tunnels = ConnectProxy(routes=routes)
        async with tunnels if scheme == "https" else Server(plain=True, handler=http()) as proxy:
            client = Client(proxy, origins, proxy_policy=proxies)
            host = "localhost" if scheme == "https" else "plain.test"
            assert await client.ask(f"{scheme}://{host}/", "request", monkeypatch) == b"ok"
            assert proxy.requests
        await end_of(server)


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_swap_while_the_proxy_is_resolved(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy was without pins when the request was made, and has some when it is reached: it hears nothing."""
    proxies = Swapped(pinned(PROXY.pin, host="another.test", policy={"unpinned": "allow"}))

    class Swapping(Addresses):
        async def resolve(self, *arguments: Any, **options: Any) -> list[Any]:
            proxies.swap(PINNED)
            return await super().resolve(*arguments, **options)

    async with Server(plain=True, handler=http()) as proxy:
        client = Client(proxy, proxy_policy=proxies, resolver=Swapping(proxy))
        host = "localhost" if scheme == "https" else "plain.test"
        with pytest.raises(pinio.errors.PlaintextRefusedError):
            await client.ask(f"{scheme}://{host}/", "request", monkeypatch)
        await end_of(proxy)
        assert proxy.application_bytes == b"" and len(proxy.connections) == 1


async def test_a_swap_while_the_request_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooled connection to the proxy is not used either."""
    proxies = Swapped(pinned(PROXY.pin, host="another.test", policy={"unpinned": "allow"}))
    queued, trace = asyncio.Event(), aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        queued.set()

    trace.on_connection_queued_start.append(note)
    finish = threading.Event()

    def slowly(connection: Connection) -> None:
        connection.recv()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        finish.wait()
        connection.sendall(b"k")
        http()(connection)

    async with Server(plain=True, handler=slowly) as proxy:
        client = Client(proxy, proxy_policy=proxies, limit=1)
        async with aiohttp.ClientSession(
            connector=client.connector, trace_configs=[trace]
        ) as session:
            first = await session.get("http://plain.test/", proxy=client.proxy)
            second = asyncio.create_task(
                session.get("http://plain.test/second", proxy=client.proxy)
            )
            await queued.wait()
            proxies.swap(PINNED)
            finish.set()
            await first.read()
            with pytest.raises(pinio.errors.PlaintextRefusedError):
                await second
        await end_of(proxy)
    assert b"/second" not in proxy.application_bytes


async def test_an_https_proxy_of_the_same_policy_is_judged_by_its_key() -> None:
    """The same name by `https://` is what the policy is about."""
    async with Server(GENUINE, handler=http()) as server, ConnectProxy(PROXY) as proxy:
        for pins, kind in ((PROXY.pin, None), (ABSENT, pinio.PinMismatchError)):
            connector = PinnedConnector(pinned(), proxy_policy=pinned(pins))
            async with aiohttp.ClientSession(connector=connector) as client:
                asking = client.get(
                    f"https://localhost:{server.port}/", proxy=f"https://localhost:{proxy.port}"
                )
                if kind is None:
                    assert (await asking).status == 200
                else:
                    with pytest.raises(kind):
                        await asking
        await end_of(server)
    assert [len(record.requests) for record in proxy.connections] == [1, 0]
