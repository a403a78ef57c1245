"""Draw small charts as SVG for an HTML page.

Colours come from CSS custom properties of the page (``--line-1`` to ``--line-4``,
``--muted``) and the font from the page, so charts follow its light and dark scheme.
All charts are `WIDTH` units wide, the width of a phone, and scale up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH = 380
# Mean width of a character, in units.
_CHARACTER = 6.1


@dataclass(frozen=True)
class Curve:
    """A line of a chart, optionally with an interval at each point."""

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    color: int = 1
    is_dashed: bool = False
    has_points: bool = False
    low: Sequence[float] | np.ndarray | None = None
    high: Sequence[float] | np.ndarray | None = None


def percent(value: float) -> str:
    """Format a share with as many digits as needed."""
    return f"{value:.0%}" if abs(value) >= 0.0995 or value == 0 else f"{value:.1%}"


def plain(value: float) -> str:
    """Format a number with three significant digits."""
    if value and abs(value) < 0.001:
        return f"{value:.0e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def line_chart(
    curves: Sequence[Curve],
    title: str,
    x_label: str,
    y_label: str,
    x_format: Callable[[float], str] = plain,
    y_format: Callable[[float], str] = plain,
    height: int = 270,
    from_zero: bool = True,
) -> str:
    """Draw curves over one pair of axes, with a legend if there are several."""
    left, right, top = 46, 20, 14
    names = [curve for curve in curves if curve.name]
    bottom = 44 + (18 * ((len(names) + 1) // 2) if len(names) > 1 else 0)
    xs = np.concatenate([np.asarray(curve.x, float) for curve in curves])
    ys = np.concatenate(
        [
            np.asarray(values, float)
            for curve in curves
            for values in (curve.y, curve.low, curve.high)
            if values is not None
        ]
    )
    x_ticks = _ticks(min(0, xs.min()) if from_zero else xs.min(), xs.max())
    y_ticks = _ticks(min(0, ys.min()) if from_zero else ys.min(), ys.max())
    x_from, x_to = x_ticks[0], max(x_ticks[-1], xs.max())
    y_from, y_to = y_ticks[0], y_ticks[-1]
    base = height - bottom

    def place_x(value: float) -> float:
        return left + (value - x_from) / (x_to - x_from) * (WIDTH - left - right)

    def place_y(value: float) -> float:
        return base - (value - y_from) / (y_to - y_from) * (base - top)

    parts = []
    for tick in y_ticks:
        y = place_y(tick)
        parts.append(_line(left, y, WIDTH - right, y, "rule"))
        parts.append(_text(left - 6, y + 4, y_format(tick), "end"))
    for tick in x_ticks:
        parts.append(_text(place_x(tick), base + 16, x_format(tick), "middle"))
    for curve in curves:
        points = [
            (place_x(x), place_y(y)) for x, y in zip(curve.x, curve.y, strict=True)
        ]
        if curve.low is not None and curve.high is not None:
            for x, low, high in zip(curve.x, curve.low, curve.high, strict=True):
                parts.append(
                    f'<path class="line-{curve.color}" d="M{place_x(x):.1f} '
                    f'{place_y(low):.1f}V{place_y(high):.1f}"/>'
                )
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dashed = ' stroke-dasharray="4 4"' if curve.is_dashed else ""
        parts.append(f'<path class="line-{curve.color}" d="M{path}"{dashed}/>')
        if curve.has_points:
            parts += [
                f'<circle class="dot-{curve.color}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
                for x, y in points
            ]
    parts.append(_text((left + WIDTH - right) / 2, base + 34, x_label, "middle"))
    parts.append(_text(left, top - 4, y_label, "start"))
    if len(names) > 1:
        for number, curve in enumerate(names):
            x = left + (number % 2) * (WIDTH - left - right) / 2
            y = base + 52 + 18 * (number // 2)
            dashed = ' stroke-dasharray="4 4"' if curve.is_dashed else ""
            parts.append(
                f'<path class="line-{curve.color}" d="M{x:.1f} {y - 4:.1f}h16"'
                f"{dashed}/>"
            )
            parts.append(_text(x + 22, y, curve.name, "start"))
    return _svg(height, title, parts)


def bar_chart(
    bars: Sequence[tuple[str, float]],
    title: str,
    format_value: Callable[[float], str] = plain,
    mark: float | None = None,
) -> str:
    """Draw horizontal bars with names above; ``mark`` adds a vertical line."""
    row = 34
    top = 6
    height = top + row * len(bars) + 4
    longest = max([value for _, value in bars] + ([mark] if mark else []))
    scale = (WIDTH - 64) / (longest or 1)
    parts = []
    for number, (name, value) in enumerate(bars):
        y = top + row * number
        length = max(value * scale, 1)
        parts.append(_text(0, y + 11, _shortened(name, WIDTH), "start"))
        parts.append(
            f'<rect class="dot-1" x="0" y="{y + 16}" width="{length:.1f}" height="10"/>'
        )
        parts.append(_text(length + 6, y + 25, format_value(value), "start"))
    if mark is not None:
        parts.append(_line(mark * scale, top, mark * scale, height - 4, "mark"))
    return _svg(height, title, parts)


def interval_chart(
    rows: Sequence[tuple[str, float, float | None, float | None]],
    title: str,
    mark: float | None = None,
) -> str:
    """Draw a value with its interval in each row; ``mark`` adds a vertical line."""
    row, top = 38, 8
    height = top + row * len(rows) + 22
    numbers = [n for _, *values in rows for n in values if n is not None]
    numbers += [mark] if mark is not None else []
    ticks = _ticks(min(numbers), max(numbers), 5)
    left, right = 14, 60
    base = height - 18

    def place(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return left + share * (WIDTH - left - right)

    parts = []
    for tick in ticks:
        parts.append(_line(place(tick), top, place(tick), base, "rule"))
        parts.append(_text(place(tick), height - 4, plain(tick), "middle"))
    if mark is not None:
        parts.append(_line(place(mark), top, place(mark), base, "mark"))
    for number, (name, value, low, high) in enumerate(rows):
        y = top + row * number
        color = 1 if number == 0 else 2
        parts.append(_text(left, y + 12, name, "start"))
        if low is not None and high is not None:
            parts.append(
                f'<path class="line-{color}" d="M{place(low):.1f} {y + 24}'
                f'H{place(high):.1f}"/>'
            )
        parts.append(
            f'<circle class="dot-{color}" cx="{place(value):.1f}" cy="{y + 24}" r="4"/>'
        )
        parts.append(_text(WIDTH, y + 28, f"{value:.3f}", "end"))
    return _svg(height, title, parts)


def span_chart(spans: Sequence[tuple[str, str, float, float, int]], title: str) -> str:
    """Draw time ranges below each other.

    Args:
        spans: Name, note, start and end as shares of the width, and colour.
        title: Description of the chart.
    """
    # Text is above its bar, and closer to it than to the bar before.
    row, bar, thickness = 50, 22, 10
    parts = []
    for number, (name, note, start, end, color) in enumerate(spans):
        y = row * number + 4
        parts.append(_text(0, y + 12, name, "start"))
        parts.append(_text(WIDTH, y + 12, note, "end"))
        middle = y + bar + thickness / 2
        parts.append(_line(0, middle, WIDTH, middle, "rule"))
        parts.append(
            f'<rect class="dot-{color}" x="{start * WIDTH:.1f}" y="{y + bar}" '
            f'width="{max((end - start) * WIDTH, 2):.1f}" height="{thickness}" rx="2"/>'
        )
    return _svg(row * len(spans), title, parts)


@dataclass(frozen=True)
class Node:
    """A node of a tree: a question with two answers, or a leaf with its value."""

    text: str
    answer: str = ""
    value: float | None = None
    children: tuple[Node, ...] = ()


def tree_chart(root: Node, title: str) -> str:
    """Draw a tree from top to bottom, one row per node, children indented."""
    row, step = 24, 20
    rows: list[tuple[Node, int, int]] = []

    def walk(node: Node, depth: int, parent: int) -> None:
        number = len(rows)
        rows.append((node, depth, parent))
        for child in node.children:
            walk(child, depth + 1, number)

    walk(root, 0, -1)
    longest = max([abs(node.value) for node, _, _ in rows if node.value] + [1e-9])
    parts = []
    for number, (node, depth, parent) in enumerate(rows):
        x, y = depth * step, number * row + 16
        if parent >= 0:
            corner = (depth - 1) * step + 5
            path = f"M{corner} {parent * row + 22}V{y - 4}H{x - 2}"
            parts.append(f'<path class="rule" d="{path}"/>')
        answer = f"{node.answer}: " if node.answer else ""
        if node.value is None:
            room = WIDTH - x
            parts.append(_text(x, y, _shortened(answer + node.text, room), "start"))
            continue
        parts.append(_text(x, y, f"{answer}{node.value:+.3f}", "start"))
        length = abs(node.value) / longest * 60
        color = 3 if node.value > 0 else 4
        parts.append(
            f'<rect class="dot-{color}" x="{WIDTH - 130}" y="{y - 10}" '
            f'width="{max(length, 1):.1f}" height="10"/>'
        )
        parts.append(_text(WIDTH, y, node.text, "end"))
    return _svg(row * len(rows) + 4, title, parts)


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text, quote=False)}</text>"
    )


def _line(x: float, y: float, to_x: float, to_y: float, name: str) -> str:
    return f'<path class="{name}" d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>'


def _shortened(text: str, room: float) -> str:
    """Shorten a text to a width in units."""
    max_length = int(room / _CHARACTER)
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


def _ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return round numbers around an interval, about ``count`` at most."""
    if not high > low:
        high = low + (abs(low) or 1.0) * 0.1
    rough = (high - low) / (count - 1)
    power = 10 ** np.floor(np.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(round(step * n, 10)) for n in np.arange(first, last + 1)]
