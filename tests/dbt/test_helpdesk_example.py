"""The third company: Segment, a subscriptions extract and tickets, by configuration."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from churn.config import Project
from churn.onboarding.check import check
from churn.onboarding.init import init, load_sources
from tests.support.paths import ROOT
from tests.support.project import DbtProject

EXAMPLE = ROOT / "examples" / "helpdesk"


@pytest.fixture(scope="module")
def helpdesk(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """Provide the example, built in a separate folder as its README says."""
    folder = tmp_path_factory.mktemp("helpdesk")
    shutil.copytree(
        EXAMPLE,
        folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("data", "target", "dbt_packages", "*.duckdb"),
    )
    (folder / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")
    subprocess.run(
        [sys.executable, "make_data.py"],
        cwd=folder,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    project = DbtProject(folder, root=folder)
    load_sources(folder, project.database)
    project.dbt("deps")
    report = check(Project.load(folder, folder, database=project.database))
    assert report.problems == []
    project.dbt("build")
    return project


def test_init_writes_the_committed_files(helpdesk: DbtProject, tmp_path: Path) -> None:
    folder = tmp_path / "helpdesk"
    folder.mkdir()
    (folder / "data").symlink_to(helpdesk.folder / "data")
    shutil.copy(EXAMPLE / "onboarding.yml", folder)
    result = init(folder)
    assert result.questions == []
    assert result.tracker == "Segment"
    for name in (
        "dbt_project.yml",
        "onboarding.yml",
        "profiles.yml",
        "models/helpdesk_events.yml",
        "models/helpdesk_events.sql",
        "seeds/event_names.csv",
    ):
        assert (folder / name).read_text() == (EXAMPLE / name).read_text(), name


def test_periods_end_where_the_extracts_say(helpdesk: DbtProject) -> None:
    extract = max((helpdesk.folder / "data" / "subscriptions").iterdir())
    expected = {
        (row["customer_id"], date.fromisoformat(row["end_date"]))
        for row in csv.DictReader(extract.open(newline=""))
        if row["end_date"]
    }
    found = helpdesk.query(
        "select account_id, end_date from subscription_periods "
        "where end_date is not null"
    )
    assert set(found) == expected


def test_no_event_is_skewed_or_late(helpdesk: DbtProject) -> None:
    """Some devices are an hour fast, which Segment has corrected."""
    assert helpdesk.query(
        """select count(*) > 100000, count(case when is_clock_skewed then 1 end),
            count(case when not is_on_time then 1 end),
            count(distinct event_name)
        from stg_clickstream__events"""
    ) == [(True, 0, 0, 3)]


def test_every_customer_has_a_score(helpdesk: DbtProject) -> None:
    assert helpdesk.query(
        """select count(*) > 40, count(*) = count(distinct account_id),
            count(*) = count(reason_1)
        from churn_scores"""
    ) == [(True, True, True)]
    assert helpdesk.query("select count(*) from churn_models") == [(1,)]
