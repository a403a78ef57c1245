"""Training finds planted effects, and only those."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from churn.ml.dataset import read_training_data
from churn.ml.metrics import roc_auc
from churn.ml.split import THREE_WAY, TRAIN_ONLY, TWO_WAY, split_by_time
from churn.ml.train import (
    Calibration,
    TrainingResult,
    TrainingSettings,
    calibrate,
    find_training_problem,
    train,
)
from tests.support.planted import FEATURES, HORIZON_AND_GRACE, planted_rows

SETTINGS = TrainingSettings(gap_days=HORIZON_AND_GRACE, seed=3, search_trials=3)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return planted_rows()


@pytest.fixture(scope="module")
def result(rows: pd.DataFrame) -> TrainingResult:
    return train(rows, FEATURES, SETTINGS)


def test_a_planted_effect_is_found_and_ranked_first(result: TrainingResult) -> None:
    test = result.metrics["model"]["test"]
    assert test["roc_auc"].value > 0.75
    assert test["roc_auc"].low > result.metrics["recency_rule"]["test"]["roc_auc"].value
    gains = result.model.booster.get_score(importance_type="total_gain")
    assert max(gains, key=gains.get) == "visits_28d"


def test_shuffled_labels_give_a_random_model(rows: pd.DataFrame) -> None:
    shuffled = rows.copy()
    shuffled["is_churned"] = np.random.default_rng(0).permutation(rows["is_churned"])
    test = train(shuffled, FEATURES, SETTINGS).metrics["model"]["test"]
    assert test["roc_auc"].value == pytest.approx(0.5, abs=0.06)


def test_probabilities_are_calibrated(result: TrainingResult) -> None:
    assert result.metrics["model"]["test"]["calibration_error"].value < 0.05


def test_the_same_data_gives_the_same_bytes(
    rows: pd.DataFrame, result: TrainingResult
) -> None:
    other = rows.sample(frac=1, random_state=1)[sorted(rows.columns, reverse=True)]
    again = train(other, FEATURES[::-1], SETTINGS)
    assert again.model.booster_json == result.model.booster_json
    assert again.model.calibration == result.model.calibration
    assert again.data_fingerprint == result.data_fingerprint
    assert again.training_fingerprint == result.training_fingerprint
    assert again.metrics == result.metrics


def test_another_label_is_another_fingerprint(
    rows: pd.DataFrame, result: TrainingResult
) -> None:
    other = rows.copy()
    other.loc[0, "is_churned"] = ~other.loc[0, "is_churned"]
    names = sorted(feature.name for feature in FEATURES)
    assert read_training_data(rows, names).fingerprint(names) == result.data_fingerprint
    assert (
        read_training_data(other, names).fingerprint(names) != result.data_fingerprint
    )


def test_a_batch_scores_like_single_rows(
    rows: pd.DataFrame, result: TrainingResult
) -> None:
    model, sample = result.model, rows.head(200)
    batch = model.predict_proba(model.matrix(sample))
    single = [
        model.predict_proba(model.matrix(sample.iloc[[row]]))[0]
        for row in range(len(sample))
    ]
    np.testing.assert_array_equal(batch, single)


def test_predictions_do_not_depend_on_column_order(
    rows: pd.DataFrame, result: TrainingResult
) -> None:
    model = result.model
    reversed_columns = rows[sorted(rows.columns, reverse=True)]
    np.testing.assert_array_equal(
        model.predict_proba(model.matrix(rows)),
        model.predict_proba(model.matrix(reversed_columns)),
    )


def test_contributions_add_up_to_the_margin(
    rows: pd.DataFrame, result: TrainingResult
) -> None:
    matrix = result.model.matrix(rows)
    np.testing.assert_allclose(
        result.model.contributions(matrix).sum(axis=1),
        result.model.margins(matrix),
        atol=1e-4,
    )


def test_a_monotone_constraint_holds(result: TrainingResult) -> None:
    model = result.model
    matrix = np.repeat(result.training_data.matrix[:50], 30, axis=0)
    position = model.feature_names.index("days_since_last_visit")
    matrix[:, position] = np.tile(np.arange(30), 50)
    curves = model.predict_proba(matrix).reshape(50, 30)
    assert (np.diff(curves, axis=1) >= -1e-7).all()


def test_parts_are_separated_by_a_complete_label(rows: pd.DataFrame) -> None:
    labels = rows["is_churned"].to_numpy()
    split = split_by_time(rows["as_of_date"], labels, HORIZON_AND_GRACE)
    assert split.method == THREE_WAY
    days = rows["as_of_date"]
    for earlier, later in (
        (split.train, split.validation),
        (split.validation, split.test),
        (split.before_test, split.test),
    ):
        gap = days.iloc[later].min() - days.iloc[earlier].max()
        assert gap.days >= HORIZON_AND_GRACE


@pytest.mark.parametrize(
    ("weeks", "method"), [(44, THREE_WAY), (20, TWO_WAY), (8, TRAIN_ONLY)]
)
def test_a_short_history_has_fewer_parts(weeks: int, method: str) -> None:
    rows = planted_rows(weeks=weeks)
    result = train(rows, FEATURES, SETTINGS)
    assert result.split.method == method
    assert result.split.reason
    parts = result.metrics["model"]
    assert ("test" in parts) == (method == THREE_WAY)
    assert ("validation" in parts) == (method != TRAIN_ONLY)


def test_one_outcome_cannot_be_trained_on(rows: pd.DataFrame) -> None:
    assert find_training_problem(rows["is_churned"].to_numpy()) is None
    assert "no account" in find_training_problem(np.array([]))
    assert "all 3 rows" in find_training_problem(np.zeros(3))


def test_calibration_corrects_a_shift() -> None:
    generator = np.random.default_rng(5)
    truth = generator.normal(-3, 1, 20_000)
    labels = generator.random(20_000) < 1 / (1 + np.exp(-truth))
    line = calibrate(2 * truth + 3, labels)
    assert line.slope == pytest.approx(0.5, abs=0.05)
    assert line.apply(2 * truth + 3).mean() == pytest.approx(labels.mean(), rel=0.02)


@pytest.mark.parametrize("churned", [1, 3])
def test_calibration_is_stable_with_few_churned_rows(churned: int) -> None:
    margins = np.linspace(-4, 0, 200)
    labels = np.zeros(200)
    labels[:churned] = 1
    line = calibrate(margins, labels)
    assert 0 < line.slope <= 1.5
    assert 0.001 < line.apply(margins).mean() < 0.2
    assert Calibration().apply(np.array([0.0]))[0] == 0.5


def test_a_text_feature_is_ranked_by_price(result: TrainingResult) -> None:
    assert result.model.codes == {"plan": {"basic": 0.0, "plus": 1.0, "premium": 2.0}}
    unknown = planted_rows(accounts=1, weeks=1).assign(plan="brand new")
    position = result.model.feature_names.index("plan")
    assert np.isnan(result.model.matrix(unknown)[:, position]).all()


def test_roc_auc_handles_ties() -> None:
    labels = np.array([1, 0, 1, 0])
    assert roc_auc(labels, np.full(4, 0.3)) == 0.5
    assert roc_auc(labels, np.array([0.9, 0.1, 0.8, 0.2])) == 1.0
    assert roc_auc(np.ones(4), np.arange(4)) is None
