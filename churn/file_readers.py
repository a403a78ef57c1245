"""Reads the files of a landing zone into Arrow tables, whatever is in them.

Clickstream files hold one envelope per line, ``{"received_at": "…", "payload":
"…"}``. Here they are only split into lines: an envelope that cannot be read is
a record too, and decided upon in SQL. Bytes that are not UTF-8 become U+FFFD.

CSV fields stay the text that they are: backslash and N, ``null`` and ``""`` are
texts. Only a field without a single character, quotes included, is null.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv


@dataclass(frozen=True)
class RawTable:
    """One raw table and the files that fill it.

    Args:
        name: The table's name.
        pattern: Files under the landing zone that belong to it.
        columns: Names and DuckDB types of its columns, in order.
    """

    name: str
    pattern: str
    columns: dict[str, str]


RAW_TABLES: tuple[RawTable, ...] = (
    RawTable(
        "raw_events",
        "clickstream/dt=*/*.jsonl*",
        {"payload": "varchar", "received_at": "timestamp", "source_file": "varchar"},
    ),
    RawTable(
        "raw_accounts",
        "salesforce/batch_date=*/accounts*.csv*",
        {
            "batch_date": "date",
            "loaded_at": "timestamp",
            "account_id": "varchar",
            "company_name": "varchar",
            "industry": "varchar",
            "signup_date": "varchar",
            "plan": "varchar",
            "seats": "varchar",
            "monthly_recurring_revenue": "varchar",
            "cancelled_service": "varchar",
            "new_customer": "varchar",
        },
    ),
    RawTable(
        "raw_contacts",
        "salesforce/batch_date=*/contacts*.csv*",
        {
            "user_id": "varchar",
            "account_id": "varchar",
            "role": "varchar",
            "batch_date": "date",
            "loaded_at": "timestamp",
        },
    ),
    RawTable(
        "raw_invoices",
        "billing/dt=*/invoices*.csv*",
        {
            "invoice_id": "varchar",
            "account_id": "varchar",
            "invoice_date": "date",
            "due_date": "date",
            "amount": "double",
            "status": "varchar",
            "loaded_at": "timestamp",
        },
    ),
    RawTable(
        "raw_calls",
        "support/dt=*/calls*.csv*",
        {
            "call_id": "varchar",
            "account_id": "varchar",
            "started_at": "timestamp",
            "duration_seconds": "integer",
            "topic": "varchar",
            "loaded_at": "timestamp",
        },
    ),
)


class UnreadableFileError(Exception):
    """A file that cannot be read at all; the message is one sentence."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a landing zone.

    Args:
        table: The raw table that it belongs to.
        location: Where it is.
        path: The same, relative to the landing zone, with forward slashes.
        bytes: Its size.
        modified_ns: When it was last written, in nanoseconds since the epoch.
    """

    table: RawTable
    location: Path
    path: str
    bytes: int
    modified_ns: int


def find_files(folder: Path) -> Iterator[SourceFile]:
    """All files of a landing zone, by table and then by name."""
    for table in RAW_TABLES:
        for location in sorted(folder.glob(table.pattern)):
            if not location.name.endswith((".jsonl", ".csv", ".gz")):
                continue
            about = location.stat()
            yield SourceFile(
                table,
                location,
                location.relative_to(folder).as_posix(),
                about.st_size,
                about.st_mtime_ns,
            )


def read_bytes(file: SourceFile) -> tuple[bytes, str]:
    """The unpacked content of a file, and the SHA-256 of the file itself.

    Raises:
        UnreadableFileError: The file is gone, or is no complete gzip file.
    """
    try:
        packed = file.location.read_bytes()
        content = gzip.decompress(packed) if file.path.endswith(".gz") else packed
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFileError(f"{file.path} cannot be read: {error}") from error
    return content, hashlib.sha256(packed).hexdigest()


def read_lines(content: bytes) -> pa.Array:
    """The lines of a clickstream file as text, without empty ones."""
    lines = content.decode("utf-8", errors="replace").split("\n")
    return pa.array([line for line in lines if line and line != "\r"], pa.string())


def read_csv(file: SourceFile, content: bytes) -> pa.Table:
    """The rows of a CSV file, every column as text, in the raw table's order.

    Raises:
        UnreadableFileError: It is no CSV file, or lacks a column.
    """
    columns = list(file.table.columns)
    text = content.decode("utf-8-sig", errors="replace").encode()
    try:
        rows = pa.csv.read_csv(
            io.BytesIO(text),
            read_options=pa.csv.ReadOptions(use_threads=False),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=columns,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        reason = str(error).splitlines()[0]
        raise UnreadableFileError(f"{file.path} cannot be read: {reason}") from error
    return rows
