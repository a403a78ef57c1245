"""Read a sample of foreign events with the code that the build uses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from churn.config import UserError
from churn.ingest.decoding import DamagedFileError
from churn.ingest.event_files import (
    EventFile,
    NoFilesError,
    find_event_files,
    read_event_records,
)
from churn.ingest.json_repair import split_record
from churn.ingest.table_readers import NotATableError
from churn.onboarding.column_inference import Field
from churn.quoting import printable, sql_identifier

_MAX_FILES = 40
_MAX_DISTINCT = 20_000


class CannotReadError(UserError):
    """Report why a sample cannot be read, in one sentence that says what to do."""


@dataclass(frozen=True)
class Sample:
    """Records of some files.

    Attributes:
        records: The parsed and normalised objects.
        lines: The records as received.
        count_unreadable: Number of records without an object.
        files: All files that match.
        messages: One sentence for each file that cannot be read.
    """

    records: list[Any]
    lines: list[str]
    count_unreadable: int
    files: Sequence[EventFile]
    messages: Sequence[str] = ()


def sample_events(pattern: str, size: int) -> Sample:
    """Read up to ``size`` records from the beginning, middle and end of the files.

    Args:
        pattern: A path or glob, local or in object storage.
        size: The number of records. Each file gives an equal number of consecutive
            records, so that repeated deliveries can be seen.

    Raises:
        CannotReadError: No file matches, or no file can be read.
    """
    try:
        files = find_event_files(pattern)
    except NoFilesError as error:
        raise CannotReadError(
            f"No file matches {printable(pattern, 200)}: correct it."
        ) from error
    except OSError as error:
        raise CannotReadError(
            f"{printable(pattern, 200)} cannot be read: {printable(error, 200)}"
        ) from error
    step = max(1, -(-len(files) // _MAX_FILES))
    chosen = [*files[::step], *([files[-1]] if (len(files) - 1) % step else [])]
    lines: list[str] = []
    messages: list[str] = []
    for number, file in enumerate(chosen):
        wanted = (size - len(lines)) // (len(chosen) - number) + 1
        try:
            records = read_event_records(file.read())
        except (OSError, DamagedFileError, NotATableError) as error:
            messages.append(f"{printable(file.name, 200)}: {printable(error, 200)}")
            continue
        lines += records.slice(0, wanted).to_pylist()
    lines = lines[:size]
    records, count_unreadable = parse_records(lines)
    if not records:
        reason = messages[0] if messages else "it holds no JSON object"
        raise CannotReadError(f"{printable(pattern, 200)} cannot be read: {reason}.")
    return Sample(records, lines, count_unreadable, files, messages)


def parse_records(lines: Sequence[str | None]) -> tuple[list[Any], int]:
    """Return the objects of records as the build reads them, and count other parts."""
    records: list[Any] = []
    count_unreadable = 0
    for line in lines:
        for part in split_record(line):
            if part.payload is None:
                count_unreadable += 1
            else:
                records.append(json.loads(part.payload))
    return records, count_unreadable


def table_fields(
    connection: duckdb.DuckDBPyConnection, schema: str, table: str
) -> tuple[list[Field], int]:
    """Return the columns of a table with their distinct values, and its rows.

    Columns that the loader added, which begin with an underscore, are left out.
    """
    relation = f"{sql_identifier(schema)}.{sql_identifier(table)}"
    (total,) = connection.execute(f"select count(*) from {relation}").fetchone() or (0,)
    fields = []
    for name, data_type, *_ in connection.execute(f"describe {relation}").fetchall():
        if name.startswith("_"):
            continue
        column = f"cast({sql_identifier(name)} as varchar)"
        each = Field(name)
        for value, count in connection.execute(
            f"""select {column} as value, count(*)
            from {relation} where trim({column}) <> ''
            group by 1 order by 2 desc, 1 limit {_MAX_DISTINCT}"""
        ).fetchall():
            each.values[value] = count
            each.count += count
        each.types["number" if data_type in ("BIGINT", "DOUBLE") else "text"] = (
            each.count
        )
        fields.append(each)
    return fields, int(total)
