"""Find and erase a person in the tables of a DuckDB file.

`Tables` has what is common to all engines: which relations there are, the class of a
column, and the identifiers that the tables link to a person. The tables of Spark and
Athena are in `churn.operations.forget_iceberg`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from churn.config import Project, UserError, open_database, roll_back
from churn.operations.forget_files import FileState
from churn.operations.pii import ERASED, SUBJECT_COLUMNS, Classification, Eraser
from churn.quoting import sql_identifier, sql_literal

if TYPE_CHECKING:
    import duckdb

_TEXT_TYPES = ("VARCHAR", "JSON")
_INTEGER_TYPES = ("TINYINT", "SMALLINT", "INT", "INTEGER", "BIGINT", "HUGEINT")
_ESCAPED_ASCII = r"\\u00[2-7][0-9a-fA-F]"
# An identifier of Salesforce has 15 characters, or 18 with a checksum.
_SALESFORCE_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
# Values in one statement.
_VALUES_AT_ONCE = 1000


def salesforce_forms(identifier: str) -> list[str]:
    """Return an identifier in both forms that Salesforce writes.

    The last 3 of 18 characters tell which of the first 15 are upper case, 5 by 5, the
    first being the lowest bit.
    """
    if not (identifier.isascii() and identifier.isalnum()):
        return [identifier]
    if len(identifier) not in (15, 18):
        return [identifier]
    short = identifier[:15]
    checksum = "".join(
        _SALESFORCE_DIGITS[
            sum(
                1 << place
                for place, character in enumerate(short[start : start + 5])
                if character.isupper()
            )
        ]
        for start in (0, 5, 10)
    )
    if len(identifier) == 18 and identifier[15:] != checksum:
        return [identifier]
    return [short, short + checksum]


@dataclass(frozen=True)
class Table:
    """A table of the target.

    Attributes:
        schema: Its schema.
        name: Its name.
        columns: The type of each column, by name.
        is_raw: Whether it is in the schema of the raw tables.
    """

    schema: str
    name: str
    columns: Mapping[str, str]
    is_raw: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class Tables(ABC):
    """The project's tables on one engine.

    Args:
        project: The project.
        classes: The declared classes.
        tables: The tables, without views.
    """

    def __init__(
        self, project: Project, classes: Classification, tables: Sequence[Table]
    ) -> None:
        self.project = project
        self.classes = classes
        self.tables = list(tables)
        self.by_name = {table.name: table for table in self.tables}
        variables = project.variables
        # The raw tables by the name that the sources give them.
        self.sources = {
            source: self.by_name.get(str(variables.get(f"{source}_table") or source))
            for source in classes.raw_columns
        }
        self.source_of = {
            table.name: source for source, table in self.sources.items() if table
        }

    @abstractmethod
    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Return the rows of a query whose columns are texts."""

    def literal(self, text: str) -> str:
        """Return a text as a literal of the engine."""
        return sql_literal(text)

    def as_text(self, expression: str) -> str:
        """Return an expression as text."""
        return f"cast({expression} as varchar)"

    def identifier(self, name: str) -> str:
        """Return a quoted name."""
        return sql_identifier(name)

    def relation(self, table: Table) -> str:
        """Return the name of a table in a query."""
        return f"{self.identifier(table.schema)}.{self.identifier(table.name)}"

    @abstractmethod
    def erase(
        self, eraser: Eraser, files: Sequence[FileState], is_continued: bool
    ) -> Counter[str]:
        """Erase the person in all tables, and in the rows that earlier states keep.

        Args:
            eraser: What replaces the person.
            files: Delivered files, whose size and checksum are stored.
            is_continued: Whether an interrupted run may have erased a part.

        Returns:
            The number of changed rows, by relation.

        Raises:
            UserError: A table still holds the person.
        """

    def remaining(self, eraser: Eraser) -> list[str]:  # noqa: ARG002
        """Return files of tables that hold the person and cannot be rewritten."""
        return []

    def mapped(self, source: str, column: str) -> str | None:
        """Return the expression of a source's column over the raw table."""
        columns = self.project.variables.get(f"{source}_columns") or {}
        if column in columns:
            return None if columns[column] is None else f"({columns[column]})"
        table = self.sources[source]
        has_column = table is not None and column in table.columns
        return self.identifier(column) if has_column else None

    def identifiers(self, subject_kind: str, identifier: str) -> dict[str, list[str]]:
        """Return all identifiers of the subject, by kind.

        A device that other users share, and a user of several accounts, are not the
        subject's alone and keep their identifiers.

        Args:
            subject_kind: ``user`` or ``account``.
            identifier: The user id or the account id.
        """
        own = salesforce_forms(identifier.strip())
        users = own
        found: dict[str, list[str]] = {subject_kind: own}
        if subject_kind == "account":
            users = list(
                dict.fromkeys([*own, *self._linked("user_id", "account_id", own)])
            )
            found["user"] = [user for user in users if user not in own]
        devices = self._linked("visitor_id", "user_id", users)
        found["device"] = [device for device in devices if device not in users]
        return found

    def _linked(self, wanted: str, by: str, values: Sequence[str]) -> list[str]:
        """Return the identifiers that the tables link to these values alone."""
        links = self._links(wanted, by)
        own = {salesforce_forms(value)[0] for value in values}
        candidates = {
            row[0].strip()
            for query in links
            for part in in_parts(values)
            for row in self.query(f"{query} where {self._is_one_of('given', part)}")
            if row[0]
        }
        shared = {
            wanted_value.strip()
            for query in links
            for part in in_parts(sorted(candidates))
            for wanted_value, given in self.query(
                f"{query} where {self._is_one_of('wanted', part)}"
            )
            if wanted_value and given and salesforce_forms(given.strip())[0] not in own
        }
        return sorted(candidates - shared)

    def _links(self, wanted: str, by: str) -> list[str]:
        """Return queries of the columns ``wanted`` and ``given``."""
        name = {"visitor_id": "int_visitor_users", "user_id": "int_account_users"}
        pairs = []
        table = self.by_name.get(name[wanted])
        if table is not None and {wanted, by} <= set(table.columns):
            pairs.append((wanted, by, table))
        contacts = self.sources.get("raw_contacts")
        if wanted == "user_id" and contacts is not None:
            user = self.mapped("raw_contacts", "user_id")
            account = self.mapped("raw_contacts", "account_id")
            if user and account:
                pairs.append((user, account, contacts))
        return [
            f"""select * from (
                select distinct
                    trim({self.as_text(left)}) as wanted,
                    trim({self.as_text(right)}) as given
                from {self.relation(table)}
            ) as links"""
            for left, right, table in pairs
        ]

    def _is_one_of(self, expression: str, values: Sequence[str]) -> str:
        return f"{expression} in ({', '.join(map(self.literal, values))})"

    def has_numbers(self) -> bool:
        """Return whether a raw table holds identifiers as numbers."""
        return any(
            is_integer(data_type)
            and self.class_of(table, source, column) == "identifier"
            for source, table in self.sources.items()
            if table is not None
            for column, data_type in table.columns.items()
        )

    def keys(self, pseudonyms: Mapping[str, str]) -> dict[str, str]:
        """Return the new session ids: hashes of visitor and first event."""
        table = self.by_name.get("int_visitor_sessions")
        needed = {"session_id", "visitor_id", "first_event_id"}
        if table is None or not needed <= set(table.columns):
            return {}
        rows = [
            row
            for part in in_parts(list(pseudonyms))
            for row in self.query(
                f"""select session_id, visitor_id, first_event_id
                from {self.relation(table)}
                where {self._is_one_of("visitor_id", part)}"""
            )
        ]
        return {
            session: hashlib.md5(f"{pseudonyms[visitor]} {first}".encode()).hexdigest()
            for session, visitor, first in rows
            if session and visitor
        }

    def class_of(self, table: Table, source: str | None, column: str) -> str | None:
        """Return a column's class; undeclared columns of a raw table are personal."""
        if source is None:
            return self.classes.pii_of(table.name, column)
        declared = self.classes.raw_columns[source]
        mapping = self.project.variables.get(f"{source}_columns") or {}
        readers = [
            name
            for name in declared
            if (mapping.get(name, name) == column)
            or (mapping.get(name) and _names(str(mapping[name]), column))
        ]
        classes = [self.classes.by_relation.get((source, name)) for name in readers]
        if not readers:
            return "free_text"
        return next((each for each in classes if each), None)

    def subjects(self, table: Table, source: str | None) -> list[str]:
        """Return the expressions whose value says whom a row is about."""
        expressions = [
            self.mapped(source, column) if source else self.identifier(column)
            for column in SUBJECT_COLUMNS
            if (source and column in self.classes.raw_columns[source])
            or (not source and column in table.columns)
        ]
        return [each for each in expressions if each]

    def is_parsed(self, source: str | None, column: str) -> bool:
        """Return whether a column is read from records, so that erasing makes it null.

        A field that is removed from its record is null when it is parsed again.
        """
        return source is None and column in self.classes.mapping


