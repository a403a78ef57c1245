"""Write a first dbt project for your own data: ``churn init``.

Read a sample, infer the meaning of its columns, and write variables, the field mapping
and the event names. Each undecided point is written as a question at the line that
answers it.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from churn.onboarding.column_inference import (
    Field,
    InferredColumn,
    cancellation_source,
    collect_fields,
    infer_event_columns,
    infer_table_columns,
    normalise_name,
)
from churn.onboarding.field_mapping import column_name
from churn.onboarding.sample import (
    CannotReadError,
    read_expression,
    sample_events,
    sample_table,
    values_at,
)

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "QUESTION:"
TABLES = {
    "accounts": "raw_accounts",
    "contacts": "raw_contacts",
    "invoices": "raw_invoices",
    "calls": "raw_calls",
}
_CANCELLATION_NAMES = re.compile(
    r"cancel|unsubscri|terminat|churn|close_?account", re.I
)
_RESTART_NAMES = re.compile(
    r"re-?start|re-?activat|re-?subscri|resume|sub\w*[ _-]?start|start[ _-]?sub"
    r"|^subscribed$",
    re.I,
)
_DATE_FORMATS = {
    "%d/%m/%Y": r"\d{2}/\d{2}/\d{4}$",
    "%d.%m.%Y": r"\d{2}\.\d{2}\.\d{4}$",
    "%Y/%m/%d": r"\d{4}/\d{2}/\d{2}$",
    "%Y%m%d": r"\d{8}$",
}
_DATE_IN_NAME = r"\d{4}-\d{2}-\d{2}"
# Type, description and further meta of each column of the field mapping.
_DESCRIPTIONS = {
    "event_id": ("varchar", "The tracker's identifier of the event.", {}),
    "raw_event_name": (
        "varchar",
        "The event's name as written by the tracker.",
        {"required": "true"},
    ),
    "occurred_at": (
        "timestamp",
        "Event time by the device's clock, in UTC.",
        {"required": "true"},
    ),
    "sent_at": ("timestamp", "Send time by the device's clock, in UTC.", {}),
    "anonymous_id": ("varchar", "The browser or app installation.", {}),
    "user_id": ("varchar", "The logged-in user.", {}),
    "page_path": ("varchar", "The page or screen.", {"format": "url_path"}),
    "product_category": (
        "varchar",
        "The category of the viewed product, in lower case.",
        {"format": "lower"},
    ),
}
_DERIVED_COLUMNS = [
    ("event_name", "varchar", "The event's name in the seed event_names."),
    ("event_at", "timestamp", "Event time in UTC, corrected for clock skew."),
    ("received_at", "timestamp", "When the record was received, in UTC."),
    ("visitor_id", "varchar", "The anonymous_id or, if null, the user_id."),
    ("is_on_time", "boolean", "Whether it arrived in time for its day's features."),
    ("is_repaired", "boolean", "Whether the record was not strict JSON."),
    ("is_clock_skewed", "boolean", "Whether the device's clock was ahead."),
    ("source_file", "varchar", "The file that delivered it first."),
]


@dataclass
class Draft:
    """The project to write.

    Attributes:
        name: The name of the project and of its database.
        variables: Name, YAML text and questions of each variable of
            dbt_project.yml.
        questions: File and text of all questions.
        views: SQL statements that create the raw tables.
    """

    name: str
    variables: list[tuple[str, str, list[str]]] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)
    views: list[str] = field(default_factory=list)

    def set(self, name: str, value: str, *questions: str) -> None:
        """Set a variable, with the questions to write above it."""
        self.variables.append((name, value, list(questions)))
        self.questions += [("dbt_project.yml", question) for question in questions]


def main(arguments: list[str] | None = None) -> int:
    """Write the project; return 1 and print one sentence if nothing can be read."""
    parser = argparse.ArgumentParser(
        prog="churn init",
        description="Read a sample of your data and write a first dbt project for "
        "it. Paths can be globs, local or s3://, plain, .gz or .zst.",
    )
    parser.add_argument(
        "--events", required=True, help="clickstream: JSON lines, Parquet or CSV"
    )
    for name in TABLES:
        parser.add_argument(f"--{name}", help=f"{name}: Parquet or CSV")
    parser.add_argument(
        "--out", type=Path, default=Path("my_company"), help="folder to write"
    )
    parser.add_argument(
        "--sample", type=int, default=20_000, help="records to read (20000)"
    )
    options = parser.parse_args(arguments)
    if (options.out / "dbt_project.yml").exists():
        print(
            f"{options.out} already holds a dbt project: name another folder with "
            "--out, or delete it.",
            file=sys.stderr,
        )
        return 1
    try:
        draft = write_project(
            options.out,
            options.events,
            {table: getattr(options, name) for name, table in TABLES.items()},
            options.sample,
        )
    except CannotReadError as reason:
        print(reason, file=sys.stderr)
        return 1
    _print_next_steps(options.out, draft)
    return 0


def write_project(
    out: Path, events: str, tables: dict[str, str | None], size: int
) -> Draft:
    """Infer the columns and write the project's files into ``out``.

    Args:
        out: The folder to create.
        events: Path of the clickstream.
        tables: Paths of the other sources by raw table; ``None`` for a missing one.
        size: Number of records to read.

    Raises:
        CannotReadError: A source cannot be read. Nothing has been written.
    """
    draft = Draft(re.sub(r"\W+", "_", out.name).strip("_").lower() or "my_company")
    sample = sample_events(_absolute(events), size)
    fields, total = collect_fields(sample.records)
    inferred = infer_event_columns(fields, total)
    _set_events(draft, _absolute(events), sample.is_columnar, inferred)
    columns = {}
    for table, path in tables.items():
        if path:
            columns[table] = _set_table(draft, table, _absolute(path))
    _set_missing_sources(draft, tables)
    names = _event_names(inferred["raw_event_name"])
    _set_cancellations(draft, columns.get("raw_accounts"), names)
    if "raw_accounts" in columns and "raw_contacts" not in columns:
        _ask_about_users(draft, sample.records, inferred, columns["raw_accounts"])
    categories = _categories(inferred["product_category"])
    draft.set("product_categories", f"[{', '.join(categories)}]")
    if not {"subscribe_hover", "subscribe_click"} & set(names.values()):
        draft.set("excluded_features", "[subscribe]")

    (out / "models").mkdir(parents=True, exist_ok=True)
    (out / "seeds").mkdir(exist_ok=True)
    _write_field_mapping(out, draft, fields, total, inferred)
    _write_event_names(out, draft, names)
    _write_offers(out, draft, categories)
    _write_project_files(out, draft)
    return draft


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


# ---- Inferred settings ---------------------------------------------------------


def _set_events(
    draft: Draft, path: str, is_columnar: bool, inferred: dict[str, InferredColumn]
) -> None:
    received, occurred = inferred["received_at"].fields, inferred["occurred_at"].fields
    questions = []
    if not received:
        questions.append(
            "no field holds the time when the server received a record, so all count "
            "as on time. Is there one?"
        )
    clocks = [_time_expression(each) for each in (*received[:1], *occurred[:1])]
    if is_columnar:
        draft.views.append(
            "create or replace view raw.raw_events as\n"
            "select to_json(records) as payload,\n"
            "    cast(null as timestamp) as received_at,\n"
            "    filename as source_file\n"
            f"from {read_expression(path)} as records"
        )
    else:
        draft.set("raw_event_files", f'"{path}"')
    # Records without a readable time are dated by the date in their file's name.
    fallback = f"try_cast(regexp_extract(source_file, '{_DATE_IN_NAME}') as timestamp)"
    expression = ",\n            ".join([*clocks, fallback, "timestamp '1970-01-01'"])
    draft.set(
        "raw_events_columns",
        "\n      received_at: >-\n"
        f"        coalesce(\n            {expression}\n        )",
        *questions,
    )


def _time_expression(each: Field) -> str:
    """Return the DuckDB expression that reads a time from the payload."""
    text = f"try(json_extract_string(payload, '{each.path}'))"
    example = next(iter(each.values), "")
    try:
        number = float(example)
    except ValueError:
        return f"try_cast({text} as timestamp)"
    digits = len(str(int(number)))
    factor = {10: "1000000", 13: "1000", 16: "1"}.get(digits, "1000000")
    return f"make_timestamp(cast(try_cast({text} as double) * {factor} as bigint))"


def _set_table(draft: Draft, table: str, path: str) -> dict[str, Field]:
    """Map the columns of one table; return the matching columns by our name."""
    columns, files = sample_table(path, 20_000)
    inferred = infer_table_columns(table, columns)
    mapping: list[str] = []
    renamed: list[str] = []
    questions = []
    has_date_in_name = all(re.search(_DATE_IN_NAME, Path(name).name) for name in files)
    file_date = f"cast(regexp_extract(filename, '{_DATE_IN_NAME}') as date)"
    for column, (source, question) in inferred.items():
        if source is None and column == "batch_date":
            if has_date_in_name:
                mapping.append(f"      {column}: {file_date}")
                continue
            mapping.append(f"      {column}: current_date")
            question = (
                f"which day's state does a row of {table} show? There is no such "
                "column, and no date in the file names."
            )
        elif source is None and column == "loaded_at":
            batch_date = inferred.get("batch_date", (None, None))[0]
            if batch_date:
                loaded_from = batch_date.path
            else:
                loaded_from = file_date if has_date_in_name else "current_date"
            mapping.append(
                f"      {column}: cast(cast({loaded_from} as date) as timestamp) "
                "+ interval 1 day"
            )
            question = (
                f"when is {table} loaded? Until a column says so, rows count as "
                "loaded at midnight after their day, which is on time."
            )
        elif source is None:
            mapping.append(f"      {column}: null")
        elif source.path != column:
            is_plain = re.fullmatch(r"[A-Za-z_]\w*", source.path)
            name = source.path if is_plain else f"'\"{source.path}\"'"
            mapping.append(f"      {column}: {name}")
            renamed.append(f"{source.path} is {column}")
        if question:
            questions.append(question)
    if renamed:
        questions.append(f"are these right: {', '.join(renamed)}?")
    draft.views.append(
        f"create or replace view raw.{table} as\nselect * from {read_expression(path)}"
    )
    value = "\n" + "\n".join(mapping) if mapping else "{}"
    draft.set(f"{table}_columns", value, *questions)
    return {
        name: source for name, (source, _) in inferred.items() if source is not None
    }


def _set_missing_sources(draft: Draft, tables: dict[str, str | None]) -> None:
    for table, switch in (
        ("raw_contacts", "has_contacts"),
        ("raw_invoices", "has_invoices"),
        ("raw_calls", "has_support_calls"),
    ):
        draft.set(switch, "true" if tables[table] else "false")
    if not tables["raw_accounts"]:
        draft.questions.append(
            (
                "dbt_project.yml",
                "which table holds your accounts? A full extract a day is needed: run "
                "init again with --accounts, or set raw_accounts_table.",
            )
        )


def _set_cancellations(
    draft: Draft, accounts: dict[str, Field] | None, names: dict[str, str]
) -> None:
    cancelled = (accounts or {}).get("cancelled_service")
    source = cancellation_source(cancelled)
    if source:
        draft.set("cancellation_source", source)
        values = [value for value in cancelled.values if value.strip()]
        for date_format, pattern in _DATE_FORMATS.items():
            if source == "dates" and all(re.match(pattern, value) for value in values):
                draft.set(
                    "crm_date_format",
                    f'"{date_format}"',
                    f"is {values[0]} written as {date_format}, day before month?",
                )
        return
    cancels = sorted(
        {name for raw, name in names.items() if _CANCELLATION_NAMES.search(raw)}
    )
    restarts = sorted(
        {name for raw, name in names.items() if _RESTART_NAMES.search(raw)}
    )
    if cancels:
        draft.set("cancellation_source", "events")
        draft.set("cancellation_events", f"[{', '.join(map(_quoted, cancels))}]")
        if restarts:
            draft.set("restart_events", f"[{', '.join(map(_quoted, restarts))}]")
        else:
            draft.set(
                "restart_events",
                "[subscription_started]",
                "which event means that a customer comes back?",
            )
        return
    draft.set(
        "cancellation_source",
        "dates",
        "what marks a cancelled account? Neither a column nor an event looks like a "
        "cancellation.",
    )


def _ask_about_users(
    draft: Draft,
    records: list,
    inferred: dict[str, InferredColumn],
    accounts: dict[str, Field],
) -> None:
    """Ask for contacts if, without them, no user is an account."""
    paths = [each.path for each in inferred["user_id"].fields]
    seen = set(values_at(records, paths))
    account = accounts.get("account_id")
    if seen and account and not seen & set(account.values):
        draft.questions.append(
            (
                "dbt_project.yml",
                f"which account does the user {sorted(seen)[0]} belong to? No user of "
                "the clickstream is an account_id: run init again with --contacts.",
            )
        )


def _event_names(raw_names: InferredColumn) -> dict[str, str]:
    """Map each raw event name to our name, the most frequent first."""
    with (ROOT / "seeds" / "event_names.csv").open(newline="") as seed:
        name_of = {
            normalise_name(row["raw_name"]): row["event_name"]
            for row in csv.DictReader(seed)
        }
    names: dict[str, str] = {}
    for each in raw_names.fields:
        for raw, _ in each.values.most_common():
            lower = raw.strip().lower()
            snake_case = re.sub(r"\W+", "_", lower).strip("_")
            if snake_case and lower not in names:
                names[lower] = name_of.get(normalise_name(raw), snake_case)
    return names


def _categories(column: InferredColumn) -> list[str]:
    found = [
        value.lower()
        for each in column.fields
        for value, _ in each.values.most_common()
    ]
    usable = [name for name in found if re.fullmatch(r"[a-z][a-z0-9_]*", name)]
    return list(dict.fromkeys(usable))[:8]


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"\w+", text) else '"' + text + '"'


# ---- Files ---------------------------------------------------------------------


def _write_field_mapping(
    out: Path,
    draft: Draft,
    fields: dict[str, Field],
    total: int,
    inferred: dict[str, InferredColumn],
) -> None:
    model = f"{draft.name}_events"
    file = f"models/{model}.yml"
    (out / "models" / f"{model}.sql").write_text(
        "select * from {{ ref('stg_clickstream__events') }}\n"
    )
    lines = [
        "models:",
        f"  - name: {model}",
        "    description: >",
        "      One row per event: the field mapping of the clickstream. The SQL",
        "      extracts each column from its `json_paths`, the first that holds a",
        "      value; an empty list marks a field that the tracker does not send.",
        "    config:",
        "      materialized: view",
        "    columns:",
    ]
    used = set()
    for column, (data_type, description, meta) in _DESCRIPTIONS.items():
        column_inferred = inferred[column]
        paths = [each.path for each in column_inferred.fields]
        used |= set(paths)
        lines += _column(column, data_type, description)
        if column_inferred.question:
            lines.append(f"        # {QUESTION} {column_inferred.question}")
            draft.questions.append((file, column_inferred.question))
        lines += ["        config:", "          meta:"]
        lines += [f"            {key}: {value}" for key, value in meta.items()]
        lines.append(_paths(paths))
    names = set(_DESCRIPTIONS) | {name for name, *_ in _DERIVED_COLUMNS}
    for each in sorted(fields.values(), key=lambda each: -each.count):
        if each.path in used or not each.is_scalar or each.share(total) < 0.01:
            continue
        if "[" in each.path or '"' in each.path:
            continue
        name = column_name(each.path, names)
        names.add(name)
        json_type = next(iter(each.types)) if len(each.types) == 1 else "text"
        data_type = {"number": "double", "boolean": "boolean"}.get(json_type, "varchar")
        example = next(iter(each.values), "")[:40]
        lines += _column(
            name,
            data_type,
            f"In {each.share(total):.0%} of the records, such as {example!r}; "
            "describe what it means.",
        )
        lines += ["        config:", "          meta:", _paths([each.path])]
    for name, data_type, description in _DERIVED_COLUMNS:
        lines += _column(name, data_type, description)
    (out / file).write_text("\n".join(lines) + "\n")


def _column(name: str, data_type: str, description: str) -> list[str]:
    return [
        f"      - name: {name}",
        "        description: >",
        f"          {description}",
        f"        data_type: {data_type}",
    ]


def _paths(paths: list[str]) -> str:
    listed = ", ".join(f"'{path}'" for path in paths)
    return f"            json_paths: [{listed}]"


def _write_event_names(out: Path, draft: Draft, names: dict[str, str]) -> None:
    with (out / "seeds" / "event_names.csv").open("w", newline="") as seed:
        writer = csv.writer(seed, lineterminator="\n")
        writer.writerow(["raw_name", "event_name"])
        writer.writerows(names.items())
    if "page_view" not in names.values():
        draft.questions.append(
            (
                "seeds/event_names.csv",
                "which event is a page view? Name it page_view, and the view of a "
                "product product_view.",
            )
        )


def _write_offers(out: Path, draft: Draft, categories: list[str]) -> None:
    with (out / "seeds" / "offers.csv").open("w", newline="") as seed:
        writer = csv.writer(seed, lineterminator="\n")
        writer.writerow(["product_category", "offer"])
        writer.writerows([name, f"An offer for {name}"] for name in categories)
        writer.writerow(["default", "A call"])
    draft.questions.append(
        ("seeds/offers.csv", "what do you offer an account that is likely to leave?")
    )


def _write_project_files(out: Path, draft: Draft) -> None:
    variables = []
    for name, value, questions in draft.variables:
        variables += [f"    # {QUESTION} {question}" for question in questions]
        separator = "" if value.startswith("\n") else " "
        variables.append(f"    {name}:{separator}{value}")
    other_questions = [
        f"# {QUESTION} {question}"
        for file, question in draft.questions
        if file == "dbt_project.yml"
        and not any(
            question in variable_questions
            for _, _, variable_questions in draft.variables
        )
    ]
    (out / "dbt_project.yml").write_text(
        "\n".join(
            [
                *other_questions,
                f"name: {draft.name}",
                "version: 0.1.0",
                "config-version: 2",
                f"profile: {draft.name}",
                "",
                "# The package overrides some of dbt's own macros.",
                "dispatch:",
                "  - macro_namespace: dbt",
                f"    search_order: [{draft.name}, churn, dbt]",
                "",
                "flags:",
                "  # The package reads this project's seeds, which replace its own.",
                "  require_ref_searches_node_package_before_root: true",
                "  # A test runs only if all tables that it reads are selected or",
                "  # upstream.",
                "  indirect_selection: buildable",
                "",
                'model-paths: ["models"]',
                'seed-paths: ["seeds"]',
                "",
                "# Replaced by this project's seeds of the same name.",
                "seeds:",
                "  churn:",
                "    event_names:",
                "      +enabled: false",
                "    offers:",
                "      +enabled: false",
                "",
                "# They test the package with its default variables.",
                "unit_tests:",
                "  churn:",
                "    +enabled: false",
                "",
                "# The package describes all variables, with units and effects, in",
                f"# {ROOT / 'dbt_project.yml'}",
                "vars:",
                "  churn:",
                "    load_demo_seeds: false",
                f"    clickstream_field_mapping_model: {draft.name}_events",
                *variables,
                "",
            ]
        )
    )
    (out / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")
    database = f"{draft.name}.duckdb"
    (out / "profiles.yml").write_text(
        "\n".join(
            [
                f"{draft.name}:",
                "  target: duckdb",
                "  outputs:",
                "    duckdb:",
                "      type: duckdb",
                f"      path: \"{{{{ env_var('CHURN_DUCKDB_PATH', '{database}') }}}}\"",
                "      schema: main",
                "      threads: 2",
                "      settings:",
                "        # Every time in this project is UTC.",
                "        TimeZone: UTC",
                "",
            ]
        )
    )
    (out / ".gitignore").write_text(
        "dbt_packages/\npackage-lock.yml\ntarget/\nlogs/\n*.duckdb*\n"
    )
    if draft.views:
        with duckdb.connect(str(out / database)) as connection:
            connection.execute("create schema if not exists raw")
            for view in draft.views:
                connection.execute(view)


def _print_next_steps(out: Path, draft: Draft) -> None:
    print(f"Wrote a dbt project into {out}.")
    if draft.questions:
        count = len(draft.questions)
        print(f"\n{count} question{'s' * (count > 1)}, each at the line to change:")
        for file, question in draft.questions:
            print(f"  {file}: {question}")
    print(
        f"\nNext:\n  cd {out}\n  dbt deps\n  churn check\n"
        "  dbt build --profiles-dir .\n  churn summary --database "
        f"{draft.name}.duckdb"
    )


if __name__ == "__main__":
    sys.exit(main())
