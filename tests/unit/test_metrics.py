"""Metrics against their definitions, and the coverage of their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as scikit

from churn.ml.baselines import fit_linear, fit_simple_baselines, logistic_regression
from churn.ml.metrics import METRICS, evaluate, evaluate_each


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    # Rounded, so that there are ties.
    probabilities = generator.beta(1, 8, 500).round(2)
    return generator.random(500) < probabilities, probabilities


def test_metrics_match_their_definitions(drawn) -> None:
    labels, probabilities = drawn
    found = {
        name: estimate.value
        for name, estimate in evaluate(labels, probabilities).items()
    }
    expected = {
        "roc_auc": scikit.roc_auc_score(labels, probabilities),
        "pr_auc": scikit.average_precision_score(labels, probabilities),
        "log_loss": scikit.log_loss(labels, np.clip(probabilities, 1e-7, 1 - 1e-7)),
        "brier": scikit.brier_score_loss(labels, probabilities),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_lift_and_revenue_of_a_perfect_order() -> None:
    labels = np.r_[np.ones(10), np.zeros(90)]
    revenue = np.r_[np.full(5, 300.0), np.full(5, 100.0), np.full(90, 50.0)]
    found = evaluate(labels, np.linspace(0.9, 0.1, 100), revenue=revenue)
    assert found["lift_at_5"].value == pytest.approx(10)
    assert found["lift_at_20"].value == pytest.approx(5)
    assert found["captured_revenue_at_5"].value == pytest.approx(0.75)
    assert found["captured_revenue_at_10"].value == pytest.approx(1)


def test_metrics_do_not_depend_on_row_order(drawn) -> None:
    labels, probabilities = drawn
    shuffled = np.random.default_rng(1).permutation(len(labels))
    once, again = (
        evaluate(labels, probabilities),
        evaluate(labels[shuffled], probabilities[shuffled]),
    )
    for metric in METRICS:
        if once[metric].value is not None:
            assert once[metric].value == pytest.approx(again[metric].value)


def test_repeated_rows_do_not_narrow_an_interval(drawn) -> None:
    labels, probabilities = drawn
    accounts = np.arange(len(labels))
    once = evaluate(labels, probabilities, accounts)["roc_auc"]
    tenfold = evaluate(
        np.tile(labels, 10), np.tile(probabilities, 10), np.tile(accounts, 10)
    )["roc_auc"]
    assert once.low < once.value < once.high
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low, rel=0.3)


def test_one_outcome_has_no_auc() -> None:
    found = evaluate(np.zeros(10), np.linspace(0, 1, 10), accounts=np.arange(10))
    assert found["roc_auc"] == (None, None, None)
    assert found["pr_auc"].value is None
    assert found["log_loss"].value > 0
    assert evaluate(np.array([]), np.array([]))["brier"].value is None


@pytest.mark.parametrize("ridge", [1.0, 100.0])
def test_the_linear_part_equals_the_pipeline(ridge: float) -> None:
    """Rows are weighted, values missing, constant, far out and nearly collinear."""
    generator = np.random.default_rng(5)
    matrix = generator.normal(size=(3_000, 5))
    matrix[:, 3] = matrix[:, 2] + generator.normal(size=3_000) / 50
    matrix[:, 4] = 1.0
    matrix[generator.random(3_000) < 0.2, 1] = np.nan
    matrix[0, 0] = 1e6
    labels = generator.random(3_000) < 1 / (1 + np.exp(4 - 2 * matrix[:, 2]))
    weights = np.where(labels, 1.0, 30.0)
    linear = fit_linear(ridge, matrix, labels, weights)
    pipeline = logistic_regression(ridge)
    pipeline.fit(matrix, labels, logisticregression__sample_weight=weights)
    assert linear.predict_proba(matrix) == pytest.approx(
        pipeline.predict_proba(matrix)[:, 1], abs=1e-9
    )
    contributions = [linear.contribution(n, matrix[:, n]) for n in range(5)]
    assert linear.margins(matrix) == pytest.approx(
        linear.intercept + np.sum(contributions, axis=0)
    )


def test_evaluate_each_equals_separate_evaluations(drawn) -> None:
    labels, probabilities = drawn
    accounts = np.arange(len(labels)) // 5
    both = [probabilities, probabilities[::-1]]
    assert evaluate_each(labels, both, accounts) == [
        evaluate(labels, prediction, accounts) for prediction in both
    ]


def test_baselines_accept_constant_and_missing_columns() -> None:
    matrix = np.column_stack([np.full(40, np.nan), np.ones(40), np.arange(40)])
    labels = np.arange(40) > 30
    ones = np.ones(40)
    for recency in (None, 0, 1, 2):
        for baseline in fit_simple_baselines(matrix, labels, ones, recency).values():
            found = baseline.predict_proba(matrix)[:, 1]
            assert ((found > 0) & (found < 1)).all()
    found = fit_linear(10.0, matrix, labels).predict_proba(matrix)
    assert found[0] < labels.mean() < found[-1]
