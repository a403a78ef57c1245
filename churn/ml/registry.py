"""Model registry: row schema, champion selection and promotion.

The registry is a table of the warehouse, so that scoring, BI tools and rollback need no
other service. A registry library such as MLflow would add a server and a store of its
own, and runs on none of the engines.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from churn.config import UserError
from churn.engine_io import column_names
from churn.ml.dataset import read_training_data
from churn.ml.evaluation import MODEL
from churn.ml.features import Feature, UnknownFeatureError
from churn.ml.metrics import METRICS, Estimate, draw_means, log_losses
from churn.ml.model import Calibration, ChurnModel, LinearPart
from churn.ml.train import (
    TrainingResult,
    TrainingSettings,
    find_training_problem,
    fingerprint_training,
    train,
)
from churn.quoting import printable

# Share of bootstrap draws with a higher log loss from which a challenger is worse.
WORSE_CONFIDENCE = 0.95

SPLIT_PARTS = ("train", "validation", "test")
HEADLINE_METRICS = ("roc_auc", "pr_auc", "log_loss", "brier", "calibration_error")

REGISTRY_SCHEMA = pa.schema(
    [
        ("model_version", pa.string()),
        ("trained_at", pa.timestamp("us")),
        ("is_champion", pa.bool_()),
        ("was_promoted", pa.bool_()),
        ("promotion_reason", pa.string()),
        ("model_kind", pa.string()),
        ("selection_reason", pa.string()),
        ("quality_warning", pa.string()),
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
        ("baseline_differences", pa.string()),
        ("parameters", pa.string()),
        ("constraint_tests", pa.string()),
        ("feature_names", pa.string()),
        ("feature_medians", pa.string()),
        ("drift_bins", pa.string()),
        ("category_codes", pa.string()),
        ("calibration", pa.string()),
        ("linear_part", pa.string()),
        ("data_fingerprint", pa.string()),
        ("training_fingerprint", pa.string()),
        ("library_versions", pa.string()),
        ("training_seconds", pa.float64()),
        ("search_seconds", pa.float64()),
        ("model", pa.string()),
        ("model_digest", pa.string()),
    ]
)

# What `model_of` reads. XGBoost ends the process if it loads trees that are damaged.
_STORED_MODEL = (
    *("model", "feature_names", "feature_medians", "category_codes", "calibration"),
    "linear_part",
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


class RegistryError(UserError):
    """Report a model that the registry does not hold, or not as it was stored."""


def train_and_register(
    rows: Any,
    features: Sequence[Feature],
    registry: pd.DataFrame | None,
    settings: TrainingSettings,
    as_of_date: Any = None,
) -> pa.Table:
    """Train a model and return the registry rows to insert or update.

    Args:
        rows: ``churn_training_set``, as accepted by `read_training_data`.
        features: Features to train on.
        registry: Registered models, or ``None`` if there are none.
        settings: Settings of the training run.
        as_of_date: As-of date of the run. Rows whose label was not complete on this
            date are excluded. ``None`` for no bound.

    Returns:
        The new model and, if it replaces the champion, the updated champion row.
        Empty if no model can be trained or the same training is already registered.
    """
    if registry is None:
        registry = REGISTRY_SCHEMA.empty_table().to_pandas()
    registry = with_all_columns(registry)
    is_intact = np.array(
        [is_as_stored(row) for row in registry.to_dict("records")], dtype=bool
    )
    for version in registry["model_version"][~is_intact]:
        print(
            f"The model {printable(version)} was changed after it was stored; it is "
            "not used."
        )
    registry = registry[is_intact]
    champion = champion_of(registry)
    names = {feature.name for feature in features}
    # The champion may use features that are no longer trained on.
    champion_features = (
        set(json.loads(champion["feature_names"])) if champion else set()
    )
    training_data = read_training_data(
        rows, names | (champion_features & set(column_names(rows)))
    )
    if not pd.isna(as_of_date):
        training_data = training_data.until(
            pd.Timestamp(as_of_date) - pd.Timedelta(days=settings.gap_days)
        )
    problem = find_training_problem(training_data.labels)
    if problem:
        print(f"Cannot train a model yet: {problem}.")
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
    """Add the columns of `REGISTRY_SCHEMA` that are missing, as nulls."""
    absent = [name for name in REGISTRY_SCHEMA.names if name not in registry]
    return registry.assign(**dict.fromkeys(absent))


def compare_with_champion(
    challenger: TrainingResult,
    champion: Mapping[str, Any] | None,
    settings: TrainingSettings,
) -> tuple[bool, str]:
    """Decide whether a new model replaces the champion, and return the reason.

    Both models predict the rows that evaluate the challenger, as far as they are newer
    than the rows that the champion has seen. The paired difference in log loss is
    bootstrapped by account. The challenger is rejected if its log loss is higher in at
    least `WORSE_CONFIDENCE` of the draws.
    """
    if champion is None:
        return True, "The first model."
    version = champion["model_version"]
    evaluation, training_data = challenger.evaluation, challenger.training_data
    is_new = np.ones(len(evaluation.rows), dtype=bool)
    if not pd.isna(champion["fit_end_date"]):
        fit_end = np.datetime64(pd.Timestamp(champion["fit_end_date"]), "D")
        is_new = training_data.days[evaluation.rows] > fit_end
    if not is_new.any():
        return True, (
            f"No held-out rows that are new to {version}: it was trained on newer data."
        )
    part_rows = evaluation.rows[is_new]
    try:
        champion_model = model_of(champion, challenger.model.threads)
        champion_matrix = training_data.matrix_of(
            part_rows, champion_model.feature_names, champion_model.codes
        )
    except UnknownFeatureError as error:
        return True, f"{version} cannot be compared: {error}."
    labels = training_data.labels[part_rows]
    new = log_losses(labels, evaluation.probabilities[is_new])
    old = log_losses(labels, champion_model.predict_proba(champion_matrix))
    draws = draw_means(
        new - old, training_data.accounts[part_rows], settings.draws, settings.seed
    )
    share_worse = float((draws > 0).mean())
    is_worse = share_worse >= WORSE_CONFIDENCE
    return not is_worse, (
        f"Log loss {new.mean():.5f} against {old.mean():.5f} of {version} on "
        f"{len(part_rows)} {evaluation.part} rows, higher in {share_worse:.0%} of "
        f"{len(draws)} draws of accounts: {'worse' if is_worse else 'not worse'}."
    )


def champion_of(registry: pd.DataFrame) -> dict[str, Any] | None:
    """Return the champion's row, the newest if there are several."""
    if registry.empty:
        return None
    champions = registry[registry["is_champion"].astype(bool)]
    if champions.empty:
        return None
    return champions.sort_values(["trained_at", "model_version"]).iloc[-1].to_dict()


