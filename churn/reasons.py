"""Why an account has its score, in words with the number in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from churn.features import Columns, Feature
from churn.train import ChurnModel

MOST_REASONS = 3
# What a reason is worth telling, in log-odds.
SMALLEST_CONTRIBUTION = 0.01
IN_FAVOUR = "in its favour: "

_NOTHING = -1


def explain(
    model: ChurnModel,
    rows: pa.RecordBatch,
    features: Sequence[Feature],
    matrix: np.ndarray | None = None,
) -> np.ndarray:
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
        Texts of shape (n_rows, `MOST_REASONS`), ``None`` where there are fewer.
    """
    if matrix is None:
        matrix = model.matrix(rows)
    reasons = np.full((len(rows), MOST_REASONS), None, dtype=object)
    if len(rows) == 0:
        return reasons
    described = {feature.name: feature for feature in features}
    spoken_of = [
        described.get(name) or Feature(name, name, name, name, name)
        for name in model.feature_names
    ]
    # A row per feature: what follows goes feature by feature.
    contributions = np.ascontiguousarray(model.contributions(matrix)[:, :-1].T)
    told = _strongest(contributions, [feature.theme for feature in spoken_of])
    nothing_raises = told[:, 0] == _NOTHING
    told[nothing_raises, 0] = contributions[:, nothing_raises].argmin(axis=0)

    row_of, place_of = np.nonzero(told != _NOTHING)
    position_of = told[row_of, place_of]
    order = np.argsort(position_of, kind="stable")
    ends = np.searchsorted(position_of[order], np.arange(len(spoken_of)), side="right")
    columns = Columns(rows, model.codes)
    start = 0
    for feature, end in zip(spoken_of, ends, strict=True):
        group = order[start:end]
        start = end
        if len(group):
            reasons[row_of[group], place_of[group]] = feature.phrases(
                columns.take(row_of[group]), model.feature_medians.get(feature.name)
            )
    reasons[nothing_raises, 0] = IN_FAVOUR + reasons[nothing_raises, 0]
    return reasons


def _strongest(contributions: np.ndarray, themes: Sequence[str]) -> np.ndarray:
    """The features that raise each row's risk most, one of each theme.

    Args:
        contributions: Of shape (n_features, n_rows).
        themes: The theme of each feature.

    Returns:
        Numbers of features, of shape (n_rows, `MOST_REASONS`), the strongest
        first; -1 where nothing more is worth telling. Of equals the first counts.
    """
    number_of_theme = {theme: i for i, theme in enumerate(dict.fromkeys(themes))}
    shape = (len(number_of_theme), contributions.shape[1])
    best = np.full(shape, -np.inf, dtype=contributions.dtype)
    speaker = np.full(shape, _NOTHING)
    for position, theme in enumerate(themes):
        number = number_of_theme[theme]
        is_stronger = contributions[position] > best[number]
        best[number][is_stronger] = contributions[position][is_stronger]
        speaker[number][is_stronger] = position
    rows = np.arange(shape[1])
    told = np.full((shape[1], MOST_REASONS), _NOTHING)
    for place in range(min(MOST_REASONS, len(number_of_theme))):
        strongest = best.argmax(axis=0)
        is_told = best[strongest, rows] >= SMALLEST_CONTRIBUTION
        told[is_told, place] = speaker[strongest, rows][is_told]
        best[strongest, rows] = -np.inf
    return told
