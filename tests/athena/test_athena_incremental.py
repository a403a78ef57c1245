"""Incremental runs on Athena end where a full refresh would: rules R1, R3 and R4.

A company's files land in S3 in three parts, late and repeated ones among them, and
dbt runs after each, in both table formats. What the tables then hold is compared,
row for row, with tables that DuckDB makes of all raw rows at once.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from engine import AT_ONCE, AthenaEngine
from engines import DuckdbEngine, Engine
from landing import make_landing_zone, upload
from parity import Built, differences, tables_built
from test_athena_parity import DuckdbInMilliseconds

from tests.athena_local.local import LAKE
from tests.athena_local.statements import LONGEST_STATEMENT_BYTES

DAYS = 32
FORMATS = ["iceberg", "hive"]
# What is made anew in each run is the same after one run or many. Of Hive tables,
# those whose rows are replaced or deleted are enough.
REPLACED = [
    "+clickstream_daily_counts",
    "+late_arrivals",
    "+churn_labels",
    "+int_visitor_categories_daily",
]
SELECTED = {
    "iceberg": [
        *REPLACED,
        "+clickstream_field_profile",
        "+int_account_features",
    ],
    "hive": REPLACED,
}
# How Hive tables read records in the second run. The third reads anew what that has
# rejected, and must not leave a trace of it.
STRICTER = {"earliest_plausible_date": "2025-01-20"}
RAW_TABLES = ["raw_events", "raw_accounts", "raw_contacts", "raw_invoices", "raw_calls"]
PARTS = {
    "first": lambda day: day <= "2025-01-24",
    "second": lambda day: "2025-01-25" <= day <= "2025-01-30",
    "third": lambda day: day > "2025-01-30",
}
# After which of them dbt runs: twice where most models are built.
RUNS = {"iceberg": {"first", "third"}, "hive": set(PARTS)}
VARIABLES = {"load_demo_seeds": False, "raw_schema": "raw_grown"}
# Tables whose rows say that they count no more, where a visitor lost an event to
# another.
COUNTED = {
    "base_clickstream__event_versions",
    "stg_clickstream__event_versions",
    "int_visitor_sessions",
}
# Features of other days are kept, too, if they were the last when a run decided them.
MONDAY = 1
# Files without a rejected record are not read anew for another dictionary.
SAYS_WHO_READ = {"field_mapping_version"}


@dataclass
class Grown:
    """Tables that grew over several runs, and the same made at once on DuckDB."""

    engines: dict[str, AthenaEngine]
    folder: Path
    tables: dict[str, list[str]]
    files_before: set[str]


@pytest.fixture(scope="module")
def grown(cloud, tmp_path_factory) -> Grown:
    folder = tmp_path_factory.mktemp("grown")
    zone = make_landing_zone(folder / "zone", accounts=12, days=DAYS)
    engines = {
        name: AthenaEngine(cloud, folder / name, name, f"grown_{name}")
        for name in FORMATS
    }
    tables = {}
    for part, takes in PARTS.items():
        assert upload(cloud, zone, "landing", takes)
        if part == "first":
            create_raw_tables(engines["hive"])
            for engine in engines.values():
                engine.dbt("seed", "--select", "event_names", "offers", **VARIABLES)
        if part == "third":
            deliver_again(cloud, "2025-01-12")
            engines["hive"].leave_interrupted()
            files_before = files_of_tables(cloud)
        for name, engine in engines.items():
            if part not in RUNS[name]:
                continue
            stricter = STRICTER if part == "second" else {}
            result = engine.dbt(
                "run", "--select", *SELECTED[name], **VARIABLES, **stricter
            )
            tables[name] = tables_built(result)
    on_duckdb = DuckdbEngine(folder)
    copy_raw_rows(engines["hive"], on_duckdb)
    on_duckdb.dbt("seed", "--select", "event_names", "offers", load_demo_seeds=False)
    on_duckdb.dbt("run", "--select", *SELECTED["iceberg"], load_demo_seeds=False)
    return Grown(engines, folder, tables, files_before)


def create_raw_tables(engine: AthenaEngine) -> None:
    last_day = datetime.date(2025, 1, 1) + datetime.timedelta(DAYS + 1)
    engine.dbt(
        "run-operation",
        "create_raw_tables",
        "--args",
        f"{{location: s3://lake/landing, first_day: 2025-01-01, last_day: {last_day}}}",
        **VARIABLES,
    )


def deliver_again(cloud, day: str) -> None:
    """Deliver a day's first file once more, under another name."""
    folder = f"landing/clickstream/dt={day}/"
    found = cloud.s3.list_objects_v2(Bucket="lake", Prefix=folder)["Contents"]
    content = cloud.s3.get_object(Bucket="lake", Key=found[0]["Key"])["Body"].read()
    cloud.s3.put_object(Bucket="lake", Key=f"{folder}again.jsonl.gz", Body=content)


