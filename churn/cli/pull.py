"""``churn pull``."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from churn.cli.options import Day, debug_option

if TYPE_CHECKING:
    from churn.ingest.dated_files import Pulled

F = TypeVar("F", bound=Callable[..., Any])


@click.group("pull")
def command() -> None:
    """Copy tables of another system into dated files."""


def _file_options(function: F) -> F:
    """Add the options that name the files."""
    for option in (
        debug_option,
        click.option(
            "--date",
            "day",
            type=Day(date(2000, 1, 1), date(2100, 1, 1)),
            metavar="DAY",
            help="Date of the batch. Default: today.",
        ),
        click.option(
            "--out",
            "folder",
            required=True,
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Folder of the files: DIR/TABLE/dt=YYYY-MM-DD/TABLE.parquet.",
        ),
    ):
        function = option(function)
    return function


def _print_files(pulled: list[Pulled]) -> None:
    from churn.cli.output import print_text

    for each in pulled:
        done = "Wrote" if each.is_new else "Kept"
        print_text(f"{done} {each.rows:,} rows of {each.table}: {each.path}")


@command.command("sql")
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@_file_options
def sql(tables: tuple[str, ...], folder: Path, day: date | None) -> None:
    """Copy tables or views of the database CHURN_PULL_URL, complete or not at all.

    CHURN_PULL_URL is an SQLAlchemy URL, such as
    postgresql+psycopg://USER:PASSWORD@HOST/DATABASE. All tables are read in one
    transaction. A batch that was delivered is kept.
    """
    from churn.cli.output import ProgressDisplay
    from churn.config import UserError
    from churn.ingest.pull_sql import URL_VARIABLE, pull_sql

    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise UserError(f"{URL_VARIABLE} is not set: export the URL of the database.")
    with ProgressDisplay() as display:
        pulled = pull_sql(
            url, list(tables), folder, day or date.today(), display.update
        )
    _print_files(pulled)


@command.command("salesforce")
@click.argument(
    "tables",
    nargs=-1,
    type=click.Choice(["accounts", "contacts", "calls"]),
    metavar="[TABLE]...",
)
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="TABLE.FIELD",
    help="Read a further field, such as accounts.Kuendigung__c.",
)
@click.option(
    "--where",
    "conditions",
    multiple=True,
    nargs=2,
    metavar="TABLE CONDITION",
    help="Read only records that meet a condition in SOQL.",
)
@_file_options
def salesforce(
    tables: tuple[str, ...],
    fields: tuple[str, ...],
    conditions: tuple[tuple[str, str], ...],
    folder: Path,
    day: date | None,
) -> None:
    """Copy accounts, contacts and calls (cases) of Salesforce, complete or not at all.

    Default: accounts and contacts. Fields are those of the preset `salesforce` that
    exist. Log in with CHURN_SALESFORCE_DOMAIN, CHURN_SALESFORCE_CLIENT_ID and
    CHURN_SALESFORCE_CLIENT_SECRET, or, for a JWT, with CHURN_SALESFORCE_USERNAME and
    CHURN_SALESFORCE_PRIVATE_KEY_FILE instead of the secret. A batch that was delivered
    is kept.
    """
    from churn.cli.output import ProgressDisplay, print_text
    from churn.ingest.pull_salesforce import Wanted, pull_salesforce
    from churn.ingest.salesforce import Credentials, connect
    from churn.onboarding.presets import load_presets

    tables = tuple(dict.fromkeys(tables)) or ("accounts", "contacts")
    for given in (*(each.partition(".")[0] for each in fields), *dict(conditions)):
        if given not in tables:
            raise click.UsageError(f"{given!r} is none of the pulled tables")
    (preset,) = (each for each in load_presets() if each.key == "salesforce")
    wanted = [
        Wanted(
            table,
            [
                *preset.tables[table].signature,
                *(
                    each.partition(".")[2]
                    for each in fields
                    if each.startswith(f"{table}.")
                ),
            ],
            preset.tables[table].columns,
            dict(conditions).get(table, ""),
        )
        for table in tables
    ]
    client = connect(Credentials.from_environment())
    with ProgressDisplay() as display:
        result = pull_salesforce(
            client, wanted, folder, day or date.today(), display.update
        )
    for note in result.notes:
        print_text(note)
    _print_files(result.files)


@command.command("stripe")
@click.argument(
    "tables",
    nargs=-1,
    type=click.Choice(["subscriptions", "invoices"]),
    metavar="[TABLE]...",
)
@_file_options
def stripe(tables: tuple[str, ...], folder: Path, day: date | None) -> None:
    """Copy subscriptions and invoices of Stripe, complete or not at all.

    Default: both. CHURN_STRIPE_API_KEY is a secret key, or a restricted one that may
    read them. A batch that was delivered is kept.
    """
    from churn.cli.output import ProgressDisplay
    from churn.config import UserError
    from churn.ingest.pull_stripe import KEY_VARIABLE, TABLES, pull_stripe

    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise UserError(f"{KEY_VARIABLE} is not set: export a key of Stripe.")
    with ProgressDisplay() as display:
        pulled = pull_stripe(
            key,
            list(dict.fromkeys(tables)) or list(TABLES),
            folder,
            day or date.today(),
            display.update,
        )
    _print_files(pulled)
