"""What a new policy lets through that an old one refused."""

from __future__ import annotations

import datetime as dt
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinio import Anchors, Pin, PinSet, Policy
from pinio.sources import loosened
from tests.formats.policies import OTHER, PIN, THIRD, authority

pytestmark = pytest.mark.filterwarnings("ignore::pinio.PinWarning")

SOON, LATER = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2030, 2031))
PRIVATE = Anchors.from_pem(authority(1))
BOTH = Anchors.from_pem(authority(1) + authority(2))


def of_a_host(**changes: Any) -> PinSet:
    arguments: dict[str, Any] = {"pins": [PIN], "backup": [OTHER], **changes}
    return PinSet(**arguments)


# Old, new, and what is said of `a.example`.
LOOSER: dict[str, tuple[PinSet, PinSet, str]] = {
    "a pin": (of_a_host(), of_a_host(pins=[PIN, THIRD]), f"accepts {THIRD}"),
    "a backup pin": (of_a_host(), of_a_host(backup=[OTHER, THIRD]), f"accepts {THIRD}"),
    "a wider role": (of_a_host(pins=f"ca:{PIN}"), of_a_host(), f"accepts {PIN}"),
    "another role": (of_a_host(pins=f"ca:{PIN}"), of_a_host(pins=f"leaf:{PIN}"), f"accepts leaf:{PIN}"),
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
    "the system's anchors": (of_a_host(), of_a_host(anchors=Anchors.system()), "other trust anchors"),
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
    "fewer anchors": (of_a_host(anchors=BOTH), of_a_host(anchors=PRIVATE)),
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


def test_a_pattern_too_long_to_have_names_below_it_says_nothing() -> None:
    suffix = ".".join(["a" * 63] * 3 + ["b" * 61])  # 253 characters, the most there can be
    assert loosened(Policy({f"*.{suffix}": of_a_host()}), Policy({})) == []
    assert loosened(Policy({f"**.{suffix}": of_a_host()}), Policy({})) == [f"**.{suffix}: no longer pinned"]


# Against an oracle: every host, every chain, every moment of a small world


class Chain(NamedTuple):
    leaf: Pin
    ca: Pin
    anchors: Anchors
    year: int


PINS = [Pin.parse(text) for text in (PIN, OTHER)]
NAMES = [".".join(labels) for depth in (1, 2, 3, 4) for labels in product("ab", repeat=depth)]
CHAINS = [Chain(*world) for world in product(PINS, PINS, [Anchors(), PRIVATE], [2029, 2030, 2031])]


def accepts(policy: Policy, host: str, chain: Chain) -> bool:
    """A second, plain telling of what a policy means."""
    rule = policy.lookup(host)
    pins = rule.pin_set
    if chain.leaf in policy.deny or (chain.ca in policy.deny and not (pins and pins.trust == "leaf-pin")):
        return False
    if pins is None:
        return (bool(rule.exempt) or policy.unpinned == "allow") and chain.anchors == policy.unpinned_anchors
    if pins.trust == "pkix" and chain.anchors != (pins.anchors or Anchors()):
        return False
    if pins.expires is not None and chain.year >= pins.expires.year:
        return pins.mode == "report-only" or pins.on_expiry == "report"
    if pins.mode == "report-only":
        return True
    shown = [(chain.leaf, "ca")] if pins.trust == "leaf-pin" else [(chain.leaf, "ca"), (chain.ca, "leaf")]
    wanted = [(pin.digest, pin.role) for pin in pins.pins + pins.backup]
    return any(pin.digest == digest and role != other for pin, other in shown for digest, role in wanted)


@st.composite
def small_pin_sets(draw: st.DrawFn) -> PinSet:
    trust = draw(st.sampled_from(["pkix", "pkix", "leaf-pin"]))
    roles = ["", "leaf:", "ca:"] if trust == "pkix" else ["", "leaf:"]
    spelled = st.tuples(st.sampled_from(roles), st.sampled_from([PIN, OTHER])).map("".join)
    arguments: dict[str, Any] = {"trust": trust, "expires": draw(st.sampled_from([None, SOON, LATER]))}
    if trust == "pkix":
        arguments |= {
            "mode": draw(st.sampled_from(["enforce", "enforce", "report-only"])),
            "on_expiry": draw(st.sampled_from(["refuse", "refuse", "report"])),
            "anchors": draw(st.sampled_from([None, PRIVATE])),
        }
    return PinSet(draw(st.lists(spelled, min_size=1, max_size=2, unique=True)), **arguments)


@st.composite
def small_policies(draw: st.DrawFn) -> Policy:
    pattern = st.tuples(st.sampled_from(["", "*.", "**."]), st.sampled_from(NAMES[:14])).map("".join)
    found = draw(st.lists(pattern, max_size=4, unique=True))
    cut = draw(st.integers(0, len(found)))
    unpinned: Any = draw(st.sampled_from(["refuse", "refuse", "allow"]))
    return Policy(
        {text: draw(small_pin_sets()) for text in found[:cut]},
        exempt=dict.fromkeys(found[cut:], "why not"),
        unpinned=unpinned,
        deny=draw(st.lists(st.sampled_from([PIN, OTHER]), max_size=1)),
        unpinned_anchors=draw(st.sampled_from([None, PRIVATE])),
    )


@st.composite
def changes(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """A policy and another one, most often one that differs in a few entries only."""
    old, other = draw(small_policies()), draw(small_policies())
    if draw(st.integers(0, 3)) == 0:
        return old, other
    kept = [text for text in (*old.hosts, *old.exempt) if draw(st.booleans()) or text not in other.hosts]
    hosts = {**other.hosts, **{text: old.hosts[text] for text in kept if text in old.hosts}}
    exempt = {text: old.exempt[text] for text in kept if text in old.exempt and text not in hosts}
    return old, old.replace(hosts=hosts, exempt=exempt)


@given(changes())
def test_where_nothing_is_said_nothing_gets_through_that_did_not_before(
    change: tuple[Policy, Policy],
) -> None:
    old, new = change
    if loosened(old, new):
        return
    for host in NAMES:
        before, after = old.lookup(host), new.lookup(host)
        if before.pin_set is None and after.pin_set is not None and after.pin_set.mode == "enforce":
            continue  # a host that has pins now, and had none: not a loosening, whatever those pins let through
        for chain in CHAINS:
            assert accepts(old, host, chain) or not accepts(new, host, chain), (host, chain)
