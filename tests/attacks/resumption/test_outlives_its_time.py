"""A session that is used for too long: past its hour, its pins, its certificate, or by way of a clock that jumps.

A server's new key is not seen by who resumes, so that resuming has to end.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import pytest

from pinio.core.evidence import MAX_AGE
from pinio.errors import PinExpiredError, PinMismatchError
from pinio.testing import Server
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import GENUINE, ISSUER, Told, end_of, pinned
from tests.tls.visits import OTHER_KEY, Clock, resumed, visit


@pytest.mark.parametrize(
    ("wall", "steady"),
    [(MAX_AGE + 1, MAX_AGE + 1), (MAX_AGE + 1, 1), (1, MAX_AGE + 1), (-5, 5), (400 * 86400, 1)],
    ids=["an hour", "suspended", "set back by hand", "backwards", "far forwards"],
)
async def test_the_larger_of_both_clocks_counts(
    wall: float, steady: float, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """A clock that jumps never makes a session younger; one that runs backwards ends it."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        clock.tick(wall, steady)
        assert not (await visit(server, pinned(), cache)).resumed
        await end_of(server)
    assert resumed(server) == [False, False]


async def test_pins_that_expire_end_their_sessions(
    tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """The policy stays the same; its time is over."""
    cache = SessionCache()
    policy = pinned(expires=datetime.fromtimestamp(clock.wall + 60, UTC))
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, policy, cache)
        clock.tick(55)
        assert (await visit(server, policy, cache)).resumed
        clock.tick(10)
        with pytest.raises(PinExpiredError) as refused:
            await visit(server, policy, cache, observer=Told())
        await end_of(server)
    assert not refused.value.refusal.resumed
    assert resumed(server) == [False, True]


async def test_a_certificate_that_ends_ends_its_sessions(
    tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """OpenSSL looks at its dates in a full handshake and in no other, so that one is asked for."""
    ending = ISSUER.issue("localhost", not_after=datetime.fromtimestamp(clock.wall + 600, UTC))
    cache = SessionCache()
    async with Server(ending, tls_version=tls_version) as server:
        for _ in range(2):
            await visit(server, pinned(ending.pin), cache)
        clock.tick(600)
        assert not (await visit(server, pinned(ending.pin), cache)).resumed
        await end_of(server)
    assert resumed(server) == [False, True, False]


async def test_a_key_change_at_the_server_is_seen_when_the_evidence_is_too_old(
    tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """The server rotates to an unpinned key and keeps its ticket keys: invisible to resumption, for an hour at most."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        server.present(OTHER_KEY)
        assert (await visit(server, pinned(), cache)).resumed
        clock.tick(MAX_AGE + 1)
        with pytest.raises(PinMismatchError):
            await visit(server, pinned(), cache)
        await end_of(server)


async def test_renewed_tickets_inherit_the_age(tls_version: ssl.TLSVersion, clock: Clock) -> None:
    """Resuming every ten minutes, each time with a new ticket, does not outlive the hour."""
    cache = SessionCache()
    ages = []
    async with Server(GENUINE, tls_version=tls_version) as server:
        for _ in range(8):
            ages.append((await visit(server, pinned(), cache)).evidence_age)
            clock.tick(600)
        await end_of(server)
    assert ages == [
        None,
        *map(pytest.approx, (600, 1200, 1800, 2400, 3000)),
        None,
        pytest.approx(600),
    ]
    assert resumed(server) == [age is not None for age in ages]
