"""`dbt source freshness` evaluates every raw table."""

from __future__ import annotations

import json

import pytest

from churn.operations.marts import DuckDBMarts
from churn.operations.schedule import Schedule, utc_now
from churn.operations.status import OK, STALE, evaluate, read_facts
from tests.support.project import DbtProject
from tests.support.serving import project_of

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


# Sources of `churn status` by raw table.
SOURCES = {
    "raw_events": "clickstream",
    "raw_accounts": "crm",
    "raw_contacts": "contacts",
    "raw_invoices": "billing",
    "raw_calls": "support",
}


@pytest.mark.parametrize(
    "hours",
    [
        {
            **{"raw_events": 29, "raw_accounts": 37, "raw_contacts": 400},
            **{"raw_invoices": 71, "raw_calls": 73},
        },
        {
            **{"raw_events": 31, "raw_accounts": 73, "raw_contacts": 193},
            **{"raw_invoices": 169, "raw_calls": 1},
        },
        dict.fromkeys(ARRIVAL_COLUMNS, 5),
    ],
)
def test_churn_status_agrees(project: DbtProject, hours: dict[str, int]) -> None:
    """Both have the same limits, and measure the age of the last arrival."""
    project.create_raw_tables()
    project.execute("create schema main_intermediate")
    for table, column in ARRIVAL_COLUMNS.items():
        project.execute(
            f"insert into raw.{table} ({column}) values "
            f"(current_timestamp at time zone 'UTC' - interval {hours[table]} hour)"
        )
    # As the model does it.
    project.execute(
        "create table main_intermediate.int_source_watermarks as "
        + " union all ".join(
            f"select '{table}' as source_relation, max({column}) as last_arrived_at, "
            f"cast(null as date) as latest_complete_date from raw.{table}"
            for table, column in ARRIVAL_COLUMNS.items()
        )
    )
    statuses = freshness(project, load_demo_seeds=False)

    churn_project = project_of(project.database)
    schedule = Schedule.read(churn_project.variables)
    marts = DuckDBMarts(churn_project)
    facts = read_facts(marts, schedule, utc_now())
    marts.close()
    status = evaluate(facts, schedule, utc_now())
    kinds = {problem.key: problem.exit_code for problem in status.problems}
    for table, source in SOURCES.items():
        found = {
            "pass": (None, None),
            "warn": (kinds.get(f"source_late:{source}"), OK),
            "error": (kinds.get(f"source_stale:{source}"), STALE),
        }[statuses[table]]
        assert found[0] == found[1], (table, statuses[table], kinds)
        assert (f"source_late:{source}" in kinds) == (statuses[table] == "warn")
        assert (f"source_stale:{source}" in kinds) == (statuses[table] == "error")


def test_weekdays_without_data_are_no_alarm(project: DbtProject) -> None:
    """dbt's limits are longer by the weekdays without data."""
    project.create_raw_tables()
    for table, column in ARRIVAL_COLUMNS.items():
        project.execute(
            f"insert into raw.{table} ({column}) values "
            "(current_timestamp at time zone 'UTC' - interval 80 hour)"
        )
    due = {
        **{"due_hour": 6, "wait_minutes": 0},
        **{"late_after_hours": 36, "stale_after_hours": 72},
    }
    weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday"]
    sources_due = dict.fromkeys(SOURCES.values(), due)
    sources_due["crm"] = {**due, "weekdays": weekdays}
    statuses = freshness(project, load_demo_seeds=False, sources_due=sources_due)
    assert statuses["raw_accounts"] == "pass"
    assert statuses["raw_events"] == "error"
