"""From the rounds of a scenario to its results: medians, quartiles, paired ratios.

Rounds are interleaved, so the figures of one round were taken within seconds of each other. A ratio
is taken in each round, and then its median: what slows the whole machine down for a while slows
both sides down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median, quantiles

from benchmarks.record import Result

Samples = Mapping[str, Mapping[str, Sequence[float]]]
"""Subject → metric → one figure a round."""


def results(
    scenario: str,
    samples: Samples,
    units: Mapping[str, str],
    baselines: Mapping[str, Sequence[str]],
) -> Iterator[Result]:
    """The results of one scenario; `baselines` says what each subject is compared with, and may name absent ones."""
    for subject, metrics in samples.items():
        for metric, values in metrics.items():
            low, high = _spread(values)
            others = [
                name for name in baselines.get(subject, ()) if metric in samples.get(name, {})
            ]
            against: list[str | None] = [*others] or [None]
            for baseline in against:
                ratio = None if baseline is None else _ratio(values, samples[baseline][metric])
                yield Result(
                    scenario, subject, metric, units[metric], median(values), low, high, len(values), baseline, ratio
                )  # fmt: skip


def _spread(values: Sequence[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


def _ratio(values: Sequence[float], others: Sequence[float]) -> float | None:
    pairs = [(value, other) for value, other in zip(values, others, strict=True) if other > 0]
    return median(value / other for value, other in pairs) if pairs else None
