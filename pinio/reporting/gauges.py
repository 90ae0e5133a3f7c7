"""How sources fare, in Prometheus' text format: gauges that need no traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pinio.errors import PinError
from pinio.sources.health import Health, expiring
from pinio.typing import PolicySource

GAUGES = {
    "pinio_policy_error": "1 if what the source says is not in force.",
    "pinio_policy_loaded_seconds": "When the policy in force was loaded, in POSIX seconds.",
    "pinio_policy_checked_seconds": "When the source last said what is in force.",
    "pinio_policy_next_expiry_seconds": "The earliest date at which pins expire.",
    "pinio_policy_stale_seconds": "When connections begin to be refused for the source.",
    "pinio_policy_expiring": "Patterns whose pins expire within 30 days, or have.",
}
"""Name → what it says."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One source, read once."""

    revision: str
    values: Mapping[str, float]
    """Name of a gauge → value; dates that there are not are left out."""

    @classmethod
    def of(cls, source: PolicySource) -> Reading:
        """Read a source, with `health` or without. Never raises for what it finds."""
        health = _health(source)
        values: dict[str, float] = {
            "pinio_policy_error": float(health.error is not None),
            "pinio_policy_loaded_seconds": health.loaded,
            "pinio_policy_checked_seconds": health.checked,
            "pinio_policy_expiring": float(len(health.expiring)),
        }
        if health.next_expiry is not None:
            values["pinio_policy_next_expiry_seconds"] = health.next_expiry.timestamp()
        if health.stale_at is not None:
            values["pinio_policy_stale_seconds"] = health.stale_at
        return cls(health.revision or "", values)


def source_gauges(sources: Mapping[str, PolicySource]) -> str:
    """The gauges of some sources in Prometheus' text format, version 0.0.4.

        text = counters.prometheus() + source_gauges({"fleet": source})

    Each has the label `source`, a key of `sources`; `pinio_policy_info` has the revision too.
    """
    readings = {name: Reading.of(source) for name, source in sources.items()}
    return "\n".join(_lines(readings)) + "\n"


def _lines(readings: Mapping[str, Reading]) -> Iterator[str]:
    yield "# HELP pinio_policy_info The revision of the policy in force."
    yield "# TYPE pinio_policy_info gauge"
    for name, reading in readings.items():
        labels = f'source="{_escaped(name)}",revision="{_escaped(reading.revision)}"'
        yield f"pinio_policy_info{{{labels}}} 1"
    for gauge, what in GAUGES.items():
        yield f"# HELP {gauge} {what}"
        yield f"# TYPE {gauge} gauge"
        for name, reading in readings.items():
            if gauge in reading.values:
                yield f'{gauge}{{source="{_escaped(name)}"}} {reading.values[gauge]:.15g}'


def _health(source: PolicySource) -> Health:
    """What a source says of itself, or what its policy says."""
    if (own := getattr(source, "health", None)) is not None:
        health: Health = own()
        return health
    try:
        policy = source.current
    except PinError as error:
        return Health(None, 0.0, 0.0, str(error), None, ())
    soon = expiring(policy, time.time(), 30 * 86_400.0)
    return Health(policy.revision, 0.0, 0.0, None, policy.next_expiry(), soon)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
