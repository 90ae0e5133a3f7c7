"""What changed between two runs."""

from __future__ import annotations

from benchmarks.record import Record, Result
from benchmarks.report import grid
from benchmarks.units import figure


def comparison(before: Record, after: Record) -> str:
    """A Markdown table of what both have measured.

    Seconds of different runs may not be compared, for the machine was in another state: the last
    column compares what each run found relative to its own baseline, where there is one, and may be
    read; the column before it only between quiet machines.
    """
    old = {item.key: item for item in before.results}
    rows = [_row(old[item.key], item) for item in after.results if item.key in old]
    notes = [
        f"{name}: {before.versions.get(name, 'absent')} → {after.versions.get(name, 'absent')}"
        for name in sorted(before.versions.keys() | after.versions.keys())
        if before.versions.get(name) != after.versions.get(name)
    ]
    head = (
        "scenario",
        "subject",
        "metric",
        "before",
        "after",
        "change",
        "baseline",
        "ratio before",
        "after",
        "change",
    )
    return "\n".join([*notes, "", grid(head, rows)])


def _row(old: Result, new: Result) -> tuple[str, ...]:
    return (
        new.scenario,
        new.subject,
        new.metric,
        figure(old.median, old.unit),
        figure(new.median, new.unit),
        _change(old.median, new.median),
        new.baseline or "",
        "" if old.ratio is None else f"{old.ratio:.2f}",
        "" if new.ratio is None else f"{new.ratio:.2f}",
        _change(old.ratio, new.ratio),
    )


def _change(old: float | None, new: float | None) -> str:
    return f"{100 * (new / old - 1):+.0f} %" if old and new is not None else ""
