"""Clickstream files of a glob: each is loaded once, and problems are reported."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer

from churn.ingest.event_files import (
    LoadedFile,
    NoFilesError,
    find_event_files,
    new_lines,
)
from tests.support.project import DbtProject

RECORD = '{"event":"login","event_id":"%s","ts":1740823445,"user_id":"u"}\n'


def records(first: int, count: int) -> bytes:
    return "".join(RECORD % number for number in range(first, first + count)).encode()


def packed(name: str, content: bytes) -> bytes:
    if name.endswith(".gz"):
        # Firehose and others write several gzip members into one file.
        half = content.index(b"\n") + 1
        return gzip.compress(content[:half]) + gzip.compress(content[half:])
    if name.endswith(".zst"):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(content)
        return sink.getvalue().to_pybytes()
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Provide ten records in each of a plain, a gzip and a zstd file."""
    folder = tmp_path / "clicks"
    for number, name in enumerate(["a/1.jsonl", "a/2.jsonl.gz", "b/3.jsonl.zst"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(name, records(10 * number, 10)))
    return folder


def test_a_glob_without_matches_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NoFilesError, match="raw_event_files"):
        find_event_files(f"{tmp_path}/*.gz")


def test_names_do_not_depend_on_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = find_event_files(f"{folder}/**/*.jsonl*")
    monkeypatch.chdir(folder)
    relative = find_event_files("**/*.jsonl*")
    assert [file.name for file in absolute] == [file.name for file in relative]
    assert absolute[0].name == "a/1.jsonl"


@pytest.fixture
def bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Provide an S3 bucket with the files of ``folder`` under clicks/."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    storage = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    storage.create_bucket(Bucket="lake")
    for path in sorted(folder.rglob("*.jsonl*")):
        key = f"clicks/{path.relative_to(folder).as_posix()}"
        storage.put_object(Bucket="lake", Key=key, Body=path.read_bytes())
    yield "s3://lake/clicks"
    server.stop()


@pytest.mark.parametrize("pattern", ["**/*.jsonl*", "*/*.jsonl", "[!b]/*", "*/?.*.gz"])
def test_a_glob_matches_the_same_files_in_s3(
    folder: Path, bucket: str, pattern: str
) -> None:
    local = new_lines(find_event_files(f"{folder}/{pattern}"), {}).read_all()
    remote = new_lines(find_event_files(f"{bucket}/{pattern}"), {}).read_all()
    for column in ("payload", "source_file", "file_bytes", "file_sha256"):
        assert remote[column].to_pylist() == local[column].to_pylist()
    assert local.num_rows > 0
    with pytest.raises(NoFilesError):
        find_event_files(f"{bucket}/*.jsonl")


ODD_KEYS = [
    "a b.jsonl",
    "{x}.jsonl",
    "a#1.jsonl",
    "100%20.jsonl",
    "ü.jsonl",
    "a?b.jsonl",
    "it's+=&.jsonl",
    "a//b.jsonl",
]


def test_keys_in_s3_may_have_any_character(bucket: str) -> None:
    storage = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    folder = f"{bucket.removeprefix('s3://lake/')}/odd #{{x}} %20 ü"
    for number, key in enumerate(ODD_KEYS):
        body = records(number, 1)
        storage.put_object(Bucket="lake", Key=f"{folder}/{key}", Body=body)
    found = find_event_files(f"s3://lake/{folder}/**")
    assert {file.name for file in found} == set(ODD_KEYS)
    rows = new_lines(found, {}).read_all().to_pylist()
    for row in rows:
        number = ODD_KEYS.index(row["source_file"])
        assert row["payload"] == records(number, 1).decode().strip()
    assert len(rows) == len(ODD_KEYS)


def test_the_name_of_a_firehose_object_tells_when_it_was_received(
    tmp_path: Path,
) -> None:
    """A copy of an object has another time of last write."""
    for name, received_at in {
        "clicks-1-2025-03-01-09-59-58-0f1e.jsonl": "2025-03-01 09:59:58",
        # No such time, and one after the last write.
        "clicks-1-2025-13-01-09-59-58-0f1e.jsonl": "2025-03-02 00:00:00",
        "clicks-1-2099-03-01-09-59-58-0f1e.jsonl": "2025-03-02 00:00:00",
    }.items():
        path = tmp_path / name
        path.write_bytes(records(0, 1))
        os.utime(path, (1740873600, 1740873600))
        (row,) = new_lines(find_event_files(str(path)), {}).read_all().to_pylist()
        assert str(row["received_at"]) == received_at
        assert str(row["file_modified_at"]) == "2025-03-02 00:00:00"


