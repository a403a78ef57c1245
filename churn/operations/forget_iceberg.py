"""Find and erase a person in the tables of Spark and Athena.

The engine searches; the rows that may hold the person come to this process, where the
same code as on DuckDB computes their new values. One ``merge`` writes them, so each
table changes in one commit. Old snapshots of changed tables are deleted, because they
hold the previous rows.

A killed run is continued by running it again. The tables that link a person to devices
and users change last, so a continued run finds all identifiers again.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from churn.config import Project, UserError
from churn.engine_io import as_table
from churn.operations.forget_files import FileState
from churn.operations.forget_tables import Table, Tables, in_parts, is_integer
from churn.operations.marts import open_session
from churn.operations.pii import ERASED, Classification, Eraser

# Characters of a pattern, and of a statement that searches several tables. Athena
# refuses statements of more than 262,144 bytes.
_PATTERN_LENGTH = 40_000
_STATEMENT_LENGTH = 150_000
# A function of Athena takes at most 127 arguments.
_ARGUMENTS = 100
# Characters between values that are searched, and between those of a key.
_LINE_BREAK, _SEPARATOR = 10, 31
_NESTED = ("array", "map", "struct", "binary")
# Glue's name of a type, if Athena's queries have another one.
_TRINO_TYPES = {"int": "integer", "float": "real", "binary": "varbinary"}
# The end of the name of the table that replaces another one.
_COPY = "__churn_erased"
# Changed after all other tables, in this order: a continued run needs them.
_LINKS = ("int_visitor_sessions", "int_visitor_users", "int_account_users")
# Athena deletes snapshots that are older than this, unless a table says otherwise.
_DEFAULT_SNAPSHOT_SECONDS = 432_000
_MAX_VACUUMS = 100


@dataclass(frozen=True)
class EngineTable(Table):
    """A table of Spark or Athena.

    Attributes:
        is_iceberg: Whether it is an Iceberg table.
        is_managed: Whether the engine owns its files.
        is_merge_on_read: Whether deleted rows may remain in its files.
    """

    is_iceberg: bool
    is_managed: bool
    is_merge_on_read: bool


@dataclass(frozen=True)
class _Column:
    """A column that may hold personal data.

    Attributes:
        name: Its name.
        kind: ``text``, ``integer``, ``list`` (of texts), ``nested`` (searched, can only
            be cleared) or ``scalar`` (not searched, can only be cleared).
        pii: Its class.
        data_type: Its type, as the engine names it.
    """

    name: str
    kind: str
    pii: str | None
    data_type: str


@dataclass
class _Changes:
    """The changes of one table.

    Attributes:
        rows: How many rows change.
        values: The new value by column, for each key of rows that are equal in all
            searched columns. Lists are JSON, other values are texts.
        left: Columns that hold the person and cannot be changed.
    """

    rows: int
    values: dict[str, dict[str, str | None]]
    left: set[str]


class IcebergTables(Tables):
    """The project's tables on Spark or Athena.

    Args:
        project: The project.
        classes: The declared classes.
        tables: The tables, without views.
        session: The engine's session, with ``sql``.
    """

    tables: list[EngineTable]  # type: ignore[assignment]

    def __init__(
        self,
        project: Project,
        classes: Classification,
        tables: Sequence[EngineTable],
        session: Any,
    ) -> None:
        self.session = session
        super().__init__(project, classes, tables)

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Return the rows of a query whose columns are texts."""
        return [tuple(row.values()) for row in self._rows(sql)]

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = as_table(self.session.sql(sql)).to_pylist()
        return rows

    # ---- Dialect ----------------------------------------------------------------

    @abstractmethod
    def matches(self, text: str, pattern: str) -> str:
        """Return the condition that a text contains a match of a pattern."""

    @abstractmethod
    def digest(self, text: str) -> str:
        """Return the MD5 digest of a text, in lower-case hexadecimal digits."""

    @abstractmethod
    def rendered(self, column: _Column) -> str:
        """Return a column as text: lists and nested types as JSON."""

    @abstractmethod
    def parsed(self, column: _Column, text: str) -> str:
        """Return a rendered value with the type of its column."""

    @abstractmethod
    def execute(self, statement: str) -> None:
        """Run a statement that returns no rows."""

    @abstractmethod
    def staged(self, rows: pa.Table) -> contextlib.AbstractContextManager[str]:
        """Provide rows as a relation of the engine for a time."""

    def replace_rows(self, table: EngineTable, query: str) -> None:
        """Replace a table that is no Iceberg table by a copy with other rows."""
        raise NotImplementedError

    @abstractmethod
    def expire_snapshots(self, tables: Sequence[EngineTable]) -> None:
        """Delete all snapshots of tables but the current ones, with their files."""

    @abstractmethod
    def files_with(self, table: EngineTable, condition: str) -> list[str]:
        """Return the files of a table whose rows match a condition."""

    # ---- Erasing ----------------------------------------------------------------

    def erase(
        self, eraser: Eraser, files: Sequence[FileState], is_continued: bool
    ) -> Counter[str]:
        """Erase the person table by table; delete the old snapshots of each.

        Raises:
            UserError: A table still holds the person.
        """
        last = [*_LINKS, getattr(self.sources.get("raw_contacts"), "name", "")]
        order = sorted(
            (table for table in self.tables if self._is_writable(table)),
            key=lambda table: last.index(table.name) if table.name in last else -1,
        )
        suspects = self._suspects(order, eraser)
        changed: Counter[str] = Counter()
        left: set[str] = set()
        for table in order:
            if table in suspects:
                changes = self._changes(table, eraser)
                left |= {f"{table}.{column}" for column in changes.left}
                if changes.values:
                    self._write(table, changes)
                    changed[str(table)] = changes.rows
        self.record_files(files)
        self.expire_snapshots(
            [
                table
                for table in order
                if table.is_iceberg and (is_continued or changed[str(table)])
            ]
        )
        for table in self._suspects(order, eraser):
            changes = self._changes(table, eraser)
            columns = {name for values in changes.values.values() for name in values}
            left |= {f"{table}.{column}" for column in columns | changes.left}
        if left:
            raise UserError(
                f"{', '.join(sorted(left))} still hold the identifier: erase it there "
                "by hand, then run again."
            )
        return +changed

    def remaining(self, eraser: Eraser) -> list[str]:
        """Return files of tables that hold the person and cannot be rewritten."""
        tables = [table for table in self.tables if not self._is_writable(table)]
        found: list[str] = []
        for table in self._suspects(tables, eraser):
            changes = self._changes(table, eraser)
            if changes.values or changes.left:
                for condition in self._conditions(table, eraser):
                    found += self.files_with(table, condition)
        return sorted(set(found))

    def _is_writable(self, table: EngineTable) -> bool:
        return table.is_iceberg or table.is_managed

    def _source(self, table: EngineTable) -> str | None:
        return self.source_of.get(table.name) if table.is_raw else None

    def _columns(self, table: EngineTable) -> list[_Column]:
        columns = []
        for name, data_type in table.columns.items():
            pii = self.class_of(table, self._source(table), name)
            kind = _kind(data_type)
            if kind == "integer" and pii != "identifier":
                kind = "scalar"
            if kind != "scalar" or pii in ("contact", "free_text"):
                columns.append(_Column(name, kind, pii, data_type))
        return columns

    def _conditions(self, table: EngineTable, eraser: Eraser) -> list[str]:
        """Return conditions; each row that may hold the person matches one."""
        columns = self._columns(table)
        searched = [self.rendered(each) for each in columns if each.kind != "scalar"]
        searched += map(self.as_text, self.subjects(table, self._source(table)))
        if not searched:
            return []
        text = _joined(searched, _LINE_BREAK)
        has_records = any(column.pii == "record" for column in columns)
        conditions = [
            self.matches(text, pattern) for pattern in _patterns(eraser, has_records)
        ]
        if "session_id" in table.columns:
            keys = sorted(eraser.values.keys() - eraser.pseudonyms.keys())
            conditions += [
                self._is_one_of("session_id", part) for part in in_parts(keys)
            ]
        return conditions

    def _suspects(
        self, tables: Sequence[EngineTable], eraser: Eraser
    ) -> list[EngineTable]:
        """Return the tables of which some row may hold the person."""
        queries = [
            f"select '{number}' as number, {self.as_text('count(*)')} as hits "
            f"from {self.relation(table)} where {condition}"
            for number, table in enumerate(tables)
            for condition in self._conditions(table, eraser)
        ]
        found: set[int] = set()
        while queries:
            part = [queries.pop()]
            while queries and sum(map(len, [*part, queries[-1]])) < _STATEMENT_LENGTH:
                part.append(queries.pop())
            rows = self.query(" union all ".join(part))
            found |= {int(number) for number, hits in rows if number and hits != "0"}
        return [table for number, table in enumerate(tables) if number in found]

    def _key(self, table: EngineTable) -> str:
        """Return the key of a row: a digest of all on which its new values depend."""
        texts = [
            *map(self.rendered, self._columns(table)),
            *map(self.as_text, self.subjects(table, self._source(table))),
        ]
        values = [f"coalesce(concat('v', {text}), 'n')" for text in texts]
        return self.digest(_joined(values, _SEPARATOR))

    def _changes(self, table: EngineTable, eraser: Eraser) -> _Changes:
        """Compute the new values of the rows that hold the person."""
        columns = self._columns(table)
        subjects = self.subjects(table, self._source(table))
        selected = {"erased_key": self._key(table)}
        selected |= {
            f"erased_{number}": self.rendered(column)
            for number, column in enumerate(columns)
        }
        selected |= {
            f"erased_subject_{number}": self.as_text(subject)
            for number, subject in enumerate(subjects)
        }
        expressions = ", ".join(f"{each} as {name}" for name, each in selected.items())
        names = ", ".join(selected)
        changes = _Changes(0, {}, set())
        for condition in self._conditions(table, eraser):
            for row in self._rows(
                f"""select {names}, {self.as_text("count(*)")} as rows_found
                from (
                    select {expressions} from {self.relation(table)} where {condition}
                ) as rows_to_erase
                group by {names}"""
            ):
                is_subject = any(
                    (row[f"erased_subject_{number}"] or "").strip() in eraser.pseudonyms
                    for number in range(len(subjects))
                )
                values: dict[str, str | None] = {}
                for number, column in enumerate(columns):
                    old = row[f"erased_{number}"]
                    if old is None:
                        continue
                    new = self._new_value(table, column, old, is_subject, eraser)
                    if column.kind == "nested" and new not in (None, old):
                        changes.left.add(column.name)
                    elif new != old:
                        values[column.name] = new
                if values and row["erased_key"] not in changes.values:
                    changes.values[row["erased_key"]] = values
                    changes.rows += int(row["rows_found"])
        return changes

    def _new_value(
        self,
        table: EngineTable,
        column: _Column,
        old: str,
        is_subject: bool,
        eraser: Eraser,
    ) -> str | None:
        """Return the new value of a column, rendered as the old one."""
        if column.kind == "integer":
            return eraser.values.get(old, old)
        if is_subject and column.pii in ("contact", "free_text"):
            is_null = column.kind != "text" or self.is_parsed(
                self._source(table), column.name
            )
            return None if is_null else ERASED
        if column.kind == "scalar":
            return old
        if column.kind == "list":
            items = json.loads(old)
            new = [each if each is None else eraser.text(each) for each in items]
            return old if new == items else json.dumps(new)
        return eraser.record(old) if column.pii == "record" else eraser.text(old)

    def _write(self, table: EngineTable, changes: _Changes) -> None:
        """Write the new values of one table."""
        names = sorted({name for row in changes.values.values() for name in row})
        columns = {each.name: each for each in self._columns(table)}
        staged: dict[str, list[Any]] = {"erased_key": list(changes.values)}
        new_values = {}
        for number, name in enumerate(names):
            rows = changes.values.values()
            staged[f"erased_{number}"] = [row.get(name) for row in rows]
            staged[f"is_erased_{number}"] = [name in row for row in rows]
            new = self.parsed(columns[name], f"erased_source.erased_{number}")
            new_values[name] = (
                f"case when erased_source.is_erased_{number} then {new} "
                f"else erased_target.{self.identifier(name)} end"
            )
        schema = pa.schema(
            [
                (name, pa.bool_() if name.startswith("is_") else pa.string())
                for name in staged
            ]
        )
        with self.staged(pa.table(staged, schema=schema)) as source:
            join = (
                f"{source} as erased_source "
                f"on {self._key(table)} = erased_source.erased_key"
            )
            if table.is_iceberg:
                assignments = ", ".join(
                    f"{self.identifier(name)} = {value}"
                    for name, value in new_values.items()
                )
                self.execute(
                    f"merge into {self.relation(table)} as erased_target using {join} "
                    f"when matched then update set {assignments}"
                )
            else:
                selected = ", ".join(
                    f"{new_values[name]} as {self.identifier(name)}"
                    if name in new_values
                    else f"erased_target.{self.identifier(name)}"
                    for name in table.columns
                )
                self.replace_rows(
                    table,
                    f"select {selected} from {self.relation(table)} as erased_target "
                    f"left join {join}",
                )

    def record_files(self, states: Sequence[FileState]) -> None:
        """Store size and checksum of rewritten files, which kept their times."""
        table = self.by_name.get("base_clickstream__file_records")
        if table is None:
            return
        modified = "received_at"
        if "file_modified_at" in table.columns:
            modified = "coalesce(file_modified_at, received_at)"
        stored = {
            (name, sha256): datetime.fromisoformat(modified_at).replace(tzinfo=UTC)
            for name, sha256, modified_at in self.query(
                f"""select distinct source_file, file_sha256, {self.as_text(modified)}
                from {self.relation(table)}"""
            )
            if name and sha256 and modified_at
        }
        for state in states:
            for (name, sha256), modified_at in stored.items():
                difference = modified_at.timestamp() - state.modified_ns / 1e9
                if (name, state.table) != (state.name, table.name):
                    continue
                if sha256 != state.sha256 and abs(difference) < 1e-5:
                    self.execute(
                        f"update {self.relation(table)} set "
                        f"file_bytes = {state.bytes}, "
                        f"file_sha256 = {self.literal(state.sha256)} "
                        f"where source_file = {self.literal(name)} "
                        f"and file_sha256 = {self.literal(sha256)}"
                    )


