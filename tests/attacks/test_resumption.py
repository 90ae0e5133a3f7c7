"""Attacks by way of a resumed session, which shows no chain and whose name OpenSSL does not check again.

    first connection     client ──── chain, key proved ────► judged, ticket kept beside the evidence
    second connection    client ──── ticket ───────────────► nothing to look at but the evidence

Pinning libraries either forbid the second, or let it pass unlooked at. Here it is judged by the policy as it is now. Whether a
connection was resumed is read off the server.
"""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

import pinio
from pinio.core.certificate import VerifiedChain
from pinio.core.evidence import MAX_AGE, Evidence
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import NoVerifiedChainError, PinExpiredError, PinMismatchError, PolicyError
from pinio.testing import CA, Connection, Interceptor, Server, garbage, self_signed
from pinio.tls import sessions
from pinio.tls.engine import Engine
from pinio.tls.handshake import Handshake
from pinio.tls.judgement import Judgement
from pinio.tls.latch import PinnedSSLObject
from pinio.tls.profile import Profile, inner_context
from pinio.tls.sessions import MAX_TICKETS, PATIENCE, Offer, SessionCache
from tests.tls.cast import ABSENT, GENUINE, IDENTITY, ISSUER, ROOT, SPARE, Told, end_of, pinned
from tests.tls.through import unsealed

OTHER_KEY = ISSUER.issue("localhost", "127.0.0.1", "*.pinned.test")


class Clock:
    """Both clocks, set by hand."""

    def __init__(self) -> None:
        start = sessions.now()
        self.wall, self.steady = start.wall, start.monotonic

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def tick(self, wall: float, steady: float | None = None) -> None:
        """Let time pass: by the wall clock, and as much by the other unless told."""
        self.wall += wall
        self.steady += wall if steady is None else steady


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sessions, "time", clock)
    return clock


