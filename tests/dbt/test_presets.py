"""Each preset's sample goes from `init` to scores by configuration alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from churn.config import Project
from churn.onboarding.check import check
from churn.onboarding.init import init
from churn.onboarding.presets import load_presets
from churn.onboarding.questions import Answers
from tests.support.preset_samples import (
    ACCOUNTS,
    CRMS,
    PAIRS,
    TRACKERS,
    VARIABLES,
    cancellation_day,
    visits,
    write_company,
)
from tests.support.project import DbtProject


def test_every_preset_has_a_sample() -> None:
    assert {preset.key for preset in load_presets()} == {*TRACKERS, *CRMS}
    assert set(PAIRS) == set(TRACKERS)
    assert set(PAIRS.values()) == set(CRMS)


# `make test-long` builds the samples of all other trackers.
OFTEN_BUILT = {"segment", "ga4", "snowplow"}


@pytest.mark.parametrize(
    "tracker",
    [
        pytest.param(name, marks=[] if name in OFTEN_BUILT else pytest.mark.long)
        for name in PAIRS
    ],
)
def test_a_sample_goes_from_init_to_scores(tracker: str, tmp_path: Path) -> None:
    crm = PAIRS[tracker]
    sources = write_company(tmp_path / "data", tracker, crm)
    folder = tmp_path / "company"
    folder.mkdir()
    Answers(variables=dict(VARIABLES)).write(folder)
    result = init(folder, sources=sources)
    assert (result.tracker or "").lower().replace(" ", "") in (
        tracker,
        "googleanalytics4",
    )
    assert [question.key for question in result.questions] == []

    dbt = DbtProject(folder, root=folder)
    (folder / "company.duckdb").rename(dbt.database)
    dbt.dbt("deps")
    report = check(Project.load(folder, folder, database=dbt.database))
    assert report.problems == []

    dbt.dbt("seed")
    dbt.dbt(
        "run",
        "--select",
        *("+churn_scores", "+stg_clickstream__events", "+stg_clickstream__rejects"),
    )
    expected = list(visits())
    events = dbt.query(
        "select visitor_id, user_id, event_at, page_path, is_on_time, is_clock_skewed "
        "from stg_clickstream__events"
    )
    assert {row[:3] for row in events} == {
        (visit.device, visit.user, visit.at) for visit in expected
    }
    assert len(events) == len(expected)
    assert all(is_on_time and not skewed for *_, is_on_time, skewed in events)
    page_views = sum(visit.name == "page" for visit in expected)
    assert dbt.query(
        "select count(*) from stg_clickstream__events where event_name = 'page_view'"
    ) == [(page_views,)]
    assert dbt.query("select count(*) from stg_clickstream__rejects") == [(0,)]

    churned = {
        row[0]
        for row in dbt.query(
            "select end_date from subscription_periods where end_reason <> 'pause' "
            "or end_reason is null"
        )
    }
    days = {cancellation_day(account) for account in range(ACCOUNTS)}
    assert churned == days
    scored = dbt.query(
        "select count(*), count(reason_1), count(distinct account_id) from churn_scores"
    )
    active = sum(cancellation_day(account) is None for account in range(ACCOUNTS))
    assert scored == [(active, active, active)]
