"""Frames for engines that are accessed through SQL only.

``dbt.ref`` returns a query to the model. It runs, completely or batch by batch, when
the model reads its rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pyarrow as pa


class SqlSession(ABC):
    """The session of ``def model(dbt, session)``."""

    @abstractmethod
    def read(self, query: str) -> pa.RecordBatchReader:
        """Run a query and return its rows as a stream of Arrow batches.

        Timestamps are microseconds without a zone, in UTC.
        """

    def sql(self, query: str) -> SqlFrame:
        """Return the rows of a query."""
        return SqlFrame(self, query)

    def table(self, name: str) -> SqlFrame:
        """Return the rows of a table or view, by its full name."""
        return SqlFrame(self, f"select * from {name}")


class SqlFrame:
    """A query whose rows are read lazily."""

    def __init__(self, session: SqlSession, query: str) -> None:
        self._session = session
        self.query = query

    def filter(self, condition: str) -> SqlFrame:
        """Return the rows that match an SQL condition."""
        return self._of(
            f"select * from ({self.query}) as rows_to_filter where {condition}"
        )

    def select(self, *columns: str) -> SqlFrame:
        """Return some columns or expressions of the rows."""
        return self._of(
            f"select {', '.join(columns)} from ({self.query}) as all_columns"
        )

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns."""
        names: list[str] = self.filter("1 = 0").arrow().column_names
        return names

    def order(self, *columns: str) -> SqlFrame:
        """Return the rows sorted by ``columns``."""
        return self._of(
            f"select * from ({self.query}) as unordered order by {', '.join(columns)}"
        )

    def to_arrow_reader(self, batch_size: int | None = None) -> pa.RecordBatchReader:
        """Return the rows as a stream of batches of at most ``batch_size`` rows."""
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
        """Return the rows as an Arrow table."""
        return self._session.read(self.query).read_all()

    to_arrow_table = arrow

    def df(self) -> Any:
        """Return the rows as a pandas frame."""
        return self.arrow().to_pandas(date_as_object=False)

    to_pandas = df
    toPandas = df  # noqa: N815 - the name in Spark's frames.

    def _of(self, query: str) -> SqlFrame:
        return SqlFrame(self._session, query)
