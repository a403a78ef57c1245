"""Final features and scores: a day-by-day replay equals a rebuild from scratch.

The demo company under seeds/ is run day by day for 60 days, each time with the rows
that had arrived by then. All rows of features and scores are kept. Then everything is
rebuilt with all rows, including late records, late logins and late batches, and
compared.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import replay_days
from tests.support.project import DbtProject
from tests.support.replay_days import ARRIVED_AT, insert_until

# On two of these days nothing arrived that finalizes a date; 60 days are scored.
FIRST, LAST = "2025-08-27", "2025-10-27"
# A day in the middle, for tests of one day.
DAY = "2025-10-01"

pytestmark = pytest.mark.long

SELECTION = ["+churn_scores"]
# Training again each day would test the models instead of the days.
TRAINING_MODELS = ["churn_models", "churn_training_set", "churn_labels"]
# Models that depend on the scored day.
SCORING = ["int_as_of_dates+,+churn_scores"]

FEATURES = "select * from {}account_features {} order by as_of_date, account_id"
SCORES = (
    # The view churn_scores evaluates `is_stale` by the clock of this test.
    "select * exclude (scored_at, is_stale) from {}churn_scores {} "
    "order by as_of_date, account_id"
)
IN_HISTORY = SCORES.replace("churn_scores", "churn_score_history")


def run_day_by_day(project: DbtProject) -> None:
    """Run `replay_days.py` on the project's database; rows are in the schema `kept`."""
    job = {
        "first": FIRST,
        "last": LAST,
        "select": SELECTION,
        "exclude": TRAINING_MODELS,
        "vars": {"load_demo_seeds": False},
        "keep": "kept",
    }
    file = project.folder / "job.json"
    file.write_text(json.dumps(job))
    finished = run_python(project, replay_days.__file__, str(file))
    assert finished.returncode == 0, finished.stdout + finished.stderr


def backfill(
    project: DbtProject, *arguments: str, **variables: object
) -> subprocess.CompletedProcess[str]:
    """Run `churn backfill` on the project's database."""
    variables = {"load_demo_seeds": False, **variables}
    return run_python(
        project,
        "-m",
        "churn",
        "backfill",
        *arguments,
        f"--vars={json.dumps(variables)}",
    )


