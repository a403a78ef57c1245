"""``churn load``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project
    from churn.ingest.load import LoadReport


@click.command("load")
@click.argument(
    "folder", type=click.Path(path_type=Path), metavar="[DIR]", required=False
)
@click.option(
    "--raw-schema",
    metavar="NAME",
    help="Schema of the raw tables. Default: the variable raw_schema.",
)
@project_command
def command(project: Project, folder: Path | None, raw_schema: str | None) -> int:
    """Load new files into the raw tables.

    DIR is a landing zone. Without it, the tables are loaded from the files that `churn
    init` was given. Each file is loaded once.
    """
    if folder is None:
        from churn.onboarding.questions import ANSWERS_FILE

        if not (project.project_dir / ANSWERS_FILE).exists():
            raise click.UsageError(
                "Missing argument 'DIR': name a landing zone, because the project has "
                f"no {ANSWERS_FILE}."
            )
        return _load_sources(project)
    from churn.cli.output import ProgressDisplay
    from churn.ingest.load import load

    schema = raw_schema or str(project.variables["raw_schema"])
    with ProgressDisplay() as display:
        report = load(folder, project.database, schema, display.update)
    return show_load_report(project, report)


def _load_sources(project: Project) -> int:
    """Load new files of the sources that onboarding.yml names."""
    from churn.cli.output import print_text, safe_text
    from churn.onboarding.init import load_sources

    result = load_sources(project.project_dir, project.database)
    for table, count in result.loaded_rows.items():
        print_text(f"{table}: {count:,} rows", indent=3)
    if not result.loaded_rows:
        print_text("no new files", indent=3)
    for message in result.messages:
        click.echo(f"Not loaded: {safe_text(message, 2000)}", err=True)
    return 1 if result.messages else 0


def show_load_report(project: Project, report: LoadReport) -> int:
    """Print what was loaded; return 1 if a file cannot be read."""
    from churn.cli.output import print_table, print_text, safe_text
    from churn.ingest.file_readers import RAW_TABLES

    rows = [
        (
            table.name,
            f"{report.rows[table.name]:,} rows",
            f"from {report.files[table.name]:,} files",
        )
        for table in RAW_TABLES
        if report.files[table.name]
    ]
    if rows:
        print_table(["", "", ""], rows, right=(1,), indent=3)
    if not report.files:
        text = f"no new files: {project.database} holds all {report.already_loaded:,}"
        print_text(text, indent=3)
    elif report.already_loaded:
        print_text(f"{report.already_loaded:,} files were loaded before", indent=3)
    if report.changed:
        click.echo(
            f"Warning: {len(report.changed):,} files changed after they were loaded, "
            f"such as {safe_text(report.changed[0])}, and were skipped: deliver "
            "changes as new files.",
            err=True,
        )
    for reason in report.unreadable:
        click.echo(f"Not loaded: {safe_text(reason, 2000)}", err=True)
    return 1 if report.unreadable else 0
