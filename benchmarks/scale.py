"""How the time from raw files to sessions grows with the input.

DuckDB builds more and more records. Then it builds as many records in less favourable
forms: a visitor with a tenth of all events, many small files, and a field mapping of
100 columns and 300 paths. Spark does the same on a standalone cluster of one and of two
workers with a core each, all on this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.clickstream import write_records
from benchmarks.running import ROOT, THREADS, DbtRun, run_command, run_dbt

RECORDS_PER_FILE = 250_000
# Each visitor has as many events, however many records there are.
EVENTS_PER_VISITOR = 200
RECEIVED_AT = 1740873600
MODEL = "int_visitor_sessions"
SEEDS = ("event_names", "offers", "products")
MAPPING = "models/staging/clickstream/base/base_clickstream__parsed_records.yml"
# What dbt reads of the project.
PROJECT_PARTS = ("models", "python_models", "macros", "seeds", "tests")


@dataclass(frozen=True)
class Growth:
    """A build of some records on DuckDB.

    Attributes:
        name: What was built.
        records: Number of records.
        run: Its measurements.
        stored_bytes: Size of the database.
    """

    name: str
    records: int
    run: DbtRun
    stored_bytes: int

    @property
    def seconds_per_million(self) -> float:
        """Return wall-clock seconds per million records."""
        return self.run.seconds / self.records * 1e6

    @property
    def cpu_per_million(self) -> float:
        """Return CPU seconds per million records."""
        return self.run.cpu_seconds / self.records * 1e6


@dataclass(frozen=True)
class ClusterRun:
    """A build of some records on a Spark cluster.

    Attributes:
        name: What was built.
        records: Number of records.
        workers: Number of workers, each with one core.
        seconds: Wall-clock seconds of `dbt run`, without Spark's start.
        task_seconds: Wall-clock seconds of all tasks.
        cpu_seconds: CPU seconds of all tasks, in the Java process.
        peak_bytes: Peak memory of an executor, with its Python processes.
        shuffled_bytes: Bytes that tasks wrote for other tasks.
        written_bytes: Bytes that tasks wrote to tables.
        failed_tasks: Number of tasks that failed and were repeated.
    """

    name: str
    records: int
    workers: int
    seconds: float
    task_seconds: float
    cpu_seconds: float
    peak_bytes: int
    shuffled_bytes: int
    written_bytes: int
    failed_tasks: int


def write_files(
    folder: Path,
    records: int,
    records_per_file: int = RECORDS_PER_FILE,
    skewed_percent: int = 0,
) -> str:
    """Write compressed files of records and return the glob that matches them."""
    folder.mkdir(parents=True)
    for number, first in enumerate(range(0, records, records_per_file)):
        path = folder / f"part-{number:06}.jsonl.gz"
        write_records(
            path,
            min(records_per_file, records - first),
            repeated_percent=1,
            first=first,
            total=records,
            skewed_percent=skewed_percent,
            visitors=max(records // EVENTS_PER_VISITOR, 100),
        )
        os.utime(path, (RECEIVED_AT, RECEIVED_AT))
    return str(folder / "*.jsonl.gz")


def wide_project(folder: Path, columns: int, paths: int) -> Path:
    """Copy the dbt project, with more columns in its field mapping.

    Args:
        folder: Folder to create.
        columns: Number of columns of the field mapping.
        paths: Number of JSON paths of all columns.
    """
    for name in PROJECT_PARTS:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "dbt_project.yml", folder)
    mapping = yaml.safe_load((ROOT / MAPPING).read_text())
    listed = mapping["models"][0]["columns"]
    mapped = [
        column["config"]["meta"]["json_paths"]
        for column in listed
        if column.get("config", {}).get("meta", {}).get("json_paths")
    ]
    added = columns - len(mapped)
    left = paths - sum(map(len, mapped))
    for number in range(added):
        share = left // added + (number < left % added)
        listed.append(
            {
                "name": f"extra_{number}",
                "description": "A field of the benchmark.",
                "data_type": "varchar",
                "config": {
                    "meta": {
                        "json_paths": [
                            f"$.extra_{number}.from_{each}" for each in range(share)
                        ]
                    }
                },
            }
        )
    (folder / MAPPING).write_text(yaml.safe_dump(mapping, sort_keys=False))
    return folder


def build(
    folder: Path,
    pattern: str,
    records: int,
    name: str,
    project: Path = ROOT,
    memory: str | None = None,
) -> Growth:
    """Build files of records up to sessions, on DuckDB, in a new database."""
    folder.mkdir()
    try:
        run_dbt(
            folder,
            "seed",
            "--select",
            *SEEDS,
            project=project,
            raw_event_files=pattern,
        )
        run = run_dbt(
            folder,
            "run",
            f"--threads={THREADS}",
            f"--select=+{MODEL}",
            memory=memory,
            project=project,
            raw_event_files=pattern,
        )
        stored = (folder / "bench.duckdb").stat().st_size
    finally:
        shutil.rmtree(folder)
    return Growth(name, records, run, stored)


def measure_growth(
    sizes: Sequence[int], scratch: Path | None, memory: str | None
) -> Iterator[Growth]:
    """Build each number of records on DuckDB."""
    for records in sizes:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            folder = Path(name)
            pattern = write_files(folder / "files", records)
            yield build(
                folder / "db", pattern, records, f"{records:,} records", memory=memory
            )


def measure_forms(records: int, scratch: Path | None) -> Iterator[Growth]:
    """Build as many records in other forms on DuckDB; the first is the usual one."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        even = write_files(folder / "even", records)
        skewed = write_files(folder / "skewed", records, skewed_percent=10)
        small = write_files(folder / "small", records, records_per_file=1_000)
        wide = [
            (columns, paths, wide_project(folder / f"wide-{columns}", columns, paths))
            for columns, paths in ((50, 150), (100, 300))
        ]
        database = folder / "db"
        yield build(database, even, records, "evenly distributed")
        yield build(database, skewed, records, "a visitor with a tenth of all")
        yield build(database, small, records, "files of 1,000 records")
        for columns, paths, project in wide:
            title = f"mapping of {columns} columns, {paths} paths"
            yield build(database, even, records, title, project)


