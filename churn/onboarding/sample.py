"""Read a sample of foreign data in JSON lines, Parquet or CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from churn.ingest.event_files import NoFilesError, find_event_files, new_lines
from churn.onboarding.column_inference import Field

# Formats with columns, by file extension; all other files hold one JSON record per
# line.
COLUMNAR = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}
_MAX_FILES = 20


class CannotReadError(Exception):
    """Report why a sample cannot be read, in one sentence that says what to do."""


@dataclass(frozen=True)
class Sample:
    """Records of some files.

    Attributes:
        records: The parsed records.
        count_unreadable: Number of lines that are not JSON.
        is_columnar: Whether they come from Parquet or CSV.
    """

    records: list[Any]
    count_unreadable: int
    is_columnar: bool


def columnar_format(pattern: str) -> str | None:
    """Return ``parquet`` or ``csv`` by a path's extension, else ``None``."""
    name = pattern.lower()
    for compression in (".gz", ".zst"):
        name = name.removesuffix(compression)
    return next(
        (
            file_format
            for extension, file_format in COLUMNAR.items()
            if name.endswith(extension)
        ),
        None,
    )


def read_expression(pattern: str) -> str:
    """Return DuckDB's table function for Parquet or CSV, CSV columns as text."""
    quoted = pattern.replace("'", "''")
    if columnar_format(pattern) == "parquet":
        return f"read_parquet('{quoted}', union_by_name = true, filename = true)"
    return (
        f"read_csv('{quoted}', all_varchar = true, union_by_name = true, "
        "filename = true)"
    )


def sample_events(pattern: str, size: int) -> Sample:
    """Read up to ``size`` records, spread over the matching files.

    Raises:
        CannotReadError: No file matches, or the files cannot be read.
    """
    if columnar_format(pattern):
        rows = _rows(pattern, size)
        return Sample(rows, 0, True)
    try:
        files = find_event_files(pattern)
    except NoFilesError as error:
        raise CannotReadError(f"No file matches {pattern}: correct it.") from error
    except OSError as error:
        raise CannotReadError(f"{pattern} cannot be read: {error}") from error
    step = max(1, len(files) // _MAX_FILES)
    chosen = files[::step]
    records: list[Any] = []
    count_unreadable = 0
    messages: list[str] = []
    for batch in new_lines(chosen, {}, messages.append):
        for line in batch.column("payload").to_pylist()[: size // len(chosen) + 1]:
            try:
                records.append(json.loads(line))
            except ValueError:
                count_unreadable += 1
    if not records:
        reason = messages[0] if messages else "no line of its files is JSON"
        raise CannotReadError(f"{pattern} cannot be read: {reason}.")
    return Sample(records, count_unreadable, False)


def sample_table(pattern: str, size: int) -> tuple[list[Field], list[str]]:
    """Read the columns of Parquet or CSV files with a sample of their values.

    Returns:
        The columns, and the names of the files.

    Raises:
        CannotReadError: No file matches, or the files have another format.
    """
    if columnar_format(pattern) is None:
        raise CannotReadError(
            f"{pattern} is neither CSV nor Parquet by its name: convert it, or load it "
            "into a table and set that table in dbt_project.yml."
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
            result = connection.execute(
                f"select * from {read_expression(pattern)} "
                f"using sample reservoir({size:d} rows) repeatable (1)"
            )
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0]
        raise CannotReadError(f"{pattern} cannot be read: {first_line}") from error


def values_at(records: list[Any], paths: list[str]) -> Iterator[str]:
    """Yield the first value of each record at simple paths such as ``$.user.id``."""
    for record in records:
        for path in paths:
            value = record
            for step in path.split(".")[1:]:
                value = value.get(step.strip('"')) if isinstance(value, dict) else None
            if value not in (None, ""):
                yield str(value)
                break
