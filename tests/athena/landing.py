"""Puts a landing zone of the demo company into S3, as `create_raw_tables` wants it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.athena_local.local import LAKE, LocalCloud


def make_landing_zone(folder: Path, accounts: int, days: int) -> Path:
    """Make up a company that starts on 2025-01-01."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "churn",
            "demo",
            f"--accounts={accounts}",
            f"--days={days}",
            f"--out={folder}",
            "--workers=1",
        ],
        check=True,
        capture_output=True,
    )
    return folder


def upload(
    cloud: LocalCloud,
    folder: Path,
    prefix: str,
    takes: Callable[[str], bool] = lambda _: True,
) -> int:
    """Upload files of a landing zone.

    Args:
        cloud: Where S3 is.
        folder: The landing zone.
        prefix: The folder in the bucket.
        takes: Whether a file is to be uploaded, by its day.

    Returns:
        How many were.
    """
    uploaded = 0
    for file in sorted(folder.rglob("*.gz")):
        source, day_folder, *rest = file.relative_to(folder).parts
        if not rest or not takes(day_folder.rpartition("=")[2]):
            continue
        # One folder for each table: the accounts of a batch may come in two files.
        table = source if source == "clickstream" else rest[0].partition(".")[0]
        table = table.partition("-")[0]
        cloud.s3.put_object(
            Bucket=LAKE,
            Key=f"{prefix}/{table}/{day_folder}/{rest[0]}",
            Body=file.read_bytes(),
        )
        uploaded += 1
    return uploaded
