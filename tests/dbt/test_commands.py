"""The docs list only columns that exist, and queries find all layers."""

from __future__ import annotations

import duckdb
import pytest

from churn.config import use_schemas
from churn.reports.docs import remove_absent_features


def test_docs_leave_out_features_that_the_table_lacks() -> None:
    def node(name: str) -> dict:
        return {"name": name, "columns": {"visits": {}, "support_calls": {}}}

    manifest = {
        "nodes": {
            "model.churn.account_features": node("account_features"),
            "model.churn.churn_training_set": node("churn_training_set"),
            "model.churn.int_account_support": node("int_account_support"),
            "model.churn.never_built": node("never_built"),
        }
    }
    catalog = {
        "nodes": {
            "model.churn.account_features": {"columns": {"VISITS": {}}},
            "model.churn.churn_training_set": {"columns": {"visits": {}}},
            "model.churn.int_account_support": {
                "columns": {"visits": {}, "support_calls": {}}
            },
        }
    }
    assert remove_absent_features(manifest, catalog) == ["support_calls"]
    columns = {
        each["name"]: list(each["columns"]) for each in manifest["nodes"].values()
    }
    assert columns == {
        "account_features": ["visits"],
        "churn_training_set": ["visits"],
        "int_account_support": ["visits", "support_calls"],
        "never_built": ["visits", "support_calls"],
    }


def test_queries_find_tables_of_every_layer() -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema gold; create schema gold_staging")
        connection.execute("create table gold.sessions as select 1 as number")
        connection.execute("create table gold_staging.events as select 2 as number")
        with pytest.raises(duckdb.CatalogException):
            use_schemas(connection, "silver")
        use_schemas(connection, "gold")
        rows = connection.execute("from sessions union all from events order by 1")
        assert rows.fetchall() == [(1,), (2,)]
