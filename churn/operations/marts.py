"""Read the marts of any target as streams of Arrow batches."""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from churn.config import Project, UserError
from churn.quoting import sql_literal

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS_PER_BATCH = 20_000
DUCKDB_MEMORY = "256MB"


class Marts(ABC):
    """The tables that dbt built, on one engine."""

    def read(
        self, query: str, order: str = "", limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Run a query and yield its rows; times are in UTC, without a zone.

        Args:
            query: The query, without ``order by``.
            order: What to sort by, of the columns of the result.
            limit: The most rows, the first ones of that order.
        """
        query = f"{query} order by {order}" if order else query
        return self._run(f"{query} limit {limit}" if limit is not None else query)

    @abstractmethod
    def _run(self, query: str) -> Iterator[pa.RecordBatch]:
        """Run a query and yield its rows."""

    @abstractmethod
    def columns(self, table: str) -> list[str]:
        """Return the columns of a table, empty if it does not exist."""

    @abstractmethod
    def name(self, table: str) -> str:
        """Return the name of a table in queries."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def has(self, table: str, *columns: str) -> bool:
        """Return whether a table has all of some columns."""
        existing = self.columns(table)
        return bool(existing) and set(columns) <= set(existing)

    def rows(
        self, query: str, order: str = "", limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Return all rows of a small result; see `read`."""
        batches = self.read(query, order, limit)
        return [row for batch in batches for row in batch.to_pylist()]


class DuckDBMarts(Marts):
    """The marts in a DuckDB file."""

    def __init__(self, project: Project) -> None:
        self._connection = project.connect(read_only=True)
        # Beyond it, sorting spills to the disk, so memory does not grow with history.
        self._connection.execute(f"set memory_limit = '{DUCKDB_MEMORY}'")
        self._columns: dict[str, list[str]] | None = None

    def _run(self, query: str) -> Iterator[pa.RecordBatch]:
        yield from self._connection.sql(query).to_arrow_reader(ROWS_PER_BATCH)

    def columns(self, table: str) -> list[str]:
        """Return the columns of a table, empty if it does not exist."""
        if self._columns is None:
            # One query for all tables, because each reads the whole catalog.
            self._columns = {}
            for name, column in self._connection.execute(
                """select table_name, column_name from information_schema.columns
                where list_contains(current_schemas(false), table_schema)
                order by table_name, ordinal_position"""
            ).fetchall():
                self._columns.setdefault(name, []).append(column)
        return self._columns.get(table, [])

    def name(self, table: str) -> str:
        """Return the name of a table: all schemas are on the search path."""
        return table

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class AdapterMarts(Marts):
    """The marts of another target, read through dbt's adapter for it."""

    def __init__(self, project: Project) -> None:
        self._schema = project.schema
        self._columns: dict[str, list[str]] = {}
        self._session, self._close = open_session(project)

    def _run(self, query: str) -> Iterator[pa.RecordBatch]:
        from churn.engine_io import as_batches

        yield from as_batches(self._session.sql(query), rows=ROWS_PER_BATCH)

    def columns(self, table: str) -> list[str]:
        """Return the columns of a table, empty if it does not exist."""
        if table not in self._columns:
            from churn.engine_io import column_names, is_missing_table

            try:
                relation = self._session.sql(f"select * from {self.name(table)}")
                self._columns[table] = column_names(relation)
            except Exception as error:
                # Engines raise different exception types for a missing table.
                if not is_missing_table(error):
                    raise
                self._columns[table] = []
        return self._columns[table]

    def name(self, table: str) -> str:
        """Return the name of a table with its schema, by dbt's layers."""
        layer = {"stg": "_staging", "int": "_intermediate"}.get(table[:3], "")
        return f"{self._schema}{layer}.{table}"

    def close(self) -> None:
        """Close the connection."""
        self._close()


class AthenaMarts(AdapterMarts):
    """The marts on Athena, whose rows are unloaded to several files, without order."""

    def read(
        self, query: str, order: str = "", limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Run a query and yield its rows, sorted in this process."""
        # Only a limit needs the order there.
        batches = super().read(query, order if limit is not None else "", limit)
        return sorted_batches(batches, order) if order else batches


def sorted_batches(
    batches: Iterator[pa.RecordBatch], order: str
) -> Iterator[pa.RecordBatch]:
    """Yield rows in an order; beyond `DUCKDB_MEMORY` they are sorted on the disk."""
    first = next(batches, None)
    if first is None:
        return
    import duckdb

    unsorted = pa.RecordBatchReader.from_batches(
        first.schema, itertools.chain([first], batches)
    )
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute(f"set temp_directory = {sql_literal(folder)}")
        connection.execute(f"set memory_limit = '{DUCKDB_MEMORY}'")
        connection.execute("set TimeZone = 'UTC'")
        connection.register("unsorted_rows", unsorted)
        yield from connection.sql(
            f"select * from unsorted_rows order by {order}"
        ).to_arrow_reader(ROWS_PER_BATCH)


def open_marts(project: Project) -> Marts:
    """Open the marts of a project's target.

    Raises:
        UserError: The database is missing, locked or on an unknown engine.
    """
    if project.adapter == "duckdb":
        return DuckDBMarts(project)
    if project.adapter == "athena":
        return AthenaMarts(project)
    if project.adapter == "spark":
        return AdapterMarts(project)
    raise UserError(
        f"The target `{project.target}` is on {project.adapter}: publish from a target "
        "on DuckDB, Spark or Athena."
    )


def open_session(project: Project) -> tuple[Any, Any]:
    """Return a session with ``sql`` for a target, and a function that closes it."""
    from dbt.adapters.factory import get_adapter, register_adapter, reset_adapters
    from dbt.config.runtime import RuntimeConfig
    from dbt.flags import set_from_args
    from dbt.mp_context import get_mp_context
    from dbt_common.context import set_invocation_context

    arguments = argparse.Namespace(
        project_dir=str(project.project_dir),
        profiles_dir=str(project.profiles_dir),
        target=project.target,
        profile=None,
        threads=1,
        vars={},
        which="run",
        REQUIRE_RESOURCE_NAMES_WITHOUT_SPACES=False,
    )
    set_invocation_context(os.environ)
    set_from_args(arguments, {})
    reset_adapters()  # type: ignore[no-untyped-call]
    config = RuntimeConfig.from_args(arguments)
    register_adapter(config, get_mp_context())
    adapter = get_adapter(config)
    adapter.acquire_connection("publish")
    if project.adapter == "athena":
        from dbt_local_python.athena import AthenaSession

        session: Any = AthenaSession(adapter)
    elif project.credentials.get("method") == "session":
        from pyspark.sql import SparkSession

        # The adapter starts the session with the profile's settings.
        adapter.execute("select 1", fetch=True)
        session = SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
    else:
        from dbt_local_python.spark_thrift import ThriftSession

        session = ThriftSession(adapter)

    def close() -> None:
        adapter.cleanup_connections()

    return session, close
