"""What a day costs on top of a short and of a long history.

The history is JSON records, a file an hour: some late, some delivered twice, some
dirty, and a few that were received earlier than what was taken for their first
receipt. The line builds all of it at once, which is the full refresh that a day is
compared with; the next day is of the same kind.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.running import DbtRun, connect, run_dbt

FIRST_DAY = "2024-01-01"
# Without a limit DuckDB keeps all that it has read: its peak would tell how much of the
# history was looked at, not how much memory a day needs.
MEMORY_OF_A_DAY = "400MB"
LINE = [
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
    """Two measured figures and how they compare.

    Attributes:
        name: What is compared.
        measured: The figure in question.
        compared_with: What it is a multiple of.
        unit: Of both figures.
        target: In words, what the ratio should be.
    """

    name: str
    measured: float
    compared_with: float
    unit: str
    target: str

    @property
    def ratio(self) -> float:
        """How many times the other figure the first one is."""
        return self.measured / self.compared_with


@dataclass(frozen=True)
class History:
    """What was measured on a history of some days.

    Attributes:
        days: Length of the history.
        refresh: From records to sessions, activity and counts, from scratch.
        day: The next day's run.
        bare_seconds: Sessionizing the same events with window functions alone.
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
        events_a_day: Events of each day; the measured day has as many records.
        short: Days of the short history, at least 21.
        long: Days of the long one.
        scratch: Where the databases are made; the system's temporary folder by
            default. A year of 200,000 events a day takes some 20 GB.

    Returns:
        The ratios, and what they are made of.
    """
    histories = [_measure_on(days, events_a_day, scratch) for days in (short, long)]
    first, second = histories
    seconds = second.refresh.model_seconds
    return [
        Measurement(
            f"a day on {long} days, against on {short}",
            second.day.seconds,
            first.day.seconds,
            "s",
            "at most 1.15",
        ),
        Measurement(
            "  in time of CPU, whatever else runs",
            second.day.cpu_seconds,
            first.day.cpu_seconds,
            "s",
            "at most 1.15",
        ),
        Measurement(
            f"  its peak memory, where DuckDB may hold {MEMORY_OF_A_DAY}",
            second.day.peak_bytes / 1e9,
            first.day.peak_bytes / 1e9,
            "GB",
            "at most 1.15",
        ),
        Measurement(
            f"full refresh of {long} days, against a day",
            second.refresh.seconds,
            second.day.seconds,
            "s",
            "at least 20",
        ),
        Measurement(
            "sessions and activity, against bare sessions",
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
        # A model at a time, so that each is measured by itself.
        refresh = run_dbt(folder, "run", "--threads=1", "--select", *LINE)
        with connect(folder) as connection:
            bare_seconds = sessionize_bare(connection)
            add_day(connection, days, events_a_day)
        day = run_dbt(folder, "run", "--select", *LINE, memory=MEMORY_OF_A_DAY)
        with connect(folder) as connection:
            check(connection)
    return History(days, refresh, day, bare_seconds)


def create_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that the line reads, all but one empty for good."""
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
    """SQL for what is true of the event `number`; ten lie in one visit."""
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
        # Two in a hundred are late.
        "is_late": f"hash({number}, 5) % 50 = 0",
    }


def _times(number: str, events_a_day: int) -> tuple[str, str]:
    """SQL for when the event `number` happened and was received."""
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
    """Deliver the JSON records of one day, counted from the first.

    One in a hundred repeats an event of the day before, one in two thousand
    says of such an event that it was received earlier, and one in a hundred is
    broken.
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
    _, accepted = _times("position", events_a_day)
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
                    when hash(position, 8) % 100 = 0 then {accepted}
                    else {received} - interval 1 second
                end as received_at,
                {_file(accepted)} as source_file
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
    """Seconds to sessionize all events with window functions, nothing else."""
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
    """Fail if the measured run did not do what it was measured for."""
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
