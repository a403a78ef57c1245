"""What the clickstream models make of the demo's dirt is what the truth says."""

from __future__ import annotations

from pathlib import Path

import pytest

from churn.demo import Settings, generate
from churn.load import load

MODELS = Path(__file__).resolve().parents[2] / "models/staging/clickstream"

pytestmark = pytest.mark.skipif(
    not (MODELS / "stg_clickstream__events.sql").exists(),
    reason="the clickstream models are not there",
)


@pytest.fixture(scope="module")
def outcomes(module_project, tmp_path_factory):
    """A query on the truth beside the events that came of it."""
    landing_zone = tmp_path_factory.mktemp("outcomes") / "landing"
    settings = Settings(accounts=200, days=140, seed=6, dirt=3.0)
    generate(settings, landing_zone, workers=1)
    load(landing_zone, module_project.database)
    # The raw seeds are among them, and leave the loaded tables alone.
    module_project.dbt(
        "build",
        "--resource-type=model",
        "--resource-type=seed",
        "--select",
        "+stg_clickstream__events",
        "+stg_clickstream__rejects",
    )
    module_project.execute(
        f"""create table told as from read_csv(
        '{landing_zone}/truth/broken_records.csv.gz', all_varchar = true)"""
    )
    return module_project


def test_events_come_out_once_and_rejects_do_not(outcomes):
    wrong = outcomes.query(
        """
        select told.kind, told.outcome, count(*), count(events.event_id)
        from told
        left join main.stg_clickstream__events as events using (event_id)
        where told.kind <> 'no_event_id'
        group by all
        having count(events.event_id)
            <> case when outcome = 'reject' then 0 else count(*) end
        """
    )

    assert wrong == []


def test_only_what_is_no_json_counts_as_repaired(outcomes):
    wrong = outcomes.query(
        """
        select told.kind, told.outcome, count(*)
        from told
        inner join main.stg_clickstream__events as events using (event_id)
        where events.is_repaired <> (told.outcome = 'repaired')
        group by all
        """
    )

    assert wrong == []


def test_sent_times_mend_clocks_that_are_years_off(outcomes):
    """Formats that say when they sent a record are off by their delay at most."""
    wrong = outcomes.query(
        """
        select told.tracker, count(*)
        from told
        inner join main.stg_clickstream__events as events using (event_id)
        where told.kind = 'clock_years_off' and told.tracker in ('v2', 'v3')
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
        from told
        inner join main.stg_clickstream__events as events using (event_id)
        where told.kind = 'late'
            and cast(told.received_at as date) - 2 > cast(
                regexp_extract(told.source_file, 'part-(.{10})', 1) as date
            )
        group by all
        """
    )

    assert [is_on_time for is_on_time, _ in found] == [False]
