"""A run as Markdown and plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.goals import GOALS
from benchmarks.plots import plots
from benchmarks.record import Record, Result

_SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "B": ((2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
}
_READING = """\
Seconds are CPU seconds of the client process alone unless a scenario says otherwise; figures are medians of interleaved rounds
with their quartiles, ratios are medians of the ratios of each round.
"""


def figure(value: float, unit: str) -> str:
    """A figure with three digits and the unit that suits it."""
    for size, name in _SCALES.get(unit, ()):
        if abs(value) >= size or (size, name) == _SCALES[unit][-1]:
            return f"{_three(value / size)} {name}"
    return _three(value)


def _three(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


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
        shown = [figure(number, unit) if unit else f"{number:.2f}" for number in (value, goal.must, goal.aim)]
        rows.append(
            (goal.scenario, goal.subject, goal.metric, goal.baseline or "none", *shown, goal.verdict(value))
        )
    if not rows:
        return ""
    head = ("scenario", "subject", "metric", "compared with", "measured", "must", "aim", "reached")
    return f"## Promises\n\n{grid(head, rows)}\n"


def markdown(record: Record, pictures: Iterable[str]) -> str:
    """The whole report."""
    machine = ", ".join(f"{name} {value}" for name, value in record.machine.items() if name != "date")
    versions = ", ".join(f"{name} {value}" for name, value in record.versions.items())
    parts = [
        f"# Benchmarks of {record.machine.get('date', 'an unknown date')[:10]}\n",
        f"Machine: {machine}.\n\nVersions: {versions}.\n",
        _READING,
        promises(record),
        *(f"![{name.removesuffix('.svg')}]({name})\n" for name in pictures),
        "## Results\n",
        table(record),
    ]
    if record.unavailable:
        lines = [f"- {name}: {reason}" for name, reason in record.unavailable.items()]
        parts.append("## Not measured\n\n" + "\n".join(lines) + "\n")
    return "\n".join(part for part in parts if part)


def write(path: Path) -> list[Path]:
    """Write the report and its plots beside a record; returns what was written."""
    record = Record.read(path)
    written = []
    for name, picture in plots(record).items():
        target = path.with_name(f"{path.stem}-{name}.svg")
        target.write_text(picture, "utf-8")
        written.append(target)
    page = path.with_suffix(".md")
    page.write_text(markdown(record, [item.name for item in written]), "utf-8")
    return [page, *written]
