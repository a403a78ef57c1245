"""Scores that people read: complete, ordered, and explained without a lie."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import FEATURES, HORIZON_AND_GRACE, planted_rows

from churn.explaining import IN_FAVOUR, explain
from churn.features import Feature, UnknownFeatureError, read_features
from churn.registry import REGISTRY_SCHEMA, champion_of, learn, model_of
from churn.scoring import SCORES_SCHEMA, RiskBands, score
from churn.training import TrainingSettings

OFFERS = pd.DataFrame(
    {"product_category": ["pillow", "default"], "offer": ["Pillows", "A call"]}
)
BANDS = RiskBands(medium_from=0.1, high_from=0.3)


@pytest.fixture(scope="module")
def registry() -> pd.DataFrame:
    settings = TrainingSettings(gap_days=HORIZON_AND_GRACE, seed=3, search_trials=1)
    return learn(planted_rows(), FEATURES, None, settings).to_pandas()


@pytest.fixture(scope="module")
def accounts() -> pd.DataFrame:
    rows = planted_rows(weeks=1, seed=11).drop(columns="is_churned")
    rows["company_name"] = "Company " + rows["account_id"]
    rows["top_category_90d"] = np.where(rows.index % 2, "pillow", None)
    rows["clickstream_data_through"] = pd.Timestamp("2025-01-06 05:00")
    rows["crm_data_through"] = pd.Timestamp("2025-01-05")
    rows["billing_data_through"] = pd.NaT
    rows["support_data_through"] = pd.NaT
    rows["is_stale"] = False
    return rows


@pytest.fixture(scope="module")
def scores(accounts: pd.DataFrame, registry: pd.DataFrame) -> pd.DataFrame:
    return score(accounts, registry, FEATURES, OFFERS, BANDS).to_pandas()


def test_every_account_once_the_riskiest_first(
    accounts: pd.DataFrame, scores: pd.DataFrame
) -> None:
    assert sorted(scores["account_id"]) == sorted(accounts["account_id"])
    assert scores["risk_rank"].tolist() == list(range(1, len(accounts) + 1))
    assert scores["churn_probability"].is_monotonic_decreasing
    tied = scores.groupby("churn_probability")["account_id"]
    assert all(group.is_monotonic_increasing for _, group in tied)


def test_bands_offers_and_revenue(scores: pd.DataFrame) -> None:
    probability = scores["churn_probability"]
    assert (scores["risk_band"].eq("high") == (probability >= 0.3)).all()
    assert (scores["risk_band"].eq("low") == (probability < 0.1)).all()
    assert set(scores["recommended_offer"]) == {"Pillows", "A call"}
    np.testing.assert_allclose(
        scores["revenue_at_risk"], probability * scores["monthly_recurring_revenue"]
    )


def test_the_order_of_accounts_changes_nothing(
    accounts: pd.DataFrame, registry: pd.DataFrame, scores: pd.DataFrame
) -> None:
    turned = accounts.sample(frac=1, random_state=1)
    again = score(turned, registry, FEATURES, OFFERS, BANDS).to_pandas()
    pd.testing.assert_frame_equal(
        scores.drop(columns="scored_at"), again.drop(columns="scored_at")
    )


def test_reasons_tell_the_value_and_its_side(
    accounts: pd.DataFrame, registry: pd.DataFrame, scores: pd.DataFrame
) -> None:
    typical = model_of(champion_of(registry)).typical_values["visits_28d"]
    visits = accounts.set_index("account_id")["visits_28d"]
    checked = 0
    for row in scores.itertuples():
        for reason in (row.reason_1, row.reason_2, row.reason_3):
            said = re.search(r"(only |no )?(\d* ?)visits? in the last 28", str(reason))
            if said:
                value = visits[row.account_id]
                assert (said[1] is not None) == (value < typical)
                assert int(said[2] or 0) == value
                checked += 1
    assert checked > 50
    assert scores["reason_1"].notna().all()


def test_one_reason_of_each_theme(
    accounts: pd.DataFrame, registry: pd.DataFrame
) -> None:
    model = model_of(champion_of(registry))
    for told in explain(model, accounts, FEATURES):
        about_visits = [reason for reason in told if reason and "visits" in reason]
        assert len(about_visits) <= 1
        if told[0].startswith(IN_FAVOUR):
            assert told[1:] == [None, None]


def test_phrases_know_missing_values_and_single_things() -> None:
    feature = Feature(
        name="calls",
        label="calls",
        theme="support",
        high="{value:.0f} support calls, {before:.0f} before",
        low="only {value:.0f} support calls",
    )

    def phrase(value: float, typical: float | None = 1.0, **row: object) -> str:
        return feature.phrase({"calls": value, "before": 2, **row}, value, typical)

    assert phrase(3) == "3 support calls, 2 before"
    assert phrase(1) == "1 support call, 2 before"
    assert phrase(0) == "no support calls"
    assert phrase(11, typical=20) == "only 11 support calls"
    assert phrase(4, before=None) == "4 support calls, unknown before"
    assert phrase(np.nan) == "calls: not known"
    told = replace(feature, missing="never called")
    assert told.phrase({"calls": None}, np.nan, 1.0) == "never called"


def test_a_model_without_its_feature_is_refused(
    accounts: pd.DataFrame, registry: pd.DataFrame
) -> None:
    with pytest.raises(
        UnknownFeatureError, match=r"cannot score: .* noise, .*no longer has.*champion"
    ):
        score(accounts.drop(columns="noise"), registry, FEATURES, OFFERS, BANDS)


def test_without_a_model_the_last_scores_stay(
    accounts: pd.DataFrame,
    scores: pd.DataFrame,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nothing = REGISTRY_SCHEMA.empty_table().to_pandas()
    kept = score(accounts, nothing, FEATURES, OFFERS, BANDS, last_scores=scores)
    pd.testing.assert_frame_equal(kept.to_pandas(), scores)
    assert "the last scores stay" in capsys.readouterr().out
    empty = score(accounts, nothing, FEATURES, OFFERS, BANDS)
    assert empty.num_rows == 0
    assert empty.schema == SCORES_SCHEMA


def test_no_account_gives_no_scores(
    accounts: pd.DataFrame, registry: pd.DataFrame
) -> None:
    table = score(accounts.head(0), registry, FEATURES, OFFERS, BANDS)
    assert table.num_rows == 0
    assert table.schema == SCORES_SCHEMA


def test_the_dictionary_is_read_in_one_order() -> None:
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
