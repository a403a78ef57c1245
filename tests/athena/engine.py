"""The project on Athena, with the methods that tests of every engine call."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
from engines import Engine

from tests.athena_local.local import LAKE, REGION, RESULTS, LocalCloud

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
    """Athena, whose tables have one of the two formats.

    Args:
        cloud: Where Athena is.
        folder: Where dbt's own folders are.
        table_type: ``hive`` or ``iceberg``.
        schema: The database of the models.
    """

    target = "athena"

    def __init__(
        self, cloud: LocalCloud, folder: Path, table_type: str, schema: str
    ) -> None:
        super().__init__(folder, schema)
        self.cloud = cloud
        self.table_type = table_type
        self.environment |= {**cloud.environment, "ATHENA_DATABASE": schema}
        self._athena = boto3.client(
            "athena",
            region_name=REGION,
            endpoint_url=cloud.athena.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def dbt(self, *arguments: str, check: bool = True, **variables: Any) -> Any:
        """Run one dbt command in this process; returns dbt's result."""
        variables = {"athena_table_type": self.table_type, **variables}
        return super().dbt(*arguments, check=check, **variables)

    def literal(self, text: str | None) -> str:
        if text is None:
            return "cast(null as varchar)"
        return "'" + text.replace("'", "''") + "'"

    def rows(self, sql: str) -> pa.Table:
        """The rows of a query, as ``GetQueryResults`` tells them.

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
            told = self._athena.get_query_execution(QueryExecutionId=started)
            status = told["QueryExecution"]["Status"]
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

    def leave_interrupted(self) -> None:
        """Leave sessions of a Hive table as a run leaves them that is killed.

        A partition was being overwritten: it is gone, and its rows are put aside.
        """
        table = "int_visitor_sessions"
        keys = self.rows(f"select min(partition_key) as first from {table}")
        partition = keys.column("first")[0].as_py()
        self.rows(
            f"create table {table}__dbt_rows with (table_type = 'hive', "
            "is_external = true, format = 'parquet', "
            f"external_location = 's3://{LAKE}/tables/interrupted_{self.schema}') as "
            f"select * from {table} where partition_key = '{partition}'"
        )
        place = {"DatabaseName": self.schema, "TableName": table}
        found = self.cloud.glue.get_partition(**place, PartitionValues=[partition])
        location = found["Partition"]["StorageDescriptor"]["Location"]
        prefix = location.removeprefix(f"s3://{LAKE}/")
        for file in self.cloud.s3.list_objects_v2(Bucket=LAKE, Prefix=f"{prefix}/")[
            "Contents"
        ]:
            self.cloud.s3.delete_object(Bucket=LAKE, Key=file["Key"])
        self.cloud.glue.delete_partition(**place, PartitionValues=[partition])


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
