"""Write a dbt project for a company's own data, and ask what stays undecided.

`init` samples the data, proposes what each field means, loads tables into DuckDB, and
writes a dbt project that uses the package churn. Answers are in ``onboarding.yml``; run
it again with answers or more data.
"""

from __future__ import annotations

import csv
import glob
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from churn.config import UserError, package_dir
from churn.ingest.decoding import strip_whitespace
from churn.ingest.event_files import NoFilesError
from churn.ingest.table_loader import (
    FILE_DATE,
    FILE_LOADED_AT,
    SOURCE_FILE,
    load_table_files,
)
from churn.onboarding.column_inference import (
    TABLE_COLUMNS,
    EventMapping,
    Field,
    TableMapping,
    cancellation_source,
    collect_fields,
    is_flag_of_stay,
    is_words,
    map_events,
    map_table,
    may_say_left,
    words_for_left,
)
from churn.onboarding.presets import (
    Preset,
    column_key,
    event_presets,
    recognise_table,
    recognise_tracker,
    value_at,
)
from churn.onboarding.project_writer import (
    Draft,
    project_name,
    write_project,
)
from churn.onboarding.questions import ANSWERS_FILE, Answers, Candidate, Question
from churn.onboarding.sample import (
    CannotReadError,
    Sample,
    sample_events,
    table_fields,
)
from churn.onboarding.time_formats import EPOCH_UNITS, EXCEL_DAYS, ISO, TimeFormat
from churn.quoting import printable, sql_identifier, sql_literal

# Sources with their raw table and the variable that says that they exist.
TABLES: dict[str, tuple[str, str | None]] = {
    "accounts": ("raw_accounts", None),
    "contacts": ("raw_contacts", "has_contacts"),
    "subscriptions": ("raw_subscriptions", None),
    "invoices": ("raw_invoices", "has_invoices"),
    "calls": ("raw_calls", "has_support_calls"),
}
RAW_SCHEMA = "raw"
NO_ANSWER = "none"

_CANCELLATION_NAMES = re.compile(
    r"cancel|unsubscri|terminat|churn|close_?account|account_?closed", re.I
)
_RESTART_NAMES = re.compile(
    r"re-?start|re-?activat|re-?subscri|resume|sub\w*[ _-]?start|start[ _-]?sub"
    r"|^subscribed$",
    re.I,
)
_PAGE_VIEW_NAMES = re.compile(
    r"^\$?(page|screen)$|(^|[^a-z])(page|screen)[ _-]?(view(ed)?|load(ed)?|visit(ed)?)$"
    r"|^view(ed)?[ _-]?(page|screen)$",
    re.I,
)
_PRODUCT_VIEW_NAMES = re.compile(
    r"(product|item)[ _-]?(view(ed)?|detail|open(ed)?)|view(ed)?[ _-]?(product|item)$",
    re.I,
)
# What names a currency. The dollar and the krone have several countries.
_CURRENCY = re.compile(r"\b[A-Z]{3}\b|[€£₹₽₺₩]")
_CURRENCY_SIGNS = dict(
    zip("€£₹₽₺₩", ["EUR", "GBP", "INR", "RUB", "TRY", "KRW"], strict=True)
)
_MAX_EVENT_NAMES = 300
_TRIAL = re.compile(r"\b(trial|free|test|demo|freemium)\b", re.I)
# A file with more dates is a history, not the delivery of a day, week or month.
_MAX_DATES_PER_DELIVERY = 31
# Times that the models cast, unlike the dates of accounts, which they parse.
_TYPED_TIMES = frozenset(["started_at", "invoice_date", "due_date", "updated_at"])
_ON_TIME_NOTE = (
    "rows count as loaded at the midnight after the date in their file's name, else "
    "when the file was written"
)


@dataclass
class InitResult:
    """What `init` has written.

    Attributes:
        folder: The project's folder.
        questions: The open questions.
        notes: What was chosen, in one sentence each.
        tracker: The name of the recognised tracker, ``None`` if it has no preset.
        loaded_rows: Rows that were loaded now, by raw table.
        messages: One sentence for each file that was skipped.
    """

    folder: Path
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tracker: str | None = None
    loaded_rows: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


