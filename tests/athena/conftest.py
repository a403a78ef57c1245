"""Athena on this machine for the tests of this folder, and the project on it.

These tests are not part of `make test`: they need Java and Trino, and say how to
get them where they are missing. `make test-athena` runs them; CI runs
those that prove most in a few minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# What is proven on every engine is written down once, in the tests of all engines.
sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))

from tests.athena_local.local import LocalCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """S3, Glue, Trino and Athena, for all tests."""
    with LocalCloud() as running:
        yield running
