"""Prints the YAML of JSON paths that the data dictionary does not know yet.

Run as ``python -m churn.dictionary``, it reads `clickstream_field_profile` and writes
column entries to paste into `stg_clickstream__events.yml`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

import duckdb

_DATA_TYPES = {"number": "double", "boolean": "boolean", "text": "varchar"}


def column_name(json_path: str) -> str:
    """A snake-case column name for a path: ``$.context.osName`` is ``os_name``."""
    last_key = re.split(r"[.\[]", json_path.rstrip("[]"))[-1].strip('"]')
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last_key)
    return re.sub(r"\W+", "_", snake_case).strip("_").lower() or "unnamed"


def column_stub(
    json_path: str, records: int, value_types: str, example: str | None
) -> str:
    """The YAML entry of a column that reads one path."""
    data_type = _DATA_TYPES.get(value_types, "varchar")
    path = json_path.replace("[]", "[0]")
    return "\n".join(
        [
            f"      # {records} records, {value_types}, such as {example!r}",
            f"      - name: {column_name(json_path)}",
            "        description: >",
            "          TODO: say what is true of it, and when it is null.",
            f"        data_type: {data_type}",
            "        config:",
            "          meta:",
            "            json_paths:",
            f"              - '{path}'",
        ]
    )


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
            paths = connection.execute(
                """
                select json_path, records, value_types, example
                from clickstream_field_profile
                where
                    not is_documented
                    and value_types not in ('object', 'array', 'null')
                order by records desc, json_path
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
    for path in paths:
        print(column_stub(*path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
