"""Killed runs, and concurrent runs on one database."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from tests.support import arrivals
from tests.support.project import DbtProject


@pytest.fixture(scope="module")
def command() -> list[str]:
    """Provide the command of the killed runs."""
    return [
        "build",
        "--exclude-resource-types",
        "test",
        "unit_test",
        "--select",
        *arrivals.LINE,
    ]


def kill_at(
    project: DbtProject, command: list[str], models: int, *arguments: str
) -> bool:
    """Run, and kill the run (SIGKILL) when it starts a given number of models.

    Args:
        project: The project.
        command: The dbt command.
        models: Number of started models at which to kill the run.
        arguments: More arguments.

    Returns:
        Whether the run was killed before it ended.
    """
    started_models = 0
    with project.start_dbt(*command, *arguments, load_demo_seeds=False) as run:
        for output_line in run.stdout or ():
            started_models += " START " in output_line
            if started_models == models:
                run.kill()
                break
        # Read the rest, so that a full pipe does not block the process.
        run.communicate()
    return started_models == models and run.returncode != 0


def test_a_run_after_killed_runs_equals_a_full_refresh(
    project: DbtProject, command: list[str]
) -> None:
    """Runs are killed at random models several times, then one run completes.

    One of the killed runs is a full refresh, and rows arrive between two of them.
    """
    draw = random.Random(20250301)
    project.create_raw_tables()
    tables = arrivals.company(4, events=1_500, visitors=30)
    first, second, third = arrivals.batches(4, tables, count=3)
    arrivals.append_raw(project, first)
    project.dbt(*command, load_demo_seeds=False)

    killed = 0
    arrivals.append_raw(project, second)
    for arguments in [(), ("--full-refresh",), ()]:
        killed += kill_at(project, command, draw.randrange(2, 40), *arguments)
    arrivals.append_raw(project, third)
    for _ in range(2):
        killed += kill_at(project, command, draw.randrange(2, 40))
    assert killed >= 4, "the runs ended before they were killed"

    project.dbt(*command, load_demo_seeds=False)
    assert project.unknown_relations() == []
    incremental = arrivals.contents(project)
    project.dbt(*command, "--full-refresh", load_demo_seeds=False)
    arrivals.assert_equal(incremental, arrivals.contents(project))


def test_a_second_run_is_refused_in_one_sentence(project: DbtProject) -> None:
    """Another process has the database open, as a run does."""
    project.create_raw_tables()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; held = duckdb.connect(sys.argv[1]); "
            "print('open', flush=True); sys.stdin.read()",
            str(project.database),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        refused = project.dbt("build", check=False, load_demo_seeds=False)
        holder.communicate("")
    assert not refused.succeeded
    output = " ".join(refused.output.split())
    assert f"is in use by process {holder.pid}" in output
    assert "wait until it has ended, then run again." in output
    assert "Traceback" not in output
