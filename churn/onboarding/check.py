"""Check a project's configuration and data before its first run.

The data is read with the code of the build: the loader of event files, the JSON repair,
and the package's own SQL models, computed over a sample of the events and over all rows
of the other sources. Each problem is one line: what, how many, an example without
personal data, and the remedy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from churn.config import Project, explain_database_error
from churn.ingest.event_files import NoFilesError, find_event_files, new_lines
from churn.ingest.json_repair import REPAIRED_SCHEMA, repaired_batches
from churn.onboarding.dbt_models import ModelError, ModelRunner
from churn.onboarding.questions import ANSWERS_FILE, Answers
from churn.quoting import masked, printable, sql_identifier, sql_literal

# Raw tables with the variable that switches them on.
_TABLES: dict[str, str | None] = {
    "raw_accounts": None,
    "raw_contacts": "has_contacts",
    "raw_invoices": "has_invoices",
    "raw_calls": "has_support_calls",
}
_SAMPLE_RECORDS = 40_000
_SAMPLE_FILES = 24
_DATABASE = "company"
# Shares above which something is a problem.
_MAX_UNREADABLE, _MAX_DUPLICATES, _MAX_LATE = 0.05, 0.2, 0.5
_MAX_REJECTED = 0.1
_MAX_DAYS_APART = 28
_MAX_UNNAMED = 0.01
# A model needs rows of both outcomes for early stopping and calibration.
_MIN_OUTCOMES = 5
_INVOICE_STATUSES = ("paid", "late", "failed", "refunded")


@dataclass
class CheckReport:
    """The result of a check.

    Attributes:
        problems: One sentence for each problem, with its remedy.
        facts: What was read: formats, readable shares, history, labels.
    """

    problems: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Return whether nothing is missing."""
        return not self.problems


def check(project: Project) -> CheckReport:
    """Check a project on DuckDB before its first run.

    Args:
        project: The project with its target.

    Raises:
        UserError: The target is not a DuckDB file.
    """
    report = CheckReport()
    checker = _Checker(project, report)
    try:
        checker.run()
    finally:
        checker.connection.close()
    return report


