"""Records of a person, and a search for it in every relation, for `churn forget`."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from churn.cli.main import churn
from churn.config import Project
from churn.operations.forget import Receipt, Subject, request
from tests.support.engines import Engine
from tests.support.paths import ROOT

USER = "u-77aa11bb"
DEVICE = "d-0f0f0f0f77aa"
CONSERVATION = ("no_raw_record_is_lost", "every_raw_record_is_processed")
# Name and content of files.
Files = Iterable[tuple[str, bytes]]
EMAIL = "ann.planted@example.com"
# The source file of the records that `plant` adds.
PLANTED_FILE = "planted"


def planted_records() -> list[str]:
    """Return records of one person in forms that a text search alone may miss."""
    event = {
        "event_id": "planted-1",
        "event_name": "page_view",
        "occurred_at": "2025-02-10T10:00:00Z",
        "anonymous_id": DEVICE,
        "page_path": f"/users/{USER}/settings",
        "traits": {"email": EMAIL, "name": "Ann Planted"},
    }
    login = {**event, "event_id": "planted-2", "user_id": USER, "referrer": EMAIL}
    without_id = {k: v for k, v in login.items() if k != "event_id"}
    nested = {"event_name": "login", "data": json.dumps(without_id)}
    other = {**event, "anonymous_id": "d-other", "event_id": "other-1"}
    other = {k: v for k, v in other.items() if k not in ("traits", "page_path")}
    escaped = json.dumps(login).replace("u-77", "\\u0075-77").replace("planted-2", "e")
    return [
        json.dumps(event),
        json.dumps(login),
        json.dumps({**without_id, "occurred_at": "2025-02-10T10:05:00Z"}),
        json.dumps(nested),
        escaped,
        # Two objects in one record, of which one is another person's.
        json.dumps({**login, "event_id": "planted-3"}) + json.dumps(other),
        # Repairable, truncated and without a name.
        str({**login, "event_id": "planted-4"}),
        json.dumps(login)[:-30],
        json.dumps({"user_id": USER, "email": EMAIL}),
        f"not JSON at all {USER}",
    ]


def check_forgotten(
    engine: Engine,
    relations: list[str],
    files: Callable[[], Iterable[tuple[str, bytes]]],
) -> None:
    """Forget a user of the demo; search every relation before and after.

    Args:
        engine: The engine, with the demo's seeds built.
        relations: All tables and views, with their schemas.
        files: Yields name and content of all files of the tables.
    """
    user, device = (
        engine.rows(
            f"""select min(user_id) as user_id, visitor_id
        from {engine.relation("int_visitor_users")}
        where user_id in (select user_id from {engine.relation("int_account_users")})
        group by visitor_id having count(distinct user_id) = 1
        order by 1 limit 1"""
        )
        .to_pylist()[0]
        .values()
    )
    before = {name: rows_of(engine, name) for name in relations}
    found = hits(before, user, device)
    assert {"raw.raw_contacts", "raw.raw_events"} < found
    assert len(found) >= 10

    # The next build would load the seeds again, so they are listed.
    output = run_forget(engine, "--user", user, exit_code=1)
    assert "seeds/raw_contacts.csv" in output
    assert user not in output
    after = {name: rows_of(engine, name) for name in relations}
    assert hits(after, user, device) == set()
    assert {name: len(rows) for name, rows in after.items()} == {
        name: len(rows) for name, rows in before.items()
    }
    others = {
        name
        for name in relations
        if sorted(map(str, before[name])) != sorted(map(str, after[name]))
    }
    assert others <= found
    engine.dbt(
        "test", "--select", "no_raw_record_is_lost every_raw_record_is_processed"
    )

    plant(engine)
    arguments = ("--user", USER, "--also", EMAIL, "--also", "Ann Planted")
    run_forget(engine, *arguments)
    raw = {"raw.raw_events": rows_of(engine, "raw.raw_events")}
    assert hits(raw, USER, EMAIL, "Ann Planted", "\\u0075-77") == set()
    assert len(raw["raw.raw_events"]) == len(before["raw.raw_events"]) + len(
        planted_records()
    )
    assert "Nothing holds this identifier." in run_forget(engine, *arguments)
    state = engine.folder / "state"
    assert not (state / "forget_pending.json").exists()
    receipts = (state / "forgotten.jsonl").read_text()
    assert len(receipts.splitlines()) == 3
    assert user not in receipts
    assert hits_in_files(files(), user, device, USER, EMAIL) == []


def small_tables(engine: Engine, texts: str) -> dict[str, str]:
    """Return queries of a few tables that hold a person, by relation.

    Args:
        engine: The engine, whose schemas begin with `forgetting`.
        texts: An array of a text about the device and a null, as SQL.
    """
    records = ", ".join(
        f"({engine.literal(record)}, {number})"
        for number, record in enumerate([*planted_records(), '{"uid":"u-other"}'])
    )
    return {
        "forgetting_raw.raw_events": "select payload, number "
        f"from (values {records}) as records (payload, number)",
        "forgetting_raw.raw_contacts": "select user_id, account_id, phone from "
        f"(values ('{USER}', 'a1', '0151'), ('u-other', 'a1', '0152')) "
        "as contacts (user_id, account_id, phone)",
        "forgetting_intermediate.int_visitor_users": "select visitor_id, user_id from "
        f"(values ('{DEVICE}', '{USER}'), ('d-1', 'u-other')) "
        "as links (visitor_id, user_id)",
        "forgetting.sessions": f"select '{DEVICE}' as visitor_id, {texts} as texts, "
        "1 as number, date '2025-01-01' as start_date",
    }


def check_small_tables(
    engine: Engine,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    external: str,
    files: Callable[[], Files],
) -> None:
    """Forget the person in `small_tables`, and search every value and file.

    Args:
        engine: The engine with the tables.
        folder: A folder of the test.
        monkeypatch: Sets the environment.
        external: The folder of a table whose files cannot be rewritten.
        files: Yields name and content of all files of the tables.
    """
    for name, value in (
        *engine.environment.items(),
        ("CHURN_STATE_DIR", str(folder / "state")),
        ("DBT_TARGET_PATH", str(folder / "target")),
    ):
        monkeypatch.setenv(name, value)
    project = Project.load(ROOT, ROOT, engine.target)
    variables = {**project.variables, "raw_schema": "forgetting_raw"}
    project = replace(project, variables=variables)

    def forget() -> Receipt:
        with request(project, Subject("user", USER, (EMAIL,))) as current:
            current.find()
            current.erase_tables()
        return current.receipt

    before = list(files())
    assert hits_in_files(before, USER, DEVICE, EMAIL)
    receipt = forget()
    assert receipt.identifiers == {"user": 1, "device": 1}
    assert receipt.rows == {
        "forgetting_raw.raw_events": 10,
        "forgetting_raw.raw_contacts": 1,
        "forgetting_intermediate.int_visitor_users": 1,
        "forgetting.sessions": 1,
    }
    (listed,) = receipt.remaining
    assert external in listed
    relations = {name: rows_of(engine, name) for name in receipt.rows}
    assert hits(relations, USER, DEVICE, EMAIL, "\\u0075-77") == set()
    assert {name: len(found) for name, found in relations.items()} == {
        "forgetting_raw.raw_events": 11,
        "forgetting_raw.raw_contacts": 2,
        "forgetting_intermediate.int_visitor_users": 2,
        "forgetting.sessions": 1,
    }
    (session,) = relations["forgetting.sessions"]
    assert session["visitor_id"].startswith("erased-")
    assert f"about {session['visitor_id']}" in str(session["texts"])
    contacts = {row["phone"] for row in relations["forgetting_raw.raw_contacts"]}
    assert contacts == {"[erased]", "0152"}
    left = hits_in_files(files(), USER, DEVICE, EMAIL)
    assert not left, "\n".join(left)
    again = forget()
    assert again.rows == {}
    assert again.remaining == receipt.remaining


def plant(engine: Engine) -> None:
    """Add the records to the raw table."""
    rows = ", ".join(
        f"({engine.literal(record)}, timestamp '2025-02-10 10:0{number}:00', "
        f"'{PLANTED_FILE}')"
        for number, record in enumerate(planted_records())
    )
    engine.execute(
        f"insert into raw.raw_events (payload, received_at, source_file) values {rows}"
    )


def rows_of(engine: Engine, relation: str) -> list[dict[str, Any]]:
    """Return all rows of a table or view."""
    return engine.rows(f"select * from {relation}").to_pylist()


def hits(rows: dict[str, list[dict[str, Any]]], *texts: str) -> set[str]:
    """Return the relations of which a value contains one of some texts."""
    return {
        name
        for name, found in rows.items()
        if any(
            text in str(value)
            for row in found
            for value in row.values()
            for text in texts
        )
    }


def hits_in_files(files: Files, *texts: str) -> list[str]:
    """Return the names of files, Parquet files unpacked, that contain a text."""
    found = []
    for name, content in files:
        if content[:4] == b"PAR1":
            content = str(pq.read_table(io.BytesIO(content)).to_pydict()).encode()
        if any(text.encode() in content for text in texts):
            found.append(name)
    return found


def run_forget(engine: Engine, *arguments: str, exit_code: int = 0) -> str:
    """Run the command on an engine and return its output."""
    command = ["forget", *arguments, "--target", engine.target]
    command += ["--project-dir", str(ROOT), "--profiles-dir", str(ROOT)]
    environment = {
        **engine.environment,
        "CHURN_STATE_DIR": str(engine.folder / "state"),
        "CHURN_SERVING_URL": f"sqlite:///{engine.folder}/serving.db",
        "DBT_TARGET_PATH": str(engine.folder / "empty-target"),
    }
    result = CliRunner(env=environment).invoke(churn, command, obj={})
    assert result.exit_code == exit_code, (
        shlex.join(command),
        result.output,
        result.exception,
        result.exc_info,
    )
    return result.output
