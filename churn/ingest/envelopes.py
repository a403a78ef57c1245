"""Unwrap envelopes: lines ``{"received_at": "…", "payload": "…"}``.

The transformation of docs/athena.md writes them, because Kinesis Firehose keeps no time
of receipt per record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_KEYS = {"received_at", "payload"}
_BEGINNING = r'^\s*\{\s*"(received_at|payload)"\s*:'
_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


def unwrap(lines: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the payloads of lines, and when each was received.

    Args:
        lines: Lines of files. An envelope has exactly the two keys and a time with a
            zone. Several envelopes may be glued into one line.

    Returns:
        Payloads, and times in UTC without a zone, null for none. A line that is no
        envelope is its own payload, without a time.
    """
    maybe = pc.match_substring_regex(lines, _BEGINNING)
    if not pc.any(maybe).as_py():
        return lines, pa.nulls(len(lines), pa.timestamp("us"))
    payloads: list[str] = []
    times: list[datetime | None] = []
    for line, is_maybe in zip(lines.to_pylist(), maybe.to_pylist(), strict=True):
        found = _envelopes(line) if is_maybe else []
        if not found:
            payloads.append(line)
            times.append(None)
        for payload, received_at in found:
            payloads.append(payload)
            times.append(received_at)
    return pa.array(payloads, pa.string()), pa.array(times, pa.timestamp("us"))


def map_payloads(line: str, function: Callable[[str], str]) -> str | None:
    """Return a line of envelopes with changed payloads; ``None`` for another line.

    Args:
        line: One line of a file.
        function: Returns a new payload for a payload, which may be the same.
    """
    values = _values(line)
    if values is None:
        return None
    changed: list[dict[str, Any]] = []
    has_changed = False
    for value in values:
        if not isinstance(value, dict) or not value.keys() >= _KEYS:
            return None
        payload = value["payload"]
        text = payload if isinstance(payload, str) else json.dumps(payload)
        new = function(text)
        has_changed |= new != text
        changed.append({"received_at": value["received_at"], "payload": new})
    if not has_changed:
        return line
    return "".join(json.dumps(each, ensure_ascii=False) for each in changed)


def _envelopes(line: str) -> list[tuple[str, datetime]]:
    """Return the envelopes of a line; none if a part of it is something else."""
    found = [_envelope(value) for value in _values(line) or []]
    envelopes = [each for each in found if each is not None]
    return envelopes if len(envelopes) == len(found) else []


def _values(line: str) -> list[Any] | None:
    """Return the JSON values of a line; ``None`` if a part of it is not JSON."""
    values = []
    position = _end_of_space(line, 0)
    while position < len(line):
        try:
            value, position = _DECODER.raw_decode(line, position)
        except (ValueError, RecursionError):
            return None
        values.append(value)
        position = _end_of_space(line, position)
    return values


def _end_of_space(line: str, position: int) -> int:
    found = _SPACE.match(line, position)
    return found.end() if found else position


def _envelope(value: Any) -> tuple[str, datetime] | None:
    if not isinstance(value, dict) or value.keys() != _KEYS:
        return None
    payload, text = value["payload"], value["received_at"]
    if payload is None or not isinstance(text, str):
        return None
    try:
        received_at = datetime.fromisoformat(text)
        if received_at.tzinfo is None:
            return None
        received_at = received_at.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    if not isinstance(payload, str):
        payload = json.dumps(payload, ensure_ascii=False)
    # JSON can escape half of a surrogate pair, which no text column can hold.
    return payload.encode("utf-8", "replace").decode(), received_at