class _Checker:
    """One check of one project."""

    def __init__(self, project: Project, report: CheckReport) -> None:
        self.project = project
        self.report = report
        self.variables = dict(project.variables)
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'")
        self.connection.execute("set enable_progress_bar = false")
        self.runner: ModelRunner
        self.tables: set[str] = set()
        self.has_open_event_name = False

    @property
    def field_mapping_model(self) -> str:
        return str(self.variables["clickstream_field_mapping_model"])

    def problem(self, text: str) -> None:
        self.report.problems.append(text)

    def fact(self, text: str) -> None:
        self.report.facts.append(text)

    def run(self) -> None:
        """Run all checks; later ones need what earlier ones have found."""
        self._check_questions()
        if not self._attach():
            return
        if not self._check_configuration():
            return
        self._check_tables()
        has_events = self._check_events()
        self._check_crm()
        if has_events and "raw_accounts" in self.tables:
            self._check_arrivals()
            self._check_users()
            self._check_labels()

    # ---- Configuration -------------------------------------------------------

    def _check_questions(self) -> None:
        answers = Answers.read(self.project.project_dir)
        for question in answers.open_questions() if answers else []:
            self.has_open_event_name |= question.key == "events.raw_event_name"
            shown = ", ".join(printable(c.value, 40) for c in question.candidates[:3])
            candidates = f" Candidates: {shown}." if shown else ""
            self.problem(
                f"Open question: {question.text}{candidates} Answer `{question.key}` "
                f"in {ANSWERS_FILE} and run `churn init` again."
            )

    def _attach(self) -> bool:
        """Attach the project's database; report a missing one."""
        path = self.project.database
        if not path.exists():
            self.problem(
                f"There is no database {path}: load your raw tables into one, and set "
                "CHURN_DUCKDB_PATH to it."
            )
            return False
        try:
            self.connection.execute(
                f"attach {sql_literal(str(path))} as {_DATABASE} (read_only)"
            )
        except duckdb.Error as error:
            self.problem(explain_database_error(error, path))
            return False
        self.runner = ModelRunner(
            self.connection,
            self.project.package_dir,
            self.project.project_dir,
            self.variables,
            database=_DATABASE,
        )
        return True

    def _check_configuration(self) -> bool:
        """Check variables and field mapping with the build's own macros."""
        if not self.project.is_package and not (
            (self.project.project_dir / "dbt_packages" / "churn").exists()
        ):
            self.problem("The package is not installed here: run `dbt deps`.")
        for macro in ("check_variables", "clickstream_field_mapping"):
            try:
                found = self.runner.macros[macro]()
            except ModelError as error:
                self.problem(str(error))
                return False
        if not found:
            self.problem(
                f"There is no model `{self.field_mapping_model}`: set "
                "clickstream_field_mapping_model to the model whose YAML is your field "
                "mapping."
            )
            return False
        self.mapping: dict[str, list[str]] = {
            column["name"]: list(column["json_paths"]) for column in found
        }
        return True

    # ---- Tables --------------------------------------------------------------

    def _check_tables(self) -> None:
        needed = [
            table
            for table, switch in _TABLES.items()
            if switch is None or self.variables.get(switch)
        ]
        if self.variables["raw_event_files"] is None:
            needed.insert(0, "raw_events")
        if self.variables.get("cancellation_source") == "subscriptions":
            needed.append("raw_subscriptions")
        for table in needed:
            self._check_table(table)

    def _check_table(self, table: str) -> None:
        relation = self._relation(table)
        shown = ".".join(relation.replace('"', "").split(".")[1:])
        try:
            description = self.connection.execute(f"describe {relation}").fetchall()
        except duckdb.Error:
            switch = _TABLES.get(table)
            remedy = f", or set `{switch}` to false" if switch else ""
            self.problem(
                f"There is no table {shown}: load it, or set `{table}_table` and "
                f"`raw_schema` to your table{remedy}."
            )
            return
        names = {name.lower() for name, *_ in description}
        is_readable = True
        for column, expression in self._columns(table).items():
            if expression is None:
                continue
            if re.fullmatch(r"\w+", expression) and expression.lower() not in names:
                # A name such as current_date is an expression, not a column.
                if self._is_expression(expression, relation):
                    continue
                self.problem(
                    f"{shown} has no column `{expression}`: set `{column}` in "
                    f"`{table}_columns` to your column or expression, or to null."
                )
                is_readable = False
                continue
            try:
                self.connection.execute(f"select {expression} from {relation} limit 1")
            except duckdb.Error as error:
                first_line = printable(str(error).splitlines()[0], 160)
                self.problem(
                    f"`{printable(expression, 80)}` in `{table}_columns` cannot be "
                    f"read for `{column}`: {first_line}. Correct the expression."
                )
                is_readable = False
        if not self.runner.rows(f"select 1 from {relation} limit 1"):
            self.problem(f"{shown} is empty: load it.")
            is_readable = False
        if is_readable:
            self.tables.add(table)

    def _relation(self, table: str) -> str:
        return str(self.runner.macros["source"]("", table))

    def _is_expression(self, text: str, relation: str) -> bool:
        """Return whether DuckDB reads a word as a constant, such as current_date."""
        if text.lower() not in ("current_date", "current_timestamp", "now", "today"):
            return False
        try:
            self.connection.execute(f"select {text} from {relation} limit 0")
        except duckdb.Error:
            return False
        return True

    def _columns(self, table: str) -> dict[str, str | None]:
        """Return the expression of each column that the models read."""
        source = self.runner.sources.get(table)
        mapping = self.runner.macros["column_mapping"](table)
        absent = self.runner.macros["absent_optional_columns"](table)
        mapping = {**dict.fromkeys(absent), **mapping}
        columns: dict[str, str | None] = {}
        for name in source.columns if source else {}:
            expression = mapping.get(name, name)
            columns[name] = None if expression is None else str(expression)
        return columns

    # ---- Events --------------------------------------------------------------

    def _check_events(self) -> bool:
        """Parse a sample of the events with the models of the build."""
        sample = self._sample_files() if self.variables["raw_event_files"] else None
        if sample is None and "raw_events" not in self.tables:
            return False
        try:
            if sample is not None:
                self.connection.register("sample_of_files", sample)
                self.connection.execute(
                    "create table base_clickstream__file_records as "
                    "select * from sample_of_files"
                )
            else:
                self._sample_table()
            self.runner.built |= {"base_clickstream__file_records"}
            self.runner.build("base_clickstream__raw_events")
            self._parse()
        except ModelError as error:
            self.problem(f"The events cannot be parsed: {error}")
            return False
        except duckdb.Error as error:
            self.problem(
                "The events cannot be read: "
                f"{printable(str(error).splitlines()[0], 200)}. Correct "
                "`raw_events_columns`."
            )
            return False
        (records,) = self._row("select count(*) from base_clickstream__raw_events")
        if not records:
            self.problem(
                "There are no events: load them, or correct `raw_event_files`."
            )
            return False
        self._check_rejects(records)
        self._check_duplicates()
        self._check_mapped_fields()
        self._check_event_names()
        return True

    def _sample_files(self) -> pa.Table | None:
        pattern = str(self.variables["raw_event_files"])
        if "://" not in pattern:
            pattern = str(self.project.project_dir / pattern)
        try:
            files = find_event_files(pattern)
        except (NoFilesError, OSError):
            self.problem(
                f"No file matches {self.variables['raw_event_files']}: correct "
                "`raw_event_files`."
            )
            return None
        step = max(1, -(-len(files) // _SAMPLE_FILES))
        chosen = [*files[::step], *([files[-1]] if (len(files) - 1) % step else [])]
        messages: list[str] = []
        wanted = _SAMPLE_RECORDS // len(chosen) + 1
        names = self._cancelling_names()
        batches = []
        for batch in new_lines(files if names else chosen, {}, messages.append):
            # The first and last records, and all that may cancel a subscription.
            head = batch.slice(0, wanted)
            batches.append(head)
            rest = batch.slice(wanted)
            if names and rest.num_rows:
                lowered = pc.utf8_lower(rest.column("payload"))
                found = None
                for name in names:
                    contains = pc.match_substring(lowered, name)
                    found = contains if found is None else pc.or_(found, contains)
                batches.append(rest.filter(found))
        for message in messages[:5]:
            self.problem(f"{message.rstrip('.')}. Replace the file.")
        self.fact(f"Events: {len(files):,} files, {len(chosen):,} of them sampled.")
        return pa.Table.from_batches(batches) if batches else None

    def _cancelling_names(self) -> list[str]:
        """Return the raw names of the events that cancel or restart a subscription."""
        if self.variables["cancellation_source"] != "events":
            return []
        wanted = {
            str(name)
            for variable in ("cancellation_events", "restart_events")
            for name in self.variables[variable] or []
        }
        self.runner.build("event_names")
        raw = {
            raw_name
            for raw_name, name in self.runner.rows("select * from event_names")
            if name in wanted
        }
        return sorted({name.lower() for name in raw | wanted})

    def _sample_table(self) -> None:
        relation = self._relation("raw_events")
        (rows,) = self._row(f"select count(*) from {relation}")
        condition = ""
        if rows > 2 * _SAMPLE_RECORDS:
            payload = self._columns("raw_events").get("payload") or "payload"
            names = self._cancelling_names()
            matches = "".join(
                f" or contains(lower(cast({payload} as varchar)), {sql_literal(name)})"
                for name in names
            )
            blocks = max(2, rows // _SAMPLE_RECORDS)
            condition = (
                f"where (row_of_table // 1000) % {blocks} = 0 "
                f"or row_of_table > {rows} - 1000{matches}"
            )
        self.connection.execute(
            f"create table sampled_events as select * exclude (row_of_table) from ("
            f"select *, row_number() over () as row_of_table from {relation}) "
            f"{condition}"
        )
        source = self.runner.macros["source"]
        self.runner.macros["source"] = lambda name, table: (
            type(source(name, table))("sampled_events")
            if table == "raw_events"
            else source(name, table)
        )
        self.fact(f"Events: {rows:,} rows.")

    def _parse(self) -> None:
        """Parse the sample: strict records in SQL, others by the repair."""
        self.connection.execute(
            """create table base_clickstream__files as
            select
                coalesce(source_file, '') as source_file,
                count(*) as count_records,
                true as is_complete,
                '' as field_mapping_version,
                timestamp '2000-01-01' as last_grown_at,
                timestamp '2000-01-01' as processed_at
            from base_clickstream__raw_events
            group by 1"""
        )
        self.runner.built.add("base_clickstream__files")
        self.runner.build("base_clickstream__parsed_records")
        broken = self.connection.sql(
            "select * from base_clickstream__parsed_records where needs_repair"
        ).to_arrow_table()
        repaired = pa.Table.from_batches(
            repaired_batches(broken.to_batches()), REPAIRED_SCHEMA
        )
        self.connection.register("repaired_sample", repaired)
        self.connection.execute(
            "create table base_clickstream__repaired_json as "
            "select * from repaired_sample"
        )
        self.runner.built.add("base_clickstream__repaired_json")
        self.runner.build("stg_clickstream__events")
        self.runner.build("stg_clickstream__rejects")

    def _check_rejects(self, records: int) -> None:
        rejects = self.runner.rows(
            """select reject_reason, reject_detail, count(*) as count_rejects
            from stg_clickstream__rejects group by 1, 2 order by 3 desc"""
        )
        total = sum(count for *_, count in rejects)
        self.fact(
            f"Events: {1 - total / records:.1%} of {records:,} sampled records are "
            "readable."
        )
        by_reason: dict[str, tuple[int, Any]] = {}
        for reason, detail, count in rejects:
            previous = by_reason.get(reason, (0, detail))
            by_reason[reason] = (previous[0] + count, previous[1])
        remedies = {
            "not_json": "see stg_clickstream__rejects after the run for the texts",
            "not_an_object": "deliver one JSON object per record",
            "nested_too_deep": "deliver flatter records",
            "too_long": "deliver one event per record, or raise max_record_bytes",
            "too_many_objects": "deliver one event per record",
            "missing_required_field": "correct the json_paths of that field in the "
            f"YAML of {self.field_mapping_model}",
            "unreadable_event_time": "correct the json_paths of occurred_at, or give "
            "its strftime `format`",
            "implausible_event_time": "correct the json_paths of occurred_at, or set "
            "earliest_plausible_date",
            "missing_receipt_time": "map received_at in raw_events_columns",
        }
        for reason, (count, detail) in by_reason.items():
            if count <= _MAX_REJECTED * records:
                continue
            example = f", such as `{masked(detail)}`" if detail else ""
            if reason == "missing_required_field":
                example = f" ({printable(detail)})"
            self.problem(
                f"{count:,} of {records:,} sampled records would be rejected as "
                f"{reason}{example}: {remedies.get(reason, 'correct them')}."
            )

    def _check_duplicates(self) -> None:
        objects, events = self._row(
            """select
                (select count(*) from base_clickstream__records
                where reject_reason is null),
                (select count(*) from stg_clickstream__events)"""
        )
        lost = objects - events
        if lost > _MAX_DUPLICATES * objects:
            example = self.runner.rows(
                """select event_id, count(*) from base_clickstream__records
                where reject_reason is null
                group by event_id, visitor_id order by 2 desc, 1 limit 1"""
            )[0]
            self.problem(
                f"{lost:,} of {objects:,} sampled records ({lost / objects:.0%}) would "
                "be dropped as duplicates, because another record of the visitor has "
                "their "
                f"event_id: `{masked(example[0])}` occurs {example[1]:,} times. If "
                "that "
                "field is a counter, change the json_paths of event_id; `[]` if no "
                "field identifies an event."
            )
        shared, count_events = self._row(
            """select count(*), coalesce(sum(events), 0) from (
                select event_id, count(*) as events
                from stg_clickstream__events group by 1 having count(*) > 1
            )"""
        )
        if count_events > _MAX_UNREADABLE * max(1, events):
            self.problem(
                f"{count_events:,} of {events:,} sampled events share their event_id "
                "with "
                f"events of other visitors ({shared:,} identifiers): the field is a "
                "counter, so change the json_paths of event_id."
            )

    def _check_mapped_fields(self) -> None:
        (events,) = self._row("select count(*) from stg_clickstream__events")
        if not events:
            return
        for column in self.mapping:
            (filled,) = self._row(
                f"select count({sql_identifier(column)}) from stg_clickstream__events"
            )
            self.fact(f"Events: {column} has a value in {filled / events:.0%}.")
        late, skewed, identified = self._row(
            """select count(case when not is_on_time then 1 end),
                count(case when is_clock_skewed then 1 end), count(user_id)
            from stg_clickstream__events"""
        )
        if late > _MAX_LATE * events:
            self.problem(
                f"{late:,} of {events:,} sampled events arrive after the allowed "
                "lateness "
                "and enter no feature: map the time of receipt (server_received_at in "
                f"the YAML of {self.field_mapping_model}, or received_at in "
                "raw_events_columns), or raise allowed_lateness_hours."
            )
        if skewed > _MAX_LATE * events:
            self.problem(
                f"{skewed:,} of {events:,} sampled events are later than their "
                "receipt: check which field is the time of the event, and its unit."
            )
        if not identified:
            self.problem(
                "No sampled event has a user, so no event belongs to an account: "
                "correct the json_paths of user_id."
            )
        limit = int(self.variables["max_accounts_per_visitor"])
        for visitor, count, users in self.runner.rows(
            f"""select anonymous_id, count(*), count(distinct user_id)
            from stg_clickstream__events where anonymous_id is not null
            group by 1
            having count(distinct user_id) > {limit} and count(*) > 0.05 * {events}
            order by 2 desc limit 1"""
        ):
            self.problem(
                f"{count:,} of {events:,} sampled events have the same anonymous_id "
                f"`{masked(visitor)}` and {users:,} users: if many devices share it, "
                "add it to placeholder_identifiers."
            )

    def _check_event_names(self) -> None:
        unnamed = self.runner.rows(
            """select lower(trim(raw_event_name)), count(*)
            from stg_clickstream__events
            where lower(trim(raw_event_name)) not in (select raw_name from event_names)
            group by 1 order by 2 desc, 1"""
        )
        (events,) = self._row("select count(*) from stg_clickstream__events")
        count = sum(each for _, each in unnamed)
        if unnamed and not self.has_open_event_name:
            shown = ", ".join(printable(name, 40) for name, _ in unnamed[:5])
            text = (
                f"seeds/event_names.csv has no row for {len(unnamed)} event names "
                f"({count:,} of {events:,} sampled events), such as {shown}"
            )
            if count > _MAX_UNNAMED * events:
                self.problem(f"{text}: add them, or run `churn init` again.")
            else:
                self.fact(f"Events: {text}.")
        if self.variables["cancellation_source"] != "events":
            return
        seen = {
            name
            for (name,) in self.runner.rows(
                "select distinct event_name from stg_clickstream__events"
            )
        }
        for variable in ("cancellation_events", "restart_events"):
            missing = [n for n in self.variables[variable] if n not in seen]
            if missing and len(missing) == len(self.variables[variable]):
                self.problem(
                    f"No event of {variable} occurs: {printable(', '.join(missing))}. "
                    "Set "
                    "it to the names that the seed event_names gives to these events."
                )

    # ---- Other sources -------------------------------------------------------

    def _check_crm(self) -> None:
        staging = {
            "raw_accounts": "stg_salesforce__accounts",
            "raw_contacts": "stg_salesforce__contacts",
            "raw_invoices": "stg_billing__invoices",
            "raw_calls": "stg_support__calls",
        }
        for table, model in staging.items():
            if table not in self.tables:
                continue
            try:
                self.runner.build(model)
            except ModelError as error:
                self.problem(
                    f"{table} cannot be read: {printable(error, 300)} Correct "
                    f"`{table}_columns`."
                )
                self.tables.discard(table)
        if "raw_accounts" in self.tables:
            self._check_accounts()
        if {"raw_accounts", "raw_contacts"} <= self.tables:
            self._check_links("contacts", "stg_salesforce__contacts")
            self._check_accounts_without_contacts()
        if {"raw_accounts", "raw_invoices"} <= self.tables:
            self._check_links("invoices", "stg_billing__invoices")
            self._check_invoices()
        if {"raw_accounts", "raw_calls"} <= self.tables:
            self._check_links("calls", "stg_support__calls")
            self._check_readable("calls", "stg_support__calls", "started_at")

    def _check_accounts(self) -> None:
        accounts, without_id, late = self._row(
            """select count(*), count(case when account_id is null then 1 end),
                count(case when not is_on_time then 1 end)
            from stg_salesforce__accounts"""
        )
        if without_id > _MAX_UNREADABLE * accounts:
            self.problem(
                f"{without_id:,} of {accounts:,} rows of raw_accounts have no "
                "account_id: map it in raw_accounts_columns."
            )
        if late > _MAX_LATE * accounts:
            self.problem(
                f"{late:,} of {accounts:,} rows of raw_accounts were loaded after the "
                "allowed lateness of their batch: map loaded_at, or batch_date, in "
                "raw_accounts_columns."
            )
        parsed = {
            "signup_date": "signup_date",
            "seats": "seats",
            "monthly_recurring_revenue": "monthly_recurring_revenue",
            "cancelled_service": "coalesce(cast(cancellation_date as varchar), "
            "cast(is_cancelled as varchar))",
            "new_customer": "coalesce(cast(restart_date as varchar), "
            "cast(is_new_customer as varchar))",
        }
        columns = self._columns("raw_accounts")
        existing = {
            n for n, *_ in self.runner.rows("describe stg_salesforce__accounts")
        }
        for column, expression in parsed.items():
            unreadable = f"unreadable_{column}"
            if columns.get(column) is None or unreadable not in existing:
                continue
            readable, failed, example = self._row(
                f"""select
                    count(case when {expression} is not null
                        and {unreadable} is null then 1 end),
                    count({unreadable}), min({unreadable})
                from stg_salesforce__accounts"""
            )
            if column in ("cancelled_service", "new_customer"):
                # A blank flag is readable, too: it means no.
                readable = max(0, readable)
            filled = readable + failed
            share = readable / filled if filled else None
            self.fact(
                f"Accounts: {column} "
                + ("has no value." if share is None else f"is readable in {share:.1%}.")
            )
            if failed > _MAX_UNREADABLE * max(1, filled):
                self.problem(
                    f"{failed:,} of {filled:,} values of `{column}` in raw_accounts "
                    f"cannot be read, such as `{masked(example)}`: "
                    f"{_remedy(column, example, self.variables)}."
                )
            elif column == "signup_date" and not readable:
                self.problem(
                    "No account has a signup_date: map it in raw_accounts_columns to "
                    "the date on which the customer started."
                )
        if self.variables["cancellation_source"] == "dates":
            self._check_renewals()
        if columns.get("signup_date") is None:
            self.problem(
                "raw_accounts_columns maps no signup_date: map the date on which the "
                "customer started, else no account has a period."
            )

    def _check_renewals(self) -> None:
        """Report a date that most active accounts have, such as their next renewal."""
        accounts, scheduled = self._row(
            """select count(*),
                count(case when cancellation_date > batch_date then 1 end)
            from stg_salesforce__accounts
            where batch_date = (select max(batch_date) from stg_salesforce__accounts)
                and (cancellation_date is null or cancellation_date > batch_date)"""
        )
        if accounts >= _MIN_OUTCOMES and scheduled > _MAX_LATE * accounts:
            self.problem(
                f"{scheduled:,} of {accounts:,} active accounts have a "
                "`cancelled_service` after the date of their batch: if it is the end "
                "of a term that is renewed, map the date of the cancellation in "
                "raw_accounts_columns."
            )

    def _check_links(self, name: str, model: str) -> None:
        rows, linked, example = self._row(
            f"""select count(*), count(case when account_id in (
                    select account_id from stg_salesforce__accounts) then 1 end),
                min(case when account_id not in (
                    select account_id from stg_salesforce__accounts
                    where account_id is not null) then account_id end)
            from {model}"""
        )
        if not rows:
            self.problem(
                f"No row of raw_{name} has an identifier and an account: correct "
                f"raw_{name}_columns."
            )
            return
        self.fact(
            f"{name.capitalize()}: {linked / rows:.0%} belong to a known account."
        )
        if linked < (1 - _MAX_DUPLICATES) * rows:
            self.problem(
                f"{rows - linked:,} of {rows:,} rows of raw_{name} belong to no "
                "account "
                f"of raw_accounts, such as `{masked(example)}`: map the column that "
                "holds the same account_id."
            )

    def _check_accounts_without_contacts(self) -> None:
        accounts, without = self._row(
            """select count(*), count(case when account_id not in (
                select account_id from stg_salesforce__contacts) then 1 end)
            from (select distinct account_id from stg_salesforce__accounts
                where account_id is not null)"""
        )
        if without > _MAX_LATE * max(1, accounts):
            self.problem(
                f"{without:,} of {accounts:,} accounts have no contact, so their "
                "events "
                "are unknown: load all contacts, or correct raw_contacts_columns."
            )

    def _check_invoices(self) -> None:
        self._check_readable("invoices", "stg_billing__invoices", "due_date")
        unknown = self.runner.rows(
            f"""select status, count(*) from stg_billing__invoices
            where status not in {_INVOICE_STATUSES!r}
            group by 1 order by 2 desc limit 3"""
        )
        (rows,) = self._row("select count(*) from stg_billing__invoices")
        count = sum(each for _, each in unknown)
        if count > _MAX_DUPLICATES * max(1, rows):
            shown = ", ".join(printable(status, 30) for status, _ in unknown)
            self.problem(
                f"{count:,} of {rows:,} invoices have another status than "
                f"{', '.join(_INVOICE_STATUSES)}, such as {shown}: map `status` in "
                "raw_invoices_columns to an expression that translates it."
            )

    def _check_readable(self, name: str, model: str, column: str) -> None:
        rows, readable = self._row(f"select count(*), count({column}) from {model}")
        if rows and readable < (1 - _MAX_DUPLICATES) * rows:
            self.problem(
                f"{rows - readable:,} of {rows:,} values of `{column}` in raw_{name} "
                f"cannot be read: map it in raw_{name}_columns to an expression that "
                "returns a date."
            )

    def _check_arrivals(self) -> None:
        """Report tables that arrived long after the events that belong to them."""
        (newest,) = self._row(
            "select max(received_at) from stg_clickstream__events where is_on_time"
        )
        models = {
            "raw_accounts": "stg_salesforce__accounts",
            "raw_contacts": "stg_salesforce__contacts",
            "raw_invoices": "stg_billing__invoice_versions",
            "raw_calls": "stg_support__call_versions",
        }
        for table, model in models.items():
            if newest is None or table not in self.tables:
                continue
            try:
                self.runner.build(model)
                (loaded,) = self._row(f"select max(loaded_at) from {model}")
            except (ModelError, duckdb.Error):
                continue
            days = (loaded - newest).days if loaded else 0
            if days > _MAX_DAYS_APART:
                self.problem(
                    f"{table} was loaded {days:,} days after the newest event "
                    f"({newest:%Y-%m-%d}), so nobody has visited on the days that "
                    "would be scored: load newer events, write the date of the "
                    "extract into its file's name, or map loaded_at in "
                    f"{table}_columns."
                )

    def _check_users(self) -> None:
        """Check that the users of the events exist in the CRM."""
        try:
            self.runner.build("stg_salesforce__contacts")
        except ModelError:
            return
        users, known, example = self._row(
            """select count(*), count(case when user_id in (
                    select user_id from stg_salesforce__contacts) then 1 end),
                min(case when user_id not in (
                    select user_id from stg_salesforce__contacts) then user_id end)
            from (select distinct user_id from stg_clickstream__events
                where user_id is not null)"""
        )
        if not users:
            return
        self.fact(f"Events: {known / users:.0%} of {users:,} users are in the CRM.")
        table = "raw_contacts" if self.variables["has_contacts"] else "raw_accounts"
        if known < 0.5 * users:
            self.problem(
                f"Of {users:,} users in the sampled events, {known:,} are in {table}, "
                "not "
                f"`{masked(example)}` for example: map the JSON path and the column "
                "that hold the same user."
            )
        accounts, active = self._row(
            """select count(distinct account_id), count(distinct case when user_id in (
                select user_id from stg_clickstream__events where user_id is not null)
                then account_id end)
            from stg_salesforce__contacts"""
        )
        self.fact(f"Accounts: {active:,} of {accounts:,} have a sampled event.")

    # ---- Labels --------------------------------------------------------------

    def _check_labels(self) -> None:
        """Compute the labels with the models of the build."""
        horizon = int(self.variables["churn_horizon_days"])
        grace = int(self.variables["churn_grace_days"])
        try:
            self.runner.build("churn_labels")
        except ModelError as error:
            self.problem(f"The labels cannot be computed: {printable(error, 300)}")
            return
        first, last, batches, accepted = self._row(
            """select min(batch_date), max(batch_date), count(*),
                count(case when is_accepted then 1 end)
            from int_crm_batch_dates"""
        )
        days = (last - first).days + 1 if first else 0
        self.fact(
            f"CRM: {batches:,} batches over {days:,} days, {accepted:,} of them "
            "accepted."
        )
        if accepted < 0.5 * batches:
            self.problem(
                f"{batches - accepted:,} of {batches:,} CRM batches have fewer "
                "accounts than min_batch_completeness allows and would not be used: "
                "load complete extracts, or lower it."
            )
        churned, stayed, pending, scored = self._row(
            """select
                count(case when label_status = 'observed' and is_churned then 1 end),
                count(case when label_status = 'observed' and not is_churned
                    then 1 end),
                count(case when label_status = 'pending' then 1 end),
                count(distinct case when as_of_date = (
                    select max(as_of_date) from int_as_of_dates) then account_id end)
            from churn_labels"""
        )
        self.fact(
            f"Labels: {churned:,} observed churns, {stayed:,} observed stays, "
            f"{pending:,} pending."
        )
        if not churned + stayed:
            self.problem(
                f"The history yields no observed label: the CRM batches cover {days:,} "
                f"days, and a label needs more than {horizon + grace:,} "
                "(churn_horizon_days "
                f"{horizon} and churn_grace_days {grace}) after an as-of date. Load "
                "older batches, or shorten these."
            )
        elif churned < _MIN_OUTCOMES or stayed < _MIN_OUTCOMES:
            source = self.variables["cancellation_source"]
            self.problem(
                f"Only {churned:,} observed labels are churns and {stayed:,} are not; "
                "a "
                f"model needs at least {_MIN_OUTCOMES} of each. Load a longer history, "
                "or "
                f"check that cancellation_source `{source}` reads your cancellations."
            )
        if not scored and first:
            self.problem(
                "No account is a customer on the last as-of date, so none would be "
                "scored: check signup_date and cancelled_service."
            )

    def _row(self, sql: str) -> tuple[Any, ...]:
        return self.runner.rows(sql)[0]


def _remedy(column: str, example: Any, variables: dict[str, Any]) -> str:
    if column in ("cancelled_service", "new_customer"):
        source = variables["cancellation_source"]
        return (
            f"cancellation_source is `{source}`, so set it to what the column holds, "
            "or give crm_date_format"
            if source in ("dates", "flags")
            else "map another column"
        )
    if column == "signup_date":
        return (
            "set crm_date_format, or map an expression in raw_accounts_columns that "
            "returns YYYY-MM-DD"
        )
    del example
    return "map an expression in raw_accounts_columns that returns a number"
