"""Writes a first dbt project for someone's own data: ``python -m churn init``.

Reads a sample, guesses what is what, and writes variables, the field mapping and the
event names. What it could not decide it marks as a question, where the answer goes.
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

from churn.column_inference import (
    Field,
    Guess,
    cancellation_source,
    fields_of,
    guess_event_columns,
    guess_table_columns,
    plain,
)
from churn.field_mapping import column_name
from churn.sample import (
    CannotReadError,
    read_expression,
    sample_events,
    sample_table,
    user_ids,
)

ROOT = Path(__file__).resolve().parents[1]
QUESTION = "QUESTION:"
TABLES = {
    "accounts": "raw_accounts",
    "contacts": "raw_contacts",
    "invoices": "raw_invoices",
    "calls": "raw_calls",
}
_CANCELS = re.compile(r"cancel|unsubscri|terminat|churn|close_?account", re.I)
_RESTARTS = re.compile(
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
# Descriptions and options of the mapped columns.
_DESCRIPTIONS = {
    "event_id": ("varchar", "The tracker's identifier of the event.", {}),
    "raw_event_name": (
        "varchar",
        "The event's name as the tracker wrote it.",
        {"required": "true"},
    ),
    "occurred_at": (
        "timestamp",
        "When it happened by the device's clock, in UTC.",
        {"required": "true"},
    ),
    "sent_at": ("timestamp", "When the device sent it by its own clock, in UTC.", {}),
    "anonymous_id": ("varchar", "The browser or app installation.", {}),
    "user_id": ("varchar", "The logged-in person.", {}),
    "page_path": ("varchar", "The page or screen.", {"format": "url_path"}),
    "product_category": (
        "varchar",
        "The category of what was looked at, in lower case.",
        {"format": "lower"},
    ),
}
_MADE_COLUMNS = [
    ("event_name", "varchar", "What was done, in the words of the seed event_names."),
    ("event_at", "timestamp", "When it happened, in UTC, clocks corrected."),
    ("received_at", "timestamp", "When the record was received, in UTC."),
    ("visitor_id", "varchar", "The anonymous_id, or the user_id where there is none."),
    ("is_on_time", "boolean", "Whether it arrived in time for its day's features."),
    ("is_repaired", "boolean", "Whether it was not quite JSON, and was repaired."),
    ("is_clock_skewed", "boolean", "Whether the device's clock ran ahead."),
    ("source_file", "varchar", "The file that delivered it first."),
]


@dataclass
class Draft:
    """What is known of the company so far.

    Attributes:
        name: The project's name, also of its database.
        variables: Variables of dbt_project.yml, as YAML texts, with the questions
            that go above each.
        questions: All questions, with the file that holds the answer.
        views: SQL that makes the raw tables, to be run once.
    """

    name: str
    variables: list[tuple[str, str, list[str]]] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)
    views: list[str] = field(default_factory=list)

    def set(self, name: str, value: str, *questions: str) -> None:
        """Set a variable, with what is not sure about it."""
        self.variables.append((name, value, list(questions)))
        self.questions += [("dbt_project.yml", question) for question in questions]


def main(arguments: list[str] | None = None) -> int:
    """Write the project; return 1 with one sentence where nothing can be read."""
    parser = argparse.ArgumentParser(
        prog="python -m churn init",
        description="Reads a sample of your data and writes a first dbt project for "
        "it. Paths may be globs, local or s3://, plain, .gz or .zst.",
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
        "--sample", type=int, default=20_000, help="records to look at (20000)"
    )
    options = parser.parse_args(arguments)
    if (options.out / "dbt_project.yml").exists():
        print(
            f"{options.out} holds a dbt project already: name another folder with "
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
    """Guess, and write the project's files into ``out``.

    Args:
        out: The folder, which is made.
        events: Path of the clickstream.
        tables: Paths of the other sources by raw table; none where there is none.
        size: How many records to look at.

    Raises:
        CannotReadError: Something cannot be read; nothing has been written then.
    """
    draft = Draft(re.sub(r"\W+", "_", out.name).strip("_").lower() or "my_company")
    sample = sample_events(_absolute(events), size)
    fields, total = fields_of(sample.records)
    guesses = guess_event_columns(fields, total)
    _describe_events(draft, _absolute(events), sample.is_columnar, guesses)
    columns = {}
    for table, path in tables.items():
        if path:
            columns[table] = _describe_table(draft, table, _absolute(path))
    _describe_absences(draft, tables)
    names = _event_names(guesses["raw_event_name"])
    _describe_outcome(draft, columns.get("raw_accounts"), names)
    if "raw_accounts" in columns and "raw_contacts" not in columns:
        _question_logins(draft, sample.records, guesses, columns["raw_accounts"])
    categories = _categories(guesses["product_category"])
    draft.set("product_categories", f"[{', '.join(categories)}]")
    if not {"subscribe_hover", "subscribe_click"} & set(names.values()):
        draft.set("excluded_features", "[subscribe]")

    (out / "models").mkdir(parents=True, exist_ok=True)
    (out / "seeds").mkdir(exist_ok=True)
    _write_field_mapping(out, draft, fields, total, guesses)
    _write_event_names(out, draft, names)
    _write_offers(out, draft, categories)
    _write_settings(out, draft)
    return draft


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


# ---- What is guessed -----------------------------------------------------------


def _describe_events(
    draft: Draft, path: str, is_columnar: bool, guesses: dict[str, Guess]
) -> None:
    received, occurred = guesses["received_at"].fields, guesses["occurred_at"].fields
    questions = []
    if not received:
        questions.append(
            "no field says when the server received a record, so all count as on "
            "time. Does anything say it?"
        )
    clocks = [_instant(each) for each in (*received[:1], *occurred[:1])]
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
    # What cannot be read was received on the day in its file's name, if there is one.
    fallback = f"try_cast(regexp_extract(source_file, '{_DATE_IN_NAME}') as timestamp)"
    expression = ",\n            ".join([*clocks, fallback, "timestamp '1970-01-01'"])
    draft.set(
        "raw_events_columns",
        "\n      received_at: >-\n"
        f"        coalesce(\n            {expression}\n        )",
        *questions,
    )


def _instant(each: Field) -> str:
    """DuckDB's reading of a time within the payload."""
    text = f"try(json_extract_string(payload, '{each.path}'))"
    example = next(iter(each.values), "")
    try:
        number = float(example)
    except ValueError:
        return f"try_cast({text} as timestamp)"
    digits = len(str(int(number)))
    factor = {10: "1000000", 13: "1000", 16: "1"}.get(digits, "1000000")
    return f"make_timestamp(cast(try_cast({text} as double) * {factor} as bigint))"


