"""What a set of pins may say, and how a chain is held against it."""

from __future__ import annotations

import datetime as dt
import pickle
import re
from typing import Any
from unittest import mock

import pytest

from pinio.core.anchors import Anchors
from pinio.core.certificate import Certificate
from pinio.core.pin import Pin
from pinio.core.pinset import MAX_PINS, PinSet
from pinio.errors import PinFormatError, PinWarning, PolicyError
from tests.core.chains import A, B, C, genuine, pin
from tests.core.forge import Forged

CHAIN = tuple(Certificate.of(der) for der in genuine().ders)
LEAF, INTERMEDIATE, ROOT = (Pin.parse(text) for text in genuine().pins)


def role(name: str, of: Pin) -> str:
    return f"{name}:{of}"


def test_pins_come_as_text_as_pins_or_several() -> None:
    """One or many, `Pin` or text, in any iterable, mean the same set."""
    expected = PinSet([A, B])
    assert (
        expected
        == PinSet((pin(1), B))
        == PinSet(part for part in (A, pin(2)))
        == PinSet({A: 1, B: 2})
    )
    assert expected.pins == (pin(1), pin(2))
    assert PinSet(A, backup=B).backup == (pin(2),)
    assert PinSet(pin(1), single="a lab").pins == PinSet(A, single="a lab").pins == (pin(1),)


@pytest.mark.parametrize(
    ("pins", "why"),
    [
        ([], "a pin set without pins would refuse everybody"),
        ((), "a pin set without pins"),
        ("", "is not a pin"),
        (None, "pins are text, Pin, or several of them, not NoneType"),
        (7, "pins are text, Pin, or several of them, not int"),
        (b"sha256/x", "pins are text, Pin, or several of them, not bytes"),
        ([A, None], "a pin is text such as"),
        ([A, b"x"], "a pin is text such as"),
        ([[A, B]], "a pin is text such as"),
        (PinSet([A, B]), "pins are text, Pin, or several of them, not PinSet"),
        (
            [Pin(number.to_bytes(32, "big")) for number in range(1, MAX_PINS + 2)],
            "1001 pins; a set holds at most 1000",
        ),
    ],
)
def test_what_is_no_set_of_pins_is_refused(pins: Any, why: str) -> None:
    """Empty, of the wrong type, or over-long: a typed error that says so."""
    with pytest.raises((PinFormatError, PolicyError), match=why):
        PinSet(pins)


@pytest.mark.parametrize(
    ("pins", "backup"),
    [
        ([A, B, A], []),
        ([A, A.replace("sha256/", "sha256//"), B], []),
        ([A, f'pin-sha256="{A.removeprefix("sha256/")}"', B], []),
        ([pin(1), A, B], []),
        ([A, B], [A]),
        ([A, B, B, B], [A, B, A]),
    ],
    ids=range(6),
)
def test_a_pin_that_stands_there_twice_counts_once(pins: list[Any], backup: list[Any]) -> None:
    """In any spelling; one that is in service is no backup."""
    with pytest.warns(PinWarning, match="stands in the set twice"):
        found = PinSet(pins, backup=backup)
    assert found == PinSet([A, B])
    assert pickle.loads(pickle.dumps(found)) == found.replace() == found


def test_backups_are_there_once() -> None:
    with pytest.warns(PinWarning, match=f"^{re.escape(B)} stands in the set twice, as a backup"):
        assert PinSet(A, backup=[B, C, B]).backup == (pin(2), pin(3))


def test_one_warning_says_how_many_pins_are_there_twice() -> None:
    with pytest.warns(PinWarning, match="and counts once; so do 2 more$") as told:
        PinSet([A, A, B, B, C, C])
    assert len(told) == 1


def test_one_pin_twice_is_one_pin() -> None:
    with pytest.warns(PinWarning) as told:
        assert PinSet(A, backup=A).backup == ()
    assert [str(warning.message).partition(" ")[2][:20] for warning in told] == [
        "stands in the set tw",
        "pin and no backup: l",
    ]


