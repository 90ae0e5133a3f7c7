"""A run as Markdown and plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.goals import GOALS
from benchmarks.plots import picture
from benchmarks.record import Record, Result
from benchmarks.units import figure

_READING = """\
Seconds are CPU seconds of the client process alone unless a scenario says otherwise; figures are medians of interleaved rounds
with their quartiles, ratios are medians of the ratios of each round.
"""


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(record: Record) -> str:
    """Every result, one table a scenario."""
    head = ("subject", "metric", "median", "quartiles", "rounds", "compared with", "ratio")
    parts = []
    for scenario in record.scenarios():
        rows = [_row(item) for item in record.results if item.scenario == scenario]
        parts.append(f"### {scenario}\n\n{grid(head, rows)}\n")
    return "\n".join(parts)


def _row(item: Result) -> tuple[str, ...]:
    spread = f"{figure(item.low, item.unit)} … {figure(item.high, item.unit)}"
    ratio = "" if item.ratio is None else f"{item.ratio:.2f}"
    return (
        item.subject, item.metric, figure(item.median, item.unit), spread, str(item.rounds), item.baseline or "", ratio
    )  # fmt: skip


def promises(record: Record) -> str:
    """What was promised and what was measured; empty if nothing of it was."""
    rows = []
    for goal in GOALS:
        result = goal.result(record)
        value = None if result is None else goal.figure(result)
        if result is None or value is None:
            continue
        unit = result.unit if goal.baseline is None else ""
        shown = [
            figure(number, unit) if unit else f"{number:.2f}"
            for number in (value, goal.must, goal.aim)
        ]
        rows.append(
            (
                goal.scenario,
                goal.subject,
                goal.metric,
                goal.baseline or "none",
                *shown,
                goal.verdict(value),
            )
        )
    if not rows:
        return ""
    head = ("scenario", "subject", "metric", "compared with", "measured", "must", "aim", "reached")
    return f"## Promises\n\n{grid(head, rows)}\n"


def markdown(record: Record, plots: str | None) -> str:
    """The whole report."""
    machine = ", ".join(
        f"{name} {value}" for name, value in record.machine.items() if name != "date"
    )
    versions = ", ".join(f"{name} {value}" for name, value in record.versions.items())
    parts = [
        f"# Benchmarks of {record.machine.get('date', 'an unknown date')[:10]}\n",
        f"Machine: {machine}.\n\nVersions: {versions}.\n",
        _READING,
        promises(record),
        f"![The results as plots]({plots})\n" if plots else "",
        "## Results\n",
        table(record),
    ]
    if record.unavailable:
        lines = [f"- {name}: {reason}" for name, reason in record.unavailable.items()]
        parts.append("## Not measured\n\n" + "\n".join(lines) + "\n")
    return "\n".join(part for part in parts if part)


def write(path: Path) -> list[Path]:
    """Write the report and its plots beside a record: one page and one picture; returns both."""
    record = Record.read(path)
    page, plots = path.with_suffix(".md"), path.with_suffix(".svg")
    drawn = picture(record)
    if drawn:
        plots.write_text(drawn, "utf-8")
    page.write_text(markdown(record, plots.name if drawn else None), "utf-8")
    return [page, plots] if drawn else [page]