def _describe_table(draft: Draft, table: str, path: str) -> dict[str, Field]:
    """Map the columns of one table; return what was found of ours."""
    columns, files = sample_table(path, 20_000)
    guesses = guess_table_columns(table, columns)
    mapping: list[str] = []
    renamed: list[str] = []
    questions = []
    has_day_in_name = all(re.search(_DATE_IN_NAME, Path(name).name) for name in files)
    day = f"cast(regexp_extract(filename, '{_DATE_IN_NAME}') as date)"
    for column, (own, question) in guesses.items():
        if own is None and column == "batch_date":
            if has_day_in_name:
                mapping.append(f"      {column}: {day}")
                continue
            mapping.append(f"      {column}: current_date")
            question = (
                f"which day's state does a row of {table} show? There is no such "
                "column, and no day in the files' names."
            )
        elif own is None and column == "loaded_at":
            base = guesses.get("batch_date", (None, None))[0]
            source = base.path if base else day if has_day_in_name else "current_date"
            mapping.append(
                f"      {column}: cast(cast({source} as date) as timestamp) "
                "+ interval 1 day"
            )
            question = (
                f"when does {table} land? It counts as on time, in the night after "
                "its day, until a column says otherwise."
            )
        elif own is None:
            mapping.append(f"      {column}: null")
        elif own.path != column:
            is_plain = re.fullmatch(r"[A-Za-z_]\w*", own.path)
            name = own.path if is_plain else f"'\"{own.path}\"'"
            mapping.append(f"      {column}: {name}")
            renamed.append(f"{own.path} is {column}")
        if question:
            questions.append(question)
    if renamed:
        questions.append(f"is that right: {', '.join(renamed)}?")
    draft.views.append(
        f"create or replace view raw.{table} as\nselect * from {read_expression(path)}"
    )
    value = "\n" + "\n".join(mapping) if mapping else "{}"
    draft.set(f"{table}_columns", value, *questions)
    return {name: own for name, (own, _) in guesses.items() if own is not None}


