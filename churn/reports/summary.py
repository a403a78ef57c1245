"""Reads what ``churn summary`` prints: the result of the last run.

The summary holds the conservation of the records, the labels, the model against its
baselines, the riskiest accounts with their reasons, and the freshness of each source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from churn.config import UserError

PREDICTOR_NAMES = {
    "model": "this model",
    "logistic_regression": "logistic regression",
    "recency_rule": "days since last visit",
    "prevalence": "constant probability",
}
METRIC_NAMES = {"roc_auc": "ROC AUC", "pr_auc": "PR AUC", "log_loss": "log loss"}

# What the metrics of each split method are measured on.
HELD_OUT = {
    "rolling_origins": "on successive dates, which also selected the model",
    "account_folds": "on other accounts, but the same dates",
}

# Columns of churn_scores by source, with the variable that says if a company has it.
_SOURCES = {
    "clickstream": ("clickstream_data_through", None),
    "CRM": ("crm_data_through", None),
    "billing": ("billing_data_through", "has_invoices"),
    "support calls": ("support_data_through", "has_support_calls"),
}


@dataclass(frozen=True)
class RecordCounts:
    """The conservation of the raw records: raw + extra = events + duplicates + rejects.

    Attributes:
        raw: Delivered records.
        extra: Further objects in records of several objects.
        events: Distinct events.
        duplicates: Repeated deliveries.
        rejects: Objects that are not events.
        sessions: Sessions of the events.
        visitors: Distinct visitors of the sessions.
    """

    raw: int
    extra: int
    events: int
    duplicates: int
    rejects: int
    sessions: int
    visitors: int


@dataclass(frozen=True)
class LabelCounts:
    """The number of observed, churned and pending labels."""

    observed: int
    churned: int
    pending: int


@dataclass(frozen=True)
class ModelMetrics:
    """The champion and the metrics of it and its baselines on held-out rows.

    Attributes:
        version: The model version.
        kind: The kind of model, such as ``trees``.
        fit_rows: Rows that it was fitted to.
        measured_on: What the metrics are measured on, in words.
        measured_from: First as-of date of the held-out rows.
        measured_to: Last as-of date of the held-out rows.
        warning: Why the model should not be relied on; ``None`` if it can be.
        metrics: Estimate, lower and upper bound by predictor and metric; empty if
            there was too little history for held-out rows.
    """

    version: str
    kind: str
    fit_rows: int
    measured_on: str
    measured_from: date | None
    measured_to: date | None
    warning: str | None
    metrics: Mapping[tuple[str, str], tuple[float | None, float | None, float | None]]


@dataclass(frozen=True)
class RiskyAccount:
    """One of the accounts most likely to leave.

    Attributes:
        account_id: The account.
        company_name: Its name, if the CRM has one.
        probability: Calibrated probability to churn within the horizon.
        risk_band: ``low``, ``medium`` or ``high``.
        revenue_at_risk: Probability times monthly recurring revenue; ``None`` if the
            company has no revenue in the CRM.
        currency: The currency of the revenue, if the CRM has one.
        reasons: Reasons in words, the most important first.
        offer: The recommended offer.
        offer_because: The evidence for it, in words.
    """

    account_id: str
    company_name: str | None
    probability: float
    risk_band: str
    revenue_at_risk: float | None
    currency: str | None
    reasons: Sequence[str]
    offer: str | None
    offer_because: str | None

    @property
    def money(self) -> str | None:
        """Return the revenue at risk with its currency, or ``None``."""
        if self.revenue_at_risk is None:
            return None
        return f"{self.revenue_at_risk:,.0f} {self.currency or 'in revenue'}"


@dataclass(frozen=True)
class Summary:
    """The result of the last run.

    Attributes:
        records: The conservation of the raw records.
        labels: The labels.
        model: The champion; ``None`` if there is none yet.
        as_of_date: The date of the scores; ``None`` if no account has been scored.
        riskiest: The accounts most likely to leave.
        data_through: Latest date by source; ``None`` if nothing has arrived.
        is_stale: Whether newer scores are due, or a source was not loaded in time.
        only_band: The risk band of all accounts; ``None`` if there are several.
    """

    records: RecordCounts
    labels: LabelCounts
    model: ModelMetrics | None
    as_of_date: date | None
    riskiest: Sequence[RiskyAccount]
    data_through: Mapping[str, date | None]
    is_stale: bool
    only_band: str | None


def summarize(
    connection: duckdb.DuckDBPyConnection,
    variables: Mapping[str, Any],
    accounts: int = 10,
) -> Summary:
    """Read the summary of the last run.

    Args:
        connection: A connection that finds the tables of all layers.
        variables: The project's variables.
        accounts: Maximum number of accounts to list.

    Raises:
        UserError: A table has not been built yet.
    """
    try:
        scores = _rows(
            connection,
            "select * from churn_scores order by risk_rank limit ?",
            accounts,
        )
        newest = _rows(
            connection,
            """select max(as_of_date) as as_of_date, bool_or(is_stale) as is_stale,
                max(columns('.*_data_through')) from churn_scores""",
        )[0]
        return Summary(
            records=_records(connection),
            labels=_labels(connection),
            model=_model(connection),
            as_of_date=newest["as_of_date"],
            riskiest=[_risky_account(score) for score in scores],
            data_through={
                source: newest.get(column)
                for source, (column, switch) in _SOURCES.items()
                if switch is None or variables.get(switch, True)
            },
            is_stale=bool(newest["is_stale"]),
            only_band=_only_band(connection),
        )
    except duckdb.CatalogException as error:
        raise UserError(
            "The database does not hold all tables yet: run `dbt build` first."
        ) from error


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, *parameters: object
) -> list[dict[str, Any]]:
    """Return rows by column name; a company's tables lack columns that it has not."""
    result = connection.execute(sql, list(parameters))
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _records(connection: duckdb.DuckDBPyConnection) -> RecordCounts:
    (counts,) = _rows(
        connection,
        """
        select
            coalesce(sum(raw_records), 0) as raw,
            coalesce(sum(extra_objects), 0) as extra,
            coalesce(sum(events), 0) as events,
            coalesce(sum(duplicates), 0) as duplicates,
            coalesce(sum(rejects), 0) as rejects,
            (select count(*) from sessions) as sessions,
            (select count(distinct visitor_id) from sessions) as visitors
        from clickstream_daily_counts
        """,
    )
    return RecordCounts(**{name: int(count) for name, count in counts.items()})


