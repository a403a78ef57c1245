"""Oracle: evaluate the demo company's true hazard like a model.

The demo company writes its true hazard to the folder ``truth``, beside its landing
zone. No dbt model reads it; only this module does, to measure how close a model comes
to the best possible one. `churn.demo.hazard` computes the hazard and explains why no
model can beat it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from churn.ml.metrics import Estimate, evaluate

HAZARD_FILE = "monthly_hazard.csv.gz"


@dataclass(frozen=True)
class Oracle:
    """Metrics of the true hazard and of a model, on the same rows.

    Attributes:
        rows: Number of rows with a true hazard.
        probabilities: The true churn probability of each requested row; NaN if
            unknown.
        metrics: Metrics of the true hazard.
        model_metrics: Metrics of the model.
    """

    rows: int
    probabilities: np.ndarray
    metrics: dict[str, Estimate]
    model_metrics: dict[str, Estimate]

    def share_reached(self, metric: str) -> float | None:
        """Return the model's metric divided by the oracle's."""
        value, best = self.model_metrics[metric].value, self.metrics[metric].value
        return None if value is None or not best else value / best


def measure_oracle(
    rows: pd.DataFrame, probabilities: np.ndarray, truth: Path, seed: int = 0
) -> Oracle | None:
    """Evaluate the true hazard and a model on the rows with a true hazard.

    Args:
        rows: Held-out rows with ``account_id``, ``as_of_date``, ``is_churned`` and
            ``monthly_recurring_revenue``.
        probabilities: The model's probability of each row.
        truth: The folder ``truth`` of the demo company.
        seed: Seed of the bootstrap draws.

    Returns:
        The metrics, or ``None`` if no row has a true hazard.
    """
    keys = pd.DataFrame(
        {
            "account_id": rows["account_id"].to_numpy(),
            "as_of_date": pd.to_datetime(rows["as_of_date"]).to_numpy(),
        }
    )
    with duckdb.connect() as connection:
        connection.execute(
            """create table hazard as
            select account_id, cast(as_of_date as timestamp) as as_of_date,
                monthly_hazard
            from read_csv(?, types = {'account_id': 'varchar'})""",
            [str(truth / HAZARD_FILE)],
        )
        hazard = connection.table("hazard").df()
    matched = keys.merge(hazard, on=["account_id", "as_of_date"], how="left")
    true_hazard = matched["monthly_hazard"].to_numpy(dtype=float)
    has_hazard = ~np.isnan(true_hazard)
    if not has_hazard.any():
        return None
    labels = rows["is_churned"].to_numpy(dtype=float)[has_hazard]
    revenue = rows["monthly_recurring_revenue"].to_numpy(dtype=float)[has_hazard]
    accounts = rows["account_id"].to_numpy(dtype=str)[has_hazard]
    metrics, model_metrics = (
        evaluate(labels, prediction[has_hazard], accounts, revenue, seed=seed)
        for prediction in (true_hazard, np.asarray(probabilities, dtype=float))
    )
    return Oracle(int(has_hazard.sum()), true_hazard, metrics, model_metrics)
