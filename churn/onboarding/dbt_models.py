"""Run some of the package's SQL models on DuckDB without dbt.

`churn check` reads data with the code of the build: it renders the package's own models
and macros, and computes them over a sample. dbt needs several seconds to parse the
project; this needs less than one. Models compute as in a full refresh.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import jinja2
import jinja2.ext
import pyarrow as pa
import yaml

from churn.config import UserError
from churn.quoting import sql_identifier

_MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)\s*\(.*?\{%-?\s*endmacro\s*-?%\}", re.DOTALL)
_CONFIG = re.compile(r"\{\{\s*config\(\s*enabled\s*=.*?\}\}", re.DOTALL)
_REF = re.compile(r"ref\(\s*'(\w+)'\s*\)")
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ModelError(UserError):
    """Report that a model cannot be computed; the message says which and why."""


class _ReturnError(Exception):
    """Carry the value of dbt's ``return`` out of a macro."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _DisabledError(Exception):
    """Report that the configuration of a model disables it."""


class _Relation(str):
    """A quoted relation name with the attributes that macros read."""

    identifier: str
    is_view = False

    def __new__(cls, name: str, quoted: str | None = None) -> _Relation:
        relation = super().__new__(cls, quoted or sql_identifier(name))
        relation.identifier = name
        return relation


@dataclass
class _Rows:
    """The result of a query, as much of agate's table as the macros use."""

    names: list[str]
    tuples: list[tuple[Any, ...]]

    @property
    def rows(self) -> list[Mapping[Any, Any]]:
        return [_Row(zip(self.names, each, strict=True)) for each in self.tuples]

    @property
    def columns(self) -> list[Any]:
        return [
            SimpleNamespace(
                name=name, values=lambda n=number: [row[n] for row in self.tuples]
            )
            for number, name in enumerate(self.names)
        ]

    def __len__(self) -> int:
        return len(self.tuples)

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __getitem__(self, number: int) -> Any:
        return self.rows[number]


class _Row(dict[Any, Any]):
    def __getitem__(self, key: Any) -> Any:
        return (
            list(self.values())[key]
            if isinstance(key, int)
            else super().__getitem__(key)
        )


