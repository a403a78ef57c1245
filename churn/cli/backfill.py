"""``churn backfill``."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from churn.cli.options import Day, Variables, project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("backfill")
@click.option(
    "--from", "first", type=Day(), required=True, metavar="DAY", help="First day."
)
@click.option(
    "--to", "last", type=Day(), required=True, metavar="DAY", help="Last day."
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="DAYS",
    help="Days from one scored day to the next.",
)
@click.option(
    "--model", metavar="VERSION", help="Model version. Default: the champion."
)
@click.option(
    "--vars", "variables", type=Variables(), metavar="JSON", help="More dbt variables."
)
@project_command
def command(
    project: Project,
    first: date,
    last: date,
    every: int,
    model: str | None,
    variables: dict[str, Any] | None,
) -> None:
    """Score past days.

    Each day is scored with the data that was available on that day and appended to
    churn_score_history. At the end, churn_scores holds the latest day again.
    """
    from churn.cli.output import ProgressDisplay, print_text
    from churn.operations.backfill import backfill, backfill_days

    if last < first:
        raise click.UsageError("--to must not be before --from")
    days = backfill_days(first, last, every)
    variables = dict(variables or {})
    if model:
        variables["champion_model_version"] = model
    with ProgressDisplay() as display:
        display.begin("days")

        def on_scored(day: date) -> None:
            print_text(f"{day} is scored.")
            display.update("days", days.index(day) + 1, len(days), day)

        backfill(project, days, variables, on_scored)
    print_text(
        "churn_score_history holds these days; churn_scores holds the latest day."
    )
