"""Cost of a day after a short and after a long history.

The history is JSON records, one file per hour: some late, some delivered twice, some
dirty, and a few received earlier than their first delivery so far. One run builds the
complete history, which is the full refresh that a day is compared with. The next day
has the same kinds of records.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.running import DbtRun, connect, run_dbt

FIRST_DAY = "2024-01-01"
# Memory limit of DuckDB. Without it, DuckDB caches all that it has read, and the peak
# would measure the cache instead of the memory that a day needs.
DAY_MEMORY_LIMIT = "400MB"
PIPELINE = [
    "+sessions",
    "+late_arrivals",
    "+clickstream_daily_counts",
    "+clickstream_field_profile",
    "+int_visitor_activity_daily",
    "+int_visitor_categories_daily",
    "+stg_clickstream__rejects",
]
SESSIONS_AND_ACTIVITY = ["int_visitor_sessions", "int_visitor_activity_daily"]


@dataclass(frozen=True)
class Measurement:
    """Two figures and their ratio.

    Attributes:
        name: Description of the comparison.
        measured: The measured figure.
        compared_with: The figure to divide by.
        unit: Unit of both figures.
        target: The expected ratio, in words.
    """

    name: str
    measured: float
    compared_with: float
    unit: str
    target: str

    @property
    def ratio(self) -> float:
        """Return the measured figure divided by the other."""
        return self.measured / self.compared_with


@dataclass(frozen=True)
class History:
    """Measurements on a history of some days.

    Attributes:
        days: Length of the history.
        refresh: Full refresh from records to sessions, activity and counts.
        day: The next day's run.
        bare_seconds: Seconds to sessionize the same events with window functions only.
    """

    days: int
    refresh: DbtRun
    day: DbtRun
    bare_seconds: float


def measure(
    events_a_day: int, short: int, long: int, scratch: Path | None = None
) -> tuple[list[Measurement], list[History]]:
    """Measure a day on top of two histories, and full refreshes of both.

    Args:
        events_a_day: Events of each day, including the measured day.
        short: Days of the short history, at least 21.
        long: Days of the long history.
        scratch: Folder of the databases; by default the system's temporary folder. A
            year of 200,000 events a day needs about 20 GB.

    Returns:
        The ratios, and the measurements that they are computed from.
    """
    histories = [_measure_on(days, events_a_day, scratch) for days in (short, long)]
    first, second = histories
    seconds = second.refresh.model_seconds
    return [
        Measurement(
            f"a day on {long} days, relative to {short} days",
            second.day.seconds,
            first.day.seconds,
            "s",
            "at most 1.15",
        ),
        Measurement(
            "  CPU seconds",
            second.day.cpu_seconds,
            first.day.cpu_seconds,
            "s",
            "at most 1.15",
        ),
        Measurement(
            f"  peak memory, with DuckDB limited to {DAY_MEMORY_LIMIT}",
            second.day.peak_bytes / 1e9,
            first.day.peak_bytes / 1e9,
            "GB",
            "at most 1.15",
        ),
        Measurement(
            f"full refresh of {long} days, relative to a day",
            second.refresh.seconds,
            second.day.seconds,
            "s",
            "at least 20",
        ),
        Measurement(
            "sessions and activity, relative to bare sessions",
            sum(seconds[model] for model in SESSIONS_AND_ACTIVITY),
            second.bare_seconds,
            "s",
            "at most 2.5",
        ),
        Measurement(
            f"peak memory of {long * events_a_day:,} events",
            second.refresh.peak_bytes / 1e9,
            12.0,
            "GB",
            "at most 1",
        ),
    ], histories


def _measure_on(days: int, events_a_day: int, scratch: Path | None) -> History:
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        with connect(folder) as connection:
            create_raw_tables(connection)
            for day in range(days):
                add_day(connection, day, events_a_day)
        # One thread, so that each model is timed separately.
        refresh = run_dbt(folder, "run", "--threads=1", "--select", *PIPELINE)
        with connect(folder) as connection:
            bare_seconds = sessionize_bare(connection)
            add_day(connection, days, events_a_day)
        day = run_dbt(folder, "run", "--select", *PIPELINE, memory=DAY_MEMORY_LIMIT)
        with connect(folder) as connection:
            check(connection)
    return History(days, refresh, day, bare_seconds)


def create_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that the models read, with contacts."""
    connection.execute(
        """
        create schema raw;
        create table raw.raw_events (
            payload varchar, received_at timestamp, source_file varchar);
        create table raw.raw_contacts (
            user_id varchar, account_id varchar, role varchar,
            batch_date date, loaded_at timestamp);
        insert into raw.raw_contacts
        select
            'u' || number,
            'a' || number // 20,
            'user',
            date '2024-01-01',
            timestamp '2024-01-02 03:00:00'
        from range(50000) as numbers (number);
        """
    )