def _labels(connection: duckdb.DuckDBPyConnection) -> LabelCounts:
    (counts,) = _rows(
        connection,
        """
        select
            count(*) filter (label_status = 'observed') as observed,
            count(*) filter (is_churned) as churned,
            count(*) filter (label_status = 'pending') as pending
        from churn_labels
        """,
    )
    return LabelCounts(**counts)


def _model(connection: duckdb.DuckDBPyConnection) -> ModelMetrics | None:
    champions = _rows(
        connection,
        """
        select
            model_version,
            coalesce(model_kind, 'trees') as model_kind,
            fit_rows,
            split_method,
            quality_warning,
            coalesce(test_from, validation_from) as measured_from,
            coalesce(test_to, validation_to) as measured_to,
            case when test_rows > 0 then 'test' else 'validation' end as split
        from churn_models
        where is_champion
        """,
    )
    if not champions:
        return None
    champion = champions[0]
    measured = connection.execute(
        """
        select predictor, metric, value, lower_bound, upper_bound
        from churn_model_metrics
        where model_version = ? and split = ?
        """,
        [champion["model_version"], champion["split"]],
    ).fetchall()
    return ModelMetrics(
        version=champion["model_version"],
        kind=champion["model_kind"].replace("_", " "),
        fit_rows=champion["fit_rows"],
        measured_on=HELD_OUT.get(champion["split_method"], "on held-out time"),
        measured_from=champion["measured_from"],
        measured_to=champion["measured_to"],
        warning=champion["quality_warning"],
        metrics={
            (predictor, metric): (value, low, high)
            for predictor, metric, value, low, high in measured
        },
    )


def _only_band(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the risk band of all accounts, or ``None`` if there are several."""
    (bands,) = _rows(
        connection,
        """select count(*) as accounts, count(distinct risk_band) as bands,
            min(risk_band) as band from churn_scores""",
    )
    return bands["band"] if bands["accounts"] > 1 and bands["bands"] == 1 else None


def _risky_account(score: Mapping[str, Any]) -> RiskyAccount:
    return RiskyAccount(
        account_id=score["account_id"],
        company_name=score.get("company_name"),
        probability=score["churn_probability"],
        risk_band=score["risk_band"],
        revenue_at_risk=score.get("revenue_at_risk"),
        currency=score.get("currency"),
        reasons=[
            score[name]
            for name in ("reason_1", "reason_2", "reason_3")
            if score.get(name)
        ],
        offer=score.get("recommended_offer"),
        offer_because=score.get("offer_because"),
    )
