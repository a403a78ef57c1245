"""Compares the accounts of each date with the champion's training rows."""

from churn.engine_io import as_frame, existing_rows
from churn.ml.drift import measure_drift
from churn.ml.features import read_features
from churn.ml.registry import select_model, with_all_columns


def model(dbt, session):
    """Return the drift of the features on dates not measured yet."""
    dbt.config(
        materialized="incremental",
        incremental_strategy="append",
        unique_key=["model_version", "as_of_date"],
    )
    registry = with_all_columns(as_frame(dbt.ref("churn_models")))
    champion = select_model(registry, dbt.config.meta_get("champion_model_version"))
    accounts = dbt.ref("int_uncontacted_account_features")
    measured_dates = []
    if champion is not None and champion["fit_end_date"] is not None:
        day = str(champion["fit_end_date"])[:10]
        accounts = accounts.filter(f"as_of_date > cast('{day}' as date)")
        measured = existing_rows(dbt, session) if dbt.is_incremental else None
        if measured is not None:
            is_own = measured["model_version"] == champion["model_version"]
            measured_dates = measured.loc[is_own, "as_of_date"].unique()
    return measure_drift(
        accounts=accounts,
        model=champion,
        features=read_features(as_frame(dbt.ref("feature_dictionary"))),
        measured_days=measured_dates,
    )
