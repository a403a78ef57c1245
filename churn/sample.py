"""Reads a sample of someone's own data, whatever it is kept in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from churn.column_inference import Field
from churn.event_files import NoFilesError, find_event_files, new_lines

# Files whose rows are columns, by the endings of their names; all others hold one
# JSON record a line.
COLUMNAR = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}
_FILES = 20


class CannotReadError(Exception):
    """Why a sample cannot be read, as one sentence that says what to do."""


@dataclass(frozen=True)
class Sample:
    """Records of some files.

    Attributes:
        records: Parsed records, as far as they could be parsed.
        count_unreadable: Lines that are not JSON.
        is_columnar: Whether they come from Parquet or CSV.
    """

    records: list[Any]
    count_unreadable: int
    is_columnar: bool


def kind_of(pattern: str) -> str | None:
    """``parquet`` or ``csv`` by a path's ending, packed or not; else none."""
    name = pattern.lower()
    for packing in (".gz", ".zst"):
        name = name.removesuffix(packing)
    return next(
        (kind for ending, kind in COLUMNAR.items() if name.endswith(ending)), None
    )


def read_expression(pattern: str) -> str:
    """DuckDB's table function for Parquet or CSV files, all columns of CSV as text."""
    quoted = pattern.replace("'", "''")
    if kind_of(pattern) == "parquet":
        return f"read_parquet('{quoted}', union_by_name = true, filename = true)"
    return (
        f"read_csv('{quoted}', all_varchar = true, union_by_name = true, "
        "filename = true)"
    )


def sample_events(pattern: str, size: int) -> Sample:
    """Up to ``size`` records, spread over the files that the path names.

    Raises:
        CannotReadError: There are no such files, or they cannot be read.
    """
    if kind_of(pattern):
        rows = _rows(pattern, size)
        return Sample(rows, 0, True)
    try:
        files = find_event_files(pattern)
    except NoFilesError as error:
        raise CannotReadError(f"No file is named by {pattern}: correct it.") from error
    except OSError as error:
        raise CannotReadError(f"{pattern} cannot be read: {error}") from error
    step = max(1, len(files) // _FILES)
    chosen = files[::step]
    records: list[Any] = []
    count_unreadable = 0
    said: list[str] = []
    for batch in new_lines(chosen, {}, said.append):
        for line in batch.column("payload").to_pylist()[: size // len(chosen) + 1]:
            try:
                records.append(json.loads(line))
            except ValueError:
                count_unreadable += 1
    if not records:
        reason = said[0] if said else "its files hold no line that is JSON"
        raise CannotReadError(f"{pattern} cannot be read: {reason}.")
    return Sample(records, count_unreadable, False)


def sample_table(pattern: str, size: int) -> tuple[list[Field], list[str]]:
    """The columns of Parquet or CSV files with a sample of their values.

    Returns:
        The columns, and the names of the files.

    Raises:
        CannotReadError: There are no such files, or they are of another kind.
    """
    if kind_of(pattern) is None:
        raise CannotReadError(
            f"{pattern} is neither CSV nor Parquet by its name: convert it, or load it "
            "into a table and name that in dbt_project.yml."
        )
    rows = _rows(pattern, size)
    names = list(rows[0]) if rows else []
    columns = {name: Field(name) for name in names if name != "filename"}
    for row in rows:
        for name, each in columns.items():
            if row[name] is not None and str(row[name]).strip():
                each.count += 1
                each.types["text" if isinstance(row[name], str) else "number"] += 1
                each.values[str(row[name])] += 1
    return list(columns.values()), sorted({str(row["filename"]) for row in rows})


def _rows(pattern: str, size: int) -> list[dict[str, Any]]:
    try:
        with duckdb.connect() as connection:
            read = connection.execute(
                f"select * from {read_expression(pattern)} "
                f"using sample reservoir({size:d} rows) repeatable (1)"
            )
            names = [column[0] for column in read.description]
            return [dict(zip(names, row, strict=True)) for row in read.fetchall()]
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0]
        raise CannotReadError(f"{pattern} cannot be read: {first_line}") from error


def user_ids(records: list[Any], paths: list[str]) -> Iterator[str]:
    """The values at plain paths such as ``$.user.id``."""
    for record in records:
        for path in paths:
            value = record
            for step in path.split(".")[1:]:
                value = value.get(step.strip('"')) if isinstance(value, dict) else None
            if value not in (None, ""):
                yield str(value)
                break
