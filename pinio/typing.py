"""The shapes that pinio's functions take and its values have, for annotations in programs that use it, and for `match`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from pinio.core.decision import Permit, Refusal
from pinio.core.pinset import PinsLike
from pinio.core.policy import Policy, Rule
from pinio.core.report import Report
from pinio.core.verdict import Denied, Expired, Match, Mismatch, NoChain, NotPinned, Verdict

__all__ = [
    "Denied",
    "Expired",
    "Match",
    "Mismatch",
    "NoChain",
    "NotPinned",
    "Observer",
    "PinsLike",
    "PolicyLike",
    "PolicySource",
    "Report",
    "Rule",
    "Verdict",
]


class PolicySource(Protocol):
    """Anything that knows the policy in force; read once per connection. A `Policy` is its own source."""

    @property
    def current(self) -> Policy:
        """The policy in force now."""
        ...


PolicyLike: TypeAlias = Policy | PolicySource

Observer: TypeAlias = Callable[[Permit | Refusal], object]
"""Called with every decision after it was made; never awaited, its result ignored, its exceptions contained."""
