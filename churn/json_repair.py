"""Splits, normalises and repairs the records that are not one plain JSON object.

Nothing here guesses: a record becomes objects only if it can mean nothing else. And
nothing here raises: whatever a tracker has sent, it comes back as objects or as a
reason why not.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyjson5

from churn.engine_io import map_batches

# What may stand around and between the objects of a record without meaning anything:
# white space, byte-order marks, NUL and the record separator of JSON sequences.
_FRAMING = " \t\r\n\v\f\0\x1e\u00a0\u200b\u2028\u2029\ufeff"
_SEPARATORS = re.compile(f"[{_FRAMING},]*")

# Deeper nesting than this is no event, and endangers the stacks of readers. SQL looks
# for it too: see `may_nest_too_deep`.
_DEEPEST_NESTING = 200

# The tokens that matter for issue where an object ends: texts as a whole, so that
# what is in them does not count, and the characters that open, close and pair.
_TOKEN = re.compile(
    r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[][{}:"']""",
    re.DOTALL,
)

# Texts, and words that stand where a value belongs.
_TEXT_OR_WORD = re.compile(
    r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?<![\w$.])[A-Za-z]+(?![\w$.]|\s*:)""",
    re.DOTALL,
)
# What such words mean in Python and in JavaScript.
_WORDS = {
    "None": "null",
    "none": "null",
    "NULL": "null",
    "Null": "null",
    "undefined": "null",
    "True": "true",
    "TRUE": "true",
    "False": "false",
    "FALSE": "false",
    "nan": "NaN",
    "NAN": "NaN",
    "inf": "Infinity",
    "Inf": "Infinity",
    "INF": "Infinity",
    "infinity": "Infinity",
}

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ParsedObject(NamedTuple):
    """One object of a delivered record, or a part of it that is none.

    Attributes:
        received_text: The part as it was received; the whole record where it is
            the only part.
        payload: The object as compact, normalised JSON; None where there is none.
        identity: The MD5 digest of the object's own text.
        is_repaired: Whether the text was not JSON, and was made so.
        reject_reason: Why there is no object; None where there is one.
        reject_detail: The same, for a person.
    """

    received_text: str | None
    payload: str | None
    identity: str | None
    is_repaired: bool
    reject_reason: str | None = None
    reject_detail: str | None = None


def split_record(record: str | None) -> list[ParsedObject]:
    """Find the objects in a delivered record.

    Args:
        record: The record's text, of any kind.

    Returns:
        At least one piece; together they account for the whole record.
    """
    if record is None or not record.strip(_FRAMING):
        return [_rejected(record, "not_json", "empty")]
    try:
        return _split(record)
    except (RecursionError, MemoryError):
        return [_rejected(record, "nested_too_deep", None)]
    except Exception as error:  # No record, however odd, fails the run.
        return [_rejected(record, "not_json", type(error).__name__)]


def _rejected(text: str | None, reason: str, detail: str | None) -> ParsedObject:
    return ParsedObject(text, None, None, False, reason, detail)


def _split(record: str) -> list[ParsedObject]:
    """Read object after object, until the record's end or something unreadable."""
    text = record.strip(_FRAMING)
    reader = _Reader()
    objects: list[ParsedObject] = []
    position = 0

    while position < len(text):
        value, end, is_repaired, problem = _read_next(reader, text, position)
        if problem is None and end < len(text) and not isinstance(value, dict | list):
            # A number or word that something else follows separates nothing.
            problem = ("not_json", "text around the objects")
        if problem is not None:
            objects.append(_rejected(text[position:], *problem))
            break

        part = text[position:end]
        if isinstance(value, str):
            value = _unnested(value)
        if _is_too_deep(part, value):
            objects.append(_rejected(part, "nested_too_deep", None))
        elif isinstance(value, dict):
            payload, is_mended = _as_json(value)
            identity = hashlib.md5(part.encode()).hexdigest()
            objects.append(
                ParsedObject(part, payload, identity, is_repaired or is_mended)
            )
        else:
            kind = _KINDS.get(type(value), "number")
            objects.append(_rejected(part, "not_an_object", kind))

        separators = _SEPARATORS.match(text, end)
        position = separators.end()
        if "," in separators.group() and objects[-1].payload is not None:
            objects[-1] = objects[-1]._replace(is_repaired=True)

    if len(objects) == 1:
        objects[0] = objects[0]._replace(received_text=record)
    return objects


