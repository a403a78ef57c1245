"""Lists the metrics of the model registry, one per row."""

from churn.engine_io import as_frame
from churn.ml.registry import metrics_table


def model(dbt, session):
    """Return one row per model, predictor, split and metric."""
    dbt.config(materialized="table")
    return metrics_table(as_frame(dbt.ref("churn_models")))
