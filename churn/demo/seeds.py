"""The tiny company that is committed: ``python -m churn.demo --seeds``.

A landing zone like any other, loaded like any other, and the raw tables then
written as CSV files, so that ``dbt build`` has data wherever it runs.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import duckdb

from churn.demo.generate import generate
from churn.demo.settings import Settings
from churn.file_readers import RAW_TABLES
from churn.load import load

# Few accounts that visit seldom, and plenty of dirt: every kind in 3 MB.
SEED_COMPANY = Settings(accounts=33, days=300, seed=33, activity=0.47, dirt=2.5)


def write_seeds(folder: Path, settings: Settings = SEED_COMPANY) -> int:
    """Write ``raw_events.csv`` and so on into a folder.

    Args:
        folder: Folder of the seeds; made if it is not there.
        settings: The company to write.

    Returns:
        The size of all files together, in bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        landing_zone, database = Path(name) / "landing", Path(name) / "seeds.duckdb"
        generate(settings, landing_zone, workers=1)
        load(landing_zone, database)
        with duckdb.connect(str(database), read_only=True) as connection:
            return sum(
                _write_table(connection, table.name, folder) for table in RAW_TABLES
            )


def _write_table(
    connection: duckdb.DuckDBPyConnection, table: str, folder: Path
) -> int:
    """Write one raw table in the order in which it was loaded.

    A record of nothing but blanks is left out: dbt reads such a field as null
    on some engines, and as text on others.
    """
    where = "where trim(payload, ' \t\n') <> ''" if table == "raw_events" else ""
    found = connection.execute(
        f"select columns(*)::varchar from raw.{table} {where} order by rowid"
    )
    path = folder / f"{table}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column[0] for column in found.description or []])
        writer.writerows(found.fetchall())
    return path.stat().st_size
