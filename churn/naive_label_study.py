"""What a naive churn label costs: ``python -m churn.naive_label_study``.

Counts whom a naive reading of the CRM calls churned, trains the same model once
on that reading and once on `churn_labels`, and judges both on what really
happened in the held-out time.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import yaml

from churn.dataset import ACCOUNT, AS_OF_DATE, LABEL, in_one_order
from churn.features import Feature, read_features
from churn.metrics import Estimate, compare, evaluate
from churn.split import THREE_WAY
from churn.train import (
    TrainingResult,
    TrainingSettings,
    train,
    why_not_trainable,
)

ROOT = Path(__file__).resolve().parents[1]

OURS = "churn_labels"
FILLED = "filled"
NEWLY_FILLED = "newly filled"

READINGS = (FILLED, NEWLY_FILLED)

SHOWN = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}


class CannotCompareError(Exception):
    """Why there is nothing to report, as one sentence that says what to do."""


@dataclass(frozen=True)
class AccountCounts:
    """The accounts of the last batch, by the naive reading and by their periods.

    Attributes:
        accounts: All accounts that ever were in a accepted batch.
        naively_churned: Those with `cancelled_service` filled in the last one.
        customers: Those among the naively churned with an open period.
        pending: Those among them whose cancellation is younger than the grace.
        missed: Churned ones that the naive reading does not call so.
    """

    accounts: int
    naively_churned: int
    customers: int
    pending: int
    missed: int


@dataclass(frozen=True)
class RowCounts:
    """Observed labels (account and as-of date), by two readings.

    Attributes:
        rows: All of them.
        churned: Those that `churn_labels` calls churned.
        naively_churned: Those that the naive reading calls churned.
        only_naively: Called churned by the naive reading alone.
        accounts_only_naively: The distinct accounts among those.
        missed: Churned, though the naive reading does not say so.
        left_out: Rows that the reading does not learn from.
    """

    rows: int
    churned: int
    naively_churned: int
    only_naively: int
    accounts_only_naively: int
    missed: int
    left_out: int


@dataclass(frozen=True)
class Judged:
    """A model that learnt one reading, judged on the held-out time.

    Attributes:
        reading: The label it learnt.
        metrics: Against `churn_labels`.
        loss_to_ours: Its metrics minus those of the model that learnt
            `churn_labels`, on the same draws; ``None`` for that model itself.
        believed: Its ROC AUC against the label it learnt: what whoever made that
            label would report.
        mean_probability: Of all held-out rows.
        churned_share: Of all held-out rows.
    """

    reading: str
    metrics: dict[str, Estimate]
    loss_to_ours: dict[str, Estimate] | None
    believed: Estimate
    mean_probability: float
    churned_share: float


@dataclass(frozen=True)
class HeldOut:
    """The held-out time and the models judged on it."""

    first_day: str
    last_day: str
    rows: int
    accounts: int
    churned_rows: int
    judged: list[Judged]


@dataclass(frozen=True)
class Report:
    """All that is known of one database."""

    name: str
    last_batch: str
    accounts: AccountCounts
    rows: dict[str, RowCounts]
    held_out: HeldOut | None
    why_no_held_out: str | None = None


@dataclass(frozen=True)
class Settings:
    """What the labels were made with, and how the models are trained."""

    horizon_days: int
    training: TrainingSettings

    @classmethod
    def of_project(cls) -> Settings:
        """The variables of ``dbt_project.yml``."""
        project = yaml.safe_load((ROOT / "dbt_project.yml").read_text())
        variables = project["vars"]
        horizon_days = int(variables["churn_horizon_days"])
        return cls(
            horizon_days=horizon_days,
            training=TrainingSettings(
                gap_days=horizon_days + int(variables["churn_grace_days"]),
                seed=int(variables["model_seed"]),
                search_trials=int(variables["search_trials"]),
                monotone_constraints=bool(variables["monotone_constraints"]),
            ),
        )


def observed_rows(
    connection: duckdb.DuckDBPyConnection, horizon_days: int
) -> pd.DataFrame:
    """Every observed label with what the batches of its time told.

    The batch of a day holds the state of its evening. So the last accepted batch
    before `as_of_date` + horizon is the first answer that a naive reader could
    have, and covers the very days that the label covers: neither side knows more
    of the future than the other.

    Returns:
        One row per account and as-of date: account_id, as_of_date, is_churned,
        is_filled (`cancelled_service` holds something in that batch) and
        was_filled (in the last one before the as-of date).
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
    """Whom the naive reading calls churned today, and what became of them."""
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
        ).fetchone()
    )


