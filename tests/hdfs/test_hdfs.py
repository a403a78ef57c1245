"""Raw tables as Sqoop wrote them, on a real HDFS with a Hive metastore.

Each raw table is partitioned by day and has another format. The Spark target reads
them, and its own tables are there, too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.engines import DuckdbEngine, SparkEngine, stop_spark
from tests.support.hdfs import running_hdfs
from tests.support.parity import Built, compare
from tests.support.paths import ROOT

# The format and the column of the days, by table.
TABLES = {
    "raw_accounts": ("textfile", "batch_date"),
    "raw_contacts": ("orc", "batch_date"),
    "raw_invoices": ("parquet", "dt"),
    "raw_calls": ("avro", "dt"),
}
MODELS = (
    *("stg_salesforce__accounts", "stg_salesforce__contacts"),
    *("stg_billing__invoices", "stg_support__calls"),
)
# Sqoop writes all columns as text, and the day is a part of the path.
VARIABLES: dict[str, Any] = {
    "load_demo_seeds": False,
    "raw_schema": "sqoop",
    **{
        f"{table}_columns": {"loaded_at": "cast(loaded_at as timestamp)"}
        for table in ("raw_accounts", "raw_contacts", "raw_invoices", "raw_calls")
    },
}
VARIABLES["raw_accounts_columns"]["batch_date"] = "cast(batch_date as date)"
VARIABLES["raw_contacts_columns"]["batch_date"] = "cast(batch_date as date)"
VARIABLES["raw_invoices_columns"] |= {
    "invoice_date": "cast(invoice_date as date)",
    "due_date": "cast(due_date as date)",
    "amount": "cast(amount as double)",
}
VARIABLES["raw_calls_columns"] |= {
    "started_at": "cast(started_at as timestamp)",
    "duration_seconds": "cast(duration_seconds as int)",
}


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_hdfs(tmp_path_factory.mktemp("hdfs")) as uri:
        yield uri


@pytest.fixture(scope="module")
def spark(hdfs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    """Spark with its warehouse on HDFS, and the raw tables."""
    engine = SparkEngine(tmp_path_factory.mktemp("spark"))
    engine.environment["CHURN_SPARK_WAREHOUSE"] = f"{hdfs}/warehouse"
    engine.session.sql("create schema if not exists sqoop")
    for table, (file_format, partition) in TABLES.items():
        write_table(engine, hdfs, table, file_format, partition)
    yield engine
    stop_spark()


def write_table(
    engine: SparkEngine, hdfs: str, table: str, file_format: str, partition: str
) -> None:
    """Write the rows of a seed as a Hive table, partitioned by day."""
    with (ROOT / f"seeds/{table}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name != partition]
    days: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        days.setdefault(row.get(partition) or row["loaded_at"][:10], []).append(row)
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


@pytest.fixture(scope="module")
def duckdb(tmp_path_factory: pytest.TempPathFactory) -> DuckdbEngine:
    engine = DuckdbEngine(tmp_path_factory.mktemp("duckdb"))
    engine.dbt("seed")
    return engine


def select(*models: str) -> list[str]:
    return ["--select", *(f"+{model}" for model in models)]


def test_staging_reads_every_format(spark: SparkEngine, duckdb: DuckdbEngine) -> None:
    spark.dbt("run", *select(*MODELS), **VARIABLES)
    duckdb.dbt("run", *select(*MODELS))
    for model in MODELS:
        assert compare(Built(spark, duckdb, []), model) == []


def test_tables_are_on_hdfs(spark: SparkEngine, hdfs: str) -> None:
    """Tables of models and a Hive table that other programs read."""
    model = spark.relation("stg_salesforce__accounts")
    spark.session.sql(
        f"create table sqoop.written stored as orc as select * from {model}"
    )
    described = spark.rows("describe formatted sqoop.written").to_pylist()
    (location,) = (
        row["data_type"] for row in described if row["col_name"] == "Location"
    )
    assert location.startswith(hdfs)
    counts = spark.rows(
        f"select (select count(*) from {model}), (select count(*) from sqoop.written)"
    ).to_pylist()[0]
    assert len(set(counts.values())) == 1
