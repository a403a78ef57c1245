"""dbt commands in this process: progress, messages, errors, and a released database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from churn.cli.main import main
from churn.config import Project, UserError
from churn.operations.dbt_runner import DbtError, run_dbt
from tests.support.paths import ROOT
from tests.support.project import DbtProject

VARIABLES = {"load_demo_seeds": False}
CALLS = ["run", "--select", "+stg_support__calls", "--exclude", "resource_type:seed"]


@pytest.fixture(scope="module")
def raw(module_project: DbtProject) -> DbtProject:
    """Provide empty raw tables."""
    module_project.create_raw_tables()
    return module_project


@pytest.fixture
def loaded(raw: DbtProject, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Provide the project as commands load it; dbt's files are in the test's folder."""
    for name, value in raw.environment.items():
        if name.startswith("DBT_"):
            monkeypatch.setenv(name, value)
    return Project.load(ROOT, database=raw.database)


def test_nodes_are_reported_and_the_database_is_released(
    loaded: Project, raw: DbtProject
) -> None:
    nodes: list[tuple[str, int, int]] = []
    messages: list[str] = []
    before = dict(os.environ), Path.cwd()
    run_dbt(
        loaded,
        CALLS,
        VARIABLES,
        on_progress=lambda *node: nodes.append(node),
        on_message=messages.append,
    )
    total = len(nodes)
    assert [node[1:] for node in nodes] == [(n, total) for n in range(1, total + 1)]
    assert nodes[-1][0] == "stg_support__calls"
    assert all(
        "reference seed" in message or "is empty" in message for message in messages
    ), messages
    assert (dict(os.environ), Path.cwd()) == before
    with loaded.connect() as connection:
        assert connection.execute("from stg_support__calls").fetchall() == []
    raw.execute("create or replace table free_to_write as select 1 as one")


def test_a_missing_table_is_reported_with_the_place_of_the_log(
    loaded: Project, raw: DbtProject
) -> None:
    raw.execute("alter table raw.raw_calls rename to hidden")
    messages: list[str] = []
    try:
        with pytest.raises(DbtError, match=r"raw_calls.*dbt\.log") as failure:
            run_dbt(loaded, CALLS, VARIABLES, on_message=messages.append)
    finally:
        raw.execute("alter table raw.hidden rename to raw_calls")
    assert "\n" not in str(failure.value)
    assert not any("Traceback" in message for message in messages)


def test_a_wrong_variable_is_one_sentence(loaded: Project) -> None:
    with pytest.raises(DbtError, match="churn_grace_days") as failure:
        run_dbt(loaded, CALLS, {**VARIABLES, "churn_grace_days": -1})
    assert "Traceback" not in str(failure.value)


def test_a_locked_database_is_refused(loaded: Project) -> None:
    program = (
        "import duckdb, sys; held = duckdb.connect(sys.argv[1]); "
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(loaded.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(UserError, match=f"in use by process {holder.pid}"):
            run_dbt(loaded, CALLS, VARIABLES)
        holder.communicate("")


def test_ctrl_c_in_dbt_ends_with_one_sentence(
    loaded: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The signal comes while dbt builds a model."""
    from churn.cli import backfill as command
    from churn.operations import backfill as operation

    def interrupted(project: Project, *_: object) -> None:
        def interrupt(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        run_dbt(project, CALLS, VARIABLES, on_progress=interrupt)

    monkeypatch.setattr(operation, "backfill", interrupted)
    assert command.command.name == "backfill"
    arguments = ["backfill", "--from=2025-01-01", "--to=2025-01-01"]
    code = main([*arguments, f"--project-dir={ROOT}", f"--database={loaded.database}"])
    assert code == 130
    captured = capsys.readouterr()
    assert captured.err == "churn backfill was interrupted: run it again to continue.\n"
    loaded.connect().close()
