"""Incremental runs on Athena end where a full refresh would: rules R1, R3 and R4.

A company's files land in S3 in three parts, late and repeated ones among them, and
dbt runs after each; one more run is killed. What the tables then hold is compared,
row for row, with tables that DuckDB makes of all raw rows at once.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.athena.engine import AT_ONCE, AthenaEngine
from tests.athena.landing import make_landing_zone, upload
from tests.athena_local.statements import LONGEST_STATEMENT_BYTES
from tests.support.engines import DuckdbEngine, Engine
from tests.support.parity import NOT_COMPARED, Built, differences, tables_built

DAYS = 32
# Models that are built in each run. Other tables are not compared.
SELECTED = [
    "+clickstream_daily_counts",
    "+late_arrivals",
    "+churn_labels",
    "+int_visitor_categories_daily",
    "+clickstream_field_profile",
    "+int_account_features",
]
# A setting of the second run that rejects more records. The third run reprocesses
# them, and its tables must not show the difference.
STRICTER = {"earliest_plausible_date": "2025-01-20"}
# Statements before which a run is killed: rows are deleted, and not yet inserted.
KILLED_BEFORE = [
    r'insert into "awsdatacatalog"\."grown_intermediate"\."int_account_changes" ',
    r'merge into "awsdatacatalog"\."grown_intermediate"\."int_visitor_activity_daily" ',
]
# A table that a killed run left under another name.
RENAMED = "int_as_of_dates"
RAW_TABLES = ["raw_events", "raw_accounts", "raw_contacts", "raw_invoices", "raw_calls"]
PARTS = {
    "first": lambda day: day <= "2025-01-24",
    "second": lambda day: "2025-01-25" <= day <= "2025-01-30",
    "third": lambda day: day > "2025-01-30",
}
SEEDS = ("--select", "event_names", "offers", "products")
VARIABLES = {"load_demo_seeds": False, "raw_schema": "raw_grown"}
# Tables with superseded versions, which are not compared.
COUNTED = {
    "base_clickstream__event_versions",
    "stg_clickstream__event_versions",
    "int_visitor_sessions",
}
# Features of other dates remain if such a date was the latest in an earlier run.
MONDAY = 1
# Columns that say how a row came about. Files without rejects keep the version of the
# field mapping that parsed them. A full refresh writes no superseded versions.
SAYS_WHO_READ = {"field_mapping_version", "version_number"}


@dataclass
class Grown:
    """Tables that grew over several runs, and the same made at once on DuckDB."""

    engine: AthenaEngine
    folder: Path
    tables: list[str]


@pytest.fixture(scope="module")
def grown(cloud, tmp_path_factory) -> Grown:
    folder = tmp_path_factory.mktemp("grown")
    zone = make_landing_zone(folder / "zone", accounts=12, days=DAYS)
    engine = AthenaEngine(cloud, folder, "grown")
    run = ("run", "--select", *SELECTED)
    for part, takes in PARTS.items():
        assert upload(cloud, zone, "landing", takes)
        if part == "first":
            create_raw_tables(engine)
            engine.dbt("seed", *SEEDS, **VARIABLES)
        if part == "third":
            deliver_again(cloud, "2025-01-12")
            with engine.killed_before(*KILLED_BEFORE) as killed:
                engine.dbt(*run, check=False, **VARIABLES)
            assert len(killed) == len(KILLED_BEFORE)
            engine.rename_to_backup(RENAMED)
        stricter = STRICTER if part == "second" else {}
        result = engine.dbt(*run, **VARIABLES, **stricter)
    on_duckdb = DuckdbEngine(folder)
    copy_raw_rows(engine, on_duckdb)
    on_duckdb.dbt("seed", *SEEDS, load_demo_seeds=False)
    on_duckdb.dbt(*run, load_demo_seeds=False)
    return Grown(engine, folder, tables_built(result))


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
        self.relation = engine.relation

    def rows(self, sql: str) -> pa.Table:
        table = sql.rpartition(".")[2]
        if table in COUNTED:
            sql += " where is_current"
        rows = self._engine.rows(sql)
        if "as_of_date" in rows.column_names:
            days = pc.day_of_week(rows["as_of_date"], count_from_zero=False)
            rows = rows.filter(pc.equal(days, MONDAY))
        return rows.drop_columns(list(SAYS_WHO_READ & {*rows.column_names}))


def test_tables_equal_those_of_a_full_refresh(grown) -> None:
    built = Built(
        InForce(grown.engine), InForce(DuckdbEngine(grown.folder)), grown.tables
    )
    assert len(built.tables) > 12
    different = differences(built, at_once=AT_ONCE)
    assert not different, "\n".join(different)


def test_nothing_of_a_killed_run_is_left(grown) -> None:
    known = {*grown.tables, *NOT_COMPARED, *SEEDS[1:]}
    assert grown.engine.relations() <= known
    assert RENAMED in grown.engine.relations()


def test_nothing_is_lost(grown) -> None:
    engine = grown.engine
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
        if "merge into" in execution.sql and "target.start_date =" in execution.sql
    ]
    assert merges
    unlisted = [
        merge
        for merge in merges
        if not re.search(r"target\.start_date in \(date '20\d\d-|and false", merge)
    ]
    assert not unlisted, unlisted[0]
