"""How a source fares, as a value: for probes, gauges and alarms that need no traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pinio.core.policy import Policy

MONTH: Final = 30 * 86_400.0
"""Seconds before their expiry from which pins count as about to expire, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Health:
    """What `source.health()` returns.

    Times are POSIX seconds, but for the dates of pins.
    """

    revision: str | None
    """The revision of the policy in force."""
    loaded: float
    """When that policy came into force."""
    checked: float
    """When the source was last found to say what is in force."""
    error: str | None
    """Why what the source says is not in force; None if it is."""
    next_expiry: datetime | None
    """The earliest date at which pins expire, past ones included; None if none has a date."""
    expiring: tuple[tuple[str, datetime], ...]
    """Host patterns whose pins expire soon or have expired, each with the date, earliest first."""
    stale_at: float | None = None
    """When `current` begins to raise unless the source recovers; None if it never does."""

    @property
    def ok(self) -> bool:
        """Whether the source is in force as it stands."""
        return self.error is None


def expiring(policy: Policy, now: float, within: float) -> tuple[tuple[str, datetime], ...]:
    """The patterns whose pins expire before `within` seconds after `now`, earliest first."""
    found = [
        (pattern, pins.expires)
        for pattern, pins in policy.hosts.items()
        if pins.expires is not None and pins.expires.timestamp() < now + within
    ]
    return tuple(sorted(found, key=lambda entry: entry[1]))
