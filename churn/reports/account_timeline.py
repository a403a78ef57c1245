"""Tells the story of one account, from CRM batches to the reasons of its score.

``churn explain ACCOUNT`` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb

from churn.config import UserError

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
    "withdrawn": "withdrawn by a later batch before it took effect",
    "corrected": "replaced by a later batch soon after; a data issue",
}


class TimelineError(UserError):
    """Report why there is no timeline."""


@dataclass(frozen=True)
class Section:
    """One subject of a timeline.

    Attributes:
        title: The subject.
        lines: Facts in order of time; empty if there are none.
    """

    title: str
    lines: Sequence[str]


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
    ) -> list[tuple[Any, ...]]:
        """Return the account's rows, or none if the table lacks one of the columns."""
        if not {"account_id", *columns} <= self.columns(table):
            return []
        return self.connection.execute(
            f"""select {", ".join(columns)} from {table}
            where account_id = ? and {condition} order by {order}""",
            [self.account_id],
        ).fetchall()

    def visits_per_week(self) -> list[tuple[Any, ...]]:
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
        filled: list[tuple[Any, ...]] = []
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


def account_name(account: Account) -> str:
    """Return the account's id, with the newest name that the CRM has."""
    names = account.rows("int_account_changes", ["company_name"], "batch_date")
    name = next((name for (name,) in reversed(names) if name), None)
    return account.account_id + (f" ({name})" if name else "")


def timeline(account: Account) -> Iterator[Section]:
    """Yield the sections of an account's timeline.

    A source that the company does not have, such as invoices, has no section.
    """
    yield Section("Batches", list(_batches(account)))
    yield Section("Starts and cancellations", list(_transitions(account)))
    yield Section("Subscription periods", list(_periods(account)))
    labels = account.rows(
        "churn_labels",
        ["as_of_date", "label_status", "is_churned", "churn_date"],
        "as_of_date",
    )
    yield Section("Labels", list(label_ranges(labels)))
    yield from _table_section(
        account,
        "Data issues in the CRM",
        "{}  {}: {}",
        "crm_data_issues",
        ["batch_date", "issue", "detail"],
        "batch_date",
    )
    if account.columns("sessions"):
        row_format = (
            "{}  {} visits, {} page views, {} subscribe hovers, {} subscribe clicks"
        )
        yield Section(
            "Visits by week (starting on Monday)",
            [row_format.format(*week) for week in account.visits_per_week()],
        )
    yield from _table_section(
        account,
        "Support calls",
        "{}  {}, {} seconds",
        "stg_support__calls",
        ["started_at", "topic", "duration_seconds"],
        "started_at",
    )
    yield from _table_section(
        account,
        "Invoices",
        "{}  {}: {} ({})",
        "stg_billing__invoices",
        ["due_date", "status", "amount", "invoice_id"],
        "due_date, invoice_id",
    )
    yield Section(
        "Scores",
        [
            f"{day}  {probability:.1%}, {band}: {reasons}"
            for day, probability, band, reasons in scores(account)
        ],
    )


def _table_section(
    account: Account,
    title: str,
    row_format: str,
    table: str,
    columns: list[str],
    order: str,
) -> Iterator[Section]:
    """Yield a section of an account's rows in a table, if the table exists."""
    if account.columns(table):
        rows = account.rows(table, columns, order)
        lines = [row_format.format(*map(display, row)) for row in rows]
        yield Section(title, lines)


def _batches(account: Account) -> Iterator[str]:
    """Yield the changes of the account's CRM record."""
    columns = ["batch_date", "change_kind", "plan", "seats"]
    columns.append("monthly_recurring_revenue")
    if "currency" in account.columns("int_account_changes"):
        columns.append("currency")
    for batch, change_kind, plan, seats, revenue, *currency in account.rows(
        "int_account_changes", columns, "batch_date", "batch_scope = 'all'"
    ):
        price = " ".join(map(display, [revenue, *filter(None, currency)]))
        terms = [
            f"plan {display(plan)}" if plan is not None else "",
            f"{display(seats)} seats" if seats is not None else "",
            f"{price} a month" if revenue is not None else "",
        ]
        known = ", ".join(filter(None, terms)) if change_kind != "vanished" else ""
        yield f"{batch}  {change_kind}" + (f": {known}" if known else "")


def _transitions(account: Account) -> Iterator[str]:
    for day, column, transition, batch in account.rows(
        "int_subscription_events",
        ["event_date", "source_column", "transition", "first_known_in_batch"],
        "event_date, order_in_day",
    ):
        source = "received on" if column.endswith("_event") else "in the batch of"
        text = TRANSITION_TEXTS.get(transition, transition)
        yield f"{day}  {text} ({column}, {source} {display(batch)})"


def _periods(account: Account) -> Iterator[str]:
    for number, start, end, reason, winback in account.rows(
        "subscription_periods",
        ["period_number", "start_date", "end_date", "end_reason", "is_winback"],
        "period_number",
    ):
        until = f"until {end}: {reason}" if end else "until today"
        yield f"{number}  from {start} {until}{', won back' if winback else ''}"


def label_ranges(labels: list[tuple[Any, ...]]) -> Iterator[str]:
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
        yield "none: the account was in no open period as of any day"
    for outcome, first, last, count in ranges:
        days = f"as of {first}" if count == 1 else f"as of {first} to {last}"
        yield f"{days}  {outcome} ({count} {'date' if count == 1 else 'dates'})"


def scores(account: Account) -> list[tuple[Any, ...]]:
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


def explain(
    connection: duckdb.DuckDBPyConnection, account_id: str
) -> tuple[str, list[Section]]:
    """Return an account's name and its timeline.

    Args:
        connection: A connection that finds the tables of all layers.
        account_id: The account's identifier in the CRM.

    Raises:
        TimelineError: The account or the project's tables do not exist.
    """
    account = Account(connection, account_id)
    if not account.columns("int_account_changes"):
        raise TimelineError(
            "The database holds no tables of this project: run `dbt build` first."
        )
    if not account.rows("int_account_changes", ["batch_date"], "batch_date"):
        similar = account.similar_ids()
        raise TimelineError(
            f"No batch holds an account `{account_id}`"
            + (f"; similar ids are {', '.join(similar)}." if similar else ".")
        )
    return account_name(account), list(timeline(account))
