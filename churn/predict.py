"""From a model and today's accounts to the scores that sales reads.

`score_batch` is the whole of it: a function from one Arrow batch of accounts to
the batch of their scores, which depends on its arguments alone. A `Scorer` is
plain data and can be pickled, so the same call runs in this process, batch by
batch, and in the executors of Spark::

    accounts.mapInArrow(scorer.score_batches, schema)

An account's rank needs all scores, so it is not given here: `churn_scores`
ranks them in SQL.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from churn.engine_io import map_batches
from churn.features import Feature, UnknownFeatureError
from churn.reasons import MOST_REASONS, explain
from churn.registry import model_of, select_model
from churn.train import ChurnModel

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


@dataclass(frozen=True)
class Scorer:
    """All that scoring needs beside the accounts: plain data, to be pickled.

    Attributes:
        model: The model that scores.
        model_version: Its name in ``churn_models``.
        features: The features with their phrases.
        offers: The offer of each product category, and of `DEFAULT_OFFER`.
        bands: The bounds of the risk bands.
        scored_at: When the scores were made, in UTC; one moment for all batches.
        gives_reasons: Whether the scores get reasons, which take by far most of
            the time.
    """

    model: ChurnModel
    model_version: str
    features: tuple[Feature, ...]
    offers: dict[str, str]
    bands: RiskBands
    scored_at: datetime
    gives_reasons: bool = True

    def score_batches(
        self, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """The scores of each batch, one batch in memory at a time."""
        for batch in batches:
            yield score_batch(batch, self)


def scorer_from(
    registry: pd.DataFrame,
    features: Sequence[Feature],
    offers: pd.DataFrame,
    bands: RiskBands,
    pinned_version: str | None = None,
    threads: int | None = None,
) -> Scorer | None:
    """The scorer of the champion, or of the pinned model.

    Args:
        registry: ``churn_models``.
        features: The features with their phrases.
        offers: ``product_category`` and ``offer``, one row for the category
            ``default``.
        bands: The bounds of the risk bands.
        pinned_version: The model to score with instead of the champion.
        threads: Threads of XGBoost in each process that scores; all cores of
            this machine by default.

    Returns:
        ``None`` while the registry holds no champion; that is said.

    Raises:
        RegistryError: The pinned version is not in the registry.
    """
    chosen = select_model(registry, pinned_version)
    if chosen is None:
        print("cannot score yet: churn_models holds no model; the last scores stay")
        return None
    return Scorer(
        model=model_of(chosen, threads or os.cpu_count() or 1),
        model_version=chosen["model_version"],
        features=tuple(features),
        offers=dict(zip(offers["product_category"], offers["offer"], strict=True)),
        bands=bands,
        scored_at=datetime.now(UTC).replace(tzinfo=None),
    )


def score(accounts: Any, scorer: Scorer | None, last_scores: Any = None) -> Any:
    """The scores of all accounts, batch by batch, in Spark's executors on Spark.

    Args:
        accounts: The rows of ``int_accounts_to_score``, as `map_batches` takes
            them.
        scorer: The model and what goes with it, ``None`` while there is none.
        last_scores: The scores so far, which stay while there is no model;
            ``None`` if there are none.

    Returns:
        A frame that a Python model may return.
    """
    if scorer is not None:
        return map_batches(accounts, scorer.score_batches, SCORES_SCHEMA)
    if last_scores is not None:
        return map_batches(last_scores, _as_scores, SCORES_SCHEMA)
    return pa.RecordBatchReader.from_batches(SCORES_SCHEMA, iter(()))


def score_batch(accounts: pa.RecordBatch, scorer: Scorer) -> pa.RecordBatch:
    """The scores of one batch of accounts, in the order of the accounts.

    Args:
        accounts: Rows of ``int_accounts_to_score``: features, company name and
            how old each source is.
        scorer: The model and what goes with it.

    Returns:
        A batch of `SCORES_SCHEMA`, one row per account.

    Raises:
        UnknownFeatureError: The model needs a feature that is no longer there.
    """
    model = scorer.model
    try:
        matrix = model.matrix(accounts)
    except UnknownFeatureError as error:
        raise UnknownFeatureError(
            f"The model {scorer.model_version} cannot score: {error}; set "
            "champion_model_version to another model, or bring the column back."
        ) from None
    probabilities = model.predict_proba(matrix)
    reasons = (
        explain(model, accounts, scorer.features, matrix)
        if scorer.gives_reasons
        else np.full((len(accounts), MOST_REASONS), None, dtype=object)
    )
    revenue = accounts.column("monthly_recurring_revenue").cast(pa.float64())
    told: dict[str, Any] = {
        "churn_probability": pa.array(probabilities, pa.float64()),
        "risk_band": pa.array(scorer.bands.of(probabilities), pa.string()),
        "recommended_offer": recommend(
            accounts.column("top_category_90d"), scorer.offers
        ),
        "monthly_recurring_revenue": revenue,
        "revenue_at_risk": pc.multiply(pa.array(probabilities), revenue),
        "model_version": pa.array([scorer.model_version] * len(accounts)),
        "scored_at": pa.array([scorer.scored_at] * len(accounts), pa.timestamp("us")),
    }
    for place in range(MOST_REASONS):
        told[f"reason_{place + 1}"] = pa.array(reasons[:, place], pa.string())
    for name in ("account_id", "as_of_date", "company_name", *FRESHNESS):
        told[name] = accounts.column(name)
    return _as_batch(told)


def recommend(categories: pa.Array, offers: dict[str, str]) -> pa.Array:
    """The offer of each category, the default one where it has none."""
    known = pa.array(list(offers), pa.string())
    told = pa.array(list(offers.values()), pa.string())
    found = told.take(pc.index_in(categories.cast(pa.string()), known))
    return found.fill_null(pa.scalar(offers.get(DEFAULT_OFFER), pa.string()))


def _as_scores(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of scores with the types of `SCORES_SCHEMA`."""
    for batch in batches:
        yield _as_batch({name: batch.column(name) for name in SCORES_SCHEMA.names})


def _as_batch(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """A batch of `SCORES_SCHEMA`; times without a zone, since all are in UTC."""
    return pa.RecordBatch.from_arrays(
        [columns[field.name].cast(field.type, safe=False) for field in SCORES_SCHEMA],
        schema=SCORES_SCHEMA,
    )