def init(
    folder: Path,
    *,
    sources: Mapping[str, str | None] | None = None,
    tracker: str | None = None,
    sample_size: int = 20_000,
    ask: Callable[[Question], str | None] | None = None,
) -> InitResult:
    """Write or update a company's dbt project.

    Args:
        folder: The project's folder. If it has an ``onboarding.yml``, its sources and
            answers are used, and the arguments override them.
        sources: Paths of ``events``, ``accounts``, ``contacts``, ``subscriptions``,
            ``invoices`` and ``calls``; globs, local or in object storage.
        tracker: A preset, such as ``segment``; ``none`` for no preset. Default: the one
            whose signature the records have.
        sample_size: Number of event records to read.
        ask: Called with each open question; returns the answer, or ``None`` to leave it
            open. Without it, questions are only written.

    Returns:
        What was written, with the open questions.

    Raises:
        UserError: A source cannot be read, or the folder holds another dbt project.
    """
    answers = Answers.read(folder)
    if answers is None and (folder / "dbt_project.yml").exists():
        raise UserError(
            f"{printable(folder, 200)} already holds a dbt project that `churn init` "
            "did not write: name another folder with --out."
        )
    answers = answers or Answers()
    for name, path in (sources or {}).items():
        if path:
            answers.sources[name] = _stored_path(folder, path)
    unknown = answers.sources.keys() - {"events", *TABLES}
    if unknown:
        raise UserError(
            f"There is no source {printable(sorted(unknown)[0])}: use events, "
            f"{', '.join(TABLES)}."
        )
    answers.tracker = tracker or answers.tracker
    if "events" not in answers.sources:
        raise UserError("Name the files of your clickstream with --events.")
    if answers.tracker not in (None, NO_ANSWER, *event_presets()):
        raise UserError(
            f"There is no preset {printable(answers.tracker)}: use one of "
            f"{', '.join(event_presets())}, or {NO_ANSWER}."
        )
    onboarding = _Onboarding(folder, answers, sample_size)
    result = onboarding.propose()
    asked: set[str] = set()
    while ask is not None:
        # An answer can lead to another question.
        questions = [each for each in result.questions if each.key not in asked]
        if not questions:
            break
        for question in questions:
            asked.add(question.key)
            answer = ask(question)
            if answer:
                answers.answers[question.key] = answer
        result = onboarding.propose()
    onboarding.write()
    return result


def load_sources(folder: Path, database: Path) -> InitResult:
    """Load new files of a company's tables, as ``onboarding.yml`` names them.

    Events are not loaded here: the build reads their files.

    Raises:
        UserError: The folder has no ``onboarding.yml``, or no file matches.
    """
    answers = Answers.read(folder)
    if answers is None:
        raise UserError(
            f"There is no {ANSWERS_FILE} in {folder}: run `churn init`, or name a "
            "landing zone."
        )
    result = InitResult(folder)
    _load_tables(folder, answers, database, result)
    return result


def _stored_path(folder: Path, path: str) -> str:
    """Return an absolute path or URI; within the project's folder a relative path."""
    if "://" in path:
        return path
    absolute = Path(path).absolute()
    try:
        return absolute.relative_to(folder.absolute()).as_posix()
    except ValueError:
        return str(absolute)


def _full_path(folder: Path, path: str) -> str:
    """Return a path of ``onboarding.yml`` as an absolute path or URI."""
    return path if "://" in path else str(folder.absolute() / path)


def _load_tables(
    folder: Path, answers: Answers, database: Path, result: InitResult
) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        with duckdb.connect(str(database)) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for name, (table, _) in TABLES.items():
                if name not in answers.sources:
                    continue
                path = _full_path(folder, answers.sources[name])
                load = load_table_files(connection, RAW_SCHEMA, table, path)
                if load.rows:
                    result.loaded_rows[table] = load.rows
                result.messages += load.messages
                if not load.messages and not _exists(connection, table):
                    raise CannotReadError(
                        f"{printable(path, 200)} cannot be read: no file has a row."
                    )
                if load.messages and not _exists(connection, table):
                    raise CannotReadError(
                        f"{printable(path, 200)} cannot be read: {load.messages[0]}"
                    )
            _load_actions(connection, folder, result)
    except NoFilesError as error:
        raise CannotReadError(
            f"No file matches {printable(path, 200)}: correct it."
        ) from error
    except OSError as error:
        raise CannotReadError(
            f"{printable(path, 200)} cannot be read: {printable(error, 200)}"
        ) from error
    except duckdb.Error as error:
        raise UserError(
            f"The tables cannot be loaded into {printable(database, 200)}: "
            f"{printable(str(error).splitlines()[0], 200)}."
        ) from error


