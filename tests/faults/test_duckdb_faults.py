"""After any fault of disk, process or clock, one more run equals a clean build.

``make test-faults`` runs it. Every case starts with the same database: a small dirty
company, built once, to which more rows have arrived. The run that meets the fault ends
with an error in words. Then one more run builds the tables of a run without a fault,
which other tests compare with a full refresh.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import arrivals
from tests.support.faults import DiskFault, environment_of_clock, kill_after, run
from tests.support.project import DbtProject
from tests.support.tables import assert_same, contents

pytestmark = pytest.mark.long

# Moments and sizes; fewer for a try.
KILLS = int(os.environ.get("CHURN_FAULT_KILLS", "50"))
SIZES = int(os.environ.get("CHURN_FAULT_SIZES", "16"))
BUILD = ("build", "--exclude-resource-types", "test", "unit_test")
VARIABLES = {"load_demo_seeds": False}
# The line of dbt before the first model.
STARTED = "Concurrency:"
YEAR = 365 * 86_400


class Company:
    """A project whose database can be set back to the state before a run."""

    def __init__(self, project: DbtProject) -> None:
        self.project = project
        # A folder of its own, so that dbt's files are on a disk without faults.
        self.disk = project.folder / "disk"
        self.disk.mkdir()
        self.start = project.folder / "start.duckdb"
        project.create_raw_tables()
        first, second = arrivals.batches(
            4, arrivals.company(4, events=1_500, visitors=30), count=2
        )
        arrivals.append_raw(project, first)
        project.dbt(*BUILD, **VARIABLES)
        arrivals.append_raw(project, second)
        shutil.move(project.database, self.start)
        self.reset()
        started = time.monotonic()
        self.run_again()
        self.seconds = time.monotonic() - started
        self.expected = contents(project)

    @property
    def environment(self) -> dict[str, str]:
        return {**self.project.environment, "CHURN_DUCKDB_PATH": "disk/test.duckdb"}

    def command(self, *options: str) -> list[str]:
        program = str(Path(sys.executable).parent / "dbt")
        return [
            program,
            "--no-use-colors",
            *self.project._command((*BUILD, *options), VARIABLES),
        ]

    def run(
        self, *options: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return run(
            self.command(*options), self.project.folder, self.environment | environment
        )

    def reset(self) -> None:
        for path in self.disk.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        shutil.copyfile(self.start, self.disk / "test.duckdb")

    def run_again(self, *options: str) -> None:
        """Run without a fault, and put the database where the project reads it."""
        finished = self.run(*options)
        assert finished.returncode == 0, finished.stdout[-3_000:]
        shutil.copyfile(self.disk / "test.duckdb", self.project.database)

    def assert_next_run_is_clean(self) -> None:
        self.run_again()
        assert_same(contents(self.project), self.expected)


@pytest.fixture(scope="module")
def company(module_project: DbtProject) -> Company:
    return Company(module_project)


def full_disks() -> list[DiskFault]:
    """Return full disks with room for nothing up to what a run writes, about 16 MB."""
    draw = random.Random(17)
    sizes = [0, *(int(2 ** draw.uniform(12, 24)) for _ in range(SIZES - 1))]
    return [DiskFault(errno.ENOSPC, "grow", size) for size in sizes]


FAULTS = [
    *full_disks(),
    *(DiskFault(errno.EIO, "write", after) for after in (0, 7, 60, 400)),
    *(DiskFault(errno.EIO, "sync", after) for after in (0, 5, 60)),
    *(DiskFault(errno.EIO, "read", after) for after in (3, 40, 200)),
    *(DiskFault(errno.EROFS, "open", after) for after in (0, 1)),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_run_on_a_faulty_disk(company: Company, fault: DiskFault) -> None:
    company.reset()
    failed = company.run(**fault.environment(company.disk))
    if failed.returncode:
        # dbt repeats the engine's error for each model; this is the last word.
        words = " ".join(failed.stdout.split())
        if "fsync failed" in words:
            # DuckDB then refuses every statement, also those of dbt's last hook.
            company.assert_next_run_is_clean()
            return
        assert "then run again" in words, failed.stdout[-3_000:]
        assert os.strerror(fault.error) in words
    company.assert_next_run_is_clean()


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_run(company: Company, number: int) -> None:
    company.reset()
    # A run takes longer or shorter next time, so a few moments are after its end.
    moment = random.Random(number).uniform(0, company.seconds * 0.8)
    kill_after(
        company.command(),
        company.project.folder,
        company.environment,
        moment,
        (signal.SIGKILL, signal.SIGTERM)[number % 2],
        STARTED,
    )
    company.assert_next_run_is_clean()


def test_a_run_with_the_clock_ahead(company: Company) -> None:
    company.reset()
    company.run(**environment_of_clock(3 * YEAR))
    company.assert_next_run_is_clean()


def test_a_run_with_the_clock_behind(company: Company) -> None:
    """Records from the future are rejected until a full refresh: decision 0074.

    A full refresh reads all batches as one, so it has no versions of events that only
    one batch had.
    """
    company.reset()
    company.run_again("--full-refresh")
    expected = contents(company.project)
    company.reset()
    company.run(**environment_of_clock(-3 * YEAR))
    company.run_again("--full-refresh")
    assert_same(contents(company.project), expected)


def test_two_runs_at_once(company: Company) -> None:
    """One of them is refused, or waits for its turn; none of them does harm."""
    company.reset()
    environment = company.environment
    runs = [
        subprocess.Popen(
            company.command(),
            cwd=company.project.folder,
            env=environment
            | {"DBT_TARGET_PATH": str(company.project.folder / f"target-{number}")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    outputs = [run.communicate()[0] for run in runs]
    for number, started in enumerate(runs):
        shutil.rmtree(company.project.folder / f"target-{number}")
        if started.returncode:
            output = " ".join(outputs[number].split())
            assert "is in use by process" in output
            assert "Traceback" not in output
    assert 0 in [started.returncode for started in runs]
    company.assert_next_run_is_clean()
