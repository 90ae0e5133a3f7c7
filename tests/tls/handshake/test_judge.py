"""The judge is asked at the right moments, believes nobody, and whatever goes wrong with it is a refusal."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.evidence import Evidence, Moment
from pinio.core.policy import Policy
from pinio.errors import (
    DeniedKeyError,
    JudgementError,
    NoVerifiedChainError,
    PinExpiredError,
    PinMismatchError,
    PinVerificationError,
    PolicyError,
    WitnessError,
)
from pinio.tls.config.profile import Profile
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.context.inner import inner_context
from pinio.tls.handshake import judge as judgements
from pinio.tls.handshake import peer
from pinio.tls.handshake.gate import State
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.peer import OpenSSLFacts
from tests.tls.cast import ABSENT, GENUINE, ISSUER, MISPINNED, ROOT, SPARE, Told, pinned
from tests.tls.memory import MemoryPeer, context_with, drive, engine_for, shake_hands, state_of

PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def server(tls_version: ssl.TLSVersion) -> MemoryPeer:
    return MemoryPeer(GENUINE.server_context(tls_version=tls_version))


# What is decided


@pytest.mark.parametrize(
    ("pin", "position"),
    [(GENUINE.pin, 0), (f"leaf:{GENUINE.pin}", 0), (f"ca:{ISSUER.pin}", 1), (ROOT.pin, 2)],
    ids=["any", "leaf", "ca", "root"],
)
def test_a_match_permits_and_says_what_matched(server: MemoryPeer, pin: str, position: int) -> None:
    told = Told()
    engine = engine_for(pinned(pin), observer=told)
    drive(engine, server)
    (permit,) = told
    assert isinstance(permit, Permit)
    assert permit is engine.judge.gate.permit
    assert (permit.host, permit.port, permit.pattern) == ("localhost", 443, "localhost")
    assert (str(permit.pin), permit.position, permit.backup) == (pin, position, False)
    assert permit.chain is not None
    assert [item.der for item in permit.chain] == [GENUINE.der, ISSUER.der, ROOT.der]
    assert server.receive(_written(engine, b"hello")) == b"hello"


def test_a_backup_that_matches_is_told(server: MemoryPeer) -> None:
    told = Told()
    drive(
        engine_for(
            Policy({"localhost": pinned(ABSENT).hosts["localhost"].replace(backup=GENUINE.pin)}),
            observer=told,
        ),
        server,
    )
    (permit,) = told
    assert isinstance(permit, Permit)
    assert permit.backup


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (MISPINNED, PinMismatchError),
        (pinned(f"ca:{GENUINE.pin}"), PinMismatchError),
        (pinned(f"leaf:{ISSUER.pin}"), PinMismatchError),
        (pinned(expires=PAST), PinExpiredError),
        (pinned(policy={"deny": [GENUINE.pin]}), DeniedKeyError),
        (pinned(policy={"deny": [ROOT.pin]}), DeniedKeyError),
        (pinned(mode="report-only", policy={"deny": [ISSUER.pin]}), DeniedKeyError),
    ],
    ids=[
        "absent",
        "leaf as ca",
        "ca as leaf",
        "expired",
        "leaf denied",
        "root denied",
        "denied and report-only",
    ],
)
def test_a_refusal_leaves_the_peer_with_nothing(
    server: MemoryPeer, policy: Policy, error: type[PinMismatchError]
) -> None:
    told = Told()
    engine = engine_for(policy, observer=told)
    with pytest.raises(error) as refused:
        drive(engine, server)
    assert told == [refused.value.refusal]
    assert state_of(engine) is State.REFUSED
    assert engine.take() == b""
    assert not engine.outgoing.pending
    assert not server.finished


@pytest.mark.parametrize(
    "policy",
    [
        pinned(ABSENT, mode="report-only"),
        pinned(expires=PAST, mode="report-only"),
        pinned(expires=PAST, on_expiry="report"),
    ],
    ids=["mismatch", "expired", "expired, set to report"],
)
def test_what_is_waived_is_told(server: MemoryPeer, policy: Policy) -> None:
    told = Told()
    drive(engine_for(policy, observer=told), server)
    (permit,) = told
    assert isinstance(permit, Permit)
    assert not permit.pinned
    assert permit.report is not None
    assert not permit.report.enforced


def test_what_is_waived_leaves_no_evidence(server: MemoryPeer) -> None:
    """Only a chain in which a pin matched vouches for a session."""
    engine = engine_for(pinned(ABSENT, mode="report-only"))
    drive(engine, server)
    assert engine.judge.gate.permit is not None
    assert engine.judge.session_evidence() is None


def test_a_host_without_pins_pays_nothing(
    server: MemoryPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy(
        {"other.test": [GENUINE.pin, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
    told = Told()
    monkeypatch.setattr(peer, "verified_chain", lambda tls: pytest.fail("no chain is extracted"))
    drive(engine_for(policy, observer=told), server)
    (permit,) = told
    assert isinstance(permit, Permit)
    assert permit.chain is None
    assert not permit.pinned


def test_a_denied_key_is_refused_on_a_host_without_pins(server: MemoryPeer) -> None:
    policy = Policy(
        {"other.test": [GENUINE.pin, SPARE]},
        unpinned="allow",
        unpinned_anchors=ROOT.anchors,
        deny=[ISSUER.pin],
    )
    with pytest.raises(DeniedKeyError):
        drive(engine_for(policy), server)
    assert not server.finished


def test_two_names_must_both_pass(server: MemoryPeer) -> None:
    """The host of the URL has pins of its own, and another name is verified."""
    both = {"localhost": pinned().hosts["localhost"], "url.test": pinned(ABSENT).hosts["localhost"]}
    engine = _engine_to_two_names(Policy(both))
    with pytest.raises(PinMismatchError):
        drive(engine, server)
    assert not server.finished
    agreeing = {
        "localhost": pinned().hosts["localhost"],
        "url.test": pinned(ISSUER.pin).hosts["localhost"],
    }
    drive(_engine_to_two_names(Policy(agreeing)), MemoryPeer(GENUINE.server_context()))


def _engine_to_two_names(policy: Policy) -> OpenSSLEngine:
    endpoint = policy.endpoint("localhost", 443, url_host="url.test")
    profile = Profile.of(endpoint)
    return OpenSSLEngine(inner_context(profile), Handshake(Judge(endpoint, profile, Told())))


# When


def test_with_tls_1_2_nothing_is_published_before_the_peer_has_finished() -> None:
    """Whoever replays the genuine chain gets as far as this, and must not count as a match."""
    told = Told()
    server = MemoryPeer(GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_2))
    engine = engine_for(pinned(), observer=told)
    engine.handshake()
    engine.incoming.write(server.answer(engine.take()))
    assert not engine.handshake()
    assert state_of(engine) is State.PERMITTED
    assert engine.judge.gate.permit is None
    forged = bytearray(server.answer(engine.take()))
    forged[-1] ^= 1
    engine.incoming.write(bytes(forged))
    with pytest.raises(ssl.SSLError):
        engine.handshake()
    assert state_of(engine) is State.CLOSED
    assert engine.judge.gate.permit is None
    (refusal,) = told
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "TLS_FAILED"


def test_a_hello_that_is_made_again_is_no_final_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under TLS 1.3 a server may ask for another key share (RFC 8446 section 4.1.4); it has proven nothing yet."""
    context = GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_3)
    context.set_ecdh_curve("secp384r1")
    server, engine = MemoryPeer(context), engine_for(pinned())
    engine.handshake()
    with monkeypatch.context() as patch:
        patch.setattr(peer, "verified_chain", lambda tls: pytest.fail("read"))
        engine.incoming.write(server.answer(engine.take()))
        assert not engine.handshake()
        assert engine.outgoing.pending
    assert state_of(engine) is State.HANDSHAKING
    drive(engine, server)
    assert state_of(engine) is State.OPEN


