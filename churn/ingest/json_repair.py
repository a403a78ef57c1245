"""Split, normalise and repair records that are not one strict JSON object.

Repairs are unambiguous: a record becomes objects only if it has one meaning. No
function raises on a record: each record yields objects or a reject reason.
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

# Characters around and between objects that carry no meaning: white space, byte-order
# marks, NUL and the record separator of JSON sequences.
_FRAMING = " \t\r\n\v\f\0\x1e\u00a0\u200b\u2028\u2029\ufeff"
_SEPARATORS = re.compile(f"[{_FRAMING},]*")

# Deeper nesting is rejected: it is no event, and can overflow the stack of a reader.
# `may_nest_too_deep` applies the same limit in SQL.
_MAX_NESTING = 200

# A record holds at most this many objects, and one more for every so many characters,
# because an event with a name, a time and a user is longer. Each object becomes a row,
# so the rest of such a record is rejected as one part.
_MAX_SHORT_OBJECTS = 10_000
_CHARACTERS_OF_AN_EVENT = 50

# Tokens needed to find the end of an object: complete strings, so that brackets inside
# them are ignored, brackets, colons and unpaired quotes.
# The possessive repetitions never go back, so the time is linear in the length.
_TOKEN = re.compile(
    r""""(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+'|[][{}:"']""",
    re.DOTALL,
)

# Strings, and bare words in the place of a value.
_TEXT_OR_WORD = re.compile(
    r""""(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+'"""
    r"""|(?<![\w$.])[A-Za-z]++(?![\w$.]|\s*+:)""",
    re.DOTALL,
)
# The JSON value of such words, as written by Python and JavaScript.
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

# A batch of records of the largest permitted size, 16 MiB, must fit into Arrow's
# buffers of 2 GiB.
_RECORDS_PER_BATCH = 100

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ParsedObject(NamedTuple):
    """One object of a record, or a part of a record that is not an object.

    Attributes:
        received_text: The part as received; the complete record if it has one part.
        payload: The object as compact, normalised JSON; ``None`` if rejected.
        identity: The MD5 digest of the object's own text.
        is_repaired: Whether the text was not JSON and was repaired.
        reject_reason: Why the part is rejected; ``None`` for an object.
        reject_detail: The reason in more detail, for people.
    """

    received_text: str | None
    payload: str | None
    identity: str | None
    is_repaired: bool
    reject_reason: str | None = None
    reject_detail: str | None = None


def split_record(record: str | None) -> list[ParsedObject]:
    """Split a record into its objects and rejected parts.

    Args:
        record: The text of the record, of any kind.

    Returns:
        At least one part. The parts cover the complete record.
    """
    if record is None or not record.strip(_FRAMING):
        return [_rejected(record, "not_json", "empty")]
    try:
        return _split(record)
    except (RecursionError, MemoryError):
        return [_rejected(record, "nested_too_deep", None)]
    except Exception as error:  # A record must not fail the run.
        return [_rejected(record, "not_json", type(error).__name__)]


def _rejected(text: str | None, reason: str, detail: str | None) -> ParsedObject:
    return ParsedObject(text, None, None, False, reason, detail)


def _split(record: str) -> list[ParsedObject]:
    """Read values until the end of the record or the first unreadable part."""
    text = record.strip(_FRAMING)
    reader = _Reader()
    objects: list[ParsedObject] = []
    position = 0

    most_objects = _MAX_SHORT_OBJECTS + len(text) // _CHARACTERS_OF_AN_EVENT
    while position < len(text):
        if len(objects) == most_objects:
            objects.append(_rejected(text[position:], "too_many_objects", None))
            break
        value, end, is_repaired, problem = _read_next(reader, text, position)
        if problem is None and end < len(text) and not isinstance(value, dict | list):
            # After a number or word, the start of the next value is ambiguous.
            problem = ("not_json", "text around the objects")
        if problem is not None:
            objects.append(_rejected(text[position:], *problem))
            break

        part = text[position:end]
        if isinstance(value, str):
            value = _decode_nested(value)
        if _is_too_deep(part, value):
            objects.append(_rejected(part, "nested_too_deep", None))
        elif isinstance(value, dict):
            payload, is_changed = _encode(value)
            identity = hashlib.md5(part.encode()).hexdigest()
            objects.append(
                ParsedObject(part, payload, identity, is_repaired or is_changed)
            )
        else:
            type_name = _TYPE_NAMES.get(type(value), "number")
            objects.append(_rejected(part, "not_an_object", type_name))

        separators = _SEPARATORS.match(text, end)
        # The pattern matches the empty text too.
        assert separators is not None
        position = separators.end()
        if "," in separators.group() and objects[-1].payload is not None:
            objects[-1] = objects[-1]._replace(is_repaired=True)

    if len(objects) == 1:
        objects[0] = objects[0]._replace(received_text=record)
    return objects


def _is_too_deep(text: str, value: Any) -> bool:
    """Return whether a value is nested deeper than `_MAX_NESTING`."""
    if text.count("{") + text.count("[") <= _MAX_NESTING:
        return False
    items = [value]
    for _ in range(_MAX_NESTING):
        items = [
            item
            for container in items
            if isinstance(container, dict | list)
            for item in (
                container.values() if isinstance(container, dict) else container
            )
        ]
    return any(isinstance(value, dict | list) for value in items)


