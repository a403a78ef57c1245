"""The project on Athena, with the methods that tests of every engine call."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa

from tests.athena_local.local import REGION, RESULTS, LocalCloud
from tests.support.engines import Engine

# How many queries are sent at once: most of their time is spent waiting.
AT_ONCE = 6

_ARROW_TYPES = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


class AthenaEngine(Engine):
    """Athena, with a database of its own.

    Args:
        cloud: Where Athena is.
        folder: Where dbt's own folders are.
        schema: The database of the models.
    """

    target = "athena"

    def __init__(self, cloud: LocalCloud, folder: Path, schema: str) -> None:
        super().__init__(folder, schema)
        self.cloud = cloud
        self.environment |= {**cloud.environment, "ATHENA_DATABASE": schema}
        self._athena = boto3.client(
            "athena",
            region_name=REGION,
            endpoint_url=cloud.athena.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def literal(self, text: str | None) -> str:
        if text is None:
            return "cast(null as varchar)"
        return "'" + text.replace("'", "''") + "'"

    def rows(self, sql: str) -> pa.Table:
        """The rows of a query, from ``GetQueryResults``.

        Raises:
            RuntimeError: Athena refused it.
        """
        started = self._athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": self.schema},
            ResultConfiguration={"OutputLocation": f"s3://{RESULTS}/"},
        )["QueryExecutionId"]
        state = "RUNNING"
        while state == "RUNNING":
            execution = self._athena.get_query_execution(QueryExecutionId=started)
            status = execution["QueryExecution"]["Status"]
            state = status["State"]
        if state != "SUCCEEDED":
            raise RuntimeError(f"{status.get('StateChangeReason')}\n{sql}")
        columns: list[tuple[str, str]] = []
        rows: list[list[str | None]] = []
        for page in self._athena.get_paginator("get_query_results").paginate(
            QueryExecutionId=started
        ):
            found = page["ResultSet"]
            columns = columns or [
                (info["Name"], info["Type"])
                for info in found["ResultSetMetadata"]["ColumnInfo"]
            ]
            rows += [
                [value.get("VarCharValue") for value in row["Data"]]
                for row in found["Rows"]
            ]
        values = list(zip(*rows[1:], strict=True)) or [()] * len(columns)
        return pa.table(
            [
                pa.array(
                    [_read(text, kind) for text in texts],
                    _ARROW_TYPES.get(kind, pa.string() if kind != "decimal" else None),
                )
                for texts, (_, kind) in zip(values, columns, strict=True)
            ],
            names=[name for name, _ in columns],
        )

    @contextlib.contextmanager
    def killed_before(self, *patterns: str) -> Iterator[list[str]]:
        """Let dbt fail at each statement in which one of ``patterns`` is found.

        What the same model has run before, such as a pre-hook, is committed by then.
        Yields a list of the statements that were not run.
        """
        from dbt.adapters.athena.connections import AthenaCursor

        execute, failed = AthenaCursor.execute, []

        def execute_or_fail(cursor: Any, operation: str, *parameters: Any) -> Any:
            if any(re.search(pattern, operation) for pattern in patterns):
                failed.append(operation)
                raise RuntimeError("The run was killed here.")
            return execute(cursor, operation, *parameters)

        AthenaCursor.execute = execute_or_fail
        try:
            yield failed
        finally:
            AthenaCursor.execute = execute

    def rename_to_backup(self, table: str) -> None:
        """Leave a table as a run that is killed while it swaps two tables."""
        self.rows(
            f"alter table {self.relation(table)} rename to {self.relation(table)}__bkp"
        )

    def relations(self) -> set[str]:
        """Return the names of all tables and views in the models' databases."""
        return {table["Name"] for table in self.tables()}

    def tables(self, *prefixes: str) -> Iterator[dict[str, Any]]:
        """Yield Glue's description of each table in the models' databases.

        Args:
            prefixes: Beginnings of names of databases, followed by `_`; by default of
                those of the models.
        """
        prefixes = prefixes or (f"{self.schema}_",)
        glue = self.cloud.glue
        for page in glue.get_paginator("get_databases").paginate():
            for database in page["DatabaseList"]:
                if f"{database['Name']}_".startswith(prefixes):
                    for tables in glue.get_paginator("get_tables").paginate(
                        DatabaseName=database["Name"]
                    ):
                        yield from tables["TableList"]


def _read(text: str | None, kind: str) -> Any:
    if text is None:
        return None
    if kind == "boolean":
        return text == "true"
    if kind in ("tinyint", "smallint", "integer", "bigint"):
        return int(text)
    if kind in ("double", "real"):
        return float(text)
    if kind == "decimal":
        return Decimal(text)
    if kind == "date":
        return datetime.date.fromisoformat(text)
    if kind == "timestamp":
        return datetime.datetime.fromisoformat(text)
    return text