def run_python(
    project: DbtProject, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run Python on the project's database, from its folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project.folder,
        env={**project.environment, "CHURN_DUCKDB_PATH": str(project.database)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def replayed(module_project: DbtProject) -> DbtProject:
    """Provide the demo company, run day by day; `kept` has each day's rows."""
    module_project.dbt("seed")
    module_project.execute("create schema to_come")
    for table in ARRIVED_AT:
        module_project.execute(
            f"create table to_come.{table} as select * from raw.{table}",
            f"delete from raw.{table}",
        )
    with module_project.connect() as connection:
        insert_until(connection, f"{FIRST} 00:00:00")
    # The model of this day scores all days.
    module_project.dbt("run", "--select", *SELECTION, load_demo_seeds=False)
    run_day_by_day(module_project)
    return module_project


@pytest.fixture
def copied(replayed: DbtProject, tmp_path: Path) -> DbtProject:
    """Provide a copy of the replayed company that a test can change."""
    shutil.copy(replayed.database, tmp_path)
    return DbtProject(tmp_path)


def test_sixty_days_are_as_they_were_finalized(copied: DbtProject) -> None:
    days = [
        day
        for (day,) in copied.query("select distinct as_of_date from kept.churn_scores")
    ]
    assert len(days) == 60
    copied.dbt(
        "run",
        "--full-refresh",
        "--select",
        *SELECTION,
        "--exclude",
        *TRAINING_MODELS,
        load_demo_seeds=False,
        as_of_frequency="daily",
    )
    of_days = "where as_of_date in (select as_of_date from kept.account_features)"
    kept = copied.query(FEATURES.format("kept.", ""))
    rebuilt = copied.query(FEATURES.format("", of_days))
    assert kept
    assert [row for row in rebuilt if row not in kept] == []
    assert kept == rebuilt

    # A score depends on one day, so score the days one by one.
    copied.execute("delete from churn_score_history")
    finished = backfill(
        copied, f"--from={min(days)}", f"--to={max(days)}", as_of_frequency="daily"
    )
    assert finished.returncode == 0, finished.stderr
    scores = copied.query(SCORES.format("kept.", ""))
    assert len(scores) > 60 * 10
    assert scores == copied.query(IN_HISTORY.format("", of_days))


def test_a_date_is_finalized_once(replayed: DbtProject) -> None:
    """No later run finalizes it again, for any late record or login."""
    runs = [
        run
        for (run,) in replayed.query(
            "select finalized_at from int_feature_snapshot_dates order by as_of_date"
        )
    ]
    assert runs == sorted(runs)
    # The first run finalized all earlier dates.
    assert len(set(runs)) == 60 + 1


def test_replayed_tables_equal_a_full_refresh(copied: DbtProject) -> None:
    """After sixty increments all tables equal a full refresh."""
    tables = [
        "select * from stg_clickstream__events order by event_id",
        "select * from sessions order by session_id",
        "select * from identities order by all",
        "select * from late_arrivals order by received_date",
        "select * exclude (updated_at) from subscription_periods order by all",
    ]
    models = ["+sessions", "+identities", "stg_clickstream__events", "+late_arrivals"]
    models.append("+subscription_periods")
    copied.dbt("run", "--select", *models, load_demo_seeds=False)
    before = [copied.query(sql) for sql in tables]
    copied.dbt("run", "--full-refresh", "--select", *models, load_demo_seeds=False)
    assert before == [copied.query(sql) for sql in tables]


# Rows that arrived or are dated after DAY. Clickstream records are dated by their own
# time; the allowed lateness of DAY ends at 06:00.
AFTER = {
    "raw_events": (
        f"received_at >= timestamp '{DAY} 06:00' or received_at in ("
        f"select received_at from known_events where event_at >= timestamp '{DAY}')"
    ),
    "raw_accounts": (
        f"batch_date >= date '{DAY}' or loaded_at >= timestamp '{DAY} 06:00'"
    ),
    "raw_contacts": (
        f"batch_date >= date '{DAY}' or loaded_at >= timestamp '{DAY} 06:00'"
    ),
    "raw_invoices": f"loaded_at >= timestamp '{DAY} 06:00'",
    "raw_calls": (
        f"started_at >= timestamp '{DAY}' or loaded_at >= timestamp '{DAY} 06:00'"
    ),
}
# The opposite of each column, if it has one.
INVERTED = {
    "raw_events": "payload = replace(replace(payload, 'view', 'click'), "
    "'subscribe', 'login')",
    "raw_accounts": "cancelled_service = case when cancelled_service is null or "
    "cancelled_service = '' then cast(batch_date as varchar) end, "
    "new_customer = null, plan = 'inverted', seats = '1', "
    "monthly_recurring_revenue = '1'",
    "raw_contacts": "account_id = (select max(account_id) from raw.raw_accounts)",
    "raw_invoices": "status = case status when 'paid' then 'failed' else 'paid' end",
    "raw_calls": "topic = 'cancellation_question', duration_seconds = 9999",
}


@pytest.mark.parametrize("change", ["delete", "invert"])
def test_no_later_row_changes_features_or_scores_of_a_day(
    copied: DbtProject, change: str
) -> None:
    copied.execute(
        "create table known_events as "
        "select received_at, event_at from base_clickstream__event_versions "
        "where is_current"
    )
    for table, after in AFTER.items():
        assert copied.query(f"select count(*) from raw.{table} where {after}") > [(0,)]
        if change == "delete":
            copied.execute(f"delete from raw.{table} where {after}")
        else:
            copied.execute(f"update raw.{table} set {INVERTED[table]} where {after}")
    # Something must arrive after the allowed lateness, so that the date is final.
    copied.execute(
        "insert into raw.raw_events values "
        f"('no event', timestamp '{DAY} 07:00', 'the next file')"
    )
    copied.dbt(
        "run",
        "--full-refresh",
        "--select",
        *SELECTION,
        "--exclude",
        *TRAINING_MODELS,
        load_demo_seeds=False,
        as_of_date=DAY,
    )
    of_day = f"where as_of_date = date '{DAY}'"
    features = copied.query(FEATURES.format("kept.", of_day))
    assert features
    assert features == copied.query(FEATURES.format("", of_day))
    scores = copied.query(SCORES.format("kept.", of_day))
    assert scores
    assert scores == copied.query(SCORES.format("", ""))


def test_past_days_are_scored_with_the_data_of_then(copied: DbtProject) -> None:
    """`--vars 'as_of_date: …'` scores one day, `backfill` a range of days."""
    copied.execute("delete from churn_score_history")
    copied.dbt(
        "run",
        "--select",
        *SCORING,
        "--exclude",
        *TRAINING_MODELS,
        load_demo_seeds=False,
        as_of_date=DAY,
    )
    of_day = f"where as_of_date = date '{DAY}'"
    assert copied.query(SCORES.format("kept.", of_day)) == copied.query(
        SCORES.format("", "")
    )

    finished = backfill(copied, "--from=2025-09-02", "--to=2025-09-05", "--every=3")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "2025-09-02 is scored.",
        "2025-09-05 is scored.",
        "churn_score_history holds these days; churn_scores holds the latest day.",
    ]
    for day in ("2025-09-02", "2025-09-05"):
        of_day = f"where as_of_date = date '{day}'"
        assert copied.query(SCORES.format("kept.", of_day)) == copied.query(
            IN_HISTORY.format("", of_day)
        )
    assert copied.query("select distinct as_of_date from churn_scores") == copied.query(
        "select max(as_of_date) from kept.churn_scores"
    )


def test_a_date_that_is_not_final_cannot_be_scored(copied: DbtProject) -> None:
    finished = backfill(copied, "--from=2031-01-01", "--to=2031-01-02")
    assert finished.returncode == 1
    assert "The as_of_date 2031-01-01 is not final yet" in finished.stderr
    assert "is scored." not in finished.stdout
