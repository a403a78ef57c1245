"""Feature drift of accounts against a model's training rows.

Libraries for drift keep the reference rows. A registry row holds only bins, which are
enough for a population stability index on any engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from churn.engine_io import as_batches
from churn.ml.features import Feature, as_matrix

# Number of quantile bins; fewer if values repeat.
BINS = 10
# Added to the count of every bin, so that an empty one has a logarithm.
_SMOOTHING = 0.5

DRIFT_SCHEMA = pa.schema(
    [
        ("model_version", pa.string()),
        ("as_of_date", pa.date32()),
        ("feature", pa.string()),
        ("theme", pa.string()),
        ("count_accounts", pa.int64()),
        ("population_stability_index", pa.float64()),
        ("expected_psi", pa.float64()),
        ("missing_share", pa.float64()),
        ("training_missing_share", pa.float64()),
        ("mean_value", pa.float64()),
        ("training_mean_value", pa.float64()),
    ]
)


def fit_bins(
    matrix: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    """Compute quantile bins of each feature and the shares of rows in them.

    Args:
        matrix: Rows that the trees were fitted to, of shape (n_rows, n_features).
        names: The features.

    Returns:
        For each feature, as lists: ``edges``, the upper bounds of all bins but the
        last; ``shares`` of the rows, first those with a missing value, then each
        bin; ``mean`` of the values that are not missing; and the number of ``rows``.
    """
    bins: dict[str, dict[str, list[float]]] = {}
    for position, name in enumerate(names):
        values = matrix[:, position]
        # After one sort, each bin is a contiguous range; NaN sorts last.
        present = np.sort(values)
        present = present[: np.searchsorted(present, np.nan)]
        edges = np.array([], dtype=np.float32)
        if len(present):
            levels = np.linspace(0, 1, BINS + 1)[1:-1]
            edges = np.unique(np.quantile(present, levels, method="higher"))
        ends = [0, *np.searchsorted(present, edges, side="right"), len(present)]
        counts = np.array([len(values) - len(present), *np.diff(ends)])
        bins[name] = {
            "edges": [float(edge) for edge in edges],
            "shares": [float(share) for share in counts / max(len(values), 1)],
            "mean": [float(present.mean(dtype=np.float64))] if len(present) else [],
            "rows": [len(values)],
        }
    return bins


def stability_index(expected: np.ndarray, actual: np.ndarray) -> float:
    """Return the population stability index of two distributions over the same bins.

    It is the sum of ``(a - e) * ln(a / e)`` over the shares of the bins: 0 for
    equal distributions, symmetric, and the sum of both Kullback-Leibler divergences
    (J in Kullback and Leibler 1951).

    Args:
        expected: Rows in each bin, of shape (n_bins,).
        actual: Rows in each bin of the other distribution.
    """
    shares = [
        (counts + _SMOOTHING) / (counts.sum() + _SMOOTHING * len(counts))
        for counts in (np.asarray(expected, float), np.asarray(actual, float))
    ]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def measure_drift(
    accounts: Any,
    model: Mapping[str, Any] | None,
    features: Sequence[Feature],
    measured_days: Sequence[Any] = (),
) -> pa.Table:
    """Compare the accounts of each date with a model's training rows.

    Args:
        accounts: ``account_features`` of dates after the training rows.
        model: The model's row of ``churn_models``, or ``None``.
        features: The features with their themes.
        measured_days: As-of dates to skip.

    Returns:
        One row per date and feature, of `DRIFT_SCHEMA`. Empty without a model or if
        its registry row has no bins.
    """
    if model is None:
        return DRIFT_SCHEMA.empty_table()
    if not isinstance(model["drift_bins"], str):
        print(
            f"Cannot measure drift of {model['model_version']}: it was trained by a "
            "version that stored no drift bins. Train a new model."
        )
        return DRIFT_SCHEMA.empty_table()
    names = json.loads(model["feature_names"])
    codes = json.loads(model["category_codes"])
    bins = json.loads(model["drift_bins"])
    counts: dict[date, list[np.ndarray]] = {}
    sums: dict[date, np.ndarray] = {}
    skipped = {pd.Timestamp(day).date() for day in measured_days}
    for batch in as_batches(accounts, list(dict.fromkeys(["as_of_date", *names]))):
        days = (
            batch.column("as_of_date")
            .cast(pa.date32(), safe=False)
            .to_numpy(zero_copy_only=False)
        )
        matrix = as_matrix(batch, names, codes)
        for day in np.unique(days):
            if day.item() in skipped:
                continue
            rows = matrix[days == day]
            bin_counts = [
                np.bincount(
                    _bin_of(rows[:, position], np.array(bins[name]["edges"])),
                    minlength=len(bins[name]["shares"]),
                )
                for position, name in enumerate(names)
            ]
            previous = counts.get(day.item())
            counts[day.item()] = (
                bin_counts
                if previous is None
                else [x + y for x, y in zip(previous, bin_counts, strict=True)]
            )
            totals = np.nansum(rows, axis=0, dtype=np.float64)
            sums[day.item()] = np.asarray(sums.get(day.item(), 0) + totals)
    theme_of = {feature.name: feature.theme for feature in features}
    measured = []
    for day in sorted(counts):
        for position, name in enumerate(names):
            actual, training = counts[day][position], bins[name]
            size, training_size = int(actual.sum()), training["rows"][0]
            expected = np.array(training["shares"]) * training_size
            present, training_present = actual[1:].sum(), expected[1:].sum()
            is_defined = present > 0 and training_present > 0
            used_bins = np.count_nonzero(expected[1:] + actual[1:])
            measured.append(
                {
                    "model_version": model["model_version"],
                    "as_of_date": day,
                    "feature": name,
                    "theme": theme_of.get(name, name),
                    "count_accounts": size,
                    "population_stability_index": (
                        stability_index(expected[1:], actual[1:])
                        if is_defined
                        else None
                    ),
                    # Expected index if both samples have the same distribution.
                    "expected_psi": (
                        (used_bins - 1) * (1 / present + 1 / training_present)
                        if is_defined
                        else None
                    ),
                    "missing_share": float(actual[0] / size),
                    "training_missing_share": training["shares"][0],
                    "mean_value": sums[day][position] / present if present else None,
                    "training_mean_value": next(iter(training["mean"]), None),
                }
            )
    return pa.Table.from_pylist(measured, schema=DRIFT_SCHEMA)


def _bin_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of each value: 0 if missing, then by ascending value."""
    bin_number = np.searchsorted(edges, values, side="left") + 1
    return np.where(np.isnan(values), 0, bin_number)
