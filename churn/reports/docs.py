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

dbt's page trusts what it shows: descriptions are Markdown with HTML, and the search
writes names as HTML. A value from data, such as a column's name, can be in both. So
this command writes the data as text that cannot end the page's script, escapes HTML,
and adds a Content-Security-Policy that runs the page's own script only.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from churn.quoting import without_credentials

PACKAGE = "churn"
FEATURES = "account_features"

# Texts of the manifest and catalog that dbt's page reads as Markdown.
_MARKDOWN_KEYS = {"description", "source_description", "block_contents", "comment"}
# Folders of the machine that built the docs; the page does not use them.
_PATH_KEYS = {"root_path", "build_path", "compiled_path"}

_SCRIPT = re.compile(r'<script defer="defer">(.*?)</script>', re.DOTALL)
_PLACEHOLDER = re.compile(r'"(MANIFEST|CATALOG)\.JSON INLINE DATA"')
# The search of dbt's page marks the matches within names, and trusts the rest.
_SEARCH_RESULT = "n.highlight=function(t){"
_ESCAPED_SEARCH_RESULT = (
    _SEARCH_RESULT + 't=t&&String(t).replace(/</g,"&lt;").replace(/>/g,"&gt;");'
)
# The page needs no other resource. Its framework writes styles, and so needs them.
_POLICY = (
    "default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'"
)


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
    (target / "static_index.html").write_text(
        secure_page(page, {"MANIFEST": manifest, "CATALOG": catalog}), encoding="utf-8"
    )
    return absent


def secure_page(page: str, data: dict[str, Any]) -> str:
    """Return dbt's page with its data, so that no value in them becomes markup.

    Args:
        page: dbt's page, with a placeholder for each part of the data.
        data: Manifest and catalog, by the name of the placeholder.

    Raises:
        ValueError: The page is not built as dbt 1.11 builds it, so it cannot be made
            safe.
    """
    page = page.replace(_SEARCH_RESULT, _ESCAPED_SEARCH_RESULT)
    # One pass over the page, so that no value can be a placeholder.
    page = _PLACEHOLDER.sub(lambda found: _inline_json(data[found[1]]), page)
    scripts = _SCRIPT.findall(page)
    if len(scripts) != 1 or _ESCAPED_SEARCH_RESULT not in page:
        raise ValueError("This version of dbt has another docs page.")
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = _POLICY.format(digest=digest)
    # Tells AngularJS not to compile expressions with `eval`.
    page = page.replace("<html ", '<html ng-csp="no-unsafe-eval" ', 1)
    return page.replace(
        "<head>",
        f'<head><meta http-equiv="Content-Security-Policy" content="{policy}">',
        1,
    )


def _inline_json(content: Any) -> str:
    """Return JSON for a script: it holds no ``<``, so no tag can end the script."""
    return json.dumps(_without_markup(content)).replace("<", "\\u003c")


def _without_markup(content: Any, key: str | None = None) -> Any:
    """Return a copy with escaped HTML in Markdown, and without paths and passwords."""
    if isinstance(content, dict):
        return {
            name: None if name in _PATH_KEYS else _without_markup(value, name)
            for name, value in content.items()
        }
    if isinstance(content, list):
        return [_without_markup(item, key) for item in content]
    if isinstance(content, str):
        content = without_credentials(content)
        if key in _MARKDOWN_KEYS:
            # Markdown keeps an entity as it is.
            content = content.replace("<", "&lt;")
    return content