def in_parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield values in parts that fit into one statement."""
    for start in range(0, len(values), _VALUES_AT_ONCE):
        yield values[start : start + _VALUES_AT_ONCE]


def _names(expression: str, column: str) -> bool:
    """Return whether an SQL expression may read a column."""
    return bool(re.search(rf"(?<!\w){re.escape(column)}(?!\w)", expression))


def is_integer(data_type: str) -> bool:
    """Return whether a type of any engine is an integer."""
    return data_type.upper().removeprefix("U") in _INTEGER_TYPES


class DuckDBTables(Tables):
    """The project's tables in a DuckDB file.

    Args:
        connection: A connection, which can write if `erase` is called.
        project: The project.
        classes: The declared classes.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        project: Project,
        classes: Classification,
    ) -> None:
        self.connection = connection
        raw_schema = str(project.variables.get("raw_schema") or "raw")
        found: dict[tuple[str, str], dict[str, str]] = {}
        for schema, name, column, data_type in connection.execute(
            """select schema_name, table_name, column_name, data_type
            from duckdb_columns() inner join duckdb_tables()
                using (database_name, schema_name, table_name)
            where
                database_name = current_database()
                and (
                    schema_name in (?, ?) or starts_with(schema_name, ? || '_')
                )
            order by schema_name, table_name, column_index""",
            [project.schema, raw_schema, project.schema],
        ).fetchall():
            found.setdefault((schema, name), {})[column] = data_type
        super().__init__(
            project,
            classes,
            [
                Table(schema, name, columns, is_raw=schema == raw_schema)
                for (schema, name), columns in found.items()
            ],
        )

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Return the rows of a query whose columns are texts."""
        return self.connection.execute(sql).fetchall()

    def values(self, sql: str) -> list[str]:
        """Return the texts of one column."""
        return [str(value) for (value,) in self.connection.execute(sql).fetchall()]

    def erase(
        self, eraser: Eraser, files: Sequence[FileState], is_continued: bool
    ) -> Counter[str]:
        """Erase the person in one transaction, then drop old blocks of the file.

        Raises:
            UserError: A table still holds the person; nothing is changed then.
        """
        self.connection.execute("begin")
        try:
            changed = self.erase_tables(eraser)
            self.record_files(files)
            self.connection.execute("commit")
        except BaseException:
            roll_back(self.connection)
            raise
        self.connection.close()
        if changed or is_continued:
            rewrite_database(self.project.database)
        return changed

    def erase_tables(self, eraser: Eraser) -> Counter[str]:
        """Erase the person in all tables, in the current transaction.

        Returns:
            The number of changed rows, by relation.

        Raises:
            UserError: A table still holds the person afterwards.
        """
        functions = {
            "churn_erase_text": eraser.text,
            "churn_erase_record": eraser.record,
        }
        for name, function in functions.items():
            with contextlib.suppress(Exception):
                self.connection.remove_function(name)
            self.connection.create_function(
                name, function, ["VARCHAR"], "VARCHAR", side_effects=True
            )
        self.connection.execute(
            "create or replace temp table erased_values (old varchar, new varchar)"
        )
        if eraser.values:
            self.connection.executemany(
                "insert into erased_values values (?, ?)", list(eraser.values.items())
            )
        changed: Counter[str] = Counter()
        for table in self.tables:
            count = self._erase_table(table, eraser)
            if count:
                changed[f"{table.schema}.{table.name}"] = count
        found = self.hits(eraser)
        if found:
            raise UserError(
                f"{', '.join(sorted(found))} still hold the identifier, so nothing was "
                "changed: erase it there by hand, then run again."
            )
        return changed

    def _erase_table(self, table: Table, eraser: Eraser) -> int:
        """Erase the person in one table; return the number of changed rows."""
        values = self._new_values(table, eraser)
        if not values:
            return 0
        names = [sql_identifier(column) for column in values]
        conditions = " or ".join(f"({hit})" for hit, _ in values.values())
        # Python is called only for rows that may hold the person.
        expressions = ", ".join(
            f"case when {hit} then {value} else {name} end as {name}"
            for name, (hit, value) in zip(names, values.values(), strict=True)
        )
        self.connection.execute(
            f"""create or replace temp table erased_rows as
            select rowid as erased_rowid, {expressions}
            from {self.relation(table)} where {conditions}"""
        )
        differs = " or ".join(
            f"changed.{name} is distinct from erased_rows.{name}" for name in names
        )
        assignments = ", ".join(f"{name} = erased_rows.{name}" for name in names)
        row = self.connection.execute(
            f"""update {self.relation(table)} as changed set {assignments}
            from erased_rows
            where changed.rowid = erased_rows.erased_rowid and ({differs})"""
        ).fetchone()
        return int(row[0]) if row else 0

    def _new_values(self, table: Table, eraser: Eraser) -> dict[str, tuple[str, str]]:
        """Return, by column, which rows may hold the person, and the new value."""
        values: dict[str, tuple[str, str]] = {}
        source = self.source_of.get(table.name) if table.is_raw else None
        subject_row = self._subject_row(table, source)
        for column, data_type in table.columns.items():
            name = sql_identifier(column)
            pii = self.class_of(table, source, column)
            if data_type not in _TEXT_TYPES:
                expression = self._other_type(
                    name, data_type, pii, subject_row, eraser.needles
                )
                if expression:
                    values[column] = expression
                continue
            text = f"cast({name} as varchar)"
            tests = [f"trim({text}) in (select old from erased_values)"]
            needles = set(eraser.needles)
            if pii == "record":
                needles |= set(eraser.pseudonyms)
                # JSON can write a letter or a digit by its number.
                tests.append(f"regexp_matches({text}, '{_ESCAPED_ASCII}')")
            tests += [
                f"contains({text}, {sql_literal(needle)})" for needle in sorted(needles)
            ]
            hit = f"({' or '.join(tests)})"
            function = "record" if pii == "record" else "text"
            value = f"churn_erase_{function}({text})"
            if pii in ("contact", "free_text") and subject_row:
                is_subject = f"({subject_row} and {name} is not null)"
                is_parsed = self.is_parsed(source, column)
                erased = "null" if is_parsed else sql_literal(ERASED)
                value = f"case when {is_subject} then {erased} else {value} end"
                hit = f"({hit} or {is_subject})"
            values[column] = (hit, value)
        return values

    def _subject_row(self, table: Table, source: str | None) -> str:
        """Return the condition that a row is about the person; empty if none can be."""
        tests = [
            f"coalesce(trim(cast({each} as varchar)) in "
            "(select old from erased_values), false)"
            for each in self.subjects(table, source)
        ]
        return f"({' or '.join(tests)})" if tests else ""

    def _other_type(
        self,
        name: str,
        data_type: str,
        pii: str | None,
        subject_row: str,
        needles: list[str],
    ) -> tuple[str, str] | None:
        """Return the condition and the new value of a column that is no text."""
        old = f"cast({name} as varchar)"
        new = f"(select any_value(new) from erased_values where old = {old})"
        if pii == "identifier":
            hit = f"{old} in (select old from erased_values)"
            return hit, f"cast({new} as {data_type})"
        if pii in ("contact", "free_text") and subject_row:
            return f"({subject_row} and {name} is not null)", "null"
        if data_type.endswith("[]") and data_type.startswith(_TEXT_TYPES):
            hit = (
                f"list_has_any(cast({name} as varchar[]), "
                "(select list(old) from erased_values))"
            )
            for needle in needles:
                hit += f" or contains({old}, {sql_literal(needle)})"
            return f"({hit})", f"[churn_erase_text(x) for x in {name}]"
        return None

    def record_files(self, states: Sequence[FileState]) -> None:
        """Store size and checksum of rewritten files, which kept their times."""
        loaded = self.by_name.get("loaded_files")
        records = self.by_name.get("base_clickstream__file_records")
        # The table rounds the time of a file to microseconds.
        modified_at = "received_at"
        if records is not None and "file_modified_at" in records.columns:
            modified_at = "coalesce(file_modified_at, received_at)"
        for state in states:
            if state.table == "loaded_files" and loaded is not None:
                self.connection.execute(
                    f"""update {self.relation(loaded)} set bytes = ?, sha256 = ?
                    where path = ? and modified_ns = ? and sha256 <> ?""",
                    [
                        *(state.bytes, state.sha256, state.name),
                        *(state.modified_ns, state.sha256),
                    ],
                )
            elif state.table == "base_clickstream__file_records" and records:
                self.connection.execute(
                    f"""update {self.relation(records)}
                    set file_bytes = ?, file_sha256 = ?
                    where source_file = ? and file_sha256 <> ?
                        and abs(epoch_us({modified_at}) - ?) <= 1""",
                    [
                        *(state.bytes, state.sha256, state.name, state.sha256),
                        state.modified_ns // 1000,
                    ],
                )

    def hits(self, eraser: Eraser) -> list[str]:
        """Return the columns that hold the person, as ``schema.table.column``."""
        found = []
        for table in self.tables:
            tests = {
                column: " or ".join(
                    [
                        f"trim({text}) in (select old from erased_values)",
                        *(
                            f"contains({text}, {sql_literal(needle)})"
                            for needle in eraser.needles
                        ),
                    ]
                )
                for column in table.columns
                for text in [f"cast({sql_identifier(column)} as varchar)"]
            }
            counts = ", ".join(f"count_if({test})" for test in tests.values())
            row = self.connection.execute(
                f"select {counts} from {self.relation(table)}"
            ).fetchone()
            for (column, test), count in zip(tests.items(), row or (), strict=True):
                if not count:
                    continue
                # Another identifier can contain this one.
                texts = self.values(
                    f"""select distinct cast({sql_identifier(column)} as varchar)
                    from {self.relation(table)} where {test}"""
                )
                if any(
                    eraser.holds(text) or text.strip() in eraser.values
                    for text in texts
                ):
                    found.append(f"{table.schema}.{table.name}.{column}")
        return found


@contextlib.contextmanager
def open_tables(
    project: Project, classes: Classification, read_only: bool
) -> Iterator[Tables]:
    """Open the tables of a project's target.

    Args:
        project: The project.
        classes: The declared classes.
        read_only: Whether nothing will be erased.

    Raises:
        UserError: The target is on another engine, or cannot be used.
    """
    if project.adapter == "duckdb":
        with open_database(project.database, read_only) as connection:
            yield DuckDBTables(connection, project, classes)
        return
    from churn.operations.forget_iceberg import open_iceberg_tables

    with open_iceberg_tables(project, classes) as tables:
        yield tables


def rewrite_database(path: Path) -> None:
    """Copy a DuckDB file without its free blocks, which hold deleted values.

    Raises:
        UserError: The copy lacks a table; the file stays as it is.
    """
    import duckdb

    temporary = path.with_name(f"{path.name}.rewritten")
    for leftover in (temporary, temporary.with_name(f"{temporary.name}.wal")):
        leftover.unlink(missing_ok=True)
    count = (
        "select count(*) from duckdb_{}() where database_name = '{}' and not internal"
    )
    with duckdb.connect() as connection:
        connection.execute(f"attach {sql_literal(str(path))} as old (read_only)")
        connection.execute(f"attach {sql_literal(str(temporary))} as new")
        connection.execute("copy from database old to new")
        for kind in ("tables", "views", "schemas"):
            numbers = [
                connection.execute(count.format(kind, name)).fetchone()
                for name in ("old", "new")
            ]
            if numbers[0] != numbers[1]:
                temporary.unlink(missing_ok=True)
                raise UserError(
                    f"{path} cannot be copied, so its free blocks may still hold the "
                    "person: the tables are erased; export and import the database."
                )
        connection.execute("checkpoint new")
    shutil.copymode(path, temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
