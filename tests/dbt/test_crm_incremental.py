"""CRM runs in any order of arrival equal a full refresh."""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta

import pytest

from tests.support.crm_histories import Delivery, random_company
from tests.support.project import DbtProject

TABLES = [
    "int_crm_batches",
    "int_crm_batches_validated",
    "int_account_changes",
    "int_subscription_event_versions",
    "int_subscription_events",
    "int_account_attributes_history",
    "subscription_periods",
    "churn_labels",
    "crm_data_issues",
]


# Columns that depend on the run.
RUN_COLUMNS = ["updated_at", "periods_updated_at"]
LABELS = ["subscription_periods", "churn_labels"]
LINE = ["run", "--select", "+churn_labels", "+crm_data_issues"]


def contents(project: DbtProject, tables: list[str] = TABLES) -> dict[str, list[tuple]]:
    """Return the rows of some tables, sorted, without `RUN_COLUMNS`."""
    columns = f"columns(lambda name: name not in {tuple(RUN_COLUMNS)})"
    return {
        table: project.query(f"select {columns} from {table} order by all")
        for table in tables
    }


@pytest.mark.parametrize(
    "dialect", ["dates", pytest.param("flags", marks=pytest.mark.long)]
)
def test_runs_in_any_order_of_arrival_equal_a_full_refresh(
    project: DbtProject, dialect: str
) -> None:
    """Three runs: half in order, most of the rest out of order, then the rest.

    The first run has the wrong cancellation_source, which the second corrects without a
    full refresh. Between them one delivery grows, as if the first run had read it
    incompletely. Before the last run, rows are deleted, as by a run that was killed
    between deleting and inserting.
    """
    chance = random.Random(dialect)
    company = random_company(20250301, dialect, accounts=150, last_day=120)
    batches = company.batches
    early, later = (
        batches[: len(batches) // 2],
        batches[len(batches) // 2 :],
    )
    held_back = set(chance.sample(range(len(early)), 4))
    grows = next(number for number in range(3, 99) if number not in held_back)
    chance.shuffle(later)
    arrivals = [
        [each for number, each in enumerate(early) if number not in held_back],
        later[: len(later) * 2 // 3],
        later[len(later) * 2 // 3 :] + [early[number] for number in held_back],
    ]

    def run(*flags: str, source: str = dialect) -> None:
        project.dbt(
            *LINE,
            "int_account_attributes_history",
            *flags,
            load_demo_seeds=False,
            cancellation_source=source,
        )

    project.create_raw_tables()
    missing_rows = company.frame([early[grows]])
    for number, arrived in enumerate(arrivals):
        rows = company.frame(arrived)
        if number == 0:
            is_cut = (rows["loaded_at"] == early[grows].loaded_at) & (
                rows["account_id"] > "a00120"
            )
            missing_rows = rows[is_cut]
            rows = rows[~is_cut]
        elif number == 1:
            project.write("raw.raw_accounts", missing_rows)
        else:
            project.execute(
                "delete from int_account_changes where batch_date >= '2025-02-01'"
            )
        project.write("raw.raw_accounts", rows.sample(frac=1, random_state=number))
        other = "flags" if dialect == "dates" else "dates"
        run(source=other if number == 0 else dialect)

    incremental = contents(project)
    run("--full-refresh")
    refreshed = contents(project)
    for table, rows in refreshed.items():
        assert incremental[table] == rows, table
    assert len(refreshed["subscription_periods"]) > 150


def test_only_what_changed_is_written(project: DbtProject) -> None:
    """One more batch rewrites the periods of few accounts and labels of few days."""
    company = random_company(7, "dates", accounts=150, last_day=200)
    complete = max(company.batches[-9:], key=lambda delivery: len(delivery.rows))
    today = company.batches[-1].batch_date + timedelta(days=1)
    # An active account with one row.
    leaving, signup = next(
        (account, signup)
        for account, ((signup, cancelled_service, new_customer), *others) in sorted(
            complete.rows.items()
        )
        if str(signup).startswith("202")
        and not (cancelled_service or new_customer or others)
    )
    next_day = Delivery(
        today,
        datetime.combine(today, time(3)) + timedelta(days=1),
        {**complete.rows, leaving: [(signup, str(today), None)]},
    )

    project.create_raw_tables()
    project.write("raw.raw_accounts", company.frame())
    project.dbt(*LINE, load_demo_seeds=False)
    previous_periods = periods_by_account(project)
    previous_labels = labels_by_account_and_date(project)
    project.write("raw.raw_accounts", company.frame([next_day]))
    project.dbt(*LINE, load_demo_seeds=False)

    revised = set()
    for account, (periods, updated_at) in periods_by_account(project).items():
        previous, previous_updated_at = previous_periods.get(account, (None, None))
        assert (updated_at == previous_updated_at) == (periods == previous), account
        revised |= {account} if updated_at != previous_updated_at else set()
    assert leaving in revised
    assert len(revised) < 40
    labels = labels_by_account_and_date(project)
    statuses = {day: status for (_, day), (status, _) in previous_labels.items()}
    untouched = 0
    for (account, day), (status, updated_at) in labels.items():
        is_due = account in revised or statuses.get(day) != status
        _, previous_updated_at = previous_labels.get((account, day), (None, None))
        assert (updated_at != previous_updated_at) == is_due, (account, day)
        untouched += not is_due
    assert untouched > len(labels) / 2


def periods_by_account(
    project: DbtProject,
) -> dict[str, tuple[list[tuple], datetime]]:
    """Return every account's periods, and when they were written."""
    periods: dict[str, tuple[list[tuple], datetime]] = {}
    for account, *period, updated_at in project.query(
        "from subscription_periods order by account_id, period_number"
    ):
        periods.setdefault(account, ([], updated_at))[0].append(tuple(period))
    return periods


def labels_by_account_and_date(
    project: DbtProject,
) -> dict[tuple[str, date], tuple[str, datetime]]:
    """Return the status of every label, and the version of its periods."""
    rows = project.query(
        "select account_id, as_of_date, label_status, periods_updated_at "
        "from churn_labels"
    )
    return {
        (account, day): (status, updated_at)
        for account, day, status, updated_at in rows
    }


def test_a_run_with_other_variables_equals_a_full_refresh(
    project: DbtProject,
) -> None:
    """Other parameters, another grid, a past date, and a deleted account."""
    company = random_company(11, "dates", accounts=80, last_day=150)
    project.create_raw_tables()
    project.write("raw.raw_accounts", company.frame())
    project.dbt(*LINE, load_demo_seeds=False)
    runs = [
        {"churn_horizon_days": 14},
        {"churn_grace_days": 5},
        {"as_of_frequency": "monthly", "as_of_date": "2025-04-05"},
        {},
    ]
    for number, variables in enumerate(runs):
        if number == 3:
            project.execute("delete from raw.raw_accounts where account_id = 'a00003'")
        project.dbt(*LINE, load_demo_seeds=False, **variables)
        incremental = contents(project, LABELS)
        project.dbt(
            "run",
            "--full-refresh",
            "--select",
            *LABELS,
            load_demo_seeds=False,
            **variables,
        )
        assert incremental == contents(project, LABELS), variables
