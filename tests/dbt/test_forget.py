"""`churn forget` erases a person everywhere, and counts stay true."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from churn.cli.main import churn
from tests.support.forgotten import DEVICE, EMAIL, USER, planted_records
from tests.support.paths import ROOT
from tests.support.project import DbtProject

# Everything that a person's records reach, without training and scoring. The raw tables
# are seeds of the demo here, which would be loaded again.
BUILD = (
    *("build", "--exclude-resource-types", "unit_test", "--select"),
    *("+stg_clickstream__events", "+stg_clickstream__rejects", "+sessions"),
    *("+identities", "+churn_labels", "+account_features"),
    *("+clickstream_daily_counts", "+clickstream_field_profile", "--exclude"),
    *("raw_events", "raw_contacts", "raw_accounts", "raw_invoices", "raw_calls"),
)


def plant(project: DbtProject) -> None:
    """Add the records, a contact and an action of the person to the raw tables."""
    rows = [
        (record, f"2025-02-10 10:0{number}:00", "planted/part-1.jsonl")
        for number, record in enumerate(planted_records())
    ]
    with project.connect() as connection:
        connection.executemany("insert into raw.raw_events values (?, ?, ?)", rows)
        connection.execute(
            """insert into raw.raw_contacts
            select ?, account_id, role, batch_date, loaded_at
            from raw.raw_contacts where user_id = (
                select min(user_id) from raw.raw_contacts
            )""",
            [USER],
        )


def hits(database: Path, *texts: str) -> list[str]:
    """Return the columns of all relations, views included, that contain a text."""
    found = []
    with duckdb.connect(str(database), read_only=True) as connection:
        for schema, table, column in connection.execute(
            "select table_schema, table_name, column_name "
            "from information_schema.columns"
        ).fetchall():
            tests = " or ".join(
                f"""contains(cast("{column}" as varchar), '{text}')""" for text in texts
            )
            row = connection.execute(
                f'select count(*) from "{schema}"."{table}" where {tests}'
            ).fetchone()
            if row and row[0]:
                found.append(f"{schema}.{table}.{column}")
    return found


def run_forget(project: DbtProject, *arguments: str, exit_code: int = 0) -> str:
    """Run the command on a project's database; return its output."""
    result = CliRunner(env={"CHURN_STATE_DIR": str(project.folder / "state")}).invoke(
        churn,
        [
            *("forget", *arguments, "--project-dir", str(ROOT)),
            *("--profiles-dir", str(ROOT), "--database", str(project.database)),
        ],
        env={
            "CHURN_STATE_DIR": str(project.folder / "state"),
            "CHURN_SERVING_URL": f"sqlite:///{project.folder}/serving.db",
            "DBT_TARGET_PATH": str(project.folder / "target"),
        },
        obj={},
    )
    assert result.exit_code == exit_code, (result.output, result.exception)
    return result.output


def counts(project: DbtProject) -> dict[str, int]:
    """Return the number of rows of all tables and views."""
    with project.connect() as connection:
        return {
            f"{schema}.{table}": connection.execute(
                f'select count(*) from "{schema}"."{table}"'
            ).fetchall()[0][0]
            for schema, table in connection.execute(
                "select table_schema, table_name from information_schema.tables"
            ).fetchall()
        }


@pytest.fixture
def copied(built_project: DbtProject, tmp_path: Path) -> DbtProject:
    """Provide a copy of the built demo seeds that a test can change."""
    shutil.copyfile(built_project.database, tmp_path / "test.duckdb")
    return DbtProject(tmp_path)


def demo_user(project: DbtProject) -> tuple[str, str]:
    """Return a user of the demo with a device that nobody else uses."""
    return project.query(
        """select min(user_id), visitor_id from int_visitor_users
        where user_id in (select user_id from int_account_users)
        group by visitor_id having count(distinct user_id) = 1
        order by 1 limit 1"""
    )[0]


def test_a_user_is_in_no_relation_and_no_row_is_lost(copied: DbtProject) -> None:
    user, device = demo_user(copied)
    before = counts(copied)
    assert {"raw.raw_contacts.user_id", "raw.raw_events.payload"} <= set(
        hits(copied.database, user)
    )
    output = run_forget(copied, "--user", user, exit_code=1)
    # The next build would load the seeds again.
    assert "seeds/raw_contacts.csv" in output
    assert hits(copied.database, user, device) == []
    assert counts(copied) == before
    assert user not in output
    stored = copied.database.read_bytes()
    assert user.encode() not in stored
    assert device.encode() not in stored
    for path in (copied.folder / "state").iterdir():
        assert user not in path.read_text()
        assert "salt" not in path.read_text()
    # The person is still one user with one device.
    assert copied.query(
        "select count(distinct user_id) from int_visitor_users "
        "where user_id like 'erased-%'"
    ) == [(1,)]
    again = run_forget(copied, "--user", user, exit_code=1)
    assert "raw_contacts " not in again


def rows_by_relation(project: DbtProject) -> dict[str, list[tuple]]:
    """Return the rows of tables, without what a full refresh computes differently.

    A record that was repaired is erased as strict JSON. The reason of a broken record
    changes with its text.
    """
    changing = (
        *("processed_at", "updated_at", "periods_updated_at"),
        *("is_repaired", "repaired_events"),
    )
    columns = f"columns(lambda name: name not in {changing})"
    return {
        name: project.query(f"select {columns} from {name} order by all")
        for name in (
            *("stg_clickstream__events", "identities", "sessions"),
            *("subscription_periods", "churn_labels", "account_features"),
            "clickstream_daily_counts",
        )
    }


def differences(
    rows: dict[str, list[tuple]], others: dict[str, list[tuple]]
) -> dict[str, list[tuple]]:
    """Return rows that only one of two states has, by relation."""
    return {
        name: sorted(set(rows[name]) ^ set(others[name]), key=repr)[:4]
        for name in rows
        if rows[name] != others[name]
    }


@pytest.mark.long
def test_no_build_brings_the_person_back(project: DbtProject) -> None:
    project.dbt("seed")
    plant(project)
    project.dbt(*BUILD)
    events = project.query("select count(*) from stg_clickstream__events")
    assert len(hits(project.database, USER, EMAIL)) >= 17

    run_forget(project, "--user", USER, "--also", EMAIL)
    assert hits(project.database, USER, DEVICE, EMAIL, "Ann Planted") == []
    assert project.query("select count(*) from stg_clickstream__events") == events
    # JSON can write the identifier with numbers of letters.
    assert hits(project.database, "\\u0075-77") == []

    erased = rows_by_relation(project)
    project.dbt(*BUILD)
    assert hits(project.database, USER, DEVICE, EMAIL, "Ann Planted") == []
    assert differences(rows_by_relation(project), erased) == {}
    project.dbt(*BUILD, "--full-refresh")
    assert hits(project.database, USER, DEVICE, EMAIL, "Ann Planted") == []
    assert differences(rows_by_relation(project), erased) == {}
