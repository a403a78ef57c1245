"""``churn summary``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project
    from churn.reports.summary import ModelMetrics, Summary


@click.command("summary")
@click.option(
    "--accounts",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="NUMBER",
    help="Number of accounts to list.",
)
@project_command
def command(project: Project, accounts: int) -> None:
    """Show the riskiest accounts and the reasons.

    Also shows the conservation of the records, the labels, the model against its
    baselines, and the freshness of each source.
    """
    show_summary(project, accounts)


def show_summary(project: Project, accounts: int = 10) -> None:
    """Print the summary of the last run."""
    from churn.cli.output import print_fields, print_text
    from churn.reports.summary import summarize

    with project.connect() as connection:
        summary = summarize(connection, project.variables, accounts)
    print_fields(_counts(summary))
    print_text()
    _show_model(summary.model)
    print_text()
    _show_accounts(summary)
    print_text()
    page = project.target_path / "static_index.html"
    fields = [
        ("Database", project.database),
        ("Docs", page if page.exists() else f"`churn docs` writes {page}"),
    ]
    print_fields([*_freshness(summary), *fields])


def _counts(summary: Summary) -> list[tuple[str, str]]:
    records, labels = summary.records, summary.labels
    churned = (
        f" ({labels.churned / labels.observed:.1%} churned)" if labels.observed else ""
    )
    return [
        (
            "Records",
            f"{records.raw:,} raw records, {records.extra:,} extra objects in them: "
            f"{records.raw + records.extra:,} = {records.events:,} events + "
            f"{records.duplicates:,} duplicates + {records.rejects:,} rejects",
        ),
        ("Sessions", f"{records.sessions:,} of {records.visitors:,} visitors"),
        (
            "Labels",
            f"{labels.observed:,} observed{churned}, {labels.pending:,} still pending",
        ),
    ]


def _show_model(model: ModelMetrics | None) -> None:
    from churn.cli.output import print_fields, print_table
    from churn.reports.summary import METRIC_NAMES, PREDICTOR_NAMES

    if model is None:
        text = (
            "none: there are no labels to train on yet. A model needs observed labels "
            "of accounts that churned and of accounts that stayed."
        )
        print_fields([("Model", text)])
        return
    text = f"{model.version}, {model.kind}, fitted to {model.fit_rows:,} rows"
    if not model.metrics:
        text += "; not evaluated: too little history for held-out rows"
        print_fields([("Model", text)])
        return
    text += f"; {model.measured_on}, {model.measured_from} to {model.measured_to}:"
    print_fields([("Model", text)])
    rows = []
    for predictor, name in PREDICTOR_NAMES.items():
        estimates = [
            model.metrics.get((predictor, metric), (None, None, None))
            for metric in METRIC_NAMES
        ]
        if all(value is None for value, _, _ in estimates):
            continue
        _, low, high = estimates[0]
        rows.append(
            (
                name,
                *("" if value is None else f"{value:.3f}" for value, _, _ in estimates),
                "" if low is None or high is None else f"{low:.3f} to {high:.3f}",
            )
        )
    headers = ["", *METRIC_NAMES.values(), "95 % of ROC AUC"]
    print_table(headers, rows, right=(1, 2, 3), indent=12)
    if model.warning:
        print_fields([("WARNING", model.warning)])


def _show_accounts(summary: Summary) -> None:
    from churn.cli.output import print_text, safe_text

    if summary.as_of_date is None:
        print_text("No account has been scored yet.")
        return
    if summary.only_band:
        print_text(f"WARNING: all accounts are in the band {summary.only_band}.")
    count = len(summary.riskiest)
    print_text(
        f"The {count} account{'s' if count != 1 else ''} most likely to leave, as of "
        f"{summary.as_of_date}"
    )
    for number, account in enumerate(summary.riskiest, start=1):
        name = safe_text(account.company_name or account.account_id, 60)
        money = account.money
        print_text()
        print_text(
            f"{number}. {name} ({safe_text(account.account_id, 60)}): "
            f"{account.probability:.0%}, {account.risk_band} risk"
            + (f", {money} at risk" if money else ""),
        )
        if account.reasons:
            print_text(f"why: {'; '.join(map(safe_text, account.reasons))}", None, 3, 5)
        if account.offer:
            because = account.offer_because
            evidence = f" ({safe_text(because)})" if because else ""
            print_text(f"offer: {safe_text(account.offer)}{evidence}", None, 3, 7)


def _freshness(summary: Summary) -> list[tuple[str, str]]:
    if summary.as_of_date is None:
        return []
    through = ", ".join(
        f"{source} through {str(day)[:10] if day else 'never'}"
        for source, day in summary.data_through.items()
    )
    stale = (
        "STALE: newer scores are due, or a source was not loaded in time; `churn "
        "status` says which"
        if summary.is_stale
        else "no source is stale"
    )
    return [("Freshness", through), ("", stale)]
