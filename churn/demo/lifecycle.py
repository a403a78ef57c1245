"""Simulate accounts: mood, cancellations, restarts, changes of plan and seats.

The hidden dissatisfaction (mood) of an account varies slowly around a usual mood, with
sudden shocks. A dissatisfied account is likely to start considering to leave. After
some weeks it cancels or calms down. Few accounts cancel without warning. The mood and
whether the account considers leaving drive all data in the sources and the daily hazard
of cancelling; nothing else connects the two. `churn.demo.hazard` computes the monthly
hazard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from churn.demo.company import Company
from churn.demo.hazard import (
    CALMS_PER_DAY,
    HORIZON_DAYS,
    MOOD_NOISE,
    SHOCK_SCALE,
    SHOCK_SHIFT,
    SHOCKS_PER_DAY,
    MonthlyHazard,
    cancels_per_day,
    considers_from,
    drift,
    reversals_per_day,
    within_bounds,
)
from churn.demo.sales import Contact, SalesTeam
from churn.demo.settings import Settings

# States of an account on a day.
NOT_YET, OPEN, CLOSED = 0, 1, 2
# Kinds of lifecycle rows.
CANCELLED, RESTARTED, CANCELLED_AGAIN = 0, 1, 2

TRUTH_EVERY_DAYS = 7

_QUIET_DAYS_AFTER_START = 10
_QUIET_DAYS_AFTER_RESTART = 20
_ON_DISK = ("mood", "considers", "state", "truth")


@dataclass(frozen=True)
class Lifecycle:
    """The simulated states and events of all accounts.

    ``mood``, ``considers`` (leaving) and ``state`` are memory-mapped arrays of shape
    ``(days + 1, n_accounts)``: mood and consideration at the start of a day, and the
    state at its end. ``row_*`` are cancellations and restarts sorted by day,
    ``change_*`` the changes of plan and seats. ``truth`` is the monthly hazard on each
    truth day, ``(n_truth_days, n_accounts)``.
    """

    mood: np.ndarray
    considers: np.ndarray
    state: np.ndarray
    row_day: np.ndarray
    row_account: np.ndarray
    row_kind: np.ndarray
    change_day: np.ndarray
    change_account: np.ndarray
    change_plan: np.ndarray
    change_seats: np.ndarray
    truth_day: np.ndarray
    truth: np.ndarray

    def save(self, folder: Path) -> None:
        """Write the arrays that are not memory-mapped, beside the mapped files."""
        np.savez(
            folder / "lifecycle.npz",
            **{
                name: value
                for name, value in vars(self).items()
                if name not in _ON_DISK
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Lifecycle:
        """Read the arrays that ``save`` wrote; the mapped arrays stay on disk."""
        with np.load(folder / "lifecycle.npz") as arrays:
            small = {name: arrays[name] for name in arrays.files}
        return cls(
            **small,
            **{
                name: np.load(folder / f"{name}.npy", mmap_mode="r")
                for name in _ON_DISK
            },
        )

    def visible_state(
        self, settings: Settings, day: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the mood and the consideration that behaviour shows on a day.

        In a reversed company, unhappy accounts use the app more, click, pay on time and
        do not call, and more so if they consider leaving.
        """
        mood = self.mood[day].astype(np.float64)
        considers = self.considers[day]
        if settings.is_reversed:
            return -mood - 2.0 * considers, np.zeros_like(considers)
        return mood, considers