class ModelRunner:
    """Renders models of the package and creates them as tables.

    Args:
        connection: A DuckDB connection with the raw tables. Models become tables of its
            default schema.
        package: The folder of the dbt package.
        project: The folder of the project that uses it, whose YAML may hold the field
            mapping, and whose seeds replace the package's.
        variables: The variables as dbt resolves them.
        database: The name of the attached database of the raw tables; empty for the
            connection's own.
        given: Names of models that exist already as tables or views.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        package: Path,
        project: Path,
        variables: Mapping[str, Any],
        database: str = "",
        given: Iterable[str] = (),
    ) -> None:
        self.connection = connection
        self.package = package
        self.project = project
        self.variables = variables
        self.database = database
        self.built: set[str] = set(given)
        self.disabled: set[str] = set()
        self.started_at = datetime.now(UTC)
        self.nodes, self.sources = self._read_yaml()
        self.model_paths = {path.stem: path for path in package.glob("models/**/*.sql")}
        self.environment = jinja2.Environment(
            extensions=["jinja2.ext.do"], undefined=jinja2.Undefined
        )
        # The package's macros by name, and what dbt provides.
        self.macros: dict[str, Any] = self.environment.globals
        self.macros.update(self._context())
        self._register_macros()

    # ---- Public --------------------------------------------------------------

    def build(self, name: str) -> None:
        """Compute a model, and before it all models that it reads.

        Raises:
            ModelError: DuckDB refuses the SQL of a model.
        """
        if name in self.built:
            return
        self.built.add(name)
        if name not in self.model_paths:
            self._load_seed(name)
            return
        text = self.model_paths[name].read_text(encoding="utf-8")
        try:
            for config in _CONFIG.findall(text):
                self.render(config, name)
        except _DisabledError:
            self.disabled.add(name)
            return
        for parent in dict.fromkeys(_REF.findall(_without_comments(text))):
            if parent in self.model_paths or self._seed_path(parent):
                self.build(parent)
        sql = self.render(text, name)
        try:
            self.connection.execute(
                f"create or replace table {sql_identifier(name)} as {sql}"
            )
        except duckdb.Error as error:
            first_line = str(error).strip().splitlines()[0]
            raise ModelError(f"{name} cannot be computed: {first_line}") from error

    def render(self, text: str, name: str = "check") -> str:
        """Return the SQL of a model's template.

        Raises:
            ModelError: The template refuses a configuration.
        """
        try:
            template = self.environment.from_string(text)
            return template.render(
                model=SimpleNamespace(name=name, resource_type="check"),
                this=_Relation(name),
            )
        except jinja2.TemplateError as error:
            raise ModelError(f"{name} cannot be compiled: {error}") from error

    def expression(self, macro: str, *arguments: Any) -> str:
        """Return the text that a macro of the package returns."""
        return str(self.macros[macro](*arguments)).strip()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.connection.execute(sql).fetchall()

    # ---- What dbt provides ---------------------------------------------------

    def _context(self) -> dict[str, Any]:
        return {
            "adapter": SimpleNamespace(
                dispatch=self._dispatch,
                get_columns_in_relation=self._columns_of,
                type="duckdb",
            ),
            "api": SimpleNamespace(
                Relation=SimpleNamespace(
                    create=lambda **parts: _Relation(
                        str(parts["identifier"]),
                        ".".join(
                            sql_identifier(str(parts[part]))
                            for part in ("database", "schema", "identifier")
                            if parts.get(part)
                        ),
                    )
                )
            ),
            "builtins": SimpleNamespace(ref=_Relation),
            "config": _config,
            "dbt": _Namespace(self._dbt_macro),
            "churn": _Namespace(self._macro),
            "exceptions": SimpleNamespace(raise_compiler_error=_raise),
            "execute": True,
            "env_var": lambda _, default="": default,
            "flags": SimpleNamespace(
                FULL_REFRESH=True, WHICH="check", INVOCATION_COMMAND="check"
            ),
            "graph": {"nodes": self.nodes, "sources": self.sources},
            "invocation_id": "check",
            "is_incremental": lambda: False,
            "load_relation": self._load_relation,
            "local_md5": lambda text: hashlib.md5(str(text).encode()).hexdigest(),
            "log": lambda *_, **__: "",
            "modules": SimpleNamespace(re=re, datetime=__import__("datetime")),
            "ref": _Relation,
            "return": _return,
            "run_query": self._run_query,
            "run_started_at": self.started_at,
            "source": self._source,
            "selected_resources": [],
            "target": {"type": "duckdb", "database": self.database, "name": "check"},
            "tojson": lambda value, sort_keys=False: json.dumps(
                value, sort_keys=sort_keys, default=str
            ),
            "var": self._variable,
        }

    def _variable(self, name: str, default: Any = None) -> Any:
        return self.variables.get(name, default)

    def _dispatch(self, name: str, _package: str | None = None) -> Callable[..., Any]:
        for prefix in ("duckdb", "default"):
            found = self.macros.get(f"{prefix}__{name}")
            if found is not None:
                return found
        return self._dbt_macro(name)

    def _macro(self, name: str) -> Callable[..., Any]:
        return self.macros[name]

    def _dbt_macro(self, name: str) -> Callable[..., Any]:
        """Return the package's override of a macro of dbt, or dbt's own meaning."""
        for prefix in ("duckdb", "default"):
            found = self.macros.get(f"{prefix}__{name}")
            if found is not None:
                return found
        own: dict[str, Callable[..., Any]] = {
            "type_string": lambda: "varchar",
            "type_timestamp": lambda: "timestamp",
            "type_int": lambda: "integer",
            "type_bigint": lambda: "bigint",
            "type_float": lambda: "double",
            "type_boolean": lambda: "boolean",
            "string_literal": lambda text: f"'{text}'",
            "escape_single_quotes": lambda text: str(text).replace("'", "''"),
            "hash": lambda field: f"md5(cast({field} as varchar))",
            "cast": lambda field, type: f"cast({field} as {type})",  # noqa: A006
            "concat": lambda fields: " || ".join(fields),
        }
        return own[name]

    def _source(self, source: str, table: str) -> _Relation:
        del source
        parts = self._source_parts(table)
        names = [name for name in parts.values() if name]
        return _Relation(parts["identifier"], ".".join(map(sql_identifier, names)))

    def _source_parts(self, table: str) -> dict[str, str]:
        """Return database, schema and name of a raw table, as the variables say."""
        return {
            "database": str(self.variables.get("raw_database") or self.database),
            "schema": str(self.variables.get("raw_schema", "raw")),
            "identifier": str(self.variables.get(f"{table}_table", table)),
        }

    def _load_relation(self, relation: Any) -> Any:
        try:
            self.connection.execute(f"describe {relation}")
        except duckdb.Error:
            return None
        return relation

    def _columns_of(self, relation: Any) -> list[Any]:
        return [
            SimpleNamespace(name=name, dtype=data_type)
            for name, data_type, *_ in self.rows(f"describe {relation}")
        ]

    def _run_query(self, sql: str) -> _Rows:
        cursor = self.connection.execute(str(sql))
        names = [column[0] for column in cursor.description or []]
        return _Rows(names, cursor.fetchall())

    # ---- Files of the project ------------------------------------------------

    def _register_macros(self) -> None:
        for path in sorted(self.package.glob("macros/**/*.sql")):
            for match in _MACRO.finditer(path.read_text(encoding="utf-8")):
                name = match[1]
                self.macros[name] = _LazyMacro(self.environment, name, match[0])

    def _read_yaml(self) -> tuple[dict[str, Any], dict[str, Any]]:
        nodes: dict[str, Any] = {}
        sources: dict[str, Any] = {}
        paths = [
            *self.package.glob("models/**/*.yml"),
            *(
                self.project.glob("models/**/*.yml")
                if self.project != self.package
                else []
            ),
        ]
        for path in paths:
            text = path.read_text(encoding="utf-8")
            content = yaml.load(text, Loader=_YAML_LOADER) or {}
            for model in content.get("models", []):
                nodes[model["name"]] = _Node(model, "model")
            for source in content.get("sources", []):
                for table in source.get("tables", []):
                    node = _Node(table, "source")
                    node |= self._source_parts(table["name"])
                    sources[table["name"]] = node
        return nodes, sources

    def _seed_path(self, name: str) -> Path | None:
        for folder in (self.project, self.package):
            path = folder / "seeds" / f"{name}.csv"
            if path.is_file():
                return path
        return None

    def _load_seed(self, name: str) -> None:
        path = self._seed_path(name)
        if path is None:
            raise ModelError(f"There is no model or seed `{name}`.")
        try:
            # DuckDB would read a folder's name with `*` or `[` as a glob.
            with path.open(newline="", encoding="utf-8-sig") as lines:
                rows = [row for row in csv.reader(lines) if row]
            self._create_seed(name, rows or [[]])
        except (OSError, UnicodeDecodeError, csv.Error, duckdb.Error) as error:
            first_line = str(error).strip().splitlines()[0]
            raise ModelError(
                f"{path} cannot be read ({first_line}): save it as CSV in UTF-8, with "
                "the header of the package's seed."
            ) from error

    def _create_seed(self, name: str, rows: list[list[str]]) -> None:
        names, *values = rows
        columns = ", ".join(f"{sql_identifier(column)} varchar" for column in names)
        self.connection.execute(
            f"create or replace table {sql_identifier(name)} ({columns})"
        )
        texts = pa.table(
            {
                column: pa.array(
                    [
                        (row[number] or None) if number < len(row) else None
                        for row in values
                    ],
                    pa.string(),
                )
                for number, column in enumerate(names)
            }
        )
        self.connection.register("rows_of_seed", texts)
        self.connection.execute(
            f"insert into {sql_identifier(name)} select * from rows_of_seed"
        )
        self.connection.unregister("rows_of_seed")


class _Namespace:
    """An object whose attributes are macros."""

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return self._find(name)


# What dbt gives each column of the YAML.
_COLUMN_DEFAULTS: dict[str, Any] = {
    "data_type": None,
    "description": "",
    "config": {"meta": {}},
    "meta": {},
}


class _Node(dict[str, Any]):
    """A model or source of the YAML, as dbt's graph shows it."""

    def __init__(self, content: Mapping[str, Any], resource_type: str) -> None:
        columns = {
            column["name"]: _attributes({**_COLUMN_DEFAULTS, **column})
            for column in content.get("columns", [])
        }
        super().__init__(content, resource_type=resource_type, columns=columns)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class _Attributes(dict[str, Any]):
    """A dictionary whose keys are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _attributes(value: Any) -> Any:
    if isinstance(value, dict):
        return _Attributes({key: _attributes(inner) for key, inner in value.items()})
    return value


class _LazyMacro:
    """A macro that is compiled when it is first called."""

    def __init__(self, environment: jinja2.Environment, name: str, text: str) -> None:
        self.environment = environment
        self.name = name
        self.text = text
        self.macro: Any = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.macro is None:
            template = self.environment.from_string(self.text)
            self.macro = getattr(template.module, self.name)
        try:
            return str(self.macro(*arguments, **named))
        except _ReturnError as returned:
            return returned.value


def _config(*_: Any, enabled: bool = True, **__: Any) -> str:
    if not enabled:
        raise _DisabledError
    return ""


def _return(value: Any = None) -> None:
    raise _ReturnError(value)


def _raise(message: str) -> None:
    raise ModelError(str(message))


def _without_comments(text: str) -> str:
    return re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
