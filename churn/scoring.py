"""From a model and today's accounts to the table that sales reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from churn.explaining import explain
from churn.features import Feature, UnknownFeatureError
from churn.registry import choose, model_of

DEFAULT_OFFER = "default"

FRESHNESS = (
    "clickstream_data_through",
    "crm_data_through",
    "billing_data_through",
    "support_data_through",
    "is_stale",
)

SCORES_SCHEMA = pa.schema(
    [
        ("account_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("company_name", pa.string()),
        ("churn_probability", pa.float64()),
        ("risk_band", pa.string()),
        ("risk_rank", pa.int64()),
        ("reason_1", pa.string()),
        ("reason_2", pa.string()),
        ("reason_3", pa.string()),
        ("recommended_offer", pa.string()),
        ("monthly_recurring_revenue", pa.float64()),
        ("revenue_at_risk", pa.float64()),
        ("model_version", pa.string()),
        ("scored_at", pa.timestamp("us")),
        ("clickstream_data_through", pa.timestamp("us")),
        ("crm_data_through", pa.date32()),
        ("billing_data_through", pa.timestamp("us")),
        ("support_data_through", pa.timestamp("us")),
        ("is_stale", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class RiskBands:
    """Lower bounds of the calibrated probability of two bands."""

    medium_from: float
    high_from: float

    def of(self, probabilities: np.ndarray) -> np.ndarray:
        """``low``, ``medium`` or ``high`` for each probability."""
        return np.select(
            [probabilities >= self.high_from, probabilities >= self.medium_from],
            ["high", "medium"],
            "low",
        )


def score(
    accounts: pd.DataFrame,
    registry: pd.DataFrame,
    features: Sequence[Feature],
    offers: pd.DataFrame,
    bands: RiskBands,
    pinned_version: str | None = None,
    last_scores: pd.DataFrame | None = None,
) -> pa.Table:
    """The scores of today's accounts, the riskiest first.

    Args:
        accounts: ``int_accounts_to_score``: features, company name and how old
            each source is.
        registry: ``churn_models``.
        features: The features with their phrases.
        offers: ``product_category`` and ``offer``, one row for the category
            ``default``.
        bands: The bounds of the risk bands.
        pinned_version: The model to score with instead of the champion.
        last_scores: What ``churn_scores`` holds, kept while there is no model.

    Returns:
        A table of `SCORES_SCHEMA`.

    Raises:
        RegistryError: The pinned version is not in the registry.
        UnknownFeatureError: The model needs a feature that is no longer there.
    """
    chosen = choose(registry, pinned_version)
    if chosen is None:
        kept = "no scores yet" if last_scores is None else "the last scores stay"
        print(f"cannot score yet: churn_models holds no model; {kept}")
        return as_scores(last_scores)
    if accounts.empty:
        return as_scores(None)
    model = model_of(chosen)
    accounts = accounts.sort_values("account_id", ignore_index=True)
    try:
        matrix = model.matrix(accounts)
    except UnknownFeatureError as error:
        raise UnknownFeatureError(
            f"The model {chosen['model_version']} cannot score: {error}; set "
            "champion_model_version to another model, or bring the column back."
        ) from None
    probabilities = model.predict_proba(matrix)
    reasons = explain(model, accounts, features, matrix)
    revenue = pd.to_numeric(accounts["monthly_recurring_revenue"], errors="coerce")
    scores = pd.DataFrame(
        {
            "account_id": accounts["account_id"],
            "as_of_date": accounts["as_of_date"],
            "company_name": accounts["company_name"],
            "churn_probability": probabilities,
            "risk_band": bands.of(probabilities),
            "reason_1": [told[0] for told in reasons],
            "reason_2": [told[1] for told in reasons],
            "reason_3": [told[2] for told in reasons],
            "recommended_offer": recommend(accounts["top_category_90d"], offers),
            "monthly_recurring_revenue": revenue,
            "revenue_at_risk": probabilities * revenue,
            "model_version": chosen["model_version"],
            "scored_at": datetime.now(UTC).replace(tzinfo=None),
            **{name: accounts[name] for name in FRESHNESS},
        }
    )
    scores = scores.sort_values(
        ["churn_probability", "account_id"], ascending=[False, True]
    )
    scores["risk_rank"] = np.arange(1, len(scores) + 1)
    return as_scores(scores)


def recommend(categories: pd.Series, offers: pd.DataFrame) -> pd.Series:
    """The offer of each category, the default one where it has none."""
    offer_of = dict(zip(offers["product_category"], offers["offer"], strict=True))
    return categories.map(offer_of).fillna(offer_of.get(DEFAULT_OFFER))


def as_scores(scores: pd.DataFrame | None) -> pa.Table:
    """Scores as a table of their own types, even when empty."""
    if scores is None or scores.empty:
        return SCORES_SCHEMA.empty_table()
    columns = []
    for field in SCORES_SCHEMA:
        column = (
            scores[field.name]
            if field.name in scores
            else pd.Series(None, index=scores.index, dtype=object)
        )
        if pa.types.is_temporal(field.type):
            column = pd.to_datetime(column)
        columns.append(
            pa.Array.from_pandas(column.reset_index(drop=True)).cast(
                field.type, safe=False
            )
        )
    return pa.Table.from_arrays(columns, schema=SCORES_SCHEMA)
