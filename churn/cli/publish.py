"""``churn publish``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("publish")
@click.option(
    "--allow-older",
    is_flag=True,
    help="Replace scores of a later as-of date.",
)
@click.option(
    "--allow-fewer",
    is_flag=True,
    help="Replace scores of more than twice as many accounts.",
)
@project_command
def command(project: Project, allow_older: bool, allow_fewer: bool) -> None:
    """Publish the scores to the store that the web page reads.

    Writes a snapshot to CHURN_SERVING_URL, an SQLite file or a PostgreSQL database.
    Readers see the old snapshot until the new one is complete. Run it after `dbt
    build`, in the same job.
    """
    from churn.cli.output import print_text
    from churn.web.publish import publish

    print_text(
        str(publish(project, allow_older=allow_older, allow_fewer=allow_fewer)),
        wrap=False,
    )
