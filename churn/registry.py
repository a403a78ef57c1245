"""The registry of models: what a row holds, and which model is the champion."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost as xgb

from churn.dataset import read_training_data
from churn.engine_io import column_names
from churn.features import Feature, UnknownFeatureError
from churn.metrics import METRICS, Estimate, draw_means, log_losses
from churn.train import (
    MODEL,
    Calibration,
    ChurnModel,
    TrainingResult,
    TrainingSettings,
    fingerprint_training,
    train,
    why_not_trainable,
)

# A challenger is worse if this share of the bootstrap draws says so.
SURE_ENOUGH = 0.95

SPLIT_PARTS = ("train", "validation", "test")
HEADLINE_METRICS = ("roc_auc", "pr_auc", "log_loss", "brier", "calibration_error")

REGISTRY_SCHEMA = pa.schema(
    [
        ("model_version", pa.string()),
        ("trained_at", pa.timestamp("us")),
        ("is_champion", pa.bool_()),
        ("was_promoted", pa.bool_()),
        ("promotion_reason", pa.string()),
        ("split_method", pa.string()),
        ("split_reason", pa.string()),
        ("fit_rows", pa.int64()),
        ("fit_end_date", pa.date32()),
        ("labels_complete_date", pa.date32()),
        *[(f"{part}_rows", pa.int64()) for part in SPLIT_PARTS],
        *[(f"{part}_churned_rows", pa.int64()) for part in SPLIT_PARTS],
        *[
            (f"{part}_{edge}", pa.date32())
            for part in SPLIT_PARTS
            for edge in ("from", "to")
        ],
        *[
            (f"{part}_{metric}", pa.float64())
            for part in ("validation", "test")
            for metric in HEADLINE_METRICS
        ],
        ("metrics", pa.string()),
        ("baselines", pa.string()),
        ("parameters", pa.string()),
        ("feature_names", pa.string()),
        ("feature_medians", pa.string()),
        ("drift_bins", pa.string()),
        ("category_codes", pa.string()),
        ("calibration", pa.string()),
        ("data_fingerprint", pa.string()),
        ("training_fingerprint", pa.string()),
        ("library_versions", pa.string()),
        ("training_seconds", pa.float64()),
        ("search_seconds", pa.float64()),
        ("model", pa.string()),
    ]
)

METRICS_SCHEMA = pa.schema(
    [
        ("model_version", pa.string()),
        ("predictor", pa.string()),
        ("split", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("lower_bound", pa.float64()),
        ("upper_bound", pa.float64()),
    ]
)


class RegistryError(ValueError):
    """The registry does not hold the model that was asked for."""


def train_and_register(
    rows: Any,
    features: Sequence[Feature],
    registry: pd.DataFrame | None,
    settings: TrainingSettings,
    known_by: Any = None,
) -> pa.Table:
    """The rows that today's data adds to the registry or changes in it.

    Args:
        rows: ``churn_training_set``, as `read_training_data` takes it.
        features: The features to train_and_register from.
        registry: The models so far, ``None`` for none.
        settings: What the run was told.
        known_by: The as-of date of the run; labels that became known after it
            are not learnt from. ``None`` for no bound.

    Returns:
        Nothing where nothing can be learnt, or where the registry has this very
        training; else the new model, and with it the champion it replaces.
    """
    if registry is None:
        registry = REGISTRY_SCHEMA.empty_table().to_pandas()
    registry = with_all_columns(registry)
    champion = champion_of(registry)
    names = {feature.name for feature in features}
    # The champion may know features that are no longer learnt from.
    also = set(json.loads(champion["feature_names"])) if champion else set()
    training_data = read_training_data(rows, names | (also & set(column_names(rows))))
    if not pd.isna(known_by):
        training_data = training_data.until(
            pd.Timestamp(known_by) - pd.Timedelta(days=settings.gap_days)
        )
    problem = why_not_trainable(training_data.labels)
    if problem:
        print(f"cannot train_and_register yet: {problem}")
        return REGISTRY_SCHEMA.empty_table()
    data_fingerprint = training_data.fingerprint(sorted(names))
    fingerprint = fingerprint_training(data_fingerprint, features, settings)
    if fingerprint in set(registry["training_fingerprint"]):
        return REGISTRY_SCHEMA.empty_table()

    result = train(training_data, features, settings, data_fingerprint)
    is_promoted, reason = compare_with_champion(result, champion, settings)
    written = [as_row(result, is_promoted, reason, settings.gap_days)]
    if is_promoted and champion is not None:
        written.append({**champion, "is_champion": False})
    return as_table(written)


def with_all_columns(registry: pd.DataFrame) -> pd.DataFrame:
    """The registry with today's columns, null where an older version told nothing."""
    absent = [name for name in REGISTRY_SCHEMA.names if name not in registry]
    return registry.assign(**dict.fromkeys(absent))


