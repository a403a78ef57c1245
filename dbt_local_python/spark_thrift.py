"""Local Python models on a Spark Thrift Server: read and written by SQL alone."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from dbt_common.exceptions import DbtRuntimeError

from dbt_local_python.arrow import reader_of, sql_type, with_plain_types
from dbt_local_python.spark import file_format_of, replace_table
from dbt_local_python.sql_frames import SqlSession

if TYPE_CHECKING:
    from dbt_local_python.job import Job

# Rows that are fetched with one call, and inserted with one statement.
_ROWS_PER_FETCH = 10_000
_ROWS_PER_INSERT = 500
# A statement is not longer than this, but for a single row that is.
_CHARACTERS_PER_INSERT = 1_000_000

_ARROW_TYPES = {
    "BOOLEAN_TYPE": pa.bool_(),
    "TINYINT_TYPE": pa.int8(),
    "SMALLINT_TYPE": pa.int16(),
    "INT_TYPE": pa.int32(),
    "BIGINT_TYPE": pa.int64(),
    "FLOAT_TYPE": pa.float32(),
    "DOUBLE_TYPE": pa.float64(),
    "STRING_TYPE": pa.string(),
    "VARCHAR_TYPE": pa.string(),
    "CHAR_TYPE": pa.string(),
    "BINARY_TYPE": pa.binary(),
    "DATE_TYPE": pa.date32(),
    "TIMESTAMP_TYPE": pa.timestamp("us"),
    "NULL_TYPE": pa.string(),
}


def run_over_thrift(job: Job, code: str, relation: str) -> int:
    """Run a model in this process, on rows that come through the connection.

    Args:
        job: The model.
        code: Its code, without what dbt-spark puts behind it.
        relation: The table to fill, which is replaced.

    Returns:
        The number of rows inserted.
    """
    session = ThriftSession(job.adapter)
    result = job.load(code).call(session, session.table)
    return job.guard(lambda: _write(job, session, result, relation))


class ThriftSession(SqlSession):
    """Reads through the connection that dbt has open for this thread."""

    def __init__(self, adapter: Any) -> None:
        self._connection = adapter.connections.get_thread_connection().handle.handle

    def execute(self, statement: str) -> None:
        """Run a statement that returns no rows."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement)
        finally:
            cursor.close()

    def read(self, query: str) -> pa.RecordBatchReader:
        """Run a query; its rows are fetched as the stream is read."""
        cursor = self._connection.cursor()
        cursor.execute(query)
        schema = pa.schema(
            # The server may write a column's name with its subquery's in front.
            [
                (name.rpartition(".")[2], _arrow_type(type_name))
                for name, type_name, *_ in cursor.description
            ]
        )
        return pa.RecordBatchReader.from_batches(schema, _batches(cursor, schema))


def _arrow_type(type_name: str) -> pa.DataType:
    if type_name == "DECIMAL_TYPE":
        return pa.decimal128(38, 18)
    try:
        return _ARROW_TYPES[type_name]
    except KeyError:
        raise DbtRuntimeError(
            f"A column of type {type_name} cannot be read through Thrift: cast it in "
            "SQL before a Python model reads it."
        ) from None


def _batches(cursor: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            columns = list(zip(*rows, strict=True))
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(map(_fetched(field.type), column), field.type)
                    for field, column in zip(schema, columns, strict=True)
                ],
                schema=schema,
            )
    finally:
        cursor.close()


def _fetched(type_: pa.DataType) -> Any:
    """What turns a value from the connection into one that Arrow takes."""
    if pa.types.is_timestamp(type_):
        return lambda value: (
            datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
        )
    if pa.types.is_date(type_):
        return lambda value: (
            datetime.date.fromisoformat(value) if isinstance(value, str) else value
        )
    if pa.types.is_binary(type_):
        return lambda value: value.encode() if isinstance(value, str) else value
    return lambda value: value


def _write(job: Job, session: ThriftSession, result: Any, relation: str) -> int:
    """Insert the rows into a table of their own, and replace the model's by it.

    Rows take many statements through the connection, and the model's table must have
    all of them or none. The rows are staged in Iceberg, which accepts a folder that a
    killed run has left.
    """
    reader = with_plain_types(reader_of(result))
    staged = _table_beside(relation)
    session.execute(f"drop table if exists {staged} purge")
    try:
        written = insert_rows(session, reader, staged)
        if file_format_of(job) != "iceberg":
            session.execute(f"drop table if exists {relation} purge")
        session.execute(replace_table(job, relation, f"select * from {staged}"))
    finally:
        session.execute(f"drop table if exists {staged} purge")
    return written


def insert_rows(
    session: ThriftSession, reader: pa.RecordBatchReader, table: str
) -> int:
    """Create an Iceberg table of rows from this process.

    Returns:
        The number of rows.
    """
    columns = ", ".join(f"`{f.name}` {spark_type(f.type)}" for f in reader.schema)
    names = ", ".join(f"`{field.name}`" for field in reader.schema)
    session.execute(f"create table {table} ({columns}) using iceberg")
    written = 0
    for rows in _chunks(reader):
        session.execute(f"insert into {table} ({names}) values {', '.join(rows)}")
        written += len(rows)
    return written


def _table_beside(relation: str) -> str:
    """The name of the table that holds the rows until the model's is written."""
    schema, dot, name = relation.rpartition(".")
    name = name.strip("`").removesuffix("__dbt_tmp")
    return f"{schema}{dot}`{name}__dbt_rows`"


def _chunks(reader: pa.RecordBatchReader) -> Iterator[list[str]]:
    """The rows as SQL, in as many as one statement inserts."""
    types = [spark_type(field.type) for field in reader.schema]
    rows: list[str] = []
    characters = 0
    for batch in reader:
        for values in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            texts = map(_typed_literal, values, types)
            row = f"({', '.join(texts)})"
            if rows and (
                len(rows) >= _ROWS_PER_INSERT
                or characters + len(row) > _CHARACTERS_PER_INSERT
            ):
                yield rows
                rows, characters = [], 0
            rows.append(row)
            characters += len(row)
    if rows:
        yield rows


def _typed_literal(value: Any, type_: str) -> str:
    return f"cast(null as {type_})" if value is None else sql_literal(value)


def spark_type(type_: pa.DataType) -> str:
    """Spark's name of an Arrow type.

    Raises:
        TypeError: Spark tables written through Thrift have no such columns.
    """
    if pa.types.is_timestamp(type_):
        return "timestamp"
    name = sql_type(type_)
    if name is not None:
        return name
    raise TypeError(
        f"a column of type {type_} cannot be written through Thrift: make it text"
    )


def sql_literal(value: Any) -> str:
    """A value as a literal of Spark SQL; times are UTC."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return (
            f"{value}L" if value >= -(2**63) + 1 else "bigint('-9223372036854775808')"
        )
    if isinstance(value, float):
        return f"{value!r}D" if math.isfinite(value) else f"double('{value}')"
    if isinstance(value, Decimal):
        return f"{value:f}BD"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, datetime.datetime):
        return f"timestamp '{value.isoformat(' ', 'microseconds')}'"
    if isinstance(value, datetime.date):
        return f"date '{value.isoformat()}'"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
