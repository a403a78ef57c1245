"""`check` computes the package's models without dbt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from churn.onboarding.dbt_models import ModelError, ModelRunner
from tests.support.paths import ROOT


def runner(connection: duckdb.DuckDBPyConnection, **changes: Any) -> ModelRunner:
    variables = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
    variables |= {"load_demo_seeds": False, **changes}
    return ModelRunner(connection, ROOT, Path("/nowhere"), variables)


@pytest.mark.parametrize(
    ("data_type", "value"),
    [
        ("varchar", """'{"event":"login","n":1}'"""),
        ("json", """'{"event":"login","n":1}'::json"""),
        ("struct(event varchar, n integer)", "{'event': 'login', 'n': 1}"),
        ("map(varchar, varchar)", "map {'event': 'login', 'n': '1'}"),
    ],
)
def test_a_payload_of_any_type_is_text(data_type: str, value: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema raw")
        connection.execute(
            f"create table raw.raw_events (message {data_type}, received_at timestamp, "
            "source_file varchar)"
        )
        connection.execute(f"insert into raw.raw_events select {value}, now(), 'f'")
        models = runner(connection, raw_events_columns={"payload": "message"})
        models.build("base_clickstream__raw_events")
        found = models.rows("select payload from base_clickstream__raw_events")
        types = models.rows("select typeof(payload) from base_clickstream__raw_events")
    assert found[0][0].replace('"1"', "1").replace(" ", "") == (
        '{"event":"login","n":1}'
    )
    assert types == [("VARCHAR",)]


def test_a_model_that_cannot_be_computed_is_one_sentence() -> None:
    with duckdb.connect() as connection:
        models = runner(connection)
        with pytest.raises(ModelError, match="base_clickstream__raw_events cannot be"):
            models.build("base_clickstream__raw_events")


def test_a_refused_variable_is_an_error() -> None:
    with duckdb.connect() as connection:
        models = runner(connection, placeholder_identifiers="kiosk")
        with pytest.raises(ModelError, match="placeholder_identifiers"):
            models.macros["check_variables"]()


def test_a_mapped_time_can_have_a_strftime_format() -> None:
    with duckdb.connect() as connection:
        models = runner(connection)
        parsed = models.expression("parse_time", "text", "%d-%m-%Y %H:%M")
        rows = connection.execute(
            f"""select cast({parsed} as varchar) from (values
                ('01-03-2025 10:04'), ('2025-03-01T10:04:05Z'), ('20250301'), ('soon')
            ) as texts (text)"""
        ).fetchall()
    assert rows == [
        ("2025-03-01 10:04:00",),
        ("2025-03-01 10:04:05",),
        (None,),
        (None,),
    ]


@pytest.mark.parametrize(
    ("time_format", "is_accepted"),
    [("%d-%m-%Y %H:%M", True), ("%I:%M %p", True), ("%Q", False), ("dd-mm", False)],
)
def test_formats_that_not_every_engine_reads_are_refused(
    time_format: str, is_accepted: bool
) -> None:
    with duckdb.connect() as connection:
        found = runner(connection).macros["is_strftime_format"](time_format)
    assert found == is_accepted
