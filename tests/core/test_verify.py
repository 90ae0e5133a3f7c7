"""What is true of a chain, and what follows from it: every verdict under every choice of a policy."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Endpoint, Policy, Rule
from pinio.core.verdict import Denied, Expired, Match, Mismatch, NoChain, NotPinned, Verdict
from pinio.core.verify import decide, judge, verify
from tests.core.chains import HOST, NOW, A, B, C, asked, attacker, genuine, judged
from tests.core.forge import Forged

LEAF, INTERMEDIATE, ROOT = genuine().pins
EXPIRES = dt.datetime.fromtimestamp(NOW, dt.UTC)
RIGHT, WRONG = PinSet([LEAF, A]), PinSet([A, B])


def reason(decision: Permit | Refusal) -> str | None:
    return decision.reason if isinstance(decision, Refusal) else None


def kind(decision: Permit | Refusal) -> type[Verdict]:
    assert decision.verdict is not None
    return type(decision.verdict)


@pytest.mark.parametrize("pins", [[LEAF, A], [A, INTERMEDIATE], [f"ca:{ROOT}", A]])
def test_a_pinned_chain_is_permitted(pins: list[str]) -> None:
    """One pin that matches is enough."""
    decision = judged(pins)
    assert isinstance(decision, Permit)
    assert decision.pinned
    assert str(decision.pin) in pins


@pytest.mark.parametrize(
    "pins", [[A, B], [f"ca:{LEAF}", A], [f"leaf:{ROOT}", A], [A, f"cert-{LEAF}"]]
)
def test_any_other_chain_is_refused(pins: list[str]) -> None:
    """No pin, no connection."""
    decision = judged(pins)
    assert isinstance(decision, Refusal)
    assert (reason(decision), kind(decision)) == ("PIN_MISMATCH", Mismatch)


def test_an_interceptor_s_chain_is_refused() -> None:
    """Same names, another key: whatever of the genuine chain is pinned."""
    for pin in genuine().pins:
        assert reason(judged([pin, A], attacker().chain)) == "PIN_MISMATCH"


@pytest.mark.parametrize("chain", [None, VerifiedChain(())], ids=["none", "empty"])
@pytest.mark.parametrize("mode", ["enforce", "report-only"])
@pytest.mark.parametrize("on_expiry", ["refuse", "report"])
@pytest.mark.parametrize("expires", [None, EXPIRES])
def test_no_chain_is_never_fine(
    chain: VerifiedChain | None, mode: Any, on_expiry: Any, expires: Any
) -> None:
    """Where pins are, nothing to compare them with refuses: report-only and an expired set waive no authentication."""
    pins = PinSet([LEAF, A], mode=mode, on_expiry=on_expiry, expires=expires)
    decision = judge(asked(pins), chain, NOW)
    assert (reason(decision), kind(decision)) == ("NO_VERIFIED_CHAIN", NoChain)


@pytest.mark.parametrize(
    ("mode", "on_expiry", "pins", "seconds", "expected"),
    [
        ("enforce", "refuse", LEAF, -1, (Match, None)),
        ("enforce", "refuse", LEAF, 0, (Expired, "PINS_EXPIRED")),
        ("enforce", "refuse", LEAF, 1, (Expired, "PINS_EXPIRED")),
        ("enforce", "refuse", B, -1, (Mismatch, "PIN_MISMATCH")),
        ("enforce", "refuse", B, 1, (Expired, "PINS_EXPIRED")),
        ("enforce", "report", LEAF, -1, (Match, None)),
        ("enforce", "report", LEAF, 1, (Expired, None)),
        ("enforce", "report", B, -1, (Mismatch, "PIN_MISMATCH")),
        ("enforce", "report", B, 1, (Expired, None)),
        ("report-only", "refuse", LEAF, -1, (Match, None)),
        ("report-only", "refuse", LEAF, 1, (Expired, None)),
        ("report-only", "refuse", B, -1, (Mismatch, None)),
        ("report-only", "refuse", B, 1, (Expired, None)),
        ("report-only", "report", B, 1, (Expired, None)),
    ],
)
def test_mode_and_expiry(
    mode: Any, on_expiry: Any, pins: str, seconds: int, expected: tuple[type, str | None]
) -> None:
    """A set counts until the second of its `expires`; report-only waives a mismatch and an expiry, `on_expiry` the latter."""
    decision = judged(
        PinSet([A, pins], mode=mode, on_expiry=on_expiry, expires=EXPIRES), now=NOW + seconds
    )
    assert (kind(decision), reason(decision)) == expected
    assert (decision.report is None) == (expected[0] is Match)
    if decision.report is not None:
        assert decision.report.enforced is isinstance(decision, Refusal)


def test_expiry_under_leaf_pin_refuses() -> None:
    """Where the pin is the trust, its end is the end."""
    pins = PinSet([LEAF, A], trust="leaf-pin", expires=EXPIRES)
    assert reason(judged(pins, now=NOW - 1)) is None
    assert reason(judged(pins, now=NOW)) == "PINS_EXPIRED"


def test_leaf_pin_judges_the_leaf_alone() -> None:
    """What an attacker puts behind his own leaf changes nothing."""
    forged = VerifiedChain([attacker().leaf.der, *genuine().ders])
    for pin in genuine().pins:
        assert reason(judged(PinSet([pin, A], trust="leaf-pin"), forged)) == "PIN_MISMATCH"
    assert reason(judged(PinSet([LEAF, A], trust="leaf-pin"))) is None


def test_a_leaf_that_has_its_ca_s_key_is_judged_by_place() -> None:
    """Interceptors issue leaves with their CA's own key: a `ca` pin does not match there."""
    ca = Forged()
    leaf, key = ca.but(serial=b"\x02\x01\x07"), Pin.of_public_key(ca.spki)
    alone, both = VerifiedChain([leaf.der]), VerifiedChain([leaf.der, ca.der])
    assert reason(judged([f"ca:{key}", A], alone)) == "PIN_MISMATCH"
    decision = judged([f"ca:{key}", A], both)
    assert isinstance(decision, Permit)
    assert decision.position == 1
    decision = judged([f"leaf:{key}", A], both)
    assert isinstance(decision, Permit)
    assert decision.position == 0


