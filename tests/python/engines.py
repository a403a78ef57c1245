"""The engines that tests run the project on, each with the same few methods.

Spark runs in the test's own process, so that all commands of one file share one
session: to start it takes longer than most of what is tested.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult

from dbt_local_python.spark import as_spark_frame

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Engine:
    """One dbt target, with a place of its own for all that is built.

    Attributes:
        folder: Where dbt's own folders and the engine's files are.
        schema: The schema of the models.
        root: The dbt project; by default this repository's.
    """

    folder: Path
    schema: str = "main"
    root: Path = ROOT
    target: ClassVar[str]
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name the places in the environment that dbt runs in."""

    def dbt(self, *arguments: str, check: bool = True, **variables: Any) -> Any:
        """Run one dbt command in this process; returns dbt's result.

        Args:
            arguments: The command and its options.
            check: Whether a failure fails the test.
            variables: dbt's variables.
        """
        command = [*arguments, "--target", self.target]
        command += ["--target-path", str(self.folder / f"target-{self.target}")]
        command += ["--log-path", str(self.folder / "logs")]
        command += ["--project-dir", str(self.root), "--profiles-dir", str(ROOT)]
        if variables:
            command += ["--vars", json.dumps(variables)]
        result, told = run_dbt(command, self.environment)
        if check and not result.success:
            pytest.fail(f"dbt {' '.join(command)}\n{told[-8000:]}")
        return result

    def compiled(self, jinja: str, **variables: Any) -> str:
        """What a piece of Jinja compiles to on this engine."""
        result = self.dbt("compile", "--inline", jinja, "--quiet", **variables)
        return result.result.results[0].node.compiled_code

    def literal(self, text: str | None) -> str:
        """A text as a literal of this engine."""
        raise NotImplementedError

    def rows(self, sql: str) -> pa.Table:
        """The rows of a query; times are in UTC, without a zone."""
        raise NotImplementedError

    def keep_rows(self, table: str, condition: str) -> None:
        """Remove the rows of a raw table for which ``condition`` does not hold."""
        raise NotImplementedError

    def leave_interrupted(self) -> None:
        """Leave tables of the project as a killed run may leave them."""

    def work_tables(self) -> list[str]:
        """The tables that a run makes for itself and should have dropped."""
        return []


class DuckdbEngine(Engine):
    """DuckDB, in a file."""

    target = "duckdb"

    def __post_init__(self) -> None:
        self.environment["CHURN_DUCKDB_PATH"] = str(self.folder / "test.duckdb")

    def literal(self, text: str | None) -> str:
        return "null" if text is None else "'" + text.replace("'", "''") + "'"

    def rows(self, sql: str) -> pa.Table:
        with duckdb.connect(self.environment["CHURN_DUCKDB_PATH"]) as connection:
            connection.execute("set TimeZone = 'UTC'")
            return connection.sql(sql).to_arrow_table()

    def keep_rows(self, table: str, condition: str) -> None:
        with duckdb.connect(self.environment["CHURN_DUCKDB_PATH"]) as connection:
            connection.execute(f"delete from {table} where not ({condition})")


