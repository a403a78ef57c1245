"""Arrival times outside the plausible bounds move no date of the project."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.support.project import DbtProject

# Each is after the last good arrival, before the first, or no time at all.
BAD_TIMES = [
    "2099-01-01 00:00:00",
    "9999-12-31 23:59:59",
    "290000-01-01 00:00:00",
    "infinity",
    "-infinity",
    "0044-03-15 (BC) 00:00:00",
    "1970-01-01 00:00:00",
    None,
]
SETTINGS = {"load_demo_seeds": False}
DATES = """select as_of_date, is_latest from int_as_of_dates order by 1"""


def fill(project: DbtProject) -> None:
    """Write one good row per day and table."""
    project.create_raw_tables()
    project.execute(
        """insert into raw.raw_accounts by name
        select day::date as batch_date, day + interval 29 hour as loaded_at,
            'a' || number as account_id, '2024-06-01' as signup_date
        from range(timestamp '2025-03-01', timestamp '2025-03-20', interval 1 day)
            as days (day), range(10) as numbers (number)""",
        """insert into raw.raw_contacts
        select account_id, account_id, 'user', batch_date, loaded_at
        from raw.raw_accounts""",
        """insert into raw.raw_invoices
        values ('i1', 'a1', '2025-03-01', '2025-03-10', 5, 'paid', '2025-03-02')""",
        """insert into raw.raw_calls
        values ('c1', 'a1', '2025-03-01', 60, 'billing', '2025-03-02')""",
        """insert into raw.raw_events
        select '{"event": "login", "user_id": "a1", "ts": "' || day || '"}', day, 'file'
        from range(timestamp '2025-03-01', timestamp '2025-03-20', interval 1 day)
            as days (day)""",
    )


def add_bad_rows(project: DbtProject) -> None:
    """Write one row per table and bad time."""
    for number, text in enumerate(BAD_TIMES):
        at = "null" if text is None else f"timestamp '{text}'"
        day = f"cast({at} as date)"
        project.execute(
            f"""insert into raw.raw_accounts by name
            select {day} as batch_date, {at} as loaded_at, 'b{number}' as account_id""",
            f"insert into raw.raw_contacts values ('u', 'b', 'user', {day}, {at})",
            f"""insert into raw.raw_invoices values (
                'j{number}', 'a1', null, '2025-03-10', 5, 'paid', {at})""",
            f"""insert into raw.raw_calls values (
                'd{number}', 'a1', '2025-03-01', 60, 'billing', {at})""",
            f"""insert into raw.raw_events values (
                '{{"event":"login","user_id":"a1","ts":"2025-03-02T00:00:0{number}Z"}}',
                {at}, 'bad')""",
        )


@pytest.mark.parametrize("is_first_run", [True, False])
def test_a_record_from_another_year_moves_no_date(
    project: DbtProject, is_first_run: bool
) -> None:
    """The bad rows are counted as rejects and issues, in a first and a later run."""
    models = ["+int_as_of_dates", "+crm_data_issues", "+stg_clickstream__rejects"]
    command = ["run", "--select", *models, "--exclude", "resource_type:seed"]
    fill(project)
    if not is_first_run:
        project.dbt(*command, **SETTINGS)
        before = project.query(DATES)
    add_bad_rows(project)
    project.dbt(*command, **SETTINGS)
    dates = project.query(DATES)
    if not is_first_run:
        assert dates == before
    assert [day.isoformat() for day, is_latest in dates if is_latest] == ["2025-03-19"]
    assert dates[0][0].isoformat() == "2025-03-03"
    assert project.query(
        "select count(*), min(reject_reason), max(reject_reason) "
        "from stg_clickstream__rejects"
    ) == [(len(BAD_TIMES), "missing_receipt_time", "missing_receipt_time")]
    issues = {
        detail.partition(",")[0]
        for (detail,) in project.query(
            """select detail from crm_data_issues
            where issue = 'implausible_arrival_time'"""
        )
    }
    rows = f"{len(BAD_TIMES)} rows without a plausible"
    assert issues == {
        f"raw_accounts: {rows} batch_date",
        f"raw_accounts: {rows} loaded_at",
        f"raw_contacts: {rows} loaded_at",
        f"raw_invoices: {rows} loaded_at",
        f"raw_calls: {rows} loaded_at",
    }


def test_a_clock_a_few_hours_ahead_is_plausible(project: DbtProject) -> None:
    """A loader in another time zone writes local times."""
    fill(project)
    ahead = datetime.now().replace(microsecond=0) + timedelta(hours=13)
    project.execute(
        f"""insert into raw.raw_calls values (
            'c2', 'a1', '2025-03-01', 60, 'billing', '{ahead}')"""
    )
    project.dbt(
        "run",
        "--select",
        "+int_source_watermarks",
        "--exclude",
        "resource_type:seed",
        **SETTINGS,
    )
    assert project.query(
        "select last_arrived_at from int_source_watermarks "
        "where source_relation = 'raw_calls'"
    ) == [(ahead,)]
