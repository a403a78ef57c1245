"""From observed rows to a calibrated XGBoost model.

The same rows, settings and library version give the same model, byte for byte:
rows and features are put in one order first, and seeds and threads are fixed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb

from churn.baselines import (
    RECENCY_FEATURE,
    LogisticRegression,
    Prevalence,
    RecencyRule,
    sigmoid,
)
from churn.evaluation import Estimate, evaluate, log_loss
from churn.features import LOWERS_RISK, RAISES_RISK, Feature, as_matrix, learn_codes
from churn.splitting import TRAIN_ONLY, Split, split_by_time

LABEL = "is_churned"
ACCOUNT = "account_id"
AS_OF_DATE = "as_of_date"
REVENUE = "monthly_recurring_revenue"

MODEL = "model"
MOST_ROUNDS = 600
# Rounds without a better validation loss after which training stops.
PATIENCE = 30
# Rounds where no validation rows can stop training.
FIXED_ROUNDS = 40

# The first trial of every search, cautious because the weekly rows of one
# account repeat each other.
FIRST_TRIAL = {
    "max_depth": 3,
    "eta": 0.06,
    "min_child_weight": 10.0,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
    "lambda": 5.0,
}
SEARCH_SPACE = {
    "max_depth": (2, 3, 4, 5),
    "eta": (0.03, 0.06, 0.1),
    "min_child_weight": (3.0, 10.0, 30.0, 60.0),
    "subsample": (0.6, 0.8, 1.0),
    "colsample_bytree": (0.3, 0.6, 0.9),
    "lambda": (1.0, 5.0, 20.0),
}


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run can be told.

    Attributes:
        gap_days: Days from an as-of date until its label is known.
        seed: Seed of every random draw.
        search_trials: Sets of parameters that are tried, at least 1.
        use_known_effects: Whether features whose effect is known may only move
            the risk that way.
        device: ``cpu`` or ``cuda``.
        threads: Threads of XGBoost; fixed, since sums depend on it.
        draws: Bootstrap draws of the intervals.
    """

    gap_days: int
    seed: int
    search_trials: int = 6
    use_known_effects: bool = True
    device: str = "cpu"
    threads: int = 2
    draws: int = 200


@dataclass(frozen=True)
class Calibration:
    """Platt's line from margins to calibrated log-odds."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, margins: np.ndarray) -> np.ndarray:
        """The calibrated probability of each margin."""
        return sigmoid(self.slope * np.asarray(margins, dtype=float) + self.intercept)


@dataclass
class ChurnModel:
    """A trained model with all that scoring needs.

    Attributes:
        booster_json: XGBoost's own JSON of the trees.
        feature_names: The features, in the order of the trees.
        codes: The numbers of the values of text features.
        calibration: From margins to probabilities.
        typical_values: The median of each feature among the training rows, as
            the trees see it.
    """

    booster_json: str
    feature_names: list[str]
    codes: dict[str, dict[str, float]]
    calibration: Calibration
    typical_values: dict[str, float | None]
    threads: int = 2

    @cached_property
    def booster(self) -> xgb.Booster:
        """The trees, read from their JSON."""
        booster = xgb.Booster({"nthread": self.threads})
        booster.load_model(bytearray(self.booster_json.encode()))
        return booster

    def matrix(self, rows: pd.DataFrame) -> np.ndarray:
        """The features of ``rows``, of shape (n_rows, n_features)."""
        return as_matrix(rows, self.feature_names, self.codes)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """The log-odds of each row before calibration."""
        return self.booster.predict(self._data(matrix), output_margin=True)

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """The calibrated probability of each row, of shape (n_rows,)."""
        if len(matrix) == 0:
            return np.array([])
        return self.calibration.apply(self.margins(matrix))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each feature adds to each row's margin, by TreeSHAP.

        Returns:
            An array of shape (n_rows, n_features + 1), the last column the
            margin that everyone starts from; a row adds up to its margin.
        """
        return self.booster.predict(self._data(matrix), pred_contribs=True)

    def _data(self, matrix: np.ndarray) -> xgb.DMatrix:
        return xgb.DMatrix(
            matrix, feature_names=self.feature_names, nthread=self.threads
        )


@dataclass
class TrainingResult:
    """A trained model and what is known about it."""

    model: ChurnModel
    split: Split
    rows: pd.DataFrame
    matrix: np.ndarray
    parameters: dict[str, Any]
    metrics: dict[str, dict[str, dict[str, Estimate]]]
    data_fingerprint: str
    training_fingerprint: str
    seconds: float