def _describe_absences(draft: Draft, tables: dict[str, str | None]) -> None:
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
                "who are your accounts? A table of them, a full extract a day, is "
                "needed: run init again with --accounts, or set raw_accounts_table.",
            )
        )


def _describe_outcome(
    draft: Draft, accounts: dict[str, Field] | None, names: dict[str, str]
) -> None:
    cancelled = (accounts or {}).get("cancelled_service")
    dialect = cancellation_source(cancelled)
    if dialect:
        draft.set("cancellation_source", dialect)
        values = [value for value in cancelled.values if value.strip()]
        for form, pattern in _DATE_FORMATS.items():
            if dialect == "dates" and all(re.match(pattern, value) for value in values):
                draft.set(
                    "crm_date_format",
                    f'"{form}"',
                    f"is {values[0]} written as {form}, day before month?",
                )
        return
    cancels = sorted({name for raw, name in names.items() if _CANCELS.search(raw)})
    restarts = sorted({name for raw, name in names.items() if _RESTARTS.search(raw)})
    if cancels:
        draft.set("cancellation_source", "events")
        draft.set("cancellation_events", f"[{', '.join(map(_quoted, cancels))}]")
        if restarts:
            draft.set("restart_events", f"[{', '.join(map(_quoted, restarts))}]")
        else:
            draft.set(
                "restart_events",
                "[subscription_started]",
                "which event says that a customer comes back?",
            )
        return
    draft.set(
        "cancellation_source",
        "dates",
        "what says that an account cancelled? Neither a column nor an event looks "
        "like it.",
    )


def _question_logins(
    draft: Draft,
    records: list,
    guesses: dict[str, Guess],
    accounts: dict[str, Field],
) -> None:
    """Without contacts a login is an account; say so where that cannot be."""
    paths = [each.path for each in guesses["user_id"].fields]
    seen = set(user_ids(records, paths))
    account = accounts.get("account_id")
    if seen and account and not seen & set(account.values):
        draft.questions.append(
            (
                "dbt_project.yml",
                f"whose account is the user {sorted(seen)[0]}? No user of the "
                "clickstream is an account_id: run init again with --contacts.",
            )
        )


def _event_names(guess: Guess) -> dict[str, str]:
    """For each name that occurs, the most frequent first, what we call it."""
    with (ROOT / "seeds" / "event_names.csv").open(newline="") as known_names:
        known = {
            plain(row["raw_name"]): row["event_name"]
            for row in csv.DictReader(known_names)
        }
    names: dict[str, str] = {}
    for each in guess.fields:
        for raw, _ in each.values.most_common():
            low = raw.strip().lower()
            own = re.sub(r"\W+", "_", low).strip("_")
            if own and low not in names:
                names[low] = known.get(plain(raw), own)
    return names


def _categories(guess: Guess) -> list[str]:
    found = [
        value.lower() for each in guess.fields for value, _ in each.values.most_common()
    ]
    usable = [name for name in found if re.fullmatch(r"[a-z][a-z0-9_]*", name)]
    return list(dict.fromkeys(usable))[:8]


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"\w+", text) else '"' + text + '"'


# ---- What is written -----------------------------------------------------------


