"""``churn dictionary``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("dictionary")
@project_command
def command(project: Project) -> None:
    """Print YAML stubs for undocumented JSON paths.

    Paste them into the columns of the model that is your field mapping.
    """
    from churn.cli.output import print_text
    from churn.onboarding.field_mapping import undocumented_stubs

    with project.connect() as connection:
        found = undocumented_stubs(connection)
    if not found:
        print_text("The field mapping documents every path that has arrived.")
        return
    model = project.variables["clickstream_field_mapping_model"]
    click.echo(f"      # Columns for the YAML of the model {model}:")
    # A stub is YAML, so it must not be wrapped. It escapes the values in it.
    for stub in found:
        click.echo(stub)
