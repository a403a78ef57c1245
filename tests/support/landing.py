"""A landing zone of the demo company, and what a load makes of it."""

from __future__ import annotations

from pathlib import Path

import duckdb

from churn.demo import Settings, generate
from churn.ingest.file_readers import RAW_TABLES


def write_landing_zone(folder: Path) -> Path:
    """Write the files of a small company and return their folder."""
    landing_zone = folder / "landing"
    settings = Settings(accounts=25, days=30, seed=2, sales_from_day=10)
    generate(settings, landing_zone, workers=1)
    return landing_zone


def rows(database: Path, sql: str) -> list[tuple]:
    """Return the rows of a query."""
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def fingerprint(database: Path) -> dict[str, tuple]:
    """Return count and checksum of every raw table, independent of row order."""
    return {
        table.name: rows(
            database, f"select count(*), sum(hash(t)) from raw.{table.name} as t"
        )[0]
        for table in RAW_TABLES
    }
