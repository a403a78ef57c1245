"""Frames for engines that are reached by SQL alone.

A model gets from ``dbt.ref`` a query that has not run yet. It runs, whole or batch
by batch, when the model asks for its rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pyarrow as pa


class SqlSession(ABC):
    """What ``def model(dbt, session)`` gets as its session."""

    @abstractmethod
    def read(self, query: str) -> pa.RecordBatchReader:
        """Run a query and return its rows as a stream of Arrow batches.

        Timestamps are microseconds without a zone, in UTC.
        """

    def sql(self, query: str) -> SqlFrame:
        """The rows of a query."""
        return SqlFrame(self, query)

    def table(self, name: str) -> SqlFrame:
        """The rows of a table or view, by its full name."""
        return SqlFrame(self, f"select * from {name}")


class SqlFrame:
    """A query whose rows are read when they are asked for."""

    def __init__(self, session: SqlSession, query: str) -> None:
        self._session = session
        self.query = query

    def filter(self, condition: str) -> SqlFrame:
        """The rows for which an SQL condition holds."""
        return self._of(
            f"select * from ({self.query}) as rows_to_filter where {condition}"
        )

    def select(self, *columns: str) -> SqlFrame:
        """Some columns, or expressions, of the rows."""
        return self._of(
            f"select {', '.join(columns)} from ({self.query}) as all_columns"
        )

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self.filter("1 = 0").arrow().column_names

    def order(self, *columns: str) -> SqlFrame:
        """The rows in the order of ``columns``."""
        return self._of(
            f"select * from ({self.query}) as unordered order by {', '.join(columns)}"
        )

    def to_arrow_reader(self, batch_size: int | None = None) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches, of at most ``batch_size`` rows."""
        reader = self._session.read(self.query)
        if batch_size is None:
            return reader
        return pa.RecordBatchReader.from_batches(
            reader.schema,
            (
                batch.slice(start, batch_size)
                for batch in reader
                for start in range(0, batch.num_rows, batch_size)
            ),
        )

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self._session.read(self.query).read_all()

    to_arrow_table = arrow

    def df(self) -> Any:
        """The rows as a pandas frame."""
        return self.arrow().to_pandas(date_as_object=False)

    to_pandas = df
    toPandas = df  # noqa: N815 - the name that Spark's frames have.

    def _of(self, query: str) -> SqlFrame:
        return SqlFrame(self._session, query)
