"""Whatever the order in which batches arrive, a run equals a full refresh."""

from __future__ import annotations

import random

import pytest
from conftest import DbtProject
from crm_histories import random_company

TABLES = [
    "int_crm_deliveries",
    "int_crm_deliveries_judged",
    "int_account_changes",
    "int_account_changes_on_time",
    "int_account_signals",
    "int_account_attributes_history",
    "subscription_spells",
    "churn_labels",
    "crm_findings",
]


def contents(project: DbtProject) -> dict[str, list[tuple]]:
    """The rows of all tables, in an order of their own."""
    return {
        table: project.query(f"select * from {table} order by all") for table in TABLES
    }


@pytest.mark.parametrize("dialect", ["dates", "flags"])
def test_runs_in_any_order_of_arrival_equal_a_full_refresh(
    project: DbtProject, dialect: str
) -> None:
    """Three runs: half in order, most of the rest out of order, then the rest.

    The first run reads the wrong dialect, and must be mended by the second
    without a full refresh. Between them one delivery grows, as if the first had
    met it half loaded; and before the last, one run is killed after forgetting
    what was outdated and before taking it anew.
    """
    chance = random.Random(dialect)
    company = random_company(20250301, dialect, accounts=150, last_day=120)
    deliveries = company.deliveries
    early, later = (
        deliveries[: len(deliveries) // 2],
        deliveries[len(deliveries) // 2 :],
    )
    held_back = set(chance.sample(range(len(early)), 4))
    grows = next(number for number in range(3, 99) if number not in held_back)
    chance.shuffle(later)
    arrivals = [
        [each for number, each in enumerate(early) if number not in held_back],
        later[: len(later) * 2 // 3],
        later[len(later) * 2 // 3 :] + [early[number] for number in held_back],
    ]

    def run(*flags: str, read_as: str = dialect) -> None:
        project.dbt(
            "run",
            "--select",
            "+churn_labels",
            "+crm_findings",
            "int_account_attributes_history",
            *flags,
            load_demo_seeds=False,
            crm_outcome_dialect=read_as,
        )

    project.create_raw_tables()
    rest = company.frame([early[grows]])
    for number, arrived in enumerate(arrivals):
        rows = company.frame(arrived)
        if number == 0:
            is_cut = (rows["loaded_at"] == early[grows].loaded_at) & (
                rows["account_id"] > "a00120"
            )
            rest = rows[is_cut]
            rows = rows[~is_cut]
        elif number == 1:
            project.write("raw.raw_accounts", rest)
        else:
            project.execute(
                "delete from int_account_changes where batch_date >= '2025-02-01'"
            )
        project.write("raw.raw_accounts", rows.sample(frac=1, random_state=number))
        other = "flags" if dialect == "dates" else "dates"
        run(read_as=other if number == 0 else dialect)

    incremental = contents(project)
    run("--full-refresh")
    refreshed = contents(project)
    for table, rows in refreshed.items():
        assert incremental[table] == rows, table
    assert len(refreshed["subscription_spells"]) > 150
