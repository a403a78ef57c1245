"""``churn label-cost``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("label-cost")
@click.argument(
    "databases",
    nargs=-1,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="[FILE]...",
)
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the page to this file.",
)
@project_command
def command(project: Project, databases: tuple[Path, ...], write: Path | None) -> None:
    """Measure the cost of training on a naive label.

    Each FILE is a DuckDB file that dbt built, one per company; the file's name is the
    company's name. Default: the database of the project.
    """
    from churn.cli.output import ProgressDisplay, print_text
    from churn.config import UserError, open_database, use_schemas
    from churn.ml.naive_label_study import CannotCompareError, Settings, page, report

    settings = Settings.from_variables(project.variables)
    paths = databases or (project.database,)
    reports = []
    with ProgressDisplay() as display:
        display.begin("companies")
        for number, path in enumerate(paths, start=1):
            with open_database(path) as connection:
                use_schemas(connection, project.schema)
                try:
                    reports.append(report(connection, path.stem, settings))
                except CannotCompareError as error:
                    raise UserError(str(error)) from error
            display.update("companies", number, len(paths), path.stem)
    text = "\n".join(page(reports, settings)) + "\n"
    if write is None:
        # The page is Markdown, so it must not be wrapped.
        click.echo(text, nl=False)
        return
    write.write_text(text, encoding="utf-8")
    print_text(f"Written to {write}.", wrap=False)
