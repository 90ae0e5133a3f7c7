"""Time passes on an open connection: once its pins have expired it is judged again, wherever a swap would be noticed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import aiohttp
import httpx
import pytest

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.core.verdict import Expired, Match
from pinio.errors import NotJudgedError, PinExpiredError, find_pin_error
from pinio.httpx import AsyncPinnedHTTPTransport, PinnedHTTPTransport
from pinio.requests import PinnedSession
from pinio.testing import ConnectProxy, Server, http
from pinio.tls.context.objects import PinnedSSLSocket
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake.gate import State
from pinio.tls.handshake.sessions import SessionCache
from tests.aiohttp_door.world import PROXY
from tests.tls.cast import GENUINE, ISSUER, ROOT, SPARE, App, Swapped, Told, end_of, pinned
from tests.tls.through import SECRET, blocking, context_for
from tests.tls.visits import Clock
from tests.tls.visits import clock as any_clock

__all__ = ["any_clock"]

HOUR = 3600.0
WAIVING: dict[str, dict[str, Any]] = {
    "on_expiry": {"on_expiry": "report"},
    "report-only": {"mode": "report-only"},
}
waiving = pytest.mark.parametrize("waiver", WAIVING.values(), ids=WAIVING)


@pytest.fixture
def clock(any_clock: Clock) -> Clock:
    """At a whole second, which a date can name."""
    any_clock.wall = float(round(any_clock.wall))
    return any_clock


def in_an_hour(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.wall + HOUR, UTC)


def expiring(clock: Clock, *pins: str, **pin_set: Any) -> Policy:
    """A policy whose pins count for another hour."""
    return pinned(*pins, expires=in_an_hour(clock), **pin_set)


def by_pins(clock: Clock, told: Told) -> PinnedSSLContext:
    pins = PinSet(GENUINE.pin, backup=SPARE, expires=in_an_hour(clock), anchors=ROOT.anchors)
    return pinio.create_ssl_context(pins=pins, observer=told, resumption=False)


def by_policy(clock: Clock, told: Told) -> PinnedSSLContext:
    return context_for(expiring(clock), observer=told)


def by_source(clock: Clock, told: Told) -> PinnedSSLContext:
    return context_for(Swapped(expiring(clock)), observer=told)


Made = Callable[[Clock, Told], PinnedSSLContext]
made_by = pytest.mark.parametrize("make", [by_pins, by_policy, by_source])


# Through a context


@made_by
def test_P6_a_socket_ends_with_its_pins(
    make: Made, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    told = Told()
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        blocking(make(clock, told), server) as tls,
    ):
        clock.tick(HOUR - 1)
        tls.sendall(b"before")
        assert tls.recv(6) == b"before"
        clock.tick(1)
        with pytest.raises(PinExpiredError):
            tls.sendall(SECRET)
        for use in (lambda: tls.sendall(SECRET), lambda: tls.recv(1)):
            with pytest.raises((NotJudgedError, OSError)):
                use()
        server.wait_quiet()
        assert server.application_bytes == b"before"
    assert told.kinds == ["Permit", "Refusal"]


@made_by
async def test_P6_a_stream_of_the_loop_ends_with_its_pins(
    make: Made, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    told = Told()
    async with Server(GENUINE, tls_version=tls_version) as server:
        reader, writer = await asyncio.open_connection(
            "localhost", server.port, ssl=make(clock, told)
        )
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        clock.tick(HOUR)
        writer.write(SECRET)
        with pytest.raises(OSError) as lost:
            await reader.readexactly(1)
        assert isinstance(find_pin_error(lost.value), PinExpiredError)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await end_of(server)
        assert server.application_bytes == b"before"
    assert told.kinds == ["Permit", "Refusal"]


@made_by
def test_a_pooled_connection_of_httpx_is_not_used(
    make: Made, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    told = Told()
    with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        httpx.Client(verify=make(clock, told), trust_env=False) as client,
    ):
        url = f"https://localhost:{server.port}/"
        for _ in range(2):
            assert client.get(url).text == "ok"
        clock.tick(HOUR)
        with pytest.raises(httpx.HTTPError):
            client.get(
                url
            )  # httpcore hides what a write raises, and reads from the socket that was closed
        with pytest.raises(httpx.HTTPError) as caught:
            client.get(url)
        assert isinstance(find_pin_error(caught.value), PinExpiredError)
        server.wait_quiet()
    assert [len(record.requests) for record in server.connections] == [2, 0]
    assert [getattr(decision, "reason", None) for decision in told] == [
        None,
        "PINS_EXPIRED",
        "PINS_EXPIRED",
    ]


def test_a_pooled_connection_of_an_adapter_is_not_used(
    tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """Which say why."""
    with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        url = f"https://localhost:{server.port}/"
        transport = PinnedHTTPTransport(expiring(clock))
        with httpx.Client(transport=transport) as client, PinnedSession(expiring(clock)) as session:
            session.trust_env = False
            gets: list[Callable[[str], Any]] = [client.get, session.get]
            for get_it in gets:
                assert get_it(url).text == "ok"
            clock.tick(HOUR)
            for get_it in gets:
                with pytest.raises(PinExpiredError):
                    get_it(url)
        server.wait_quiet()
    assert sum(len(record.requests) for record in server.connections) == 2


async def test_a_pooled_connection_of_an_adapter_for_loops_is_not_used(
    tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        url = f"https://localhost:{server.port}/"
        async with httpx.AsyncClient(transport=AsyncPinnedHTTPTransport(expiring(clock))) as client:
            assert (await client.get(url)).text == "ok"
            clock.tick(HOUR)
            with pytest.raises(PinExpiredError):
                await client.get(url)
        await end_of(server)
    assert sum(len(record.requests) for record in server.connections) == 1


def test_a_resumed_connection_ends_with_its_pins_too(
    tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    context = context_for(expiring(clock))
    with Server(GENUINE, tls_version=tls_version) as server:
        for turn in range(2):
            with blocking(context, server) as tls:
                tls.sendall(b"before")
                assert tls.recv(6) == b"before"
                assert tls.session_reused is bool(turn)
                if turn:
                    clock.tick(HOUR)
                    with pytest.raises(PinExpiredError) as refused:
                        tls.sendall(SECRET)
                    assert refused.value.refusal.resumed
        server.wait_quiet()
        assert server.application_bytes == b"before" * 2


@waiving
def test_what_is_waived_goes_on_and_is_told_once(
    waiver: dict[str, Any], tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    told = Told()
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        blocking(context_for(expiring(clock, **waiver), observer=told), server) as tls,
    ):
        assert isinstance(pinio.attest(tls).verdict, Match)
        clock.tick(HOUR)
        for _ in range(3):
            tls.sendall(SECRET)
            assert tls.recv(100) == SECRET
        assert isinstance(pinio.attest(tls).verdict, Expired)
    first, second = told
    assert isinstance(first, pinio.Permit) and first.report is None
    assert isinstance(second, pinio.Permit) and isinstance(second.verdict, Expired)
    assert second.report is not None


def test_a_swap_that_renews_the_date_comes_first(tls_version: ssl.TLSVersion, clock: Clock) -> None:
    source = Swapped(expiring(clock))
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        blocking(context_for(source), server) as tls,
    ):
        clock.tick(HOUR)
        source.current = expiring(clock)
        tls.sendall(SECRET)
        assert tls.recv(100) == SECRET
        clock.tick(HOUR)
        with pytest.raises(PinExpiredError):
            tls.sendall(SECRET)


def test_without_a_date_no_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write pays for a comparison, and for no more."""

    def read() -> NoReturn:
        raise AssertionError("read")

    with (
        Server(GENUINE) as server,
        blocking(context_for(pinned(), resumption=False), server) as tls,
    ):
        assert isinstance(tls, PinnedSSLSocket) and tls.judge is not None
        monkeypatch.setattr(tls.judge, "clock", read)
        tls.sendall(SECRET)
        assert tls.recv(100) == SECRET


