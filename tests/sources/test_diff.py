"""What a new policy lets through that an old one refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from typing import Any

import pytest

from pinio import Anchors, PinSet, Policy
from pinio.sources import loosened
from tests.formats.policies import OTHER, PIN, THIRD, authority
from tests.sources.acceptance import INTER_K, INTER_L, ROOT_S, private

pytestmark = pytest.mark.filterwarnings("ignore::pinio.PinWarning")

SOON, LATER = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2030, 2031))
PRIVATE = Anchors.from_pem(authority(1))
BOTH = Anchors.from_pem(authority(1) + authority(2))
WITH_ROOT, WITHOUT_ROOT = private(ROOT_S, INTER_K), private(INTER_K)
"""Without a root, a chain may end in the intermediate."""


def of_a_host(**changes: Any) -> PinSet:
    arguments: dict[str, Any] = {"pins": [PIN], "backup": [OTHER], **changes}
    return PinSet(**arguments)


# Old, new, and what is said of `a.example`.
LOOSER: dict[str, tuple[PinSet, PinSet, str]] = {
    "a pin": (of_a_host(), of_a_host(pins=[PIN, THIRD]), f"accepts {THIRD}"),
    "a backup pin": (of_a_host(), of_a_host(backup=[OTHER, THIRD]), f"accepts {THIRD}"),
    "a wider role": (of_a_host(pins=f"ca:{PIN}"), of_a_host(), f"accepts {PIN}"),
    "another role": (
        of_a_host(pins=f"ca:{PIN}"),
        of_a_host(pins=f"leaf:{PIN}"),
        f"accepts leaf:{PIN}",
    ),
    "another selector": (of_a_host(), of_a_host(pins=f"cert-{PIN}"), f"accepts cert-{PIN}"),
    "report-only": (of_a_host(), of_a_host(mode="report-only"), "report-only"),
    "fail open": (of_a_host(), of_a_host(on_expiry="report"), "expired pins are reported only"),
    "fail open sooner": (
        of_a_host(on_expiry="report", expires=LATER),
        of_a_host(on_expiry="report", expires=SOON),
        "expired pins are reported only",
    ),
    "a later date": (
        of_a_host(expires=SOON),
        of_a_host(expires=LATER),
        "expires 2031-01-01T00:00:00Z, later than before",
    ),
    "no date": (of_a_host(expires=SOON), of_a_host(), "expires never, later than before"),
    "the leaf alone": (
        of_a_host(),
        of_a_host(trust="leaf-pin"),
        "certificates are no longer verified (leaf-pin)",
    ),
    "the chain of a leaf": (of_a_host(trust="leaf-pin"), of_a_host(), f"accepts {PIN}"),
    "more anchors": (of_a_host(anchors=PRIVATE), of_a_host(anchors=BOTH), "other trust anchors"),
    "public anchors": (of_a_host(anchors=PRIVATE), of_a_host(), "other trust anchors"),
    "private anchors": (of_a_host(), of_a_host(anchors=PRIVATE), "other trust anchors"),
    "the system's anchors": (
        of_a_host(),
        of_a_host(anchors=Anchors.system()),
        "other trust anchors",
    ),
    "no root among the anchors any more": (
        of_a_host(anchors=WITH_ROOT),
        of_a_host(anchors=WITHOUT_ROOT),
        "other trust anchors",
    ),
    "resumption": (of_a_host(resumption=False), of_a_host(), "sessions may be resumed"),
}

NOT_LOOSER: dict[str, tuple[PinSet, PinSet]] = {
    "nothing": (of_a_host(), of_a_host()),
    "a pin less": (of_a_host(pins=[PIN, THIRD]), of_a_host()),
    "a backup in service": (of_a_host(), PinSet([OTHER, PIN])),
    "a narrower role": (of_a_host(), of_a_host(pins=f"leaf:{PIN}")),
    "both roles for any": (of_a_host(pins=[f"leaf:{PIN}", f"ca:{PIN}"]), of_a_host()),
    "enforced": (of_a_host(mode="report-only"), of_a_host()),
    "an earlier date": (of_a_host(expires=LATER), of_a_host(expires=SOON)),
    "a date": (of_a_host(), of_a_host(expires=SOON)),
    "fail closed": (of_a_host(on_expiry="report", expires=SOON), of_a_host(expires=LATER)),
    "fail open later": (
        of_a_host(on_expiry="report", expires=SOON),
        of_a_host(on_expiry="report", expires=LATER),
    ),
    "a verified leaf": (of_a_host(trust="leaf-pin"), PinSet([f"leaf:{PIN}", f"leaf:{OTHER}"])),
    "a leaf verified by a private list": (
        of_a_host(trust="leaf-pin"),
        PinSet([f"leaf:{PIN}", f"leaf:{OTHER}"], anchors=PRIVATE),
    ),
    "a pin where none is enforced": (
        of_a_host(mode="report-only"),
        of_a_host(mode="report-only", pins=[PIN, THIRD], expires=SOON),
    ),
    "enforced until a date": (
        of_a_host(mode="report-only"),
        of_a_host(pins=[PIN, THIRD], expires=SOON, on_expiry="report"),
    ),
    "fewer anchors": (of_a_host(anchors=BOTH), of_a_host(anchors=PRIVATE)),
    "fewer intermediates": (
        of_a_host(anchors=private(INTER_K, INTER_L)),
        of_a_host(anchors=WITHOUT_ROOT),
    ),
    "the same anchors by name": (of_a_host(), of_a_host(anchors=Anchors())),
    "no resumption": (of_a_host(), of_a_host(resumption=False)),
    "another reason": (of_a_host(single="one"), of_a_host(single="two")),
}


@pytest.mark.parametrize(("old", "new", "what"), LOOSER.values(), ids=LOOSER)
@pytest.mark.parametrize("pattern", ["a.example", "*.a.example", "**.a.example", "192.0.2.7"])
def test_a_looser_pin_set_is_named(old: PinSet, new: PinSet, what: str, pattern: str) -> None:
    found = loosened(Policy({pattern: old}), Policy({pattern: new}))
    assert f"{pattern}: {what}" in found
    assert len(found) == (2 if what == f"accepts {PIN}" and old.trust == "leaf-pin" else 1)


@pytest.mark.parametrize(("old", "new"), NOT_LOOSER.values(), ids=NOT_LOOSER)
@pytest.mark.parametrize("pattern", ["a.example", "*.a.example", "**.a.example"])
def test_a_pin_set_that_is_not_looser_is_not(old: PinSet, new: PinSet, pattern: str) -> None:
    assert loosened(Policy({pattern: old}), Policy({pattern: new})) == []


PINNED = {"a.x.example": of_a_host()}
ELSE = {"z.example": of_a_host()}
"""A host of no interest."""

WHOLE: dict[str, tuple[Policy, Policy, list[str]]] = {
    "a host dropped": (Policy(PINNED), Policy({}), ["a.x.example: no longer pinned"]),
    "a host exempt": (Policy(PINNED), Policy({}, exempt={"a.x.example": "r"}), ["a.x.example: exempt from pinning (r)"]),
    "an exemption": (Policy({}), Policy({}, exempt={"*.x.example": "r"}), ["*.x.example: exempt from pinning (r)"]),
    "an exemption gone": (Policy({}, exempt={"a.x.example": "r"}), Policy({}), []),
    "an exempt host pinned": (Policy({}, exempt={"a.x.example": "r"}), Policy(PINNED), []),
    "a new host": (Policy({}), Policy(PINNED), []),
    "a new host, allowed before": (
        Policy(PINNED, unpinned="allow"),
        Policy({**PINNED, "b.x.example": of_a_host()}, unpinned="allow"),
        [],
    ),
    "a new host in report-only": (
        Policy({}),
        Policy({"a.x.example": of_a_host(mode="report-only")}),
        ["a.x.example: was refused, and is report-only"],
    ),
    "report-only for an exempt host": (
        Policy({}, exempt={"a.x.example": "r"}),
        Policy({"a.x.example": of_a_host(mode="report-only")}),
        [],
    ),
    "report-only for an exempt host, other anchors": (
        Policy({}, exempt={"a.x.example": "r"}),
        Policy({"a.x.example": of_a_host(mode="report-only", anchors=PRIVATE)}),
        ["a.x.example: other trust anchors, report-only"],
    ),
    "an exempt host by its key alone": (
        Policy({}, exempt={"a.x.example": "r"}),
        Policy({"a.x.example": of_a_host(trust="leaf-pin")}),
        ["a.x.example: certificates are no longer verified (leaf-pin)"],
    ),
    "an allowed host by its key alone": (
        Policy(ELSE, unpinned="allow"),
        Policy({**ELSE, "*.x.example": of_a_host(trust="leaf-pin")}, unpinned="allow"),
        ["*.x.example: certificates are no longer verified (leaf-pin)"],
    ),
    "a refused host by its key alone": (
        Policy({}),
        Policy({"a.x.example": of_a_host(trust="leaf-pin")}),
        [],
    ),
    "an exempt host with other anchors": (
        Policy({}, exempt={"a.x.example": "r"}),
        Policy({"a.x.example": of_a_host(anchors=PRIVATE)}),
        ["a.x.example: other trust anchors"],
    ),
    "an allowed host with other anchors": (
        Policy(ELSE, unpinned="allow", unpinned_anchors=WITH_ROOT),
        Policy({**ELSE, "**.x.example": of_a_host(anchors=WITHOUT_ROOT)}, unpinned="allow", unpinned_anchors=WITH_ROOT),
        ["**.x.example: other trust anchors"],
    ),
    "an allowed host with fewer anchors": (
        Policy(ELSE, unpinned="allow", unpinned_anchors=BOTH),
        Policy({**ELSE, "**.x.example": of_a_host(anchors=PRIVATE)}, unpinned="allow", unpinned_anchors=BOTH),
        [],
    ),
    "an allowed host exempt": (
        Policy(ELSE, unpinned="allow"),
        Policy(ELSE, unpinned="allow", exempt={"a.x.example": "r"}),
        [],
    ),
    "an allowed host exempt, and the others refused": (
        Policy(ELSE, unpinned="allow"),
        Policy(ELSE, exempt={"a.x.example": "r"}),
        [],
    ),
    "a new host that fails open": (
        Policy({}),
        Policy({"a.x.example": of_a_host(on_expiry="report", expires=SOON)}),
        ["a.x.example: was refused, and expired pins are reported only"],
    ),
    "an exempt host that fails open": (
        Policy({}, exempt={"a.x.example": "r"}),
        Policy({"a.x.example": of_a_host(on_expiry="report", expires=SOON)}),
        [],
    ),
    "no root for the rest any more": (
        Policy(ELSE, unpinned="allow", unpinned_anchors=WITH_ROOT),
        Policy(ELSE, unpinned="allow", unpinned_anchors=WITHOUT_ROOT),
        ["other trust anchors hold for hosts without pins"],
    ),
    "unpinned allowed": (Policy(PINNED), Policy(PINNED, unpinned="allow"), ["hosts without pins are allowed"]),
    "unpinned refused": (Policy(PINNED, unpinned="allow"), Policy(PINNED), []),
    "a denied key gone": (Policy({}, deny=[PIN, OTHER]), Policy({}, deny=[OTHER]), [f"{PIN} is no longer denied"]),
    "a key denied": (Policy({}), Policy({}, deny=[PIN]), []),
    "other anchors for the rest": (
        Policy({}),
        Policy({}, unpinned_anchors=PRIVATE),
        ["other trust anchors hold for hosts without pins"],
    ),
    "a host into a wider pattern with its pins": (Policy(PINNED), Policy({"**.x.example": of_a_host()}), []),
    "a host into a wider pattern with other pins": (
        Policy(PINNED),
        Policy({"**.x.example": of_a_host(pins=THIRD)}),
        [f"a.x.example: accepts {THIRD}"],
    ),
    "a host out of a wider pattern": (
        Policy({"**.x.example": of_a_host()}),
        Policy({"**.x.example": of_a_host(), "a.x.example": of_a_host(pins=THIRD)}),
        [f"a.x.example: accepts {THIRD}"],
    ),
    "a pattern out of a wider pattern": (
        Policy({"**.x.example": of_a_host()}),
        Policy({"**.x.example": of_a_host()}, exempt={"*.b.x.example": "r"}),
        ["*.b.x.example: exempt from pinning (r)"],
    ),
    "an apex out of a pattern above": (
        Policy({"*.x.example": of_a_host()}),
        Policy({"*.x.example": of_a_host(), "**.a.x.example": of_a_host(pins=THIRD)}),
        [f"**.a.x.example: accepts {THIRD}"],
    ),
    "names two labels down, with a pattern between": (
        Policy({"*.a.x.example": of_a_host(), "**.a.x.example": of_a_host()}),
        Policy({"*.a.x.example": of_a_host(), "**.a.x.example": of_a_host(pins=THIRD), "a.x.example": of_a_host()}),
        [f"**.a.x.example: accepts {THIRD}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), WHOLE.values(), ids=WHOLE)
def test_what_a_whole_policy_loosens(old: Policy, new: Policy, expected: list[str]) -> None:
    assert loosened(old, new) == expected


def test_a_name_that_stands_for_many_is_none_that_a_policy_mentions() -> None:
    """Every short label is taken, so that a careless choice would meet an entry of its own."""
    letters = "_abcdefghijklmnopqrstuvwxyz0123456789"
    taken = {f"{letter}.x.example": of_a_host() for letter in letters}
    old = Policy({**taken, "*.x.example": of_a_host()})
    new = Policy({**taken, "*.x.example": of_a_host(pins=THIRD)})
    assert loosened(old, new) == [f"*.x.example: accepts {THIRD}"]


def test_everything_that_a_policy_says_is_compared() -> None:
    """What is new in a policy may loosen it: compare it in `pinio.sources.diff`, or say why not."""
    pin_set = {"pins", "backup", "expires", "on_expiry", "mode", "trust", "anchors", "resumption"}
    whole = {"hosts", "exempt", "unpinned", "deny", "unpinned_anchors"}
    words = {"single", "revision", "no_hosts"}
    assert {*PinSet._arguments, *Policy._arguments} == pin_set | whole | words
    assert {field.name for field in fields(Anchors)} == {"origin", "certificates", "identity"}


def long_name(length: int) -> str:
    return ".".join(["a" * 63] * 3 + ["b" * (length - 192)])


@pytest.mark.parametrize("length", range(240, 252))
@pytest.mark.parametrize("stars", ["*.", "**."])
def test_a_long_pattern_is_compared_by_the_hosts_that_fit_below_it(length: int, stars: str) -> None:
    """A name of 253 characters is the longest there is; the apex is the same in both."""
    suffix = long_name(length)
    old = Policy({suffix: of_a_host(), f"{stars}{suffix}": of_a_host()})
    new = Policy({suffix: of_a_host(), f"{stars}{suffix}": of_a_host(trust="leaf-pin")})
    said = f"{stars}{suffix}: certificates are no longer verified (leaf-pin)"
    assert loosened(old, new) == [said]
    for label in "a_7":  # and where a short label is taken
        taken = {f"{label}.{suffix}": of_a_host()}
        assert loosened(
            old.replace(hosts={**old.hosts, **taken}), new.replace(hosts={**new.hosts, **taken})
        ) == [said]


def test_a_long_pattern_is_compared_by_the_hosts_below_the_labels_that_are_taken() -> None:
    """No label is free below the name, and hosts one label further down still fit."""
    suffix = long_name(249)
    letters = "_abcdefghijklmnopqrstuvwxyz0123456789"
    taken = {f"{label}.{suffix}": of_a_host() for label in letters} | {suffix: of_a_host()}
    taken |= {f"{one}{two}.{suffix}": of_a_host() for one in letters for two in f"{letters}"}
    taken |= {
        f"{one}{two}{three}.{suffix}": of_a_host()
        for one in letters
        for two in f"{letters}-"
        for three in letters
    }
    old = Policy({**taken, f"**.{suffix}": of_a_host()})
    assert old.lookup(f"x.a.{suffix}").pattern == f"**.{suffix}"
    assert loosened(old, old.replace(hosts=taken)) == [f"**.{suffix}: no longer pinned"]


def test_a_pattern_too_long_to_have_names_below_it_says_nothing() -> None:
    suffix = long_name(253)
    assert loosened(Policy({f"*.{suffix}": of_a_host()}), Policy({})) == []
    assert loosened(Policy({f"**.{suffix}": of_a_host()}), Policy({})) == [
        f"**.{suffix}: no longer pinned"
    ]
