"""How long, and under what, a full handshake vouches for the sessions that descend from it."""

from __future__ import annotations

import datetime as dt
import math
import pickle
from typing import Any

import pytest

from pinio.core.certificate import VerifiedChain
from pinio.core.evidence import MAX_AGE, Evidence, Moment, age
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Endpoint, Policy
from tests.core import forge
from tests.core.chains import HOST, NOW, A, B, C, asked, attacker, genuine
from tests.core.forge import Forged, tlv

LEAF, INTERMEDIATE, ROOT = genuine().pins
SEEN = Moment(NOW, 1000.0)
RIGHT = PinSet([LEAF, A])


def evidence(host: str = HOST) -> Evidence:
    made = Evidence.of(host, genuine().chain, "profile", SEEN)
    assert made is not None
    return made


def after(wall: float, monotonic: float | None = None) -> Moment:
    """So many seconds after the handshake, by both clocks or by each its own."""
    return Moment(SEEN.wall + wall, SEEN.monotonic + (wall if monotonic is None else monotonic))


def offered(
    endpoint: Endpoint, now: Moment | None = None, profile: str = "profile"
) -> float | None:
    return age(evidence(endpoint.host), endpoint, profile, now or after(10))


@pytest.mark.parametrize(
    ("now", "elapsed"),
    [
        (after(0), 0),
        (after(10), 10),
        (after(10, 3), 10),
        (after(3, 10), 10),
        (after(MAX_AGE - 1), MAX_AGE - 1),
        (after(MAX_AGE), None),
        (after(MAX_AGE + 1), None),
        (after(MAX_AGE, 0), None),
        (after(0, MAX_AGE), None),
        (after(-1, 10), None),
        (after(10, -1), None),
        (after(-1), None),
        (after(-1e9, 0), None),
        (after(math.nan, 10), None),
        (after(10, math.nan), None),
        (after(math.inf, 10), None),
    ],
)
def test_age_by_two_clocks(now: Moment, elapsed: float | None) -> None:
    """The larger difference counts; a clock that ran backwards, or that says nothing, ends it; at an hour it is over."""
    assert offered(asked(RIGHT), now) == elapsed


def test_age_counts_from_the_full_handshake() -> None:
    """A ticket renewed on a resumed connection keeps the evidence, so that a chain of resumptions ends."""
    first = evidence()
    renewed = pickle.loads(pickle.dumps(first))
    assert renewed == first
    assert age(renewed, asked(RIGHT), "profile", after(MAX_AGE - 1)) == MAX_AGE - 1
    assert age(renewed, asked(RIGHT), "profile", after(MAX_AGE)) is None


def test_another_host_is_no_evidence() -> None:
    """OpenSSL checks no name on resumption, so that a session made for one host says nothing about another."""
    wide = Policy({"**.example.com": RIGHT})
    assert age(evidence(), wide.endpoint(HOST), "profile", after(10)) == 10
    assert age(evidence(), wide.endpoint("www.example.com"), "profile", after(10)) is None
    assert (
        age(evidence(), wide.endpoint("www.example.com", url_host=HOST), "profile", after(10))
        is None
    )


def test_another_profile_is_no_evidence() -> None:
    """What was verified under other anchors, trust or TLS settings says nothing here."""
    assert offered(asked(RIGHT), profile="profile") == 10
    assert offered(asked(RIGHT), profile="other") is None
    assert offered(asked(RIGHT), profile="") is None


@pytest.mark.parametrize(
    ("pins", "expected"),
    [
        (RIGHT, 10),
        (PinSet(A, backup=LEAF), 10),
        (PinSet([f"ca:{ROOT}", A]), 10),
        (PinSet([f"cert-{A}", LEAF]), 10),
        (PinSet([LEAF, A], mode="report-only"), 10),
        (PinSet([A, B]), None),
        (PinSet([A, B], mode="report-only"), None),
        (PinSet([f"ca:{LEAF}", A]), None),
        (PinSet([LEAF, A], resumption=False), None),
        (PinSet([LEAF, A], expires=dt.datetime.fromtimestamp(NOW + 11, dt.UTC)), 10),
        (PinSet([LEAF, A], expires=dt.datetime.fromtimestamp(NOW + 10, dt.UTC)), None),
        (
            PinSet(
                [LEAF, A], expires=dt.datetime.fromtimestamp(NOW + 10, dt.UTC), on_expiry="report"
            ),
            None,
        ),
        (
            PinSet(
                [LEAF, A], expires=dt.datetime.fromtimestamp(NOW + 10, dt.UTC), mode="report-only"
            ),
            None,
        ),
    ],
    ids=range(13),
)
def test_the_policy_in_force_now_decides(pins: PinSet, expected: float | None) -> None:
    """After a swap the old chain must match the new pins; what was merely waived asks for a full handshake."""
    assert offered(asked(pins)) == expected


