"""The statements that Athena hands to Glue: databases, external tables, drops."""

from __future__ import annotations

from typing import Any

import boto3

from tests.athena_local.errors import AthenaError
from tests.athena_local.statements import (
    Alteration,
    Drop,
    ExternalTable,
    Name,
    SchemaChange,
)

_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
}
_TEXT = {
    "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
}

# What a table that is read from Glue has, and one that is written must not have.
_READ_ONLY = {
    "CatalogId",
    "CreateTime",
    "CreatedBy",
    "DatabaseName",
    "FederatedTable",
    "IsMultiDialectView",
    "IsMaterializedView",
    "IsRegisteredWithLakeFormation",
    "Status",
    "UpdateTime",
    "VersionId",
}


class Catalog:
    """Glue, as Athena's data definition sees it.

    Args:
        session: Credentials and region.
        aws_url: The endpoint of Glue; ``None`` for Amazon's own.
    """

    def __init__(self, session: boto3.Session, aws_url: str | None) -> None:
        self._glue = session.client("glue", endpoint_url=aws_url)
        self._no_such = self._glue.exceptions.EntityNotFoundException
        self._there_already = self._glue.exceptions.AlreadyExistsException

    def table(self, name: Name) -> dict[str, Any] | None:
        """A table's description, ``None`` if there is none."""
        try:
            found = self._glue.get_table(DatabaseName=name.schema, Name=name.table)
        except self._no_such:
            return None
        return found["Table"]

    def parameters(self, name: Name) -> dict[str, str]:
        """A table's properties, empty if there is no table."""
        parameters: dict[str, str] = (self.table(name) or {}).get("Parameters", {})
        return parameters

    def is_iceberg(self, name: Name) -> bool:
        """Whether there is such a table, and it is one of Iceberg."""
        return self.parameters(name).get("table_type", "").upper() == "ICEBERG"

    def change_schema(self, change: SchemaChange) -> None:
        """Create or drop a database, with its tables."""
        try:
            if change.action == "create":
                self._glue.create_database(DatabaseInput={"Name": change.schema})
            else:
                self._glue.delete_database(Name=change.schema)
        except self._there_already:
            if not change.is_lenient:
                raise AthenaError(
                    f"FAILED: Execution Error: Database {change.schema} already exists"
                ) from None
        except self._no_such:
            if not change.is_lenient:
                raise AthenaError(f"SCHEMA_NOT_FOUND: {change.schema}") from None

    def create(self, table: ExternalTable) -> None:
        """Create an external table."""
        description = {
            "Name": table.name.table,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", **table.properties},
            "PartitionKeys": _columns(table.partition_keys),
            "StorageDescriptor": {
                "Columns": _columns(table.columns),
                "Location": table.location,
                "SerdeInfo": {
                    "SerializationLibrary": table.serde,
                    "Parameters": table.serde_properties,
                },
                **(_PARQUET if table.is_parquet else _TEXT),
            },
        }
        try:
            self._glue.create_table(
                DatabaseName=table.name.schema, TableInput=description
            )
        except self._there_already:
            if not table.is_lenient:
                raise AthenaError(
                    "FAILED: Execution Error: AlreadyExistsException(message:Table "
                    f"{table.name.table} already exists.)"
                ) from None
        except self._no_such:
            raise AthenaError(
                f"FAILED: SemanticException: Database {table.name.schema} not found"
            ) from None

    def drop(self, drop: Drop) -> None:
        """Drop a table or view; the files of an external table stay."""
        self.forget(drop.name, drop.is_lenient)

    def forget(self, name: Name, is_lenient: bool = False) -> None:
        """Take a table out of the catalog."""
        try:
            self._glue.delete_table(DatabaseName=name.schema, Name=name.table)
        except self._no_such:
            if not is_lenient:
                raise AthenaError(
                    f"FAILED: SemanticException Table not found {name.table}"
                ) from None

    def alter(self, change: Alteration) -> None:
        """Change a table that is not one of Iceberg.

        Raises:
            AthenaError: Athena has no such change of such a table.
        """
        table = self.table(change.name)
        if table is None:
            raise AthenaError(
                f"FAILED: SemanticException Table not found {change.name.table}"
            )
        if change.action == "set tblproperties":
            table["Parameters"] = {**table.get("Parameters", {}), **change.properties}
        elif change.action == "add columns":
            table["StorageDescriptor"]["Columns"] += _columns(change.columns)
        elif change.action == "replace columns":
            table["StorageDescriptor"]["Columns"] = _columns(change.columns)
        else:
            raise AthenaError(
                f"FAILED: ParseException: `{change.action}` is for Iceberg tables"
            )
        self._update(change.name, table)

    def set_columns(self, name: Name, columns: list[tuple[str, str]]) -> None:
        """Say which columns a view has, as Athena does and Trino does not."""
        table = self.table(name)
        if table is None:
            raise AthenaError(f"TABLE_NOT_FOUND: {name.schema}.{name.table}")
        table["StorageDescriptor"]["Columns"] = _columns(columns)
        self._update(name, table)

    def _update(self, name: Name, table: dict[str, Any]) -> None:
        description = {
            key: value for key, value in table.items() if key not in _READ_ONLY
        }
        self._glue.update_table(DatabaseName=name.schema, TableInput=description)


def _columns(columns: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"Name": name, "Type": kind} for name, kind in columns]
