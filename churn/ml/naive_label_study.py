"""Measure the cost of a naive churn label: ``churn label-cost``.

Counts the accounts that a naive reading of the CRM calls churned, trains the same model
once on that label and once on `churn_labels`, and evaluates both against `churn_labels`
on held-out dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from churn.ml.dataset import ACCOUNT, AS_OF_DATE, LABEL, sort_rows
from churn.ml.features import Feature, read_features
from churn.ml.metrics import Estimate, compare, evaluate
from churn.ml.split import TEST
from churn.ml.train import (
    TrainingResult,
    TrainingSettings,
    find_training_problem,
    train,
)

TRUE_LABEL = "churn_labels"
# `cancelled_service` is filled.
FILLED = "filled"
# The same, without rows that were filled before the as-of date.
NEWLY_FILLED = "newly filled"

NAIVE_LABELS = (FILLED, NEWLY_FILLED)

SHOWN = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}


class CannotCompareError(Exception):
    """Report why nothing can be compared, in one sentence that says what to do."""


@dataclass(frozen=True)
class AccountCounts:
    """The accounts of the last batch, by the naive label and by their periods.

    Attributes:
        accounts: Accounts that were ever in an accepted batch.
        naively_churned: Those with a filled `cancelled_service` in the last batch.
        customers: Naively churned accounts with an open period.
        pending: Naively churned accounts cancelled less than the grace period ago.
        missed: Churned accounts without a naive label.
    """

    accounts: int
    naively_churned: int
    customers: int
    pending: int
    missed: int


@dataclass(frozen=True)
class RowCounts:
    """Observed labels (one per account and as-of date), by two definitions.

    Attributes:
        rows: All observed labels.
        churned: Churned according to `churn_labels`.
        naively_churned: Churned according to the naive label.
        only_naively: Churned according to the naive label only.
        accounts_only_naively: The distinct accounts of those rows.
        missed: Churned according to `churn_labels` only.
        excluded: Rows that the naive label excludes from training.
    """

    rows: int
    churned: int
    naively_churned: int
    only_naively: int
    accounts_only_naively: int
    missed: int
    excluded: int


@dataclass(frozen=True)
class EvaluatedModel:
    """A model trained on one label, evaluated on the held-out dates.

    Attributes:
        label: The label that it was trained on.
        metrics: Its metrics against `churn_labels`.
        difference: Its metrics minus those of the model trained on
            `churn_labels`, on the same draws; ``None`` for that model itself.
        claimed_auc: Its ROC AUC against its own training label, which the author of
            that label would report.
        mean_probability: Mean probability of all held-out rows.
        churned_share: Churned share of all held-out rows.
    """

    label: str
    metrics: dict[str, Estimate]
    difference: dict[str, Estimate] | None
    claimed_auc: Estimate
    mean_probability: float
    churned_share: float


@dataclass(frozen=True)
class HeldOut:
    """The held-out dates and the models evaluated on them."""

    first_day: str
    last_day: str
    rows: int
    accounts: int
    churned_rows: int
    models: list[EvaluatedModel]


@dataclass(frozen=True)
class Report:
    """All results for one database."""

    name: str
    last_batch: str
    accounts: AccountCounts
    rows: dict[str, RowCounts]
    held_out: HeldOut | None
    why_no_held_out: str | None = None


@dataclass(frozen=True)
class Settings:
    """Settings of the labels and of model training."""

    horizon_days: int
    training: TrainingSettings

    @classmethod
    def from_variables(cls, variables: Mapping[str, Any]) -> Settings:
        """Read the variables of a project."""
        horizon_days = int(variables["churn_horizon_days"])
        return cls(
            horizon_days=horizon_days,
            training=TrainingSettings(
                gap_days=horizon_days + int(variables["churn_grace_days"]),
                seed=int(variables["model_seed"]),
                search_trials=int(variables["search_trials"]),
                horizon_days=horizon_days,
                monotone_constraints=variables["monotone_constraints"],
            ),
        )


def observed_rows(
    connection: duckdb.DuckDBPyConnection, horizon_days: int
) -> pd.DataFrame:
    """Read every observed label with the state of `cancelled_service` at its time.

    A batch holds the state at the end of its day. The last accepted batch before
    `as_of_date` + horizon is therefore the first that a naive label can use, and
    covers the same days as the true label: neither uses later data.

    Returns:
        One row per account and as-of date: account_id, as_of_date, is_churned,
        is_filled (`cancelled_service` is filled in that batch) and was_filled (in
        the last batch before the as-of date).
    """
    return connection.execute(
        """
        with states as (
            select
                account_id,
                batch_date,
                coalesce(
                    cancellation_date is not null
                    or is_cancelled
                    or unreadable_cancelled_service is not null,
                    false
                ) as is_filled
            from int_account_changes
            where batch_scope = 'all' and change_kind != 'batch'
        )
        select
            labels.account_id,
            labels.as_of_date,
            labels.is_churned,
            coalesce(at_end.is_filled, false) as is_filled,
            coalesce(at_start.is_filled, false) as was_filled
        from churn_labels as labels
        asof left join states as at_end
            on labels.account_id = at_end.account_id
            and labels.as_of_date + cast(? as integer) > at_end.batch_date
        asof left join states as at_start
            on labels.account_id = at_start.account_id
            and labels.as_of_date > at_start.batch_date
        where labels.label_status = 'observed'
        """,
        [horizon_days],
    ).df()


def count_accounts(connection: duckdb.DuckDBPyConnection) -> AccountCounts:
    """Count the naively churned accounts and their actual state."""
    return AccountCounts(
        *connection.execute(
            """
            with last_periods as (
                select
                    account_id,
                    max_by(coalesce(end_reason, 'open'), period_number) as state
                from subscription_periods
                group by 1
            )
            select
                count(*),
                count(*) filter (is_naively_churned),
                count(*) filter (is_naively_churned and state = 'open'),
                count(*) filter (is_naively_churned and state = 'pending'),
                count(*) filter (not is_naively_churned and state = 'churn')
            from int_naive_churn
            left join last_periods using (account_id)
            """
        ).fetchall()[0]
    )


def count_rows(rows: pd.DataFrame, label: str) -> RowCounts:
    """Compare one naive label with the true label, on rows of `observed_rows`."""
    naive, used = naive_label(rows, label)
    naive, true = naive & used, rows[LABEL].astype(bool)
    only_naively = naive & ~true
    return RowCounts(
        rows=len(rows),
        churned=int(true.sum()),
        naively_churned=int(naive.sum()),
        only_naively=int(only_naively.sum()),
        accounts_only_naively=int(rows.loc[only_naively, ACCOUNT].nunique()),
        missed=int((true & used & ~naive).sum()),
        excluded=int((~used).sum()),
    )


def naive_label(rows: pd.DataFrame, label: str) -> tuple[pd.Series, pd.Series]:
    """Return the naive label of each row, and whether it is used for training."""
    all_rows = pd.Series(True, index=rows.index)
    used = ~rows["was_filled"].astype(bool) if label == NEWLY_FILLED else all_rows
    return rows["is_filled"].astype(bool), used


def compare_labels(
    rows: pd.DataFrame, features: Sequence[Feature], settings: TrainingSettings
) -> HeldOut | str:
    """Train on each label, and evaluate all models on the true labels of test dates.

    Args:
        rows: ``churn_training_set`` with `is_filled` and `was_filled`.
        features: Features to train on.
        settings: Training settings, the same for all models.

    Returns:
        The comparison, or the reason why no dates can be held out.
    """
    problem = find_training_problem(rows[LABEL].to_numpy(dtype=float))
    if problem:
        return problem
    rows = sort_rows(rows)
    true_result = train(rows, features, settings)
    if true_result.split.method != TEST:
        return true_result.split.reason
    test = rows.iloc[true_result.split.test]
    days = pd.to_datetime(test[AS_OF_DATE])
    accounts = test[ACCOUNT].to_numpy(dtype=str)
    labels = test[LABEL].to_numpy(dtype=float)

    def probabilities(result: TrainingResult) -> np.ndarray:
        return result.model.predict_proba(result.model.matrix(test))

    true_probabilities = probabilities(true_result)
    models = []
    for label in (TRUE_LABEL, *NAIVE_LABELS):
        own_labels, predicted = labels, true_probabilities
        used = np.full(len(test), True)
        if label != TRUE_LABEL:
            naive, is_used = naive_label(rows, label)
            # The naive label has more events, so its own split would differ.
            split = true_result.split.restricted(is_used.to_numpy())
            relabelled = rows.assign(**{LABEL: naive})[is_used]
            outcomes = relabelled[LABEL].to_numpy(float)
            for part in (split.fit, *(fold.train for fold in split.folds)):
                problem = find_training_problem(outcomes[part])
                if problem:
                    return f"{problem}, by the label `{label}`"
            result = train(relabelled, features, settings, split=split)
            predicted = probabilities(result)
            own_labels = naive.to_numpy(dtype=float)[true_result.split.test]
            used = is_used.to_numpy()[true_result.split.test]
        options = {"accounts": accounts, "draws": settings.draws, "seed": settings.seed}
        claimed = evaluate(own_labels[used], predicted[used], draws=0)
        models.append(
            EvaluatedModel(
                label=label,
                metrics=evaluate(labels, predicted, **options),
                difference=None
                if label == TRUE_LABEL
                else compare(labels, predicted, true_probabilities, **options),
                claimed_auc=claimed["roc_auc"],
                mean_probability=float(predicted.mean()),
                churned_share=float(labels.mean()),
            )
        )
    return HeldOut(
        first_day=str(days.min().date()),
        last_day=str(days.max().date()),
        rows=len(test),
        accounts=test[ACCOUNT].nunique(),
        churned_rows=int(labels.sum()),
        models=models,
    )


def report(
    connection: duckdb.DuckDBPyConnection, name: str, settings: Settings
) -> Report:
    """Count accounts and rows of one database, and compare the labels.

    Raises:
        CannotCompareError: A table or observed labels are missing.
    """
    try:
        accounts = count_accounts(connection)
        observed = observed_rows(connection, settings.horizon_days)
        training_set = connection.table("churn_training_set").df()
        features = read_features(connection.table("feature_dictionary").df())
        last_batch = connection.execute(
            "select max(batch_date) from int_crm_batch_dates where is_accepted"
        ).fetchall()[0][0]
    except duckdb.CatalogException as error:
        raise CannotCompareError(
            f"{name} does not hold all tables yet: run `dbt build` first."
        ) from error
    if observed.empty:
        raise CannotCompareError(
            f"{name} holds no observed label: labels need "
            f"{settings.training.gap_days} days of CRM batches after an as-of date."
        )
    rows = training_set.merge(
        observed[[ACCOUNT, AS_OF_DATE, "is_filled", "was_filled"]],
        on=[ACCOUNT, AS_OF_DATE],
        validate="one_to_one",
    )
    held_out = compare_labels(rows, features, settings.training)
    return Report(
        name=name,
        last_batch=str(last_batch)[:10],
        accounts=accounts,
        rows={label: count_rows(observed, label) for label in NAIVE_LABELS},
        held_out=held_out if isinstance(held_out, HeldOut) else None,
        why_no_held_out=held_out if isinstance(held_out, str) else None,
    )


def page(reports: Iterable[Report], settings: Settings) -> Iterator[str]:
    """Yield the lines of the report, as Markdown."""
    reports = list(reports)
    yield from _INTRODUCTION.format(
        horizon=settings.horizon_days,
        grace=settings.training.gap_days - settings.horizon_days,
        seed=settings.training.seed,
        draws=settings.training.draws,
    ).splitlines()

    yield from ("", "## Summary", "", *_summary(reports))

    yield from ("", "## Effect on the accounts", "", _ACCOUNTS_TEXT)
    yield from _table(
        [
            "company",
            "accounts",
            "naively churned",
            "of those customers today",
            "of those pending",
            "missed",
        ],
        [
            [
                f"{r.name}, {r.last_batch}",
                f"{r.accounts.accounts:,}",
                f"{r.accounts.naively_churned:,}",
                _with_share(r.accounts.customers, r.accounts.naively_churned),
                f"{r.accounts.pending:,}",
                f"{r.accounts.missed:,}",
            ]
            for r in reports
        ],
    )

    yield from ("", "## Effect on the labels", "", _ROWS_TEXT)
    yield from _table(
        [
            "company",
            "label",
            "labels",
            "churned",
            "naively churned",
            "wrongly",
            "accounts affected",
            "missed",
            "excluded",
        ],
        [
            [
                r.name,
                label,
                f"{counts.rows:,}",
                f"{counts.churned:,}",
                f"{counts.naively_churned:,}",
                _with_share(counts.only_naively, counts.naively_churned),
                f"{counts.accounts_only_naively:,}",
                f"{counts.missed:,}",
                f"{counts.excluded:,}",
            ]
            for r in reports
            for label, counts in r.rows.items()
        ],
    )

    yield from ("", "## Effect on the model", "", _MODEL_TEXT)
    for r in reports:
        yield ""
        if r.held_out is None:
            yield f"**{r.name}**: no dates can be held out ({r.why_no_held_out})."
            continue
        held_out = r.held_out
        yield (
            f"**{r.name}**, held-out dates {held_out.first_day} to "
            f"{held_out.last_day}: "
            f"{held_out.rows:,} labels of {held_out.accounts:,} accounts, "
            f"{held_out.churned_rows:,} churned "
            f"({held_out.churned_rows / held_out.rows:.1%})"
        )
        yield from _table(
            ["trained on", *SHOWN.values(), "mean probability", "claimed ROC AUC"],
            [
                [
                    model.label,
                    *(_with_interval(model.metrics[metric]) for metric in SHOWN),
                    f"{model.mean_probability:.1%}",
                    f"{model.claimed_auc.value:.3f}",
                ]
                for model in held_out.models
            ],
        )
        yield from _table(
            ["difference to churn_labels", *SHOWN.values()],
            [
                [
                    model.label,
                    *(
                        _with_interval(model.difference[metric], "+.3f")
                        for metric in SHOWN
                    ),
                ]
                for model in held_out.models
                if model.difference is not None
            ],
        )

    names = [r.name for r in reports]
    databases = " ".join(f"{name}.duckdb" for name in names)
    yield from ("", "## Reproduce this page", "", "```console")
    seeds = [name.removeprefix("seed-") for name in names if _SEED.fullmatch(name)]
    for seed in seeds if len(seeds) == len(names) else []:
        yield from _COMPANY_COMMANDS.format(seed=seed).splitlines()
    yield f"churn label-cost {databases} \\"
    yield "    --write docs/wrong-label.md"
    yield "```"


def _summary(reports: Sequence[Report]) -> Iterator[str]:
    """Yield the main results over all companies."""
    naively_churned = sum(r.accounts.naively_churned for r in reports)
    wrongly = sum(r.accounts.customers for r in reports)
    yield (
        f"- Of {sum(r.accounts.accounts for r in reports):,} accounts, "
        f"{naively_churned:,} have a filled `cancelled_service`; "
        f"{_with_share(wrongly, naively_churned)} of those are customers today."
    )
    compared = [r.held_out for r in reports if r.held_out]
    if not compared:
        return
    shares = [held_out.churned_rows / held_out.rows for held_out in compared]
    yield f"- {_range(shares, '.1%')} of the held-out labels churned."
    for number, label in enumerate((TRUE_LABEL, *NAIVE_LABELS)):
        models = [held_out.models[number] for held_out in compared]
        aucs = [model.metrics["roc_auc"].value for model in models]
        pr_aucs = [model.metrics["pr_auc"].value for model in models]
        claims = [model.claimed_auc.value for model in models]
        means = [model.mean_probability for model in models]
        claimed = "" if label == TRUE_LABEL else f" (claimed {_range(claims, '.3f')})"
        yield (
            f"- A model trained on `{label}` has a mean probability of "
            f"{_range(means, '.1%')}, a ROC AUC of {_range(aucs, '.3f')}{claimed} and "
            f"a PR AUC of {_range(pr_aucs, '.3f')}."
        )


def _range(values: Iterable[float | None], value_format: str) -> str:
    """Format the lowest and the highest value, or the only one."""
    known = (value for value in values if value is not None)
    texts = sorted({format(value, value_format) for value in known}, key=_number)
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def _number(text: str) -> float:
    return float(text.rstrip("%"))


_INTRODUCTION = """\
# What a wrong label costs

