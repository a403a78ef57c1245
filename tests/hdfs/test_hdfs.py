"""Raw tables as Sqoop wrote them, on a real HDFS with a Hive metastore server.

Each raw table is partitioned by day and has another format. The Spark target builds
the project from them, with its own tables on HDFS, too, and writes scores to a Hive
table. What it builds equals what DuckDB builds from the seeds.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import DuckdbEngine, SparkEngine, stop_spark
from tests.support.hdfs import running_hdfs, running_metastore
from tests.support.parity import (
    DIFFERENT_BY_NATURE,
    SCORES,
    Built,
    differences,
    same,
    tables_built,
)
from tests.support.paths import ROOT

# The format and the column of the days, by table.
TABLES = {
    "raw_events": ("orc", "dt"),
    "raw_accounts": ("textfile", "batch_date"),
    "raw_contacts": ("orc", "batch_date"),
    "raw_invoices": ("parquet", "dt"),
    "raw_calls": ("avro", "dt"),
}
# Sqoop writes all columns as text, and the day is a part of the path.
VARIABLES: dict[str, Any] = {
    "load_demo_seeds": False,
    "raw_schema": "sqoop",
    "raw_events_columns": {"received_at": "cast(received_at as timestamp)"},
    "raw_accounts_columns": {
        "batch_date": "cast(batch_date as date)",
        "loaded_at": "cast(loaded_at as timestamp)",
    },
    "raw_contacts_columns": {
        "batch_date": "cast(batch_date as date)",
        "loaded_at": "cast(loaded_at as timestamp)",
    },
    "raw_invoices_columns": {
        "invoice_date": "cast(invoice_date as date)",
        "due_date": "cast(due_date as date)",
        "amount": "cast(amount as double)",
        "loaded_at": "cast(loaded_at as timestamp)",
    },
    "raw_calls_columns": {
        "started_at": "cast(started_at as timestamp)",
        "duration_seconds": "cast(duration_seconds as int)",
        "loaded_at": "cast(loaded_at as timestamp)",
    },
}
SEEDS = ("event_names", "offers", "products", "experiments")
# When rows of a table arrived, if not by `loaded_at`.
ARRIVED = {"raw_events": "received_at"}
# Another program, which knows only the metastore server.
PLAIN_CLIENT = """
import sys
from pyspark.sql import SparkSession
session = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .enableHiveSupport()
    .getOrCreate()
)
rows = session.table("exports.churn_scores").toJSON().collect()
print("[" + ",".join(rows) + "]", file=open(sys.argv[1], "w"))
"""


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_hdfs(tmp_path_factory.mktemp("hdfs")) as uri:
        yield uri


@pytest.fixture(scope="module")
def metastore(hdfs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_metastore(tmp_path_factory.mktemp("metastore"), hdfs) as client:
        yield client


@pytest.fixture(scope="module")
def spark(
    hdfs: str, metastore: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparkEngine]:
    """Spark with its warehouse on HDFS and its catalog on the server."""
    engine = SparkEngine(tmp_path_factory.mktemp("spark"), schema="churn")
    engine.environment |= {
        "CHURN_SPARK_WAREHOUSE": f"{hdfs}/warehouse",
        "CHURN_SPARK_HIVE_LOCKS": "true",
        "SPARK_CONF_DIR": str(metastore),
    }
    engine.session.sql("create schema if not exists sqoop")
    for table, (file_format, partition) in TABLES.items():
        write_table(engine, hdfs, table, file_format, partition)
    yield engine
    stop_spark()


@pytest.fixture(scope="module")
def built(spark: SparkEngine, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the project from the tables of Sqoop, and from the seeds on DuckDB."""
    no_tests = ("--exclude-resource-types", "test", "unit_test")
    duckdb = DuckdbEngine(tmp_path_factory.mktemp("duckdb"))
    duckdb.dbt("build", *no_tests)
    spark.dbt("seed", "--select", *SEEDS, **VARIABLES)
    return Built(spark, duckdb, tables_built(spark.dbt("run", **VARIABLES)))


