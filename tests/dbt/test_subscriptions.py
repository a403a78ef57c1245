"""Cancellations from an extract of subscriptions, against a brute-force computation.

The computation counts the active subscriptions of each account day by day.
"""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from tests.support.project import DbtProject

DAY = timedelta(days=1)
LOADED_AT = datetime(2025, 6, 30, 12)
# The last day of which every start and end is in the extract.
LAST_DAY = date(2025, 6, 29)
GRACE, HORIZON = 30, 30
SETTINGS: dict[str, Any] = {
    "load_demo_seeds": False,
    "has_contacts": False,
    "has_invoices": False,
    "has_support_calls": False,
    "cancellation_source": "subscriptions",
    "trial_plans": ["Trial"],
    "raw_accounts_table": "raw_subscriptions",
    "raw_accounts_columns": {
        "batch_date": "cast(loaded_at as date)",
        "company_name": "upper(account_id)",
        "industry": None,
        "signup_date": None,
        "seats": None,
        "monthly_recurring_revenue": "monthly_recurring_revenue",
        "owner_id": None,
        "owner_name": None,
        "currency": None,
    },
}
Subscription = tuple[str, date, date | None, str, float]

# What each account is expected to be: period starts, ends and end reasons.
HISTORIES: dict[str, tuple[list[Subscription], list[tuple]]] = {
    "stays": (
        [("stays", date(2024, 1, 10), None, "basic", 100)],
        [(date(2024, 1, 10), None, None)],
    ),
    "has_parallel_subscriptions": (
        [
            ("has_parallel_subscriptions", date(2024, 1, 10), None, "basic", 100),
            (
                "has_parallel_subscriptions",
                date(2024, 2, 1),
                date(2025, 3, 10),
                "pro",
                50,
            ),
        ],
        [(date(2024, 1, 10), None, None)],
    ),
    "ends_both": (
        [
            ("ends_both", date(2024, 1, 10), date(2025, 3, 10), "basic", 100),
            ("ends_both", date(2024, 2, 1), date(2025, 3, 25), "pro", 50),
        ],
        [(date(2024, 1, 10), date(2025, 3, 25), "churn")],
    ),
    "upgrades_on_the_same_date": (
        [
            (
                "upgrades_on_the_same_date",
                date(2024, 1, 10),
                date(2025, 3, 10),
                "basic",
                100,
            ),
            ("upgrades_on_the_same_date", date(2025, 3, 10), None, "pro", 200),
        ],
        [(date(2024, 1, 10), None, None)],
    ),
    "upgrades_on_the_next_date": (
        [
            (
                "upgrades_on_the_next_date",
                date(2024, 1, 10),
                date(2025, 3, 10),
                "basic",
                100,
            ),
            ("upgrades_on_the_next_date", date(2025, 3, 11), None, "pro", 200),
        ],
        [(date(2024, 1, 10), None, None)],
    ),
    "pauses": (
        [
            ("pauses", date(2024, 1, 10), date(2025, 3, 10), "basic", 100),
            ("pauses", date(2025, 4, 9), None, "basic", 100),
        ],
        [
            (date(2024, 1, 10), date(2025, 3, 10), "pause"),
            (date(2025, 4, 9), None, None),
        ],
    ),
    "is_won_back": (
        [
            ("is_won_back", date(2024, 1, 10), date(2025, 3, 10), "basic", 100),
            ("is_won_back", date(2025, 4, 10), None, "basic", 100),
        ],
        [
            (date(2024, 1, 10), date(2025, 3, 10), "churn"),
            (date(2025, 4, 10), None, None),
        ],
    ),
    "starts_with_a_trial": (
        [
            ("starts_with_a_trial", date(2025, 1, 10), date(2025, 1, 24), "trial", 0),
            ("starts_with_a_trial", date(2025, 1, 24), None, "basic", 100),
        ],
        [(date(2025, 1, 24), None, None)],
    ),
    "has_a_trial_only": (
        [("has_a_trial_only", date(2025, 1, 10), date(2025, 1, 24), "TRIAL", 0)],
        [],
    ),
    "will_end": (
        [("will_end", date(2024, 1, 10), date(2025, 9, 30), "basic", 100)],
        [(date(2024, 1, 10), date(2025, 9, 30), "pending")],
    ),
    "has_just_ended": (
        [("has_just_ended", date(2024, 1, 10), date(2025, 5, 31), "basic", 100)],
        [(date(2024, 1, 10), date(2025, 5, 31), "pending")],
    ),
}


