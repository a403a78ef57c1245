"""From observed rows to a calibrated XGBoost model.

The same rows, settings and library version give the same model, byte for byte:
rows and features are put in one order first, and seeds and threads are fixed.

The rows are held once, as one matrix. Parts of a split are runs of its rows, and
are handed on as views.
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

from churn.baselines import (
    RECENCY_FEATURE,
    LogisticRegression,
    Prevalence,
    RecencyRule,
    sigmoid,
)
from churn.dataset import TrainingData, read_training_data
from churn.drift import learn_bins
from churn.features import LOWERS_RISK, RAISES_RISK, Feature, as_matrix
from churn.metrics import Estimate, evaluate_each, log_loss
from churn.split import Split, split_by_time
from churn.train_on_spark import train_on_spark

MODEL = "model"
MAX_BOOST_ROUNDS = 600
# Penalties among which the validation rows choose for the logistic baseline.
RIDGES = (10.0, 100.0, 1000.0)
# Rounds without a better validation loss after which training stops.
EARLY_STOPPING_ROUNDS = 30
# Rounds where no validation rows can stop training.
FIXED_ROUNDS = 40
# Rows that a baseline is fitted to at most: a weight or two for each feature are
# as good with these as with millions.
LOGISTIC_MAX_ROWS = 20_000
# Rows that quantiles of the features, and what is only shown of the training rows,
# are taken from at most.
ROWS_FOR_A_PICTURE = 50_000
# Below this many numbers, a second thread waits more than it works.
_CELLS_WORTH_THREADS = 5_000_000

# The first trial of every search. It is cautious, because the weekly rows of one
# account repeat each other; and since windows of 7, 28 and 90 days tell nearly
# the same, each split chooses among few features, which averages over them.
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
    """What a training run can be told.

    Attributes:
        gap_days: Days from an as-of date until its label is known.
        seed: Seed of every random draw.
        search_trials: Sets of parameters that are tried, at least 1.
        monotone_constraints: Whether features whose effect is known may only move
            the risk that way.
        device: ``cpu`` or ``cuda``.
        engine: Where the final trees grow: ``local``, in this process, or
            ``spark``, by XGBoost's Spark estimator. Parameters are searched here.
        threads: Threads of XGBoost; fixed, since sums depend on it.
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
        feature_medians: The median of each feature among the training rows, as
            the trees see it.
    """

    booster_json: str
    feature_names: list[str]
    codes: dict[str, dict[str, float]]
    calibration: Calibration
    feature_medians: dict[str, float | None]
    threads: int = 1

    @cached_property
    def booster(self) -> xgb.Booster:
        """The trees, read from their JSON."""
        booster = xgb.Booster({"nthread": self.threads})
        booster.load_model(bytearray(self.booster_json.encode()))
        return booster

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the trees as text, and not their loaded form too."""
        return {k: v for k, v in self.__dict__.items() if k != "booster"}

    def matrix(self, rows: pd.DataFrame | pa.RecordBatch) -> np.ndarray:
        """The features of ``rows``, of shape (n_rows, n_features)."""
        return as_matrix(rows, self.feature_names, self.codes)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """The log-odds of each row before calibration."""
        return self.booster.inplace_predict(matrix, predict_type="margin")

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
        data = xgb.DMatrix(
            matrix, feature_names=self.feature_names, nthread=self.threads
        )
        return self.booster.predict(data, pred_contribs=True)


@dataclass
class TrainingResult:
    """A trained model and what is known about it."""

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


def why_not_trainable(labels: np.ndarray) -> str | None:
    """Why nothing can be learnt from these labels, or ``None`` if it can."""
    if len(labels) == 0:
        return "no account has an observed label"
    if np.all(labels == labels[0]):
        outcome = "churned" if labels[0] else "stayed"
        return f"all {len(labels)} rows with an observed label {outcome}"
    return None


