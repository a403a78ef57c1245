"""Which rows a model learns from, and which only judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# A held-out part shorter than this says little about another month.
SHORTEST_HELD_OUT_DAYS = 14
SHORTEST_TRAINING_DAYS = 28
# Churned rows that a held-out part needs for early stopping and calibration.
FEWEST_CHURNED_ROWS = 5

THREE_WAY = "train_validation_test"
TWO_WAY = "train_validation"
TRAIN_ONLY = "train_only"

_NONE = np.array([], dtype=int)


@dataclass(frozen=True)
class Split:
    """Row numbers of each part, and why the split is as it is.

    Attributes:
        method: `THREE_WAY`, `TWO_WAY` or `TRAIN_ONLY`.
        reason: The method's reason, in words.
        train: Rows that trees are grown on.
        validation: Rows that stop training and calibrate; may be empty.
        test: Rows that only judge; may be empty.
        before_test: Rows whose label was known when the first test row's day
            began: training, validation and what lies between; empty without
            test rows.
    """

    method: str
    reason: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    before_test: np.ndarray

    def parts(self) -> dict[str, np.ndarray]:
        """The rows of each part that has any."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: rows for name, rows in parts.items() if len(rows)}


def split_by_time(days: Any, labels: np.ndarray, gap_days: int) -> Split:
    """Split rows by as-of date, the latest to judge on.

    Between two parts lie at least ``gap_days``: the label of a row is known only
    that long after its date, so a model trained on the day of a later part's
    first row could not have had more. A history too short for three parts is
    split in two, and one too short for that is all learnt from.

    Args:
        days: The as-of date of each row.
        labels: Whether each row churned.
        gap_days: Days from an as-of date until its label is known.
    """
    number = np.asarray(days).astype("datetime64[D]").astype(np.int64)
    first, last = int(number.min()), int(number.max())
    history = last - first + 1
    ladder = [(THREE_WAY, (0.6, 0.2, 0.2)), (TWO_WAY, (0.65, 0.35))]
    refusals = []
    for method, shares in ladder:
        usable = history - gap_days * (len(shares) - 1)
        lengths = [int(usable * share) for share in shares[1:]]
        if (
            usable - sum(lengths) < SHORTEST_TRAINING_DAYS
            or min(lengths) < SHORTEST_HELD_OUT_DAYS
        ):
            refusals.append(
                f"{history} days of observed labels are too few for {len(shares)} "
                f"parts {gap_days} days apart"
            )
            continue
        parts, end = [], last
        for length in reversed(lengths):
            parts.insert(0, np.flatnonzero((number > end - length) & (number <= end)))
            end -= length + gap_days
        parts.insert(0, np.flatnonzero(number <= end))
        poor = [part for part in parts if not _can_judge(labels[part])]
        if poor:
            refusals.append(
                f"a part of the {len(shares)} would hold fewer than "
                f"{FEWEST_CHURNED_ROWS} rows that churned or that stayed"
            )
            continue
        reason = "; ".join([*refusals, f"{history} days of observed labels"])
        if method == TWO_WAY:
            return Split(method, reason, parts[0], parts[1], _NONE, _NONE)
        known = np.flatnonzero(number <= number[parts[1]].max())
        return Split(method, reason, *parts, before_test=known)
    everything = np.arange(len(number))
    return Split(TRAIN_ONLY, "; ".join(refusals), everything, _NONE, _NONE, _NONE)


def _can_judge(labels: np.ndarray) -> bool:
    """Whether both outcomes occur often enough to tell them apart."""
    churned = int(np.sum(labels))
    return min(churned, len(labels) - churned) >= FEWEST_CHURNED_ROWS
