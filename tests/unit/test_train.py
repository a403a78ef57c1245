"""Training finds planted effects, and only those."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from churn.ml.dataset import read_training_data, sort_rows
from churn.ml.evaluation import find_quality_problem
from churn.ml.metrics import Estimate
from churn.ml.model import Calibration
from churn.ml.registry import as_row, model_of
from churn.ml.split import BY_ACCOUNT, ROLLING, TEST, TRAIN_ONLY, split_rows
from churn.ml.train import (
    AVERAGED,
    BOOSTED,
    CONSTRAINED,
    LOGISTIC,
    TREES,
    TrainingResult,
    TrainingSettings,
    calibrate,
    find_training_problem,
    train,
)
from tests.support.planted import FEATURES, HORIZON_AND_GRACE, planted_rows

KINDS = [LOGISTIC, CONSTRAINED, TREES, BOOSTED, AVERAGED]
SETTINGS = TrainingSettings(gap_days=HORIZON_AND_GRACE, seed=3, search_trials=3)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return planted_rows()


@pytest.fixture(scope="module")
def result(rows: pd.DataFrame) -> TrainingResult:
    return train(rows, FEATURES, SETTINGS)


@pytest.fixture(scope="module", params=KINDS)
def of_each_kind(request: pytest.FixtureRequest, rows: pd.DataFrame) -> TrainingResult:
    """A model of each kind of candidate, as the registry stores it."""
    kind = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "churn.ml.train._best",
            lambda tried: next((fit for fit in tried if fit.kind == kind), tried[0]),
        )
        # The candidate that `_best` returns is better than the average.
        patch.setattr("churn.ml.train.BEST_CONFIDENCE", 0.0)
        share = 1.1 if kind == LOGISTIC else 0.0
        patch.setattr("churn.ml.train.BETTER_CONFIDENCE", share)
        trained = train(rows, FEATURES, replace(SETTINGS, search_trials=1))
    assert trained.kind == kind
    trained.model = model_of(as_row(trained, True, "", HORIZON_AND_GRACE))
    return trained


def test_a_planted_effect_is_found_and_ranked_first(result: TrainingResult) -> None:
    test = result.metrics["model"]["test"]
    assert test["roc_auc"].value > 0.75
    assert test["roc_auc"].low > result.metrics["recency_rule"]["test"]["roc_auc"].value
    contributions = result.model.contributions(result.training_data.matrix)[:, :-1]
    strongest = np.abs(contributions).mean(axis=0).argmax()
    assert result.model.feature_names[strongest] == "visits_28d"


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
    rows: pd.DataFrame, of_each_kind: TrainingResult
) -> None:
    model, sample = of_each_kind.model, rows.head(200)
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
    rows: pd.DataFrame, of_each_kind: TrainingResult
) -> None:
    model = of_each_kind.model
    matrix = model.matrix(rows)
    contributions = model.contributions(matrix)
    np.testing.assert_allclose(
        contributions.sum(axis=1), model.margins(matrix), atol=1e-4
    )
    assert np.ptp(contributions[:, -1]) == 0


def test_a_monotone_constraint_always_holds(rows: pd.DataFrame) -> None:
    settings = replace(SETTINGS, monotone_constraints="always", search_trials=1)
    result = train(rows, FEATURES, settings)
    model = result.model
    matrix = np.repeat(result.training_data.matrix[:50], 30, axis=0)
    position = model.feature_names.index("days_since_last_visit")
    matrix[:, position] = np.tile(np.arange(30), 50)
    curves = model.predict_proba(matrix).reshape(50, 30)
    assert (np.diff(curves, axis=1) >= -1e-7).all()


def reversed_company() -> pd.DataFrame:
    """Rows of a company whose customers churn after many visits, not after few."""
    rows = planted_rows()
    most = rows["days_since_last_visit"].max()
    rows["days_since_last_visit"] = most - rows["days_since_last_visit"]
    return rows


@pytest.mark.slow
def test_a_direction_that_the_rows_contradict_is_dropped() -> None:
    rows = reversed_company()
    [test] = train(rows, FEATURES, SETTINGS).constraint_tests
    assert test.feature == "days_since_last_visit"
    assert test.z_score < -3
    assert not test.is_kept
    [test] = train(planted_rows(), FEATURES, SETTINGS).constraint_tests
    assert test.is_kept


@pytest.mark.slow
def test_a_reversed_company_is_predicted_as_well() -> None:
    """Only the reversed feature is known, so a wrong constraint would cost all."""
    feature = [f for f in FEATURES if f.name == "days_since_last_visit"]

    def auc(rows: pd.DataFrame, constraints: str) -> float:
        settings = replace(SETTINGS, monotone_constraints=constraints)
        return train(rows, feature, settings).metrics["model"]["test"]["roc_auc"].value

    as_usual = auc(planted_rows(), "auto")
    assert auc(reversed_company(), "auto") == pytest.approx(as_usual, abs=0.02)
    assert auc(reversed_company(), "always") < as_usual - 0.1


def account_numbers(rows: pd.DataFrame) -> np.ndarray:
    return pd.factorize(rows["account_id"])[0]


def test_parts_are_separated_by_a_complete_label(rows: pd.DataFrame) -> None:
    days = rows["as_of_date"].reset_index(drop=True)
    split = split_rows(
        days, rows["is_churned"], account_numbers(rows), HORIZON_AND_GRACE, 30
    )
    assert split.method == TEST
    pairs = [(split.fit, split.test, HORIZON_AND_GRACE)]
    pairs += [(fold.train, fold.validation, 30) for fold in split.folds]
    for earlier, later, least in pairs:
        assert (days[later].min() - days[earlier].max()).days >= least
    assert set(split.validation) <= set(split.fit)
    assert len(set(split.validation)) == len(split.validation)


def test_a_split_without_some_rows_has_the_others_in_the_same_parts() -> None:
    rows = sort_rows(planted_rows(accounts=100)).reset_index(drop=True)
    split = split_rows(
        rows["as_of_date"], rows["is_churned"], account_numbers(rows), 60, 30
    )
    kept = np.random.default_rng(2).random(len(rows)) < 0.7
    restricted = split.restricted(kept)
    names = rows.index[kept]
    pairs = [(split.fit, restricted.fit), (split.test, restricted.test)]
    for before, after in zip(split.folds, restricted.folds, strict=True):
        pairs += [
            (before.train, after.train),
            (before.validation, after.validation),
        ]
    for before, after in pairs:
        assert list(names[after]) == [row for row in before if kept[row]]


def test_more_events_need_fewer_days_and_folds() -> None:
    few, many = planted_rows(accounts=100), planted_rows(accounts=3000)
    splits = [
        split_rows(
            rows["as_of_date"], rows["is_churned"], account_numbers(rows), 60, 30
        )
        for rows in (few, many)
    ]
    days = [
        rows["as_of_date"].iloc[split.test].nunique()
        for rows, split in zip((few, many), splits, strict=True)
    ]
    assert days[0] > days[1]
    assert [len(split.folds) for split in splits] == [3, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weeks", "accounts", "method"),
    [(44, 250, TEST), (20, 250, ROLLING), (7, 250, BY_ACCOUNT), (7, 4, TRAIN_ONLY)],
)
def test_a_short_history_is_split_otherwise(
    weeks: int, accounts: int, method: str
) -> None:
    rows = planted_rows(accounts, weeks)
    result = train(rows, FEATURES, SETTINGS)
    assert result.split.method == method
    assert result.split.reason
    parts = result.metrics["model"]
    assert ("test" in parts) == (method == TEST)
    assert ("validation" in parts) == (method != TRAIN_ONLY)
    if method == BY_ACCOUNT:
        for fold in result.split.folds:
            accounts_of = result.training_data.accounts
            assert not set(accounts_of[fold.train]) & set(accounts_of[fold.validation])
    if method in (ROLLING, BY_ACCOUNT):
        assert parts["validation"]["roc_auc"].low > 0.65


def test_a_model_that_is_worse_or_random_is_reported() -> None:
    good = {"roc_auc": Estimate(0.8, 0.7, 0.9)}

    def problem(auc: Estimate, loss: Estimate, metrics=good) -> str | None:
        difference = {"logistic_regression": {"roc_auc": auc, "log_loss": loss}}
        return find_quality_problem(metrics, difference)

    even = Estimate(0.0, -0.01, 0.01)
    assert problem(even, even) is None
    assert "ranks worse" in problem(Estimate(-0.02, -0.03, -0.01), even)
    assert "log loss is higher" in problem(even, Estimate(0.02, 0.01, 0.03))
    random = {"roc_auc": Estimate(0.53, 0.49, 0.57)}
    assert "close to chance" in problem(even, even, random)


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


def test_rows_of_contacted_accounts_are_not_trained_on(rows: pd.DataFrame) -> None:
    was_treated = np.arange(len(rows)) % 3 == 0
    # Their labels would mislead.
    marked = rows.assign(
        was_treated=was_treated,
        is_churned=np.where(was_treated, ~rows["is_churned"], rows["is_churned"]),
    )
    names = {feature.name for feature in FEATURES}
    data = read_training_data(marked, names)
    expected = read_training_data(rows[~was_treated], names)
    assert data.fingerprint(data.names) == expected.fingerprint(expected.names)