def write_table(
    engine: SparkEngine, hdfs: str, table: str, file_format: str, partition: str
) -> None:
    """Write the rows of a seed as a Hive table, partitioned by day."""
    with (ROOT / f"seeds/{table}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name != partition]
    days: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        days.setdefault(
            row.get(partition) or row[ARRIVED.get(table, "loaded_at")][:10], []
        ).append(row)
    session = engine.session
    location = f"{hdfs}/user/sqoop/{table}"
    declared = ", ".join(f"`{name}` string" for name in columns)
    layout = (
        "row format delimited fields terminated by '\\001' "
        if file_format == "textfile"
        else ""
    )
    session.sql(
        f"create external table sqoop.{table} ({declared}) "
        f"partitioned by ({partition} string) {layout}"
        f"stored as {file_format} location '{location}'"
    )
    if file_format == "textfile":
        for day, of_day in days.items():
            path = f"{location}/{partition}={day}/part-m-00000"
            write_text(session, path, of_day, columns)
    else:
        # Formats that only programs write.
        frame = session.createDataFrame(
            [
                (*(row[name] or None for name in columns), day)
                for day, of_day in days.items()
                for row in of_day
            ],
            ", ".join(f"`{name}` string" for name in (*columns, partition)),
        )
        frame.coalesce(1).createOrReplaceTempView("rows_of_table")
        session.sql("set hive.exec.dynamic.partition.mode = nonstrict")
        session.sql("set hive.exec.max.dynamic.partitions = 10000")
        session.sql(
            f"insert into sqoop.{table} partition ({partition}) "
            "select * from rows_of_table"
        )
    session.sql(f"msck repair table sqoop.{table}")


def write_text(
    session: Any, path: str, rows: list[dict[str, str]], columns: list[str]
) -> None:
    r"""Write a file as Sqoop does: fields end with ``\x01``, null is ``\N``."""
    text = "".join(
        "\x01".join(row[name] or r"\N" for name in columns) + "\n" for row in rows
    )
    java = session._jvm
    target = java.org.apache.hadoop.fs.Path(path)
    files = target.getFileSystem(session._jsc.hadoopConfiguration())
    stream = files.create(target)
    stream.write(bytearray(text.encode()))
    stream.close()


def test_every_table_equals_duckdb_row_for_row(built: Built) -> None:
    assert len(built.tables) > 50
    different = differences(built)
    assert not different, "\n".join(different)


def test_tables_are_on_hdfs(built: Built, hdfs: str) -> None:
    assert isinstance(built.engine, SparkEngine)
    for table in ("stg_clickstream__events", "churn_scores"):
        described = built.engine.rows(
            f"describe formatted {built.engine.relation(table)}"
        ).to_pylist()
        (location,) = (
            row["data_type"] for row in described if row["col_name"] == "Location"
        )
        assert location.startswith(hdfs)


def test_scores_are_written_back_to_hive(
    built: Built, metastore: Path, tmp_path: Path
) -> None:
    """A client without Iceberg reads them through the metastore server."""
    assert isinstance(built.engine, SparkEngine)
    session = built.engine.session
    session.sql("create schema if not exists exports")
    session.sql(
        "create table exports.churn_scores stored as orc as "
        f"select * from {built.engine.relation('churn_scores')}"
    )
    path = tmp_path / "scores.json"
    subprocess.run(
        [sys.executable, "-c", PLAIN_CLIENT, path],
        cwd=tmp_path,
        env={**os.environ, "SPARK_CONF_DIR": str(metastore)},
        check=True,
    )
    found = {row["account_id"]: row for row in json.loads(path.read_text())}
    expected = built.duckdb.rows("select * from churn_scores").to_pylist()
    assert found.keys() == {row["account_id"] for row in expected}
    for row in expected:
        # JSON has texts for dates, and no key for null.
        read = found[row["account_id"]]
        for name, value in row.items():
            if name in DIFFERENT_BY_NATURE or name.endswith("_through"):
                continue
            value = str(value) if hasattr(value, "isoformat") else value
            assert same(read.get(name), value, SCORES), (name, read.get(name), value)
