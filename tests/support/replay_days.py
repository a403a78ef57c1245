"""Run dbt day by day in one process, like a scheduler over weeks.

``python replay_days.py JOB`` in the folder of the database reads the file JOB::

    {"first": "2025-08-29", "last": "2025-10-27",
     "select": ["..."], "exclude": ["..."], "vars": {}, "keep": "replayed"}

For each day it inserts the rows that arrived until the end of the day, runs the
selection, which finalizes the dates that are complete, and copies that day's rows of
``account_features`` and ``churn_scores`` into the schema ``keep``. It is one process,
because starting dbt takes longer than a day of a small company.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

# The column with the time of arrival in each raw table.
ARRIVED_AT = {
    "raw_events": "received_at",
    "raw_accounts": "loaded_at",
    "raw_contacts": "loaded_at",
    "raw_invoices": "loaded_at",
    "raw_calls": "loaded_at",
}


def insert_until(connection: duckdb.DuckDBPyConnection, moment: str) -> None:
    """Move rows that arrived before ``moment`` from ``to_come`` to ``raw``."""
    for table, column in ARRIVED_AT.items():
        connection.execute(
            f"insert into raw.{table} by name select * from to_come.{table} "
            f"where {column} < timestamp '{moment}'"
        )
        connection.execute(
            f"delete from to_come.{table} where {column} < timestamp '{moment}'"
        )


def main(job_file: str) -> None:
    """Run the job in ``job_file``; exit with a message if a run fails."""
    job = json.loads(Path(job_file).read_text())
    database = os.environ["CHURN_DUCKDB_PATH"]
    # Parse once, which takes longer than a day.
    manifest = dbtRunner().invoke(["--quiet", "parse", *project(job["vars"])]).result
    runner = dbtRunner(manifest=manifest)
    day = date.fromisoformat(job["first"])
    while day <= date.fromisoformat(job["last"]):
        with duckdb.connect(database) as connection:
            insert_until(connection, f"{day + timedelta(days=1)} 00:00:00")
        finished = runner.invoke(
            [
                "--quiet",
                # Writing the log of all runs takes longer than the runs.
                "--log-level-file=none",
                "--no-write-json",
                "run",
                "--select",
                *job["select"],
                "--exclude",
                *job["exclude"],
                *project(job["vars"]),
            ]
        )
        DuckDBConnectionManager.close_all_connections()
        if not finished.success:
            sys.exit(f"{day}: {finished.exception or finished.result}")
        with duckdb.connect(database) as connection:
            keep(connection, job["keep"], day)
        day += timedelta(days=1)


def project(variables: dict[str, object]) -> list[str]:
    """Return the options for the project and its variables."""
    folder = os.environ["DBT_PROFILES_DIR"]
    return ["--project-dir", folder, "--vars", json.dumps(variables)]


def keep(connection: duckdb.DuckDBPyConnection, schema: str, day: date) -> None:
    """Copy the day's features and scores into a schema."""
    connection.execute(f"create schema if not exists {schema}")
    for table in ("account_features", "churn_scores"):
        rows = f"select * from {table} where as_of_date = date '{day}'"
        connection.execute(
            f"create table if not exists {schema}.{table} as {rows} limit 0"
        )
        connection.execute(f"insert into {schema}.{table} {rows}")


if __name__ == "__main__":
    main(sys.argv[1])
