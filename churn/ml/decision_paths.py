"""Explain single scores by the model's trees: contributions, paths and what-ifs.

Reads the booster's JSON, in which each tree is a set of arrays with one element per
node (XGBoost's model format, ``learner.gradient_booster.model.trees``). A row goes left
if its value is below the node's threshold, and to the default side if it is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from churn.ml.features import Columns
from churn.ml.model import ChurnModel

MAX_CONTRIBUTIONS = 10
MAX_PATHS = 3


@dataclass(frozen=True)
class Tree:
    """One tree; each array has one element per node, the root first.

    Attributes:
        left: Index of the left child; -1 for a leaf.
        right: Index of the right child; -1 for a leaf.
        parent: Index of the parent.
        feature: Index of the feature that the node tests.
        threshold: Rows below it go left; the value of a leaf.
        default_left: Whether rows without a value go left.
        mean: Mean leaf value of the training rows, weighted by their hessian.
    """

    left: np.ndarray
    right: np.ndarray
    parent: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    default_left: np.ndarray
    mean: float

    def leaves(self, matrix: np.ndarray) -> np.ndarray:
        """Return the node index of the leaf of each row, of shape (n_rows,)."""
        node = np.zeros(len(matrix), dtype=np.int64)
        rows = np.arange(len(matrix))
        while True:
            is_inner = self.left[node] >= 0
            if not is_inner.any():
                return node
            value = matrix[rows, self.feature[node]]
            goes_left = np.where(
                np.isnan(value), self.default_left[node], value < self.threshold[node]
            )
            child = np.where(goes_left, self.left[node], self.right[node])
            node = np.where(is_inner, child, node)

    def path(self, leaf: int) -> list[tuple[int, float, bool]]:
        """Return the tests from the root to a leaf: feature, threshold, went left."""
        steps = []
        node = leaf
        while node != 0:
            parent = int(self.parent[node])
            steps.append(
                (
                    int(self.feature[parent]),
                    float(self.threshold[parent]),
                    bool(self.left[parent] == node),
                )
            )
            node = parent
        return steps[::-1]


@dataclass(frozen=True)
class Contribution:
    """What one feature adds to one score.

    Attributes:
        feature: The feature's name.
        value: The account's value in words; ``None`` if it is missing.
        typical: The median of the training rows in words.
        log_odds: The contribution to the margin, before calibration, by TreeSHAP.
        probability_if_typical: The probability if only this value were the median;
            ``None`` if the median is unknown.
    """

    feature: str
    value: str | None
    typical: str | None
    log_odds: float
    probability_if_typical: float | None


@dataclass(frozen=True)
class PathStep:
    """One test on a path: ``value`` is below ``threshold`` or not, or missing."""

    feature: str
    value: str | None
    is_below: bool
    threshold: str


@dataclass(frozen=True)
class DecisionPath:
    """The way of one row through one tree.

    Attributes:
        tree: Number of the tree, from 1.
        log_odds: Value of the leaf minus the tree's mean, as it counts in the margin.
        steps: The tests from the root to the leaf.
    """

    tree: int
    log_odds: float
    steps: list[PathStep]


@dataclass(frozen=True)
class Decision:
    """How the model computes one score.

    Attributes:
        probability: The calibrated probability.
        base_probability: The calibrated probability of the bias alone.
        contributions: The strongest contributions, strongest first.
        other_log_odds: The sum of all other contributions.
        paths: The paths whose leaves differ most from the mean of their tree.
        trees: Number of trees; 0 for a logistic regression.
        has_linear_part: Whether a logistic regression is part of the model.
    """

    probability: float
    base_probability: float
    contributions: list[Contribution]
    other_log_odds: float
    paths: list[DecisionPath]
    trees: int
    has_linear_part: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        # Several times faster than dataclasses.asdict, which copies every value.
        return {
            **self.__dict__,
            "contributions": [each.__dict__ for each in self.contributions],
            "paths": [
                {**path.__dict__, "steps": [step.__dict__ for step in path.steps]}
                for path in self.paths
            ],
        }


def read_trees(booster_json: str) -> list[Tree]:
    """Return the trees of a booster in XGBoost's JSON format; none if it is empty."""
    if not booster_json:
        return []
    trees = json.loads(booster_json)["learner"]["gradient_booster"]
    # The booster `dart` has the model one level below.
    trees = trees.get("gbtree", trees)["model"]["trees"]
    return [_read_tree(tree) for tree in trees]


def _read_tree(tree: dict[str, Any]) -> Tree:
    left = np.asarray(tree["left_children"], dtype=np.int64)
    threshold = np.asarray(tree["split_conditions"], dtype=np.float32)
    weight = np.asarray(tree["sum_hessian"], dtype=np.float64) * (left < 0)
    total = weight.sum()
    return Tree(
        left=left,
        right=np.asarray(tree["right_children"], dtype=np.int64),
        parent=np.asarray(tree["parents"], dtype=np.int64),
        feature=np.asarray(tree["split_indices"], dtype=np.int64),
        threshold=threshold,
        default_left=np.asarray(tree["default_left"], dtype=bool),
        mean=float((weight * threshold).sum() / total) if total else 0.0,
    )


