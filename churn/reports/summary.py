"""Print a summary of the last run: ``python -m churn summary``.

Reads the final tables of the DuckDB file and prints the conservation of the records,
the labels, the model against its baselines, the riskiest accounts with their reasons,
and the freshness of each source.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from churn.config import use_schemas

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 79
LABEL_WIDTH = 12

PREDICTOR_NAMES = {
    "model": "this model",
    "logistic_regression": "logistic regression",
    "recency_rule": "days since last visit",
    "prevalence": "constant probability",
}
# What the metrics of each split method are measured on.
HELD_OUT = {
    "rolling_origins": "on successive dates, which also selected the model",
    "account_folds": "on other accounts, but the same dates",
}


def main(arguments: list[str] | None = None) -> int:
    """Print the summary; return 1 and print one sentence if that is impossible."""
    parser = argparse.ArgumentParser(
        prog="python -m churn summary", description=__doc__
    )
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("CHURN_DUCKDB_PATH", "churn.duckdb")),
        help="the DuckDB file that dbt built (default: CHURN_DUCKDB_PATH)",
    )
    parser.add_argument(
        "--accounts", type=int, default=10, help="number of accounts to list"
    )
    options = parser.parse_args(arguments)

    if not options.database.exists():
        print(
            f"There is no database {options.database}: run `make run`, or "
            "`dbt build`, first.",
            file=sys.stderr,
        )
        return 1
    try:
        with duckdb.connect(str(options.database), read_only=True) as connection:
            use_schemas(connection)
            lines = list(summary(connection, options.accounts))
    except duckdb.CatalogException:
        print(
            f"{options.database} does not hold all tables yet: run `dbt build` first.",
            file=sys.stderr,
        )
        return 1
    except duckdb.IOException:
        print(
            f"{options.database} is in use by another process: wait until that "
            "run has ended.",
            file=sys.stderr,
        )
        return 1

    print("\n".join(lines))
    print(labelled("Database", str(options.database)))
    print(labelled("Docs", docs_location()))
    return 0


def summary(connection: duckdb.DuckDBPyConnection, accounts: int) -> Iterable[str]:
    """Yield the lines of the summary.

    Raises:
        duckdb.CatalogException: A table has not been built yet.
    """
    yield from records(connection)
    yield from labels(connection)
    yield ""
    yield from model(connection)
    yield ""
    yield from riskiest(connection, accounts)
    yield ""
    yield from freshness(connection)


def records(connection: duckdb.DuckDBPyConnection) -> Iterable[str]:
    """Yield the conservation of the raw records, and the number of sessions."""
    raw, extra, events, duplicates, rejects = connection.execute(
        """
        select
            coalesce(sum(raw_records), 0),
            coalesce(sum(extra_objects), 0),
            coalesce(sum(events), 0),
            coalesce(sum(duplicates), 0),
            coalesce(sum(rejects), 0)
        from clickstream_daily_counts
        """
    ).fetchone()
    yield labelled(
        "Records",
        f"{raw:,} raw records, {extra:,} extra objects in them: "
        f"{raw + extra:,} = {events:,} events + {duplicates:,} duplicates "
        f"+ {rejects:,} rejects",
    )
    sessions, visitors = connection.execute(
        "select count(*), count(distinct visitor_id) from sessions"
    ).fetchone()
    yield labelled("Sessions", f"{sessions:,} of {visitors:,} visitors")


def labels(connection: duckdb.DuckDBPyConnection) -> Iterable[str]:
    """Yield the number of observed, churned and pending labels."""
    observed, churned, pending = connection.execute(
        """
        select
            count(*) filter (label_status = 'observed'),
            count(*) filter (is_churned),
            count(*) filter (label_status = 'pending')
        from churn_labels
        """
    ).fetchone()
    share = f" ({churned / observed:.1%} churned)" if observed else ""
    yield labelled("Labels", f"{observed:,} observed{share}, {pending:,} still pending")


def model(connection: duckdb.DuckDBPyConnection) -> Iterable[str]:
    """Yield the metrics of the champion and its baselines on the test rows."""
    champion = connection.execute(
        """
        select
            model_version,
            model_kind,
            fit_rows,
            split_method,
            quality_warning,
            coalesce(test_from, validation_from),
            coalesce(test_to, validation_to),
            case when test_rows > 0 then 'test' else 'validation' end
        from churn_models
        where is_champion
        """
    ).fetchone()
    if champion is None:
        yield labelled(
            "Model",
            "none: there are no labels to train on yet. A model needs observed "
            "labels of accounts that churned and of accounts that stayed.",
        )
        return

    version, kind, fit_rows, split_method, warning, *dates, part = champion
    kind_words = (kind or "trees").replace("_", " ")
    yield labelled("Model", f"{version}, {kind_words}, fitted to {fit_rows:,} rows")
    measured = connection.execute(
        """
        select predictor, metric, value, lower_bound, upper_bound
        from churn_model_metrics
        where model_version = ? and split = ?
        """,
        [version, part],
    ).fetchall()
    if not measured:
        yield labelled("", "not evaluated: too little history for held-out rows")
        return

    values = {(row[0], row[1]): row[2:] for row in measured}
    held_out = HELD_OUT.get(split_method, "on held-out time")
    yield labelled("", f"{held_out}, {dates[0]} to {dates[1]}:")
    metrics = {"roc_auc": "ROC AUC", "pr_auc": "PR AUC", "log_loss": "log loss"}
    yield labelled(
        "",
        f"{'':24}"
        + "".join(f"{name:>10}" for name in metrics.values())
        + "   ROC AUC, 95 % interval",
    )
    for predictor, name in PREDICTOR_NAMES.items():
        if (predictor, "roc_auc") not in values:
            continue
        cells = "".join(
            f"{values[predictor, metric][0]:>10.3f}"
            if values.get((predictor, metric), (None,))[0] is not None
            else f"{'':>10}"
            for metric in metrics
        )
        _, low, high = values[predictor, "roc_auc"]
        interval = f"   {low:.3f} to {high:.3f}" if low is not None else ""
        yield labelled("", f"  {name:<22}{cells}{interval}")
    if warning:
        yield labelled("WARNING", warning)


def riskiest(connection: duckdb.DuckDBPyConnection, accounts: int) -> Iterable[str]:
    """Yield the accounts most likely to leave, with reasons and offer."""
    scores = connection.execute(
        """
        select
            account_id, company_name, as_of_date, churn_probability, risk_band,
            revenue_at_risk, reason_1, reason_2, reason_3, recommended_offer
        from churn_scores
        order by risk_rank
        limit ?
        """,
        [accounts],
    ).fetchall()
    if not scores:
        yield "No account has been scored yet."
        return

    [count, band, bands] = connection.execute(
        "select count(*), min(risk_band), count(distinct risk_band) from churn_scores"
    ).fetchone()
    if count > 1 and bands == 1:
        yield labelled("WARNING", f"All {count:,} accounts are in the band {band}.")
    yield f"The {len(scores)} accounts most likely to leave, as of {scores[0][2]}"
    for number, score in enumerate(scores, start=1):
        account_id, company, _, probability, band, revenue, *texts = score
        reasons, offer = texts[:-1], texts[-1]
        yield ""
        yield (
            f"{number:>3}. {company or account_id} ({account_id}): {probability:.0%}, "
            f"{band} risk, {revenue:,.0f} EUR at risk"
        )
        because = "; ".join(reason for reason in reasons if reason)
        yield from wrapped(f"why: {because}")
        yield from wrapped(f"offer: {offer}")


def freshness(connection: duckdb.DuckDBPyConnection) -> Iterable[str]:
    """Yield the latest date of each source that the scores could use."""
    row = connection.execute(
        """
        select
            max(as_of_date),
            max(clickstream_data_through),
            max(crm_data_through),
            max(billing_data_through),
            max(support_data_through),
            bool_or(is_stale)
        from churn_scores
        """
    ).fetchone()
    if row is None or row[0] is None:
        return
    _, *through, is_stale = row
    sources = ("clickstream", "CRM", "billing", "support calls")
    ages = [
        f"{source} through {str(day)[:10] if day else 'never'}"
        for source, day in zip(sources, through, strict=True)
    ]
    yield labelled("Freshness", ", ".join(ages))
    yield labelled(
        "",
        "STALE: a source was not loaded in time, see stale_after_days"
        if is_stale
        else "no source is stale",
    )


def docs_location() -> str:
    """Return the path of the static docs, or how to write them."""
    page = ROOT / "target" / "static_index.html"
    if page.exists():
        return str(page.relative_to(ROOT))
    return "`make docs` writes target/static_index.html"


def labelled(label: str, text: str) -> str:
    """Format text beside its label, wrapped to the page width."""
    return textwrap.fill(
        text,
        width=max(WIDTH, LABEL_WIDTH + len(text)) if not label else WIDTH,
        initial_indent=f"{label:<{LABEL_WIDTH}}",
        subsequent_indent=" " * LABEL_WIDTH,
        drop_whitespace=bool(label),
    )


def wrapped(text: str) -> Sequence[Any]:
    """Format text below an account's name, wrapped to the page width."""
    return textwrap.wrap(
        text, width=WIDTH, initial_indent=" " * 5, subsequent_indent=" " * 10
    )


if __name__ == "__main__":
    sys.exit(main())
