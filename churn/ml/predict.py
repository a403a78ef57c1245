"""Score accounts with a registered model.

`score_batch` maps one Arrow batch of accounts to the batch of their scores and
depends only on its arguments. A `Scorer` is plain data and can be pickled, so the
same call runs in this process, batch by batch, and in Spark executors::

    accounts.mapInArrow(scorer.score_batches, schema)

Ranks need all scores, so `churn_scores` computes them in SQL.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from churn.engine_io import map_batches
from churn.ml.features import Feature, UnknownFeatureError
from churn.ml.model import ChurnModel
from churn.ml.reasons import MAX_REASONS, explain
from churn.ml.registry import model_of, select_model

# Odds of churn from which an account is in a band, relative to those of all accounts.
MEDIUM_ODDS_RATIO, HIGH_ODDS_RATIO = 1.5, 4.0
MAX_BAND_BOUND = 0.99

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
        ("reason_1", pa.string()),
        ("reason_2", pa.string()),
        ("reason_3", pa.string()),
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
    """Lower bounds of the calibrated probability of the medium and high band."""

    medium_from: float
    high_from: float

    @classmethod
    def choose(
        cls,
        churn_rate: float,
        medium_from: float | None = None,
        high_from: float | None = None,
        offer_cost: float | None = None,
        customer_value: float | None = None,
    ) -> RiskBands:
        """Return the given bounds, or bounds from costs or from the churn rate.

        An offer pays for itself from the probability ``offer_cost / customer_value``
        on, the high band. Without costs, the bounds are multiples of the odds of
        churn in the training rows, so a model that does not separate the accounts
        calls none of them high.

        Args:
            churn_rate: Share of the training rows that churned.
            medium_from: Lower bound of the medium band; ``None`` to choose one.
            high_from: Lower bound of the high band; ``None`` to choose one.
            offer_cost: Cost of an offer.
            customer_value: What a customer is worth who stays because of an offer,
                times the share of offers that make one stay.
        """
        if high_from is None and offer_cost and customer_value:
            high_from = min(offer_cost / customer_value, MAX_BAND_BOUND)
            medium_from = high_from / 2 if medium_from is None else medium_from
        if high_from is None:
            high_from = _with_odds(churn_rate, HIGH_ODDS_RATIO)
            if medium_from is not None:
                high_from = max(high_from, min(2 * medium_from, (1 + medium_from) / 2))
        if medium_from is None:
            medium_from = min(_with_odds(churn_rate, MEDIUM_ODDS_RATIO), high_from / 2)
        return cls(medium_from, high_from)

    def of(self, probabilities: np.ndarray) -> np.ndarray:
        """Return ``low``, ``medium`` or ``high`` for each probability."""
        return np.select(
            [probabilities >= self.high_from, probabilities >= self.medium_from],
            ["high", "medium"],
            "low",
        )


def _with_odds(share: float, ratio: float) -> float:
    """Return the probability whose odds are a multiple of those of a share."""
    odds = ratio * share / (1 - share)
    return odds / (1 + odds)


@dataclass(frozen=True)
class Scorer:
    """The model and all settings that scoring needs: plain data, can be pickled.

    Attributes:
        model: The model that scores.
        model_version: Its version in ``churn_models``.
        features: The features with their phrases.
        bands: The bounds of the risk bands.
        scored_at: Scoring time in UTC, the same for all batches.
        gives_reasons: Whether to compute reasons, which takes most of the time.
    """

    model: ChurnModel
    model_version: str
    features: tuple[Feature, ...]
    bands: RiskBands
    scored_at: datetime
    gives_reasons: bool = True

    def score_batches(
        self, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the scores of each batch, holding one batch in memory at a time."""
        for batch in batches:
            yield score_batch(batch, self)


