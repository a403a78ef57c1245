"""Timeline of one account, and clear messages if there is none."""

from __future__ import annotations

import duckdb
import pytest

from churn.cli.main import main
from tests.support.project import DbtProject


@pytest.fixture
def company(project: DbtProject) -> DbtProject:
    """Provide the tables that a timeline reads."""
    project.execute(
        """create table int_account_changes as
            select 'all' as batch_scope, 'a1' as account_id,
                date '2025-03-01' as batch_date,
                'arrived' as change_kind, 'basic' as plan, 12 as seats,
                120.5::double as monthly_recurring_revenue,
                'Sleepwell' as company_name""",
        """create table int_subscription_events as
            select 'a1' as account_id, date '2025-02-01' as event_date,
                1 as order_in_day, 'signup_date' as source_column,
                'opens' as transition, date '2025-03-01' as first_known_in_batch
            union all
            select 'a1', date '2025-04-01', 2, 'cancelled_service', 'closes',
                date '2025-04-02'""",
        """create table subscription_periods as
            select 'a1' as account_id, 1 as period_number,
                date '2025-02-01' as start_date, date '2025-04-01' as end_date,
                'churn' as end_reason, false as is_winback""",
        """create table churn_labels as
            select 'a1' as account_id, as_of_date, 'observed' as label_status,
                as_of_date > date '2025-03-02' as is_churned,
                case when as_of_date > date '2025-03-02'
                    then date '2025-04-01' end as churn_date
            from (values (date '2025-02-17'), (date '2025-02-24'),
                (date '2025-03-03')) as days (as_of_date)""",
        """create table sessions as
            select 'a1' as account_id, started_at, 2 as page_views,
                1 as subscribe_hovers, 0 as subscribe_clicks
            from (values (timestamp '2025-03-04 10:00:00'),
                (timestamp '2025-03-18 10:00:00')) as visits (started_at)""",
        """create table churn_scores as
            select 'a1' as account_id, date '2025-03-10' as as_of_date,
                0.25::double as churn_probability, 'high' as risk_band,
                'fewer visits' as reason_1, null as reason_2, null as reason_3""",
    )
    return project


def explained(
    project: DbtProject, account_id: str, capsys: pytest.CaptureFixture[str]
) -> str:
    """Return what `churn explain` prints."""
    assert main(["explain", account_id, "--database", str(project.database)]) == 0
    return capsys.readouterr().out


def test_timeline_has_the_lines_of_each_section(
    company: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(company, "a1", capsys)
    for line in (
        "Account a1 (Sleepwell)",
        "  2025-03-01  arrived: plan basic, 12 seats, 120.5 a month",
        "  2025-04-01  cancelled (cancelled_service, in the batch of 2025-04-02)",
        "  1  from 2025-02-01 until 2025-04-01: churn",
        "  as of 2025-02-17 to 2025-02-24  stays (2 dates)",
        "  as of 2025-03-03  churns on 2025-04-01 (1 date)",
        "  2025-03-10  0 visits, 0 page views, 0 subscribe hovers, 0 subscribe clicks",
        "  2025-03-10  25.0%, high: fewer visits",
    ):
        assert line in text.splitlines()


def test_sources_that_a_company_does_not_have_are_left_out(
    company: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    company.execute(
        "alter table int_account_changes alter seats drop not null",
        """update int_account_changes
        set seats = null, monthly_recurring_revenue = null""",
    )
    text = explained(company, "a1", capsys)
    assert "  2025-03-01  arrived: plan basic" in text.splitlines()
    assert "Invoices" not in text
    assert "Support calls" not in text


def test_prices_have_the_companys_currency(
    company: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    company.execute(
        "create or replace table int_account_changes as "
        "select *, 'CHF' as currency from int_account_changes"
    )
    assert "120.5 CHF a month" in explained(company, "a1", capsys)


def test_data_is_printed_as_text_only(
    company: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    company.execute(
        """update int_account_changes
        set company_name = chr(27) || '[31m[red]Sleep' || chr(8238) || chr(10)"""
    )
    text = explained(company, "a1", capsys)
    assert r"Account a1 (\x1b[31m[red]Sleep\u202e" in text


def test_unknown_account_is_reported_in_one_sentence(
    company: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "a2", "--database", str(company.database)]) == 1
    error = capsys.readouterr().err
    assert error == "No batch holds an account `a2`; similar ids are a1.\n"


def test_missing_or_foreign_database_is_reported_in_one_sentence(
    project: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explain", "a1", "--database", str(project.database)]
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("There is no database")

    duckdb.connect(str(project.database)).close()
    assert main(arguments) == 1
    assert "run `dbt build` first" in capsys.readouterr().err

    project.database.write_text("no database")
    assert main(arguments) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_timeline_of_built_tables_has_every_section(
    built_project: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables come from the models, so that a renamed column fails the test."""
    account_id, _ = built_project.query(
        """select account_id, count(*) from churn_scores
        inner join sessions using (account_id)
        inner join stg_support__calls using (account_id)
        group by 1 order by 2 desc, 1 limit 1"""
    )[0]
    sections = dict(
        section.split("\n", 1)
        for section in explained(built_project, account_id, capsys).split("\n\n")[1:]
    )
    assert list(sections) == [
        "Batches",
        "Starts and cancellations",
        "Subscription periods",
        "Labels",
        "Data issues in the CRM",
        "Visits by week (starting on Monday)",
        "Support calls",
        "Invoices",
        "Scores",
    ]
    for title in set(sections) - {"Data issues in the CRM"}:
        assert sections[title].strip() not in ("", "none"), title
    probability, reason = built_project.query(
        f"""select churn_probability, reason_1 from churn_scores
        where account_id = '{account_id}'"""
    )[0]
    assert f"{probability:.1%}" in sections["Scores"]
    # A long line is wrapped.
    assert reason in " ".join(sections["Scores"].split())
