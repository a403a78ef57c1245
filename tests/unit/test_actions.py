"""Actions are stored once, durably, by several writers, and never changed."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from churn.config import UserError
from churn.operations.export_actions import COLUMNS, export_actions
from churn.web.actions import (
    SCHEMA,
    Action,
    ActionError,
    ActionStore,
    action_id_of,
    check_action,
    import_actions,
    new_form_id,
)
from tests.support.paths import ROOT
from tests.support.serving import sqlite_url

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SHOWN = {"as_of_date": "2026-03-02", "model_version": "m1", "arm": None}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ActionStore]:
    """Provide an empty store of each kind."""
    url = sqlite_url(tmp_path / "actions.db")
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres")
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"drop schema if exists {SCHEMA} cascade")
    store = ActionStore(url)
    yield store
    store.close()


def act(
    store: ActionStore, kind: str, account: str = "a", day: int = 0, **fields: str
) -> str:
    """Record an action some days after NOW and return its id."""
    action = check_action(
        {"action_type": kind, "form_id": new_form_id(), **fields},
        account,
        "anna",
        NOW + timedelta(days=day),
        {**SHOWN, "arm": fields.pop("arm", None)},
    )
    assert store.record(action)
    return action.action_id


@given(st.integers(0, 2**48 - 1), st.text(max_size=20), st.text(max_size=20))
def test_action_ids_are_uuids_of_version_7_that_depend_on_form_and_content(
    milliseconds: int, first: str, second: str
) -> None:
    form = new_form_id(milliseconds)
    made = UUID(action_id_of(form, first))
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == milliseconds
    assert action_id_of(form, first) == str(made)
    assert (action_id_of(form, second) == str(made)) == (first == second)
    assert action_id_of(new_form_id(milliseconds), first) != str(made)


@pytest.mark.parametrize("form_id", ["", "x", "../../x", str(UUID(int=4))])
def test_a_form_without_a_valid_id_is_refused(form_id: str) -> None:
    with pytest.raises(ActionError, match="reload the page"):
        action_id_of(form_id, "a")


def test_an_action_is_stored_once_however_often_it_is_sent(store: ActionStore) -> None:
    fields = {"action_type": "offer_made", "form_id": new_form_id(), "offer_id": "m"}
    action = check_action(fields, "a", "anna", NOW, SHOWN)
    later = check_action(fields, "a", "anna", NOW + timedelta(seconds=9), SHOWN)
    assert store.record(action)
    assert not store.record(later)
    (row,) = store.of_account("a")
    assert row.recorded_at == action.recorded_at
    assert row.shown_model_version == "m1"
    other = check_action(
        {**fields, "action_type": "note", "note": "x"}, "a", "b", NOW, SHOWN
    )
    assert store.record(other)


def test_lists_know_the_last_contact_and_snooze(store: ActionStore) -> None:
    act(store, "contacted")
    act(store, "note", note="hello", day=1)
    act(store, "snoozed", snoozed_until="7", day=1)
    state = store.latest()["a"]
    assert state.contacted_at is not None
    assert state.contacted_at[:10] == "2026-03-02"
    assert state.snoozed_until == "2026-03-10"
    act(store, "unsnoozed", day=2)
    assert store.latest()["a"].snoozed_until is None
    assert store.latest()["a"].action_type == "unsnoozed"


def test_another_process_sees_new_actions_and_corrections(store: ActionStore) -> None:
    other = ActionStore(store.url)
    assert other.latest() == {}
    first = act(store, "contacted")
    second = act(store, "snoozed", snoozed_until="7", day=1)
    assert other.latest()["a"].snoozed_until == "2026-03-10"
    act(store, "correction", corrects_action_id=second, day=1)
    assert other.latest()["a"].snoozed_until is None
    assert other.latest()["a"].action_type == "contacted"
    act(store, "correction", corrects_action_id=first, day=1)
    assert "a" not in other.latest()
    # Nothing is deleted.
    assert len(store.of_account("a", with_corrected=True)) == 4
    assert store.of_account("a") == []
    other.close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"action_type": "delete"}, "not known"),
        ({"action_type": "note"}, "empty"),
        ({"action_type": "note", "note": " \u0000\u0007 "}, "empty"),
        ({"action_type": "note", "note": "x" * 2001}, "at most 2,000"),
        ({"action_type": "snoozed", "snoozed_until": "0"}, "after today"),
        ({"action_type": "snoozed", "snoozed_until": "99999999999"}, "not valid"),
        ({"action_type": "snoozed", "snoozed_until": "2020-01-01"}, "after today"),
        ({"action_type": "snoozed"}, "not valid"),
        ({"action_type": "contacted", "channel": "smoke"}, "channel"),
        ({"action_type": "contacted", "occurred_on": "2026-03-03"}, "up to today"),
        ({"action_type": "contacted", "occurred_on": "soon"}, "YYYY-MM-DD"),
        ({"action_type": "correction"}, "name an action"),
    ],
)
def test_a_wrong_field_is_one_sentence(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ActionError, match=message):
        check_action({"form_id": new_form_id(), **fields}, "a", "anna", NOW, SHOWN)


def test_a_control_account_is_contacted_with_a_reason_only() -> None:
    shown = {**SHOWN, "arm": "control"}
    fields = {"form_id": new_form_id(), "action_type": "offer_made"}
    with pytest.raises(ActionError, match="comparison group"):
        check_action(fields, "a", "anna", NOW, shown)
    action = check_action(
        {**fields, "override_reason": "they called"}, "a", "anna", NOW, shown
    )
    assert action.override_reason == "they called"
    assert action.shown_arm == "control"


@pytest.mark.slow
def test_writers_that_are_killed_lose_no_acknowledged_action(tmp_path: Path) -> None:
    """An action that was acknowledged is in the store, exactly once."""
    program = (
        "import sys; from datetime import datetime, UTC; from pathlib import Path\n"
        "from churn.web.actions import *\n"
        "from tests.support.serving import sqlite_url\n"
        "store = ActionStore(sqlite_url(Path(sys.argv[1])))\n"
        "while True:\n"
        "    a = check_action({'action_type': 'contacted', 'form_id': new_form_id()},\n"
        "        'a', sys.argv[2], datetime.now(UTC), {})\n"
        "    store.record(a); store.record(a)\n"
        "    print(a.action_id, flush=True)\n"
    )
    path = tmp_path / "actions.db"
    acknowledged: list[str] = []
    for _ in range(2):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(path), name],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for name in ("anna", "berta")
        ]
        for writer in writers:
            assert writer.stdout
            for _ in range(15):
                acknowledged.append(writer.stdout.readline().strip())
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            # Those between the kill and the last read were acknowledged too.
            rest = writer.communicate()[0].split("\n")
            acknowledged += [line for line in rest if len(line) == 36]
    with sqlite3.connect(path) as connection:
        stored = [
            row[0]
            for row in connection.execute("select action_id from retention_actions")
        ]
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)


def test_exported_files_hold_each_action_once_and_never_change(
    store: ActionStore, tmp_path: Path
) -> None:
    ids = [act(store, "contacted", f"a{n}", day=n // 3) for n in range(7)]
    folder = tmp_path / "landing"
    files = export_actions(store, folder, rows_per_file=2)
    contents = {path: path.read_bytes() for path in files}
    assert export_actions(store, folder) == []
    ids += [act(store, "note", "a0", day=2, note="Grüße\n2")]
    files += export_actions(store, folder)
    rows = [
        json.loads(line)
        for path in files
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]
    assert [row["action_id"] for row in rows] == ids
    assert all(tuple(row) == COLUMNS for row in rows)
    assert set(COLUMNS) == {field.name for field in fields(Action)}
    assert rows[-1]["note"] == "Grüße\n2"
    assert all(path.read_bytes() == content for path, content in contents.items())
    for path in files:
        assert {
            row["recorded_at"][:10]
            for row in rows
            if row["action_id"] in gzip.decompress(path.read_bytes()).decode()
        } == {path.parent.name[3:]}
    assert not list(folder.rglob(".*"))


def test_actions_of_two_stores_are_not_mixed(tmp_path: Path) -> None:
    first, second = (ActionStore(sqlite_url(tmp_path / f"{n}.db")) for n in "ab")
    act(first, "contacted")
    export_actions(first, tmp_path / "landing")
    act(second, "contacted")
    # Its numbers begin at 1 as well, so that they would seem to be exported.
    with pytest.raises(UserError, match="another store"):
        export_actions(second, tmp_path / "landing")
    assert len(export_actions(second, tmp_path / "other")) == 1


def test_actions_are_imported_once(tmp_path: Path) -> None:
    store, copy = (ActionStore(sqlite_url(tmp_path / f"{n}.db")) for n in "ab")
    ids = [act(store, "contacted", f"a{n}", day=n) for n in range(3)]
    export_actions(store, tmp_path / "landing")
    assert import_actions(copy, tmp_path / "landing") == 3
    assert import_actions(copy, tmp_path / "landing") == 0
    assert [row.action_id for row in copy.rows_after(0, 10)] == ids


def test_the_file_of_actions_is_private(tmp_path: Path) -> None:
    store = ActionStore(sqlite_url(tmp_path / "actions.db"))
    act(store, "contacted")
    assert os.stat(tmp_path / "actions.db").st_mode & 0o007 == 0
    store.close()
