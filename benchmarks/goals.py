"""What pinio promises about its speed: ratios to others, and a few absolute figures. A report holds each against its run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.record import Record, Result


@dataclass(frozen=True, slots=True)
class Goal:
    """One row: a figure of a subject, as a ratio to `baseline` or as it is."""

    scenario: str
    subject: str
    metric: str
    baseline: str | None
    must: float
    aim: float

    def result(self, record: Record) -> Result | None:
        """The result that it speaks of, if it was measured."""
        for item in record.results:
            if item.key == (self.scenario, self.subject, self.metric, self.baseline):
                return item
            if self.baseline is None and item.key[:3] == (self.scenario, self.subject, self.metric):
                return item
        return None

    def figure(self, result: Result) -> float | None:
        """What is compared with `must` and `aim`."""
        return result.median if self.baseline is None else result.ratio

    def verdict(self, figure: float) -> str:
        """In a word."""
        return "aim" if figure <= self.aim else "must" if figure <= self.must else "missed"


def _on_both(
    scenario: str,
    metric: str,
    on_asyncio: tuple[float, float],
    on_uvloop: tuple[float, float],
    subject: str = "pinio",
) -> list[Goal]:
    return [
        Goal(scenario, subject, metric, "asyncio", *on_asyncio),
        Goal(scenario, f"{subject}+uvloop", metric, "uvloop", *on_uvloop),
    ]


GOALS: Final = [
    *_on_both("connect_full", "cpu", (0.95, 0.85), (1.05, 0.95)),
    *_on_both("connect_resumed", "cpu", (0.70, 0.55), (0.75, 0.60)),
    Goal("connect_full", "pinio+uvloop", "cpu", "pycurl", 1.0, 0.85),
    Goal("connect_resumed", "pinio+uvloop", "cpu", "pycurl", 0.90, 0.75),
    Goal("connect_full", "pinio", "cpu", "hook", 0.95, 0.85),
    Goal("connect_full", "pinio+uvloop", "cpu", "hook+uvloop", 0.95, 0.85),
    Goal("connect_full", "pinio", "cpu", "aiofastnet", 0.80, 0.70),
    Goal("aiohttp_new_connection", "pinio-aiohttp", "cpu", "aiohttp", 0.85, 0.75),
    Goal("aiohttp_new_connection", "pinio-aiohttp+uvloop", "cpu", "aiohttp+uvloop", 0.85, 0.75),
    Goal("verdict_hit", "judge", "cpu", None, 5e-6, 3e-6),
    Goal("lookup", "policy-1000000", "hot", "policy-10", 1.2, 1.1),
    Goal("lookup", "policy-1000000", "random", "dict-1000000", 2.0, 1.5),
    Goal("memory_idle", "pinio", "rss", "asyncio", 0.15, 0.12),
    Goal("memory_idle", "pinio+uvloop", "rss", "asyncio", 0.15, 0.12),
    *_on_both("download", "cpu_per_mib", (1.0, 0.9), (1.15, 1.0)),
    *(
        goal
        for size in (256, 16384, 262144)
        for goal in _on_both("echo", f"cpu_{size}", (0.95, 0.8), (1.0, 0.9))
    ),
    Goal("import_time", "pinio", "own", None, 0.010, 0.005),
]
"""Every promise, in the order in which a report shows them."""
