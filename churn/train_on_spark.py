"""Trees grown by XGBoost's own Spark estimator, in Spark's executors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb

# XGBoost's estimators have scikit-learn's names for some of its parameters.
_NAMES = {"eta": "learning_rate", "lambda": "reg_lambda", "seed": "random_state"}

# What the estimator sets by itself, or names otherwise.
_OTHERWISE = ("objective", "eval_metric", "nthread", "rounds", "churned_weight")


class NoSparkSessionError(RuntimeError):
    """There is no Spark in this process; the message says what to set."""


def train_on_spark(
    matrix: np.ndarray,
    labels: np.ndarray,
    part: np.ndarray,
    names: Sequence[str],
    parameters: Mapping[str, Any],
    rounds: int,
    churned_weight: float,
) -> xgb.Booster:
    """Grow trees on some of the rows, spread over all of Spark's slots.

    The sums are those of another order than on one machine, so the trees are not
    the same to the last digit; what they are then used for is.

    Args:
        matrix: The features, of shape (n_rows, n_features), NaN where unknown.
        labels: 1 where churned, of shape (n_rows,).
        part: The numbers of the rows to learn from.
        names: The features' names.
        parameters: XGBoost's parameters, by their names in `xgboost.train`.
        rounds: How many trees.
        churned_weight: The weight of a row that churned; others weigh 1.

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
            "weight": np.where(labels[part] > 0, churned_weight, 1.0),
        }
    )
    told = {
        _NAMES.get(name, name): value
        for name, value in parameters.items()
        if name not in _OTHERWISE
    }
    estimator = SparkXGBClassifier(
        features_col=columns,
        label_col="label",
        weight_col="weight",
        num_workers=workers,
        n_estimators=rounds,
        missing=np.nan,
        verbosity=0,
        **told,
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
        # A session is active in the thread that has made it only.
        is_running = SparkContext._active_spark_context is not None
    if not is_running:
        raise NoSparkSessionError(
            "training_engine is `spark`, but there is no Spark in this process: set it "
            "to `local`, or run with `--target spark`."
        )
    return SparkSession.builder.getOrCreate()
