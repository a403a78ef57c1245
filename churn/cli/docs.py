"""``churn docs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from churn.cli.options import Variables, project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("docs")
@click.option(
    "--vars", "variables", type=Variables(), metavar="JSON", help="More dbt variables."
)
@project_command
def command(project: Project, variables: dict[str, Any] | None) -> None:
    """Write the docs site as one HTML file.

    Runs `dbt docs generate` and writes static_index.html into dbt's target folder.
    """
    from churn.cli.output import ProgressDisplay, print_text
    from churn.operations.dbt_runner import run_dbt
    from churn.reports.docs import write_static_page

    with ProgressDisplay() as display:
        display.begin("dbt docs generate")
        run_dbt(project, ["docs", "generate"], variables)
        absent = write_static_page(project.target_path)
    if absent:
        print_text(f"Features without a source, left out: {', '.join(absent)}")
    page = project.target_path / "static_index.html"
    print_text(f"The docs are in {page}", wrap=False)