@pytest.mark.parametrize(
    "chain", [None, VerifiedChain(()), genuine().chain], ids=["none", "empty", "genuine"]
)
def test_hosts_without_pins(chain: VerifiedChain | None) -> None:
    """Let through under "allow" and by exemption, and told apart from pinned ones; refused under "refuse"."""
    allowing, exempting = (
        Policy({"x.test": [A, B]}, unpinned="allow"),
        Policy({}, exempt={HOST: "why"}),
    )
    for policy in (allowing, exempting):
        decision = judge(policy.endpoint(HOST), chain, NOW)
        assert isinstance(decision, Permit)
        assert kind(decision) is NotPinned
        assert (decision.pinned, decision.pin, decision.mode, decision.report) == (
            False,
            None,
            None,
            None,
        )
    refusing = Endpoint(HOST, 443, Policy({}), Rule())
    assert reason(judge(refusing, chain, NOW)) == "UNPINNED_HOST"


@dataclass(frozen=True)
class Listed:
    """How the host stands in the policy that denies."""

    hosts: dict[str, PinSet]
    exempt: dict[str, str]
    unpinned: Any = "refuse"


LISTED = {
    "pinned": Listed({HOST: PinSet([LEAF, A])}, {}),
    "report-only": Listed({HOST: PinSet([A, B], mode="report-only")}, {}),
    "expired, reported": Listed({HOST: PinSet([A, B], expires=EXPIRES, on_expiry="report")}, {}),
    "leaf-pin": Listed({HOST: PinSet([LEAF, A], trust="leaf-pin")}, {}),
    "exempt": Listed({}, {HOST: "why"}),
    "unlisted": Listed({"x.test": PinSet([A, B])}, {}, "allow"),
}


