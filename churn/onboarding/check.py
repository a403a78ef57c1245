"""Check a project before its first run: ``churn check``.

Print one line for each problem, with its remedy. Checks the project in the current
folder: open questions, raw tables and files, and whether a sample of the records
matches the field mapping and the variables.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import yaml

from churn.ingest.event_files import NoFilesError, find_event_files, new_lines
from churn.onboarding.column_inference import Field, cancellation_source, is_time
from churn.onboarding.init import QUESTION, ROOT
from churn.onboarding.sample import values_at

_TABLES = {
    "raw_accounts": None,
    "raw_contacts": "has_contacts",
    "raw_invoices": "has_invoices",
    "raw_calls": "has_support_calls",
}


@dataclass
class Project:
    """The parts of a dbt project that the checks read.

    Attributes:
        folder: The folder in which dbt runs.
        variables: The package's variables, overridden by the project's.
        field_mapping: The JSON paths of each column of the field mapping.
        event_names: The event name of each raw name, in lower case.
        is_root: Whether it is this repository, not a project that uses it.
    """

    folder: Path
    variables: dict[str, Any]
    field_mapping: dict[str, list[str]] = field(default_factory=dict)
    event_names: dict[str, str] = field(default_factory=dict)
    is_root: bool = False


class NoProjectError(Exception):
    """Report that there is no dbt project; the message is one sentence."""


def read_project(folder: Path) -> Project:
    """Read a project's variables, field mapping and event names.

    Raises:
        NoProjectError: The folder holds no dbt project.
    """
    path = folder / "dbt_project.yml"
    if not path.exists():
        raise NoProjectError(
            f"There is no dbt_project.yml in {folder}: change to the folder in which "
            "you run dbt, or write a project with `churn init`."
        )
    settings = yaml.safe_load(path.read_text())
    variables = dict(yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"])
    is_root = settings.get("name") == "churn"
    project_variables = settings.get("vars") or {}
    variables |= {
        key: value for key, value in project_variables.items() if key != "churn"
    }
    variables |= project_variables.get("churn") or {}
    project = Project(folder, variables, is_root=is_root)
    model_name = variables["clickstream_field_mapping_model"]
    for directory in (folder, ROOT):
        for file in sorted(directory.glob("models/**/*.yml")):
            for model in (yaml.safe_load(file.read_text()) or {}).get("models", []):
                if model["name"] == model_name and not project.field_mapping:
                    project.field_mapping = {
                        column["name"]: column["config"]["meta"]["json_paths"]
                        for column in model["columns"]
                        if "json_paths" in column.get("config", {}).get("meta", {})
                    }
    for directory in (ROOT, folder):
        seed = directory / "seeds" / "event_names.csv"
        if seed.exists():
            with seed.open(newline="") as lines:
                project.event_names = {
                    row["raw_name"]: row["event_name"] for row in csv.DictReader(lines)
                }
    return project


def problems(project: Project, database: Path) -> Iterator[str]:
    """Yield one sentence for each problem, with its remedy."""
    yield from _open_questions(project)
    if not project.is_root and not (project.folder / "dbt_packages" / "churn").exists():
        yield "The package is not installed here: run `dbt deps`."
    if not project.field_mapping:
        yield (
            "There is no model "
            f"`{project.variables['clickstream_field_mapping_model']}`: set "
            "clickstream_field_mapping_model to the model whose YAML is your field "
            "mapping."
        )
    if not database.exists():
        yield (
            f"There is no database {database}: load your raw tables into one, and set "
            "CHURN_DUCKDB_PATH to it."
        )
        return
    try:
        connection = duckdb.connect(str(database), read_only=True)
    except duckdb.Error as error:
        yield f"{database} cannot be opened: {str(error).splitlines()[0]}"
        return
    with connection:
        tables = _Tables(project, connection)
        yield from tables.problems()
        records = list(_sample(project, tables))
        yield from _record_problems(project, records)
        yield from _outcome_problems(project, tables, records)
        yield from _login_problems(project, tables, records)


class _Tables:
    """The raw tables of a database, as the project's variables map them."""

    def __init__(self, project: Project, connection: duckdb.DuckDBPyConnection) -> None:
        self.variables = project.variables
        self.connection = connection
        self.has_files = project.variables["raw_event_files"] is not None
        self.exists: dict[str, bool] = {}

    def relation(self, table: str) -> str:
        """Return the table's qualified name for SQL."""
        return f'"{self.variables["raw_schema"]}"."{self.variables[f"{table}_table"]}"'

    def column(self, table: str, name: str) -> str | None:
        """Return the expression of one of our columns, ``None`` if it has none."""
        return (self.variables[f"{table}_columns"] or {}).get(name, name)

    def values(self, table: str, name: str, limit: int = 5000) -> list[str]:
        """Return some distinct values of one of our columns, as text."""
        expression = self.column(table, name)
        if expression is None or not self.exists.get(table):
            return []
        rows = self.connection.execute(
            f"""select distinct cast({expression} as varchar)
            from {self.relation(table)}
            where {expression} is not null limit {limit}"""
        ).fetchall()
        return [value for (value,) in rows]

    def problems(self) -> Iterator[str]:
        """Yield missing tables, missing columns and empty tables."""
        needed = [table for table, switch in _TABLES.items() if not switch]
        needed += [
            table
            for table, switch in _TABLES.items()
            if switch and self.variables[switch]
        ]
        if not self.has_files:
            needed.insert(0, "raw_events")
        for table in needed:
            yield from self._problems_of(table)

    def _problems_of(self, table: str) -> Iterator[str]:
        relation = self.relation(table)
        try:
            description = self.connection.execute(f"describe {relation}").fetchall()
        except duckdb.Error:
            switch = _TABLES.get(table)
            remedy = f", or set `{switch}` to false" if switch else ""
            yield (
                f"There is no table {relation}: load it, or set `{table}_table` and "
                f"`raw_schema` to your table{remedy}."
            )
            return
        names = {name.lower() for name, *_ in description}
        self.exists[table] = True
        for column in self._columns_of(table):
            expression = self.column(table, column)
            if expression is None or (
                re.fullmatch(r"\w+", expression) and expression.lower() in names
            ):
                continue
            if re.fullmatch(r"\w+", expression):
                yield (
                    f"{relation} has no column `{expression}`: set `{column}` in "
                    f"`{table}_columns` to your column or expression, or to null."
                )
                continue
            try:
                self.connection.execute(f"select {expression} from {relation} limit 1")
            except duckdb.Error as error:
                first_line = str(error).splitlines()[0]
                yield (
                    f"`{expression}` in `{table}_columns` cannot be read for "
                    f"`{column}`: {first_line}"
                )
        if not self.connection.execute(f"select 1 from {relation} limit 1").fetchall():
            yield f"{relation} is empty: load it."

    def _columns_of(self, table: str) -> list[str]:
        has_outcomes = self.variables["cancellation_source"] != "events"
        for file in ROOT.glob("models/staging/*/_*sources.yml"):
            for source in yaml.safe_load(file.read_text())["sources"]:
                for each in source["tables"]:
                    if each["name"] == table:
                        return [
                            column["name"]
                            for column in each["columns"]
                            if has_outcomes
                            or column["name"]
                            not in ("cancelled_service", "new_customer")
                        ]
        return []


