"""Another dbt project can use this one as a package and override its parts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.project import DbtProject

PROJECT = """
name: my_company
version: 1.0.0
config-version: 2
profile: churn
dispatch:
  - macro_namespace: dbt
    search_order: [my_company, churn, dbt]
flags:
  require_ref_searches_node_package_before_root: true
models:
  churn:
    marts:
      +schema: gold
      data_quality:
        label_comparison:
          +enabled: false
seeds:
  churn:
    offers:
      +enabled: false
    products:
      +enabled: false
unit_tests:
  churn:
    +enabled: false
vars:
  churn:
    load_demo_seeds: false
    churn_grace_days: 10
"""


@pytest.fixture
def my_company(tmp_path: Path, built_project: DbtProject) -> DbtProject:
    """Provide a small project of its own, on the raw tables of the demo company."""
    root = tmp_path / "my_company"
    (root / "seeds").mkdir(parents=True)
    (root / "dbt_project.yml").write_text(PROJECT)
    (root / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")
    (root / "seeds" / "offers.csv").write_text(
        "offer_id,product_category,product_id,attributes,offer\ndefault,,,,Tea\n"
    )
    (root / "seeds" / "products.csv").write_text(
        "product_id,product_name,product_category,page_path,attributes\n"
    )
    shutil.copyfile(ROOT / "profiles.yml", root / "profiles.yml")
    project = DbtProject(tmp_path, root=root)
    project.execute(
        f"attach '{built_project.database}' as demo (read_only)",
        "create schema raw",
        *(
            f"create table raw.raw_{table} as select * from demo.raw.raw_{table}"
            for table in ("events", "accounts", "contacts", "invoices", "calls")
        ),
    )
    project.dbt("deps")
    return project


@pytest.fixture
def streaming(tmp_path: Path) -> DbtProject:
    """Provide a copy of the example, which uses this project as a package."""
    root = tmp_path / "streaming"
    shutil.copytree(
        ROOT / "examples" / "streaming",
        root,
        ignore=shutil.ignore_patterns("data", "target", "dbt_packages", "*.duckdb"),
    )
    (root / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")
    project = DbtProject(root, root=root)
    project.dbt("deps")
    return project


FULL_PARSE = ["--warn-error", "parse", "--no-partial-parse", "--show-all-deprecations"]


def test_a_full_parse_warns_of_nothing(project: DbtProject) -> None:
    project.dbt(*FULL_PARSE)


def test_a_full_parse_as_a_package_warns_of_nothing(streaming: DbtProject) -> None:
    streaming.dbt(*FULL_PARSE)


def test_models_are_configured_disabled_and_overridden_one_by_one(
    my_company: DbtProject,
) -> None:
    my_company.dbt("run", "--select", "+churn_labels", "+label_comparison")
    tables = {
        (schema, name)
        for schema, name in my_company.query(
            """select table_schema, table_name from information_schema.tables
            where table_schema like 'main%'"""
        )
    }
    # dbt's default rule for schemas.
    assert ("main_gold", "churn_labels") in tables
    assert ("main_intermediate", "int_subscription_events") in tables
    assert "label_comparison" not in {name for _, name in tables}
    # A variable that the other project sets.
    assert (
        my_company.query(
            """select max(end_date - previous_end_date) from (
            select
                start_date as end_date,
                lag(end_date) over (
                    partition by account_id order by period_number
                ) as previous_end_date,
                lag(end_reason) over (
                    partition by account_id order by period_number
                ) as previous_event_type
            from main_gold.subscription_periods
        ) where previous_event_type = 'pause'"""
        )[0][0]
        <= 10
    )


def test_a_seed_of_the_same_name_replaces_ours(
    my_company: DbtProject,
) -> None:
    my_company.dbt("build", "--select", "products", "offers")
    assert my_company.query("select offer_id, offer from offers") == [
        ("default", "Tea")
    ]
    listed = my_company.dbt(
        "--quiet", "ls", "--select", "+churn_scores", "--resource-type", "seed"
    ).output.split()
    assert "my_company.offers" in listed
    assert "churn.offers" not in listed


def test_a_project_without_the_search_order_is_refused_in_a_sentence(
    my_company: DbtProject,
) -> None:
    """dbt would not find the package's overrides of its macros."""
    path = my_company.root / "dbt_project.yml"
    text = path.read_text()
    start, end = text.index("dispatch:"), text.index("flags:")
    path.write_text(text[:start] + text[end:])
    finished = my_company.dbt("run", "--select", "stg_support__calls", check=False)
    assert not finished.succeeded
    message = " ".join(finished.output.split())
    assert "search_order: [my_company, churn, dbt]" in message