def compare_with_champion(
    challenger: TrainingResult,
    champion: Mapping[str, Any] | None,
    settings: TrainingSettings,
) -> tuple[bool, str]:
    """Whether a new model replaces the champion, and why, in one sentence.

    Both models give probabilities to the newest rows that the challenger did not
    grow trees on. Accounts are drawn with replacement, the same for both; the
    challenger is refused only if its log loss is higher in nearly all draws.
    """
    if champion is None:
        return True, "The first model."
    parts = challenger.split.parts()
    version = champion["model_version"]
    held_out = "test" if "test" in parts else "validation"
    if held_out not in parts:
        return True, (
            f"No held-out rows to compare with {version} on: it has seen newer data."
        )
    chosen = parts[held_out]
    training_data, own = challenger.training_data, challenger.model
    try:
        champion_model = model_of(champion, own.threads)
        champion_matrix = training_data.matrix_of(
            chosen, champion_model.feature_names, champion_model.codes
        )
    except UnknownFeatureError as error:
        return True, f"{version} cannot be compared: {error}."
    labels = training_data.labels[chosen]
    matrix = training_data.matrix_of(chosen, own.feature_names, own.codes)
    new = log_losses(labels, own.predict_proba(matrix))
    old = log_losses(labels, champion_model.predict_proba(champion_matrix))
    draws = draw_means(
        new - old, training_data.accounts[chosen], settings.draws, settings.seed
    )
    share_worse = float((draws > 0).mean())
    is_worse = share_worse >= SURE_ENOUGH
    return not is_worse, (
        f"Log loss {new.mean():.5f} against {old.mean():.5f} of {version} on "
        f"{len(chosen)} {held_out} rows, higher in {share_worse:.0%} of "
        f"{len(draws)} draws of accounts: {'worse' if is_worse else 'not worse'}."
    )


def champion_of(registry: pd.DataFrame) -> dict[str, Any] | None:
    """The registry's champion, the newest if ever there were two."""
    if registry.empty:
        return None
    champions = registry[registry["is_champion"].astype(bool)]
    if champions.empty:
        return None
    return champions.sort_values(["trained_at", "model_version"]).iloc[-1].to_dict()


def select_model(
    registry: pd.DataFrame, pinned_version: str | None = None
) -> dict[str, Any] | None:
    """The model to score with: the pinned one, else the champion.

    Returns:
        Its row, or ``None`` while the registry has no champion.

    Raises:
        RegistryError: The pinned version is not in the registry.
    """
    if pinned_version is None:
        return champion_of(registry)
    pinned = registry[registry["model_version"] == str(pinned_version)]
    if pinned.empty:
        known = ", ".join(sorted(registry["model_version"])) or "none"
        raise RegistryError(
            f"The variable champion_model_version is {pinned_version}, but "
            f"churn_models holds {known}: correct it, or remove it to score with "
            "the champion."
        )
    return pinned.iloc[0].to_dict()


def model_of(row: Mapping[str, Any], threads: int = 1) -> ChurnModel:
    """The model that a row of the registry holds, to be run on some threads."""
    return ChurnModel(
        booster_json=row["model"],
        feature_names=json.loads(row["feature_names"]),
        codes=json.loads(row["category_codes"]),
        calibration=Calibration(**json.loads(row["calibration"])),
        feature_medians=json.loads(row["feature_medians"]),
        threads=threads,
    )


