"""Why an account has its score, in words with the number in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from churn.features import Feature
from churn.training import ChurnModel

MOST_REASONS = 3
# What a reason is worth telling, in log-odds.
SMALLEST_CONTRIBUTION = 0.01
IN_FAVOUR = "in its favour: "


def explain(
    model: ChurnModel,
    rows: pd.DataFrame,
    features: Sequence[Feature],
    matrix: np.ndarray | None = None,
) -> list[list[str | None]]:
    """The reasons of each row's score, the strongest first.

    The contribution of a feature to the margin of a row says how strong a reason
    is; whether the row's value is high or low is read from the value alone, by
    comparison with the median of the training rows, so no reason contradicts
    it. Of each theme only the strongest feature speaks: visits in 7, 28 and 90
    days are one reason, not three.

    An account that nothing drives away has one reason, the strongest of those
    that keep it, marked as such.

    Args:
        model: The model that scores.
        rows: The accounts, with the columns of ``account_features``.
        features: The features, with their phrases.
        matrix: ``model.matrix(rows)``, if at hand.

    Returns:
        For each row `MOST_REASONS` phrases, ``None`` where there are fewer.
    """
    if matrix is None:
        matrix = model.matrix(rows)
    if len(rows) == 0:
        return []
    described = {feature.name: feature for feature in features}
    themes = np.array(
        [
            described[name].theme if name in described else name
            for name in model.feature_names
        ]
    )
    contributions = model.contributions(matrix)[:, :-1]
    order = np.argsort(-contributions, axis=1, kind="stable")
    reasons = []
    for number, row in enumerate(rows.to_dict("records")):
        told: list[int] = []
        for position in order[number]:
            if (
                len(told) == MOST_REASONS
                or contributions[number, position] < SMALLEST_CONTRIBUTION
            ):
                break
            if themes[position] not in themes[told]:
                told.append(int(position))
        prefix = ""
        if not told:
            told, prefix = [int(np.argmin(contributions[number]))], IN_FAVOUR
        phrases: list[str | None] = []
        for position in told:
            name = model.feature_names[position]
            feature = described.get(name) or Feature(name, name, name, name, name)
            phrases.append(
                prefix
                + feature.phrase(
                    row,
                    float(matrix[number, position]),
                    model.typical_values.get(name),
                )
            )
        phrases += [None] * (MOST_REASONS - len(phrases))
        reasons.append(phrases)
    return reasons