def test_a_second_argument_is_told_where_it_belongs() -> None:
    """For Python it is a wrong call, for pinio a wrong policy."""
    anyhow: Any = PinSet
    for kind in (PolicyError, TypeError):
        with pytest.raises(kind, match=r"PinSet\(\[A, B\]\), or PinSet\(A, backup=B\)") as caught:
            anyhow(A, B)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_another_role_is_another_pin() -> None:
    assert len(PinSet(f"leaf:{A}", backup=f"ca:{A}", single="one key").backup) == 1
    with pytest.raises(PolicyError, match="without pins"):
        PinSet([], backup=A)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"mode": "report"}, r"mode is one of \('enforce', 'report-only'\), not 'report'"),
        ({"mode": None}, "mode is one of"),
        ({"mode": ["enforce"]}, "mode is one of"),
        ({"mode": mock.ANY}, "mode is one of"),
        ({"on_expiry": "allow"}, "on_expiry is one of"),
        ({"trust": "none"}, "trust is one of"),
        ({"anchors": "ca.pem"}, "anchors is an Anchors value"),
        ({"resumption": "yes"}, "resumption is True or False"),
        ({"resumption": 1}, "resumption is True or False"),
        ({"single": True}, "single is the reason why one pin is enough, in words"),
        ({"single": ""}, "single is the reason"),
        ({"single": "  "}, "single is the reason"),
        (
            {"trust": "leaf-pin", "mode": "report-only"},
            "the pin is the only authentication; it cannot be waived",
        ),
        (
            {"trust": "leaf-pin", "on_expiry": "report"},
            "the pin is the only authentication; it cannot be waived",
        ),
        ({"trust": "leaf-pin", "anchors": Anchors()}, "no CA decides; anchors would mean nothing"),
        (
            {"trust": "leaf-pin", "backup": f"ca:{C}"},
            "nobody verified the chain, so a ca pin proves nothing",
        ),
        (
            {"trust": "leaf-pin", "pins": [A, f"ca:{C}"]},
            "nobody verified the chain, so a ca pin proves nothing",
        ),
        (
            {"trust": "leaf-pin", "pins": [A, f"ca:cert-{C}"]},
            "nobody verified the chain, so a ca pin proves nothing",
        ),
    ],
    ids=range(18),
)
def test_choices_that_make_no_sense_are_refused(arguments: dict[str, Any], why: str) -> None:
    """Every choice is one of its words, and under `leaf-pin` nothing can waive or replace the pin."""
    two: dict[str, Any] = {"pins": [A, B]}
    with pytest.raises(PolicyError, match=why):
        PinSet(**two | arguments)


class Tomorrow(dt.datetime):
    """A datetime as date libraries make them."""

    def astimezone(self, tz: dt.tzinfo | None = None) -> Tomorrow:
        return type(self).fromtimestamp(super().timestamp(), tz)


def test_expires_is_a_plain_moment_in_utc() -> None:
    """Any aware datetime, in any zone and of any subclass, becomes the same plain one."""
    expires = dt.datetime(2027, 6, 30, 12, tzinfo=dt.UTC)
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    for same in (expires, expires.astimezone(zone), Tomorrow(2027, 6, 30, 12, tzinfo=dt.UTC)):
        pins = PinSet([A, B], expires=same)
        assert pins.expires == expires
        assert type(pins.expires) is dt.datetime
        assert pins.expires.tzinfo is dt.UTC
        assert pins.expires_at == expires.timestamp()
        assert pins == PinSet([A, B], expires=expires)
    assert PinSet([A, B]).expires is None
    assert PinSet([A, B]).expires_at is None


@pytest.mark.parametrize(
    "expires",
    [
        dt.datetime(2027, 6, 30),  # noqa: DTZ001
        Tomorrow(2027, 6, 30),
        dt.date(2027, 6, 30),
        "2027-06-30T00:00:00Z",
        1814313600,
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))),
        dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=12))),
    ],
    ids=[
        "naive",
        "naive subclass",
        "date",
        "text",
        "number",
        "before the year 1",
        "after the year 9999",
    ],
)
def test_a_moment_that_is_not_one_everywhere_is_refused(expires: Any) -> None:
    """Naive or unparsed times are errors: the end of a pin must not depend on the zone of a machine."""
    with pytest.raises(PolicyError, match="expires"):
        PinSet([A, B], expires=expires)


@pytest.mark.parametrize(
    "arguments", [{"pins": [A, B]}, {"pins": A, "backup": B}, {"pins": A, "single": "a lab"}]
)
def test_two_pins_or_a_reason_warn_of_nothing(arguments: dict[str, Any]) -> None:
    """A backup or the words why none is needed silence the warning (warnings are errors here)."""
    assert PinSet(**arguments).pins[0] == pin(1)


@pytest.mark.parametrize("pins", [A, [f"leaf:{A}", f"ca:{A}"]])
def test_one_key_without_a_reason_warns(pins: Any) -> None:
    """Two pins of one key are lost together."""
    with pytest.warns(
        PinWarning, match="one pin and no backup: losing that key locks every client out"
    ):
        PinSet(pins)