def count_rows(rows: pd.DataFrame, reading: str) -> RowCounts:
    """How one naive reading of the rows of `observed_rows` differs from ours."""
    naive, used = naive_label(rows, reading)
    naive, ours = naive & used, rows[LABEL].astype(bool)
    only_naively = naive & ~ours
    return RowCounts(
        rows=len(rows),
        churned=int(ours.sum()),
        naively_churned=int(naive.sum()),
        only_naively=int(only_naively.sum()),
        accounts_only_naively=int(rows.loc[only_naively, ACCOUNT].nunique()),
        missed=int((ours & used & ~naive).sum()),
        left_out=int((~used).sum()),
    )


def naive_label(rows: pd.DataFrame, reading: str) -> tuple[pd.Series, pd.Series]:
    """The label of a naive reading, and which rows it learns from."""
    everyone = pd.Series(True, index=rows.index)
    used = ~rows["was_filled"].astype(bool) if reading == NEWLY_FILLED else everyone
    return rows["is_filled"].astype(bool), used


def judge(
    rows: pd.DataFrame, features: Sequence[Feature], settings: TrainingSettings
) -> HeldOut | str:
    """Train on each reading, and judge all models on our labels of the test time.

    Args:
        rows: ``churn_training_set`` with `is_filled` and `was_filled`.
        features: The features to learn from.
        settings: The same for all of them.

    Returns:
        The comparison, or why there is no time to hold out.
    """
    problem = why_not_trainable(rows[LABEL].to_numpy(dtype=float))
    if problem:
        return problem
    rows = in_one_order(rows)
    ours = train(rows, features, settings)
    if ours.split.method != THREE_WAY:
        return ours.split.reason
    test = rows.iloc[ours.split.test]
    days = pd.to_datetime(test[AS_OF_DATE])
    accounts = test[ACCOUNT].to_numpy(dtype=str)
    labels = test[LABEL].to_numpy(dtype=float)

    def probabilities(result: TrainingResult) -> np.ndarray:
        return result.model.predict_proba(result.model.matrix(test))

    best = probabilities(ours)
    judged = []
    for reading in (OURS, *READINGS):
        own_labels, given = labels, best
        used = np.full(len(test), True)
        if reading != OURS:
            naive, learnt_from = naive_label(rows, reading)
            learnt = train(
                rows.assign(**{LABEL: naive})[learnt_from], features, settings
            )
            if _split_days(learnt) != _split_days(ours):
                return f"the reading `{reading}` would be split at other days"
            given = probabilities(learnt)
            own_labels = naive.to_numpy(dtype=float)[ours.split.test]
            used = learnt_from.to_numpy()[ours.split.test]
        measured = {"accounts": accounts, "draws": settings.draws}
        judged.append(
            Judged(
                reading=reading,
                metrics=evaluate(labels, given, seed=settings.seed, **measured),
                loss_to_ours=None
                if reading == OURS
                else compare(labels, given, best, seed=settings.seed, **measured),
                believed=evaluate(own_labels[used], given[used], draws=0)["roc_auc"],
                mean_probability=float(given.mean()),
                churned_share=float(labels.mean()),
            )
        )
    return HeldOut(
        first_day=str(days.min().date()),
        last_day=str(days.max().date()),
        rows=len(test),
        accounts=test[ACCOUNT].nunique(),
        churned_rows=int(labels.sum()),
        judged=judged,
    )


def _split_days(result: TrainingResult) -> list[tuple[np.datetime64, np.datetime64]]:
    """First and last as-of date of each part of a split."""
    days = result.training_data.days
    return [
        (days[part].min(), days[part].max()) for part in result.split.parts().values()
    ]


def report(
    connection: duckdb.DuckDBPyConnection, name: str, settings: Settings
) -> Report:
    """Count and judge what one database holds.

    Raises:
        CannotCompareError: it lacks a table, or observed labels.
    """
    try:
        accounts = count_accounts(connection)
        observed = observed_rows(connection, settings.horizon_days)
        training_set = connection.table("churn_training_set").df()
        features = read_features(connection.table("feature_dictionary").df())
        last_batch = connection.execute(
            "select max(batch_date) from int_crm_batch_dates where is_accepted"
        ).fetchone()[0]
    except duckdb.CatalogException as error:
        raise CannotCompareError(
            f"{name} does not hold all tables yet: run `dbt build` first."
        ) from error
    if observed.empty:
        raise CannotCompareError(
            f"{name} holds no observed label, so nothing can be compared: it needs "
            f"{settings.training.gap_days} days of CRM batches after an as-of date."
        )
    rows = training_set.merge(
        observed[[ACCOUNT, AS_OF_DATE, "is_filled", "was_filled"]],
        on=[ACCOUNT, AS_OF_DATE],
        validate="one_to_one",
    )
    held_out = judge(rows, features, settings.training)
    return Report(
        name=name,
        last_batch=str(last_batch)[:10],
        accounts=accounts,
        rows={reading: count_rows(observed, reading) for reading in READINGS},
        held_out=held_out if isinstance(held_out, HeldOut) else None,
        why_no_held_out=held_out if isinstance(held_out, str) else None,
    )


