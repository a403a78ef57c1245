"""Runs in any order of arrival equal one full refresh."""

from __future__ import annotations

import pytest

from tests.support import arrivals
from tests.support.project import DbtProject


def run(project: DbtProject, *arguments: str) -> None:
    """Build all tables without models and scores."""
    project.dbt(
        "build",
        "--exclude-resource-types",
        "test",
        "unit_test",
        "--select",
        *arrivals.LINE,
        *arguments,
        load_demo_seeds=False,
    )


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3))]
)
def test_batches_in_any_order_equal_a_full_refresh(
    project: DbtProject, seed: int
) -> None:
    """Every file, batch and day grows from run to run, in random order.

    Each visitor has a separate history, so one company with many visitors covers many
    orders.
    """
    project.create_raw_tables()
    tables = arrivals.company(seed, events=3_000, visitors=60)
    for arrived in arrivals.batches(seed, tables, count=3):
        arrivals.append_raw(project, arrived)
        run(project)
    incremental = arrivals.contents(project)

    run(project, "--full-refresh")
    arrivals.assert_equal(incremental, arrivals.contents(project))
