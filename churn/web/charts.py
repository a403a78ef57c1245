"""Charts of the account's page as SVG, without styles, scripts or markup from data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup


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
    medium_from: float,
    high_from: float,
    label: str,
    format_date: Callable[[date], str] = date.isoformat,
) -> Markup | None:
    """Return the history of an account's scores with its actions marked.

    Args:
        points: The scores by day.
        actions: Days and names of actions.
        medium_from: Lower bound of the band medium.
        high_from: Lower bound of the band high.
        label: Text for people who cannot see the chart.
        format_date: Writes a day.
    """
    if not points:
        return None
    width, height, left, right, top, bottom = 720, 190, 40, 10, 16, 28
    days = [point.day for point in points] + [day for day, _ in actions]
    first, last = min(days), max(days)
    span = max((last - first).days, 1)
    most = max(max(point.probability for point in points), high_from * 1.25, 0.05)
    most = min(1.0, most * 1.1)

    def x(day: date) -> float:
        if first == last:
            return left + (width - left - right) / 2
        return left + (day - first).days / span * (width - left - right)

    def y(value: float) -> float:
        return top + (1 - value / most) * (height - top - bottom)

    parts = [
        Markup(
            '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        ).format(width, height, label)
    ]
    for bound, name in ((medium_from, "medium"), (high_from, "high")):
        if bound < most:
            parts.append(
                Markup(
                    '<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                    '<text x="{}" y="{:.1f}" class="tick end">{:.0f}%</text>'
                    '<text x="{}" y="{:.1f}" class="tick">{} from here</text>'
                ).format(
                    *(left, width - right, y(bound), y(bound)),
                    *(left - 5, y(bound) + 4, bound * 100),
                    *(left + 4, y(bound) - 4, name),
                )
            )
    parts.append(
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            left, width - right, height - bottom, height - bottom
        )
    )
    for day, anchor in (
        ((first, ""), (last, " end")) if first != last else ((first, " mid"),)
    ):
        parts.append(
            Markup('<text x="{:.1f}" y="{}" class="tick{}">{}</text>').format(
                x(day), height - 10, anchor, format_date(day)
            )
        )
    for day, name in actions:
        parts.append(
            Markup(
                '<g class="action"><title>{}</title>'
                '<line x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>'
                '<path d="M{:.1f} {} l-5 -8 h10 z"/></g>'
            ).format(
                f"{format_date(day)}: {name}",
                *(x(day), x(day), top, height - bottom),
                *(x(day), top),
            )
        )
    line = " ".join(f"{x(p.day):.1f},{y(p.probability):.1f}" for p in points)
    parts.append(Markup('<polyline class="line" points="{}"/>').format(line))
    model = None
    for point in points:
        text = f"{format_date(point.day)}: {point.probability:.1%}"
        if not point.is_given:
            text += ", today's model on the data of that day"
        kind = "given" if point.is_given else "replayed"
        if point.is_given and model not in (None, point.model):
            text += f", new model {point.model}"
            kind += " new-model"
        model = point.model if point.is_given else model
        parts.append(
            Markup(
                '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title>'
                "</circle>"
            ).format(
                kind,
                x(point.day),
                y(point.probability),
                3.5 if point.is_given else 2,
                text,
            )
        )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


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
        Markup(
            '<svg class="chart bars" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        ).format(width, height, label)
    ]
    for position, (week, count) in enumerate(weeks):
        size = count / most * (height - bottom - 4)
        parts.append(
            Markup(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
                "<title>{}</title></rect>"
            ).format(
                position * step + 1,
                height - bottom - max(size, 1),
                step - 2,
                max(size, 1),
                f"week of {format_date(week)}: {count} visits",
            )
        )
    parts.append(
        Markup(
            '<text x="0" y="{}" class="tick">{}</text>'
            '<text x="{:.1f}" y="{}" class="tick end">{}</text></svg>'
        ).format(
            *(height - 2, format_date(weeks[0][0])),
            *(len(weeks) * step, height - 2, format_date(weeks[-1][0])),
        )
    )
    return Markup("").join(parts)


def bar(value: float, most: float) -> Markup:
    """Return a bar from the middle: to the right if the value raises the risk."""
    size = 0.0 if not most else abs(value) / most * 98
    kind = "raises" if value > 0 else "lowers"
    start = 100.0 if value > 0 else 100 - size
    return Markup(
        '<svg class="bar" viewBox="0 0 200 14" aria-hidden="true">'
        '<line x1="100" x2="100" y1="0" y2="14"/>'
        '<rect class="{}" x="{:.1f}" y="2" width="{:.1f}" height="10" rx="1"/></svg>'
    ).format(kind, start, size)
