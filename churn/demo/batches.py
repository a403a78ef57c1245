"""Write the batch sources: CRM extracts, invoices and support calls of one day."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from churn.demo import identifiers
from churn.demo.company import PLANS, ROLES, Company, price_cents
from churn.demo.landing_zone import csv_bytes, write_gzip
from churn.demo.lifecycle import CANCELLED, OPEN, RESTARTED, Lifecycle
from churn.demo.settings import DAY_MS, Settings

ACCOUNTS_HEADER = (
    "batch_date,loaded_at,account_id,company_name,industry,signup_date,plan,seats,"
    "monthly_recurring_revenue,cancelled_service,new_customer,"
    "owner_id,owner_name,currency"
)
CONTACTS_HEADER = "user_id,account_id,role,batch_date,loaded_at"
INVOICES_HEADER = "invoice_id,account_id,invoice_date,due_date,amount,status,loaded_at"
# Even an angry customer calls about twice a week.
_MAX_CALLS_PER_DAY = 0.25
CALLS_HEADER = "call_id,account_id,started_at,duration_seconds,topic,loaded_at"

TOPICS = ("billing", "delivery", "quality", "cancellation_question", "usage")

NORMAL, MISSING, LATE = "normal", "missing", "late"
INCOMPLETE, DUPLICATE = "incomplete", "duplicate"

_PAYMENT_TERM_DAYS = 14
# Days after the due date on which an unpaid invoice can change its status.
_STATUS_CHANGE_DAYS = (5, 12, 21)
# Days after a restart during which the CRM's `new_customer` flag is set.
_NEW_CUSTOMER_FLAG_DAYS = 7
_NO_DATE = -100_000


def batch_schedule(settings: Settings) -> list[str]:
    """Return the status of the CRM batch of each day, a list of length ``days``.

    About 1 % of the batches are missing, at most two days in a row. One is late, one
    incomplete and one delivered twice. The last days are normal.
    """
    schedule = [NORMAL] * settings.days
    slots = np.arange(6, settings.days - 4, 4)
    slots = settings.stream("schedule").permutation(slots).tolist()
    for status in (LATE, INCOMPLETE, DUPLICATE):
        if slots:
            schedule[slots.pop()] = status
    if slots:
        failed = slots.pop()
        schedule[failed] = schedule[failed + 1] = MISSING
    for _ in range(round(settings.days * 0.012)):
        if slots:
            schedule[slots.pop()] = MISSING
    return schedule


def contact_days(schedule: list[str]) -> set[int]:
    """Return the days whose batch holds contacts: the first, then weekly."""
    days: set[int] = set()
    latest = -7
    for day, status in enumerate(schedule):
        if day - latest >= 7 and status in (NORMAL, DUPLICATE):
            days.add(day)
            latest = day
    return days


def write_crm_batch(
    settings: Settings, company: Company, lifecycle: Lifecycle, day: int, out: Path
) -> None:
    """Write the CRM batch of one day, unless it is missing."""
    schedule = batch_schedule(settings)
    status = schedule[day]
    if status == MISSING:
        return
    random = settings.stream("crm", day)
    folder = out / f"salesforce/batch_date={settings.day_text(day)}"
    loaded_ms = settings.start_ms + (day + 1) * DAY_MS
    loaded_ms += int(random.integers(2 * 3_600, 4 * 3_600)) * 1_000
    if status == LATE:
        loaded_ms += 13 * 3_600_000

    accounts = np.flatnonzero(company.signup_day <= day)
    if status == INCOMPLETE:
        accounts = accounts[random.random(len(accounts)) < 0.4]
    cancelled_service, new_customer = _outcome_columns(
        settings, company, lifecycle, day, random
    )
    account_columns = _account_texts(company, lifecycle, day, accounts, random)
    for copy in range(2 if status == DUPLICATE else 1):
        loaded_at = _timestamp(loaded_ms + copy * 2_400_000)
        head = f"{settings.day_text(day)},{loaded_at},"
        rows = [
            f"{head}{columns},{cancelled_service[account]},{new_customer[account]},"
            f"{company.crm_tail[account]}"
            for account, columns in zip(accounts.tolist(), account_columns, strict=True)
        ]
        name = "accounts.csv.gz" if copy == 0 else "accounts-again.csv.gz"
        write_gzip(folder / name, csv_bytes(ACCOUNTS_HEADER, rows))

    if day in contact_days(schedule):
        tail = f",{settings.day_text(day)},{_timestamp(loaded_ms)}"
        users = np.flatnonzero(company.signup_day[company.user_account] <= day)
        rows = [
            f"{user_id},{company.account_id[account]},{ROLES[role]}{tail}"
            for user_id, account, role in zip(
                identifiers.user_ids(users),
                company.user_account[users].tolist(),
                company.role[users].tolist(),
                strict=True,
            )
        ]
        write_gzip(folder / "contacts.csv.gz", csv_bytes(CONTACTS_HEADER, rows))


def _outcome_columns(
    settings: Settings,
    company: Company,
    lifecycle: Lifecycle,
    day: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``cancelled_service`` and ``new_customer`` of all accounts, as texts."""
    happened = lifecycle.row_day <= day
    row_account = lifecycle.row_account[happened]
    row_day = lifecycle.row_day[happened]
    row_kind = lifecycle.row_kind[happened]
    cancellation_date = np.full(company.accounts, _NO_DATE)
    restart_date = np.full(company.accounts, _NO_DATE)
    is_restart = row_kind == RESTARTED
    # Rows are sorted by day, so the latest value overwrites earlier ones.
    cancellation_date[row_account[~is_restart]] = row_day[~is_restart]
    restart_date[row_account[is_restart]] = row_day[is_restart]

    if settings.dialect == "flags":
        is_cancelled_today = np.zeros(company.accounts, bool)
        today = (row_day == day) & (row_kind == CANCELLED)
        is_cancelled_today[row_account[today]] = True
        is_cancelled = is_cancelled_today | (
            (cancellation_date > _NO_DATE) & (lifecycle.state[day] != OPEN)
        )
        is_new = (lifecycle.state[day] == OPEN) & (
            day - restart_date < _NEW_CUSTOMER_FLAG_DAYS
        )
        off = np.where(random.random(company.accounts) < 0.7, "N", "")
        return (
            np.where(is_cancelled, "Y", off),
            np.where(is_new, "Y", off),
        )

    # Two data issues: trials cancelled before the signup, and restarts of accounts that
    # never left.
    number = np.arange(company.accounts) % 250
    never_cancelled = cancellation_date == _NO_DATE
    before = never_cancelled & (number == 17)
    cancellation_date[before] = company.signup_day[before] - 20
    spurious = never_cancelled & (restart_date == _NO_DATE) & (number == 31)
    spurious &= day >= company.signup_day + 40
    restart_date[spurious] = company.signup_day[spurious] + 40
    cancelled = _date_texts(settings, cancellation_date, random)
    restarted = _date_texts(settings, restart_date, random)
    if day % 90 in (20, 21, 22):
        # For three days, an unreadable date in one account.
        typo = np.flatnonzero(never_cancelled & (company.signup_day <= day))[:1]
        cancelled[typo] = "31.02.2025"
    return cancelled, restarted