def _event(number: str) -> dict[str, str]:
    """Return SQL for the attributes of the event `number`; ten events form a visit."""
    visitor = f"hash({number} // 10) % 50000"
    return {
        "event_id": f"md5(cast({number} as varchar))",
        "visitor": f"'v' || {visitor}",
        "user": f"case when hash({number}, 1) % 10 < 3 then 'u' || {visitor} end",
        "name": (
            f"case hash({number}, 2) % 10 when 0 then 'subscribe_hover' "
            "when 1 then 'product_view' else 'page_view' end"
        ),
        "path": f"'/products/' || hash({number}, 3) % 977",
        "category": (
            f"case when hash({number}, 4) % 3 = 0 then 'pillow' else 'topper' end"
        ),
        # 2 % are late.
        "is_late": f"hash({number}, 5) % 50 = 0",
    }


def _times(number: str, events_a_day: int) -> tuple[str, str]:
    """Return SQL for when the event `number` happened and was received."""
    received = (
        f"timestamp '{FIRST_DAY}' + to_microseconds("
        f"cast({number} as bigint) * {86_400_000_000 // events_a_day})"
    )
    event = _event(number)
    lateness = f"1 + hash({number}, 6) % 20"
    happened = (
        f"case when {event['is_late']} "
        f"then {received} - to_hours(24 * cast({lateness} as integer)) "
        f"else {received} - to_seconds(cast(hash({number}, 7) % 60 as integer)) end"
    )
    return happened, received


def _file(received: str) -> str:
    return f"strftime({received}, 'clickstream/dt=%Y-%m-%d/hour=%H/part-0.jsonl.gz')"


def add_day(connection: duckdb.DuckDBPyConnection, day: int, events_a_day: int) -> None:
    """Insert the JSON records of one day, counted from the first.

    1 % repeat an event of the day before, one in two thousand repeats such an event
    with an earlier time of receipt, and 1 % are truncated.
    """
    first = day * events_a_day
    number = (
        "case "
        f"when hash(position, 8) % 100 = 0 then position - {events_a_day} "
        f"when hash(position, 9) % 2000 = 0 then position - {events_a_day} "
        "else position end"
    )
    event = _event("number")
    happened, received = _times("number", events_a_day)
    _, delivered = _times("position", events_a_day)
    connection.execute(
        f"""
        insert into raw.raw_events
        with positions as (
            select {first} + range as position from range({events_a_day})
        ),
        numbered as (select *, greatest({number}, 0) as number from positions),
        events as (
            select
                *,
                {event["event_id"]} as event_id,
                {event["visitor"]} as visitor,
                {event["user"]} as user_id,
                {event["name"]} as name,
                {event["path"]} as path,
                {event["category"]} as category,
                {happened} as happened_at,
                case
                    when number = position then {received}
                    when hash(position, 8) % 100 = 0 then {delivered}
                    else {received} - interval 1 second
                end as received_at,
                {_file(delivered)} as source_file
            from numbered
        )
        select
            case
                when hash(position, 10) % 100 = 0
                    then '{{"event":"page_view","event_id":"' || event_id
                when position % 3 = 0 then
                    '{{"event":"' || name || '","event_id":"' || event_id
                    || '","ts":' || epoch_ms(happened_at)
                    || ',"anonymous_id":"' || visitor || '"'
                    || coalesce(',"user_id":"' || user_id || '"', '')
                    || ',"page":"' || path || '","category":"' || category
                    || '","viewport":{{"w":1920,"h":1080}},"extra":"'
                    || repeat('x', 200) || '"}}'
                when position % 3 = 1 then
                    '{{"id":"' || event_id || '","name":"' || name
                    || '","time":"' || strftime(happened_at, '%Y-%m-%dT%H:%M:%S.%gZ')
                    || '","user":{{"anonymous_id":"' || visitor || '"'
                    || coalesce(',"id":"' || user_id || '"', '')
                    || '}},"page":{{"path":"' || path
                    || '"}},"product":{{"category":"' || category
                    || '"}},"extra":"' || repeat('x', 200) || '"}}'
                else
                    '{{"messageId":"' || event_id || '","event":"' || name
                    || '","timestamp":"'
                    || strftime(happened_at, '%Y-%m-%dT%H:%M:%S.%gZ')
                    || '","anonymousId":"' || visitor || '"'
                    || coalesce(',"userId":"' || user_id || '"', '')
                    || ',"properties":{{"path":"' || path
                    || '","category":"' || category
                    || '"}},"extra":"' || repeat('x', 200) || '"}}'
            end as payload,
            received_at,
            source_file
        from events
        """
    )


def sessionize_bare(connection: duckdb.DuckDBPyConnection) -> float:
    """Return the seconds to sessionize all events with window functions only."""
    started = time.perf_counter()
    connection.execute(
        """
        create table bare_sessions as
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
                    visitor_id,
                    event_at,
                    case when event_at - lag(event_at) over (
                        partition by visitor_id order by event_at
                    ) <= interval 30 minute then 0 else 1 end as is_start
                from base_clickstream__event_versions
            )
        )
        group by 1, 2
        """
    )
    seconds = time.perf_counter() - started
    connection.execute("drop table bare_sessions")
    return seconds


def check(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise an error if the measured run did not produce all sessions."""
    in_sessions, in_events = connection.execute(
        """
        select
            (select sum(events) from int_visitor_sessions where is_current),
            (select count(*) from base_clickstream__event_versions where is_current)
        """
    ).fetchone()
    if in_sessions != in_events:
        raise RuntimeError(
            f"The sessions hold {in_sessions} events, but there are {in_events}."
        )