@pytest.fixture(params=[False, True], ids=["used once", "used again"], autouse=True)
def tickets_last(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a TLS 1.3 ticket is used again, as it is on a Python that leaks with each; every rule holds there too."""
    monkeypatch.setattr(sessions, "reading_leaks", request.param)
    return bool(request.param)


class Swapped:
    """A source whose policy can be swapped."""

    def __init__(self, policy: Policy) -> None:
        self.current = policy


async def visit(
    server: Server | Interceptor, expected: Any, cache: SessionCache | bool, **options: Any
) -> pinio.Permit:
    """Connect, exchange a few bytes (a TLS 1.3 ticket comes with them), and hang up."""
    options = {"policy": expected} | options
    where = (None, None) if "sock" in options else ("localhost", server.port)
    reader, writer = await pinio.open_connection(*where, resumption=cache, **options)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    permit = pinio.attest(writer)
    writer.close()
    await writer.wait_closed()
    return permit


def resumed(server: Server | Interceptor) -> list[bool]:
    """What the server saw of each connection that came to application bytes or finished its handshake."""
    return [record.resumed for record in server.connections if record.handshake_finished]


async def test_a_session_is_resumed_and_the_permit_says_so(tls_version: ssl.TLSVersion, clock: Clock) -> None:
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


async def test_sessions_of_unpinned_hosts_are_not_kept(tls_version: ssl.TLSVersion) -> None:
    """Nobody judged the host when the ticket came; when it is pinned, a full handshake decides."""
    cache = SessionCache()
    open_policy = Policy(
        {"example.com": PinSet([SPARE, ABSENT])}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
    async with Server(GENUINE, tls_version=tls_version) as server:
        assert not (await visit(server, open_policy, cache)).pinned
        assert len(cache) == 0
        assert (await visit(server, pinned(), cache)).pinned
        await end_of(server)
    assert resumed(server) == [False, False]


async def test_a_session_of_one_host_is_not_offered_to_another(tls_version: ssl.TLSVersion) -> None:
    """OpenSSL skips the name check on resumption, so the name is part of what the session is kept by, and of its evidence."""
    cache = SessionCache()
    policy = pinned(host="**.pinned.test")
    async with Server(GENUINE, tls_version=tls_version) as server:
        for name in ("a.pinned.test", "b.pinned.test", "a.pinned.test"):
            await visit(server, policy, cache, server_hostname=name)
        await end_of(server)
    assert resumed(server) == [False, False, True]


async def test_a_session_in_the_wrong_drawer_is_noticed(tls_version: ssl.TLSVersion) -> None:
    """Even a cache that mixes up its hosts offers nothing that the evidence does not name."""
    cache = SessionCache()
    policy = pinned(host="**.pinned.test")
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, policy, cache, server_hostname="a.pinned.test")
        ((key, kept),) = cache._kept.items()
        cache._kept = {key._replace(host="b.pinned.test"): kept}
        told = Told()
        permit = await visit(server, policy, cache, server_hostname="b.pinned.test", observer=told)
        await end_of(server)
    assert not permit.resumed and resumed(server) == [False, False]
    assert told == [permit]  # it was not even offered, so nothing had to be refused


async def test_a_ticket_is_used_once_where_the_server_gives_new_ones(
    tls_version: ssl.TLSVersion, tickets_last: bool
) -> None:
    """Two connections at once do not show an onlooker the same TLS 1.3 ticket (RFC 8446 appendix C.4)."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        await asyncio.gather(*(visit(server, pinned(), cache) for _ in range(2)))
        await end_of(server)
    assert sorted(resumed(server)) == [False, tickets_last or tls_version is ssl.TLSVersion.TLSv1_2, True]


async def test_a_session_made_under_a_looser_policy_is_not_offered(tls_version: ssl.TLSVersion) -> None:
    """Report-only let the first connection through with a wrong key; enforcing refuses it, and no session helps."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        assert (await visit(server, pinned(ABSENT, mode="report-only"), cache)).report is not None
        assert len(cache) == 0, "no pin vouched for it"
        with pytest.raises(PinMismatchError):
            await visit(server, pinned(ABSENT), cache)
        await end_of(server)
    assert [record.application_bytes for record in server.connections] == [b"ping", b""]


@pytest.mark.parametrize("change", ["other pin", "denied", "expired", "leaf-pin"])
async def test_a_tightened_policy_ends_resumption(
    change: str, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """A session whose evidence does not satisfy the policy in force now is never offered."""
    changed = {
        "other pin": pinned(ABSENT),
        "denied": pinned(policy={"deny": [GENUINE.pin]}),
        "expired": pinned(expires=datetime.fromtimestamp(clock.wall - 1, UTC)),
        "leaf-pin": pinned(trust="leaf-pin"),
    }[change]
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        told = Told()
        if change == "leaf-pin":
            assert not (await visit(server, changed, cache)).resumed
        else:
            with pytest.raises(pinio.PinVerificationError):
                await visit(server, changed, cache, observer=told)
            assert [decision.resumed for decision in told] == [False]
        await end_of(server)
    assert not any(resumed(server))


async def test_a_swap_that_keeps_the_key_keeps_the_session(tls_version: ssl.TLSVersion) -> None:
    """Tomorrow's policy may pin another algorithm or selector: the evidence is the whole chain, and answers."""
    cache = SessionCache()
    other = str(pinio.Pin.of_certificate(GENUINE.der, selector="cert", algorithm="sha512"))
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        assert (await visit(server, pinned(other), cache)).resumed
        await end_of(server)
    assert resumed(server) == [False, True]


async def test_a_swap_during_the_handshake_does_not_change_its_policy(tls_version: ssl.TLSVersion) -> None:
    """The policy is read once per connection; the next one is judged by the new policy."""
    cache = SessionCache()
    source = Swapped(pinned())

    def swap(_: object) -> None:
        source.current = pinned(ABSENT)

    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, source, cache)
        assert (await visit(server, source, cache, observer=swap)).resumed
        with pytest.raises(PinMismatchError):
            await visit(server, source, cache)
        await end_of(server)
    assert resumed(server)[:2] == [False, True]


