"""Incremental runs on Spark, with a killed one in between, equal those of DuckDB.

On both engines the project is run on the first part of the seeds' records, and then
on all of them: in the second run every incremental model takes what has arrived. In
between, Spark's tables are left as killed runs leave them. That DuckDB's incremental
tables equal a full refresh is tested elsewhere; so those of Spark do.
"""

from __future__ import annotations

import pytest
from engines import DuckdbEngine, Engine, SparkEngine, stop_spark
from test_parity import NOT_COMPARED, Built, compare

# When a record of each raw table arrived.
ARRIVED = {
    "raw_events": "received_at",
    "raw_accounts": "loaded_at",
    "raw_contacts": "loaded_at",
    "raw_invoices": "loaded_at",
    "raw_calls": "loaded_at",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    folder = tmp_path_factory.mktemp("incremental")
    duckdb, spark = DuckdbEngine(folder), SparkEngine(folder, schema="churn")
    duckdb.dbt("seed")
    halfway = first_part_ends_at(duckdb)
    spark.dbt("seed")
    for engine in (duckdb, spark):
        for table, arrived_at in ARRIVED.items():
            engine.keep_rows(f"raw.{table}", f"{arrived_at} < {halfway}")
        engine.dbt("run")
    spark.leave_interrupted()
    for engine in (duckdb, spark):
        engine.dbt("seed")
        result = engine.dbt("run")
    nodes = [outcome.node for outcome in result.result.results]
    tables = [
        node.alias
        for node in nodes
        if node.resource_type == "model" and node.alias not in NOT_COMPARED
    ]
    yield Built(spark, duckdb, sorted(tables))
    stop_spark()


def first_part_ends_at(engine: Engine) -> str:
    """A moment by which two thirds of the CRM's batches had arrived, as SQL."""
    moments = engine.rows("select distinct loaded_at from raw.raw_accounts order by 1")
    moments = moments.column("loaded_at").to_pylist()
    return f"cast('{moments[len(moments) * 2 // 3]}' as timestamp)"


def test_nothing_of_an_interrupted_run_is_left(built) -> None:
    assert built.engine.work_tables() == []


def test_every_table_is_the_same_row_for_row(built) -> None:
    differences = []
    for table in built.tables:
        differences += compare(built, table)
    assert built.tables
    assert not differences, "\n".join(differences)
