"""What was observed: a `Verdict`, as data. What follows from it is a decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from pinio.core.pin import Pin

if TYPE_CHECKING:
    from pinio.core.policy import Rule

Setter: TypeAlias = "Callable[[Any, Any], None]"


def setters(kind: type) -> tuple[Setter, ...]:
    """The setters of a frozen class's fields: on every connection, and twice as fast as `object.__setattr__`."""
    return tuple(getattr(kind, item.name).__set__ for item in fields(kind))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was observed when a chain was held against the rule of a host."""

    rule: Rule


@dataclass(frozen=True, slots=True, init=False)
class Match(Verdict):
    """`pin` matched the certificate at `position` of the verified chain; `backup` says that it was not in service yet."""

    pin: Pin
    position: int
    backup: bool

    def __init__(self, rule: Rule, pin: Pin, position: int, backup: bool) -> None:
        _match_rule(self, rule)
        _match_pin(self, pin)
        _match_position(self, position)
        _match_backup(self, backup)


_match_rule, _match_pin, _match_position, _match_backup = setters(Match)


@dataclass(frozen=True, slots=True)
class Mismatch(Verdict):
    """No certificate has a pinned key."""


@dataclass(frozen=True, slots=True)
class NotPinned(Verdict):
    """The policy has no pins for the host, or exempts it."""


@dataclass(frozen=True, slots=True)
class Expired(Verdict):
    """The host's pins are past their date; whether they would have matched was not asked."""


@dataclass(frozen=True, slots=True)
class Denied(Verdict):
    """The certificate at `position` has a key of the deny list."""

    pin: Pin
    position: int


@dataclass(frozen=True, slots=True)
class NoChain(Verdict):
    """There is no chain that OpenSSL verified, or no certificate at all."""
