"""Read tables from files of any common format: CSV, Parquet, ORC, Arrow and JSON.

All columns are text, as the source wrote them. Nested values are JSON. A value that is
empty in CSV is null.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet

from churn.ingest.decoding import decode
from churn.quoting import sql_identifier, sql_literal

_HEADER_NAME = re.compile(r"[\w .$:#@/()+%&?*-]{1,80}")
_DELIMITERS = ",;\t|"


class NotATableError(ValueError):
    """Report that a file holds no table; the message says why."""


class EmptyFileError(NotATableError):
    """Report that a file has no content."""


# A damaged Parquet, ORC or Arrow file raises any of these.
_READ_ERRORS = (
    *(duckdb.Error, pa.ArrowException, OSError),
    # Digits beyond Python's limit, and values that are nested too deeply.
    *(ValueError, OverflowError, RecursionError),
)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "it is damaged").splitlines()[0]


def _is_columnar(content: bytes) -> bool:
    """Return whether the bytes are a Parquet, ORC or Arrow file."""
    return content.startswith((b"PAR1", b"ORC", b"ARROW1"))


def _read_columnar(content: bytes) -> pa.Table:
    """Read a Parquet, ORC or Arrow file."""
    source = pa.BufferReader(content)
    if content.startswith(b"PAR1"):
        return pyarrow.parquet.read_table(source)
    if content.startswith(b"ORC"):
        # Rare, and slow to import.
        from pyarrow import orc

        return orc.read_table(source)
    return pa.ipc.open_file(source).read_all()


def is_csv(text: str) -> bool:
    """Return whether a text is a CSV file with a header, and not lines of JSON.

    The first line must be names, and the next lines must have as many columns.
    """
    lines = [line for line in text[:65_536].splitlines() if line.strip()][:20]
    if len(lines) < 2 or any(line.lstrip()[0] in "{[" for line in lines):
        return False
    for delimiter in _DELIMITERS:
        names = [name.strip().strip('"') for name in lines[0].split(delimiter)]
        if (
            len(names) > 1
            and len(set(names)) == len(names)
            and all(map(_HEADER_NAME.fullmatch, names))
            and any(line.count(delimiter) >= len(names) - 1 for line in lines[1:])
        ):
            return True
    return False


def read_table(content: bytes) -> pa.Table:
    """Read a table from the unpacked bytes of a file.

    Args:
        content: A CSV file with a header in any encoding, a Parquet, ORC or Arrow
            file, lines of JSON objects, or one JSON array of objects.

    Returns:
        A table with text columns only. Keys of nested JSON objects are joined with a
        dot: ``customer.id``.

    Raises:
        NotATableError: The content has another format.
    """
    try:
        if _is_columnar(content):
            return _as_text(_read_columnar(content))
        text = decode(content)
        if text.lstrip()[:1] in ("{", "["):
            return _read_json(text)
        return _read_csv(text)
    except NotATableError:
        raise
    except _READ_ERRORS as error:
        raise NotATableError(_first_line(error)) from error


def as_json_lines(table: pa.Table) -> list[str]:
    """Return one JSON object per row; missing values are left out."""
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return [
        json.dumps(
            {
                name: value
                for name, value in zip(table.column_names, row, strict=True)
                if value is not None
            },
            ensure_ascii=False,
        )
        for row in rows
    ]


def read_records(content: bytes) -> list[str] | None:
    """Return the rows of a columnar file or CSV as JSON objects, else ``None``.

    Nested values of columnar files stay nested.

    Raises:
        NotATableError: The table cannot be read.
    """
    if _is_columnar(content):
        try:
            table = _read_columnar(content)
            with _cursor() as connection:
                connection.register("records", table)
                rows = connection.execute(
                    "select cast(to_json(records) as varchar) from records"
                ).fetchall()
        except _READ_ERRORS as error:
            raise NotATableError(_first_line(error)) from error
        return [text for (text,) in rows]
    text = decode(content)
    return as_json_lines(read_table(content)) if is_csv(text) else None


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    """Open an empty database once, since opening one takes longer than a file."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    return connection


def _cursor() -> duckdb.DuckDBPyConnection:
    return _database().cursor()


def _as_text(table: pa.Table) -> pa.Table:
    columns = ", ".join(
        f"cast(to_json({sql_identifier(field.name)}) as varchar)"
        f" as {sql_identifier(field.name)}"
        if pa.types.is_nested(field.type)
        else f"cast({sql_identifier(field.name)} as varchar)"
        f" as {sql_identifier(field.name)}"
        for field in table.schema
    )
    with _cursor() as connection:
        connection.register("rows_of_file", table)
        return connection.sql(f"select {columns} from rows_of_file").to_arrow_table()


def _read_csv(text: str) -> pa.Table:
    if not text.strip():
        raise EmptyFileError("it is empty")
    with tempfile.TemporaryDirectory() as folder, _cursor() as connection:
        file = Path(folder) / "table.csv"
        file.write_text(text, encoding="utf-8", newline="")
        options = f"{sql_literal(str(file))}, header = true, all_varchar = true"
        try:
            return connection.sql(f"select * from read_csv({options})").to_arrow_table()
        except duckdb.Error:
            # Lines of another length, or quotes within a field. DuckDB reads these in
            # one thread only.
            return connection.sql(
                f"select * from read_csv({options}, null_padding = true, "
                "strict_mode = false, parallel = false, max_line_size = 16777216)"
            ).to_arrow_table()


def _read_json(text: str) -> pa.Table:
    rows = [_flat(record) for record in _json_objects(text)]
    if not rows:
        raise NotATableError("no line is a JSON object")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    )


def _json_objects(text: str) -> Iterable[dict[str, Any]]:
    """Yield the objects of JSON lines, of an array, or of an API's list of results."""
    try:
        whole = json.loads(text)
    except ValueError:
        lines = []
        for line in text.splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
    else:
        lines = whole if isinstance(whole, list) else [whole]
        if len(lines) == 1 and isinstance(lines[0], dict):
            for key in ("data", "results", "list", "records", "items"):
                if isinstance(lines[0].get(key), list):
                    lines = lines[0][key]
                    break
    return (line for line in lines if isinstance(line, dict))


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for key, value in record.items():
        if isinstance(value, dict) and len(prefix) < 200:
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is None or isinstance(value, str):
            flat[prefix + key] = value
        else:
            flat[prefix + key] = json.dumps(value, ensure_ascii=False)
    return flat
