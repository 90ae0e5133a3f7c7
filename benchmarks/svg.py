"""Two kinds of plot, as SVG text: horizontal bars, and lines over two axes. Readable in a light and in a dark page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 170, 30, 44, 50
_ROW = 24
_COLOURS = ("#0b84a5", "#ca472f", "#6f4e7c", "#f6a01a", "#9dd866", "#5b6c8f", "#c05fa1", "#2f8f5b")
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}"
    ".axis{stroke:#8c959f;stroke-width:1}.grid{stroke:#8c959f;stroke-width:.4;stroke-dasharray:2 3}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>"
)

Format = Callable[[float], str]


def bars(title: str, values: Sequence[tuple[str, float, bool]], show: Format) -> str:
    """One bar for each label; True marks those to be looked at."""
    most = max(value for _, value, _ in values)
    room = WIDTH - _LEFT - _RIGHT - 70
    parts = []
    for number, (label, value, marked) in enumerate(values):
        top = _TOP + number * _ROW
        length = max(1.0, room * value / most) if most > 0 else 1.0
        parts += [
            _text(_LEFT - 8, top + 15, label, anchor="end"),
            f'<rect x="{_LEFT}" y="{top + 3}" width="{length:.1f}" height="{_ROW - 7}" fill="{_COLOURS[0 if marked else 5]}"/>',
            _text(_LEFT + length + 6, top + 15, show(value)),
        ]
    return _document(title, _TOP + len(values) * _ROW + 14, parts)


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
    show: tuple[Format, Format],
    *,
    logarithmic: tuple[bool, bool] = (False, False),
) -> str:
    """One line for each series of (x, y) points."""
    height = 380
    points = [point for values in series.values() for point in values]
    scales = [
        _Scale([point[axis] for point in points], start, end, logarithmic=logarithmic[axis])
        for axis, (start, end) in enumerate(((_LEFT - 90, WIDTH - 190), (height - _BOTTOM, _TOP + 10)))
    ]
    parts = _axes(scales, show, axes, height)
    for number, (name, values) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        dash = ' stroke-dasharray="6 3"' if number >= len(_COLOURS) else ""
        path = " ".join(f"{scales[0](x):.1f},{scales[1](y):.1f}" for x, y in sorted(values))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts += [
            f'<circle cx="{scales[0](x):.1f}" cy="{scales[1](y):.1f}" r="3" fill="{colour}"/>'
            for x, y in values
        ]
        level = _TOP + 20 + number * 20
        parts.append(f'<rect x="{WIDTH - 170}" y="{level - 9}" width="12" height="9" fill="{colour}"/>')
        parts.append(_text(WIDTH - 152, level, name))
    return _document(title, height, parts)


class _Scale:
    """From a value to a coordinate."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, logarithmic: bool) -> None:
        self._logarithmic = logarithmic
        self.start, self.end = start, end
        low = min(values) if logarithmic else min(0.0, *values)
        high = max(values)
        self._low, self._high = self._place(low), self._place(high)
        if self._high == self._low:
            self._high += 1

    def _place(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self._logarithmic else value

    def __call__(self, value: float) -> float:
        part = (self._place(value) - self._low) / (self._high - self._low)
        return self.start + part * (self.end - self.start)

    def marks(self) -> list[float]:
        """Values worth a line: powers of ten, or five round steps."""
        if self._logarithmic:
            powers = range(math.ceil(self._low - 1e-9), math.floor(self._high + 1e-9) + 1)
            return [10.0**power for power in powers]
        step = 10.0 ** math.floor(math.log10((self._high - self._low) / 3))
        while (self._high - self._low) / step > 6:
            step *= 2
        return [self._low + number * step for number in range(int((self._high - self._low) / step) + 1)]


def _axes(
    scales: Sequence[_Scale], show: tuple[Format, Format], names: tuple[str, str], height: int
) -> list[str]:
    across, up = scales
    parts = [
        f'<path class="axis" fill="none" d="M{across.start} {up.end}V{up.start}H{across.end}"/>',
        _text((across.start + across.end) / 2, height - 12, names[0], anchor="middle"),
        _text(across.start, _TOP - 2, names[1]),
    ]
    for value in across.marks():
        at = across(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{up.start}" x2="{at:.1f}" y2="{up.end}"/>')
        parts.append(_text(at, up.start + 17, show[0](value), anchor="middle"))
    for value in up.marks():
        at = up(value)
        parts.append(
            f'<line class="grid" x1="{across.start}" y1="{at:.1f}" x2="{across.end}" y2="{at:.1f}"/>'
        )
        parts.append(_text(across.start - 6, at + 4, show[1](value), anchor="end"))
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _document(title: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">'
    name = f'<title>{escape(title)}</title><text class="title" x="16" y="24">{escape(title)}</text>'
    return "\n".join([head, _STYLE, name, *parts, "</svg>\n"])
