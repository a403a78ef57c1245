"""Baselines that a model must beat: prevalence, a recency rule, a linear model.

scikit-learn fits them. It is imported only when a model is trained, because the import
takes a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from churn.ml.model import LinearPart

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

RECENCY_FEATURE = "days_since_last_visit"
# Standardised values are clipped, because later data can be far outside the range of
# the training rows.
MAX_STANDARD_DEVIATIONS = 5.0


def logistic_regression(ridge: float) -> Pipeline:
    """Return an unfitted ridge-penalised logistic regression.

    A missing value is replaced by the training median and marked in an indicator
    column. The penalty keeps weights finite for collinear windows and separable data.

    Args:
        ridge: Weight of the squared coefficients of standardised features, in rows.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    bounds = {"a_min": -MAX_STANDARD_DEVIATIONS, "a_max": MAX_STANDARD_DEVIATIONS}
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(np.clip, kw_args=bounds),
        LogisticRegression(C=1 / ridge, solver="newton-cholesky"),
    )


def fit_linear(
    ridge: float,
    matrix: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> LinearPart:
    """Fit `logistic_regression` and return it as one clipped line per feature.

    Args:
        ridge: The penalty.
        matrix: Of shape (n_rows, n_features).
        labels: Whether each row churned, of shape (n_rows,).
        weights: Row weights; ``None`` for equal weights.
    """
    pipeline = logistic_regression(ridge)
    pipeline.fit(
        np.asarray(matrix, dtype=float),
        labels > 0,
        logisticregression__sample_weight=weights,
    )
    imputer, scaler, _, regression = (step for _, step in pipeline.steps)
    weight, intercept = regression.coef_[0], float(regression.intercept_[0])
    size = matrix.shape[1]
    center, scale = scaler.mean_[:size], scaler.scale_[:size]
    reach = MAX_STANDARD_DEVIATIONS * scale
    slope = weight[:size] / scale
    offset = -slope * center
    fill = np.clip(imputer.statistics_, center - reach, center + reach)
    missing = slope * fill + offset
    # The imputer adds an indicator for each feature that has missing values.
    for column, position in enumerate(imputer.indicator_.features_, start=size):
        present, absent = weight[column] * np.clip(
            (np.array([0.0, 1.0]) - scaler.mean_[column]) / scaler.scale_[column],
            -MAX_STANDARD_DEVIATIONS,
            MAX_STANDARD_DEVIATIONS,
        )
        offset[position] += present
        missing[position] += absent
    return LinearPart(
        intercept=intercept,
        slopes=slope.tolist(),
        lows=(center - reach).tolist(),
        highs=(center + reach).tolist(),
        offsets=offset.tolist(),
        missing=missing.tolist(),
    )


def fit_simple_baselines(
    matrix: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    recency: int | None,
) -> dict[str, Any]:
    """Fit the baselines that look at one feature at most.

    Args:
        matrix: Of shape (n_rows, n_features).
        labels: Whether each row churned.
        weights: Row weights.
        recency: Position of the days since the last visit, or ``None``.

    Returns:
        Predictors with ``predict_proba``, as in scikit-learn: ``prevalence``, the
        churned share of the rows, and ``recency_rule``, a logistic regression on the
        days since the last visit. An account without visits ranks after the longest
        absence.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.dummy import DummyClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    longest = SimpleImputer(
        strategy=lambda days: np.max(days, initial=0.0) + 1, keep_empty_features=True
    )
    rule: Any = DummyClassifier(strategy="prior")
    if recency is not None:
        rule = make_pipeline(
            ColumnTransformer([("days", longest, [recency])]),
            StandardScaler(),
            LogisticRegression(),
        )
        rule.fit(matrix, labels > 0, logisticregression__sample_weight=weights)
    else:
        rule.fit(matrix, labels > 0, sample_weight=weights)
    prevalence = DummyClassifier(strategy="prior")
    prevalence.fit(matrix, labels > 0, sample_weight=weights)
    return {"prevalence": prevalence, "recency_rule": rule}
