"""The files under deploy/ and the runbook fit the commands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from churn.cli.daily import SOURCES, STEPS, command
from churn.operations import daily, schedule
from tests.support.paths import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for unit in UNITS:
        # The program is at another place on this machine.
        text = unit.read_text().replace("/opt/churn/.venv/bin/churn", sys.executable)
        (tmp_path / unit.name).write_text(text)
    finished = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    messages = [
        line
        for line in finished.stderr.splitlines()
        if any(unit.name in line for unit in UNITS)
    ]
    assert messages == []
    assert finished.returncode == 0


def test_the_commands_of_cron_and_systemd_exist() -> None:
    service = (ROOT / "deploy/systemd/churn-daily.service").read_text()
    cron = (ROOT / "deploy/cron/churn-daily").read_text().splitlines()[-1]
    for line in (re.search("ExecStart=(.*)", service)[1], cron.partition(">>")[0]):
        words = shlex.split(line)
        arguments = words[words.index("daily") + 1 :]
        command.make_context("daily", arguments)
    assert len(cron.split()[:6]) == 6
    assert cron.split()[5] == "churn"


def test_every_alert_has_a_section_in_the_runbook() -> None:
    source = (ROOT / "churn/operations/status.py").read_text()
    kinds = set(re.findall(r'Problem\(\s*f?"(\w+)', source))
    # `source_late` and `source_stale` are made of one text.
    kinds = (kinds - {"source_"}) | {"source_late", "source_stale"}
    assert len(kinds) > 12
    sections = set(re.findall(r"^## (\w+)$", (ROOT / "RUNBOOK.md").read_text(), re.M))
    assert kinds == sections


def test_the_command_line_has_the_steps_and_sources_of_the_run() -> None:
    assert STEPS == daily.STEPS
    assert SOURCES == schedule.SOURCES


def test_the_dag_calls_steps_that_exist() -> None:
    dag = (ROOT / "deploy/airflow/dags/churn_daily.py").read_text()
    assert set(re.findall(r'"--steps (\w+)', dag)) == set(STEPS)
    (sources,) = re.findall(r"^SOURCES = (\(.*\))$", dag, re.M)
    assert eval(sources) == SOURCES
