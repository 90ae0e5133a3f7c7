"""Names that stand for every host there is, as far as two policies tell hosts apart.

Which rules apply to a host depends on where its name stands in the tree of the names that the
patterns mention. A host that is one of those names is looked at by itself. Any other hangs below a
deepest name of the tree: with one label more, `*.` and `**.` of that name cover it, and with more
labels `**.` alone does. So two names that no pattern mentions stand for all hosts below a name of
the tree: one a label down, one two labels down.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from pinio.core.host import LONGEST
from pinio.core.policy import Policy

_LETTERS: Final = "_abcdefghijklmnopqrstuvwxyz0123456789-"

ROOMY: Final = LONGEST - len("12345.x.")
"""Longest name that has room for two more labels, whatever the policies mention.

There are more labels of five characters than a policy can have patterns, so that one of them is
free.
"""


def places(*policies: Policy) -> list[str]:
    """One host for each set of hosts to which all the policies apply the same rules.

    A set of hosts may come up more than once. Hosts that no pattern covers are left out.
    """
    names = {text.lstrip("*.") for policy in policies for text in (*policy.hosts, *policy.exempt)}
    below = _labels_below(names, *policies)
    found = names | below.keys()
    for name, taken in below.items():
        found.update(_fresh(name, taken))
    return sorted(found)


def _labels_below(names: set[str], *policies: Policy) -> dict[str, set[str]]:
    """The names whose hosts below are of interest, and the labels that stand right below each.

    These are the names behind stars; what hangs below any other name belongs with the hosts below
    one of these. Where a name is so long that a free label may not fit, each name below it counts
    as well, for a host may fit under that one.
    """
    below: dict[str, set[str]] = {
        text.lstrip("*."): set()
        for policy in policies
        for text in (*policy.hosts, *policy.exempt)
        if text[0] == "*"
    }
    for name in names:
        if len(name) > ROOMY:
            below.setdefault(name, set())
            below |= {above: set() for _, above in _steps(name) if len(above) > ROOMY}
    if not below:
        return below
    for name in names:
        for label, above in _steps(name):
            if above in below:
                below[above].add(label)
    return below


def _steps(name: str) -> Iterator[tuple[str, str]]:
    """The steps from a name up to the top of the tree: each label, and the name above it."""
    label, dot, above = name.partition(".")
    while dot:
        yield label, above
        label, dot, above = above.partition(".")


def _fresh(name: str, taken: set[str]) -> Iterator[str]:
    """A host one label below a name and one two below, under no taken label; if there is room."""
    label = next(text for text in _labels() if text not in taken)
    for host in (f"{label}.{name}", f"a.{label}.{name}"):
        if len(host) <= LONGEST:
            yield host


def _labels() -> Iterator[str]:
    """Every label that a host may have, shortest first."""
    for length in range(1, 64):
        for letters in product(_LETTERS, repeat=length):
            label = "".join(letters)
            if "-" not in (label[0], label[-1]) and not label.startswith("xn--"):
                yield label
