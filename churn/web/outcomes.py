"""What the page of outcomes shows of the experiments, and its chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

ALL = "all"
CHURNED, LOST_REVENUE = "churned", "lost_revenue"
_BANDS = (ALL, "high", "medium", "low")
STATUSES = {
    "not_started": "Not started",
    "too_few": "Too few accounts to tell",
    "running": "Running",
    "complete": "Complete",
    "sample_ratio_mismatch": "Broken: arms of wrong sizes",
    "several_currencies": "Several currencies",
}


@dataclass(frozen=True)
class Experiment:
    """The results of one experiment.

    Attributes:
        churn: The row of all accounts, for the churn rate.
        revenue: The row of all accounts, for the lost revenue.
        bands: The rows of each risk band, for the churn rate.
        chart: Effects with their intervals, ``None`` if no effect is known.
    """

    churn: Mapping[str, Any]
    revenue: Mapping[str, Any] | None
    bands: Sequence[Mapping[str, Any]]
    chart: Markup | None


def experiments_of(
    results: Sequence[Mapping[str, Any]], per_100: Callable[[float], str]
) -> list[Experiment]:
    """Group the rows of ``experiment_results`` by experiment, the newest first.

    Args:
        results: The rows.
        per_100: Writes a difference of rates as accounts per 100.
    """
    by_experiment: dict[str, list[Mapping[str, Any]]] = {}
    for row in results:
        by_experiment.setdefault(str(row["experiment_id"]), []).append(row)
    experiments = []
    for rows in by_experiment.values():
        churn = [row for row in rows if row["metric"] == CHURNED]
        churn.sort(key=lambda row: _BANDS.index(row["stratum"]))
        if not churn or churn[0]["stratum"] != ALL:
            continue
        revenue = [
            row
            for row in rows
            if row["metric"] == LOST_REVENUE and row["stratum"] == ALL
        ]
        # The only band of an experiment has the numbers of all accounts.
        bands = churn[1:] if len(churn) > 2 else []
        experiments.append(
            Experiment(
                churn=churn[0],
                revenue=revenue[0] if revenue else None,
                bands=bands,
                chart=effect_chart([churn[0], *bands], per_100),
            )
        )
    experiments.sort(key=lambda each: str(each.churn["start_date"]), reverse=True)
    return experiments


def effect_chart(
    rows: Sequence[Mapping[str, Any]], per_100: Callable[[float], str]
) -> Markup | None:
    """Return effects with their intervals, one line per stratum, around no effect.

    Args:
        rows: Rows of ``experiment_results`` with one metric.
        per_100: Writes a difference of rates as accounts per 100.
    """
    shown = [row for row in rows if row["effect"] is not None]
    if not shown:
        return None
    width, line, left, right, top = 720, 34, 110, 20, 12
    height = top + line * len(shown) + 34
    most = max(max(abs(r["effect_low"]), abs(r["effect_high"])) for r in shown) * 1.1
    most = max(most, 0.01)

    def x(value: float) -> float:
        return left + (value + most) / (2 * most) * (width - left - right)

    label = "; ".join(
        f"{_name(row)}: {per_100(row['effect'])} of 100, "
        f"{per_100(row['effect_low'])} to {per_100(row['effect_high'])}"
        for row in shown
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(f"Effect and interval. {label}")}">',
        f'<line class="rule" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top - 8}" '
        f'y2="{height - 28}"/>',
    ]
    for number, row in enumerate(shown):
        y = top + line * number + line / 2
        low, high = x(row["effect_low"]), x(row["effect_high"])
        text = escape(
            f"{_name(row)}: {per_100(row['effect'])} of 100, from "
            f"{per_100(row['effect_low'])} to {per_100(row['effect_high'])}"
        )
        parts.append(
            f'<g><title>{text}</title><text x="{left - 10}" y="{y + 4:.1f}" '
            f'class="tick end">{escape(_name(row))}</text>'
            f'<line class="line" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/>'
            f'<circle class="given" cx="{x(row["effect"]):.1f}" cy="{y:.1f}" r="4.5"/>'
            "</g>"
        )
    for value, words, anchor in (
        (-most, "more churn with offers", ""),
        (0.0, "no effect", " mid"),
        (most, "less churn with offers", " end"),
    ):
        parts.append(
            f'<text x="{x(value):.1f}" y="{height - 10}" class="tick{anchor}">'
            f"{words}</text>"
        )
    return Markup("".join([*parts, "</svg>"]))


def _name(row: Mapping[str, Any]) -> str:
    return "all accounts" if row["stratum"] == ALL else f"{row['stratum']} risk"
