"""Files are unpacked and decoded by their content, whatever their names are."""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import jinja2
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.ingest.decoding import (
    FOREIGN,
    WHITESPACE,
    DamagedFileError,
    decode,
    strip_whitespace,
    unpack,
)
from churn.ingest.event_files import find_event_files, new_lines, read_event_records
from churn.ingest.table_readers import NotATableError, is_csv, read_table
from tests.support.paths import ROOT

TEXT = 'Zoë,"größe"\n{"a": 1}\n'


def zipped(*contents: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for number, content in enumerate(contents):
            writer.writestr(f"{number}.jsonl", content)
    return archive.getvalue()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def tarred(*contents: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writer:
        for number, content in enumerate(contents):
            entry = tarfile.TarInfo(f"{number}.jsonl")
            entry.size = len(content)
            writer.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


PACKINGS = {
    "tar": tarred,
    "tar in gzip": lambda content: gzip.compress(tarred(content)),
    "padded gzip": lambda content: gzip.compress(content) + bytes(512),
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "two gzip members": lambda content: (
        gzip.compress(content[:5]) + gzip.compress(content[5:])
    ),
    "zstd": zstd,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "gzip in zip": lambda content: zipped(gzip.compress(content)),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_archives_are_unpacked_by_their_first_bytes(packing: str) -> None:
    assert unpack(PACKINGS[packing](TEXT.encode())) == [TEXT.encode()]


@pytest.mark.parametrize("packing", ["gzip", "zstd", "bzip2", "xz", "zip"])
def test_a_truncated_archive_is_reported(packing: str) -> None:
    packed = PACKINGS[packing](os.urandom(2000))
    with pytest.raises(DamagedFileError):
        unpack(packed[: len(packed) // 2])


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"],
)
def test_encodings_are_recognised(encoding: str) -> None:
    text = "account_id,company_name\r\na1,Müller & Söhne\r\na2,Café Zoë\r\n"
    assert decode(text.encode(encoding)) == text


def test_damaged_utf8_is_not_a_code_page() -> None:
    assert decode(b'{"a":"\xff"}') == '{"a":"\ufffd"}'
    assert decode("größe".encode() + b" a\xffb") == "größe a\ufffdb"


@given(st.text())
def test_utf8_is_decoded_exactly(text: str) -> None:
    if not text.startswith("\ufeff") and "\0" not in text:
        assert decode(text.encode()) == text


# The first example opens a database.
@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_decoded(content: bytes) -> None:
    decode(content)
    try:
        read_event_records(content)
    except (DamagedFileError, NotATableError):
        assert content[:2] in (
            b"\x1f\x8b",
            b"\x28\xb5",
            b"\xfd7",
            b"PK",
            b"PA",
            b"\x04\x22",
        ) or (
            content.startswith((b"ORC", b"ARROW1", *FOREIGN))
            or content[8:12] == b"DUCK"
            or content[257:262] == b"ustar"
            or is_csv(decode(content))
        )


def test_tables_of_any_format_are_equal() -> None:
    columns = {"id": ["1", "2"], "name": ["Zoë", None]}
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table(columns), sink)
    for content in (
        "id,name\n1,Zoë\n2,\n".encode(),
        "id;name\n1;Zoë\n2;\n".encode("cp1252"),
        "id\tname\r\n1\tZoë\r\n2\t\r\n".encode("utf-16"),
        sink.getvalue().to_pybytes(),
        '{"id":1,"name":"Zoë"}\n{"id":2,"name":null}\n'.encode(),
        '{"object":"list","data":[{"id":1,"name":"Zoë"},{"id":2}]}'.encode(),
    ):
        assert read_table(content).to_pydict() == columns


def lines_of(pattern: str) -> dict[str, list[str]]:
    messages: list[str] = []
    rows = new_lines(find_event_files(pattern), {}, messages.append).read_all()
    assert messages == []
    found: dict[str, list[str]] = {}
    for row in rows.to_pylist():
        found.setdefault(row["source_file"], []).append(row["payload"])
    return found


def test_names_do_not_matter(tmp_path: Path) -> None:
    record = '{"event":"login"}'
    for number, pack in enumerate(PACKINGS.values()):
        (tmp_path / f"{number}.GZ").write_bytes(pack(f"{record}\n{record}\n".encode()))
    assert lines_of(f"{tmp_path}/*") == {
        f"{number}.GZ": [record, record] for number in range(len(PACKINGS))
    }


def test_rows_of_csv_and_parquet_become_records(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("event,ts\nlogin,5\nlogout,\n")
    table = pa.table({"event": ["login"], "context": [{"page": {"path": "/x"}}]})
    pyarrow.parquet.write_table(table, tmp_path / "b")
    assert lines_of(f"{tmp_path}/*") == {
        "a.csv": ['{"event": "login", "ts": "5"}', '{"event": "logout"}'],
        "b": ['{"event":"login","context":{"page":{"path":"/x"}}}'],
    }


def test_a_link_to_its_own_folder_loads_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jsonl").write_text("{}\n")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "0.jsonl").symlink_to(tmp_path / "a" / "1.jsonl")
    assert lines_of(f"{tmp_path}/**/*.jsonl") == {"a/1.jsonl": ["{}"]}


def test_a_deleted_file_is_reported(tmp_path: Path) -> None:
    from churn.ingest.event_files import LoadedFile

    (tmp_path / "1").write_text("{}\n")
    files = find_event_files(f"{tmp_path}/*")
    gone = {"0\x1b[31m": LoadedFile(1, "", files[0].modified_at, 1)}
    messages: list[str] = []
    assert new_lines(files, gone, messages.append).read_all().num_rows == 1
    (message,) = messages
    assert "1 loaded files do not exist any more" in message
    assert "\x1b" not in message


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.7\n" + bytes(range(256)),
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"SQLite format 3\0" + bytes(200),
        b"Obj\x01" + bytes(range(200)),
        bytes(range(256)) * 8,
    ],
)
def test_a_file_without_records_is_refused(content: bytes) -> None:
    with pytest.raises(DamagedFileError, match="export"):
        read_event_records(content)


@pytest.mark.parametrize("packing", ["gzip", "zstd", "bzip2", "xz", "zip", "tar"])
def test_a_bomb_is_refused(packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_MAX_UNPACKED_MB", "1")
    with pytest.raises(DamagedFileError, match="more than 1 MB"):
        unpack(PACKINGS[packing](bytes(2 << 20)))
    # Several parts share the limit.
    with pytest.raises(DamagedFileError, match="more than 1 MB"):
        unpack(zipped(bytes(600_000), bytes(600_000)))


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ('[{"a": 1},\n {"b": "x}{"}]', ['{"a": 1}', '{"b": "x}{"}']),
        ('{\n "a": 1\n}\n{\n "b": 2}', ['{  "a": 1 }', '{  "b": 2}']),
        ('\x1e{"a": 1}\n\x1e{"b": 2}\n', ['{"a": 1}', '{"b": 2}']),
        # Each line is a record, also if it is none or several.
        ('{"a": 1}{"b": 2}\n{"c": 3}', ['{"a": 1}{"b": 2}', '{"c": 3}']),
        ('{"a":\n{"b": 1}\n', ['{"a":', '{"b": 1}']),
        ("[1, 2]", ["[1, 2]"]),
        ("[]", ["[]"]),
        ('[{"a": 1}]\n[{"b": 2}]', ['[{"a": 1}]', '[{"b": 2}]']),
    ],
)
def test_json_documents_are_records(text: str, records: list[str]) -> None:
    assert read_event_records(text.encode()).to_pylist() == records


def test_columnar_files_are_records(tmp_path: Path) -> None:
    from pyarrow import feather, orc

    table = pa.table({"a": [1], "b": [{"c": "x"}]})
    for name, write in {
        "x.orc": orc.write_table,
        "x.arrow": feather.write_feather,
    }.items():
        write(table, str(tmp_path / name))
        records = read_event_records((tmp_path / name).read_bytes()).to_pylist()
        assert records == ['{"a":1,"b":{"c":"x"}}']


@pytest.mark.parametrize("name", ["a[1]b", "a*b", "what?", "{a}", "a b#%20ü"])
def test_wildcards_in_names_are_letters(tmp_path: Path, name: str) -> None:
    for folder in (name, "a1b", "axb"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "e.jsonl").write_text("{}\n")
    for pattern in (tmp_path / name / "e.jsonl", tmp_path / name):
        (file,) = find_event_files(str(pattern))
        assert file.name == "e.jsonl"
        assert file.location == str(tmp_path / name / "e.jsonl")


def test_white_space_is_as_in_sql() -> None:
    text = (ROOT / "macros" / "sql" / "text.sql").read_text()
    macro = "{% macro whitespace_code_points" + text.partition(
        "{% macro whitespace_code_points"
    )[2].replace("return(", "(")
    template = jinja2.Environment().from_string(
        macro + "{{ whitespace_code_points() }}"
    )
    assert set(ast.literal_eval(template.render())) == set(map(ord, WHITESPACE))
    assert strip_whitespace("\ufeff\u200b A \u3000\r") == "A"
