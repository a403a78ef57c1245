"""``churn check``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("check")
@project_command
def command(project: Project) -> int:
    """List what is missing before the first run.

    Prints one line for each problem, with its remedy. Exits with 1 if there is one.
    """
    from churn.cli.output import print_text
    from churn.onboarding.check import problems, read_project

    # Paths of files in variables are relative to the folder in which dbt runs.
    with contextlib.chdir(project.work_dir):
        found = list(problems(read_project(project.project_dir), project.database))
    for problem in found:
        print_text(f"- {problem}")
    if not found:
        print_text("No problems found: run `dbt build`.")
    return 1 if found else 0
