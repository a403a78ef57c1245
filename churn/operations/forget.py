"""Find a person or an account in every table, and erase it by the declared rule.

The rule is `churn.operations.pii.RULES`. All tables of a DuckDB file change in one
transaction, so a killed run changes all or none. Files and the stores of the page come
before it: they need the identifiers that only the tables link to the person.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.config import Project, UserError, open_database, roll_back
from churn.files import replacing
from churn.operations.forget_files import FileState, erase_files
from churn.operations.pii import ERASED, SUBJECT_COLUMNS, Classification, Eraser
from churn.operations.runs import run_lock, state_folder
from churn.quoting import sql_identifier, sql_literal
from churn.uuid7 import RANDOM_BITS, uuid7

if TYPE_CHECKING:
    import duckdb

_TEXT_TYPES = ("VARCHAR", "JSON")
_ESCAPED_ASCII = r"\\u00[2-7][0-9a-fA-F]"
# An identifier of Salesforce has 15 characters, or 18 with a checksum.
_SALESFORCE_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True)
class Subject:
    """Whom to forget.

    Attributes:
        kind: ``user`` or ``account``.
        identifier: The user id or the account id.
        texts: Other texts to remove, such as a name or an address.
    """

    kind: str
    identifier: str
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.identifier.strip():
            raise UserError("The identifier is empty: name a user or an account.")
        short = [text for text in self.texts if len(text.strip()) < 3]
        if short:
            raise UserError(
                "A text to remove has fewer than 3 characters and would occur by "
                "chance: give a longer one."
            )


@dataclass
class Receipt:
    """What was erased, without personal data.

    Attributes:
        receipt_id: UUID of version 7.
        kind: ``user`` or ``account``.
        is_continued: Whether an interrupted run erased a part, which is not counted.
        completed_at: When it was complete, ISO 8601 in UTC.
        identifiers: How many identifiers of the person were found, by kind.
        rows: Erased rows by relation.
        stores: Erased rows of the page's stores.
        files: Rewritten files.
        remaining: Files that hold the person and were not rewritten.
    """

    receipt_id: str
    kind: str
    is_continued: bool = False
    completed_at: str = ""
    identifiers: dict[str, int] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    stores: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)

    @property
    def has_found(self) -> bool:
        """Return whether anything held the person."""
        return bool(+self.rows or +self.stores or self.files or self.remaining)

    def counts(self) -> dict[str, Any]:
        """Return the receipt with the number of files, whose names may be personal."""
        return {
            **self.__dict__,
            "files": len(self.files),
            "remaining": len(self.remaining),
        }


# ---- Pseudonyms ----------------------------------------------------------------


class Pending:
    """The salts of requests that have not ended.

    A request that is run again after a kill gets the same pseudonyms. When it is
    complete, its salt is deleted, so nobody can compute a pseudonym from an identifier.

    Args:
        folder: The state folder of the project.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "forget_pending.json"

    def _entries(self) -> list[dict[str, str]]:
        try:
            return list(json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []

    def _write(self, entries: Sequence[Mapping[str, str]]) -> None:
        with replacing(self.path) as file:
            file.write(json.dumps(entries).encode())

    def begin(self, subject: Subject) -> tuple[bytes, bool]:
        """Return the salt of a request, and whether an earlier run began it."""
        entries = self._entries()
        for entry in entries:
            salt = bytes.fromhex(entry["salt"])
            if hmac.compare_digest(_digest(salt, subject), entry["digest"]):
                return salt, True
        salt = secrets.token_bytes(32)
        entry = {"salt": salt.hex(), "digest": _digest(salt, subject)}
        self._write([*entries, entry])
        return salt, False

    def end(self, subject: Subject) -> None:
        """Delete the salt of a request."""
        remaining = [
            entry
            for entry in self._entries()
            if _digest(bytes.fromhex(entry["salt"]), subject) != entry["digest"]
        ]
        if remaining:
            self._write(remaining)
        else:
            self.path.unlink(missing_ok=True)


def _digest(salt: bytes, subject: Subject) -> str:
    message = json.dumps(["request", subject.kind, subject.identifier.strip()])
    return hmac.new(salt, message.encode(), hashlib.sha256).hexdigest()


def _pseudonym(salt: bytes, identifier: str, is_number: bool) -> str:
    digest = hmac.new(salt, identifier.encode(), hashlib.sha256).hexdigest()
    if is_number:
        # Below zero, where no identifier is, and within the type integer.
        return str(-(10**9) - int(digest[:12], 16) % 10**9)
    return f"erased-{digest[:16]}"


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


# ---- Tables of a DuckDB file ----------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A table of the database.

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

    @property
    def relation(self) -> str:
        """Return the name in SQL."""
        return f"{sql_identifier(self.schema)}.{sql_identifier(self.name)}"


class Tables:
    """The project's tables in a DuckDB file.

    Args:
        connection: A connection that can write.
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
        self.project = project
        self.classes = classes
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
        self.tables = [
            Table(schema, name, columns, is_raw=schema == raw_schema)
            for (schema, name), columns in found.items()
        ]
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

    def mapped(self, source: str, column: str) -> str | None:
        """Return the expression of a source's column over the raw table."""
        columns = self.project.variables.get(f"{source}_columns") or {}
        if column in columns:
            return None if columns[column] is None else f"({columns[column]})"
        table = self.sources[source]
        has_column = table is not None and column in table.columns
        return sql_identifier(column) if has_column else None

    def values(self, sql: str) -> list[str]:
        """Return the texts of one column."""
        return [str(value) for (value,) in self.connection.execute(sql).fetchall()]

    def identifiers(self, subject: Subject) -> dict[str, list[str]]:
        """Return all identifiers of the subject, by kind.

        A device that other users share, and a user of several accounts, are not the
        subject's alone and keep their identifiers.
        """
        own = salesforce_forms(subject.identifier.strip())
        users = own
        found: dict[str, list[str]] = {subject.kind: own}
        if subject.kind == "account":
            users = list(
                dict.fromkeys([*own, *self._linked("user_id", "account_id", own)])
            )
            found["user"] = [user for user in users if user not in own]
        devices = self._linked("visitor_id", "user_id", users)
        found["device"] = [device for device in devices if device not in users]
        return found

    def _linked(self, wanted: str, by: str, values: Sequence[str]) -> list[str]:
        """Return the identifiers that the tables link to these values alone."""
        pairs = self._link_queries(wanted, by)
        if not pairs:
            return []
        literals = ", ".join(map(sql_literal, values))
        return self.values(
            f"""select wanted from ({" union all ".join(pairs)})
            where wanted is not null and given is not null
            group by wanted
            having
                bool_or(given in ({literals})) and bool_and(given in ({literals}))
            order by wanted"""
        )

    def _link_queries(self, wanted: str, by: str) -> list[str]:
        queries = []
        names = {
            "visitor_id": ("int_visitor_users",),
            "user_id": ("int_account_users",),
        }[wanted]
        for name in names:
            table = self.by_name.get(name)
            if table is not None and {wanted, by} <= set(table.columns):
                queries.append(
                    f"""select cast({wanted} as varchar) as wanted,
                        cast({by} as varchar) as given from {table.relation}"""
                )
        if wanted == "user_id" and self.sources.get("raw_contacts") is not None:
            user = self.mapped("raw_contacts", "user_id")
            account = self.mapped("raw_contacts", "account_id")
            table = self.sources["raw_contacts"]
            if user and account and table:
                queries.append(
                    f"""select trim(cast({user} as varchar)) as wanted,
                        {_short_form(f"trim(cast({account} as varchar))")} as given
                    from {table.relation}"""
                )
        return queries

    def has_numbers(self) -> bool:
        """Return whether a raw table holds identifiers as numbers."""
        return any(
            _is_integer(data_type)
            and self._class_of(table, source, column) == "identifier"
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
        rows = self.connection.execute(
            f"""select session_id, visitor_id, first_event_id from {table.relation}
            where visitor_id in (select unnest(?))""",
            [list(pseudonyms)],
        ).fetchall()
        return {
            session: hashlib.md5(f"{pseudonyms[visitor]} {first}".encode()).hexdigest()
            for session, visitor, first in rows
        }

    def erase(self, eraser: Eraser) -> Counter[str]:
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
            from {table.relation} where {conditions}"""
        )
        differs = " or ".join(
            f"changed.{name} is distinct from erased_rows.{name}" for name in names
        )
        assignments = ", ".join(f"{name} = erased_rows.{name}" for name in names)
        row = self.connection.execute(
            f"""update {table.relation} as changed set {assignments} from erased_rows
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
            pii = self._class_of(table, source, column)
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
                # A field that is removed from its record is null when parsed again.
                is_parsed = source is None and column in self.classes.mapping
                erased = "null" if is_parsed else sql_literal(ERASED)
                value = f"case when {is_subject} then {erased} else {value} end"
                hit = f"({hit} or {is_subject})"
            values[column] = (hit, value)
        return values

    def _class_of(self, table: Table, source: str | None, column: str) -> str | None:
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

    def _subject_row(self, table: Table, source: str | None) -> str:
        """Return the condition that a row is about the person; empty if none can be."""
        expressions = [
            self.mapped(source, column) if source else sql_identifier(column)
            for column in SUBJECT_COLUMNS
            if (source and column in self.classes.raw_columns[source])
            or (not source and column in table.columns)
        ]
        tests = [
            f"coalesce(trim(cast({each} as varchar)) in "
            "(select old from erased_values), false)"
            for each in expressions
            if each
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
                    f"""update {loaded.relation} set bytes = ?, sha256 = ?
                    where path = ? and modified_ns = ? and sha256 <> ?""",
                    [
                        *(state.bytes, state.sha256, state.name),
                        *(state.modified_ns, state.sha256),
                    ],
                )
            elif state.table == "base_clickstream__file_records" and records:
                self.connection.execute(
                    f"""update {records.relation} set file_bytes = ?, file_sha256 = ?
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
                f"select {counts} from {table.relation}"
            ).fetchone()
            for (column, test), count in zip(tests.items(), row or (), strict=True):
                if not count:
                    continue
                # Another identifier can contain this one.
                texts = self.values(
                    f"""select distinct cast({sql_identifier(column)} as varchar)
                    from {table.relation} where {test}"""
                )
                if any(
                    eraser.holds(text) or text.strip() in eraser.values
                    for text in texts
                ):
                    found.append(f"{table.schema}.{table.name}.{column}")
        return found


def _short_form(text: str) -> str:
    return (
        f"case when regexp_full_match({text}, '[A-Za-z0-9]{{15}}[A-Z0-5]{{3}}') "
        f"then left({text}, 15) else {text} end"
    )


def _names(expression: str, column: str) -> bool:
    """Return whether an SQL expression may read a column."""
    import re

    return bool(re.search(rf"(?<!\w){re.escape(column)}(?!\w)", expression))


def _is_integer(data_type: str) -> bool:
    return data_type in ("BIGINT", "INTEGER", "HUGEINT", "SMALLINT", "UBIGINT")


# ---- The request ------------------------------------------------------------------


@contextlib.contextmanager
def request(project: Project, subject: Subject) -> Iterator[Request]:
    """Begin a request; when the block ends, write its receipt and delete its salt.

    Raises:
        UserError: The target is not on DuckDB, or another run uses the database.
    """
    if project.adapter != "duckdb":
        raise UserError(
            f"The target `{project.target}` is on {project.adapter}, and `churn "
            "forget` changes DuckDB files only: erase the person there as "
            "docs/privacy.md says."
        )
    if project.variables.get("raw_database"):
        raise UserError(
            "The raw tables are in the database that `raw_database` names, which "
            "`churn forget` does not change: erase the person there, unset the "
            "variable for this run, and run again."
        )
    folder = state_folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder, "forget"):
        pending = Pending(folder)
        salt, is_continued = pending.begin(subject)
        current = Request(project, subject, salt, is_continued)
        yield current
        receipt = current.receipt
        receipt.completed_at = datetime.now(UTC).isoformat(timespec="seconds")
        with (folder / "forgotten.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(receipt.counts()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        pending.end(subject)


class Request:
    """One request to forget a person or an account.

    Attributes:
        receipt: What was erased so far.
        eraser: What replaces the person; set by `find`.
    """

    def __init__(
        self, project: Project, subject: Subject, salt: bytes, is_continued: bool
    ) -> None:
        self.project = project
        self.subject = subject
        self.classes = Classification.load(project)
        self.receipt = Receipt(
            uuid7(time.time_ns() // 1_000_000, secrets.randbits(RANDOM_BITS)),
            subject.kind,
        )
        self.is_continued = is_continued
        self._files: list[FileState] = []
        self._salt = salt
        self.eraser: Eraser

    def find(self) -> None:
        """Find all identifiers of the subject in the tables."""
        with open_database(self.project.database) as connection:
            tables = Tables(connection, self.project, self.classes)
            found = tables.identifiers(self.subject)
            is_number = tables.has_numbers()
            pseudonyms: dict[str, str] = {}
            for values in found.values():
                for value in values:
                    # Both forms of an identifier have one pseudonym.
                    base = salesforce_forms(value)[0]
                    number = is_number and value.lstrip("-").isdigit()
                    pseudonyms[value] = _pseudonym(self._salt, base, number)
            keys = tables.keys(pseudonyms)
        self.receipt.identifiers = {
            kind: len({pseudonyms[value] for value in values})
            for kind, values in found.items()
        }
        self.eraser = Eraser(pseudonyms, self.classes, keys, self.subject.texts)

    @property
    def short_identifiers(self) -> bool:
        """Return whether an identifier was too short to search texts for it."""
        return any(len(each) < Eraser.MIN_SEARCHED for each in self.eraser.pseudonyms)

    @property
    def has_changed(self) -> bool:
        """Return whether tables changed, perhaps in a run that was interrupted."""
        return bool(self.receipt.rows) or self.is_continued

    def erase_files(self, folders: Sequence[Path]) -> None:
        """Rewrite the files of landing zones and find other files."""
        rewritten, remaining, self._files = erase_files(
            self.project, self.eraser, folders
        )
        self.receipt.files, self.receipt.remaining = rewritten, remaining

    def erase_tables(self) -> None:
        """Erase the person in all tables, in one transaction, then drop old blocks.

        Raises:
            UserError: A table still holds the person; nothing is changed then.
        """
        path = self.project.database
        with open_database(path, read_only=False) as connection:
            connection.execute("begin")
            try:
                tables = Tables(connection, self.project, self.classes)
                self.receipt.rows = tables.erase(self.eraser)
                tables.record_files(self._files)
                connection.execute("commit")
            except BaseException:
                roll_back(connection)
                raise
        if self.has_changed:
            rewrite_database(path)


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
