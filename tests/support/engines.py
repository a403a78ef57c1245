"""The engines that tests run the project on, with a common interface.

Spark runs in the test's own process, so that all commands of one file share one
session: starting Spark takes longer than most tests.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from dbt.cli import requires
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt_common.tests import enable_test_caching

from churn.config import Project, use_schemas
from churn.web.publish import publish
from dbt_local_python.spark import as_spark_frame
from tests.support.paths import ROOT

# What dbt adds to the target schema, by the prefix of the model.
LAYER_SCHEMAS = {"base": "_staging", "stg": "_staging", "int": "_intermediate"}


@dataclass
class Engine:
    """One dbt target, with a separate folder for all that is built.

    Attributes:
        folder: The folder of dbt's files and of the engine's files.
        schema: The target schema of dbt.
        root: The dbt project; by default this repository's.
    """

    folder: Path
    schema: str = "main"
    root: Path = ROOT
    target: ClassVar[str]
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set the paths in dbt's environment."""

    def dbt(self, *arguments: str, check: bool = True, **variables: Any) -> Any:
        """Run one dbt command in this process and return dbt's result.

        Args:
            arguments: The command and its options.
            check: Whether a failed command fails the test.
            variables: dbt's variables.
        """
        command = [*arguments, "--target", self.target]
        command += ["--target-path", str(self.folder / f"target-{self.target}")]
        command += ["--log-path", str(self.folder / "logs")]
        command += ["--project-dir", str(self.root), "--profiles-dir", str(ROOT)]
        if variables:
            command += ["--vars", json.dumps(variables)]
        result, output = run_dbt(command, self.environment, self.root)
        if check and not result.success:
            pytest.fail(f"dbt {' '.join(command)}\n{output[-8000:]}")
        return result

    def publish(self) -> Path:
        """Publish the marts and return the SQLite file of the snapshot."""
        path = self.folder / f"serving-{self.target}.db"
        with _environment(self.environment | self.marts_to_publish()):
            project = Project.load(self.root, ROOT, self.target)
            publish(project, sa.make_url(f"sqlite:///{path}"))
        return path

    def marts_to_publish(self) -> dict[str, str]:
        """Return the variables of the marts, if they are not those that dbt writes."""
        return {}

    def compiled(self, jinja: str, **variables: Any) -> str:
        """Return the SQL that a Jinja text compiles to on this engine."""
        result = self.dbt("compile", "--inline", jinja, "--quiet", **variables)
        return result.result.results[0].node.compiled_code

    def relation(self, table: str) -> str:
        """Return the name of a model's table with the schema of its layer."""
        return f"{self.schema}{LAYER_SCHEMAS.get(table.partition('_')[0], '')}.{table}"

    def literal(self, text: str | None) -> str:
        """Return a text as a literal of this engine."""
        raise NotImplementedError

    def rows(self, sql: str) -> pa.Table:
        """Return the rows of a query; times are in UTC, without a zone."""
        raise NotImplementedError

    def execute(self, statement: str) -> None:
        """Run a statement."""
        self.rows(statement)

    def keep_rows(self, table: str, condition: str) -> None:
        """Delete the rows of a raw table that do not match ``condition``."""
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
            use_schemas(connection, self.schema)
            connection.execute("set TimeZone = 'UTC'")
            return connection.sql(sql).to_arrow_table()

    def marts_to_publish(self) -> dict[str, str]:
        # dbt in this process keeps the file open for writing.
        path = Path(self.environment["CHURN_DUCKDB_PATH"])
        copy = path.with_name("published.duckdb")
        with duckdb.connect(str(path)) as connection:
            connection.execute("checkpoint")
            shutil.copy(path, copy)
        return {"CHURN_DUCKDB_PATH": str(copy)}

    def keep_rows(self, table: str, condition: str) -> None:
        with duckdb.connect(self.environment["CHURN_DUCKDB_PATH"]) as connection:
            connection.execute(f"delete from {table} where not ({condition})")