def _load_actions(
    connection: duckdb.DuckDBPyConnection, folder: Path, result: InitResult
) -> None:
    """Load the actions that `churn export-actions` wrote to the project's folder."""
    files = "actions/dt=*/part-*.jsonl.gz"
    if not any(folder.glob(files)):
        return
    table = "raw_retention_actions"
    path = f"{glob.escape(str(folder.absolute()))}/{files}"
    load = load_table_files(connection, RAW_SCHEMA, table, path)
    if load.rows:
        result.loaded_rows[table] = load.rows
    result.messages += load.messages


def _exists(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(
        connection.execute(
            "select 1 from information_schema.tables "
            "where table_schema = ? and table_name = ?",
            [RAW_SCHEMA, table],
        ).fetchone()
    )


class _Onboarding:
    """One run of `init`."""

    def __init__(self, folder: Path, answers: Answers, sample_size: int) -> None:
        self.folder = folder
        self.answers = answers
        self.name = project_name(folder)
        self.database = folder / f"{self.name}.duckdb"
        self.sample: Sample = sample_events(
            _full_path(folder, answers.sources["events"]), sample_size
        )
        self.fields, _ = collect_fields(self.sample.records)
        self.draft = Draft(self.name)
        self.tables: dict[str, tuple[list[Field], int]] = {}
        self.base = InitResult(folder)
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _load_tables(folder, answers, self.database, self.base)
        except UserError:
            if is_new:
                self.database.unlink(missing_ok=True)
                folder.rmdir()
            raise
        with duckdb.connect(str(self.database)) as connection:
            for name, (table, _) in TABLES.items():
                if name in answers.sources and _exists(connection, table):
                    self.tables[name] = table_fields(connection, RAW_SCHEMA, table)

    # ---- Decide --------------------------------------------------------------

    def propose(self) -> InitResult:
        """Decide what the answers and the data allow; return the open questions."""
        result = InitResult(
            self.folder,
            loaded_rows=dict(self.base.loaded_rows),
            messages=[*self.base.messages, *self.sample.messages],
        )
        preset = self._tracker(result)
        events = map_events(
            self.fields, self.sample.records, preset, self._known_users()
        )
        self._answer_events(events)
        result.questions += events.questions
        result.notes += events.notes
        draft = self.draft = Draft(self.name)
        draft.paths, draft.formats = events.paths, events.formats
        if preset is None:
            draft.own_fields = self._own_fields()
        draft.event_names = self._event_names(events, preset)
        mappings = self._map_tables(events, result)
        variables = draft.variables
        variables["raw_event_files"] = self.answers.sources["events"]
        received_at = self._received_at()
        if received_at:
            variables["raw_events_columns"] = {"received_at": received_at}
        for name, (_, switch) in TABLES.items():
            if switch:
                variables[switch] = name in mappings
        for name, mapping in mappings.items():
            self._set_columns(name, mapping, result)
            if name == "accounts":
                self._set_currency(mapping, result)
            if name == "subscriptions":
                self._note_trials(mapping, result)
        if "subscriptions" in mappings and "accounts" not in mappings:
            # The extract of subscriptions lists the accounts, too.
            variables["raw_accounts_table"] = TABLES["subscriptions"][0]
            self._set_accounts_from_subscriptions(result)
        self._set_cancellations(mappings, result)
        self._ask_about_page_views(result)
        draft.categories = self._categories(events)
        variables["product_categories"] = list(draft.categories)
        if not {"subscribe_hover", "subscribe_click"} & set(draft.event_names.values()):
            variables["excluded_features"] = ["subscribe"]
        variables |= self.answers.variables
        result.questions = [
            each for each in result.questions if each.key not in self.answers.answers
        ]
        self.answers.questions = result.questions
        return result

    def write(self) -> None:
        """Write the project and ``onboarding.yml``."""
        write_project(self.folder, self.draft, package_dir())
        self.answers.write(self.folder)

    def _answer(self, key: str) -> str | None:
        return self.answers.answers.get(key)

    def _tracker(self, result: InitResult) -> Preset | None:
        chosen = self.answers.tracker
        if chosen == NO_ANSWER:
            return None
        if chosen is not None:
            preset = event_presets()[chosen]
            result.tracker = preset.name
            return preset
        found = recognise_tracker(self.sample.records)
        if found is None:
            return None
        preset, share = found
        result.tracker = preset.name
        result.notes.append(
            f"{share:.0%} of the records are {preset.name} events; its preset is used. "
            f"`--tracker {NO_ANSWER}` reads the fields without it."
        )
        return preset

    def _known_users(self) -> frozenset[str]:
        """Return the values of the columns of the CRM that may identify a user."""
        known: set[str] = set()
        for table, column in (("contacts", "user_id"), ("accounts", "account_id")):
            keys = {column_key(name) for name in TABLE_COLUMNS[table][column]}
            for each in self.tables.get(table, ([], 0))[0]:
                if each.key in keys:
                    known |= set(each.filled_values)
            if known:
                break
        return frozenset(known)

    def _answer_events(self, events: EventMapping) -> None:
        for column in [*events.paths, "user_id", "raw_event_name", "occurred_at"]:
            answer = self._answer(f"events.{column}")
            time_format = self._answer(f"events.{column}.format")
            if time_format is not None:
                events.formats[column] = time_format
            if answer is None:
                continue
            if "%" in answer:
                events.formats[column] = answer
            elif answer == NO_ANSWER:
                events.paths[column] = []
            else:
                events.paths[column] = [answer]

    def _own_fields(self) -> list[Field]:
        total = len(self.sample.records)
        return sorted(
            (
                each
                for each in self.fields.values()
                if each.is_scalar
                and each.share(total) >= 0.01
                and "[" not in each.path
                and '"' not in each.path
            ),
            key=lambda each: (-each.count, each.path),
        )

    def _received_at(self) -> str | None:
        """Return the expression that dates files by the dates in their names.

        A record without a readable time of receipt then counts as received at the end
        of that date, and not when the file was copied here. ``None`` if a file has no
        date in its name.
        """
        names = [file.name for file in self.sample.files]
        pattern = r"\d{4}-\d{2}-\d{2}"
        if not names or not all(re.search(pattern, name) for name in names):
            return None
        return (
            f"least(received_at, coalesce(try_cast(regexp_extract(source_file, "
            f"'{pattern}') as timestamp) + interval 1 day, received_at))"
        )

    # ---- Event names ---------------------------------------------------------

    def _event_names(
        self, events: EventMapping, preset: Preset | None
    ) -> dict[str, str]:
        """Map each raw event name to our name, the most frequent first."""
        with (package_dir() / "seeds" / "event_names.csv").open(newline="") as seed:
            known = {
                column_key(row["raw_name"]): row["event_name"]
                for row in csv.DictReader(seed)
            }
        if preset is not None:
            known |= {column_key(k): v for k, v in preset.event_names.items()}
        counts: Counter[str] = Counter()
        key = "events.raw_event_name"
        if self._answer(key) is None and key in {q.key for q in events.questions}:
            # The values of a field that is not chosen stay out of the seed.
            self.event_counts = counts
            return {}
        for record in self.sample.records:
            for path in events.paths.get("raw_event_name", []):
                value = value_at(record, path)
                if value not in (None, "") and not isinstance(value, dict | list):
                    counts[str(value).strip().lower()] += 1
                    break
        self.event_counts = counts
        page_view = self._answer("events.page_view")
        cancels = _names_in(self._answer("cancellation_events"))
        names: dict[str, str] = {}
        for raw, _ in counts.most_common(_MAX_EVENT_NAMES):
            snake_case = re.sub(r"[^a-z0-9]+", "_", raw).strip("_")
            # A text that a spreadsheet would run stays out of the seed.
            if not snake_case or not raw.isprintable() or raw[0] in "=+-@":
                continue
            if page_view is not None and raw == page_view.strip().lower():
                names[raw] = "page_view"
            elif column_key(raw) in known:
                names[raw] = known[column_key(raw)]
            elif _PAGE_VIEW_NAMES.search(raw) and raw not in cancels:
                names[raw] = "page_view"
            elif _PRODUCT_VIEW_NAMES.search(raw):
                names[raw] = "product_view"
            else:
                names[raw] = snake_case
        return names

    def _ask_about_page_views(self, result: InitResult) -> None:
        if "page_view" in self.draft.event_names.values() or not self.event_counts:
            return
        total = sum(self.event_counts.values())
        result.questions.append(
            Question(
                "events.page_view",
                "Which event is the view of a page or screen? Visits are counted "
                "without it, page views are not.",
                [
                    Candidate(name, f"{count / total:.0%} of the events")
                    for name, count in self.event_counts.most_common(5)
                ],
            )
        )

    def _categories(self, events: EventMapping) -> list[str]:
        counts: Counter[str] = Counter()
        for record in self.sample.records:
            for path in events.paths.get("product_category", []):
                value = value_at(record, path)
                if isinstance(value, str) and value.strip():
                    counts[value.strip().lower()] += 1
                    break
        usable = [
            name
            for name, _ in counts.most_common()
            if re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name)
        ]
        return usable[:8]

    # ---- Tables --------------------------------------------------------------

    def _map_tables(
        self, events: EventMapping, result: InitResult
    ) -> dict[str, TableMapping]:
        users = {
            str(value)
            for record in self.sample.records
            for path in events.paths.get("user_id", [])
            if (value := value_at(record, path)) not in (None, "")
        }
        accounts: set[str] = set()
        mappings: dict[str, TableMapping] = {}
        for name, (columns, total) in self.tables.items():
            found = recognise_table(name, [each.path for each in columns])
            preset = found[1] if found else None
            if found:
                result.notes.append(
                    f"{name} are recognised as a table of {found[0].name}."
                )
            known = {"account_id": accounts, "user_id": users}
            if name == "accounts":
                # Without contacts, each account is a user of the clickstream.
                known = {} if "contacts" in self.tables else {"account_id": users}
            mapping = map_table(name, columns, total, preset, known)
            self._answer_table(name, mapping, columns)
            self._translate_words(name, mapping, total)
            result.questions += mapping.questions
            result.notes += mapping.notes
            mappings[name] = mapping
            account = mapping.columns.get("account_id")
            if name in ("accounts", "subscriptions") and account is not None:
                accounts |= set(account.filled_values)
        self._ask_about_users(mappings, users, result)
        return mappings

    def _answer_table(
        self, name: str, mapping: TableMapping, columns: Sequence[Field]
    ) -> None:
        by_name = {each.path: each for each in columns}
        for column in TABLE_COLUMNS[name]:
            answer = self._answer(f"{name}.{column}")
            if answer == NO_ANSWER:
                mapping.columns[column] = None
                mapping.formats.pop(column, None)
            elif answer is not None and answer in by_name:
                mapping.columns[column] = by_name[answer]
                found = by_name[answer].time_format()
                if found is not None:
                    mapping.formats[column] = found
            elif answer is not None:
                raise UserError(
                    f"The answer to {name}.{column} is `{printable(answer)}`, but "
                    f"{name} have no such column: correct it in {ANSWERS_FILE}."
                )
        order = self._answer(f"{name}.date_format")
        if order is not None:
            for column, found in mapping.formats.items():
                if found.is_ambiguous:
                    mapping.formats[column] = TimeFormat((order,), found.share)

    def _translate_words(self, name: str, mapping: TableMapping, total: int) -> None:
        """Ask which words of a column mean Yes, such as ``cancelled`` of a status."""
        meanings = {
            "cancelled_service": "that an account has cancelled",
            "new_customer": "that it has started again",
        }
        for column, meaning in meanings.items():
            each = mapping.columns.get(column)
            if each is None or not (is_words(each) or is_flag_of_stay(each)):
                continue
            key = f"{name}.{column}.values"
            values = each.filled_values
            answer = self._answer(key)
            if answer is not None:
                words = _names_in(answer)
                lowered = {value.lower() for value in values}
                unknown = [word for word in words if word not in lowered]
                if answer.strip().lower() in lowered:
                    words = [answer.strip().lower()]
                elif not words or unknown:
                    raise UserError(
                        f"The answer to {key} is `{printable(answer)}`, but "
                        f"`{printable(each.path)}` holds no such value: correct it in "
                        f"{ANSWERS_FILE}."
                    )
                mapping.words[column] = words
                continue
            counts: Counter[str] = Counter()
            for value, count in each.values.items():
                counts[strip_whitespace(value)] += count
            words = words_for_left(each) if column == "cancelled_service" else []
            mapping.words[column] = [word.lower() for word in words]
            mapping.questions.append(
                Question(
                    key,
                    f"Which values of `{printable(each.path)}` mean {meaning}? "
                    "Separate several by commas.",
                    [
                        Candidate(value, f"{counts[value]:,} of {total:,} rows")
                        for value in values
                    ],
                    proposal=", ".join(words) or None,
                )
            )

    def _ask_about_users(
        self, mappings: Mapping[str, TableMapping], users: set[str], result: InitResult
    ) -> None:
        """Ask for contacts if, without them, no user is an account."""
        accounts = mappings.get("accounts")
        account = accounts.columns.get("account_id") if accounts else None
        if "contacts" in mappings or account is None or not users:
            return
        known = set(account.filled_values)
        if not users & known:
            result.questions.append(
                Question(
                    "contacts",
                    "To which account does a user belong? No user of the clickstream "
                    "is an account_id: run `churn init` again with --contacts.",
                )
            )

    def _set_columns(
        self, name: str, mapping: TableMapping, result: InitResult
    ) -> None:
        table, _ = TABLES[name]
        formats = {
            found.formats[0]
            for column, found in mapping.formats.items()
            if column in ("signup_date", "cancelled_service", "new_customer")
        }
        crm_format = None
        if name == "accounts" and len(formats - {ISO}) == 1:
            (only,) = formats - {ISO}
            if re.fullmatch(r"[^%]*(%[dmYybB][^%]*)+", only):
                crm_format = only
                self.draft.variables["crm_date_format"] = only
        columns: dict[str, str | None] = {}
        for column in TABLE_COLUMNS[name]:
            each = mapping.columns.get(column)
            if each is None:
                if column == "batch_date":
                    columns[column] = FILE_DATE
                elif column == "loaded_at":
                    columns[column] = FILE_LOADED_AT
                else:
                    columns[column] = None
                continue
            columns[column] = _expression(column, each, mapping, crm_format)
        # A history in one file: each row was known the day after its date.
        known = {"accounts": "batch_date", "contacts": "batch_date"}
        known |= {"calls": "started_at"}
        dated = mapping.columns.get(known.get(name, ""))
        is_from_file = columns.get("loaded_at") == FILE_LOADED_AT
        if is_from_file and dated is not None and self._is_history(name, dated):
            time = _time_expression(known[name], dated, mapping)
            # A row of the future, or without a date, must not move the clock.
            columns["loaded_at"] = (
                f"case when {time} <= {FILE_LOADED_AT} "
                f"then least({FILE_LOADED_AT}, {time} + interval 1 day) end"
            )
            result.notes.append(
                f"{name}: rows count as loaded a day after `{printable(dated.path)}`, "
                "if their file was not written before."
            )
        elif is_from_file:
            result.notes.append(f"{name}: {_ON_TIME_NOTE}.")
        self.draft.variables[f"{table}_columns"] = columns

    def _note_trials(self, mapping: TableMapping, result: InitResult) -> None:
        """Say that plans which look like trials count, unless a variable says so."""
        plan = mapping.columns.get("plan")
        found = [
            printable(value, 40)
            for value in (plan.filled_values if plan else [])
            if _TRIAL.search(value)
        ]
        if found and "trial_plans" not in self.answers.variables:
            result.notes.append(
                f"subscriptions: the plan {', '.join(found[:3])} counts as a "
                "customer's. If they do not, list these plans in `trial_plans` under "
                "`variables`."
            )

    def _is_history(self, name: str, dated: Field) -> bool:
        """Return whether one file holds rows of more than a month."""
        with duckdb.connect(str(self.database)) as connection:
            (dates,) = connection.execute(
                f"""select max(dates) from (
                    select count(distinct left(cast({sql_identifier(dated.path)}
                        as varchar), 10)) as dates
                    from {RAW_SCHEMA}.{sql_identifier(TABLES[name][0])}
                    group by {SOURCE_FILE})"""
            ).fetchone() or (0,)
        return (dates or 0) > _MAX_DATES_PER_DELIVERY

    def _set_currency(self, mapping: TableMapping, result: InitResult) -> None:
        """Set the currency that the revenues name, or none if they name none."""
        revenue = mapping.columns.get("monthly_recurring_revenue")
        if revenue is None or mapping.columns.get("currency") is not None:
            return
        named = {
            _CURRENCY_SIGNS.get(found[0].upper(), found[0].upper())
            for value in revenue.filled_values
            if (found := _CURRENCY.search(value))
        }
        currency = named.pop() if len(named) == 1 else None
        self.draft.variables["currency"] = currency
        if "currency" not in self.answers.variables:
            result.notes.append(
                f"`{printable(revenue.path)}` is in {currency}."
                if currency
                else f"`{printable(revenue.path)}` says no currency, so amounts are "
                "shown without one: set `currency` under `variables` to its ISO code."
            )

    def _set_accounts_from_subscriptions(self, result: InitResult) -> None:
        columns, total = self.tables["subscriptions"]
        found = recognise_table("accounts", [each.path for each in columns])
        mapping = map_table("accounts", columns, total, found[1] if found else None)
        ours = self.draft.variables["raw_subscriptions_columns"]
        self._set_columns("accounts", mapping, InitResult(self.folder))
        self._set_currency(mapping, result)
        accounts = self.draft.variables["raw_accounts_columns"]
        accounts["account_id"] = ours["account_id"]
        accounts["signup_date"] = ours["started_at"]
        accounts["cancelled_service"] = accounts["new_customer"] = None

    # ---- Cancellations -------------------------------------------------------

    def _set_cancellations(
        self, mappings: Mapping[str, TableMapping], result: InitResult
    ) -> None:
        variables = self.draft.variables
        if not {"accounts", "subscriptions"} & set(mappings):
            result.questions.append(
                Question(
                    "accounts",
                    "Which table holds your accounts? Run `churn init` again with "
                    "--accounts, or set raw_accounts_table under `variables`.",
                )
            )
            return
        answer = self._answer("cancellation_source")
        accounts = mappings.get("accounts")
        cancelled = accounts.columns.get("cancelled_service") if accounts else None
        source = cancellation_source(cancelled)
        if answer is None and "subscriptions" in mappings:
            answer = "subscriptions"
        if answer is not None:
            variables["cancellation_source"] = answer
            if answer == "events":
                self._set_cancellation_events(result)
            return
        if source is not None:
            variables["cancellation_source"] = source
            return
        raw = [name for name in self.event_counts if _CANCELLATION_NAMES.search(name)]
        variables["cancellation_source"] = "dates"
        if cancelled is not None and not raw:
            # Nobody has cancelled yet. `check` says what that means.
            return
        columns = [
            each
            for each in self.tables.get("accounts", ([], 0))[0]
            if accounts is not None
            and each.path not in {c.path for c in accounts.columns.values() if c}
            and may_say_left(each)
        ]
        asked = "accounts.cancelled_service"
        if asked in {question.key for question in result.questions}:
            return
        if columns and not raw:
            total = self.tables["accounts"][1]
            result.questions.append(
                Question(
                    asked,
                    "Which column of accounts says that an account has cancelled? If "
                    "none does, answer cancellation_source: events or subscriptions.",
                    [Candidate(each.path, each.evidence(total)) for each in columns],
                )
            )
            return
        candidates = []
        if raw:
            variables["cancellation_source"] = "events"
            self._set_cancellation_events(result)
            total = sum(self.event_counts.values())
            count = sum(self.event_counts[name] for name in raw)
            shown = ", ".join(printable(name, 40) for name in raw[:3])
            candidates.append(
                Candidate("events", f"{count:,} of {total:,} events: {shown}")
            )
        candidates += [
            Candidate("dates", "a column of accounts holds the cancellation date"),
            Candidate("flags", "a column of accounts holds Yes or No"),
            Candidate("subscriptions", "an extract with start and end dates"),
        ]
        result.questions.append(
            Question(
                "cancellation_source",
                "What marks a cancelled account? No column of accounts looks like a "
                "cancellation. For dates or flags, answer accounts.cancelled_service, "
                "too; for subscriptions, run `churn init` again with --subscriptions.",
                candidates,
                proposal=candidates[0].value if raw else None,
            )
        )

    def _set_cancellation_events(self, result: InitResult) -> None:
        names = self.draft.event_names
        variables = self.draft.variables
        for variable, pattern, meaning in (
            ("cancellation_events", _CANCELLATION_NAMES, "cancels a subscription"),
            ("restart_events", _RESTART_NAMES, "starts it again"),
        ):
            answered = _names_in(self._answer(variable))
            if answered == [NO_ANSWER] and variable == "restart_events":
                variables[variable] = []
                continue
            if answered:
                variables[variable] = [names.get(name, name) for name in answered]
                continue
            found = sorted({ours for raw, ours in names.items() if pattern.search(raw)})
            if found:
                variables[variable] = found
                continue
            result.questions.append(
                Question(
                    variable,
                    f"Which event {meaning}? Separate several by commas."
                    + (
                        f" `{NO_ANSWER}` if nobody starts again."
                        if variable == "restart_events"
                        else ""
                    ),
                    [
                        Candidate(name, f"{count:,} events")
                        for name, count in self.event_counts.most_common(5)
                    ],
                )
            )


