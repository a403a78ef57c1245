"""Loading a landing zone: each file is loaded once, and no record is lost."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from churn.cli.main import main
from churn.ingest import load as load_module
from churn.ingest.file_readers import RAW_TABLES
from churn.ingest.load import LoadError, load
from tests.support.landing import fingerprint, rows, write_landing_zone
from tests.support.paths import ROOT


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is on stderr, apart from the indented lines of progress."""
    lines = capsys.readouterr().err.splitlines()
    return "\n".join(line for line in lines if not line.startswith("   "))


TABLES = [table.name for table in RAW_TABLES]


@pytest.fixture(scope="module")
def landing_zone(tmp_path_factory) -> Path:
    return write_landing_zone(tmp_path_factory.mktemp("load"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "landing"


@pytest.fixture
def database(tmp_path) -> Path:
    return tmp_path / "events.duckdb"


def write(folder: Path, path: str, content: bytes | str) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    # A fixed time in the header, so that equal content gives equal bytes.
    packed = gzip.compress(data, mtime=0) if path.endswith(".gz") else data
    file.write_bytes(packed)
    return file


EVENTS = "clickstream/dt=2025-03-01/part-0.jsonl.gz"
ENVELOPE = '{"received_at":"2025-03-01T10:00:00.5Z","payload":"{\\"a\\":1}"}\n'
ACCOUNTS = RAW_TABLES[1]
# Exports without the optional columns stay readable.
ACCOUNTS_HEADER = ",".join(
    name for name in ACCOUNTS.columns if name not in ACCOUNTS.optional
)


def test_every_file_is_loaded_exactly_once(landing_zone, database):
    first = load(landing_zone, database)
    loaded = fingerprint(database)
    second = load(landing_zone, database)

    files = [
        path
        for path in landing_zone.rglob("*.gz")
        if path.relative_to(landing_zone).parts[0] != "truth"
    ]
    assert sum(first.files.values()) == len(files)
    assert sum(second.files.values()) == 0
    assert second.already_loaded == len(files)
    assert fingerprint(database) == loaded
    loaded_rows = rows(
        database, "select table_name, sum(rows) from raw.loaded_files group by 1"
    )
    assert dict(loaded_rows) == {table: loaded[table][0] for table in TABLES}


def test_new_files_are_appended(folder, database):
    write(folder, EVENTS, ENVELOPE)
    load(folder, database)
    write(folder, EVENTS.replace("part-0", "part-1"), ENVELOPE * 2)

    report = load(folder, database)

    assert report.rows["raw_events"] == 2
    assert rows(database, "select count(*) from raw.raw_events") == [(3,)]


def test_loading_in_parts_equals_loading_at_once(landing_zone, tmp_path, monkeypatch):
    load(landing_zone, tmp_path / "once.duckdb")
    monkeypatch.setattr(load_module, "_BATCH_FILES", 2)
    load(landing_zone, tmp_path / "parts.duckdb")

    assert fingerprint(tmp_path / "once.duckdb") == fingerprint(
        tmp_path / "parts.duckdb"
    )


@pytest.mark.slow
@pytest.mark.parametrize("files", [1, 30, 71])
def test_a_killed_load_neither_loses_nor_repeats_rows(landing_zone, tmp_path, files):
    load(landing_zone, tmp_path / "complete.duckdb")
    killed = tmp_path / "killed.duckdb"
    program = f"""
import os
from pathlib import Path
from churn.ingest import load as module

read, calls = module._read, []

def read_or_die(file):
    calls.append(file)
    if len(calls) > {files}:
        os._exit(9)
    return read(file)

module._BATCH_FILES, module._read = 7, read_or_die
module.load(Path({str(landing_zone)!r}), Path({str(killed)!r}))
"""
    killed_process = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert killed_process.returncode == 9

    load(landing_zone, killed)

    assert fingerprint(killed) == fingerprint(tmp_path / "complete.duckdb")


def test_payload_is_kept_as_delivered(folder, database):
    payloads = [" {}\n", "\ufeff{}", "é🛏️", '"\\', "\t", "}{", "null", ""]
    lines = [
        json.dumps(
            {"received_at": "2025-03-01T10:00:00Z", "payload": payload},
            ensure_ascii=False,
        )
        for payload in payloads
    ]
    write(folder, EVENTS, "\n".join(lines))

    load(folder, database)

    found = rows(database, "select payload from raw.raw_events order by rowid")
    assert [payload for (payload,) in found] == payloads


def test_bytes_that_are_not_utf8_are_replaced(folder, database):
    broken = ENVELOPE.encode().replace(b'{\\"a\\":1}', b"f\xfcr \xff\xc3")
    write(folder, EVENTS, ENVELOPE.encode() + broken)

    load(folder, database)

    found = rows(database, "select payload from raw.raw_events order by rowid")
    assert found == [('{"a":1}',), ("f\ufffdr \ufffd\ufffd",)]


@pytest.mark.parametrize(
    "line",
    [
        '{"received_at":"2025-03-01T10:00:00Z","payl',
        "not an envelope",
        '{"payload":"{}"}',
        '{"received_at":"yesterday","payload":"{}"}',
        '{"received_at":"2025-03-01T10:00:00Z","payload":null}',
        "[]",
        "42",
    ],
)
def test_unreadable_envelope_becomes_one_record(folder, database, line):
    write(folder, EVENTS, ENVELOPE + line + "\n" + ENVELOPE)

    load(folder, database)

    found = rows(
        database,
        """select payload, cast(received_at as varchar), source_file
        from raw.raw_events order by rowid""",
    )
    assert len(found) == 3
    assert found[1] == (line, "2025-03-01 23:59:59", EVENTS)


def test_times_with_an_offset_are_stored_in_utc(folder, database):
    write(folder, EVENTS, ENVELOPE.replace("00.5Z", "00+02:00"))

    load(folder, database)

    found = rows(database, "select cast(received_at as varchar) from raw.raw_events")
    assert found == [("2025-03-01 08:00:00",)]


def test_csv_fields_are_loaded_unchanged(folder, database):
    line = '2025-03-01,2025-03-02 02:00:00,A1,"Smith, ""Jo"" & Co\nLtd",,\\N,null,"",'
    write(
        folder,
        "salesforce/batch_date=2025-03-01/accounts.csv.gz",
        f"{ACCOUNTS_HEADER}\n{line} 12 ,N/A,0012\n",
    )

    load(folder, database)

    found = rows(database, "select columns(*)::varchar from raw.raw_accounts")[0]
    assert found[2:] == (
        "A1",
        'Smith, "Jo" & Co\nLtd',
        None,
        "\\N",
        "null",
        "",
        " 12 ",
        "N/A",
        "0012",
        *[None] * len(ACCOUNTS.optional),
    )
    assert found[:2] == ("2025-03-01", "2025-03-02 02:00:00")


def test_columns_are_matched_by_name(folder, database):
    write(
        folder,
        "support/dt=2025-03-01/calls.csv",
        "topic,extra,loaded_at,call_id,account_id,duration_seconds,started_at\n"
        "billing,x,2025-03-02 05:00:00,C1,A1,60,2025-03-01 09:00:00\n",
    )

    load(folder, database)

    found = rows(database, "select call_id, topic, duration_seconds from raw.raw_calls")
    assert found == [("C1", "billing", 60)]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (EVENTS, b"\x1f\x8b\x08 cut off", "cannot be read"),
        ("support/dt=2025-03-01/calls.csv", b"call_id,account_id\n1,2\n", "started_at"),
        ("support/dt=2025-03-01/calls.csv", b"", "cannot be read"),
        (
            "support/dt=2025-03-01/calls.csv",
            b"call_id,account_id,started_at,duration_seconds,topic,loaded_at\n"
            b"C1,A1,soon,60,billing,2025-03-02 05:00:00\n",
            "soon",
        ),
    ],
)
def test_unreadable_file_is_reported_and_the_others_are_loaded(
    folder, database, capsys, path, content, message
):
    write(folder, EVENTS.replace("part-0", "part-1"), ENVELOPE)
    write(
        folder,
        "support/dt=2025-03-02/calls.csv",
        "call_id,account_id,started_at,duration_seconds,topic,loaded_at\n"
        "C1,A1,2025-03-02 09:00:00,60,billing,2025-03-03 05:00:00\n",
    )
    unreadable = folder / path
    unreadable.parent.mkdir(parents=True, exist_ok=True)
    unreadable.write_bytes(content)

    code = main(["load", str(folder), "--database", str(database)])

    error = sentence(capsys)
    assert code == 1
    assert path in error
    assert message in error
    assert "\n" not in error
    assert rows(database, "select count(*) from raw.raw_events") == [(1,)]
    assert rows(database, "select count(*) from raw.raw_calls") == [(1,)]
    assert rows(database, "select count(*) from raw.loaded_files") == [(2,)]