def test_files_in_s3_become_events(project: DbtProject, bucket: str) -> None:
    project.create_raw_tables()
    for _ in range(2):
        project.dbt(
            "run",
            "--select",
            "+stg_clickstream__events",
            load_demo_seeds=False,
            raw_event_files=f"{bucket}/**/*.jsonl*",
        )
    found = project.query("select count(*) from stg_clickstream__events")
    assert found == [(30,)]


def test_lines_are_kept_with_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_bytes(b'{"a":"\xff"}\r\n\n{"b": 1}\x00\nlast')
    messages: list[str] = []
    rows = new_lines(find_event_files(f"{tmp_path}/*"), {}, messages.append).read_all()
    assert rows["payload"].to_pylist() == ['{"a":"\ufffd"}\r', '{"b": 1}\x00', "last"]
    assert messages == []


def test_a_new_modification_time_is_no_change(folder: Path) -> None:
    files = find_event_files(f"{folder}/a/1.jsonl")
    loaded_rows = new_lines(files, {}).read_all()
    loaded = {
        "1.jsonl": LoadedFile(
            files[0].bytes,
            loaded_rows["file_sha256"][0].as_py(),
            files[0].modified_at,
            10,
        )
    }
    os.utime(folder / "a/1.jsonl", (1, 1))
    messages: list[str] = []
    rows = new_lines(find_event_files(f"{folder}/a/1.jsonl"), loaded, messages.append)
    assert rows.read_all().num_rows == 0
    assert messages == []


def test_each_file_is_loaded_once_and_changes_are_reported(
    project: DbtProject, folder: Path
) -> None:
    project.create_raw_tables()

    def run() -> str:
        return project.dbt(
            "run",
            "--select",
            "+base_clickstream__parsed_records",
            load_demo_seeds=False,
            raw_event_files=f"{folder}/**/*.jsonl*",
        ).output

    def count_by_file() -> dict[str, int]:
        return dict(
            project.query(
                """select source_file, count(*)
                from base_clickstream__parsed_records group by 1"""
            )
        )

    run()
    first = {"a/1.jsonl": 10, "a/2.jsonl.gz": 10, "b/3.jsonl.zst": 10}
    assert count_by_file() == first

    # One file grows, one changes without growing, and one is incomplete.
    with (folder / "a/1.jsonl").open("ab") as grown:
        grown.write(records(100, 5))
    (folder / "b/3.jsonl.zst").write_bytes(packed("3.zst", records(50, 10)))
    complete = packed("4.gz", records(200, 1000))
    (folder / "b/4.jsonl.gz").write_bytes(complete[: len(complete) // 2])
    output = run()
    assert "a/1.jsonl has grown" in output
    assert "b/3.jsonl.zst changed after it was loaded" in output
    assert "b/4.jsonl.gz cannot be read to its end" in output
    assert count_by_file() == {**first, "a/1.jsonl": 15}

    (folder / "b/4.jsonl.gz").write_bytes(complete)
    run()
    assert count_by_file() == {**first, "a/1.jsonl": 15, "b/4.jsonl.gz": 1000}
    assert project.query(
        """select count(*), count(distinct event_id)
        from base_clickstream__parsed_records"""
    ) == [(1035, 1035)]


def test_a_raw_table_can_be_a_view_of_files(
    project: DbtProject, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    for name, first in (("1.jsonl", 0), ("2.jsonl.gz", 10)):
        (landing / name).write_bytes(packed(name, records(first, 10)))
    project.create_raw_tables()
    project.execute(
        f"""
        drop table raw.raw_events;
        create view raw.raw_events as
        select
            line as payload,
            timestamp '2025-03-02 00:00:00' as received_at,
            parse_filename(filename) as source_file
        from read_csv(
            '{landing}/*.jsonl*', columns = {{'line': 'varchar'}}, header = false,
            auto_detect = false, delim = '\x01', quote = '', escape = '',
            filename = true
        )
        """
    )

    def events_after_a_run() -> list[tuple[str, int]]:
        project.dbt(
            "run",
            "--select",
            "+stg_clickstream__events",
            load_demo_seeds=False,
        )
        return project.query(
            """select source_file, count(distinct event_id)
            from stg_clickstream__events group by 1 order by 1"""
        )

    assert events_after_a_run() == [("1.jsonl", 10), ("2.jsonl.gz", 10)]

    # Events of deleted files remain, and grown files are reloaded completely.
    (landing / "1.jsonl").unlink()
    (landing / "2.jsonl.gz").write_bytes(packed("2.jsonl.gz", records(10, 15)))
    (landing / "3.jsonl").write_bytes(records(100, 5))
    expected = [("1.jsonl", 10), ("2.jsonl.gz", 15), ("3.jsonl", 5)]
    assert events_after_a_run() == expected
    assert events_after_a_run() == expected