def _names_in(answer: str | None) -> list[str]:
    return [name.strip().lower() for name in (answer or "").split(",") if name.strip()]


def _expression(
    column: str, each: Field, mapping: TableMapping, crm_format: str | None
) -> str:
    """Return DuckDB's expression that reads one of our columns from a text column."""
    name = sql_identifier(each.path)
    trimmed = _trimmed(each)
    words = mapping.words.get(column)
    if words:
        listed = ", ".join(map(sql_literal, words))
        return (
            f"case when {trimmed} <> '' then "
            f"case when lower({trimmed}) in ({listed}) then 'Y' else 'N' end end"
        )
    preset = mapping.preset
    values: Any = preset.values.get(column) if preset else None
    if values:
        whens = " ".join(
            f"when {sql_literal(theirs)} then {sql_literal(ours)}"
            for theirs, ours in values.items()
        )
        return f"case lower({trimmed}) {whens} else {name} end"
    if preset and preset.units.get(column) == "cents":
        return f"try_cast({trimmed} as double) / 100"
    time = _time_expression(column, each, mapping)
    found = mapping.formats.get(column)
    time_format = found.formats[0] if found else None
    if column in ("batch_date", "loaded_at", "updated_at"):
        return time
    has_zone = any("T" in value and value[-1:] != "Z" for value in each.filled_values)
    if time_format is None or time_format == crm_format:
        return name
    if time_format == ISO and not (has_zone and column in _TYPED_TIMES):
        return name
    # A text that is no time stays, so that the build reports it.
    return f"coalesce(strftime({time}, '%Y-%m-%d %H:%M:%S'), {name})"