# aiohttp


async def get(client: aiohttp.ClientSession, server: Server, **options: Any) -> bytes:
    async with client.get(f"https://localhost:{server.port}/", **options) as response:
        return await response.read()


async def test_P6_a_pooled_connection_of_aiohttp_is_not_used(
    tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    told = Told()
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        connector = PinnedConnector(expiring(clock), observer=told)
        async with aiohttp.ClientSession(connector=connector) as client:
            for _ in range(2):
                await get(client, server)
            clock.tick(HOUR)
            with pytest.raises(PinExpiredError):
                await get(client, server)
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [2, 0]
    assert told.kinds == ["Permit", "Refusal", "Refusal"]


@pytest.mark.parametrize("which", ["origin", "proxy"])
async def test_a_pooled_tunnel_is_not_used(which: str, clock: Clock) -> None:
    """Under it lies a connection to the proxy, with a date of its own."""
    origins = expiring(clock) if which == "origin" else pinned()
    proxies = expiring(clock, PROXY.pin) if which == "proxy" else pinned(PROXY.pin)
    async with Server(GENUINE, handler=http()) as server, ConnectProxy(PROXY) as proxy:
        connector = PinnedConnector(origins, proxy_policy=proxies)
        async with aiohttp.ClientSession(connector=connector) as client:
            through = {"proxy": f"https://localhost:{proxy.port}"}
            await get(client, server, **through)
            clock.tick(HOUR)
            with pytest.raises(PinExpiredError):
                await get(client, server, **through)
        await end_of(server)
    assert sum(len(record.requests) for record in server.connections) == 1


@waiving
async def test_aiohttp_uses_what_is_waived_and_tells_once(
    waiver: dict[str, Any], clock: Clock
) -> None:
    told = Told()
    async with Server(GENUINE, handler=http()) as server:
        connector = PinnedConnector(expiring(clock, **waiver), observer=told)
        async with aiohttp.ClientSession(connector=connector) as client:
            await get(client, server)
            clock.tick(HOUR)
            for _ in range(2):
                await get(client, server)
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [3]
    assert [type(permit.verdict) for permit in told] == [Match, Expired]


async def test_the_name_in_the_url_has_a_date_too(clock: Clock) -> None:
    """`server_hostname` leads to one entry, the URL to another; the first date counts, and after it the second."""
    key = {"backup": [SPARE], "anchors": ROOT.anchors}
    later = datetime.fromtimestamp(clock.wall + 2 * HOUR, UTC)
    policy = Policy(
        {
            "a.pinned.test": PinSet([GENUINE.pin], expires=later, **key),  # type: ignore[arg-type]
            "localhost": PinSet(
                [f"ca:{ISSUER.pin}"],
                expires=in_an_hour(clock),
                on_expiry="report",
                **key,  # type: ignore[arg-type]
            ),
        }
    )
    told = Told()
    async with Server(GENUINE, handler=http()) as server:
        connector = PinnedConnector(policy, observer=told)
        async with aiohttp.ClientSession(connector=connector) as client:
            for _ in range(2):
                await get(client, server, server_hostname="a.pinned.test")
                clock.tick(HOUR)
            with pytest.raises(PinExpiredError):
                await get(client, server, server_hostname="a.pinned.test")
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [2, 0]
    assert told.kinds == ["Permit", "Permit", "Refusal", "Refusal"]


# Raw: whoever holds the connection asks


@pytest.mark.parametrize("by", ["policy", "pins"])
async def test_attest_does_not_call_expired_pins_a_match(
    by: str, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    policy = expiring(clock)
    expected: dict[str, Any] = (
        {"policy": policy} if by == "policy" else {"pins": policy.hosts["localhost"]}
    )
    told = Told()
    async with Server(GENUINE, tls_version=tls_version) as server:
        transport, app = await pinio.create_connection(
            App, "localhost", server.port, observer=told, resumption=SessionCache(), **expected
        )
        clock.tick(HOUR - 1)
        assert pinio.attest(transport).pinned
        clock.tick(1)
        for _ in range(2):
            with pytest.raises(PinExpiredError) as refused:
                pinio.attest(transport)
            assert refused.value.host == "localhost"
        assert transport.state is State.OPEN, "asking changes nothing"
        assert pinio.attest(transport, policy=pinned()).pinned
        transport.abort()
        await app.lost
    assert told.kinds == ["Permit"]


@waiving
async def test_attest_tells_of_an_expiry_that_is_waived(
    waiver: dict[str, Any], clock: Clock
) -> None:
    async with Server(GENUINE) as server:
        transport, app = await pinio.create_connection(
            App, "localhost", server.port, policy=expiring(clock, **waiver), observer=Told()
        )
        clock.tick(HOUR)
        permit = pinio.attest(transport)
        assert isinstance(permit.verdict, Expired) and not permit.pinned
        transport.abort()
        await app.lost
