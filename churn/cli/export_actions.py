"""``churn export-actions``."""

from __future__ import annotations

from pathlib import Path

import click

from churn.cli.options import load_project, shared_options


@click.command("export-actions")
@click.argument(
    "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False)
)
@shared_options
@click.pass_context
def command(ctx: click.Context, folder: Path) -> None:
    """Write new actions of the web page to the landing zone DIR.

    Files are JSON lines, DIR/actions/dt=YYYY-MM-DD/part-*.jsonl.gz, and are never
    changed afterwards. Each action is in one file. `churn load DIR` reads them.
    """
    from churn.cli.output import print_text
    from churn.config import NoProjectError
    from churn.web.actions import export_page_actions

    try:
        project = load_project(ctx)
    except NoProjectError:
        project = None
    files = export_page_actions(project, folder)
    print_text(
        f"Wrote {len(files)} {'file' if len(files) == 1 else 'files'} to {folder}"
    )
