"""Split rows by time into training, validation and test parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# Minimum days of a held-out part; a shorter one does not represent another month.
MIN_HELD_OUT_DAYS = 14
MIN_TRAINING_DAYS = 28
# Minimum churned rows of a held-out part, for early stopping and calibration.
MIN_CHURNED_ROWS = 5

THREE_WAY = "train_validation_test"
TWO_WAY = "train_validation"
TRAIN_ONLY = "train_only"

_NONE = np.array([], dtype=int)


@dataclass(frozen=True)
class Split:
    """Row numbers of each part, and the reason for the split method.

    Attributes:
        method: `THREE_WAY`, `TWO_WAY` or `TRAIN_ONLY`.
        reason: Why this method was used, in words.
        train: Rows that trees are fitted to.
        validation: Rows for early stopping and calibration; may be empty.
        test: Rows for evaluation only; may be empty.
        before_test: Rows whose label was complete on the first test date:
            training, validation and the gap between them. Empty without test rows.
    """

    method: str
    reason: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    before_test: np.ndarray

    def parts(self) -> dict[str, np.ndarray]:
        """Return the rows of each part that is not empty."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: rows for name, rows in parts.items() if len(rows)}


def split_by_time(days: Any, labels: np.ndarray, gap_days: int) -> Split:
    """Split rows by as-of date; the latest rows are held out.

    Parts are separated by at least ``gap_days``: a label is complete only that many
    days after its as-of date, so a model trained on the first date of a later part
    could not have used newer rows. A history too short for three parts is split in
    two; one too short for two is used for training only.

    Args:
        days: The as-of date of each row.
        labels: Whether each row churned.
        gap_days: Days from an as-of date until its label is complete.
    """
    day_number = np.asarray(days).astype("datetime64[D]").astype(np.int64)
    first, last = int(day_number.min()), int(day_number.max())
    history = last - first + 1
    methods = [(THREE_WAY, (0.6, 0.2, 0.2)), (TWO_WAY, (0.65, 0.35))]
    problems = []
    for method, shares in methods:
        usable = history - gap_days * (len(shares) - 1)
        lengths = [int(usable * share) for share in shares[1:]]
        if (
            usable - sum(lengths) < MIN_TRAINING_DAYS
            or min(lengths) < MIN_HELD_OUT_DAYS
        ):
            problems.append(
                f"{history} days of observed labels are too few for {len(shares)} "
                f"parts {gap_days} days apart"
            )
            continue
        parts, end = [], last
        for length in reversed(lengths):
            parts.insert(
                0, np.flatnonzero((day_number > end - length) & (day_number <= end))
            )
            end -= length + gap_days
        parts.insert(0, np.flatnonzero(day_number <= end))
        too_few = [part for part in parts if not _has_both_outcomes(labels[part])]
        if too_few:
            problems.append(
                f"a part of the {len(shares)} would hold fewer than "
                f"{MIN_CHURNED_ROWS} rows that churned or that stayed"
            )
            continue
        reason = "; ".join([*problems, f"{history} days of observed labels"])
        if method == TWO_WAY:
            return Split(method, reason, parts[0], parts[1], _NONE, _NONE)
        before_test = np.flatnonzero(day_number <= day_number[parts[1]].max())
        return Split(method, reason, *parts, before_test=before_test)
    everything = np.arange(len(day_number))
    return Split(TRAIN_ONLY, "; ".join(problems), everything, _NONE, _NONE, _NONE)


def _has_both_outcomes(labels: np.ndarray) -> bool:
    """Return whether each outcome has at least `MIN_CHURNED_ROWS` rows."""
    churned = int(np.sum(labels))
    return min(churned, len(labels) - churned) >= MIN_CHURNED_ROWS
