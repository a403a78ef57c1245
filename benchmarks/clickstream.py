"""The clickstream pipeline against the work that it cannot avoid.

The floor is the minimum for any tool on DuckDB: load the lines as text into a table,
and extract the paths of the field mapping with one call per record into another table.
The pipeline also converts types, validates, quarantines, repairs and deduplicates every
record.

The floor extracts from clean records only and does not check them: one broken record
would fail it, and a check would make the ratio look better.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from benchmarks.running import connect, run_dbt

FLATTENING = ["base_clickstream__parsed_records"]
TO_EVENTS = [
    "base_clickstream__files",
    "base_clickstream__parsed_records",
    "base_clickstream__repaired_json",
    "base_clickstream__parsed_repaired_records",
    "base_clickstream__new_event_versions",
    "base_clickstream__event_versions",
]
TO_ACTIVITY = [*TO_EVENTS, "int_visitor_sessions", "int_visitor_activity_daily"]
# Models to build for these measurements.
PIPELINE = [
    "+stg_clickstream__events",
    "+stg_clickstream__rejects",
    "+int_visitor_sessions",
    "+int_visitor_activity_daily",
]


@dataclass
class Measurement:
    """Seconds of the pipeline and of its floor."""

    name: str
    seconds: float
    floor_seconds: float

    @property
    def ratio(self) -> float:
        """Return the seconds of the pipeline divided by those of its floor."""
        return self.seconds / self.floor_seconds


def measure(records: int, repeats: int) -> list[Measurement]:
    """Measure flattening, files to events, and files to daily activity.

    Flattening is measured on clean records, the rest on records with 1 % dirt.
    Pipeline and floor alternate, so that load on the machine affects both.

    Args:
        records: Number of records to generate; about 500 bytes each.
        repeats: Number of runs of each side; the fastest counts. The pipeline's
            seconds on an empty table are subtracted, because they are dbt's overhead.

    Returns:
        One measurement per stage.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clean, dirty = folder / "clean.jsonl", folder / "dirty.jsonl"
        write_records(clean, records, dirty_percent=0)
        write_records(dirty, records, dirty_percent=1)
        run_dbt(folder, "parse")
        columns = mapped_columns(folder / "target")
        paths = sorted({path for listed in columns.values() for path in listed})

        # Overhead of dbt for these models, without data.
        load_lines(folder, clean, max_lines=0)
        idle = run_pipeline(folder, *PIPELINE)

        loads, extracts, sessionizes = [], [], []
        clean_runs, dirty_runs = [], []
        for _ in range(repeats):
            load_lines(folder, clean)
            extracts.append(seconds_of(lambda: extract_paths(folder, paths)))
            clean_runs.append(
                run_pipeline(folder, *(f"+{model}" for model in FLATTENING))
            )
            extracts.append(seconds_of(lambda: extract_paths(folder, paths)))

            loads.append(seconds_of(lambda: load_lines(folder, dirty)))
            sessionizes.append(seconds_of(lambda: sessionize_bare(folder)))
            dirty_runs.append(run_pipeline(folder, *PIPELINE))
        load, extract, sessionize = min(loads), min(extracts), min(sessionizes)

    def pipeline_seconds(runs: list[dict[str, float]], models: list[str]) -> float:
        return min(
            sum(seconds[model] - idle[model] for model in models) for seconds in runs
        )

    return [
        Measurement(
            "flattening (clean)", pipeline_seconds(clean_runs, FLATTENING), extract
        ),
        Measurement(
            "files to events (1 % dirty)",
            load + pipeline_seconds(dirty_runs, TO_EVENTS),
            load + extract,
        ),
        Measurement(
            "files to sessions and daily activity",
            load + pipeline_seconds(dirty_runs, TO_ACTIVITY),
            load + extract + sessionize,
        ),
    ]


