"""Parity of engines: compare the tables that two engines have built, row by row."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import compress
from pathlib import Path
from typing import Any

from tests.support.engines import Engine

# Columns that depend on the run or the engine.
DIFFERENT_BY_NATURE = {
    "processed_at",
    "record_processed_at",
    "last_grown_at",
    "finalized_at",
    "updated_at",
    "periods_updated_at",
    "trained_at",
    "assigned_at",
    "scored_at",
    "model",
    "training_seconds",
    "search_seconds",
    # Digests of numbers that differ in the last digits, and names that contain them.
    # The numbers themselves are compared.
    "data_fingerprint",
    "training_fingerprint",
    "model_version",
    "inputs_digest",
}
# One of several examples; the choice depends on how records were grouped.
NOT_COMPARED_COLUMNS = {"stg_clickstream__json_paths.example"}
# Record groups depend on the engine. Their result, stg_clickstream__json_paths, is
# compared. Scratch models are tables with the rows of one run. On DuckDB they are
# views, which return other rows after the run. The tables that they feed are compared.
NOT_COMPARED = {
    "base_clickstream__record_shapes",
    "base_clickstream__new_event_versions",
    "int_affected_sessions",
}
# Whether the strict or the repair path reads a record with a repeated key depends on
# the engine. The result, base_clickstream__records, is compared.
PARSING_TABLES = {
    "base_clickstream__parsed_records",
    "base_clickstream__repaired_json",
    "base_clickstream__parsed_repaired_records",
}

RELATIVE = 1e-9
# Tolerance for results of a model that was trained on each engine.
SCORES = 1e-6


@dataclass
class Built:
    """The project, built from the seeds on an engine and on DuckDB."""

    engine: Engine
    duckdb: Engine
    tables: list[str]

    @cached_property
    def records_with_repeated_keys(self) -> set[tuple[Any, Any]]:
        """Return file and time of repeated-key records that took different paths.

        An engine that does not accept such a record as strict JSON repairs it.
        """
        ours, theirs = (
            {
                (row["source_file"], row["received_at"])
                for row in engine.rows(
                    "select source_file, received_at, payload from "
                    f"{engine.relation('base_clickstream__parsed_records')} "
                    "where needs_repair"
                ).to_pylist()
                if has_repeated_key(row["payload"] or "")
            }
            for engine in (self.engine, self.duckdb)
        )
        return ours ^ theirs


def tables_built(result: Any) -> list[str]:
    """Return the compared tables that a dbt command has built, sorted."""
    nodes = [outcome.node for outcome in result.result.results]
    return sorted(
        node.alias
        for node in nodes
        if node.resource_type in ("model", "seed") and node.alias not in NOT_COMPARED
    )


def differences(built: Built, at_once: int = 1) -> list[str]:
    """Return sentences about rows that differ from DuckDB's.

    Args:
        built: The two builds.
        at_once: Number of tables to read in parallel, for engines with high latency.
    """
    with ThreadPoolExecutor(at_once) as threads:
        found = threads.map(partial(compare, built), built.tables)
    return [sentence for sentences in found for sentence in sentences]


def compare(built: Built, table: str) -> list[str]:
    """Return sentences about the rows of one table, at most one per column."""
    expected, actual = (
        rows_of(
            engine,
            f"raw.{table}" if table.startswith("raw_") else engine.relation(table),
        )
        for engine in (built.duckdb, built.engine)
    )
    if expected.keys() != actual.keys():
        return [f"{table} has other columns: {expected.keys() ^ actual.keys()}"]
    tolerance = SCORES if depends_on_model(table) else RELATIVE
    if table in PARSING_TABLES:
        excluded = built.records_with_repeated_keys
        expected = without_records(expected, excluded)
        actual = without_records(actual, excluded)
    columns = sorted(expected)
    ours = sorted(zip(*(actual[name] for name in columns), strict=True), key=sort_key)
    theirs = sorted(
        zip(*(expected[name] for name in columns), strict=True), key=sort_key
    )
    if len(ours) != len(theirs):
        return [f"{table} has {len(ours)} rows, not {len(theirs)}"]
    different: dict[str, str] = {}
    for our_row, their_row in zip(ours, theirs, strict=True):
        for name, our, their in zip(columns, our_row, their_row, strict=True):
            if name not in different and not same(our, their, tolerance):
                different[name] = f"{table}.{name} is {our!r}, not {their!r}"
    return list(different.values())


# Columns of a snapshot that contain digests, or bytes that depend on them.
SNAPSHOT_QUERIES = {
    "accounts": "select * from accounts",
    "facets": "select * from facets",
    "words": "select * from words",
    "sections": "select * from sections where section <> 'history'",
    "history": "select account_id, lines from sections where section = 'history'",
    "decisions": "select account_id, as_of_date, is_replayed, churn_probability "
    "from decisions",
    "documents": "select name, json_array_length(body) as rows from documents "
    "where name <> 'model_card'",
}


def snapshot_differences(built: Built) -> list[str]:
    """Publish from both engines; return sentences about what readers would see."""
    ours, theirs = (
        _snapshot_rows(engine.publish()) for engine in (built.engine, built.duckdb)
    )
    different = []
    for name, rows in theirs.items():
        assert rows, f"no {name} were published"
        if len(rows) != len(ours[name]):
            different.append(f"{name} has {len(ours[name])} rows, not {len(rows)}")
            continue
        different += [
            f"{name} has {our_row}, not {their_row}"
            for our_row, their_row in zip(ours[name], rows, strict=True)
            if not all(
                same(our, their, SCORES)
                for our, their in zip(our_row, their_row, strict=True)
            )
        ][:3]
    return different


def _snapshot_rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = {}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for name, query in SNAPSHOT_QUERIES.items():
            cursor = connection.execute(query)
            columns = [column[0] for column in cursor.description]
            kept = [column not in DIFFERENT_BY_NATURE for column in columns]
            rows[name] = [tuple(compress(row, kept)) for row in cursor]
    # A line of the history is a date, a probability and a model version.
    rows["history"] = [
        (account_id, day, float(probability))
        for account_id, lines in rows["history"]
        for day, probability, _ in (line.split("\t") for line in lines.split("\n"))
    ]
    return {name: sorted(found, key=sort_key) for name, found in rows.items()}


def has_repeated_key(payload: str) -> bool:
    repeated = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        repeated.append(len(keys) > len(set(keys)))

    with contextlib.suppress(ValueError, RecursionError):
        json.loads(payload, object_pairs_hook=note)
    return any(repeated)


def without_records(
    rows: dict[str, list[Any]], excluded: set[tuple[Any, Any]]
) -> dict[str, list[Any]]:
    kept = [
        key not in excluded
        for key in zip(rows["source_file"], rows["received_at"], strict=True)
    ]
    assert any(kept) or not kept
    return {name: list(compress(values, kept)) for name, values in rows.items()}


def depends_on_model(table: str) -> bool:
    return table.startswith(("churn_score", "int_accounts_scored", "churn_model"))


def rows_of(engine: Engine, table: str) -> dict[str, list[Any]]:
    rows = engine.rows(f"select * from {table}")
    return {
        name.lower(): column.to_pylist()
        for name, column in zip(rows.column_names, rows.columns, strict=True)
        if name.lower() not in DIFFERENT_BY_NATURE
        and f"{table.rpartition('.')[2]}.{name.lower()}" not in NOT_COMPARED_COLUMNS
    }


def sort_key(row: tuple[Any, ...]) -> list[tuple[int, Any]]:
    """Return a sort key for rows of mixed types; floats are rounded."""
    return [sort_value(value) for value in row]


def sort_value(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (1, int(value))
    if isinstance(value, int | float):
        return (2, float(f"{value:.4e}"))
    if isinstance(value, datetime.datetime):
        return (3, value.isoformat())
    return (4, str(value))


def same(ours: Any, theirs: Any, tolerance: float) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float | int):
        return math.isclose(ours, theirs, rel_tol=tolerance, abs_tol=1e-9)
    return ours == theirs
