"""Fetch Maven packages with Spark's own Ivy, and put them beside Spark's jars."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path


def fetch(packages: str) -> list[Path]:
    """Copy packages and what they need to Spark's folder of jars.

    Args:
        packages: Maven coordinates, separated by commas.

    Returns:
        The jars that were added.
    """
    import pyspark
    from pyspark.sql import SparkSession

    jars = Path(pyspark.__path__[0]) / "jars"
    with tempfile.TemporaryDirectory() as ivy:
        (
            SparkSession.builder.master("local[1]")
            .config("spark.jars.packages", packages)
            .config("spark.jars.ivy", ivy)
            .config("spark.ui.enabled", "false")
            .getOrCreate()
            .stop()
        )
        return [
            Path(shutil.copy(jar, jars / jar.name.partition("_")[2]))
            for jar in sorted((Path(ivy) / "jars").iterdir())
        ]


if __name__ == "__main__":
    for added in fetch(sys.argv[1]):
        print(f"Added {added.name}")
