"""Weeks of `churn daily` with dbt and faults end as one build of all data.

`tests/unit/test_daily.py` has the same faults on a stand-in for dbt, and checks every
alert. Here dbt builds, and at the end all tables before the model equal those of a
database that was loaded and built once. Every day has one score per account.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from churn.demo import Settings, generate
from tests.support.project import DbtProject
from tests.support.tables import assert_same, contents

pytestmark = pytest.mark.long

START = date(2025, 4, 1)
DAYS = 150
# Days of the simulation; fewer for a try.
SIMULATED = int(os.environ.get("CHURN_SIMULATED_DAYS", "30"))
DUE = {
    "due_hour": 6,
    "wait_minutes": 0,
    "late_after_hours": 36,
    "stale_after_hours": 72,
}
# A small company has weeks without a call or an invoice.
SELDOM = {**DUE, "late_after_hours": 1_000, "stale_after_hours": 1_000}
VARIABLES = json.dumps(
    {
        "load_demo_seeds": False,
        "search_trials": 1,
        "sources_due": {
            **{"clickstream": DUE, "crm": DUE},
            **dict.fromkeys(("contacts", "billing", "support"), SELDOM),
        },
    }
)
LAYOUT = {
    "clickstream": "dt",
    "salesforce": "batch_date",
    "billing": "dt",
    "support": "dt",
}


class Month:
    """The company, its landing zone and its runs."""

    def __init__(self, project: DbtProject) -> None:
        self.project = project
        self.company = project.folder / "company"
        self.zone = project.folder / "landing"
        settings = Settings(accounts=30, days=DAYS, seed=2, start=START, activity=0.4)
        generate(settings, self.company, workers=1)

    def deliver(self, day: date, *sources: str) -> None:
        for source in sources or LAYOUT:
            name = f"{LAYOUT[source]}={day}"
            if (self.company / source / name).exists():
                shutil.copytree(
                    self.company / source / name,
                    self.zone / source / name,
                    dirs_exist_ok=True,
                )

    def command(self, now: str) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "churn", "daily", str(self.zone)]
        command += ["--json", "--vars", VARIABLES]
        folder = self.project.folder
        return command, {
            **self.project.environment,
            "CHURN_DUCKDB_PATH": str(self.project.database),
            "CHURN_STATE_DIR": str(folder / "state"),
            "CHURN_SERVING_URL": f"sqlite:///{folder / 'serving.db'}",
            "CHURN_NOW": now,
            "DBT_PROJECT_DIR": str(self.project.root),
        }

    def run(self, day: date, code: int = 0, hour: int = 8) -> None:
        command, environment = self.command(f"{day}T{hour:02}:15:00")
        finished = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == code, finished.stdout[-3_000:] + finished.stderr

    def kill(self, day: date, message: str) -> None:
        """Kill a run (SIGKILL) when it logs a message."""
        command, environment = self.command(f"{day}T08:15:00")
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        ) as run:
            for line in run.stdout or ():
                if message in json.loads(line)["message"]:
                    run.kill()
                    break
            run.communicate()
        assert run.returncode == -signal.SIGKILL


def test_a_month_with_faults_equals_one_build(
    module_project: DbtProject, tmp_path: Path
) -> None:
    month = Month(module_project)
    first = START + timedelta(days=DAYS - SIMULATED)
    day = START - timedelta(days=1)
    while day < first - timedelta(days=1):
        month.deliver(day)
        day += timedelta(days=1)
    late: dict[date, tuple[date, str]] = {}
    for number in range(SIMULATED):
        today = first + timedelta(days=number)
        yesterday = today - timedelta(days=1)
        for due, (of_day, source) in list(late.items()):
            if due <= today:
                month.deliver(of_day, source)
                del late[due]
        fault = number % 10
        if fault == 2:
            # The CRM batch comes two days later.
            month.deliver(yesterday, "clickstream", "billing", "support")
            late[today + timedelta(days=2)] = yesterday, "salesforce"
            month.run(today)
        elif fault == 4:
            # A file that cannot be read, delivered again an hour later.
            month.deliver(yesterday)
            folder = month.zone / "clickstream" / f"dt={yesterday}"
            file = next(folder.iterdir())
            file.write_bytes(file.read_bytes()[:100])
            month.run(today, code=1)
            month.deliver(yesterday)
            month.run(today, hour=9)
        elif fault == 5:
            month.deliver(yesterday)
            month.kill(today, "started")
            month.run(today, hour=9)
        elif fault == 6:
            month.deliver(yesterday)
            month.kill(today, "undocumented_json_paths found")
            month.run(today, hour=9)
        elif fault == 7:
            # The scheduler is broken.
            month.deliver(yesterday)
        elif fault == 8:
            # Everything is delivered and run twice.
            month.deliver(yesterday)
            month.run(today)
            month.deliver(yesterday)
            month.run(today, hour=9)
        else:
            month.deliver(yesterday)
            month.run(today)
    for of_day, source in late.values():
        month.deliver(of_day, source)
    last = first + timedelta(days=SIMULATED - 1)
    month.run(last, hour=10)

    days = module_project.query(
        """select as_of_date, count(*), count(distinct account_id)
        from (
            from churn_score_history
            qualify row_number() over (
                partition by account_id, as_of_date, model_version
            ) = 1
        ) group by 1 order by 1"""
    )
    assert [as_of for as_of, _, _ in days] == [
        first + timedelta(days=number) for number in range(SIMULATED)
    ]
    assert (
        module_project.query(
            """select count(*) from churn_score_history
        group by account_id, as_of_date, model_version having count(*) > 1"""
        )
        == []
    )
    assert module_project.query("select count(*) from pipeline_runs")[0][0] >= SIMULATED

    # One load and one build of the same files.
    other = DbtProject(tmp_path)
    run = Month.__new__(Month)
    run.project, run.zone = other, month.zone
    run.run(last, hour=10)
    assert_same(contents(module_project), contents(other))
