"""Decision paths are those of XGBoost itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from churn.ml.decision_paths import explain_decisions, read_trees
from churn.ml.model import Calibration, ChurnModel, LinearPart

NAMES = ["calls", "plan", "share"]
CODES = {"basic": 1.0, "plus": 2.0, "premium": 3.0}


@pytest.fixture(scope="module")
def rows() -> pa.RecordBatch:
    """Provide accounts with missing values and texts."""
    random = np.random.default_rng(3)
    calls = random.integers(0, 9, 400).astype(float)
    calls[::7] = np.nan
    plans = random.choice([*CODES, None], 400).tolist()
    return pa.record_batch(
        [
            pa.array(calls, pa.float64()),
            pa.array(plans, pa.string()),
            pa.array(random.random(400)),
        ],
        NAMES,
    )


@pytest.fixture(scope="module")
def model(rows: pa.RecordBatch) -> ChurnModel:
    """Provide a model of these accounts."""
    random = np.random.default_rng(4)
    from churn.ml.features import as_matrix

    matrix = as_matrix(rows, NAMES, {"plan": CODES})
    labels = np.nan_to_num(matrix[:, 0]) + 3 * matrix[:, 2] > 6 * random.random(400)
    booster = xgb.train(
        {"max_depth": 3, "eta": 0.3, "objective": "binary:logistic"},
        xgb.DMatrix(matrix, labels.astype(float), feature_names=NAMES),
        30,
    )
    return ChurnModel(
        booster_json=booster.save_raw("json").decode(),
        feature_names=NAMES,
        codes={"plan": CODES},
        calibration=Calibration(0.8, -0.3),
        feature_medians={"calls": 4.0, "plan": 2.0, "share": None},
    )


def test_the_leaves_are_those_of_xgboost(
    model: ChurnModel, rows: pa.RecordBatch
) -> None:
    matrix = model.matrix(rows)
    trees = read_trees(model.booster_json)
    own = np.stack([tree.leaves(matrix) for tree in trees], axis=1)
    data = xgb.DMatrix(matrix, feature_names=NAMES)
    assert (own == model.booster.predict(data, pred_leaf=True)).all()
    values = sum(tree.threshold[own[:, i]] for i, tree in enumerate(trees))
    difference = model.margins(matrix) - values
    # What remains is the base score, the same for all rows.
    assert np.ptp(difference) < 1e-4


def test_contributions_and_paths_add_up(
    model: ChurnModel, rows: pa.RecordBatch
) -> None:
    matrix = model.matrix(rows)
    trees = read_trees(model.booster_json)
    decisions = list(explain_decisions(model, trees, rows, {"share": "share"}))
    assert len(decisions) == 400
    probabilities = model.predict_proba(matrix)
    for row, decision in enumerate(decisions):
        assert decision.probability == pytest.approx(probabilities[row], abs=1e-4)
        base = np.log(decision.base_probability / (1 - decision.base_probability))
        weights = sum(c.log_odds for c in decision.contributions)
        margin = base / 0.8 + 0.3 / 0.8 + weights + decision.other_log_odds
        assert model.calibration.apply(np.array([margin]))[0] == pytest.approx(
            decision.probability, abs=2e-3
        )
        for path in decision.paths:
            for step in path.steps:
                if step.feature == "calls" and step.value is not None:
                    is_below = float(step.value) < float(step.threshold)
                    # Thresholds lie between whole numbers; shown rounded.
                    assert is_below == step.is_below
                if step.feature == "plan" and step.value is not None:
                    assert (step.value in step.threshold.split(", ")) == step.is_below


def test_what_if_is_a_prediction_with_the_median(
    model: ChurnModel, rows: pa.RecordBatch
) -> None:
    trees = read_trees(model.booster_json)
    changed = model.matrix(rows).copy()
    changed[:, 0] = 4.0
    expected = model.predict_proba(changed)
    for row, decision in enumerate(explain_decisions(model, trees, rows)):
        by_feature = {c.feature: c for c in decision.contributions}
        assert by_feature["calls"].probability_if_typical == pytest.approx(
            expected[row], abs=1e-4
        )
        assert by_feature["share"].probability_if_typical is None
        assert by_feature["plan"].typical == "plus"


def test_no_rows_give_no_decisions(model: ChurnModel, rows: pa.RecordBatch) -> None:
    trees = read_trees(model.booster_json)
    assert list(explain_decisions(model, trees, rows.slice(0, 0))) == []


LINEAR = LinearPart(
    intercept=-1.0,
    slopes=[0.2, 0.0, 0.5],
    lows=[0.0, 1.0, 0.0],
    highs=[6.0, 3.0, 1.0],
    offsets=[-0.6, 0.0, -0.25],
    missing=[0.1, 0.0, 0.0],
    tree_weight=0.5,
)


@pytest.mark.parametrize("has_trees", [True, False])
def test_a_linear_part_is_explained_too(
    model: ChurnModel, rows: pa.RecordBatch, has_trees: bool
) -> None:
    booster = model.booster_json if has_trees else ""
    mixed = replace(model, linear=LINEAR, booster_json=booster)
    trees = read_trees(booster)
    probabilities = mixed.predict_proba(mixed.matrix(rows))
    for row, decision in enumerate(explain_decisions(mixed, trees, rows)):
        assert decision.has_linear_part
        assert decision.trees == len(trees)
        assert bool(decision.paths) == has_trees
        assert decision.probability == pytest.approx(probabilities[row], abs=1e-4)
        base = np.log(decision.base_probability / (1 - decision.base_probability))
        weights = sum(c.log_odds for c in decision.contributions)
        margin = (base + 0.3) / 0.8 + weights + decision.other_log_odds
        assert mixed.calibration.apply(np.array([margin]))[0] == pytest.approx(
            decision.probability, abs=2e-3
        )
