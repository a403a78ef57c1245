"""A failing check explains why it matters and how to correct it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.project import DbtProject


@pytest.fixture
def damaged_project(built_project: DbtProject, tmp_path: Path) -> DbtProject:
    """Provide the demo company with two problems, one of them an error."""
    project = DbtProject(tmp_path)
    shutil.copyfile(built_project.database, project.database)
    project.execute(
        "delete from event_names where raw_name = 'page_view'",
        "update churn_score_history set account_id = null",
    )
    return project


def test_each_failure_is_explained_once(damaged_project: DbtProject) -> None:
    finished = damaged_project.dbt(
        "test",
        "-s",
        "unmapped_event_names",
        "not_null_churn_score_history_account_id",
        check=False,
    )
    assert not finished.succeeded
    output = " ".join(finished.output.split())
    assert output.count("unmapped_event_names found") == 1
    assert "Add the name to the seed, mapped to itself if it is new." in output
    assert output.count("not_null_churn_score_history_account_id found") == 1
    assert "drop these rows. Show the rows with `dbt show --inline" in output
