"""The tables that a project has built on DuckDB, to be compared with another build."""

from __future__ import annotations

from typing import Any, TypeAlias

from tests.support.parity import DIFFERENT_BY_NATURE, NOT_COMPARED
from tests.support.project import DbtProject

# The rows of each table.
Contents: TypeAlias = dict[str, list[tuple[Any, ...]]]

# Tables of the models that were trained on the way, and of the runs.
OF_RUNS = {
    *("churn_models", "churn_model_metrics", "feature_drift", "pipeline_runs"),
    *("int_accounts_scored", "int_account_scores", "int_latest_scores"),
    *("churn_scores", "churn_score_history", "score_outcomes"),
}


def contents(project: DbtProject) -> Contents:
    """Return the rows of each table before the model, without times of writing."""
    tables: Contents = {}
    with project.connect() as connection:
        names = connection.execute(
            """select table_schema, table_name, list(column_name order by column_name)
            from information_schema.columns
            where starts_with(table_schema, 'main') group by all"""
        ).fetchall()
        for schema, table, columns in names:
            if table in OF_RUNS | NOT_COMPARED:
                continue
            kept = ", ".join(
                f'"{name}"' for name in columns if name not in DIFFERENT_BY_NATURE
            )
            # A date that was the latest one on its day stays final in some tables.
            is_current = (
                "where as_of_date in (select as_of_date from int_as_of_dates)"
                if "as_of_date" in columns
                else ""
            )
            tables[table] = connection.execute(
                f'select {kept} from "{schema}"."{table}" {is_current} order by all'
            ).fetchall()
    return tables


def assert_same(found: Contents, expected: Contents) -> None:
    """Fail with the names of the tables that differ."""
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
