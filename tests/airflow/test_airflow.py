"""The DAG under Airflow 3, with PostgreSQL as Airflow's database.

``make test-airflow`` builds Airflow's environment and runs these tests. Airflow calls
the real command on a small demo company with a clock in its past.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from churn.demo import Settings, generate
from tests.support.paths import ROOT
from tests.support.postgres import find_postgres, running_postgres

AIRFLOW = Path(os.environ.get("AIRFLOW_VENV", ROOT / ".venv-airflow")) / "bin"
DAGS = ROOT / "deploy" / "airflow" / "dags"
START = date(2025, 4, 1)
DAYS = 130
# The as-of date of the first run; the company has data of some days after it.
FIRST = START + timedelta(days=DAYS - 6)
SOURCES = {
    "clickstream": "dt",
    "salesforce": "batch_date",
    "billing": "dt",
    "support": "dt",
}

pytestmark = pytest.mark.airflow


@dataclass
class Deployment:
    """Airflow, the project and the landing zone.

    Attributes:
        folder: Where everything is.
        url: Airflow's database.
    """

    folder: Path
    url: sa.URL

    @property
    def environment(self) -> dict[str, str]:
        airflow_url = self.url.set(drivername="postgresql+psycopg2")
        return {
            **os.environ,
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow_url.render_as_string(False),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "CHURN_COMMAND": str(Path(sys.executable).parent / "churn"),
            "CHURN_PROJECT_DIR": str(ROOT),
            "CHURN_LANDING_ZONE": str(self.zone),
            "CHURN_DUCKDB_PATH": str(self.database),
            "CHURN_STATE_DIR": str(self.folder / "state"),
            "CHURN_SERVING_URL": f"sqlite:///{self.folder / 'serving.db'}",
            "CHURN_RETRY_SECONDS": "1",
            "DBT_PROFILES_DIR": str(ROOT),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "PYTHONPATH": str(ROOT),
        }

    @property
    def zone(self) -> Path:
        return self.folder / "landing"

    @property
    def database(self) -> Path:
        return self.folder / "airflow_test.duckdb"

    def deliver_until(self, day: date, without: tuple[str, ...] = ()) -> None:
        """Copy the files of all days before ``day``."""
        for source, key in SOURCES.items():
            for folder in (self.folder / "company" / source).iterdir():
                delivered = self.zone / source / folder.name
                is_due = folder.name < f"{key}={day}"
                is_kept_back = source in without and folder.name == (
                    f"{key}={day - timedelta(days=1)}"
                )
                if is_due and not is_kept_back and not delivered.exists():
                    shutil.copytree(folder, delivered)

    def airflow(self, *arguments: str) -> str:
        finished = subprocess.run(
            [AIRFLOW / "airflow", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def test_dag(self, day: date, **changes: str) -> dict[str, str]:
        """Run ``dag.test()`` for a day; return the state of the run and each task."""
        program = f"""
import json, sys
from datetime import UTC, datetime
sys.path.insert(0, {str(DAGS)!r})
from churn_daily import dag
run = dag.test(logical_date=datetime({day.year}, {day.month}, {day.day}, 6, 15,
    tzinfo=UTC))
states = {{each.task_id: str(each.state) for each in run.get_task_instances()}}
print("STATES " + json.dumps({{"run": str(run.state), **states}}))
"""
        finished = subprocess.run(
            [AIRFLOW / "python", "-c", program],
            env={**self.environment, "CHURN_NOW": f"{day}T08:15:00", **changes},
            capture_output=True,
            text=True,
            check=False,
        )
        for line in finished.stdout.splitlines():
            if line.startswith("STATES "):
                states: dict[str, str] = json.loads(line.removeprefix("STATES "))
                return {key: value.split(".")[-1] for key, value in states.items()}
        pytest.fail(finished.stdout[-5_000:] + finished.stderr[-5_000:])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Provide an initialised Airflow and a company with a past."""
    programs = find_postgres()
    if programs is None or not (AIRFLOW / "airflow").exists():
        pytest.fail("`make test-airflow` installs what these tests need.")
    folder = tmp_path_factory.mktemp("airflow")
    company = Settings(accounts=60, days=DAYS, seed=2, start=START, activity=0.4)
    generate(company, folder / "company", workers=1)
    (folder / "postgres").mkdir()
    with running_postgres(programs, folder / "postgres") as url:
        deployment = Deployment(folder, url)
        deployment.airflow("db", "migrate")
        deployment.airflow("pools", "set", "churn_writer", "1", "Steps of churn daily")
        yield deployment


