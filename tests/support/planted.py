"""A synthetic company whose churn has one cause, for tests of training and scoring."""

from __future__ import annotations

import numpy as np
import pandas as pd

from churn.ml.features import ATTRIBUTE, Feature

HORIZON_AND_GRACE = 60

FEATURES = [
    Feature(
        name="visits_28d",
        label="visits in the last 28 days",
        theme="visits",
        high="{value:.0f} visits in the last 28 days, {visits_prior_28d:.0f} before",
        low="only {value:.0f} visits in the last 28 days",
    ),
    Feature(
        name="visits_90d",
        label="visits in the last 90 days",
        theme="visits",
        high="{value:.0f} visits in the last 90 days",
        low="only {value:.0f} visits in the last 90 days",
    ),
    Feature(
        name="days_since_last_visit",
        label="days since the last visit",
        theme="recency",
        high="nobody came for {value:.0f} days",
        low="someone came {value:.0f} days ago",
        missing="nobody came in the last 90 days",
        monotone_direction="raises",
    ),
    Feature(
        name="noise",
        label="noise",
        theme="noise",
        high="noise at {value:.6f}",
        low="noise at {value:.6f}",
    ),
    Feature(
        name="plan",
        label="plan",
        theme="contract",
        high="on the {value} plan",
        low="on the {value} plan",
        kind=ATTRIBUTE,
    ),
]


def planted_rows(accounts: int = 250, weeks: int = 44, seed: int = 7) -> pd.DataFrame:
    """Generate weekly rows in which only few visits cause churn."""
    generator = np.random.default_rng(seed)
    days = pd.date_range("2025-01-06", periods=weeks, freq="7D")
    activity = generator.gamma(2.0, 5.0, accounts)
    rows = pd.DataFrame(
        [
            {"account_id": f"A{account:04d}", "as_of_date": day, "usual": usual}
            for day in days
            for account, usual in enumerate(activity)
        ]
    )
    size = len(rows)
    rows["visits_28d"] = generator.poisson(rows["usual"])
    rows["visits_prior_28d"] = generator.poisson(rows["usual"])
    rows["visits_90d"] = rows["visits_28d"] + generator.poisson(2.2 * rows["usual"])
    rows["days_since_last_visit"] = generator.exponential(
        60 / (1 + rows["visits_28d"])
    ).round()
    rows.loc[rows["days_since_last_visit"] > 90, "days_since_last_visit"] = np.nan
    rows["noise"] = generator.normal(size=size)
    rows["plan"] = generator.choice(["basic", "plus", "premium"], size)
    rows["monthly_recurring_revenue"] = rows["plan"].map(
        {"basic": 200.0, "plus": 500.0, "premium": 900.0}
    )
    hazard = 1 / (1 + np.exp(0.35 * rows["visits_28d"] - 0.2))
    rows["is_churned"] = generator.random(size) < hazard
    return rows.drop(columns="usual")
