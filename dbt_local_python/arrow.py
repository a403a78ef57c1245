"""Whatever a Python model returns, as Arrow; and Arrow with the types of engines."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def reader_of(result: Any) -> pa.RecordBatchReader:
    """The rows that a model returned, as a stream of Arrow batches.

    Args:
        result: An Arrow table, record batch or reader; a pandas frame; or anything
            that exports Arrow (``__arrow_c_stream__``, ``to_arrow_reader``,
            ``to_arrow_table``), as frames of Polars and DuckDB do.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(result, pa.RecordBatchReader):
        return result
    if isinstance(result, pa.RecordBatch):
        result = pa.Table.from_batches([result])
    if isinstance(result, pa.Table):
        return result.to_reader()
    if type(result).__module__.partition(".")[0] == "pandas":
        return pa.Table.from_pandas(result, preserve_index=False).to_reader()
    if hasattr(result, "to_arrow_reader"):
        return result.to_arrow_reader()
    if hasattr(result, "to_arrow_table"):
        return result.to_arrow_table().to_reader()
    if hasattr(result, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(result)
    raise TypeError(
        f"the model returned a {type(result).__name__}, but must return a frame: an "
        "Arrow table or reader, a pandas frame, or one of the engine's own"
    )


def with_plain_types(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows in types that every engine knows.

    Texts of 64 bits become plain texts, dictionaries their values, and times of day
    and zone become microseconds in UTC without a zone; a column without any value
    becomes text.
    """
    schema = pa.schema(
        [pa.field(field.name, _plain(field.type)) for field in reader.schema]
    )
    if schema.equals(reader.schema):
        return reader
    return pa.RecordBatchReader.from_batches(
        schema, (cast_batch(batch, schema) for batch in reader)
    )


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the names and types of ``schema``, column by column."""
    return pa.RecordBatch.from_arrays(
        [
            batch.column(number).cast(field.type, safe=False)
            for number, field in enumerate(schema)
        ],
        schema=schema,
    )


def _plain(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(type_):
        return _plain(type_.value_type)
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us")
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return pa.binary()
    if pa.types.is_null(type_):
        return pa.string()
    if pa.types.is_unsigned_integer(type_):
        return pa.int64()
    if pa.types.is_float16(type_):
        return pa.float32()
    return type_


def sql_type(type_: pa.DataType) -> str | None:
    """What Hive, Spark and Athena all call an Arrow type; None where they differ."""
    for is_type, name in _SQL_TYPES:
        if is_type(type_):
            return name
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    return None


_SQL_TYPES = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_int8, "tinyint"),
    (pa.types.is_int16, "smallint"),
    (pa.types.is_int32, "int"),
    (pa.types.is_int64, "bigint"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_string, "string"),
    (pa.types.is_binary, "binary"),
    (pa.types.is_date, "date"),
)