def page(reports: Iterable[Report], settings: Settings) -> Iterator[str]:
    """The report as Markdown."""
    reports = list(reports)
    yield from _INTRODUCTION.format(
        horizon=settings.horizon_days,
        grace=settings.training.gap_days - settings.horizon_days,
        seed=settings.training.seed,
        draws=settings.training.draws,
    ).splitlines()

    yield from ("", "## In short", "", *_in_short(reports))

    yield from ("", "## Whom it calls churned", "", _ACCOUNTS_TEXT)
    yield from _table(
        [
            "company",
            "accounts",
            "called churned",
            "of them customers today",
            "of them undecided",
            "churned, but not called so",
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

    yield from ("", "## What it does to the labels", "", _ROWS_TEXT)
    yield from _table(
        [
            "company",
            "reading",
            "labels",
            "churned",
            "called churned",
            "wrongly",
            "accounts concerned",
            "missed",
            "not learnt from",
        ],
        [
            [
                r.name,
                reading,
                f"{counts.rows:,}",
                f"{counts.churned:,}",
                f"{counts.naively_churned:,}",
                _with_share(counts.only_naively, counts.naively_churned),
                f"{counts.accounts_only_naively:,}",
                f"{counts.missed:,}",
                f"{counts.left_out:,}",
            ]
            for r in reports
            for reading, counts in r.rows.items()
        ],
    )

    yield from ("", "## What it does to the model", "", _MODEL_TEXT)
    for r in reports:
        yield ""
        if r.held_out is None:
            yield f"**{r.name}**: no time can be held out ({r.why_no_held_out})."
            continue
        held_out = r.held_out
        yield (
            f"**{r.name}**, held out {held_out.first_day} to {held_out.last_day}: "
            f"{held_out.rows:,} labels of {held_out.accounts:,} accounts, "
            f"{held_out.churned_rows:,} churned "
            f"({held_out.churned_rows / held_out.rows:.1%})"
        )
        yield from _table(
            ["learnt from", *SHOWN.values(), "mean probability", "ROC AUC it claims"],
            [
                [
                    judged.reading,
                    *(_with_interval(judged.metrics[metric]) for metric in SHOWN),
                    f"{judged.mean_probability:.1%}",
                    f"{judged.believed.value:.3f}",
                ]
                for judged in held_out.judged
            ],
        )
        yield from _table(
            ["difference to churn_labels", *SHOWN.values()],
            [
                [
                    judged.reading,
                    *(
                        _with_interval(judged.loss_to_ours[metric], "+.3f")
                        for metric in SHOWN
                    ),
                ]
                for judged in held_out.judged
                if judged.loss_to_ours is not None
            ],
        )

    names = [r.name for r in reports]
    databases = " ".join(f"{name}.duckdb" for name in names)
    yield from ("", "## How this page was made", "", "```console")
    seeds = [re.fullmatch(r"seed-(\d+)", name) for name in names]
    for seed in seeds if all(seeds) else []:
        yield from _HOW_A_COMPANY_IS_MADE.format(seed=seed.group(1)).splitlines()
    yield f"python -m churn.naive_label_study --database {databases} \\"
    yield "    --write docs/wrong-label.md"
    yield "```"


def _in_short(reports: Sequence[Report]) -> Iterator[str]:
    """What the tables come to, over all companies."""
    called = sum(r.accounts.naively_churned for r in reports)
    wrongly = sum(r.accounts.customers for r in reports)
    yield (
        f"- Of {sum(r.accounts.accounts for r in reports):,} accounts, {called:,} "
        f"have something in `cancelled_service`; {_with_share(wrongly, called)} of "
        "those are customers today."
    )
    compared = [r.held_out for r in reports if r.held_out]
    if not compared:
        return
    shares = [held_out.churned_rows / held_out.rows for held_out in compared]
    yield f"- {_range(shares, '.1%')} of the held-out labels churned."
    for number, reading in enumerate((OURS, *READINGS)):
        judged = [held_out.judged[number] for held_out in compared]
        aucs = [j.metrics["roc_auc"].value for j in judged]
        claims = [j.believed.value for j in judged]
        claimed = "" if reading == OURS else f" (it claims {_range(claims, '.3f')})"
        yield (
            f"- A model that learnt `{reading}` says "
            f"{_range([j.mean_probability for j in judged], '.1%')} on average, and "
            f"ranks with a ROC AUC of {_range(aucs, '.3f')}{claimed}, a PR AUC of "
            f"{_range([j.metrics['pr_auc'].value for j in judged], '.3f')}."
        )


def _range(values: Iterable[float], form: str) -> str:
    """The lowest and the highest value, or the only one."""
    texts = sorted({format(value, form) for value in sorted(values)}, key=_number)
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def _number(text: str) -> float:
    return float(text.rstrip("%"))


_INTRODUCTION = """\
# What a wrong label costs

`cancelled_service is not null` looks like a churn label. It is none: an account
that cancelled and came back still has a cancellation date, one that came back
within days never left, and one that vanished from the CRM has no date at all.
This page counts what such a reading gets wrong, and what a model makes of it.
`python -m churn.naive_label_study` prints it for your own database.

Three labels of the same accounts and as-of dates:

| label | called churned is |
|---|---|
| churn_labels | a churn dated within the {horizon} days from the as-of date on; a \
cancellation with a restart within {grace} days is none |
| filled | whoever has something in `cancelled_service` in the last CRM batch of \
those {horizon} days |
| newly filled | the same, by a more careful reader, who leaves out accounts that \
had something there on the as-of date already |

The naive readings are read from the batches as they were then, not from the
latest one: they cover the days that our label covers, and know no more of the
future. All models are trained alike: features, split by time, search and seed
({seed}). Only the label that they learn differs, in training and in validation.
All are judged on `churn_labels` of the held-out time. Intervals hold 95 % of
{draws} bootstrap draws of accounts."""

_HOW_A_COMPANY_IS_MADE = """\
python -m churn.demo --accounts 1000 --days 365 --seed {seed} --out data/seed-{seed}
export CHURN_DUCKDB_PATH=seed-{seed}.duckdb
python -m churn.load data/seed-{seed}
dbt build --exclude resource_type:seed
"""

_ACCOUNTS_TEXT = """\
All accounts that the CRM ever told of, as of its last batch. "Undecided" are
cancellations younger than the grace, which may yet turn out to be pauses. What
is not called churned though it is has vanished from the batch, or lost its
date."""

_ROWS_TEXT = """\
Observed labels, one per account and as-of date, of accounts that were customers
on that day."""

_MODEL_TEXT = """\
"Mean probability" is what the model says of the average held-out account; it
should be the share that churned. "ROC AUC it claims" is measured on the label
that the model learnt: what its maker would report. Differences are measured on
the same draws."""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _with_share(part: int, whole: int) -> str:
    return f"{part:,}" + (f" ({part / whole:.0%})" if whole else "")


def _with_interval(estimate: Estimate, form: str = ".3f") -> str:
    if estimate.value is None:
        return "-"
    value = format(estimate.value, form)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({estimate.low:{form}} to {estimate.high:{form}})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report, or write it; 1 with one sentence if there is none."""
    parser = argparse.ArgumentParser(
        prog="python -m churn.naive_label_study", description=__doc__
    )
    parser.add_argument(
        "--database",
        type=Path,
        nargs="+",
        default=[Path(os.environ.get("CHURN_DUCKDB_PATH", "churn.duckdb"))],
        help="DuckDB files that dbt built, each a company of its own that is named "
        "after its file (default: CHURN_DUCKDB_PATH)",
    )
    parser.add_argument("--write", type=Path, help="write the report to this file")
    options = parser.parse_args(arguments)

    settings = Settings.of_project()
    reports = []
    try:
        for database in options.database:
            if not database.exists():
                raise CannotCompareError(
                    f"There is no database {database}: run `make run`, or "
                    "`dbt build`, first."
                )
            with duckdb.connect(str(database), read_only=True) as connection:
                reports.append(report(connection, database.stem, settings))
    except CannotCompareError as reason:
        print(reason, file=sys.stderr)
        return 1
    except duckdb.IOException as error:
        print(
            f"{database} cannot be opened, perhaps because a run is writing to it: "
            f"{str(error).splitlines()[0]}",
            file=sys.stderr,
        )
        return 1
    text = "\n".join(page(reports, settings)) + "\n"
    if options.write:
        options.write.write_text(text)
        print(f"Written to {options.write}.")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