def test_the_served_chain_is_not_read_before_the_verdict(
    server: MemoryPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_for(MISPINNED)
    monkeypatch.setattr(peer, "served_chain", lambda tls: pytest.fail("read"))
    monkeypatch.setattr(peer, "leaves", lambda tls: pytest.fail("read"))
    with pytest.raises(PinMismatchError):
        drive(engine, server)


def test_under_leaf_pin_nothing_above_the_leaf_is_seen(server: MemoryPeer) -> None:
    told = Told()
    drive(engine_for(pinned(trust="leaf-pin"), observer=told), server)
    (permit,) = told
    assert permit.chain is not None
    assert [item.der for item in permit.chain] == [GENUINE.der]


@pytest.mark.parametrize("pin", [ISSUER.pin, ROOT.pin], ids=["issuer", "root"])
def test_under_leaf_pin_a_pin_above_the_leaf_matches_nothing(server: MemoryPeer, pin: str) -> None:
    with pytest.raises(PinMismatchError):
        drive(engine_for(pinned(pin, trust="leaf-pin")), server)
    assert not server.finished


# What goes wrong while judging refuses


def test_an_error_of_the_judge_refuses(server: MemoryPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(judgements, "judge", broken)
    told = Told()
    engine = engine_for(pinned(mode="report-only"), observer=told)
    with pytest.raises(JudgementError, match="KeyError") as refused:
        drive(engine, server)
    assert isinstance(refused.value.__cause__, KeyError)
    assert told == [refused.value.refusal]
    assert engine.take() == b""
    assert not server.finished


def test_an_error_while_reading_the_chain_refuses(
    server: MemoryPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(tls: object) -> None:
        raise MemoryError

    monkeypatch.setattr(peer, "verified_chain", broken)
    with pytest.raises(JudgementError, match="MemoryError"):
        drive(engine_for(pinned()), server)
    assert not server.finished


@pytest.mark.parametrize("chain", [None, []], ids=["no chain", "empty chain"])
@pytest.mark.parametrize("mode", ["enforce", "report-only"])
def test_no_chain_refuses(
    server: MemoryPeer, monkeypatch: pytest.MonkeyPatch, chain: list[bytes] | None, mode: str
) -> None:
    monkeypatch.setattr(peer, "verified_chain", lambda tls: chain)
    told = Told()
    engine = engine_for(pinned(mode=mode), observer=told)
    with pytest.raises(NoVerifiedChainError):
        drive(engine, server)
    assert told.kinds == ["Refusal"]
    assert engine.judge.gate.permit is None


@pytest.mark.parametrize("lying", [0, 1, 2], ids=["verified", "served", "finished"])
@pytest.mark.parametrize("says", [None, ISSUER.der], ids=["nothing", "another"])
def test_witnesses_that_disagree_refuse(
    server: MemoryPeer, monkeypatch: pytest.MonkeyPatch, lying: int, says: bytes | None
) -> None:
    """A TLS library that was tampered with may forget one of the three."""
    told = Told()
    witnesses: list[bytes | None] = [GENUINE.der] * 3
    witnesses[lying] = says
    monkeypatch.setattr(peer, "leaves", lambda tls: tuple(witnesses))
    engine = engine_for(pinned(), observer=told)
    with pytest.raises(WitnessError):
        drive(engine, server)
    assert told.kinds == ["Refusal"]
    assert engine.judge.gate.permit is None
    assert engine.take() == b""


def test_a_context_changed_between_making_and_judging_refuses(server: MemoryPeer) -> None:
    policy = pinned()
    context = context_with(ROOT.issue_client(), policy)
    engine = engine_for(policy, context=context)
    context.check_hostname = False
    with pytest.raises(JudgementError, match="does not verify"):
        drive(engine, server)
    assert not server.finished


def test_a_context_changed_when_the_object_is_made_refuses() -> None:
    """The object keeps that mode; set back a moment later, the context would look as it should."""
    policy = pinned()
    context = context_with(ROOT.issue_client(), policy)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    told = Told()
    with pytest.raises(JudgementError, match="does not verify"):
        engine_for(policy, context=context, observer=told)
    assert told.kinds == ["Refusal"]


def test_an_observer_cannot_fail_a_connection(
    server: MemoryPeer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(decision: Permit | Refusal) -> None:
        raise ZeroDivisionError

    engine = engine_for(pinned(), observer=broken)
    drive(engine, server)
    assert state_of(engine) is State.OPEN
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pinio", logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_an_observer_cannot_save_a_connection(server: MemoryPeer) -> None:
    def broken(decision: Permit | Refusal) -> None:
        raise ZeroDivisionError

    with pytest.raises(PinMismatchError):
        drive(engine_for(MISPINNED, observer=broken), server)
    assert not server.finished


# Resumed sessions


def _session(tls_version: ssl.TLSVersion) -> tuple[ssl.SSLContext, ssl.SSLContext, ssl.SSLSession]:
    """An inner context, the server's, and a session between them that nobody vouches for."""
    policy = pinned()
    context = context_with(ROOT.issue_client(), policy)
    context.sslobject_class, latched = ssl.SSLObject, context.sslobject_class
    server_context = GENUINE.server_context(tls_version=tls_version)
    client, server = MemoryPeer(context, server_hostname="localhost"), MemoryPeer(server_context)
    shake_hands(client, server)
    client.receive(server.send(b"with the ticket"))
    session = client.tls.session
    assert session is not None
    context.sslobject_class = latched
    return context, server_context, session


def test_a_session_that_nobody_here_offered_is_no_evidence(tls_version: ssl.TLSVersion) -> None:
    context, server_context, session = _session(tls_version)
    told = Told()
    engine = engine_for(pinned(mode="report-only"), context=context, observer=told)
    with pytest.raises(PolicyError, match="skips the name check"):
        engine.tls.session = session
    engine.tls._sslobj.session = session  # type: ignore[attr-defined]  # past the latch
    with pytest.raises(NoVerifiedChainError, match="nobody here has offered"):
        drive(engine, MemoryPeer(server_context))
    assert engine.take() == b""
    assert told.kinds == ["Refusal"]


class Resumed:
    """A TLS object whose session was resumed; `leaf` is what `ssl` kept of its peer."""

    session_reused = True

    def __init__(self, policy: Policy, leaf: bytes = GENUINE.der) -> None:
        self.context = inner_context(Profile.of(policy.endpoint("localhost", 443)))
        self._leaf = leaf

    def getpeercert(self, binary_form: bool = False) -> bytes:
        return self._leaf


SEEN = Moment(datetime(2030, 1, 1, tzinfo=UTC).timestamp(), 1000.0)


def judge_resumed(
    policy: Policy,
    *,
    host: str = "localhost",
    wall: float = 60,
    steady: float = 60,
    leaf: bytes = GENUINE.der,
) -> Judge:
    """Put a session that was made with `host` so many seconds ago before its judge.

    Returns him in any case.
    """
    endpoint = policy.endpoint("localhost", 443)
    chain = VerifiedChain([GENUINE.der, ISSUER.der, ROOT.der])
    evidence = Evidence.of(host, chain, Profile.of(endpoint).identity, SEEN)
    now = Moment(SEEN.wall + wall, SEEN.monotonic + steady)
    judge = Judge(endpoint, Profile.of(endpoint), Told(), evidence=evidence, clock=lambda: now)
    tls: Any = Resumed(policy, leaf)
    with suppress(PinVerificationError):
        Handshake(judge).step(OpenSSLFacts(tls), lambda: None, None)
    return judge


def test_a_resumed_session_is_judged_by_its_evidence() -> None:
    """The positive control of those below: its age is told, and inherited by what the connection leaves behind."""
    judge = judge_resumed(pinned(f"ca:{ISSUER.pin}"), wall=60, steady=70)
    permit = judge.gate.permit
    assert permit is not None
    assert (permit.resumed, permit.evidence_age, permit.position) == (True, 70, 1)
    assert judge.session_evidence() is judge.evidence is not None


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"policy": MISPINNED}, PinMismatchError, "resumed session"),
        ({"policy": pinned(policy={"deny": [ROOT.pin]})}, DeniedKeyError, "denied"),
        (
            {"policy": pinned(expires=datetime(2030, 1, 1, 0, 1, tzinfo=UTC))},
            PinExpiredError,
            "expired",
        ),
        ({"host": "127.0.0.1"}, WitnessError, "made with another host"),
        ({"leaf": ISSUER.der}, WitnessError, "contradicts itself"),
        ({"wall": -1}, NoVerifiedChainError, "a clock ran backwards"),
        ({"steady": -1}, NoVerifiedChainError, "a clock ran backwards"),
    ],
    ids=["pins", "denied", "expired meanwhile", "host", "leaf", "wall clock", "steady clock"],
)
def test_what_changed_between_the_offer_and_the_verdict_refuses(
    changes: dict[str, Any], error: type[PinVerificationError], says: str
) -> None:
    """A session is judged before it is offered; whatever was true then is asked again."""
    judge = judge_resumed(**{"policy": pinned()} | changes)
    (refusal,) = cast(Told, judge.observer)
    assert isinstance(refusal, Refusal)
    assert refusal.resumed
    assert isinstance(refusal.error(), error)
    assert says in refusal.text()
    assert judge.gate.state in (State.REFUSED, State.CLOSED)
    assert judge.gate.permit is None


