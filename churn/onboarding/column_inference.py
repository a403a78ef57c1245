"""Infer which field of foreign data is which column of this project.

Names are compared first, and the values must not contradict them. Undecided columns
become questions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from churn.onboarding.profile import paths_of

# Names that trackers and CRMs use for our columns, the likeliest first. Compared
# without case and separators.
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
            *["signup_date", "signed_up_on", "joined_on", "created_date"],
            *["created_at", "start_date", "registered_at"],
        ],
        "plan": ["plan", "tier", "product", "package", "subscription_type"],
        "seats": ["seats", "licences", "licenses", "quantity", "users"],
        "monthly_recurring_revenue": [
            *["monthly_recurring_revenue", "mrr", "monthly_revenue", "price"],
            *["price_euros", "amount"],
        ],
        "cancelled_service": [
            *["cancelled_service", "cancelled_on", "cancelled_at", "canceled_at"],
            *["cancellation_date", "closed_on", "churned_on", "end_date"],
            *["is_cancelled", "cancelled"],
        ],
        "new_customer": [
            *["new_customer", "restarted_on", "reactivated_at", "restart_date"],
            *["reactivation_date", "is_new_customer"],
        ],
        "owner_id": ["owner_id", "account_manager_id", "ownerid"],
        "owner_name": ["owner_name", "account_owner", "account_manager"],
        "currency": ["currency", "currency_code", "currencyisocode"],
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
# Columns that a source must have.
REQUIRED_COLUMNS = {
    "raw_accounts": ["batch_date", "loaded_at", "account_id"],
    "raw_contacts": ["user_id", "account_id", "batch_date", "loaded_at"],
    "raw_invoices": ["invoice_id", "account_id", "due_date", "status", "loaded_at"],
    "raw_calls": ["call_id", "account_id", "started_at", "loaded_at"],
}

_TIMES = {"occurred_at", "sent_at", "received_at"}
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2})?")
_MAX_DISTINCT_VALUES = 2000
_PLAUSIBLE_YEARS = range(2005, 2101)
_FLAGS = {"y", "n", "1", "0", "true", "false"}


@dataclass
class Field:
    """One JSON path of a sample, or one column of a table.

    Attributes:
        path: ``$.user.id``, or the column's name.
        count: Number of records with a value.
        types: Counts by JSON type: text, number, boolean, object, array.
        values: Counts of the values as texts; the first `_MAX_DISTINCT_VALUES`
            distinct ones.
    """

    path: str
    count: int = 0
    types: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)

    @property
    def key(self) -> str:
        """Return the last part of the path, normalised: ``userId`` is ``userid``."""
        return normalise_name(re.split(r"[.\]]", self.path.rstrip("]"))[-1])

    @property
    def is_scalar(self) -> bool:
        """Return whether all its values are scalars."""
        return bool(self.types) and not set(self.types) & {"object", "array"}

    def share(self, total: int) -> float:
        """Return the share of the records with a value."""
        return self.count / total if total else 0.0

    def holds_times(self) -> bool:
        """Return whether at least 95 % of its values are plausible times."""
        values = list(self.values)[:200]
        return bool(values) and sum(map(is_time, values)) >= 0.95 * len(values)


def normalise_name(name: str) -> str:
    """Return a name in lower case, without separators."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_time(text: str) -> bool:
    """Return whether a text is an ISO time or a plausible Unix time in s to ns."""
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


def collect_fields(records: Iterable[Any]) -> tuple[dict[str, Field], int]:
    """Collect the fields of parsed records, and count the records."""
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
                example in each.values or len(each.values) < _MAX_DISTINCT_VALUES
            ):
                each.values[example] += 1
    return fields, total


@dataclass
class InferredColumn:
    """The fields that hold one of our columns, and an open question about it."""

    fields: list[Field]
    question: str | None = None


def infer_event_columns(
    fields: dict[str, Field], total: int
) -> dict[str, InferredColumn]:
    """Infer the JSON paths of each column of the field mapping.

    Args:
        fields: The fields of a sample of records.
        total: Number of records in the sample.
    """
    scalars = [
        each for each in fields.values() if each.is_scalar and "[]" not in each.path
    ]
    used_paths: set[str] = set()
    inferred: dict[str, InferredColumn] = {}
    for column, names in EVENT_COLUMNS.items():
        ranks = {normalise_name(name): rank for rank, name in enumerate(names)}
        found = sorted(
            (
                each
                for each in scalars
                if each.path not in used_paths
                and each.key in ranks
                and _fits(column, each, total)
            ),
            key=lambda each: (ranks[each.key], each.path.count("."), -each.count),
        )
        inferred[column] = InferredColumn(found)
        used_paths |= {each.path for each in found}
    rest = [each for each in scalars if each.path not in used_paths]
    _infer_by_value(inferred, rest, total)
    for column in ("raw_event_name", "occurred_at"):
        if not inferred[column].fields:
            inferred[
                column
            ].question = f"no field looks like `{column}`: which one is it?"
    if not inferred["user_id"].fields and not inferred["anonymous_id"].fields:
        inferred[
            "user_id"
        ].question = "no field looks like a user or a visitor: which one is it?"
    return inferred


def _fits(column: str, each: Field, total: int) -> bool:
    """Return whether a field's values are plausible for the column."""
    if column in _TIMES:
        return each.holds_times()
    if column == "raw_event_name":
        return (
            "number" not in each.types
            and len(each.values) <= max(50, total // 20)
            and not each.holds_times()
        )
    if column == "event_id":
        return len(each.values) >= 0.9 * min(each.count, _MAX_DISTINCT_VALUES)
    if column == "product_category":
        return "number" not in each.types and len(each.values) <= 100
    return not each.holds_times()


def _infer_by_value(
    inferred: dict[str, InferredColumn], rest: Sequence[Field], total: int
) -> None:
    """Infer columns without a known name by their values, with a question."""
    if not inferred["occurred_at"].fields:
        times = [each for each in rest if each.holds_times()]
        if times:
            best = max(times, key=lambda each: each.count)
            inferred["occurred_at"] = InferredColumn(
                [best], f"does {best.path} hold the time of the event?"
            )
    if not inferred["raw_event_name"].fields:
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
            inferred["raw_event_name"] = InferredColumn(
                [best], f"does {best.path} hold the name of the event?"
            )


def infer_table_columns(
    table: str, columns: Sequence[Field]
) -> dict[str, tuple[Field | None, str | None]]:
    """Infer the source column of each column of a raw table.

    Returns:
        For each of our columns, the source column or ``None``, and an open question
        or ``None``.
    """
    by_key = {each.key: each for each in columns}
    inferred: dict[str, tuple[Field | None, str | None]] = {}
    used_columns: set[str] = set()
    for column, names in TABLE_COLUMNS[table].items():
        found = [
            by_key[normalise_name(name)]
            for name in names
            if normalise_name(name) in by_key
            and by_key[normalise_name(name)].path not in used_columns
        ]
        question = None
        if found:
            used_columns.add(found[0].path)
        elif column in REQUIRED_COLUMNS[table]:
            question = f"no column looks like `{column}`, which is needed: which is it?"
        inferred[column] = (found[0] if found else None, question)
    return inferred


def cancellation_source(cancelled: Field | None) -> str | None:
    """Return ``dates`` or ``flags`` by the values of a column, ``None`` if empty."""
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
