"""Markers by folder, the order of the files, and the projects that tests share.

The fixtures import dbt only when a test uses them, because ``tests/unit`` runs
without dbt.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.project import DbtProject

# Each folder of tests is a layer and a marker.
LAYERS = ("unit", "dbt", "spark", "athena", "browser")

# Files with the slowest tests, by prefix.
SLOWEST = ("test_spark_runs", "test_replay", "test_order_of_arrival")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its layer; run the slowest files first.

    Then no core waits for a slow file at the end.
    """
    for item in items:
        layer = item.path.relative_to(Path(__file__).parent).parts[0]
        if layer in LAYERS:
            item.add_marker(layer)
    items.sort(key=lambda item: not item.path.name.startswith(SLOWEST))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the parse results after all workers have ended."""
    if not hasattr(config, "workerinput"):
        for folder in Path(tempfile.gettempdir()).glob("churn-parsed-*"):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(tmp_path: Path) -> DbtProject:
    """Provide a dbt project on an empty database."""
    from tests.support.project import DbtProject

    return DbtProject(tmp_path)


@pytest.fixture(scope="module")
def module_project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """Provide a dbt project that the tests of one module share."""
    from tests.support.project import DbtProject

    return DbtProject(tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="session")
def built_project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """Provide the built demo seeds, shared by all tests that only read."""
    from tests.support.project import DbtProject

    project = DbtProject(tmp_path_factory.mktemp("seeds"))
    project.dbt("build")
    return project
