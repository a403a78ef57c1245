"""Scores the customers of the latest as-of date and explains each score."""

from churn.engine_io import as_frame, existing_relation
from churn.ml.features import read_features
from churn.ml.predict import score, scorer_from


def model(dbt, session):
    """Return one row per account of the latest as-of date."""
    dbt.config(materialized="table")
    scorer = scorer_from(
        registry=as_frame(dbt.ref("churn_models")),
        features=read_features(as_frame(dbt.ref("feature_dictionary"))),
        bands={
            "medium_from": dbt.config.meta_get("medium_risk_from"),
            "high_from": dbt.config.meta_get("high_risk_from"),
            "offer_cost": dbt.config.meta_get("offer_cost"),
            "customer_value": dbt.config.meta_get("customer_value"),
        },
        pinned_version=dbt.config.meta_get("champion_model_version"),
    )
    return score(
        accounts=dbt.ref("int_accounts_to_score"),
        scorer=scorer,
        last_scores=existing_relation(dbt, session),
    )
