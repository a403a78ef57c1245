"""Load the files of one table, such as daily extracts of accounts, into DuckDB.

Each file is loaded once. The raw table has the columns of the files as text, and
columns that say where a row comes from:

- ``_source_file``: the file's path below the fixed part of the glob
- ``_file_date``: the date in the file's path, else the date of its modification
- ``_file_loaded_at``: the midnight after a date in the path, else the modification time
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import pyarrow as pa

from churn.ingest.decoding import DamagedFileError, unpack
from churn.ingest.event_files import EventFile, NoFilesError, find_event_files
from churn.ingest.table_readers import EmptyFileError, NotATableError, read_table
from churn.quoting import printable, sql_identifier

SOURCE_FILE, FILE_DATE, FILE_LOADED_AT = (
    "_source_file",
    "_file_date",
    "_file_loaded_at",
)
_FILE_COLUMNS = {
    SOURCE_FILE: "varchar",
    FILE_DATE: "date",
    FILE_LOADED_AT: "timestamp",
}
_LOADED_TABLES = "loaded_tables"
_BATCH_ROWS = 500_000


@dataclass(frozen=True)
class TableLoad:
    """What a load of one table did.

    Attributes:
        rows: Number of rows that were added.
        files: Number of files that were loaded.
        messages: One sentence for each file that was skipped.
    """

    rows: int
    files: int
    messages: list[str]


def date_in_path(name: str) -> date | None:
    """Return the last date in a path, such as ``2025-03-01`` or ``20250301``."""
    found = re.findall(
        r"(?<!\d)(20\d{2})([-_/.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)", name
    )
    for year, _, month, day in reversed(found):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def load_table_files(
    connection: duckdb.DuckDBPyConnection, schema: str, table: str, pattern: str
) -> TableLoad:
    """Append the rows of new files to a raw table.

    A file with a date in its path whose content has changed is loaded again in place of
    its earlier rows. A file without a date, such as an extract that is overwritten
    every day, is a new extract: its earlier rows stay.

    Args:
        connection: A writable connection.
        schema: Schema of the raw table; created if missing.
        table: Name of the raw table; created if missing.
        pattern: A path or glob, local or in object storage.

    Raises:
        NoFilesError: No file matches.
    """
    files = find_event_files(pattern)
    target = f"{sql_identifier(schema)}.{sql_identifier(table)}"
    history = f"{sql_identifier(schema)}.{sql_identifier(_LOADED_TABLES)}"
    connection.execute(f"create schema if not exists {sql_identifier(schema)}")
    connection.execute(
        f"create table if not exists {history} (table_name varchar, path varchar, "
        "sha256 varchar, bytes bigint, modified_at timestamp)"
    )
    loaded = {
        path: (sha256, size, modified_at)
        for path, sha256, size, modified_at in connection.execute(
            f"select path, sha256, bytes, modified_at from {history} "
            "where table_name = ? order by modified_at",
            [table],
        ).fetchall()
    }
    messages: list[str] = []
    count_rows = count_files = 0
    for batch in _batches(_new_tables(files, loaded, messages.append)):
        connection.execute("begin")
        for file, sha256, _ in batch:
            if file.name in loaded and date_in_path(file.name):
                connection.execute(
                    f"delete from {target} where {SOURCE_FILE} = ?", [file.name]
                )
            connection.execute(
                f"insert into {history} values (?, ?, ?, ?, ?)",
                [table, file.name, sha256, file.bytes, file.modified_at],
            )
        rows = pa.concat_tables(
            [_with_file_columns(rows, file) for file, _, rows in batch],
            promote_options="default",
        )
        _append(connection, schema, table, rows)
        connection.execute("commit")
        count_rows += rows.num_rows
        count_files += len(batch)
    return TableLoad(count_rows, count_files, messages)


def _new_tables(
    files: list[EventFile],
    loaded: dict[str, tuple[str, int, datetime]],
    report: Callable[[str], None],
) -> Iterator[tuple[EventFile, str, pa.Table]]:
    for file in files:
        previous = loaded.get(file.name)
        if previous and previous[1:] == (file.bytes, file.modified_at):
            continue
        try:
            packed = file.read()
            sha256 = hashlib.sha256(packed).hexdigest()
            if previous and previous[0] == sha256:
                continue
            rows = pa.concat_tables(
                [_unique_columns(read_table(content)) for content in unpack(packed)],
                promote_options="default",
            )
        except EmptyFileError:
            # A day without a ticket, for example.
            continue
        except (OSError, DamagedFileError, NotATableError) as error:
            report(
                f"{printable(file.name, 200)} cannot be read and is skipped: "
                f"{printable(error, 200)}."
            )
            continue
        yield file, sha256, rows


def _batches(
    tables: Iterator[tuple[EventFile, str, pa.Table]],
) -> Iterator[list[tuple[EventFile, str, pa.Table]]]:
    batch: list[tuple[EventFile, str, pa.Table]] = []
    for each in tables:
        batch.append(each)
        if sum(rows.num_rows for *_, rows in batch) >= _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _unique_columns(rows: pa.Table) -> pa.Table:
    """Rename columns that differ only in case, which DuckDB does not tell apart."""
    seen = set(_FILE_COLUMNS)
    names = []
    for number, name in enumerate(rows.column_names):
        name = name.replace("\0", "").strip() or f"column_{number}"
        unique, count = name, 1
        while unique.lower() in seen:
            unique, count = f"{name}_{count}", count + 1
        seen.add(unique.lower())
        names.append(unique)
    return rows.rename_columns(names)


def _with_file_columns(rows: pa.Table, file: EventFile) -> pa.Table:
    day = date_in_path(file.name)
    arrived_at = file.modified_at
    if day is not None:
        midnight = datetime(day.year, day.month, day.day) + timedelta(days=1)
        arrived_at = min(arrived_at, midnight)
    values = {
        SOURCE_FILE: pa.scalar(file.name, pa.string()),
        FILE_DATE: pa.scalar(day or arrived_at.date(), pa.date32()),
        FILE_LOADED_AT: pa.scalar(arrived_at, pa.timestamp("us")),
    }
    for name, value in values.items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    return rows


def _append(
    connection: duckdb.DuckDBPyConnection, schema: str, table: str, rows: pa.Table
) -> None:
    """Append rows by column name; add the columns that the table lacks."""
    target = f"{sql_identifier(schema)}.{sql_identifier(table)}"
    types = {name: _FILE_COLUMNS.get(name, "varchar") for name in rows.column_names}
    columns = ", ".join(f"{sql_identifier(n)} {t}" for n, t in types.items())
    connection.execute(f"create table if not exists {target} ({columns})")
    existing = {
        name.lower() for name, *_ in connection.execute(f"describe {target}").fetchall()
    }
    for name in types:
        if name.lower() not in existing:
            connection.execute(
                f"alter table {target} add column {sql_identifier(name)} {types[name]}"
            )
    connection.register("rows_of_files", rows)
    connection.execute(f"insert into {target} by name select * from rows_of_files")
    connection.unregister("rows_of_files")


__all__ = ["NoFilesError", "TableLoad", "date_in_path", "load_table_files"]