def _write_field_mapping(
    out: Path,
    draft: Draft,
    fields: dict[str, Field],
    total: int,
    guesses: dict[str, Guess],
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
        "      One row per event. This file is the clickstream's field mapping: a",
        "      column with `json_paths` is extracted from the first of them that has",
        "      a value. The tracker does not send a column with an empty list.",
        "    config:",
        "      materialized: view",
        "    columns:",
    ]
    used = set()
    for column, (data_type, description, meta) in _DESCRIPTIONS.items():
        guess = guesses[column]
        paths = [each.path for each in guess.fields]
        used |= set(paths)
        lines += _column(column, data_type, description)
        if guess.question:
            lines.append(f"        # {QUESTION} {guess.question}")
            draft.questions.append((file, guess.question))
        lines += ["        config:", "          meta:"]
        lines += [f"            {key}: {value}" for key, value in meta.items()]
        lines.append(_paths(paths))
    names = set(_DESCRIPTIONS) | {name for name, *_ in _MADE_COLUMNS}
    for each in sorted(fields.values(), key=lambda each: -each.count):
        if each.path in used or not each.is_scalar or each.share(total) < 0.01:
            continue
        if "[" in each.path or '"' in each.path:
            continue
        name = column_name(each.path, names)
        names.add(name)
        kind = next(iter(each.types)) if len(each.types) == 1 else "text"
        data_type = {"number": "double", "boolean": "boolean"}.get(kind, "varchar")
        example = next(iter(each.values), "")[:40]
        lines += _column(
            name,
            data_type,
            f"In {each.share(total):.0%} of the records, such as {example!r}; nobody "
            "has said yet what it means.",
        )
        lines += ["        config:", "          meta:", _paths([each.path])]
    for name, data_type, description in _MADE_COLUMNS:
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
                "which event is a view of a page? Call it page_view; a look at a "
                "product is a product_view.",
            )
        )


def _write_offers(out: Path, draft: Draft, categories: list[str]) -> None:
    with (out / "seeds" / "offers.csv").open("w", newline="") as seed:
        writer = csv.writer(seed, lineterminator="\n")
        writer.writerow(["product_category", "offer"])
        writer.writerows([name, f"An offer for {name}"] for name in categories)
        writer.writerow(["default", "A call"])
    draft.questions.append(
        ("seeds/offers.csv", "what do you offer to an account that is about to leave?")
    )


def _write_settings(out: Path, draft: Draft) -> None:
    variables = []
    for name, value, questions in draft.variables:
        variables += [f"    # {QUESTION} {question}" for question in questions]
        separator = "" if value.startswith("\n") else " "
        variables.append(f"    {name}:{separator}{value}")
    loose = [
        f"# {QUESTION} {question}"
        for file, question in draft.questions
        if file == "dbt_project.yml"
        and not any(question in asked for _, _, asked in draft.variables)
    ]
    (out / "dbt_project.yml").write_text(
        "\n".join(
            [
                *loose,
                f"name: {draft.name}",
                "version: 0.1.0",
                "config-version: 2",
                f"profile: {draft.name}",
                "",
                'model-paths: ["models"]',
                'seed-paths: ["seeds"]',
                "",
                "# This company's own names and offers.",
                "seeds:",
                "  churn:",
                "    event_names:",
                "      +enabled: false",
                "    offers:",
                "      +enabled: false",
                "",
                "# They prove the package, with the variables that it comes with.",
                "unit_tests:",
                "  churn:",
                "    +enabled: false",
                "",
                "# All variables, with their units and effects, are in the package's",
                f"# own {ROOT / 'dbt_project.yml'}",
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
        print(f"\n{count} question{'s' * (count > 1)} for you, marked where it goes:")
        for file, question in draft.questions:
            print(f"  {file}: {question}")
    print(
        f"\nNext:\n  cd {out}\n  dbt deps\n  python -m churn check\n"
        "  dbt build --profiles-dir .\n  python -m churn summary --database "
        f"{draft.name}.duckdb"
    )


if __name__ == "__main__":
    sys.exit(main())
