"""What was found, as data, and the error that carries it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    check: str
    """Which check found it."""
    detail: str
    """What was seen, and what was expected."""

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a self-test did, all of it as expected."""

    checks: tuple[str, ...]
    """The names of the checks."""
    policy_digest: str | None
    """`Policy.digest` of the live policy, to compare with a value kept elsewhere; None without one."""
    independent_hash: bool
    """Whether SHA-256 has two implementations here."""
    witnessed: bool
    """Whether pins above the leaf are witnessed: `cryptography` is installed. If not, one hooked function opens them."""
    seconds: float
    """How long it took."""
