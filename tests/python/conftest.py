"""A dbt project on a database of its own, for tests that run dbt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]


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

    def dbt(
        self, *arguments: str, check: bool = True, **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run one dbt command, with ``variables`` as its ``--vars``."""
        command = [str(Path(sys.executable).parent / "dbt"), *arguments]
        if variables:
            command += ["--vars", json.dumps(variables)]
        finished = subprocess.run(
            command,
            cwd=self.root,
            env={
                **os.environ,
                "CHURN_DUCKDB_PATH": str(self.database),
                "DBT_PROFILES_DIR": str(self.root),
                "DBT_TARGET_PATH": str(self.folder / "target"),
                "DBT_LOG_PATH": str(self.folder / "logs"),
                "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
                "PYTHONPATH": str(self.root),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if check and finished.returncode != 0:
            pytest.fail(f"{' '.join(command)}\n{finished.stdout}\n{finished.stderr}")
        return finished

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
