"""What dbt hands to a Python model, as pandas data frames or Arrow batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

# Enough rows that the cost of a batch does not matter, and few enough that a
# hundred columns of them take some tens of megabytes.
ROWS_PER_BATCH = 20_000


def as_frame(relation: Any) -> pd.DataFrame:
    """The rows of what ``dbt.ref`` returned, whichever engine runs."""
    for method in ("df", "toPandas", "to_pandas"):
        if hasattr(relation, method):
            return getattr(relation, method)()
    return relation


def as_batches(
    relation: Any, columns: Sequence[str] | None = None, rows: int = ROWS_PER_BATCH
) -> pa.RecordBatchReader:
    """The rows of what ``dbt.ref`` returned, batch by batch.

    Args:
        relation: A DuckDB relation, which is read as the batches are taken, or
            rows that are in memory already.
        columns: The columns to read; all by default.
        rows: The most rows of a batch.
    """
    if hasattr(relation, "to_arrow_reader"):
        if columns is not None:
            relation = relation.project(", ".join(f'"{name}"' for name in columns))
        return relation.to_arrow_reader(rows)
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
    return list(relation.columns)


def existing_relation(dbt: Any, session: Any) -> Any | None:
    """The table of the running model, ``None`` if there is none.

    Args:
        dbt: The object that dbt hands to a Python model.
        session: The engine's session: a DuckDB connection or a Spark session.
    """
    try:
        return session.sql(f"select * from {dbt.this}")
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
