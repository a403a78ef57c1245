"""Folders and names that the tests of all layers use."""

from __future__ import annotations

import os
from pathlib import Path

# The repository.
ROOT = Path(__file__).resolve().parents[2]
# What a unit test must not import, directly or not: dbt, its adapters and the engines
# that only an adapter uses.
ENGINE_PACKAGES = ("dbt", "dbt_common", "dbt_local_python", "pyspark", "pyathena")

# The environment variable with the folder that the workers of a test run share.
SHARED_FOLDER = "TEST_RUN_FOLDER"


def shared_folder() -> Path:
    """Return the folder that the workers of this test run share."""
    return Path(os.environ[SHARED_FOLDER])
