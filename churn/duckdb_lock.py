"""dbt-duckdb plugin that refuses a DuckDB file that cannot be written, in a sentence.

DuckDB allows one process to write to a file. Without this plugin, dbt reports a locked
or damaged file within a long stack trace.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from churn.config import UserError, open_database


class Plugin(BasePlugin):
    """Check that the database can be opened before dbt connects to it."""

    def update_connection_config(
        self,
        creds: DuckDBCredentials,
        config: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Raise DbtRuntimeError if the file exists and cannot be opened for writing.

        dbt prints the traceback of any other exception.
        """
        if Path(creds.path).is_file():
            try:
                open_database(Path(creds.path), read_only=False).close()
            except UserError as error:
                raise DbtRuntimeError(str(error)) from None