def explain_decisions(
    model: ChurnModel,
    trees: Sequence[Tree],
    rows: pa.RecordBatch,
    units: dict[str, str] | None = None,
) -> Iterator[Decision]:
    """Yield how the model computes the score of each row.

    Args:
        model: The model.
        trees: ``read_trees(model.booster_json)``.
        rows: Rows of ``account_features``.
        units: The unit of each feature; shares are shown in percent.
    """
    matrix = model.matrix(rows)
    if len(matrix) == 0:
        return
    names = model.feature_names
    words = _Words(model, units or {})
    columns = Columns(rows, model.codes)
    probabilities = model.predict_proba(matrix)
    contributions = model.contributions(matrix)
    base = model.calibration.apply(contributions[:, -1])
    contributions = contributions[:, :-1]
    count = min(MAX_CONTRIBUTIONS, len(names))
    strongest = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :count]
    if_typical = _if_typical(model, matrix, strongest)
    leaves = np.zeros((len(matrix), len(trees)), dtype=np.int64)
    leaf_values = np.zeros((len(matrix), len(trees)))
    weight = 1.0 if model.linear is None else model.linear.tree_weight
    for number, tree in enumerate(trees):
        leaves[:, number] = tree.leaves(matrix)
        leaf_values[:, number] = weight * (
            tree.threshold[leaves[:, number]] - tree.mean
        )
    largest = np.argsort(-np.abs(leaf_values), axis=1, kind="stable")[:, :MAX_PATHS]

    texts: dict[str, list[Any]] = {}

    def value_of(position: int, row: int) -> str | None:
        name = names[position]
        if name in model.codes and name not in texts:
            texts[name] = columns.values_of(name, np.arange(len(matrix)))
        raw = texts[name][row] if name in texts else matrix[row, position]
        return words.value(name, raw)

    for row in range(len(matrix)):
        shown = [
            Contribution(
                feature=names[position],
                value=value_of(position, row),
                typical=words.typical(names[position]),
                log_odds=round(float(contributions[row, position]), 4),
                probability_if_typical=_finite(if_typical[row, rank]),
            )
            for rank, position in enumerate(strongest[row].tolist())
        ]
        paths = [
            DecisionPath(
                tree=number + 1,
                log_odds=round(float(leaf_values[row, number]), 4),
                steps=[
                    PathStep(
                        feature=names[position],
                        value=value_of(position, row),
                        is_below=is_below,
                        threshold=words.threshold(names[position], threshold),
                    )
                    for position, threshold, is_below in trees[number].path(
                        int(leaves[row, number])
                    )
                ],
            )
            for number in largest[row].tolist()
        ]
        rest = contributions[row].sum() - contributions[row, strongest[row]].sum()
        yield Decision(
            probability=round(float(probabilities[row]), 5),
            base_probability=round(float(base[row]), 5),
            contributions=shown,
            other_log_odds=round(float(rest), 4),
            paths=paths,
            trees=len(trees),
            has_linear_part=model.linear is not None,
        )


def _if_typical(
    model: ChurnModel, matrix: np.ndarray, strongest: np.ndarray
) -> np.ndarray:
    """Return the probability of each row if one value were the training median.

    Args:
        model: The model.
        matrix: The features, of shape (n_rows, n_features).
        strongest: Feature indexes, of shape (n_rows, n_shown).

    Returns:
        Probabilities of shape (n_rows, n_shown), NaN where the median is unknown.
    """
    medians = np.array(
        [
            np.nan if (median := model.feature_medians.get(name)) is None else median
            for name in model.feature_names
        ],
        dtype=np.float32,
    )
    result = np.full(strongest.shape, np.nan)
    rows = np.arange(len(matrix))
    for rank in range(strongest.shape[1]):
        changed = matrix.copy()
        changed[rows, strongest[:, rank]] = medians[strongest[:, rank]]
        result[:, rank] = model.predict_proba(changed)
        result[np.isnan(medians[strongest[:, rank]]), rank] = np.nan
    return result


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)


class _Words:
    """Values, medians and thresholds of features in words."""

    def __init__(self, model: ChurnModel, units: dict[str, str]) -> None:
        self._model = model
        self._units = units

    def value(self, name: str, value: Any) -> str | None:
        """Return a value in words, ``None`` if it is missing."""
        if value is None or isinstance(value, str):
            return value
        number = float(value)
        if np.isnan(number):
            return None
        if (self._units.get(name) or "").startswith("share"):
            return (
                f"{number:.0%}"
                if number == 0 or abs(number) >= 0.1
                else f"{number:.1%}"
            )
        if number.is_integer():
            return f"{number:.0f}"
        return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"

    def typical(self, name: str) -> str | None:
        """Return the median of the training rows in words."""
        median = self._model.feature_medians.get(name)
        codes = self._model.codes.get(name)
        if median is None or codes is None:
            return self.value(name, median)
        nearest = min(codes, key=lambda text: abs(codes[text] - median), default=None)
        return nearest

    def threshold(self, name: str, threshold: float) -> str:
        """Return a threshold in words: a number, or the texts below it."""
        codes = self._model.codes.get(name)
        if codes is None:
            return self.value(name, threshold) or ""
        below = sorted(text for text, code in codes.items() if code < threshold)
        return ", ".join(below[:6]) + (", …" if len(below) > 6 else "")
