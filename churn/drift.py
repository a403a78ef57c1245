"""How far today's accounts are from those that a model learnt from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from churn.engine_io import as_batches
from churn.features import Feature, as_matrix

# Bins of equally many training rows; fewer where values repeat.
BINS = 10
# Added to the rows of every bin, so that an empty one has a logarithm.
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


def learn_bins(
    matrix: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    """Bins of each feature, and how many of the training rows are in each.

    Args:
        matrix: Rows that the trees grew on, of shape (n_rows, n_features).
        names: The features.

    Returns:
        For each feature its ``edges``, upper bounds of all bins but the last;
        the ``shares`` of the rows, first of those without a value, then of each
        bin; its ``mean``, NaN-free; and the number of ``rows``, all as lists.
    """
    bins = {}
    for position, name in enumerate(names):
        values = matrix[:, position]
        # Sorted once, each bin is a run; what is missing comes last.
        known = np.sort(values)
        known = known[: np.searchsorted(known, np.nan)]
        edges = np.array([], dtype=np.float32)
        if len(known):
            levels = np.linspace(0, 1, BINS + 1)[1:-1]
            edges = np.unique(np.quantile(known, levels, method="higher"))
        ends = [0, *np.searchsorted(known, edges, side="right"), len(known)]
        counts = np.array([len(values) - len(known), *np.diff(ends)])
        bins[name] = {
            "edges": [float(edge) for edge in edges],
            "shares": [float(share) for share in counts / max(len(values), 1)],
            "mean": [float(known.mean(dtype=np.float64))] if len(known) else [],
            "rows": [len(values)],
        }
    return bins


def stability_index(expected: np.ndarray, actual: np.ndarray) -> float:
    """The population stability index of two distributions over the same bins.

    The sum of ``(a - e) * ln(a / e)`` over the shares of the bins: 0 if they are
    equal; symmetric, and the sum of both Kullback-Leibler divergences (Kullback
    and Leibler 1951 call it J).

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
    """Compare the accounts of each day with the rows that a model learnt from.

    Args:
        accounts: ``account_features``: days after those that it learnt from.
        model: The model's row of ``churn_models``, ``None`` if there is none.
        features: The features, with their themes.
        measured_days: As-of dates of which nothing is asked.

    Returns:
        One row per day and feature, of `DRIFT_SCHEMA`; none without a model, or
        if the registry does not hold what it learnt from.
    """
    if model is None:
        return DRIFT_SCHEMA.empty_table()
    if not isinstance(model["drift_bins"], str):
        print(
            f"cannot measure drift: the registry keeps no bins of "
            f"{model['model_version']}, which an older version trained"
        )
        return DRIFT_SCHEMA.empty_table()
    names = json.loads(model["feature_names"])
    codes = json.loads(model["category_codes"])
    bins = json.loads(model["drift_bins"])
    counts: dict[date, list[np.ndarray]] = {}
    sums: dict[date, np.ndarray] = {}
    done = {pd.Timestamp(day).date() for day in measured_days}
    for batch in as_batches(accounts, list(dict.fromkeys(["as_of_date", *names]))):
        days = (
            batch.column("as_of_date")
            .cast(pa.date32(), safe=False)
            .to_numpy(zero_copy_only=False)
        )
        matrix = as_matrix(batch, names, codes)
        for day in np.unique(days):
            if day.item() in done:
                continue
            rows = matrix[days == day]
            found = [
                np.bincount(
                    _bin_of(rows[:, position], np.array(bins[name]["edges"])),
                    minlength=len(bins[name]["shares"]),
                )
                for position, name in enumerate(names)
            ]
            before = counts.get(day.item())
            counts[day.item()] = (
                found
                if before is None
                else [x + y for x, y in zip(before, found, strict=True)]
            )
            totals = np.nansum(rows, axis=0, dtype=np.float64)
            sums[day.item()] = sums.get(day.item(), 0) + totals
    theme_of = {feature.name: feature.theme for feature in features}
    measured = []
    for day in sorted(counts):
        for position, name in enumerate(names):
            actual, learnt = counts[day][position], bins[name]
            size, learnt_size = int(actual.sum()), learnt["rows"][0]
            expected = np.array(learnt["shares"]) * learnt_size
            known, learnt_known = actual[1:].sum(), expected[1:].sum()
            is_known = known > 0 and learnt_known > 0
            used = np.count_nonzero(expected[1:] + actual[1:])
            measured.append(
                {
                    "model_version": model["model_version"],
                    "as_of_date": day,
                    "feature": name,
                    "theme": theme_of.get(name, name),
                    "count_accounts": size,
                    "population_stability_index": (
                        stability_index(expected[1:], actual[1:]) if is_known else None
                    ),
                    # Its mean if both were drawn from one distribution.
                    "expected_psi": (
                        (used - 1) * (1 / known + 1 / learnt_known)
                        if is_known
                        else None
                    ),
                    "missing_share": float(actual[0] / size),
                    "training_missing_share": learnt["shares"][0],
                    "mean_value": sums[day][position] / known if known else None,
                    "training_mean_value": next(iter(learnt["mean"]), None),
                }
            )
    return pa.Table.from_pylist(measured, schema=DRIFT_SCHEMA)


def _bin_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value: 0 for a missing one, then by rising value."""
    found = np.searchsorted(edges, values, side="left") + 1
    return np.where(np.isnan(values), 0, found)
