"""Put the reasons of a score into words, with the feature's value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from churn.ml.features import ATTRIBUTE, Columns, Feature
from churn.ml.model import ChurnModel

MAX_REASONS = 3
# Minimum contribution of a reason, in log-odds.
MIN_CONTRIBUTION = 0.01
# Minimum contribution of a behaviour that is named before all attributes.
MIN_BEHAVIOUR_CONTRIBUTION = 0.05
IN_FAVOUR = "in its favour: "

_NOTHING = -1


def explain(
    model: ChurnModel,
    rows: pa.RecordBatch,
    features: Sequence[Feature],
    matrix: np.ndarray | None = None,
) -> np.ndarray:
    """Return the reasons of each row's score, the most useful first.

    A reason is useful if it names what the account does or what changed, because that
    is what a salesperson can talk about. Such reasons come first if they add at least
    `MIN_BEHAVIOUR_CONTRIBUTION`, then the account's attributes, each strongest first.

    The SHAP contribution of a feature ranks the reasons. The wording (high or low)
    compares the row's value with the median of the training rows, so it always
    matches the value. Only the strongest feature of each theme is used: visits in 7,
    28 and 90 days give one reason, not three.

    An account without any feature that raises its risk gets one reason, the
    strongest that lowers it, prefixed with `IN_FAVOUR`.

    Args:
        model: The model that scores.
        rows: The accounts, with the columns of ``account_features``.
        features: The features with their phrases.
        matrix: ``model.matrix(rows)``, if already computed.

    Returns:
        Texts of shape (n_rows, `MAX_REASONS`), ``None`` after the last reason.
    """
    if matrix is None:
        matrix = model.matrix(rows)
    reasons = np.full((len(rows), MAX_REASONS), None, dtype=object)
    if len(rows) == 0:
        return reasons
    described = {feature.name: feature for feature in features}
    model_features = [
        described.get(name) or Feature(name, name, name, name, name)
        for name in model.feature_names
    ]
    # One row per feature: the loop below iterates over features.
    contributions = np.ascontiguousarray(model.contributions(matrix)[:, :-1].T)
    selected = _strongest(
        contributions,
        [feature.theme for feature in model_features],
        np.array([feature.kind != ATTRIBUTE for feature in model_features]),
    )
    has_no_risk_reason = selected[:, 0] == _NOTHING
    selected[has_no_risk_reason, 0] = contributions[:, has_no_risk_reason].argmin(
        axis=0
    )

    row_of, rank_of = np.nonzero(selected != _NOTHING)
    position_of = selected[row_of, rank_of]
    order = np.argsort(position_of, kind="stable")
    ends = np.searchsorted(
        position_of[order], np.arange(len(model_features)), side="right"
    )
    columns = Columns(rows, model.codes)
    start = 0
    for feature, end in zip(model_features, ends, strict=True):
        group = order[start:end]
        start = end
        if len(group):
            reasons[row_of[group], rank_of[group]] = feature.phrases(
                columns.take(row_of[group]), model.feature_medians.get(feature.name)
            )
    reasons[has_no_risk_reason, 0] = IN_FAVOUR + reasons[has_no_risk_reason, 0]
    return reasons


def _strongest(
    contributions: np.ndarray, themes: Sequence[str], is_behaviour: np.ndarray
) -> np.ndarray:
    """Select the features that raise each row's risk most, one per theme.

    Args:
        contributions: Of shape (n_features, n_rows).
        themes: The theme of each feature.
        is_behaviour: Whether each feature is a behaviour.

    Returns:
        Feature indexes of shape (n_rows, `MAX_REASONS`), best first; -1 after the last
        reason. The first of equal contributions wins.
    """
    number_of_theme = {theme: i for i, theme in enumerate(dict.fromkeys(themes))}
    shape = (len(number_of_theme), contributions.shape[1])
    best = np.full(shape, -np.inf, dtype=contributions.dtype)
    strongest_feature = np.full(shape, _NOTHING)
    for position, theme in enumerate(themes):
        number = number_of_theme[theme]
        is_stronger = contributions[position] > best[number]
        best[number][is_stronger] = contributions[position][is_stronger]
        strongest_feature[number][is_stronger] = position
    # Rank behaviours above every attribute.
    is_first = is_behaviour[strongest_feature] & (best >= MIN_BEHAVIOUR_CONTRIBUTION)
    best[is_first] += 1 + max(contributions.max(initial=0.0), 0.0)
    rows = np.arange(shape[1])
    selected = np.full((shape[1], MAX_REASONS), _NOTHING)
    for rank in range(min(MAX_REASONS, len(number_of_theme))):
        strongest = best.argmax(axis=0)
        is_reason = best[strongest, rows] >= MIN_CONTRIBUTION
        selected[is_reason, rank] = strongest_feature[strongest, rows][is_reason]
        best[strongest, rows] = -np.inf
    return selected
