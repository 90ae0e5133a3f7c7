"""Permits that nobody can make, and refusals that say everything in words that can be pasted."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import pickle
import warnings
from typing import Any

import pytest

from pinio.core import message
from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy, Rule
from pinio.core.verdict import Denied, Match, Mismatch, NotPinned
from pinio.core.verify import judge
from pinio.errors import BY_REASON, PinVerificationError, TLSFailedError
from tests.core import forge
from tests.core.chains import HOST, NOW, A, B, C, attacker, genuine, judged
from tests.core.forge import Forged, tlv

CHAIN = VerifiedChain(
    [
        Forged(subject=forge.name("api.example.com"), spki=forge.some_spki(0x41)).der,
        Forged(subject=forge.name("Example Issuing CA 3"), spki=forge.some_spki(0x42)).der,
    ]
)


def refused(chain: VerifiedChain | None = CHAIN, **choices: Any) -> Refusal:
    """Refused under a policy with two pins and a revision."""
    pins = PinSet(A, backup=B).replace(**choices)
    policy = Policy({"**.example.com": pins}, revision="2026-11-02#7")
    decision = judge(policy.endpoint("api.example.com", 443), chain, NOW)
    assert isinstance(decision, Refusal)
    return decision


def test_the_golden_message() -> None:
    """The layout that the manual shows: chain with pins, pins with policy and pattern, a hint."""
    assert refused().text() == (
        "api.example.com:443 is pinned, and no certificate in the verified chain matches.\n"
        "  verified chain:\n"
        "    sha256/zXIUNkX1ShT3PW0TiKnbhxX8Q2LnLFh9xSd75kM6siY=  leaf  CN=api.example.com\n"
        "    sha256/nto+4S0PiYNQ2NYNVNLSq1AaLNEi7046MUsghiYkyL8=  ca    CN=Example Issuing CA 3\n"
        "  pinned (policy 2026-11-02#7, pattern **.example.com):\n"
        "    sha256/Af4B/gH+Af4B/gH+Af4B/gH+Af4B/gH+Af4B/gH+Af4=\n"
        "    sha256/Av0C/QL9Av0C/QL9Av0C/QL9Av0C/QL9Av0C/QL9Av0=  backup\n"
        "  hint: if the keys were rotated on purpose, look at them from a trusted network: pinio pins api.example.com"
    )


@pytest.mark.parametrize(
    ("host", "port", "target"),
    [
        ("api.example.com", None, "api.example.com"),
        ("api.example.com", 443, "api.example.com"),
        ("api.example.com", 8443, "api.example.com:8443"),
        ("2001:db8::1", 443, "2001:db8::1"),
        ("2001:db8::1", 8443, "[2001:db8::1]:8443"),
    ],
)
def test_the_hint_leads_to_the_same_server(host: str, port: int | None, target: str) -> None:
    """What it says to run is what `pinio pins` takes."""
    assert Refusal("PIN_MISMATCH", host, port).text().endswith(f"pinio pins {target}")


def test_expired_pins_say_when() -> None:
    """The date stands beside the pattern."""
    text = refused(expires=dt.datetime(2026, 6, 30, tzinfo=dt.UTC)).text()
    assert text.startswith("api.example.com:443 is pinned, and its pins have expired.\n")
    assert "pattern **.example.com, expired 2026-06-30T00:00:00Z):" in text


@pytest.mark.parametrize(
    ("waiver", "first"),
    [
        (
            {"mode": "report-only"},
            "is pinned, and no certificate in the verified chain matches (report-only).",
        ),
        (
            {"on_expiry": "report", "expires": dt.datetime(2026, 6, 30, tzinfo=dt.UTC)},
            'is pinned, and its pins have expired (on_expiry="report").',
        ),
    ],
)
def test_what_is_waived_reads_like_a_refusal(waiver: dict[str, Any], first: str) -> None:
    """The same chain, pins and hint; the first line says what let the connection through."""
    policy = Policy({"**.example.com": PinSet(A, backup=B, **waiver)}, revision="2026-11-02#7")
    waived = judge(policy.endpoint("api.example.com", 443), CHAIN, NOW)
    assert isinstance(waived, Permit)
    lines = message.waived(waived).splitlines()
    refusal = refused(**waiver | {"mode": "enforce", "on_expiry": "refuse"})
    assert lines == [f"api.example.com:443 {first}", *refusal.text().splitlines()[1:]]


def test_a_denied_key_is_named() -> None:
    """In place of the pins, which do not matter."""
    policy = Policy({"**.example.com": [A, B]}, deny=str(CHAIN.certificates[1].pin))
    decision = judge(policy.endpoint(HOST), CHAIN, NOW)
    assert isinstance(decision, Refusal)
    text = decision.text()
    assert text.startswith("api.example.com shows a key that the policy denies.\n")
    assert f"  denied:\n    {CHAIN.certificates[1].pin}\n" in text
    assert A not in text


def test_a_device_is_said_to_be_verified_by_nobody() -> None:
    """Under "leaf-pin" the message must not lend a certificate what it has not."""
    leaf = VerifiedChain([CHAIN.leaf.der])
    text = refused(leaf, trust="leaf-pin").text()
    assert text.startswith("api.example.com:443 is pinned, and its certificate does not match.\n")
    assert (
        f"  certificate (verified by nobody):\n    {leaf.leaf.pin}  leaf  CN=api.example.com\n"
        in text
    )
    assert "verified chain" not in text


def test_a_resumed_session_is_called_one() -> None:
    """The chain was shown earlier."""
    policy = Policy({HOST: [A, B]})
    decision = judge(policy.endpoint(HOST), CHAIN, NOW, 30.0)
    assert isinstance(decision, Refusal)
    assert "  verified chain of the resumed session:\n" in decision.text()


def test_details_and_what_is_missing() -> None:
    """A detail takes a line of its own, escaped; without chain, rule, port and revision their lines are left out."""
    assert Refusal("JUDGEMENT_FAILED", "a.test", detail="Key\nError").text() == (
        "a.test could not be judged because of an error, and is therefore refused:\n"
        "  Key\\nError\n"
        "  hint: the error is this one's __cause__"
    )
    assert (
        Refusal("UNPINNED_HOST", "::1", 443)
        .text()
        .startswith("[::1]:443 has no pins, and the policy refuses")
    )
    assert (
        "pinned (pattern a.test):"
        in Refusal("PIN_MISMATCH", "a.test", noted=Rule("a.test", PinSet([A, B]))).text()
    )


@pytest.mark.parametrize("reason", [*BY_REASON, TLSFailedError.code])
def test_every_reason_has_words_a_hint_and_an_error(reason: str) -> None:
    """No reason code falls through."""
    refusal = Refusal(reason, "a.test", 443)
    assert refusal.text() == f"a.test:443 {message._SUMMARIES[reason]}.\n  hint: {refusal.hint()}"
    assert len(refusal.hint()) > 15
    assert type(refusal.error()) is BY_REASON.get(reason, TLSFailedError)
    assert str(refusal.error()) == refusal.text()
    assert set(message._SUMMARIES) == {*BY_REASON, TLSFailedError.code}


def test_an_unknown_reason_refuses_all_the_same() -> None:
    """A code of a later version, read from a pickle, is still an error."""
    refusal = Refusal("NOT_YET_INVENTED", "a.test", 443)
    assert refusal.summary() == "a.test:443 was refused"
    assert "a.test:443 was refused" in refusal.text()
    assert type(refusal.error()) is PinVerificationError


HOSTILE = {
    "newline": forge.name("good\n  hint: run `curl -k`"),
    "escape": forge.name("\x1b]0;pwned\x07\x1b[2J"),
    "bidi": forge.name("\u202egnp.exe"),
    "64 KB": forge.name("A" * 65536),
    "wrong encoding": forge.name(b"\xff\xfe\x00", tag=0x1E),
    "illegal country": forge.name("Internet", kind=b"\x06\x03\x55\x04\x06"),
    "surrogate": forge.name(b"\xd8\x00", tag=0x1E),
    "no name": tlv(0x30),
    "noise": tlv(0x30, b"\x31\x03abc"),
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_changes_nothing_but_its_own_line(name: bytes) -> None:
    """With warnings as errors too: same verdict, same lines, each printable, and no longer than a screen."""
    plain = refused(VerifiedChain([Forged().der])).text().splitlines()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = str(refused(VerifiedChain([Forged(subject=name).der])).error())
    lines = text.splitlines()
    assert [line for line in lines if "leaf" not in line] == [
        line for line in plain if "leaf" not in line
    ]
    assert len(lines) == len(plain)
    assert all(line.isprintable() and len(line) < 1500 for line in text.split("\n"))


def test_a_long_chain_is_clipped() -> None:
    """A hundred certificates make ten lines and a count."""
    chain = VerifiedChain([Forged(serial=tlv(2, bytes((number,)))).der for number in range(1, 101)])
    text = refused(chain).text()
    assert "    ... and 90 certificates more\n" in text
    assert text.count("\n") < 20


def test_a_failure_to_word_it_never_hides_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised with its summary and all its data, whatever goes wrong with the words."""
    refusal = refused()

    def fail(*_: object) -> list[str]:
        raise RecursionError("deep")

    monkeypatch.setattr(message, "chain_lines", fail)
    error = refusal.error()
    assert str(error) == f"{refusal.summary()} (the details could not be worded: RecursionError)"
    assert error.refusal is refusal
    assert error.reason == "PIN_MISMATCH"


