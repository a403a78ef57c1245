"""``churn push``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.group("push")
def command() -> None:
    """Write scores to another system."""


@command.command("salesforce")
@click.option(
    "--external-id",
    default="Id",
    show_default=True,
    metavar="FIELD",
    help="Field that holds account_id: an external id, or Salesforce's own Id.",
)
@click.option(
    "--object",
    "sobject",
    default="Account",
    show_default=True,
    metavar="NAME",
    help="Object to write to.",
)
@click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="COLUMN=FIELD",
    help="Field of a column, such as risk_band=Health__c. Default: Churn_...__c.",
)
@click.option(
    "--daily-limit",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    metavar="ROWS",
    help="Rows to send on a UTC day at most; the riskiest accounts come first.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent.")
@click.option("--allow-stale", is_flag=True, help="Write stale scores, too.")
@project_command
def salesforce(
    project: Project,
    external_id: str,
    sobject: str,
    mapping: tuple[str, ...],
    daily_limit: int,
    dry_run: bool,
    allow_stale: bool,
) -> None:
    """Write scores that changed to the accounts of Salesforce.

    Probability, band, reasons, offer and date are written to fields that you create:
    Churn_Probability__c, Churn_Risk_Band__c, Churn_Reason_1__c to Churn_Reason_3__c,
    Churn_Offer__c and Churn_As_Of_Date__c. No record is created. Accounts of a
    comparison group are not written. Log in as for `churn pull salesforce`. Exits with
    1 if Salesforce refused a row; the next push tries it again.
    """
    from churn.cli.output import ProgressDisplay, print_table, print_text
    from churn.config import UserError
    from churn.ingest.salesforce import Credentials, connect
    from churn.operations.push_salesforce import FIELDS, push_salesforce

    fields = {}
    for each in mapping:
        column, _, name = each.partition("=")
        if column not in FIELDS or not name:
            raise click.UsageError(
                f"{each!r} is not COLUMN=FIELD with a column of {', '.join(FIELDS)}"
            )
        fields[column] = name
    client = connect(Credentials.from_environment())
    with ProgressDisplay() as display:
        result = push_salesforce(
            project,
            client,
            external_id,
            fields=fields,
            sobject=sobject,
            daily_limit=daily_limit,
            is_dry_run=dry_run,
            allow_stale=allow_stale,
            progress=display.update,
        )
    print_text(
        f"Scores of {result.as_of_date}: {result.changed:,} rows differ from what "
        f"Salesforce has, {result.cleared:,} of them to be emptied."
    )
    if result.unmapped:
        print_text(f"{result.unmapped:,} accounts have no record in Salesforce.")
    if result.postponed:
        print_text(
            f"{result.postponed:,} rows wait for tomorrow, because of --daily-limit."
        )
    if dry_run:
        for example in result.examples:
            print_text("; ".join(f"{name}: {value}" for name, value in example.items()))
        print_text("Nothing was sent, because of --dry-run.")
        return
    print_text(f"Wrote {result.written:,} rows.")
    if result.failures:
        print_table(["account_id", "reason"], result.failures[:10])
        raise UserError(
            f"Salesforce refused {len(result.failures):,} rows: correct the reasons; "
            "the next push tries them again."
        )
