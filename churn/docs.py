"""Writes the metadata dictionary as one HTML file: ``python -m churn docs``.

dbt documents what the YAML names. Of the features that a company does not have,
because a source of theirs is switched off, the YAML still names the columns: here
they are taken out again, so that the docs show the tables as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FEATURES = "account_features"


def without_absent_features(
    manifest: dict[str, Any], catalog: dict[str, Any]
) -> list[str]:
    """Take the features that ``account_features`` does not have out of the docs.

    Args:
        manifest: dbt's manifest; changed in place.
        catalog: dbt's catalog of the tables that exist.

    Returns:
        The names of those features, sorted; none if the table does not exist.
    """
    nodes = manifest["nodes"]
    found = {
        unique_id: {name.lower() for name in table["columns"]}
        for unique_id, table in catalog["nodes"].items()
    }
    absent: set[str] = set()
    for unique_id, node in nodes.items():
        if node["name"] == FEATURES and unique_id in found:
            absent |= set(node["columns"]) - found[unique_id]
    for unique_id, node in nodes.items():
        for name in absent & set(node["columns"]) - found.get(unique_id, absent):
            del node["columns"][name]
    return sorted(absent)


def write_static_page(target: Path) -> list[str]:
    """Write ``static_index.html`` from what ``dbt docs generate`` left.

    Args:
        target: dbt's target folder, with manifest and catalog.

    Returns:
        The features that were taken out.
    """
    # dbt is slow to import, and only needed here.
    from dbt.task.docs import DOCS_INDEX_FILE_PATH

    manifest = json.loads((target / "manifest.json").read_text())
    catalog = json.loads((target / "catalog.json").read_text())
    absent = without_absent_features(manifest, catalog)
    (target / "manifest.json").write_text(json.dumps(manifest))
    page = Path(DOCS_INDEX_FILE_PATH).read_text(encoding="utf-8")
    for placeholder, data in (("MANIFEST", manifest), ("CATALOG", catalog)):
        page = page.replace(f'"{placeholder}.JSON INLINE DATA"', json.dumps(data))
    (target / "static_index.html").write_text(page, encoding="utf-8")
    return absent


def main(arguments: list[str] | None = None) -> int:
    """Run ``dbt docs generate`` with the arguments given, and mend its page."""
    parser = argparse.ArgumentParser(
        prog="python -m churn docs",
        description="Writes target/static_index.html, the docs as one file. All "
        "arguments are handed to `dbt docs generate`, such as --vars.",
    )
    _, handed_on = parser.parse_known_args(arguments)
    dbt = Path(sys.executable).parent / "dbt"
    finished = subprocess.run(
        [str(dbt), "--quiet", "docs", "generate", *handed_on], check=False
    )
    if finished.returncode:
        return finished.returncode
    target = Path(os.environ.get("DBT_TARGET_PATH", "target"))
    absent = write_static_page(target)
    if absent:
        print(f"Left out, since this company does not have them: {', '.join(absent)}")
    print(f"The docs are in {target / 'static_index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