def test_changed_file_is_skipped_and_reported(folder, database, capsys):
    file = write(folder, EVENTS, ENVELOPE)
    load(folder, database)
    write(folder, EVENTS, ENVELOPE * 3)

    assert main(["load", str(folder), "--database", str(database)]) == 0

    error = sentence(capsys)
    assert EVENTS in error
    assert "\n" not in error
    assert rows(database, "select count(*) from raw.raw_events") == [(1,)]
    # A new modification time alone is no change.
    write(folder, EVENTS, ENVELOPE)
    os.utime(file, (1, 1))
    assert load(folder, database).changed == []


def test_missing_landing_zone_is_reported_in_one_sentence(tmp_path, database, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    for name, message in (("missing", "no folder"), ("empty", "not a landing zone")):
        code = main(["load", str(tmp_path / name), "--database", str(database)])
        error = sentence(capsys)
        assert code == 1
        assert message in error
        assert "\n" not in error
    assert not database.exists()


def test_locked_database_is_reported_in_one_sentence(folder, database, capsys):
    write(folder, EVENTS, ENVELOPE)
    program = f"""
import duckdb, sys
connection = duckdb.connect({str(database)!r})
print("open", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        code = main(["load", str(folder), "--database", str(database)])
        other.stdin.close()

    error = sentence(capsys)
    assert code == 1
    assert "is in use by process" in error
    assert "\n" not in error


def test_invalid_database_is_reported_in_one_sentence(folder, database, capsys):
    write(folder, EVENTS, ENVELOPE)
    database.write_text("this is no database, and not the header of one " * 200)

    code = main(["load", str(folder), "--database", str(database)])

    error = sentence(capsys)
    assert code == 1
    assert "is not a DuckDB file" in error
    assert "\n" not in error


def test_database_can_have_the_name_of_the_schema(folder, tmp_path):
    write(folder, EVENTS, ENVELOPE)

    report = load(folder, tmp_path / "raw.duckdb")

    assert report.rows["raw_events"] == 1


def test_tables_with_other_rows_are_refused(folder, database):
    write(folder, EVENTS, ENVELOPE)
    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema raw")
        connection.execute(
            """create table raw.raw_events as
            select 'seed' as payload, now()::timestamp as received_at,
                'seed' as source_file"""
        )

    with pytest.raises(LoadError, match="holds rows that no load wrote"):
        load(folder, database)

    assert rows(database, "select count(*) from raw.raw_events") == [(1,)]
