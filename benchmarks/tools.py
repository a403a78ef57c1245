"""Raw files to sessions: this project's line against four tools by hand.

All read the same file, one after the other on the same cores, each in a process of
its own (the line through a view, as its raw table): events with all columns of the
dictionary, and sessions. The floor, bare DuckDB, knows no rules; the other tools take
an event once that was sent twice. The line does that too, and besides keeps every
record, repairs, quarantines, and can be run again for what is new. It is measured as
on any morning but the first: set up with `dbt seed`, which leaves the project parsed.
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

from benchmarks.clickstream import dictionary_columns, load_lines, write_records
from benchmarks.jobs import TIMEOUT_MINUTES, TOOLS
from benchmarks.running import THREADS, connect, run_command, run_dbt

LINE = "this project, on DuckDB"
FLOOR = "duckdb"
# Beyond so many records a tool is not measured: it would need more memory than most
# machines have, or, pandas, half an hour.
MOST_RECORDS = {"polars": 10_000_000, "pandas": 2_000_000, "pyspark": 10_000_000}


@dataclass(frozen=True)
class Measurement:
    """One tool's run.

    Attributes:
        tool: Which.
        records: How many there were.
        seconds: By the clock, the start of the tool included.
        cpu_seconds: Of all threads; none where they run in another process.
        peak_bytes: The most memory held at once; likewise.
    """

    tool: str
    records: int
    seconds: float
    cpu_seconds: float | None
    peak_bytes: int | None


def measure(sizes: list[int], scratch: Path | None = None) -> list[Measurement]:
    """Measure every tool that is installed, on each number of records.

    On more than its `MOST_RECORDS`, a tool is left out.

    Args:
        sizes: How many records to generate, about 500 bytes each.
        scratch: Folder for files and databases; the system's by default.

    Returns:
        A measurement a tool and size.

    Raises:
        RuntimeError: A tool failed, or found other sessions than the first.
    """
    tools = [name for name in TOOLS if importlib.util.find_spec(name)]
    if "pyspark" in tools and not shutil.which("java"):
        tools.remove("pyspark")
    measured = []
    for records in sizes:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            folder = Path(name)
            lines = folder / "records.jsonl"
            write_records(lines, records, repeated_in_a_hundred=1)
            measured.append(_line(folder, lines, records))
            columns = folder / "columns.json"
            columns.write_text(json.dumps(dictionary_columns(folder / "target")))
            expected = _found_by_line(folder)
            for tool in tools:
                if records > MOST_RECORDS.get(tool, records):
                    continue
                made = folder / tool
                made.mkdir()
                measured.append(_by_hand(tool, lines, columns, made, records))
                found = _found(made)
                if found != expected:
                    raise RuntimeError(
                        f"{tool} found {found} sessions, events and pages, and this "
                        f"project {expected}"
                    )
                shutil.rmtree(made)
    return measured


def _line(folder: Path, lines: Path, records: int) -> Measurement:
    """Build the line from the file up to sessions; dbt's start included."""
    load_lines(folder, lines, relation="view")
    run_dbt(folder, "seed", "--select", "event_names", "offers")
    run = run_dbt(
        folder, "run", f"--threads={THREADS}", "--select=+int_visitor_sessions"
    )
    return Measurement(LINE, records, run.seconds, run.cpu_seconds, run.peak_bytes)


def _by_hand(
    tool: str, lines: Path, columns: Path, made: Path, records: int
) -> Measurement:
    run = run_command(
        [sys.executable, "-m", "benchmarks.jobs", tool, lines, columns, made],
        {"POLARS_MAX_THREADS": str(THREADS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if run.status:
        raise RuntimeError(
            f"`python -m benchmarks.jobs {tool}` failed, or took more than "
            f"{TIMEOUT_MINUTES} minutes: run it by hand to see why."
        )
    # Spark works in a process of its own, which nobody here waits for.
    is_elsewhere = tool == "pyspark"
    return Measurement(
        f"{tool}, by hand",
        records,
        run.seconds,
        None if is_elsewhere else run.cpu_seconds,
        None if is_elsewhere else run.peak_bytes,
    )


def _found(made: Path) -> tuple[int, ...]:
    """How many sessions, different events, and pages of them a tool wrote.

    Raises:
        RuntimeError: It wrote an event twice, and is not the floor.
    """
    # Spark writes folders of files.
    files = [
        f"{place}/*.parquet" if place.is_dir() else str(place)
        for place in (made / "sessions.parquet", made / "events.parquet")
    ]
    with duckdb.connect() as connection:
        *found, rows = connection.execute(
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
    if made.name != FLOOR and rows != found[1]:
        raise RuntimeError(f"{made.name} wrote {rows} rows for {found[1]} events")
    return tuple(found)


def _found_by_line(folder: Path) -> tuple[int, ...]:
    """The same of the line."""
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
    """Draw seconds against records, a line a tool, if matplotlib is installed."""
    if not importlib.util.find_spec("matplotlib"):
        print("No picture is drawn: matplotlib is not installed.")
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (clock, memory) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for tool in dict.fromkeys(each.tool for each in measured):
        own = [each for each in measured if each.tool == tool]
        millions = [each.records / 1e6 for each in own]
        style = {"marker": "o", "linewidth": 2.5 if tool == LINE else 1.5}
        clock.plot(millions, [each.seconds for each in own], label=tool, **style)
        if own[0].peak_bytes is not None:
            peaks = [each.peak_bytes / 1e9 for each in own]
            memory.plot(millions, peaks, label=tool, **style)
    for axes, title in ((clock, "seconds by the clock"), (memory, "peak memory, GB")):
        axes.set_title(f"Raw files to sessions: {title}")
        axes.set_xlabel("million records of 500 bytes")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
