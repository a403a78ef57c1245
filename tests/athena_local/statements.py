"""Reads the statements that Athena takes, and says what Trino takes in their place.

Athena's data definition is Hive's, its queries are Trino's. What dbt-athena writes is
read here with patterns, each for one kind of statement; what none of them matches is
a query, and runs on Trino as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.athena_local.errors import AthenaError

# https://docs.aws.amazon.com/athena/latest/ug/service-limits.html
LONGEST_STATEMENT_BYTES = 262_144


def without_comments(sql: str) -> str:
    """A statement without dbt's comments around it and without its semicolon."""
    sql = re.sub(r"\A(\s*--[^\n]*(\n|\Z))+", "", sql).strip()
    sql = re.sub(r"\n\s*-- /\*.*\*/;?\s*\Z", "", sql)
    return sql.rstrip(";").strip()


def statement_kind(sql: str) -> str:
    """``DDL``, ``UTILITY`` or ``DML``, as Athena tells it of a statement."""
    words = sql[:80].lower().split()
    first, second = (*words, "", "")[:2]
    if first in ("alter", "drop", "describe", "show", "msck"):
        return "DDL"
    if first == "create" and not is_create_table_as(sql):
        return "DDL"
    if first in ("explain", "optimize", "vacuum") or second == "explain":
        return "UTILITY"
    return "DML"


@dataclass(frozen=True)
class Name:
    """A table's name; Athena folds names to lower case."""

    schema: str
    table: str

    def on(self, catalog: str) -> str:
        """The name as Trino writes it."""
        return f'"{catalog}"."{self.schema}"."{self.table}"'


_NAME = r"(?P<name>(?:[`\"]?[\w.-]+[`\"]?)(?:\s*\.\s*[`\"]?[\w-]+[`\"]?)*)"


def read_name(text: str, schema: str) -> Name:
    """The table that ``text`` names, in ``schema`` if it does not say."""
    parts = [
        part.strip('`"').lower()
        for part in re.findall(r"`[^`]+`|\"[^\"]+\"|[\w-]+", text)
    ]
    return Name(parts[-2] if len(parts) > 1 else schema, parts[-1])


@dataclass(frozen=True)
class SchemaChange:
    """``create schema`` or ``drop schema``."""

    action: str
    schema: str
    is_lenient: bool


def read_schema_change(sql: str) -> SchemaChange | None:
    """The statement as a change of a schema, ``None`` if it is none."""
    found = re.match(
        r"(?is)(?P<action>create|drop)\s+(?:schema|database)\s+"
        r"(?P<lenient>if\s+(?:not\s+)?exists\s+)?[`\"]?(?P<schema>[\w-]+)",
        sql,
    )
    if not found:
        return None
    return SchemaChange(
        found["action"].lower(), found["schema"].lower(), bool(found["lenient"])
    )


@dataclass
class ExternalTable:
    """``create external table``.

    Attributes:
        columns: Name and Hive type of each column.
        partition_keys: The same of what it is partitioned by.
        serde: The class that reads its files; Parquet's own where ``stored as
            parquet``, Hive's plain one where nothing is said.
        serde_properties: Options of that class.
    """

    name: Name
    is_lenient: bool
    columns: list[tuple[str, str]]
    partition_keys: list[tuple[str, str]]
    serde: str
    serde_properties: dict[str, str]
    is_parquet: bool
    location: str
    properties: dict[str, str] = field(default_factory=dict)


_LAZY_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
_PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


