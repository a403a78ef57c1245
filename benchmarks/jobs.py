"""One job, implemented in several tools: raw files to events and sessions.

``python -m benchmarks.jobs TOOL RECORDS.jsonl COLUMNS.json FOLDER``

Each job reads the same file with records of three trackers, extracts every column of
the field mapping from any of its paths, drops lines that are not JSON, writes the
events, splits each visitor's events into sessions after gaps of 30 minutes, and writes
the sessions. All but DuckDB, the floor, deduplicate events. None of them stores
rejects, repairs records, reads other time formats, or processes new records
incrementally.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TOOLS = ("duckdb", "polars", "pandas", "pyspark")
TIMEOUT_MINUTES = 30

# JSON paths of each column, in order of precedence.
Columns = dict[str, list[str]]

# The field with a time in milliseconds; other times are texts.
EPOCH_MS_FIELD = "ts"
# An object in the records of one tracker, a text in those of another.
OBJECT_OR_TEXT = "page"
VISITOR = ("anonymous_id", "user_id")


def with_duckdb(records: str, columns: Columns, folder: Path) -> None:
    """Run SQL on DuckDB with two threads and one extraction per record."""
    import duckdb

    paths = [path for listed in columns.values() for path in listed]
    numbers = {path: number for number, path in enumerate(paths, start=1)}
    selected = ", ".join(
        f"coalesce({', '.join(f'texts[{numbers[path]}]' for path in listed)}) as {name}"
        for name, listed in columns.items()
    )
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(
            f"""
            copy (
                with lines as (
                    select
                        -- If one row fails, `try` repeats the block row by row.
                        case
                            when json_valid(line)
                                then json_extract_string(line, {paths})
                        end as texts
                    from read_csv(
                        '{records}', columns = {{'line': 'varchar'}}, header = false,
                        auto_detect = false, delim = '\x01', quote = '', escape = ''
                    )
                ),
                fields as (
                    select {selected}
                    from lines
                    where texts is not null
                )
                select
                    *,
                    coalesce({", ".join(VISITOR)}) as visitor,
                    coalesce(
                        make_timestamp(try_cast(occurred_at as bigint) * 1000),
                        try_cast(occurred_at as timestamp)
                    ) as event_at
                from fields
                where visitor is not null and event_at is not null
            ) to '{folder}/events.parquet' (format parquet)
            """
        )
        connection.execute(
            f"""
            copy (
                with numbered as (
                    select
                        visitor,
                        event_at,
                        sum(is_start) over (
                            partition by visitor order by event_at
                            rows unbounded preceding
                        ) as session
                    from (
                        select
                            visitor,
                            event_at,
                            case when event_at - lag(event_at) over (
                                partition by visitor order by event_at
                            ) <= interval 30 minute then 0 else 1 end as is_start
                        from '{folder}/events.parquet'
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
            ) to '{folder}/sessions.parquet' (format parquet)
            """
        )


def with_polars(records: str, columns: Columns, folder: Path) -> None:
    """Run Polars, parsing each line once into the required fields."""
    import polars as pl

    lines = pl.scan_csv(
        records,
        separator="\x01",
        has_header=False,
        quote_char=None,
        new_columns=["line"],
        schema_overrides=[pl.String],
    )
    # A line that is not JSON, or an object where the schema has a text, would fail the
    # query.
    complete = lines.filter(pl.col("line").str.ends_with("}"))
    has_object = pl.col("line").str.contains(f'"{OBJECT_OR_TEXT}":{{', literal=True)

    def schema(fields: dict[str, Any]) -> pl.Struct:
        return pl.Struct(
            {
                name: schema(inner)
                if inner
                else pl.Int64
                if name == EPOCH_MS_FIELD
                else pl.String
                for name, inner in fields.items()
            }
        )

    def field(steps: list[str]) -> pl.Expr:
        value = pl.col("record")
        for step in steps:
            value = value.struct.field(step)
        if steps == [EPOCH_MS_FIELD]:
            return pl.from_epoch(value, "ms").dt.cast_time_unit("us")
        return value

    def text_to_time(text: pl.Expr) -> pl.Expr:
        return text.str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False
        )

    def events_of(records: pl.LazyFrame, leads_into_object: bool) -> pl.LazyFrame:
        steps = {
            name: [
                path
                for path in map(steps_of, listed)
                if path[0] != OBJECT_OR_TEXT or (len(path) > 1) == leads_into_object
            ]
            for name, listed in columns.items()
        }
        fields = nested_fields(path for listed in steps.values() for path in listed)
        return records.select(
            pl.col("line").str.json_decode(schema(fields)).alias("record")
        ).select(
            *(
                pl.coalesce(
                    text_to_time(field(path))
                    if name == "occurred_at" and path != [EPOCH_MS_FIELD]
                    else field(path)
                    for path in listed
                ).alias(name)
                for name, listed in steps.items()
            )
        )

    events = (
        pl.concat(
            [
                events_of(complete.filter(~has_object), False),
                events_of(complete.filter(has_object), True),
            ]
        )
        .unique(subset="event_id")
        .with_columns(
            pl.coalesce(*VISITOR).alias("visitor"),
            pl.col("occurred_at").alias("event_at"),
        )
        .drop_nulls(["event_at", "visitor"])
        .collect()
    )
    events.write_parquet(folder / "events.parquet")
    (
        events.lazy()
        .select("visitor", "event_at")
        .sort("visitor", "event_at")
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
        .write_parquet(folder / "sessions.parquet")
    )


def with_pandas(records: str, columns: Columns, folder: Path) -> None:
    """Run pandas, parsing each line with the standard library."""
    import pandas as pd

    def value_at(record: dict[str, Any], steps: list[str]) -> Any:
        value: Any = record
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return None if isinstance(value, dict) else value

    steps = {name: list(map(steps_of, listed)) for name, listed in columns.items()}
    values: dict[str, list[Any]] = {name: [] for name in columns}
    with open(records) as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            for name, listed in steps.items():
                found = (value_at(record, path) for path in listed)
                values[name].append(
                    next((value for value in found if value is not None), None)
                )
    events = pd.DataFrame(values).drop_duplicates(subset="event_id")
    times = events.pop("occurred_at")
    is_count = times.map(lambda value: isinstance(value, int))
    events["event_at"] = pd.concat(
        [
            pd.to_datetime(times[is_count].astype("int64"), unit="ms"),
            pd.to_datetime(times[~is_count], format="ISO8601", utc=True).dt.tz_localize(
                None
            ),
        ]
    )
    first, second = VISITOR
    events["visitor"] = events[first].fillna(events[second])
    events = events.dropna(subset=["visitor", "event_at"])
    events.to_parquet(folder / "events.parquet")
    ordered = events[["visitor", "event_at"]].sort_values(["visitor", "event_at"])
    is_start = (ordered["event_at"].diff() > pd.Timedelta(minutes=30)) | (
        ordered["visitor"] != ordered["visitor"].shift()
    )
    ordered["session"] = is_start.cumsum()
    ordered.groupby(["visitor", "session"])["event_at"].agg(
        started_at="min", ended_at="max", events="size"
    ).reset_index().to_parquet(folder / "sessions.parquet")


def with_pyspark(records: str, columns: Columns, folder: Path) -> None:
    """Run PySpark on two local cores, reading with a schema."""
    from pyspark.sql import Column, SparkSession, Window, functions

    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    listed = [path for paths in columns.values() for path in map(steps_of, paths)]
    fields = nested_fields(listed)
    # Spark reads an object into a text column as its JSON.
    fields[OBJECT_OR_TEXT] = {}

    def field(steps: list[str]) -> Column:
        if steps[0] == OBJECT_OR_TEXT and len(steps) > 1:
            return functions.get_json_object(steps[0], "$." + ".".join(steps[1:]))
        return functions.col(".".join(f"`{step}`" for step in steps))

    occurred_at = functions.col("occurred_at")
    (
        spark.read.schema(spark_schema(fields))
        .json(records)
        .select(
            *(
                functions.coalesce(*map(field, map(steps_of, paths))).alias(name)
                for name, paths in columns.items()
            )
        )
        .dropDuplicates(["event_id"])
        .withColumn("visitor", functions.coalesce(*VISITOR))
        .withColumn(
            "event_at",
            functions.coalesce(
                functions.timestamp_millis(occurred_at.try_cast("bigint")),
                occurred_at.try_cast("timestamp"),
            ),
        )
        .where("visitor is not null and event_at is not null")
        .write.mode("overwrite")
        .parquet(f"{folder}/events.parquet")
    )
    events = spark.read.parquet(f"{folder}/events.parquet")
    per_visitor = Window.partitionBy("visitor").orderBy("event_at")
    gap = functions.col("event_at").cast("double") - functions.lag("event_at").over(
        per_visitor
    ).cast("double")
    (
        events.select("visitor", "event_at")
        .withColumn("is_start", functions.when(gap <= 1800, 0).otherwise(1))
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
        .parquet(f"{folder}/sessions.parquet")
    )
    spark.stop()


def steps_of(path: str) -> list[str]:
    """Split `$.user.id` into ["user", "id"]; the field mapping has no other steps."""
    return path.split(".")[1:]


def nested_fields(paths: Iterable[list[str]]) -> dict[str, Any]:
    """Return the fields of some paths as a tree of dictionaries."""
    tree: dict[str, Any] = {}
    for steps in paths:
        node = tree
        for step in steps:
            node = node.setdefault(step, {})
    return tree


def spark_schema(fields: dict[str, Any], separator: str = " ") -> str:
    """Format the tree of fields as a Spark schema; leaves are texts."""
    return ", ".join(
        f"`{name}`{separator}"
        + (f"struct<{spark_schema(inner, ': ')}>" if inner else "string")
        for name, inner in fields.items()
    )


JOBS: dict[str, Callable[[str, Columns, Path], None]] = {
    "duckdb": with_duckdb,
    "polars": with_polars,
    "pandas": with_pandas,
    "pyspark": with_pyspark,
}


if __name__ == "__main__":
    # Stop a hanging tool, so that the others can run.
    signal.alarm(60 * TIMEOUT_MINUTES)
    _, _tool, _records, _columns, _folder = sys.argv
    JOBS[_tool](_records, json.loads(Path(_columns).read_text()), Path(_folder))
