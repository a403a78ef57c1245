"""The labels against a brute-force reading of what they mean.

The reading below takes the rows of the raw batches, one account at a time, and
walks its life day by day. It shares nothing with the SQL: no windows, no joins
of ranges, no signals. Every period, every label and every issue of thousands of
random histories must come out the same.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pytest
from conftest import DbtProject
from crm_histories import Company, Delivery, random_company

DAY = timedelta(days=1)
NOTHING = {"", "null", "\\n"}
ON, OFF = {"y", "1", "true"}, {"n", "0", "false"}


@dataclass
class Account:
    """All that the accepted batches told of one account."""

    signups: set[date] = field(default_factory=set)
    cancellations: set[date] = field(default_factory=set)
    restarts: set[date] = field(default_factory=set)
    restart_in_first_batch: date | None = None
    batches: list[date] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    vanishings: list[Vanishing] = field(default_factory=list)


@dataclass
class Vanishing:
    """A batch that lacks an account of the batch before, and what was told by then."""

    batch: date
    cancellations: set[date]
    restarts: set[date]


def clean(text: str | None) -> str | None:
    if text is None or text.strip().lower() in NOTHING:
        return None
    return text.strip()


def as_day(text: str) -> date | None:
    try:
        return datetime.strptime(text[:10], "%Y-%m-%d").date()
    except ValueError:
        return None


def accepted_batches(company: Company) -> tuple[list[Delivery], list[Delivery]]:
    """The batches that count, and the broken copies."""
    accepted: list[Delivery] = []
    broken: list[Delivery] = []
    for delivery in sorted(
        company.batches, key=lambda each: (each.batch_date, each.loaded_at)
    ):
        if not delivery.rows:
            continue
        if accepted and delivery.batch_date == accepted[-1].batch_date:
            continue
        if accepted and 10 * len(delivery.rows) < 6 * len(accepted[-1].rows):
            broken.append(delivery)
        else:
            accepted.append(delivery)
    return accepted, broken


def read_accounts(accepted: list[Delivery], dialect: str) -> dict[str, Account]:
    """What the batches tell of each account, batch by batch."""
    accounts: dict[str, Account] = defaultdict(Account)
    flags: dict[tuple[str, str], bool] = {}
    previous: set[str] = set()
    for delivery in accepted:
        for name in previous - set(delivery.rows):
            account = accounts[name]
            account.vanishings.append(
                Vanishing(
                    delivery.batch_date,
                    set(account.cancellations),
                    set(account.restarts),
                )
            )
        previous = set(delivery.rows)
        for name, row in delivery.rows.items():
            account = accounts[name]
            is_first = not account.batches
            account.batches.append(delivery.batch_date)
            signup, cancelled, restarted = map(clean, row)
            if signup is not None:
                day = as_day(signup)
                if day is None:
                    account.unreadable.add(f"signup_date: {signup}")
                else:
                    account.signups.add(day)
            for column, text, days in (
                ("cancelled_service", cancelled, account.cancellations),
                ("new_customer", restarted, account.restarts),
            ):
                if dialect == "dates":
                    if text is None:
                        continue
                    day = as_day(text)
                    if day is None:
                        account.unreadable.add(f"{column}: {text}")
                    else:
                        days.add(day)
                    continue
                was_on = flags.get((name, column), False)
                if text is None or text.lower() in OFF:
                    is_on = False
                elif text.lower() in ON:
                    is_on = True
                else:
                    account.unreadable.add(f"{column}: {text}")
                    is_on = was_on
                flags[name, column] = is_on
                if is_on and not was_on:
                    days.add(delivery.batch_date)
                    if is_first and column == "new_customer":
                        account.restart_in_first_batch = delivery.batch_date
    return accounts


@dataclass
class Life:
    """One account's life: its periods, the mornings it was a customer, oddities."""

    periods: list[list[date | None]] = field(default_factory=list)
    mornings: set[date] = field(default_factory=set)
    issues: set[tuple[str, str]] = field(default_factory=set)


def live(account: Account, until: date) -> Life:
    """Walk an account's life, day by day, up to and including ``until``."""
    life = Life()
    signup = min(account.signups, default=None)
    days = account.signups | account.cancellations | account.restarts
    if not days:
        return life
    has_ever_been_told = False
    is_open = False
    day = min(days)
    last = max(*days, until)
    while day <= last:
        if is_open:
            life.mornings.add(day)
        cancels, restarts = day in account.cancellations, day in account.restarts
        if signup is not None and day < signup:
            if cancels:
                life.issues.add(
                    ("cancellation_before_signup", f"cancelled_service {day}")
                )
            if restarts:
                life.issues.add(("restart_before_signup", f"new_customer {day}"))
            day += DAY
            continue
        if day in account.signups and day != signup:
            life.issues.add(("changed_signup_date", f"signup_date {day}"))
        if day == signup:
            is_open = has_ever_been_told = True
            life.periods.append([day, None])
        was_open = is_open
        if cancels:
            if is_open:
                life.periods[-1][1] = day
                is_open = False
            elif not has_ever_been_told:
                life.issues.add(
                    ("cancellation_before_signup", f"cancelled_service {day}")
                )
            else:
                life.issues.add(("second_cancellation", f"cancelled_service {day}"))
            has_ever_been_told = True
        if restarts:
            if not is_open:
                if cancels and was_open:
                    life.periods[-1][1] = None  # a plan change
                else:
                    life.periods.append([day, None])
                is_open = has_ever_been_told = True
            elif day not in (signup, account.restart_in_first_batch):
                life.issues.add(("restart_without_cancellation", f"new_customer {day}"))
        day += DAY
    return life