def fingerprint_training(
    data_fingerprint: str, features: Sequence[Feature], settings: TrainingSettings
) -> str:
    """A digest of all that decides a model: equal digests, equal models."""
    told = {
        "data": data_fingerprint,
        "features": sorted((f.name, f.monotone_direction) for f in features),
        "settings": asdict(settings),
        "first_trial": FIRST_TRIAL,
        "search_space": SEARCH_SPACE,
        "rounds": [MAX_BOOST_ROUNDS, EARLY_STOPPING_ROUNDS, FIXED_ROUNDS],
        "xgboost": xgb.__version__,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def train(
    rows: Any,
    features: Sequence[Feature],
    settings: TrainingSettings,
    data_fingerprint: str | None = None,
) -> TrainingResult:
    """Train, calibrate and evaluate a model.

    Parameters, rounds and calibration are chosen on the validation rows. The
    trees are then grown once more on all rows whose labels were known when the
    test rows began, since there is nothing else to learn from the newer ones,
    and judged on the test rows. The model that is returned is the one that was
    judged. Without test rows it is the one that the validation rows chose.

    Args:
        rows: Observed labels with their features: `TrainingData`, or what
            `read_training_data` takes.
        features: The features to learn from.
        settings: What the run was told.
        data_fingerprint: ``training_data.fingerprint`` of the features, if at hand.
    """
    started = time.perf_counter()
    features = sorted(features, key=lambda feature: feature.name)
    names = [feature.name for feature in features]
    training_data = (
        rows if isinstance(rows, TrainingData) else read_training_data(rows, names)
    )
    labels = training_data.labels
    split = split_by_time(training_data.days, labels, settings.gap_days)
    codes = training_data.learn_codes(split.train, names)
    training_data.encode(codes)
    matrix = training_data.matrix
    if names != training_data.names:
        chosen_columns = [training_data.names.index(name) for name in names]
        matrix = np.ascontiguousarray(matrix[:, chosen_columns])
    fixed = _fixed_parameters(matrix, features, settings)

    search_started = time.perf_counter()
    bins = None
    if len(split.validation):
        chosen, bins = _search(matrix, labels, split, names, fixed, settings)
    else:
        chosen = _fit(
            matrix, labels, split.train, names, fixed, _WITHOUT_SEARCH, settings.engine
        )
    search_seconds = time.perf_counter() - search_started

    def as_model(grown: _Fit) -> ChurnModel:
        return ChurnModel(
            booster_json=grown.booster.save_raw("json").decode(),
            feature_names=names,
            codes=codes,
            calibration=grown.calibration,
            feature_medians={},
            threads=fixed["nthread"],
        )

    first = model = as_model(chosen)
    fit_rows = split.train
    if len(split.test):
        fit_rows = split.before_test
        again = _fit(
            matrix,
            labels,
            fit_rows,
            names,
            fixed,
            chosen.choices,
            settings.engine,
            like=bins,
        )
        model = as_model(replace(again, calibration=chosen.calibration))
    picture = matrix[_as_slice(_stride_sample(fit_rows, ROWS_FOR_A_PICTURE))]
    model.feature_medians = _medians(picture, names)
    metrics = _evaluate_all(
        {"train": first, "validation": first, "test": model},
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
        bins=learn_bins(picture, names),
        training_data=training_data,
        parameters={**fixed, **chosen.choices},
        metrics=metrics,
        data_fingerprint=data_fingerprint,
        training_fingerprint=fingerprint_training(data_fingerprint, features, settings),
        seconds=time.perf_counter() - started,
        search_seconds=search_seconds,
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


@dataclass(frozen=True)
class _Fit:
    """Trees, their calibration, and the choices that they were grown by."""

    booster: xgb.Booster
    calibration: Calibration
    choices: dict[str, Any]


# What is chosen where there are no validation rows to choose by.
_WITHOUT_SEARCH = {**FIRST_TRIAL, "rounds": FIXED_ROUNDS, "churned_weight": 1.0}


def _fixed_parameters(
    matrix: np.ndarray, features: Sequence[Feature], settings: TrainingSettings
) -> dict[str, Any]:
    """The parameters of XGBoost that no search changes."""
    fixed: dict[str, Any] = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "device": settings.device,
        # Sums depend on the number of threads, so it depends on the data only.
        "nthread": 1 if matrix.size < _CELLS_WORTH_THREADS else settings.threads,
        "seed": settings.seed,
    }
    if settings.monotone_constraints:
        effects = {RAISES_RISK: 1, LOWERS_RISK: -1}
        constraints = [
            effects.get(feature.monotone_direction, 0) for feature in features
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
    """The trial with the lowest calibrated log loss on the validation rows.

    Returns:
        It, and a row in the bins that all trials split between.
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

    def loss_of(grown: _Fit) -> float:
        return grown.choices["validation_log_loss"]

    best = min(map(attempt, _trials(settings)), key=loss_of)
    # A weight only if it helps the calibrated loss of the best parameters.
    stayed_per_churned = (1 - labels[split.train]).sum() / labels[split.train].sum()
    weighted = attempt(
        {name: best.choices[name] for name in SEARCH_SPACE},
        churned_weight=round(float(stayed_per_churned) ** 0.5, 4),
    )
    # A row is enough to hand on the bins, and lets go of the others.
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
    """Trees on some of the rows, by choices that were made before.

    With ``like``, they split between its bins, which takes less time than new ones.
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
    """A part's row numbers as a slice, which copies nothing, if they are a run."""
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
    models: Mapping[str, ChurnModel],
    training_data: TrainingData,
    matrix: np.ndarray,
    split: Split,
    settings: TrainingSettings,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Metrics of the model and its baselines on each part of the split.

    On the test rows all of them have learnt from the same rows before them, on
    the others from the training rows. Of the training rows, some are measured, and
    without intervals: they are shown to reveal overfitting, not to promise anything.
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
        # Its penalty is chosen as fairly as the model's settings.
        some = _stride_sample(split.validation, LOGISTIC_MAX_ROWS)
        line = min(
            lines,
            key=lambda line: log_loss(labels[some], line.predict_proba(matrix[some])),
        )

    def baselines(part: np.ndarray, logistic: LogisticRegression) -> dict[str, Any]:
        return {
            "prevalence": fitted(Prevalence(), part),
            "recency_rule": fitted(RecencyRule(recency), part),
            "logistic_regression": logistic,
        }

    early = late = baselines(split.train, line)
    if len(split.test):
        again = fitted(LogisticRegression(line.ridge), split.before_test)
        late = baselines(split.before_test, again)

    def evaluated(part: str, chosen: np.ndarray) -> dict[str, dict[str, Estimate]]:
        if part == "train":
            chosen = _stride_sample(chosen, ROWS_FOR_A_PICTURE)
        predictors = {
            MODEL: models[part],
            **(late if part == "test" else early),
        }
        rows = matrix[_as_slice(chosen)]
        estimates = evaluate_each(
            labels[chosen],
            [predictor.predict_proba(rows) for predictor in predictors.values()],
            accounts=training_data.accounts[chosen],
            revenue=training_data.revenue[chosen],
            draws=0 if part == "train" else settings.draws,
            seed=settings.seed,
        )
        return dict(zip(predictors, estimates, strict=True))

    parts = split.parts()
    with ThreadPoolExecutor(settings.threads) as threads:
        of_parts = list(threads.map(evaluated, parts, parts.values()))
    return {
        name: {part: of_one[name] for part, of_one in zip(parts, of_parts, strict=True)}
        for name in of_parts[0]
    }


def _stride_sample(part: np.ndarray, most: int) -> np.ndarray:
    """Every n-th of a part's row numbers, so that there are at most so many."""
    return part[:: max(1, -(-len(part) // most))]


def _downsample(
    part: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """At most so many rows of a part as a line needs, and their weights.

    Rows that churned are few and tell most, so they make up as much as half of
    what is kept; the weights make up for that.
    """
    if len(part) <= LOGISTIC_MAX_ROWS:
        return part, np.ones(len(part))
    generator = np.random.default_rng(seed)
    is_churned = labels[part] > 0
    outcomes = part[is_churned], part[~is_churned]
    fewer = min(len(rows) for rows in outcomes)
    most = max(LOGISTIC_MAX_ROWS // 2, LOGISTIC_MAX_ROWS - fewer)
    kept = [
        np.sort(generator.choice(rows, min(len(rows), most), replace=False))
        for rows in outcomes
    ]
    weights = [
        np.full(len(some), len(rows) / len(some))
        for some, rows in zip(kept, outcomes, strict=True)
    ]
    return np.concatenate(kept), np.concatenate(weights)