`cancelled_service is not null` looks like a churn label, but is not: an account that
cancelled and came back still has a cancellation date, an account that came back within
days never left, and an account that vanished from the CRM has no date at all. This page
counts the errors of such a label and measures their effect on a model.
`churn label-cost` prints it for your own database.

Three labels of the same accounts and as-of dates:

| label | counts as churned |
|---|---|
| churn_labels | a churn within the {horizon} days from the as-of date on; a \
cancellation followed by a restart within {grace} days does not count |
| filled | a filled `cancelled_service` in the last CRM batch of those {horizon} days |
| newly filled | the same, but accounts with a filled `cancelled_service` on the as-of \
date are excluded |

The naive labels are read from the batches of that time, not from the latest batch: they
cover the same days as `churn_labels` and use no later data. All models have the same
features, split by time, search and seed ({seed}). Only the label differs, in training
and in validation. All are evaluated against `churn_labels` on held-out dates. Intervals
hold 95 % of {draws} bootstrap draws of accounts."""

# The name of a database of the demo company with a seed.
_SEED = re.compile(r"seed-\d+")

_COMPANY_COMMANDS = """\
churn demo --accounts 1000 --days 365 --seed {seed} --out data/seed-{seed}
export CHURN_DUCKDB_PATH=seed-{seed}.duckdb
churn load data/seed-{seed}
dbt build --exclude resource_type:seed
"""

_ACCOUNTS_TEXT = """\
All accounts that were ever in the CRM, as of its last batch. "Pending" are
cancellations younger than the grace period, which can still become pauses. "Missed"
accounts churned, but vanished from the batch or lost their date."""

_ROWS_TEXT = """\
Observed labels, one per account and as-of date, of accounts that were customers on that
date."""

_MODEL_TEXT = """\
"Mean probability" is the mean prediction for the held-out rows; it should equal the
churned share. "Claimed ROC AUC" is measured against the label that the model was
trained on, as its author would report it. Differences are measured on the same
draws."""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _with_share(part: int, whole: int) -> str:
    return f"{part:,}" + (f" ({part / whole:.0%})" if whole else "")


def _with_interval(estimate: Estimate, value_format: str = ".3f") -> str:
    if estimate.value is None:
        return "-"
    value = format(estimate.value, value_format)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({estimate.low:{value_format}} to {estimate.high:{value_format}})"
