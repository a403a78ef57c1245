"""Random input of every kind crashes nothing, and none of it is lost.

``make fuzz`` reads a million inputs: see `tests/support/fuzzing.py`.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.ingest.decoding import DamagedFileError, decode
from churn.ingest.event_files import read_event_records
from churn.ingest.json_repair import split_record
from churn.ingest.table_readers import NotATableError, read_table
from churn.onboarding.dbt_models import ModelError, ModelRunner
from churn.onboarding.profile import paths_of
from churn.onboarding.time_formats import detect_time_format, epoch_unit, is_time
from churn.quoting import path_text
from tests.support.fuzzing import bounded, inputs, seeds, variants
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow


TOKENS = [
    *["{", "}", "[", "]", ":", ",", '"', "'", "\\", "\\u", "\\ud83d", "\\n", " ", "\n"],
    *["null", "None", "True", "undefined", "NaN", "-Infinity", "1e999", "-0", "0x1f"],
    *[
        '"key"',
        '"value"',
        '"string_value"',
        "{'a':1}",
        '{"a":1}',
        '{"a":"{\\"b\\":1}"}',
    ],
    *["\ufeff", "\0", "\x1e", "\u2028", "\u202e", "/*", "//", "<!--", "${", "{{", "é"],
    *["9" * 30, "[" * 250, '{"a":' * 210, "}" * 210, "'" * 50, "a" * 300],
]
scraps = st.lists(st.sampled_from(TOKENS) | st.text(max_size=4), max_size=24).map(
    "".join
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner)
    ),
    max_leaves=12,
)


@st.composite
def records(draw: st.DrawFn) -> str:
    """Draw JSON, Python's notation of it, scraps, and mixtures with cuts."""
    parts = draw(
        st.lists(values.map(json.dumps) | values.map(repr) | scraps, max_size=3)
    )
    text = draw(st.sampled_from(["", ",", "\n", " "])).join(parts)
    if text and draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(scraps) + text[start + draw(st.integers(0, 9)) :]
    return text


@inputs("records")
@given(records(), seeds)
def test_no_record_is_lost(drawn: str, seed: int) -> None:
    for record in variants(drawn, seed, TOKENS):
        check_record(record)


def check_record(record: str) -> None:
    with bounded():
        parts = split_record(record)
    assert parts
    for part in parts:
        assert (part.payload is None) == (part.reject_reason is not None)
        if part.payload is not None:
            assert isinstance(value := json.loads(part.payload), dict)
            assert part.payload.encode()
            assert isinstance(paths_of(value), dict)
    if len(parts) == 1:
        assert parts[0].received_text == record
        return
    position = 0
    for part in parts:
        found = record.index(part.received_text or "", position)
        assert not record[position:found].strip(
            " \t\r\n\v\f\0\x1e\u00a0\u200b\u2028\u2029\ufeff,"
        )
        position = found + len(part.received_text or "")


PACKERS = [bytes, gzip.compress, bz2.compress, lzma.compress]
STARTS = [
    *[b"", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"PAR1", b"ORC"],
    *[b"ARROW1", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"SQLite format 3\0", b"["],
]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw a file: lines in some encoding, packed, cut and damaged."""
    text = "\n".join(draw(st.lists(records(), max_size=4)))
    encoding = draw(st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252"]))
    content = draw(st.sampled_from(STARTS)) + text.encode(encoding, "replace")
    content = draw(st.sampled_from(PACKERS))(content)
    if content and draw(st.booleans()):
        start = draw(st.integers(0, len(content)))
        content = content[:start] + draw(st.binary(max_size=6)) + content[start + 3 :]
    return content


@inputs("files")
@given(files() | st.binary(max_size=200), seeds)
def test_a_file_is_read_or_refused(drawn: bytes, seed: int) -> None:
    for content in variants(drawn, seed, STARTS):
        with bounded(), contextlib.suppress(DamagedFileError, NotATableError):
            lines = read_event_records(content)
            assert lines.null_count == 0


cells = st.text(max_size=6) | st.sampled_from(['"', '""', ",", ";", "\t", "'", "=1+1"])
tables = st.lists(
    st.lists(cells, min_size=1, max_size=4).map(",".join), min_size=1, max_size=6
).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))


@inputs("tables")
@given(tables | files(), seeds)
def test_a_table_is_read_or_refused(drawn: bytes, seed: int) -> None:
    for content in variants(drawn, seed, [*STARTS, b",", b'"', b"\n", b"\r"]):
        with bounded(), contextlib.suppress(DamagedFileError, NotATableError):
            assert read_table(content).num_columns >= 0


times = st.datetimes().map(str) | st.sampled_from(
    ["1/2/2025", "Tue, 4 Mar 2025 10:00:00 GMT", "1740787200", "10:00 PM 3-Mar-25"]
)


@inputs("texts")
@given(st.binary(max_size=60), scraps | times, seeds)
def test_names_and_times_of_any_bytes_are_text(
    name: bytes, time: str, seed: int
) -> None:
    for content in variants(name, seed, STARTS):
        with bounded():
            decode(content).encode()
            path_text(os.fsdecode(content)).encode()
    for text in variants(time, seed, TOKENS):
        with bounded():
            is_time(text)
            epoch_unit(text)
            detect_time_format([text or "-"])


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> ModelRunner:
    """Provide what `churn check` reads seeds with, in a company's folder."""
    folder = tmp_path_factory.mktemp("company")
    (folder / "seeds").mkdir()
    return ModelRunner(duckdb.connect(), ROOT, folder, {})


@inputs("seed_files")
@given(tables | files() | st.binary(max_size=80), seeds)
def test_a_seed_is_read_or_refused(
    runner: ModelRunner, drawn: bytes, seed: int
) -> None:
    for content in variants(drawn, seed, [b",", b'"', b"\n", b"\r", b"\0", b"\xff"]):
        (runner.project / "seeds" / "offers.csv").write_bytes(content)
        with bounded(), contextlib.suppress(ModelError):
            runner._load_seed("offers")