@asynccontextmanager
async def meanwhile(server: Server, event: Callable[[], None]) -> AsyncIterator[int]:
    """The port of a relay to `server`; `event` happens whenever a client's first flight is on its way."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.read(65536)
        event()
        onward = await asyncio.open_connection(*server.address)
        onward[1].write(hello)
        await asyncio.gather(pump(reader, onward[1]), pump(onward[0], writer))

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as relay:
        yield relay.sockets[0].getsockname()[1]


async def test_a_swap_while_a_hello_is_on_its_way(tls_version: ssl.TLSVersion) -> None:
    """A raw door's connection is judged by the policy that it was asked under; the next one is by the new policy, and in full."""
    cache = SessionCache()
    source = Swapped(pinned())
    swaps: list[Policy] = []

    def event() -> None:
        if swaps:
            source.current = swaps.pop()

    async with Server(GENUINE, tls_version=tls_version) as server, meanwhile(server, event) as port:
        there: Any = SimpleNamespace(port=port)
        await visit(there, source, cache)
        swaps.append(pinned(ABSENT))
        assert (await visit(there, source, cache)).resumed
        assert not swaps, "the policy was swapped"
        with pytest.raises(PinMismatchError) as refused:
            await visit(there, source, cache, observer=Told())
        await end_of(server)
    assert not refused.value.refusal.resumed
    assert resumed(server) == [False, True]
    assert [record.application_bytes for record in server.connections] == [b"ping", b"ping", b""]


async def test_a_swap_while_a_librarys_hello_is_on_its_way(tls_version: ssl.TLSVersion) -> None:
    """There the connection is a library's, and its first write is judged by the policy of that moment: nothing is sent."""
    source = Swapped(pinned())
    told = Told()
    context = pinio.create_ssl_context(source, observer=told, resumption=SessionCache())
    swaps: list[Policy] = []

    def event() -> None:
        if swaps:
            source.current = swaps.pop()

    async with Server(GENUINE, tls_version=tls_version) as server, meanwhile(server, event) as port:
        for swap in (None, pinned(ABSENT)):
            swaps[:] = [swap] if swap else []
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            writer.write(b"ping")
            if swap is None:
                assert await reader.readexactly(4) == b"ping"
            else:
                with pytest.raises(OSError) as lost:
                    await reader.readexactly(4)
                assert isinstance(pinio.find_pin_error(lost.value), PinMismatchError)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await end_of(server)
    assert [(type(decision).__name__, decision.resumed) for decision in told] == [
        ("Permit", False),
        ("Permit", True),
        ("Refusal", True),
    ]
    assert [record.application_bytes for record in server.connections] == [b"ping", b""]


async def test_a_devices_session_says_nothing_where_certificates_are_verified(
    tls_version: ssl.TLSVersion,
) -> None:
    """Under `leaf-pin` nobody verified name, dates or issuer, and a session made there must not stand in for that."""
    device = self_signed("localhost")
    cache = SessionCache()
    async with Server(device, tls_version=tls_version) as server:
        for _ in range(2):
            await visit(server, pinned(device.pin, trust="leaf-pin"), cache)
        told = Told()
        with pytest.raises(ssl.SSLCertVerificationError, match=r"self.signed"):
            await visit(server, pinned(device.pin), cache, observer=told)
        await end_of(server)
    assert resumed(server) == [False, True]
    assert told == [] and server.connections[-1].application_bytes == b""


async def test_pins_that_expire_end_their_sessions(tls_version: ssl.TLSVersion, clock: Clock) -> None:
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


async def test_a_certificate_that_ends_ends_its_sessions(tls_version: ssl.TLSVersion, clock: Clock) -> None:
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


def ruin(connection: Connection) -> None:
    """An echo that answers "ruin" with what is no TLS record."""
    while data := connection.recv():
        if data == b"ruin":
            garbage()(connection)
            return
        connection.sendall(data)


