"""The trained model: plain data that predicts, and explains its margins.

A margin (log-odds before calibration) is the weighted sum of a linear part and of
trees. Both are optional: a model can be a logistic regression, trees, trees boosted
from the margins of a logistic regression, or the average of both. This module does not
import scikit-learn, because scoring processes need only NumPy and XGBoost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from churn.ml.features import as_matrix

if TYPE_CHECKING:
    import xgboost as xgb


def sigmoid(margins: np.ndarray) -> np.ndarray:
    """Return the probability of each log-odds."""
    return 1 / (1 + np.exp(-np.clip(margins, -50, 50)))


@dataclass(frozen=True)
class Calibration:
    """Platt scaling: a line from margins to calibrated log-odds."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, margins: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of each margin."""
        return sigmoid(self.slope * np.asarray(margins, dtype=float) + self.intercept)


@dataclass(frozen=True)
class LinearPart:
    """A logistic regression as one clipped line per feature.

    A present value ``x`` of a feature contributes ``slope * clip(x, low, high) +
    offset`` to the margin, a missing value ``missing``. The contributions are
    centred: their mean over the fitted rows is zero.

    Attributes:
        intercept: The margin of a row whose contributions are all zero.
        slopes, lows, highs, offsets, missing: One number per feature.
        tree_weight: Weight of the trees beside this part.
    """

    intercept: float
    slopes: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    offsets: Sequence[float]
    missing: Sequence[float]
    tree_weight: float = 1.0

    def averaged_with_trees(self, tree_intercept: float) -> LinearPart:
        """Return the linear part of the average with trees.

        Args:
            tree_intercept: The margin that the trees were boosted from.
        """

        def half(numbers: Sequence[float]) -> list[float]:
            return [number / 2 for number in numbers]

        return replace(
            self,
            intercept=(self.intercept + tree_intercept) / 2,
            slopes=half(self.slopes),
            offsets=half(self.offsets),
            missing=half(self.missing),
            tree_weight=0.5,
        )

    def contribution(self, position: int, values: np.ndarray) -> np.ndarray:
        """Return what the values of one feature add to the margin."""
        clipped = np.clip(
            values.astype(float), self.lows[position], self.highs[position]
        )
        line = self.slopes[position] * clipped + self.offsets[position]
        return np.where(np.isnan(clipped), self.missing[position], line)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """Return the margin of each row of a matrix (n_rows, n_features).

        The features are added one by one, so that a row's sum does not depend on the
        other rows of its batch.
        """
        total = np.full(len(matrix), self.intercept)
        for position in range(len(self.slopes)):
            if self.slopes[position] or self.missing[position]:
                total += self.contribution(position, matrix[:, position])
        return total

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """Return the probability of each row, of shape (n_rows,)."""
        return sigmoid(self.margins(matrix))


@dataclass
class ChurnModel:
    """A trained model and everything that prediction needs.

    Attributes:
        booster_json: The trees in XGBoost's JSON format; empty without trees.
        feature_names: The features, in the order of the trees.
        codes: The number of each value of each text feature.
        calibration: Maps margins to probabilities.
        feature_medians: The median of each feature in the training rows, encoded
            as in the matrix; ``None`` if all values are missing.
        linear: The linear part of the margins, or ``None``.
        threads: XGBoost threads for prediction.
    """

    booster_json: str
    feature_names: list[str]
    codes: dict[str, dict[str, float]]
    calibration: Calibration
    feature_medians: dict[str, float | None]
    linear: LinearPart | None = None
    threads: int = 1

    @cached_property
    def booster(self) -> xgb.Booster | None:
        """Load the trees from their JSON, once; ``None`` without trees."""
        if not self.booster_json:
            return None
        import xgboost as xgb

        booster = xgb.Booster({"nthread": self.threads})
        booster.load_model(bytearray(self.booster_json.encode()))
        return booster

    @property
    def rounds(self) -> int:
        """Return the number of boosting rounds."""
        return 0 if self.booster is None else self.booster.num_boosted_rounds()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without the loaded booster."""
        return {k: v for k, v in self.__dict__.items() if k != "booster"}

    def matrix(self, rows: pd.DataFrame | pa.RecordBatch) -> np.ndarray:
        """Return the features of ``rows``, of shape (n_rows, n_features)."""
        return as_matrix(rows, self.feature_names, self.codes)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """Return the log-odds of each row before calibration, of shape (n_rows,)."""
        if self.linear is None:
            # A model has trees, a linear part, or both.
            assert self.booster is not None
            return self.booster.inplace_predict(matrix, predict_type="margin")
        margins = self.linear.margins(matrix)
        if self.booster is not None:
            trees = self.booster.inplace_predict(
                matrix, predict_type="margin", base_margin=_zeros(matrix)
            )
            margins += self.linear.tree_weight * trees
        return margins

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of each row, of shape (n_rows,)."""
        if len(matrix) == 0:
            return np.array([])
        return self.calibration.apply(self.margins(matrix))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return each feature's contribution to each row's margin.

        Trees contribute by TreeSHAP, the linear part by its lines.

        Returns:
            An array of shape (n_rows, n_features + 1). The last column is the bias,
            equal for all rows. Each row sums to its margin.
        """
        size = len(self.feature_names)
        if self.booster is None:
            contributions = np.zeros((len(matrix), size + 1), dtype=np.float32)
        else:
            import xgboost as xgb

            data = xgb.DMatrix(
                matrix, feature_names=self.feature_names, nthread=self.threads
            )
            if self.linear is not None:
                data.set_base_margin(_zeros(matrix))
            contributions = self.booster.predict(data, pred_contribs=True)
        if self.linear is not None:
            contributions *= self.linear.tree_weight
            contributions[:, -1] += self.linear.intercept
            for position in range(size):
                contributions[:, position] += self.linear.contribution(
                    position, matrix[:, position]
                )
        return contributions


def _zeros(matrix: np.ndarray) -> np.ndarray:
    """Return a base margin of 0 for each row, because the linear part has its own."""
    return np.zeros(len(matrix), dtype=np.float32)
