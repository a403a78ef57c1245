"""Identities: chains of links, shared devices, and contradicting links."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pandas as pd
import pytest

from tests.support.project import DbtProject

START = datetime(2025, 3, 1, 10)

# Visitor, user (if logged in), and hours after START. Devices and users form chains: v1
# is linked to u1, u1 to v2, v2 to u2, and so on.
EVENTS = [
    ("v1", None, 0),
    ("v1", "u1", 2),
    ("v2", "u1", 3),
    ("v2", "u2", 30),
    ("v3", "u2", 31),
    ("v3", None, 50),
    # Users of five companies on one device, more than the limit for shared devices.
    *(("kiosk", f"k{number}", 60 + number) for number in range(5)),
    ("kiosk", None, 90),
    # The account of this user is unknown.
    ("v4", "stranger", 5),
]
CONTACTS = [
    ("u1", "A", 1),
    ("u2", "B", 2),
    # The user changes the company; the first link remains.
    ("u1", "C", 9),
    *((f"k{number}", f"K{number}", 1) for number in range(5)),
]
LINE = ["event_names", "+sessions", "+shared_devices"]


def events() -> pd.DataFrame:
    rows = [
        {
            "payload": json.dumps(
                {
                    "event": "page_view",
                    "event_id": f"e{number}",
                    "ts": (START + timedelta(hours=hours)).isoformat() + "Z",
                    "anonymous_id": visitor,
                    "user_id": user,
                }
            ),
            "received_at": START + timedelta(hours=hours, minutes=1),
            "source_file": f"file {number}",
        }
        for number, (visitor, user, hours) in enumerate(EVENTS)
    ]
    return pd.DataFrame(rows).astype({"received_at": "datetime64[us]"})


def contacts() -> pd.DataFrame:
    rows = [
        {
            "user_id": user,
            "account_id": account,
            "role": "user",
            "batch_date": (START + timedelta(days=days)).date(),
            "loaded_at": START + timedelta(days=days),
        }
        for user, account, days in CONTACTS
    ]
    return pd.DataFrame(rows).astype({"loaded_at": "datetime64[us]"})


def expected_links() -> set[tuple[str, str, str, datetime]]:
    """Return every link of a visitor to a user's account, with its first date."""
    links: dict[tuple[str, str, str], datetime] = {}
    for visitor, user, hours in EVENTS:
        for contact, account, days in CONTACTS:
            if user == contact:
                linked_at = max(
                    START + timedelta(hours=hours, minutes=1),
                    START + timedelta(days=days),
                )
                key = (visitor, user, account)
                links[key] = min(linked_at, links.get(key, linked_at))
    return {(*key, linked_at) for key, linked_at in links.items()}


@pytest.mark.parametrize("is_all_at_once", [True, False])
def test_chains_converge_in_one_build(
    project: DbtProject, is_all_at_once: bool
) -> None:
    """Build all links in one run, or in two runs with the last ones first.

    Links of users remain when the raw table deletes them.
    """
    project.create_raw_tables()
    batches = [(events(), contacts())]
    if not is_all_at_once:
        batches = [
            (events().iloc[4:], contacts().iloc[2:]),
            (events().iloc[:4], contacts().iloc[:2]),
        ]
    for event_rows, contact_rows in batches:
        project.write("raw.raw_events", event_rows)
        project.write("raw.raw_contacts", contact_rows)
        project.dbt(
            "build",
            "--exclude-resource-types",
            "test",
            "unit_test",
            "--select",
            *LINE,
            load_demo_seeds=False,
        )
        project.execute("delete from raw.raw_contacts")

    found = project.query(
        "select visitor_id, user_id, account_id, identified_at from identities"
    )
    assert len(found) == len(set(found))
    assert set(found) == expected_links()
    assert project.query(
        "select visitor_id, users, accounts, shared_device_since from shared_devices"
    ) == [("kiosk", 5, 5, START + timedelta(hours=63, minutes=1))]

    accounts = dict(
        project.query(
            "select visitor_id || ' ' || cast(date_diff('hour', timestamp "
            f"'{START}', started_at) as varchar), account_id from sessions"
        )
    )
    assert accounts == {
        # Before any login: the visitor's first account.
        "v1 0": "A",
        "v1 2": "A",
        "v2 3": "A",
        # The device was first linked to A; the logged-in user belongs to B.
        "v2 30": "B",
        "v3 31": "B",
        "v3 50": "B",
        **{f"kiosk {60 + number}": None for number in range(5)},
        "kiosk 90": None,
        "v4 5": None,
    }
