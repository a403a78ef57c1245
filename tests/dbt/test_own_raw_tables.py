"""`dbt seed` and `dbt build` leave raw tables of another company alone."""

from __future__ import annotations

import pandas as pd

from tests.support.project import DbtProject


def test_seeds_never_replace_rows_of_another_company(project: DbtProject) -> None:
    """The demo company's own tables are loaded again, those of others are kept."""
    project.dbt("seed", "--select", "raw_accounts", "raw_calls")
    demo_calls = project.query("select * from raw.raw_calls order by all")
    project.execute("delete from raw.raw_calls where duration_seconds > 300")
    project.execute("delete from raw.raw_accounts")
    project.write(
        "raw.raw_accounts",
        pd.DataFrame({"account_id": [f"own {number}" for number in range(12)]}),
    )
    own = project.query("select * from raw.raw_accounts order by all")

    for arguments in (["seed"], ["seed", "--full-refresh"], ["build"]):
        finished = project.dbt(*arguments, "--select", "raw_accounts", "raw_calls")
        assert "Left alone" in finished.output
        assert "raw_accounts" in finished.output
        assert "load_demo_seeds: false" in " ".join(finished.output.split())
        assert project.query("select * from raw.raw_accounts order by all") == own
        assert project.query("select * from raw.raw_calls order by all") == demo_calls


def test_seeds_never_replace_a_table_with_other_columns(project: DbtProject) -> None:
    project.execute(
        "create schema raw",
        "create table raw.raw_events as select 'x' as message",
    )
    finished = project.dbt("seed", "--select", "raw_events")
    assert "Left alone" in finished.output
    assert project.query("from raw.raw_events") == [("x",)]
