"""Train, calibrate and evaluate the XGBoost churn model.

The same rows, settings and library versions give the same model, byte for byte:
rows and features are sorted first, and seeds and thread counts are fixed.

The rows are held once, as one matrix sorted by date. The parts of a split are
contiguous row ranges, so they are passed as views.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost as xgb

from churn.ml.baselines import (
    RECENCY_FEATURE,
    LogisticRegression,
    Prevalence,
    RecencyRule,
    sigmoid,
)
from churn.ml.dataset import TrainingData, read_training_data
from churn.ml.drift import fit_bins
from churn.ml.features import LOWERS_RISK, RAISES_RISK, Feature, as_matrix
from churn.ml.metrics import Estimate, evaluate_each, log_loss
from churn.ml.split import Split, split_by_time
from churn.ml.train_on_spark import train_on_spark

MODEL = "model"
MAX_BOOST_ROUNDS = 600
# Ridge penalties of the logistic baseline; the validation rows select one.
RIDGES = (10.0, 100.0, 1000.0)
# Training stops after this many rounds without a lower validation loss.
EARLY_STOPPING_ROUNDS = 30
# Number of rounds if there are no validation rows to stop training.
FIXED_ROUNDS = 40
# Maximum rows to fit a baseline to. It has at most two weights per feature, so more
# rows do not improve it.
LOGISTIC_MAX_ROWS = 20_000
# Maximum rows for feature quantiles and for metrics of the training part.
SUMMARY_MAX_ROWS = 50_000
# Below this many matrix cells, a second thread costs more time than it saves.
_MIN_CELLS_FOR_THREADS = 5_000_000

# The first trial of every search. It is conservative, because the weekly rows of one
# account are correlated. Windows of 7, 28 and 90 days are correlated too, so each
# split samples few features, which averages over them.
FIRST_TRIAL = {
    "max_depth": 3,
    "eta": 0.06,
    "min_child_weight": 10.0,
    "subsample": 0.6,
    "colsample_bynode": 0.1,
    "lambda": 5.0,
}
SEARCH_SPACE = {
    "max_depth": (2, 3, 4),
    "eta": (0.03, 0.06, 0.1),
    "min_child_weight": (3.0, 10.0, 30.0),
    "subsample": (0.5, 0.7, 0.9),
    "colsample_bynode": (0.1, 0.2, 0.4),
    "lambda": (1.0, 5.0, 20.0),
}


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training run.

    Attributes:
        gap_days: Days from an as-of date until its label is complete.
        seed: Seed of every random draw.
        search_trials: Number of parameter sets to try, at least 1.
        monotone_constraints: Whether to constrain features that have a
            ``monotone_direction``.
        device: ``cpu`` or ``cuda``.
        engine: Where the final trees are fitted: ``local`` (this process) or
            ``spark`` (XGBoost's Spark estimator). The search always runs locally.
        threads: XGBoost threads. Fixed, because floating-point sums depend on it.
        draws: Bootstrap draws of the intervals.
    """

    gap_days: int
    seed: int
    search_trials: int = 6
    monotone_constraints: bool = True
    device: str = "cpu"
    engine: str = "local"
    threads: int = 2
    draws: int = 200


@dataclass(frozen=True)
class Calibration:
    """Platt scaling: a line from margins to calibrated log-odds."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, margins: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of each margin."""
        return sigmoid(self.slope * np.asarray(margins, dtype=float) + self.intercept)


