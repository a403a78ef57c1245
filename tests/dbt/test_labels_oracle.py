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
TRUE_TEXTS = {"y", "yes", "t", "true", "1", "1.0"}
FALSE_TEXTS = {"n", "no", "f", "false", "0", "0.0"}
# White space and characters without a width at the ends of a value are no part of it.
INVISIBLE = "\ufeff\u200b"


class Unreadable(str):
    """A text that is no value of its column."""


# A value: a date or flag, None for an empty date, or an unreadable text.
Value = date | bool | Unreadable | None


@dataclass
class Claim:
    """A cancellation or restart that the batches claim at some time.

    Attributes:
        day: Its date.
        kind: ``cancel``, ``restart``, ``cleared``, ``vanished`` or ``returned``.
        known: The first batch with it.
        fate: None if it holds, ``withdrawn`` or ``corrected``.
        is_harmless: Whether it is no issue if it has no effect.
    """

    day: date
    kind: str
    known: date
    fate: str | None = None
    is_harmless: bool = False


@dataclass
class Account:
    """What the accepted batches say about one account, batch by batch."""

    signups: set[date] = field(default_factory=set)
    claims: list[Claim] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    vanished_in: dict[date, list[Claim]] = field(default_factory=dict)
    batches: list[date] = field(default_factory=list)

    # The current cells or flags, and the claims that they made.
    cancellation: Claim | None = None
    restart: Claim | None = None
    cleared: Claim | None = None
    previous_restart_day: date | None = None
    is_cancelled: bool = False
    is_new_customer: bool = False

    def alive(self, *kinds: str) -> list[Claim]:
        """Return the claims of some kinds that hold so far."""
        return [c for c in self.claims if c.kind in kinds and c.fate is None]

    def claim(self, day: date, kind: str, batch: date, **more: bool) -> Claim:
        """Add a claim."""
        self.claims.append(Claim(day, kind, batch, **more))
        return self.claims[-1]


def clean(text: str | None) -> str | None:
    if text is None:
        return None
    text = text.strip().strip(INVISIBLE).strip()
    return None if text.lower() in NULL_TEXTS else text


def as_day(text: str | None) -> date | Unreadable | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text[:10], "%Y-%m-%d").date()
    except ValueError:
        return Unreadable(text)


def as_flag(text: str | None) -> bool | Unreadable:
    if text is None or text.lower() in FALSE_TEXTS:
        return False
    return True if text.lower() in TRUE_TEXTS else Unreadable(text)


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


def combined_dates(rows: list[tuple[Value, Value, Value]]) -> tuple[Value, Value]:
    """Return the cancellation and restart of an account with several rows.

    The account is a customer while any row is active. If a row is active today, the
    account restarted when that row started, but not before the last one ended.
    """
    is_readable = [row for row in rows if not isinstance(row[1], Unreadable)]
    ends = [end for _, end, _ in is_readable if end is not None]
    restart_days = [r for *_, r in rows if isinstance(r, date)]
    active_since = [
        (end is None and (restart if isinstance(restart, date) else None))
        or (signup if end is None and isinstance(signup, date) else None)
        or (restart if end is not None else date.min)
        for signup, end, restart in is_readable
        if end is None or (isinstance(restart, date) and restart >= end)
    ]
    if active_since:
        if ends:
            return max(ends), max(max(ends), min(active_since))
        return None, max(restart_days, default=None)
    cancellation: Value = max(ends, default=None)
    if len(is_readable) < len(rows):
        cancellation = Unreadable("one of several")
    restart: Value = max(restart_days, default=None)
    if restart is None and any(isinstance(r, Unreadable) for *_, r in rows):
        restart = Unreadable("one of several")
    return cancellation, restart


def combined_flags(rows: list[tuple[Value, Value, Value]]) -> tuple[Value, Value]:
    """Return the flags of an account with several rows."""
    cancelled, new_customer = [row[1] for row in rows], [row[2] for row in rows]
    unknown = Unreadable("one of several")
    has_unknown = any(isinstance(flag, Unreadable) for flag in cancelled)
    is_cancelled: Value = unknown if has_unknown else True
    if any(flag is False for flag in cancelled):
        is_cancelled = False
    has_unknown = any(isinstance(flag, Unreadable) for flag in new_customer)
    is_new: Value = unknown if has_unknown else False
    if any(flag is True for flag in new_customer):
        is_new = True
    return is_cancelled, is_new


def is_between(day: date, one: date, other: date) -> bool:
    """Return whether a restart is between two cancellations of different dates.

    On one date, a cancellation comes before a restart.
    """
    return min(one, other) <= day < max(one, other)


