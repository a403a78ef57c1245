"""Split rows into folds that select a model, and test rows that evaluate it.

The newest rows are held out, and as many as needed for a stable measurement: the
number of accounts that churned in them counts, not the number of days. scikit-learn's
`TimeSeriesSplit` counts rows, so it can neither cut between dates nor count events;
only its `StratifiedGroupKFold` is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

# A held-out part grows from `MIN_HELD_OUT_DAYS` until this many accounts churned in
# it, to at most `MAX_HELD_OUT_SHARE` of the history. The standard error of a ROC AUC
# is then about 0.025.
EVENTS_WANTED = 100
MAX_HELD_OUT_SHARE = 0.15
# Two weekly dates.
MIN_HELD_OUT_DAYS = 14
MIN_TRAINING_DAYS = 28
# Minimum churned (and retained) accounts of a part, for rounds and calibration.
MIN_EVENTS = 5
# Maximum folds that select the model: more if each holds few events.
MAX_FOLDS = 3
ACCOUNT_FOLDS = 5

TEST = "train_validation_test"
ROLLING = "rolling_origins"
BY_ACCOUNT = "account_folds"
TRAIN_ONLY = "train_only"

# Folds with more rows hold a sample of the accounts, so that the search stays cheap.
MAX_FOLD_ROWS = 300_000

_NONE = np.array([], dtype=int)


@dataclass(frozen=True)
class Fold:
    """Row numbers to fit to, and those to predict."""

    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class Split:
    """Row numbers of each part, and the reason for the split method.

    Attributes:
        method: `TEST` (folds, and later test rows), `ROLLING` (folds of successive
            time ranges, no test rows), `BY_ACCOUNT` (folds of accounts, all dates in
            each) or `TRAIN_ONLY` (nothing held out).
        reason: Why this method was used, in words.
        folds: Select parameters, rounds and calibration. Their validation rows do
            not overlap.
        fit: Rows that the final model is fitted to.
        test: Rows for evaluation only; may be empty.
    """

    method: str
    reason: str
    folds: tuple[Fold, ...]
    fit: np.ndarray
    test: np.ndarray

    @property
    def validation(self) -> np.ndarray:
        """Return the validation rows of all folds, in the order of the folds."""
        return np.concatenate([_NONE, *(fold.validation for fold in self.folds)])

    @property
    def train(self) -> np.ndarray:
        """Return the train rows of the newest fold, or all fitted rows."""
        return self.folds[-1].train if self.folds else self.fit

    def parts(self) -> dict[str, np.ndarray]:
        """Return the rows of each part that is not empty."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: rows for name, rows in parts.items() if len(rows)}

    def restricted(self, kept: np.ndarray) -> Split:
        """Return the same parts of a table that has only some of the rows.

        Args:
            kept: Whether each row is in that table, which keeps their order.
        """
        numbers = np.cumsum(kept) - 1

        def part(rows: np.ndarray) -> np.ndarray:
            return numbers[rows[kept[rows]]]

        return replace(
            self,
            folds=tuple(
                Fold(part(fold.train), part(fold.validation)) for fold in self.folds
            ),
            fit=part(self.fit),
            test=part(self.test),
        )


def split_rows(
    days: Any,
    labels: np.ndarray,
    accounts: np.ndarray,
    gap_days: int,
    horizon_days: int,
    seed: int = 0,
) -> Split:
    """Split rows by as-of date, or by account if the history is too short.

    A label is complete only ``gap_days`` after its as-of date, so a model that was
    trained on a date could not have used newer rows. Rows that measure performance
    are therefore at least ``gap_days`` after the rows of the fit. Folds that only
    select the model are ``horizon_days`` apart, so that no outcome is in both parts.

    Args:
        days: The as-of date of each row.
        labels: Whether each row churned.
        accounts: The number of each row's account.
        gap_days: Days from an as-of date until its label is complete.
        horizon_days: Days in which the outcome of a label happens.
        seed: Seed of the account folds.
    """
    rows = _Rows(days, labels, accounts)
    history = f"{rows.last - rows.first + 1} days of observed labels"
    test_days = rows.held_out_days(rows.last)
    fit_end = rows.last - test_days - gap_days
    test = rows.between(rows.last - test_days, rows.last)
    fit = rows.between(None, fit_end)
    folds = tuple(rows.folds(fit_end, horizon_days))
    if folds and rows.is_enough(test) and len(fit):
        return Split(TEST, history, folds, fit, test)
    everything = np.arange(len(rows.labels))
    problem = f"{history} are too few for test dates"
    for gap in dict.fromkeys((gap_days, horizon_days)):
        folds = tuple(rows.folds(rows.last, gap))
        if folds:
            reason = f"{problem}; folds of successive dates, {gap} days apart"
            return Split(ROLLING, reason, folds, everything, _NONE)
    problem = f"{history} are too few for parts {horizon_days} days apart"
    folds = tuple(rows.account_folds(seed))
    if folds:
        return Split(BY_ACCOUNT, problem, folds, everything, _NONE)
    problem += f", and fewer than {MIN_EVENTS} accounts churned or stayed"
    return Split(TRAIN_ONLY, problem, (), everything, _NONE)


