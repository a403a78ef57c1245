"""Feature snapshots are final; models and scores depend on them only."""

from __future__ import annotations

import json
from datetime import date, datetime

import pandas as pd
import pytest

from tests.support.project import DbtProject

EARLY_DAY = "2025-02-15"
FEATURES = "select * from account_features order by account_id, as_of_date"
SCORES = "select * exclude (scored_at) from churn_scores order by account_id"
ALL_MODELS = (
    "--select",
    "+churn_scores",
    "+churn_model_metrics",
    "+identities",
    "+feature_drift",
    "+pipeline_runs",
    "+clickstream_field_profile",
)


@pytest.fixture(scope="module")
def early_run(module_project: DbtProject) -> str:
    """Provide the output of a first run, on a date before any label was complete."""
    module_project.dbt("seed")
    return module_project.dbt("run", *ALL_MODELS, as_of_date=EARLY_DAY).output


@pytest.fixture(scope="module")
def company(module_project: DbtProject, early_run: str) -> DbtProject:
    """Provide the demo seeds, run for their latest date."""
    assert early_run
    module_project.dbt("run", *ALL_MODELS)
    return module_project


def test_missing_labels_are_reported(
    module_project: DbtProject, early_run: str
) -> None:
    assert "Cannot train a model yet: no account has an observed label" in early_run
    assert "Cannot score yet" in early_run
    assert module_project.query("select count(*) from churn_scores") == [(0,)]
    types = dict(
        module_project.query(
            """select column_name, data_type from information_schema.columns
            where table_name = 'churn_scores'"""
        )
    )
    assert types["as_of_date"] == "DATE"
    assert types["churn_probability"] == "DOUBLE"
    assert types["reason_3"] == "VARCHAR"
    assert types["is_stale"] == "BOOLEAN"


def test_two_runs_leave_only_relations_of_the_manifest(company: DbtProject) -> None:
    """Adapters write some rows to a second table first."""
    relations = company.query("select table_name from information_schema.tables")
    incremental_python = {"churn_models", "feature_drift", "pipeline_runs"}
    assert incremental_python <= {name for (name,) in relations}
    assert company.unknown_relations() == []


def test_a_date_off_the_grid_has_no_rows_in_account_features(
    company: DbtProject,
) -> None:
    final = company.query(
        "select distinct as_of_date from int_account_features order by 1"
    )
    shown = company.query("select distinct as_of_date from account_features order by 1")
    assert set(final) - set(shown) == {(date.fromisoformat(EARLY_DAY),)}
    assert shown == company.query("select as_of_date from int_as_of_dates order by 1")


def test_scores_cover_todays_customers(company: DbtProject) -> None:
    assert company.query(
        """select account_id from account_features
        inner join int_as_of_dates using (as_of_date)
        where is_latest order by 1"""
    ) == company.query("select account_id from churn_scores order by 1")


def test_the_riskiest_comes_first(company: DbtProject) -> None:
    ranked = company.query("select risk_rank, account_id from churn_scores order by 1")
    in_order = company.query(
        "select account_id from churn_scores order by churn_probability desc, 1"
    )
    assert ranked == [(i, account) for i, (account,) in enumerate(in_order, start=1)]


def insert_page_views(
    project: DbtProject,
    names: list[str],
    visitor: str,
    user: str,
    received_at: datetime,
) -> None:
    """Insert page views of 2025-05-05, one per minute."""
    project.write(
        "raw.raw_events",
        pd.DataFrame(
            {
                "payload": [
                    json.dumps(
                        {
                            "event": "page_view",
                            "event_id": name,
                            "ts": 1_746_446_400_000 + 60_000 * number,
                            "anonymous_id": visitor,
                            "user_id": user,
                            "page": "/late",
                        }
                    )
                    for number, name in enumerate(names)
                ],
                "received_at": received_at,
                "source_file": f"{names[0]}.jsonl",
            }
        ),
    )


