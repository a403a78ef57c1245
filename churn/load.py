"""Loads a landing zone into the raw tables: ``python -m churn.load DIR``.

Each file is loaded exactly once. ``loaded_files``, beside the raw tables, says
which are: a file's rows and its line there are written in one transaction, so
that a load that is killed loses nothing and doubles nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from churn.file_readers import (
    RAW_TABLES,
    RawTable,
    SourceFile,
    UnreadableFileError,
    find_files,
    read_bytes,
    read_csv,
    read_lines,
)

# A batch of files that is loaded in one transaction holds about this much.
_BATCH_BYTES = 64_000_000
_BATCH_FILES = 1_000


# An envelope that cannot be read becomes a record with the whole line as its
# payload, received in the last second of the file's day.
_ENVELOPES = r"""
    select
        case when is_readable then fields[2] else line end as payload,
        case
            when is_readable then received_at
            else cast(
                regexp_extract(source_file, 'dt=(\d{4}-\d{2}-\d{2})', 1)
                || ' 23:59:59' as timestamp
            )
        end as received_at,
        source_file
    from (
        select
            *,
            coalesce(
                received_at is not null and fields[2] is not null, false
            ) as is_readable
        from (
            select
                *,
                try_cast(fields[1] as timestamptz) at time zone 'UTC' as received_at
            from (
                select
                    line,
                    source_file,
                    try(json_extract_string(line, ['$.received_at', '$.payload']))
                        as fields
                from accepted
            )
        )
    )
"""


class LoadError(Exception):
    """Why nothing can be loaded; the message is one sentence."""


@dataclass
class LoadReport:
    """What a load did."""

    files: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    known: int = 0
    changed: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def load(
    folder: Path,
    database: Path,
    raw_schema: str = "raw",
    show_progress: bool = False,
) -> LoadReport:
    """Load what is new in a landing zone into a DuckDB file.

    Args:
        folder: The landing zone.
        database: The DuckDB file; made if it is not there.
        raw_schema: Schema of the raw tables; made if it is not there.
        show_progress: Whether to tell on stderr how far the load is.

    Returns:
        What was loaded, known already, changed since, or unreadable.

    Raises:
        LoadError: There is nothing to load from or into.
    """
    if not folder.is_dir():
        raise LoadError(f"There is no folder {folder}: name the landing zone.")
    files = list(find_files(folder))
    if not files:
        raise LoadError(
            f"{folder} holds no landing zone: no file such as clickstream/dt=*/"
            "*.jsonl.gz or salesforce/batch_date=*/accounts.csv.gz is in it."
        )
    try:
        with _connect(database) as connection:
            loader = _Loader(connection, raw_schema, database)
            return loader.load(files, show_progress)
    except duckdb.Error as error:
        raise LoadError(
            f"Loading into {database} stopped, and what was complete is kept: "
            f"{_first_line(error)}"
        ) from error


def _connect(database: Path) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file for writing, with UTC as its time zone."""
    try:
        connection = duckdb.connect(str(database))
    except duckdb.Error as error:
        if "lock" in str(error).lower():
            raise LoadError(
                f"The database {database} is in use by another process: close that, "
                "then load again."
            ) from error
        raise LoadError(
            f"The database {database} cannot be opened: {_first_line(error)}"
        ) from error
    connection.execute("set TimeZone = 'UTC'")
    return connection


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