@dataclass
class ChurnModel:
    """A trained model and everything that prediction needs.

    Attributes:
        booster_json: The trees in XGBoost's JSON format.
        feature_names: The features, in the order of the trees.
        codes: The number of each value of each text feature.
        calibration: Maps margins to probabilities.
        feature_medians: The median of each feature in the training rows, encoded
            as in the matrix; ``None`` if all values are missing.
        threads: XGBoost threads for prediction.
    """

    booster_json: str
    feature_names: list[str]
    codes: dict[str, dict[str, float]]
    calibration: Calibration
    feature_medians: dict[str, float | None]
    threads: int = 1

    @cached_property
    def booster(self) -> xgb.Booster:
        """Load the trees from their JSON, once."""
        booster = xgb.Booster({"nthread": self.threads})
        booster.load_model(bytearray(self.booster_json.encode()))
        return booster

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without the loaded booster."""
        return {k: v for k, v in self.__dict__.items() if k != "booster"}

    def matrix(self, rows: pd.DataFrame | pa.RecordBatch) -> np.ndarray:
        """Return the features of ``rows``, of shape (n_rows, n_features)."""
        return as_matrix(rows, self.feature_names, self.codes)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """Return the log-odds of each row before calibration, of shape (n_rows,)."""
        return self.booster.inplace_predict(matrix, predict_type="margin")

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of each row, of shape (n_rows,)."""
        if len(matrix) == 0:
            return np.array([])
        return self.calibration.apply(self.margins(matrix))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return each feature's contribution to each row's margin, by TreeSHAP.

        Returns:
            An array of shape (n_rows, n_features + 1). The last column is the bias,
            equal for all rows. Each row sums to its margin.
        """
        data = xgb.DMatrix(
            matrix, feature_names=self.feature_names, nthread=self.threads
        )
        return self.booster.predict(data, pred_contribs=True)


@dataclass
class TrainingResult:
    """A trained model, the data it was trained on and its evaluation."""

    model: ChurnModel
    split: Split
    fit_rows: np.ndarray
    bins: dict[str, dict[str, list[float]]]
    training_data: TrainingData
    parameters: dict[str, Any]
    metrics: dict[str, dict[str, dict[str, Estimate]]]
    data_fingerprint: str
    training_fingerprint: str
    seconds: float
    search_seconds: float


def find_training_problem(labels: np.ndarray) -> str | None:
    """Return why no model can be trained on the labels, or ``None``."""
    if len(labels) == 0:
        return "no account has an observed label"
    if np.all(labels == labels[0]):
        outcome = "churned" if labels[0] else "stayed"
        return f"all {len(labels)} rows with an observed label {outcome}"
    return None


def fingerprint_training(
    data_fingerprint: str, features: Sequence[Feature], settings: TrainingSettings
) -> str:
    """Return a digest of all inputs of a training run; equal digests, equal models."""
    inputs = {
        "data": data_fingerprint,
        "features": sorted((f.name, f.monotone_direction) for f in features),
        "settings": asdict(settings),
        "first_trial": FIRST_TRIAL,
        "search_space": SEARCH_SPACE,
        "rounds": [MAX_BOOST_ROUNDS, EARLY_STOPPING_ROUNDS, FIXED_ROUNDS],
        "xgboost": xgb.__version__,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def train(
    rows: Any,
    features: Sequence[Feature],
    settings: TrainingSettings,
    data_fingerprint: str | None = None,
) -> TrainingResult:
    """Train, calibrate and evaluate a model.

    The validation rows select parameters, rounds and calibration. The trees are
    then refitted on all rows whose labels were complete when the test rows start,
    and evaluated on the test rows. The refitted model is returned, which is the
    model that was evaluated. Without test rows, the model selected on the
    validation rows is returned.

    Args:
        rows: Observed labels with their features: `TrainingData`, or input of
            `read_training_data`.
        features: Features to train on.
        settings: Settings of the run.
        data_fingerprint: ``training_data.fingerprint`` of the features, if already
            computed.
    """
    started = time.perf_counter()
    features = sorted(features, key=lambda feature: feature.name)
    names = [feature.name for feature in features]
    training_data = (
        rows if isinstance(rows, TrainingData) else read_training_data(rows, names)
    )
    labels = training_data.labels
    split = split_by_time(training_data.days, labels, settings.gap_days)
    codes = training_data.fit_codes(split.train, names)
    training_data.encode(codes)
    matrix = training_data.matrix
    if names != training_data.names:
        columns = [training_data.names.index(name) for name in names]
        matrix = np.ascontiguousarray(matrix[:, columns])
    fixed = _fixed_parameters(matrix, features, settings)

    search_started = time.perf_counter()
    bins = None
    if len(split.validation):
        selected, bins = _search(matrix, labels, split, names, fixed, settings)
    else:
        selected = _fit(
            matrix, labels, split.train, names, fixed, _DEFAULT_CHOICES, settings.engine
        )
    search_seconds = time.perf_counter() - search_started

    def as_model(fit: _Fit) -> ChurnModel:
        return ChurnModel(
            booster_json=fit.booster.save_raw("json").decode(),
            feature_names=names,
            codes=codes,
            calibration=fit.calibration,
            feature_medians={},
            threads=fixed["nthread"],
        )

    selected_model = model = as_model(selected)
    fit_rows = split.train
    if len(split.test):
        fit_rows = split.before_test
        refit = _fit(
            matrix,
            labels,
            fit_rows,
            names,
            fixed,
            selected.choices,
            settings.engine,
            like=bins,
        )
        model = as_model(replace(refit, calibration=selected.calibration))
    summary_rows = matrix[_as_slice(_stride_sample(fit_rows, SUMMARY_MAX_ROWS))]
    model.feature_medians = _medians(summary_rows, names)
    metrics = _evaluate_all(
        {"train": selected_model, "validation": selected_model, "test": model},
        training_data,
        matrix,
        split,
        settings,
    )
    data_fingerprint = data_fingerprint or training_data.fingerprint(names)
    return TrainingResult(
        model=model,
        split=split,
        fit_rows=fit_rows,
        bins=fit_bins(summary_rows, names),
        training_data=training_data,
        parameters={**fixed, **selected.choices},
        metrics=metrics,
        data_fingerprint=data_fingerprint,
        training_fingerprint=fingerprint_training(data_fingerprint, features, settings),
        seconds=time.perf_counter() - started,
        search_seconds=search_seconds,
    )


def calibrate(margins: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit Platt scaling on rows that the trees were not fitted to.

    Targets are smoothed as in Platt (1999), "Probabilistic outputs for support
    vector machines". A ridge penalty pulls the slope towards 1, so that few churned
    rows cannot make it steep, flat or negative.
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
    # A slope below zero would reverse the ranking.
    return Calibration(slope=max(float(line[1]), 0.05), intercept=float(line[0]))


@dataclass(frozen=True)
class _Fit:
    """Trees, their calibration and the parameters they were fitted with."""

    booster: xgb.Booster
    calibration: Calibration
    choices: dict[str, Any]


# Parameters if there are no validation rows to select them.
_DEFAULT_CHOICES = {**FIRST_TRIAL, "rounds": FIXED_ROUNDS, "churned_weight": 1.0}


def _fixed_parameters(
    matrix: np.ndarray, features: Sequence[Feature], settings: TrainingSettings
) -> dict[str, Any]:
    """Return the XGBoost parameters that the search does not change."""
    fixed: dict[str, Any] = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "device": settings.device,
        # Sums depend on the thread count, so derive it from the data size only.
        "nthread": 1 if matrix.size < _MIN_CELLS_FOR_THREADS else settings.threads,
        "seed": settings.seed,
    }
    if settings.monotone_constraints:
        sign_of_direction = {RAISES_RISK: 1, LOWERS_RISK: -1}
        constraints = [
            sign_of_direction.get(feature.monotone_direction, 0) for feature in features
        ]
        if any(constraints):
            signs = ",".join(str(sign) for sign in constraints)
            fixed["monotone_constraints"] = f"({signs})"
    return fixed


def _search(
    matrix: np.ndarray,
    labels: np.ndarray,
    split: Split,
    names: Sequence[str],
    fixed: Mapping[str, Any],
    settings: TrainingSettings,
) -> tuple[_Fit, xgb.QuantileDMatrix]:
    """Find the trial with the lowest calibrated log loss on the validation rows.

    Returns:
        The best fit, and a one-row matrix that holds the histogram bins of all
        trials.
    """
    training = _data(matrix, labels, split.train, names, fixed)
    validation = _data(matrix, labels, split.validation, names, fixed, like=training)

    def attempt(trial: Mapping[str, Any], churned_weight: float = 1.0) -> _Fit:
        for data, part in ((training, split.train), (validation, split.validation)):
            data.set_weight(np.where(labels[part] > 0, churned_weight, 1.0))
        booster = xgb.train(
            {**fixed, **trial},
            training,
            num_boost_round=MAX_BOOST_ROUNDS,
            evals=[(validation, "validation")],
            early_stopping_rounds=EARLY_STOPPING_ROUNDS,
            verbose_eval=False,
        )
        booster = booster[: booster.best_iteration + 1]
        margins = booster.predict(validation, output_margin=True)
        calibration = calibrate(margins, labels[split.validation])
        loss = log_loss(labels[split.validation], calibration.apply(margins))
        choices = {
            **trial,
            "rounds": booster.num_boosted_rounds(),
            "churned_weight": churned_weight,
            "validation_log_loss": loss,
        }
        return _Fit(booster, calibration, choices)

    def loss_of(fit: _Fit) -> float:
        return fit.choices["validation_log_loss"]

    best = min(map(attempt, _trials(settings)), key=loss_of)
    # Keep a class weight only if it lowers the calibrated loss of the best trial.
    stayed_per_churned = (1 - labels[split.train]).sum() / labels[split.train].sum()
    weighted = attempt(
        {name: best.choices[name] for name in SEARCH_SPACE},
        churned_weight=round(float(stayed_per_churned) ** 0.5, 4),
    )
    # One row carries the bins, so the memory of the other rows can be freed.
    bins = _data(matrix, labels, split.train[:1], names, fixed, like=training)
    return min(best, weighted, key=loss_of), bins


def _fit(
    matrix: np.ndarray,
    labels: np.ndarray,
    part: np.ndarray,
    names: Sequence[str],
    fixed: Mapping[str, Any],
    choices: Mapping[str, Any],
    engine: str,
    like: xgb.DMatrix | None = None,
) -> _Fit:
    """Fit trees to the rows of ``part`` with given parameters.

    ``like`` supplies histogram bins, which is faster than computing new ones.
    """
    if engine == "spark":
        booster = train_on_spark(
            matrix,
            labels,
            part,
            names,
            {**fixed, **{name: choices[name] for name in SEARCH_SPACE}},
            choices["rounds"],
            choices["churned_weight"],
        )
        return _Fit(booster, Calibration(), dict(choices))
    data = _data(matrix, labels, part, names, fixed, like)
    data.set_weight(np.where(labels[part] > 0, choices["churned_weight"], 1.0))
    booster = xgb.train(
        {**fixed, **{name: choices[name] for name in SEARCH_SPACE}},
        data,
        num_boost_round=choices["rounds"],
    )
    return _Fit(booster, Calibration(), dict(choices))


def _as_slice(part: np.ndarray) -> slice | np.ndarray:
    """Return row numbers as a slice (a view, no copy) if they are contiguous."""
    if len(part) and part[-1] - part[0] + 1 == len(part):
        return slice(int(part[0]), int(part[-1]) + 1)
    return part


def _data(
    matrix: np.ndarray,
    labels: np.ndarray,
    part: np.ndarray,
    names: Sequence[str],
    fixed: Mapping[str, Any],
    like: xgb.DMatrix | None = None,
) -> xgb.QuantileDMatrix:
    return xgb.QuantileDMatrix(
        matrix[_as_slice(part)],
        label=labels[part],
        feature_names=list(names),
        nthread=fixed["nthread"],
        ref=like,
    )


def _trials(settings: TrainingSettings) -> list[dict[str, Any]]:
    """Return the parameter sets to try: `FIRST_TRIAL`, then seeded random draws."""
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
    medians: dict[str, float | None] = {}
    for position, name in enumerate(names):
        present = matrix[:, position]
        present = present[~np.isnan(present)]
        medians[name] = float(np.median(present)) if len(present) else None
    return medians


def _evaluate_all(
    models: Mapping[str, ChurnModel],
    training_data: TrainingData,
    matrix: np.ndarray,
    split: Split,
    settings: TrainingSettings,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Evaluate the model and its baselines on each part of the split.

    For the test rows, all predictors were fitted to the same rows before them; for
    the other parts, to the training rows. Metrics of the training part use a
    sample and have no intervals: they only reveal overfitting.
    """
    labels = training_data.labels
    names = models["train"].feature_names
    recency = names.index(RECENCY_FEATURE) if RECENCY_FEATURE in names else None

    def fitted(baseline: Any, part: np.ndarray) -> Any:
        rows, weights = _downsample(part, labels, settings.seed)
        return baseline.fit(matrix[rows], labels[rows], weights)

    rows, weights = _downsample(split.train, labels, settings.seed)
    lines = LogisticRegression().fit_each(RIDGES, matrix[rows], labels[rows], weights)
    line = lines[0]
    if len(split.validation):
        # Select its penalty on the same rows as the model's parameters.
        sample = _stride_sample(split.validation, LOGISTIC_MAX_ROWS)
        line = min(
            lines,
            key=lambda line: log_loss(
                labels[sample], line.predict_proba(matrix[sample])
            ),
        )

    def baselines(part: np.ndarray, logistic: LogisticRegression) -> dict[str, Any]:
        return {
            "prevalence": fitted(Prevalence(), part),
            "recency_rule": fitted(RecencyRule(recency), part),
            "logistic_regression": logistic,
        }

    early_baselines = test_baselines = baselines(split.train, line)
    if len(split.test):
        refit = fitted(LogisticRegression(line.ridge), split.before_test)
        test_baselines = baselines(split.before_test, refit)

    def evaluated(part: str, part_rows: np.ndarray) -> dict[str, dict[str, Estimate]]:
        if part == "train":
            part_rows = _stride_sample(part_rows, SUMMARY_MAX_ROWS)
        predictors = {
            MODEL: models[part],
            **(test_baselines if part == "test" else early_baselines),
        }
        rows = matrix[_as_slice(part_rows)]
        estimates = evaluate_each(
            labels[part_rows],
            [predictor.predict_proba(rows) for predictor in predictors.values()],
            accounts=training_data.accounts[part_rows],
            revenue=training_data.revenue[part_rows],
            draws=0 if part == "train" else settings.draws,
            seed=settings.seed,
        )
        return dict(zip(predictors, estimates, strict=True))

    parts = split.parts()
    with ThreadPoolExecutor(settings.threads) as threads:
        part_metrics = list(threads.map(evaluated, parts, parts.values()))
    return {
        name: {
            part: estimates[name]
            for part, estimates in zip(parts, part_metrics, strict=True)
        }
        for name in part_metrics[0]
    }


def _stride_sample(part: np.ndarray, most: int) -> np.ndarray:
    """Return every n-th row number, so that at most ``most`` remain."""
    return part[:: max(1, -(-len(part) // most))]


def _downsample(
    part: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample at most `LOGISTIC_MAX_ROWS` rows and return them with their weights.

    Churned rows are rare and carry most information, so they make up to half of the
    sample. The weights restore the original class balance.
    """
    if len(part) <= LOGISTIC_MAX_ROWS:
        return part, np.ones(len(part))
    generator = np.random.default_rng(seed)
    is_churned = labels[part] > 0
    outcomes = part[is_churned], part[~is_churned]
    minority_rows = min(len(rows) for rows in outcomes)
    max_rows = max(LOGISTIC_MAX_ROWS // 2, LOGISTIC_MAX_ROWS - minority_rows)
    kept = [
        np.sort(generator.choice(rows, min(len(rows), max_rows), replace=False))
        for rows in outcomes
    ]
    weights = [
        np.full(len(sampled), len(rows) / len(sampled))
        for sampled, rows in zip(kept, outcomes, strict=True)
    ]
    return np.concatenate(kept), np.concatenate(weights)
