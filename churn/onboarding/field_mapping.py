"""Writes YAML stubs for JSON paths that the field mapping does not document.

``churn dictionary`` reads `clickstream_field_profile` and prints column entries to
paste into the YAML of the field mapping.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import duckdb

from churn.quoting import printable

_DATA_TYPES = {"number": "double", "boolean": "boolean", "text": "varchar"}

# Names that no column can have, equal to the macro `reserved_column_names`.
_RESERVED_NAMES = """
    content corrected_at delivered_at document event_at event_id_hash event_name
    existing_content existing_version_number field_mapping_version identity
    is_clock_skewed is_current is_existing is_on_time is_readable is_repaired
    is_unreadable last_processed_at needs_repair object_number payload
    processed_at received_at received_date received_text record_processed_at
    reject_detail reject_reason repair_reject_detail repair_reject_reason
    source_file texts version_number version_order visitor_id all and as between
    by case cast create cross current_date current_timestamp delete desc
    distinct drop else end except exists false for from full group having in
    inner insert intersect into is join left like limit natural not null offset
    on or order outer right select set table then to true union unique user
    using values when where window with
"""
RESERVED_NAMES = frozenset(_RESERVED_NAMES.split())

# Keys that a path of the field mapping can address; the models reject others.
_KEY = r"""[A-Za-z_][A-Za-z0-9_-]*|"[^"\\'{}]+\""""
_STEP = re.compile(rf"\.(?P<key>{_KEY})|(?P<item>\[\])")


@dataclass(frozen=True)
class UndocumentedPath:
    """A path of `clickstream_field_profile` that the field mapping lacks."""

    json_path: str
    records: int
    value_types: str
    example: str | None

    @property
    def mapping_path(self) -> str | None:
        """Return the path in the notation of the field mapping, or ``None``."""
        steps = list(_STEP.finditer(self.json_path))
        if "$" + "".join(step.group() for step in steps) != self.json_path:
            return None
        if not self.json_path.isprintable():
            return None
        return "$" + "".join("[0]" if step["item"] else step.group() for step in steps)


def _snake_case(key: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").lower()


def column_name(json_path: str, used_names: Collection[str] = ()) -> str:
    """Return an unused snake-case name from the last keys of a path.

    ``$.context.osName`` becomes ``os_name``, or ``context_os_name`` if that is used.
    """
    raw_keys = (step["key"] for step in _STEP.finditer(json_path) if step["key"])
    keys = [name for name in map(_snake_case, raw_keys) if name] or ["unnamed"]
    names = ["_".join(keys[-count:]) for count in range(1, len(keys) + 1)]
    longest = f"field_{names[-1]}"
    numbered = (f"{longest}_{number}" for number in itertools.count(2))
    return next(
        name
        for name in itertools.chain(names, [longest], numbered)
        if name not in used_names
        and name not in RESERVED_NAMES
        and not name[0].isdigit()
    )


def column_stub(path: UndocumentedPath, name: str) -> str:
    """Return the YAML entry of a column ``name`` that reads one path."""
    example = None if path.example is None else printable(path.example)
    summary = f"{path.records} records, {path.value_types}, such as {example!r}"
    if path.mapping_path is None:
        shown = printable(path.json_path, 200)
        return f"      # No path can address {shown!r}: {summary}"
    return "\n".join(
        [
            f"      # {summary}",
            f"      - name: {name}",
            "        description: >",
            "          TODO: say what it means, its unit, and when it is null.",
            f"        data_type: {_DATA_TYPES.get(path.value_types, 'varchar')}",
            "        config:",
            "          meta:",
            "            json_paths:",
            f"              - '{path.mapping_path}'",
        ]
    )


def stubs(
    paths: Iterable[UndocumentedPath], used_names: Iterable[str]
) -> Iterator[str]:
    """Yield a stub for each path, with names that are unique and unused."""
    names = set(used_names)
    for path in paths:
        name = column_name(path.json_path, names)
        if path.mapping_path is not None:
            names.add(name)
        yield column_stub(path, name)


def undocumented_stubs(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return a stub for every undocumented path, the most frequent first.

    Args:
        connection: A connection that finds the tables of all layers.

    Raises:
        duckdb.CatalogException: The profile has not been built yet.
    """
    paths = [
        UndocumentedPath(*row)
        for row in connection.execute(
            """
            select json_path, records, value_types, example
            from clickstream_field_profile
            where
                not is_documented
                and regexp_matches(value_types, 'text|number|boolean')
            order by records desc, json_path
            """
        ).fetchall()
    ]
    used_names = connection.execute(
        """
        select column_name from information_schema.columns
        where table_name = 'stg_clickstream__events'
        """
    ).fetchall()
    return list(stubs(paths, [name for (name,) in used_names]))
