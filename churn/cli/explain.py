"""``churn explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("explain")
@click.argument("account")
@project_command
def command(project: Project, account: str) -> None:
    """Show the timeline of one account.

    ACCOUNT is its identifier in the CRM. The timeline has its CRM records, periods and
    labels, visits, calls, invoices and scores.
    """
    from churn.cli.output import print_text
    from churn.reports.account_timeline import explain

    with project.connect() as connection:
        name, sections = explain(connection, account)
    print_text(f"Account {name}", style="bold")
    for section in sections:
        print_text()
        print_text(section.title, style="bold")
        for line in section.lines or ["none"]:
            print_text(line, indent=2)