def take_dates(
    account: Account, batch: date, cancellation: Value, restart: Value, grace: int
) -> None:
    """Take the two date cells of an account in a batch."""
    restart_before = account.previous_restart_day
    if not isinstance(restart, Unreadable):
        shown = account.restart.day if account.restart else None
        if restart != shown:
            if account.restart and batch < account.restart.day:
                account.restart.fate = "withdrawn"
            account.restart = None
            if restart is not None:
                account.restart = account.claim(restart, "restart", batch)
                scheduled = account.cancellation
                if (
                    scheduled
                    and scheduled.known < batch < scheduled.day
                    and scheduled.known <= restart < scheduled.day
                ):
                    account.restart.is_harmless = True
                    scheduled.fate = scheduled.fate or "withdrawn"
    if not isinstance(cancellation, Unreadable):
        old = account.cancellation
        if cancellation != (old.day if old else None):
            account.cancellation = None
            if old and batch < old.day:
                old.fate = "withdrawn"
            elif old and cancellation is not None:
                shown_since = max(old.known, old.day)
                has_restart = any(
                    is_between(each.day, old.day, cancellation)
                    for each in account.alive("restart", "cleared")
                )
                if (batch - shown_since).days <= grace and not has_restart:
                    old.fate = old.fate or "corrected"
            elif old:
                row_restart = restart if isinstance(restart, date) else None
                is_given = any(
                    day is not None and day >= old.day
                    for day in (row_restart, restart_before)
                )
                if not is_given:
                    account.cleared = account.claim(
                        batch, "cleared", batch, is_harmless=True
                    )
            if cancellation is not None:
                cleared = account.cleared
                if old is None and cleared and cancellation <= cleared.day:
                    cleared.fate = "withdrawn"
                account.cleared = None
                account.cancellation = account.claim(cancellation, "cancel", batch)
        account.previous_restart_day = restart if isinstance(restart, date) else None


def take_flags(
    account: Account,
    batch: date,
    cancelled: Value,
    new_customer: Value,
    off_is_restart: bool,
) -> None:
    """Take the two flags of an account in a batch."""
    if not isinstance(cancelled, Unreadable):
        if cancelled and not account.is_cancelled:
            account.claim(batch, "cancel", batch)
        if account.is_cancelled and not cancelled and off_is_restart:
            account.claim(batch, "cleared", batch, is_harmless=True)
        account.is_cancelled = bool(cancelled)
    if not isinstance(new_customer, Unreadable):
        if new_customer and not account.is_new_customer:
            is_first = account.batches == [batch]
            account.claim(batch, "restart", batch, is_harmless=is_first)
        account.is_new_customer = bool(new_customer)


def open_vanishings(account: Account) -> set[date]:
    """Return the batches from which an account vanished while it was a customer.

    The latest date that was known then decides, unless it is before the signup.
    """
    signup = min(account.signups, default=date.min)
    order = ["cancel", "restart", "cleared"]
    batches = set()
    for batch, claims in account.vanished_in.items():
        known = [(c.day, order.index(c.kind)) for c in claims if c.day >= signup]
        if not known or max(known)[1] > 0:
            batches.add(batch)
    return batches


