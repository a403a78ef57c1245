"""Computes what offers achieve, from the counts of each arm."""

from churn.engine_io import as_batches
from churn.ml.experiments import experiment_results


def model(dbt, session):
    """Return one row per experiment, stratum and metric."""
    dbt.config(materialized="table")
    return experiment_results(
        arms=as_batches(dbt.ref("int_experiment_arms")).read_all().to_pylist(),
        outcome_days=dbt.config.meta_get("outcome_known_after_days"),
    )
