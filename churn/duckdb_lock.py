"""A dbt-duckdb plugin: a second run on a DuckDB file is refused in a sentence.

DuckDB lets one process write a file. Without this, dbt ends a second run with a
page of its own stack, in which the reason is one line.
"""

from __future__ import annotations

import re
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin


class DatabaseInUseError(RuntimeError):
    """Another process has the database; the message is one sentence."""


class Plugin(BasePlugin):
    """Looks whether the database is free before dbt connects to it."""

    def update_connection_config(
        self,
        creds: DuckDBCredentials,
        config: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Raise DatabaseInUseError if another process has the database open."""
        refuse_if_in_use(creds.path)


def refuse_if_in_use(path: str) -> None:
    """Raise DatabaseInUseError if another process has the DuckDB file open.

    Args:
        path: The file, which need not exist, or ``:memory:``.

    Raises:
        DatabaseInUseError: It is open elsewhere. Other problems are left to
            whoever connects next.
    """
    try:
        duckdb.connect(path).close()
    except duckdb.IOException as error:
        holder = re.search(r"lock is held in .*\(PID (\d+)", str(error))
        if holder:
            raise DatabaseInUseError(
                f"The database {path} is in use by process {holder[1]}, which may be "
                "another dbt run: wait until it has ended, then run again."
            ) from None
    except duckdb.Error:
        return