class _Loader:
    """One load into one database."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, schema: str, database: Path
    ) -> None:
        self.connection = connection
        # With the database's name: a file may be called like the schema.
        found = connection.execute("select current_database()").fetchone()
        self.schema = f"{_quoted(str(found and found[0]))}.{_quoted(schema)}"
        self.database = database
        self.report = LoadReport()

    def load(self, files: list[SourceFile], show_progress: bool) -> LoadReport:
        self._create_tables()
        new_files = self._without_known_files(files)
        told_at, done = time.monotonic(), 0
        for table in RAW_TABLES:
            own = [file for file in new_files if file.table is table]
            for batch in _batches(own):
                self._load_batch(table, batch)
                done += len(batch)
                if show_progress and time.monotonic() - told_at > 2:
                    told_at = time.monotonic()
                    print(
                        f"   {table.name}: {done} of {len(new_files)} files",
                        file=sys.stderr,
                    )
        return self.report

    def _create_tables(self) -> None:
        """Make what is missing; refuse tables that were filled otherwise."""
        schema = self.schema
        self.connection.execute("begin")
        self.connection.execute(f"create schema if not exists {schema}")
        self.connection.execute(
            f"""create table if not exists {schema}.loaded_files (
                path varchar primary key, table_name varchar, rows bigint,
                bytes bigint, modified_ns bigint, sha256 varchar)"""
        )
        for table in RAW_TABLES:
            columns = ", ".join(
                f"{name} {kind}" for name, kind in table.columns.items()
            )
            self.connection.execute(
                f"create table if not exists {schema}.{table.name} ({columns})"
            )
        if not self._has_rows("loaded_files"):
            for table in RAW_TABLES:
                if self._has_rows(table.name):
                    self.connection.execute("rollback")
                    raise LoadError(
                        f"{table.name} in {self.database} already holds rows "
                        "that no load wrote, such as the demo seeds: delete that "
                        "file, or load into another one with --database."
                    )
        self.connection.execute("commit")

    def _has_rows(self, table: str) -> bool:
        rows = self.connection.execute(f"select 1 from {self.schema}.{table} limit 1")
        return rows.fetchone() is not None

    def _without_known_files(self, files: list[SourceFile]) -> list[SourceFile]:
        """The files that are not loaded yet; changed ones are only noted."""
        known = {
            path: (size, modified_ns, checksum)
            for path, size, modified_ns, checksum in self.connection.execute(
                f"""select path, bytes, modified_ns, sha256
                from {self.schema}.loaded_files"""
            ).fetchall()
        }
        new_files = []
        for file in files:
            if file.path not in known:
                new_files.append(file)
                continue
            self.report.known += 1
            size, modified_ns, checksum = known[file.path]
            if (size, modified_ns) == (file.bytes, file.modified_ns):
                continue
            try:
                is_same = size == file.bytes and read_bytes(file)[1] == checksum
            except UnreadableFileError:
                is_same = False
            if not is_same:
                self.report.changed.append(file.path)
        return new_files

    def _load_batch(self, table: RawTable, batch: list[SourceFile]) -> None:
        """Load files in one transaction; if that fails, one by one."""
        try:
            self._insert(table, batch)
        except duckdb.Error as error:
            self.connection.execute("rollback")
            if not isinstance(error, duckdb.DataError):
                raise
            if len(batch) > 1:
                for file in batch:
                    self._load_batch(table, [file])
            else:
                self.report.unreadable.append(
                    f"{batch[0].path} cannot be read: {_first_line(error)}"
                )

    def _insert(self, table: RawTable, batch: list[SourceFile]) -> None:
        """Write files and their lines in the ledger in one transaction."""
        parts: list[pa.Table] = []
        ledger: list[tuple[str, str, int, int, int, str]] = []
        unreadable: list[str] = []
        for file in batch:
            try:
                part, checksum = _read(file)
            except UnreadableFileError as error:
                unreadable.append(str(error))
                continue
            parts.append(part)
            about = (len(part), file.bytes, file.modified_ns, checksum)
            ledger.append((file.path, table.name, *about))
        self.connection.execute("begin")
        if parts:
            self.connection.register("accepted", pa.concat_tables(parts))
            self.connection.execute(
                f"""insert into {self.schema}.{table.name}
                ({", ".join(table.columns)}) {_select_loaded(table)}"""
            )
            self.connection.executemany(
                f"insert into {self.schema}.loaded_files values (?, ?, ?, ?, ?, ?)",
                ledger,
            )
        self.connection.execute("commit")
        self.report.unreadable += unreadable
        self.report.files[table.name] += len(ledger)
        self.report.rows[table.name] += sum(entry[2] for entry in ledger)


def _read(file: SourceFile) -> tuple[pa.Table, str]:
    """The rows of a file as text, and its checksum."""
    content, checksum = read_bytes(file)
    if file.table.name != "raw_events":
        return read_csv(file, content), checksum
    lines = read_lines(content)
    paths = pa.repeat(file.path, len(lines))
    return pa.table({"line": lines, "source_file": paths}), checksum


def _select_loaded(table: RawTable) -> str:
    """The columns of a raw table, made from what is registered as ``accepted``."""
    if table.name == "raw_events":
        return _ENVELOPES
    columns = (f"cast({name} as {kind})" for name, kind in table.columns.items())
    return f"select {', '.join(columns)} from accepted"


def _batches(files: list[SourceFile]) -> list[list[SourceFile]]:
    """Files in order, cut where a batch would grow too large."""
    batches: list[list[SourceFile]] = []
    size = 0
    for file in files:
        # Gzip files of this kind unpack to about eight times their size.
        unpacked = file.bytes * (8 if file.path.endswith(".gz") else 1)
        if (
            not batches
            or size + unpacked > _BATCH_BYTES
            or len(batches[-1]) >= _BATCH_FILES
        ):
            batches.append([])
            size = 0
        batches[-1].append(file)
        size += unpacked
    return batches


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m churn.load",
        description="Loads a landing zone into the raw tables, each file once.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the landing zone")
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("CHURN_DUCKDB_PATH", "churn.duckdb")),
        help="DuckDB file (default CHURN_DUCKDB_PATH, else churn.duckdb)",
    )
    parser.add_argument(
        "--raw-schema", default="raw", help="schema of the raw tables (default raw)"
    )
    options = parser.parse_args(arguments)
    try:
        report = load(options.folder, options.database, options.raw_schema, True)
    except LoadError as error:
        print(error, file=sys.stderr)
        return 1
    _print_report(report, options.database)
    return 1 if report.unreadable else 0


def _print_report(report: LoadReport, database: Path) -> None:
    for table in RAW_TABLES:
        if report.files[table.name]:
            print(
                f"   {table.name:<13} {report.rows[table.name]:>11,} rows from "
                f"{report.files[table.name]:,} files"
            )
    if not report.files:
        print(f"   nothing new: all {report.known:,} files are in {database} already")
    elif report.known:
        print(f"   {report.known:,} other files had been loaded before")
    if report.changed:
        print(
            f"Warning: {len(report.changed):,} files changed after they were loaded, "
            f"such as {report.changed[0]}, and were not loaded again: deliver changes "
            "as new files.",
            file=sys.stderr,
        )
    for reason in report.unreadable:
        print(f"Not loaded: {reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
