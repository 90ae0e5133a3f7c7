"""Which connections are resumed, by whose wish, and what their permits say."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

import pinio
from pinio.core.evidence import MAX_AGE
from pinio.testing import Server
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import GENUINE, ROOT, end_of, pinned
from tests.tls.visits import Clock, meanwhile, resumed, visit


async def test_a_session_is_resumed_and_the_permit_says_so(
    tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """The pinned key proved in the full handshake vouches for the sessions that descend from it."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        first = await visit(server, pinned(), cache)
        clock.tick(30)
        second = await visit(server, pinned(), cache)
        clock.tick(30)
        third = await visit(server, pinned(), cache)
        await end_of(server)
    assert resumed(server) == [False, True, True]
    assert [permit.resumed for permit in (first, second, third)] == [False, True, True]
    ages = [permit.evidence_age for permit in (first, second, third)]
    assert ages == [None, pytest.approx(30), pytest.approx(60)]
    assert third.pin == first.pin and third.chain == first.chain


async def test_one_connection_after_the_other_is_resumed_but_for_the_first(
    tls_version: ssl.TLSVersion,
) -> None:
    """Every connection leaves a session for the next, however little it reads."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        for _ in range(30):
            await visit(server, pinned(), cache)
        await end_of(server)
    assert resumed(server) == [False] + [True] * 29


@pytest.mark.parametrize("switch", ["argument", "pin set"])
async def test_resumption_can_be_switched_off(switch: str, tls_version: ssl.TLSVersion) -> None:
    """By call and by host: then no session is kept and none offered."""
    cache = SessionCache()
    policy = pinned(resumption=switch != "pin set")
    async with Server(GENUINE, tls_version=tls_version) as server:
        for _ in range(2):
            await visit(server, policy, False if switch == "argument" else cache)
        await end_of(server)
    assert resumed(server) == [False, False] and len(cache) == 0


async def test_a_call_may_say_otherwise_than_its_context(tls_version: ssl.TLSVersion) -> None:
    """A cache of its own, or none; a call that says nothing uses the context's."""
    theirs, ours = SessionCache(), SessionCache()
    context = pinio.create_ssl_context(pinned(), resumption=theirs)
    async with Server(GENUINE, tls_version=tls_version) as server:
        for cache in (True, True, False, ours, ours):
            await visit(server, None, cache, policy=None, ssl=context)
        await end_of(server)
    assert resumed(server) == [False, True, False, False, True]
    assert (len(theirs), len(ours)) == (1, 1)


async def test_a_ticket_is_used_once_where_the_server_gives_new_ones(
    tls_version: ssl.TLSVersion, tickets_last: bool
) -> None:
    """Two connections at once do not show an onlooker the same TLS 1.3 ticket (RFC 8446 appendix C.4)."""
    cache = SessionCache()
    at_once = asyncio.Barrier(1)

    async def event() -> None:
        await at_once.wait()

    async with Server(GENUINE, tls_version=tls_version) as server, meanwhile(server, event) as port:
        there: Any = SimpleNamespace(port=port)
        await visit(there, pinned(), cache)
        at_once = asyncio.Barrier(
            2
        )  # or the second could show the ticket that the first one was given
        await asyncio.gather(*(visit(there, pinned(), cache) for _ in range(2)))
        await end_of(server)
    assert sorted(resumed(server)) == [
        False,
        tickets_last or tls_version is ssl.TLSVersion.TLSv1_2,
        True,
    ]


async def test_a_swap_that_keeps_the_key_keeps_the_session(tls_version: ssl.TLSVersion) -> None:
    """Tomorrow's policy may pin another algorithm or selector: the evidence is the whole chain, and answers."""
    cache = SessionCache()
    other = str(pinio.Pin.of_certificate(GENUINE.der, selector="cert", algorithm="sha512"))
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        assert (await visit(server, pinned(other), cache)).resumed
        await end_of(server)
    assert resumed(server) == [False, True]


async def test_a_server_without_tickets_leaves_nothing(tls_version: ssl.TLSVersion) -> None:
    """With TLS 1.3 there is nothing to offer; with TLS 1.2 the server may remember the session by its number."""
    cache = SessionCache()
    context = GENUINE.server_context(tls_version=tls_version, tickets=False)
    async with Server(context) as server:
        for _ in range(2):
            reader, writer = await pinio.open_connection(
                "localhost", server.port, policy=pinned(), resumption=cache
            )
            for _ in range(5):
                writer.write(b"ping")
                assert await reader.readexactly(4) == b"ping"
            writer.close()
            await writer.wait_closed()
        await end_of(server)
    remembered = tls_version is ssl.TLSVersion.TLSv1_2
    assert resumed(server) == [False, remembered]
    assert len(cache) == remembered


async def test_a_full_handshake_after_an_offer_is_told_as_one(
    tls_version: ssl.TLSVersion, reserved_port: int
) -> None:
    """Asked again, too: what was offered and not taken says nothing about this connection."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        await visit(server, pinned(), cache)
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        _, writer = await pinio.open_connection(
            "localhost", server.port, policy=pinned(), resumption=cache
        )
        assert not pinio.attest(writer).resumed
        assert not pinio.attest(writer, policy=pinned(f"ca:{ROOT.pin}")).resumed
        writer.close()
        await writer.wait_closed()
        await end_of(server)


async def test_a_server_that_forgot_is_judged_anew(
    tls_version: ssl.TLSVersion, clock: Clock, reserved_port: int
) -> None:
    """Restarted, it cannot read the ticket that it is shown.

    Age counts from the full handshake that follows.
    """
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        await visit(server, pinned(), cache)
    clock.tick(MAX_AGE - 100)
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        assert not (await visit(server, pinned(), cache)).resumed
        clock.tick(200)
        assert (await visit(server, pinned(), cache)).evidence_age == pytest.approx(200)
        await end_of(server)
    assert resumed(server) == [False, True]