def test_the_other_name_of_a_resumed_session_has_its_say() -> None:
    both = Policy({**pinned().hosts, "url.test": pinned(ABSENT).hosts["localhost"]})
    endpoint = both.endpoint("localhost", 443, url_host="url.test")
    chain = VerifiedChain([GENUINE.der, ISSUER.der, ROOT.der])
    evidence = Evidence.of("localhost", chain, Profile.of(endpoint).identity, SEEN)
    judge = Judge(endpoint, Profile.of(endpoint), Told(), evidence=evidence, clock=lambda: SEEN)
    tls: Any = Resumed(both)
    with pytest.raises(PinMismatchError, match=r"url\.test leads to this connection"):
        Handshake(judge).step(OpenSSLFacts(tls), lambda: None, None)


def test_a_connection_that_is_asked_again_tells_the_age_of_its_evidence() -> None:
    """Also when its clock was set back meanwhile: the connection is as open as before."""
    judge = judge_resumed(pinned())
    for seconds, age in ((90, 90), (-90, 0)):
        judge.clock = lambda seconds=seconds: Moment(SEEN.wall + seconds, SEEN.monotonic + 60)  # type: ignore[misc]
        _, decision = judge.hold_against(pinned(f"ca:{ROOT.pin}"))
        assert isinstance(decision, Permit)
        assert (decision.resumed, decision.evidence_age) == (
            True,
            max(age, 60) if seconds > 0 else 0,
        )


