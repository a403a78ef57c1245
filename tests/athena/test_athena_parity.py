"""One meaning on every engine: the seeds give the same rows as on DuckDB.

All models and seeds are built on Athena, data tests and unit tests run, and every table
and view is compared row for row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.athena.engine import AT_ONCE, AthenaEngine
from tests.support.engines import DuckdbEngine
from tests.support.forgotten import CONSERVATION, PLANTED_FILE, check_forgotten
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


@pytest.mark.long
def test_a_forgotten_user_is_in_no_relation_and_no_file(cloud, built) -> None:
    """The last test of this file, because it changes the tables."""
    engine = built.engine
    relations = [
        f"{table['DatabaseName']}.{table['Name']}"
        for table in engine.tables(f"{engine.schema}_", "raw_")
    ]

    def files() -> Iterator[tuple[str, bytes]]:
        # Other tests have databases of their own.
        own = ("/churn/", "/churn_", "/raw/", "/unloaded/", "/staged/")
        for page in cloud.s3.get_paginator("list_objects_v2").paginate(Bucket="lake"):
            for found in page.get("Contents", []):
                key = found["Key"]
                if any(part in f"/{key}" for part in own):
                    content = cloud.s3.get_object(Bucket="lake", Key=key)["Body"]
                    yield key, content.read()

    check_forgotten(engine, relations, files)


@pytest.mark.long
def test_expired_records_are_counted(built) -> None:
    """After the test before, because it deletes raw records."""
    engine = built.engine
    # Nothing has processed what the test before has planted.
    engine.execute(f"delete from raw.raw_events where source_file = '{PLANTED_FILE}'")
    kept = {"raw_days_kept": 3, "staging_text_days_kept": 3}

    def count(table: str, column: str = "1") -> int:
        rows = engine.rows(f"select count({column}) as number from {table}")
        return rows.to_pylist()[0]["number"]

    texts = engine.relation("base_clickstream__repaired_json")
    before = count("raw.raw_events"), count(texts), count(texts, "received_text")
    engine.dbt("run-operation", "delete_expired", **kept)
    expired = engine.rows(
        "select sum(count_expired_records) as number "
        f"from {engine.relation('base_clickstream__files')}"
    ).to_pylist()[0]["number"]
    after = count("raw.raw_events"), count(texts), count(texts, "received_text")
    assert 0 < after[0] < before[0]
    assert after[1] == before[1]
    assert after[2] < before[2]
    engine.dbt("test", "--select", *CONSERVATION, **kept)
    assert expired > 0
