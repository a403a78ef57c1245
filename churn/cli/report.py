"""``churn report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("report")
@click.option(
    "--model", metavar="VERSION", help="Model version. Default: the champion."
)
@click.option(
    "--truth",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder `truth` of a demo company. Default: that of `churn run`.",
)
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="HTML file to write. Default: model_card.html in dbt's target folder.",
)
@project_command
def command(
    project: Project, model: str | None, truth: Path | None, write: Path | None
) -> None:
    """Write the champion's model card as one HTML file."""
    from churn.cli.output import print_text
    from churn.config import UserError
    from churn.demo.run import truth_folder
    from churn.ml.registry import RegistryError
    from churn.reports.model_card import ModelCardError, model_card

    # Report a database that cannot be opened like all other commands.
    project.connect().close()
    try:
        page = model_card(
            project.database, project.schema, model, truth or truth_folder(project)
        )
    except (ModelCardError, RegistryError) as error:
        raise UserError(str(error)) from error
    path = write or project.target_path / "model_card.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    print_text(f"The model card is in {path}", wrap=False)
