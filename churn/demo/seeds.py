"""Write the small company in the repository: ``churn demo --seeds``.

Generates a landing zone, loads it, and writes the raw tables as CSV files, so that
``dbt build`` has data on every machine.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import duckdb

from churn.demo.generate import generate
from churn.demo.settings import Settings
from churn.ingest.file_readers import RAW_TABLES
from churn.ingest.load import load

# Few accounts with few visits and much dirt: every kind of dirt in 3 MB.
SEED_COMPANY = Settings(accounts=33, days=300, seed=33, activity=0.47, dirt=2.5)


def write_seeds(folder: Path, settings: Settings = SEED_COMPANY) -> int:
    """Write the raw tables as CSV seeds.

    Args:
        folder: Folder of the seeds; created if missing.
        settings: The company to write.

    Returns:
        The total size of the files, in bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        landing_zone, database = Path(name) / "landing", Path(name) / "seeds.duckdb"
        generate(settings, landing_zone, workers=1)
        load(landing_zone, database)
        with duckdb.connect(str(database), read_only=True) as connection:
            return sum(
                _write_table(connection, table.name, folder)
                for table in RAW_TABLES
                # The small company has no sales team.
                if table.name != "raw_retention_actions"
            )


def _write_table(
    connection: duckdb.DuckDBPyConnection, table: str, folder: Path
) -> int:
    """Write one raw table in load order.

    Records that consist of white space are excluded, because dbt reads them as null on
    some engines and as text on others.
    """
    where = "where trim(payload, ' \t\n') <> ''" if table == "raw_events" else ""
    rows = connection.execute(
        f"select columns(*)::varchar from raw.{table} {where} order by rowid"
    )
    path = folder / f"{table}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column[0] for column in rows.description or []])
        writer.writerows(rows.fetchall())
    return path.stat().st_size