def _open_questions(project: Project) -> Iterator[str]:
    if project.is_root:
        return
    paths = [project.folder / "dbt_project.yml", *project.folder.glob("models/*.yml")]
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if QUESTION in line:
                question = line.split(QUESTION, 1)[1].strip()
                yield (
                    f"{path.relative_to(project.folder)}:{number}: {question} Answer "
                    "it there and delete the line."
                )


def _sample(project: Project, tables: _Tables, size: int = 5000) -> Iterator[Any]:
    """Yield parsed records, ``None`` for a line that is not JSON."""
    if tables.has_files:
        try:
            files = find_event_files(project.variables["raw_event_files"])
        except (NoFilesError, OSError):
            return
        chosen = files[:: max(1, len(files) // 20)]
        lines = [
            line
            for batch in new_lines(chosen, {}, lambda _: None)
            for line in batch.column("payload").to_pylist()[: size // len(chosen) + 1]
        ]
    elif tables.exists.get("raw_events") and tables.column("raw_events", "payload"):
        payload = tables.column("raw_events", "payload")
        lines = [
            line
            for (line,) in tables.connection.execute(
                f"""select cast({payload} as varchar)
                from {tables.relation("raw_events")}
                using sample reservoir({size} rows) repeatable (1)"""
            ).fetchall()
        ]
    else:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except (ValueError, TypeError):
            yield None


def _record_problems(project: Project, records: list[Any]) -> Iterator[str]:
    """Compare a sample of the records with the field mapping."""
    if project.variables["raw_event_files"] is not None and not records:
        yield (
            f"No file matches {project.variables['raw_event_files']}, or all are "
            "empty: correct `raw_event_files`."
        )
    if not records:
        return
    unreadable = sum(record is None for record in records) / len(records)
    if unreadable > 0.2:
        yield (
            f"{unreadable:.0%} of the records are not strict JSON: those that cannot "
            "be repaired become rejects; see stg_clickstream__rejects after the run."
        )
    objects = [record for record in records if isinstance(record, dict)]
    for names, noun in (
        (("raw_event_name",), "a name"),
        (("occurred_at",), "a time"),
        (("user_id", "anonymous_id"), "a user or visitor"),
    ):
        paths = [path for name in names for path in project.field_mapping.get(name, [])]
        values = list(values_at(objects, paths))
        if objects and len(values) < 0.5 * len(objects):
            share = len(values) / len(objects)
            yield (
                f"Only {share:.0%} of the records have {noun} at the paths of the "
                f"field mapping ({', '.join(paths) or 'none'}): "
                f"correct the json_paths of {' or '.join(names)}."
            )
        if names == ("occurred_at",):
            invalid = [value for value in values if not is_time(value)]
            if len(invalid) > 0.1 * len(values):
                yield (
                    f"{len(invalid) / len(values):.0%} of the times cannot be read, "
                    f"such as {invalid[0]!r}: correct the json_paths of occurred_at."
                )
    seen = {
        name.strip().lower()
        for name in values_at(objects, project.field_mapping.get("raw_event_name", []))
    }
    unnamed = sorted(seen - {name.lower() for name in project.event_names})
    if unnamed:
        yield (
            f"seeds/event_names.csv has no row for {', '.join(unnamed[:5])}: add "
            f"{'their names' if len(unnamed) > 1 else 'its name'}."
        )


def _outcome_problems(
    project: Project, tables: _Tables, records: list[Any]
) -> Iterator[str]:
    """Check that cancellations are recorded as the variables say."""
    variables = project.variables
    source = variables["cancellation_source"]
    if source == "events":
        objects = [record for record in records if isinstance(record, dict)]
        paths = project.field_mapping.get("raw_event_name", [])
        seen = {
            project.event_names.get(name.strip().lower(), name)
            for name in values_at(objects, paths)
        } | set(project.event_names.values())
        for name in (*variables["cancellation_events"], *variables["restart_events"]):
            if name not in seen:
                yield (
                    f"No event is called `{name}`: set cancellation_events and "
                    "restart_events to the events that cancel and restart."
                )
    elif tables.exists.get("raw_accounts"):
        values = tables.values("raw_accounts", "cancelled_service")
        column = Field("cancelled_service")
        column.values.update(values)
        found_source = cancellation_source(column)
        if found_source is None:
            yield (
                "No account has ever cancelled: map cancelled_service in "
                "raw_accounts_columns, or set cancellation_source to events."
            )
        elif found_source != source:
            yield (
                f"cancelled_service holds {found_source}, such as {values[0]!r}: set "
                f"cancellation_source to {found_source}."
            )
    if tables.exists.get("raw_accounts"):
        days = tables.values("raw_accounts", "batch_date", limit=100_000)
        needed = variables["churn_horizon_days"] + variables["churn_grace_days"]
        if len(days) < 2 or not days:
            yield (
                "raw_accounts holds at most one batch: labels need batches over more "
                f"than {needed} days. Until then no model can be trained."
            )


def _login_problems(
    project: Project, tables: _Tables, records: list[Any]
) -> Iterator[str]:
    """Check that the users of the clickstream exist in the CRM."""
    table, column = ("raw_contacts", "user_id")
    if not project.variables["has_contacts"]:
        table, column = ("raw_accounts", "account_id")
    crm_keys = set(tables.values(table, column, limit=1_000_000))
    objects = [record for record in records if isinstance(record, dict)]
    seen = set(values_at(objects, project.field_mapping.get("user_id", [])))
    if crm_keys and seen and len(seen & crm_keys) < 0.1 * len(seen):
        yield (
            f"Of the {len(seen)} users in a sample of the clickstream "
            f"{len(seen & crm_keys)} are in {table}, not {sorted(seen)[0]!r} for "
            "example: map the JSON path and the column that hold the same user."
        )


def database_of(folder: Path) -> Path:
    """Return the DuckDB file: CHURN_DUCKDB_PATH, else the one in profiles.yml."""
    if "CHURN_DUCKDB_PATH" in os.environ:
        return Path(os.environ["CHURN_DUCKDB_PATH"])
    for directory in (folder, ROOT):
        profiles = directory / "profiles.yml"
        if profiles.exists():
            found = re.search(r"'([^']+\.duckdb)'", profiles.read_text())
            if found:
                return folder / found[1]
    return folder / "churn.duckdb"


def main(arguments: list[str] | None = None) -> int:
    """Print the problems; return 1 if there are any."""
    parser = argparse.ArgumentParser(
        prog="churn check",
        description="Check a project before its first run on DuckDB. Prints one line "
        "per problem, with its remedy.",
    )
    parser.add_argument(
        "--project", type=Path, default=Path(), help="folder in which you run dbt"
    )
    parser.add_argument("--database", type=Path, help="the DuckDB file")
    options = parser.parse_args(arguments)
    try:
        project = read_project(options.project)
    except NoProjectError as reason:
        print(reason, file=sys.stderr)
        return 1
    database = options.database or database_of(options.project)
    # Paths of files are relative to the folder in which dbt runs.
    found = list(problems(project, database))
    for problem in found:
        print(f"- {problem}")
    if not found:
        print("No problems found: run `dbt build`.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
