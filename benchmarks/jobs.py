"""One job, written by hand for several tools: raw files to sessions.

``python -m benchmarks.jobs TOOL RECORDS.jsonl SESSIONS.parquet``

Each reads the same file of three trackers' records, takes the event's name, time and
visitor from wherever each tracker puts them, drops lines that are not JSON, cuts each
visitor's events where 30 minutes pass without one, and writes the sessions. None of
them keeps rejects, repairs, finds duplicates, or can be run again for what is new.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable

TOOLS = ("duckdb", "polars", "pandas", "pyspark")
TIMEOUT_MINUTES = 30

# Where the three trackers put things.
NAMES = ("event", "name")
TIMES = ("ts", "time", "timestamp")
VISITORS = ("anonymous_id", "anonymousId", "user_id", "userId")


def with_duckdb(records: str, sessions: str) -> None:
    """SQL on DuckDB, two threads, with one extraction a record."""
    import duckdb

    paths = [f"$.{key}" for key in (*NAMES, *TIMES, *VISITORS)]
    paths.insert(len(NAMES) + len(TIMES) + 1, "$.user.anonymous_id")
    listed = ", ".join(f"'{path}'" for path in paths)
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(
            f"""
            copy (
                with lines as (
                    select try(json_extract_string(line, [{listed}])) as texts
                    from read_csv(
                        '{records}', columns = {{'line': 'varchar'}}, header = false,
                        auto_detect = false, delim = '\x01', quote = '', escape = ''
                    )
                ),
                events as (
                    select
                        coalesce(texts[1], texts[2]) as event_name,
                        coalesce(
                            make_timestamp(cast(texts[3] as bigint) * 1000),
                            cast(coalesce(texts[4], texts[5]) as timestamp)
                        ) as event_at,
                        coalesce(
                            texts[6], texts[7], texts[8], texts[9], texts[10]
                        ) as visitor
                    from lines
                    where texts is not null
                ),
                numbered as (
                    select
                        *,
                        sum(is_start) over (
                            partition by visitor order by event_at
                            rows unbounded preceding
                        ) as session
                    from (
                        select
                            *,
                            case when event_at - lag(event_at) over (
                                partition by visitor order by event_at
                            ) <= interval 30 minute then 0 else 1 end as is_start
                        from events
                        where visitor is not null and event_at is not null
                    )
                )
                select
                    visitor,
                    session,
                    min(event_at) as started_at,
                    max(event_at) as ended_at,
                    count(*) as events
                from numbered
                group by 1, 2
            ) to '{sessions}' (format parquet)
            """
        )


def with_polars(records: str, sessions: str) -> None:
    """Polars, with each line parsed once into the fields that are needed."""
    import polars as pl

    schema = pl.Struct(
        {
            **dict.fromkeys((*NAMES, "time", "timestamp", *VISITORS), pl.String),
            "ts": pl.Int64,
            "user": pl.Struct({"anonymous_id": pl.String}),
        }
    )
    lines = pl.scan_csv(
        records,
        separator="\x01",
        has_header=False,
        quote_char=None,
        new_columns=["line"],
        schema_overrides=[pl.String],
    )
    # A line that is not JSON would end the whole query.
    whole = lines.filter(pl.col("line").str.ends_with("}"))
    found = whole.select(pl.col("line").str.json_decode(schema).alias("found"))
    field = pl.col("found").struct.field
    events = found.select(
        pl.coalesce(
            pl.from_epoch(field("ts"), "ms").dt.cast_time_unit("us"),
            pl.coalesce(field("time"), field("timestamp")).str.to_datetime(
                "%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False
            ),
        ).alias("event_at"),
        pl.coalesce(
            field("anonymous_id"),
            field("anonymousId"),
            field("user").struct.field("anonymous_id"),
            field("user_id"),
            field("userId"),
        ).alias("visitor"),
        pl.coalesce(field("event"), field("name")).alias("event_name"),
    ).drop_nulls(["event_at", "visitor"])
    (
        events.sort("visitor", "event_at")
        .with_columns(
            (
                (pl.col("event_at").diff() > pl.duration(minutes=30))
                | (pl.col("visitor") != pl.col("visitor").shift())
            )
            .fill_null(True)
            .cum_sum()
            .alias("session")
        )
        .group_by("visitor", "session")
        .agg(
            pl.col("event_at").min().alias("started_at"),
            pl.col("event_at").max().alias("ended_at"),
            pl.len().alias("events"),
        )
        .collect()
        .write_parquet(sessions)
    )


def with_pandas(records: str, sessions: str) -> None:
    """pandas, with each line parsed by the standard library."""
    import pandas as pd

    names, times, visitors = [], [], []
    with open(records) as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            names.append(record.get("event") or record.get("name"))
            times.append(
                record.get("ts") or record.get("time") or record.get("timestamp")
            )
            visitors.append(
                record.get("anonymous_id")
                or record.get("anonymousId")
                or (record.get("user") or {}).get("anonymous_id")
                or record.get("user_id")
                or record.get("userId")
            )
    events = pd.DataFrame({"event_name": names, "time": times, "visitor": visitors})
    is_count = events["time"].map(lambda value: isinstance(value, int))
    events["event_at"] = pd.concat(
        [
            pd.to_datetime(events.loc[is_count, "time"].astype("int64"), unit="ms"),
            pd.to_datetime(
                events.loc[~is_count, "time"], format="ISO8601", utc=True
            ).dt.tz_localize(None),
        ]
    )
    events = events.dropna(subset=["visitor", "event_at"]).sort_values(
        ["visitor", "event_at"]
    )
    is_start = (events["event_at"].diff() > pd.Timedelta(minutes=30)) | (
        events["visitor"] != events["visitor"].shift()
    )
    events["session"] = is_start.cumsum()
    events.groupby(["visitor", "session"])["event_at"].agg(
        started_at="min", ended_at="max", events="size"
    ).reset_index().to_parquet(sessions)


def with_pyspark(records: str, sessions: str) -> None:
    """PySpark on two local cores, read with a schema."""
    from pyspark.sql import SparkSession, Window, functions, types

    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    texts = [*NAMES, "time", "timestamp", *VISITORS]
    schema = types.StructType(
        [types.StructField(name, types.StringType()) for name in texts]
        + [
            types.StructField("ts", types.LongType()),
            types.StructField(
                "user",
                types.StructType(
                    [types.StructField("anonymous_id", types.StringType())]
                ),
            ),
        ]
    )
    events = (
        spark.read.schema(schema)
        .json(records)
        .select(
            functions.coalesce(
                functions.timestamp_millis("ts"),
                functions.coalesce("time", "timestamp").cast("timestamp"),
            ).alias("event_at"),
            functions.coalesce(
                "anonymous_id", "anonymousId", "user.anonymous_id", "user_id", "userId"
            ).alias("visitor"),
            functions.coalesce("event", "name").alias("event_name"),
        )
        .where("visitor is not null and event_at is not null")
    )
    per_visitor = Window.partitionBy("visitor").orderBy("event_at")
    gap = functions.col("event_at").cast("double") - functions.lag("event_at").over(
        per_visitor
    ).cast("double")
    (
        events.withColumn("is_start", functions.when(gap <= 1800, 0).otherwise(1))
        .withColumn(
            "session",
            functions.sum("is_start").over(
                per_visitor.rowsBetween(Window.unboundedPreceding, Window.currentRow)
            ),
        )
        .groupBy("visitor", "session")
        .agg(
            functions.min("event_at").alias("started_at"),
            functions.max("event_at").alias("ended_at"),
            functions.count("*").alias("events"),
        )
        .write.mode("overwrite")
        .parquet(sessions)
    )
    spark.stop()


JOBS: dict[str, Callable[[str, str], None]] = {
    "duckdb": with_duckdb,
    "polars": with_polars,
    "pandas": with_pandas,
    "pyspark": with_pyspark,
}


if __name__ == "__main__":
    # A tool that hangs ends here, instead of holding up all others.
    signal.alarm(60 * TIMEOUT_MINUTES)
    JOBS[sys.argv[1]](sys.argv[2], sys.argv[3])
