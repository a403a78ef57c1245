"""Guesses which field of someone's data is which column of this project.

Names decide first, values must not contradict them, and what remains open is said as
a question instead of being decided in silence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from churn.profile import paths_of

# What trackers and CRMs call our columns, likeliest first; compared without regard
# to case and separators.
EVENT_COLUMNS: dict[str, list[str]] = {
    "event_id": ["event_id", "message_id", "insert_id", "uuid", "id", "eid"],
    "raw_event_name": [
        *["event_name", "event", "event_type", "action", "name", "type"],
        *["activity", "verb", "n", "e"],
    ],
    "occurred_at": [
        *["occurred_at", "event_time", "event_timestamp", "client_time", "timestamp"],
        *["original_timestamp", "created_at", "time", "ts", "t", "date"],
    ],
    "sent_at": ["sent_at", "client_sent_at", "upload_time"],
    "received_at": [
        *["received_at", "server_time", "server_timestamp", "ingested_at"],
        *["collector_tstamp", "arrived_at", "r"],
    ],
    "anonymous_id": [
        *["anonymous_id", "user_pseudo_id", "visitor_id", "visitor", "client_id"],
        *["device_id", "cookie_id", "domain_userid", "aid"],
    ],
    "user_id": [
        *["user_id", "uid", "login", "customer_id", "member_id", "subscriber"],
        *["subscriber_id", "account_id", "user"],
    ],
    "page_path": [
        *["page_path", "page", "path", "url", "page_url", "screen", "screen_name"],
        *["location", "href"],
    ],
    "product_category": [
        *["product_category", "category", "item_category", "genre", "section"],
    ],
}
TABLE_COLUMNS: dict[str, dict[str, list[str]]] = {
    "raw_accounts": {
        "batch_date": ["batch_date", "exported_on", "snapshot_date", "extract_date"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
        "account_id": ["account_id", "id", "account", "customer_id", "subscriber"],
        "company_name": ["company_name", "company", "account_name", "name"],
        "industry": ["industry", "sector", "segment", "country"],
        "signup_date": [
            *["signup_date", "signup_date", "joined_on", "created_date"],
            *["created_at", "start_date", "registered_at"],
        ],
        "plan": ["plan", "tier", "product", "package", "subscription_type"],
        "seats": ["seats", "licences", "licenses", "quantity", "users"],
        "monthly_recurring_revenue": [
            *["monthly_recurring_revenue", "mrr", "monthly_revenue", "price"],
            *["price_euros", "amount"],
        ],
        "cancelled_service": [
            *["cancelled_service", "cancellation_date", "cancelled_at", "canceled_at"],
            *["cancellation_date", "closed_on", "churn_date", "end_date"],
            *["is_cancelled", "cancelled"],
        ],
        "new_customer": [
            *["new_customer", "restart_date", "reactivated_at", "restart_date"],
            *["reactivation_date", "is_new_customer"],
        ],
    },
    "raw_contacts": {
        "user_id": ["user_id", "contact_id", "login", "uid", "id", "email"],
        "account_id": ["account_id", "account", "customer_id", "company_id"],
        "role": ["role", "job_title", "title", "position"],
        "batch_date": ["batch_date", "exported_on", "snapshot_date", "extract_date"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
    },
    "raw_invoices": {
        "invoice_id": ["invoice_id", "invoice_number", "number", "id"],
        "account_id": ["account_id", "account", "customer_id", "customer"],
        "invoice_date": ["invoice_date", "issued_on", "created_at", "date"],
        "due_date": ["due_date", "due_on", "payable_by"],
        "amount": ["amount", "total", "amount_euros", "net_amount"],
        "status": ["status", "state", "payment_status"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
    },
    "raw_calls": {
        "call_id": ["call_id", "ticket_id", "case_id", "id"],
        "account_id": ["account_id", "account", "customer_id", "customer"],
        "started_at": ["started_at", "answered_at", "opened_at", "created_at"],
        "duration_seconds": ["duration_seconds", "duration", "talk_time", "seconds"],
        "topic": ["topic", "reason", "category", "subject"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
    },
}
# Without these the line has nothing to work with.
NEEDED = {
    "raw_accounts": ["batch_date", "loaded_at", "account_id"],
    "raw_contacts": ["user_id", "account_id", "batch_date", "loaded_at"],
    "raw_invoices": ["invoice_id", "account_id", "due_date", "status", "loaded_at"],
    "raw_calls": ["call_id", "account_id", "started_at", "loaded_at"],
}

_TIMES = {"occurred_at", "sent_at", "received_at"}
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2})?")
_DISTINCT_KEPT = 2000
_PLAUSIBLE_YEARS = range(2005, 2101)
_FLAGS = {"y", "n", "1", "0", "true", "false"}


@dataclass
class Field:
    """One JSON path of a sample, or one column of a table.

    Attributes:
        path: ``$.user.id``, or the column's name.
        count: In how many records it holds something.
        types: What it holds: text, number, boolean, object, array.
        values: Its values as texts, with how often they occur; the first few
            thousand different ones.
    """

    path: str
    count: int = 0
    types: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)

    @property
    def key(self) -> str:
        """The last part of the path, for comparison: ``userId`` is ``userid``."""
        return plain(re.split(r"[.\]]", self.path.rstrip("]"))[-1])

    @property
    def is_scalar(self) -> bool:
        """Whether it holds values that a column can."""
        return bool(self.types) and not set(self.types) & {"object", "array"}

    def share(self, total: int) -> float:
        """In which share of the records it holds something."""
        return self.count / total if total else 0.0

    def holds_times(self) -> bool:
        """Whether nearly all of its values are instants of our days."""
        values = list(self.values)[:200]
        return bool(values) and sum(map(is_time, values)) >= 0.95 * len(values)


def plain(name: str) -> str:
    """A name without case and separators."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_time(text: str) -> bool:
    """Whether a text is an ISO time, or a count since 1970 that lies in our days."""
    if _ISO_TIME.match(text):
        return True
    try:
        number = float(text)
    except ValueError:
        return False
    for unit in (1, 1e3, 1e6, 1e9):
        seconds = number / unit
        if 1e9 <= seconds < 4.2e9:
            return datetime.fromtimestamp(seconds, UTC).year in _PLAUSIBLE_YEARS
    return False


