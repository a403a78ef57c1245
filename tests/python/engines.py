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
from dbt.cli.main import dbtRunner

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Engine:
    """One dbt target, with a place of its own for all that is built.

    Attributes:
        folder: Where dbt's own folders and the engine's files are.
        schema: The schema of the models.
    """

    folder: Path
    schema: str = "main"
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
        command += ["--project-dir", str(ROOT), "--profiles-dir", str(ROOT)]
        if variables:
            command += ["--vars", json.dumps(variables)]
        told = io.StringIO()
        with _environment(self.environment), contextlib.redirect_stdout(told):
            result = dbtRunner().invoke(command)
        if check and not result.success:
            pytest.fail(f"dbt {' '.join(command)}\n{told.getvalue()[-8000:]}")
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
                f"-Dderby.stream.error.file={self.folder / 'derby.log'}"
            ),
        }

    @property
    def session(self) -> Any:
        """The session that dbt has opened, or will use."""
        from pyspark.sql import SparkSession

        session = SparkSession.getActiveSession()
        if session is None:
            self.dbt("debug")
            session = SparkSession.builder.getOrCreate()
        return session

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


def stop_spark() -> None:
    """End the session of this process, and the virtual machine under it."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()
    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        SparkContext._gateway = None
        SparkContext._jvm = None


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
