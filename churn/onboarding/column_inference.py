"""Infer which field of foreign data is which column of this project.

A known tracker or table has a preset. Otherwise names are compared first, and the
values
must not contradict them. What stays undecided is a question with candidates.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from churn.ingest.decoding import strip_whitespace
from churn.onboarding.presets import (
    Preset,
    TablePreset,
    column_key,
    path_steps,
    value_at,
)
from churn.onboarding.profile import paths_of
from churn.onboarding.questions import Candidate, Question
from churn.onboarding.time_formats import (
    EXCEL_DAYS,
    TimeFormat,
    detect_time_format,
    is_excel_days,
)
from churn.quoting import masked, printable

# Names that trackers use for our columns, the likeliest first. Compared without case
# and
# separators.
EVENT_COLUMNS: dict[str, list[str]] = {
    "anonymous_id": [
        *["anonymous_id", "user_pseudo_id", "visitor_id", "visitor", "client_id"],
        *["device_id", "cookie_id", "domain_userid", "aid"],
    ],
    "user_id": [
        *["user_id", "uid", "login", "customer_id", "member_id", "subscriber"],
        *["subscriber_id", "account_id", "user"],
    ],
    "event_id": ["event_id", "message_id", "insert_id", "uuid", "id", "eid"],
    "raw_event_name": [
        *["event_name", "event", "event_type", "action", "name", "type"],
        *["activity", "action_name", "event_action", "event_label", "verb", "n", "e"],
    ],
    "occurred_at": [
        *["occurred_at", "original_timestamp", "client_event_time", "event_time"],
        *["event_timestamp", "client_time", "timestamp", "created_at", "time", "ts"],
        *["t", "date", "datetime"],
    ],
    "sent_at": ["sent_at", "client_sent_at", "client_upload_time", "upload_time"],
    "server_received_at": [
        *["received_at", "server_received_at", "server_received_time", "server_time"],
        *["server_timestamp", "ingested_at", "collector_tstamp", "arrived_at"],
        *["received", "r"],
    ],
    "page_path": [
        *["page_path", "page_location", "page", "path", "url", "page_url", "screen"],
        *["screen_name", "href", "current_url", "pathname"],
    ],
    "product_category": ["product_category", "item_category", "genre", "category"],
}
TABLE_COLUMNS: dict[str, dict[str, list[str]]] = {
    "accounts": {
        "batch_date": ["batch_date", "exported_on", "snapshot_date", "extract_date"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
        "account_id": [
            *["account_id", "account", "customer_id", "customer", "subscriber_id"],
            *["subscriber", "company_id", "organization_id", "organisation_id"],
            *["org_id", "account_code", "account_number", "customer_number"],
            *["record_id", "user_id", "id", "external_id"],
        ],
        "company_name": ["company_name", "company", "account_name", "name"],
        "industry": ["industry", "sector", "segment"],
        "signup_date": [
            *[
                "signup_date",
                "signup",
                "signed_up_on",
                "signed_up_at",
                "customer_since",
            ],
            *["joined_on", "joined_at", "start_date", "started_at", "activated_at"],
            *["subscription_start", "registered_at", "registration_date"],
            *["registration", "registered_on", "date_joined", "member_since"],
            *["created_date", "create_date", "created_at", "created"],
        ],
        "plan": [
            "plan",
            "plan_tier",
            "plan_name",
            "tier",
            "package",
            "subscription_type",
        ],
        "seats": ["seats", "licences", "licenses", "quantity", "number_of_seats"],
        "monthly_recurring_revenue": [
            *["monthly_recurring_revenue", "mrr", "mrr_amount", "monthly_revenue"],
            *["monthly_fee", "price", "price_euros"],
        ],
        "cancelled_service": [
            *["cancelled_service", "ended_at", "cancelled_on", "cancelled_at"],
            *["canceled_at", "cancellation_date", "cancelation_date", "cancel_date"],
            *["closed_on", "closed_at", "churned_on", "churn_date", "churned_at"],
            *["end_date", "subscription_end", "expires_at", "is_cancelled"],
            *["is_canceled", "cancelled", "canceled", "is_churned", "churned", "churn"],
            *["is_cancel", "churn_flag", "cancel_flag", "termination_date"],
            *["terminated_at", "terminated_on", "unsubscribed_at", "date_left"],
        ],
        "new_customer": [
            *["new_customer", "restarted_on", "restart_date", "reactivated_at"],
            *["reactivation_date", "is_new_customer", "resubscribed_at"],
        ],
        "owner_id": ["owner_id", "account_manager_id", "ownerid"],
        "owner_name": ["owner_name", "account_owner", "account_manager"],
        "currency": ["currency", "currency_code", "currencyisocode"],
    },
    "contacts": {
        "user_id": [
            *["user_id", "app_user_id", "login", "uid", "contact_id", "email", "id"],
        ],
        "account_id": [
            "account_id",
            "account",
            "customer_id",
            "company_id",
            "customer",
            "associated_company_id",
            "associated_company_ids_primary",
        ],
        "role": ["role", "job_title", "title", "position"],
        "batch_date": ["batch_date", "exported_on", "snapshot_date", "extract_date"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
    },
    "subscriptions": {
        "subscription_id": ["subscription_id", "uuid", "id", "subscription"],
        "account_id": [
            "account_id",
            "account",
            "customer_id",
            "customer",
            "company_id",
        ],
        "started_at": [
            *["started_at", "start_date", "started_on", "activated_at", "start"],
            *["subscription_start", "created_at", "created"],
        ],
        "ended_at": [
            *["ended_at", "end_date", "ended_on", "expires_at", "cancelled_at"],
            *["canceled_at", "subscription_end", "end"],
        ],
        "plan": ["plan", "plan_tier", "plan_name", "plan_id", "tier", "product"],
        "monthly_recurring_revenue": [
            *["monthly_recurring_revenue", "mrr", "mrr_amount", "amount", "price"],
        ],
        "updated_at": ["updated_at", "modified_at", "last_modified", "system_modstamp"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
    },
    "invoices": {
        "invoice_id": ["invoice_id", "invoice_number", "number", "id"],
        "account_id": ["account_id", "account", "customer_id", "customer"],
        "invoice_date": ["invoice_date", "issued_on", "created_at", "date", "created"],
        "due_date": ["due_date", "due_on", "due_at", "payable_by", "invoice_date"],
        "amount": ["amount", "total", "amount_euros", "net_amount", "amount_due"],
        "status": ["status", "state", "payment_status"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
    },
    "calls": {
        "call_id": ["call_id", "ticket_id", "case_id", "case_number", "id"],
        "account_id": [
            *["account_id", "account", "customer_id", "customer", "organization_id"],
            *["company_id"],
        ],
        "started_at": [
            *["started_at", "answered_at", "opened_at", "submitted_at", "created_at"],
            *["created_date", "created"],
        ],
        "duration_seconds": ["duration_seconds", "duration", "talk_time", "seconds"],
        "topic": ["topic", "reason", "category", "type", "subject"],
        "loaded_at": ["loaded_at", "exported_at", "extracted_at", "ingested_at"],
    },
}
# Columns without which a source is useless. `batch_date` and `loaded_at` come from the
# files if no column has them.
REQUIRED_COLUMNS = {
    "accounts": ["account_id", "signup_date"],
    "contacts": ["user_id", "account_id"],
    "subscriptions": ["account_id", "started_at", "ended_at"],
    "invoices": ["invoice_id", "account_id", "due_date", "status"],
    "calls": ["call_id", "account_id", "started_at"],
}
TIME_COLUMNS = frozenset(
    [
        "batch_date",
        "loaded_at",
        "signup_date",
        "started_at",
        "ended_at",
        "updated_at",
        "invoice_date",
        "due_date",
        "occurred_at",
        "sent_at",
        "server_received_at",
        "tracker_event_at",
        "cancelled_service",
        "new_customer",
    ]
)
FLAG_COLUMNS = frozenset(["cancelled_service", "new_customer"])
NUMBER_COLUMNS = frozenset(["seats", "monthly_recurring_revenue", "amount"])

_FLAGS = frozenset(
    ["y", "n", "yes", "no", "t", "f", "1", "0", "1.0", "0.0", "true", "false"]
)
# As in the macro `null_if_missing`.
_PLACEHOLDERS = frozenset(
    [
        *["", "null", "(null)", "<null>", "\\n", "none", "nan", "nat", "<na>"],
        *["n/a", "#n/a", "undefined", "-", "--"],
    ]
)
# As in the macro `null_if_placeholder_date`.
_PLACEHOLDER_DATE = re.compile(
    r"(0000-00-00|0001-01-01|9999-\d\d-\d\d|(2[2-9]|[3-9]\d)\d\d-12-31)([T ].*)?"
)
_MAX_DISTINCT_VALUES = 2000
_MAX_EVENT_NAMES = 300
# Parents of fields that describe the device or the library, not the event.
_TECHNICAL = frozenset(
    [
        "context",
        "library",
        "device",
        "os",
        "geo",
        "app",
        "browser",
        "campaign",
        "screen",
        "traits",
        "integrations",
        "userproperties",
        "personproperties",
        "referrer",
    ]
)
_PRODUCT_PARENTS = frozenset(
    [
        "product",
        "products",
        "item",
        "items",
        "properties",
        "data",
        "eventproperties",
        "eventparams",
        "params",
    ]
)
# Words with which a column says that an account has left.
_LEFT = re.compile(
    r"cancel|churn|terminat|inactiv|deactiv|closed|unsubscri|ended|left|lost"
    r"|gekündigt|gekuendigt|beendet|résili|resili|annul|baja|opgezegd|disdett"
    r"|(ja|oui|j|o|x|✓|✔|sí|si|sim|on|wahr|vrai|checked)$",
    re.I,
)
# Parts of the names of columns that may say so.
_LEAVING_NAME = re.compile(
    r"cancel|churn|terminat|unsubscri|clos|left|leave|leaving|expir|inactiv|deactiv"
    r"|end(ed)?$|enddate|status|active|kündig|kuendig|resili|résili|baja",
    re.I,
)
# A flag with such a name is on while the account stays.
_STAYING_NAME = re.compile(
    r"(?<!in)(?<!de)active|subscribed|paying|enabled|valid", re.I
)
_MAX_WORDS = 12
_PATH_OR_URL = re.compile(r"(https?://|/|[a-z]+:)\S*", re.I)


@dataclass
class Field:
    """One JSON path of a sample, or one column of a table.

    Attributes:
        path: ``$.user.id``, or the column's name.
        count: Number of records with a value.
        types: Counts by JSON type: text, number, boolean, object, array.
        values: Counts of the values as texts; the first `_MAX_DISTINCT_VALUES`
            distinct ones.
        hashes: The hash of each distinct value, for an exact count of them.
    """

    path: str
    count: int = 0
    types: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    hashes: set[int] = field(default_factory=set, repr=False)

    @property
    def key(self) -> str:
        """Return the last part of the path, normalised: ``userId`` is ``userid``."""
        if not self.path.startswith("$."):
            return column_key(self.path)
        return column_key(str((path_steps(self.path) or [""])[-1]))

    @property
    def parents(self) -> tuple[str, ...]:
        """Return the normalised keys above the last part of the path."""
        return tuple(column_key(str(step)) for step in path_steps(self.path)[:-1])

    @property
    def count_distinct(self) -> int:
        """Return the number of distinct values in the sample."""
        return max(len(self.hashes), len(self.values))

    @property
    def is_scalar(self) -> bool:
        """Return whether all its values are scalars."""
        return bool(self.types) and not set(self.types) & {"object", "array"}

    @property
    def filled_values(self) -> list[str]:
        """Return the distinct values without white space and words for null."""
        stripped = dict.fromkeys(map(strip_whitespace, self.values))
        return [
            value
            for value in stripped
            if value.lower() not in _PLACEHOLDERS
            and not _PLACEHOLDER_DATE.fullmatch(value)
        ]

    def add(self, value: str) -> None:
        """Count one value."""
        self.count += 1
        self.hashes.add(hash(value))
        if value in self.values or len(self.values) < _MAX_DISTINCT_VALUES:
            self.values[value] += 1

    def share(self, total: int) -> float:
        """Return the share of the records with a value."""
        return self.count / total if total else 0.0

    def time_format(self) -> TimeFormat | None:
        """Return how its values write times, ``None`` if they are none."""
        return detect_time_format(self.filled_values)

    def evidence(self, total: int) -> str:
        """Return the share of records, the distinct values, and masked examples."""
        examples = ", ".join(
            dict.fromkeys(masked(value) for value, _ in self.values.most_common(20))
        )
        return (
            f"in {self.share(total):.0%} of the records, {self.count_distinct:,} "
            f"distinct values such as {printable(examples, 60)}"
        )


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
            each.types.update(types - {"null"})
            if example is None:
                each.count += 1
            else:
                each.add(example)
    return fields, total


@dataclass
class EventMapping:
    """The inferred field mapping.

    Attributes:
        paths: The JSON paths of each column.
        formats: The format of columns of times that need one.
        questions: What a person must decide.
        notes: What was chosen, and why, in one sentence each.
    """

    paths: dict[str, list[str]] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def map_events(
    fields: Mapping[str, Field],
    records: Sequence[Any],
    preset: Preset | None = None,
    known_users: frozenset[str] = frozenset(),
) -> EventMapping:
    """Infer the JSON paths of each column of the field mapping.

    Args:
        fields: The fields of the records.
        records: A sample of parsed records.
        preset: The tracker, if it is known.
        known_users: Identifiers of the CRM, which a field with users holds, too.
    """
    inference = _EventInference(fields, records, known_users)
    if preset is None:
        return inference.infer()
    return inference.apply(preset)


class _EventInference:
    """One inference over one sample."""

    def __init__(
        self,
        fields: Mapping[str, Field],
        records: Sequence[Any],
        known_users: frozenset[str],
    ) -> None:
        self.fields = fields
        self.known_users = known_users
        self.records = records
        self.total = len(records)
        self.mapping = EventMapping()
        self.scalars = [
            each
            for each in fields.values()
            if each.is_scalar and "[]" not in each.path and is_addressable(each.path)
        ]

    # ---- A known tracker -----------------------------------------------------

    def apply(self, preset: Preset) -> EventMapping:
        mapping = self.mapping
        for column, paths in preset.columns.items():
            mapping.paths[column] = list(paths)
        mapping.formats.update(preset.formats)
        if not self._filled("server_received_at"):
            times = [*mapping.paths.get("tracker_event_at", [])]
            times += mapping.paths["occurred_at"]
            mapping.paths["server_received_at"] = list(dict.fromkeys(times))
            if "occurred_at" in mapping.formats:
                mapping.formats["server_received_at"] = mapping.formats["occurred_at"]
            mapping.notes.append(
                "No record says when it was received, so events count as received when "
                "they happened."
            )
        if not self._filled("user_id"):
            self._ask_for(
                "user_id",
                f"Which field holds the logged-in user? None of {preset.name}'s usual "
                "fields has a value.",
                self._named("user_id"),
                is_optional=True,
            )
        return mapping

    def _infer_user(self) -> None:
        """Choose the field whose values are in the CRM, or ask."""
        likely = [each for each in self.scalars if self._repeats(each)]
        in_crm = {each.path: _overlap(each, set(self.known_users)) for each in likely}
        likely.sort(key=lambda each: (-in_crm[each.path], -each.count_distinct))
        if likely and in_crm[likely[0].path] >= 0.5:
            best = likely[0]
            self.mapping.paths["user_id"] = [best.path]
            self.mapping.notes.append(
                f"{printable(best.path)} holds the user: {in_crm[best.path]:.0%} of "
                "its values are in the CRM."
            )
            return
        self._ask_for("user_id", "Which field holds the user or the visitor?", likely)

    def _filled(self, column: str) -> bool:
        paths = self.mapping.paths.get(column, [])
        return any(
            value_at(record, path) not in (None, "")
            for record in self.records[:2000]
            for path in paths
        )

    # ---- An unknown tracker --------------------------------------------------

    def infer(self) -> EventMapping:
        mapping = self.mapping
        for column in ("anonymous_id", "user_id"):
            self._choose(column, self._named(column))
        if not mapping.paths["anonymous_id"] and not mapping.paths["user_id"]:
            self._infer_user()
        self._infer_times()
        self._infer_event_name()
        self._infer_event_id()
        self._choose(
            "page_path",
            [
                each
                for each in self._named("page_path")
                if each.path not in mapping.paths["raw_event_name"]
                and (
                    each.key.startswith("screen")
                    or _share(
                        _PATH_OR_URL.fullmatch(v) for v in each.filled_values[:200]
                    )
                    >= 0.5
                )
            ],
        )
        self._choose(
            "product_category",
            [
                each
                for each in self._named("product_category")
                if (
                    each.key != "category"
                    or set(each.parents) & _PRODUCT_PARENTS
                    or not each.parents
                )
                and not set(each.parents) & _TECHNICAL
                and "number" not in each.types
                and each.count_distinct <= 100
            ],
        )
        return mapping

    def _named(self, column: str) -> list[Field]:
        """Return the fields with a known name of the column, the likeliest first."""
        ranks = {
            column_key(name): rank for rank, name in enumerate(EVENT_COLUMNS[column])
        }
        is_time = column in TIME_COLUMNS
        found = []
        for each in self.scalars:
            if each.key not in ranks or (
                set(each.parents) & _TECHNICAL
                and column != "anonymous_id"
                and not (column == "page_path" and each.parents[-1:] == ("page",))
            ):
                continue
            if is_time == (each.time_format() is not None):
                found.append(each)
        return (
            sorted(
                found,
                key=lambda each: (
                    len(each.parents),
                    ranks[each.key],
                    -each.count,
                    each.path,
                ),
            )
            if column != "occurred_at"
            else sorted(
                found,
                key=lambda each: (ranks[each.key], len(each.parents), -each.count),
            )
        )

    def _choose(self, column: str, found: Sequence[Field]) -> None:
        """Take the first field, and others for the records that it leaves empty."""
        chosen: list[Field] = []
        missing = list(self.records)
        for each in found:
            filled = [r for r in missing if value_at(r, each.path) not in (None, "")]
            if not chosen or len(filled) >= 0.005 * self.total:
                chosen.append(each)
                ids = set(map(id, filled))
                missing = [record for record in missing if id(record) not in ids]
            if not missing:
                break
        self.mapping.paths[column] = [each.path for each in chosen]

    def _infer_times(self) -> None:
        mapping = self.mapping
        for column in ("sent_at", "server_received_at", "occurred_at"):
            self._choose(column, self._named(column))
        taken = {path for paths in mapping.paths.values() for path in paths}
        if not mapping.paths["occurred_at"]:
            times = [
                each
                for each in self.scalars
                if each.path not in taken and each.time_format() is not None
            ]
            if len(times) == 1 and times[0].share(self.total) > 0.9:
                mapping.paths["occurred_at"] = [times[0].path]
                mapping.notes.append(
                    f"{printable(times[0].path)} is the time of the event: no other "
                    "field holds times."
                )
            else:
                self._ask_for(
                    "occurred_at", "Which field holds the time of the event?", times
                )
        for column in ("occurred_at", "sent_at", "server_received_at"):
            self._set_format(column)
        if not mapping.paths["server_received_at"] and mapping.paths["occurred_at"]:
            mapping.paths["server_received_at"] = list(mapping.paths["occurred_at"])
            if "occurred_at" in mapping.formats:
                mapping.formats["server_received_at"] = mapping.formats["occurred_at"]
            mapping.notes.append(
                "No field holds the time of receipt, so events count as received when "
                "they happened."
            )

    def _set_format(self, column: str) -> None:
        """Set the strftime format of a column of times, or ask for it."""
        for path in self.mapping.paths[column][:1]:
            found = self.fields[path].time_format() if path in self.fields else None
            if found is None or "%" not in found.formats[0]:
                continue
            self.mapping.formats[column] = found.formats[0]
            if found.is_ambiguous:
                self.mapping.questions.append(
                    date_order_question(f"events.{column}", path, found)
                )

    def _infer_event_name(self) -> None:
        mapping = self.mapping
        taken = {path for paths in mapping.paths.values() for path in paths}
        named = [
            each
            for each in self._named("raw_event_name")
            if each.path not in taken
            and "number" not in each.types
            and each.count_distinct <= max(50, self.total // 20)
        ]
        likely = [
            each
            for each in self.scalars
            if each.path not in taken
            and set(each.types) == {"text"}
            and each.share(self.total) > 0.9
            and each.count_distinct <= _MAX_EVENT_NAMES
            and self._repeats(each)
        ]
        # A constant, such as `type: event`, names nothing if another field may.
        varied = [
            each
            for each in named
            if each.count_distinct > 1 or each.share(self.total) < 0.9
        ]
        named = varied or ([] if likely else named)
        if named and named[0].share(self.total) > 0.2:
            self._choose("raw_event_name", named)
            return
        surprise = {each.path: self._surprise(each) for each in likely}
        self._ask_for(
            "raw_event_name",
            "Which field holds the name of the event, such as a page view or a login?",
            sorted(likely, key=lambda each: -surprise[each.path]),
        )

    def _surprise(self, each: Field) -> float:
        """Return the mean entropy of a field's values within a visitor, in bits.

        The name of an event changes within a visit. A city or a browser does not.
        """
        by_visitor: dict[str, Counter[str]] = {}
        for record in self.records:
            value = value_at(record, each.path)
            if value is not None:
                visitor = self._visitor(record) or ""
                by_visitor.setdefault(visitor, Counter())[str(value)] += 1
        total = sum(sum(counts.values()) for counts in by_visitor.values())
        return (
            sum(
                -count / total * math.log2(count / sum(counts.values()))
                for counts in by_visitor.values()
                for count in counts.values()
            )
            if total
            else 0.0
        )

    def _visitor(self, record: Any) -> str | None:
        for column in ("anonymous_id", "user_id"):
            for path in self.mapping.paths[column]:
                value = value_at(record, path)
                if value not in (None, ""):
                    return str(value)
        return None

    def _infer_event_id(self) -> None:
        """Choose an identifier: unique values, which no two visitors share."""
        found = []
        for each in self._named("event_id"):
            if (
                each.path
                in self.mapping.paths["anonymous_id"] + self.mapping.paths["user_id"]
            ):
                continue
            visitors: dict[str, set[str | None]] = {}
            for record in self.records:
                value = value_at(record, each.path)
                if value not in (None, ""):
                    visitors.setdefault(str(value), set()).add(self._visitor(record))
            shared = sum(len(each_visitors) > 1 for each_visitors in visitors.values())
            if visitors and shared > 0.02 * len(visitors):
                self.mapping.notes.append(
                    f"{printable(each.path)} is no identifier of an event: "
                    f"{shared:,} of its {len(visitors):,} values occur with several "
                    "visitors. It is a counter."
                )
            elif each.count_distinct < 0.5 * each.count:
                self.mapping.notes.append(
                    f"{printable(each.path)} is no identifier of an event: it has "
                    f"{each.count_distinct:,} values in {each.count:,} records."
                )
            else:
                found.append(each)
        self._choose("event_id", found)
        if not found:
            self.mapping.notes.append(
                "No field identifies an event, so equal records are duplicates."
            )

    def _repeats(self, each: Field) -> bool:
        return 1 < each.count_distinct < 0.7 * each.count and each.time_format() is None

    def _ask_for(
        self,
        column: str,
        text: str,
        candidates: Sequence[Field],
        is_optional: bool = False,
    ) -> None:
        shown = candidates[:5]
        if not shown and is_optional:
            return
        self.mapping.paths[column] = [each.path for each in shown[:1]]
        self.mapping.questions.append(
            Question(
                f"events.{column}",
                text,
                [Candidate(each.path, each.evidence(self.total)) for each in shown],
                proposal=shown[0].path if shown else None,
            )
        )


# ---- Tables --------------------------------------------------------------------


@dataclass
class TableMapping:
    """The source column of each column of a raw table.

    Attributes:
        columns: For each of our columns, the source's column or ``None``.
        formats: How columns of times are written.
        words: For a column of flags in other words than Yes and No, the words that
            mean Yes.
        preset: The preset that recognised the table, with its name.
        questions: What a person must decide.
        notes: What was chosen, and why.
    """

    columns: dict[str, Field | None] = field(default_factory=dict)
    formats: dict[str, TimeFormat] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)
    preset: TablePreset | None = None
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def map_table(
    table: str,
    columns: Sequence[Field],
    total: int,
    preset: TablePreset | None = None,
    known: Mapping[str, set[str]] | None = None,
) -> TableMapping:
    """Infer the source column of each column of a raw table.

    Args:
        table: ``accounts``, ``contacts``, ``subscriptions``, ``invoices`` or ``calls``.
        columns: The table's columns with their values.
        total: The number of rows.
        preset: The table's preset, if it is known.
        known: For ``account_id`` or ``user_id``, the identifiers of other sources. Of
            several columns, the one with the most of them is chosen.
    """
    known = known or {}
    mapping = TableMapping(preset=preset)
    by_key: dict[str, Field] = {}
    for each in columns:
        by_key.setdefault(each.key, each)
    used: set[str] = set()
    for column, names in TABLE_COLUMNS[table].items():
        names = [*(preset.columns.get(column, []) if preset else []), *names]
        if preset and preset.columns.get(column) == []:
            names = []
        found = [
            by_key[key]
            for key in dict.fromkeys(map(column_key, names))
            if key in by_key and (by_key[key].path not in used or column == "due_date")
        ]
        fitting = [each for each in found if _fits(column, each, is_named=True)]
        if known.get(column) and len(fitting) > 1:
            overlap = {each.path: _overlap(each, known[column]) for each in fitting}
            fitting.sort(key=lambda each: -overlap[each.path])
        chosen = fitting[0] if fitting else None
        mapping.columns[column] = chosen
        if chosen is not None:
            used.add(chosen.path)
        elif column in REQUIRED_COLUMNS[table] or (found and column in TIME_COLUMNS):
            _ask_for_column(mapping, table, column, found, columns, total)
    for column, source in mapping.columns.items():
        if source is None or column not in TIME_COLUMNS or _is_flag(column, source):
            continue
        found_format = source.time_format()
        if found_format is None and is_excel_days(source.filled_values):
            found_format = TimeFormat((EXCEL_DAYS,), 1.0)
            mapping.notes.append(
                f"{table}: `{printable(source.path)}` holds a spreadsheet's days since "
                "1899-12-30."
            )
        if found_format is not None:
            mapping.formats[column] = found_format
    _resolve_date_order(mapping)
    for column, found_format in mapping.formats.items():
        source = mapping.columns[column]
        if (
            source is not None
            and found_format.is_ambiguous
            and not any(
                question.key.startswith(f"{table}.date_format")
                for question in mapping.questions
            )
        ):
            mapping.questions.append(
                date_order_question(f"{table}.date_format", source.path, found_format)
            )
    return mapping


def _resolve_date_order(mapping: TableMapping) -> None:
    """Read an ambiguous column as the table's other columns write dates.

    A column without a day after the twelfth does not show the order. It is selected
    if all columns that show it agree.
    """
    known = {
        _date_part(each.formats[0])
        for each in mapping.formats.values()
        if not each.is_ambiguous and "%" in each.formats[0]
    }
    for column, each in list(mapping.formats.items()):
        fitting = [name for name in each.formats if _date_part(name) in known]
        source = mapping.columns[column]
        if each.is_ambiguous and len(fitting) == 1 and source is not None:
            mapping.formats[column] = TimeFormat((fitting[0],), each.share)
            mapping.notes.append(
                f"`{printable(source.path)}` is read as `{fitting[0]}`, as the other "
                "dates of its table are written."
            )


def _date_part(time_format: str) -> str:
    """Return the order and separators of day, month and year of a format."""
    found = re.search(r"%[dmYyb].*%[dmYyb]", time_format)
    return found.group() if found else time_format


def _ask_for_column(
    mapping: TableMapping,
    table: str,
    column: str,
    found: Sequence[Field],
    columns: Sequence[Field],
    total: int,
) -> None:
    is_required = column in REQUIRED_COLUMNS[table]
    likely = [
        *found,
        *(each for each in columns if _fits(column, each) and each not in found),
    ]
    proposal = next((each for each in likely if _fits(column, each)), None)
    reason = (
        f" `{printable(found[0].path)}` holds no readable {_kind(column)}."
        if found
        else ""
    )
    mapping.columns[column] = proposal if is_required else None
    mapping.questions.append(
        Question(
            f"{table}.{column}",
            f"Which column of {table} is `{column}`?{reason}",
            [Candidate(each.path, each.evidence(total)) for each in likely[:5]],
            proposal=proposal.path if proposal and is_required else None,
        )
    )


def _kind(column: str) -> str:
    if column in FLAG_COLUMNS:
        return "date or flag"
    return "time" if column in TIME_COLUMNS else "value"


def _fits(column: str, each: Field, is_named: bool = False) -> bool:
    """Return whether a column's values are plausible for one of our columns.

    Args:
        column: Our column.
        each: The source's column.
        is_named: Whether the source's column is called like ours.
    """
    values = each.filled_values
    if column in FLAG_COLUMNS:
        # A column that nobody has filled yet is plausible.
        return (
            not values
            or _is_flag(column, each)
            or each.time_format() is not None
            or (is_named and (is_excel_days(values) or is_words(each)))
        )
    if column in TIME_COLUMNS:
        return (
            (not values and column == "ended_at")
            or each.time_format() is not None
            or (is_named and is_excel_days(values))
        )
    if column in NUMBER_COLUMNS:
        return (
            not values
            or _share(
                bool(re.search(r"\d", value)) and not re.search(r"[A-Za-z]{4}", value)
                for value in values[:200]
            )
            > 0.9
        )
    if column in ("account_id", "user_id", "invoice_id", "call_id", "subscription_id"):
        return bool(values) and each.time_format() is None
    return True


def _is_flag(column: str, each: Field) -> bool:
    return column in FLAG_COLUMNS and is_flags(each.filled_values)


def is_flags(values: Iterable[str]) -> bool:
    """Return whether all values are flags, such as ``Yes`` and ``No``."""
    lowered = {strip_whitespace(value).lower() for value in values}
    return bool(lowered) and lowered <= _FLAGS


def is_words(each: Field) -> bool:
    """Return whether a column holds a few words, such as ``active`` and ``left``."""
    values = each.filled_values
    return (
        0 < len(values) <= _MAX_WORDS
        and each.count_distinct <= 2 * _MAX_WORDS
        and all(value.isprintable() and len(value) <= 40 for value in values)
        and not is_flags(values)
        and not is_excel_days(values)
        and each.time_format() is None
    )


def is_flag_of_stay(each: Field) -> bool:
    """Return whether a column of flags says who stays, such as ``is_active``."""
    return is_flags(each.filled_values) and bool(_STAYING_NAME.search(each.path))


def words_for_left(each: Field) -> list[str]:
    """Return the values that probably mean that an account has left."""
    values = each.filled_values
    if is_flag_of_stay(each):
        return [value for value in values if value[0].lower() in "nf0"]
    return [value for value in values if _LEFT.match(value)]


def may_say_left(each: Field) -> bool:
    """Return whether a column may say that an account has left."""
    values = each.filled_values
    if is_words(each):
        return bool(words_for_left(each)) or bool(_LEAVING_NAME.search(each.path))
    is_readable = is_flags(values) or each.time_format() is not None
    return is_readable and _LEAVING_NAME.search(each.path) is not None


def _overlap(each: Field, known: set[str]) -> float:
    values = each.filled_values
    return sum(value in known for value in values) / len(values) if values else 0.0


def cancellation_source(cancelled: Field | None) -> str | None:
    """Return ``dates`` or ``flags`` by a column's values, ``None`` without any."""
    if cancelled is None or not cancelled.filled_values:
        return None
    is_flag = is_flags(cancelled.filled_values) or is_words(cancelled)
    return "flags" if is_flag else "dates"


def date_order_question(key: str, path: str, found: TimeFormat) -> Question:
    """Return the question in which order a date is written."""
    return Question(
        key,
        f"In which order does `{printable(path)}` write day and month? All its values "
        "fit several formats.",
        [
            Candidate(each, f"fits {found.share:.0%} of the values")
            for each in found.formats
        ],
        proposal=found.formats[0],
    )


def is_addressable(path: str) -> bool:
    """Return whether a path of the field mapping can address a field."""
    return (
        re.fullmatch(
            r"\$([.]([A-Za-z_][A-Za-z0-9_-]*|\"[^\"\\'{}#\x00-\x1f\x7f-\x9f]+\")|\[[0-9]+\])+",
            path,
        )
        is not None
        and path.isprintable()
    )


def _share(matches: Iterable[Any]) -> float:
    found = [bool(match) for match in matches]
    return sum(found) / len(found) if found else 0.0