def test_late_records_change_no_final_feature(company: DbtProject) -> None:
    features, scores = company.frame(FEATURES), company.frame(SCORES)
    user, account = company.query(
        "select min(user_id), min(account_id) from identities group by account_id"
    )[0]
    insert_page_views(
        company,
        [f"late-{number}" for number in range(20)],
        visitor="late-visitor",
        user=user,
        received_at=datetime(2025, 8, 1, 3),
    )
    company.write(
        "raw.raw_calls",
        pd.DataFrame(
            {
                "call_id": ["late-call"],
                "account_id": [account],
                "started_at": [datetime(2025, 5, 5, 12)],
                "duration_seconds": [900],
                "topic": ["cancellation_question"],
                "loaded_at": [datetime(2025, 8, 1, 3)],
            }
        ),
    )
    events = company.query(
        "select count(*) from base_clickstream__event_versions where is_current"
    )[0][0]
    company.dbt("run", *ALL_MODELS)
    assert company.query(
        "select count(*) from base_clickstream__event_versions where is_current"
    ) == [(events + 20,)]
    pd.testing.assert_frame_equal(features, company.frame(FEATURES))
    # There are no new training rows, so model and scores are the same.
    assert company.query("select count(*) from churn_models") == [(1,)]
    pd.testing.assert_frame_equal(scores, company.frame(SCORES))

    # A full refresh with the late records gives the same features.
    company.dbt("run", *ALL_MODELS, "--full-refresh")
    pd.testing.assert_frame_equal(features, company.frame(FEATURES))
    assert company.query("select count(*) from churn_models") == [(1,)]
    pd.testing.assert_frame_equal(scores, company.frame(SCORES))
    assert company.query("select count(*) from churn_score_history") == (
        company.query("select count(*) from churn_scores")
    )


def test_a_login_on_a_shared_device_changes_no_final_date(company: DbtProject) -> None:
    """A new user of a device that has long been shared is in no final feature."""
    snapshot_dates = (
        "select as_of_date, finalized_at from int_feature_snapshot_dates order by 1"
    )
    before = company.query(snapshot_dates)
    (visitor, user), *_ = company.query(
        """select shared.visitor_id, int_account_users.user_id
        from identities as shared, int_account_users
        where shared.shared_device_since
                < (select max(as_of_date) - 30 from int_as_of_dates)
            and int_account_users.user_id not in (
                select user_id from identities
                where visitor_id = shared.visitor_id
            )
        order by 1, 2"""
    )
    # Late, so that the view itself is in no final feature.
    insert_page_views(
        company,
        ["shared"],
        visitor=visitor,
        user=user,
        received_at=datetime(2025, 10, 28, 3),
    )
    company.dbt("run", *ALL_MODELS)
    assert company.query(
        "select count(*) from identities "
        f"where (visitor_id, user_id) = ('{visitor}', '{user}')"
    ) == [(1,)]
    assert company.query(snapshot_dates) == before


def test_features_use_no_later_data(company: DbtProject) -> None:
    """Shorter windows are within longer ones, and none extends beyond its date."""
    assert company.query(
        """select count(*) from account_features
        where visits_7d > visits_28d or visits_28d > visits_90d
            or active_users_7d > active_users_28d
            or support_calls_28d > support_calls_90d
            or days_since_last_visit < 1 or days_since_last_visit > 90
            or account_age_days < 1 or days_in_current_period > account_age_days
            or late_invoices_90d + failed_invoices_90d > invoices_90d"""
    ) == [(0,)]


def test_a_pinned_model_must_exist(company: DbtProject) -> None:
    refused = company.dbt(
        "run",
        "--select",
        "int_accounts_scored",
        check=False,
        champion_model_version="lost",
    )
    assert not refused.succeeded
    assert "champion_model_version is lost, but churn_models holds" in refused.output
    (version,) = company.query("select model_version from churn_models")[0]
    company.dbt(
        "run", "--select", "int_accounts_scored", champion_model_version=version
    )
