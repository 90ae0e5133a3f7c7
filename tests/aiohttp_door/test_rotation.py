"""Hot rotation: a swapped policy retires the connections that it no longer allows, and no others."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
from collections.abc import Callable
from inspect import signature
from itertools import count
from pathlib import Path
from typing import Any
from weakref import ref

import aiohttp
import pytest

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.formats import FORMATS
from pinio.testing import ConnectProxy, Server, http
from pinio.testing.connection import Connection
from tests.aiohttp_door.world import PROXY, Addresses
from tests.conftest import LOOPS
from tests.tls.cast import ABSENT, GENUINE, ISSUER, ROOT, Swapped, Told, end_of, pinned


async def get(client: aiohttp.ClientSession, server: Server, **options: Any) -> bytes:
    async with client.get(f"https://localhost:{server.port}/", **options) as response:
        return await response.read()


async def test_an_idle_connection_that_still_holds_stays(tls_version: ssl.TLSVersion) -> None:
    """The new policy pins the same key in another way: the pooled connection is used again."""
    source = Swapped(pinned())
    other = str(pinio.Pin.of_certificate(GENUINE.der, selector="cert"))
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        async with aiohttp.ClientSession(connector=PinnedConnector(source)) as client:
            await get(client, server)
            source.swap(pinned(other))
            await get(client, server)
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [2]


async def test_an_idle_connection_that_no_longer_holds_is_not_used(
    tls_version: ssl.TLSVersion,
) -> None:
    """The key was taken out of the policy: the pooled connection is closed, a new one is refused."""
    source, told = Swapped(pinned()), Told()
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        async with aiohttp.ClientSession(
            connector=PinnedConnector(source, observer=told)
        ) as client:
            await get(client, server)
            source.swap(pinned(ABSENT))
            with pytest.raises(pinio.PinMismatchError):
                await get(client, server)
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [1, 0]
    assert told.kinds == ["Permit", "Refusal", "Refusal"]


async def test_a_key_rotation_goes_through_without_a_failed_request(
    tls_version: ssl.TLSVersion,
) -> None:
    """The server changes its key after the policy has; every request on the way succeeds."""
    new = ISSUER.issue("localhost", "127.0.0.1")
    source = Swapped(pinned())
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        async with aiohttp.ClientSession(connector=PinnedConnector(source)) as client:
            await get(client, server)
            source.swap(pinned(GENUINE.pin, new.pin))
            await get(client, server)
            server.present(new)
            source.swap(pinned(new.pin))
            await get(client, server)
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [2, 1]


async def test_a_tunnel_is_retired_when_its_proxy_no_longer_holds() -> None:
    """Under a connection in an HTTPS proxy's tunnel lies one to the proxy, with a policy of its own."""
    proxies = Swapped(pinned(PROXY.pin))
    async with Server(GENUINE, handler=http()) as server, ConnectProxy(PROXY) as proxy:
        async with aiohttp.ClientSession(
            connector=PinnedConnector(pinned(), proxy_policy=proxies)
        ) as client:
            where = {"proxy": f"https://localhost:{proxy.port}"}
            await get(client, server, **where)
            proxies.swap(pinned(ABSENT))
            with pytest.raises(pinio.PinMismatchError):
                await get(client, server, **where)
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [1]


