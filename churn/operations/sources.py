"""The steps of a daily run and the sources that it reads.

This module imports nothing, so that the command line can list them at once.
"""

from __future__ import annotations

# The steps of a daily run.
STEPS = ("wait", "load", "build", "catch_up", "verify", "publish", "notify")
# The raw tables of each source. A company has one of those of the CRM.
RAW_TABLES_OF = {
    "clickstream": ("raw_events",),
    "crm": ("raw_accounts", "raw_subscriptions"),
    "contacts": ("raw_contacts",),
    "billing": ("raw_invoices",),
    "support": ("raw_calls",),
}
SOURCES = tuple(RAW_TABLES_OF)
SOURCE_OF = {
    table: source for source, tables in RAW_TABLES_OF.items() for table in tables
}
# Invoices and calls do not occur every day: see `is_stale` of churn_scores.
DAILY_SOURCES = ("clickstream", "crm")