def test_a_swap_is_judged_once_and_a_refusal_is_for_good(server: MemoryPeer) -> None:
    """Afterwards the policy is the one in force, and asking again costs one comparison; refused, the gate is shut."""
    first, later, wrong = pinned(), pinned(f"ca:{ISSUER.pin}"), pinned(ABSENT)

    class Source:
        current = first

    source, told = Source(), Told()
    endpoint = first.endpoint("localhost", 443)
    profile = Profile.of(endpoint)
    judge = Judge(endpoint, profile, told, source=source)
    engine = OpenSSLEngine(inner_context(profile), Handshake(judge))
    drive(engine, server)
    before = judge.gate.permit
    judge.recheck()
    assert judge.gate.permit is before
    source.current = later
    judge.recheck()
    assert judge.endpoint.policy is later
    renewed = judge.gate.permit
    assert renewed is not before
    judge.recheck()
    assert judge.gate.permit is renewed
    source.current = wrong
    with pytest.raises(PinMismatchError):
        judge.recheck()
    assert state_of(engine) is State.CLOSED
    assert engine.take() == b""
    assert told.kinds == ["Permit", "Refusal"]


def test_the_clock_is_read_for_each_judgement(server: MemoryPeer) -> None:
    """Pins that expire while the connection is being made have expired."""
    policy = pinned(expires=datetime(2030, 1, 1, tzinfo=UTC))
    endpoint = policy.endpoint("localhost", 443)
    profile = Profile.of(endpoint)
    in_2031 = Moment(datetime(2031, 1, 1, tzinfo=UTC).timestamp(), 0.0)
    judge = Judge(endpoint, profile, Told(), clock=lambda: in_2031)
    with pytest.raises(PinExpiredError) as refused:
        drive(OpenSSLEngine(inner_context(profile), Handshake(judge)), server)
    assert refused.value.refusal.time == in_2031.wall


def _written(engine: OpenSSLEngine, data: bytes) -> bytes:
    engine.write(data)
    return engine.take()
