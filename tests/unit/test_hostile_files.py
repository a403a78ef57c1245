"""Files that attack a loader cost only themselves, and are reported."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import duckdb
import pytest

from churn.ingest.event_files import find_event_files, new_lines
from churn.ingest.file_readers import RAW_TABLES
from churn.ingest.load import load
from churn.ingest.table_readers import NotATableError, read_table

RECORD = {"received_at": "2025-03-01T10:00:00Z", "payload": '{"event":"x"}'}
LINE = (json.dumps(RECORD) + "\n").encode()
GOOD = [b"good.jsonl", b"bad\xff\xfename.jsonl", b"new\nline\x1b[31m.jsonl"]
NO_FILES = ["pipe", "device", "dangling", "loop", "folder"]


@pytest.fixture
def landing_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a landing zone with good files among hostile ones."""
    monkeypatch.setenv("CHURN_MAX_UNPACKED_MB", "1")
    folder = tmp_path / "landing" / "clickstream" / "dt=2025-03-01"
    folder.mkdir(parents=True)
    for name in GOOD:
        (folder / os.fsdecode(name)).write_bytes(LINE)
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "device.jsonl").symlink_to("/dev/zero")
    (folder / "dangling.jsonl").symlink_to("nowhere.jsonl")
    (folder / "loop.jsonl").symlink_to("loop.jsonl")
    (folder / "folder.jsonl").mkdir()
    bomb = gzip.compress(bytes(5_000_000))
    for number in range(5):
        (folder / f"bomb{number}.jsonl.gz").write_bytes(bomb)
    (folder / "large.jsonl").write_bytes(LINE * 15_000)
    (folder / "truncated.jsonl.gz").write_bytes(gzip.compress(LINE * 99)[:60])
    for day in ("today", "9999-99-99"):
        other = folder.parent / f"dt={day}"
        other.mkdir()
        (other / "a.jsonl").write_bytes(LINE + b"no envelope\n")
    return tmp_path / "landing"


def test_a_load_isolates_hostile_files(landing_zone: Path, tmp_path: Path) -> None:
    database = tmp_path / "x.duckdb"
    for _ in range(2):
        report = load(landing_zone, database)
        unreadable = "\n".join(report.unreadable)
        assert len(report.unreadable) == len(NO_FILES) + 5 + 2
        for name in (*NO_FILES, "bomb4", "large", "truncated"):
            assert f"{name}.jsonl" in unreadable
    with duckdb.connect(str(database)) as connection:
        rows = connection.execute(
            "select source_file, count(*), count(received_at) "
            "from raw.raw_events group by 1 order by 1"
        ).fetchall()
    assert rows == [
        (r"clickstream/dt=2025-03-01/bad\xff\xfename.jsonl", 1, 1),
        ("clickstream/dt=2025-03-01/good.jsonl", 1, 1),
        ("clickstream/dt=2025-03-01/new\nline\x1b[31m.jsonl", 1, 1),
        # A line without a time gets none from such a folder.
        ("clickstream/dt=9999-99-99/a.jsonl", 2, 1),
        ("clickstream/dt=today/a.jsonl", 2, 1),
    ]


def test_event_files_isolate_hostile_files(landing_zone: Path) -> None:
    reports: list[str] = []
    files = find_event_files(f"{landing_zone}/clickstream/**/*.jsonl*")
    rows = new_lines(files, {}, reports.append).read_all()
    assert len(rows) == 3 + 2 * 2
    assert r"dt=2025-03-01/bad\xff\xfename.jsonl" in rows["source_file"].to_pylist()
    # A glob names no folder's own name.
    assert len(reports) == len(NO_FILES) - 1 + 5 + 2
    assert all(report.isprintable() for report in reports)


COLUMNS = list(RAW_TABLES[1].columns)
HEADER = ",".join(COLUMNS)
ROW = "2025-03-01,2025-03-02 04:00:00,a1" + "," * (len(COLUMNS) - 3)
TABLES = [
    f"{HEADER}\n{ROW}\n",
    # Lines that end with a carriage return, a field beyond Python's limit, and quotes
    # without an end.
    f"{HEADER}\r{ROW}\r",
    "x" * 200_000 + "\n1\n",
    f'{HEADER},"\n1,2\n',
    "\0\0\n\0\n",
]


def test_a_load_isolates_hostile_tables(tmp_path: Path) -> None:
    for day, text in enumerate(TABLES, start=1):
        folder = tmp_path / "landing" / "salesforce" / f"batch_date=2025-03-0{day}"
        folder.mkdir(parents=True)
        (folder / "accounts.csv").write_text(text, newline="")
    database = tmp_path / "x.duckdb"
    report = load(tmp_path / "landing", database)
    with duckdb.connect(str(database)) as connection:
        rows = connection.execute("select account_id from raw.raw_accounts").fetchall()
    assert set(rows) == {("a1",)}
    assert len(rows) + len(report.unreadable) == len(TABLES), report.unreadable


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"a":' + b"9" * 9_000 + b"}]"]
)
def test_a_table_that_is_nested_too_deeply_is_refused(content: bytes) -> None:
    with pytest.raises(NotATableError):
        read_table(content)
