"""Runs one Athena statement, on Trino or in Glue."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import boto3

from tests.athena_local import statements
from tests.athena_local.catalog import Catalog
from tests.athena_local.errors import AthenaError, of_trino
from tests.athena_local.trino_client import Answer, Trino, TrinoError
from tests.athena_local.trino_server import HIVE_CATALOG, ICEBERG_CATALOG


@dataclass
class Outcome:
    """What a statement gave.

    Attributes:
        columns: Name and Athena type of each column.
        rows: The rows as text, null where there is no value.
        has_rows: Whether it is a query, whose rows follow a row of column names.
        update_count: How many rows it wrote.
        scanned_bytes: What it read from S3.
        manifest: The files that an unload wrote.
    """

    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    has_rows: bool = False
    update_count: int = 0
    scanned_bytes: int = 0
    manifest: list[str] = field(default_factory=list)


class Engine:
    """Athena's engine.

    Args:
        session: Credentials and region.
        aws_url: The endpoint of S3 and Glue.
        trino_url: The Trino server.
    """

    def __init__(self, session: boto3.Session, aws_url: str, trino_url: str) -> None:
        self._catalog = Catalog(session, aws_url)
        self._s3 = session.client("s3", endpoint_url=aws_url)
        self._trino_url = trino_url
        self._of_thread = threading.local()

    def run(self, sql: str, schema: str) -> Outcome:
        """Run a statement to its end.

        Args:
            sql: The statement as the client wrote it.
            schema: Where names without a schema are looked up.

        Raises:
            AthenaError: It failed.
        """
        body = statements.without_comments(sql)
        try:
            return self._run(body, schema.lower())
        except TrinoError as error:
            raise of_trino(error.name, error.kind, str(error)) from error

    def _run(self, sql: str, schema: str) -> Outcome:
        if change := statements.read_schema_change(sql):
            self._catalog.change_schema(change)
        elif table := statements.read_external_table(sql, schema):
            self._catalog.create(table)
        elif creation := statements.read_create_table_as(sql, schema):
            return self._create_table_as(creation, schema)
        elif view := statements.read_create_view(sql, schema):
            self._create_view(view, sql, schema)
        elif drop := statements.read_drop(sql, schema):
            if self._catalog.is_iceberg(drop.name):
                self._trino(f"drop table {drop.name.on(ICEBERG_CATALOG)}", schema)
            else:
                self._catalog.drop(drop)
        elif alteration := statements.read_alteration(sql, schema):
            self._alter(alteration, schema)
        elif unload := statements.read_unload(sql):
            return self._unload(unload, schema)
        elif maintenance := statements.read_maintenance(sql, schema):
            self._maintain(maintenance, schema)
        else:
            return _outcome(self._trino(sql, schema))
        return Outcome()

    def _trino(
        self, sql: str, schema: str, session: dict[str, str] | None = None
    ) -> Answer:
        if not hasattr(self._of_thread, "trino"):
            self._of_thread.trino = Trino(self._trino_url)
        return self._of_thread.trino.run(sql, HIVE_CATALOG, schema, session)

    def _create_table_as(
        self, creation: statements.CreateTableAs, schema: str
    ) -> Outcome:
        name = creation.name
        if self._catalog.table(name):
            raise AthenaError(f"TABLE_ALREADY_EXISTS: Table '{name.table}' exists")
        if creation.location and self._files(creation.location):
            raise AthenaError(
                "HIVE_PATH_ALREADY_EXISTS: Target directory for table "
                f"'{name.schema}.{name.table}' already exists: {creation.location}. "
                "You may need to manually clean the data at this location."
            )
        catalog = ICEBERG_CATALOG if creation.is_iceberg else HIVE_CATALOG
        session = {}
        if creation.codec:
            session[f"{catalog}.compression_codec"] = creation.codec
        properties = ", ".join(f"{k} = {v}" for k, v in creation.properties.items())
        answer = self._trino(
            f"create table {name.on(catalog)}"
            + (f" with ({properties}) " if properties else " ")
            + creation.query,
            schema,
            session,
        )
        return _written(answer)

    def _create_view(self, view: statements.CreateView, sql: str, schema: str) -> None:
        self._trino(sql, schema)
        columns = self._trino(
            f"select * from {view.name.on(HIVE_CATALOG)} limit 0", schema
        ).columns
        self._catalog.set_columns(
            view.name,
            [(name.lower(), statements.hive_type(kind)) for name, kind in columns],
        )

    def _alter(self, change: statements.Alteration, schema: str) -> None:
        if change.action == "set tblproperties" or not self._catalog.is_iceberg(
            change.name
        ):
            self._catalog.alter(change)
            return
        table = change.name.on(ICEBERG_CATALOG)
        if change.action == "rename to":
            parts = [f"rename to {change.new_name.on(ICEBERG_CATALOG)}"]
        elif change.action == "add columns":
            parts = [
                f'add column "{name}" {statements.trino_type(kind)}'
                for name, kind in change.columns
            ]
        elif change.action == "drop column":
            parts = [f'drop column "{name}"' for name, _ in change.columns]
        elif change.action == "change column":
            (old, _), (new, _) = change.columns
            parts = [f'rename column "{old}" to "{new}"']
        else:
            raise AthenaError(
                f"FAILED: ParseException: `{change.action}` is for Hive tables"
            )
        for part in parts:
            self._trino(f"alter table {table} {part}", schema)

    def _unload(self, unload: statements.Unload, schema: str) -> Outcome:
        """Write a query's rows to files, as the table that they nearly are."""
        if self._files(unload.location):
            raise AthenaError(
                "HIVE_PATH_ALREADY_EXISTS: Target directory already exists: "
                f"{unload.location}"
            )
        name = statements.Name(schema, f"unload_{uuid.uuid4().hex}")
        answer = self._trino(
            f"create table {name.on(HIVE_CATALOG)} with (external_location = "
            f"'{unload.location}', format = '{unload.format}') as {unload.query}",
            schema,
        )
        self._catalog.forget(name)
        outcome = _written(answer)
        outcome.manifest = self._files(unload.location)
        return outcome

    def _maintain(self, maintenance: statements.Maintenance, schema: str) -> None:
        actions, session = ["optimize"], {}
        if maintenance.action == "vacuum":
            age = self._catalog.parameters(maintenance.name).get(
                "vacuum_max_snapshot_age_seconds", "432000"
            )
            # Athena also deletes files that no snapshot refers to.
            procedures = ("expire_snapshots", "remove_orphan_files")
            actions = [
                f"{each}(retention_threshold => '{age}s')" for each in procedures
            ]
            # Trino refuses to delete younger ones than this.
            session = {
                f"{ICEBERG_CATALOG}.{each}_min_retention": "0s" for each in procedures
            }
        for action in actions:
            self._trino(
                f"alter table {maintenance.name.on(ICEBERG_CATALOG)} execute {action}",
                schema,
                session,
            )

    def _files(self, location: str) -> list[str]:
        """The files that lie under a location."""
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix
        )
        return [
            f"s3://{bucket}/{found['Key']}"
            for page in pages
            for found in page.get("Contents", [])
            if found["Size"]
        ]