def create_table(project: DbtProject) -> None:
    project.create_raw_tables()
    project.execute(
        """create table raw.raw_subscriptions (
            subscription_id varchar, account_id varchar, started_at varchar,
            ended_at varchar, plan varchar, monthly_recurring_revenue varchar,
            updated_at timestamp, loaded_at timestamp)"""
    )


def write(
    project: DbtProject, subscriptions: list[Subscription], loaded_at: datetime
) -> None:
    """Write one load; the number of a subscription is its identifier."""
    project.write(
        "raw.raw_subscriptions",
        pd.DataFrame(
            [
                {
                    "subscription_id": f"s{number}",
                    "account_id": account,
                    "started_at": f"{start}T10:00:00Z",
                    "ended_at": f"{end} 00:00:00" if end else "\r",
                    "plan": f"{plan}\u00a0",
                    "monthly_recurring_revenue": f"€ {revenue:,.2f}",
                    "loaded_at": loaded_at,
                }
                for number, (account, start, end, plan, revenue) in enumerate(
                    subscriptions
                )
            ]
        ),
    )


def run(project: DbtProject, *models: str) -> None:
    project.dbt(
        "run", "--select", *models, "--exclude", "resource_type:seed", **SETTINGS
    )


def test_histories_of_one_extract(project: DbtProject) -> None:
    """Plan and revenue of a past date are those of the subscriptions active then."""
    create_table(project)
    subscriptions = [each for rows, _ in HISTORIES.values() for each in rows]
    write(project, subscriptions, LOADED_AT)
    unusable = [
        ("u1", "is_wrong", "2025-03-01", "2025-02-01"),
        ("u2", "is_wrong", "soon", None),
        ("u3", "is_wrong", "2025-03-01", "later"),
    ]
    for name, account, start, end in unusable:
        project.write(
            "raw.raw_subscriptions",
            pd.DataFrame(
                [
                    {
                        "subscription_id": name,
                        "account_id": account,
                        "started_at": start,
                        "ended_at": end,
                        "loaded_at": LOADED_AT,
                    }
                ]
            ),
        )
    run(project, "+churn_labels", "+account_features", "+crm_data_issues")
    for name, (_, periods) in HISTORIES.items():
        assert (
            project.query(
                """select start_date, end_date, end_reason
                from subscription_periods where account_id = ? order by 1""",
                name,
            )
            == periods
        ), name
    assert project.query(
        "select detail from crm_data_issues where issue = 'unusable_subscription' "
        "order by 1"
    ) == [
        ("u1: ends_before_start, 2025-03-01 to 2025-02-01",),
        ("u2: unreadable_start, soon to no end",),
        ("u3: unreadable_end, 2025-03-01 to later",),
    ]
    # Labels begin with the first start, over a year before the extract.
    assert project.query("select min(as_of_date) from churn_labels") == [
        (date(2024, 1, 15),)
    ]
    terms = project.query(
        """select account_id, as_of_date, plan, monthly_recurring_revenue
        from account_features
        where as_of_date in ('2025-03-10', '2025-03-17')
            and account_id in (
                'has_parallel_subscriptions', 'upgrades_on_the_same_date')
        order by 1, 2"""
    )
    assert terms == [
        ("has_parallel_subscriptions", date(2025, 3, 10), "basic", 150.0),
        ("has_parallel_subscriptions", date(2025, 3, 17), "basic", 100.0),
        ("upgrades_on_the_same_date", date(2025, 3, 10), "basic", 100.0),
        ("upgrades_on_the_same_date", date(2025, 3, 17), "pro", 200.0),
    ]
    assert project.query(
        "select distinct company_name from int_account_profile "
        "where account_id = 'stays'"
    ) == [("STAYS",)]


