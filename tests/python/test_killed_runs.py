"""Runs that are killed, and runs that meet another on the same database."""

from __future__ import annotations

import random
import subprocess
import sys

import arrivals
import pytest
from conftest import DbtProject


@pytest.fixture(scope="module")
def line() -> list[str]:
    """What the killed runs build."""
    return [
        "build",
        "--exclude-resource-types",
        "test",
        "unit_test",
        "--select",
        *arrivals.LINE,
    ]


def work_tables(project: DbtProject) -> list[tuple[str]]:
    """Tables that dbt makes on its way to others."""
    return project.query(
        """select table_name from information_schema.tables
        where table_name like '%\\_\\_dbt\\_%' escape '\\'"""
    )


def kill_at(project: DbtProject, line: list[str], models: int, *arguments: str) -> bool:
    """Run, and kill the run (SIGKILL) when it says that it begins with a model.

    Args:
        project: The project.
        line: The command.
        models: How many models it has begun with when it is killed.
        arguments: Further arguments.

    Returns:
        Whether it was killed before it had ended.
    """
    begun = 0
    with project.start_dbt(*line, *arguments, load_demo_seeds=False) as run:
        for text in run.stdout or ():
            begun += " START " in text
            if begun == models:
                run.kill()
                break
        # Reads the rest, so that no pipe holds the process up.
        run.communicate()
    return begun == models and run.returncode != 0


def test_killed_runs_leave_nothing_wrong_behind(
    project: DbtProject, line: list[str]
) -> None:
    """Killed at random models, again and again, then run to the end.

    One of the killed runs is a full refresh, and more arrives between two.
    """
    draw = random.Random(20250301)
    project.create_raw_tables()
    tables = arrivals.company(4, events=1_500, visitors=30)
    first, second, third = arrivals.batches(4, tables, count=3)
    arrivals.land(project, first)
    project.dbt(*line, load_demo_seeds=False)

    killed = 0
    arrivals.land(project, second)
    for arguments in [(), ("--full-refresh",), ()]:
        killed += kill_at(project, line, draw.randrange(2, 40), *arguments)
    arrivals.land(project, third)
    for _ in range(2):
        killed += kill_at(project, line, draw.randrange(2, 40))
    assert killed >= 4, "the runs ended before they were killed"

    project.dbt(*line, load_demo_seeds=False)
    assert work_tables(project) == []
    incremental = arrivals.contents(project)
    project.dbt(*line, "--full-refresh", load_demo_seeds=False)
    arrivals.assert_equal(incremental, arrivals.contents(project))


def test_a_second_run_is_refused_in_a_sentence(project: DbtProject) -> None:
    """Another process holds the database, as a run does."""
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
    said = " ".join(refused.told.split())
    assert f"is in use by process {holder.pid}" in said
    assert "wait until it has ended, then run again." in said
    assert "Traceback" not in said
