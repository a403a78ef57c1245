"""The clickstream line against the bare work it cannot avoid.

The floor is what any tool on DuckDB must do: load the lines as text into a
table, and extract the dictionary's paths from them with one call per record
into another table. The line does that too, and besides types, judges,
quarantines, repairs and deduplicates every record.

The floor extracts from clean records only, and never looks whether they are:
one broken record would fail it, and a guard against that would flatter the line.
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
    "base_clickstream__event_versions",
]
TO_ACTIVITY = [*TO_EVENTS, "int_visitor_sessions", "int_visitor_activity_daily"]
# What is run to time all of these.
LINE = [
    "+stg_clickstream__events",
    "+stg_clickstream__rejects",
    "+int_visitor_sessions",
    "+int_visitor_activity_daily",
]


@dataclass
class Measurement:
    """One ratio: seconds of the line over seconds of its floor."""

    name: str
    seconds: float
    floor_seconds: float

    @property
    def ratio(self) -> float:
        """How many times the floor's time the line takes."""
        return self.seconds / self.floor_seconds


def measure(records: int, repeats: int) -> list[Measurement]:
    """Measure flattening, files to events, and files to daily activity.

    Flattening is measured on clean records, the rest on records of which one in a
    hundred is dirty. Line and floor take turns, so that both meet the same machine.

    Args:
        records: How many records to generate; about 500 bytes each.
        repeats: How often each side runs; the fastest counts. Of the line, the
            seconds that it takes on no records at all do not: they are dbt's own.

    Returns:
        One measurement a stage.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clean, dirty = folder / "clean.jsonl", folder / "dirty.jsonl"
        write_records(clean, records, dirty_in_a_hundred=0)
        write_records(dirty, records, dirty_in_a_hundred=1)
        run_dbt(folder, "parse")
        columns = dictionary_columns(folder / "target")
        paths = sorted({path for listed in columns.values() for path in listed})

        # What dbt takes for these models whatever the data.
        load_lines(folder, clean, most=0)
        idle = run_line(folder, *LINE)

        loads, extracts, sessionizes = [], [], []
        clean_runs, dirty_runs = [], []
        for _ in range(repeats):
            load_lines(folder, clean)
            extracts.append(seconds_of(lambda: extract_paths(folder, paths)))
            clean_runs.append(run_line(folder, *(f"+{model}" for model in FLATTENING)))
            extracts.append(seconds_of(lambda: extract_paths(folder, paths)))

            loads.append(seconds_of(lambda: load_lines(folder, dirty)))
            sessionizes.append(seconds_of(lambda: sessionize_bare(folder)))
            dirty_runs.append(run_line(folder, *LINE))
        load, extract, sessionize = min(loads), min(extracts), min(sessionizes)

    def line(runs: list[dict[str, float]], models: list[str]) -> float:
        return min(
            sum(seconds[model] - idle[model] for model in models) for seconds in runs
        )

    return [
        Measurement("flattening (clean)", line(clean_runs, FLATTENING), extract),
        Measurement(
            "files to events (1 % dirty)",
            load + line(dirty_runs, TO_EVENTS),
            load + extract,
        ),
        Measurement(
            "files to sessions and daily activity",
            load + line(dirty_runs, TO_ACTIVITY),
            load + extract + sessionize,
        ),
    ]


def write_records(
    path: Path,
    records: int,
    dirty_in_a_hundred: int = 1,
    repeated_in_a_hundred: int = 0,
) -> None:
    """Write clickstream records of three trackers, one a line.

    Args:
        path: Where.
        records: How many.
        dirty_in_a_hundred: How many are truncated.
        repeated_in_a_hundred: How many are the record before once more.
    """
    filler = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            copy (
                with drawn as (
                    select
                        hash(range) % 100 as dirt,
                        case
                            when dirt >= {100 - repeated_in_a_hundred} and range > 0
                                then range - 1
                            else range
                        end as number
                    from range({records})
                ),
                numbered as (
                    select
                        *,
                        'v' || hash(number // 40) % 50000 as visitor,
                        -- The last one was received when it happened.
                        1740873600000 - ({records} - number) * 37 as millis
                    from drawn
                )
                select case
                    when dirt < {dirty_in_a_hundred}
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
                format csv, header false, quote '', escape '', delimiter '\x01'
            )
            """
        )


def dictionary_columns(target: Path) -> dict[str, list[str]]:
    """The project's own dictionary: the JSON paths of each column.

    Args:
        target: dbt's target folder, into which the project has been parsed.
    """
    manifest = json.loads((target / "manifest.json").read_text())
    node = manifest["nodes"]["model.churn.stg_clickstream__events"]
    return {
        name: column["meta"]["json_paths"]
        for name, column in node["columns"].items()
        if column["meta"].get("json_paths")
    }


def load_lines(
    folder: Path, lines: Path, most: int | None = None, relation: str = "table"
) -> None:
    """Make a new database whose ``raw.raw_events`` holds the lines of a file as text.

    Args:
        folder: Where the database is made.
        lines: The file.
        most: How many of its lines; all by default.
        relation: ``table``, or ``view`` for one that reads the file when it is read.
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
            {"" if most is None else f"limit {most}"}
            """
        )


def extract_paths(folder: Path, paths: list[str]) -> None:
    """Extract all paths with one call a record, coalesced, into a table."""
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
    """Sessionize the bare events with window functions, nothing else."""
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


def run_line(folder: Path, *selected: str) -> dict[str, float]:
    """Build models of the line on what is loaded, from scratch.

    Returns:
        Seconds by model, without dbt's rendering of the SQL.
    """
    run_dbt(folder, "run", "--full-refresh", "--threads=1", "--select", *selected)
    results = json.loads((folder / "target" / "run_results.json").read_text())
    return {
        result["unique_id"].split(".")[-1]: sum(
            (_instant(step["completed_at"]) - _instant(step["started_at"]))
            for step in result["timing"]
            if step["name"] == "execute"
        )
        for result in results["results"]
    }


def _instant(text: str) -> float:
    """Seconds since 1970 of a time in dbt's results."""
    return datetime.fromisoformat(text).timestamp()


def seconds_of(work: Callable[[], None]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
