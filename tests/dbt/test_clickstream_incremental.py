"""Clickstream runs without new records, and with a changed field mapping."""

from __future__ import annotations

import json
import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from tests.support.arrivals import records
from tests.support.paths import ROOT
from tests.support.project import NO_UNIT_TESTS, DbtProject

START = datetime(2025, 3, 1)
LINE = [
    "event_names",
    "stg_clickstream__events",
    "+sessions",
    "identities",
    "+int_visitor_activity_daily",
    "+int_visitor_categories_daily",
    "+stg_clickstream__rejects",
    "+clickstream_daily_counts",
    "+clickstream_field_profile",
    "+late_arrivals",
]
TABLES = {
    "stg_clickstream__events": "*",
    "stg_clickstream__rejects": "*",
    "sessions": "*",
    "identities": "*",
    "clickstream_daily_counts": "*",
    "clickstream_field_profile": "*",
    "late_arrivals": "*",
    "int_session_late_arrivals": "* exclude (processed_at)",
    "int_visitor_activity_daily": "* exclude (processed_at)",
    "int_visitor_categories_daily": "* exclude (processed_at)",
}


def build(project: DbtProject, *arguments: str) -> None:
    project.dbt("build", *NO_UNIT_TESTS, *arguments, "-s", *LINE, load_demo_seeds=False)


def prepare(project: DbtProject) -> None:
    project.create_raw_tables()
    contacts = pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in range(8)],
            "account_id": [f"A{number % 5}" for number in range(8)],
            "role": "user",
            "batch_date": START.date(),
            "loaded_at": START + timedelta(days=1),
        }
    ).astype({"loaded_at": "datetime64[us]"})
    project.write("raw.raw_contacts", contacts)


def contents(project: DbtProject) -> dict[str, list[str]]:
    return {
        table: sorted(map(str, project.query(f"select {columns} from {table}")))
        for table, columns in TABLES.items()
    }


def test_a_run_without_new_records_changes_nothing(project: DbtProject) -> None:
    prepare(project)
    project.write("raw.raw_events", records(random.Random(3), 200))
    build(project)
    before = contents(project)
    watermark = project.query("select max(processed_at) from int_visitor_sessions")
    # Retention: loaded records remain when the raw table deletes them.
    project.execute("delete from raw.raw_events where source_file < 'file 2'")
    build(project)
    assert contents(project) == before
    assert watermark == project.query(
        "select max(processed_at) from int_visitor_sessions"
    )
    assert not project.query(
        "select table_name from information_schema.tables "
        "where table_name like '%dbt_tmp%'"
    )
    refused = project.dbt(
        "run", "-s", "int_visitor_sessions", check=False, load_demo_seeds=False
    )
    assert not refused.succeeded
    assert "needs the rows that int_affected_sessions has" in refused.output


@pytest.fixture(scope="module")
def with_rejects(module_project: DbtProject) -> DbtProject:
    """Provide built records, some of which the field mapping cannot read."""
    project = module_project
    prepare(project)
    mapped = {"event": "login", "event_id": "known", "ts": 1740823445, "user_id": "u"}
    unmapped = {
        "ereignis": "login",
        "event_id": "unmapped",
        "ts": 1740823445,
        "uid": "u",
    }
    project.write(
        "raw.raw_events",
        pd.DataFrame(
            {
                "payload": [
                    json.dumps({**mapped, "campaign": {"name": "spring"}}),
                    json.dumps({**unmapped, "campaign": {"name": "autumn"}}),
                    str({**unmapped, "event_id": "repaired", "user_id": None}),
                    "hopeless",
                    json.dumps({**mapped, "event_id": "other"}),
                    str({**mapped, "event_id": "other repaired"}),
                ],
                "received_at": pd.Timestamp("2025-03-01 10:05"),
                "source_file": ["file"] * 4 + ["other file"] * 2,
            }
        ),
    )
    build(project)
    assert project.query(
        "select reject_reason, count(*) from stg_clickstream__rejects "
        "group by 1 order by 1"
    ) == [("missing_required_field", 2), ("not_json", 1)]
    return project


@pytest.mark.parametrize(
    ("is_killed", "is_deleted"),
    [
        (False, False),
        (True, True),
        pytest.param(False, True, marks=pytest.mark.long),
        pytest.param(True, False, marks=pytest.mark.long),
    ],
)
def test_a_changed_field_mapping_adds_a_column_and_reprocesses_rejects(
    with_rejects: DbtProject, tmp_path: Path, is_deleted: bool, is_killed: bool
) -> None:
    """Only the YAML is changed. A run may be killed between delete and append."""
    root = tmp_path / "project"
    shutil.copytree(
        ROOT,
        root,
        ignore=shutil.ignore_patterns(".git", ".venv", "target", "logs", "*.duckdb"),
    )
    project = DbtProject(tmp_path, root)
    shutil.copy(with_rejects.database, project.database)

    folder = root / "models/staging/clickstream/base"
    field_mapping = folder / "base_clickstream__parsed_records.yml"
    text = field_mapping.read_text()
    text = text.replace(
        "              - $.event_name\n",
        "              - $.event_name\n              - $.ereignis\n",
        1,
    )
    text = text.replace(
        "      - name: sent_at\n",
        """      - name: campaign
        description: The campaign that brought the visitor here.
        data_type: varchar
        config:
          meta:
            json_paths: [$.campaign.name]
      - name: sent_at
""",
        1,
    )
    field_mapping.write_text(text)
    if is_deleted:
        # Retention: the rejects are quarantined, but the raw table is empty.
        project.execute("delete from raw.raw_events")
    parsed = ["base_clickstream__parsed_records"]
    if is_killed and is_deleted:
        # A killed run has stored the new rows, and not deleted the old ones.
        project.execute(f"create table old_rows as select * from {parsed[0]}")
        project.dbt("run", "-s", f"+{parsed[0]}", load_demo_seeds=False)
        # Only the file with rejects is reprocessed.
        project.execute(
            f"insert into {parsed[0]} by name from old_rows "
            "where payload is not null and source_file = 'file'"
        )
    elif is_killed:
        # Killed runs have deleted the rows of the file, and not stored new ones.
        parsed += [
            "base_clickstream__parsed_repaired_records",
            "base_clickstream__repaired_json",
            "base_clickstream__record_shapes",
            "stg_clickstream__json_paths",
        ]
        project.dbt("run", "-s", "+base_clickstream__files", load_demo_seeds=False)
        for table in parsed:
            project.execute(f"delete from {table} where source_file = 'file'")
    build(project)
    assert project.query(
        "select event_id, campaign, is_repaired from stg_clickstream__events order by 1"
    ) == [
        # An event is reprocessed only if its raw record still exists.
        ("known", None if is_deleted else "spring", False),
        ("other", None, False),
        ("other repaired", None, True),
        ("repaired", None, True),
        ("unmapped", "autumn", False),
    ]
    assert project.query(
        "select payload, reject_reason from stg_clickstream__rejects"
    ) == [("hopeless", "not_json")]
    assert project.query(
        "select is_documented from clickstream_field_profile "
        "where json_path = '$.campaign.name'"
    ) == [(True,)]
    incremental = contents(project)
    build(project, *([] if is_deleted else ["--full-refresh"]))
    assert contents(project) == incremental
