"""Which plots a record gives: one for each question that it can answer."""

from __future__ import annotations

from functools import partial

from benchmarks import svg
from benchmarks.record import Record, Result


def plots(record: Record) -> dict[str, str]:
    """Name → SVG, for what was measured."""
    drawn = {
        "connections": _bars(record, "connect_full", "cpu", "CPU per connection, full handshake", "s"),
        "resumed": _bars(
            record, "connect_resumed", "cpu", "CPU per connection, sessions where the client can", "s"
        ),
        "refused": _bars(record, "connect_refused", "cpu", "CPU per refused connection", "s"),
        "aiohttp": _bars(
            record, "aiohttp_new_connection", "cpu", "CPU per aiohttp request on a new connection", "s"
        ),
        "memory": _bars(record, "memory_idle", "rss", "Resident memory per idle connection", "B"),
        "bulk": _bars(record, "memory_after_bulk", "rss", "The same after bulk traffic", "B"),
        "policies": _policies(record),
        "throughput": _throughput(record),
        "storm": _storm(record),
    }
    return {name: picture for name, picture in drawn.items() if picture}


def _figures(record: Record, scenario: str) -> dict[str, dict[str, Result]]:
    """Subject → metric → result, without repetitions for several baselines."""
    found: dict[str, dict[str, Result]] = {}
    for item in record.results:
        if item.scenario == scenario:
            found.setdefault(item.subject, {}).setdefault(item.metric, item)
    return found


def _bars(record: Record, scenario: str, metric: str, title: str, unit: str) -> str:
    from benchmarks.report import figure

    found = _figures(record, scenario)
    values = [
        (subject, metrics[metric].median, subject.startswith("pinio"))
        for subject, metrics in found.items()
        if metric in metrics
    ]
    return (
        svg.bars(title, sorted(values, key=lambda item: item[1]), partial(figure, unit=unit))
        if values
        else ""
    )


def _policies(record: Record) -> str:
    """Lookup time against the number of patterns."""
    from benchmarks.report import figure

    series: dict[str, list[tuple[float, float]]] = {}
    for subject, metrics in _figures(record, "lookup").items():
        kind, _, size = subject.partition("-")
        if kind == "policy":
            for name in ("hot", "random", "wildcard"):
                series.setdefault(name, []).append((float(size), metrics[name].median))
    if not series:
        return ""
    seconds = partial(figure, unit="s")
    return svg.lines(
        "Lookup of a host, by size of the policy", series, ("patterns", "CPU per lookup"), ("{:,.0f}".format, seconds),
        logarithmic=(True, False),
    )  # fmt: skip


def _throughput(record: Record) -> str:
    """Bytes there and back in a second of CPU, against the size of a message."""
    from benchmarks.report import figure

    series = {
        subject: [
            (float(metric.removeprefix("cpu_")), 2 * float(metric.removeprefix("cpu_")) / item.median)
            for metric, item in metrics.items()
        ]
        for subject, metrics in _figures(record, "echo").items()
    }
    if not series:
        return ""
    size = partial(figure, unit="B")
    return svg.lines(
        "Echo: bytes both ways per second of CPU", series, ("bytes of a message", "per second"), (size, size),
        logarithmic=(True, True),
    )  # fmt: skip


def _storm(record: Record) -> str:
    """How many connections were open after how long."""
    from benchmarks.report import figure

    series = {
        subject: [
            (item.median, float(metric.removeprefix("open_").removesuffix("%")))
            for metric, item in metrics.items()
            if metric.startswith("open_")
        ]
        for subject, metrics in _figures(record, "storm").items()
    }
    if not series:
        return ""
    return svg.lines(
        "A storm of connections", series, ("wall time since its start", "open"), (partial(figure, unit="s"), "{:.0f} %".format)
    )  # fmt: skip
