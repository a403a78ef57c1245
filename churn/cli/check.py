"""``churn check``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("check")
@click.option("--facts", is_flag=True, help="Show what was read, too.")
@project_command
def command(project: Project, facts: bool) -> int:
    """List what is missing before the first run.

    Reads the data as the build does. Prints one line for each problem, with its remedy.
    Exits with 1 if there is one.
    """
    from churn.cli.output import print_text, safe_text
    from churn.onboarding.check import check

    # Paths of files in variables are relative to the folder in which dbt runs.
    with contextlib.chdir(project.work_dir):
        report = check(project)
    if facts:
        for fact in report.facts:
            print_text(safe_text(fact, 400), indent=2)
    for problem in report.problems:
        print_text(f"- {safe_text(problem, 1000)}")
    if report.is_complete:
        print_text("Nothing is missing: run `dbt build`.")
    return 0 if report.is_complete else 1
