"""Servers that end a connection on which a session is offered: one connection more where we dial, one failure elsewhere."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from OpenSSL import SSL

from pinio.aiohttp import hooks
from pinio.core.decision import Refusal
from pinio.core.evidence import MAX_AGE
from pinio.testing import CA, Interceptor, RawServer, Server, hear, http, reset, tls_alert
from pinio.testing.listener import Listener
from pinio.tls.connection.protocol import PinnedProtocol
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import GENUINE, IDENTITY, ROOT, end_of, pinned
from tests.tls.unresuming import (
    AT_ONCE,
    CARRIED,
    DIALLING,
    LATE,
    Contextless,
    Door,
    How,
    There,
    Unresuming,
    blocking_socket,
    by_aiohttp,
    streams_of_the_loop,
)
from tests.tls.visits import Clock

DOORS = DIALLING | CARRIED
dialling = pytest.mark.parametrize("door", DIALLING.values(), ids=DIALLING)
carried = pytest.mark.parametrize("door", CARRIED.values(), ids=CARRIED)
every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
at_once = pytest.mark.parametrize("how", AT_ONCE)
late = pytest.mark.parametrize("how", LATE)


@asynccontextmanager
async def hostile(
    how: How | None, version: ssl.TLSVersion
) -> AsyncIterator[tuple[Unresuming, There]]:
    """A way to a good server, on which offers end like this."""
    async with (
        Server(GENUINE, tls_version=version, handler=http()) as server,
        Unresuming(server, how) as way,
    ):
        yield way, There(way.port, pinned(), SessionCache())
        await end_of(way)
        await end_of(server)
    for record in server.connections:
        assert len(record.requests) <= 1
        assert not record.application_bytes or record.handshake_finished


async def fails(door: Door, there: There) -> None:
    with pytest.raises(OSError):  # which one is the loop's and the library's business
        await door(there)


@dialling
@at_once
async def test_where_we_dial_nobody_notices(
    door: Door, how: How, tls_version: ssl.TLSVersion
) -> None:
    """One connection more, once; from then on none is offered."""
    async with hostile(how, tls_version) as (way, there):
        for _ in range(5):
            await door(there)
        assert way.offers == [False, True, False, False, False, False]
        assert there.told.kinds == ["Permit"] * 5


@carried
@at_once
async def test_elsewhere_one_connection_fails_and_no_other(
    door: Door, how: How, tls_version: ssl.TLSVersion
) -> None:
    async with hostile(how, tls_version) as (way, there):
        await door(there)
        await fails(door, there)
        for _ in range(3):
            await door(there)
        assert way.offers == [False, True, False, False, False]
        told = ["Permit", *(["Refusal"] if how == "alert" else []), "Permit", "Permit", "Permit"]
        assert there.told.kinds == told, "a failure of TLS is told, the end of TCP is none"


@every_door
async def test_the_pause_grows_while_offers_fail(
    door: Door, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """One failure an hour would be too many for ever; a server that is mended is resumed again in time."""
    async with hostile("end", tls_version) as (way, there):

        async def visits(count: int, failures: int) -> list[bool]:
            before, failed = len(way.offers), 0
            for _ in range(count):
                try:
                    await door(there)
                except OSError:
                    failed += 1
            assert failed == (failures if door in CARRIED.values() else 0)
            return way.offers[before:]

        assert sum(await visits(4, 1)) == 1
        clock.tick(MAX_AGE + 1)
        assert sum(await visits(4, 1)) == 1
        clock.tick(MAX_AGE + 1)
        assert sum(await visits(4, 0)) == 0
        clock.tick(MAX_AGE + 1)
        way.how = None
        assert await visits(4, 0) == [False, True, True, True]
        clock.tick(MAX_AGE + 1)
        way.how = "end"
        assert sum(await visits(3, 1)) == 1
        clock.tick(MAX_AGE + 1)
        assert sum(await visits(3, 1)) == 1, "counted anew"


@every_door
async def test_a_server_that_was_resumed_before_may_stop_it(
    door: Door, tls_version: ssl.TLSVersion
) -> None:
    """Still one failure at most: that it worked once is no reason to try again."""
    async with hostile(None, tls_version) as (way, there):
        for _ in range(3):
            await door(there)
        way.how = "end"
        if door in CARRIED.values():
            await fails(door, there)
        for _ in range(3):
            await door(there)
        assert way.offers[:4] == [False, True, True, True]
        assert not any(way.offers[4:])


@every_door
@late
async def test_a_server_may_say_no_at_the_end(
    door: Door, how: How, tls_version: ssl.TLSVersion
) -> None:
    """To the client's Finished.

    With TLS 1.3 the client is through by then, and may have said something.
    """
    async with hostile(how, tls_version) as (way, there):
        await door(there)
        failed = 0
        for _ in range(5):
            try:
                await door(there)
            except OSError:
                failed += 1
        assert failed <= 1
        assert sum(way.offers) == 1


@pytest.mark.parametrize("door", [streams_of_the_loop, blocking_socket])
async def test_a_server_that_says_no_at_the_end_may_have_resumed_before(
    door: Door, tls_version: ssl.TLSVersion
) -> None:
    """A context is not told of every end, and notices when the connection is freed: two fail at most."""
    async with hostile(None, tls_version) as (way, there):
        for _ in range(3):
            await door(there)
        way.how = "end late"
        failed = 0
        for _ in range(6):
            try:
                await door(there)
            except OSError:
                failed += 1
            else:
                continue
            gc.collect()
        assert 1 <= failed <= 2
        assert not any(way.offers[-3:])


# Stalls and cancellation


@pytest.fixture
def handshakes(monkeypatch: pytest.MonkeyPatch) -> list[PinnedProtocol]:
    """Every connection that began a handshake by a raw door: their timers are let go by hand."""
    begun: list[PinnedProtocol] = []
    inherited = PinnedProtocol.connection_made

    def connection_made(protocol: PinnedProtocol, transport: asyncio.BaseTransport) -> None:
        begun.append(protocol)
        inherited(protocol, transport)

    monkeypatch.setattr(PinnedProtocol, "connection_made", connection_made)
    return begun


@dialling
async def test_a_stall_is_dialled_again_after_the_timeout(
    door: Door, tls_version: ssl.TLSVersion, handshakes: list[PinnedProtocol]
) -> None:
    async with hostile("stall", tls_version) as (way, there):
        await door(there)
        visit = asyncio.ensure_future(door(there))
        await asyncio.to_thread(way.stalled.wait, 60)
        assert len(handshakes) == 2
        handshakes[-1]._handshake_timed_out()
        await visit
        await door(there)
        assert way.offers == [False, True, False, False]


@pytest.mark.parametrize("door", [*CARRIED][:3])
async def test_elsewhere_a_stall_ends_with_the_timeout(
    door: str, tls_version: ssl.TLSVersion, handshakes: list[PinnedProtocol]
) -> None:
    async with hostile("stall", tls_version) as (way, there):
        await CARRIED[door](there)
        visit = asyncio.ensure_future(CARRIED[door](there))
        await asyncio.to_thread(way.stalled.wait, 60)
        handshakes[-1]._handshake_timed_out()
        with pytest.raises(ConnectionAbortedError):
            await visit
        for _ in range(2):
            await CARRIED[door](there)
        assert way.offers == [False, True, False, False]


@pytest.mark.parametrize("kind", ["BIO", "socket"])
async def test_a_stall_through_a_context(kind: str, tls_version: ssl.TLSVersion) -> None:
    """Whose timeout is the library's."""
    async with hostile("stall", tls_version) as (way, there):
        door = streams_of_the_loop if kind == "BIO" else blocking_socket
        await door(there)
        hasty = {"BIO": partial(streams_of_the_loop, ssl_handshake_timeout=0.05)}
        await fails(hasty.get(kind, partial(blocking_socket, timeout=0.05)), there)
        for _ in range(2):
            await door(there)
        assert way.offers == [False, True, False, False]