def measure_cluster(
    sizes: Sequence[int], workers: Sequence[int], scratch: Path | None
) -> Iterator[ClusterRun]:
    """Build each number of records on clusters of some numbers of workers.

    The smallest number is also built with a visitor who has a tenth of all events.
    """
    for records in sizes:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            folder = Path(name)
            write_files(folder / "files", records)
            for number in workers:
                yield _on_cluster(folder, "files", records, number)
            if records == min(sizes):
                write_files(folder / "skewed", records, skewed_percent=10)
                yield _on_cluster(folder, "skewed", records, max(workers))


def _on_cluster(folder: Path, files: str, records: int, workers: int) -> ClusterRun:
    # The cluster is that of the tests.
    from tests.cluster.standalone import Cluster

    place = folder / f"{files}-{workers}"
    settings, events = place / "conf", place / "events"
    for each in (settings, events):
        each.mkdir(parents=True)
    (settings / "spark-defaults.conf").write_text(
        "spark.eventLog.enabled true\n"
        f"spark.eventLog.dir file://{events}\n"
        "spark.eventLog.rolling.enabled false\n"
        "spark.eventLog.compress false\n"
        "spark.eventLog.logStageExecutorMetrics true\n"
        "spark.executor.processTreeMetrics.enabled true\n"
        "spark.executor.memory 2g\n"
        "spark.executor.cores 1\n"
        "spark.scheduler.minRegisteredResourcesRatio 1.0\n"
        "spark.driver.host 127.0.0.1\n"
    )
    result, errors = place / "result.json", place / "errors.txt"
    with (
        Cluster(place / "cluster", workers=workers, megabytes=4096) as cluster,
        errors.open("w") as output,
    ):
        run = run_command(
            [sys.executable, "-m", "benchmarks.cluster_job", folder / files, result],
            {
                "CHURN_SPARK_MASTER": cluster.url,
                "CHURN_SPARK_WAREHOUSE": str(place / "warehouse"),
                "CHURN_SPARK_METASTORE": str(place / "metastore"),
                "CHURN_SPARK_SHUFFLE_PARTITIONS": "8",
                "SPARK_CONF_DIR": str(settings),
                "PYSPARK_PYTHON": sys.executable,
            },
            stdout=output,
            stderr=output,
        )
    if run.status:
        raise RuntimeError("".join(errors.read_text().splitlines(True)[-40:]))
    seconds = json.loads(result.read_text())["seconds"]
    (log,) = (
        path for path in events.rglob("*") if path.is_file() and path.stat().st_size
    )
    shutil.rmtree(place / "warehouse")
    return ClusterRun(
        "a visitor with a tenth of all" if files == "skewed" else "evenly distributed",
        records,
        workers,
        seconds,
        **task_totals(log),
    )