def permit() -> Permit:
    decision = judged([genuine().leaf.pin, A])
    assert isinstance(decision, Permit)
    return decision


def test_a_permit_cannot_be_made_by_hand() -> None:
    """Neither by its constructor, nor by replacing a field of a real one, nor by changing it."""
    with pytest.raises(TypeError, match="made by a judgement"):
        Permit()
    with pytest.raises(TypeError):
        Permit("evil.test", 443)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        dataclasses.replace(permit(), host="evil.test")
    for name in ("host", "verdict", "chain", "revision", "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(permit(), name, "evil.test")


def test_a_verdict_cannot_be_changed() -> None:
    """What was observed stays observed."""
    verdict = permit().verdict
    for name in ("pin", "position", "backup", "rule"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(verdict, name, None)


VALUES: dict[str, Any] = {
    "permit": permit(),
    "waived permit": judged(PinSet([A, B], mode="report-only")),
    "unpinned permit": judge(Policy({}, exempt={HOST: "why"}).endpoint(HOST), None, NOW),
    "refusal": refused(),
    "refusal without a chain": refused(None),
    "refusal by hand": Refusal("NO_SERVER_NAME", "a.test", noted=Rule("a.test", PinSet([A, B]))),
    "denied": judge(
        Policy({}, deny=genuine().pins[1], exempt={HOST: "why"}).endpoint(HOST),
        genuine().chain,
        NOW,
    ),
    "match": permit().verdict,
    "mismatch": Mismatch(Rule("a.test", PinSet([A, B]))),
    "error": refused().error(),
    "report": refused().report,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_every_value_pickles_and_copies(value: Any) -> None:
    """To another process or into a log queue, and equal there.

    A copied permit is a copy of a permit that was minted.
    """
    for same in (
        *(pickle.loads(pickle.dumps(value, level)) for level in (2, 5)),
        copy.copy(value),
        copy.deepcopy(value),
    ):
        assert type(same) is type(value)
        assert repr(same) == repr(value)
        if not isinstance(value, PinVerificationError):
            assert same == value
            assert hash(same) == hash(value)


def test_permits_compare_by_content() -> None:
    """Equal judgements are equal permits."""
    assert permit() == permit()
    assert permit() != judged([genuine().leaf.pin, B])
    assert permit().verdict == Match(
        permit().verdict.rule, Pin.parse(genuine().leaf.pin), 0, backup=False
    )


def test_what_permits_and_refusals_say_where_nothing_was_judged() -> None:
    """Absent things are None or empty, never an AttributeError in an observer."""
    bare = Refusal("PLAINTEXT_REFUSED", "a.test")
    assert (bare.rule, bare.pattern, bare.expected, bare.report, bare.resumed) == (
        None,
        None,
        (),
        None,
        False,
    )
    exempt = VALUES["unpinned permit"]
    assert (exempt.pinned, exempt.pin, exempt.position, exempt.backup) == (False, None, None, False)
    assert (exempt.mode, exempt.expires, exempt.exempt, exempt.pattern) == (None, None, "why", HOST)
    unlisted = Refusal("UNPINNED_HOST", "a.test", verdict=NotPinned(Rule()))
    assert (unlisted.expected, unlisted.report) == ((), None)
    assert isinstance(VALUES["denied"].verdict, Denied)
    assert VALUES["denied"].report.noted_hostname == HOST
    assert str(attacker().chain.leaf.pin) not in VALUES["denied"].text()
    assert C not in VALUES["denied"].text()
