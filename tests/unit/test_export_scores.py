"""Exports of the scores keep their schema, whatever the engine's types are."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from churn.cli.main import churn
from churn.config import UserError
from churn.operations.export_scores import SCHEMA, SCHEMA_VERSION, export_scores
from tests.support.paths import ROOT
from tests.support.serving import HOSTILE, project_of, write_marts

# What readers of version 1 rely on. Add columns at the end. Any other change breaks
# readers: raise SCHEMA_VERSION and say so in the changelog.
VERSION_1 = """
account_id string, as_of_date date32[day], company_name string, owner_id string,
owner_name string, churn_probability double, probability_change_7d double,
risk_band string, risk_rank int64, reason_1 string, reason_2 string, reason_3 string,
offer_id string, recommended_offer string, offer_because string,
monthly_recurring_revenue double, revenue_at_risk double, currency string, arm string,
control_until date32[day], model_version string, scored_at timestamp[us, tz=UTC],
clickstream_data_through timestamp[us, tz=UTC], crm_data_through date32[day],
billing_data_through timestamp[us, tz=UTC], support_data_through timestamp[us, tz=UTC],
is_stale bool
"""
TYPES = {"varchar": "string", "date": "date32[day]", "bigint": "int64"}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = write_marts(tmp_path / "marts.duckdb", names=HOSTILE)
    with duckdb.connect(str(path)) as connection:
        for column in (
            *("control_until date", "billing_data_through timestamp"),
            "support_data_through timestamp",
        ):
            connection.execute(f"alter table churn_scores add column {column}")
    return path


def test_the_contract_is_kept() -> None:
    assert SCHEMA_VERSION == "1"
    columns = ", ".join(f"{field.name} {field.type}" for field in SCHEMA)
    assert columns.startswith(" ".join(VERSION_1.split()))


def test_the_contract_is_that_of_the_model() -> None:
    path = ROOT / "models/marts/scores/churn_scores.yml"
    (model,) = yaml.safe_load(path.read_text())["models"]
    declared = {
        each["name"]: (
            TYPES.get(each["data_type"], each["data_type"]),
            "not_null" not in each.get("data_tests", []),
        )
        for each in model["columns"]
    }
    exported = {
        field.name: (
            str(field.type)
            .replace("timestamp[us, tz=UTC]", "timestamp")
            .replace("bool", "boolean"),
            field.nullable,
        )
        for field in SCHEMA
    }
    assert exported == declared


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return pa.ipc.open_file(path.read_bytes()).read_all().to_pylist()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_file_has_the_scores_and_the_schema(
    database: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "out" / f"scores.{suffix}"
    result = CliRunner().invoke(
        churn, ["export", str(path), "--database", str(database), *project_options()]
    )
    assert result.exit_code == 0, result.exception
    if suffix == "parquet":
        schema = pq.read_schema(path)
    else:
        schema = pa.ipc.open_file(path.read_bytes()).schema
    assert schema.equals(SCHEMA)
    assert schema.metadata[b"churn_scores_schema"] == b"1"
    with duckdb.connect(str(database)) as connection:
        connection.execute("set timezone = 'UTC'")
        expected = connection.execute(
            f"select {', '.join(SCHEMA.names)} from churn_scores order by risk_rank"
        ).fetchall()
    rows = read(path)
    assert len(rows) == 120
    for row, values in zip(rows, expected, strict=True):
        found = tuple(
            each.replace(tzinfo=None) if isinstance(each, datetime) else each
            for each in row.values()
        )
        assert found == values
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def project_options() -> list[str]:
    return ["--project-dir", str(ROOT), "--profiles-dir", str(ROOT)]


def test_csv_has_no_formula_and_times_in_utc(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    assert export_scores(project_of(database), path, "csv") == 120
    rows = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert list(rows.columns) == SCHEMA.names
    assert len(rows) == 120
    assert rows["scored_at"][0] == "2026-03-02T04:00:00.000000Z"
    assert rows["as_of_date"][0] == "2026-03-02"
    names = rows["company_name"]
    assert names[2] == "'" + HOSTILE[2]
    assert names[4] == HOSTILE[4]
    assert not names.str.match(r"\s*[=+@]").any()


def test_times_with_a_zone_are_the_same(database: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            """set timezone = 'Asia/Tokyo';
            alter table churn_scores alter scored_at type timestamptz
            using scored_at at time zone 'UTC'"""
        )
    path = tmp_path / "scores.parquet"
    export_scores(project_of(database), path, "parquet")
    assert f"{read(path)[0]['scored_at']:%H:%M %Z}" == "04:00 UTC"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("drop table churn_scores", "no table churn_scores yet"),
        ("alter table churn_scores drop column arm", "no column arm"),
        ("update churn_scores set model_version = null", "model_version of churn"),
    ],
)
def test_what_breaks_the_contract_keeps_the_earlier_file(
    database: Path, tmp_path: Path, change: str, words: str
) -> None:
    path = tmp_path / "scores.parquet"
    export_scores(project_of(database), path, "parquet")
    content = path.read_bytes()
    with duckdb.connect(str(database)) as connection:
        connection.execute(change)
    with pytest.raises(UserError, match=words):
        export_scores(project_of(database), path, "parquet")
    assert path.read_bytes() == content


def test_the_ending_names_the_format(database: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        churn, ["export", str(tmp_path / "scores.xlsx"), "--database", str(database)]
    )
    assert "does not end in one of .parquet, .csv, .arrow" in result.output
