"""Attacks by way of a resumed session, which shows no chain and whose name OpenSSL does not check again.

    first connection     client ──── chain, key proved ────► judged, ticket kept beside the evidence
    second connection    client ──── ticket ───────────────► nothing to look at but the evidence

Pinning libraries either forbid the second, or let it pass unlooked at. Here it is judged by the policy as it is now. Whether a
connection was resumed is read off the server.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress
from typing import Any

import pytest

import pinio
from pinio.core.certificate import VerifiedChain
from pinio.core.evidence import MAX_AGE, Evidence
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import NoVerifiedChainError, PinMismatchError, PolicyError
from pinio.testing import CA, Interceptor, Server
from pinio.tls import sessions
from pinio.tls.engine import Engine
from pinio.tls.handshake import Handshake
from pinio.tls.judgement import Judgement
from pinio.tls.profile import Profile, inner_context
from pinio.tls.sessions import MAX_TICKETS, Offer, SessionCache
from tests.tls.cast import ABSENT, GENUINE, IDENTITY, ISSUER, ROOT, SPARE, Told, end_of, pinned

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


async def test_a_ticket_is_used_once_where_the_server_gives_new_ones(tls_version: ssl.TLSVersion) -> None:
    """Two connections at once do not show an onlooker the same TLS 1.3 ticket (RFC 8446 appendix C.4)."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        await asyncio.gather(*(visit(server, pinned(), cache) for _ in range(2)))
        await end_of(server)
    assert sorted(resumed(server)) == [False, tls_version is ssl.TLSVersion.TLSv1_2, True]


async def test_a_session_made_under_a_looser_policy_is_not_offered(tls_version: ssl.TLSVersion) -> None:
    """Report-only let the first connection through with a wrong key; enforcing refuses it, and no session helps."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        assert (await visit(server, pinned(ABSENT, mode="report-only"), cache)).report is not None
        with pytest.raises(PinMismatchError):
            await visit(server, pinned(ABSENT), cache)
        await end_of(server)
    assert [record.application_bytes for record in server.connections] == [b"ping", b""]


@pytest.mark.parametrize("change", ["other pin", "denied", "expired", "leaf-pin"])
async def test_a_tightened_policy_ends_resumption(
    change: str, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """A session whose evidence does not satisfy the policy in force now is never offered."""
    from datetime import UTC, datetime

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


async def test_a_stolen_ticket_is_worth_nothing_without_its_key(tls_version: ssl.TLSVersion) -> None:
    """An interceptor takes the server's place. It cannot read the ticket, has to shake hands in full, and is refused."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        port = server.port
    async with Interceptor(ROOT, "localhost", port=port, tls_version=tls_version) as interceptor:
        with pytest.raises(PinMismatchError):
            await visit(interceptor, pinned(), cache)
        await end_of(interceptor)
        assert interceptor.captured == b"" and interceptor.handshakes_finished == 0
    assert len(cache) == 0 or tls_version is ssl.TLSVersion.TLSv1_2


async def test_a_session_with_the_wrong_evidence_is_retried_in_full(tls_version: ssl.TLSVersion) -> None:
    """The leaf that `ssl` still knows is compared. Where we dial, a full handshake then decides; no session is left behind."""
    cache = SessionCache()
    policy = pinned(GENUINE.pin, OTHER_KEY.pin)
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, policy, cache)
        ((key, (kept,)),) = cache._kept.items()
        chain = VerifiedChain([*OTHER_KEY.chain, ROOT.der])
        wrong = Evidence.of("localhost", chain, kept.offer.evidence.profile, kept.offer.evidence.seen)
        assert wrong is not None
        cache.clear()
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
    assert all(offer.offer.evidence.chain == permit.chain for kept in cache._kept.values() for offer in kept)
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
        while cache._kept:  # TLS 1.2 sessions are kept in several copies, each with the wrong evidence
            with pytest.raises(pinio.PinVerificationError):
                await fetch(server.port)
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
    client = inner_context(Profile("pkix", CA("fresh").anchors))
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


def test_the_cache_is_bounded_in_hosts_and_tickets() -> None:
    """A flood of hosts keeps the newest, a flood of tickets for one host likewise."""
    context = inner_context(Profile("pkix", ROOT.anchors))
    policy = pinned(host="**.pinned.test")
    evidence = Evidence.of("x", VerifiedChain([GENUINE.der]), "profile", sessions.now())
    assert evidence is not None
    offer = Offer(None, evidence)  # type: ignore[arg-type]
    cache = SessionCache(hosts=64)
    endpoint = policy.endpoint("host.pinned.test", 443)
    for number in range(100_000 if "CI" in os.environ else 5_000):
        endpoint = policy.endpoint(f"host-{number}.pinned.test", 443)
        cache.keep(context, endpoint, offer, once=True)
        assert len(cache) <= 64
    for _ in range(50):
        cache.keep(context, endpoint, offer, once=True)
    assert max(map(len, cache._kept.values())) == MAX_TICKETS


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
    evidence = Evidence.of("x", VerifiedChain([GENUINE.der]), "profile", sessions.now())
    assert evidence is not None
    cache.keep(context, pinned().endpoint("localhost", 1), Offer(None, evidence), once=True)  # type: ignore[arg-type]
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, bytes([len(cache)]))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"\0" and len(cache) == 1
    os.close(read)
    os.close(write)
