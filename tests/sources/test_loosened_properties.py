"""Accepted after and refused before means reported: random policies in a small world."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinio import Anchors, PinSet, Policy
from pinio.core.host import LONGEST, canonical_host
from pinio.core.policy import Rule
from pinio.sources import loosened
from pinio.sources.places import places
from tests.sources.acceptance import (
    PRIVATE,
    SERVERS,
    WHOLE,
    ConflictError,
    K,
    L,
    Server,
    accepts,
    accepts_plaintext,
    by_a_pin,
    listed,
)

pytestmark = pytest.mark.filterwarnings("ignore::pinio.PinWarning")

SOON, LATER = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2030, 2031))
MOMENTS = [SOON.timestamp() - 1, SOON.timestamp(), LATER.timestamp() - 1, LATER.timestamp()]
NAMES = [".".join(labels) for depth in (1, 2, 3) for labels in product("ab", repeat=depth)]


def refused_before(
    old: Policy, host: str, url_host: str | None, server: Server, now: float
) -> bool:
    """Whether the old policy refused the server, and not only the question."""
    try:
        return not accepts(old, host, server, now, url_host)
    except ConflictError:
        # Two names whose certificates are verified in different ways: no server is accepted under
        # both. What counts is whether either name would have refused this one.
        assert url_host is not None
        return not (accepts(old, host, server, now) and accepts(old, url_host, server, now))


def accepted_after(
    new: Policy, host: str, url_host: str | None, server: Server, now: float
) -> bool:
    try:
        return accepts(new, host, server, now, url_host)
    except ConflictError:
        return False


def witnesses(
    old: Policy, new: Policy, hosts: list[str], url_host: str | None = None
) -> Iterator[tuple[str, Server | None, float]]:
    """What is accepted after and was refused before; a connection in plaintext has no server.

    But for hosts that were refused for having no entry, and have pins now that match.
    """
    for host in hosts:
        if accepts_plaintext(new, host) and not accepts_plaintext(old, host):
            yield host, None, 0.0
        for server, now in product(SERVERS, MOMENTS):
            if (
                accepted_after(new, host, url_host, server, now)
                and refused_before(old, host, url_host, server, now)
                and (listed(old, host) or not by_a_pin(new, host, server, now))
            ):
                yield host, server, now


# One host: what its rule accepts

PKIX: dict[str, list[Any]] = {
    "expires": [None, SOON, LATER],
    "on_expiry": ["refuse", "report"],
    "mode": ["enforce", "enforce", "report-only"],
    "anchors": [None, Anchors.system(), *PRIVATE],
    "resumption": [True, False],
}
ONE_ROOT = {**PKIX, "anchors": PRIVATE[:1]}
LEAF_PIN: dict[str, list[Any]] = {"expires": PKIX["expires"], "resumption": PKIX["resumption"]}


@st.composite
def arguments(draw: st.DrawFn, pkix: dict[str, list[Any]]) -> dict[str, Any]:
    """Those of a `PinSet`."""
    trust = draw(st.sampled_from(["pkix", "pkix", "pkix", "leaf-pin"]))
    choices = pkix if trust == "pkix" else LEAF_PIN
    found = {name: draw(st.sampled_from(values)) for name, values in choices.items()}
    return {"pins": draw(pins(trust)), "trust": trust, **found}


def pins(trust: str) -> st.SearchStrategy[list[str]]:
    roles = ["", "leaf:", "ca:"] if trust == "pkix" else ["", "leaf:"]
    spelled = st.builds("{}{}".format, st.sampled_from(roles), st.sampled_from([K, L, WHOLE]))
    return st.lists(spelled, min_size=1, max_size=2, unique=True)


@st.composite
def pairs(draw: st.DrawFn, pkix: dict[str, list[Any]]) -> tuple[PinSet, PinSet]:
    """Two pin sets that differ in one thing most often, or in two."""
    first = draw(arguments(pkix))
    choices = pkix if first["trust"] == "pkix" else LEAF_PIN
    second = dict(first)
    for name in draw(
        st.lists(st.sampled_from(["pins", "trust", *choices]), min_size=1, max_size=2)
    ):
        match name:
            case "pins":
                second[name] = draw(pins(second["trust"]))
            case "trust":
                second = draw(arguments(pkix))
            case _ if second["trust"] == first["trust"]:
                second[name] = draw(st.sampled_from(choices[name]))
            case _:
                pass
    return PinSet(**first), PinSet(**second)


@st.composite
def rules(draw: st.DrawFn, pkix: dict[str, list[Any]] = PKIX) -> tuple[Policy, Policy]:
    """Two policies that have one host in them, or none, or exempt it."""
    unpinned: Any = draw(st.sampled_from(["refuse", "refuse", "allow"]))
    anchors = draw(st.sampled_from(pkix["anchors"]))
    made = [
        Policy(
            {"a": pin_set} if what == "pinned" else {},
            exempt={"a": "why not"} if what == "exempt" else {},
            unpinned=unpinned,
            unpinned_anchors=anchors,
        )
        for pin_set, what in zip(
            draw(pairs(pkix)), draw(st.sampled_from(STATES)), strict=True
        )
    ]  # fmt: skip
    return made[0], made[1]


STATES = [("pinned", "pinned")] * 6 + list(product(["pinned", "exempt", "unlisted"], repeat=2))


@settings(max_examples=500)
@given(rules())
def test_what_a_rule_accepts_after_and_refused_before_is_reported(
    change: tuple[Policy, Policy],
) -> None:
    old, new = change
    if not loosened(old, new):
        assert next(witnesses(old, new, ["a"]), None) is None
        before, after = old.lookup("a").pin_set, new.lookup("a").pin_set
        assert not (before and after and after.resumption and not before.resumption)


MORE_THAN_THE_WORLD_KNOWS = (
    "sessions may be resumed",
    "no longer pinned",  # also where the host is refused from now on
)


@settings(max_examples=500)
@given(rules(ONE_ROOT))
def test_what_is_reported_of_a_rule_is_true(change: tuple[Policy, Policy]) -> None:
    old, new = change
    said = [
        line
        for line in loosened(old, new)
        if not any(more in line for more in MORE_THAN_THE_WORLD_KNOWS)
    ]
    undated = all(pins.expires is None for pins in new.hosts.values())
    if said and not (undated and said == ["a: expired pins are reported only"]):
        assert next(witnesses(old, new, ["a"]), None) is not None, said


# Whole policies


@st.composite
def policies(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Two policies of the same patterns, most of them alike in both."""
    patterns = draw(st.lists(spelled(st.sampled_from(NAMES)), min_size=1, max_size=4, unique=True))
    usual, other = draw(pairs(PKIX))
    change = draw(st.sampled_from(["a pattern", "another thing", "both"]))
    old, new = Policy({}), Policy({})
    for pattern in patterns:
        before = draw(st.sampled_from([usual, usual, other, "why not", None]))
        others = [] if change == "another thing" else [before, usual, other, "why not", None]
        after = draw(st.sampled_from([before, *others]))
        old, new = with_rule(old, pattern, before), with_rule(new, pattern, after)
    for name, values in WHOLE_CHOICES.items():
        first = draw(st.sampled_from(values))
        others = [] if change == "a pattern" else [first, first, *values]
        second = draw(st.sampled_from([first, *others]))
        old, new = old.replace(**{name: first}), new.replace(**{name: second})
    return old, new


