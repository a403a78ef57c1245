"""Drift measures: no drift for equal data, large values for shifts."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from churn.ml.drift import DRIFT_SCHEMA, fit_bins, measure_drift, stability_index
from churn.ml.features import as_matrix
from tests.support.planted import FEATURES, planted_rows

NAMES = ["days_since_last_visit", "noise", "plan", "visits_28d"]
CODES = {"plan": {"basic": 0.0, "plus": 1.0, "premium": 2.0}}


@pytest.fixture(scope="module")
def model() -> dict[str, str]:
    rows = planted_rows(accounts=2000, weeks=3)
    return {
        "model_version": "m1",
        "feature_names": json.dumps(NAMES),
        "category_codes": json.dumps(CODES),
        "drift_bins": json.dumps(fit_bins(as_matrix(rows, NAMES, CODES), NAMES)),
    }


def drift_of(rows: pd.DataFrame, model: dict[str, str]) -> pd.DataFrame:
    return measure_drift(rows, model, FEATURES).to_pandas().set_index("feature")


def test_the_index_matches_its_definition() -> None:
    training, current = np.array([500, 300, 200]), np.array([40, 35, 25])
    training_shares, current_shares = training / 1000, current / 100
    expected = np.sum(
        (current_shares - training_shares) * np.log(current_shares / training_shares)
    )
    assert stability_index(training, current) == pytest.approx(expected, abs=0.005)
    assert stability_index(training, training) == 0
    assert np.isfinite(stability_index(training, np.array([0, 0, 10])))


def test_equal_data_has_not_drifted(model: dict[str, str]) -> None:
    measured = drift_of(planted_rows(accounts=2000, weeks=1, seed=99), model)
    assert list(measured.index) == NAMES
    assert (measured["population_stability_index"] < 0.1).all()
    expected = measured["expected_psi"]
    assert (measured["population_stability_index"] < 3 * expected).all()


def test_shifts_missing_and_new_values_are_detected(model: dict[str, str]) -> None:
    rows = planted_rows(accounts=2000, weeks=1, seed=99)
    rows["visits_28d"] = rows["visits_28d"] // 3
    rows.loc[::2, "days_since_last_visit"] = np.nan
    rows["plan"] = "brand new"
    measured = drift_of(rows, model)
    index, gap = measured["population_stability_index"], measured["missing_share"]
    assert index["visits_28d"] > 0.25
    assert measured["mean_value"]["visits_28d"] < (
        measured["training_mean_value"]["visits_28d"] / 2
    )
    # Half of the values are missing, and the others are unchanged.
    assert index["days_since_last_visit"] < 0.1
    assert gap["days_since_last_visit"] > 0.5
    assert gap["plan"] == 1
    assert np.isnan(index["plan"])
    assert index["noise"] < 0.1


def test_each_day_is_measured_once(model: dict[str, str]) -> None:
    rows = planted_rows(weeks=3)
    first = rows["as_of_date"].min()
    everything = measure_drift(rows, model, FEATURES)
    later = measure_drift(rows, model, FEATURES, measured_days=[first])
    assert everything.num_rows == 3 * len(NAMES)
    assert later == everything.slice(len(NAMES))
    # Rows of a day in several batches are combined.
    mixed = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        measure_drift(mixed, model, FEATURES).to_pandas(), everything.to_pandas()
    )


def test_no_model_and_no_account_measure_nothing(model: dict[str, str]) -> None:
    rows = planted_rows(weeks=1)
    assert measure_drift(rows, None, FEATURES) == DRIFT_SCHEMA.empty_table()
    assert measure_drift(rows.head(0), model, FEATURES) == DRIFT_SCHEMA.empty_table()