@pytest.mark.parametrize(
    ("pins", "position", "backup"),
    [
        ([str(LEAF), A], 0, False),
        ([A, str(INTERMEDIATE)], 1, False),
        ([str(ROOT), A], 2, False),
        ([role("leaf", LEAF), A], 0, False),
        ([role("ca", INTERMEDIATE), A], 1, False),
        ([role("ca", ROOT), A], 2, False),
        ([role("leaf", INTERMEDIATE), A], None, None),
        ([role("leaf", ROOT), A], None, None),
        ([role("ca", LEAF), A], None, None),
        ([A, B, C], None, None),
    ],
)
def test_a_role_says_where_a_pin_may_match(
    pins: list[str], position: int | None, backup: bool | None
) -> None:
    """`leaf` is position 0, `ca` every other, no role all of them."""
    found = PinSet(pins).match(CHAIN)
    assert (None if found is None else found[1:]) == (
        None if position is None else (position, backup)
    )
    if found is not None:
        assert str(found[0]) in pins


def test_a_backup_matches_and_says_so() -> None:
    """A match by a backup is the signal that the keys were rotated; a pin in service at the same place goes first."""
    assert PinSet(A, backup=str(LEAF)).match(CHAIN) == (LEAF, 0, True)
    assert PinSet(str(LEAF), backup=str(ROOT)).match(CHAIN) == (LEAF, 0, False)
    assert PinSet([str(LEAF), A], backup=str(INTERMEDIATE)).match(CHAIN[1:]) == (
        INTERMEDIATE,
        0,
        True,
    )


def test_a_leaf_with_the_key_of_its_ca_is_told_apart_by_place() -> None:
    """Interceptors reuse their CA's key for the leaf: a `ca` pin never matches at position 0, a `leaf` pin never above it."""
    ca = Forged()
    chain = [Certificate.of(ca.but(serial=b"\x02\x01\x07").der), Certificate.of(ca.der)]
    key = Pin.of_public_key(ca.spki)
    assert chain[0].spki == chain[1].spki
    for name, position in (("leaf", 0), ("ca", 1)):
        pins = PinSet(role(name, key), single="test")
        found = pins.match(chain)
        assert found is not None
        assert found[1] == position
    assert PinSet(role("ca", key), single="test").match(chain[:1]) is None
    assert PinSet(role("leaf", key), single="test").match([CHAIN[0], chain[1]]) is None


def test_leaf_pin_looks_at_the_leaf_alone() -> None:
    """Without verification the rest of a chain is whatever the peer liked to send."""
    assert PinSet([str(INTERMEDIATE), A], trust="leaf-pin").match(CHAIN) is None
    assert PinSet([str(ROOT), A], trust="leaf-pin").match(CHAIN) is None
    assert PinSet([str(LEAF), A], trust="leaf-pin").match(CHAIN) == (LEAF, 0, False)
    assert PinSet([str(LEAF), A], trust="leaf-pin").match(CHAIN[1:]) is None


@pytest.mark.parametrize("selector", ["spki", "cert"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("position", range(3))
def test_every_selector_and_algorithm_matches(selector: Any, algorithm: Any, position: int) -> None:
    """Beside pins of other kinds, each kind is compared with its own digest."""
    wanted = Pin.of_certificate(genuine().ders[position], selector=selector, algorithm=algorithm)
    assert PinSet([wanted, A, f"cert-{B}"]).match(CHAIN) == (wanted, position, False)


def test_a_digest_counts_for_its_own_selector_only() -> None:
    """The digest of a key pinned as that of a certificate matches nothing, and the other way round."""
    swapped = [
        Pin(LEAF.digest, "cert"),
        Pin(Pin.of_certificate(CHAIN[0].der, selector="cert").digest, "spki"),
    ]
    assert PinSet(swapped).match(CHAIN) is None


def test_nothing_matches_nothing() -> None:
    """An empty chain, and certificates that cannot be read, have no pins."""
    unreadable = Certificate.of(b"\x30\x80\x00\x00")
    for pins in (PinSet([A, B]), PinSet([A, f"cert-{B}"]), PinSet([A, B], trust="leaf-pin")):
        assert pins.match(()) is None
        assert pins.match([unreadable, unreadable]) is None


def test_the_order_of_pins_means_nothing_to_a_match() -> None:
    """The position nearest to the leaf wins, however the pins are written."""
    for pins in (
        [str(ROOT), str(INTERMEDIATE), str(LEAF)],
        [str(LEAF), str(INTERMEDIATE), str(ROOT)],
    ):
        assert PinSet(pins).match(CHAIN) == (LEAF, 0, False)