WHOLE_CHOICES: dict[str, list[Any]] = {
    "unpinned": ["refuse", "refuse", "allow"],
    "deny": [[], [], [K], [L]],
    "unpinned_anchors": [None, *PRIVATE],
}


def with_rule(policy: Policy, pattern: str, rule: PinSet | str | None) -> Policy:
    """A policy with pins, an exemption or nothing for one more pattern."""
    if isinstance(rule, PinSet):
        return policy.replace(hosts={**policy.hosts, pattern: rule})
    return policy if rule is None else policy.replace(exempt={**policy.exempt, pattern: rule})


def spelled(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}{}".format, st.sampled_from(["", "*.", "**."]), names)


@settings(max_examples=200)
@given(policies(), st.none() | st.sampled_from(NAMES))
def test_what_a_policy_accepts_after_and_refused_before_is_reported(
    change: tuple[Policy, Policy], url_host: str | None
) -> None:
    old, new = change
    if not loosened(old, new):
        assert next(witnesses(old, new, [*NAMES, *places(old, new), "x"], url_host), None) is None


# Which hosts stand for all

LETTERS = "_abcdefghijklmnopqrstuvwxyz0123456789"
"""Every label of one character."""


def long_name(length: int) -> str:
    """A name of so many characters, in labels of 60."""
    labels = ["a" * 60] * (length // 61)
    return ".".join([*labels, "a" * (length - 61 * len(labels))])


@st.composite
def crowded(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Patterns and hosts below one name, which may have little room, and its short labels taken."""
    base = draw(st.sampled_from(["example", long_name(LONGEST - draw(st.integers(0, 9)))]))
    labels = st.lists(st.sampled_from(["a", "b", "ab", "_"]), max_size=3)
    names = labels.map(lambda found: ".".join([*found, base])).filter(
        lambda name: len(name) <= LONGEST
    )
    patterns = draw(st.lists(spelled(names), min_size=1, max_size=5))
    if draw(st.booleans()):
        above, free = draw(names), draw(st.sampled_from(["", "7", "a", "_"]))
        patterns += [f"{label}.{above}" for label in LETTERS if label != free]
    above = draw(names)
    hosts = [
        above,
        *(f"{more}{label}.{above}" for label in [*LETTERS, "xy"] for more in ("", "x.")),
    ]
    fits = [
        [name for name in found if len(name.lstrip("*.")) <= LONGEST] for found in (patterns, hosts)
    ]
    return fits[0], fits[1]


@settings(max_examples=300)
@given(crowded(), st.randoms())
def test_a_place_stands_for_every_host(world: tuple[list[str], list[str]], random: Any) -> None:
    """For every host there is a place where both policies apply the same rules as to the host."""
    patterns, hosts = world
    old = Policy(
        dict.fromkeys(random.sample(patterns, random.randint(0, len(patterns))), PinSet([K, L]))
    )
    new = Policy(dict.fromkeys(patterns, PinSet([K, L])))
    found = {(old.lookup(place), new.lookup(place)) for place in places(old, new)}
    for host in hosts:
        rules = old.lookup(host), new.lookup(host)
        assert rules == (Rule(), Rule()) or rules in found, host


@given(crowded())
def test_every_place_is_a_host(world: tuple[list[str], list[str]]) -> None:
    policy = Policy(dict.fromkeys(world[0], PinSet([K, L])))
    assert [canonical_host(place) for place in places(policy)] == places(policy)