def test_hosts_without_pins_resume_nothing() -> None:
    """Neither exempt nor unlisted ones, nor one that is pinned no more."""
    for policy in (Policy({"x.test": [A, B]}, unpinned="allow"), Policy({}, exempt={HOST: "why"})):
        assert offered(policy.endpoint(HOST)) is None


@pytest.mark.parametrize("pin", [LEAF, INTERMEDIATE, ROOT], ids=["leaf", "intermediate", "root"])
def test_a_key_denied_since_ends_its_sessions(pin: str) -> None:
    """The deny list is looked at again, at every position."""
    policy = Policy({HOST: RIGHT}, deny=[C])
    assert offered(policy.endpoint(HOST)) == 10
    assert offered(policy.replace(deny=[C, pin]).endpoint(HOST)) is None


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (RIGHT, 10),
        (PinSet([A, B]), None),
        (PinSet([A, B], mode="report-only"), None),
        (RIGHT.replace(resumption=False), None),
        (RIGHT.replace(expires=dt.datetime.fromtimestamp(NOW, dt.UTC), on_expiry="report"), None),
    ],
    ids=range(5),
)
def test_the_other_name_has_its_say(other: PinSet, expected: float | None) -> None:
    """Both names' pins must match, and both sets must allow resumption."""
    both = Policy({"first.test": RIGHT, "second.test": other})
    assert offered(both.endpoint("first.test", url_host="second.test")) == expected


def _until(text: bytes, tag: int = forge.UTC_TIME) -> bytes:
    return Forged(validity=tlv(0x30, tlv(forge.UTC_TIME, b"200101000000Z"), tlv(tag, text))).der


def test_certificates_end_sessions_with_them() -> None:
    """The earliest `notAfter` of the chain is the end, to the second; a device's pinned key has no such end."""
    soon = dt.datetime.fromtimestamp(NOW + 60, dt.UTC)
    chain = VerifiedChain(
        [
            _until(b"491231235959Z"),
            _until(soon.strftime("%y%m%d%H%M%SZ").encode()),
            _until(b"491231235959Z"),
        ]
    )
    made = Evidence.of(HOST, chain, "profile", SEEN)
    assert made is not None
    assert made.not_after == NOW + 60
    pins = PinSet([chain.leaf.pin, A])
    assert age(made, asked(pins), "profile", after(59)) == 59
    assert age(made, asked(pins), "profile", after(60)) is None
    assert age(made, asked(pins.replace(trust="leaf-pin")), "profile", after(60)) == 60


@pytest.mark.parametrize(
    "chain",
    [
        (),
        (b"\x30\x80\x00\x00",),
        (genuine().leaf.der, b"\x30\x80\x00\x00"),
        (genuine().leaf.der, _until(b"4912312359Z")),
        (_until(b"whenever"), genuine().root.der),
        (Forged(validity=tlv(0x30)).der,),
    ],
    ids=["empty", "unreadable", "unreadable above", "without seconds", "no time", "no validity"],
)
def test_a_chain_whose_end_is_unknown_is_no_evidence(chain: tuple[bytes, ...]) -> None:
    """Sessions are kept only where it is certain until when."""
    assert Evidence.of(HOST, VerifiedChain(chain), "profile", SEEN) is None


def test_evidence_keeps_whole_certificates() -> None:
    """Tomorrow's policy may pin by another selector or algorithm; the chain answers that too."""
    for selector, algorithm in (("cert", "sha256"), ("spki", "sha512"), ("cert", "sha384")):
        choices: dict[str, Any] = {"selector": selector, "algorithm": algorithm}
        assert offered(asked([Pin.of_certificate(genuine().root.der, **choices), A])) == 10
        assert offered(asked([Pin.of_certificate(attacker().root.der, **choices), A])) is None