def _is_too_deep(text: str, value: Any) -> bool:
    """Whether a value read from ``text`` nests deeper than an event may."""
    if text.count("{") + text.count("[") <= _DEEPEST_NESTING:
        return False
    level = [value]
    for _ in range(_DEEPEST_NESTING):
        level = [
            item
            for container in level
            if isinstance(container, dict | list)
            for item in (
                container.values() if isinstance(container, dict) else container
            )
        ]
    return any(isinstance(item, dict | list) for item in level)


_KINDS = {
    list: "array",
    str: "text",
    bool: "boolean",
    type(None): "null",
    int: "number",
    float: "number",
}


def _read_next(
    reader: _Reader, text: str, position: int
) -> tuple[Any, int, bool, tuple[str, str | None] | None]:
    """Read the JSON value at ``position``, repairing it where that is no guess.

    Returns:
        The value, where it ends, whether it was repaired, and, where it cannot be
        read, the reason with its detail.
    """
    try:
        return *reader.read(text, position), None
    except RecursionError:
        return None, 0, False, ("nested_too_deep", None)
    except ValueError:
        pass

    if text[position] not in "{[":
        return None, 0, False, ("not_json", "does not begin with an object")
    end, pairs, depth = _end_of_object(text, position)
    if end is None:
        return None, 0, False, ("not_json", "truncated")
    if depth > _DEEPEST_NESTING:
        return None, 0, False, ("nested_too_deep", None)
    value = _read_tolerantly(text[position:end])
    if value is _UNREADABLE:
        return None, 0, False, ("not_json", "cannot be repaired without guessing")
    if _count_pairs(value) != pairs:
        # Which of the values was meant? Only JSON itself has a rule for that.
        return None, 0, False, ("not_json", "a key occurs twice in broken JSON")
    return _normalised(value), end, True, None


class _Reader:
    """Reads strict JSON; `NaN` and `Infinity` become null, and are told."""

    def __init__(self) -> None:
        self._has_constants = False
        decoder = json.JSONDecoder(
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=self._constant,
        )
        self._raw_decode = decoder.raw_decode

    def _constant(self, _: str) -> None:
        self._has_constants = True

    def read(self, text: str, position: int) -> tuple[Any, int, bool]:
        """The value at ``position``, where it ends, whether it was repaired."""
        self._has_constants = False
        value, end = self._raw_decode(text, position)
        return value, end, self._has_constants


def _integer(text: str) -> int | str:
    """A whole number; one that would lose digits or be written anew stays text."""
    return int(text) if len(text) < 20 and text != "-0" else text


def _decimal(text: str) -> float | str:
    """A decimal number; one that would be written in another way stays text."""
    number = float(text)
    return number if repr(number) == text else text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose values are normalised; of a repeated key the first counts."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key not in result:
            kind = type(value)
            if kind is str:
                value = _unnested(value)
            elif kind is list:
                value = _array(value)
            result[key] = value
    return result


def _array(items: list[Any]) -> Any:
    """An array with normalised items; an object where it is keys and values."""
    items = [
        _unnested(item)
        if isinstance(item, str)
        else _array(item)
        if isinstance(item, list)
        else item
        for item in items
    ]
    if items and all(
        isinstance(item, dict)
        and isinstance(item.get("key"), str)
        and item.keys() <= {"key", "value"}
        for item in items
    ):
        result: dict[str, Any] = {}
        for item in items:
            result.setdefault(item["key"], _plain_value(item.get("value")))
        return result
    return items


def _plain_value(value: Any) -> Any:
    """What a key's value holds: of ``{"string_value": "/x"}`` the "/x"."""
    if (
        isinstance(value, dict)
        and value
        and all(key.endswith("_value") for key in value)
    ):
        return next((item for item in value.values() if item is not None), None)
    return value


def _unnested(text: str) -> Any:
    """The object or array that a text holds as JSON, else the text itself."""
    if '"' not in text or not text.lstrip(" \t\r\n").startswith(("{", "[")):
        return text
    reader = _Reader()
    stripped = text.strip(" \t\r\n")
    try:
        value, end, _ = reader.read(stripped, 0)
    except (ValueError, RecursionError):
        return text
    if end < len(stripped):
        return text
    return _array(value) if isinstance(value, list) else value


