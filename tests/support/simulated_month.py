"""A company whose landing zone grows day by day, and a small stand-in for dbt.

The stand-in builds the tables that `churn status` reads, with the rules of the models,
from the raw tables that the real loader fills. It takes milliseconds, so that a month
of daily runs with faults is a unit test. `tests/dbt` runs the same month with dbt.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb

from churn.config import Project
from churn.operations.daily import DailyRun, Options, Tools, read_status
from churn.operations.freshness import Freshness, freshness
from churn.operations.schedule import DAY, Schedule
from churn.operations.status import Status

FIRST = date(2025, 8, 1)
ACCOUNTS = 20
NO_WAIT = Options(waits=False)

ACCOUNT_COLUMNS = (
    *("batch_date", "loaded_at", "account_id", "company_name", "industry"),
    *("signup_date", "plan", "seats", "monthly_recurring_revenue"),
    *("cancelled_service", "new_customer"),
)


class KilledError(BaseException):
    """Ends a run as SIGKILL does: no handler of the run catches it."""


@dataclass
class Company:
    """The landing zone, the database and the clock of one company.

    Attributes:
        folder: Where all files are.
        project: The project.
        now: The clock.
        alerts: The messages that receivers got: title and body.
        heartbeats: How often the heartbeat was requested.
        kill_at: The step that is killed in its middle.
        fail_build: The error of the next build.
        operations: The macros that dbt has run.
        slept: Seconds that runs have waited.
        export_error: The error of the next export of actions.
        exported_to: The folders that actions were exported to.
    """

    folder: Path
    project: Project
    now: datetime = datetime(2025, 8, 1, 6, 15, tzinfo=UTC)
    alerts: list[tuple[str, str]] = field(default_factory=list)
    heartbeats: int = 0
    kill_at: str | None = None
    fail_build: Exception | None = None
    operations: list[str] = field(default_factory=list)
    receiver_fails: bool = False
    slept: float = 0
    on_sleep: Callable[[], None] = lambda: None
    export_error: Exception | None = None
    exported_to: list[Path] = field(default_factory=list)

    @property
    def zone(self) -> Path:
        return self.folder / "landing"

    # ---- Deliveries -------------------------------------------------------------

    def deliver(self, day: date, *sources: str, accounts: int = ACCOUNTS) -> None:
        """Write the files of a day; by default all sources."""
        for source in sources or ("clickstream", "crm", "billing", "support"):
            getattr(self, f"_deliver_{source}")(day, accounts)

    def _write(self, path: str, lines: list[str]) -> None:
        file = self.zone / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines))

    def _deliver_clickstream(self, day: date, _: int) -> None:
        lines = [
            json.dumps(
                {"received_at": f"{day}T{hour:02}:30:00Z", "payload": f"{day} {hour}"}
            )
            for hour in range(0, 24, 3)
        ]
        self._write(f"clickstream/dt={day}/events.jsonl", lines)

    def _deliver_crm(self, day: date, accounts: int) -> None:
        loaded_at = f"{day + DAY} 04:00:00"
        rows = [
            f"{day},{loaded_at},a{number:03},Company {number},x,2024-01-01,basic,1,10,,"
            for number in range(accounts)
        ]
        header = ",".join(ACCOUNT_COLUMNS)
        self._write(f"salesforce/batch_date={day}/accounts.csv", [header, *rows])
        contacts = [f"u1,a001,admin,{day},{loaded_at}"]
        header = "user_id,account_id,role,batch_date,loaded_at"
        self._write(f"salesforce/batch_date={day}/contacts.csv", [header, *contacts])

    def _deliver_billing(self, day: date, _: int) -> None:
        header = "invoice_id,account_id,invoice_date,due_date,amount,status,loaded_at"
        row = f"i{day},a001,{day},{day},10,paid,{day + DAY} 04:30:00"
        self._write(f"billing/dt={day}/invoices.csv", [header, row])

    def _deliver_support(self, day: date, _: int) -> None:
        header = "call_id,account_id,started_at,duration_seconds,topic,loaded_at"
        row = f"c{day},a001,{day} 10:00:00,60,price,{day + DAY} 05:00:00"
        self._write(f"support/dt={day}/calls.csv", [header, row])

    # ---- Runs -------------------------------------------------------------------

    def run(self, **changes: Any) -> int:
        """Run `churn daily` and return its exit code."""
        changes.setdefault("waits", False)
        options = replace(NO_WAIT, landing_zone=self.zone, **changes)
        return DailyRun(self.project, options, self.tools).execute()

    def status(self) -> Status:
        return read_status(self.project, self.tools)

    def banner(self) -> Freshness:
        """Return what the page shows about the snapshot."""
        return freshness(json.loads(self._snapshot.read_text()), self.now)

    @property
    def tools(self) -> Tools:
        return Tools(
            publish=self._publish,
            read_snapshot=self._read_snapshot,
            export_actions=self._export_actions,
            build=self._build,
            backfill=self._backfill,
            send=self._send,
            send_heartbeat=self._beat,
            now=lambda: self.now,
            sleep=self._sleep,
        )

    def _export_actions(self, _: Project, folder: Path) -> list[Path]:
        self.exported_to.append(folder)
        if self.export_error is not None:
            raise self.export_error
        return []

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += timedelta(seconds=seconds)
        self.on_sleep()

    def _send(self, _urls: Any, title: str, body: str, _kind: str) -> bool:
        if self.kill_at == "notify":
            raise KilledError
        if not self.receiver_fails:
            self.alerts.append((title, body))
        return not self.receiver_fails

    def _beat(self, _: str) -> bool:
        self.heartbeats += 1
        return True

    @property
    def _snapshot(self) -> Path:
        return self.folder / "snapshot.json"

    def _publish(self, project: Project) -> str:
        if self.kill_at == "publish":
            raise KilledError
        with duckdb.connect(str(project.database), read_only=True) as connection:
            row = connection.execute(
                """select max(as_of_date), max(clickstream_data_through),
                max(crm_data_through) from churn_scores"""
            ).fetchone()
        meta = {
            "published_at": self.now.isoformat(),
            "as_of_date": str(row[0]),
            "stale_after_days": 2,
            "schedule": Schedule.read(project.variables).as_settings(),
            "sources": {"clickstream": str(row[1]), "crm": str(row[2])},
        }
        self._snapshot.write_text(json.dumps(meta))
        return "Published."

    def _read_snapshot(self, _: Project) -> Mapping[str, Any] | None:
        return (
            json.loads(self._snapshot.read_text()) if self._snapshot.exists() else None
        )

    # ---- The stand-in for dbt -----------------------------------------------------

    def _build(
        self,
        project: Project,
        command: list[str],
        variables: Mapping[str, Any] | None = None,
        **_options: Any,
    ) -> Any:
        if command[0] == "run-operation":
            self.operations.append(command[1])
            return SimpleNamespace()
        if self.fail_build is not None:
            error, self.fail_build = self.fail_build, None
            raise error
        with duckdb.connect(str(project.database)) as connection:
            for statement in _TABLES.split(";"):
                if self.kill_at == "build" and "churn_score_history" in statement:
                    raise KilledError
                if statement.strip():
                    parameters = {"through": (variables or {})["loaded_through"]}
                    names = {key for key in parameters if f"${key}" in statement}
                    connection.execute(
                        statement, {name: parameters[name] for name in names}
                    )
        return SimpleNamespace(result=SimpleNamespace(results=[]))

    def _backfill(
        self, project: Project, days: list[date], _: Any, on_scored: Any
    ) -> None:
        with duckdb.connect(str(project.database)) as connection:
            for number, day in enumerate(days):
                if self.kill_at == "catch_up" and number == 1:
                    raise KilledError
                connection.execute(_HISTORY, {"day": day})
                on_scored(day)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.project.database), read_only=True) as connection:
            return connection.execute(query).fetchall()


_HISTORY = """
    insert into churn_score_history
    select account_id, as_of_date from (
        select distinct account_id, $day::date as as_of_date
        from raw.raw_accounts semi join int_crm_batch_dates as batches
            on raw_accounts.batch_date = batches.batch_date and batches.is_accepted
        where raw_accounts.batch_date < $day::date
    ) as scores anti join churn_score_history using (account_id, as_of_date)
