"""The plots of a record: one panel for each question that it can answer, in one SVG.

matplotlib draws them. The background is transparent and all text is a middle grey, so that the
picture can be read on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Final

from benchmarks.record import Record, Result
from benchmarks.units import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Panel = Callable[[Axes], None]

_BARS: Final = {
    "connect_full": ("cpu", "CPU per connection, full handshake", "s"),
    "connect_resumed": ("cpu", "CPU per connection, resumed where the client can", "s"),
    "connect_refused": ("cpu", "CPU per refused connection", "s"),
    "aiohttp_new_connection": ("cpu", "CPU per aiohttp request on a new connection", "s"),
    "memory_idle": ("rss", "Resident memory per idle connection", "B"),
    "memory_after_bulk": ("rss", "Resident memory per connection after bulk traffic", "B"),
}
"""Scenario → metric, title and unit of a panel of bars."""
_OURS: Final = "#0b84a5"
_OTHERS: Final = "#8c959f"
_TEXT: Final = "#7d8590"
_PANEL: Final = (8.0, 4.2)
"""Inches of one panel, width and height."""
_STYLE: Final = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "pinio",  # the same record gives the same bytes
    "text.color": _TEXT, "axes.labelcolor": _TEXT, "axes.edgecolor": _TEXT, "xtick.color": _TEXT,
    "ytick.color": _TEXT, "axes.titleweight": "bold", "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "font.size": 9, "figure.facecolor": "none", "axes.facecolor": "none",
}  # fmt: skip

Points = Sequence[tuple[float, float]]


def picture(record: Record) -> str:
    """Draw what was measured, as SVG text; empty if no panel has a figure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = list(_panels(record))
    if not panels:
        return ""
    with mpl.rc_context(_STYLE):
        width, height = _PANEL
        page = Figure(figsize=(width, height * len(panels)), layout="constrained")
        for axes, panel in zip(
            page.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True
        ):
            panel(axes)
        text = StringIO()
        page.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    return text.getvalue()


def _panels(record: Record) -> Iterator[Panel]:
    for scenario, (metric, title, unit) in _BARS.items():
        values = {
            subject: metrics[metric].median
            for subject, metrics in _figures(record, scenario).items()
            if metric in metrics
        }
        if values:
            yield partial(_draw_bars, title, values, unit)
    if policies := _policies(record):
        yield partial(
            _draw_lines,
            "Lookup of a host",
            policies,
            ("patterns", ""),
            ("CPU", "s"),
            "log",
            "linear",
        )
    if throughput := _throughput(record):
        title = "Echo: bytes both ways per second of CPU"
        yield partial(
            _draw_lines, title, throughput, ("message", "B"), ("per second", "B"), "log", "log"
        )
    if storm := _storm(record):
        axes = ("wall time since the start", "s"), ("open, %", "")
        yield partial(_draw_lines, "A storm of connections", storm, *axes, "linear", "linear")


def _figures(record: Record, scenario: str) -> dict[str, dict[str, Result]]:
    """Subject → metric → result, without repetitions for several baselines."""
    found: dict[str, dict[str, Result]] = {}
    for item in record.results:
        if item.scenario == scenario:
            found.setdefault(item.subject, {}).setdefault(item.metric, item)
    return found


def _policies(record: Record) -> dict[str, list[tuple[float, float]]]:
    """Lookup time against the number of patterns."""
    series: dict[str, list[tuple[float, float]]] = {}
    for subject, metrics in _figures(record, "lookup").items():
        kind, _, size = subject.partition("-")
        if kind == "policy":
            for name in ("hot", "random", "wildcard"):
                series.setdefault(name, []).append((float(size), metrics[name].median))
    return series


def _throughput(record: Record) -> dict[str, list[tuple[float, float]]]:
    """Bytes there and back in a second of CPU, against the size of a message."""
    return {
        subject: [
            (size := float(metric.removeprefix("cpu_")), 2 * size / item.median)
            for metric, item in metrics.items()
        ]
        for subject, metrics in _figures(record, "echo").items()
    }


def _storm(record: Record) -> dict[str, list[tuple[float, float]]]:
    """How many connections were open after how long."""
    return {
        subject: [
            (item.median, float(metric.removeprefix("open_").removesuffix("%")))
            for metric, item in metrics.items()
            if metric.startswith("open_")
        ]
        for subject, metrics in _figures(record, "storm").items()
    }


def _draw_bars(title: str, values: Mapping[str, float], unit: str, axes: Axes) -> None:
    """One bar for each subject, the shortest on top; pinio's own in a colour."""
    rows = sorted(values.items(), key=lambda item: item[1], reverse=True)
    bars = axes.barh(
        [subject for subject, _ in rows],
        [value for _, value in rows],
        color=[_OURS if subject.startswith("pinio") else _OTHERS for subject, _ in rows],
    )
    axes.bar_label(bars, [figure(value, unit) for _, value in rows], padding=4)
    axes.set_title(title, loc="left")
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _draw_lines(
    title: str,
    series: Mapping[str, Points],
    across: tuple[str, str],
    up: tuple[str, str],
    across_scale: str,
    up_scale: str,
    axes: Axes,
) -> None:
    """One line for each series of (x, y) points; an axis is its name and its unit."""
    for name, points in series.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=3, label=name)
    for axis, scale, (name, unit) in (
        (axes.xaxis, across_scale, across),
        (axes.yaxis, up_scale, up),
    ):
        base = (
            {} if scale == "linear" else {"base": 2 if unit == "B" else 10}
        )  # KiB are powers of two
        (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)(scale, **base)
        axis.set_label_text(name)
        if unit:
            axis.set_major_formatter(partial(_tick, unit))
    axes.grid(visible=True, linewidth=0.4, linestyle=":")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_title(title, loc="left")


def _tick(unit: str, value: float, _position: int) -> str:
    return figure(value, unit)
