"""Any content of a company's seeds is read, and no account or event is lost by it.

The views that read the seeds are queried with random rows in their place. ``make fuzz``
reads a part of a million seeds: see `tests/support/fuzzing.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.config import use_schemas
from tests.support.fuzzing import bounded, inputs
from tests.support.project import DbtProject

COLUMNS = {
    "offers": ["offer_id", "product_category", "product_id", "attributes", "offer"],
    "products": [
        *["product_id", "product_name", "product_category", "page_path", "attributes"]
    ],
    "experiments": [
        *["experiment_id", "salt", "control_share", "eligible_bands"],
        *["max_monthly_recurring_revenue", "start_date", "planned_end_date"],
        "planned_accounts",
    ],
}
# Views that read the seeds, with the query that evaluates every column of them.
READERS = {
    "int_experiments": "select max(columns(*)) from int_experiments",
    "int_account_offers": """select count(*), count(distinct account_id),
        max(columns(*)) from int_account_offers""",
}

texts = (
    st.none()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(
        [
            *["default", "mattress", "mattress_air", "hypoallergenic organic", "  "],
            *["/products/mattress/air", "a b c d e", "'; drop table offers; --", "%"],
            *["0.2", "20%", "0,2", "1e400", "NaN", "inf", "-1", "400.0", "4e2", "٣"],
            *["2025-10-01", "01/10/2025", "2025-02-30", "99999-01-01", "high medium"],
            *["{{ env_var('HOME') }}", "\\", '"', "a\tb\r\nc", "NULL", "x" * 500],
        ]
    )
)


@pytest.fixture(scope="module")
def database(
    built_project: DbtProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Provide a copy of the built seeds, whose reference seeds are texts."""
    path = Path(shutil.copy(built_project.database, tmp_path_factory.mktemp("fuzzed")))
    with duckdb.connect(path) as connection:
        use_schemas(connection)
        for seed, columns in COLUMNS.items():
            typed = ", ".join(f"{name} varchar" for name in columns)
            connection.execute(f"create or replace table main.{seed} ({typed})")
        yield connection


def rows(seed: str) -> st.SearchStrategy[list[tuple[str | None, ...]]]:
    return st.lists(st.tuples(*[texts] * len(COLUMNS[seed])), max_size=3)


@inputs("seeds", variants=1)
@given(rows("offers"), rows("products"), rows("experiments"))
def test_seeds_of_any_text_are_read(
    database: duckdb.DuckDBPyConnection,
    offers: list[tuple[str | None, ...]],
    products: list[tuple[str | None, ...]],
    experiments: list[tuple[str | None, ...]],
) -> None:
    given = {"offers": offers, "products": products, "experiments": experiments}
    database.execute("begin")
    try:
        for seed, drawn in given.items():
            if drawn:
                marks = ", ".join("?" * len(COLUMNS[seed]))
                database.executemany(f"insert into main.{seed} values ({marks})", drawn)
        with bounded():
            database.execute(READERS["int_experiments"])
            found = database.execute(READERS["int_account_offers"]).fetchone()
        assert found is not None
        ids = [row[0] for row in offers if row[0] is not None]
        if len(ids) == len(set(ids)) == len(offers):
            # The seed's own test allows no other.
            assert found[0] == found[1] > 0
    finally:
        database.execute("rollback")
