"""The state of a project: ``churn status``, and what `churn daily` reports.

`read_facts` reads the tables, `evaluate` compares them with the clock and returns
problems. Each problem is one sentence with its remedy. Alerts, the exit code and the
command print the same problems.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from churn.operations.freshness import days_through, stale_sources
from churn.operations.marts import Marts
from churn.operations.schedule import DAY, Schedule, SourceSchedule
from churn.operations.sources import RAW_TABLES_OF

OK, FAILED, STALE = 0, 1, 2
STATUS_NAMES = {OK: "ok", FAILED: "failed", STALE: "stale"}
CRITICAL, WARNING = "critical", "warning"
# Days before today in which gaps and incomplete batches are reported.
GAP_DAYS = 14

_NAMES = {
    "clickstream": "clickstream",
    "crm": "CRM",
    "contacts": "contacts",
    "billing": "billing",
    "support": "support calls",
}
_REMEDIES = {
    "clickstream": "Check the delivery stream",
    "crm": "Deliver the batch",
    "contacts": "Deliver the contacts",
    "billing": "Deliver the invoices",
    "support": "Deliver the calls",
}
_RERUN = "then run `churn daily`"


@dataclass(frozen=True)
class Problem:
    """Something that a person has to know.

    Attributes:
        key: What it is about; the same on each day until it is solved.
        severity: ``critical`` or ``warning``.
        exit_code: The exit code that it causes: 0, 1 or 2.
        sentence: What is wrong.
        remedy: What to do.
    """

    key: str
    severity: str
    exit_code: int
    sentence: str
    remedy: str

    @property
    def kind(self) -> str:
        """Return the key without its object: the section of the runbook."""
        return self.key.partition(":")[0]

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}"


@dataclass(frozen=True)
class SourceFacts:
    """What the tables hold of a source.

    Attributes:
        arrived_at: Last arrival in each raw table, in UTC.
        through: Day of the newest data: the newest accepted batch of the CRM, the last
            event or arrival of others.
        days: Days of `GAP_DAYS` with data; ``None`` if days without data are normal.
        incomplete: Days whose batch has too few accounts.
    """

    arrived_at: Mapping[str, datetime | None] = field(default_factory=dict)
    through: date | None = None
    days: frozenset[date] | None = None
    incomplete: frozenset[date] = frozenset()

    @property
    def oldest_arrival(self) -> datetime | None:
        """Return the last arrival in the raw table that is furthest behind."""
        times = list(self.arrived_at.values())
        if not times or None in times:
            return None
        return min(time for time in times if time is not None)


@dataclass(frozen=True)
class Facts:
    """What the tables hold.

    Attributes:
        as_of_date: As-of date of the scores; ``None`` without scores.
        accounts: Number of scored accounts.
        data_through: Day of the newest data in the scores, by daily source.
        latest_complete_date: The latest date that could be scored.
        model_version: The champion; ``None`` without a model.
        trained_at: When the newest model was trained, in UTC.
        quality_warning: Why the champion should not be relied on.
        sources: The facts of each source.
    """

    as_of_date: date | None = None
    accounts: int = 0
    data_through: Mapping[str, date | None] = field(default_factory=dict)
    latest_complete_date: date | None = None
    model_version: str | None = None
    trained_at: datetime | None = None
    quality_warning: str | None = None
    sources: Mapping[str, SourceFacts] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """The result of all checks at one time.

    Attributes:
        now: The time, in UTC.
        facts: What the tables hold.
        problems: The problems, critical ones first.
        last_run: The last run of `churn daily`, if any.
        snapshot: As-of date and time of the published snapshot, if any.
    """

    now: datetime
    facts: Facts
    problems: tuple[Problem, ...]
    last_run: Mapping[str, Any] | None = None
    snapshot: Mapping[str, Any] | None = None

    @property
    def exit_code(self) -> int:
        """Return 0 (ok), 1 (failed) or 2 (stale); a failure counts more."""
        codes = {problem.exit_code for problem in self.problems}
        return FAILED if FAILED in codes else STALE if STALE in codes else OK

    def as_json(self) -> dict[str, Any]:
        """Return the status as JSON values."""
        facts = self.facts
        return {
            "at": self.now.isoformat(timespec="seconds"),
            "status": STATUS_NAMES[self.exit_code],
            "exit_code": self.exit_code,
            "as_of_date": _text(facts.as_of_date),
            "scored_accounts": facts.accounts,
            "model_version": facts.model_version,
            "trained_at": _text(facts.trained_at),
            "sources": {
                name: {
                    "newest_data": _text(source.through),
                    "last_arrival": {
                        table: _text(time) for table, time in source.arrived_at.items()
                    },
                    "missing_days": [
                        problem.key.split(":")[2]
                        for problem in self.problems
                        if problem.key.startswith((f"gap:{name}:", f"batch:{name}:"))
                    ],
                }
                for name, source in facts.sources.items()
            },
            "snapshot": dict(self.snapshot) if self.snapshot else None,
            "last_run": (
                {
                    key: self.last_run.get(key)
                    for key in ("run_id", "status", "started_at", "ended_at", "log")
                }
                if self.last_run
                else None
            ),
            "problems": [
                {
                    "key": problem.key,
                    "severity": problem.severity,
                    "exit_code": problem.exit_code,
                    "sentence": problem.sentence,
                    "remedy": problem.remedy,
                }
                for problem in self.problems
            ],
        }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


# ---- Reading -----------------------------------------------------------------


def read_facts(marts: Marts, schedule: Schedule, now: datetime) -> Facts:
    """Read what the tables hold.

    Args:
        marts: The tables that dbt built.
        schedule: The declared schedule.
        now: The time, in UTC.
    """
    if not marts.has("int_source_watermarks", "source_relation", "last_arrived_at"):
        return Facts()
    arrivals = {
        row["source_relation"]: _utc(row["last_arrived_at"])
        for row in marts.rows(
            "select source_relation, last_arrived_at, latest_complete_date "
            f"from {marts.name('int_source_watermarks')}"
        )
    }
    (complete,) = marts.rows(
        "select max(latest_complete_date) as day "
        f"from {marts.name('int_source_watermarks')}"
    )
    first_day = now.date() - GAP_DAYS * DAY
    sources = {}
    for name in schedule.sources:
        times = {
            table: arrivals[table] for table in RAW_TABLES_OF[name] if table in arrivals
        }
        known = [time for time in times.values() if time is not None]
        through: date | None = max(known).date() if known else None
        days: frozenset[date] | None = None
        incomplete: set[date] = set()
        if name == "clickstream":
            days = _event_days(marts, first_day)
        elif name == "crm" and "raw_subscriptions" not in times:
            through, days, incomplete = _batches(marts, first_day)
        sources[name] = SourceFacts(times, through, days, frozenset(incomplete))
    return Facts(
        **_scores(marts),
        **_model(marts),
        latest_complete_date=as_day(complete["day"]),
        sources=sources,
    )


def _event_days(marts: Marts, first_day: date) -> frozenset[date] | None:
    if not marts.has("int_clickstream_daily_receipts", "received_date", "events"):
        return None
    rows = marts.rows(
        "select received_date as day "
        f"from {marts.name('int_clickstream_daily_receipts')} "
        f"where events > 0 and received_date >= date '{first_day}'"
    )
    return frozenset(as_days(row["day"] for row in rows))


def _batches(
    marts: Marts, first_day: date
) -> tuple[date | None, frozenset[date] | None, set[date]]:
    """Return the newest accepted batch, the accepted ones, and the incomplete ones."""
    if not marts.has("int_crm_batch_dates", "batch_date", "is_accepted"):
        return None, None, set()
    table = marts.name("int_crm_batch_dates")
    (newest,) = marts.rows(
        f"select max(batch_date) as day from {table} where is_accepted"
    )
    rows = marts.rows(
        f"select batch_date as day, is_accepted from {table} "
        f"where batch_date >= date '{first_day}'"
    )
    accepted = frozenset(as_days(row["day"] for row in rows if row["is_accepted"]))
    incomplete = set(as_days(row["day"] for row in rows if not row["is_accepted"]))
    return as_day(newest["day"]), accepted, incomplete


def _scores(marts: Marts) -> dict[str, Any]:
    if not marts.has("churn_scores", "as_of_date", "clickstream_data_through"):
        return {}
    (row,) = marts.rows(
        "select max(as_of_date) as as_of_date, count(*) as accounts, "
        "max(clickstream_data_through) as clickstream, max(crm_data_through) as crm "
        f"from {marts.name('churn_scores')}"
    )
    return {
        "as_of_date": as_day(row["as_of_date"]),
        "accounts": int(row["accounts"]),
        "data_through": days_through(
            {"clickstream": row["clickstream"], "crm": row["crm"]}
        ),
    }


def _model(marts: Marts) -> dict[str, Any]:
    if not marts.has("churn_models", "model_version", "trained_at", "is_champion"):
        return {}
    rows = marts.rows(
        "select model_version, trained_at, is_champion, quality_warning "
        f"from {marts.name('churn_models')}"
    )
    champion: dict[str, Any] = next((row for row in rows if row["is_champion"]), {})
    trained = [_utc(row["trained_at"]) for row in rows]
    return {
        "model_version": champion.get("model_version"),
        "trained_at": max((time for time in trained if time), default=None),
        "quality_warning": champion.get("quality_warning"),
    }


def _utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


def as_day(value: date | datetime | None) -> date | None:
    """Return the day of a date or time from a table."""
    return value.date() if isinstance(value, datetime) else value


def as_days(values: Iterable[date | datetime | None]) -> Iterable[date]:
    """Return the days of dates or times, without nulls."""
    return (day for day in map(as_day, values) if day is not None)


# ---- Evaluating --------------------------------------------------------------


def evaluate(
    facts: Facts,
    schedule: Schedule,
    now: datetime,
    last_run: Mapping[str, Any] | None = None,
    is_running: bool = False,
    snapshot: Mapping[str, Any] | None = None,
    due_date: date | None = None,
    built_at: datetime | None = None,
    unreadable: str | None = None,
    is_in_progress: bool = False,
) -> Status:
    """Compare the facts with the clock.

    Args:
        facts: What the tables hold.
        schedule: The declared schedule.
        now: The time, in UTC.
        last_run: The last run of `churn daily`, from its journal.
        is_running: Whether the last run is in progress.
        snapshot: ``as_of_date`` and ``published_at`` of the published snapshot.
        due_date: The as-of date whose scores must exist. Default: by the schedule.
        built_at: Until when arrivals are in the tables. A source is not late because
            a later build failed. Default: ``now``.
        unreadable: Why the tables could not be read; ``None`` if ``facts`` has them.
        is_in_progress: Whether the run of another process has them open.
    """
    due_date = due_date or schedule.due_as_of_date(now)
    log = f"Log: {last_run['log']}." if last_run and last_run.get("log") else ""
    problems = list(_run_problems(last_run, is_running, log))
    if unreadable is None:
        scores = list(_score_problems(facts, schedule, due_date, log))
        stale = {source for problem in scores for source in _objects(problem)}
        known_until = min(now, built_at or now)
        problems += scores
        problems += _source_problems(facts, schedule, known_until, stale)
        problems += _model_problems(facts, schedule, now)
        problems += _snapshot_problems(facts, snapshot)
    elif is_in_progress:
        problems.append(
            Problem(
                "run_in_progress",
                WARNING,
                OK,
                "A daily run is in progress, so the tables cannot be read.",
                "Try again when it has ended.",
            )
        )
    else:
        problems.append(Problem("tables_unreadable", CRITICAL, FAILED, unreadable, log))
    order = {CRITICAL: 0, WARNING: 1}
    problems.sort(key=lambda problem: order[problem.severity])
    return Status(now, facts, tuple(problems), last_run, snapshot)


def _objects(problem: Problem) -> list[str]:
    return problem.key.partition(":")[2].split(",")


def _run_problems(
    run: Mapping[str, Any] | None, is_running: bool, log: str
) -> Iterable[Problem]:
    if run is None:
        return
    step, error = run.get("failed_step"), str(run.get("error") or "").rstrip(".")
    if run.get("status") == "failed" or (step and run.get("status") == "running"):
        yield Problem(
            f"run_failed:{step}",
            CRITICAL,
            FAILED,
            f"The daily run failed at `{step}`: {error}.",
            f"Correct the cause, {_RERUN}. {log}".strip(),
        )
    elif run.get("status") == "interrupted" or (
        run.get("status") == "running" and not is_running and not run.get("is_stepwise")
    ):
        yield Problem(
            "run_interrupted",
            CRITICAL,
            FAILED,
            f"The daily run of {_moment(run['started_at'])} was interrupted.",
            f"Run `churn daily`; it continues where that run stopped. {log}".strip(),
        )
    for message in run.get("unreadable") or []:
        yield Problem(
            f"unreadable_file:{str(message).partition(' ')[0]}",
            CRITICAL,
            FAILED,
            f"A file was not loaded: {str(message).rstrip('.')}.",
            f"Deliver the file again, {_RERUN}.",
        )
    if run.get("actions_problem"):
        yield Problem(
            "actions_not_exported",
            WARNING,
            OK,
            "The page's actions were not exported: "
            f"{str(run['actions_problem']).rstrip('.')}.",
            f"Correct the cause, {_RERUN}.",
        )
    for path in run.get("changed") or []:
        yield Problem(
            f"changed_file:{path}",
            WARNING,
            OK,
            f"The file {path} changed after it was loaded and was skipped.",
            f"Deliver the changes as a new file, {_RERUN}.",
        )
    for name, message in (run.get("warnings") or {}).items():
        yield Problem(f"check:{name}", WARNING, OK, str(message), "")


def _score_problems(
    facts: Facts, schedule: Schedule, due_date: date, log: str
) -> Iterable[Problem]:
    if facts.as_of_date is None:
        yield Problem(
            "no_scores",
            CRITICAL,
            FAILED,
            "There are no scores: no model could be trained, or nothing was built.",
            "Run `churn daily`, then `churn summary`, which says what is missing.",
        )
        return
    stale = {
        each.source: each
        for each in stale_sources(facts.data_through, schedule, facts.as_of_date)
    }
    if facts.as_of_date < due_date:
        yield Problem(
            "scores_late",
            CRITICAL,
            STALE,
            f"Scores of {_short(due_date)} are missing: the newest are of "
            f"{_short(facts.as_of_date)}.",
            f"Run `churn daily`. {log}".strip(),
        )
    if not stale:
        return
    parts, remedies = [], []
    for source in facts.data_through:
        name = _NAMES[source]
        if source not in stale:
            parts.append(f"{name} ok")
            continue
        each = stale[source]
        limit = schedule.stale_after_days
        limit_text = f"limit {limit} day{'s' if limit != 1 else ''}"
        if each.through is None:
            parts.append(f"{name} has no data ({limit_text})")
        else:
            what = "batch" if source == "crm" else "data"
            plural = "es" if what == "batch" and len(each.missing) > 1 else ""
            parts.append(
                f"{name} {what}{plural} of {_short_days(each.missing)} missing "
                f"(newest {_short(each.through)}, {limit_text})"
            )
        remedies.append(_REMEDIES[source])
    # The parts about what is missing come first.
    parts.sort(key=lambda part: part.endswith(" ok"))
    remedy = " and ".join(
        text if number == 0 else text[0].lower() + text[1:]
        for number, text in enumerate(remedies)
    )
    yield Problem(
        "scores_stale:" + ",".join(sorted(stale)),
        CRITICAL,
        STALE,
        f"Scores of {_short(facts.as_of_date)} are stale: {'; '.join(parts)}.",
        f"{remedy}, {_RERUN}. {log}".strip(),
    )


def _source_problems(
    facts: Facts, schedule: Schedule, now: datetime, stale: Container[str]
) -> Iterable[Problem]:
    """Yield problems of sources; those in ``stale`` have one about the scores."""
    for name, source in facts.sources.items():
        due, label = schedule.sources[name], _NAMES[name]
        arrived = source.oldest_arrival
        if arrived is None:
            yield Problem(
                f"source_stale:{name}",
                CRITICAL,
                STALE,
                f"Nothing has arrived from {label} yet.",
                f"{_REMEDIES[name]}, {_RERUN}; if you have no such source, say so "
                "in dbt_project.yml.",
            )
            continue
        gaps = list(_gaps(name, source, due, now))
        hours = due.age_of_arrival(arrived, now) / timedelta(hours=1)
        is_stale = hours > due.stale_after_hours
        is_late = hours > due.late_after_hours
        if (is_stale and name not in stale) or (is_late and not is_stale and not gaps):
            limit = due.stale_after_hours if is_stale else due.late_after_hours
            yield Problem(
                f"source_{'stale' if is_stale else 'late'}:{name}",
                CRITICAL if is_stale else WARNING,
                STALE if is_stale else OK,
                f"Nothing has arrived from {label} for {hours:.0f} hours "
                f"(since {_moment(arrived)}, limit {limit} hours).",
                f"{_REMEDIES[name]}, {_RERUN}.",
            )
        yield from gaps


def _gaps(
    name: str, source: SourceFacts, due: SourceSchedule, now: datetime
) -> Iterable[Problem]:
    """Yield days of a daily source that are due and have no usable data."""
    if not source.days:
        return
    first, last = min(source.days), due.latest_due_day(now)
    label = _NAMES[name]
    for day in (now.date() - number * DAY for number in range(GAP_DAYS, 0, -1)):
        if not first < day <= last or not due.has_data(day) or day in source.days:
            continue
        if day in source.incomplete:
            yield Problem(
                f"batch:{name}:{day}",
                WARNING,
                OK,
                f"The {label} batch of {_short(day)} is incomplete and was not used.",
                f"Deliver the complete batch, {_RERUN}; if the company shrank that "
                "much, add the date to `accepted_batch_dates`.",
            )
            continue
        what = f"The {label} batch of" if name == "crm" else f"The {label} of"
        yield Problem(
            f"gap:{name}:{day}",
            WARNING,
            OK,
            f"{what} {_short(day)} is missing.",
            f"{_REMEDIES[name]}, {_RERUN}; if the day has no data, add it to "
            f"`days_without_data` of `sources_due.{name}`.",
        )


def _model_problems(
    facts: Facts, schedule: Schedule, now: datetime
) -> Iterable[Problem]:
    if facts.trained_at is not None:
        days = (now - facts.trained_at).days
        if days > schedule.model_late_after_days:
            yield Problem(
                "model_late",
                WARNING,
                OK,
                f"No model has been trained for {days} days (limit "
                f"{schedule.model_late_after_days} days).",
                "Run `churn report` and check the labels: new ones are missing, or "
                "have one outcome only.",
            )
    if facts.quality_warning:
        warning = facts.quality_warning.strip().rstrip(".")
        yield Problem(
            "model_quality",
            WARNING,
            OK,
            f"Do not rely on the scores: {warning}.",
            "Run `churn report` and read the model card.",
        )


def _snapshot_problems(
    facts: Facts, snapshot: Mapping[str, Any] | None
) -> Iterable[Problem]:
    if snapshot is None or facts.as_of_date is None:
        return
    problem = snapshot.get("problem")
    if problem:
        yield Problem(
            "snapshot_unreadable",
            CRITICAL,
            FAILED,
            f"The page has no scores to show: {str(problem).rstrip('.')}.",
            "Run `churn publish`.",
        )
    elif date.fromisoformat(str(snapshot["as_of_date"])) < facts.as_of_date:
        yield Problem(
            "snapshot_old",
            CRITICAL,
            STALE,
            f"The page shows the scores of {_short(snapshot['as_of_date'])}, but those "
            f"of {_short(facts.as_of_date)} exist.",
            "Run `churn publish`.",
        )


def _short(day: date | str) -> str:
    day = day if isinstance(day, date) else date.fromisoformat(str(day))
    return f"{day.day} {day:%b}"


def _short_days(days: Sequence[date]) -> str:
    """Return days as in `24, 25 and 26 Aug`."""
    if len(days) > 4:
        return f"{_short(days[0])} to {_short(days[-1])}"
    texts = [
        str(day.day)
        if number + 1 < len(days) and days[number + 1].month == day.month
        else _short(day)
        for number, day in enumerate(days)
    ]
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _moment(value: datetime | str) -> str:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return f"{_short(moment.date())} {moment:%H:%M}"
