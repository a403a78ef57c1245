"""Random input of every kind crashes nothing, and none of it is lost.

``make fuzz`` runs the same tests on ``CHURN_FUZZ_INPUTS`` inputs, a million, and limits
the CPU time of each input and the memory of the process.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn.ingest.decoding import DamagedFileError, decode
from churn.ingest.event_files import read_event_records
from churn.ingest.json_repair import split_record
from churn.ingest.table_readers import NotATableError, read_table
from churn.onboarding.profile import paths_of
from churn.onboarding.time_formats import detect_time_format, epoch_unit, is_time
from churn.quoting import path_text

INPUTS = int(os.environ.get("CHURN_FUZZ_INPUTS", "0"))
CPU_SECONDS = 2
MEMORY_BYTES = 4 << 30
# Inputs of each test for a million in all; one in ten of a thousand in `make test`.
SHARES = {"records": 700, "files": 150, "tables": 50, "texts": 100}

pytestmark = pytest.mark.slow


def inputs(kind: str) -> Callable[[Any], Any]:
    """Return the settings of a test, which gets its share of the inputs."""
    examples = INPUTS * SHARES[kind] // 1_000 if INPUTS else SHARES[kind] // 2
    return settings(
        max_examples=max(1, examples),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Fail in a long run if the body takes more CPU time than an input may."""
    started = time.process_time()
    yield
    if INPUTS:
        assert time.process_time() - started < CPU_SECONDS


@pytest.fixture(autouse=True)
def limited_memory() -> Iterator[None]:
    """Limit the memory of this process in a long run."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if INPUTS:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


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
@given(records())
def test_no_record_is_lost(record: str) -> None:
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
@given(files() | st.binary(max_size=200))
def test_a_file_is_read_or_refused(content: bytes) -> None:
    with bounded(), contextlib.suppress(DamagedFileError, NotATableError):
        lines = read_event_records(content)
        assert lines.null_count == 0


cells = st.text(max_size=6) | st.sampled_from(['"', '""', ",", ";", "\t", "'", "=1+1"])
tables = st.lists(
    st.lists(cells, min_size=1, max_size=4).map(",".join), min_size=1, max_size=6
).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))


@inputs("tables")
@given(tables | files())
def test_a_table_is_read_or_refused(content: bytes) -> None:
    with bounded(), contextlib.suppress(DamagedFileError, NotATableError):
        assert read_table(content).num_columns >= 0


@inputs("texts")
@given(st.binary(max_size=60), scraps)
def test_names_and_times_of_any_bytes_are_text(content: bytes, text: str) -> None:
    with bounded():
        decode(content).encode()
        path_text(os.fsdecode(content)).encode()
        is_time(text)
        epoch_unit(text)
        detect_time_format([text or "-"])