def unfinished(connection: Connection) -> None:
    """Answer, but not to the end."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    connection.recv(1)


@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "tunnel"])
async def test_connections_in_use_are_closed_on_request(
    tunnel: bool, tls_version: ssl.TLSVersion
) -> None:
    """With `retire="all"` a swap ends an answer on its way, if the new policy would not allow its connection."""
    source = Swapped(pinned())
    async with (
        Server(GENUINE, handler=unfinished, tls_version=tls_version) as server,
        ConnectProxy() as proxy,
    ):
        through = f"http://localhost:{proxy.port}" if tunnel else None
        async with (
            aiohttp.ClientSession(connector=PinnedConnector(source, retire="all")) as client,
            client.get(f"https://localhost:{server.port}/", proxy=through) as response,
        ):
            assert await response.content.readexactly(3) == b"abc"
            source.swap(pinned(GENUINE.pin, ABSENT))
            await asyncio.sleep(0)
            assert pinio.attest(response).pinned
            source.swap(pinned(ABSENT))
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        await end_of(server)
    assert not source.callbacks


async def test_a_tunnel_in_use_is_closed_when_its_proxy_no_longer_holds(
    tls_version: ssl.TLSVersion,
) -> None:
    """The proxies' policy is a source of its own, and is listened to as well."""
    source, proxies = Swapped(pinned()), Swapped(pinned(PROXY.pin))
    async with (
        Server(GENUINE, handler=unfinished, tls_version=tls_version) as server,
        ConnectProxy(PROXY) as proxy,
    ):
        connector = PinnedConnector(source, proxy_policy=proxies, retire="all")
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get(
                f"https://localhost:{server.port}/", proxy=f"https://localhost:{proxy.port}"
            ) as response,
        ):
            assert await response.content.readexactly(3) == b"abc"
            proxies.swap(pinned(ABSENT))
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        await end_of(server)
    assert not source.callbacks and not proxies.callbacks


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("http", "PLAINTEXT_REFUSED"),
        ("https proxy", "PLAINTEXT_REFUSED"),
        ("https", "OVERRIDE_REFUSED"),
        ("https, another connection", "UNPINNED_HOST"),
    ],
)
async def test_a_request_that_waited_is_held_against_the_policy_of_its_turn(
    way: str, reason: str
) -> None:
    """It was let off when it was made; when there is a connection for it, the host has pins."""
    source = Swapped(pinned(host="elsewhere.test", policy={"unpinned": "allow"}))
    own: dict[str, Any] = {"ssl": ROOT.client_context()} if way.startswith("https") else {}
    after = pinned(host="elsewhere.test" if reason == "UNPINNED_HOST" else "localhost")
    queued, trace = asyncio.Event(), aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        queued.set()

    trace.on_connection_queued_start.append(note)
    finish = threading.Event()

    def slowly(connection: Connection) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        finish.wait()
        connection.sendall(b"k")
        http()(connection)

    server = Server(plain=True, handler=slowly) if way == "http" else Server(PROXY, handler=slowly)
    connector = PinnedConnector(
        source, limit=1, force_close=reason == "UNPINNED_HOST", proxy_policy=pinned(PROXY.pin)
    )
    async with server, aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as client:
        url = f"{'https' if own else 'http'}://localhost:{server.port}/"
        if way == "https proxy":
            url, own = (
                f"http://localhost:{server.port}/",
                {"proxy": f"https://localhost:{server.port}"},
            )
        async with client.get(url, **own) as first:
            second = asyncio.create_task(
                client.get(url, headers={"Authorization": "T0PSECRET"}, **own)
            )
            await queued.wait()
            source.swap(after)
            finish.set()
            await first.read()
        with pytest.raises(pinio.PinVerificationError) as caught:
            await second
        assert isinstance(caught.value, aiohttp.ClientError)
        assert caught.value.refusal.reason == reason
    assert b"T0PSECRET" not in server.application_bytes


@pytest.mark.parametrize(
    ("after", "reason"), [("refuse", "UNPINNED_HOST"), ("pinned", "PIN_MISMATCH")]
)
async def test_a_swap_while_the_tunnel_is_made_decides_about_its_end(
    after: str, reason: str
) -> None:
    """The request may bring its own TLS when it is made, and no longer when the tunnel stands: nothing goes through it."""
    source = Swapped(pinned(host="elsewhere.test", policy={"unpinned": "allow"}))

    class Swapping(Addresses):
        async def resolve(self, *arguments: Any, **options: Any) -> list[Any]:
            source.swap(pinned(host="elsewhere.test") if after == "refuse" else pinned(ABSENT))
            return await super().resolve(*arguments, **options)

    async with Server(GENUINE, handler=http()) as server, ConnectProxy() as proxy:
        connector = PinnedConnector(source, resolver=Swapping(proxy))
        async with aiohttp.ClientSession(connector=connector) as client:
            with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
                await get(client, server, proxy="http://proxy.test", ssl=ROOT.client_context())
            await end_of(server)
            await end_of(proxy)
        assert (
            isinstance(caught.value, pinio.PinVerificationError)
            and caught.value.refusal.reason == reason
        )
        assert [request.method for request in proxy.requests] == ["CONNECT"]
        assert server.application_bytes == b"" and server.handshakes_finished == 0


def source_of(kind: str, path: Path) -> tuple[Any, Callable[[], None], Callable[[], int]]:
    """A source, what swaps its policy, and how many subscribe to it."""
    if kind == "ours":
        path.write_text(FORMATS["native"].dumps(pinned()))
        numbers = count(1)
        times = count()
        source = pinio.FileSource(path, interval=0.5, clock=lambda: float(next(times)))

        def swap() -> None:
            new = pinned().replace(revision=str(next(numbers)))
            path.write_text(FORMATS["native"].dumps(new))
            assert [source.current for _ in range(3)][-1] == new  # it was looked at twice

        return source, swap, lambda: len(source._in_force._callbacks)
    other = Swapped(pinned())
    return other, lambda: other.swap(pinned()), lambda: len(other.callbacks)


