"""Scores are complete, in order, and have true reasons."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from churn.ml.features import (
    ATTRIBUTE,
    Columns,
    Feature,
    UnknownFeatureError,
    read_features,
)
from churn.ml.predict import (
    SCORES_SCHEMA,
    RiskBands,
    Scorer,
    score,
    score_batch,
    scorer_from,
)
from churn.ml.reasons import (
    IN_FAVOUR,
    MAX_REASONS,
    MIN_BEHAVIOUR_CONTRIBUTION,
    MIN_CONTRIBUTION,
    explain,
)
from churn.ml.registry import REGISTRY_SCHEMA, train_and_register
from churn.ml.train import TrainingSettings
from tests.support.planted import FEATURES, HORIZON_AND_GRACE, planted_rows

BANDS = RiskBands(medium_from=0.1, high_from=0.3)


@pytest.fixture(scope="module")
def registry() -> pd.DataFrame:
    settings = TrainingSettings(gap_days=HORIZON_AND_GRACE, seed=3, search_trials=1)
    return train_and_register(planted_rows(), FEATURES, None, settings).to_pandas()


@pytest.fixture(scope="module")
def accounts() -> pd.DataFrame:
    rows = planted_rows(weeks=1, seed=11).drop(columns="is_churned")
    rows["company_name"] = "Company " + rows["account_id"]
    rows["clickstream_data_through"] = pd.Timestamp("2025-01-06 05:00")
    rows["crm_data_through"] = pd.Timestamp("2025-01-05")
    rows["billing_data_through"] = pd.NaT
    rows["support_data_through"] = pd.NaT
    rows["is_stale"] = False
    return rows


@pytest.fixture(scope="module")
def batch(accounts: pd.DataFrame) -> pa.RecordBatch:
    return pa.RecordBatch.from_pandas(accounts, preserve_index=False)


@pytest.fixture(scope="module")
def scorer(registry: pd.DataFrame) -> Scorer:
    return scorer_from(registry, FEATURES, BANDS)


@pytest.fixture(scope="module")
def scored(batch: pa.RecordBatch, scorer: Scorer) -> pa.RecordBatch:
    return score_batch(batch, scorer)


@pytest.fixture(scope="module")
def scores(scored: pa.RecordBatch) -> pd.DataFrame:
    return scored.to_pandas()


def test_scores_have_one_row_per_account_in_input_order(
    accounts: pd.DataFrame, scored: pa.RecordBatch
) -> None:
    assert scored.schema == SCORES_SCHEMA
    assert scored.column("account_id").to_pylist() == accounts["account_id"].tolist()


def test_bands_and_revenue(scores: pd.DataFrame) -> None:
    probability = scores["churn_probability"]
    assert (scores["risk_band"].eq("high") == (probability >= 0.3)).all()
    assert (scores["risk_band"].eq("low") == (probability < 0.1)).all()
    np.testing.assert_allclose(
        scores["revenue_at_risk"], probability * scores["monthly_recurring_revenue"]
    )


def test_bands_follow_from_bounds_costs_or_the_churn_rate() -> None:
    assert RiskBands.choose(0.03, 0.1, 0.3) == RiskBands(0.1, 0.3)
    assert RiskBands.choose(0.03, offer_cost=50, customer_value=500) == (
        RiskBands(0.05, 0.1)
    )
    rare, common = RiskBands.choose(0.03), RiskBands.choose(0.4)
    assert rare.medium_from == pytest.approx(0.044, abs=0.001)
    assert rare.high_from == pytest.approx(0.110, abs=0.001)
    assert rare.high_from < common.high_from < 1
    for given in ({"medium_from": 0.9}, {"high_from": 0.01}):
        bands = RiskBands.choose(0.03, **given)
        assert 0 < bands.medium_from < bands.high_from < 1


@pytest.mark.slow
def test_single_rows_and_unpickled_scorers_give_equal_scores(
    batch: pa.RecordBatch, scorer: Scorer, scored: pa.RecordBatch
) -> None:
    """A row's score depends on that row only, to the last bit."""
    unpickled = pickle.loads(pickle.dumps(scorer))
    rows = [score_batch(batch.slice(row, 1), unpickled) for row in range(len(batch))]
    assert pa.Table.from_batches(rows) == pa.Table.from_batches([scored])


def test_batches_are_streamed(
    batch: pa.RecordBatch, scorer: Scorer, scored: pa.RecordBatch
) -> None:
    """No batch is read before the one before it has been scored."""
    read = []

    def batches():
        for start in range(0, len(batch), 100):
            read.append(start)
            yield batch.slice(start, 100)

    stream = scorer.score_batches(batches())
    first = next(stream)
    assert read == [0]
    assert pa.Table.from_batches([first, *stream]) == pa.Table.from_batches([scored])


def test_the_order_of_columns_changes_nothing(
    batch: pa.RecordBatch, scorer: Scorer, scored: pa.RecordBatch
) -> None:
    assert score_batch(batch.select(sorted(batch.schema.names)), scorer) == scored


def test_scores_without_reasons_are_the_same_scores(
    batch: pa.RecordBatch, scorer: Scorer, scored: pa.RecordBatch
) -> None:
    bare = score_batch(batch, replace(scorer, gives_reasons=False))
    assert bare.column("reason_1").null_count == len(batch)
    for name in ("churn_probability", "risk_band", "revenue_at_risk"):
        assert bare.column(name) == scored.column(name)


