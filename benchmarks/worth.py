"""What the model is worth: demo companies, against logistic regression and the truth.

For each seed, a demo company is generated, loaded and built up to its training set. The
model is trained as ``churn_models`` does and evaluated on its test rows, beside the
logistic regression and the true hazard, which no model can beat.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import DEVNULL

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.running import THREADS, connect, run_command, run_dbt
from churn.ml.dataset import LABEL, sort_rows
from churn.ml.features import LOWERS_RISK, RAISES_RISK, Feature, read_features
from churn.ml.oracle import measure_oracle
from churn.ml.train import TrainingResult, TrainingSettings, train

DAYS = 365
HORIZON_DAYS, GAP_DAYS = 30, 60
SEED = 20250301
OPPOSITE = {RAISES_RISK: LOWERS_RISK, LOWERS_RISK: RAISES_RISK}


@dataclass(frozen=True)
class Worth:
    """Figures of one demo company, on its test rows.

    Attributes:
        seed: Seed of the company.
        kind: The selected candidate.
        roc_auc, logistic_roc_auc: Of the model and of the logistic regression.
        share_of_roc_auc, share_of_pr_auc: Relative to the true hazard's.
        calibration_error: Of the model.
        loss_difference: Log loss of the model minus that of the logistic regression,
            with its 95 % interval, paired by account.
        reversed_roc_auc: Of a model for which every direction is declared wrongly.
        shuffled_roc_auc: The interval of a model with shuffled labels.
    """

    seed: int
    kind: str
    roc_auc: float
    logistic_roc_auc: float
    share_of_roc_auc: float
    share_of_pr_auc: float
    calibration_error: float
    loss_difference: tuple[float, float, float]
    reversed_roc_auc: float
    shuffled_roc_auc: tuple[float, float]


def measure(
    accounts: int, seeds: Sequence[int], scratch: Path | None = None
) -> Iterator[Worth]:
    """Measure one company per seed."""
    for seed in seeds:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            folder = Path(name)
            rows, features = build(folder, accounts, seed)
            yield worth(rows, features, folder / "company" / "truth", seed)


def build(folder: Path, accounts: int, seed: int) -> tuple[pd.DataFrame, list[Feature]]:
    """Return the training set and the features of a new demo company."""
    company = folder / "company"
    churn = [sys.executable, "-m", "churn"]
    size = [f"--accounts={accounts}", f"--days={DAYS}", f"--seed={seed}"]
    environment = {"CHURN_DUCKDB_PATH": str(folder / "bench.duckdb")}
    for command in (["demo", *size, f"--out={company}"], ["load", str(company)]):
        if run_command([*churn, *command], environment, stdout=DEVNULL).status:
            raise RuntimeError(f"churn {command[0]} failed")
    run_dbt(folder, "run", "--select", "+churn_training_set", "feature_dictionary")
    with connect(folder) as connection:
        return (
            sort_rows(connection.table("churn_training_set").df()),
            read_features(connection.table("feature_dictionary").df()),
        )


def worth(
    rows: pd.DataFrame, features: Sequence[Feature], truth: Path, seed: int
) -> Worth:
    """Train on the rows of a company, and measure the model.

    Args:
        rows: ``churn_training_set``, sorted.
        features: Features to train on.
        truth: The folder ``truth`` of the company.
        seed: Seed of the company, for the result.
    """
    settings = TrainingSettings(GAP_DAYS, SEED, HORIZON_DAYS, threads=THREADS)
    result = train(rows, features, settings)
    test = rows.iloc[result.split.test]
    oracle = measure_oracle(test, result.evaluation.probabilities, truth)
    wrong = [
        replace(f, monotone_direction=OPPOSITE.get(f.monotone_direction or ""))
        for f in features
    ]
    shuffled = rows.assign(
        **{LABEL: np.random.default_rng(SEED).permutation(rows[LABEL])}
    )
    quick = replace(settings, search_trials=1)
    by_chance = train(shuffled, features, quick).metrics["model"]["test"]["roc_auc"]
    return Worth(
        seed=seed,
        kind=result.kind,
        roc_auc=_auc(result, "model"),
        logistic_roc_auc=_auc(result, "logistic_regression"),
        share_of_roc_auc=oracle.share_reached("roc_auc"),
        share_of_pr_auc=oracle.share_reached("pr_auc"),
        calibration_error=result.metrics["model"]["test"]["calibration_error"].value,
        loss_difference=tuple(
            result.evaluation.differences["logistic_regression"]["log_loss"]
        ),
        reversed_roc_auc=_auc(train(rows, wrong, settings), "model"),
        shuffled_roc_auc=(by_chance.low, by_chance.high),
    )


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of some seeds and its 95 % interval, by Student's t."""
    mean, error = float(np.mean(values)), stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, mean, error)
    return mean, float(low), float(high)


def _auc(result: TrainingResult, predictor: str) -> float:
    return result.metrics[predictor]["test"]["roc_auc"].value


def report(companies: Iterable[Worth]) -> Iterator[str]:
    """Yield the lines of the table: one per company when it is measured, then means."""
    measured = []
    yield (
        f"{'seed':>5} {'model':21}{'ROC AUC':>9}{'logistic':>9}{'reversed':>9}"
        f"{'of ROC':>8}{'of PR':>8}{'calibr.':>9}  log loss, model - logistic"
        "     shuffled labels"
    )
    for each in companies:
        measured.append(each)
        value, low, high = each.loss_difference
        yield (
            f"{each.seed:>5} {each.kind:21}{each.roc_auc:>9.4f}"
            f"{each.logistic_roc_auc:>9.4f}{each.reversed_roc_auc:>9.4f}"
            f"{each.share_of_roc_auc:>8.3f}{each.share_of_pr_auc:>8.3f}"
            f"{each.calibration_error:>9.4f}  {value:+.5f} ({low:+.5f}, {high:+.5f})"
            "  ({:.3f}, {:.3f})".format(*each.shuffled_roc_auc)
        )
    if len(measured) < 2:
        return
    for title, values in (
        ("ROC AUC", [each.roc_auc for each in measured]),
        ("less logistic", [each.roc_auc - each.logistic_roc_auc for each in measured]),
        ("of the hazard's ROC AUC", [each.share_of_roc_auc for each in measured]),
        ("of the hazard's PR AUC", [each.share_of_pr_auc for each in measured]),
        ("calibration error", [each.calibration_error for each in measured]),
    ):
        yield "{:28}{:.4f} ({:.4f} to {:.4f})".format(title, *interval(values))