class SparkEngine(Engine):
    """Spark in this process; there is one session, and so one warehouse."""

    target = "spark"

    def __post_init__(self) -> None:
        self.environment |= {
            "CHURN_SPARK_SCHEMA": self.schema,
            "CHURN_SPARK_MASTER": "local[2]",
            "CHURN_SPARK_WAREHOUSE": str(self.folder / "warehouse"),
            "CHURN_SPARK_METASTORE": str(self.folder / "metastore"),
            # All that is tested is small: what takes time is compiling code.
            "CHURN_SPARK_JAVA_OPTIONS": (
                "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
                # Spark compiles more than the small one of that level holds.
                "-XX:ReservedCodeCacheSize=256m "
                f"-Dderby.stream.error.file={self.folder / 'derby.log'}"
            ),
        }

    @property
    def session(self) -> Any:
        """The session that dbt has opened, or will use."""
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        if SparkContext._active_spark_context is None:
            # The session is to have the settings of the profile.
            self.compiled("select 1")
        return SparkSession.builder.getOrCreate()

    def literal(self, text: str | None) -> str:
        if text is None:
            return "cast(null as string)"
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"

    def rows(self, sql: str) -> pa.Table:
        table = self.session.sql(sql).toArrow()
        return table.cast(
            pa.schema(
                [
                    column.with_type(pa.timestamp("us"))
                    if pa.types.is_timestamp(column.type)
                    else column
                    for column in table.schema
                ]
            )
        )

    def keep_rows(self, table: str, condition: str) -> None:
        rows = f"select * from {table} where {condition}"
        self._execute(
            f"create table {table}_kept using parquet as {rows}",
            f"drop table {table}",
            f"alter table {table}_kept rename to {table}",
        )

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table, which is made if there is none."""
        self._execute(f"create schema if not exists {table.partition('.')[0]}")
        frame, _ = as_spark_frame(self.session, rows)
        frame.write.mode("append").saveAsTable(table)

    def drop(self, *tables: str) -> None:
        """Drop some of the models' tables, as before they are made anew."""
        self._execute(*(f"drop table {self.schema}.{table}" for table in tables))

    def leave_interrupted(self) -> None:
        """Four kills, each at another place of a write.

        Sessions were being replaced: the old ones are gone in part, and of the new
        ones some are in already. Events were being deleted: of a partition that is
        written anew only what was put aside is left; so of the registry, which
        nothing else could bring back. A table was dropped, and not yet renamed.
        """
        sessions = f"{self.schema}.int_visitor_sessions"
        columns = self.session.table(sessions).columns
        columns.remove("partition_key")
        parts = self._partitions(sessions)
        self._execute(
            f"create table {sessions}__dbt_new using parquet as "
            f"select {', '.join(columns)} from {sessions} "
            f"where partition_key >= '{parts[-3]}'",
            f"alter table {sessions} drop partition (partition_key = '{parts[-3]}')",
            f"insert into {sessions} select * from {sessions} "
            f"where partition_key = '{parts[-2]}'",
        )
        for name in ("base_clickstream__event_versions", "churn_models"):
            table = f"{self.schema}.{name}"
            first = self._partitions(table)[0]
            self._execute(
                f"create table {table}__dbt_kept using parquet as "
                f"select * from {table} where partition_key = '{first}'",
                f"alter table {table} drop partition (partition_key = '{first}')",
            )
        identities = f"{self.schema}.identities"
        self._execute(f"alter table {identities} rename to {identities}__dbt_new")

    def _partitions(self, table: str) -> list[str]:
        rows = self.rows(f"select distinct partition_key from {table} order by 1")
        return rows.column("partition_key").to_pylist()

    def work_tables(self) -> list[str]:
        tables = self.rows(f"show tables in {self.schema} like '*__dbt_*'")
        return tables.column("tableName").to_pylist()

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self.session.sql(statement)


def stop_spark() -> None:
    """End the session of this process, and the virtual machine under it."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:
        SparkSession.builder.getOrCreate().stop()
    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        SparkContext._gateway = None
        SparkContext._jvm = None


def run_dbt(
    command: list[str], environment: dict[str, str]
) -> tuple[dbtRunnerResult, str]:
    """Run one dbt command in this process, which saves dbt's start.

    Args:
        command: The command and its options.
        environment: Environment variables, set while it runs.

    Returns:
        dbt's result, and what it has written to the terminal.
    """
    told = io.StringIO()
    with (
        _environment(environment),
        contextlib.redirect_stdout(told),
        contextlib.redirect_stderr(told),
    ):
        result = dbtRunner().invoke(command)
    return result, told.getvalue()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    values = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **values}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def require_java() -> None:
    """Fail with a sentence where Spark cannot run."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.fail("Spark needs Java: install the extra `spark`, or a JRE of 17.")
