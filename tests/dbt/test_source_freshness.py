"""`dbt source freshness` evaluates every raw table."""

from __future__ import annotations

import json

from tests.support.project import DbtProject

ARRIVAL_COLUMNS = {
    "raw_events": "received_at",
    "raw_accounts": "loaded_at",
    "raw_contacts": "loaded_at",
    "raw_invoices": "loaded_at",
    "raw_calls": "loaded_at",
}


def freshness(project: DbtProject, **variables: object) -> dict[str, str]:
    """Return the status of each raw table."""
    project.dbt("source", "freshness", check=False, **variables)
    results = json.loads((project.folder / "target" / "sources.json").read_text())
    return {
        result["unique_id"].split(".")[-1]: result["status"]
        for result in results["results"]
    }


def test_the_demo_data_is_old(project: DbtProject) -> None:
    project.dbt("seed")
    assert freshness(project) == dict.fromkeys(ARRIVAL_COLUMNS, "error")


def test_mapped_columns_are_read(project: DbtProject) -> None:
    project.create_raw_tables()
    for table, column in ARRIVAL_COLUMNS.items():
        project.execute(
            f"insert into raw.{table} ({column}) values "
            "(current_timestamp at time zone 'UTC')",
            f"alter table raw.{table} rename {column} to arrival",
        )
    assert freshness(
        project,
        load_demo_seeds=False,
        **{
            f"{table}_columns": {column: "arrival"}
            for table, column in ARRIVAL_COLUMNS.items()
        },
    ) == dict.fromkeys(ARRIVAL_COLUMNS, "pass")


def test_files_in_place_of_a_table_are_skipped(project: DbtProject) -> None:
    project.create_raw_tables()
    project.execute("drop table raw.raw_events")
    statuses = freshness(project, load_demo_seeds=False, raw_event_files="clicks/*.gz")
    assert set(statuses) == set(ARRIVAL_COLUMNS) - {"raw_events"}
