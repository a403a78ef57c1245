"""Charts of the account's page as SVG; every text from data goes through `escape`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Point:
    """A score: its day, probability and model, and whether it was given that day."""

    day: date
    probability: float
    model: str
    is_given: bool


def score_chart(
    points: Sequence[Point],
    actions: Sequence[tuple[date, str]],
    medium_from: float | None,
    high_from: float | None,
    label: str,
    format_date: Callable[[date], str] = date.isoformat,
) -> Markup | None:
    """Return the history of an account's scores with its actions marked.

    Args:
        points: The scores by day.
        actions: Days and names of actions.
        medium_from: Lower bound of the band medium, if it is known.
        high_from: Lower bound of the band high, if it is known.
        label: Text for people who cannot see the chart.
        format_date: Writes a day.
    """
    if not points:
        return None
    width, height, left, right, top, bottom = 720, 190, 40, 10, 16, 28
    days = [point.day for point in points] + [day for day, _ in actions]
    first, last = min(days), max(days)
    span = max((last - first).days, 1)
    most = max(
        max(point.probability for point in points), (high_from or 0.0) * 1.25, 0.05
    )
    most = min(1.0, most * 1.1)

    def x(day: date) -> float:
        if first == last:
            return left + (width - left - right) / 2
        return left + (day - first).days / span * (width - left - right)

    def y(value: float) -> float:
        return top + (1 - value / most) * (height - top - bottom)

    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}">'
    ]
    for bound, name in ((medium_from, "medium"), (high_from, "high")):
        if bound is not None and bound < most:
            parts.append(
                f'<line class="rule" x1="{left}" x2="{width - right}" '
                f'y1="{y(bound):.1f}" y2="{y(bound):.1f}"/>'
                f'<text x="{left - 5}" y="{y(bound) + 4:.1f}" class="tick end">'
                f"{bound * 100:.0f}%</text>"
                f'<text x="{left + 4}" y="{y(bound) - 4:.1f}" class="tick">'
                f"{name} from here</text>"
            )
    parts.append(
        f'<line class="axis" x1="{left}" x2="{width - right}" '
        f'y1="{height - bottom}" y2="{height - bottom}"/>'
    )
    ends = [(first, ""), (last, " end")] if first != last else [(first, " mid")]
    parts += [
        f'<text x="{x(day):.1f}" y="{height - 10}" class="tick{anchor}">'
        f"{escape(format_date(day))}</text>"
        for day, anchor in ends
    ]
    parts += [
        f'<g class="action"><title>{escape(f"{format_date(day)}: {name}")}</title>'
        f'<line x1="{x(day):.1f}" x2="{x(day):.1f}" y1="{top}" '
        f'y2="{height - bottom}"/><path d="M{x(day):.1f} {top} l-5 -8 h10 z"/></g>'
        for day, name in actions
    ]
    line = " ".join(f"{x(p.day):.1f},{y(p.probability):.1f}" for p in points)
    parts.append(f'<polyline class="line" points="{line}"/>')
    model = None
    for point in points:
        text = f"{format_date(point.day)}: {point.probability:.1%}"
        kind, radius = "given", 3.5
        if not point.is_given:
            kind, radius = "replayed", 2
            text += ", today's model on the data of that day"
        elif model not in (None, point.model):
            kind = "given new-model"
            text += f", new model {point.model}"
        model = point.model if point.is_given else model
        parts.append(
            f'<circle class="{kind}" cx="{x(point.day):.1f}" '
            f'cy="{y(point.probability):.1f}" r="{radius}">'
            f"<title>{escape(text)}</title></circle>"
        )
    parts.append("</svg>")
    return Markup("".join(parts))


def week_chart(
    weeks: Sequence[tuple[date, int]],
    label: str,
    format_date: Callable[[date], str] = date.isoformat,
) -> Markup | None:
    """Return visits per week as bars.

    Args:
        weeks: Mondays and numbers of visits, without gaps.
        label: Text for people who cannot see the chart.
        format_date: Writes a day.
    """
    if not weeks:
        return None
    width, height, bottom = 720, 64, 14
    most = max(max(count for _, count in weeks), 1)
    step = width / max(len(weeks), 12)
    parts = [
        f'<svg class="chart bars" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}">'
    ]
    for position, (week, count) in enumerate(weeks):
        size = max(count / most * (height - bottom - 4), 1)
        title = escape(f"week of {format_date(week)}: {count} visits")
        parts.append(
            f'<rect x="{position * step + 1:.1f}" y="{height - bottom - size:.1f}" '
            f'width="{step - 2:.1f}" height="{size:.1f}"><title>{title}</title></rect>'
        )
    parts.append(
        f'<text x="0" y="{height - 2}" class="tick">'
        f"{escape(format_date(weeks[0][0]))}</text>"
        f'<text x="{len(weeks) * step:.1f}" y="{height - 2}" class="tick end">'
        f"{escape(format_date(weeks[-1][0]))}</text></svg>"
    )
    return Markup("".join(parts))


def bar(value: float, most: float) -> Markup:
    """Return a bar from the middle: to the right if the value raises the risk."""
    size = 0.0 if not most else abs(value) / most * 98
    kind = "raises" if value > 0 else "lowers"
    start = 100.0 if value > 0 else 100 - size
    return Markup(
        '<svg class="bar" viewBox="0 0 200 14" aria-hidden="true">'
        '<line x1="100" x2="100" y1="0" y2="14"/>'
        f'<rect class="{kind}" x="{start:.1f}" y="2" width="{size:.1f}" height="10" '
        'rx="1"/></svg>'
    )
