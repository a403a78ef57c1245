"""Prints one account's timeline, to answer "why does it say that?".

python -m churn.account_timeline ACCOUNT
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb

# What the starts and cancellations of int_subscription_events did, in words.
EFFECTS = {
    "opens": "became a customer",
    "closes": "cancelled",
    "plan_change": "changed the plan (cancelled and restarted on this day)",
    "restates_start": "named again as a start; nothing new",
    "repeats": "already in that state; changes nothing, a issue",
    "never_started": "cancelled without ever having started; a issue",
    "before_signup": "dated before the signup; changes nothing, a issue",
    "corrected_signup": "a signup date that another batch corrects; a issue",
    "only_on_time": "told only by a batch that does not count any more",
}


class TimelineError(Exception):
    """Why there is nothing to print, as one sentence that says what to do."""


def connect(database: Path) -> duckdb.DuckDBPyConnection:
    """Open the project's database, for reading only."""
    if not database.exists():
        raise TimelineError(
            f"There is no database {database}: run `make run`, or set "
            "CHURN_DUCKDB_PATH to where yours is."
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
    """What the tables of one database hold of one account."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, schema: str, account_id: str
    ) -> None:
        self.connection = connection
        self.schema = schema
        self.account_id = account_id

    def columns(self, table: str) -> set[str]:
        """The columns of a table; none if the table does not exist."""
        return {
            name
            for (name,) in self.connection.execute(
                """select column_name from information_schema.columns
                where table_schema = ? and table_name = ?""",
                [self.schema, table],
            ).fetchall()
        }

    def rows(
        self, table: str, columns: list[str], order: str, condition: str = "true"
    ) -> list[tuple]:
        """The account's rows of a table, or none if it lacks what is asked for."""
        if not {"account_id", *columns} <= self.columns(table):
            return []
        return self.connection.execute(
            f"""select {", ".join(columns)} from {self.schema}.{table}
            where account_id = ? and {condition} order by {order}""",
            [self.account_id],
        ).fetchall()

    def visits_per_week(self) -> list[tuple]:
        """Week, visits, page views, hovers over and clicks on subscribe."""
        needed = {
            "account_id",
            "started_at",
            "page_views",
            "subscribe_hovers",
            "subscribe_clicks",
        }
        if not needed <= self.columns("sessions"):
            return []
        weeks = self.connection.execute(
            f"""select cast(date_trunc('week', started_at) as date), count(*),
                sum(page_views), sum(subscribe_hovers), sum(subscribe_clicks)
            from {self.schema}.sessions where account_id = ?
            group by 1 order by 1""",
            [self.account_id],
        ).fetchall()
        # A week without a visit says something too.
        filled: list[tuple] = []
        for week in weeks:
            while filled and filled[-1][0] + timedelta(weeks=1) < week[0]:
                filled.append((filled[-1][0] + timedelta(weeks=1), 0, 0, 0, 0))
            filled.append(week)
        return filled

    def like(self) -> list[str]:
        """Some accounts that do exist."""
        return [
            name
            for (name,) in self.connection.execute(
                f"""select distinct account_id from {self.schema}.int_account_changes
                where account_id is not null
                order by levenshtein(account_id, ?), account_id limit 3""",
                [self.account_id],
            ).fetchall()
        ]


def known(value: object) -> str:
    """A value for people: whole numbers without decimals, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def timeline(account: Account) -> Iterator[str]:
    """The lines of an account's timeline, by section."""
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
    for batch, kind, plan, seats, revenue, _ in changes:
        terms = (
            ""
            if kind == "vanished"
            else f": plan {known(plan)}, {known(seats)} seats, {known(revenue)} a month"
        )
        yield f"  {batch}  {kind}{terms}"

    yield "\nStarts and cancellations"
    for day, column, transition, batch in account.rows(
        "int_subscription_events",
        ["event_date", "source_column", "transition", "first_known_in_batch"],
        "event_date, order_in_day",
    ):
        told = "received on" if column.endswith("_event") else "told by the batch of"
        yield (
            f"  {day}  {EFFECTS.get(transition, transition)} ({column}, {told} {known(batch)})"
        )

    yield "\nSpells"
    for number, start, end, kind, winback in account.rows(
        "subscription_periods",
        ["period_number", "start_date", "end_date", "end_reason", "is_winback"],
        "period_number",
    ):
        until = f"until {end}: {kind}" if end else "until today"
        yield f"  {number}  from {start} {until}{', won back' if winback else ''}"

    yield "\nLabels"
    yield from runs_of_labels(
        account.rows(
            "churn_labels",
            ["as_of_date", "label_status", "is_churned", "churn_date"],
            "as_of_date",
        )
    )

    sections = [
        (
            "Findings in the CRM",
            account.rows(
                "crm_data_issues", ["batch_date", "issue", "detail"], "batch_date"
            ),
            "{}  {}: {}",
        ),
        (
            "Visits by week (from Monday on)",
            account.visits_per_week(),
            "{}  {} visits, {} page views, {} hovers over and {} clicks on subscribe",
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
    for title, rows, form in sections:
        yield f"\n{title}"
        if not rows:
            yield "  none"
        for row in rows:
            yield "  " + form.format(
                row[0],
                *(
                    v if isinstance(v, float) and ".1%" in form else known(v)
                    for v in row[1:]
                ),
            )


def runs_of_labels(labels: list[tuple]) -> Iterator[str]:
    """Labels as runs of as-of dates with the same outcome."""
    runs: list[tuple[str, date, date, int]] = []
    for day, status, is_churned, churn_date in labels:
        outcome = "pending"
        if status == "observed":
            outcome = f"churns on {churn_date}" if is_churned else "stays"
        if runs and runs[-1][0] == outcome:
            runs[-1] = (outcome, runs[-1][1], day, runs[-1][3] + 1)
        else:
            runs.append((outcome, day, day, 1))
    if not runs:
        yield "  none: the account was in no open period as of any day"
    for outcome, first, last, count in runs:
        days = f"as of {first}" if count == 1 else f"as of {first} to {last}"
        yield f"  {days}  {outcome} ({count} {'date' if count == 1 else 'dates'})"


def scores(account: Account) -> list[tuple]:
    """The account's scores so far, with their reasons in one text."""
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
    """An account's timeline as text."""
    with connect(database) as connection:
        account = Account(connection, schema, account_id)
        if not account.columns("int_account_changes"):
            raise TimelineError(
                f"The database {database} holds no tables of this project in the "
                f"schema `{schema}`: run `dbt build` first."
            )
        if not account.rows("int_account_changes", ["batch_date"], "batch_date"):
            alike = account.like()
            raise TimelineError(
                f"No batch holds an account `{account_id}`"
                + (f"; there are, for example, {', '.join(alike)}." if alike else ".")
            )
        return "\n".join(timeline(account))


def main(arguments: list[str] | None = None) -> int:
    """Print the timeline of the account that is named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m churn.account_timeline",
        description="Prints the timeline of one account: what the CRM told of it, "
        "its periods and labels, visits, calls, invoices and scores.",
    )
    parser.add_argument("account", help="the account's identifier in Salesforce")
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("CHURN_DUCKDB_PATH", "churn.duckdb")),
        help="the DuckDB file (default: CHURN_DUCKDB_PATH, or churn.duckdb)",
    )
    parser.add_argument(
        "--schema", default="main", help="the schema of the tables (default: main)"
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