"""

_TABLES = """
create or replace table int_source_watermarks as
with arrivals as (
    select 'raw_events' as source_relation, max(received_at) as last_arrived_at
    from raw.raw_events
    union all select 'raw_accounts', max(loaded_at) from raw.raw_accounts
    union all select 'raw_contacts', max(loaded_at) from raw.raw_contacts
    union all select 'raw_invoices', max(loaded_at) from raw.raw_invoices
    union all select 'raw_calls', max(loaded_at) from raw.raw_calls
)
select *, cast(greatest(
    max(last_arrived_at) over (),
    least($through::timestamp, max(last_arrived_at) over () + interval 12 hour)
) - interval 6 hour as date) as latest_complete_date from arrivals;

create or replace table int_crm_batch_dates as
select batch_date, count(*) >= 0.6 * max(count(*)) over () as is_accepted
from raw.raw_accounts group by 1;

create or replace table int_clickstream_daily_receipts as
select cast(received_at as date) as received_date, count(*) as events
from raw.raw_events group by 1;

create or replace table int_as_of_dates as
select max(latest_complete_date) as as_of_date from int_source_watermarks;

create or replace table churn_scores as
select
    a.account_id, d.as_of_date, 'm1' as model_version,
    (select max(received_at) from raw.raw_events
        where received_at < d.as_of_date + interval 6 hour) as clickstream_data_through,
    (select max(batch_date) from int_crm_batch_dates
        where is_accepted and batch_date < d.as_of_date) as crm_data_through
from (
    select distinct account_id
    from raw.raw_accounts semi join int_crm_batch_dates as batches
        on raw_accounts.batch_date = batches.batch_date and batches.is_accepted
) as a cross join int_as_of_dates as d;

create table if not exists churn_score_history (account_id varchar, as_of_date date);

insert into churn_score_history
select account_id, as_of_date
from churn_scores anti join churn_score_history using (account_id, as_of_date);

create table if not exists churn_models as
select 'm1' as model_version, as_of_date + interval 6 hour as trained_at,
    true as is_champion, null as quality_warning from int_as_of_dates
"""

FULL_DISK = OSError(errno.ENOSPC, "No space left on device")