def unexplained_vanishings(account: Account) -> set[date]:
    """The batches that an account vanished from while it stood as a customer."""
    signup = min(account.signups, default=date.min)
    batches = set()
    for vanishing in account.vanishings:
        cancellation_date = max(
            (day for day in vanishing.cancellations if day >= signup), default=None
        )
        came_back = any(
            cancellation_date is not None and day >= cancellation_date
            for day in vanishing.restarts
        )
        if cancellation_date is None or came_back:
            batches.add(vanishing.batch)
    return batches


def end_kinds(life: Life, grace: int, last_batch: date) -> list[str | None]:
    """What each period's end is."""
    kinds: list[str | None] = []
    starts = {started for started, _ in life.periods}
    for _, ended in life.periods:
        if ended is None:
            kinds.append(None)
        elif any(ended + n * DAY in starts for n in range(1, grace + 1)):
            kinds.append("pause")
        elif ended + grace * DAY <= last_batch:
            kinds.append("churn")
        else:
            kinds.append("pending")
    return kinds


def as_of_dates(company: Company, first_batch: date, frequency: str) -> list[date]:
    """The grid, and the latest day that is decided."""
    last_arrival = max(delivery.loaded_at for delivery in company.batches)
    day, days = first_batch + DAY, []
    while datetime.combine(day, datetime.min.time()) + 6 * DAY / 24 <= last_arrival:
        days.append(day)
        day += DAY
    return [
        day
        for day in days
        if day == days[-1]
        or (day.weekday() == 0 if frequency == "weekly" else day.day == 1)
    ]


def expected(
    company: Company, grace: int, horizon: int, frequency: str
) -> tuple[set, set, set]:
    """All periods, labels and issues that the batches of a company amount to."""
    accepted, broken = accepted_batches(company)
    last_batch = accepted[-1].batch_date
    asked = as_of_dates(company, accepted[0].batch_date, frequency)
    periods, labels, issues = set(), set(), set()

    for name, account in read_accounts(accepted, company.dialect).items():
        life = live(account, max(last_batch, asked[-1]))
        kinds = end_kinds(life, grace, last_batch)
        stay, churns = 0, set()
        for position, ((started, ended), kind) in enumerate(
            zip(life.periods, kinds, strict=True)
        ):
            previous = kinds[position - 1] if position else None
            stay += previous != "pause"
            periods.add(
                (name, position + 1, stay, started, ended, kind, previous == "churn")
            )
            if kind == "churn":
                churns.add(ended)

        for day in asked:
            if day not in life.mornings:
                continue
            if day + (horizon + grace) * DAY > last_batch:
                labels.add((name, day, None, "pending", None))
                continue
            churned = [day + n * DAY for n in range(horizon) if day + n * DAY in churns]
            labels.add(
                (name, day, bool(churned), "observed", churned[0] if churned else None)
            )

        issues |= {(name, *issue) for issue in life.issues}
        issues |= {(name, "unreadable_value", detail) for detail in account.unreadable}
        issues |= {
            (name, "account_vanished", str(batch))
            for batch in unexplained_vanishings(account)
        }
        if not account.signups:
            issues.add(
                (name, "missing_signup_date", "no batch names a readable signup_date")
            )

    issues |= {
        (None, "incomplete_batch", str(delivery.batch_date)) for delivery in broken
    }
    arrived = {delivery.batch_date for delivery in company.batches if delivery.rows}
    day = min(arrived)
    while day < max(max(arrived) + DAY, asked[-1]):
        if day not in arrived:
            issues.add((None, "missing_batch", str(day)))
        day += DAY
    return periods, labels, issues


@pytest.mark.parametrize("dialect", ["dates", "flags"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_models_agree_with_the_brute_force_reading(
    project: DbtProject, dialect: str, seed: int
) -> None:
    """Companies of 800 accounts in each dialect; grace, horizon and grid drawn."""
    chance = random.Random(f"{dialect} {seed}")
    grace = [0, chance.randrange(1, 31), chance.randrange(31, 61)][seed % 3]
    horizon = chance.choice([7, 90, chance.randrange(7, 91)])
    frequency = chance.choice(["weekly", "weekly", "monthly"])
    company = random_company(chance.randrange(10**9), dialect, accounts=800)

    project.create_raw_tables()
    project.write("raw.raw_accounts", company.frame().sample(frac=1, random_state=seed))
    project.dbt(
        "run",
        "--select",
        "+churn_labels",
        "+crm_data_issues",
        load_demo_seeds=False,
        cancellation_source=dialect,
        churn_grace_days=grace,
        churn_horizon_days=horizon,
        as_of_frequency=frequency,
    )
    periods, labels, issues = expected(company, grace, horizon, frequency)

    settings = f"grace {grace}, horizon {horizon}, {frequency}"
    assert (
        set(
            project.query(
                """select account_id, period_number, tenure_number, start_date,
                    end_date, end_reason, is_winback from subscription_periods"""
            )
        )
        ^ periods
        == set()
    ), settings
    assert (
        set(
            project.query(
                """select account_id, as_of_date, is_churned, label_status,
                    churn_date from churn_labels"""
            )
        )
        ^ labels
        == set()
    ), settings
    assert (
        set(
            project.query(
                """select account_id, issue,
                    case when issue in (
                        'incomplete_batch', 'missing_batch', 'account_vanished'
                    ) then cast(batch_date as varchar) else detail end
                from crm_data_issues"""
            )
        )
        ^ issues
        == set()
    ), settings
    assert sum(churned is True for _, _, churned, _, _ in labels) > 50, settings
    assert sum(ended is not None for _, _, _, _, ended, _, _ in periods) > 200
