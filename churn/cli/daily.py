"""``churn daily``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from churn.cli.options import Day, Variables, load_project, shared_options
from churn.operations.sources import SOURCES, STEPS

if TYPE_CHECKING:
    from churn.operations.daily import Tools


@click.command("daily")
@click.argument(
    "folder", type=click.Path(path_type=Path), metavar="[DIR]", required=False
)
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@click.option(
    "--no-wait", is_flag=True, help="Go on with what has arrived, without waiting."
)
@click.option(
    "--as-of",
    type=Day(),
    metavar="DAY",
    help="A date that must have scores at the end. A past one is scored then.",
)
@click.option(
    "--steps",
    metavar="STEPS",
    help=f"Some steps by commas, of {', '.join(STEPS)}. Needs --run-id.",
)
@click.option(
    "--source",
    type=click.Choice(SOURCES),
    help="The only source to wait for.",
)
@click.option(
    "--run-id",
    metavar="ID",
    help="Run of the steps. Default: a new one.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the log as JSON lines on stdout."
)
@click.option(
    "--vars", "variables", type=Variables(), metavar="JSON", help="More dbt variables."
)
@shared_options
@click.pass_context
def command(
    ctx: click.Context,
    folder: Path | None,
    dry_run: bool,
    no_wait: bool,
    as_of: date | None,
    steps: str | None,
    source: str | None,
    run_id: str | None,
    as_json: bool,
    variables: dict[str, Any] | None,
) -> int:
    """Run the pipeline of the day and tell problems.

    Waits for each source that is due, writes the page's new actions to DIR, loads DIR,
    runs one `dbt build`, scores days that were missed, checks by the clock that scores
    and sources are fresh, publishes, and sends alerts. Without DIR, the files that
    `churn init` was given are loaded. A run that was killed is continued by the next
    one. Exit codes: 0 ok, 1 failed, 2 a source or the scores are stale.
    """
    from churn.cli.output import print_fields
    from churn.config import UserError
    from churn.operations.alerts import tell_start_failure
    from churn.operations.daily import DailyRun, Options, plan

    chosen = _chosen_steps(steps)
    if chosen != STEPS and run_id is None and not dry_run:
        raise click.UsageError("--steps needs --run-id, so that the steps are one run")
    if source is not None and chosen != ("wait",):
        raise click.UsageError("--source is for --steps wait")
    options = Options(
        landing_zone=folder,
        steps=chosen,
        run_id=run_id,
        source=source,
        as_of=as_of,
        waits=not no_wait,
        variables=variables or {},
    )
    tools = make_tools()
    try:
        project = load_project(ctx)
        if dry_run:
            print_fields(plan(project, options, tools))
            return 0
        on_log = _print_json if as_json else _print_record
        run = DailyRun(project, options, tools, on_log)
    except UserError as error:
        # Without a project there is no journal, and a person must learn of it all the
        # same. Of the steps of a scheduler, the last one tells.
        if not dry_run and "notify" in chosen:
            tell_start_failure(str(error))
        raise
    return run.execute()


def _chosen_steps(text: str | None) -> tuple[str, ...]:
    if text is None:
        return STEPS
    names = {name.strip().replace("-", "_") for name in text.split(",")}
    unknown = sorted(names - set(STEPS))
    if unknown:
        raise click.UsageError(
            f"--steps has no step {unknown[0]!r}, only {', '.join(STEPS)}"
        )
    return tuple(step for step in STEPS if step in names)


def make_tools() -> Tools:
    """Return what a run uses from the layers of the page."""
    from churn.operations.daily import Tools
    from churn.web.actions import export_page_actions
    from churn.web.publish import publish
    from churn.web.snapshot import read_snapshot_age

    return Tools(
        publish=publish,
        read_snapshot=read_snapshot_age,
        export_actions=export_page_actions,
    )


def _print_json(record: Mapping[str, Any]) -> None:
    click.echo(json.dumps(record, default=str))


def _print_record(record: Mapping[str, Any]) -> None:
    """Print one record as a line of text."""
    from churn.cli.output import safe_text

    if record["message"] == "traceback":
        return
    hidden = ("at", "run_id", "message")
    values = ", ".join(
        f"{key}={value}" for key, value in record.items() if key not in hidden and value
    )
    text = f"{record['message']} ({values})" if values else str(record["message"])
    for line in text.splitlines():
        click.echo(f"{record['at'][11:19]} {safe_text(line, 2_000)}")
