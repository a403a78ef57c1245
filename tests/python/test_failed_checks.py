"""A check that fails says why it matters and how to mend it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import DbtProject


@pytest.fixture
def spoilt_project(built_project: DbtProject, tmp_path: Path) -> DbtProject:
    """The demo company with two issues, one of them an error."""
    project = DbtProject(tmp_path)
    shutil.copyfile(built_project.database, project.database)
    project.execute(
        "delete from event_names where raw_name = 'page_view'",
        "update churn_score_history set account_id = null",
    )
    return project


def test_what_was_found_is_explained_once(spoilt_project: DbtProject) -> None:
    finished = spoilt_project.dbt(
        "test",
        "-s",
        "unmapped_event_names",
        "not_null_churn_score_history_account_id",
        check=False,
    )
    assert not finished.succeeded
    said = " ".join(finished.told.split())
    assert said.count("unmapped_event_names found") == 1
    assert "Add the name to the seed, mapped to itself if it is new." in said
    assert said.count("not_null_churn_score_history_account_id found") == 1
    assert "lose these rows without a word. The rows: `dbt show --inline" in said
