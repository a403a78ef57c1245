"""A dbt project on a database of its own, for tests that run dbt."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from engines import run_dbt

ROOT = Path(__file__).resolve().parents[2]

# The files whose tests take longest, by the beginning of their names.
LONGEST = ("test_spark_runs", "test_replay", "test_order_of_arrival")

# What dbt has parsed in this test run, by the variables it was parsed with: a
# full parse takes dbt longer than most tests do. All workers share it.
PARSED = Path(tempfile.gettempdir()) / (
    f"churn-parsed-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no core waits for one."""
    items.sort(key=lambda item: not item.path.name.startswith(LONGEST))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what was parsed, once all workers have ended."""
    if not hasattr(config, "workerinput"):
        for folder in Path(tempfile.gettempdir()).glob("churn-parsed-*"):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Finished:
    """A dbt command that has ended.

    Attributes:
        succeeded: Whether dbt would have ended with status 0.
        told: What it has written to the terminal.
    """

    succeeded: bool
    told: str


@dataclass
class DbtProject:
    """This repository's dbt project, run on a DuckDB file in ``folder``.

    dbt keeps its target and log folders there too, so that tests neither see
    nor disturb a user's own.
    """

    folder: Path
    root: Path = ROOT

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.folder / "test.duckdb"

    def dbt(self, *arguments: str, check: bool = True, **variables: Any) -> Finished:
        """Run one dbt command, with ``variables`` as its ``--vars``."""
        command = self._command(arguments, variables)
        self._recall_parsed(variables)
        with contextlib.chdir(self.folder):
            result, told = run_dbt(command, self.environment)
        # The next project's database has the same path, seen from its folder.
        DuckDBConnectionManager.close_all_connections()
        self._remember_parsed(variables)
        if check and not result.success:
            pytest.fail(f"dbt {' '.join(command)}\n{told}\n{result.exception}")
        return Finished(result.success, told)

    def start_dbt(self, *arguments: str, **variables: Any) -> subprocess.Popen[str]:
        """Start one dbt command, whose output can be read while it runs."""
        self._recall_parsed(variables)
        return subprocess.Popen(
            [
                str(Path(sys.executable).parent / "dbt"),
                *self._command(arguments, variables),
            ],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which this project runs."""
        return {
            **os.environ,
            # dbt parses anew when the profile changes, hence the same relative
            # path for every project.
            "CHURN_DUCKDB_PATH": self.database.name,
            "DBT_PROFILES_DIR": str(self.root),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "PYTHONPATH": str(self.root),
        }

    def _command(
        self, arguments: tuple[str, ...], variables: dict[str, Any]
    ) -> list[str]:
        command = [*arguments, "--project-dir", str(self.root)]
        return command + (["--vars", json.dumps(variables)] if variables else [])

    def _parsed(self, variables: dict[str, Any]) -> tuple[Path, Path]:
        """Where dbt keeps what it parsed, and where this test run does."""
        key = json.dumps(variables, sort_keys=True, default=str)
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.msgpack"
        return self.folder / "target" / "partial_parse.msgpack", PARSED / name

    def _recall_parsed(self, variables: dict[str, Any]) -> None:
        in_target, kept = self._parsed(variables)
        if self.root == ROOT and kept.exists():
            in_target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, in_target)

    def _remember_parsed(self, variables: dict[str, Any]) -> None:
        in_target, kept = self._parsed(variables)
        if self.root == ROOT and in_target.exists() and not kept.exists():
            PARSED.mkdir(exist_ok=True)
            # Another worker may read while this one writes: copy, then rename.
            draft = kept.with_suffix(f".{os.getpid()}")
            shutil.copyfile(in_target, draft)
            draft.replace(kept)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection to the database, to be closed before dbt runs."""
        return duckdb.connect(str(self.database))

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of one query."""
        with duckdb.connect(str(self.database)) as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def frame(self, sql: str) -> pd.DataFrame:
        """The rows of one query, as a data frame."""
        with duckdb.connect(str(self.database)) as connection:
            return connection.execute(sql).df()

    def execute(self, *statements: str) -> None:
        """Execute statements one after the other."""
        with duckdb.connect(str(self.database)) as connection:
            for statement in statements:
                connection.execute(statement)

    def write(self, table: str, rows: pd.DataFrame) -> None:
        """Append rows to a table that exists, by column name."""
        with duckdb.connect(str(self.database)) as connection:
            connection.register("new_rows", rows)
            connection.execute(f"insert into {table} by name select * from new_rows")

    def create_raw_tables(self) -> None:
        """Create the five raw tables, empty."""
        self.execute(
            "create schema if not exists raw",
            """create or replace table raw.raw_events (
                payload varchar, received_at timestamp, source_file varchar)""",
            """create or replace table raw.raw_accounts (
                batch_date date, loaded_at timestamp, account_id varchar,
                company_name varchar, industry varchar, signup_date varchar,
                plan varchar, seats varchar, monthly_recurring_revenue varchar,
                cancelled_service varchar, new_customer varchar)""",
            """create or replace table raw.raw_contacts (
                user_id varchar, account_id varchar, role varchar,
                batch_date date, loaded_at timestamp)""",
            """create or replace table raw.raw_invoices (
                invoice_id varchar, account_id varchar, invoice_date date,
                due_date date, amount double, status varchar,
                loaded_at timestamp)""",
            """create or replace table raw.raw_calls (
                call_id varchar, account_id varchar, started_at timestamp,
                duration_seconds integer, topic varchar, loaded_at timestamp)""",
        )


@pytest.fixture
def project(tmp_path: Path) -> DbtProject:
    """A dbt project on an empty database."""
    return DbtProject(tmp_path)


@pytest.fixture(scope="module")
def module_project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """A dbt project that the tests of one module share."""
    return DbtProject(tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="session")
def built_project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """The demo seeds, built once for all tests that only read."""
    project = DbtProject(tmp_path_factory.mktemp("seeds"))
    project.dbt("build")
    return project
