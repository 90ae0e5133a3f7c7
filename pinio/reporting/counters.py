"""Counts of decisions, for a metrics page."""

from __future__ import annotations

from collections import Counter

from pinio.core.decision import Permit, Refusal
from pinio.reporting.locks import Locked


class Counters(Locked):
    """Counts decisions under names that stay: for a metrics page. Thread-safe; the number of counters is bounded.

    Permits are counted by verdict and by whether the session was resumed: "match", "backup",
    "notpinned", and what was let through by report-only or `on_expiry="report"`, "mismatch" and
    "expired". Refusals are counted by reason code. Hosts are not labels, because there is no end of
    them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._permits: Counter[tuple[str, bool]] = Counter()
        self._refusals: Counter[str] = Counter()

    def __call__(self, decision: Permit | Refusal) -> None:
        with self._lock:
            if isinstance(decision, Refusal):
                self._refusals[decision.reason] += 1
            else:
                verdict = "backup" if decision.backup else type(decision.verdict).__name__.lower()
                self._permits[verdict, decision.resumed] += 1

    def permits(self, verdict: str | None = None) -> int:
        """How many connections were permitted, or how many with this verdict."""
        with self._lock:
            return sum(
                count for (name, _), count in self._permits.items() if verdict in (None, name)
            )

    def refusals(self, reason: str | None = None) -> int:
        """How many connections were refused, or how many for this reason code."""
        with self._lock:
            return sum(count for name, count in self._refusals.items() if reason in (None, name))

    def prometheus(self) -> str:
        """The counters in Prometheus' text format, version 0.0.4."""
        with self._lock:
            permits, refusals = sorted(self._permits.items()), sorted(self._refusals.items())
        lines = [
            "# HELP pinio_permits_total Pinned connections that were permitted.",
            "# TYPE pinio_permits_total counter",
            *(
                f'pinio_permits_total{{verdict="{verdict}",resumed="{str(resumed).lower()}"}} {count}'
                for (verdict, resumed), count in permits
            ),
            "# HELP pinio_refusals_total Pinned connections that were refused.",
            "# TYPE pinio_refusals_total counter",
            *(f'pinio_refusals_total{{reason="{reason}"}} {count}' for reason, count in refusals),
        ]
        return "\n".join(lines) + "\n"