def read_external_table(sql: str, schema: str) -> ExternalTable | None:
    """The statement as an external table, ``None`` if it is none.

    Raises:
        AthenaError: It is one, but cannot be read.
    """
    if not re.match(r"(?i)create\s+external\s+table\b", sql):
        return None
    head = re.match(
        rf"(?is)create\s+external\s+table\s+(?P<lenient>if\s+not\s+exists\s+)?{_NAME}"
        r"\s*\(",
        sql,
    )
    location = re.search(r"(?is)\blocation\s+'([^']+)'", sql)
    if not head or not location:
        raise AthenaError("FAILED: ParseException: cannot recognize input")
    end = _closing_bracket(sql, head.end())
    rest = sql[end:]
    partitions: list[tuple[str, str]] = []
    if found := re.match(r"(?is)\s*partitioned\s+by\s*\(", rest):
        partitions_end = _closing_bracket(rest, found.end())
        partitions = _columns(rest[found.end() : partitions_end - 1])
        rest = rest[partitions_end:]
    is_parquet = bool(re.search(r"(?i)\bstored\s+as\s+parquet\b", rest))
    serde = re.search(r"(?is)row\s+format\s+serde\s+'([^']+)'", rest)
    return ExternalTable(
        name=read_name(head["name"], schema),
        is_lenient=bool(head["lenient"]),
        columns=_columns(sql[head.end() : end - 1]),
        partition_keys=partitions,
        serde=serde[1] if serde else _PARQUET_SERDE if is_parquet else _LAZY_SERDE,
        serde_properties=_serde_properties(rest),
        is_parquet=is_parquet,
        location=location[1],
        properties=_properties(rest, r"tblproperties"),
    )


def _serde_properties(rest: str) -> dict[str, str]:
    properties = _properties(rest, r"serdeproperties")
    for words, name in (
        ("fields", "field.delim"),
        ("lines", "line.delim"),
    ):
        found = re.search(rf"(?is)\b{words}\s+terminated\s+by\s+'([^']+)'", rest)
        if found:
            properties[name] = found[1].encode().decode("unicode_escape")
    return properties


def _properties(sql: str, word: str) -> dict[str, str]:
    found = re.search(rf"(?is)\b{word}\s*\(", sql)
    if not found:
        return {}
    inside = sql[found.end() : _closing_bracket(sql, found.end()) - 1]
    return dict(re.findall(r"[\"']([^\"']+)[\"']\s*=\s*[\"']([^\"']*)[\"']", inside))


def _columns(text: str) -> list[tuple[str, str]]:
    columns = []
    for part in split_outside(re.sub(r"--[^\n]*", "", text)):
        found = re.match(
            r"(?is)\s*[`\"]?([\w-]+)[`\"]?\s+(.+?)(\s+comment\s+'.*')?\s*\Z", part
        )
        if not found:
            raise AthenaError(
                f"FAILED: ParseException: cannot recognize input near '{part.strip()}'"
            )
        columns.append((found[1].lower(), found[2].strip().lower()))
    return columns


def _closing_bracket(sql: str, start: int) -> int:
    """The position after the bracket that closes the one before ``start``."""
    depth, is_text = 1, False
    for position in range(start, len(sql)):
        character = sql[position]
        if character == "'":
            is_text = not is_text
        elif not is_text:
            depth += (character == "(") - (character == ")")
            if depth == 0:
                return position + 1
    raise AthenaError("FAILED: ParseException: mismatched input '<EOF>' expecting ')'")


def split_outside(text: str) -> list[str]:
    """``text`` at the commas that are in no brackets and in no text."""
    parts, depth, is_text, part = [], 0, False, ""
    for character in text:
        if character == "'":
            is_text = not is_text
        if not is_text:
            depth += (character in "<([") - (character in ">)]")
        if character == "," and depth == 0 and not is_text:
            parts.append(part)
            part = ""
        else:
            part += character
    return [*parts, part] if part.strip() else parts


def is_create_table_as(sql: str) -> bool:
    """Whether a statement creates a table from a query."""
    return bool(re.match(r"(?i)create\s+table\b", sql))


# What Athena calls a property of a new table, by what Trino calls it.
_HIVE_PROPERTIES = {
    "external_location": "external_location",
    "format": "format",
    "partitioned_by": "partitioned_by",
    "bucketed_by": "bucketed_by",
    "bucket_count": "bucket_count",
}
_ICEBERG_PROPERTIES = {
    "location": "location",
    "format": "format",
    "partitioning": "partitioning",
}
_UNDERSTOOD = {"table_type", "is_external", "write_compression", "parquet_compression"}


