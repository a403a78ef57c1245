"""Markers by folder, the order of the files, and the projects that tests share.

The fixtures import dbt only when a test uses them, because ``tests/unit`` runs
without dbt.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import SHARED_FOLDER, shared_folder

if TYPE_CHECKING:
    from tests.support.project import DbtProject

# Each folder of tests is a layer and a marker.
LAYERS = (
    *("unit", "dbt", "spark", "athena", "browser"),
    *("bi", "cluster", "hdfs", "kubernetes", "spot"),
)

# The files with the slowest tests, the slowest first.
SLOWEST = (
    "test_spark_runs",
    "test_replay",
    "test_order_of_arrival",
    "test_crm_incremental",
    "test_killed_runs",
    "test_clickstream_incremental",
    "test_feature_snapshots",
    "test_streaming_example",
    "test_score_outcomes",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its layer; run the slowest files first.

    Then no core waits for a slow file at the end.
    """
    for item in items:
        layer = item.path.relative_to(Path(__file__).parent).parts[0]
        if layer in LAYERS:
            item.add_marker(layer)
    places = {f"{name}.py": place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_configure(config: pytest.Config) -> None:
    """Create the folder that all workers share, before they start."""
    if not hasattr(config, "workerinput"):
        os.environ[SHARED_FOLDER] = tempfile.mkdtemp(prefix="churn-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that folder after all workers have ended."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(SHARED_FOLDER), ignore_errors=True)


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
    """Provide the built demo seeds, shared by all tests that only read.

    One worker builds them, the others copy the files.
    """
    from tests.support.project import DbtProject

    built = shared_folder() / "seeds"
    with built.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            folder = tmp_path_factory.mktemp("seeds")
            project = DbtProject(folder)
            # Writes manifest.json, which `build` does not write if it need not parse.
            project.dbt("parse")
            project.dbt("build")
            shutil.move(folder, built)
    copied = tmp_path_factory.mktemp("seeds") / "copied"
    shutil.copytree(built, copied)
    return DbtProject(copied)
