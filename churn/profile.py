"""Counts the JSON paths of records, from the structures they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa

from churn.engine_io import map_batches

# Below this many levels a path ends as an object or array.
_DEEPEST_PATH = 128
_LONGEST_EXAMPLE = 80
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

TYPES = ("text", "number", "boolean", "object", "array", "null")

_SCHEMA = pa.schema(
    [
        ("source_file", pa.string()),
        ("json_path", pa.string()),
        ("records", pa.int64()),
        *((f"has_{name}", pa.bool_()) for name in TYPES),
        ("example", pa.string()),
        ("first_seen_date", pa.date32()),
        ("last_seen_date", pa.date32()),
        ("processed_at", pa.timestamp("us")),
    ]
)


def paths_of(value: Any) -> dict[str, tuple[frozenset[str], str | None]]:
    """The paths of one JSON value below its root.

    Args:
        value: What ``json.loads`` gave.

    Returns:
        For each path the types found there, and the first scalar as text. Items of
        an array share the path that ends in ``[]``. A null counts as a type only
        where nothing else is.
    """
    types: dict[str, set[str]] = {}
    examples: dict[str, str] = {}
    stack = [("$", 0, value)]
    while stack:
        path, depth, item = stack.pop()
        kind = _type_of(item)
        if depth:
            types.setdefault(path, set()).add(kind)
            if kind not in ("object", "array", "null"):
                examples.setdefault(path, _as_example(item))
        if depth >= _DEEPEST_PATH:
            continue
        if kind == "object":
            stack.extend(
                (f"{path}.{_key(key)}", depth + 1, inner)
                for key, inner in reversed(item.items())
            )
        elif kind == "array":
            stack.extend((f"{path}[]", depth + 1, inner) for inner in reversed(item))
    return {
        path: (frozenset(kinds - {"null"} or kinds), examples.get(path))
        for path, kinds in types.items()
    }


def _type_of(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "null" if value is None else "number"


def _as_example(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    # A cut through a pair of surrogates would leave no valid text.
    return text[:_LONGEST_EXAMPLE].encode("utf-8", "replace").decode()


@lru_cache(maxsize=100_000)
def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


@lru_cache(maxsize=20_000)
def _types_of_shape(shape: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """The paths of a structure, and the types they have in it."""
    return tuple(
        (path, kinds)
        for path, (kinds, _) in paths_of(_typed(json.loads(shape))).items()
    )


def _typed(shape: Any) -> Any:
    """A structure with a value of the right type in place of each type's name."""
    if isinstance(shape, dict):
        return {key: _typed(inner) for key, inner in shape.items()}
    if isinstance(shape, list):
        return [_typed(inner) for inner in shape]
    return {"VARCHAR": "", "BOOLEAN": True, "NULL": None}.get(shape, 0)


def _number(text: str) -> int | float:
    return int(text) if len(text) < 20 else float(text)


def _load(text: str) -> Any:
    """An object whose repeated keys are taken once, the first of them."""

    def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs)) if len(pairs) > 1 else dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=first_wins, parse_int=_number)
    except (ValueError, RecursionError):
        return None


class _PathCount:
    """What one file says about one path."""

    __slots__ = ("example", "first_seen_date", "last_seen_date", "records", "types")

    def __init__(self) -> None:
        self.records = 0
        self.types: frozenset[str] = frozenset()
        self.example: str | None = None
        self.first_seen_date: date | None = None
        self.last_seen_date: date | None = None

    def add(self, records: int, types: frozenset[str], seen_on: date | None) -> None:
        self.records += records
        if not types <= self.types:
            self.types |= types
        if seen_on is not None:
            self.first_seen_date = min(self.first_seen_date or seen_on, seen_on)
            self.last_seen_date = max(self.last_seen_date or seen_on, seen_on)

    def add_example(self, example: str | None) -> None:
        if example is not None and (self.example is None or example < self.example):
            self.example = example


def _count_paths(rows: Iterable[dict[str, Any]]) -> dict[str, _PathCount]:
    counts: dict[str, _PathCount] = {}
    for row in rows:
        found = paths_of(_load(row["example"]))
        shape = row["shape"]
        types = (
            _types_of_shape(shape)
            if shape is not None
            else ((path, kinds) for path, (kinds, _) in found.items())
        )
        for path, kinds in types:
            count = counts.get(path)
            if count is None:
                count = counts[path] = _PathCount()
            count.add(row["records"], kinds, row["received_date"])
            example = found.get(path)
            if example is not None:
                count.add_example(example[1])
    return counts


def _batches_of_files(
    batches: Iterable[pa.RecordBatch],
) -> Iterator[list[dict[str, Any]]]:
    """The rows of one file after the other; they must come in that order."""
    rows: list[dict[str, Any]] = []
    for batch in batches:
        for row in batch.to_pylist():
            if rows and row["source_file"] != rows[0]["source_file"]:
                yield rows
                rows = []
            rows.append(row)
    if rows:
        yield rows


def profiled_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Turn the shapes of records into the paths they have, file by file.

    Args:
        batches: Shapes with ``source_file``, by which they are ordered,
            ``received_date``, ``shape``, ``example``, ``records`` and ``processed_at``.

    Yields:
        One row per file and path.
    """
    for rows in _batches_of_files(batches):
        counts = _count_paths(rows)
        size = len(counts)
        values = counts.values()
        columns = {
            "source_file": [rows[0]["source_file"]] * size,
            "json_path": list(counts),
            "records": [count.records for count in values],
            **{f"has_{name}": [name in c.types for c in values] for name in TYPES},
            "example": [count.example for count in values],
            "first_seen_date": [count.first_seen_date for count in values],
            "last_seen_date": [count.last_seen_date for count in values],
            "processed_at": [rows[0]["processed_at"]] * size,
        }
        yield pa.RecordBatch.from_pydict(columns, schema=_SCHEMA)


def profiled_paths(shapes: Any) -> Any:
    """The paths of records, file by file.

    Args:
        shapes: What ``dbt.ref`` returned, with the columns that
            ``profiled_batches`` needs.

    Returns:
        A frame that a Python model may return.
    """
    return map_batches(
        shapes,
        profiled_batches,
        _SCHEMA,
        columns=(
            "source_file",
            "received_date",
            "shape",
            "example",
            "records",
            "processed_at",
        ),
        sorted_by="source_file",
        rows=10_000,
    )
