"""Print the timeline of one account, from CRM batches to the reasons of its score.

python -m churn explain ACCOUNT
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb

from churn.config import use_schemas

# Text for each transition of int_subscription_events.
TRANSITION_TEXTS = {
    "opens": "became a customer",
    "closes": "cancelled",
    "plan_change": "changed the plan (cancelled and restarted on this day)",
    "restates_start": "start repeated; no change",
    "repeats": "state repeated; no change, a data issue",
    "never_started": "cancelled without a start; a data issue",
    "before_signup": "dated before the signup; no change, a data issue",
    "corrected_signup": "a signup date that another batch corrects; a data issue",
    "only_on_time": "only in a batch that is no longer accepted",
}


class TimelineError(Exception):
    """Report why no timeline can be printed, in one sentence that says what to do."""


def connect(database: Path) -> duckdb.DuckDBPyConnection:
    """Open the project's database read-only."""
    if not database.exists():
        raise TimelineError(
            f"There is no database {database}: run `make run`, or set "
            "CHURN_DUCKDB_PATH to your database."
        )
    try:
        connection = duckdb.connect(str(database), read_only=True)
    except duckdb.Error as error:
        raise TimelineError(
            f"The database {database} cannot be opened, perhaps because a run is "
            f"writing to it: {str(error).splitlines()[0]}"
        ) from error
    return connection


class Account:
    """One account in the tables of a database."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, account_id: str) -> None:
        self.connection = connection
        self.account_id = account_id

    def columns(self, table: str) -> set[str]:
        """Return the columns of a table, empty if it does not exist."""
        return {
            name
            for (name,) in self.connection.execute(
                """select column_name from information_schema.columns
                where
                    list_contains(current_schemas(false), table_schema)
                    and table_name = ?""",
                [table],
            ).fetchall()
        }

    def rows(
        self, table: str, columns: list[str], order: str, condition: str = "true"
    ) -> list[tuple]:
        """Return the account's rows, or none if the table lacks one of the columns."""
        if not {"account_id", *columns} <= self.columns(table):
            return []
        return self.connection.execute(
            f"""select {", ".join(columns)} from {table}
            where account_id = ? and {condition} order by {order}""",
            [self.account_id],
        ).fetchall()

    def visits_per_week(self) -> list[tuple]:
        """Return week, visits, page views, subscribe hovers and clicks of each week."""
        required = {
            "account_id",
            "started_at",
            "page_views",
            "subscribe_hovers",
            "subscribe_clicks",
        }
        if not required <= self.columns("sessions"):
            return []
        weeks = self.connection.execute(
            """select cast(date_trunc('week', started_at) as date), count(*),
                sum(page_views), sum(subscribe_hovers), sum(subscribe_clicks)
            from sessions where account_id = ?
            group by 1 order by 1""",
            [self.account_id],
        ).fetchall()
        # Add the weeks without visits.
        filled: list[tuple] = []
        for week in weeks:
            while filled and filled[-1][0] + timedelta(weeks=1) < week[0]:
                filled.append((filled[-1][0] + timedelta(weeks=1), 0, 0, 0, 0))
            filled.append(week)
        return filled

    def similar_ids(self) -> list[str]:
        """Return up to three existing account ids with the most similar spelling."""
        return [
            name
            for (name,) in self.connection.execute(
                """select distinct account_id from int_account_changes
                where account_id is not null
                order by levenshtein(account_id, ?), account_id limit 3""",
                [self.account_id],
            ).fetchall()
        ]


