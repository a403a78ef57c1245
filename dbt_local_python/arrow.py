"""Convert the result of a Python model to Arrow, and Arrow types to SQL types."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def reader_of(result: Any) -> pa.RecordBatchReader:
    """Return the rows of a model's result as a stream of Arrow batches.

    Args:
        result: An Arrow table, record batch or reader; a pandas frame; or an object
            that exports Arrow (``__arrow_c_stream__``, ``to_arrow_reader``,
            ``to_arrow_table``), such as frames of Polars and DuckDB.

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
        f"the model returned a {type(result).__name__}: return an Arrow table or "
        "reader, a pandas frame, or a frame of the engine"
    )


def with_plain_types(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Convert rows to types that every engine supports.

    Large strings become strings, dictionaries their values, and timestamps
    microseconds in UTC without a zone. A column without any value becomes a string.
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
    """Cast a batch to the names and types of ``schema``, column by column."""
    return pa.RecordBatch.from_arrays(
        [
            batch.column(number).cast(field.type, safe=False)
            for number, field in enumerate(schema)
        ],
        schema=schema,
    )


def _plain(data_type: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(data_type):
        return _plain(data_type.value_type)
    if pa.types.is_timestamp(data_type):
        return pa.timestamp("us")
    if pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type):
        return pa.string()
    if pa.types.is_large_binary(data_type) or pa.types.is_binary_view(data_type):
        return pa.binary()
    if pa.types.is_null(data_type):
        return pa.string()
    if pa.types.is_unsigned_integer(data_type):
        return pa.int64()
    if pa.types.is_float16(data_type):
        return pa.float32()
    return data_type


def sql_type(data_type: pa.DataType) -> str | None:
    """Return the name of an Arrow type in Hive, Spark and Athena, if all agree."""
    for is_type, name in _SQL_TYPES:
        if is_type(data_type):
            return name
    if pa.types.is_decimal(data_type):
        return f"decimal({data_type.precision},{data_type.scale})"
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
