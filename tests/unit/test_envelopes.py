"""Envelopes are unwrapped, and everything else stays as it is."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.ingest.envelopes import unwrap

ENVELOPE = '{"received_at": "2025-03-01T10:00:00.5Z", "payload": "{\\"a\\": 1}"}'
AT = datetime(2025, 3, 1, 10, 0, 0, 500_000)


def unwrapped(*lines: str) -> list[tuple[str, datetime | None]]:
    payloads, times = unwrap(pa.array(lines, pa.string()))
    return list(zip(payloads.to_pylist(), times.to_pylist(), strict=True))


def test_an_envelope_is_unwrapped() -> None:
    assert unwrapped(ENVELOPE, '{"b": 2}') == [('{"a": 1}', AT), ('{"b": 2}', None)]


def test_other_orders_zones_and_objects() -> None:
    line = '  { "payload":{"ü":[1]},"received_at":"2025-03-01 12:00:00.500+02:00" }\r'
    assert unwrapped(line) == [('{"ü": [1]}', AT)]


def test_glued_envelopes_are_several_records() -> None:
    assert unwrapped(ENVELOPE * 3) == [('{"a": 1}', AT)] * 3


@pytest.mark.parametrize(
    "line",
    [
        ENVELOPE[:-1],
        ENVELOPE + "x",
        ENVELOPE + '{"a": 1}',
        ENVELOPE.replace("}", ', "user": 1}', 2),
        '{"received_at": "2025-03-01T10:00:00Z"}',
        '{"received_at": "2025-03-01T10:00:00", "payload": "x"}',
        '{"received_at": "soon", "payload": "x"}',
        '{"received_at": 1740823200, "payload": "x"}',
        '{"received_at": "0001-01-01T00:00:00+14:00", "payload": "x"}',
        '{"received_at": "2025-03-01T10:00:00Z", "payload": null}',
        '{"received_at":' + "[" * 100_000,
        "",
    ],
)
def test_what_is_no_envelope_stays(line: str) -> None:
    assert unwrapped(line) == [(line, None)]


def test_half_a_surrogate_pair_is_replaced() -> None:
    line = '{"received_at": "2025-03-01T10:00:00Z", "payload": "\\ud800"}'
    assert unwrapped(line)[0][0] == "?"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_any_text_is_kept(lines: list[str]) -> None:
    assert [payload for payload, _ in unwrapped(*lines)] == lines