async def test_a_stall_ends_with_the_timeout_of_aiohttp(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sock_connect` holds for each of the two connections."""
    limits: list[asyncio.Timeout] = []

    def timeout(_delay: float | None) -> asyncio.Timeout:
        limits.append(asyncio.timeout(None))
        return limits[-1]

    async with hostile("stall", tls_version) as (way, there):
        await by_aiohttp(there)
        monkeypatch.setattr(
            hooks, "asyncio", SimpleNamespace(**vars(asyncio) | {"timeout": timeout})
        )
        visit = asyncio.ensure_future(by_aiohttp(there))
        await asyncio.to_thread(way.stalled.wait, 60)
        limits[-1].reschedule(0)
        await visit
        assert len(limits) == 2
        assert way.offers == [False, True, False]


@pytest.mark.parametrize("door", ["open_connection", "aiohttp", "sock", "upgrade"])
@pytest.mark.parametrize("seconds", [0.1, 5.0])
async def test_a_caller_that_gives_up(
    door: str, seconds: float, tls_version: ssl.TLSVersion, clock: Clock, tickets_last: bool
) -> None:
    """It is not dialled again.

    A caller that has waited for long gives up because the server does not answer.
    """
    async with hostile("stall", tls_version) as (way, there):
        await DOORS[door](there)
        visit = asyncio.ensure_future(DOORS[door](there))
        await asyncio.to_thread(way.stalled.wait, 60)
        clock.tick(seconds)
        visit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await visit
        way.how = None
        await DOORS[door](there)
        kept = tickets_last or tls_version is ssl.TLSVersion.TLSv1_2
        assert way.offers == [False, True, kept and seconds < 1]
        await DOORS[door](there)
        assert way.offers[3] == (seconds < 1)


# No more than that


@dialling
@pytest.mark.parametrize("how", ["alert", "end", "reset", "refused", "unverified"])
async def test_without_an_offer_nothing_is_dialled_twice(
    door: Door, how: str, tls_version: ssl.TLSVersion
) -> None:
    scripts = {"alert": (hear, tls_alert("internal_error")), "end": (hear,), "reset": (hear, reset)}
    server: Listener
    if how in scripts:
        server = RawServer(*scripts[how])
    else:
        server = Interceptor(
            ROOT if how == "refused" else CA("another"), "localhost", tls_version=tls_version
        )
    async with server:
        await fails(door, There(server.port, pinned(), SessionCache()))
        await end_of(server)
        assert len(server.connections) == 1


@every_door
async def test_a_peer_that_is_refused_in_a_full_handshake_is_not_dialled_again(
    door: Door, tls_version: ssl.TLSVersion, reserved_port: int
) -> None:
    """It declined the offer as it should, and its key is its own.

    The genuine server is resumed later.
    """
    cache = SessionCache()
    there = There(reserved_port, pinned(), cache)
    context = GENUINE.server_context(tls_version=tls_version)
    async with Server(context, port=reserved_port, handler=http()) as server:
        await door(there)
    async with Interceptor(
        ROOT, "localhost", port=reserved_port, tls_version=tls_version
    ) as between:
        await fails(door, there)
        await end_of(between)
        assert len(between.connections) == 1
        assert between.captured == b"" and between.handshakes_finished <= (door is blocking_socket)
    async with Server(context, port=reserved_port, handler=http()) as server:
        for _ in range(2):
            await door(there)
        await end_of(server)
        assert [record.resumed for record in server.connections] == [False, True]


@dialling
@at_once
async def test_an_interceptor_that_breaks_the_first_connection_is_judged_on_the_second(
    door: Door, how: How, tls_version: ssl.TLSVersion, reserved_port: int
) -> None:
    """It gets two client hellos, and no more from either."""
    there = There(reserved_port, pinned(), SessionCache())
    async with Server(GENUINE, port=reserved_port, tls_version=tls_version, handler=http()):
        await door(there)
    async with (
        Interceptor(ROOT, "localhost", tls_version=tls_version) as between,
        Unresuming(between, how, port=reserved_port) as way,
    ):
        await fails(door, there)
        await end_of(way)
        await end_of(between)
        assert way.offers == [True, False]
        assert between.captured == b"" and between.handshakes_finished == 0
    assert there.told.kinds == ["Permit", "Refusal"]
    assert isinstance(there.told[-1], Refusal) and not there.told[-1].resumed


@dialling
async def test_when_both_fail_the_second_error_is_told(
    door: Door, tls_version: ssl.TLSVersion
) -> None:
    """And nobody dials a third time."""
    async with hostile("end", tls_version) as (way, there):
        await door(there)
        way.always = True
        await fails(door, there)
        await fails(door, there)
        assert way.offers == [False, True, False, False]


# A server as it is met in the wild


@every_door
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
async def test_client_certificates_without_a_session_id_context(
    door: Door, version: int, tmp_path: Path
) -> None:
    """OpenSSL's own server gives sessions, and answers each with an alert."""
    identity = IDENTITY.write(tmp_path, "client")
    async with Contextless(version) as server:
        policy = pinned()
        there = There(server.port, policy, SessionCache(), client_cert=identity)
        failed = 0
        for _ in range(5):
            try:
                await door(there)
            except OSError:
                failed += 1
        await end_of(server)
    assert failed == (door in CARRIED.values())
    assert len(server.connections) == 5 + (door in DIALLING.values())