@dataclass(frozen=True)
class CreateTableAs:
    """``create table ... as``.

    Attributes:
        name: The table.
        is_iceberg: Whether it is an Iceberg table.
        location: Where its files shall lie.
        properties: Trino's table properties, as SQL.
        codec: How its files shall be compressed; ``None`` for the default.
        query: The query, with what precedes it.
    """

    name: Name
    is_iceberg: bool
    location: str | None
    properties: dict[str, str]
    codec: str | None
    query: str


def read_create_table_as(sql: str, schema: str) -> CreateTableAs | None:
    """The statement as a table made of a query, ``None`` if it is none.

    Raises:
        AthenaError: It has a property that Athena does not know.
    """
    if not is_create_table_as(sql):
        return None
    head = re.match(rf"(?is)create\s+table\s+{_NAME}\s*(?P<with>with\s*\()?", sql)
    if not head:
        raise AthenaError("FAILED: ParseException: cannot recognize input")
    given: dict[str, str] = {}
    end = head.end()
    if head["with"]:
        end = _closing_bracket(sql, head.end())
        for part in split_outside(sql[head.end() : end - 1]):
            key, _, value = part.partition("=")
            given[key.strip().lower()] = value.strip()
    is_iceberg = given.get("table_type", "'hive'").strip("'").lower() == "iceberg"
    known = _ICEBERG_PROPERTIES if is_iceberg else _HIVE_PROPERTIES
    for key in given:
        if key not in known and key not in _UNDERSTOOD:
            raise AthenaError(f"INVALID_TABLE_PROPERTY: Unknown property '{key}'")
    location = given.get("location" if is_iceberg else "external_location")
    if is_iceberg and location is None:
        raise AthenaError(
            "INVALID_TABLE_PROPERTY: Table location is required for Iceberg tables"
        )
    codec = given.get("write_compression", given.get("parquet_compression"))
    return CreateTableAs(
        name=read_name(head["name"], schema),
        is_iceberg=is_iceberg,
        location=location.strip("'") if location else None,
        properties={known[key]: value for key, value in given.items() if key in known},
        codec=codec.strip("'").upper() if codec else None,
        query=sql[end:].strip(),
    )


@dataclass(frozen=True)
class CreateView:
    """``create [or replace] view``."""

    name: Name


def read_create_view(sql: str, schema: str) -> CreateView | None:
    """The statement as a view, ``None`` if it is none."""
    found = re.match(rf"(?is)create\s+(or\s+replace\s+)?view\s+{_NAME}\s+as\b", sql)
    return CreateView(read_name(found["name"], schema)) if found else None


@dataclass(frozen=True)
class Drop:
    """``drop table`` or ``drop view``."""

    name: Name
    is_lenient: bool


def read_drop(sql: str, schema: str) -> Drop | None:
    """The statement as a drop, ``None`` if it is none."""
    found = re.match(
        rf"(?is)drop\s+(table|view)\s+(?P<lenient>if\s+exists\s+)?{_NAME}\s*\Z", sql
    )
    if not found:
        return None
    return Drop(read_name(found["name"], schema), bool(found["lenient"]))


@dataclass(frozen=True)
class Alteration:
    """``alter table``.

    Attributes:
        name: The table.
        action: ``rename to``, ``add columns``, ``replace columns``, ``drop column``,
            ``change column`` or ``set tblproperties``.
        columns: Name and Hive type of the columns concerned; of a changed column
            first what it was called, with an empty type.
        new_name: What the table shall be called.
        properties: The properties to set.
    """

    name: Name
    action: str
    columns: list[tuple[str, str]] = field(default_factory=list)
    new_name: Name | None = None
    properties: dict[str, str] = field(default_factory=dict)


