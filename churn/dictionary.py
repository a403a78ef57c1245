"""Prints the YAML of JSON paths that the data dictionary does not know yet.

Run as ``python -m churn.dictionary``, it reads `clickstream_field_profile` and writes
column entries to paste into `stg_clickstream__events.yml`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import duckdb

_DATA_TYPES = {"number": "double", "boolean": "boolean", "text": "varchar"}

# Names that the models use on the way only, so that no table shows them; of those
# that `names_taken_by_the_models` refuses, the ones that trackers might use too.
_INNER_NAMES = ("content", "document", "identity", "texts")


# Keys that a dictionary path can address: the models refuse others.
_KEY = r"""[A-Za-z_][A-Za-z0-9_-]*|"[^"\\'{}]+\""""
_STEP = re.compile(rf"\.(?P<key>{_KEY})|(?P<item>\[\])")


@dataclass(frozen=True)
class UndocumentedPath:
    """A path of `clickstream_field_profile` that the dictionary does not know."""

    json_path: str
    records: int
    value_types: str
    example: str | None

    @property
    def dictionary_path(self) -> str | None:
        """The path as the dictionary writes it; None where it cannot."""
        steps = list(_STEP.finditer(self.json_path))
        if "$" + "".join(step.group() for step in steps) != self.json_path:
            return None
        if not self.json_path.isprintable():
            return None
        return "$" + "".join("[0]" if step["item"] else step.group() for step in steps)

    @property
    def keys(self) -> list[str]:
        """The keys on the way, in snake case; `$.context.osName` has `os_name`."""
        keys = (step["key"] for step in _STEP.finditer(self.json_path) if step["key"])
        return [name for name in map(_snake_case, keys) if name]


def _snake_case(key: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").lower()


def column_name(path: UndocumentedPath, taken: Collection[str]) -> str:
    """A column name that is not ``taken``: the path's last key, or more of them."""
    keys = path.keys or ["unnamed"]
    for count in range(1, len(keys) + 1):
        name = "_".join(keys[-count:])
        if name not in taken and not name[0].isdigit():
            return name
    numbers = itertools.count(2)
    name = "field_" + "_".join(keys)
    return next(
        candidate
        for candidate in itertools.chain([name], (f"{name}_{n}" for n in numbers))
        if candidate not in taken
    )


def column_stub(path: UndocumentedPath, name: str) -> str:
    """The YAML entry of a column called ``name`` that reads one path."""
    found = f"{path.records} records, {path.value_types}, such as {path.example!r}"
    if path.dictionary_path is None:
        return f"      # No path can address {path.json_path!r}: {found}"
    return "\n".join(
        [
            f"      # {found}",
            f"      - name: {name}",
            "        description: >",
            "          TODO: say what is true of it, and when it is null.",
            f"        data_type: {_DATA_TYPES.get(path.value_types, 'varchar')}",
            "        config:",
            "          meta:",
            "            json_paths:",
            f"              - '{path.dictionary_path}'",
        ]
    )


def stubs(paths: Iterable[UndocumentedPath], taken: Iterable[str]) -> Iterator[str]:
    """A stub for each path; no two have one name, and none has one of ``taken``."""
    names = {*taken, *_INNER_NAMES}
    for path in paths:
        name = column_name(path, names)
        if path.dictionary_path is not None:
            names.add(name)
        yield column_stub(path, name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a stub for every undocumented path; the most frequent come first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--database",
        default=os.environ.get("CHURN_DUCKDB_PATH", "churn.duckdb"),
        help="the DuckDB file (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if not os.path.exists(options.database):
        print(
            f"There is no database {options.database}: run `dbt build` first.",
            file=sys.stderr,
        )
        return 1
    try:
        with duckdb.connect(options.database, read_only=True) as connection:
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
            # Names that the models use, and words of SQL, are no names of columns.
            taken = connection.execute(
                """
                select lower(column_name) from information_schema.columns
                where table_name like '%_clickstream__%'
                union
                select lower(keyword_name) from duckdb_keywords()
                where keyword_category <> 'unreserved'
                """
            ).fetchall()
    except duckdb.CatalogException:
        print(
            f"{options.database} has no clickstream_field_profile: "
            "run `dbt build` first.",
            file=sys.stderr,
        )
        return 1

    if not paths:
        print("The dictionary knows every path that has arrived.")
    for stub in stubs(paths, [name for (name,) in taken]):
        print(stub)
    return 0


if __name__ == "__main__":
    sys.exit(main())