def why_not_trainable(rows: pd.DataFrame) -> str | None:
    """Why nothing can be learnt from these rows, or ``None`` if it can."""
    if rows.empty:
        return "no account has an observed label"
    labels = rows[LABEL].astype(bool)
    if labels.nunique() < 2:
        outcome = "churned" if labels.iloc[0] else "stayed"
        return f"all {len(rows)} rows with an observed label {outcome}"
    return None


def fingerprint_data(rows: pd.DataFrame, names: Sequence[str]) -> str:
    """A digest of keys, labels and features that no order of rows can change."""
    rows = in_one_order(rows)
    digest = hashlib.sha256()
    for name in [ACCOUNT, AS_OF_DATE, LABEL, *sorted(names)]:
        column = rows[name]
        if name == AS_OF_DATE:
            column = pd.to_datetime(column).dt.strftime("%Y-%m-%d")
        digest.update(f"{name}\n".encode())
        if pd.api.types.is_numeric_dtype(column) or name == LABEL:
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
            digest.update(np.ascontiguousarray(numbers).tobytes())
        else:
            texts = column.astype(object).where(column.notna(), "\0")
            digest.update("\n".join(map(str, texts)).encode())
    return digest.hexdigest()


def fingerprint_training(
    data_fingerprint: str, features: Sequence[Feature], settings: TrainingSettings
) -> str:
    """A digest of all that decides a model: equal digests, equal models."""
    told = {
        "data": data_fingerprint,
        "features": sorted((f.name, f.known_effect) for f in features),
        "settings": asdict(settings),
        "first_trial": FIRST_TRIAL,
        "search_space": SEARCH_SPACE,
        "rounds": [MOST_ROUNDS, PATIENCE, FIXED_ROUNDS],
        "xgboost": xgb.__version__,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def in_one_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows by as-of date and account, whatever order they came in."""
    return rows.sort_values([AS_OF_DATE, ACCOUNT], ignore_index=True)


def train(
    rows: pd.DataFrame, features: Sequence[Feature], settings: TrainingSettings
) -> TrainingResult:
    """Train, calibrate and evaluate a model.

    Args:
        rows: ``churn_training_set``: observed labels with their features.
        features: The features to learn from.
        settings: What the run was told.

    Returns:
        The model that was measured: it is not trained again on the rows that
        judged it, so its metrics are its own.
    """
    started = time.perf_counter()
    features = sorted(features, key=lambda feature: feature.name)
    names = [feature.name for feature in features]
    rows = in_one_order(rows)
    labels = rows[LABEL].to_numpy(dtype=np.float32)
    split = split_by_time(rows[AS_OF_DATE], labels, settings.gap_days)
    codes = learn_codes(rows.iloc[split.train], names)
    matrix = as_matrix(rows, names, codes)

    booster, calibration, parameters = _grow(matrix, labels, split, features, settings)
    model = ChurnModel(
        booster_json=booster.save_raw("json").decode(),
        feature_names=names,
        codes=codes,
        calibration=calibration,
        typical_values=_medians(matrix[split.train], names),
        threads=settings.threads,
    )
    metrics = _evaluate_all(model, rows, matrix, labels, split, settings)
    data_fingerprint = fingerprint_data(rows, names)
    return TrainingResult(
        model=model,
        split=split,
        rows=rows,
        matrix=matrix,
        parameters=parameters,
        metrics=metrics,
        data_fingerprint=data_fingerprint,
        training_fingerprint=fingerprint_training(data_fingerprint, features, settings),
        seconds=time.perf_counter() - started,
    )


def calibrate(margins: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit Platt's line on rows that the trees did not learn from.

    Its targets are smoothed as Platt did and its slope is drawn towards 1, so
    that a handful of churned rows cannot turn it steep, flat or around.
    """
    margins = np.asarray(margins, dtype=float)
    labels = np.asarray(labels, dtype=float)
    churned, stayed = labels.sum(), len(labels) - labels.sum()
    targets = np.where(labels > 0, (churned + 1) / (churned + 2), 1 / (stayed + 2))
    design = np.column_stack([np.ones_like(margins), margins])
    prior, penalty = np.array([0.0, 1.0]), np.array([0.1, 2.0])
    line = prior.copy()
    for _ in range(100):
        probabilities = sigmoid(design @ line)
        gradient = design.T @ (probabilities - targets) + penalty * (line - prior)
        curvature = np.maximum(probabilities * (1 - probabilities), 1e-9)
        hessian = (design * curvature[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        line -= step * min(1.0, 1.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    # A line that falls would turn the ranking around.
    return Calibration(slope=max(float(line[1]), 0.05), intercept=float(line[0]))


def _grow(
    matrix: np.ndarray,
    labels: np.ndarray,
    split: Split,
    features: Sequence[Feature],
    settings: TrainingSettings,
) -> tuple[xgb.Booster, Calibration, dict[str, Any]]:
    """The best booster of the search, its calibration and its parameters."""
    fixed = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "device": settings.device,
        "nthread": settings.threads,
        "seed": settings.seed,
    }
    names = [feature.name for feature in features]
    if settings.use_known_effects:
        effects = {RAISES_RISK: 1, LOWERS_RISK: -1}
        constraints = [effects.get(feature.known_effect, 0) for feature in features]
        if any(constraints):
            fixed["monotone_constraints"] = (
                "(" + ",".join(str(sign) for sign in constraints) + ")"
            )

    def data(part: np.ndarray, like: xgb.DMatrix | None = None) -> xgb.QuantileDMatrix:
        return xgb.QuantileDMatrix(
            matrix[part],
            label=labels[part],
            feature_names=names,
            nthread=settings.threads,
            ref=like,
        )

    training = data(split.train)
    if split.method == TRAIN_ONLY:
        parameters = {**fixed, **FIRST_TRIAL}
        booster = xgb.train(parameters, training, num_boost_round=FIXED_ROUNDS)
        return booster, Calibration(), {**parameters, "rounds": FIXED_ROUNDS}

    validation = data(split.validation, like=training)
    validation_labels = labels[split.validation]

    def attempt(trial: Mapping[str, Any], churned_weight: float = 1.0):
        for rows, part in ((training, split.train), (validation, split.validation)):
            rows.set_weight(np.where(labels[part] > 0, churned_weight, 1.0))
        parameters = {**fixed, **trial}
        booster = xgb.train(
            parameters,
            training,
            num_boost_round=MOST_ROUNDS,
            evals=[(validation, "validation")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        booster = booster[: booster.best_iteration + 1]
        margins = booster.predict(validation, output_margin=True)
        calibration = calibrate(margins, validation_labels)
        loss = log_loss(validation_labels, calibration.apply(margins))
        told = {
            **parameters,
            "rounds": booster.num_boosted_rounds(),
            "churned_weight": churned_weight,
            "validation_log_loss": loss,
        }
        return loss, booster, calibration, told

    attempts = [attempt(trial) for trial in _trials(settings)]
    best = min(attempts, key=lambda attempted: attempted[0])
    # A weight only if it helps the calibrated loss of the best parameters.
    stayed_per_churned = float((labels[split.train] == 0).sum()) / float(
        labels[split.train].sum()
    )
    chosen = {name: best[3][name] for name in SEARCH_SPACE}
    weighted = attempt(chosen, churned_weight=round(stayed_per_churned**0.5, 4))
    if weighted[0] < best[0]:
        best = weighted
    return best[1], best[2], best[3]


def _trials(settings: TrainingSettings) -> list[dict[str, Any]]:
    """The parameters to try: the cautious ones, then seeded draws."""
    generator = np.random.default_rng(settings.seed)
    trials = [dict(FIRST_TRIAL)]
    while len(trials) < settings.search_trials:
        trials.append(
            {
                name: values[int(generator.integers(len(values)))]
                for name, values in SEARCH_SPACE.items()
            }
        )
    return trials


def _medians(matrix: np.ndarray, names: Sequence[str]) -> dict[str, float | None]:
    typical: dict[str, float | None] = {}
    for position, name in enumerate(names):
        known = matrix[:, position]
        known = known[~np.isnan(known)]
        typical[name] = float(np.median(known)) if len(known) else None
    return typical


def _evaluate_all(
    model: ChurnModel,
    rows: pd.DataFrame,
    matrix: np.ndarray,
    labels: np.ndarray,
    split: Split,
    settings: TrainingSettings,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Metrics of the model and its baselines on each part of the split.

    The training part has no intervals: it is shown to reveal overfitting, not to
    promise anything.
    """
    names = model.feature_names
    recency = names.index(RECENCY_FEATURE) if RECENCY_FEATURE in names else None
    train = split.train
    predictors = {
        MODEL: model,
        "prevalence": Prevalence().fit(matrix[train], labels[train]),
        "recency_rule": RecencyRule(recency).fit(matrix[train], labels[train]),
        "logistic_regression": LogisticRegression().fit(matrix[train], labels[train]),
    }
    revenue = (
        pd.to_numeric(rows[REVENUE], errors="coerce").to_numpy(dtype=float)
        if REVENUE in rows
        else None
    )
    accounts = pd.factorize(rows[ACCOUNT], sort=True)[0]
    return {
        predictor: {
            part: evaluate(
                labels[chosen],
                fitted.predict_proba(matrix[chosen]),
                accounts=accounts[chosen],
                revenue=None if revenue is None else revenue[chosen],
                draws=0 if part == "train" else settings.draws,
                seed=settings.seed,
            )
            for part, chosen in split.parts().items()
        }
        for predictor, fitted in predictors.items()
    }
