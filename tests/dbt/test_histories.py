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
    assert {history.cancellation_source for history in histories.HISTORIES} == {
        "dates",
        "flags",
    }


def test_fixtures_of_the_unit_tests_are_current() -> None:
    for name, text in histories.fixtures().items():
        assert (histories.FIXTURES / f"{name}.csv").read_text() == text, HOW_TO_UPDATE


def test_scenarios_are_current() -> None:
    assert histories.SCENARIOS.read_text() == histories.scenarios(), HOW_TO_UPDATE


def test_scenarios_and_unit_tests_name_the_same_histories() -> None:
    drawn = set(re.findall(r"^#### (\w+)$", histories.section(), re.MULTILINE))
    expected = {
        row["account_id"]
        for cancellation_source in ("dates", "flags")
        for row in histories.changes(cancellation_source)
    }
    assert drawn == expected
    tested = (ROOT / "models/marts/customers/subscription_periods.yml").read_text()
    tested += (ROOT / "models/marts/customers/churn_labels.yml").read_text()
    for fixture in (
        "histories_subscription_events",
        "histories_subscription_periods",
        "histories_labels",
    ):
        assert f"fixture: {fixture}\n" in tested


@pytest.mark.parametrize("cancellation_source", ["dates", "flags"])
def test_a_run_from_raw_batches_agrees(
    project: DbtProject, cancellation_source: str
) -> None:
    selected = [
        history
        for history in histories.HISTORIES
        if history.cancellation_source == cancellation_source
    ]
    rows = []
    day = datetime(2025, 1, 1)
    while day.date() <= histories.LAST_BATCH:
        if day.date() not in histories.MISSING_BATCHES:
            # With these, one missing account does not make a batch incomplete.
            accounts = {
                f"other {number}": ("2024-01-01", "", "") for number in range(99)
            }
            accounts |= {
                history.name: history.value_on(day.date()) for history in selected
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
                for account, values in accounts.items()
                if values is not None
            ]
        day += timedelta(days=1)

    project.create_raw_tables()
    project.write("raw.raw_accounts", pd.DataFrame(rows))
    project.dbt(
        "run",
        "--select",
        "+churn_labels",
        load_demo_seeds=False,
        cancellation_source=cancellation_source,
    )

    names = {history.name for history in selected}
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
