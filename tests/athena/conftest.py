"""Athena on this machine for the tests of this folder, and the project on it.

These tests are not part of `make test`: they need Java and Trino, and say how to
get them where they are missing. `make test-athena` runs them; CI runs
those that prove most in a few minutes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.athena_local.local import LocalCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """S3, Glue, Trino and Athena, for all tests."""
    with LocalCloud() as running:
        yield running
