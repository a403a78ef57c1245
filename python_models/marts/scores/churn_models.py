"""Trains a model if data, features or settings have changed."""

from churn.engine_io import as_frame, existing_rows
from churn.ml.features import read_features
from churn.ml.registry import train_and_register
from churn.ml.train import TrainingSettings


def model(dbt, session):
    """Return the models to add to the registry or to change in it."""
    dbt.config(
        materialized="incremental",
        unique_key="model_version",
        # The registry must survive --full-refresh.
        full_refresh=False,
        # Columns added after a model was trained are null.
        on_schema_change="append_new_columns",
    )
    freshness = as_frame(dbt.ref("int_source_freshness"))
    settings = TrainingSettings(
        gap_days=dbt.config.meta_get("label_known_after_days"),
        seed=dbt.config.meta_get("model_seed"),
        horizon_days=dbt.config.meta_get("horizon_days"),
        search_trials=dbt.config.meta_get("search_trials"),
        monotone_constraints=dbt.config.meta_get("monotone_constraints"),
        device=dbt.config.meta_get("training_device"),
        engine=dbt.config.meta_get("training_engine"),
    )
    return train_and_register(
        rows=dbt.ref("churn_training_set"),
        features=read_features(as_frame(dbt.ref("feature_dictionary"))),
        registry=existing_rows(dbt, session) if dbt.is_incremental else None,
        settings=settings,
        as_of_date=freshness["as_of_date"].max(),
    )