_UNREADABLE = object()


def _end_of_object(text: str, start: int) -> tuple[int | None, int, int]:
    """Where the object or array that begins at ``start`` ends, and what is in it.

    Returns:
        The position after its last bracket, or None if there is none; how many pairs
        of key and value it has at any depth; and how many levels deep it nests.
    """
    open_brackets: list[str] = []
    pairs = depth = 0
    for token in _TOKEN.finditer(text, start):
        first = token.group()[0]
        if first in "\"'":
            if len(token.group()) == 1:
                break
        elif first in "{[":
            open_brackets.append("}" if first == "{" else "]")
            depth = max(depth, len(open_brackets))
        elif first == ":":
            pairs += 1
        else:
            if open_brackets.pop() != first:
                break
            if not open_brackets:
                return token.end(), pairs, depth
    return None, pairs, depth


def _read_tolerantly(text: str) -> Any:
    """The value that a text has as JSON5, or with Python's words for values."""
    try:
        return pyjson5.decode(text, _DEEPEST_NESTING)
    except Exception:
        pass
    try:
        return pyjson5.decode(
            _TEXT_OR_WORD.sub(
                lambda found: _WORDS.get(found.group(), found.group()), text
            ),
            _DEEPEST_NESTING,
        )
    except Exception:
        return _UNREADABLE


def _count_pairs(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_count_pairs, value.values()))
    if isinstance(value, list):
        return sum(map(_count_pairs, value))
    return 0


def _normalised(value: Any) -> Any:
    """A value from the tolerant parser, as the strict one would have given it."""
    if isinstance(value, dict):
        return _object([(key, _normalised(item)) for key, item in value.items()])
    if isinstance(value, list):
        return _array([_normalised(item) for item in value])
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _as_json(value: dict[str, Any]) -> tuple[str, bool]:
    """A value as JSON that is valid Unicode, and whether it had to be mended."""
    text = _write_json(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text), True
    return text, False


_SCHEMA = pa.schema(
    [
        ("source_file", pa.string()),
        ("received_at", pa.timestamp("us")),
        ("object_number", pa.int32()),
        ("received_text", pa.string()),
        ("payload", pa.string()),
        ("identity", pa.string()),
        ("is_repaired", pa.bool_()),
        ("reject_reason", pa.string()),
        ("reject_detail", pa.string()),
        ("processed_at", pa.timestamp("us")),
    ]
)


def repaired_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Turn batches of delivered records into batches of their objects.

    Args:
        batches: Records with ``payload``, ``received_at``, ``source_file`` and
            ``processed_at``.

    Yields:
        One row per piece.
    """
    for batch in batches:
        records = batch.column("payload").to_pylist()
        origins: list[int] = []
        numbers: list[int] = []
        objects: list[ParsedObject] = []
        for row, record in enumerate(records):
            found = split_record(record)
            objects.extend(found)
            origins.extend([row] * len(found))
            numbers.extend(range(1, len(found) + 1))
        of_record = {
            name: batch.column(name).take(pa.array(origins, pa.int64()))
            for name in ("source_file", "received_at", "processed_at")
        }
        of_object = dict(
            zip(ParsedObject._fields, zip(*objects, strict=True), strict=True)
            if objects
            else ((name, ()) for name in ParsedObject._fields)
        )
        columns = {**of_record, **of_object, "object_number": numbers}
        yield pa.RecordBatch.from_arrays(
            [
                column.cast(field.type)
                if isinstance(column := columns[field.name], pa.Array)
                else pa.array(column, field.type)
                for field in _SCHEMA
            ],
            schema=_SCHEMA,
        )


def repaired_records(records: Any) -> Any:
    """The objects of delivered records, which are never held in memory.

    Args:
        records: What ``dbt.ref`` returned, with the columns that
            ``repaired_batches`` needs.

    Returns:
        A frame that a Python model may return.
    """
    return map_batches(
        records,
        repaired_batches,
        _SCHEMA,
        columns=("payload", "received_at", "source_file", "processed_at"),
    )
