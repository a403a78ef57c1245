"""``churn export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project

# By the ending of a file's name.
FORMATS = {".parquet": "parquet", ".csv": "csv", ".arrow": "arrow"}


@click.command("export")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@project_command
def command(project: Project, path: Path) -> None:
    """Write churn_scores to FILE.parquet, FILE.csv or FILE.arrow.

    The columns and their types are fixed: see docs/connect.md. The file is replaced
    when the new one is complete.
    """
    from churn.cli.output import print_text
    from churn.operations.export_scores import export_scores

    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise click.UsageError(
            f"{path.name} does not end in one of {', '.join(FORMATS)}"
        )
    rows = export_scores(project, path, file_format)
    print_text(f"Wrote {rows:,} scores to {path}")
