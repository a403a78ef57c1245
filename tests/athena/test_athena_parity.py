"""One meaning on every engine: the seeds give the same rows as on DuckDB.

All models and seeds are built on Athena, data tests and unit tests run, and every table
and view is compared row for row.
"""

from __future__ import annotations

import json

import pytest

from tests.athena.engine import AT_ONCE, AthenaEngine
from tests.support.engines import DuckdbEngine
from tests.support.parity import (
    NOT_COMPARED,
    Built,
    compare,
    differences,
    snapshot_differences,
    tables_built,
)


@pytest.fixture(scope="module")
def built(cloud, tmp_path_factory) -> Built:
    duckdb = DuckdbEngine(tmp_path_factory.mktemp("duckdb"))
    duckdb.dbt("build", "--exclude", "resource_type:test", "resource_type:unit_test")
    engine = AthenaEngine(cloud, tmp_path_factory.mktemp("athena"), "churn")
    return Built(engine, duckdb, tables_built(engine.dbt("build")))


def test_every_table_is_the_same_row_for_row(built) -> None:
    assert len(built.tables) > 50
    different = differences(built, at_once=AT_ONCE)
    assert not different, "\n".join(different)


def test_the_page_shows_the_same_from_either_engine(built) -> None:
    different = snapshot_differences(built)
    assert not different, "\n".join(different)


def test_maintenance_changes_no_row(built) -> None:
    model = "int_visitor_sessions"
    options = json.dumps({"models": [model]})
    built.engine.dbt("run-operation", "maintain_tables", "--args", options)
    assert compare(built, model) == []


def test_every_table_is_an_iceberg_table(built) -> None:
    formats = {
        table.get("Parameters", {}).get("table_type", "").upper()
        for table in built.engine.tables()
        if table["TableType"] != "VIRTUAL_VIEW"
    }
    assert formats == {"ICEBERG"}


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
    assert built.engine.relations() <= {*built.tables, *NOT_COMPARED}


def test_docs_describe_every_table(built) -> None:
    built.engine.dbt("docs", "generate", "--no-compile")
    target = built.engine.folder / "target-athena"
    assert (target / "catalog.json").stat().st_size > 10_000
