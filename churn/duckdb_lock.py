"""dbt-duckdb plugin that refuses a second run on a DuckDB file with a clear message.

DuckDB allows one process to write to a file. Without this plugin, dbt reports the lock
within a long stack trace.
"""

from __future__ import annotations

import re
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin


class DatabaseInUseError(RuntimeError):
    """Report that another process uses the database; the message is one sentence."""


class Plugin(BasePlugin):
    """Check that the database is not locked before dbt connects to it."""

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
        DatabaseInUseError: Another process has the file open. Other errors are
            ignored here; the next connection reports them.
    """
    try:
        duckdb.connect(path).close()
    except duckdb.IOException as error:
        holder = re.search(r"lock is held in .*\(PID (\d+)", str(error))
        if holder:
            raise DatabaseInUseError(
                f"The database {path} is in use by process {holder[1]}, possibly "
                "another dbt run: wait until it has ended, then run again."
            ) from None
    except duckdb.Error:
        return