async def open_one(source: Any, server: Server, kept: list[Any], **options: Any) -> None:
    """Make a connector and a request with it, and never close it; its one connection is gone."""
    connector = PinnedConnector(source, retire="all", force_close=True, **options)
    client = aiohttp.ClientSession(connector=connector)
    await get(client, server)
    client.detach()
    kept.append(connector)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["ours", "another's"])
def test_a_source_keeps_no_connector_alive(
    loop: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Programs that start a loop for each job, and close no connector, leave nothing behind."""
    source, swap, subscribed = source_of(kind, tmp_path / "pins.toml")
    proxies = Swapped(pinned(PROXY.pin))

    async def job() -> list[Any]:
        kept: list[Any] = []
        async with Server(GENUINE, handler=http()) as server:
            await open_one(source, server, kept, proxy_policy=proxies)
            await end_of(server)
        return [ref(connector) for connector in kept]

    gone: list[Any] = []
    for _ in range(20):
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            gone += runner.run(job())
    gc.collect()
    assert [connector() for connector in gone] == [None] * 20
    assert subscribed() == 0 and proxies.callbacks == []
    swap()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["ours", "another's"])
def test_a_connector_that_outlives_its_loop_is_quiet(
    loop: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, swap, subscribed = source_of(kind, tmp_path / "pins.toml")
    kept: list[Any] = []

    async def job() -> None:
        async with Server(GENUINE, handler=http()) as server:
            await open_one(source, server, kept)
            await end_of(server)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(job())
    assert subscribed() == 1
    swap()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_connector_that_is_closed_hears_of_no_swap() -> None:
    source, proxies = Swapped(pinned()), Swapped(pinned(PROXY.pin))
    connector = PinnedConnector(source, proxy_policy=proxies, retire="all")
    assert len(source.callbacks) == len(proxies.callbacks) == 1
    await connector.close()
    await connector.close()
    assert source.callbacks == proxies.callbacks == []


async def test_retiring_all_needs_a_source_that_tells() -> None:
    """A plain policy never changes, and a source without `subscribe` would never say."""
    with pytest.raises(pinio.PolicyError, match="FileSource"):
        PinnedConnector(pinned(), retire="all")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "pass a policy, or ssl="),
        ({"policy": pinned(), "ssl": pinio.create_ssl_context(pinned())}, "one of the two"),
        ({"ssl": ROOT.client_context()}, "a context of pinio.create_ssl_context"),
        ({"policy": pinned(), "retire": "All"}, 'retire is "idle" or "all"'),
        ({"policy": pinned(), "observer": "log"}, "observer= is a callable"),
        ({"policy": pinned(), "resumption": None}, "resumption= is"),
        ({"policy": pinned(), "proxy_policy": {}}, "policy= is a Policy"),
        (
            {"policy": pinned(), "verify_ssl": False},
            "takes no verify_ssl=: certificates are always verified",
        ),
    ],
    ids=range(8),
)
async def test_a_connector_that_makes_no_sense_is_not_made(
    arguments: dict[str, Any], says: str
) -> None:
    """What would protect less than was meant, because of a word, is an error where the word stands."""
    with pytest.raises(pinio.PolicyError, match=says):
        PinnedConnector(**arguments)


@pytest.mark.skipif(
    "ssl_shutdown_timeout" not in signature(aiohttp.TCPConnector).parameters,
    reason="not in this aiohttp",
)
@pytest.mark.filterwarnings("ignore:The ssl_shutdown_timeout parameter:DeprecationWarning")
@pytest.mark.parametrize(("given", "taken"), [(5, 5), (0, 30), (None, 30)])
async def test_the_time_for_a_goodbye_is_aiohttps_argument(
    given: float | None, taken: float
) -> None:
    """aiohttp aborts by itself where there is to be none."""
    connector = PinnedConnector(pinned(), ssl_shutdown_timeout=given)
    async with connector:
        assert connector.timeouts.shutdown == taken


async def test_report_only_lets_through_and_tells(tls_version: ssl.TLSVersion) -> None:
    """A wrong pin is waived and reported, by HTTP as everywhere; a certificate from elsewhere is not."""
    told = Told()
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        connector = PinnedConnector(pinned(ABSENT, mode="report-only"), observer=told)
        async with aiohttp.ClientSession(connector=connector) as client:
            assert await get(client, server) == b"ok"
        (permit,) = told
        assert permit.report is not None and not permit.report.enforced
        strangers = pinned(ABSENT, mode="report-only", anchors=type(ROOT)("other").anchors)
        async with aiohttp.ClientSession(connector=PinnedConnector(strangers)) as client:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await get(client, server)
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [1, 0]
