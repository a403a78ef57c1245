"""A month of daily runs with faults, on a stand-in for dbt.

Each day is checked for its exit code, its alerts and the banner of the page. At the
end, no row is lost or doubled, and the scores are those of a month without faults.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from churn.config import UserError
from churn.operations.runs import Journal, run_lock, state_folder
from churn.operations.schedule import DAY
from tests.support.serving import project_of
from tests.support.simulated_month import FIRST, FULL_DISK, Company, KilledError

DIGEST = "churn this morning"


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Company:
    """Provide a company with a week of data and one run."""
    return new_company(tmp_path, monkeypatch)


def new_company(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Company:
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("CHURN_STATE_DIR", str(folder / "state"))
    for name in ("ALERT", "DIGEST"):
        monkeypatch.setenv(f"CHURN_{name}_URLS", "json://127.0.0.1:9/none")
    monkeypatch.setenv("CHURN_HEARTBEAT_URL", "http://127.0.0.1:9/none")
    company = Company(folder, project_of(folder / "month.duckdb"))
    for number in range(8, 1, -1):
        company.deliver(FIRST - number * DAY)
    return company


def morning(company: Company, day: date, hour: int = 6, minute: int = 15) -> None:
    company.now = datetime.combine(day, time(hour, minute), UTC)


def august(day: int) -> date:
    return date(2025, 8, day)


class Day:
    """Runs on one morning, and what they must tell."""

    def __init__(self, company: Company, day: date) -> None:
        self.company, self.day = company, day
        morning(company, day)

    def run(self, code: int, *reported: str, hour: int = 6, **options: Any) -> str:
        """Run, and check the exit code, the alerts and the heartbeat.

        Args:
            code: The expected exit code.
            reported: A part of each expected message, in order, without the digest.
            hour: The hour of the run, if it is later.
            options: Options of the run.

        Returns:
            All messages.
        """
        company = self.company
        if hour != 6:
            morning(company, self.day, hour)
        before = len(company.alerts), company.heartbeats
        assert company.run(**options) == code, (self.day, company.alerts[before[0] :])
        sent = company.alerts[before[0] :]
        messages = [f"{title} {body}" for title, body in sent if title != DIGEST]
        assert len(messages) == len(reported), (self.day, messages)
        for message, part in zip(messages, reported, strict=True):
            assert part in message
        if not company.receiver_fails:
            assert [title for title, _ in sent].count(DIGEST) == 1
            assert company.heartbeats - before[1] == (code != 1)
        return "\n".join(messages)


def normal(company: Company, day: date) -> None:
    company.deliver(day - DAY)
    Day(company, day).run(0)
    assert not company.banner().needs_banner
    status = company.status()
    assert status.exit_code == 0
    assert status.facts.as_of_date == day


def killed(company: Company, step: str) -> None:
    company.kill_at = step
    with pytest.raises(KilledError):
        company.run()
    company.kill_at = None
    # Without another run, the state says so.
    (problem, *_) = company.status().problems
    assert problem.kind == "run_interrupted"
    assert company.status().exit_code == 1


def month_with_faults(company: Company) -> None:
    for number in range(1, 5):
        normal(company, august(number))

    # The CRM batch is missing for a day, within the limit.
    company.deliver(august(4), "clickstream", "billing", "support")
    Day(company, august(5)).run(0, "[warning] churn The CRM batch of 4 Aug is missing.")
    company.deliver(august(4), "crm")
    company.deliver(august(5))
    Day(company, august(6)).run(0, "[solved] churn Solved: The CRM batch of 4 Aug")
    normal(company, august(7))

    # Half of a batch.
    company.deliver(august(7), "clickstream", "billing", "support")
    company.deliver(august(7), "crm", accounts=10)
    Day(company, august(8)).run(0, "The CRM batch of 7 Aug is incomplete")
    file = company.zone / "salesforce/batch_date=2025-08-07/accounts.csv"
    incomplete = file.read_text()
    company.deliver(august(7), "crm")
    file.rename(file.with_name("accounts_complete.csv"))
    file.write_text(incomplete)
    company.deliver(august(8))
    Day(company, august(9)).run(0, "[solved]")
    normal(company, august(10))

    # No batch for three days.
    for number in (10, 11, 12):
        company.deliver(august(number), "clickstream", "billing", "support")
        day = Day(company, august(number + 1))
        if number == 10:
            day.run(0, "The CRM batch of 10 Aug is missing.")
        elif number == 11:
            text = day.run(2, "[critical]", "The CRM batch of 11 Aug is missing.")
            assert (
                "Scores of 12 Aug are stale: CRM batches of 10 and 11 Aug missing "
                "(newest 9 Aug, limit 2 days); clickstream ok. Deliver the batch, then "
                "run `churn daily`. Log: "
            ) in text
            assert company.banner().needs_banner
            assert company.status().exit_code == 2
        else:
            day.run(2, "The CRM batch of 12 Aug is missing.")
            (late,) = company.banner().late
            assert (late.name, late.through) == ("the CRM", august(9))
    for number in (10, 11, 12):
        company.deliver(august(number), "crm")
    company.deliver(august(13))
    Day(company, august(14)).run(0, "[solved]", "[solved]")
    assert not company.banner().needs_banner

    # A file that cannot be read, until it is delivered again.
    company.deliver(august(14))
    file = company.zone / "support/dt=2025-08-14/calls.csv"
    file.write_bytes(b"\x1f\x8b\x08\x00 no gzip")
    text = Day(company, august(15)).run(1, "A file was not loaded")
    assert "support/dt=2025-08-14/calls.csv" in text
    assert "Deliver the file again" in text
    company.deliver(august(14), "support")
    company.deliver(august(15))
    Day(company, august(16)).run(0, "[solved]")

    # A batch is delivered twice, and a day is run twice.
    company.deliver(august(16))
    Day(company, august(17)).run(0)
    company.deliver(august(16))
    Day(company, august(17)).run(0, hour=8)
    normal(company, august(18))

    # The disk is full.
    company.deliver(august(18))
    company.fail_build = FULL_DISK
    text = Day(company, august(19)).run(1, "[critical]")
    assert "The daily run failed at `build`" in text
    assert "No space left on device" in text
    morning(company, august(19), 10)
    assert company.banner().needs_banner
    assert {problem.kind for problem in company.status().problems} == {
        *("run_failed", "scores_late")
    }
    company.deliver(august(19))
    Day(company, august(20)).run(0, "[solved]")

    # Killed while it builds, and run again.
    company.deliver(august(20))
    morning(company, august(21))
    killed(company, "build")
    Day(company, august(21)).run(0, hour=7)

    # The scheduler is broken for two days; then a run is killed while it catches up.
    company.deliver(august(21))
    company.deliver(august(22))
    morning(company, august(23), 12)
    assert company.status().exit_code == 2
    assert company.banner().is_old
    company.deliver(august(23))
    morning(company, august(24))
    killed(company, "catch_up")
    Day(company, august(24)).run(0, hour=8)
    company.deliver(august(24))
    morning(company, august(25))
    killed(company, "publish")
    Day(company, august(25)).run(0, hour=7)
    company.deliver(august(25))
    morning(company, august(26))
    company.kill_at = "notify"
    with pytest.raises(KilledError):
        company.run()
    company.kill_at = None
    Day(company, august(26)).run(0, hour=7)

    # Two runs at once.
    company.deliver(august(26))
    morning(company, august(27))
    folder = state_folder(company.project)
    with (
        run_lock(folder, "other"),
        pytest.raises(UserError, match="Another `churn daily` is running"),
    ):
        company.run()
    Day(company, august(27)).run(0)

    # The clock jumps forward, then back.
    company.deliver(august(27))
    Day(company, august(31)).run(2, "[critical]", "[warning]")
    Day(company, august(28)).run(0, "[solved]", "[solved]", hour=7)
    text = Day(company, august(25)).run(1, "[critical]")
    assert "correct the clock" in text
    company.deliver(august(28))
    Day(company, august(29)).run(0, "[solved]")

    # A source arrives while the run waits for it.
    company.deliver(august(29), "clickstream", "billing", "support", "crm")
    files = company.zone / "salesforce/batch_date=2025-08-29"
    files.rename(company.folder / "delayed")
    company.on_sleep = lambda: (
        company.slept >= 1_800
        and not files.exists()
        and (company.folder / "delayed").rename(files)
    )
    Day(company, august(30)).run(0, waits=True)
    assert 1_800 <= company.slept <= 1_860
    company.on_sleep = lambda: None

    # Nobody receives alerts for a day; the wait for the batch ends.
    company.deliver(august(30), "clickstream", "billing", "support")
    company.receiver_fails = True
    company.slept = 0
    Day(company, august(31)).run(0, waits=True)
    # From 06:15 to 07:30.
    assert company.slept == 75 * 60
    company.receiver_fails = False
    company.deliver(august(31))
    Day(company, date(2025, 9, 1)).run(0, "The CRM batch of 30 Aug is missing.")
    company.deliver(august(30), "crm")
    company.deliver(date(2025, 9, 1))
    Day(company, date(2025, 9, 2)).run(0, "[solved]")


@pytest.mark.slow
def test_a_month_with_faults_ends_as_one_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faultless = new_company(tmp_path / "faultless", monkeypatch)
    for number in range(33):
        normal(faultless, FIRST + number * DAY)
    assert {title for title, _ in faultless.alerts} == {DIGEST}

    company = new_company(tmp_path / "faults", monkeypatch)
    month_with_faults(company)
    assert not company.banner().needs_banner
    queries = [
        "select payload, count(*) from raw.raw_events group by 1 order by 1",
        """select distinct batch_date, account_id from raw.raw_accounts
        order by 1, 2""",
        "select * exclude (loaded_at) from raw.raw_invoices order by invoice_id",
        "select * from raw.raw_calls order by call_id",
        "select * from int_crm_batch_dates order by 1",
        "select * from int_source_watermarks order by 1",
        "select * from churn_scores order by 1",
        """select account_id, as_of_date, count(*) from churn_score_history
        group by 1, 2 order by 1, 2""",
    ]
    for query in queries:
        assert company.rows(query) == faultless.rows(query), query

    runs = company.rows("select run_id, status, failed_step from pipeline_runs")
    assert len({run_id for run_id, _, _ in runs}) == len(runs)
    counts = {status: 0 for _, status, _ in runs}
    for _, status, _ in runs:
        counts[status] += 1
    assert counts == {"ok": 28, "stale": 3, "failed": 3, "interrupted": 4, "refused": 1}
    journal = Journal(state_folder(company.project))
    assert len(journal.runs()) == len(runs)
    # The run that was killed had scored another day.
    caught_up = [day for run in journal.runs() for day in run.get("caught_up", [])]
    assert caught_up == ["2025-08-19", "2025-08-23"]


def test_logs_are_json_with_the_run_id(company: Company) -> None:
    normal(company, FIRST)
    run = Journal(state_folder(company.project)).last_run()
    assert run is not None
    records = [json.loads(line) for line in Path(run["log"]).read_text().splitlines()]
    assert {record["run_id"] for record in records} == {run["run_id"]}
    steps = [each["step"] for each in records if each["message"] == "finished"]
    assert steps == [
        *("wait", "load", "build", "catch_up", "verify", "publish", "notify")
    ]


def test_records_expire_after_a_build(company: Company) -> None:
    normal(company, FIRST)
    assert company.operations == []
    variables = {**company.project.variables, "raw_days_kept": 90}
    company.project = replace(company.project, variables=variables)
    normal(company, FIRST + DAY)
    assert company.operations == ["delete_expired"]


def test_steps_of_a_scheduler_are_one_run(company: Company) -> None:
    """Each step is a process of its own, such as a task of Airflow."""
    company.deliver(FIRST - DAY)
    morning(company, FIRST)
    for step in ("wait", "load", "build", "catch_up", "verify", "publish", "notify"):
        assert company.run(steps=(step,), run_id="daily__2025-08-01") == 0
    (run,) = company.rows("select * from pipeline_runs")
    assert run[0] == "daily__2025-08-01"
    assert company.rows(
        "select status, rows_clickstream, rows_crm, as_of_date from pipeline_runs"
    ) == [("ok", 64, 168, FIRST)]


def test_a_failed_step_is_reported_by_the_last_one(company: Company) -> None:
    company.deliver(FIRST - DAY)
    morning(company, FIRST)
    company.fail_build = UserError("`dbt build` failed at churn_labels")
    assert company.run(steps=("load",), run_id="r1") == 0
    assert company.run(steps=("build",), run_id="r1") == 1
    assert company.run(steps=("notify",), run_id="r1") == 1
    assert (
        "failed at `build`: `dbt build` failed at churn_labels."
        in (company.alerts[0][1])
    )
    # The task is cleared and runs again.
    for step in ("build", "catch_up", "verify", "publish", "notify"):
        assert company.run(steps=(step,), run_id="r1") == 0
    assert company.alerts[-2][0] == "[solved] churn"
    assert company.rows("select status, failed_step from pipeline_runs") == [
        ("ok", None)
    ]


def test_a_late_source_is_one_step_with_exit_code_2(company: Company) -> None:
    company.deliver(FIRST - DAY, "clickstream")
    morning(company, FIRST, 12)
    options = {"steps": ("wait",), "run_id": "r1", "waits": True}
    assert company.run(source="clickstream", **options) == 0
    assert company.run(source="crm", **options) == 2
    assert company.slept == 0


def test_a_past_date_is_scored_on_demand(company: Company) -> None:
    company.deliver(FIRST - DAY)
    company.deliver(FIRST)
    Day(company, FIRST + DAY).run(0)
    assert company.run(as_of=FIRST) == 0
    assert company.rows(
        "select distinct as_of_date from churn_score_history order by 1"
    ) == [(FIRST,), (FIRST + DAY,)]
    # A date that is not final fails the run, with a sentence.
    assert company.run(as_of=FIRST + 7 * DAY) == 1
    assert "There are no scores of 2025-08-08" in company.alerts[-2][1]


def test_a_journal_that_cannot_be_written_is_reported(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    normal(company, FIRST)

    def fail(*_: Any, **__: Any) -> None:
        raise FULL_DISK

    monkeypatch.setattr(Journal, "write", fail)
    company.fail_build = FULL_DISK
    company.deliver(FIRST)
    Day(company, FIRST + DAY).run(1, "No space left on device")


def test_a_database_that_is_in_use_is_no_false_alarm(company: Company) -> None:
    normal(company, FIRST)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1); input()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program, str(company.project.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        status = company.status()
        assert [problem.key for problem in status.problems] == ["tables_unreadable"]
        assert f"process {holder.pid}" in status.problems[0].sentence
        assert status.exit_code == 1
        with run_lock(state_folder(company.project), "other"):
            status = company.status()
        assert [problem.key for problem in status.problems] == ["run_in_progress"]
        assert status.exit_code == 0
        # The run itself fails, and says who holds the database.
        company.deliver(FIRST)
        text = Day(company, FIRST + DAY).run(1, "[critical]")
        assert "run_failed" not in text
        assert f"process {holder.pid}" in text
        holder.communicate(b"\n")
    Day(company, FIRST + DAY).run(0, "[solved]", hour=8)


def test_a_damaged_journal_loses_one_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("r1", started_at="2025-08-01T06:15:00+00:00", status="running")
    with journal.path.open("ab") as file:
        file.write(b'{"run_id": "r1", "sta')
    journal.write("r2", started_at="2025-08-02T06:15:00+00:00", status="ok")
    assert [run["run_id"] for run in journal.runs()] == ["r1", "r2"]
    assert journal.end_interrupted() == ["r1"]
    assert journal.get("r1")["status"] == "interrupted"


def test_the_heartbeat_stops_if_nobody_was_reported(company: Company) -> None:
    company.receiver_fails = True
    company.deliver(FIRST - DAY, "clickstream")
    morning(company, FIRST)
    company.run()
    assert company.heartbeats == 0


@pytest.mark.parametrize("run_id", ["", "a b", "../x/y", "a\nb", "x" * 201, "$(id)"])
def test_a_run_id_is_no_path_and_no_text_of_a_shell(
    company: Company, run_id: str
) -> None:
    with pytest.raises(UserError, match="--run-id"):
        company.run(run_id=run_id or " ")


def test_a_long_wait_is_bounded_by_the_clock(company: Company) -> None:
    morning(company, FIRST)
    company.run(waits=True)
    assert company.now - datetime.combine(FIRST, time(7, 30), UTC) < timedelta(
        minutes=1
    )


def test_actions_are_exported_and_a_failure_stops_nothing(company: Company) -> None:
    normal(company, FIRST)
    company.export_error = UserError("The store is broken.")
    company.deliver(FIRST)
    morning(company, FIRST + DAY)
    assert company.run() == 0
    assert company.exported_to == [company.zone, company.zone]
    (problem,) = company.status().problems
    assert problem.kind == "actions_not_exported"
    assert "not exported: The store is broken." in str(problem)