def as_row(
    result: TrainingResult, is_champion: bool, reason: str, gap_days: int
) -> dict[str, Any]:
    """The registry's row for a trained model."""
    model, split = result.model, result.split
    days, labels = result.training_data.days, result.training_data.labels
    newest = str(days.max())
    # Also rows that only chose or calibrated taught the model something.
    learnt_from = np.concatenate([result.fit_rows, split.validation])
    fit_end_date = days[learnt_from].max().item()
    row: dict[str, Any] = {
        # The newest date learnt from or judged on, and what makes it unique.
        "model_version": f"{newest}_{result.training_fingerprint[:8]}",
        "trained_at": datetime.now(UTC).replace(tzinfo=None),
        "is_champion": is_champion,
        "was_promoted": is_champion,
        "promotion_reason": reason,
        "split_method": split.method,
        "split_reason": split.reason,
        "fit_rows": len(result.fit_rows),
        "fit_end_date": fit_end_date,
        "labels_complete_date": fit_end_date + timedelta(days=gap_days),
    }
    for part in SPLIT_PARTS:
        chosen = split.parts().get(part, np.array([], dtype=int))
        row[f"{part}_rows"] = len(chosen)
        row[f"{part}_churned_rows"] = int(labels[chosen].sum())
        row[f"{part}_from"] = days[chosen].min().item() if len(chosen) else None
        row[f"{part}_to"] = days[chosen].max().item() if len(chosen) else None
    own = result.metrics[MODEL]
    for part in ("validation", "test"):
        for metric in HEADLINE_METRICS:
            estimate = own.get(part, {}).get(metric, Estimate(None))
            row[f"{part}_{metric}"] = estimate.value
    row |= {
        "metrics": _json(own),
        "baselines": _json({k: v for k, v in result.metrics.items() if k != MODEL}),
        "parameters": _json(result.parameters),
        "feature_names": _json(model.feature_names),
        "feature_medians": _json(model.feature_medians),
        "drift_bins": _json(result.bins),
        "category_codes": _json(model.codes),
        "calibration": _json(
            {
                "slope": model.calibration.slope,
                "intercept": model.calibration.intercept,
            }
        ),
        "data_fingerprint": result.data_fingerprint,
        "training_fingerprint": result.training_fingerprint,
        "library_versions": _json(
            {
                "xgboost": xgb.__version__,
                "numpy": np.__version__,
                "pandas": pd.__version__,
                "python": platform.python_version(),
            }
        ),
        "training_seconds": result.seconds,
        "search_seconds": result.search_seconds,
        "model": model.booster_json,
    }
    return row


def as_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of the registry as a table of its own types, even when empty.

    A row that an older version wrote lacks what was told only later: that is null.
    """
    return pa.Table.from_pylist(
        [
            {name: _plain(row.get(name)) for name in REGISTRY_SCHEMA.names}
            for row in rows
        ],
        schema=REGISTRY_SCHEMA,
    )


def metrics_table(registry: pd.DataFrame) -> pa.Table:
    """One row per model, predictor, part of the split and metric."""
    rows = []
    for model in registry.sort_values("model_version").to_dict("records"):
        predictors = {
            MODEL: json.loads(model["metrics"]),
            **json.loads(model["baselines"]),
        }
        for predictor, parts in predictors.items():
            for part, metrics in parts.items():
                for metric in METRICS:
                    value, low, high = metrics.get(metric, (None, None, None))
                    rows.append(
                        {
                            "model_version": model["model_version"],
                            "predictor": predictor,
                            "split": part,
                            "metric": metric,
                            "value": value,
                            "lower_bound": low,
                            "upper_bound": high,
                        }
                    )
    return pa.Table.from_pylist(rows, schema=METRICS_SCHEMA)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _plain(value: Any) -> Any:
    """A value read from a data frame as Arrow expects it."""
    if (
        value is None
        or value is pd.NaT
        or (isinstance(value, float) and value != value)
    ):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value
