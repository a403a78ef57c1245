"""One meaning on every engine: the seeds give the same rows as on DuckDB.

All models and seeds are built on Athena, in both table formats, and every table and
view is compared row for row; with Iceberg tables, data tests and unit tests run too.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from engine import AT_ONCE, AthenaEngine
from engines import DuckdbEngine, Engine
from parity import Built, differences, tables_built

FORMATS = ["iceberg", "hive"]


class DuckdbInMilliseconds(DuckdbEngine):
    """DuckDB, read as Hive tables of Athena store it: finer times are cut."""

    def rows(self, sql: str) -> pa.Table:
        table = super().rows(sql)
        for number, field in enumerate(table.schema):
            if pa.types.is_timestamp(field.type):
                cut = pc.floor_temporal(table.column(number), unit="millisecond")
                table = table.set_column(number, field, cut)
        return table


@pytest.fixture(scope="module")
def on_duckdb(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("duckdb")
    DuckdbEngine(folder).dbt(
        "build", "--exclude", "resource_type:test", "resource_type:unit_test"
    )
    return folder


@pytest.fixture(scope="module", params=FORMATS)
def built(request, cloud, on_duckdb, tmp_path_factory) -> Built:
    table_type = request.param
    duckdb: Engine = (
        DuckdbEngine(on_duckdb)
        if table_type == "iceberg"
        else DuckdbInMilliseconds(on_duckdb)
    )
    engine = AthenaEngine(
        cloud, tmp_path_factory.mktemp(table_type), table_type, f"churn_{table_type}"
    )
    # What tests ask does not depend on how the same rows are stored.
    left_out = ["--exclude", "resource_type:test", "resource_type:unit_test"]
    result = engine.dbt("build", *([] if table_type == "iceberg" else left_out))
    return Built(engine, duckdb, tables_built(result))


def test_every_table_is_the_same_row_for_row(built) -> None:
    assert len(built.tables) > 50
    different = differences(built, at_once=AT_ONCE)
    assert not different, "\n".join(different)


def test_tables_have_the_format_that_was_asked_for(cloud, built) -> None:
    pages = cloud.glue.get_paginator("get_tables").paginate(
        DatabaseName=built.engine.schema
    )
    tables = [table for page in pages for table in page["TableList"]]
    are_iceberg = {
        table.get("Parameters", {}).get("table_type", "").upper() == "ICEBERG"
        for table in tables
        if table["TableType"] != "VIRTUAL_VIEW"
    }
    assert are_iceberg == {built.engine.table_type == "iceberg"}


def test_nothing_that_was_staged_is_left(cloud, built) -> None:
    """Unloaded rows, staged results and CSV files are gone, and their tables."""
    left = [
        found["Key"]
        for bucket, part in (("athena-results", "unloaded/"), ("lake", "__staged/"))
        for page in cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for found in page.get("Contents", [])
        if part in found["Key"]
    ]
    assert not left
    names = {
        table["Name"]
        for page in cloud.glue.get_paginator("get_tables").paginate(
            DatabaseName=built.engine.schema
        )
        for table in page["TableList"]
    }
    assert not {
        name
        for name in names
        if name.endswith(("__staged", "__csv", "__dbt_tmp", "__dbt_rows"))
    }


def test_docs_describe_every_table(built) -> None:
    if built.engine.table_type == "hive":
        return
    built.engine.dbt("docs", "generate", "--no-compile")
    target = built.engine.folder / "target-athena"
    assert (target / "catalog.json").stat().st_size > 10_000