class SparkEngine(Engine):
    """Spark in this process, with one session and one warehouse."""

    target = "spark"

    def __post_init__(self) -> None:
        fetch_spark_packages()
        self.environment |= {
            "CHURN_SPARK_SCHEMA": self.schema,
            "CHURN_SPARK_MASTER": "local[2]",
            "CHURN_SPARK_WAREHOUSE": str(self.folder / "warehouse"),
            "CHURN_SPARK_METASTORE": str(self.folder / "metastore"),
            # The data is small, so compilation takes most of the time.
            "CHURN_SPARK_JAVA_OPTIONS": (
                "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
                # The default code cache of that level is too small for Spark.
                "-XX:ReservedCodeCacheSize=256m "
                f"-Dderby.stream.error.file={self.folder / 'derby.log'} "
                # The metastore need not survive a crash of the machine.
                "-Dderby.system.durability=test"
            ),
        }

    @property
    def session(self) -> Any:
        """Return the session that dbt has opened, or opens now."""
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        if SparkContext._active_spark_context is None:
            # Compile something, so that the session gets the profile's settings.
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
            f"drop table {table} purge",
            f"alter table {table}_kept rename to {table}",
        )

    def append(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table, and create it if it is missing."""
        self._execute(f"create schema if not exists {table.partition('.')[0]}")
        frame, _ = as_spark_frame(self.session, rows)
        frame.write.mode("append").saveAsTable(table)

    def drop(self, *tables: str) -> None:
        """Drop some of the models' tables."""
        self._execute(*(f"drop table {self.relation(table)}" for table in tables))

    @contextlib.contextmanager
    def killed_before(self, *patterns: str) -> Iterator[list[str]]:
        """Let dbt fail at each statement in which one of ``patterns`` is found.

        Earlier statements of the same model, such as a pre-hook, are committed. Yields
        the list of statements that did not run.
        """
        from dbt.adapters.spark.session import Cursor

        execute, failed = Cursor.execute, []

        def execute_or_fail(cursor: Any, sql: str, *parameters: Any) -> None:
            if any(re.search(pattern, sql) for pattern in patterns):
                failed.append(sql)
                raise RuntimeError("The run was killed here.")
            execute(cursor, sql, *parameters)

        Cursor.execute = execute_or_fail
        try:
            yield failed
        finally:
            Cursor.execute = execute

    def leave_behind(self, model: str, suffix: str) -> None:
        """Create a table that a killed run can leave beside a model's table."""
        table = self.relation(model)
        self._execute(
            f"create table {table}{suffix} using iceberg as select * from {table}"
        )

    def relations(self) -> set[str]:
        """Return the names of all tables and views in the schemas of the models."""
        schemas = self.rows(f"show schemas like '{self.schema}|{self.schema}_*'")
        return {
            row["tableName"]
            for schema in schemas.column(0).to_pylist()
            for row in self.rows(f"show tables in {schema}").to_pylist()
            if not row["isTemporary"]
        }

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self.session.sql(statement)


def stop_spark() -> None:
    """Stop the session of this process, and its Java virtual machine."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:
        SparkSession.builder.getOrCreate().stop()
    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        SparkContext._gateway = None
        SparkContext._jvm = None
        # It ends with its input. Until then it holds the embedded metastore.
        gateway.proc.stdin.close()
        gateway.proc.wait()


# dbt then parses each macro once in a process.
enable_test_caching()

# Commands that need only the manifest. Others write what parsing finds, or compare it.
ON_A_MANIFEST = ("build", "run", "seed", "test", "compile", "run-operation")

# The manifests that this process used last, by what parsing depends on.
_manifests: OrderedDict[str, Manifest] = OrderedDict()
_MOST_MANIFESTS = 4


def run_dbt(
    command: list[str], environment: dict[str, str], root: Path
) -> tuple[dbtRunnerResult, str]:
    """Run one dbt command in this process, which saves dbt's start.

    Commands on this repository's project with the same variables, target and
    environment share one manifest, so only the first of them parses the project.

    Args:
        command: The command and its options.
        environment: Environment variables, set while it runs.
        root: The folder of the dbt project. Only this repository is parsed once,
            because tests change others.

    Returns:
        dbt's result, and what it wrote to the terminal.
    """
    output = io.StringIO()
    with (
        _environment(environment),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        if root != ROOT or command[0] not in ON_A_MANIFEST:
            return dbtRunner().invoke(command), output.getvalue()
        key = _parse_key(command)
        # Writing the manifest and the log takes longer than most models.
        command = [*command, "--log-level-file=none"]
        if "--write-json" not in command:
            command.append("--no-write-json")
        if key in _manifests:
            _manifests.move_to_end(key)
            result = dbtRunner(manifest=_manifests[key]).invoke(command)
            return result, output.getvalue()
        with _parsed_manifests() as parsed:
            result = dbtRunner().invoke(command)
        for manifest in parsed:
            _manifests[key] = manifest
        while len(_manifests) > _MOST_MANIFESTS:
            _manifests.popitem(last=False)
    return result, output.getvalue()


def _parse_key(command: list[str]) -> str:
    """Return all that a manifest depends on, apart from the project's files."""
    options = [
        command[number + 1]
        for number, option in enumerate(command)
        if option in ("--vars", "--target", "--profiles-dir", "--profile")
    ]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("CHURN_", "DBT_", "ATHENA_"))
        and name not in ("DBT_TARGET_PATH", "DBT_LOG_PATH")
    }
    return json.dumps([options, environment], sort_keys=True)


@contextlib.contextmanager
def _parsed_manifests() -> Iterator[list[Manifest]]:
    """Collect the manifests that dbt parses without an error."""
    parse, parsed = requires.parse_manifest, []

    def parse_and_keep(*arguments: Any, **options: Any) -> Manifest:
        manifest = parse(*arguments, **options)
        parsed.append(manifest)
        return manifest

    requires.parse_manifest = parse_and_keep
    try:
        yield parsed
    finally:
        requires.parse_manifest = parse


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    values = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **values}
    previous = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def fetch_spark_packages() -> None:
    """Fetch Iceberg's library if it is missing.

    One process fetches while others wait, because concurrent downloads of one file
    conflict.
    """
    import fcntl

    import pyspark

    sys.path.append(str(ROOT / "scripts"))
    from spark_thrift_server import settings

    def is_fetched() -> bool:
        jars = Path.home().glob(".ivy2*/jars/*iceberg-spark-runtime*.jar")
        return next(jars, None) is not None

    with (Path(tempfile.gettempdir()) / "churn-spark-packages").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_fetched():
            submit = Path(pyspark.__path__[0]) / "bin" / "spark-submit"
            packages = settings()["spark.jars.packages"]
            # Any class will do, because only the packages are needed.
            command = [str(submit), "--packages", packages, "--class", "java.lang.Void"]
            finished = subprocess.run(
                [*command, "spark-internal"], capture_output=True, text=True
            )
            if not is_fetched():
                pytest.fail(
                    f"Spark could not fetch {packages}:\n{finished.stdout[-2000:]}"
                    f"{finished.stderr[-2000:]}"
                )