def task_totals(log: Path) -> dict[str, float | int]:
    """Add up the metrics of all tasks in an event log of Spark.

    See https://spark.apache.org/docs/latest/monitoring.html for their meaning.
    """
    totals: dict[str, float | int] = dict.fromkeys(
        ("task_seconds", "cpu_seconds"), 0.0
    ) | dict.fromkeys(
        ("peak_bytes", "shuffled_bytes", "written_bytes", "failed_tasks"), 0
    )
    with log.open() as lines:
        for line in lines:
            event = json.loads(line)
            if event["Event"] == "SparkListenerTaskEnd":
                totals["failed_tasks"] += (
                    event["Task End Reason"]["Reason"] != "Success"
                )
                metrics = event.get("Task Metrics")
                if not metrics:
                    continue
                totals["task_seconds"] += metrics["Executor Run Time"] / 1e3
                totals["cpu_seconds"] += metrics["Executor CPU Time"] / 1e9
                shuffle = metrics["Shuffle Write Metrics"]
                totals["shuffled_bytes"] += shuffle["Shuffle Bytes Written"]
                totals["written_bytes"] += metrics["Output Metrics"]["Bytes Written"]
            elif event["Event"] == "SparkListenerStageExecutorMetrics":
                if event["Executor ID"] == "driver":
                    continue
                peaks = event["Executor Metrics"]
                totals["peak_bytes"] = max(
                    totals["peak_bytes"],
                    peaks["ProcessTreeJVMRSSMemory"]
                    + peaks["ProcessTreePythonRSSMemory"],
                )
    return totals


def parallel_fraction(one: float, two: float) -> float:
    """Return the parallel part of the work, from the seconds of one and two workers.

    By Amdahl's law (AFIPS 1967): ``two = one * (1 - f + f / 2)``.
    """
    return 2 * (1 - two / one)


def print_growth(
    sizes: Sequence[int],
    forms: int,
    cluster_sizes: Sequence[int],
    scratch: Path | None,
    memory: str | None,
) -> None:
    """Measure and print all tables.

    Args:
        sizes: Numbers of records for DuckDB.
        forms: Number of records of each form.
        cluster_sizes: Numbers of records for Spark; none to leave it out.
        scratch: Folder for files and databases; by default the system's.
        memory: Memory limit of DuckDB.
    """
    heading = (
        f"{'':36}{'seconds':>9}{'CPU s':>9}{'s / mio':>9}{'CPU s / mio':>12}"
        f"{'peak GB':>9}{'stored GB':>10}"
    )

    def line(each: Growth) -> str:
        return (
            f"{each.name:36}{each.run.seconds:>9.1f}{each.run.cpu_seconds:>9.1f}"
            f"{each.seconds_per_million:>9.2f}{each.cpu_per_million:>12.2f}"
            f"{each.run.peak_bytes / 1e9:>9.2f}{each.stored_bytes / 1e9:>10.2f}"
        )

    if sizes:
        limit = f", DuckDB limited to {memory}" if memory else ""
        print(f"\nRaw files to sessions, by number of records{limit}\n{heading}")
        for each in measure_growth(sizes, scratch, memory):
            print(line(each))
            slowest = sorted(each.run.model_seconds.items(), key=lambda i: -i[1])[:6]
            print(
                "  slowest: "
                + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in slowest),
                flush=True,
            )
    if forms:
        print(f"\nThe same with {forms:,} records in other forms")
        print(f"{heading}{'ratio':>7}{'of CPU':>8}")
        usual = None
        for each in measure_forms(forms, scratch):
            usual = usual or each
            print(
                f"{line(each)}{each.run.seconds / usual.run.seconds:>7.2f}"
                f"{each.run.cpu_seconds / usual.run.cpu_seconds:>8.2f}",
                flush=True,
            )
    if cluster_sizes:
        print("\nThe same on a Spark cluster, workers of one core and 4 GB")
        print(
            f"{'records':>12} {'workers':>7}{'seconds':>9}{'of tasks':>9}{'CPU s':>9}"
            f"{'peak GB':>9}{'shuffled GB':>12}{'written GB':>11}{'failed':>7}  form"
        )
        seconds: dict[tuple[int, str, int], float] = {}
        for run in measure_cluster(cluster_sizes, (1, 2), scratch):
            print(
                f"{run.records:>12,} {run.workers:>7}{run.seconds:>9.1f}"
                f"{run.task_seconds:>9.1f}{run.cpu_seconds:>9.1f}"
                f"{run.peak_bytes / 1e9:>9.2f}{run.shuffled_bytes / 1e9:>12.3f}"
                f"{run.written_bytes / 1e9:>11.3f}{run.failed_tasks:>7}  {run.name}",
                flush=True,
            )
            seconds[run.records, run.name, run.workers] = run.seconds
            one = seconds.get((run.records, run.name, 1))
            if run.workers == 2 and one:
                fraction = parallel_fraction(one, run.seconds)
                print(
                    f"{'':12} two workers are {one / run.seconds:.2f} times as fast; "
                    f"parallel fraction {fraction:.2f}"
                )