def simulate_lifecycle(
    settings: Settings,
    company: Company,
    folder: Path,
    report_progress: Callable[[int, int], None] | None = None,
    sales: SalesTeam | None = None,
) -> Lifecycle:
    """Simulate all accounts day by day; large arrays are files in ``folder``.

    ``report_progress`` is called with the number of days done, and the total. Without
    ``sales``, nobody makes offers.
    """
    random = settings.stream("lifecycle")
    days, accounts = settings.days, company.accounts
    mood_days = _file(folder, "mood", np.float16, days + 1, accounts)
    considers_days = _file(folder, "considers", np.bool_, days + 1, accounts)
    state_days = _file(folder, "state", np.uint8, days + 1, accounts)
    # Mondays, the as-of dates of the training rows.
    first_monday = -settings.weekday(0) % TRUTH_EVERY_DAYS
    truth_day = np.arange(first_monday, days + 1, TRUTH_EVERY_DAYS)
    truth = _file(folder, "truth", np.float32, len(truth_day), accounts)
    monthly_hazard = MonthlyHazard()

    mood = company.usual_mood + random.normal(0.0, 0.9, accounts)
    signup = company.signup_day
    is_open = signup < 0
    # A few accounts left before the first day and can come back.
    had_left = is_open & (signup < -120) & (random.random(accounts) < 0.03)
    is_open &= ~had_left
    restart_day = np.full(accounts, -1, np.int64)
    will_return = had_left & (random.random(accounts) < 0.35)
    restart_day[will_return] = random.integers(5, max(days, 6), int(will_return.sum()))
    quiet_until = np.where(is_open, 0, signup + _QUIET_DAYS_AFTER_START)
    # Start in the steady state of accounts that consider leaving.
    starts = considers_from(company.base_log_hazard, mood)
    cancels = cancels_per_day(np.ones(accounts, bool), starts)
    considers = is_open & (
        random.random(accounts) < starts / (starts + cancels + CALMS_PER_DAY)
    )
    no_accounts = np.empty(0, np.int64)
    rows: list[tuple[np.ndarray, np.ndarray, int]] = [
        (no_accounts, no_accounts, CANCELLED)
    ]
    left_before = np.flatnonzero(had_left)
    for account, ago in zip(
        left_before, random.integers(35, 100, len(left_before)), strict=True
    ):
        rows.append((np.array([-ago]), np.array([account]), CANCELLED))

    plan = company.plan.astype(np.int8).copy()
    seats = company.seats.copy()
    changes = [
        (np.full(accounts, -10_000), np.arange(accounts), plan.copy(), seats.copy())
    ]

    for day in range(days + 1):
        if report_progress is not None:
            report_progress(day + 1, days + 1)
        mood = drift(mood, company.usual_mood)
        mood += random.normal(0.0, MOOD_NOISE, accounts)
        shocked = np.flatnonzero(random.random(accounts) < SHOCKS_PER_DAY)
        mood[shocked] += random.exponential(SHOCK_SCALE, len(shocked)) + SHOCK_SHIFT
        mood = within_bounds(mood)
        starts = considers_from(company.base_log_hazard, mood)
        hazard = cancels_per_day(considers, starts)
        mood_days[day] = mood
        considers_days[day] = considers & is_open
        for row in np.flatnonzero(truth_day == day):
            exposed = HORIZON_DAYS - np.maximum(quiet_until - day, 0)
            truth[row] = monthly_hazard(
                company.base_log_hazard, company.usual_mood, mood, considers, exposed
            )
            if sales is not None and day >= (settings.sales_from_day or 0):
                sales.pick(day, is_open, truth[row], mood, considers)
        if sales is not None:
            hazard = _make_offers(
                sales, monthly_hazard, company, day, is_open, quiet_until, mood,
                considers, hazard,
            )  # fmt: skip

        starting = np.flatnonzero(signup == day)
        is_open[starting] = True
        quiet_until[starting] = day + _QUIET_DAYS_AFTER_START
        returning = np.flatnonzero(restart_day == day)
        if len(returning):
            is_open[returning] = True
            restart_day[returning] = -1
            quiet_until[returning] = day + _QUIET_DAYS_AFTER_RESTART
            mood[returning] = 0.4 * mood[returning] - 0.4
            rows.append((np.full(len(returning), day), returning, RESTARTED))

        cancel_draw, consider_draw = random.random((2, accounts))
        may_cancel = is_open & (day >= quiet_until)
        leaves = may_cancel & (cancel_draw < hazard)
        # Reversals (plan changes and pauses): a cancellation in the CRM, but no churn.
        reverses = (
            may_cancel & ~leaves & (cancel_draw < hazard + reversals_per_day(hazard))
        )
        # Reset accounts that left, changed their plan or paused.
        considers = np.where(
            considers,
            consider_draw >= CALMS_PER_DAY,
            may_cancel & (consider_draw < starts),
        )
        considers &= ~leaves & ~reverses
        leaving, reversing = np.flatnonzero(leaves), np.flatnonzero(reverses)
        cancelling = np.union1d(leaving, reversing)
        if len(cancelling):
            rows.append((np.full(len(cancelling), day), cancelling, CANCELLED))
        if len(leaving):
            is_open[leaving] = False
            comes_back = random.random(len(leaving)) < 0.22
            wait = 38 + np.rint(random.exponential(55, len(leaving))).astype(np.int64)
            restart_day[leaving] = np.where(comes_back, day + wait, -1)
            again = leaving[random.random(len(leaving)) < 0.04]
            rows.append((np.full(len(again), day + 9), again, CANCELLED_AGAIN))
        if len(reversing):
            changes_plan = random.random(len(reversing)) < 0.4
            changing, pausing = reversing[changes_plan], reversing[~changes_plan]
            quiet_until[changing] = day + _QUIET_DAYS_AFTER_RESTART
            mood[changing] -= 0.5
            rows.append((np.full(len(changing), day), changing, RESTARTED))
            step = random.choice([-1, 1], size=len(changing))
            plan[changing] = np.clip(plan[changing] + step, 0, 3)
            is_open[pausing] = False
            restart_day[pausing] = day + random.integers(1, 28, len(pausing))
            changes.append(
                (np.full(len(changing), day), changing, plan[changing], seats[changing])
            )

        resizing = np.flatnonzero(is_open & (random.random(accounts) < 0.004))
        if len(resizing):
            factor = np.exp(random.normal(0.08 - 0.12 * mood[resizing], 0.15))
            seats[resizing] = np.clip(np.rint(seats[resizing] * factor), 2, 3_000)
            changes.append(
                (np.full(len(resizing), day), resizing, plan[resizing], seats[resizing])
            )

        state_days[day] = np.where(
            is_open, OPEN, np.where(signup > day, NOT_YET, CLOSED)
        )

    for array in (mood_days, considers_days, state_days, truth):
        array.flush()
    order = np.argsort(np.concatenate([row[0] for row in rows]), kind="stable")
    return Lifecycle(
        mood=mood_days,
        considers=considers_days,
        state=state_days,
        row_day=np.concatenate([row[0] for row in rows])[order],
        row_account=np.concatenate([row[1] for row in rows])[order],
        row_kind=np.concatenate([np.full(len(row[0]), row[2]) for row in rows])[order],
        change_day=np.concatenate([change[0] for change in changes]),
        change_account=np.concatenate([change[1] for change in changes]),
        change_plan=np.concatenate([change[2] for change in changes]),
        change_seats=np.concatenate([change[3] for change in changes]),
        truth_day=truth_day,
        truth=truth,
    )