@pytest.mark.parametrize("door", ["raw", "context"])
async def test_a_session_on_which_tls_broke_is_forgotten(door: str, tls_version: ssl.TLSVersion) -> None:
    """RFC 5246 section 7.2.2, also where the handshake was long over."""
    cache = SessionCache()
    context = pinio.create_ssl_context(pinned(), resumption=cache)
    connect = pinio.open_connection if door == "raw" else asyncio.open_connection
    async with Server(GENUINE, tls_version=tls_version, handler=ruin) as server:
        for words in (b"ping", b"ruin", b"ping"):
            reader, writer = await connect("localhost", server.port, ssl=context)
            writer.write(words)
            if words == b"ruin":
                with pytest.raises(ssl.SSLError):
                    await reader.readexactly(4)
                assert len(cache) == 0
            else:
                assert await reader.readexactly(4) == words
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await end_of(server)
    assert resumed(server) == [False, True, False]


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
    assert ages == [None, *map(pytest.approx, (600, 1200, 1800, 2400, 3000)), None, pytest.approx(600)]
    assert resumed(server) == [age is not None for age in ages]


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


async def test_what_was_waived_after_an_offer_leaves_nothing(
    tls_version: ssl.TLSVersion, tickets_last: bool, reserved_port: int
) -> None:
    """The server takes another key and forgets its tickets. The old session's evidence is not that of the new one."""
    cache = SessionCache()
    policy = pinned(mode="report-only")
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        await visit(server, policy, cache)
    (before,) = cache._kept.values()
    async with Server(OTHER_KEY, tls_version=tls_version, port=reserved_port) as server:
        for _ in range(2):
            permit = await visit(server, policy, cache)
            assert permit.report is not None
            assert not permit.resumed
        await end_of(server)
    assert resumed(server) == [False, False]
    assert all(kept == before for kept in cache._kept.values())
    assert len(cache) == (tickets_last or tls_version is ssl.TLSVersion.TLSv1_2), "or it was used up"


async def test_a_full_handshake_after_an_offer_is_told_as_one(
    tls_version: ssl.TLSVersion, reserved_port: int
) -> None:
    """Asked again, too: what was offered and not taken says nothing about this connection."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        await visit(server, pinned(), cache)
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        _, writer = await pinio.open_connection("localhost", server.port, policy=pinned(), resumption=cache)
        assert not pinio.attest(writer).resumed
        assert not pinio.attest(writer, policy=pinned(f"ca:{ROOT.pin}")).resumed
        writer.close()
        await writer.wait_closed()
        await end_of(server)


async def test_a_server_that_forgot_is_judged_anew(
    tls_version: ssl.TLSVersion, clock: Clock, reserved_port: int
) -> None:
    """Restarted, it cannot read the ticket that it is shown. Age counts from the full handshake that follows."""
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


async def test_a_stolen_ticket_is_worth_nothing_without_its_key(
    tls_version: ssl.TLSVersion, reserved_port: int
) -> None:
    """An interceptor takes the server's place. It cannot read the ticket, has to shake hands in full, and is refused."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        await visit(server, pinned(), cache)
    async with Interceptor(ROOT, "localhost", port=reserved_port, tls_version=tls_version) as interceptor:
        with pytest.raises(PinMismatchError):
            await visit(interceptor, pinned(), cache)
        await end_of(interceptor)
        assert interceptor.captured == b"" and interceptor.handshakes_finished == 0
    assert len(cache) == 0


@pytest.mark.parametrize("copies", [1, 3])
async def test_a_session_with_the_wrong_evidence_is_retried_in_full(
    copies: int, tls_version: ssl.TLSVersion
) -> None:
    """The leaf that `ssl` still knows is compared. Where we dial, a full handshake then decides, once, however many there are."""
    cache = SessionCache()
    policy = pinned(GENUINE.pin, OTHER_KEY.pin)
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, policy, cache)
        ((key, (kept,)),) = cache._kept.items()
        chain = VerifiedChain([*OTHER_KEY.chain, ROOT.der])
        wrong = Evidence.of("localhost", chain, kept.offer.evidence.profile, kept.offer.evidence.seen)
        assert wrong is not None
        cache.clear()
        for _ in range(copies):
            cache.keep(
                key.context,
                policy.endpoint("localhost", server.port),
                Offer(kept.offer.session, wrong),
                once=kept.once,
            )
        told = Told()
        permit = await visit(server, policy, cache, observer=told)
        await end_of(server)
    assert not permit.resumed
    refusal, after = told
    assert (refusal.reason, refusal.resumed) == ("WITNESSES_DISAGREE", True)  # type: ignore[union-attr]
    assert after is permit
    assert sum(map(len, cache._kept.values())) == copies - 1, "the refused one is forgotten"
    assert [bytes(record.application_bytes) for record in server.connections] == [b"ping", b"", b"ping"]


