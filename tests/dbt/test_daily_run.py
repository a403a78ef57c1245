"""`churn daily` with dbt, from the terminal: killed, run again, and the runbook."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from churn.demo import Settings, generate
from tests.support.paths import ROOT
from tests.support.project import DbtProject

START = date(2025, 4, 1)
DAYS = 140
# The morning after the last day of the company.
AS_OF = START + timedelta(days=DAYS)
VARIABLES = json.dumps({"load_demo_seeds": False})


@dataclass
class Terminal:
    """Runs commands on one project and records what receivers of alerts get."""

    project: DbtProject
    port: int
    alerts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def landing_zone(self) -> Path:
        return self.project.folder / "landing"

    @property
    def environment(self) -> dict[str, str]:
        folder = self.project.folder
        return {
            **self.project.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CHURN_DUCKDB_PATH": str(self.project.database),
            "CHURN_STATE_DIR": str(folder / "state"),
            "CHURN_SERVING_URL": f"sqlite:///{folder / 'serving.db'}",
            "CHURN_ALERT_URLS": f"json://127.0.0.1:{self.port}/alerts",
            "CHURN_HEARTBEAT_URL": f"http://127.0.0.1:{self.port}/heartbeat",
            "CHURN_NOW": f"{AS_OF}T08:15:00",
            "DBT_PROJECT_DIR": str(ROOT),
            "LANDING": str(self.landing_zone),
            "DAY": str(AS_OF - timedelta(days=40)),
        }

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command],
            cwd=self.project.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def daily(self) -> str:
        return f'churn daily --json --vars {shlex.quote(VARIABLES)} "$LANDING"'

    def kill_at(self, text: str) -> None:
        """Start the daily run and kill it (SIGKILL) when it logs a text."""
        with subprocess.Popen(
            ["sh", "-c", f"exec {self.daily}"],
            cwd=self.project.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as run:
            for line in run.stdout or ():
                if text in line:
                    run.kill()
                    break
            run.communicate()
        assert run.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def terminal(module_project: DbtProject) -> Iterator[Terminal]:
    """Provide a company whose first run was killed and whose second one ended."""
    received: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            received.append(json.loads(self.rfile.read(length)))
            self._answer()

        def do_GET(self) -> None:
            received.append({"heartbeat": self.path})
            self._answer()

        def _answer(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        terminal = Terminal(module_project, server.server_port, received)
        company = Settings(accounts=40, days=DAYS, seed=2, start=START, activity=0.4)
        generate(company, terminal.landing_zone, workers=1)
        yield terminal
        server.shutdown()


def test_a_killed_run_is_continued_by_the_next_one(terminal: Terminal) -> None:
    terminal.kill_at('"started", "step": "build"')
    status = terminal.run("churn status --json")
    assert status.returncode == 1
    assert json.loads(status.stdout)["problems"][0]["key"] == "run_interrupted"
    assert terminal.alerts == []

    finished = terminal.run(terminal.daily)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    records = [json.loads(line) for line in finished.stdout.splitlines()]
    assert len({record["run_id"] for record in records}) == 1
    # Checks that warn are reported; the heartbeat follows.
    assert terminal.alerts[0]["title"] == "[warning] churn"
    assert "undocumented_json_paths found" in terminal.alerts[0]["message"]
    assert terminal.alerts[-1] == {"heartbeat": "/heartbeat"}

    rows = terminal.project.query(
        """select status, as_of_date, rows_clickstream > 1000, nodes_error, nodes_warn,
        model_version is not null, alerts is not null from pipeline_runs
        order by started_at, status"""
    )
    assert [row[0] for row in rows] == ["interrupted", "ok"]
    assert rows[1][1:4] == (AS_OF, None, 0)
    # The killed run had loaded the files.
    assert rows[0][2] is True
    assert rows[1][4] > 0
    assert rows[1][5:] == (True, True)
    records_and_files = terminal.project.query(
        """select (select count(*) from raw.raw_events),
        (select sum(rows) from raw.loaded_files where table_name = 'raw_events')"""
    )
    assert records_and_files[0][0] == records_and_files[0][1]


def test_status_and_is_stale_follow_the_clock(terminal: Terminal) -> None:
    status = terminal.run("churn status")
    assert status.returncode == 0, status.stdout
    late = terminal.run(f"CHURN_NOW={AS_OF + timedelta(days=1)}T09:00:00 churn status")
    assert late.returncode == 2
    assert "Scores of" in late.stdout
    # The view uses the real clock.
    assert terminal.project.query("select distinct is_stale from churn_scores") == [
        (True,)
    ]
    assert terminal.project.query(
        "select distinct is_stale from churn_score_history"
    ) == [(False,)]


def test_a_date_that_is_not_final_fails(terminal: Terminal) -> None:
    finished = terminal.project.dbt(
        *("run", "--select", "int_as_of_dates"),
        check=False,
        load_demo_seeds=False,
        as_of_date="2031-01-01",
    )
    assert not finished.succeeded
    assert "The as_of_date 2031-01-01 is not final yet" in finished.output
    # Later tests read the table.
    terminal.project.dbt("run", "--select", "int_as_of_dates", load_demo_seeds=False)


def runbook_commands() -> list[str]:
    blocks = re.findall(
        r"```console\n(.*?)```", (ROOT / "RUNBOOK.md").read_text(), re.DOTALL
    )
    return list(dict.fromkeys(line for block in blocks for line in block.splitlines()))


@pytest.mark.long
def test_every_command_of_the_runbook_runs(terminal: Terminal) -> None:
    commands = runbook_commands()
    assert len(commands) >= 12
    for command in commands:
        if command.startswith("churn daily --no-wait"):
            command = f"{command} --vars {shlex.quote(VARIABLES)}"
        finished = terminal.run(command)
        assert finished.returncode == 0 or (
            # The data are old by dbt's clock.
            command == "dbt source freshness" and finished.returncode == 1
        ), command + finished.stdout + finished.stderr
        assert finished.stdout, command
