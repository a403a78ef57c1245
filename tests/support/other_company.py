"""The seeds, configured as another company.

Its columns have other contents, it has no contacts, invoices or calls, its accounts
cancel by a clickstream event, and some features are excluded.
"""

from __future__ import annotations

from typing import Any

from tests.support.engines import DuckdbEngine, Engine
from tests.support.parity import Built, tables_built

OTHER_COMPANY: dict[str, Any] = {
    "has_contacts": False,
    "has_invoices": False,
    "has_support_calls": False,
    "raw_events_columns": {"source_file": "'copy/' || source_file"},
    # Every account is one user, identified as in the clickstream.
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
    "cancellation_source": "events",
    "cancellation_events": ["logout", "subscribe_hover"],
    "restart_events": ["login"],
    "excluded_features": ["subscribe"],
    "churn_grace_days": 7,
}


def build_other_company(engine: Engine, duckdb: DuckdbEngine) -> Built:
    """Build the company on both engines, without the model."""
    for each in (duckdb, engine):
        each.dbt("seed")
        result = each.dbt("run", "--exclude", "churn_models+", **OTHER_COMPANY)
    return Built(engine, duckdb, tables_built(result))


def check_accounts_leave_by_events(built: Built) -> None:
    """Fail if no event of `cancellation_events` ended a period."""
    assert "int_account_outcome_events" in built.tables
    assert not {table for table in built.tables if "billing" in table}
    (counts,) = built.engine.rows(
        "select count(*) as periods, count(end_date) as ended, "
        "count(distinct account_id) as accounts "
        f"from {built.engine.relation('subscription_periods')}"
    ).to_pylist()
    assert counts["periods"] > counts["accounts"] > 0
    assert counts["ended"] > 0