async def test_the_context_door_refuses_where_the_raw_one_retries(tls_version: ssl.TLSVersion) -> None:
    """Somebody else dials there, so a session that turns out wrong refuses the connection, and the next one is full."""
    policy = pinned(GENUINE.pin, OTHER_KEY.pin)
    cache = SessionCache()
    context = pinio.create_ssl_context(policy, resumption=cache)

    async def fetch(port: int) -> bool:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(b"ping")
        await reader.readexactly(4)
        was_resumed = pinio.attest(writer).resumed
        writer.close()
        await writer.wait_closed()
        return was_resumed

    async with Server(GENUINE, tls_version=tls_version) as server:
        assert [await fetch(server.port), await fetch(server.port)] == [False, True]
        for kept in cache._kept.values():
            chain = VerifiedChain([*OTHER_KEY.chain, ROOT.der])
            for one in kept:
                object.__setattr__(one.offer.evidence, "chain", chain)
        with pytest.raises(pinio.PinVerificationError, match="two different certificates"):
            await fetch(server.port)
        assert len(cache) == 0
        assert not await fetch(server.port)
        await end_of(server)


async def test_another_client_identity_resumes_nothing(tls_version: ssl.TLSVersion, tmp_path: Any) -> None:
    """A resumed session carries the identity of its first connection; with another certificate the handshake is full."""
    first = IDENTITY.write(tmp_path, "first")
    second_identity = ROOT.issue_client("second@pinio.test")
    second = second_identity.write(tmp_path, "second")
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        for identity in (first, first, second):
            context = pinio.create_ssl_context(pinned(), client_cert=identity, resumption=cache)
            await visit(server, None, cache, policy=None, ssl=context)
        await end_of(server)
    assert resumed(server) == [False, True, False]
    assert server.client_certificates == [IDENTITY.der, second_identity.der]


def test_a_resumption_that_nobody_offered_is_no_evidence() -> None:
    """An external pre-shared key reports `session_reused` and shows no certificate: refused, pinned or not."""

    class Resumed:
        session_reused = True
        context = inner_context(Profile("pkix", ROOT.anchors))

        def getpeercert(self, binary_form: bool = False) -> bytes:
            return GENUINE.der

    open_policy = Policy({"example.com": PinSet([SPARE, ABSENT])}, unpinned="allow")
    for policy in (pinned(), open_policy):
        endpoint = policy.endpoint("localhost", 443)
        judgement = Judgement(endpoint, Profile("pkix", ROOT.anchors), Told())
        handshake = Handshake(judgement)
        with pytest.raises(NoVerifiedChainError, match="nobody here has offered"):
            handshake.step(Resumed(), lambda: None, None)  # type: ignore[arg-type]
        assert judgement.gate.permit is None


@pytest.mark.skipif(
    not hasattr(ssl.SSLContext, "set_psk_client_callback"), reason="Python has no PSK before 3.13"
)
def test_an_external_pre_shared_key_is_refused() -> None:
    """The same with a real handshake: a context into which a pre-shared key was put proves no certificate."""
    client = unsealed(inner_context(Profile("pkix", CA("fresh").anchors)))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.set_psk_client_callback(lambda hint: ("pinio", b"k" * 32))  # type: ignore[attr-defined]
    server.set_psk_server_callback(lambda identity: b"k" * 32)  # type: ignore[attr-defined]
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    told = Told()
    endpoint = pinned(trust="leaf-pin").endpoint("localhost", 443)
    engine = Engine(client, Handshake(Judgement(endpoint, Profile("leaf-pin"), told)))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = server.wrap_bio(incoming, outgoing, server_side=True)

    def shake_hands() -> None:
        for _ in range(4):
            engine.handshake()
            incoming.write(engine.take())
            with suppress(ssl.SSLWantReadError):
                peer.do_handshake()
            engine.incoming.write(outgoing.read())

    with pytest.raises(NoVerifiedChainError):
        shake_hands()
    assert told.kinds == ["Refusal"] and engine.take() == b""