class _Rows:
    """Days, labels and accounts of the rows to split."""

    def __init__(self, days: Any, labels: np.ndarray, accounts: np.ndarray) -> None:
        self.days = np.asarray(days).astype("datetime64[D]").astype(np.int64)
        self.labels, self.accounts = np.asarray(labels) > 0, np.asarray(accounts)
        self.first, self.last = int(self.days.min()), int(self.days.max())

    def between(self, after: int | None, until: int) -> np.ndarray:
        """Return the rows after one day, up to another."""
        is_used = self.days <= until
        return np.flatnonzero(
            is_used if after is None else is_used & (self.days > after)
        )

    def events(self, rows: np.ndarray) -> int:
        """Count the accounts that churned, or stayed if those are fewer."""
        labels, accounts = self.labels[rows], self.accounts[rows]
        return min(len(np.unique(accounts[labels == outcome])) for outcome in (0, 1))

    def is_enough(self, rows: np.ndarray) -> bool:
        """Return whether both outcomes have enough accounts."""
        return self.events(rows) >= MIN_EVENTS

    def held_out_days(self, until: int) -> int:
        """Return the length of a held-out part that ends on a day."""
        longest = int((until - self.first + 1) * MAX_HELD_OUT_SHARE)
        for length in range(MIN_HELD_OUT_DAYS, longest, 7):
            if self.events(self.between(until - length, until)) >= EVENTS_WANTED:
                return length
        return max(longest, MIN_HELD_OUT_DAYS)

    def sampled(self, fold: Fold) -> Fold:
        """Return a fold with every n-th account, so that it is small enough."""
        step = -(-len(fold.train) // MAX_FOLD_ROWS)
        parts = (fold.train, fold.validation)
        if step <= 1:
            return fold
        return Fold(*(part[self.accounts[part] % step == 0] for part in parts))

    def folds(self, until: int, gap: int) -> Iterator[Fold]:
        """Yield folds of successive held-out dates, the newest last.

        Fewer folds are used if each holds enough events, or if the first would have
        too little to fit to.
        """
        for count in range(MAX_FOLDS, 0, -1):
            usable = until - self.first + 1 - gap - MIN_TRAINING_DAYS
            length = min(self.held_out_days(until), usable // count)
            newest = self.between(until - length, until)
            if count > 1 and self.events(newest) >= EVENTS_WANTED:
                continue
            ends = [until - length * number for number in reversed(range(count))]
            folds = [
                Fold(
                    self.between(None, end - length - gap),
                    self.between(end - length, end),
                )
                for end in ends
            ]
            if length >= MIN_HELD_OUT_DAYS and all(
                self.is_enough(part)
                for fold in folds
                for part in (fold.train, fold.validation)
            ):
                yield from map(self.sampled, folds)
                return

    def account_folds(self, seed: int) -> Iterator[Fold]:
        """Yield folds in which each account is either fitted or held out."""
        from sklearn.model_selection import StratifiedGroupKFold

        events = self.events(np.arange(len(self.labels)))
        if events < MIN_EVENTS:
            return
        # At least two events in each fold.
        folds = min(ACCOUNT_FOLDS, events // 2)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        for train, validation in splitter.split(self.days, self.labels, self.accounts):
            yield Fold(train, validation)
