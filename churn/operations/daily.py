"""The daily run: ``churn daily``.

The steps are ``wait``, ``load``, ``build``, ``catch_up``, ``verify``, ``publish`` and
``notify``. Each can be repeated: a file is loaded once, the models are incremental, a
day is scored once, a snapshot replaces another. A run that was killed at any point is
therefore continued by running again.

One process runs all steps, or a scheduler runs each step as a command with the same
run id.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from churn.config import Project, UserError
from churn.ingest.file_readers import RAW_TABLES
from churn.operations.alerts import (
    Receivers,
    Send,
    digest_text,
    notify,
    send_heartbeat,
    send_with_apprise,
)
from churn.operations.backfill import backfill
from churn.operations.dbt_runner import BUILD, DbtError, run_dbt
from churn.operations.executors import ExecutorWatch, wait_minutes
from churn.operations.marts import Marts, open_marts
from churn.operations.runs import (
    JOURNAL_VARIABLE,
    Journal,
    add_to_run,
    is_running,
    run_lock,
    state_folder,
    store_runs,
)
from churn.operations.schedule import DAY, Schedule, SourceSchedule, utc_now
from churn.operations.sources import RAW_TABLES_OF, SOURCE_OF, STEPS
from churn.operations.status import (
    FAILED,
    OK,
    STALE,
    STATUS_NAMES,
    Facts,
    Status,
    as_day,
    as_days,
    evaluate,
    read_facts,
)

# Steps that run although an earlier one has failed.
ALWAYS = ("verify", "notify")
POLL_SECONDS = 60
# Days before the latest one in which missing days are scored.
CATCH_UP_DAYS = 31
# Files of logs that are kept.
KEPT_LOGS = 100

_NODE_STATUSES = {
    "success": "success",
    "pass": "success",
    "no-op": "success",
    "warn": "warn",
    "error": "error",
    "fail": "error",
    "runtime error": "error",
    "partial success": "error",
    "skipped": "skipped",
}
# Contacts come from the CRM.
_ROWS_OF = {**SOURCE_OF, "raw_contacts": "crm"}


@dataclass(frozen=True)
class Options:
    """What a run does.

    Attributes:
        landing_zone: The folder to load; ``None`` if `churn init` or others load.
        steps: The steps to run.
        run_id: The run that the steps belong to; ``None`` for a new one.
        source: The only source to wait for; ``None`` for all.
        as_of: A date that must have scores at the end.
        waits: Whether to wait for sources at all.
        variables: More dbt variables.
    """

    landing_zone: Path | None = None
    steps: tuple[str, ...] = STEPS
    run_id: str | None = None
    source: str | None = None
    as_of: date | None = None
    waits: bool = True
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tools:
    """What a run uses from other layers; tests replace it.

    Attributes:
        publish: Publishes a snapshot; returns a sentence.
        read_snapshot: Returns ``as_of_date`` of the snapshot, a ``problem``, or None.
        export_actions: Writes new actions of the page to a landing zone.
        build: Runs dbt; see `run_dbt`.
        backfill: Scores days; see `churn.operations.backfill`.
        open_marts: Opens the tables.
        store_runs: Writes ``pipeline_runs``.
        send: Sends an alert.
        send_heartbeat: Requests the heartbeat URL.
        now: The clock, in UTC.
        sleep: Waits for some seconds.
    """

    publish: Callable[[Project], object]
    read_snapshot: Callable[[Project], Mapping[str, Any] | None]
    export_actions: Callable[[Project, Path], Sequence[Path]] = lambda *_: ()
    build: Callable[..., Any] = run_dbt
    backfill: Callable[..., None] = backfill
    open_marts: Callable[[Project], Marts] = open_marts
    store_runs: Callable[[Project, Journal], None] = store_runs
    send: Send = send_with_apprise
    send_heartbeat: Callable[[str], bool] = send_heartbeat
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep


def read_status(
    project: Project, tools: Tools, run: Mapping[str, Any] | None = None
) -> Status:
    """Evaluate the state of a project from its tables and the clock.

    Args:
        project: The project.
        tools: What reads the tables and the snapshot.
        run: The run in progress that asks; ``None`` for another process.
    """
    schedule = Schedule.read(project.variables)
    now = tools.now()
    folder = state_folder(project)
    journal = Journal(folder)
    is_in_progress = run is None and is_running(folder)
    unreadable, facts = None, Facts()
    try:
        marts = tools.open_marts(project)
        try:
            facts = read_facts(marts, schedule, now)
        finally:
            marts.close()
    except UserError as error:
        unreadable = str(error)
    except Exception as error:
        if project.adapter == "duckdb":
            raise
        # A cluster that does not answer is a problem to report, not an exception.
        unreadable = (
            f"The tables cannot be read, because {project.adapter} did not answer "
            f"({type(error).__name__})."
        )
    return evaluate(
        facts,
        schedule,
        now,
        run or journal.last_run(),
        is_running=run is not None or is_in_progress,
        snapshot=tools.read_snapshot(project),
        due_date=schedule.complete_as_of_date(now) if run else None,
        built_at=journal.built_at(),
        unreadable=unreadable,
        is_in_progress=is_in_progress,
    )


class DailyRun:
    """One run of `churn daily`, or some of its steps.

    Args:
        project: The project.
        options: What to do.
        tools: What it uses from other layers.
        on_log: Called with each log record.
    """

    def __init__(
        self,
        project: Project,
        options: Options,
        tools: Tools,
        on_log: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        # Variables of this run, such as `sources_due`, count for its checks, too.
        variables = {**project.variables, **options.variables}
        self.project = project = replace(project, variables=variables)
        self.options = options
        self.tools = tools
        self.on_log = on_log
        self.schedule = Schedule.read(variables)
        self.receivers = Receivers.from_environment()
        self.folder = state_folder(project)
        self.journal = Journal(self.folder)
        self.run_id = options.run_id or (
            f"{tools.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        )
        if not re.fullmatch(r"[\w.:+@=-]{1,200}", self.run_id):
            raise UserError(
                "--run-id may have 1 to 200 letters, digits and _ . : + @ = - only: "
                "choose another one."
            )
        name = re.sub(r"[^\w.+-]", "_", self.run_id)
        self.log_path = self.folder / "logs" / f"{name}.jsonl"
        self.run: dict[str, Any] = {}
        self.executors = ExecutorWatch(wait_minutes())

    # ---- The run --------------------------------------------------------------

    def execute(self) -> int:
        """Run the steps and return the exit code.

        Raises:
            UserError: Another run is in progress.
            KeyboardInterrupt: The run was interrupted; its row says so.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        steps = self.options.steps
        is_complete = steps == STEPS
        self.run = dict(self.journal.get(self.run_id)) or {"run_id": self.run_id}
        if "started_at" not in self.run:
            self._record(
                started_at=self.tools.now().isoformat(timespec="seconds"),
                status="running",
                log=str(self.log_path),
                **({} if is_complete else {"is_stepwise": True}),
            )
        elif not is_complete:
            # A cleared step of a run that has ended.
            self._record(status="running", ended_at=None)
        if steps == ("wait",):
            return self._run_steps(steps)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(run_lock(self.folder, self.run_id))
            except UserError as error:
                if is_complete:
                    self._record(
                        status="refused", error=str(error), ended_at=self._time()
                    )
                raise
            for run_id in self.journal.end_interrupted(self.run_id):
                self.log("an earlier run was interrupted", earlier_run=run_id)
            self._store_runs()
            stack.enter_context(self.executors)
            try:
                return self._run_steps(steps)
            except KeyboardInterrupt:
                self._record(status="interrupted", ended_at=self._time())
                self._store_runs()
                raise

    def _run_steps(self, steps: Sequence[str]) -> int:
        code = OK
        is_failed = bool(self.run.get("failed_step")) and len(steps) > 1
        for step in steps:
            if is_failed and step not in ALWAYS:
                self.log("skipped", step=step)
                continue
            started = time.monotonic()
            self.log("started", step=step)
            try:
                result = getattr(self, f"_{step}")()
            except Exception as error:
                is_failed, code = True, FAILED
                problem = self.executors.problem
                self._fail(step, UserError(problem) if problem else error)
                continue
            if self.run.get("failed_step") == step:
                self._record(failed_step=None, error=None)
            seconds = round(time.monotonic() - started, 3)
            self._record(steps={step: {"status": "ok", "seconds": seconds}})
            self.log("finished", step=step, seconds=seconds)
            if step in ("wait", "verify", "notify") and isinstance(result, int):
                code = result if step == "notify" or len(steps) == 1 else code
        return code

    def _fail(self, step: str, error: Exception) -> None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        sentence = " ".join(line.strip() for line in lines)[:1_000]
        if not isinstance(error, UserError):
            sentence = f"{type(error).__name__}: {sentence}"
        self.log("failed", step=step, error=sentence)
        if not isinstance(error, UserError):
            self.log("traceback", step=step, traceback=traceback.format_exc())
        # The first failure is the cause of later ones.
        if self.run.get("failed_step") in (None, step):
            self._record(failed_step=step, error=sentence)
        self._record(steps={step: {"status": "failed", "error": sentence}})

    # ---- Steps ----------------------------------------------------------------

    def _wait(self) -> int:
        """Wait for each source that is due; return 2 if a daily one has not arrived."""
        now = self.tools.now()
        pending: dict[str, tuple[SourceSchedule, date]] = {}
        for name, due in self.schedule.sources.items():
            if self.options.source in (None, name):
                pending[name] = due, due.latest_due_day(now)
        is_past = self.options.as_of is not None and self.options.as_of < now.date()
        if not self.options.waits or is_past:
            return OK
        while True:
            now = self.tools.now()
            if pending and self._loads_onboarding_files:
                # A source has arrived if its raw table has.
                self._load()
            for name, (_, day) in list(pending.items()):
                if self._has_arrived(name, day):
                    self.log("arrived", source=name, day=str(day))
                    del pending[name]
            ends = [due.wait_until(day) for due, day in pending.values()]
            remaining = max(((end - now).total_seconds() for end in ends), default=0)
            if remaining <= 0:
                break
            self.log("waiting", sources=sorted(pending), seconds=round(remaining))
            self.tools.sleep(min(POLL_SECONDS, remaining))
        for name, (_, day) in pending.items():
            self.log("not arrived", source=name, day=str(day))
        self._record(not_arrived={name: str(day) for name, (_, day) in pending.items()})
        is_late = any(due.delivers_daily for due, _ in pending.values())
        return STALE if is_late else OK

    def _has_arrived(self, source: str, day: date) -> bool:
        folder = self.options.landing_zone
        if folder is not None:
            patterns = [
                table.pattern.replace("=*", f"={day}")
                for table in RAW_TABLES
                if SOURCE_OF.get(table.name) == source
            ]
            return all(any(folder.glob(pattern)) for pattern in patterns)
        if source == "clickstream" and self.project.variables.get("raw_event_files"):
            # The build reads the files itself.
            return True
        return self._raw_arrival(source) >= day + DAY

    def _raw_arrival(self, source: str) -> date:
        """Return the day of the last arrival in a source's raw table."""
        variables = self.project.variables
        table = RAW_TABLES_OF[source][0]
        if source == "crm" and variables.get("cancellation_source") == "subscriptions":
            table = "raw_subscriptions"
        try:
            marts = self.tools.open_marts(self.project)
        except UserError:
            return date.min
        try:
            column = "received_at" if table == "raw_events" else "loaded_at"
            mapping = variables.get(f"{table}_columns") or {}
            parts = [
                variables.get("raw_database"),
                variables.get("raw_schema"),
                variables.get(f"{table}_table"),
            ]
            name = ".".join(str(part) for part in parts if part)
            (row,) = marts.rows(
                f"select max(cast({mapping.get(column, column)} as timestamp)) "
                f"as arrived_at from {name}"
            )
        except Exception as error:
            # Engines raise different exceptions for a table that is missing yet.
            self.log("raw table not read", source=source, error=str(error)[:300])
            return date.min
        finally:
            marts.close()
        return as_day(row["arrived_at"]) or date.min

    @property
    def _loads_onboarding_files(self) -> bool:
        """Return whether this run loads the files that `churn init` was given."""
        from churn.onboarding.questions import ANSWERS_FILE

        has_answers = (self.project.project_dir / ANSWERS_FILE).exists()
        return self.options.landing_zone is None and has_answers

    def _load(self) -> None:
        self._check_clock()
        self._record(loaded_through=f"{self.tools.now():%Y-%m-%d %H:%M:%S}")
        rows: Counter[str] = Counter()
        unreadable: list[str] = []
        changed: list[str] = []
        self._export_actions()
        if self.options.landing_zone is not None:
            from churn.ingest.load import load

            report = load(
                self.options.landing_zone,
                self.project.database,
                str(self.project.variables["raw_schema"]),
            )
            rows, unreadable, changed = report.rows, report.unreadable, report.changed
        elif self._loads_onboarding_files:
            from churn.onboarding.init import load_sources

            result = load_sources(self.project.project_dir, self.project.database)
            rows, unreadable = Counter(result.loaded_rows), result.messages
        else:
            self.log("nothing to load: other jobs load the raw tables", step="load")
        by_source = Counter(dict(self.run.get("rows") or {}))
        for table, count in rows.items():
            by_source[_ROWS_OF.get(table, table)] += count
        self._record(rows=dict(by_source), unreadable=unreadable, changed=changed)
        self.log("loaded", rows=dict(rows), unreadable=unreadable, changed=changed)

    def _export_actions(self) -> None:
        """Write the page's new actions to the landing zone.

        Scores do not wait for actions, so a failure is reported and stops nothing.
        """
        folder = self.options.landing_zone
        if self._loads_onboarding_files:
            folder = self.project.project_dir
        if folder is None:
            return
        problem = None
        try:
            self.tools.export_actions(self.project, folder)
        except (UserError, OSError) as error:
            problem = str(error)
            self.log("actions were not exported", step="load", error=problem)
        self._record(actions_problem=problem)

    def _check_clock(self) -> None:
        """Refuse a clock before the last arrival, whose records would be rejected."""
        try:
            marts = self.tools.open_marts(self.project)
        except UserError:
            return
        try:
            if not marts.has("int_source_watermarks", "last_arrived_at"):
                return
            (row,) = marts.rows(
                "select max(last_arrived_at) as arrived_at "
                f"from {marts.name('int_source_watermarks')}"
            )
        finally:
            marts.close()
        now = self.tools.now().replace(tzinfo=None)
        if row["arrived_at"] and row["arrived_at"] > now + DAY:
            raise UserError(
                f"The clock says {now:%Y-%m-%d %H:%M} UTC, but data arrived at "
                f"{row['arrived_at']:%Y-%m-%d %H:%M}: correct the clock, because newer "
                "records would be rejected."
            )

    @property
    def _variables(self) -> dict[str, Any]:
        through = self.run.get("loaded_through") or (
            f"{self.tools.now():%Y-%m-%d %H:%M:%S}"
        )
        return {"loaded_through": through, **self.options.variables}

    def _build(self) -> None:
        messages: list[str] = []
        command = list(BUILD)
        if self.project.variables.get("load_demo_seeds"):
            # They would mix with what was loaded.
            command.append("--exclude=resource_type:seed")
        if "loaded_through" not in self.run:
            self._record(loaded_through=f"{self.tools.now():%Y-%m-%d %H:%M:%S}")

        def on_message(text: str) -> None:
            messages.append(text)
            self.log(text, step="build")

        with _environment(JOURNAL_VARIABLE, str(self.journal.path)):
            try:
                result = self.tools.build(
                    self.project, command, self._variables, on_message=on_message
                )
            except DbtError as error:
                self._count_nodes(error.results, messages)
                failed = [
                    each.node.name
                    for each in error.results
                    if _NODE_STATUSES.get(str(each.status)) == "error"
                ]
                if not failed:
                    raise
                names = ", ".join(failed[:5]) + (" and others" if failed[5:] else "")
                raise UserError(f"`dbt build` failed at {names}") from error
        self._count_nodes(getattr(result.result, "results", ()), messages)
        variables = {**self.project.variables, **self._variables}
        if variables.get("raw_days_kept") is not None:
            # All that is deleted has been processed by this build.
            operation = ["run-operation", "delete_expired"]
            self.tools.build(
                self.project, operation, self._variables, on_message=on_message
            )

    def _count_nodes(self, results: Sequence[Any], messages: Sequence[str]) -> None:
        counts = Counter(
            _NODE_STATUSES.get(str(each.status), "error") for each in results
        )
        nodes = {status: counts[status] for status in set(_NODE_STATUSES.values())}
        warnings = {}
        for each in results:
            if str(each.status) == "warn":
                name = each.node.name
                warnings[name] = next(
                    (text for text in messages if text.startswith(f"{name} found ")),
                    f"The check {name} warned.",
                )
        # A mapping would be merged with that of an earlier try.
        self._record(nodes=nodes, warnings=None)
        self._record(warnings=warnings)

    def _catch_up(self) -> None:
        """Score the days that the history lacks."""
        marts = self.tools.open_marts(self.project)
        try:
            if not marts.has("churn_score_history", "as_of_date"):
                return
            (row,) = marts.rows(
                f"select max(as_of_date) as day from {marts.name('int_as_of_dates')}"
            )
            latest = as_day(row["day"])
            if latest is None:
                return
            first = latest - CATCH_UP_DAYS * DAY
            if self.options.as_of is not None:
                first = min(first, self.options.as_of)
            scored = set(
                as_days(
                    each["day"]
                    for each in marts.rows(
                        "select distinct as_of_date as day from "
                        f"{marts.name('churn_score_history')} "
                        f"where as_of_date >= date '{first}'"
                    )
                )
            )
        finally:
            marts.close()
        missing = missing_days(scored, latest, self.options.as_of)
        if not missing:
            return
        self.log("scoring missed days", days=[str(day) for day in missing])
        self.tools.backfill(
            self.project,
            missing,
            self._variables,
            lambda day: self.log("scored", day=str(day)),
        )
        self._record(caught_up=[str(day) for day in missing])

    def _verify(self) -> int:
        status = self._status()
        facts = status.facts
        self._record(
            as_of_date=str(facts.as_of_date) if facts.as_of_date else None,
            model_version=facts.model_version,
        )
        for problem in status.problems:
            self.log(str(problem), step="verify", severity=problem.severity)
        as_of = self.options.as_of
        if as_of is not None and not self._is_scored(as_of):
            raise UserError(
                f"There are no scores of {as_of}: it is not final yet, or is before "
                "the first CRM batch; the newest scores are of "
                f"{facts.as_of_date or 'no day'}"
            )
        return status.exit_code

    def _is_scored(self, day: date) -> bool:
        marts = self.tools.open_marts(self.project)
        try:
            return marts.has("churn_score_history", "as_of_date") and bool(
                marts.rows(
                    f"select 1 as one from {marts.name('churn_score_history')} "
                    f"where as_of_date = date '{day}' limit 1"
                )
            )
        finally:
            marts.close()

    def _publish(self) -> None:
        self.log(str(self.tools.publish(self.project)), step="publish")

    def _notify(self) -> int:
        status = self._status()
        # Publishing is not asked for in every run.
        code = status.exit_code
        ended = self.tools.now()
        seconds = ended - datetime.fromisoformat(self.run["started_at"])
        reported = notify(
            status,
            self.receivers,
            self.folder,
            digest_text(status, status.problems),
            self.tools.send,
        )
        earlier = list(self.run.get("alerts") or [])
        new = [each for each in reported.sentences if each not in earlier]
        for sentence in new:
            self.log(sentence, step="notify")
        self._record(
            status=STATUS_NAMES[code],
            ended_at=self._time(),
            seconds=round(seconds.total_seconds(), 1),
            alerts=earlier + new,
        )
        if self.receivers.heartbeat and code != FAILED and not reported.failed:
            self.tools.send_heartbeat(self.receivers.heartbeat)
        self._store_runs()
        self._delete_old_logs()
        return code

    # ---- Helpers --------------------------------------------------------------

    def _status(self) -> Status:
        return read_status(self.project, self.tools, self.run)

    def _time(self) -> str:
        return self.tools.now().isoformat(timespec="seconds")

    def _record(self, **values: Any) -> None:
        """Add values to the run, here and in the journal."""
        values = json.loads(json.dumps(values, default=str))
        add_to_run(self.run, values)
        try:
            self.journal.write(self.run_id, **values)
        except OSError as error:
            self.log("the journal cannot be written", error=str(error.strerror))

    def _store_runs(self) -> None:
        """Write ``pipeline_runs``; if that fails, the next run does it."""
        try:
            if self.project.adapter == "duckdb":
                self.tools.store_runs(self.project, self.journal)
            elif self.run.get("status") != "running":
                with _environment(JOURNAL_VARIABLE, str(self.journal.path)):
                    self.tools.build(self.project, ["run", "--select", "pipeline_runs"])
        except Exception as error:
            self.log("pipeline_runs was not written", error=str(error)[:300])

    def log(self, message: str, **values: Any) -> None:
        """Write one record to the log of the run."""
        record = {
            "at": self._time(),
            "run_id": self.run_id,
            "message": message,
            **values,
        }
        self.on_log(record)
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, default=str) + "\n")
        except OSError:
            # The record went to the terminal.
            pass

    def _delete_old_logs(self) -> None:
        with contextlib.suppress(OSError):
            logs = sorted(
                self.log_path.parent.glob("*.jsonl"),
                key=lambda path: path.stat().st_mtime_ns,
            )
            for path in logs[:-KEPT_LOGS]:
                path.unlink()


