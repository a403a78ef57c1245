"""Benchmarks on Spark: ``python -m benchmarks.spark``: the seeds, and flattening.

The floor of flattening is a job written by hand: one `from_json` with a schema of the
field mapping's paths, the first value of each column, written to Parquet. The project
also converts types, validates and quarantines every record, and writes an Iceberg table
that is partitioned by month. Both run alternately in one session.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clickstream import mapped_columns, write_records
from benchmarks.jobs import nested_fields, spark_schema, steps_of
from benchmarks.running import ROOT

TABLE = "base_clickstream__parsed_records"


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds, and CPU seconds of all threads of Spark's process."""

    seconds: float
    cpu_seconds: float


def main() -> None:
    """Run and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-seeds", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if not options.without_seeds:
            build_seeds(Path(name) / "seeds")
        flatten(Path(name) / "flattening", options.records, options.repeats)


def build_seeds(folder: Path) -> None:
    """Measure `dbt build` of the seeds, and the statements that Spark runs."""
    folder.mkdir()
    started = time.perf_counter()
    subprocess.run(
        [str(Path(sys.executable).parent / "dbt"), "build", *_options(folder)],
        env={**os.environ, **_environment(folder)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    results = json.loads((folder / "target" / "run_results.json").read_text())
    statements = [
        float(seconds)
        for seconds in re.findall(
            r"SQL status: OK in ([0-9.]+) seconds",
            (folder / "logs" / "dbt.log").read_text(),
        )
    ]
    print(f"build of the seeds                  {seconds:8.1f} s (bound 240)")
    print(f"  first statement, Spark's start    {statements[0]:8.1f} s")
    print(f"  {len(results['results']):4} nodes, {len(statements):4} statements")
    print(f"  a statement, median               {statistics.median(statements):8.2f} s")


def flatten(folder: Path, records: int, repeats: int) -> None:
    """Flatten records with the project's SQL, and with the job written by hand."""
    folder.mkdir()
    os.environ.update(_environment(folder))
    lines = folder / "records.jsonl"
    write_records(lines, records)

    started = time.perf_counter()
    query = _compiled(folder)
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    spark.sql("select 1").collect()
    print(f"dbt's and Spark's start, and a query{time.perf_counter() - started:8.1f} s")
    statement = statistics.median(
        _cost(spark, lambda: spark.sql("select 1").collect()).seconds for _ in range(50)
    )
    print(f"a statement that does nothing       {statement * 1000:8.1f} ms")

    spark.sql("create schema if not exists raw")
    spark.read.text(str(lines)).createOrReplaceTempView("lines")
    spark.sql(
        "create table raw.raw_events using parquet as select value as payload, "
        "timestamp '2025-03-02 00:00:00' as received_at, "
        "'records.jsonl' as source_file from lines"
    )
    by_hand = _by_hand(folder)

    def write(sql: str, name: str, stored: str) -> Callable[[], Any]:
        def run() -> None:
            spark.sql(f"drop table if exists {name} purge")
            spark.sql(f"create table {name} using {stored} as {sql}")

        return run

    iceberg = "iceberg partitioned by (month(received_at))"

    floors, runs = [], []
    for _ in range(repeats):
        floors.append(_cost(spark, write(by_hand, "by_hand", "parquet")))
        runs.append(_cost(spark, write(query, "flattened", iceberg)))
    floor = min(floors, key=lambda cost: cost.seconds)
    run = min(runs, key=lambda cost: cost.seconds)
    print(f"\n{records:,} records     {'seconds':>10}{'CPU s':>10}")
    print(f"by hand, `from_json`{floor.seconds:10.1f}{floor.cpu_seconds:10.1f}")
    print(f"flattening          {run.seconds:10.1f}{run.cpu_seconds:10.1f}")
    print(
        f"ratio (bound 1.5)   {run.seconds / floor.seconds:10.2f}"
        f"{run.cpu_seconds / max(floor.cpu_seconds, 0.01):10.2f}"
    )


def _cost(spark: Any, action: Callable[[], Any]) -> Cost:
    """Measure an action in Spark's own process."""
    process = spark._jvm.java.lang.ProcessHandle.current()

    def cpu() -> float:
        return process.info().totalCpuDuration().get().toMillis() / 1000

    started, cpu_started = time.perf_counter(), cpu()
    action()
    return Cost(time.perf_counter() - started, cpu() - cpu_started)


def _by_hand(folder: Path) -> str:
    """Return the query of the job written by hand."""
    columns = {
        name: [steps_of(path) for path in paths]
        for name, paths in mapped_columns(folder / "target").items()
    }
    # A field that is an object in some records is read as an object.
    tree = nested_fields(steps for paths in columns.values() for steps in paths)

    def is_scalar(steps: list[str]) -> bool:
        node = tree
        for step in steps:
            node = node[step]
        return not node

    selected = ", ".join(
        "coalesce("
        + ", ".join(
            "record." + ".".join(f"`{step}`" for step in steps)
            for steps in paths
            if is_scalar(steps)
        )
        + f") as {name}"
        for name, paths in columns.items()
    )
    return (
        f"select {selected}, received_at, source_file from (select received_at, "
        f"source_file, from_json(payload, '{spark_schema(tree)}') as record "
        "from raw.raw_events)"
    )


def _compiled(folder: Path) -> str:
    from dbt.cli.main import dbtRunner

    result = dbtRunner().invoke(
        ["compile", "--quiet", "--select", TABLE, *_options(folder)]
    )
    if not result.success:
        raise RuntimeError(f"dbt could not compile {TABLE}: {result.exception}")
    return next(
        each.node.compiled_code
        for each in result.result.results
        if each.node.name == TABLE
    )


def _options(folder: Path) -> list[str]:
    return [
        *("--target", "spark", "--target-path", str(folder / "target")),
        *("--log-path", str(folder / "logs")),
        *("--project-dir", str(ROOT), "--profiles-dir", str(ROOT)),
    ]


def _environment(folder: Path) -> dict[str, str]:
    return {
        "CHURN_SPARK_MASTER": "local[2]",
        "CHURN_SPARK_WAREHOUSE": str(folder / "warehouse"),
        "CHURN_SPARK_METASTORE": str(folder / "metastore"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


if __name__ == "__main__":
    main()
