"""Invalid input is rejected with one sentence, before any table is changed."""

from __future__ import annotations

import pytest

from tests.support.project import NO_UNIT_TESTS, DbtProject

RAW_ONLY = ("--exclude", "resource_type:seed")


def flat(text: str) -> str:
    """Fold all white space, because dbt wraps its messages."""
    return " ".join(text.split())


def tables(project: DbtProject) -> set[str]:
    return {
        name
        for (name,) in project.query(
            "select table_name from information_schema.tables "
            "where starts_with(table_schema, 'main')"
        )
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_lateness_hours", "six"),
        ("churn_grace_days", True),
        ("cancellation_source", "colours"),
        ("as_of_date", "2025-02-30"),
        ("accepted_batch_dates", ["3 March"]),
        ("high_risk_from", 1.5),
        ("staging_text_days_kept", 30),
    ],
)
def test_an_invalid_variable_is_named(
    module_project: DbtProject, name: str, value: object
) -> None:
    finished = module_project.dbt("parse", check=False, **{name: value})
    assert not finished.succeeded
    output = flat(finished.output)
    assert name in output
    assert "must be" in output
    assert "dbt_project.yml" in output


def test_a_missing_raw_table_is_named(project: DbtProject) -> None:
    project.create_raw_tables()
    project.execute("drop table raw.raw_calls")
    finished = project.dbt("build", *RAW_ONLY, check=False)
    assert not finished.succeeded
    assert "raw_calls" in flat(finished.output)
    assert "does not exist" in flat(finished.output)
    assert tables(project) == set()


def test_a_missing_column_is_named(project: DbtProject) -> None:
    project.create_raw_tables()
    project.execute("alter table raw.raw_accounts drop column cancelled_service")
    finished = project.dbt("build", *RAW_ONLY, check=False)
    assert not finished.succeeded
    assert "has no column `cancelled_service`" in flat(finished.output)
    assert tables(project) == set()


def test_empty_sources_build_and_are_reported(project: DbtProject) -> None:
    project.create_raw_tables()
    finished = project.dbt("build", *NO_UNIT_TESTS, *RAW_ONLY)
    output = flat(finished.output)
    for table in ("events", "accounts", "contacts", "invoices", "calls"):
        assert f'"raw_{table}" is empty' in output
    assert "Cannot train a model yet" in output
    for table in ("churn_labels", "int_as_of_dates", "churn_models", "churn_scores"):
        assert project.query(f"select count(*) from {table}") == [(0,)]


def test_raw_tables_can_be_in_another_schema(project: DbtProject) -> None:
    project.create_raw_tables()
    project.execute(
        "create schema lake",
        "create table lake.clicks as select * from raw.raw_events",
        *(
            f"create table lake.raw_{table} as select * from raw.raw_{table}"
            for table in ("accounts", "contacts", "invoices", "calls")
        ),
        "drop schema raw cascade",
    )
    project.dbt(
        "run",
        "--select",
        "+stg_clickstream__events",
        *RAW_ONLY,
        raw_schema="lake",
        raw_events_table="clicks",
    )
    assert project.query("select count(*) from stg_clickstream__events") == [(0,)]