def test_a_good_a_late_and_a_failing_day(deployment: Deployment) -> None:
    deployment.deliver_until(FIRST)
    states = deployment.test_dag(FIRST)
    assert states == dict.fromkeys(states, "success")
    assert len(states) == 12
    run = (
        "select status, as_of_date, failed_step from pipeline_runs order by started_at"
    )
    assert deployment.rows(run) == [("ok", FIRST, None)]

    # The CRM batch of the day before is late: its task is skipped, the run goes on.
    late = FIRST + timedelta(days=1)
    deployment.deliver_until(late, without=("salesforce",))
    states = deployment.test_dag(late)
    assert states.pop("wait_for_crm") == "skipped"
    assert states == dict.fromkeys(states, "success")
    assert deployment.rows(run)[-1] == ("ok", late, None)
    (alerts,) = deployment.rows(
        "select alerts from pipeline_runs order by started_at desc limit 1"
    )
    assert f"The CRM batch of {FIRST.day} {FIRST:%b} is missing." in alerts[0]

    # A build that fails: later steps do not run, and the last one tells.
    failing = FIRST + timedelta(days=2)
    deployment.deliver_until(failing)
    states = deployment.test_dag(failing, DBT_TARGET_PATH="/proc/none")
    assert states["run"] == "failed"
    assert states["build"] == "failed"
    assert states["publish"] == "upstream_failed"
    assert states["notify"] == "failed"
    assert deployment.rows(run)[-1][0::2] == ("failed", "build")


def test_a_scheduler_runs_a_day_and_clears_it(deployment: Deployment) -> None:
    """The scheduler, the processor of DAGs and the API server, with LocalExecutor."""
    day = FIRST + timedelta(days=3)
    deployment.deliver_until(day)
    deployment.airflow("dags", "reserialize")
    with running_airflow(deployment, day) as state_of:
        deployment.airflow("dags", "unpause", "churn_daily")
        logical_date = f"{day}T06:15:00+00:00"
        deployment.airflow(
            *("dags", "trigger", "churn_daily", "--logical-date", logical_date),
            *("--run-id", f"test__{day}"),
        )
        assert state_of(f"test__{day}") == "success"
        # The days that failed or were missed have scores.
        days = [
            scored
            for (scored,) in deployment.rows(
                "select distinct as_of_date from churn_score_history order by 1"
            )
        ]
        assert days == [FIRST + timedelta(days=number) for number in range(4)]
        scores = deployment.rows("select count(*) from churn_score_history")
        # Clearing a day runs it again and doubles nothing.
        deployment.airflow(
            *("tasks", "clear", "churn_daily", "--yes"),
            *("--start-date", logical_date, "--end-date", logical_date),
        )
        assert state_of(f"test__{day}") == "success"
        assert deployment.rows("select count(*) from churn_score_history") == scores
    assert deployment.rows(
        f"select status, as_of_date from pipeline_runs where run_id = 'test__{day}'"
    ) == [("ok", day)]


@contextlib.contextmanager
def running_airflow(deployment: Deployment, day: date) -> Iterator[Any]:
    """Run Airflow's processes; yield a function that waits for a run's end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **deployment.environment,
        "CHURN_NOW": f"{day}T08:15:00",
        "CHURN_SCHEDULE": "15 6 * * *",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": (
            f"http://127.0.0.1:{port}/execution/"
        ),
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of this test only, 32 letters",
        "AIRFLOW__API__SECRET_KEY": "another secret of this test only, 32",
    }
    logs = deployment.folder / "processes"
    logs.mkdir(exist_ok=True)
    processes = []
    for name in ("api-server", "scheduler", "dag-processor"):
        with (logs / f"{name}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [AIRFLOW / "airflow", name],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
    engine = sa.create_engine(deployment.url, poolclass=sa.NullPool)

    def state_of(run_id: str) -> str:
        deadline = time.monotonic() + 900
        state = "none"
        while time.monotonic() < deadline:
            time.sleep(2)
            with engine.connect() as connection:
                state = str(
                    connection.scalar(
                        sa.text("select state from dag_run where run_id = :run"),
                        {"run": run_id},
                    )
                )
            if state in ("success", "failed"):
                return state
            dead = [each for each in processes if each.poll() is not None]
            if dead:
                break
        texts = [path.read_text()[-3_000:] for path in logs.iterdir()]
        pytest.fail(f"the run is {state}:\n" + "\n".join(texts))

    try:
        yield state_of
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