def _trimmed(each: Field) -> str:
    # All characters that the macro `trim_whitespace` removes.
    space = r"[\s\pZ\pC]+"
    name = sql_identifier(each.path)
    return f"regexp_replace({name}, '^{space}|{space}$', '', 'g')"


def _time_expression(column: str, each: Field, mapping: TableMapping) -> str:
    """Return DuckDB's expression of the timestamp in a text column; null if none."""
    trimmed = _trimmed(each)
    found = mapping.formats.get(column)
    time_format = found.formats[0] if found else None
    if time_format is None or time_format == ISO:
        # DuckDB reads an offset with a colon only.
        text = f"regexp_replace({trimmed}, '([+-][0-9]{{2}})([0-9]{{2}})$', '\\1:\\2')"
        return f"cast(try_cast({text} as timestamptz) as timestamp)"
    if time_format in EPOCH_UNITS:
        factor = 10**6 / EPOCH_UNITS[time_format]
        number = f"try_cast({trimmed} as double) * {factor:.10g}"
        return f"make_timestamp(cast({number} as bigint))"
    if time_format == EXCEL_DAYS:
        days = f"cast(floor(try_cast({trimmed} as double)) as integer)"
        return f"cast(date '1899-12-30' + {days} as timestamp)"
    return f"try_strptime({trimmed}, {sql_literal(time_format)})"