def _written(answer: Answer) -> Outcome:
    """What Athena tells of a statement that wrote rows: no row, but a column."""
    return Outcome(
        columns=[("rows", "bigint")],
        update_count=answer.update_count or 0,
        scanned_bytes=answer.scanned_bytes,
    )


def _outcome(answer: Answer) -> Outcome:
    if answer.update_type is not None:
        return _written(answer)
    return Outcome(
        columns=[(name, _athena_type(kind)) for name, kind in answer.columns],
        rows=[
            [
                _text(value, kind)
                for value, (_, kind) in zip(row, answer.columns, strict=True)
            ]
            for row in answer.rows
        ],
        has_rows=True,
        scanned_bytes=answer.scanned_bytes,
    )


def _athena_type(trino_type: str) -> str:
    """A type as ``GetQueryResults`` names it, without length and precision."""
    name = trino_type.partition("(")[0]
    return f"{name} with time zone" if trino_type.endswith("with time zone") else name


def _text(value: Any, kind: str) -> str | None:
    """A value as ``GetQueryResults`` writes it.

    Only what dbt reads back is written exactly as Athena writes it; in rows, arrays
    and maps the items are.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(str(_text(item, "")) for item in value) + "]"
    if isinstance(value, dict):
        items = (f"{key}={_text(item, '')}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if kind == "varbinary":
        return bytes(value, "ascii").hex(" ")
    return str(value)
