"""A load or a publication on a full or failing disk says what to do, and is repeated.

`make test-faults` does the same with builds of dbt and many more faults.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import duckdb
import pytest

from churn.config import (
    UserError,
    disk_remedy,
    explain_database_error,
    open_database,
)
from tests.support.faults import DiskFault, problems, run
from tests.support.landing import rows
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow
CHURN = [sys.executable, "-m", "churn"]


def test_errors_of_a_disk_get_a_remedy() -> None:
    for number in (errno.ENOSPC, errno.EIO, errno.EROFS):
        message = f'IO Error: Could not write file "x": {os.strerror(number)}'
        sentence = explain_database_error(duckdb.IOException(message), Path("x.duckdb"))
        assert sentence.startswith("x.duckdb cannot be read or written: ")
        assert os.strerror(number) in sentence
        assert "then run again" in sentence
    assert disk_remedy("Binder Error: no column") is None


EVENTS = "".join(
    f'{{"received_at":"2025-03-01T10:00:{n % 60:02}Z","payload":"{{\\"n\\":{n}}}"}}\n'
    for n in range(20_000)
)
ACCOUNTS = (
    "batch_date,loaded_at,account_id,company_name,industry,signup_date,plan,seats,"
    "monthly_recurring_revenue,cancelled_service,new_customer\n"
    "2025-03-01,2025-03-02 04:00:00,a1,One,x,2024-01-01,basic,1,10,,\n"
)


@pytest.fixture
def landing_zone(tmp_path: Path) -> Path:
    zone = tmp_path / "landing"
    for name, text in {
        "clickstream/dt=2025-03-01/events.jsonl": EVENTS,
        "salesforce/batch_date=2025-03-01/accounts.csv": ACCOUNTS,
    }.items():
        path = zone / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return zone


def load_with(fault: DiskFault | None, zone: Path, database: Path) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment |= fault.environment(database.parent) if fault else {}
    finished = run(
        [*CHURN, "load", str(zone), "--database", str(database)],
        database.parent,
        environment,
    )
    return finished.returncode, finished.stdout


def check_load(fault: DiskFault, zone: Path, folder: Path) -> str:
    """Load with a fault and again without one; return the first output."""
    database = folder / "db" / "events.duckdb"
    database.parent.mkdir(parents=True)
    code, output = load_with(fault, zone, database)
    if code:
        assert not problems(output), output
        assert "then run again" in output.splitlines()[-1], output
    again, second = load_with(None, zone, database)
    assert again == 0, second
    (events,) = rows(
        database, "select count(*), count(distinct payload) from raw.raw_events"
    )
    assert events == (20_000, 20_000), fault
    assert rows(database, "select count(*) from raw.raw_accounts") == [(1,)]
    assert rows(database, "select count(*) from raw.loaded_files") == [(2,)], fault
    return output if code else ""


def test_a_load_on_a_full_disk_says_so_and_continues(
    landing_zone: Path, tmp_path: Path
) -> None:
    fault = DiskFault(errno.ENOSPC, "grow", 500_000)
    assert "No space left on device" in check_load(fault, landing_zone, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(
    "fault",
    [
        *(DiskFault(errno.ENOSPC, "grow", 1 << n) for n in range(0, 22, 2)),
        *(DiskFault(errno.EIO, "write", n) for n in (0, 1, 2, 4, 8, 16, 32)),
        *(DiskFault(errno.EIO, "sync", n) for n in (0, 1, 2, 4)),
        *(DiskFault(errno.EIO, "read", n) for n in (0, 1, 2, 4)),
        *(DiskFault(errno.EROFS, "open", n) for n in (0, 1, 2)),
    ],
    ids=str,
)
def test_a_load_on_any_faulty_disk(
    landing_zone: Path, tmp_path: Path, fault: DiskFault
) -> None:
    check_load(fault, landing_zone, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8 + b"DUCK" + b"\0" * 4084])
def test_an_unfinished_database_is_created_again(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "x.duckdb"
    path.write_bytes(content)
    open_database(path, read_only=False).close()
    assert path.stat().st_size >= 12_288
    for kept in (b"notes of a person", b"SQLite format 3\0"):
        path.write_bytes(kept)
        with pytest.raises(UserError, match="is not a DuckDB file"):
            open_database(path, read_only=False)
        assert path.read_bytes() == kept
