"""Outcomes of the demo's dirty records equal the truth."""

from __future__ import annotations

import pytest

from churn.demo import Settings, generate
from churn.ingest.load import load
from tests.support.paths import ROOT

MODELS = ROOT / "models/staging/clickstream"


@pytest.fixture(scope="module")
def outcomes(module_project, tmp_path_factory):
    """Provide the truth as a table beside the resulting events."""
    landing_zone = tmp_path_factory.mktemp("outcomes") / "landing"
    settings = Settings(accounts=200, days=140, seed=6, dirt=3.0)
    generate(settings, landing_zone, workers=1)
    load(landing_zone, module_project.database)
    # The raw seeds are selected too, and leave the loaded tables unchanged.
    module_project.dbt(
        "build",
        "--resource-type=model",
        "--resource-type=seed",
        "--select",
        "+stg_clickstream__events",
        "+stg_clickstream__rejects",
    )
    module_project.execute(
        f"""create table truth as from read_csv(
        '{landing_zone}/truth/broken_records.csv.gz', all_varchar = true)"""
    )
    return module_project


def test_every_record_is_one_event_or_a_reject(outcomes):
    wrong = outcomes.query(
        """
        select truth.kind, truth.outcome, count(*), count(events.event_id)
        from truth
        left join stg_clickstream__events as events using (event_id)
        where truth.kind <> 'no_event_id'
        group by all
        having count(events.event_id)
            <> case when outcome = 'reject' then 0 else count(*) end
        """
    )

    assert wrong == []


def test_only_records_that_are_not_json_count_as_repaired(outcomes):
    wrong = outcomes.query(
        """
        select truth.kind, truth.outcome, count(*)
        from truth
        inner join stg_clickstream__events as events using (event_id)
        where events.is_repaired <> (truth.outcome = 'repaired')
        group by all
        """
    )

    assert wrong == []


def test_send_times_correct_clocks_that_are_years_off(outcomes):
    """In formats with a send time, the event time is off by at most the delay."""
    wrong = outcomes.query(
        """
        select truth.tracker, count(*)
        from truth
        inner join stg_clickstream__events as events using (event_id)
        where truth.kind = 'clock_years_off' and truth.tracker in ('v2', 'v3')
            and (
                events.is_clock_skewed
                or events.event_at > events.received_at
                or events.event_at < events.received_at - interval 200 days
            )
        group by all
        """
    )

    assert wrong == []


def test_late_records_are_events_but_not_on_time(outcomes):
    found = outcomes.query(
        """
        select events.is_on_time, count(*)
        from truth
        inner join stg_clickstream__events as events using (event_id)
        where truth.kind = 'late'
            and cast(truth.received_at as date) - 2 > cast(
                regexp_extract(truth.source_file, 'part-(.{10})', 1) as date
            )
        group by all
        """
    )

    assert [is_on_time for is_on_time, _ in found] == [False]