class SparkTables(IcebergTables):
    """The project's tables on Spark, in a session of this process or over Thrift."""

    def __init__(self, project: Project, classes: Classification, session: Any) -> None:
        self.session = session
        super().__init__(project, classes, list(self._found(project)), session)

    def _found(self, project: Project) -> Iterator[EngineTable]:
        raw = raw_schema(project)
        schemas = [next(iter(row.values())) for row in self._rows("show schemas")]
        for schema in sorted(filter(schema_filter(project), schemas)):
            names = {
                row["tableName"]
                for row in self._rows(f"show tables in {self.identifier(schema)}")
                if not row["isTemporary"]
            }
            for name in sorted(self._recovered(schema, names)):
                table = self._described(schema, name, is_raw=schema == raw)
                if table is not None:
                    yield table

    def _recovered(self, schema: str, names: set[str]) -> set[str]:
        """Finish `replace_rows` of a killed run; return the names of the tables."""
        for copy in [name for name in names if name.endswith(_COPY)]:
            name = copy.removesuffix(_COPY)
            if name in names:
                self.execute(f"drop table {self._name(schema, copy)} purge")
            else:
                self._rename(schema, copy, name)
            names = names - {copy} | {name}
        return names

    def _described(self, schema: str, name: str, is_raw: bool) -> EngineTable | None:
        """Return a table; ``None`` if it is a view."""
        rows = self._rows(f"describe extended {self._name(schema, name)}")
        columns: dict[str, str] = {}
        for row in rows:
            if not row["col_name"] or row["col_name"].startswith("#"):
                break
            columns[row["col_name"]] = row["data_type"]
        details = {row["col_name"]: row["data_type"] or "" for row in rows}
        if "VIEW" in details.get("Type", ""):
            return None
        properties = details.get("Table Properties", "")
        return EngineTable(
            schema,
            name,
            columns,
            is_raw,
            is_iceberg=details.get("Provider", "").lower() == "iceberg"
            or "table_type=ICEBERG" in properties,
            is_managed=details.get("Type", "").upper() == "MANAGED",
            is_merge_on_read="merge-on-read" in properties,
        )

    def literal(self, text: str) -> str:
        """Return a text as a literal of Spark."""
        from dbt_local_python.spark_thrift import sql_literal

        return sql_literal(text)

    def as_text(self, expression: str) -> str:
        """Return an expression as text."""
        return f"cast({expression} as string)"

    def identifier(self, name: str) -> str:
        """Return a quoted name."""
        return "`" + name.replace("`", "``") + "`"

    def _name(self, schema: str, name: str) -> str:
        return f"{self.identifier(schema)}.{self.identifier(name)}"

    def matches(self, text: str, pattern: str) -> str:
        """Return the condition that a text contains a match of a pattern."""
        return f"{text} rlike {self.literal(pattern)}"

    def digest(self, text: str) -> str:
        """Return the MD5 digest of a text, in lower-case hexadecimal digits."""
        return f"md5({text})"

    def rendered(self, column: _Column) -> str:
        """Return a column as text: lists and nested types as JSON."""
        name = self.identifier(column.name)
        if column.kind == "list" or column.data_type.startswith(_NESTED[:-1]):
            return f"to_json({name})"
        return self.as_text(name)

    def parsed(self, column: _Column, text: str) -> str:
        """Return a rendered value with the type of its column."""
        if column.kind == "list":
            return f"from_json({text}, 'array<string>')"
        return f"cast({text} as {column.data_type})"

    def execute(self, statement: str) -> None:
        """Run a statement that returns no rows."""
        run = getattr(self.session, "execute", self.session.sql)
        run(statement)

    @contextlib.contextmanager
    def staged(self, rows: pa.Table) -> Iterator[str]:
        """Provide rows as a relation of the engine for a time."""
        name = f"churn_erased_{uuid.uuid4().hex}"
        if hasattr(self.session, "catalog"):
            from dbt_local_python.spark import as_spark_frame

            frame, _ = as_spark_frame(self.session, rows)
            frame.createOrReplaceTempView(name)
            try:
                yield name
            finally:
                self.session.catalog.dropTempView(name)
            return
        from dbt_local_python.spark_thrift import insert_rows

        table = self._name(self.project.schema, name)
        try:
            insert_rows(self.session, rows.to_reader(), table)
            yield table
        finally:
            self.execute(f"drop table if exists {table} purge")

    def replace_rows(self, table: EngineTable, query: str) -> None:
        """Replace a table that is no Iceberg table by a copy with other rows."""
        copy = table.name + _COPY
        relation = self._name(table.schema, copy)
        self.execute(f"create table {relation} like {self.relation(table)}")
        try:
            self.execute(f"insert into {relation} {query}")
        except BaseException:
            self.execute(f"drop table {relation} purge")
            raise
        # If it is killed here, the next run finishes it.
        self.execute(f"drop table {self.relation(table)} purge")
        self._rename(table.schema, copy, table.name)

    def _rename(self, schema: str, name: str, new_name: str) -> None:
        self.execute(
            f"alter table {self._name(schema, name)} "
            f"rename to {self._name(schema, new_name)}"
        )

    def expire_snapshots(self, tables: Sequence[EngineTable]) -> None:
        """Delete all snapshots of tables but the current ones, with their files."""
        # Whatever the time zone of the session is, all snapshots are older.
        end = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d %H:%M:%S")
        for table in tables:
            argument = self.literal(self.relation(table))
            if table.is_merge_on_read:
                self.execute(
                    f"call spark_catalog.system.rewrite_data_files(table => {argument},"
                    " options => map('delete-file-threshold', '1'))"
                )
            self.execute(
                f"call spark_catalog.system.expire_snapshots(table => {argument}, "
                f"older_than => timestamp '{end}', retain_last => 1)"
            )

    def files_with(self, table: EngineTable, condition: str) -> list[str]:
        """Return the files of a table whose rows match a condition."""
        rows = self.query(
            f"""select distinct input_file_name() as file
            from {self.relation(table)} where {condition}"""
        )
        return [file or str(table) for (file,) in rows]


