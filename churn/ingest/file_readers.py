"""Read the files of a landing zone into Arrow tables.

Clickstream files hold one envelope per line, ``{"received_at": "…", "payload": "…"}``.
They are only split into lines here: a line without a readable envelope is a record too,
and SQL classifies it. Files are unpacked and decoded by their content.

Actions of the web page are lines of JSON. CSV fields are read as text, so ``null`` and
``""`` are not null. Only a field without any character, not even quotes, is null.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from churn.ingest.decoding import (
    WHITESPACE,
    DamagedFileError,
    decode,
    read_local,
    reason_of,
    unpack,
)
from churn.quoting import path_text

_JSON_BREAK = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class RawTable:
    """One raw table and the files that it is loaded from.

    Attributes:
        name: The table's name.
        pattern: Glob of its files, relative to the landing zone.
        columns: Names and DuckDB types of its columns, in order.
        optional: Columns that are null if a file does not have them.
    """

    name: str
    pattern: str
    columns: dict[str, str]
    optional: frozenset[str] = frozenset()


_REQUIRED_OF_ACTIONS = ("action_id", "account_id", "action_type", "occurred_at")
_OPTIONAL_OF_ACTIONS = (
    *("recorded_at", "channel", "offer_id", "snoozed_until", "note", "actor_id"),
    *("corrects_action_id", "shown_as_of_date", "shown_model_version", "shown_arm"),
    *("override_reason", "source"),
)

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
            "owner_id": "varchar",
            "owner_name": "varchar",
            "currency": "varchar",
        },
        optional=frozenset({"owner_id", "owner_name", "currency"}),
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
    RawTable(
        "raw_retention_actions",
        "actions/dt=*/*.jsonl*",
        dict.fromkeys((*_REQUIRED_OF_ACTIONS, *_OPTIONAL_OF_ACTIONS), "varchar"),
        optional=frozenset(_OPTIONAL_OF_ACTIONS),
    ),
)


class UnreadableFileError(Exception):
    """Report a file that cannot be read; the message is one sentence."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a landing zone.

    Attributes:
        table: The raw table that it belongs to.
        location: The path of the file.
        path: The path relative to the landing zone, with forward slashes.
        bytes: Its size.
        modified_ns: When it was last written, in nanoseconds since the epoch.
    """

    table: RawTable
    location: Path
    path: str
    bytes: int
    modified_ns: int


def find_files(folder: Path) -> Iterator[SourceFile]:
    """Yield all files of a landing zone, sorted by table and name."""
    for table in RAW_TABLES:
        for location in sorted(folder.glob(table.pattern)):
            if not location.name.endswith((".jsonl", ".csv", ".gz")):
                continue
            # `read_bytes` reports what is no file, such as a link to nowhere.
            stat = location.stat() if location.is_file() else location.lstat()
            yield SourceFile(
                table,
                location,
                path_text(location.relative_to(folder).as_posix()),
                stat.st_size,
                stat.st_mtime_ns,
            )


def read_bytes(file: SourceFile) -> tuple[bytes, str]:
    """Return the unpacked content of a file, and the SHA-256 of the packed file.

    Raises:
        UnreadableFileError: The file is missing, too large, or not a complete
            archive.
    """
    try:
        packed = read_local(file.location, file.bytes)
        content = b"\n".join(unpack(packed))
    except (OSError, DamagedFileError, MemoryError) as error:
        raise UnreadableFileError(
            f"{file.path} cannot be read: {reason_of(error)}"
        ) from error
    return content, hashlib.sha256(packed).hexdigest()


def read_lines(content: bytes) -> pa.Array:
    """Split a clickstream file into lines of text, without empty ones."""
    # ASCII needs no copy.
    is_plain = content.isascii() and b"\0" not in content
    text = content if is_plain else decode(content).encode()
    # Old exports end lines with a carriage return only.
    end = "\n" if b"\n" in text else "\r"
    # Arrow splits without a Python object per line.
    ends = pa.array([0, len(text)], pa.int64()).buffers()[1]
    whole = pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(text))
    lines = pc.split_pattern(whole, end).flatten()
    is_empty = pc.is_in(lines, pa.array(["", "\r"], lines.type))
    return lines.filter(pc.invert(is_empty)).cast(pa.string())


def read_json_lines(file: SourceFile, content: bytes) -> pa.Table:
    """Read lines of JSON objects with all columns as text.

    A line that is no object becomes a row that has only a ``note``, the line, so that
    it is rejected later and not lost.
    """
    rows = []
    for line in read_lines(content).to_pylist():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        rows.append(row if isinstance(row, dict) else {"note": line})
    return pa.table(
        {
            name: pa.array([_as_text(row.get(name)) for row in rows], pa.string())
            for name in file.table.columns
        }
    )


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    # JSON can escape half of a surrogate pair, which no text column can hold.
    return text.encode("utf-8", "replace").decode()


def read_documents(content: bytes) -> list[str] | None:
    """Return the objects of JSON that is not one object per line.

    Args:
        content: The unpacked bytes of a file.

    Returns:
        The text of each object of a JSON array, of objects over several lines, or of a
        JSON text sequence (RFC 7464), on one line. ``None`` for other content.
    """
    text = decode(content)
    if text.startswith("\x1e"):
        parts = (part.strip(WHITESPACE) for part in text.split("\x1e"))
        return [part for part in parts if part]
    text = text.strip(WHITESPACE)
    is_array = text.startswith("[")
    if is_array:
        # Lines with an array each are records, too.
        if not text.endswith("]") or ("\n" in text and _begins_with_json(text)):
            return None
        text = text[1:-1]
    elif not text.startswith("{") or _begins_with_json(text):
        return None
    objects: list[str] = []
    position = _end_of_break(text, 0)
    while position < len(text):
        if text[position] != "{":
            return None
        try:
            _, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return None
        # Line breaks stand between values only: JSON escapes them in a text.
        objects.append(text[position:end].replace("\n", " ").replace("\r", " "))
        position = _end_of_break(text, end)
    return objects or None


def _begins_with_json(text: str) -> bool:
    """Return whether the first line begins with a whole JSON value."""
    try:
        _DECODER.raw_decode(text.partition("\n")[0])
    except (ValueError, RecursionError):
        return False
    return True


def _end_of_break(text: str, position: int) -> int:
    """Return the position after white space and commas."""
    found = _JSON_BREAK.match(text, position)
    return found.end() if found else position


def read_csv(file: SourceFile, content: bytes) -> pa.Table:
    """Read a CSV file with all columns as text, in the order of the raw table.

    Raises:
        UnreadableFileError: It is not a CSV file, or a column is missing.
    """
    columns = list(file.table.columns)
    text = decode(content).encode()
    required = [name for name in columns if name not in file.table.optional]
    try:
        first_line = re.split(rb"[\r\n]", text, maxsplit=1)[0].decode()
        header = next(csv.reader([first_line]), [])
        rows = pa.csv.read_csv(
            io.BytesIO(text),
            read_options=pa.csv.ReadOptions(use_threads=False),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=columns,
                # A missing optional column is null; a missing required one an error.
                include_missing_columns=set(required) <= set(header),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, csv.Error) as error:
        reason = str(error).splitlines()[0]
        raise UnreadableFileError(f"{file.path} cannot be read: {reason}") from error
    return rows
