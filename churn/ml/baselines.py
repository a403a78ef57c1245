"""Baselines that a model must beat: prevalence, a recency rule, a linear model.

Each baseline is fitted to the training rows and predicts probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

# Rows that are standardised at once, so that a long matrix is not copied completely.
_BLOCK_ROWS = 20_000

RECENCY_FEATURE = "days_since_last_visit"


@dataclass
class Prevalence:
    """Predicts the churned share of the training rows for every row."""

    share: float = 0.0

    def fit(
        self,
        matrix: np.ndarray,  # noqa: ARG002 - same signature as the other baselines
        labels: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> Prevalence:
        """Compute the weighted share of churned rows."""
        self.share = float(np.average(labels, weights=weights))
        return self

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """Return the same probability for each row, of shape (n_rows,)."""
        return np.full(len(matrix), self.share)


class LogisticRegression:
    """Ridge-penalised logistic regression on standardised features.

    A missing value is replaced by the training median and marked in an indicator
    column. The ridge penalty keeps weights finite for collinear windows and
    separable data.

    Args:
        ridge: Weight of the squared coefficients, in rows.
    """

    def __init__(self, ridge: float = 10.0) -> None:
        self.ridge = ridge

    def fit(
        self,
        matrix: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> LogisticRegression:
        """Fit to a matrix of shape (n_rows, n_features), with optional row weights."""
        [fitted] = self.fit_each([self.ridge], matrix, labels, weights)
        self._weights = fitted._weights
        return self

    def fit_each(
        self,
        ridges: Sequence[float],
        matrix: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> list[LogisticRegression]:
        """Fit with several penalties, each starting from the previous solution.

        Args:
            ridges: The penalties, in ascending or descending order.
            matrix: Of shape (n_rows, n_features).
            labels: Whether each row churned, of shape (n_rows,).
            weights: Row weights; ``None`` for equal weights.

        Returns:
            A fitted regression for each penalty.
        """
        matrix = np.asarray(matrix, dtype=float)
        missing = np.isnan(matrix)
        has_values = ~missing.all(axis=0)
        self._median = np.zeros(matrix.shape[1])
        self._median[has_values] = np.nanmedian(matrix[:, has_values], axis=0)
        self._has_gaps = missing.any(axis=0) & has_values
        columns = self._fill(matrix)
        self._mean = columns.mean(axis=0)
        spread = columns.std(axis=0)
        self._spread = np.where(spread > 1e-9, spread, 1.0)
        self._varies = spread > 1e-9
        design = self._design(matrix)
        labels = np.asarray(labels, dtype=float)
        weights = np.ones(len(labels)) if weights is None else weights
        start = np.zeros(design.shape[1])
        share = np.clip(np.average(labels, weights=weights), 1e-6, 1 - 1e-6)
        start[0] = np.log(share / (1 - share))
        fitted = []
        for ridge in ridges:
            start = _fit_line(design, labels, weights, ridge, start)
            line = copy(self)
            line.ridge, line._weights = ridge, start
            fitted.append(line)
        return fitted

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """Return the probability of each row, of shape (n_rows,)."""
        blocks = np.array_split(matrix, len(matrix) // _BLOCK_ROWS + 1)
        return np.concatenate(
            [
                sigmoid(self._design(np.asarray(block, dtype=float)) @ self._weights)
                for block in blocks
            ]
        )

    def _fill(self, matrix: np.ndarray) -> np.ndarray:
        missing = np.isnan(matrix)
        filled = np.where(missing, self._median, matrix)
        return np.hstack([filled, missing[:, self._has_gaps]])

    def _design(self, matrix: np.ndarray) -> np.ndarray:
        scaled = self._fill(matrix)[:, self._varies]
        scaled -= self._mean[self._varies]
        scaled /= self._spread[self._varies]
        # Later data can be far outside the range of the training rows.
        np.clip(scaled, -5, 5, out=scaled)
        return np.hstack([np.ones((len(matrix), 1)), scaled])


class RecencyRule:
    """Predicts churn from the days since the last visit only.

    Args:
        position: The matrix column with the days since the last visit; ``None`` if
            there is none.
    """

    def __init__(self, position: int | None) -> None:
        self.position = position
        self._regression = LogisticRegression(ridge=1.0)

    def fit(
        self,
        matrix: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> RecencyRule:
        """Fit a logistic regression on the days since the last visit."""
        days = self._days(matrix)
        self._longest = float(np.nanmax(days)) if not np.isnan(days).all() else 0.0
        self._regression.fit(self._filled(days), labels, weights)
        return self

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """Return the probability of each row, of shape (n_rows,)."""
        return self._regression.predict_proba(self._filled(self._days(matrix)))

    def _days(self, matrix: np.ndarray) -> np.ndarray:
        if self.position is None:
            return np.zeros(len(matrix))
        return np.asarray(matrix[:, self.position], dtype=float)

    def _filled(self, days: np.ndarray) -> np.ndarray:
        # An account without visits ranks after the longest absence.
        return np.where(np.isnan(days), self._longest + 1, days)[:, None]


def sigmoid(margins: np.ndarray) -> np.ndarray:
    """Return the probability of each log-odds."""
    return 1 / (1 + np.exp(-np.clip(margins, -50, 50)))


def _fit_line(
    design: np.ndarray,
    labels: np.ndarray,
    row_weights: np.ndarray,
    ridge: float,
    start: np.ndarray,
) -> np.ndarray:
    """Return the ridge-penalised logistic weights; the intercept is not penalised.

    Uses Newton steps within a trust region, which cannot overshoot if few rows
    have large weights.
    """
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 0.0
    # Divide by the total weight, so that the tolerance does not depend on row count.
    total = row_weights.sum()

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = design @ weights
        losses = np.logaddexp(0.0, margins) - labels * margins
        gradient = design.T @ (row_weights * (sigmoid(margins) - labels))
        return (
            (row_weights @ losses + penalty @ weights**2 / 2) / total,
            (gradient + penalty * weights) / total,
        )

    def curvature(weights: np.ndarray) -> np.ndarray:
        probabilities = sigmoid(design @ weights)
        bends = row_weights * probabilities * (1 - probabilities)
        return ((design * bends[:, None]).T @ design + np.diag(penalty)) / total

    solution = minimize(
        loss,
        start,
        jac=True,
        hess=curvature,
        method="trust-exact",
        options={"gtol": 1e-8},
    )
    return solution.x
