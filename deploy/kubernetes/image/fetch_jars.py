"""Fetch Maven packages with Spark's own Ivy, and put them beside Spark's jars."""

from __future__ import annotations

import hashlib
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

    Raises:
        SystemExit: A jar differs from the one that `checksums.sha256` names.
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
        added = []
        for jar in sorted((Path(ivy) / "jars").iterdir()):
            # Ivy puts the group before the name of the file.
            name = jar.name.partition("_")[2]
            check(jar, name)
            added.append(Path(shutil.copy(jar, jars / name)))
        return added


def check(jar: Path, name: str) -> None:
    """Compare a jar with its SHA-256; print the digest of a jar without an entry."""
    path = Path(__file__).with_name("checksums.sha256")
    entries = (line.split() for line in path.read_text().splitlines())
    expected = {file: digest for digest, file in entries}.get(name)
    found = hashlib.sha256(jar.read_bytes()).hexdigest()
    if expected is None:
        print(f"{name} is not in checksums.sha256; its SHA-256 is {found}")
    elif found != expected:
        sys.exit(
            f"{name} is not the expected file (SHA-256 {found}): check the repository "
            "that it came from."
        )


if __name__ == "__main__":
    for added in fetch(sys.argv[1]):
        print(f"Added {added.name}")
