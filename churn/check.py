"""Says what is missing before the first run: ``python -m churn check``.

One line for each problem, with its remedy. Looks at the project in the current folder:
open questions, raw tables and files, and whether a sample of the records says what the
field mapping and the variables expect of it.
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

from churn.column_inference import Field, cancellation_source, is_time
from churn.event_files import NoFilesError, find_event_files, new_lines
from churn.init import QUESTION, ROOT
from churn.sample import user_ids

_TABLES = {
    "raw_accounts": None,
    "raw_contacts": "has_contacts",
    "raw_invoices": "has_invoices",
    "raw_calls": "has_support_calls",
}


@dataclass
class Project:
    """What dbt would read in a folder, as far as the checks need it.

    Attributes:
        folder: Where dbt is run.
        variables: The package's variables, with those of the project above them.
        field_mapping: The mapped columns with their JSON paths.
        event_names: What each event is called, by its raw name in lower case.
        is_root: Whether it is this repository itself, not a project that uses it.
    """

    folder: Path
    variables: dict[str, Any]
    field_mapping: dict[str, list[str]] = field(default_factory=dict)
    event_names: dict[str, str] = field(default_factory=dict)
    is_root: bool = False


class NoProjectError(Exception):
    """There is no dbt project; the message is one sentence."""


def read_project(folder: Path) -> Project:
    """Read a project's variables, field mapping and event names.

    Raises:
        NoProjectError: The folder holds none.
    """
    path = folder / "dbt_project.yml"
    if not path.exists():
        raise NoProjectError(
            f"There is no dbt_project.yml in {folder}: go where you run dbt, or write "
            "a project with `python -m churn init`."
        )
    own = yaml.safe_load(path.read_text())
    variables = dict(yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"])
    is_root = own.get("name") == "churn"
    mine = own.get("vars") or {}
    variables |= {key: value for key, value in mine.items() if key != "churn"}
    variables |= mine.get("churn") or {}
    project = Project(folder, variables, is_root=is_root)
    wanted = variables["clickstream_field_mapping_model"]
    for place in (folder, ROOT):
        for file in sorted(place.glob("models/**/*.yml")):
            for model in (yaml.safe_load(file.read_text()) or {}).get("models", []):
                if model["name"] == wanted and not project.field_mapping:
                    project.field_mapping = {
                        column["name"]: column["config"]["meta"]["json_paths"]
                        for column in model["columns"]
                        if "json_paths" in column.get("config", {}).get("meta", {})
                    }
    for place in (ROOT, folder):
        seed = place / "seeds" / "event_names.csv"
        if seed.exists():
            with seed.open(newline="") as lines:
                project.event_names = {
                    row["raw_name"]: row["event_name"] for row in csv.DictReader(lines)
                }
    return project


def problems(project: Project, database: Path) -> Iterator[str]:
    """One sentence for each thing that is missing, with its remedy."""
    yield from _open_questions(project)
    if not project.is_root and not (project.folder / "dbt_packages" / "churn").exists():
        yield "The package is not installed here: run `dbt deps`."
    if not project.field_mapping:
        yield (
            "No model is called "
            f"`{project.variables['clickstream_field_mapping_model']}`: name the one "
            "whose YAML is your field mapping in clickstream_field_mapping_model."
        )
    if not database.exists():
        yield (
            f"There is no database {database}: load your raw tables into one, and name "
            "it in CHURN_DUCKDB_PATH."
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
    """The raw tables of a database, read as the project's variables say."""

    def __init__(self, project: Project, connection: duckdb.DuckDBPyConnection) -> None:
        self.variables = project.variables
        self.connection = connection
        self.has_files = project.variables["raw_event_files"] is not None
        self.is_there: dict[str, bool] = {}

    def relation(self, table: str) -> str:
        """The table's name for SQL."""
        return f'"{self.variables["raw_schema"]}"."{self.variables[f"{table}_table"]}"'

    def column(self, table: str, name: str) -> str | None:
        """What stands for one of our columns; none where there is nothing."""
        return (self.variables[f"{table}_columns"] or {}).get(name, name)

    def values(self, table: str, name: str, limit: int = 5000) -> list[str]:
        """Some values of one of our columns, as text."""
        own = self.column(table, name)
        if own is None or not self.is_there.get(table):
            return []
        rows = self.connection.execute(
            f"""select distinct cast({own} as varchar) from {self.relation(table)}
            where {own} is not null limit {limit}"""
        ).fetchall()
        return [value for (value,) in rows]

    def problems(self) -> Iterator[str]:
        """Tables and columns that are missing, and tables that are empty."""
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
            found = self.connection.execute(f"describe {relation}").fetchall()
        except duckdb.Error:
            switch = _TABLES.get(table)
            remedy = f", or set `{switch}` to false" if switch else ""
            yield (
                f"There is no table {relation}: load it, name yours in "
                f"`{table}_table` and `raw_schema`{remedy}."
            )
            return
        names = {name.lower() for name, *_ in found}
        self.is_there[table] = True
        for column in self._columns_of(table):
            own = self.column(table, column)
            if own is None or (re.fullmatch(r"\w+", own) and own.lower() in names):
                continue
            if re.fullmatch(r"\w+", own):
                yield (
                    f"{relation} has no column `{own}`: say in `{table}_columns` what "
                    f"yours has for `{column}`, or null."
                )
                continue
            try:
                self.connection.execute(f"select {own} from {relation} limit 1")
            except duckdb.Error as error:
                first_line = str(error).splitlines()[0]
                yield (
                    f"`{own}` in `{table}_columns` cannot be read for `{column}`: "
                    f"{first_line}"
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
                asked = line.split(QUESTION, 1)[1].strip()
                yield (
                    f"{path.relative_to(project.folder)}:{number}: {asked} Answer "
                    "there, and delete the line."
                )


def _sample(project: Project, tables: _Tables, size: int = 5000) -> Iterator[Any]:
    """Parsed records; a line that is not JSON is none."""
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
    elif tables.is_there.get("raw_events") and tables.column("raw_events", "payload"):
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
    """What the field mapping expects and a sample of the records does not have."""
    if project.variables["raw_event_files"] is not None and not records:
        yield (
            f"No file is named by {project.variables['raw_event_files']}, or none "
            "holds a line: correct `raw_event_files`."
        )
    if not records:
        return
    unreadable = sum(record is None for record in records) / len(records)
    if unreadable > 0.2:
        yield (
            f"{unreadable:.0%} of the records are not plain JSON: those that cannot be "
            "repaired will be rejects; see stg_clickstream__rejects after the run."
        )
    objects = [record for record in records if isinstance(record, dict)]
    for names, what in (
        (("raw_event_name",), "a name"),
        (("occurred_at",), "a time"),
        (("user_id", "anonymous_id"), "a user or visitor"),
    ):
        paths = [path for name in names for path in project.field_mapping.get(name, [])]
        found = list(user_ids(objects, paths))
        if objects and len(found) < 0.5 * len(objects):
            share = len(found) / len(objects)
            yield (
                f"Only {share:.0%} of the records have {what} where "
                f"the field mapping expects it ({', '.join(paths) or 'nowhere'}): "
                f"correct the json_paths of {' or '.join(names)}."
            )
        if names == ("occurred_at",):
            odd = [value for value in found if not is_time(value)]
            if len(odd) > 0.1 * len(found):
                yield (
                    f"{len(odd) / len(found):.0%} of the times cannot be read, such as "
                    f"{odd[0]!r}: correct the json_paths of occurred_at."
                )
    known = {name.lower() for name in project.event_names}
    seen = {
        name.strip().lower()
        for name in user_ids(objects, project.field_mapping.get("raw_event_name", []))
    }
    if seen - known:
        yield (
            "seeds/event_names.csv does not know "
            f"{', '.join(sorted(seen - known)[:5])}: add what you call "
            f"{'them' if len(seen - known) > 1 else 'it'}."
        )


def _outcome_problems(
    project: Project, tables: _Tables, records: list[Any]
) -> Iterator[str]:
    """Whether cancellations are told as the variables say."""
    variables = project.variables
    dialect = variables["cancellation_source"]
    if dialect == "events":
        objects = [record for record in records if isinstance(record, dict)]
        paths = project.field_mapping.get("raw_event_name", [])
        seen = {
            project.event_names.get(name.strip().lower(), name)
            for name in user_ids(objects, paths)
        } | set(project.event_names.values())
        for name in (*variables["cancellation_events"], *variables["restart_events"]):
            if name not in seen:
                yield (
                    f"No event is called `{name}`: name those that cancel and restart "
                    "in cancellation_events and restart_events."
                )
    elif tables.is_there.get("raw_accounts"):
        values = tables.values("raw_accounts", "cancelled_service")
        column = Field("cancelled_service")
        column.values.update(values)
        found = cancellation_source(column)
        if found is None:
            yield (
                "No account has ever cancelled: say in raw_accounts_columns which "
                "column is cancelled_service, or set cancellation_source to events."
            )
        elif found != dialect:
            yield (
                f"cancelled_service holds {found}, such as {values[0]!r}: set "
                f"cancellation_source to {found}."
            )
    if tables.is_there.get("raw_accounts"):
        days = tables.values("raw_accounts", "batch_date", limit=100_000)
        needed = variables["churn_horizon_days"] + variables["churn_grace_days"]
        if len(days) < 2 or not days:
            yield (
                "raw_accounts holds one batch only: labels need batches over more than "
                f"{needed} days; until then nothing can be learnt."
            )


def _login_problems(
    project: Project, tables: _Tables, records: list[Any]
) -> Iterator[str]:
    """Whether the users of the clickstream are anybody's."""
    table, column = ("raw_contacts", "user_id")
    if not project.variables["has_contacts"]:
        table, column = ("raw_accounts", "account_id")
    known = set(tables.values(table, column, limit=1_000_000))
    objects = [record for record in records if isinstance(record, dict)]
    seen = set(user_ids(objects, project.field_mapping.get("user_id", [])))
    if known and seen and len(seen & known) < 0.1 * len(seen):
        yield (
            f"Of the {len(seen)} users in a sample of the clickstream "
            f"{len(seen & known)} are in {table}, not {sorted(seen)[0]!r} for example: "
            "say which JSON path and which column name the same person."
        )


def database_of(folder: Path) -> Path:
    """The DuckDB file of a project: CHURN_DUCKDB_PATH, else what profiles.yml says."""
    if "CHURN_DUCKDB_PATH" in os.environ:
        return Path(os.environ["CHURN_DUCKDB_PATH"])
    for place in (folder, ROOT):
        profiles = place / "profiles.yml"
        if profiles.exists():
            found = re.search(r"'([^']+\.duckdb)'", profiles.read_text())
            if found:
                return folder / found[1]
    return folder / "churn.duckdb"


def main(arguments: list[str] | None = None) -> int:
    """Print the problems; return 1 if there are any."""
    parser = argparse.ArgumentParser(
        prog="python -m churn check",
        description="Says what is missing before the first run on DuckDB, one line a "
        "problem, with the remedy.",
    )
    parser.add_argument("--project", type=Path, default=Path(), help="dbt's folder")
    parser.add_argument("--database", type=Path, help="the DuckDB file")
    options = parser.parse_args(arguments)
    try:
        project = read_project(options.project)
    except NoProjectError as reason:
        print(reason, file=sys.stderr)
        return 1
    database = options.database or database_of(options.project)
    # Paths of files are relative to where dbt is run.
    found = list(problems(project, database))
    for problem in found:
        print(f"- {problem}")
    if not found:
        print("Nothing is missing: run `dbt build`.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
