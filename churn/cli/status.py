"""``churn status``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project
    from churn.operations.status import Status


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@project_command
def command(project: Project, as_json: bool) -> int:
    """Show what is late, stale, broken or drifting, and what to do.

    Compares scores, sources, model, snapshot and the last run with the clock. The
    banner of the web page uses the same rules. Exit codes: 0 ok, 1 failed, 2 a source
    or the scores are stale.
    """
    from churn.cli.daily import make_tools
    from churn.operations.daily import read_status

    status = read_status(project, make_tools())
    if as_json:
        click.echo(json.dumps(status.as_json(), indent=1))
    else:
        _show(status)
    return status.exit_code


def _show(status: Status) -> None:
    from churn.cli.output import print_fields, print_table, print_text

    facts = status.facts
    scores = (
        f"{facts.accounts:,} accounts as of {facts.as_of_date}, model "
        f"{facts.model_version}"
        if facts.as_of_date
        else "none"
    )
    snapshot = status.snapshot
    fields = [("Scores", scores)]
    if snapshot:
        text = snapshot.get("problem") or f"as of {snapshot['as_of_date']}"
        fields.append(("Snapshot", text))
    if status.last_run:
        run = status.last_run
        fields.append(("Last run", f"{run['run_id']}: {run.get('status')}"))
    print_fields(fields)
    print_text()
    rows = [
        (
            name,
            source.through or "never",
            f"{source.oldest_arrival:%Y-%m-%d %H:%M}" if source.oldest_arrival else "-",
        )
        for name, source in facts.sources.items()
    ]
    if rows:
        print_table(["Source", "Newest data", "Last arrival (UTC)"], rows)
        print_text()
    if not status.problems:
        print_text("No problems.")
    for problem in status.problems:
        print_text(f"[{problem.severity}] {problem}", hanging=3)