@pytest.mark.parametrize("selector", ["spki", "cert"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("listed", LISTED)
def test_a_denied_key_is_refused_everywhere(
    selector: Any, algorithm: Any, position: int, listed: str
) -> None:
    """At any position, for any host, in any mode, by any selector.

    Under `leaf-pin` only the leaf is anybody's key.
    """
    denied = Pin.of_certificate(genuine().ders[position], selector=selector, algorithm=algorithm)
    how = LISTED[listed]
    policy = Policy(how.hosts, exempt=how.exempt, unpinned=how.unpinned, deny=[C, denied])
    decision = judge(policy.endpoint(HOST), genuine().chain, NOW)
    if listed == "leaf-pin" and position > 0:
        assert reason(decision) is None
    else:
        assert reason(decision) == "DENIED_KEY"
        assert isinstance(decision.verdict, Denied)
        assert (decision.verdict.pin, decision.verdict.position) == (denied, position)


@pytest.mark.parametrize("listed", LISTED)
def test_a_deny_list_needs_something_to_look_at(listed: str) -> None:
    """Where keys are denied, no chain refuses every host, and so does a certificate whose key cannot be read."""
    how = LISTED[listed]
    policy = Policy(how.hosts, exempt=how.exempt, unpinned=how.unpinned, deny=[C])
    unreadable = b"\x30\x80\x00\x00"
    for chain in (
        None,
        VerifiedChain(()),
        VerifiedChain([unreadable]),
        VerifiedChain([unreadable, *genuine().ders]),
    ):
        assert reason(judge(policy.endpoint(HOST), chain, NOW)) == "NO_VERIFIED_CHAIN"
    assert reason(judge(policy.endpoint(HOST), genuine().chain, NOW)) is None


@pytest.mark.parametrize(
    ("first", "second", "expected", "told"),
    [
        (RIGHT, RIGHT, None, "first.test"),
        (RIGHT, WRONG, "PIN_MISMATCH", "second.test"),
        (WRONG, RIGHT, "PIN_MISMATCH", "first.test"),
        (WRONG, WRONG, "PIN_MISMATCH", "first.test"),
        (RIGHT, WRONG.replace(mode="report-only"), None, "second.test"),
        (WRONG.replace(mode="report-only"), RIGHT, None, "first.test"),
        (WRONG.replace(mode="report-only"), WRONG, "PIN_MISMATCH", "second.test"),
        (RIGHT, RIGHT.replace(expires=EXPIRES), "PINS_EXPIRED", "second.test"),
        (RIGHT, RIGHT.replace(expires=EXPIRES, on_expiry="report"), None, "second.test"),
        (None, RIGHT, None, "first.test"),
        (None, WRONG, "PIN_MISMATCH", "second.test"),
        (None, WRONG.replace(mode="report-only"), None, "second.test"),
    ],
)
def test_both_names_of_a_connection_must_pass(
    first: PinSet | None, second: PinSet, expected: str | None, told: str
) -> None:
    """The worse decision counts, and says whose pins it was: a refusal before a waived mismatch, before a match."""
    hosts = {"second.test": second} | ({} if first is None else {"first.test": first})
    policy = Policy(hosts, exempt={"first.test": "why"} if first is None else {})
    decision = judge(
        policy.endpoint("first.test", 443, url_host="second.test"), genuine().chain, NOW
    )
    assert reason(decision) == expected
    assert decision.pattern == told
    assert decision.host == "first.test"
    if isinstance(decision, Refusal) and told == "second.test":
        assert "second.test leads to this connection, so that its pins count too" in decision.text()


class Strange(Verdict):
    """A verdict that nobody has heard of."""

    __slots__ = ()


@pytest.mark.parametrize("mode", ["enforce", "report-only"])
def test_an_unknown_verdict_refuses(mode: Any) -> None:
    """What is not listed is not permitted, in any mode and for any host."""
    endpoint = asked(PinSet([LEAF, A], mode=mode, on_expiry="report"))
    for verdict in (Strange(endpoint.rule), Verdict(endpoint.rule), Strange(Rule())):
        decision = decide(endpoint, verdict, genuine().chain, NOW)
        assert reason(decision) == "NO_VERIFIED_CHAIN"
    allowing = Policy({"x.test": [A, B]}, unpinned="allow").endpoint(HOST)
    assert reason(decide(allowing, Strange(Rule()), genuine().chain, NOW)) == "NO_VERIFIED_CHAIN"


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Mismatch(Rule("x", None, "why")), "PIN_MISMATCH"),
        (Expired(Rule("x", None, "why")), "PINS_EXPIRED"),
        (Denied(Rule("x", None, "why"), Pin.parse(A), 0), "DENIED_KEY"),
        (NoChain(Rule("x", None, "why")), "NO_VERIFIED_CHAIN"),
    ],
)
def test_an_exemption_waives_nothing_but_the_lack_of_pins(verdict: Verdict, expected: str) -> None:
    """Neither does `unpinned="allow"`."""
    allowing = Policy({"x.test": [A, B]}, unpinned="allow").endpoint(HOST)
    assert reason(decide(allowing, verdict, None, NOW)) == expected