def missing_days(scored: set[date], latest: date, as_of: date | None) -> list[date]:
    """Return the days to score, in order.

    Args:
        scored: The days of the last weeks that have scores.
        latest: The latest day that could be scored.
        as_of: A day that must have scores.
    """
    days = set()
    if scored:
        first = min(day for day in scored)
        days = {first + DAY * number for number in range((latest - first).days)}
    if as_of is not None and as_of <= latest:
        days.add(as_of)
    return sorted(days - scored)


def plan(project: Project, options: Options, tools: Tools) -> list[tuple[str, str]]:
    """Return what a run would do now: a label and a sentence for each step."""
    schedule = Schedule.read(project.variables)
    run = DailyRun(project, options, tools)
    now = tools.now()
    lines: list[tuple[str, str]] = []
    for name, due in schedule.sources.items():
        day = due.latest_due_day(now)
        end = due.wait_until(day)
        if options.landing_zone is not None and run._has_arrived(name, day):
            text = f"{name}: the data of {day} have arrived"
        elif options.waits and end > now:
            text = f"{name}: wait for the data of {day} until {end:%Y-%m-%d %H:%M} UTC"
        else:
            text = f"{name}: do not wait for the data of {day}, due at {end:%H:%M} UTC"
        lines.append(("wait", text))
    if options.landing_zone is not None:
        load = f"new files of {options.landing_zone}"
    elif run._loads_onboarding_files:
        load = "new files of the sources in onboarding.yml"
    else:
        load = "nothing: other jobs load the raw tables"
    lines.append(("load", load))
    lines.append(("build", f"one `dbt build` on the target `{project.target}`"))
    if days := project.variables.get("raw_days_kept"):
        lines.append(("build", f"delete raw records older than {days} days"))
    lines.append(
        ("catch_up", f"score days of the last {CATCH_UP_DAYS} that have no scores")
    )
    if options.as_of:
        lines.append(("catch_up", f"score {options.as_of} if it has no scores"))
    lines.append(
        ("verify", f"scores of {schedule.due_as_of_date(now)}, sources and model")
    )
    lines.append(("publish", "the serving snapshot"))
    receivers = run.receivers
    lines.append(
        (
            "notify",
            f"{len(receivers.alerts)} receivers of alerts, {len(receivers.pager)} "
            f"pagers, {len(receivers.digest)} of the digest, "
            f"{'a' if receivers.heartbeat else 'no'} heartbeat",
        )
    )
    return [line for line in lines if line[0] in options.steps]


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for a time."""
    previous = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if previous is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = previous
