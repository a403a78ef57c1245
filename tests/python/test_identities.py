"""Who a visitor is: chains of links, shared devices, and links that disagree."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pandas as pd
import pytest
from conftest import DbtProject

START = datetime(2025, 3, 1, 10)

# Visitor, user (if logged in), and hours after START. Devices and users form
# chains: v1 knows u1, u1 knows v2, v2 knows u2, and so on.
EVENTS = [
    ("v1", None, 0),
    ("v1", "u1", 2),
    ("v2", "u1", 3),
    ("v2", "u2", 30),
    ("v3", "u2", 31),
    ("v3", None, 50),
    # Five companies' users on one device, of which three are one too few.
    *(("kiosk", f"k{number}", 60 + number) for number in range(5)),
    ("kiosk", None, 90),
    # Nobody knows the account of this user yet.
    ("v4", "stranger", 5),
]
CONTACTS = [
    ("u1", "A", 1),
    ("u2", "B", 2),
    # The user changes company; the first tie stays.
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
    """Every visitor with each of its users' accounts, once both ties are known."""
    links: dict[tuple[str, str, str], datetime] = {}
    for visitor, user, hours in EVENTS:
        for contact, account, days in CONTACTS:
            if user == contact:
                known = max(
                    START + timedelta(hours=hours, minutes=1),
                    START + timedelta(days=days),
                )
                key = (visitor, user, account)
                links[key] = min(known, links.get(key, known))
    return {(*key, known) for key, known in links.items()}


@pytest.mark.parametrize("is_all_at_once", [True, False])
def test_chains_converge_in_one_build(
    project: DbtProject, is_all_at_once: bool
) -> None:
    """All links in one run, or the last ones first and the first ones last.

    What a run has learnt of users stays when the raw table forgets it.
    """
    project.create_raw_tables()
    cuts = [(events(), contacts())]
    if not is_all_at_once:
        cuts = [
            (events().iloc[4:], contacts().iloc[2:]),
            (events().iloc[:4], contacts().iloc[:2]),
        ]
    for arrived, known in cuts:
        project.write("raw.raw_events", arrived)
        project.write("raw.raw_contacts", known)
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
        # Before anybody logged in: the visitor's first known account.
        "v1 0": "A",
        "v1 2": "A",
        "v2 3": "A",
        # The device was first tied to A; who is logged in is B's.
        "v2 30": "B",
        "v3 31": "B",
        "v3 50": "B",
        **{f"kiosk {60 + number}": None for number in range(5)},
        "kiosk 90": None,
        "v4 5": None,
    }
