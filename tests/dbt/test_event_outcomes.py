"""Cancellations and restarts as clickstream events, against a brute-force computation.

See event_oracle.py.
"""

from __future__ import annotations

import json
import random
from datetime import date, datetime, timedelta

import pandas as pd

from tests.support.event_oracle import DAY, Transitions, end_reason, periods_of
from tests.support.project import DbtProject

FIRST_DAY = date(2025, 1, 1)
DAYS = 150
GRACE, HORIZON = 12, 20
NAMES = {True: "subscription_started", False: "subscription_cancelled"}


def random_transitions(chance: random.Random) -> Transitions:
    """Generate times of starts (True) and cancellations (False), sorted."""
    times = sorted(
        datetime(2025, 1, 2)
        + timedelta(days=chance.randrange(DAYS - 4), minutes=chance.randrange(1440))
        for _ in range(chance.choice([0, 0, 1, 1, 2, 3, 5]))
    )
    # Sometimes several on one day, and some that change nothing.
    times += [time + timedelta(minutes=7) for time in times if chance.random() < 0.2]
    is_start = False
    transitions: Transitions = []
    for time in sorted(times):
        transitions.append((time, is_start))
        is_start = not is_start if chance.random() < 0.9 else is_start
    return transitions


def test_models_agree_with_the_brute_force_computation(project: DbtProject) -> None:
    """300 accounts with one user each; a fifth of the events arrives days late."""
    chance = random.Random(20250301)
    companies_accounts = {
        f"a{number:03d}": (
            FIRST_DAY - chance.choice([0, 3, 50]) * DAY,
            random_transitions(chance),
        )
        for number in range(300)
    }
    last_arrival = datetime(2025, 1, 1) + timedelta(days=DAYS, hours=7)
    records = [
        (
            time,
            min(time + timedelta(days=chance.choice([0] * 8 + [1, 3])), last_arrival),
            {"name": NAMES[is_start], "user_id": account},
        )
        for account, (_, transitions) in companies_accounts.items()
        for time, is_start in transitions
    ]
    records.append((last_arrival, last_arrival, {"name": "login", "user_id": "a000"}))
    project.create_raw_tables()
    project.write(
        "raw.raw_events",
        pd.DataFrame(
            [
                {
                    "payload": json.dumps(
                        {**what, "time": time.isoformat(), "event_id": str(number)}
                    ),
                    "received_at": received,
                    "source_file": received.date().isoformat(),
                }
                for number, (time, received, what) in enumerate(records)
            ]
        ),
    )
    # One batch is enough, because outcomes are events.
    project.write(
        "raw.raw_accounts",
        pd.DataFrame(
            [
                {
                    "batch_date": FIRST_DAY,
                    "loaded_at": datetime(2025, 1, 2, 3),
                    "account_id": account,
                    "signup_date": str(signup),
                }
                for account, (signup, _) in companies_accounts.items()
            ]
        ),
    )
    project.execute(
        "alter table raw.raw_accounts drop column cancelled_service",
        "alter table raw.raw_accounts drop column new_customer",
        "drop table raw.raw_contacts",
        "drop table raw.raw_invoices",
        "drop table raw.raw_calls",
    )
    project.dbt(
        "run",
        "--select",
        "+churn_labels",
        "+crm_data_issues",
        "--exclude",
        "resource_type:seed",
        load_demo_seeds=False,
        has_contacts=False,
        has_invoices=False,
        has_support_calls=False,
        cancellation_source="events",
        churn_grace_days=GRACE,
        churn_horizon_days=HORIZON,
    )

    data_through = FIRST_DAY + (DAYS - 1) * DAY
    as_of_dates = [
        FIRST_DAY + number * DAY
        for number in range(1, DAYS + 1)
        if (FIRST_DAY + number * DAY).weekday() == 0 or number == DAYS
    ]
    periods, labels = set(), set()
    for account, (signup, transitions) in companies_accounts.items():
        account_periods = periods_of(signup, transitions)
        reasons = [
            end_reason(account_periods, number, GRACE, data_through)
            for number in range(len(account_periods))
        ]
        churns = [
            end
            for (_, end), reason in zip(account_periods, reasons, strict=True)
            if reason == "churn"
        ]
        periods |= {
            (account, number + 1, start, end, reason)
            for number, ((start, end), reason) in enumerate(
                zip(account_periods, reasons, strict=True)
            )
        }
        for day in as_of_dates:
            if not any(
                started < day and (ended is None or ended >= day)
                for started, ended in account_periods
            ):
                continue
            if day + (HORIZON + GRACE) * DAY > data_through:
                labels.add((account, day, None))
            else:
                labels.add(
                    (
                        account,
                        day,
                        any(day <= churn < day + HORIZON * DAY for churn in churns),
                    )
                )

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
    reasons = [reason for *_, reason in periods]
    assert min(reasons.count(reason) for reason in ("churn", "pause", "pending")) > 5
    assert sum(churned is True for *_, churned in labels) > 100
    # Late outcomes count in labels, but not in features.
    late = project.query(
        """select count(*) from (
            select account_id, source_column, event_date
            from int_subscription_event_versions where batch_scope = 'all'
            except
            select account_id, source_column, event_date
            from int_subscription_event_versions where batch_scope = 'on_time'
        )"""
    )[0][0]
    assert late > 20
