"""How two policies differ: patterns gained and lost, and what became looser or tighter."""

from __future__ import annotations

from dataclasses import dataclass

from pinio.core.policy import Policy
from pinio.sources.diff import loosened


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes for hosts when one policy takes the place of another."""

    gained: tuple[str, ...]
    """Patterns that only the new policy pins."""
    lost: tuple[str, ...]
    """Patterns that only the old policy pins."""
    looser: tuple[str, ...]
    """What the new policy accepts and the old one refuses, an entry a line."""
    undoing: tuple[str, ...]
    """What became tighter, told as what the way back to the old policy would loosen."""


def compare(old: Policy, new: Policy) -> Difference:
    """Compare two policies by what they accept, not by how they are written."""
    return Difference(
        gained=tuple(pattern for pattern in new.hosts if pattern not in old.hosts),
        lost=tuple(pattern for pattern in old.hosts if pattern not in new.hosts),
        looser=tuple(loosened(old, new)),
        undoing=tuple(loosened(new, old)),
    )
