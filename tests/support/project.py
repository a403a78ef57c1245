"""A dbt project on a separate database, for tests that run dbt."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager

from churn.config import use_schemas
from tests.support.engines import run_dbt
from tests.support.paths import ROOT, shared_folder

# Options of `dbt build` for tests of tables. The dbt unit tests read no table, so they
# run once, in the build of the seeds.
NO_UNIT_TESTS = ("--exclude-resource-types", "unit_test")


@dataclass
class Finished:
    """A finished dbt command.

    Attributes:
        succeeded: Whether dbt's exit code would be 0.
        output: What it wrote to the terminal.
    """

    succeeded: bool
    output: str


@dataclass
class DbtProject:
    """This repository's dbt project, run on a DuckDB file in ``folder``.

    dbt's target and log folders are there too, so that tests do not use a user's.
    """

    folder: Path
    root: Path = ROOT

    @property
    def database(self) -> Path:
        """Return the DuckDB file."""
        return self.folder / "test.duckdb"

    def dbt(self, *arguments: str, check: bool = True, **variables: Any) -> Finished:
        """Run one dbt command, with ``variables`` as its ``--vars``."""
        command = self._command(arguments, variables)
        self._restore_parsed(variables)
        with contextlib.chdir(self.folder):
            result, output = run_dbt(command, self.environment, self.root)
        # The next project's database has the same relative path.
        DuckDBConnectionManager.close_all_connections()
        self._store_parsed(variables)
        if check and not result.success:
            pytest.fail(f"dbt {' '.join(command)}\n{output}\n{result.exception}")
        return Finished(result.success, output)

    def start_dbt(self, *arguments: str, **variables: Any) -> subprocess.Popen[str]:
        """Start one dbt command, whose output can be read while it runs."""
        self._restore_parsed(variables)
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
        """Return the environment variables for this project's dbt."""
        return {
            **os.environ,
            # dbt parses again if the profile changes, so use the same relative path for
            # every project.
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
        """Return the paths of dbt's parse result and of this test run's copy.

        All workers share the copy: a full parse takes longer than most tests.
        """
        key = json.dumps(variables, sort_keys=True, default=str)
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.msgpack"
        return self.folder / "target" / "partial_parse.msgpack", shared_folder() / name

    def _restore_parsed(self, variables: dict[str, Any]) -> None:
        """Start with the parse result of the repository, also in a copy of it.

        dbt parses the files that a test has changed in the copy.
        """
        in_target, stored = self._parsed(variables)
        is_needed = self.root == ROOT or not in_target.exists()
        if is_needed and stored.exists() and self._is_repository():
            in_target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored, in_target)

    def _is_repository(self) -> bool:
        settings = "dbt_project.yml"
        return (self.root / settings).read_bytes() == (ROOT / settings).read_bytes()

    def _store_parsed(self, variables: dict[str, Any]) -> None:
        in_target, stored = self._parsed(variables)
        if self.root == ROOT and in_target.exists() and not stored.exists():
            # Copy, then rename, because another worker can read at the same time.
            temporary = stored.with_suffix(f".{os.getpid()}")
            shutil.copyfile(in_target, temporary)
            temporary.replace(stored)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open a connection, to be closed before dbt runs."""
        connection = duckdb.connect(str(self.database))
        use_schemas(connection)
        return connection

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of one query."""
        with self.connect() as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def unknown_relations(self) -> list[tuple[str, str]]:
        """Return the tables and views that dbt's manifest does not know."""
        # A build writes no manifest if it need not parse.
        self.dbt("parse")
        path = self.folder / "target" / "manifest.json"
        manifest = json.loads(path.read_text())
        known = {
            (node["schema"], node.get("alias") or node["identifier"])
            for node in [*manifest["nodes"].values(), *manifest["sources"].values()]
        }
        # `churn load` writes it.
        known.add(("raw", "loaded_files"))
        found = self.query(
            "select table_schema, table_name from information_schema.tables"
        )
        return sorted(set(found) - known)

    def frame(self, sql: str) -> pd.DataFrame:
        """Return the rows of one query, as a data frame."""
        with self.connect() as connection:
            return connection.execute(sql).df()

    def execute(self, *statements: str) -> None:
        """Execute statements in order."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def write(self, table: str, rows: pd.DataFrame) -> None:
        """Append rows to an existing table, by column name."""
        with self.connect() as connection:
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
