"""Unit tests import neither dbt nor an adapter, so that they start at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.paths import ENGINE_PACKAGES


@pytest.fixture(scope="session", autouse=True)
def no_engine_is_imported(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail if a unit test has imported an engine, such as in a function.

    If other layers run in the same process, they import the engines, and nothing can be
    checked. `make check` runs the unit tests alone.
    """
    folder = Path(__file__).parent
    if not all(item.path.is_relative_to(folder) for item in request.session.items):
        yield
        return
    before = set(ENGINE_PACKAGES) & set(sys.modules)
    yield
    added = set(ENGINE_PACKAGES) & set(sys.modules) - before
    assert not added, f"A unit test has imported {sorted(added)}: move it to tests/dbt."


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.URL]:
    """Provide a PostgreSQL server; fail with a sentence if none is installed."""
    from tests.support.postgres import find_postgres, running_postgres

    programs = find_postgres()
    if programs is None:
        pytest.fail("There is no PostgreSQL: run scripts/install_test_programs.sh.")
    with running_postgres(programs, tmp_path_factory.mktemp("postgres")) as url:
        yield url