def random_subscriptions(chance: random.Random, accounts: int) -> list[Subscription]:
    """Generate parallel, adjacent, separate, open and scheduled subscriptions."""
    subscriptions: list[Subscription] = []
    for number in range(accounts):
        day = date(2023, 6, 1) + chance.randrange(500) * DAY
        for _ in range(chance.choice([1, 1, 2, 3, 5])):
            length = chance.choice([0, 5, 30, 90, 200, None])
            end = None if length is None else day + length * DAY
            plan = chance.choice(["basic", "pro", "trial"])
            subscriptions.append((f"a{number:04d}", day, end, plan, 10.0))
            day = chance.choice(
                [
                    day + chance.randrange(40) * DAY,
                    (end or day) + chance.choice([0, 1, 2, 10, 30, 31, 60]) * DAY,
                ]
            )
    return [each for each in subscriptions if each[1] <= LAST_DAY]


def expected(
    subscriptions: list[Subscription], first_date: date
) -> tuple[set[tuple], set[tuple]]:
    """Return all periods and labels, counting active subscriptions day by day."""
    periods, labels = set(), set()
    by_account: dict[str, list[Subscription]] = {}
    for each in subscriptions:
        if each[3] != "trial":
            by_account.setdefault(each[0], []).append(each)
    for account, rows in by_account.items():
        day = min(start for _, start, *_ in rows)
        last = max([LAST_DAY, *(end for _, _, end, *_ in rows if end)]) + DAY
        active: list[date] = []
        while day <= last:
            if any(
                start <= day and (not end or day < end) for _, start, end, *_ in rows
            ):
                active.append(day)
            day += DAY
        # A day without a subscription between two days with one is an upgrade.
        spans: list[list[date]] = []
        for day in active:
            if spans and (day - spans[-1][1]).days <= 2:
                spans[-1][1] = day
            else:
                spans.append([day, day])
        ended = [(start, None if end == last else end + DAY) for start, end in spans]
        churns, rows_of_account = set(), []
        for number, (start, end) in enumerate(ended):
            following = ended[number + 1][0] if number + 1 < len(ended) else None
            if end is None:
                reason = None
            elif following and (following - end).days <= GRACE:
                reason = "pause"
            elif (LAST_DAY - end).days >= GRACE:
                reason = "churn"
                churns.add(end)
            else:
                reason = "pending"
            rows_of_account.append((account, number + 1, start, end, reason))
        periods |= set(rows_of_account)
        day = first_date
        while day <= LAST_DAY + DAY:
            is_on_grid = day.weekday() == 0 or day == LAST_DAY + DAY
            is_open = any(
                start < day and (end is None or end >= day)
                for *_, start, end, _ in rows_of_account
            )
            if is_on_grid and is_open:
                is_known = day + (HORIZON + GRACE) * DAY <= LAST_DAY
                churned = any(day <= c < day + HORIZON * DAY for c in churns)
                labels.add((account, day, churned if is_known else None))
            day += DAY
    return periods, labels


def test_models_agree_with_the_brute_force_computation(project: DbtProject) -> None:
    """A second load changes ends; the last state of each subscription counts."""
    chance = random.Random(20250301)
    subscriptions = random_subscriptions(chance, 300)
    create_table(project)
    before = [
        (account, start, chance.choice([None, end, start + 20 * DAY]), plan, revenue)
        for account, start, end, plan, revenue in subscriptions
    ]
    write(project, before, LOADED_AT - 10 * DAY)
    run(project, "+churn_labels")
    write(project, subscriptions, LOADED_AT)
    run(project, "+churn_labels")
    first_start = min(
        start for _, start, _, plan, _ in subscriptions if plan != "trial"
    )
    periods, labels = expected(subscriptions, first_start + DAY)
    assert (
        set(
            project.query(
                """select account_id, period_number, start_date, end_date, end_reason
                from subscription_periods"""
            )
        )
        ^ periods
        == set()
    )
    assert (
        set(
            project.query("select account_id, as_of_date, is_churned from churn_labels")
        )
        ^ labels
        == set()
    )
    assert sum(churned is True for *_, churned in labels) > 200