def test_reasons_state_the_value_and_its_side(
    accounts: pd.DataFrame, scorer: Scorer, scores: pd.DataFrame
) -> None:
    median = scorer.model.feature_medians["visits_28d"]
    visits = accounts.set_index("account_id")["visits_28d"]
    checked = 0
    for row in scores.itertuples():
        for reason in (row.reason_1, row.reason_2, row.reason_3):
            match = re.search(r"(only |no )?(\d* ?)visits? in the last 28", str(reason))
            if match:
                value = visits[row.account_id]
                assert (match[1] is not None) == (value < median)
                assert int(match[2] or 0) == value
                checked += 1
    assert checked > 50
    assert scores["reason_1"].notna().all()


def test_reasons_are_the_strongest_behaviours_then_attributes(
    accounts: pd.DataFrame, batch: pa.RecordBatch, scorer: Scorer
) -> None:
    """Compare with a simple implementation, account by account."""
    model = scorer.model
    described = {feature.name: feature for feature in FEATURES}
    contributions = model.contributions(model.matrix(batch))[:, :-1]
    explained = explain(model, batch, FEATURES)
    for row, reasons in enumerate(explained):
        themes = set()
        useful, others = [], []
        for position in np.argsort(-contributions[row], kind="stable"):
            feature = described[model.feature_names[position]]
            strength = contributions[row, position]
            if strength >= MIN_CONTRIBUTION and feature.theme not in themes:
                themes.add(feature.theme)
                is_useful = (
                    feature.kind != ATTRIBUTE and strength >= MIN_BEHAVIOUR_CONTRIBUTION
                )
                (useful if is_useful else others).append(feature)
        expected = [
            phrase_of(feature, model, accounts.iloc[row]) for feature in useful + others
        ]
        if not expected:
            weakest = described[model.feature_names[contributions[row].argmin()]]
            expected = [IN_FAVOUR + phrase_of(weakest, model, accounts.iloc[row])]
        expected = (expected + [None] * MAX_REASONS)[:MAX_REASONS]
        assert list(reasons) == expected


def test_first_reasons_of_risky_accounts_are_useful(scores: pd.DataFrame) -> None:
    """A salesperson can talk about behaviour, not about the plan of an account."""
    first = scores.loc[scores["risk_band"] != "low", "reason_1"]
    assert len(first) > 50
    assert first.str.contains("visits|came").mean() >= 0.9


def phrase_of(feature: Feature, model, account: pd.Series) -> str:
    """Return the phrase for one account, by a simple implementation."""
    value = account[feature.name]
    if pd.isna(value):
        return feature.missing
    number = model.codes.get(feature.name, {}).get(value, value)
    is_low = number < model.feature_medians[feature.name]
    template = feature.low if is_low else feature.high
    phrase = template.format(value=value, visits_prior_28d=account["visits_prior_28d"])
    usual = ""
    if feature.name != "plan" and "_prior_" not in template:
        form = "{:.6f}" if feature.name == "noise" else "{:.0f}"
        usual = f" (usually {form.format(model.feature_medians[feature.name])})"
    return re.sub(r"\b1 visits", "1 visit", phrase.replace("only 0 ", "no ")) + usual


def test_phrases_handle_missing_values_and_the_singular() -> None:
    feature = Feature(
        name="calls",
        label="calls",
        theme="support",
        high="{value:.0f} support calls, {before:.0f} before",
        low="only {value:.0f} support calls",
    )

    def phrase(
        value: float | None,
        median: float | None = 1.0,
        before: float | None = 2,
        feature: Feature = feature,
    ) -> str:
        row = {
            "calls": pa.array([value], pa.float64()),
            "before": pa.array([before], pa.int64()),
        }
        columns = Columns(pa.RecordBatch.from_pydict(row))
        text, _, usual = feature.phrases(columns, median)[0].partition(" (usually ")
        assert usual == ("" if value is None or np.isnan(value) else f"{median:.0f})")
        return text

    assert phrase(3) == "3 support calls, 2 before"
    assert phrase(1) == "1 support call, 2 before"
    assert phrase(0) == "no support calls"
    assert phrase(11, median=20) == "only 11 support calls"
    assert phrase(4, before=None) == "4 support calls, unknown before"
    assert phrase(None) == phrase(np.nan) == "calls: not known"
    described_feature = replace(feature, missing="never called")
    assert phrase(None, feature=described_feature) == "never called"


def test_a_missing_feature_is_reported(batch: pa.RecordBatch, scorer: Scorer) -> None:
    with pytest.raises(
        UnknownFeatureError, match=r"cannot score: .* noise, .*no longer has.*champion"
    ):
        score_batch(batch.drop_columns("noise"), scorer)


def test_without_a_model_the_last_scores_are_kept(
    batch: pa.RecordBatch,
    scored: pa.RecordBatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nothing = REGISTRY_SCHEMA.empty_table().to_pandas()
    scorer = scorer_from(nothing, FEATURES, BANDS)
    assert scorer is None
    assert "The last scores are kept" in capsys.readouterr().out
    last = pa.Table.from_batches([scored])
    assert score(batch, None, last_scores=last).read_all() == last
    empty = score(batch, None).read_all()
    assert empty.num_rows == 0
    assert empty.schema == SCORES_SCHEMA


def test_no_account_gives_no_scores(batch: pa.RecordBatch, scorer: Scorer) -> None:
    empty = score_batch(batch.slice(0, 0), scorer)
    assert empty.num_rows == 0
    assert empty.schema == SCORES_SCHEMA


def test_features_are_sorted_by_name() -> None:
    rows = pd.DataFrame(
        {
            "feature": ["b", "a"],
            "high_phrase": ["h", "h"],
            "low_phrase": ["l", "l"],
            "missing_phrase": [None, "m"],
        }
    )
    first, second = read_features(rows)
    assert (first.name, first.missing) == ("a", "m")
    assert (second.name, second.missing, second.theme) == ("b", None, "b")