def _nothing() -> Offer:
    """What a cache may hold in place of a session."""
    evidence = Evidence.of("x", VerifiedChain([GENUINE.der]), "profile", sessions.now())
    assert evidence is not None
    return Offer(None, evidence)  # type: ignore[arg-type]


def test_the_cache_is_bounded_in_hosts_and_tickets() -> None:
    """A flood of hosts keeps the newest, a flood of tickets for one host likewise."""
    context = inner_context(Profile("pkix", ROOT.anchors))
    policy = pinned(host="**.pinned.test")
    offer = _nothing()
    cache = SessionCache(hosts=64)
    endpoint = policy.endpoint("host.pinned.test", 443)
    for number in range(100_000):
        endpoint = policy.endpoint(f"host-{number}.pinned.test", 443)
        cache.keep(context, endpoint, offer, once=True)
        assert len(cache) <= 64
    for _ in range(50):
        cache.keep(context, endpoint, offer, once=True)
    assert max(map(len, cache._kept.values())) == MAX_TICKETS


def test_a_cache_ends_with_its_last_user() -> None:
    """Nothing else holds it: neither the hook that empties it after a fork, nor the contexts of its connections."""
    cache = SessionCache()
    cache.keep(
        inner_context(Profile("pkix", ROOT.anchors)), pinned().endpoint("localhost", 1), _nothing(), once=True
    )
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("hosts", [0, -1, 1.5, "many", None, True])
def test_a_cache_holds_at_least_one_host(hosts: Any) -> None:
    """What could hold none would be noticed at the first ticket, in the middle of a connection."""
    with pytest.raises(PolicyError, match="hosts is the number of hosts"):
        SessionCache(hosts)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_without_sessions() -> None:
    """Two processes must not use one ticket, nor share a lock."""
    context = inner_context(Profile("pkix", ROOT.anchors))
    cache = SessionCache()
    cache.keep(context, pinned().endpoint("localhost", 1), _nothing(), once=True)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, bytes([len(cache)]))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"\0" and len(cache) == 1
    os.close(read)
    os.close(write)


async def test_a_session_is_read_once_for_each_full_handshake_where_reading_it_leaks(
    tls_version: ssl.TLSVersion, tickets_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_reads(monkeypatch)
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        for _ in range(5):
            await visit(server, pinned(), cache)
        await end_of(server)
    assert resumed(server) == [False] + [True] * 4
    assert len(reads) >= 5 or tickets_last or tls_version is ssl.TLSVersion.TLSv1_2
    assert len(reads) <= 3 or not (tickets_last or tls_version is ssl.TLSVersion.TLSv1_2)


async def test_a_server_that_gives_no_ticket_is_asked_no_more_for_an_hour(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking is what costs; and what leaks, on some Pythons."""
    reads = count_reads(monkeypatch)
    cache = SessionCache()
    context = GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_3)
    context.num_tickets = 0
    async with Server(context) as server:

        async def visits(count: int) -> int:
            before = len(reads)
            for _ in range(count):
                assert not (await visit(server, pinned(), cache)).resumed
            return len(reads) - before

        assert await visits(2 * PATIENCE) == PATIENCE
        assert await visits(2) == 0
        clock.tick(MAX_AGE)
        assert await visits(2) == 1
    assert len(cache) == 0


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each reading of a session's copy, by anybody."""
    reads: list[object] = []
    inherited: Any = PinnedSSLObject.session

    def read(tls: ssl.SSLObject) -> object:
        session = inherited.fget(tls)
        reads.append(session)
        return session

    monkeypatch.setattr(PinnedSSLObject, "session", property(read, inherited.fset))
    return reads
