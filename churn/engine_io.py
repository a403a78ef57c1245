"""Convert between dbt relations and pandas data frames or Arrow batches.

The only module that knows the relation types of the engines: DuckDB relations, Spark
data frames, and the relations of ``dbt_local_python`` that are read through SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    # Models that pass batches do not need pandas, which takes a second to import.
    import pandas as pd

Batches = Iterable[pa.RecordBatch]

# Large enough that the cost per batch is negligible; a hundred columns of these rows
# need some tens of megabytes.
ROWS_PER_BATCH = 20_000


def as_frame(relation: Any) -> pd.DataFrame:
    """Read a relation from ``dbt.ref`` into a data frame, on any engine."""
    if _is_spark_frame(relation):
        return _collect_spark_table(relation).to_pandas(date_as_object=False)
    for method in ("df", "toPandas", "to_pandas"):
        if hasattr(relation, method):
            return getattr(relation, method)()
    return relation


def as_table(relation: Any) -> pa.Table:
    """Read a small relation; times are in UTC, without a zone."""
    if _is_spark_frame(relation):
        return _collect_spark_table(relation)
    return as_batches(relation).read_all()


def as_batches(
    relation: Any, columns: Sequence[str] | None = None, rows: int = ROWS_PER_BATCH
) -> pa.RecordBatchReader:
    """Read a relation from ``dbt.ref`` batch by batch.

    Args:
        relation: A DuckDB relation or a Spark frame, read lazily, or rows in memory.
            At most one batch of a Spark frame is held in this process.
        columns: The columns to read; ``None`` for all.
        rows: Maximum rows per batch.
    """
    if hasattr(relation, "to_arrow_reader"):
        if columns is not None:
            relation = relation.select(*columns)
        return relation.to_arrow_reader(rows)
    if _is_spark_frame(relation):
        return _stream_spark_batches(
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
    """Return the column names of a relation from ``dbt.ref``."""
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
    """Apply ``function`` to the batches of a relation.

    On Spark it runs in the executors, once per partition, when the rows are written.
    Spark sends a function larger than a megabyte, such as one with a model, as a
    broadcast. On other engines it runs in this process, while the rows are read.

    Args:
        relation: A relation that `as_batches` accepts.
        function: Maps an iterable of batches to batches of ``schema``. Must be
            picklable.
        schema: The schema of the result; times are in UTC, without a zone.
        columns: The columns that the function receives; ``None`` for all.
        sorted_by: Column to sort by. On Spark, equal values share a partition.
        rows: Maximum rows per batch. Ignored on Spark, which has a setting for it.

    Returns:
        A frame that a dbt Python model can return.
    """
    if _is_spark_frame(relation):
        frame = relation if columns is None else relation.select(*columns)
        if sorted_by is not None:
            frame = frame.repartition(sorted_by).sortWithinPartitions(sorted_by)
        return frame.mapInArrow(_SparkTask(function, schema), _spark_schema(schema))
    if sorted_by is not None:
        relation = relation.order(sorted_by)
    mapped = function(as_batches(relation, columns, rows))
    return pa.RecordBatchReader.from_batches(schema, mapped)


class _SparkTask:
    """Picklable task for Spark executors; converts times from and to UTC with zone."""

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


def _with_times(schema: pa.Schema, data_type: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            field.with_type(data_type) if pa.types.is_timestamp(field.type) else field
            for field in schema
        ]
    )


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(_with_zone(schema))


def _collect_spark_table(frame: Any) -> pa.Table:
    """Collect as Arrow, because ``toPandas`` depends on the machine's time zone."""
    table = frame.toArrow()
    return table.cast(_without_zone(table.schema))


def _stream_spark_batches(frame: Any, rows: int) -> pa.RecordBatchReader:
    """Stream a Spark frame to this process, one batch at a time.

    Spark sends complete partitions to the driver, so the frame is repartitioned to
    the size of a batch.
    """
    from pyspark.sql.pandas.types import to_arrow_schema

    schema = _without_zone(to_arrow_schema(frame.schema))
    partitions = -(-frame.count() // rows)
    if partitions > 1:
        frame = frame.repartition(partitions)
    packed = frame.mapInArrow(_pack, "batch binary")
    batches = (
        # Repartitioning is not exact, so a partition can exceed ``rows``.
        _cast(batch.slice(start, rows), schema)
        for row in packed.toLocalIterator()
        for batch in pa.ipc.open_stream(row.batch)
        for start in range(0, len(batch), rows)
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _pack(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Serialise each batch into one binary row."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.record_batch(
            [pa.array([sink.getvalue().to_pybytes()], pa.binary())], ["batch"]
        )


def _is_spark_frame(relation: Any) -> bool:
    return hasattr(relation, "mapInArrow")


def existing_relation(dbt: Any, session: Any) -> Any | None:
    """Return the table of the running model, or ``None`` if it does not exist.

    Args:
        dbt: The ``dbt`` object of a Python model.
        session: The engine's session: a DuckDB connection or a Spark session.
    """
    if hasattr(session, "catalog") and not session.catalog.tableExists(str(dbt.this)):
        # Check the catalog, because Spark would log an error for a missing table.
        return None
    try:
        relation = session.sql(f"select * from {dbt.this}")
        if hasattr(relation, "query"):
            # Such relations are read lazily, so read the schema to test for the table.
            relation.filter("1 = 0").arrow()
        return relation
    except Exception as error:
        if is_missing_table(error):
            return None
        raise


def is_missing_table(error: Exception) -> bool:
    """Return whether an engine's error says that a table does not exist."""
    # Engines raise different exception types, so compare the message.
    message = str(error).lower()
    return any(text in message for text in _NO_SUCH_TABLE)


def existing_rows(dbt: Any, session: Any) -> pd.DataFrame | None:
    """Return the rows of the running model's table, or ``None`` without a table."""
    relation = existing_relation(dbt, session)
    return None if relation is None else as_frame(relation)


_NO_SUCH_TABLE = ("does not exist", "not_found", "cannot be found", "not found")