def display(value: object) -> str:
    """Format a value: whole numbers without decimals, a dash for null."""
    if value is None:
        return "-"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def timeline(account: Account) -> Iterator[str]:
    """Yield the lines of an account's timeline, by section."""
    changes = account.rows(
        "int_account_changes",
        [
            "batch_date",
            "change_kind",
            "plan",
            "seats",
            "monthly_recurring_revenue",
            "company_name",
        ],
        "batch_date",
        "batch_scope = 'all'",
    )
    name = next((row[5] for row in reversed(changes) if row[5]), None)
    yield f"Account {account.account_id}" + (f" ({name})" if name else "")

    yield "\nBatches"
    for batch, change_kind, plan, seats, revenue, _ in changes:
        terms = ""
        if change_kind != "vanished":
            terms = (
                f": plan {display(plan)}, {display(seats)} seats, "
                f"{display(revenue)} a month"
            )
        yield f"  {batch}  {change_kind}{terms}"

    yield "\nStarts and cancellations"
    for day, column, transition, batch in account.rows(
        "int_subscription_events",
        ["event_date", "source_column", "transition", "first_known_in_batch"],
        "event_date, order_in_day",
    ):
        source = "received on" if column.endswith("_event") else "in the batch of"
        text = TRANSITION_TEXTS.get(transition, transition)
        yield f"  {day}  {text} ({column}, {source} {display(batch)})"

    yield "\nSubscription periods"
    for number, start, end, reason, winback in account.rows(
        "subscription_periods",
        ["period_number", "start_date", "end_date", "end_reason", "is_winback"],
        "period_number",
    ):
        until = f"until {end}: {reason}" if end else "until today"
        yield f"  {number}  from {start} {until}{', won back' if winback else ''}"

    yield "\nLabels"
    yield from label_ranges(
        account.rows(
            "churn_labels",
            ["as_of_date", "label_status", "is_churned", "churn_date"],
            "as_of_date",
        )
    )

    sections = [
        (
            "Data issues in the CRM",
            account.rows(
                "crm_data_issues", ["batch_date", "issue", "detail"], "batch_date"
            ),
            "{}  {}: {}",
        ),
        (
            "Visits by week (starting on Monday)",
            account.visits_per_week(),
            "{}  {} visits, {} page views, {} subscribe hovers, {} subscribe clicks",
        ),
        (
            "Support calls",
            account.rows(
                "stg_support__calls",
                ["started_at", "topic", "duration_seconds"],
                "started_at",
            ),
            "{}  {}, {} seconds",
        ),
        (
            "Invoices",
            account.rows(
                "stg_billing__invoices",
                ["due_date", "status", "amount", "invoice_id"],
                "due_date, invoice_id",
            ),
            "{}  {}: {} ({})",
        ),
        ("Scores", scores(account), "{}  {:.1%}, {}: {}"),
    ]
    for title, rows, row_format in sections:
        yield f"\n{title}"
        if not rows:
            yield "  none"
        for row in rows:
            yield "  " + row_format.format(
                row[0],
                *(
                    value
                    if isinstance(value, float) and ".1%" in row_format
                    else display(value)
                    for value in row[1:]
                ),
            )


def label_ranges(labels: list[tuple]) -> Iterator[str]:
    """Yield ranges of as-of dates with the same outcome."""
    ranges: list[tuple[str, date, date, int]] = []
    for day, status, is_churned, churn_date in labels:
        outcome = "pending"
        if status == "observed":
            outcome = f"churns on {churn_date}" if is_churned else "stays"
        if ranges and ranges[-1][0] == outcome:
            ranges[-1] = (outcome, ranges[-1][1], day, ranges[-1][3] + 1)
        else:
            ranges.append((outcome, day, day, 1))
    if not ranges:
        yield "  none: the account was in no open period as of any day"
    for outcome, first, last, count in ranges:
        days = f"as of {first}" if count == 1 else f"as of {first} to {last}"
        yield f"  {days}  {outcome} ({count} {'date' if count == 1 else 'dates'})"


def scores(account: Account) -> list[tuple]:
    """Return the account's scores by date, with their reasons joined."""
    columns = ["as_of_date", "churn_probability", "risk_band"]
    reasons = ["reason_1", "reason_2", "reason_3"]
    for table in ("churn_score_history", "churn_scores"):
        rows = account.rows(table, columns + reasons, "as_of_date")
        if rows:
            return [
                (
                    *row[:3],
                    "; ".join(reason for reason in row[3:] if reason) or "no reasons",
                )
                for row in rows
            ]
    return []


def explain(database: Path, schema: str, account_id: str) -> str:
    """Return an account's timeline as text."""
    with connect(database) as connection:
        with contextlib.suppress(duckdb.CatalogException):
            use_schemas(connection, schema)
        account = Account(connection, account_id)
        if not account.columns("int_account_changes"):
            raise TimelineError(
                f"The schema `{schema}` of the database {database} holds no tables of "
                "this project: run `dbt build` first."
            )
        if not account.rows("int_account_changes", ["batch_date"], "batch_date"):
            similar = account.similar_ids()
            raise TimelineError(
                f"No batch holds an account `{account_id}`"
                + (f"; similar ids are {', '.join(similar)}." if similar else ".")
            )
        return "\n".join(timeline(account))


def main(arguments: list[str] | None = None) -> int:
    """Print the timeline of the account given on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m churn explain",
        description="Print the timeline of one account: its CRM records, "
        "periods and labels, visits, calls, invoices and scores.",
    )
    parser.add_argument("account", help="the account's identifier in Salesforce")
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("CHURN_DUCKDB_PATH", "churn.duckdb")),
        help="the DuckDB file (default: CHURN_DUCKDB_PATH, or churn.duckdb)",
    )
    parser.add_argument(
        "--schema", default="main", help="the target schema of dbt (default: main)"
    )
    options = parser.parse_args(arguments)
    try:
        print(explain(options.database, options.schema, options.account))
    except TimelineError as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