def fields_of(records: Iterable[Any]) -> tuple[dict[str, Field], int]:
    """The fields of parsed records, and how many records there were."""
    fields: dict[str, Field] = {}
    total = 0
    for record in records:
        total += 1
        for path, (types, example) in paths_of(record).items():
            is_nested = bool(types & {"object", "array"})
            if not is_nested and (example or "").lower() in ("", "null"):
                continue
            each = fields.setdefault(path, Field(path))
            each.count += 1
            each.types.update(types - {"null"})
            if example is not None and (
                example in each.values or len(each.values) < _DISTINCT_KEPT
            ):
                each.values[example] += 1
    return fields, total


@dataclass
class Guess:
    """What stands for one of our columns, and what is not sure about it."""

    fields: list[Field]
    question: str | None = None


def guess_event_columns(fields: dict[str, Field], total: int) -> dict[str, Guess]:
    """For each mapped column, the paths that seem to have its values.

    Args:
        fields: The fields of a sample of records.
        total: How many records it has.
    """
    scalars = [
        each for each in fields.values() if each.is_scalar and "[]" not in each.path
    ]
    taken: set[str] = set()
    guesses: dict[str, Guess] = {}
    for column, names in EVENT_COLUMNS.items():
        ranks = {plain(name): rank for rank, name in enumerate(names)}
        found = sorted(
            (
                each
                for each in scalars
                if each.path not in taken
                and each.key in ranks
                and _fits(column, each, total)
            ),
            key=lambda each: (ranks[each.key], each.path.count("."), -each.count),
        )
        guesses[column] = Guess(found)
        taken |= {each.path for each in found}
    rest = [each for each in scalars if each.path not in taken]
    _guess_by_value(guesses, rest, total)
    for column in ("raw_event_name", "occurred_at"):
        if not guesses[column].fields:
            guesses[
                column
            ].question = f"no field looks like `{column}`: which one is it?"
    if not guesses["user_id"].fields and not guesses["anonymous_id"].fields:
        guesses[
            "user_id"
        ].question = "no field looks like a user or a visitor: which one is it?"
    return guesses


def _fits(column: str, each: Field, total: int) -> bool:
    """Whether a field's values can be what its name says."""
    if column in _TIMES:
        return each.holds_times()
    if column == "raw_event_name":
        return (
            "number" not in each.types
            and len(each.values) <= max(50, total // 20)
            and not each.holds_times()
        )
    if column == "event_id":
        return len(each.values) >= 0.9 * min(each.count, _DISTINCT_KEPT)
    if column == "product_category":
        return "number" not in each.types and len(each.values) <= 100
    return not each.holds_times()


def _guess_by_value(
    guesses: dict[str, Guess], rest: Sequence[Field], total: int
) -> None:
    """What no name told: the only field with such values, with a question."""
    if not guesses["occurred_at"].fields:
        times = [each for each in rest if each.holds_times()]
        if times:
            best = max(times, key=lambda each: each.count)
            guesses["occurred_at"] = Guess(
                [best], f"is {best.path} when the event happened?"
            )
    if not guesses["raw_event_name"].fields:
        names = [
            each
            for each in rest
            if _fits("raw_event_name", each, total)
            and set(each.types) == {"text"}
            and each.share(total) > 0.9
            and len(each.values) > 1
        ]
        if names:
            best = max(names, key=lambda each: (each.count, -len(each.values)))
            guesses["raw_event_name"] = Guess(
                [best], f"is {best.path} what the event is called?"
            )


def guess_table_columns(
    table: str, columns: Sequence[Field]
) -> dict[str, tuple[Field | None, str | None]]:
    """For each column of a raw table the column of someone's own, if any.

    Returns:
        For each of our columns theirs, and a question where one is needed.
    """
    by_key = {each.key: each for each in columns}
    guesses: dict[str, tuple[Field | None, str | None]] = {}
    taken: set[str] = set()
    for column, names in TABLE_COLUMNS[table].items():
        found = [
            by_key[plain(name)]
            for name in names
            if plain(name) in by_key and by_key[plain(name)].path not in taken
        ]
        question = None
        if found:
            taken.add(found[0].path)
        elif column in NEEDED[table]:
            question = f"no column looks like `{column}`, which is needed: which is it?"
        guesses[column] = (found[0] if found else None, question)
    return guesses


def cancellation_source(cancelled: Field | None) -> str | None:
    """``dates`` or ``flags``, by what a cancellation column holds; none if empty."""
    if cancelled is None:
        return None
    values = {
        value.strip().lower()
        for value in cancelled.values
        if value.strip().lower() not in ("", "null", "\\n")
    }
    if not values:
        return None
    return "flags" if values <= _FLAGS else "dates"
