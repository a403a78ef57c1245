"""Profile the JSON paths of records from their structures."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa

from churn.engine_io import as_batches, map_batches
from churn.quoting import masked

# Objects and arrays at this depth are not expanded.
_MAX_DEPTH = 128
_MAX_EXAMPLE_LENGTH = 80
# Paths of one file that are counted one by one, the shallow ones first. A map from
# identifiers to values can have a path for each of millions of identifiers.
_MAX_PATHS = 10_000
_MAX_PATH_LENGTH = 1_000
# The path that counts the occurrences of all other paths.
OTHER_PATHS = "(other paths)"
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
    """Return the types and first example of each path of a JSON value.

    Args:
        value: A value from ``json.loads``.

    Returns:
        For each path below the root, the types found there and the first scalar as
        text. The items of an array share the path that ends in ``[]``. Null counts as
        a type only if there is no other.
    """
    types: dict[str, set[str]] = {}
    examples: dict[str, str] = {}
    stack = [("$", 0, value)]
    while stack:
        path, depth, item = stack.pop()
        json_type = _type_of(item)
        if depth:
            types.setdefault(path, set()).add(json_type)
            if json_type not in ("object", "array", "null"):
                examples.setdefault(path, _as_example(item))
        if depth >= _MAX_DEPTH:
            continue
        if json_type == "object":
            stack.extend(
                (f"{path}.{_key(key)}", depth + 1, inner)
                for key, inner in reversed(item.items())
            )
        elif json_type == "array":
            stack.extend((f"{path}[]", depth + 1, inner) for inner in reversed(item))
    return {
        path: (frozenset(json_types - {"null"} or json_types), examples.get(path))
        for path, json_types in types.items()
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
    # A cut can split a pair of surrogates, which is not valid text.
    return text[:_MAX_EXAMPLE_LENGTH].encode("utf-8", "replace").decode()


@lru_cache(maxsize=100_000)
def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


@lru_cache(maxsize=20_000)
def _types_of_structure(structure: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the paths of a structure and their types."""
    return tuple(
        (path, json_types)
        for path, (json_types, _) in paths_of(
            _with_values(json.loads(structure))
        ).items()
    )


def _with_values(structure: Any) -> Any:
    """Replace each type name in a structure by a value of that type."""
    if isinstance(structure, dict):
        return {key: _with_values(inner) for key, inner in structure.items()}
    if isinstance(structure, list):
        return [_with_values(inner) for inner in structure]
    return {"VARCHAR": "", "BOOLEAN": True, "NULL": None}.get(structure, 0)


def _number(text: str) -> int | float:
    return int(text) if len(text) < 20 else float(text)


def _load(text: str) -> Any:
    """Parse an object; the first of repeated keys counts."""

    def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs)) if len(pairs) > 1 else dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=first_wins, parse_int=_number)
    except (ValueError, RecursionError):
        return None


class _PathCount:
    """Counts of one path in one file."""

    __slots__ = ("example", "first_seen_date", "last_seen_date", "records", "types")

    def __init__(self) -> None:
        self.records = 0
        self.types: frozenset[str] = frozenset()
        self.example: str | None = None
        self.first_seen_date: date | None = None
        self.last_seen_date: date | None = None

    def add(self, records: int, types: frozenset[str], seen_date: date | None) -> None:
        self.records += records
        if not types <= self.types:
            self.types |= types
        if seen_date is not None:
            self.first_seen_date = min(self.first_seen_date or seen_date, seen_date)
            self.last_seen_date = max(self.last_seen_date or seen_date, seen_date)

    def add_example(self, example: str | None) -> None:
        if example is not None and (self.example is None or example < self.example):
            self.example = example


def _count_paths(rows: Iterable[dict[str, Any]]) -> dict[str, _PathCount]:
    counts: dict[str, _PathCount] = {}
    others = _PathCount()
    for row in rows:
        paths = paths_of(_load(row["example"]))
        structure = row["shape"]
        types = (
            _types_of_structure(structure)
            if structure is not None
            else ((path, json_types) for path, (json_types, _) in paths.items())
        )
        for path, json_types in types:
            count = counts.get(path)
            if count is None and len(path) > _MAX_PATH_LENGTH:
                count = others
            elif count is None:
                count = counts[path] = _PathCount()
            count.add(row["records"], json_types, row["received_date"])
            example = paths.get(path)
            if example is not None and count is not others:
                count.add_example(example[1])
        # Paths that are among the first ones of all rows are never removed, so
        # the result does not depend on the order of the rows.
        if len(counts) > 2 * _MAX_PATHS:
            _move_to_others(counts, others)
    _move_to_others(counts, others)
    if others.records:
        counts[OTHER_PATHS] = others
    return counts


def _move_to_others(counts: dict[str, _PathCount], others: _PathCount) -> None:
    """Keep the first `_MAX_PATHS` paths, and add the others to ``others``."""
    for path in sorted(counts, key=_place)[_MAX_PATHS:]:
        count = counts.pop(path)
        others.add(count.records, count.types, count.first_seen_date)
        others.add(0, count.types, count.last_seen_date)


def _place(path: str) -> tuple[int, str]:
    return path.count(".") + path.count("["), path


def _batches_of_files(
    batches: Iterable[pa.RecordBatch],
) -> Iterator[list[dict[str, Any]]]:
    """Group rows by file; batches must be sorted by file."""
    rows: list[dict[str, Any]] = []
    for batch in batches:
        for row in batch.to_pylist():
            if rows and row["source_file"] != rows[0]["source_file"]:
                yield rows
                rows = []
            rows.append(row)
    if rows:
        yield rows


def profiled_batches(
    batches: Iterable[pa.RecordBatch], public_paths: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Convert record structures to counts of their paths, file by file.

    Args:
        batches: Structures with ``source_file``, by which they are sorted,
            ``received_date``, ``shape``, ``example``, ``records`` and ``processed_at``.
        public_paths: The paths whose examples are not personal; others are masked.

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
            "example": [
                count.example
                if count.example is None or path in public_paths
                else masked(count.example)
                for path, count in counts.items()
            ],
            "first_seen_date": [count.first_seen_date for count in values],
            "last_seen_date": [count.last_seen_date for count in values],
            "processed_at": [rows[0]["processed_at"]] * size,
        }
        yield pa.RecordBatch.from_pydict(columns, schema=_SCHEMA)


def _texts(relation: Any) -> frozenset[str]:
    """Return the texts in the only column of a small relation."""
    return frozenset(as_batches(relation).read_all().column(0).to_pylist())


def profiled_paths(shapes: Any, public_paths: Any) -> Any:
    """Count the paths of records, file by file.

    Args:
        shapes: A relation from ``dbt.ref`` with the columns that `profiled_batches`
            needs.
        public_paths: A relation with the column ``json_path``: the paths whose
            examples are not personal.

    Returns:
        A frame that a dbt Python model can return.
    """
    return map_batches(
        shapes,
        partial(profiled_batches, public_paths=_texts(public_paths)),
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
