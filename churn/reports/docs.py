"""Writes the docs site as one HTML file: ``churn docs``.

dbt shows only the columns that a model's own YAML names. This command corrects
dbt's manifest before it writes the page:

- A model with ``config.meta.columns_from`` gets the columns of the models named
  there, so that a column is described in one file only.
- Features that variables add, such as the counts of `counted_events`, get the
  description that the model ``account_features`` has in its ``config.meta``.
- Features of a source that the company does not have are removed, because no table
  has these columns.
- Macros without a description are hidden. Only other macros call them.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

PACKAGE = "churn"
FEATURES = "account_features"


def origins_of(node: dict[str, Any]) -> list[str]:
    """Return the names of the models whose columns ``node`` inherits."""
    origins = node["config"].get("meta", {}).get("columns_from") or []
    return [origins] if isinstance(origins, str) else origins


def inherit_columns(manifest: dict[str, Any], catalog: dict[str, Any]) -> None:
    """Add inherited columns to the models that name ``columns_from``.

    A column that the model's own YAML lists stays as it is. If several origins have
    a column, the first one is used. A column that the model's table lacks is not
    added. Tests stay with the origin, because they run there.

    Args:
        manifest: dbt's manifest; changed in place.
        catalog: dbt's catalog of the tables that exist.
    """
    models = {
        node["name"]: node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    documented: dict[str, dict[str, Any]] = {}

    def columns_of(name: str) -> dict[str, Any]:
        """Return all columns that a model documents or inherits."""
        if name not in models:
            return {}
        if name not in documented:
            documented[name] = dict(models[name]["columns"])
            for origin in origins_of(models[name]):
                for key, column in columns_of(origin).items():
                    if key not in documented[name]:
                        inherited = copy.deepcopy(column)
                        inherited["meta"].setdefault("inherited_from", origin)
                        documented[name][key] = inherited
        return documented[name]

    for unique_id, node in manifest["nodes"].items():
        if node["resource_type"] != "model" or not origins_of(node):
            continue
        columns = dict(columns_of(node["name"]))
        if unique_id in catalog["nodes"]:
            existing = {name.lower() for name in catalog["nodes"][unique_id]["columns"]}
            for name in set(columns) - set(node["columns"]) - existing:
                del columns[name]
        node["columns"] = columns


def add_generated_features(manifest: dict[str, Any]) -> None:
    """Describe the features that variables add to ``account_features``.

    Args:
        manifest: dbt's manifest; changed in place.
    """
    for node in manifest["nodes"].values():
        if node["name"] != FEATURES or node["resource_type"] != "model":
            continue
        for feature in node["config"].get("meta", {}).pop("generated_features", []):
            node["columns"].setdefault(
                feature["name"],
                {
                    "name": feature["name"],
                    "description": feature["description"],
                    "data_type": feature["data_type"],
                    "meta": feature["config"]["meta"],
                    "config": feature["config"],
                    "constraints": [],
                    "tags": [],
                    "quote": None,
                },
            )
        node.get("meta", {}).pop("generated_features", None)


def remove_absent_features(
    manifest: dict[str, Any], catalog: dict[str, Any]
) -> list[str]:
    """Remove the features that the table ``account_features`` lacks from the docs.

    Args:
        manifest: dbt's manifest; changed in place.
        catalog: dbt's catalog of the tables that exist.

    Returns:
        The names of these features, sorted; empty if the table does not exist.
    """
    nodes = manifest["nodes"]
    existing = {
        unique_id: {name.lower() for name in table["columns"]}
        for unique_id, table in catalog["nodes"].items()
    }
    absent: set[str] = set()
    for unique_id, node in nodes.items():
        if node["name"] == FEATURES and unique_id in existing:
            absent |= set(node["columns"]) - existing[unique_id]
    for unique_id, node in nodes.items():
        for name in absent & set(node["columns"]) - existing.get(unique_id, absent):
            del node["columns"][name]
    return sorted(absent)


def hide_helper_macros(manifest: dict[str, Any]) -> None:
    """Hide this project's macros that macros/_macros.yml does not describe.

    Args:
        manifest: dbt's manifest; changed in place.
    """
    for macro in manifest["macros"].values():
        if macro["package_name"] == PACKAGE and not macro["description"]:
            macro["docs"]["show"] = False


def write_static_page(target: Path) -> list[str]:
    """Write ``static_index.html`` from the files that ``dbt docs generate`` wrote.

    Args:
        target: dbt's target folder, with manifest and catalog.

    Returns:
        The features that were removed.
    """
    # Importing dbt takes seconds, so only this function does.
    from dbt.task.docs import DOCS_INDEX_FILE_PATH

    manifest = json.loads((target / "manifest.json").read_text())
    catalog = json.loads((target / "catalog.json").read_text())
    add_generated_features(manifest)
    absent = remove_absent_features(manifest, catalog)
    inherit_columns(manifest, catalog)
    hide_helper_macros(manifest)
    (target / "manifest.json").write_text(json.dumps(manifest))
    page = Path(DOCS_INDEX_FILE_PATH).read_text(encoding="utf-8")
    for placeholder, data in (("MANIFEST", manifest), ("CATALOG", catalog)):
        page = page.replace(f'"{placeholder}.JSON INLINE DATA"', json.dumps(data))
    (target / "static_index.html").write_text(page, encoding="utf-8")
    return absent
