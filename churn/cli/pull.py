"""``churn pull``."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import click

from churn.cli.options import Day, debug_option


@click.group("pull")
def command() -> None:
    """Copy tables of another system into dated files."""


@command.command("sql")
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the files: DIR/TABLE/dt=YYYY-MM-DD/TABLE.parquet.",
)
@click.option(
    "--date",
    "day",
    type=Day(date(2000, 1, 1), date(2100, 1, 1)),
    metavar="DAY",
    help="Date of the batch. Default: today.",
)
@debug_option
def sql(tables: tuple[str, ...], folder: Path, day: date | None) -> None:
    """Copy tables or views of the database CHURN_PULL_URL, complete or not at all.

    CHURN_PULL_URL is an SQLAlchemy URL, such as
    postgresql+psycopg://USER:PASSWORD@HOST/DATABASE. All tables are read in one
    transaction. A batch that was delivered is kept.
    """
    from churn.cli.output import ProgressDisplay, print_text
    from churn.config import UserError
    from churn.ingest.pull_sql import URL_VARIABLE, pull_sql

    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise UserError(f"{URL_VARIABLE} is not set: export the URL of the database.")
    with ProgressDisplay() as display:
        pulled = pull_sql(
            url, list(tables), folder, day or date.today(), display.update
        )
    for each in pulled:
        done = "Wrote" if each.is_new else "Kept"
        print_text(f"{done} {each.rows:,} rows of {each.table}: {each.path}")
