"""Load a landing zone into the raw tables: ``churn load DIR``.

Each file is loaded exactly once. The table ``loaded_files`` lists the loaded files. The
rows of a file and its entry there are written in one transaction, so an interrupted
load neither loses nor repeats rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from churn.config import UserError, disk_remedy, open_database, roll_back
from churn.ingest.file_readers import (
    RAW_TABLES,
    RawTable,
    SourceFile,
    UnreadableFileError,
    find_files,
    read_bytes,
    read_csv,
    read_json_lines,
    read_lines,
)
from churn.quoting import sql_identifier

# Receives a step's name, the number of finished parts, and the total.
Progress = Callable[[str, int, int], None]

# Approximate size of the unpacked files that are loaded in one transaction.
_BATCH_BYTES = 64_000_000
_BATCH_FILES = 1_000


# A line without a readable envelope becomes a record with the complete line as its
# payload, received in the last second of the file's date.
_ENVELOPES = r"""
    select
        case when is_readable then fields[2] else line end as payload,
        case
            when is_readable then received_at
            -- Null if the folder names no date, such as dt=today.
            else try_cast(
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
                from new_rows
            )
        )
    )
"""


class LoadError(UserError):
    """Report why nothing can be loaded; the message is one sentence."""


@dataclass
class LoadReport:
    """Counts and messages of a load.

    Attributes:
        files: Loaded files by raw table.
        rows: Loaded rows by raw table.
        already_loaded: Files that an earlier load has loaded.
        changed: Paths of files that changed after they were loaded.
        unreadable: Messages about files that cannot be read.
    """

    files: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    already_loaded: int = 0
    changed: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def load(
    folder: Path,
    database: Path,
    raw_schema: str = "raw",
    progress: Progress | None = None,
) -> LoadReport:
    """Load the new files of a landing zone into a DuckDB file.

    Args:
        folder: The landing zone.
        database: The DuckDB file; created if missing.
        raw_schema: Schema of the raw tables; created if missing.
        progress: Called with a step's name, the number of loaded files, and the total.

    Returns:
        Counts of the loaded files, and the files that were skipped.

    Raises:
        LoadError: The landing zone or the database cannot be used.
    """
    if not folder.is_dir():
        raise LoadError(f"There is no folder {folder}: name the landing zone.")
    files = list(find_files(folder))
    if not files:
        raise LoadError(
            f"{folder} is not a landing zone: it holds no file such as "
            "clickstream/dt=*/*.jsonl.gz or "
            "salesforce/batch_date=*/accounts.csv.gz."
        )
    try:
        with open_database(database, read_only=False) as connection:
            loader = _Loader(connection, raw_schema, database)
            return loader.load(files, progress)
    except duckdb.Error as error:
        raise LoadError(
            f"Loading into {database} stopped; completed files are kept: "
            f"{disk_remedy(str(error)) or _first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


class _Loader:
    """One load into one database."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, schema: str, database: Path
    ) -> None:
        self.connection = connection
        # Qualify with the database name, because a file can be named like the schema.
        row = connection.execute("select current_database()").fetchone()
        self.schema = f"{sql_identifier(str(row and row[0]))}.{sql_identifier(schema)}"
        self.database = database
        self.report = LoadReport()

    def load(self, files: list[SourceFile], progress: Progress | None) -> LoadReport:
        self._create_tables()
        new_files = self._new_files(files)
        done = 0
        for table in RAW_TABLES:
            table_files = [file for file in new_files if file.table is table]
            for batch in _batches(table_files):
                self._load_batch(table, batch)
                done += len(batch)
                if progress is not None:
                    progress("files", done, len(new_files))
        return self.report

    def _create_tables(self) -> None:
        """Create missing tables; raise if raw tables hold rows that no load wrote."""
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
                f"{name} {data_type}" for name, data_type in table.columns.items()
            )
            self.connection.execute(
                f"create table if not exists {schema}.{table.name} ({columns})"
            )
            # An earlier version created the table without them.
            for name in sorted(table.optional):
                self.connection.execute(
                    f"alter table {schema}.{table.name} add column if not exists "
                    f"{name} {table.columns[name]}"
                )
        if not self._has_rows("loaded_files"):
            for table in RAW_TABLES:
                if self._has_rows(table.name):
                    roll_back(self.connection)
                    raise LoadError(
                        f"{table.name} in {self.database} holds rows that no load "
                        "wrote, such as the demo seeds: delete that file, or load "
                        "into another one with --database."
                    )
        self.connection.execute("commit")

    def _has_rows(self, table: str) -> bool:
        rows = self.connection.execute(f"select 1 from {self.schema}.{table} limit 1")
        return rows.fetchone() is not None

    def _new_files(self, files: list[SourceFile]) -> list[SourceFile]:
        """Return the files to load, and report files that changed since."""
        loaded = {
            path: (size, modified_ns, checksum)
            for path, size, modified_ns, checksum in self.connection.execute(
                f"""select path, bytes, modified_ns, sha256
                from {self.schema}.loaded_files"""
            ).fetchall()
        }
        new_files = []
        for file in files:
            if file.path not in loaded:
                new_files.append(file)
                continue
            self.report.already_loaded += 1
            size, modified_ns, checksum = loaded[file.path]
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
        """Load files in one transaction, or in several if they are large."""
        group: list[_FileRows] = []
        for file in batch:
            try:
                group.append(_FileRows(file, *_read(file)))
            except UnreadableFileError as error:
                self.report.unreadable.append(str(error))
                continue
            # An archive may unpack to much more than its size promises.
            if sum(part.rows.nbytes for part in group) > _BATCH_BYTES:
                self._write(table, group)
                group = []
        if group:
            self._write(table, group)

    def _write(self, table: RawTable, group: list[_FileRows]) -> None:
        """Write files in one transaction; if that fails, one by one."""
        try:
            self._insert(table, group)
        except duckdb.Error as error:
            roll_back(self.connection)
            if not isinstance(error, duckdb.DataError):
                raise
            if len(group) > 1:
                for part in group:
                    self._write(table, [part])
            else:
                self.report.unreadable.append(
                    f"{group[0].file.path} cannot be read: {_first_line(error)}"
                )

    def _insert(self, table: RawTable, group: list[_FileRows]) -> None:
        """Write files and their entries in ``loaded_files`` in one transaction."""
        entries = [
            (
                *(part.file.path, table.name, len(part.rows), part.file.bytes),
                *(part.file.modified_ns, part.sha256),
            )
            for part in group
        ]
        self.connection.execute("begin")
        new_rows = pa.concat_tables([part.rows for part in group])
        self.connection.register("new_rows", new_rows)
        self.connection.execute(
            f"""insert into {self.schema}.{table.name}
            ({", ".join(table.columns)}) {_select_new_rows(table)}"""
        )
        self.connection.executemany(
            f"insert into {self.schema}.loaded_files values (?, ?, ?, ?, ?, ?)",
            entries,
        )
        self.connection.execute("commit")
        self.connection.unregister("new_rows")
        self.report.files[table.name] += len(group)
        self.report.rows[table.name] += len(new_rows)


@dataclass(frozen=True)
class _FileRows:
    """The rows of one file, as text, and the SHA-256 of the file."""

    file: SourceFile
    rows: pa.Table
    sha256: str


def _read(file: SourceFile) -> tuple[pa.Table, str]:
    """Read the rows of a file as text, and its checksum."""
    content, checksum = read_bytes(file)
    if file.table.name == "raw_retention_actions":
        return read_json_lines(file, content), checksum
    if file.table.name != "raw_events":
        return read_csv(file, content), checksum
    lines = read_lines(content)
    paths = pa.repeat(file.path, len(lines))
    return pa.table({"line": lines, "source_file": paths}), checksum


def _select_new_rows(table: RawTable) -> str:
    """Return a query that casts the registered ``new_rows`` to a raw table."""
    if table.name == "raw_events":
        return _ENVELOPES
    columns = (
        f"cast({name} as {data_type})" for name, data_type in table.columns.items()
    )
    return f"select {', '.join(columns)} from new_rows"


def _batches(files: list[SourceFile]) -> list[list[SourceFile]]:
    """Group files in order into batches of limited size."""
    batches: list[list[SourceFile]] = []
    size = 0
    for file in files:
        # Gzip files of this kind expand to about eight times their size.
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