def _date_texts(
    settings: Settings, day_numbers: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Format dates as the CRM does, with its three ways to write no date."""
    draw = random.random(len(day_numbers))
    texts = np.where(draw < 0.03, "\\N", np.where(draw < 0.04, "null", ""))
    texts = texts.astype(object)
    has_date = np.flatnonzero(day_numbers > _NO_DATE)
    dates = np.datetime_as_string(
        settings.start_day + day_numbers[has_date].astype("timedelta64[D]")
    ).astype(object)
    texts[has_date] = dates + np.where(draw[has_date] < 0.03, " 00:00:00.0", "").astype(
        object
    )
    return texts


def _account_texts(
    company: Company,
    lifecycle: Lifecycle,
    day: int,
    accounts: np.ndarray,
    random: np.random.Generator,
) -> list[str]:
    """Format the columns from ``account_id`` to ``monthly_recurring_revenue``."""
    plan, seats = attributes(company, lifecycle, day)
    cents = price_cents(plan, seats, company.price_factor)
    heads = company.crm_head
    draw = random.random(len(accounts))
    return [
        heads[account]
        + (" 00:00:00.0," if chance < 0.004 else ",")
        + f"{PLANS[plan_index]},"
        + ("\\N" if chance > 0.9985 else str(seat_count))
        + f",{amount / 100:.2f}"
        for account, plan_index, seat_count, amount, chance in zip(
            accounts.tolist(),
            plan[accounts].tolist(),
            seats[accounts].tolist(),
            cents[accounts].tolist(),
            draw.tolist(),
            strict=True,
        )
    ]


def attributes(
    company: Company, lifecycle: Lifecycle, day: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return plan and seats of all accounts at the end of a day: ``(n_accounts,)``."""
    happened = lifecycle.change_day <= day
    account = lifecycle.change_account[happened]
    plan = company.plan.copy()
    seats = company.seats.copy()
    plan[account] = lifecycle.change_plan[happened]
    seats[account] = lifecycle.change_seats[happened]
    return plan, seats


def write_invoices(
    settings: Settings, company: Company, lifecycle: Lifecycle, day: int, out: Path
) -> None:
    """Write the invoices that became due or changed their status on one day."""
    draws = settings.stream("billing", day).random(2)
    hour = 4.5 if draws[0] >= 0.01 else 10.0
    loaded_ms = settings.start_ms + (day + 1) * DAY_MS
    loaded_at = _timestamp(loaded_ms + int((hour + draws[1]) * 3_600_000))

    rows = [
        f"{invoice.text},{invoice.status},{loaded_at}"
        for invoice in _invoices_due(settings, company, lifecycle, day)
    ]
    for days_ago in _STATUS_CHANGE_DAYS:
        for invoice in _invoices_due(settings, company, lifecycle, day - days_ago):
            if invoice.changes_after == days_ago:
                rows.append(f"{invoice.text},{invoice.later_status},{loaded_at}")
    if rows:
        path = out / f"billing/dt={settings.day_text(day)}/invoices.csv.gz"
        write_gzip(path, csv_bytes(INVOICES_HEADER, rows))


@dataclass(frozen=True)
class _Invoice:
    """One invoice: its columns without the last two, and its status changes."""

    text: str
    status: str
    changes_after: int
    later_status: str


def _invoices_due(
    settings: Settings, company: Company, lifecycle: Lifecycle, day: int
) -> list[_Invoice]:
    """Return the invoices due on one day; deterministic."""
    issued = day - _PAYMENT_TERM_DAYS
    if issued < 0:
        return []
    invoice_date = settings.day_text(issued)
    accounts = np.flatnonzero(
        (company.billing_day == int(invoice_date[8:]))
        & (lifecycle.state[issued] == OPEN)
    )
    if not len(accounts):
        return []
    random = settings.stream("invoices", day)
    draw = random.random((3, len(accounts)))
    mood, considers = (
        state[accounts] for state in lifecycle.visible_state(settings, day)
    )
    late = 1.0 / (1.0 + np.exp(3.2 - 1.2 * mood - 2.0 * considers))
    failed = 1.0 / (1.0 + np.exp(4.2 - 0.7 * mood - 0.6 * considers))
    plan, seats = attributes(company, lifecycle, issued)
    cents = price_cents(plan, seats, company.price_factor)[accounts]
    invoices = []
    for account, amount, is_late, is_failed, (pays, look, refund) in zip(
        accounts.tolist(),
        cents.tolist(),
        (draw[0] < late).tolist(),
        (draw[0] > 1.0 - failed).tolist(),
        (draw[[1, 2, 1]].T).tolist(),
        strict=True,
    ):
        status = "late" if is_late else "failed" if is_failed else "paid"
        changes_after, later_status = 0, ""
        if status != "paid" and pays < 0.8:
            changes_after = _STATUS_CHANGE_DAYS[int(look * 3)]
            later_status = "paid"
        elif status == "paid" and refund < 0.008:
            changes_after = _STATUS_CHANGE_DAYS[int(look * 3)]
            later_status = "refunded"
        number = f"INV-{invoice_date.replace('-', '')}-{account + 1:06d}"
        text = (
            f"{number},{company.account_id[account]},{invoice_date},"
            f"{settings.day_text(day)},{amount / 100:.2f}"
        )
        invoices.append(_Invoice(text, status, changes_after, later_status))
    return invoices


def write_calls(
    settings: Settings, company: Company, lifecycle: Lifecycle, day: int, out: Path
) -> None:
    """Write the support calls of one day."""
    random = settings.stream("support", day)
    draws = random.random(2)
    hour = 5.0 if draws[0] >= 0.01 else 9.5
    loaded_ms = settings.start_ms + (day + 1) * DAY_MS
    loaded_at = _timestamp(loaded_ms + int((hour + 0.8 * draws[1]) * 3_600_000))

    mood, considers = lifecycle.visible_state(settings, day)
    size = np.sqrt(company.user_count / 3.0)
    rate = 0.009 * np.exp(0.75 * mood) * size
    rate *= np.where(considers, 11.0, 1.0)
    rate = np.minimum(rate, _MAX_CALLS_PER_DAY)
    rate *= np.where(lifecycle.state[day] == OPEN, 1.0, 0.08)
    rate *= company.signup_day <= day
    account = np.repeat(np.arange(company.accounts), random.poisson(rate))
    count = len(account)
    if not count:
        return
    caller_mood = mood[account]
    considers = considers[account]
    weights = np.stack(
        [
            np.where(considers, 1.8, 0.8),
            np.full(count, 0.9),
            0.6 * np.exp(0.4 * caller_mood),
            np.where(considers, 2.0, 0.05),
            np.full(count, 1.3),
        ]
    )
    edges = np.cumsum(weights / weights.sum(axis=0), axis=0)
    topic = (random.random(count) > edges[:-1]).sum(axis=0)
    seconds = np.exp(random.normal(5.5 + 0.15 * caller_mood, 0.7))
    duration = np.clip(np.rint(seconds), 12, 7_200).astype(np.int64)
    clock = np.sort(random.uniform(6.5, 18.5, count)) * 3_600_000
    started_ms = settings.start_ms + day * DAY_MS + clock.astype(np.int64)
    rows = [
        f"CALL-{settings.day_text(day).replace('-', '')}-{number:05d},"
        f"{company.account_id[caller]},{_timestamp(at)},{length},{TOPICS[about]},{loaded_at}"
        for number, (caller, at, length, about) in enumerate(
            zip(
                account.tolist(),
                started_ms.tolist(),
                duration.tolist(),
                topic.tolist(),
                strict=True,
            ),
            start=1,
        )
    ]
    # The call centre delivers a few calls twice.
    rows += [row for row in rows if random.random() < 0.005]
    path = out / f"support/dt={settings.day_text(day)}/calls.csv.gz"
    write_gzip(path, csv_bytes(CALLS_HEADER, rows))


def _timestamp(milliseconds: int) -> str:
    """Format milliseconds since the epoch as ``2025-03-01 02:10:03``."""
    moment = np.datetime64(milliseconds // 1_000, "s")
    return str(moment).replace("T", " ")
