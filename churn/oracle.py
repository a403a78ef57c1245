"""What no model can pass: the demo company's true hazard, judged like a model.

A demo company keeps the truth about itself beside its landing zone. No dbt model
reads it; only this does, to tell how much of what could be known a model knows. What
the oracle is, and why no model can pass it, is told where it is computed, in
`churn.demo.hazard`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from churn.metrics import Estimate, evaluate

HAZARD_FILE = "monthly_hazard.csv.gz"


@dataclass(frozen=True)
class Oracle:
    """The metrics of the true hazard, and of a model, on the same rows.

    Attributes:
        rows: Rows of which the truth is told.
        probabilities: The true churn probability of each row that was asked for;
            NaN where the truth does not tell it.
        metrics: Of the true hazard.
        model_metrics: Of the model.
    """

    rows: int
    probabilities: np.ndarray
    metrics: dict[str, Estimate]
    model_metrics: dict[str, Estimate]

    def share_reached(self, metric: str) -> float | None:
        """How much of the oracle the model reaches."""
        value, most = self.model_metrics[metric].value, self.metrics[metric].value
        return None if value is None or not most else value / most


def measure_oracle(
    rows: pd.DataFrame, probabilities: np.ndarray, truth: Path, seed: int = 0
) -> Oracle | None:
    """Judge the true hazard and a model on the rows that the truth tells.

    Args:
        rows: ``account_id``, ``as_of_date``, ``is_churned`` and
            ``monthly_recurring_revenue`` of held-out rows.
        probabilities: What the model says of each.
        truth: The folder ``truth`` of the demo company.
        seed: Seed of the bootstrap draws.

    Returns:
        ``None`` if the truth tells none of the rows.
    """
    asked = pd.DataFrame(
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
    told = asked.merge(hazard, on=["account_id", "as_of_date"], how="left")
    true = told["monthly_hazard"].to_numpy(dtype=float)
    known = ~np.isnan(true)
    if not known.any():
        return None
    labels = rows["is_churned"].to_numpy(dtype=float)[known]
    revenue = rows["monthly_recurring_revenue"].to_numpy(dtype=float)[known]
    accounts = rows["account_id"].to_numpy(dtype=str)[known]
    metrics, model_metrics = (
        evaluate(labels, given[known], accounts, revenue, seed=seed)
        for given in (true, np.asarray(probabilities, dtype=float))
    )
    return Oracle(int(known.sum()), true, metrics, model_metrics)
