"""Marts of a company, written directly, for tests of the serving store and page."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from churn.config import Project
from churn.ml.experiments import experiment_results
from churn.web.settings import PageSettings
from tests.support.paths import ROOT

AS_OF = date(2026, 3, 2)
# The morning after the as-of date, when everything is fresh.
NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)

# Names and texts that try to become markup, formulas, queries, paths or signs.
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil.example","x")',
    "＝cmd|' /C calc'!A0",
    "Robert'); drop table accounts;--",
    "../../etc/passwd",
    "{{ 7*7 }} {% raw %}",
    "Łódź Søn Öztürk & Co",
    "שלום \u202eevil",
    "a\tb\r\nc\x00d",
    "%00%0a?x=1&y=2#z",
    "x" * 300,
    " ",
]


def write_marts(
    path: Path,
    accounts: int = 120,
    as_of: date = AS_OF,
    names: list[str] | None = None,
    ids: list[str] | None = None,
    with_optional: bool = True,
) -> Path:
    """Write the marts that publishing reads to a DuckDB file.

    Args:
        path: The file.
        accounts: Number of accounts; the first has the highest risk.
        as_of: The as-of date.
        names: Names of the first accounts.
        ids: Ids of the first accounts.
        with_optional: Whether to write owners, changes, arms and history.
    """
    names = names or []
    ids = ids or []
    rows: list[tuple[Any, ...]] = []
    for number in range(1, accounts + 1):
        probability = round(0.9 * (1 - number / (accounts + 1)) ** 3, 6)
        band = (
            "high"
            if probability >= 0.15
            else "medium"
            if probability >= 0.05
            else "low"
        )
        revenue = float(100 + (number * 7919) % 4000)
        rows.append(
            (
                ids[number - 1] if number <= len(ids) else f"acc-{number:06d}",
                as_of,
                names[number - 1] if number <= len(names) else f"Company {number} Ltd",
                f"owner{number % 3}",
                f"Owner {number % 3}",
                probability,
                round(((number * 31) % 21 - 10) / 100, 3) if number % 4 else None,
                band,
                number,
                f"{number} support calls in the last 90 days",
                "no page views in the last 7 days" if number % 2 else None,
                None,
                "mattress" if number % 2 else "default",
                "One free upgrade" if number % 2 else "A call",
                "viewed the Air Mattress 5 times in 90 days, last on 2026-02-20",
                revenue,
                revenue * probability,
                "EUR" if number % 5 else "SEK",
                "control"
                if number % 10 == 3
                else "treatment"
                if band == "high"
                else None,
                "m1",
                datetime(2026, 3, 2, 4, 0),
                datetime(2026, 3, 2, 3, 0),
                as_of - timedelta(days=1),
                False,
            )
        )
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """create table churn_scores (
                account_id varchar, as_of_date date, company_name varchar,
                owner_id varchar, owner_name varchar, churn_probability double,
                probability_change_7d double, risk_band varchar, risk_rank bigint,
                reason_1 varchar, reason_2 varchar, reason_3 varchar, offer_id varchar,
                recommended_offer varchar, offer_because varchar,
                monthly_recurring_revenue double, revenue_at_risk double,
                currency varchar, arm varchar, model_version varchar,
                scored_at timestamp, clickstream_data_through timestamp,
                crm_data_through date, is_stale boolean)"""
        )
        if rows:
            marks = ",".join("?" * len(rows[0]))
            connection.executemany(f"insert into churn_scores values ({marks})", rows)
        connection.execute(
            """create table account_features as select account_id, as_of_date,
            'basic' as plan, 'Camping' as industry, 5 as seats, 400 as account_age_days
            from churn_scores"""
        )
        if with_optional:
            _write_optional(connection)
        else:
            for column in (
                *("owner_id", "owner_name", "probability_change_7d", "offer_id"),
                *("offer_because", "currency", "arm"),
            ):
                connection.execute(f"alter table churn_scores drop column {column}")
    return path


def _write_optional(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        """
        create table churn_score_history as
        select * replace (
            as_of_date - cast(7 * week as integer) as as_of_date,
            least(churn_probability * (1 + week / 10), 1) as churn_probability
        ) from churn_scores cross join range(4) as weeks (week);
        create table sessions as
        select account_id, cast(as_of_date - cast(3 * n as integer) as timestamp)
            as started_at, 3 as page_views, 1 as subscribe_hovers,
            0 as subscribe_clicks
        from churn_scores cross join range(8) as days (n);
        create table stg_support__calls as
        select account_id, cast(as_of_date - 2 as timestamp) as started_at,
            company_name as topic, 600 as duration_seconds
        from churn_scores;
        create table stg_billing__invoices as
        select account_id, as_of_date - 10 as due_date, 'late' as status, 99.5 as amount
        from churn_scores;
        create table subscription_periods as
        select account_id, as_of_date - 400 as start_date,
            cast(null as date) as end_date, cast(null as varchar) as end_reason
        from churn_scores;
        create table offers as
        select * from (values ('mattress', 'One free upgrade'), ('default', 'A call'))
            as offers (offer_id, offer);
        """
    )


def write_experiments(database: Path, **changes: Any) -> None:
    """Add results of experiments and actions of a CRM to the marts.

    Args:
        database: The marts.
        changes: Other values of the running experiment's rows of both arms.
    """
    rows = []
    for experiment, start in (("<b>running</b>", AS_OF), ("early", AS_OF)):
        for stratum in ("all", "high", "medium"):
            for arm, size in (("control", 200), ("treatment", 800)):
                is_early = experiment == "early"
                count = 0 if is_early else size
                rows.append(
                    {
                        "experiment_id": experiment,
                        "stratum": stratum,
                        "arm": arm,
                        "as_of_date": AS_OF,
                        "start_date": start,
                        "planned_end_date": AS_OF + timedelta(days=30),
                        "planned_accounts": 1_500,
                        "eligible_bands": "high medium",
                        "max_monthly_recurring_revenue": 5_000.0,
                        "control_share": 0.2,
                        "first_assigned_date": AS_OF - timedelta(days=60),
                        "count_assigned": size,
                        "count_assigned_later": size // 4,
                        "count_observed": count,
                        "count_churned": count * (5 if arm == "control" else 2) // 10,
                        "count_observed_contacted": count // 2
                        if arm == "treatment"
                        else 0,
                        "churn_probability": size / 4,
                        "lost_revenue": count * 30.0,
                        "squared_lost_revenue": count * 9_000.0,
                        "currency": "EUR",
                        **(changes if not is_early else {}),
                    }
                )
    with duckdb.connect(str(database)) as connection:
        connection.register("results", experiment_results(rows, outcome_days=60))
        connection.execute("create table experiment_results as from results")
        connection.execute(
            """alter table churn_scores add column control_until date;
            update churn_scores set control_until = as_of_date + 30
            where arm = 'control';
            create table retention_actions as
            select account_id, as_of_date - 5 as action_date, 'customer_kept'
                as action_type, 'crm user' as actor_id, 'crm' as source,
                false as is_corrected, cast(as_of_date as timestamp) as occurred_at
            from churn_scores"""
        )


def project_of(database: Path) -> Project:
    """Return the package's project on a database."""
    return Project.load(project_dir=ROOT, profiles_dir=ROOT, database=database)


def sqlite_url(path: Path) -> sa.URL:
    """Return the URL of an SQLite file."""
    return sa.URL.create("sqlite", database=str(path))


def page_settings(folder: Path, **changes: Any) -> PageSettings:
    """Return the settings of a page on the stores in a folder."""
    return PageSettings(
        **{
            "serving": sqlite_url(folder / "serving.db"),
            "actions": sqlite_url(folder / "actions.db"),
            "local_actor": "owner1",
            **changes,
        }
    )