def write_records(
    path: Path,
    records: int,
    dirty_percent: int = 1,
    repeated_percent: int = 0,
    first: int = 0,
    total: int | None = None,
    skewed_percent: int = 0,
    visitors: int = 50_000,
) -> None:
    """Write clickstream records of three trackers, one per line.

    Args:
        path: The file to write; compressed if its name ends in ``.gz``.
        records: Number of records.
        dirty_percent: Percentage of truncated records.
        repeated_percent: Percentage of records that repeat the one before.
        first: Number of the first record, if the file is one of several.
        total: Number of records of all files; by default those of this file.
        skewed_percent: Percentage of records of one visitor.
        visitors: Number of other visitors.
    """
    total = first + records if total is None else total
    compression = "gzip" if path.suffix == ".gz" else "none"
    filler = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            copy (
                with drawn as (
                    select
                        hash(range) % 100 as dirt,
                        case
                            when dirt >= {100 - repeated_percent} and range > 0
                                then range - 1
                            else range
                        end as number
                    from range({first}, {first + records})
                ),
                numbered as (
                    select
                        *,
                        case
                            when hash(number, 'visitor') % 100 < {skewed_percent}
                                then 'v-robot'
                            else 'v' || hash(number // 40) % {visitors}
                        end as visitor,
                        -- The last record is received when it happens.
                        1740873600000 - ({total} - number) * 37 as millis
                    from drawn
                )
                select case
                    when dirt < {dirty_percent}
                        then '{{"event":"page_view","event_id":"' || number
                    when number % 3 = 0 then
                        '{{"event":"page_view","event_id":"e' || number
                        || '","ts":' || millis || ',"anonymous_id":"' || visitor
                        || '","user_id":"u' || visitor
                        || '","page":"/products/' || number % 977
                        || '","category":"mattress","device":"desktop"'
                        || ',"agent":"{filler}","viewport":{{"w":1920,"h":1080}}'
                        || ',"campaign":{{"source":"newsletter","medium":"email",'
                        || '"name":"spring-' || number % 31 || '"}}'
                        || ',"extra":"' || repeat('x', 100) || '"}}'
                    when number % 3 = 1 then
                        '{{"id":"e' || number || '","name":"pageview","time":"'
                        || strftime(make_timestamp(millis * 1000),
                            '%Y-%m-%dT%H:%M:%S.%gZ')
                        || '","user":{{"anonymous_id":"' || visitor
                        || '","id":null}},"page":{{"path":"/products/' || number % 977
                        || '"}},"product":{{"category":"pillow"}},"context":'
                        || '{{"device":{{"type":"mobile"}},"app":{{"version":"2.3"}}'
                        || ',"agent":"{filler}"}}'
                        || ',"extra":"' || repeat('x', 120) || '"}}'
                    else
                        '{{"messageId":"e' || number
                        || '","type":"track","event":"Page Viewed","timestamp":"'
                        || strftime(make_timestamp(millis * 1000),
                            '%Y-%m-%dT%H:%M:%S.%gZ')
                        || '","anonymousId":"' || visitor
                        || '","userId":"u' || visitor
                        || '","properties":{{"path":"/products/' || number % 977
                        || '","category":"bedding"}},"context":{{"agent":"{filler}"}}'
                        || ',"extra":"' || repeat('x', 120) || '"}}'
                    end as line
                from numbered
            ) to '{path}' (
                format csv, header false, quote '', escape '', delimiter '\x01',
                compression {compression}
            )
            """
        )


def mapped_columns(target: Path) -> dict[str, list[str]]:
    """Return the JSON paths of each column of the project's field mapping.

    Args:
        target: dbt's target folder of a parsed project.
    """
    manifest = json.loads((target / "manifest.json").read_text())
    node = manifest["nodes"]["model.churn.base_clickstream__parsed_records"]
    return {
        name: column["meta"]["json_paths"]
        for name, column in node["columns"].items()
        if column["meta"].get("json_paths")
    }


def load_lines(
    folder: Path, lines: Path, max_lines: int | None = None, relation: str = "table"
) -> None:
    """Create a database whose ``raw.raw_events`` holds the lines of a file as text.

    Args:
        folder: Folder of the database.
        lines: The file.
        max_lines: Maximum number of lines; ``None`` for all.
        relation: ``table``, or ``view`` to read the file on each query.
    """
    for name in ("bench.duckdb", "bench.duckdb.wal"):
        (folder / name).unlink(missing_ok=True)
    with connect(folder) as connection:
        connection.execute("create schema raw")
        connection.execute(
            f"""
            create {relation} raw.raw_events as
            select
                line as payload,
                cast('2025-03-02 00:00:00' as timestamp) as received_at,
                'records.jsonl' as source_file
            from read_csv(
                '{lines}', columns = {{'line': 'varchar'}}, header = false,
                auto_detect = false, delim = '\x01', quote = '', escape = ''
            )
            {"" if max_lines is None else f"limit {max_lines}"}
            """
        )


def extract_paths(folder: Path, paths: list[str]) -> None:
    """Extract all paths with one call per record, coalesced, into a table."""
    listed = ", ".join(f"'{path}'" for path in paths)
    third = len(paths) // 12 or 1
    fields = ", ".join(
        "coalesce("
        + ", ".join(
            f"texts[{position + 1}]"
            for position in range(start, min(start + third, len(paths)))
        )
        + f") as field_{start}"
        for start in range(0, len(paths), third)
    )
    with connect(folder) as connection:
        connection.execute(
            f"""
            create or replace table bare_fields as
            select {fields}
            from (
                select json_extract_string(payload, [{listed}]) as texts
                from raw.raw_events
            )
            """
        )


def sessionize_bare(folder: Path) -> None:
    """Sessionize the bare events with window functions only."""
    with connect(folder) as connection:
        connection.execute(
            """
            create or replace temporary table bare_events as
            select
                hash(rowid // 40) % 50000 as visitor_id,
                make_timestamp((1740823445123 + rowid * 37) * 1000) as event_at
            from raw.raw_events
            """
        )
        connection.execute(
            """
            create or replace table bare_sessions as
            select visitor_id, session_number, count(*), min(event_at), max(event_at)
            from (
                select
                    visitor_id,
                    event_at,
                    sum(is_start) over (
                        partition by visitor_id order by event_at
                    ) as session_number
                from (
                    select
                        *,
                        case when event_at - lag(event_at) over (
                            partition by visitor_id order by event_at
                        ) <= interval 30 minute then 0 else 1 end as is_start
                    from bare_events
                )
            )
            group by 1, 2
            """
        )


def run_pipeline(folder: Path, *selected: str) -> dict[str, float]:
    """Build models of the pipeline from scratch on the loaded lines.

    Returns:
        Seconds by model, without dbt's rendering of the SQL.
    """
    run_dbt(folder, "run", "--full-refresh", "--threads=1", "--select", *selected)
    results = json.loads((folder / "target" / "run_results.json").read_text())
    return {
        result["unique_id"].split(".")[-1]: sum(
            (_epoch_seconds(step["completed_at"]) - _epoch_seconds(step["started_at"]))
            for step in result["timing"]
            if step["name"] == "execute"
        )
        for result in results["results"]
    }


def _epoch_seconds(text: str) -> float:
    """Convert a time in dbt's results to seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def seconds_of(work: Callable[[], None]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
