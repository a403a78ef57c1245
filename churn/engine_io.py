"""What dbt hands to a Python model, as pandas data frames or Arrow batches.

The one place that knows what the engines' frames are like: DuckDB's relations,
Spark's frames, and those of ``dbt_local_python`` that are read through SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    # Models that pass batches need no pandas, which takes a second to load.
    import pandas as pd

Batches = Iterable[pa.RecordBatch]

# Enough rows that the cost of a batch does not matter, and few enough that a
# hundred columns of them take some tens of megabytes.
ROWS_PER_BATCH = 20_000


def as_frame(relation: Any) -> pd.DataFrame:
    """The rows of what ``dbt.ref`` returned, whichever engine runs."""
    if _is_of_spark(relation):
        return _table_of_spark(relation).to_pandas(date_as_object=False)
    for method in ("df", "toPandas", "to_pandas"):
        if hasattr(relation, method):
            return getattr(relation, method)()
    return relation


def as_batches(
    relation: Any, columns: Sequence[str] | None = None, rows: int = ROWS_PER_BATCH
) -> pa.RecordBatchReader:
    """The rows of what ``dbt.ref`` returned, batch by batch.

    Args:
        relation: A DuckDB relation or a Spark frame, which is read as the batches
            are taken, or rows that are in memory already. Of a Spark frame this
            process never holds more than one batch.
        columns: The columns to read; all by default.
        rows: The most rows of a batch.
    """
    if hasattr(relation, "to_arrow_reader"):
        if columns is not None:
            relation = relation.select(*columns)
        return relation.to_arrow_reader(rows)
    if _is_of_spark(relation):
        return _batches_of_spark(
            relation if columns is None else relation.select(*columns), rows
        )
    if not isinstance(relation, pa.Table | pa.RecordBatch):
        frame = as_frame(relation)
        frame = frame if columns is None else frame[list(columns)]
        relation = pa.Table.from_pandas(frame, preserve_index=False)
    elif columns is not None:
        relation = relation.select(list(columns))
    if isinstance(relation, pa.RecordBatch):
        relation = pa.Table.from_batches([relation])
    return relation.to_reader(rows)


def column_names(relation: Any) -> list[str]:
    """The columns of what ``dbt.ref`` returned."""
    if isinstance(relation, pa.Table | pa.RecordBatch):
        return relation.schema.names
    if hasattr(relation, "columns"):
        return list(relation.columns)
    return relation.filter("1 = 0").to_arrow_reader().schema.names


def map_batches(
    relation: Any,
    function: Callable[[Batches], Iterator[pa.RecordBatch]],
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    sorted_by: str | None = None,
    rows: int = ROWS_PER_BATCH,
) -> Any:
    """What ``function`` makes of the rows of what ``dbt.ref`` returned.

    On Spark it runs in the executors, on every partition by itself, as the rows are
    written. Spark sends it to them once: of more than a megabyte, such as a model,
    it makes a broadcast. Elsewhere it runs here, while the rows are read.

    Args:
        relation: The rows, as `as_batches` takes them, or a Spark frame.
        function: Makes batches of ``schema`` out of batches; it must be picklable.
        schema: What it makes; times are without a zone, in UTC.
        columns: The columns that it gets; by default all.
        sorted_by: A column whose equal values it gets one after the other.
        rows: The most rows of a batch, but on Spark, which has a setting for that.

    Returns:
        A frame that a Python model may return.
    """
    if _is_of_spark(relation):
        frame = relation if columns is None else relation.select(*columns)
        if sorted_by is not None:
            frame = frame.repartition(sorted_by).sortWithinPartitions(sorted_by)
        return frame.mapInArrow(_SparkTask(function, schema), _spark_schema(schema))
    if sorted_by is not None:
        relation = relation.order(sorted_by)
    made = function(as_batches(relation, columns, rows))
    return pa.RecordBatchReader.from_batches(schema, made)


class _SparkTask:
    """Runs a function of batches in an executor: Spark's times have a zone."""

    def __init__(self, function: Callable[[Batches], Any], schema: pa.Schema) -> None:
        self._function = function
        self._schema = schema

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        schema = _with_zone(self._schema)
        for batch in self._function(map(_batch_without_zone, batches)):
            yield _cast(batch, schema)


def _batch_without_zone(batch: pa.RecordBatch) -> pa.RecordBatch:
    return _cast(batch, _without_zone(batch.schema))


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _without_zone(schema: pa.Schema) -> pa.Schema:
    return _with_times(schema, pa.timestamp("us"))


def _with_zone(schema: pa.Schema) -> pa.Schema:
    return _with_times(schema, pa.timestamp("us", tz="UTC"))


def _with_times(schema: pa.Schema, type_: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            field.with_type(type_) if pa.types.is_timestamp(field.type) else field
            for field in schema
        ]
    )


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(_with_zone(schema))


def _table_of_spark(frame: Any) -> pa.Table:
    """The rows, collected: Spark's way to pandas depends on the machine's zone."""
    table = frame.toArrow()
    return table.cast(_without_zone(table.schema))


def _batches_of_spark(frame: Any, rows: int) -> pa.RecordBatchReader:
    """The rows of a Spark frame, of which one batch at a time comes here.

    Spark sends whole partitions to its driver; so they are made as small as a batch.
    """
    from pyspark.sql.pandas.types import to_arrow_schema

    schema = _without_zone(to_arrow_schema(frame.schema))
    partitions = -(-frame.count() // rows)
    if partitions > 1:
        frame = frame.repartition(partitions)
    packed = frame.mapInArrow(_pack, "batch binary")
    batches = (
        # Rows are dealt out to partitions in turns, and not quite evenly.
        _cast(batch.slice(start, rows), schema)
        for row in packed.toLocalIterator()
        for batch in pa.ipc.open_stream(row.batch)
        for start in range(0, len(batch), rows)
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _pack(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Each batch as one row that holds its bytes."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.record_batch(
            [pa.array([sink.getvalue().to_pybytes()], pa.binary())], ["batch"]
        )


def _is_of_spark(relation: Any) -> bool:
    return hasattr(relation, "mapInArrow")


def existing_relation(dbt: Any, session: Any) -> Any | None:
    """The table of the running model, ``None`` if there is none.

    Args:
        dbt: The object that dbt hands to a Python model.
        session: The engine's session: a DuckDB connection or a Spark session.
    """
    if hasattr(session, "catalog") and not session.catalog.tableExists(str(dbt.this)):
        # Spark would write an error to its log.
        return None
    try:
        relation = session.sql(f"select * from {dbt.this}")
        if hasattr(relation, "query"):
            # Read through SQL when asked for: whether it can be is to be known now.
            relation.filter("1 = 0").arrow()
        return relation
    except Exception as error:
        # Each engine has an exception of its own; all of them say it in words.
        words = str(error).lower()
        if any(told in words for told in _NO_SUCH_TABLE):
            return None
        raise


def existing_rows(dbt: Any, session: Any) -> pd.DataFrame | None:
    """What the table of the running model holds, ``None`` if there is no table."""
    relation = existing_relation(dbt, session)
    return None if relation is None else as_frame(relation)


_NO_SUCH_TABLE = ("does not exist", "not_found", "cannot be found", "not found")
