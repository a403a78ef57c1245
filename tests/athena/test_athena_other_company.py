"""What differs between companies is declared, on Athena as on DuckDB.

The seeds are read as another company's: its columns have other contents, it has no
contacts, invoices or calls, its accounts leave by an event of the clickstream, and
some features mean nothing to it. Every table equals DuckDB's.
"""

from __future__ import annotations

from typing import Any

import pytest
from engine import AthenaEngine, differences
from engines import DuckdbEngine
from parity import Built, tables_built

OTHER_COMPANY: dict[str, Any] = {
    "has_contacts": False,
    "has_invoices": False,
    "has_support_calls": False,
    "raw_events_columns": {"source_file": "'copy/' || source_file"},
    # Every account is one person, as the records of the clickstream name them.
    "raw_accounts_table": "raw_contacts",
    "raw_accounts_columns": {
        "account_id": "user_id",
        "company_name": "upper(role)",
        "industry": None,
        "signup_date": "'2024-12-01'",
        "plan": None,
        "seats": None,
        "monthly_recurring_revenue": "'12.5'",
    },
    "crm_outcome_dialect": "events",
    "cancellation_events": ["logout", "subscribe_hover"],
    "restart_events": ["login"],
    "left_out_features": ["subscribe"],
    "churn_grace_days": 7,
}


@pytest.fixture(scope="module")
def built(cloud, tmp_path_factory) -> Built:
    engines = [
        DuckdbEngine(tmp_path_factory.mktemp("duckdb")),
        AthenaEngine(cloud, tmp_path_factory.mktemp("athena"), "iceberg", "other"),
    ]
    for engine in engines:
        engine.dbt("seed")
        result = engine.dbt("run", "--exclude", "churn_models+", **OTHER_COMPANY)
    return Built(engines[1], engines[0], tables_built(result))


def test_every_table_is_the_same_row_for_row(built) -> None:
    assert "int_account_outcome_events" in built.tables
    assert not {table for table in built.tables if "billing" in table}
    different = differences(built)
    assert not different, "\n".join(different)


def test_accounts_leave_by_events(built) -> None:
    (counts,) = built.engine.rows(
        "select count(*) as spells, count(ended_on) as ended, "
        "count(distinct account_id) as accounts from subscription_spells"
    ).to_pylist()
    assert counts["spells"] > counts["accounts"] > 0
    assert counts["ended"] > 0