_TYPE_NAMES = {
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
    """Read the JSON value at ``position``, and repair it if that is unambiguous.

    Returns:
        The value, its end position, whether it was repaired and, if it cannot be read,
        the reject reason with its detail.
    """
    is_object = text[position] in "{["
    try:
        if not (reader.has_failed and is_object):
            return *reader.read(text, position), None
    except RecursionError:
        return None, 0, False, ("nested_too_deep", None)
    except ValueError:
        pass
    # A failure costs time in proportion to the text before it, so from the first one
    # on, objects are read one by one.
    if not is_object:
        return None, 0, False, ("not_json", "does not begin with an object")
    end, pairs, depth = _end_of_object(text, position)
    if end is None:
        return None, 0, False, ("not_json", "truncated")
    part = text[position:end]
    try:
        value, _, is_changed = reader.read(part, 0)
        return value, end, is_changed, None
    except RecursionError:
        return None, 0, False, ("nested_too_deep", None)
    except ValueError:
        pass
    if depth > _MAX_NESTING:
        return None, 0, False, ("nested_too_deep", None)
    value = _read_tolerantly(part)
    if value is _UNREADABLE:
        return None, 0, False, ("not_json", "cannot be repaired without guessing")
    if _count_pairs(value) != pairs:
        # Only strict JSON defines which of the repeated keys counts.
        return None, 0, False, ("not_json", "a key occurs twice in broken JSON")
    return _normalised(value), end, True, None


class _Reader:
    """A strict JSON reader; ``NaN`` and ``Infinity`` become null, as a repair.

    Attributes:
        has_failed: Whether a text was not JSON.
    """

    def __init__(self) -> None:
        self._has_constants = False
        self.has_failed = False
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
        """Return the value at ``position``, its end, and whether it was repaired."""
        self._has_constants = False
        try:
            value, end = self._raw_decode(text, position)
        except ValueError:
            self.has_failed = True
            raise
        return value, end, self._has_constants


def _integer(text: str) -> int | str:
    """Parse an integer; one that would lose digits or change its text stays text."""
    return int(text) if len(text) < 20 and text != "-0" else text


def _decimal(text: str) -> float | str:
    """Parse a decimal number; one that would change its text stays text."""
    number = float(text)
    return number if repr(number) == text else text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object with normalised values; the first of repeated keys counts."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key not in result:
            value_type = type(value)
            if value_type is str:
                value = _decode_nested(value)
            elif value_type is list:
                value = _array(value)
            result[key] = value
    return result


def _array(items: list[Any]) -> Any:
    """Normalise the items of an array; a list of keys and values becomes an object."""
    items = [
        _decode_nested(item)
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
            result.setdefault(item["key"], _unwrap_typed_value(item.get("value")))
        return result
    return items


def _unwrap_typed_value(value: Any) -> Any:
    """Return the value of a typed wrapper: "/x" for ``{"string_value": "/x"}``."""
    if (
        isinstance(value, dict)
        and value
        and all(key.endswith("_value") for key in value)
    ):
        return next((item for item in value.values() if item is not None), None)
    return value


def _decode_nested(text: str) -> Any:
    """Return the object or array that a text holds as JSON, else the text."""
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
    """Find the end of the object or array that begins at ``start``.

    Returns:
        The position after its last bracket, or ``None`` if it is truncated; its number
        of key-value pairs at any depth; and its nesting depth.
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
    """Parse a text as JSON5, then with Python's words for values."""
    try:
        return pyjson5.decode(text, _MAX_NESTING)
    except Exception:
        pass
    try:
        return pyjson5.decode(
            _TEXT_OR_WORD.sub(
                lambda word: _WORDS.get(word.group(), word.group()), text
            ),
            _MAX_NESTING,
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
    """Normalise a value of the tolerant parser as the strict reader does."""
    if isinstance(value, dict):
        return _object([(key, _normalised(item)) for key, item in value.items()])
    if isinstance(value, list):
        return _array([_normalised(item) for item in value])
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _encode(value: dict[str, Any]) -> tuple[str, bool]:
    """Encode a value as valid Unicode JSON; also return whether it was changed."""
    text = _write_json(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text), True
    return text, False


REPAIRED_SCHEMA = pa.schema(
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
    """Convert batches of records to batches of their parts.

    Args:
        batches: Records with ``payload``, ``received_at``, ``source_file`` and
            ``processed_at``.

    Yields:
        One row per part.
    """
    for batch in batches:
        records = batch.column("payload").to_pylist()
        record_rows: list[int] = []
        numbers: list[int] = []
        objects: list[ParsedObject] = []
        for row, record in enumerate(records):
            parts = split_record(record)
            objects.extend(parts)
            record_rows.extend([row] * len(parts))
            numbers.extend(range(1, len(parts) + 1))
        record_columns = {
            name: batch.column(name).take(pa.array(record_rows, pa.int64()))
            for name in ("source_file", "received_at", "processed_at")
        }
        object_columns = dict(
            zip(ParsedObject._fields, zip(*objects, strict=True), strict=True)
            if objects
            else ((name, ()) for name in ParsedObject._fields)
        )
        columns = {**record_columns, **object_columns, "object_number": numbers}
        yield pa.RecordBatch.from_arrays(
            [
                column.cast(field.type)
                if isinstance(column := columns[field.name], pa.Array)
                else pa.array(column, field.type)
                for field in REPAIRED_SCHEMA
            ],
            schema=REPAIRED_SCHEMA,
        )


def repaired_records(records: Any) -> Any:
    """Split and repair records batch by batch.

    Args:
        records: A relation from ``dbt.ref`` with the columns that
            `repaired_batches` needs.

    Returns:
        A frame that a dbt Python model can return.
    """
    return map_batches(
        records,
        repaired_batches,
        REPAIRED_SCHEMA,
        rows=_RECORDS_PER_BATCH,
        columns=("payload", "received_at", "source_file", "processed_at"),
    )
