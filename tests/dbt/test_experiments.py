"""Arms are assigned once, before anybody acts, and everything works without them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from churn.ingest.load import load
from churn.ml.experiments import arm_of, bucket_of
from tests.support.project import DbtProject

ASSIGNMENTS = """
    select experiment_id, account_id, assigned_date, bucket, control_share, arm
    from experiment_assignments order by 1, 2"""


@pytest.fixture
def project_copy(built_project: DbtProject, tmp_path: Path) -> DbtProject:
    """Provide a copy of the built demo seeds that a test may change."""
    folder = tmp_path / "copy"
    shutil.copytree(built_project.folder, folder)
    return DbtProject(folder)


def test_arms_are_those_of_python(built_project: DbtProject) -> None:
    salts = dict(built_project.query("select experiment_id, salt from experiments"))
    rows = built_project.query(ASSIGNMENTS)
    assert rows
    for experiment, account, _, bucket, share, arm in rows:
        assert bucket == bucket_of(salts[experiment], experiment, account)
        assert arm == arm_of(salts[experiment], experiment, account, share)
    assert built_project.query(
        """select count(*) from churn_scores
        left join experiment_assignments using (account_id)
        where churn_scores.arm is distinct from experiment_assignments.arm"""
    ) == [(0,)]


def test_assignments_never_change(project_copy: DbtProject) -> None:
    before = project_copy.query(ASSIGNMENTS)
    # More accounts are eligible, and the share is another.
    project_copy.execute(
        """update experiments set
        control_share = 0.9, eligible_bands = 'low medium high'"""
    )
    project_copy.dbt("run", "--select", "experiment_assignments", "--full-refresh")
    after = project_copy.query(ASSIGNMENTS)
    assert set(before) < set(after)
    assert {row[4] for row in after} == {0.2}
    # A past date that is scored later assigns nobody.
    project_copy.execute("delete from experiment_assignments")
    project_copy.dbt(
        "run", "--select", "experiment_assignments", as_of_date="2025-10-20"
    )
    assert project_copy.query(ASSIGNMENTS) == []


def test_a_company_without_experiments_has_no_arms(project_copy: DbtProject) -> None:
    project_copy.execute(
        "delete from experiments", "delete from experiment_assignments"
    )
    project_copy.dbt("build", "--select", "experiment_assignments+")
    assert project_copy.query("select count(*) from experiment_results") == [(0,)]
    assert project_copy.query("select distinct arm from churn_scores") == [(None,)]


def test_actions_reach_results_and_training(
    project_copy: DbtProject, tmp_path: Path
) -> None:
    account, assigned = project_copy.query(
        "select account_id, assigned_date from experiment_assignments limit 1"
    )[0]
    labelled, as_of_date = project_copy.query(
        "select account_id, max(as_of_date) from churn_training_set group by 1 limit 1"
    )[0]
    lines = [
        {
            "action_id": f"id-{number}",
            "account_id": name,
            "action_type": kind,
            "actor_id": "'; drop table x; --",
            "occurred_at": f"{day}T10:00:00+00:00",
            "recorded_at": f"{day}T10:00:00+00:00",
            "note": "<script>\u202e{{ 7*7 }}",
            "source": "page",
        }
        for number, (name, kind, day) in enumerate(
            [
                (account, "offer_made", assigned),
                (labelled, "contacted", as_of_date),
                ("no such account", "contacted", assigned),
                (account, "invented", assigned),
            ]
        )
    ]
    path = tmp_path / "landing" / "actions" / "dt=2025-10-28" / "part-1-4.jsonl"
    path.parent.mkdir(parents=True)
    text = "\n".join([*map(json.dumps, lines), "no JSON"])
    path.write_text(text, encoding="utf-8")
    actions_only = tmp_path / "actions.duckdb"
    load(tmp_path / "landing", actions_only)
    project_copy.execute(
        f"attach '{actions_only}' as loaded",
        """create table raw.raw_retention_actions as
        from loaded.raw.raw_retention_actions""",
        "detach loaded",
    )
    project_copy.dbt(
        *("run", "--select", "stg_retention__actions", "retention_actions"),
        *("int_experiment_outcomes", "churn_training_set"),
    )
    assert project_copy.query(
        "select reject_reason, note from stg_retention__actions "
        "where reject_reason is not null order by 1"
    ) == [
        ("missing_action_id", "no JSON"),
        ("unknown_action_type", "<script>\u202e{{ 7*7 }}"),
    ]
    assert project_copy.query(
        "select account_id, is_known_account from retention_actions order by action_id"
    ) == [(account, True), (labelled, True), ("no such account", False)]
    assert project_copy.query(
        "select account_id from int_experiment_outcomes where is_contacted"
    ) == [(account,)]
    treated = project_copy.query(
        """select account_id, min(as_of_date), max(as_of_date) from churn_training_set
        where was_treated group by 1"""
    )
    assert {name for name, *_ in treated} <= {labelled, account}
    ((_, first, last),) = [row for row in treated if row[0] == labelled]
    assert (as_of_date - first).days <= 30
    assert last == as_of_date
    # Such rows never reach a model.
    from churn.ml.dataset import read_training_data

    with project_copy.connect() as connection:
        rows = connection.table("churn_training_set")
        data = read_training_data(rows, ["account_age_days"])
    untreated = "select count(*) from churn_training_set where not was_treated"
    assert project_copy.query(untreated) == [(len(data),)]