def test_a_decision_says_everything() -> None:
    """Host, port, pattern, pin, position, backup, mode, expiry, revision, time, chain, and where the evidence came from."""
    expires = EXPIRES + dt.timedelta(days=1)
    policy = Policy(
        {"**.example.com": PinSet(A, backup=INTERMEDIATE, expires=expires)}, revision="r9"
    )
    permit = judge(policy.endpoint(HOST, 8443), genuine().chain, NOW)
    assert isinstance(permit, Permit)
    assert (permit.host, permit.port, permit.pattern, permit.revision) == (
        HOST,
        8443,
        "**.example.com",
        "r9",
    )
    assert (str(permit.pin), permit.position, permit.backup) == (INTERMEDIATE, 1, True)
    assert (permit.mode, permit.expires, permit.exempt, permit.time) == (
        "enforce",
        expires,
        None,
        NOW,
    )
    assert (permit.chain, permit.resumed, permit.evidence_age) == (genuine().chain, False, None)
    resumed = judge(policy.endpoint(HOST, 8443), genuine().chain, NOW, 12.5)
    assert (resumed.resumed, resumed.evidence_age) == (True, 12.5)
    refused = judge(policy.endpoint(HOST, 8443), attacker().chain, NOW, 0.0)
    assert isinstance(refused, Refusal)
    assert (refused.host, refused.port, refused.pattern, refused.revision) == (
        HOST,
        8443,
        "**.example.com",
        "r9",
    )
    assert [str(pin) for pin in refused.expected] == [A, INTERMEDIATE]
    assert (refused.chain, refused.time, refused.resumed, refused.evidence_age) == (
        attacker().chain,
        NOW,
        True,
        0.0,
    )


def test_verify_is_pure() -> None:
    """The same question has the same answer, and the time is the caller's."""
    endpoint = asked(RIGHT)
    answers = {repr(verify(endpoint.policy, endpoint.rule, genuine().chain, NOW)) for _ in range(3)}
    assert len(answers) == 1
    assert verify(endpoint.policy, endpoint.rule, genuine().chain, -1e9) == Match(
        endpoint.rule, Pin.parse(LEAF), 0, backup=False
    )


@pytest.mark.parametrize("mode", ["enforce", "report-only"])
def test_the_other_name_decides_with_all_that_is_known(
    mode: Literal["enforce", "report-only"],
) -> None:
    """What refuses, or is waived, for the other name has the chain and the age of its evidence too."""
    other = WRONG.replace(mode=mode)
    endpoint = Policy({HOST: RIGHT, "url.test": other}).endpoint(HOST, 443, url_host="url.test")
    decision = judge(endpoint, genuine().chain, NOW, 10.0)
    assert kind(decision) is Mismatch
    assert isinstance(decision, Refusal if mode == "enforce" else Permit)
    assert decision.chain == genuine().chain and decision.evidence_age == 10.0