class AthenaTables(IcebergTables):
    """The project's tables on Athena, as Glue describes them."""

    def __init__(self, project: Project, classes: Classification, session: Any) -> None:
        self.session = session
        super().__init__(project, classes, list(self._found(project)), session)

    def _found(self, project: Project) -> Iterator[EngineTable]:
        glue = self.session.bucket.glue
        raw = raw_schema(project)
        databases = [
            database["Name"]
            for page in glue.get_paginator("get_databases").paginate()
            for database in page["DatabaseList"]
        ]
        for schema in sorted(filter(schema_filter(project), databases)):
            for page in glue.get_paginator("get_tables").paginate(DatabaseName=schema):
                for table in page["TableList"]:
                    if table.get("TableType") == "VIRTUAL_VIEW":
                        continue
                    columns = {
                        column["Name"]: column.get("Type", "string")
                        for column in (
                            *table["StorageDescriptor"].get("Columns", ()),
                            *table.get("PartitionKeys", ()),
                        )
                        # Glue lists dropped columns of Iceberg tables, too.
                        if column.get("Parameters", {}).get("iceberg.field.current")
                        != "false"
                    }
                    kind = table.get("Parameters", {}).get("table_type", "")
                    yield EngineTable(
                        schema,
                        table["Name"],
                        columns,
                        is_raw=schema == raw,
                        is_iceberg=kind.upper() == "ICEBERG",
                        is_managed=False,
                        is_merge_on_read=True,
                    )

    def matches(self, text: str, pattern: str) -> str:
        """Return the condition that a text contains a match of a pattern."""
        return f"regexp_like({text}, {self.literal(pattern)})"

    def digest(self, text: str) -> str:
        """Return the MD5 digest of a text, in lower-case hexadecimal digits."""
        return f"lower(to_hex(md5(to_utf8({text}))))"

    def rendered(self, column: _Column) -> str:
        """Return a column as text: lists and nested types as JSON."""
        name = self.identifier(column.name)
        if column.data_type == "binary":
            return f"from_utf8({name})"
        if column.kind in ("list", "nested"):
            return f"json_format(cast({name} as json))"
        return self.as_text(name)

    def parsed(self, column: _Column, text: str) -> str:
        """Return a rendered value with the type of its column."""
        if column.kind == "list":
            return f"cast(json_parse({text}) as array(varchar))"
        if column.kind == "text":
            return text
        # Only integers have a value, others become null.
        data_type = _TRINO_TYPES.get(column.data_type, column.data_type)
        return f"try_cast({text} as {data_type})"

    def execute(self, statement: str) -> None:
        """Run a statement that returns no rows."""
        self.session.execute(statement)

    @contextlib.contextmanager
    def staged(self, rows: pa.Table) -> Iterator[str]:
        """Provide rows as a relation of the engine for a time."""
        name = f"churn_erased_{uuid.uuid4().hex}"
        with self.session.staged(self.project.schema, name, rows):
            yield f"{self.identifier(self.project.schema)}.{self.identifier(name)}"

    def expire_snapshots(self, tables: Sequence[EngineTable]) -> None:
        """Delete all snapshots of tables but the current ones, with their files."""
        for table in tables:
            # Changed rows stay in old files, marked as deleted, until it is rewritten.
            self.execute(f"optimize {self.relation(table)} rewrite data using bin_pack")
        if tables:
            # Athena deletes snapshots of which the age is at least one second.
            time.sleep(2)
        for table in tables:
            self._set_snapshot_age(table, 1)
            try:
                self._vacuum(table)
            finally:
                self._set_snapshot_age(table, _DEFAULT_SNAPSHOT_SECONDS)

    def _vacuum(self, table: EngineTable) -> None:
        for _ in range(_MAX_VACUUMS):
            try:
                self.execute(f"vacuum {self.relation(table)}")
            except Exception as error:
                # Athena deletes at most 20,000 files at once.
                if "MORE_RUNS_NEEDED" not in str(error):
                    raise
            else:
                return

    def _set_snapshot_age(self, table: EngineTable, seconds: int) -> None:
        self.execute(
            f"alter table `{table.schema}`.`{table.name}` set tblproperties "
            f"('vacuum_max_snapshot_age_seconds' = '{seconds}')"
        )

    def files_with(self, table: EngineTable, condition: str) -> list[str]:
        """Return the files of a table whose rows match a condition."""
        rows = self.query(
            f"""select distinct "$path" as file
            from {self.relation(table)} where {condition}"""
        )
        return [file or str(table) for (file,) in rows]


