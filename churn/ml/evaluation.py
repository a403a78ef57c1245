"""Evaluate a model beside its baselines, on rows that none of them was fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from churn.ml.baselines import RECENCY_FEATURE, fit_linear, fit_simple_baselines
from churn.ml.dataset import TrainingData
from churn.ml.metrics import Estimate, compare, evaluate_each
from churn.ml.model import ChurnModel
from churn.ml.sampling import as_slice, downsample, stride_sample
from churn.ml.split import Fold, Split

MODEL = "model"
LOGISTIC_REGRESSION = "logistic_regression"
BASELINE_NAMES = {
    "prevalence": "a constant probability",
    "recency_rule": "the days since the last visit",
    LOGISTIC_REGRESSION: "a logistic regression",
}
# Maximum rows for metrics of the training part.
TRAIN_MAX_ROWS = 50_000


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model and its baselines.

    Attributes:
        metrics: By predictor, part of the split and metric.
        part: The part that measures performance: ``test``, else ``validation``, or
            ``None`` if no rows are held out.
        rows: The rows of that part.
        probabilities: The model's probabilities of these rows. For ``validation``
            they are out of fold.
        differences: By baseline and metric, the model's value minus the baseline's
            on these rows, paired by account.
        warning: What is wrong with the model, in one sentence, or ``None``.
    """

    metrics: dict[str, dict[str, dict[str, Estimate]]]
    part: str | None
    rows: np.ndarray
    probabilities: np.ndarray
    differences: dict[str, dict[str, Estimate]]
    warning: str | None


def evaluate_model(
    model: ChurnModel,
    matrix: np.ndarray,
    data: TrainingData,
    split: Split,
    out_of_fold: np.ndarray,
    ridge: float,
    draws: int,
    seed: int,
) -> Evaluation:
    """Evaluate a model and its baselines on each part of a split.

    For test rows, all predictors were fitted to the same rows before them. For
    validation rows, to the train rows of each fold. Train rows only reveal
    overfitting: they are a sample of the fitted rows, without intervals.

    Args:
        model: The model, fitted to ``split.fit``.
        matrix: The features of all rows.
        data: Labels, accounts and revenue of all rows.
        split: The parts.
        out_of_fold: The model's probability of each of ``split.validation``.
        ridge: Penalty of the logistic regression.
        draws: Bootstrap draws of the intervals.
        seed: Seed of every random draw.
    """
    names, labels = model.feature_names, data.labels
    recency = names.index(RECENCY_FEATURE) if RECENCY_FEATURE in names else None

    def baselines(fold: Fold) -> dict[str, np.ndarray]:
        rows, weights = downsample(fold.train, labels, seed)
        fitted = fit_simple_baselines(matrix[rows], labels[rows], weights, recency)
        held_out = matrix[as_slice(fold.validation)]
        predicted = {
            name: baseline.predict_proba(held_out)[:, 1]
            for name, baseline in fitted.items()
        }
        linear = fit_linear(ridge, matrix[rows], labels[rows], weights)
        return {**predicted, LOGISTIC_REGRESSION: linear.predict_proba(held_out)}

    def predicted(part: np.ndarray) -> dict[str, np.ndarray]:
        rows = matrix[as_slice(part)]
        return {MODEL: model.predict_proba(rows), **baselines(Fold(split.fit, part))}

    parts = {"train": stride_sample(split.fit, TRAIN_MAX_ROWS)}
    predictions = {"train": predicted(parts["train"])}
    if split.folds:
        parts["validation"] = split.validation
        by_fold = [baselines(fold) for fold in split.folds]
        predictions["validation"] = {
            MODEL: out_of_fold,
            **{name: np.concatenate([f[name] for f in by_fold]) for name in by_fold[0]},
        }
    if len(split.test):
        parts["test"] = split.test
        predictions["test"] = predicted(split.test)
    metrics: dict[str, Any] = {name: {} for name in predictions["train"]}
    for part, rows in parts.items():
        estimates = evaluate_each(
            labels[rows],
            list(predictions[part].values()),
            accounts=data.accounts[rows],
            revenue=data.revenue[rows],
            draws=0 if part == "train" else draws,
            seed=seed,
        )
        for name, estimate in zip(predictions[part], estimates, strict=True):
            metrics[name][part] = estimate
    held_out = next((name for name in ("test", "validation") if name in parts), None)
    if held_out is None:
        none = np.array([])
        return Evaluation(metrics, None, none.astype(int), none, {}, None)
    rows, by_predictor = parts[held_out], predictions[held_out]
    differences = {
        name: compare(
            labels[rows],
            by_predictor[MODEL],
            by_predictor[name],
            data.accounts[rows],
            draws,
            seed,
        )
        for name in BASELINE_NAMES
    }
    return Evaluation(
        metrics,
        held_out,
        rows,
        by_predictor[MODEL],
        differences,
        find_quality_problem(metrics[MODEL][held_out], differences),
    )


def find_quality_problem(
    metrics: Mapping[str, Estimate], differences: Mapping[str, Mapping[str, Estimate]]
) -> str | None:
    """Return in one sentence what is wrong with a model, or ``None``.

    A model is worse than a baseline if the 95 % interval of the paired difference of
    the ROC AUC or of the log loss excludes zero.

    Args:
        metrics: The model's metrics on held-out rows.
        differences: By baseline, the model's metrics minus the baseline's.
    """
    for name, difference in differences.items():
        auc, loss = difference["roc_auc"], difference["log_loss"]
        baseline = BASELINE_NAMES[name]
        if auc.high is not None and auc.high < 0:
            value, low = abs(auc.value or 0), abs(auc.low or 0)
            return (
                f"The model ranks worse than {baseline}: its ROC AUC is lower by "
                f"{value:.3f} ({-auc.high:.3f} to {low:.3f})."
            )
        if loss.low is not None and loss.low > 0:
            return (
                f"The probabilities of the model are worse than those of {baseline}: "
                f"its log loss is higher by {loss.value:.4f} ({loss.low:.4f} to "
                f"{loss.high:.4f})."
            )
    auc = metrics["roc_auc"]
    if auc.low is not None and auc.low <= 0.5:
        return (
            f"The model is close to chance: its ROC AUC is {auc.value:.3f}, and its "
            f"interval of {auc.low:.3f} to {auc.high:.3f} holds 0.5."
        )
    return None