def read_accounts(
    accepted: list[Delivery], dialect: str, grace: int, vanished_after: int | None
) -> dict[str, Account]:
    """Read the accepted batches in order."""
    accounts: dict[str, Account] = defaultdict(Account)
    parse = as_day if dialect == "dates" else as_flag
    combine = combined_dates if dialect == "dates" else combined_flags
    has_restart_column = False
    previous: set[str] = set()
    absent_since: dict[str, date] = {}
    confirmed: set[str] = set()
    for number, delivery in enumerate(accepted):
        batch = delivery.batch_date
        for name in previous - set(delivery.rows):
            absent_since[name] = accepted[number - 1].batch_date
            accounts[name].vanished_in[batch] = accounts[name].alive(
                "cancel", "restart", "cleared"
            )
        for name, last_seen in absent_since.items():
            if name in delivery.rows:
                continue
            if (
                vanished_after is not None
                and name not in confirmed
                and (batch - last_seen).days >= vanished_after
            ):
                confirmed.add(name)
                accounts[name].claim(last_seen, "vanished", batch, is_harmless=True)
        has_restart_column |= any(
            clean(row[2]) for rows in delivery.rows.values() for row in rows
        )
        for name, rows in delivery.rows.items():
            account = accounts[name]
            account.batches.append(batch)
            values = list(
                dict.fromkeys(
                    (as_day(clean(row[0])), parse(clean(row[1])), parse(clean(row[2])))
                    for row in rows
                )
            )
            for position, column in enumerate(
                ("signup_date", "cancelled_service", "new_customer")
            ):
                texts = [
                    v[position] for v in values if isinstance(v[position], Unreadable)
                ]
                if texts:
                    account.unreadable.add(f"{column}: {min(texts)}")
            days = [v[0] for v in values if isinstance(v[0], date)]
            if days:
                account.signups.add(min(days))
            if len(values) == 1:
                _, cancellation, restart = values[0]
            else:
                cancellation, restart = combine(values)
            if dialect == "dates":
                take_dates(account, batch, cancellation, restart, grace)
                is_active = (
                    cancellation is None
                    or (isinstance(cancellation, date) and cancellation > batch)
                    or (
                        isinstance(cancellation, date)
                        and isinstance(restart, date)
                        and restart >= cancellation
                    )
                )
            else:
                take_flags(
                    account,
                    batch,
                    cancellation,
                    restart,
                    not has_restart_column or len(values) > 1,
                )
                is_active = cancellation is False
            absent_since.pop(name, None)
            if name in confirmed:
                confirmed.discard(name)
                if is_active:
                    account.claim(batch, "returned", batch, is_harmless=True)
        previous = set(delivery.rows)
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
    cancellations = {c.day for c in account.alive("cancel")}
    restarts = {c.day for c in account.alive("restart")}
    harmless = {c.day for c in account.alive("restart") if c.is_harmless}
    cleared = {c.day for c in account.alive("cleared", "returned")}
    vanished = {c.day for c in account.alive("vanished")}
    for day in {c.day for c in account.claims if c.fate == "corrected"}:
        fates = [c.fate for c in account.claims if c.kind == "cancel" and c.day == day]
        # The first in the alphabet of the reasons is shown.
        if None not in fates and min(fates) == "corrected":
            history.issues.add(("corrected_cancellation", f"cancelled_service {day}"))
    days = account.signups | cancellations | restarts | cleared | vanished
    if not days:
        return history
    has_started = False
    is_open = False
    day = min(days)
    last = max(*days, until)
    while day <= last:
        if is_open:
            history.customer_dates.add(day)
        cancels, restarted = day in cancellations, day in restarts
        if signup is not None and day < signup:
            if cancels:
                history.issues.add(
                    ("cancellation_before_signup", f"cancelled_service {day}")
                )
            if restarted:
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
        if restarted and is_open and day not in {signup, *harmless}:
            history.issues.add(("restart_without_cancellation", f"new_customer {day}"))
        if (restarted or day in cleared) and not is_open:
            if cancels and was_open:
                history.periods[-1][1] = None  # a plan change
            else:
                history.periods.append([day, None])
            is_open = has_started = True
        if day in vanished:
            if is_open:
                history.periods[-1][1] = day
                is_open = False
            has_started = True
        day += DAY
    return history


def end_reasons(
    history: AccountHistory, grace: int, last_batch: date
) -> list[str | None]:
    """Return the end reason of each period."""
    reasons: list[str | None] = []
    starts = [start for start, _ in history.periods]
    for number, (_, end) in enumerate(history.periods):
        next_start = starts[number + 1] if number + 1 < len(starts) else None
        if end is None:
            reasons.append(None)
        elif next_start is not None and next_start <= end + grace * DAY:
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
    company: Company,
    grace: int,
    horizon: int,
    frequency: str,
    vanished_after: int | None = None,
) -> tuple[set, set, set]:
    """Return all periods, labels and issues of a company's batches."""
    accepted, incomplete = accepted_batches(company)
    last_batch = accepted[-1].batch_date
    dates = as_of_dates(company, accepted[0].batch_date, frequency)
    periods, labels, issues = set(), set(), set()

    certain_after = horizon + max(grace, vanished_after or 0)

    for name, account in read_accounts(
        accepted, company.dialect, grace, vanished_after
    ).items():
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
            if day + certain_after * DAY > last_batch:
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
@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.long) for seed in (3, 4))]
)
def test_models_agree_with_the_brute_force_computation(
    project: DbtProject, dialect: str, seed: int
) -> None:
    """Companies with 800 accounts; grace, horizon and grid are random."""
    chance = random.Random(f"{dialect} {seed}")
    grace = [0, chance.randrange(1, 31), chance.randrange(31, 61)][seed % 3]
    horizon = chance.choice([7, 90, chance.randrange(7, 91)])
    frequency = chance.choice(["weekly", "weekly", "monthly"])
    vanished_after = [None, chance.randrange(1, 20), chance.randrange(20, 60)][seed % 3]
    company = random_company(
        chance.randrange(10**9), dialect, accounts=800, has_restart_column=seed % 4 != 1
    )

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
        vanished_after_days=vanished_after,
    )
    periods, labels, issues = expected(
        company, grace, horizon, frequency, vanished_after
    )

    settings = f"grace {grace}, horizon {horizon}, {frequency}, {vanished_after}"
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
                from crm_data_issues where issue != 'repeated_account'"""
            )
        )
        ^ issues
        == set()
    ), settings
    assert sum(churned is True for _, _, churned, _, _ in labels) > 50, settings
    assert sum(end is not None for _, _, _, _, end, _, _ in periods) > 200