def read_alteration(sql: str, schema: str) -> Alteration | None:
    """The statement as a change of a table, ``None`` if it is none.

    Raises:
        AthenaError: It is one that is not known here.
    """
    if not re.match(r"(?i)alter\s+(table|view)\b", sql):
        return None
    found = re.match(
        rf"(?is)alter\s+(?:table|view)\s+{_NAME}\s+"
        r"(?P<action>rename\s+to|add\s+columns|replace\s+columns|drop\s+column|"
        r"change\s+column|set\s+tblproperties)\s*(?P<rest>.*)\Z",
        sql,
    )
    if not found:
        raise AthenaError(f"FAILED: ParseException: cannot recognize input: {sql}")
    name = read_name(found["name"], schema)
    action = " ".join(found["action"].lower().split())
    rest = found["rest"].strip()
    if action == "rename to":
        return Alteration(name, action, new_name=read_name(rest, name.schema))
    if action == "set tblproperties":
        return Alteration(name, action, properties=_properties(sql, "tblproperties"))
    if action == "drop column":
        return Alteration(name, action, columns=[(rest.strip('`"').lower(), "")])
    if action == "change column":
        old, new, kind = rest.split(None, 2)
        columns = [(old.strip('`"').lower(), ""), (new.strip('`"').lower(), kind)]
        return Alteration(name, action, columns=columns)
    return Alteration(name, action, columns=_columns(rest.strip()[1:-1]))


@dataclass(frozen=True)
class Unload:
    """``unload``: the rows of a query as files under ``location``."""

    query: str
    location: str
    format: str


def read_unload(sql: str) -> Unload | None:
    """The statement as an unload, ``None`` if it is none."""
    head = re.match(r"(?is)unload\s*\(", sql)
    if not head:
        return None
    end = _closing_bracket(sql, head.end())
    target = re.match(r"(?is)\s*to\s+'([^']+)'\s*(with\s*\((.*)\))?\s*\Z", sql[end:])
    if not target:
        raise AthenaError("FAILED: ParseException: UNLOAD needs TO and a location")
    kind = re.search(r"(?is)\bformat\s*=\s*'(\w+)'", target[3] or "")
    return Unload(
        query=sql[head.end() : end - 1],
        location=target[1],
        format=kind[1].upper() if kind else "PARQUET",
    )


@dataclass(frozen=True)
class Maintenance:
    """``optimize`` or ``vacuum``, of an Iceberg table."""

    name: Name
    action: str


def read_maintenance(sql: str, schema: str) -> Maintenance | None:
    """The statement as maintenance of a table, ``None`` if it is none."""
    found = re.match(rf"(?is)(?P<action>optimize|vacuum)\s+{_NAME}", sql)
    if not found:
        return None
    return Maintenance(read_name(found["name"], schema), found["action"].lower())


_TRINO_TYPES = (
    (r"\bstring\b", "varchar"),
    (r"\bint\b", "integer"),
    (r"\bbinary\b", "varbinary"),
    (r"\bfloat\b", "real"),
    (r"\btimestamp\b(?!\()", "timestamp(6)"),
)


def trino_type(hive_type: str) -> str:
    """A type of Athena's data definition, as an Iceberg table of Trino has it."""
    kind = hive_type.strip().lower()
    for pattern, name in _TRINO_TYPES:
        kind = re.sub(pattern, name, kind)
    return re.sub(r"(array|map)<", r"\1(", kind).replace(">", ")")


def hive_type(trino_type: str) -> str:
    """A type of Trino, as Glue writes it in the columns of a view."""
    kind = re.sub(r"\bvarchar(\(\d+\))?|\bchar\(\d+\)", "string", trino_type)
    kind = re.sub(r"\btimestamp(\(\d+\))?( with time zone)?", "timestamp", kind)
    kind = re.sub(r"\binteger\b", "int", kind)
    kind = re.sub(r"\breal\b", "float", kind)
    kind = re.sub(r"\bvarbinary\b", "binary", kind)
    if re.match(r"(array|map)\(", kind):
        kind = kind.replace("(", "<").replace(")", ">")
    return "string" if re.match(r"(row|json|unknown|time)\b", kind) else kind