def scorer_from(
    registry: pd.DataFrame,
    features: Sequence[Feature],
    bands: RiskBands | Mapping[str, float | None],
    pinned_version: str | None = None,
    threads: int | None = None,
) -> Scorer | None:
    """Return the scorer of the champion, or of the pinned model.

    Args:
        registry: ``churn_models``.
        features: The features with their phrases.
        bands: Bounds, or arguments of `RiskBands.choose` after the churn rate.
        pinned_version: Version to score with instead of the champion.
        threads: XGBoost threads in each scoring process; by default all cores of
            this machine.

    Returns:
        The scorer, or ``None`` (and a printed message) if there is no champion.

    Raises:
        RegistryError: The pinned version is not in the registry.
    """
    registered = select_model(registry, pinned_version)
    if registered is None:
        print("Cannot score yet: churn_models is empty. The last scores are kept.")
        return None
    return Scorer(
        model=model_of(registered, threads or os.cpu_count() or 1),
        model_version=registered["model_version"],
        features=tuple(features),
        bands=bands
        if isinstance(bands, RiskBands)
        else RiskBands.choose(
            registered["train_churned_rows"] / registered["train_rows"], **bands
        ),
        scored_at=datetime.now(UTC).replace(tzinfo=None),
    )


def score(accounts: Any, scorer: Scorer | None, last_scores: Any = None) -> Any:
    """Score all accounts batch by batch; on Spark, in its executors.

    Args:
        accounts: Rows of ``int_accounts_to_score``, as accepted by `map_batches`.
        scorer: The scorer, or ``None`` if there is no model.
        last_scores: The current scores, returned unchanged if there is no model;
            ``None`` if there are none.

    Returns:
        A frame that a dbt Python model can return.
    """
    if scorer is not None:
        return map_batches(accounts, scorer.score_batches, SCORES_SCHEMA)
    if last_scores is not None:
        return map_batches(last_scores, _as_scores, SCORES_SCHEMA)
    return pa.RecordBatchReader.from_batches(SCORES_SCHEMA, iter(()))


def score_batch(accounts: pa.RecordBatch, scorer: Scorer) -> pa.RecordBatch:
    """Score one batch of accounts and keep their order.

    Args:
        accounts: Rows of ``int_accounts_to_score``: features, company name and the
            freshness of each source.
        scorer: The scorer.

    Returns:
        A batch of `SCORES_SCHEMA`, one row per account.

    Raises:
        UnknownFeatureError: The model needs a feature that is missing.
    """
    model = scorer.model
    try:
        matrix = model.matrix(accounts)
    except UnknownFeatureError as error:
        raise UnknownFeatureError(
            f"The model {scorer.model_version} cannot score: {error}; set "
            "champion_model_version to another model, or restore the column."
        ) from None
    probabilities = model.predict_proba(matrix)
    reasons = (
        explain(model, accounts, scorer.features, matrix)
        if scorer.gives_reasons
        else np.full((len(accounts), MAX_REASONS), None, dtype=object)
    )
    revenue = accounts.column("monthly_recurring_revenue").cast(pa.float64())
    scores: dict[str, Any] = {
        "churn_probability": pa.array(probabilities, pa.float64()),
        "risk_band": pa.array(scorer.bands.of(probabilities), pa.string()),
        "monthly_recurring_revenue": revenue,
        "revenue_at_risk": pc.multiply(pa.array(probabilities), revenue),
        "model_version": pa.array([scorer.model_version] * len(accounts)),
        "scored_at": pa.array([scorer.scored_at] * len(accounts), pa.timestamp("us")),
    }
    for position in range(MAX_REASONS):
        scores[f"reason_{position + 1}"] = pa.array(reasons[:, position], pa.string())
    for name in ("account_id", "as_of_date", "company_name", *FRESHNESS):
        scores[name] = accounts.column(name)
    return _as_batch(scores)


def _as_scores(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cast batches of scores to `SCORES_SCHEMA`."""
    for batch in batches:
        yield _as_batch({name: batch.column(name) for name in SCORES_SCHEMA.names})


def _as_batch(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """Build a batch of `SCORES_SCHEMA`; times are in UTC, without a zone."""
    return pa.RecordBatch.from_arrays(
        [columns[field.name].cast(field.type, safe=False) for field in SCORES_SCHEMA],
        schema=SCORES_SCHEMA,
    )