def select_model(
    registry: pd.DataFrame, pinned_version: str | None = None
) -> dict[str, Any] | None:
    """Return the row of the model to score with.

    Returns:
        The row of the pinned version, else of the champion, or ``None`` if the
        registry has no champion.

    Raises:
        RegistryError: The pinned version is not in the registry.
    """
    if pinned_version is None:
        return champion_of(registry)
    pinned = registry[registry["model_version"] == str(pinned_version)]
    if pinned.empty:
        versions = ", ".join(sorted(registry["model_version"])) or "none"
        raise RegistryError(
            f"The variable champion_model_version is {pinned_version}, but "
            f"churn_models holds {versions}: correct it, or remove it to score with "
            "the champion."
        )
    return pinned.iloc[0].to_dict()


def digest_model(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the columns from which `model_of` builds a model."""
    stored = [row.get(name) for name in _STORED_MODEL]
    texts = [text if isinstance(text, str) else None for text in stored]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def is_as_stored(row: Mapping[str, Any]) -> bool:
    """Return whether a model matches its digest; older versions stored none."""
    digest = row.get("model_digest")
    return not isinstance(digest, str) or digest == digest_model(row)


def model_of(row: Mapping[str, Any], threads: int = 1) -> ChurnModel:
    """Build the model stored in a registry row, to run on ``threads`` threads.

    Raises:
        RegistryError: The row was changed after the model was stored.
    """
    if not is_as_stored(row):
        raise RegistryError(
            f"The model {row['model_version']} in churn_models was changed after it "
            "was stored: delete its row and build churn_models, or score with "
            "another one by champion_model_version."
        )
    # Models of an older version have no such column.
    linear = row.get("linear_part")
    return ChurnModel(
        booster_json=row["model"],
        feature_names=json.loads(row["feature_names"]),
        codes=json.loads(row["category_codes"]),
        calibration=Calibration(**json.loads(row["calibration"])),
        feature_medians=json.loads(row["feature_medians"]),
        linear=LinearPart(**json.loads(linear)) if isinstance(linear, str) else None,
        threads=threads,
    )


def as_row(
    result: TrainingResult, is_champion: bool, reason: str, gap_days: int
) -> dict[str, Any]:
    """Return the registry row of a trained model."""
    model, split = result.model, result.split
    days, labels = result.training_data.days, result.training_data.labels
    newest = str(days.max())
    # Validation rows chose parameters and calibration, so they count as seen.
    seen_rows = np.concatenate([split.fit, split.validation])
    fit_end_date = days[seen_rows].max().item()
    row: dict[str, Any] = {
        # The newest date in the data, and a fingerprint that makes the name unique.
        "model_version": f"{newest}_{result.training_fingerprint[:8]}",
        "trained_at": datetime.now(UTC).replace(tzinfo=None),
        "is_champion": is_champion,
        "was_promoted": is_champion,
        "promotion_reason": reason,
        "model_kind": result.kind,
        "selection_reason": result.selection_reason,
        "quality_warning": result.evaluation.warning,
        "split_method": split.method,
        "split_reason": split.reason,
        "fit_rows": len(split.fit),
        "fit_end_date": fit_end_date,
        "labels_complete_date": fit_end_date + timedelta(days=gap_days),
    }
    for part in SPLIT_PARTS:
        part_rows = split.parts().get(part, np.array([], dtype=int))
        row[f"{part}_rows"] = len(part_rows)
        row[f"{part}_churned_rows"] = int(labels[part_rows].sum())
        row[f"{part}_from"] = days[part_rows].min().item() if len(part_rows) else None
        row[f"{part}_to"] = days[part_rows].max().item() if len(part_rows) else None
    model_metrics = result.metrics[MODEL]
    for part in ("validation", "test"):
        for metric in HEADLINE_METRICS:
            estimate = model_metrics.get(part, {}).get(metric, Estimate(None))
            row[f"{part}_{metric}"] = estimate.value
    row |= {
        "metrics": _json(model_metrics),
        "baselines": _json({k: v for k, v in result.metrics.items() if k != MODEL}),
        "baseline_differences": _json(result.evaluation.differences),
        "parameters": _json(result.parameters),
        "constraint_tests": _json([asdict(test) for test in result.constraint_tests]),
        "feature_names": _json(model.feature_names),
        "feature_medians": _json(model.feature_medians),
        "drift_bins": _json(result.bins),
        "category_codes": _json(model.codes),
        "calibration": _json(asdict(model.calibration)),
        "linear_part": _json(asdict(model.linear)) if model.linear else None,
        "data_fingerprint": result.data_fingerprint,
        "training_fingerprint": result.training_fingerprint,
        "library_versions": _json(_library_versions()),
        "training_seconds": result.seconds,
        "search_seconds": result.search_seconds,
        "model": model.booster_json,
    }
    return {**row, "model_digest": digest_model(row)}


def as_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Convert registry rows to a table of `REGISTRY_SCHEMA`, even if empty.

    Columns added after a row was written are null.
    """
    return pa.Table.from_pylist(
        [
            {name: _as_arrow_value(row.get(name)) for name in REGISTRY_SCHEMA.names}
            for row in rows
        ],
        schema=REGISTRY_SCHEMA,
    )


def metrics_table(registry: pd.DataFrame) -> pa.Table:
    """Return one row per model, predictor, part of the split and metric."""
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


def _library_versions() -> dict[str, str]:
    import sklearn
    import xgboost

    libraries = (np, pd, sklearn, xgboost)
    versions = {library.__name__: library.__version__ for library in libraries}
    return {"python": platform.python_version(), **versions}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _as_arrow_value(value: Any) -> Any:
    """Convert a data frame value to one that Arrow accepts; NaN becomes null."""
    if (
        value is None
        or value is pd.NaT
        or (isinstance(value, float) and value != value)
    ):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value
