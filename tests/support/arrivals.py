"""A small company's raw rows, dirty and shuffled, in batches of arrival."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta

import pandas as pd

from tests.support.crm_histories import Company, random_company
from tests.support.project import DbtProject

START = datetime(2025, 3, 1)
USERS = 30

# Tables that depend on the records only, with the columns to compare. Columns that
# depend on the run are excluded.
TABLES = {
    "stg_clickstream__events": "*",
    "stg_clickstream__rejects": "*",
    "clickstream_daily_counts": "*",
    "clickstream_field_profile": "*",
    "int_clickstream_daily_receipts": "* exclude (processed_at)",
    "int_visitor_sessions where is_current": "* exclude (processed_at)",
    "int_session_late_arrivals": "* exclude (processed_at)",
    "int_visitor_activity_daily": "* exclude (processed_at)",
    "int_visitor_categories_daily": "* exclude (processed_at)",
    "int_visitor_users": "* exclude (processed_at)",
    "sessions": "*",
    "identities": "*",
    "shared_devices": "*",
    "late_arrivals": "*",
    "int_account_users": "*",
    "int_account_changes": "*",
    "subscription_periods": "* exclude (updated_at)",
    "churn_labels": "* exclude (periods_updated_at)",
    "crm_data_issues": "*",
    "account_features": "*",
}
LINE = [
    "event_names",
    "stg_clickstream__events",
    "+clickstream_field_profile",
    "+late_arrivals",
    "+sessions",
    "+shared_devices",
    "+clickstream_daily_counts",
    "+stg_clickstream__rejects",
    "+churn_labels",
    "+crm_data_issues",
    "+account_features",
]


# Two pairs of identifiers with equal `hash_bigint`.
HASH_COLLISIONS = ["e15184886", "e15798301", "e12250508", "e25868810"]

# File names with characters that need quoting in SQL, and files without a name.
FILES = [*(f"file {number}" for number in range(16)), "File", "'a' file", "fïlé", None]


def records(draw: random.Random, count: int, visitors: int = 12) -> pd.DataFrame:
    """Generate events of few visitors, so that late events extend and join sessions.

    Returns:
        Rows of raw_events.
    """
    rows = []
    for number in range(count):
        at = START + timedelta(seconds=draw.randrange(5 * 86_400))
        late = draw.choice([1, 60, 3_600, 8 * 3_600, 40 * 86_400])
        received_at = at + timedelta(seconds=draw.randrange(1, late + 1))
        name = draw.randrange(count * 2)
        event = {
            # One in three identifiers is repeated with other content.
            "event_id": f"e{name}"
            if name % 5
            else HASH_COLLISIONS[name // 5 % len(HASH_COLLISIONS)],
            "event": draw.choice(["page_view", "subscribe_hover", "view_item"]),
            "ts": at.isoformat() + "Z",
            "anonymous_id": f"v{draw.randrange(visitors)}",
            "user_id": draw.choice([None, None, f"u{draw.randrange(USERS)}"]),
            "category": draw.choice([None, "pillow", "topper"]),
        }
        if number % 7 == 0:
            del event["event_id"]
        payload = json.dumps(event)
        if number % 11 == 0:
            payload = payload.replace('"', "'").replace("null", "None")
        if number % 13 == 0:
            payload = payload[: draw.randrange(1, len(payload))]
        if number % 17 == 0:
            payload += json.dumps({**event, "event_id": f"second {number}"})
        source_file = draw.choice(FILES)
        rows.append((payload, received_at, source_file))
        if number % 10 == 0:
            rows.append((payload, received_at + timedelta(hours=3), source_file))
    frame = pd.DataFrame(rows, columns=["payload", "received_at", "source_file"])
    return frame.astype({"received_at": "datetime64[us]"})


def contacts(draw: random.Random) -> pd.DataFrame:
    """Generate three batches of contacts; some users change their account."""
    rows = []
    for number in range(USERS):
        for moved in [0, 1] if number % 5 == 0 else [0]:
            for batch in range(3):
                batch_date = START + timedelta(days=batch + 2 * moved)
                rows.append(
                    {
                        "user_id": f"u{number}",
                        "account_id": f"a{(number + moved) % 20:05d}",
                        "role": "user",
                        "batch_date": batch_date.date(),
                        "loaded_at": batch_date
                        + timedelta(days=1, hours=draw.choice([3, 60])),
                    }
                )
    return pd.DataFrame(rows).astype({"loaded_at": "datetime64[us]"})


def calls(draw: random.Random, count: int) -> pd.DataFrame:
    """Generate support calls, some repeated and some late."""
    rows = []
    for _ in range(count):
        started_at = START + timedelta(minutes=draw.randrange(40 * 1_440))
        rows.append(
            {
                "call_id": f"c{draw.randrange(count)}",
                "account_id": f"a{draw.randrange(20):05d}",
                "started_at": started_at,
                "duration_seconds": draw.randrange(900),
                "topic": draw.choice(["billing", "Quality", "cancellation_question"]),
                "loaded_at": started_at + timedelta(hours=draw.choice([2, 5, 90])),
            }
        )
    return pd.DataFrame(rows).astype(
        {"started_at": "datetime64[us]", "loaded_at": "datetime64[us]"}
    )


def invoices(draw: random.Random, count: int) -> pd.DataFrame:
    """Generate invoices; some change their status after the due date."""
    rows = []
    for _ in range(count):
        due = START + timedelta(days=draw.randrange(40))
        rows.append(
            {
                "invoice_id": f"i{draw.randrange(count)}",
                "account_id": f"a{draw.randrange(20):05d}",
                "invoice_date": (due - timedelta(days=14)).date(),
                "due_date": due.date(),
                "amount": 10.0,
                "status": draw.choice(["paid", "late", "failed"]),
                "loaded_at": due + timedelta(hours=draw.choice([2, 20, 90])),
            }
        )
    return pd.DataFrame(rows).astype({"loaded_at": "datetime64[us]"})


def crm_company(seed: int) -> Company:
    """Generate the CRM batches of `company`."""
    return random_company(seed, "dates", accounts=60, last_day=100)


def company(seed: int, events: int, visitors: int) -> dict[str, pd.DataFrame]:
    """Generate the raw tables of a company, each in random order."""
    draw = random.Random(seed)
    accounts = crm_company(seed).frame()
    tables = {
        "raw_events": records(draw, events, visitors),
        "raw_accounts": accounts.astype({"loaded_at": "datetime64[us]"}),
        "raw_contacts": contacts(draw),
        "raw_calls": calls(draw, 60),
        "raw_invoices": invoices(draw, 60),
    }
    return {
        name: rows.sample(frac=1, random_state=seed) for name, rows in tables.items()
    }


def batches(
    seed: int, tables: dict[str, pd.DataFrame], count: int
) -> list[dict[str, pd.DataFrame]]:
    """Cut each table at random places; one row in thirty is repeated later."""
    draw = random.Random(seed)
    parts: list[dict[str, pd.DataFrame]] = [{} for _ in range(count)]
    for name, rows in tables.items():
        positions = sorted(draw.sample(range(1, len(rows)), count - 1))
        for number, first, last in zip(
            range(count), [0, *positions], [*positions, len(rows)], strict=True
        ):
            repeated = rows.iloc[:first].sample(n=first // 30, random_state=seed)
            parts[number][name] = pd.concat([rows.iloc[first:last], repeated])
    return parts


def append_raw(project: DbtProject, arrived: dict[str, pd.DataFrame]) -> None:
    """Append arrived rows to the raw tables."""
    for name, rows in arrived.items():
        project.write(f"raw.{name}", rows)


def contents(project: DbtProject) -> dict[str, list[str]]:
    """Return the rows of all tables, sorted."""
    return {
        table: sorted(map(str, project.query(f"select {columns} from {table}")))
        for table, columns in TABLES.items()
    }


def assert_equal(one: dict[str, list[str]], other: dict[str, list[str]]) -> None:
    """Fail at the first table with different rows, and name some of them."""
    for table, rows in other.items():
        assert rows, f"{table} is empty, so the comparison is void"
        missing = sorted(set(rows) - set(one[table]))[:3]
        extra = sorted(set(one[table]) - set(rows))[:3]
        assert one[table] == rows, f"{table}: lacks {missing}, has {extra}"
