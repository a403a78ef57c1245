"""Labels against a brute-force computation from the raw batches.

The computation processes the raw batches one account at a time and iterates over its
days. It shares no code with the SQL: no windows, no range joins, no events. Every
period, label and data issue of thousands of random histories must be the same.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pytest

from tests.support.crm_histories import Company, Delivery, random_company
from tests.support.project import DbtProject

DAY = timedelta(days=1)
NULL_TEXTS = {"", "null", "\\n"}
TRUE_TEXTS, FALSE_TEXTS = {"y", "1", "true"}, {"n", "0", "false"}


@dataclass
class Account:
    """The values of one account in all accepted batches."""

    signups: set[date] = field(default_factory=set)
    cancellations: set[date] = field(default_factory=set)
    restarts: set[date] = field(default_factory=set)
    restart_in_first_batch: date | None = None
    batches: list[date] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    vanishings: list[Vanishing] = field(default_factory=list)


@dataclass
class Vanishing:
    """A batch without an account of the previous batch, and its dates until then."""

    batch: date
    cancellations: set[date]
    restarts: set[date]


def clean(text: str | None) -> str | None:
    if text is None or text.strip().lower() in NULL_TEXTS:
        return None
    return text.strip()


def as_day(text: str) -> date | None:
    try:
        return datetime.strptime(text[:10], "%Y-%m-%d").date()
    except ValueError:
        return None


def accepted_batches(company: Company) -> tuple[list[Delivery], list[Delivery]]:
    """Return the accepted deliveries, and the incomplete ones."""
    accepted: list[Delivery] = []
    incomplete: list[Delivery] = []
    for delivery in sorted(
        company.batches, key=lambda each: (each.batch_date, each.loaded_at)
    ):
        if not delivery.rows:
            continue
        if accepted and delivery.batch_date == accepted[-1].batch_date:
            continue
        if accepted and 10 * len(delivery.rows) < 6 * len(accepted[-1].rows):
            incomplete.append(delivery)
        else:
            accepted.append(delivery)
    return accepted, incomplete


def read_accounts(accepted: list[Delivery], dialect: str) -> dict[str, Account]:
    """Read the values of each account, batch by batch."""
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
            signup, cancelled_service, new_customer = map(clean, row)
            if signup is not None:
                day = as_day(signup)
                if day is None:
                    account.unreadable.add(f"signup_date: {signup}")
                else:
                    account.signups.add(day)
            for column, text, days in (
                ("cancelled_service", cancelled_service, account.cancellations),
                ("new_customer", new_customer, account.restarts),
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
                if text is None or text.lower() in FALSE_TEXTS:
                    is_on = False
                elif text.lower() in TRUE_TEXTS:
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
class AccountHistory:
    """Periods of one account, the dates it was a customer, and its data issues."""

    periods: list[list[date | None]] = field(default_factory=list)
    customer_dates: set[date] = field(default_factory=set)
    issues: set[tuple[str, str]] = field(default_factory=set)


def simulate_account(account: Account, until: date) -> AccountHistory:
    """Iterate over the days of an account, up to and including ``until``."""
    history = AccountHistory()
    signup = min(account.signups, default=None)
    days = account.signups | account.cancellations | account.restarts
    if not days:
        return history
    has_started = False
    is_open = False
    day = min(days)
    last = max(*days, until)
    while day <= last:
        if is_open:
            history.customer_dates.add(day)
        cancels, restarts = day in account.cancellations, day in account.restarts
        if signup is not None and day < signup:
            if cancels:
                history.issues.add(
                    ("cancellation_before_signup", f"cancelled_service {day}")
                )
            if restarts:
                history.issues.add(("restart_before_signup", f"new_customer {day}"))
            day += DAY
            continue
        if day in account.signups and day != signup:
            history.issues.add(("changed_signup_date", f"signup_date {day}"))
        if day == signup:
            is_open = has_started = True
            history.periods.append([day, None])
        was_open = is_open
        if cancels:
            if is_open:
                history.periods[-1][1] = day
                is_open = False
            elif not has_started:
                history.issues.add(
                    ("cancellation_before_signup", f"cancelled_service {day}")
                )
            else:
                history.issues.add(("second_cancellation", f"cancelled_service {day}"))
            has_started = True
        if restarts:
            if not is_open:
                if cancels and was_open:
                    history.periods[-1][1] = None  # a plan change
                else:
                    history.periods.append([day, None])
                is_open = has_started = True
            elif day not in (signup, account.restart_in_first_batch):
                history.issues.add(
                    ("restart_without_cancellation", f"new_customer {day}")
                )
        day += DAY
    return history


def open_vanishings(account: Account) -> set[date]:
    """Return the batches from which an account vanished while it was a customer."""
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


def end_reasons(
    history: AccountHistory, grace: int, last_batch: date
) -> list[str | None]:
    """Return the end reason of each period."""
    reasons: list[str | None] = []
    starts = {start for start, _ in history.periods}
    for _, end in history.periods:
        if end is None:
            reasons.append(None)
        elif any(end + n * DAY in starts for n in range(1, grace + 1)):
            reasons.append("pause")
        elif end + grace * DAY <= last_batch:
            reasons.append("churn")
        else:
            reasons.append("pending")
    return reasons


def as_of_dates(company: Company, first_batch: date, frequency: str) -> list[date]:
    """Return the grid of as-of dates, and the latest complete date."""
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
    """Return all periods, labels and issues of a company's batches."""
    accepted, incomplete = accepted_batches(company)
    last_batch = accepted[-1].batch_date
    dates = as_of_dates(company, accepted[0].batch_date, frequency)
    periods, labels, issues = set(), set(), set()

    for name, account in read_accounts(accepted, company.dialect).items():
        history = simulate_account(account, max(last_batch, dates[-1]))
        reasons = end_reasons(history, grace, last_batch)
        tenure, churns = 0, set()
        for position, ((start, end), reason) in enumerate(
            zip(history.periods, reasons, strict=True)
        ):
            previous = reasons[position - 1] if position else None
            tenure += previous != "pause"
            periods.add(
                (name, position + 1, tenure, start, end, reason, previous == "churn")
            )
            if reason == "churn":
                churns.add(end)

        for day in dates:
            if day not in history.customer_dates:
                continue
            if day + (horizon + grace) * DAY > last_batch:
                labels.add((name, day, None, "pending", None))
                continue
            churned = [day + n * DAY for n in range(horizon) if day + n * DAY in churns]
            labels.add(
                (name, day, bool(churned), "observed", churned[0] if churned else None)
            )

        issues |= {(name, *issue) for issue in history.issues}
        issues |= {(name, "unreadable_value", detail) for detail in account.unreadable}
        issues |= {
            (name, "account_vanished", str(batch)) for batch in open_vanishings(account)
        }
        if not account.signups:
            issues.add(
                (name, "missing_signup_date", "no batch names a readable signup_date")
            )

    issues |= {
        (None, "incomplete_batch", str(delivery.batch_date)) for delivery in incomplete
    }
    arrived = {delivery.batch_date for delivery in company.batches if delivery.rows}
    day = min(arrived)
    while day < max(max(arrived) + DAY, dates[-1]):
        if day not in arrived:
            issues.add((None, "missing_batch", str(day)))
        day += DAY
    return periods, labels, issues


@pytest.mark.parametrize("dialect", ["dates", "flags"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_models_agree_with_the_brute_force_computation(
    project: DbtProject, dialect: str, seed: int
) -> None:
    """Companies with 800 accounts; grace, horizon and grid are random."""
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
    assert sum(end is not None for _, _, _, _, end, _, _ in periods) > 200
