"""The label index against an oracle that reads every pattern."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from tests.core.chains import A, B

PINS = PinSet([A, B])
# Few labels, so that patterns and hosts meet often; one is the end of another, as in
# `notexample.com`.
names = st.lists(st.sampled_from(["a", "b", "ab", "x", "ba"]), min_size=1, max_size=5).map(".".join)
patterns = st.builds("{}{}".format, st.sampled_from(["", "*.", "**."]), names)

pytestmark = pytest.mark.filterwarnings("ignore:.*top-level:pinio.errors.PinWarning")


def covers(pattern: str, host: str) -> bool:
    """Whether a pattern covers a host, as the manual defines it."""
    labels = host.split(".")
    if pattern.startswith("**."):
        literal = pattern[3:].split(".")
        return labels[-len(literal) :] == literal
    if pattern.startswith("*."):
        return labels[1:] == pattern[2:].split(".")
    return host == pattern


def specificity(pattern: str) -> tuple[int, int]:
    """More literal labels, then exact before `*.` before `**.`."""
    return len(pattern.lstrip("*.").split(".")), -pattern.count("*")


def oracle(all_patterns: set[str], host: str) -> str | None:
    """The most specific of the patterns that cover a host, by looking at each."""
    return max(
        (pattern for pattern in all_patterns if covers(pattern, host)),
        key=specificity,
        default=None,
    )


@given(
    st.sets(patterns, max_size=12),
    st.sets(patterns, max_size=4),
    st.lists(names, min_size=1, max_size=8),
)
def test_the_index_finds_what_the_oracle_finds(
    pinned: set[str], exempt: set[str], hosts: list[str]
) -> None:
    """For any policy and any host; and the rule is that of the pattern found."""
    exempt -= pinned
    policy = Policy(dict.fromkeys(pinned, PINS), exempt=dict.fromkeys(exempt, "why"))
    for host in hosts:
        rule = policy.lookup(host)
        assert rule.pattern == oracle(pinned | exempt, host)
        assert (rule.pin_set is not None) == (rule.pattern in pinned)
        assert (rule.exempt is not None) == (rule.pattern in exempt)


@given(st.sets(patterns, max_size=12), names)
def test_explain_agrees_with_the_lookup(pinned: set[str], host: str) -> None:
    """It names the pattern that applies first, and each other one that covers the host, in order of specificity."""
    policy = Policy(dict.fromkeys(pinned, PINS))
    expected = sorted(
        (pattern for pattern in pinned if covers(pattern, host)), key=specificity, reverse=True
    )
    lines = policy.explain(host).splitlines()
    if expected:
        assert lines[0].startswith(f"{host}: pattern {expected[0]}: ")
        assert lines[1:] == [f"  hides the less specific {pattern}" for pattern in expected[1:]]
    else:
        assert lines == [f"{host}: no pattern applies; hosts without pins are refused"]


@given(st.sets(patterns, min_size=1, max_size=12), st.randoms(), names)
def test_the_order_of_entries_means_nothing(
    pinned: set[str], shuffler: random.Random, host: str
) -> None:
    """Shuffled, a policy is equal and answers alike."""
    order = sorted(pinned)
    first = Policy(dict.fromkeys(order, PINS))
    shuffler.shuffle(order)
    again = Policy(dict.fromkeys(order, PINS))
    assert again == first
    assert again.lookup(host) == first.lookup(host)
