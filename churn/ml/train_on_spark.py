"""Fit trees with XGBoost's Spark estimator, in Spark executors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import xgboost as xgb

# XGBoost's estimators use scikit-learn's names for these parameters.
_NAMES = {"eta": "learning_rate", "lambda": "reg_lambda", "seed": "random_state"}

# Parameters that the estimator sets itself or receives as arguments.
_EXCLUDED = ("objective", "eval_metric", "nthread")


class NoSparkSessionError(RuntimeError):
    """Report that this process runs no Spark; the message says what to set."""


def train_on_spark(
    matrix: np.ndarray,
    labels: np.ndarray,
    part: np.ndarray,
    names: Sequence[str],
    parameters: Mapping[str, Any],
    rounds: int,
    base_margins: np.ndarray | None = None,
) -> xgb.Booster:
    """Fit trees to the rows of ``part``, distributed over all Spark slots.

    Sums are added in another order than on one machine, so the trees can differ in
    the last digits. Everything after the fit is the same.

    Args:
        matrix: The features, of shape (n_rows, n_features), NaN if missing.
        labels: 1 for each row that churned, of shape (n_rows,).
        part: Row numbers to fit to.
        names: The feature names.
        parameters: XGBoost parameters, named as in `xgboost.train`.
        rounds: Number of trees.
        base_margins: Margins of the rows of ``part`` to boost from, or ``None``.

    Raises:
        NoSparkSessionError: dbt's target is not Spark in this process.
    """
    session = _active_session()
    from xgboost.spark import SparkXGBClassifier

    workers = max(1, int(session.sparkContext.defaultParallelism))
    columns = [f"feature_{number}" for number in range(len(names))]
    table = pa.table(
        {
            **{name: matrix[part, number] for number, name in enumerate(columns)},
            "label": labels[part].astype(np.float64),
            **({} if base_margins is None else {"base_margin": base_margins}),
        }
    )
    estimator_parameters = {
        _NAMES.get(name, name): value
        for name, value in parameters.items()
        if name not in _EXCLUDED
    }
    estimator = SparkXGBClassifier(
        features_col=columns,
        label_col="label",
        base_margin_col=None if base_margins is None else "base_margin",
        num_workers=workers,
        n_estimators=rounds,
        missing=np.nan,
        verbosity=0,
        **estimator_parameters,
    )
    booster = estimator.fit(session.createDataFrame(table)).get_booster()
    booster.feature_names = list(names)
    return booster


def _active_session() -> Any:
    try:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
    except ImportError:
        is_running = False
    else:
        # getActiveSession finds a session only in the thread that created it.
        is_running = SparkContext._active_spark_context is not None
    if not is_running:
        raise NoSparkSessionError(
            "training_engine is `spark`, but this process runs no Spark: set it to "
            "`local`, or run with `--target spark`."
        )
    return SparkSession.builder.getOrCreate()
