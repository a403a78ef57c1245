"""Seeds fill empty raw tables as written, and never replace loaded rows."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from churn.ingest.file_readers import RAW_TABLES
from churn.ingest.load import LoadError, load
from tests.support.landing import fingerprint, rows, write_landing_zone
from tests.support.paths import ROOT
from tests.support.project import DbtProject


@pytest.fixture(scope="module")
def landing_zone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the files of a small company."""
    return write_landing_zone(tmp_path_factory.mktemp("load"))


def test_dbt_seed_keeps_loaded_tables(landing_zone: Path, project: DbtProject) -> None:
    load(landing_zone, project.database)
    loaded = fingerprint(project.database)

    for arguments in (["seed"], ["seed", "--full-refresh"]):
        finished = project.dbt(*arguments)
        assert "Left alone" in finished.output
        assert fingerprint(project.database) == loaded


def test_seeds_are_loaded_as_written(project: DbtProject, landing_zone: Path) -> None:
    project.dbt("seed", "--select", "tag:raw")

    for table in RAW_TABLES:
        path = ROOT / "seeds" / f"{table.name}.csv"
        if table.name == "raw_retention_actions":
            # The small company has no sales team.
            assert not path.exists()
            continue
        with path.open(encoding="utf-8", newline="") as file:
            written = [
                tuple(field or None for field in row) for row in csv.reader(file)
            ][1:]
        found = project.query(
            f"select columns(*)::varchar from raw.{table.name} order by rowid"
        )
        numbers = list(table.columns.values()).count("double")
        if not numbers:
            assert found == written
        assert len(found) == len(written)

    with pytest.raises(LoadError, match="holds rows that no load wrote"):
        load(landing_zone, project.database)


def test_raw_tables_match_the_sources(
    landing_zone: Path, project: DbtProject, tmp_path: Path
) -> None:
    database = tmp_path / "loaded.duckdb"
    load(landing_zone, database)
    project.create_raw_tables()

    def columns(path: Path) -> list[tuple]:
        return rows(
            path,
            """select table_name, column_name, data_type
            from information_schema.columns
            where table_schema = 'raw'
            -- A company need not have the last one.
            and table_name not in ('loaded_files', 'raw_retention_actions')
            order by table_name, ordinal_position""",
        )

    # Another company's table need not have the optional columns.
    optional = {(table.name, name) for table in RAW_TABLES for name in table.optional}
    required = [column for column in columns(database) if column[:2] not in optional]
    assert required == columns(project.database)