def files_of_tables(cloud) -> set[str]:
    """The files that all tables consist of."""
    pages = cloud.s3.get_paginator("list_objects_v2").paginate(
        Bucket=LAKE, Prefix="tables/"
    )
    return {found["Key"] for page in pages for found in page["Contents"]}


def copy_raw_rows(engine: AthenaEngine, on_duckdb: DuckdbEngine) -> None:
    with duckdb.connect(on_duckdb.environment["CHURN_DUCKDB_PATH"]) as connection:
        connection.execute("create schema raw")
        for table in RAW_TABLES:
            rows = engine.rows(f"select * from raw_grown.{table}")  # noqa: F841
            connection.execute(f"create table raw.{table} as select * from rows")


class InForce:
    """An engine whose tables are read without what is left of earlier runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.schema = engine.schema

    def rows(self, sql: str) -> pa.Table:
        table = sql.rpartition(".")[2]
        if table in COUNTED:
            sql += " where is_current"
        rows = self._engine.rows(sql)
        if "as_of_date" in rows.column_names:
            days = pc.day_of_week(rows["as_of_date"], count_from_zero=False)
            rows = rows.filter(pc.equal(days, MONDAY))
        return rows.drop_columns(list(SAYS_WHO_READ & {*rows.column_names}))


@pytest.mark.parametrize("table_type", FORMATS)
def test_tables_equal_those_of_a_full_refresh(grown, table_type) -> None:
    on_duckdb = DuckdbEngine if table_type == "iceberg" else DuckdbInMilliseconds
    built = Built(
        InForce(grown.engines[table_type]),
        InForce(on_duckdb(grown.folder)),
        grown.tables[table_type],
    )
    assert len(built.tables) > 12
    different = differences(built, at_once=AT_ONCE)
    assert not different, "\n".join(different)


@pytest.mark.parametrize("table_type", FORMATS)
def test_nothing_is_lost(grown, table_type) -> None:
    engine = grown.engines[table_type]
    (counts,) = engine.rows(
        "select sum(raw_records) as raw_records, sum(extra_objects) as extra_objects, "
        "sum(events) as events, sum(duplicates) as duplicates, "
        "sum(rejects) as rejects from clickstream_daily_counts"
    ).to_pylist()
    (raw,) = engine.rows("select count(*) as n from raw_grown.raw_events").to_pylist()
    assert counts["raw_records"] == raw["n"] > 0
    assert counts["rejects"] > 0
    assert counts["duplicates"] > 0
    assert (
        counts["raw_records"] + counts["extra_objects"]
        == counts["events"] + counts["duplicates"] + counts["rejects"]
    )


def test_hive_tables_keep_the_files_of_other_partitions(cloud, grown) -> None:
    """The last run has overwritten the partitions that it had rows for, only."""
    partitions = cloud.glue.get_partitions(
        DatabaseName="grown_hive", TableName="int_account_changes"
    )["Partitions"]
    are_kept = {
        cloud.s3.list_objects_v2(
            Bucket=LAKE,
            Prefix=partition["StorageDescriptor"]["Location"].split("/", 3)[3] + "/",
        )["Contents"][0]["Key"]
        in grown.files_before
        for partition in partitions
    }
    assert are_kept == {True, False}


@pytest.mark.usefixtures("grown")
def test_statements_stay_below_athenas_limit(cloud) -> None:
    longest = max(
        len(execution.sql.encode()) for execution in cloud.athena.executions.values()
    )
    assert 10_000 < longest < LONGEST_STATEMENT_BYTES


@pytest.mark.usefixtures("grown")
def test_merges_name_the_days_of_the_rows_they_replace(cloud) -> None:
    """So that Iceberg passes over the files of all others before it opens them."""
    merges = [
        execution.sql
        for execution in cloud.athena.executions.values()
        if "merge into" in execution.sql and "kept.start_date =" in execution.sql
    ]
    assert merges
    assert all("kept.start_date in (date '2025-" in merge for merge in merges)
