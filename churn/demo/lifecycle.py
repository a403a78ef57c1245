"""How accounts fare: mood, cancellations, restarts, changes of plan and seats.

The hidden dissatisfaction of an account is a slowly varying process around a
usual mood, with sudden shocks. It drives everything that the sources show, and
the daily hazard of cancelling; nothing else connects the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from churn.demo.company import Company
from churn.demo.settings import Settings

# States of an account on a day.
NOT_YET, OPEN, CLOSED = 0, 1, 2
# Kinds of lifecycle rows.
CANCELLED, RESTARTED, CANCELLED_AGAIN = 0, 1, 2

TRUTH_HORIZON_DAYS = 30
TRUTH_EVERY_DAYS = 7

# How strongly dissatisfaction raises the log of the daily churn hazard.
MOOD_HAZARD = 1.85
# Mean reversion per day: a shock has halved after 138 days.
MOOD_MEMORY = 0.995
_QUIET_DAYS_AFTER_START = 10


@dataclass(frozen=True)
class Lifecycle:
    """What happened to every account on every day.

    ``mood`` and ``state`` are ``(days + 1, n_accounts)`` arrays, memory-mapped
    from files. ``row_*`` are cancellations and restarts in order of day,
    ``change_*`` the changes of plan and seats. ``truth_*`` are
    ``(n_truth_days, n_accounts)``: the churn probability within 30 days that
    follows from the mood of the day, and the one that follows from the moods
    of those 30 days.
    """

    mood: np.ndarray
    state: np.ndarray
    row_day: np.ndarray
    row_account: np.ndarray
    row_kind: np.ndarray
    change_day: np.ndarray
    change_account: np.ndarray
    change_plan: np.ndarray
    change_seats: np.ndarray
    truth_day: np.ndarray
    truth_now: np.ndarray
    truth_ahead: np.ndarray

    def save(self, folder: Path) -> None:
        """Write all arrays but the memory-mapped ones beside those."""
        np.savez(
            folder / "lifecycle.npz",
            **{
                name: value
                for name, value in vars(self).items()
                if name not in ("mood", "state", "truth_now", "truth_ahead")
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Lifecycle:
        """Read what ``save`` wrote; the large arrays stay on disk."""
        with np.load(folder / "lifecycle.npz") as arrays:
            small = {name: arrays[name] for name in arrays.files}
        return cls(
            **small,
            **{
                name: np.load(folder / f"{name}.npy", mmap_mode="r")
                for name in ("mood", "state", "truth_now", "truth_ahead")
            },
        )


def live(
    settings: Settings,
    company: Company,
    folder: Path,
    tell: Callable[[int, int], None] | None = None,
) -> Lifecycle:
    """Simulate all accounts day by day; large arrays go to files in ``folder``.

    ``tell`` is called with the days done, and their total.
    """
    random = settings.stream("lifecycle")
    days, accounts = settings.days, company.accounts
    mood_days = _file(folder, "mood", np.float16, days + 1, accounts)
    state_days = _file(folder, "state", np.uint8, days + 1, accounts)
    # Mondays, the as-of dates that models learn from.
    first_monday = -settings.weekday(0) % TRUTH_EVERY_DAYS
    truth_day = np.arange(first_monday, days + 1, TRUTH_EVERY_DAYS)
    truth_now = _file(folder, "truth_now", np.float32, len(truth_day), accounts)
    truth_ahead = _file(folder, "truth_ahead", np.float32, len(truth_day), accounts)

    mood = company.usual_mood + random.normal(0.0, 0.9, accounts)
    signup = company.signup_day
    is_open = signup < 0
    # A few had left before the first day, and may come back.
    had_left = is_open & (signup < -120) & (random.random(accounts) < 0.03)
    is_open &= ~had_left
    restart_day = np.full(accounts, -1, np.int64)
    will_return = had_left & (random.random(accounts) < 0.35)
    restart_day[will_return] = random.integers(5, max(days, 6), int(will_return.sum()))
    quiet_until = np.where(is_open, 0, signup + _QUIET_DAYS_AFTER_START)
    cumulative = np.zeros(accounts)
    nobody = np.empty(0, np.int64)
    rows: list[tuple[np.ndarray, np.ndarray, int]] = [(nobody, nobody, CANCELLED)]
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

    total = days + TRUTH_HORIZON_DAYS + 1
    for day in range(total):
        if tell is not None:
            tell(day + 1, total)
        mood = (
            company.usual_mood
            + MOOD_MEMORY * (mood - company.usual_mood)
            + random.normal(0.0, 0.092, accounts)
        )
        shocked = np.flatnonzero(random.random(accounts) < 1 / 200)
        mood[shocked] += random.exponential(0.9, len(shocked)) - 0.15
        np.clip(mood, -3.0, 4.5, out=mood)

        hazard = np.exp(company.base_log_hazard + MOOD_HAZARD * mood)
        np.minimum(hazard, 0.08, out=hazard)
        _record_truth(day, hazard, cumulative, truth_day, truth_now, truth_ahead)
        cumulative += hazard
        if day > days:
            continue

        starting = np.flatnonzero(signup == day)
        is_open[starting] = True
        quiet_until[starting] = day + _QUIET_DAYS_AFTER_START
        returning = np.flatnonzero(restart_day == day)
        if len(returning):
            is_open[returning] = True
            restart_day[returning] = -1
            quiet_until[returning] = day + 20
            mood[returning] = 0.4 * mood[returning] - 0.4
            rows.append((np.full(len(returning), day), returning, RESTARTED))

        chance = random.random(accounts)
        may_cancel = is_open & (day >= quiet_until)
        leaves = may_cancel & (chance < hazard)
        # Plan changes and pauses: a cancellation in the CRM, and yet no churn.
        wavers = may_cancel & ~leaves & (chance < hazard + 0.0002 + 0.3 * hazard)
        leaving, wavering = np.flatnonzero(leaves), np.flatnonzero(wavers)
        cancelling = np.union1d(leaving, wavering)
        if len(cancelling):
            rows.append((np.full(len(cancelling), day), cancelling, CANCELLED))
        if len(leaving):
            is_open[leaving] = False
            comes_back = random.random(len(leaving)) < 0.22
            wait = 38 + np.rint(random.exponential(55, len(leaving))).astype(np.int64)
            restart_day[leaving] = np.where(comes_back, day + wait, -1)
            again = leaving[random.random(len(leaving)) < 0.04]
            rows.append((np.full(len(again), day + 9), again, CANCELLED_AGAIN))
        if len(wavering):
            changes_plan = random.random(len(wavering)) < 0.4
            changing, pausing = wavering[changes_plan], wavering[~changes_plan]
            quiet_until[changing] = day + 20
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

        mood_days[day] = mood
        state_days[day] = np.where(
            is_open, OPEN, np.where(signup > day, NOT_YET, CLOSED)
        )

    for array in (mood_days, state_days, truth_now, truth_ahead):
        array.flush()
    order = np.argsort(np.concatenate([row[0] for row in rows]), kind="stable")
    return Lifecycle(
        mood=mood_days,
        state=state_days,
        row_day=np.concatenate([row[0] for row in rows])[order],
        row_account=np.concatenate([row[1] for row in rows])[order],
        row_kind=np.concatenate([np.full(len(row[0]), row[2]) for row in rows])[order],
        change_day=np.concatenate([change[0] for change in changes]),
        change_account=np.concatenate([change[1] for change in changes]),
        change_plan=np.concatenate([change[2] for change in changes]),
        change_seats=np.concatenate([change[3] for change in changes]),
        truth_day=truth_day,
        truth_now=truth_now,
        truth_ahead=truth_ahead,
    )


def _record_truth(
    day: int,
    hazard: np.ndarray,
    cumulative: np.ndarray,
    truth_day: np.ndarray,
    truth_now: np.ndarray,
    truth_ahead: np.ndarray,
) -> None:
    """Note today's probabilities; finish those of 30 days ago."""
    for row in np.flatnonzero(truth_day == day):
        truth_now[row] = 1.0 - (1.0 - hazard) ** TRUTH_HORIZON_DAYS
        truth_ahead[row] = cumulative
    for row in np.flatnonzero(truth_day == day - TRUTH_HORIZON_DAYS):
        truth_ahead[row] = 1.0 - np.exp(truth_ahead[row] - cumulative)


def _file(folder: Path, name: str, kind: type, rows: int, columns: int) -> np.memmap:
    return np.lib.format.open_memmap(
        folder / f"{name}.npy", mode="w+", dtype=kind, shape=(rows, columns)
    )