@contextlib.contextmanager
def open_iceberg_tables(
    project: Project, classes: Classification
) -> Iterator[IcebergTables]:
    """Open the tables of a target on Spark or Athena."""
    session, close = open_session(project)
    try:
        kind = AthenaTables if project.adapter == "athena" else SparkTables
        yield kind(project, classes, session)
    finally:
        close()


def raw_schema(project: Project) -> str:
    """Return the schema of the raw tables, as Spark and Athena write it."""
    return str(project.variables.get("raw_schema") or "raw").lower()


def schema_filter(project: Project) -> Callable[[str], bool]:
    """Return a function that says whether a schema is one of the project's."""
    schema, raw = project.schema.lower(), raw_schema(project)
    return lambda name: name in (schema, raw) or name.startswith(f"{schema}_")


def _kind(data_type: str) -> str:
    name = data_type.lower()
    if name.startswith(("string", "varchar", "char")):
        return "text"
    if name in ("array<string>", "array<varchar>"):
        return "list"
    if name.startswith(_NESTED):
        return "nested"
    return "integer" if is_integer(name) else "scalar"


def _joined(texts: Sequence[str], separator: int) -> str:
    """Return texts joined in SQL by a character; nulls are skipped."""
    parts = [
        f"concat_ws(chr({separator}), {', '.join(texts[start : start + _ARGUMENTS])})"
        for start in range(0, len(texts), _ARGUMENTS)
    ]
    return parts[0] if len(parts) == 1 else _joined(parts, separator)


def _patterns(eraser: Eraser, has_records: bool) -> list[str]:
    """Return patterns; each text that may hold the person matches one.

    Args:
        eraser: What replaces the person.
        has_records: Whether the texts contain JSON, which can write a character of an
            identifier by its number, and a short identifier between other texts.
    """
    names = [re.escape(needle) for needle in eraser.needles]
    short = [name for name in eraser.pseudonyms if len(name) < Eraser.MIN_SEARCHED]
    names += [
        re.escape(name) if has_records else rf"(?:^|\n)\s*{re.escape(name)}\s*(?:\n|$)"
        for name in short
    ]
    if has_records:
        written = {*eraser.needles, *eraser.pseudonyms}
        codes = sorted(
            {f"{ord(each):02x}" for text in written for each in text if each.isascii()}
        )
        digits = "|".join(
            "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in code)
            for code in codes
        )
        names.append(rf"\\u00(?:{digits})")
    patterns = [[names[0]]]
    for name in names[1:]:
        if sum(map(len, patterns[-1])) + len(name) > _PATTERN_LENGTH:
            patterns.append([])
        patterns[-1].append(name)
    return ["|".join(pattern) for pattern in patterns]
