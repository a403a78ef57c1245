"""scenarios.md, the unit tests and a run from raw batches agree on the histories."""

from __future__ import annotations

import importlib.util
import re
import sys
from datetime import datetime, timedelta
from types import ModuleType

import pandas as pd
import pytest

from tests.support.paths import ROOT
from tests.support.project import DbtProject


def load_histories() -> ModuleType:
    path = ROOT / "tests" / "scenarios" / "histories.py"
    spec = importlib.util.spec_from_file_location("histories", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["histories"] = module
    spec.loader.exec_module(module)
    return module


histories = load_histories()
HOW_TO_UPDATE = "run: python tests/scenarios/histories.py"


def test_at_least_25_histories_with_names_of_their_own() -> None:
    names = [history.name for history in histories.HISTORIES]
    assert len(names) == len(set(names)) >= 25
    assert {history.company for history in histories.HISTORIES} == set(
        histories.COMPANIES
    )


def test_fixtures_of_the_unit_tests_are_current() -> None:
    for name, text in histories.fixtures().items():
        assert (histories.FIXTURES / f"{name}.csv").read_text() == text, HOW_TO_UPDATE


def test_scenarios_are_current() -> None:
    assert histories.SCENARIOS.read_text() == histories.scenarios(), HOW_TO_UPDATE


def test_scenarios_and_unit_tests_name_the_same_histories() -> None:
    drawn = set(re.findall(r"^#### (\w+)$", histories.section(), re.MULTILINE))
    assert drawn == {history.name for history in histories.HISTORIES}
    tested = (ROOT / "models/marts/customers/subscription_periods.yml").read_text()
    tested += (ROOT / "models/marts/customers/churn_labels.yml").read_text()
    for fixture in (
        "histories_subscription_events",
        "histories_subscription_periods",
        "histories_labels",
    ):
        assert f"fixture: {fixture}\n" in tested


@pytest.mark.parametrize("company", histories.COMPANIES)
def test_a_run_from_raw_batches_agrees(project: DbtProject, company: str) -> None:
    selected = [
        history for history in histories.HISTORIES if history.company == company
    ]
    _, variables = histories.COMPANIES[company]
    rows = []
    day = datetime(2025, 1, 1)
    while day.date() <= histories.LAST_BATCH:
        if day.date() not in histories.MISSING_BATCHES:
            # With these, one missing account does not make a batch incomplete.
            accounts = {
                f"other {number}": [("2024-01-01", "", "")] for number in range(99)
            }
            accounts |= {
                history.name: history.rows_on(day.date()) for history in selected
            }
            rows += [
                {
                    "batch_date": day,
                    "loaded_at": day + timedelta(hours=29),
                    "account_id": account,
                    "signup_date": values[0],
                    "cancelled_service": values[1],
                    "new_customer": values[2],
                }
                for account, values_of_rows in accounts.items()
                for values in values_of_rows
            ]
        day += timedelta(days=1)

    project.create_raw_tables()
    project.write("raw.raw_accounts", pd.DataFrame(rows))
    project.dbt(
        "run",
        "--select",
        "+churn_labels",
        load_demo_seeds=False,
        **variables,
    )

    names = {history.name for history in selected}
    events = project.query(
        """select account_id, event_date, order_in_day, event_type, source_column,
            transition
        from int_subscription_events where not starts_with(account_id, 'other')"""
    )
    assert set(events) == {
        tuple(row.values())
        for row in histories.subscription_events()
        if row["account_id"] in names
    }
    periods = project.query(
        """select account_id, period_number, tenure_number, start_date, end_date,
            coalesce(end_reason, ''), is_winback, churn_date
        from subscription_periods where not starts_with(account_id, 'other')"""
    )
    assert set(periods) == {
        tuple(row.values()) for row in histories.periods() if row["account_id"] in names
    }
    days = ", ".join(f"date '{day}'" for day in histories.AS_OF_DATES)
    labels = project.query(
        f"""select account_id, as_of_date, period_number, tenure_number, is_churned,
            label_status, churn_date
        from churn_labels
        where as_of_date in ({days}) and not starts_with(account_id, 'other')"""
    )
    assert set(labels) == {
        tuple(row.values()) for row in histories.labels() if row["account_id"] in names
    }
