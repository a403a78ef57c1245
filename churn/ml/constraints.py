"""Test the declared direction of a feature's effect against a company's own rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from churn.ml.features import LOWERS_RISK, RAISES_RISK, Feature
from churn.ml.sampling import as_slice, stride_sample

SIGN_OF_DIRECTION = {RAISES_RISK: 1, LOWERS_RISK: -1}
# A direction is dropped if the rows show the opposite with this z score: one-sided 5 %.
# A constraint that is dropped by mistake costs little.
CONTRADICTION = 1.645
MAX_ROWS = 200_000


@dataclass(frozen=True)
class ConstraintTest:
    """Whether the rows contradict the declared direction of a feature.

    Attributes:
        feature: The feature.
        direction: ``raises`` or ``lowers``, as declared.
        z_score: Evidence for the direction; negative if the rows show the opposite.
        is_kept: Whether the direction is kept.
    """

    feature: str
    direction: str
    z_score: float
    is_kept: bool

    @property
    def sign(self) -> int:
        """Return 1 for a feature that raises the risk, else -1."""
        return SIGN_OF_DIRECTION[self.direction]


def check_directions(
    matrix: np.ndarray,
    labels: np.ndarray,
    accounts: np.ndarray,
    part: np.ndarray,
    features: Sequence[Feature],
) -> list[ConstraintTest]:
    """Test each feature that has a ``monotone_direction``.

    The statistic is the score test of a logistic regression on the ranks of the
    feature's values, with a variance that is robust to the correlation of the rows of
    an account (Liang and Zeger 1986, "Longitudinal data analysis using generalized
    linear models"). With independent rows it is the Mann-Whitney test. Rows without a
    value do not count.

    Args:
        matrix: Of shape (n_rows, n_features).
        labels: Whether each row churned.
        accounts: The account of each row.
        part: The rows to test on.
        features: The features, in the order of the columns.
    """
    part = stride_sample(part, MAX_ROWS)
    rows, labels, accounts = matrix[as_slice(part)], labels[part], accounts[part]
    tests = []
    for position, feature in enumerate(features):
        if feature.monotone_direction not in SIGN_OF_DIRECTION:
            continue
        values = rows[:, position]
        present = ~np.isnan(values)
        z_score = 0.0
        if present.any():
            ranks = rankdata(values[present])
            scores = (ranks - ranks.mean()) * (labels[present] - labels[present].mean())
            by_account = np.bincount(accounts[present], scores)
            spread = np.sqrt((by_account**2).sum())
            z_score = float(by_account.sum() / spread) if spread else 0.0
        z_score *= SIGN_OF_DIRECTION[feature.monotone_direction]
        tests.append(
            ConstraintTest(
                feature.name,
                feature.monotone_direction,
                round(z_score, 2),
                z_score > -CONTRADICTION,
            )
        )
    return tests
