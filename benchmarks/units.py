"""How a figure is written: three digits and the unit that suits it."""

from __future__ import annotations

from typing import Final

_SCALES: Final = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "B": ((2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
}


def figure(value: float, unit: str) -> str:
    """Write a figure with three digits and the unit that suits it."""
    for size, name in _SCALES.get(unit, ()):
        if abs(value) >= size or (size, name) == _SCALES[unit][-1]:
            return f"{_three(value / size)} {name}"
    return _three(value)


def _three(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