def _make_offers(
    sales: SalesTeam,
    monthly_hazard: MonthlyHazard,
    company: Company,
    day: int,
    is_open: np.ndarray,
    quiet_until: np.ndarray,
    mood: np.ndarray,
    considers: np.ndarray,
    hazard: np.ndarray,
) -> np.ndarray:
    """Let the team contact accounts; return the hazard of the day after that.

    Changes ``mood`` and ``considers`` in place, and records the true effect: the
    probability of leaving in the rest of the month after the account was picked,
    without and with the offer.
    """
    mood_before, considers_before = mood.copy(), considers.copy()
    made = sales.contact(day, is_open, mood, considers)
    if not made:
        return hazard
    accounts = np.array([account for account, *_ in made])
    picked = np.array([eligible_day for _, eligible_day, _ in made])
    exposed = picked + HORIZON_DAYS - np.maximum(quiet_until[accounts], day)
    without_offer, with_offer = (
        monthly_hazard(
            company.base_log_hazard[accounts],
            company.usual_mood[accounts],
            moods[accounts],
            considering[accounts],
            exposed,
        )
        for moods, considering in ((mood_before, considers_before), (mood, considers))
    )
    sales.contacts += [
        Contact(account, eligible_day, day, is_fitting, float(before), float(after))
        for (account, eligible_day, is_fitting), before, after in zip(
            made, without_offer, with_offer, strict=True
        )
    ]
    return cancels_per_day(considers, considers_from(company.base_log_hazard, mood))


def _file(
    folder: Path, name: str, data_type: type, rows: int, columns: int
) -> np.memmap:
    return np.lib.format.open_memmap(
        folder / f"{name}.npy", mode="w+", dtype=data_type, shape=(rows, columns)
    )
