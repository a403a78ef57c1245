"""Raw files to sessions: this project against four tools.

All read the same file, one after the other on the same cores, each in a separate
process (the project through a view as its raw table), and write events with all columns
of the field mapping, and sessions. The floor, plain DuckDB, has no rules; the other
tools deduplicate events. The project also stores, repairs and quarantines every record
and can run incrementally. It is measured as in daily operation: `dbt seed` has run
before, so the project is parsed.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.clickstream import load_lines, mapped_columns, write_records
from benchmarks.jobs import TIMEOUT_MINUTES, TOOLS
from benchmarks.running import THREADS, connect, run_command, run_dbt

PROJECT = "this project, on DuckDB"
FLOOR = "duckdb"
# Maximum records of a tool. Above them, it needs more memory than most machines have
# or, with pandas, half an hour.
MAX_RECORDS = {"polars": 10_000_000, "pandas": 2_000_000, "pyspark": 10_000_000}


@dataclass(frozen=True)
class Measurement:
    """One tool's run.

    Attributes:
        tool: The tool.
        records: Number of records.
        seconds: Wall-clock seconds, including the start of the tool.
        cpu_seconds: CPU seconds of all threads; ``None`` if they run in another
            process.
        peak_bytes: Peak memory; ``None`` if it is held by another process.
    """

    tool: str
    records: int
    seconds: float
    cpu_seconds: float | None
    peak_bytes: int | None


def measure(sizes: list[int], scratch: Path | None = None) -> list[Measurement]:
    """Measure every installed tool on each number of records.

    A tool is skipped above its `MAX_RECORDS`.

    Args:
        sizes: Numbers of records to generate, about 500 bytes each.
        scratch: Folder for files and databases; by default the system's.

    Returns:
        One measurement per tool and size.

    Raises:
        RuntimeError: A tool failed, or its sessions differ from the project's.
    """
    tools = [name for name in TOOLS if importlib.util.find_spec(name)]
    if "pyspark" in tools and not shutil.which("java"):
        tools.remove("pyspark")
    measured = []
    for records in sizes:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            folder = Path(name)
            lines = folder / "records.jsonl"
            write_records(lines, records, repeated_percent=1)
            measured.append(_project(folder, lines, records))
            columns = folder / "columns.json"
            columns.write_text(json.dumps(mapped_columns(folder / "target")))
            expected = _project_counts(folder)
            for tool in tools:
                if records > MAX_RECORDS.get(tool, records):
                    continue
                output = folder / tool
                output.mkdir()
                measured.append(_by_hand(tool, lines, columns, output, records))
                counts = _counts(output)
                if counts != expected:
                    raise RuntimeError(
                        f"{tool} found {counts} sessions, events and pages, and this "
                        f"project {expected}"
                    )
                shutil.rmtree(output)
    return measured


def _project(folder: Path, lines: Path, records: int) -> Measurement:
    """Build the project from the file up to sessions, including dbt's start."""
    load_lines(folder, lines, relation="view")
    run_dbt(folder, "seed", "--select", "event_names", "offers", "products")
    run = run_dbt(
        folder, "run", f"--threads={THREADS}", "--select=+int_visitor_sessions"
    )
    return Measurement(PROJECT, records, run.seconds, run.cpu_seconds, run.peak_bytes)


def _by_hand(
    tool: str, lines: Path, columns: Path, output: Path, records: int
) -> Measurement:
    run = run_command(
        [sys.executable, "-m", "benchmarks.jobs", tool, lines, columns, output],
        {"POLARS_MAX_THREADS": str(THREADS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if run.status:
        raise RuntimeError(
            f"`python -m benchmarks.jobs {tool}` failed, or took more than "
            f"{TIMEOUT_MINUTES} minutes: run it by hand to see why."
        )
    # Spark runs in a separate process that is not measured.
    is_elsewhere = tool == "pyspark"
    return Measurement(
        f"{tool}, by hand",
        records,
        run.seconds,
        None if is_elsewhere else run.cpu_seconds,
        None if is_elsewhere else run.peak_bytes,
    )


def _counts(output: Path) -> tuple[int, ...]:
    """Count sessions, distinct events, and events with a page in a tool's output.

    Raises:
        RuntimeError: It wrote an event twice, and is not the floor.
    """
    # Spark writes folders of files.
    files = [
        f"{path}/*.parquet" if path.is_dir() else str(path)
        for path in (output / "sessions.parquet", output / "events.parquet")
    ]
    with duckdb.connect() as connection:
        *counts, rows = connection.execute(
            """
            select
                (select count(*) from read_parquet($1)),
                count(distinct event_id),
                count(distinct event_id) filter (page_path is not null),
                count(*)
            from read_parquet($2)
            """,
            files,
        ).fetchone()
    if output.name != FLOOR and rows != counts[1]:
        raise RuntimeError(f"{output.name} wrote {rows} rows for {counts[1]} events")
    return tuple(counts)


def _project_counts(folder: Path) -> tuple[int, ...]:
    """Count the same in the project's tables."""
    with connect(folder) as connection:
        return connection.execute(
            """
            select
                (select count(*) from int_visitor_sessions),
                count(*),
                count(page_path)
            from base_clickstream__event_versions
            where is_current
            """
        ).fetchone()


def draw(measured: list[Measurement], path: Path) -> None:
    """Draw seconds and memory by records, if matplotlib is installed."""
    if not importlib.util.find_spec("matplotlib"):
        print("No chart is drawn: install matplotlib.")
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (clock, memory) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for tool in dict.fromkeys(each.tool for each in measured):
        tool_runs = [each for each in measured if each.tool == tool]
        millions = [each.records / 1e6 for each in tool_runs]
        style = {"marker": "o", "linewidth": 2.5 if tool == PROJECT else 1.5}
        clock.plot(millions, [each.seconds for each in tool_runs], label=tool, **style)
        if tool_runs[0].peak_bytes is not None:
            peaks = [each.peak_bytes / 1e9 for each in tool_runs]
            memory.plot(millions, peaks, label=tool, **style)
    for axes, title in ((clock, "seconds by the clock"), (memory, "peak memory, GB")):
        axes.set_title(f"Raw files to sessions: {title}")
        axes.set_xlabel("million records of 500 bytes")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
