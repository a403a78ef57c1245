"""Build files of records on a Spark cluster: the driver of `benchmarks.scale`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from dbt.cli.main import dbtRunner

from benchmarks.running import ROOT
from benchmarks.scale import MODEL, SEEDS


def main(files: Path, result: Path) -> None:
    """Read a folder of files through a view, build it, and write the seconds."""
    options = [
        *("--quiet", "--target", "spark", "--profiles-dir", str(ROOT)),
        *("--project-dir", str(ROOT), "--vars", '{"load_demo_seeds": false}'),
        *("--target-path", str(result.parent / "target")),
        *("--log-path", str(result.parent / "logs")),
    ]
    _run("compile", "--inline", "select 1", *options)
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    spark.sql("create schema if not exists raw")
    spark.sql(
        "create view raw.raw_events as select value as payload, "
        "_metadata.file_modification_time as received_at, "
        f"_metadata.file_path as source_file from text.`file://{files}`"
    )
    _run("seed", "--select", *SEEDS, *options)
    started = time.perf_counter()
    _run("run", "--select", f"+{MODEL}", *options)
    seconds = time.perf_counter() - started
    spark.stop()
    result.write_text(json.dumps({"seconds": seconds}))


def _run(*arguments: str) -> None:
    outcome = dbtRunner().invoke(list(arguments))
    if not outcome.success:
        raise SystemExit(f"dbt {arguments[0]} failed: {outcome.exception or ''}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
