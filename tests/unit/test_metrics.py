"""Metrics against their definitions, and the coverage of their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Scikit

from churn.ml.baselines import LogisticRegression, Prevalence, RecencyRule
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
    churned, stayed = probabilities[labels], probabilities[~labels]
    pairs = churned[:, None] - stayed[None, :]
    assert found["roc_auc"] == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())
    assert found["brier"] == pytest.approx(((probabilities - labels) ** 2).mean())
    levels = np.unique(probabilities)[::-1]
    previous_recall, precision_area = 0.0, 0.0
    for level in levels:
        is_selected = probabilities >= level
        recall = labels[is_selected].sum() / labels.sum()
        precision_area += labels[is_selected].mean() * (recall - previous_recall)
        previous_recall = recall
    assert found["pr_auc"] == pytest.approx(precision_area)


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


def test_logistic_regression_finds_the_weights() -> None:
    generator = np.random.default_rng(4)
    matrix = generator.normal(size=(20_000, 3)) * [1, 10, 0.1] + [0, 5, 0]
    margin = -2 + 1.5 * matrix[:, 0] + 0.05 * matrix[:, 1]
    labels = generator.random(len(margin)) < 1 / (1 + np.exp(-margin))
    matrix[generator.random(len(margin)) < 0.05, 2] = np.nan
    fitted = LogisticRegression().fit(matrix, labels)
    found = fitted.predict_proba(matrix)
    assert np.corrcoef(np.log(found / (1 - found)), margin)[0, 1] > 0.99


@pytest.mark.parametrize("ridge", [1.0, 100.0])
def test_logistic_regression_equals_that_of_scikit_learn(ridge: float) -> None:
    """Rows are weighted, few churned, and two columns are nearly collinear."""
    generator = np.random.default_rng(5)
    matrix = generator.normal(size=(3_000, 4))
    matrix[:, 3] = matrix[:, 2] + generator.normal(size=3_000) / 50
    labels = generator.random(3_000) < 1 / (1 + np.exp(4 - 2 * matrix[:, 2]))
    weights = np.where(labels, 1.0, 30.0)
    fitted = LogisticRegression(ridge).fit(matrix, labels, weights)
    scaled = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    scikit = Scikit(C=1 / ridge, solver="newton-cholesky", tol=1e-10)
    expected = scikit.fit(np.clip(scaled, -5, 5), labels, weights)
    assert fitted.predict_proba(matrix) == pytest.approx(
        expected.predict_proba(np.clip(scaled, -5, 5))[:, 1], abs=1e-5
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
    for baseline in (Prevalence(), RecencyRule(None), RecencyRule(0), RecencyRule(2)):
        found = baseline.fit(matrix, labels).predict_proba(matrix)
        assert ((found > 0) & (found < 1)).all()
    found = LogisticRegression().fit(matrix, labels).predict_proba(matrix)
    assert found[0] < labels.mean() < found[-1]
