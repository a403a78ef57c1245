"""Everything a person can look up is described, owned and tested."""

from __future__ import annotations

import json
import re

import pytest
from conftest import ROOT, DbtProject


@pytest.fixture(scope="module")
def manifest(module_project: DbtProject) -> dict:
    module_project.dbt("parse")
    path = module_project.folder / "target" / "manifest.json"
    return json.loads(path.read_text())


def described_nodes(manifest: dict) -> list[dict]:
    nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
    kinds = {"model", "seed", "source", "snapshot"}
    return [node for node in nodes if node["resource_type"] in kinds]


def inherited_columns(manifest: dict, node: dict) -> set[str]:
    source = node["config"]["meta"].get("columns_from")
    return (
        set(manifest["nodes"][f"model.churn.{source}"]["columns"]) if source else set()
    )


def test_every_node_and_column_is_described(manifest: dict) -> None:
    missing = []
    for node in described_nodes(manifest):
        if not node["description"].strip():
            missing.append(node["name"])
        if not node["columns"]:
            missing.append(f"{node['name']}: no columns")
        for column in node["columns"].values():
            if not column["description"].strip():
                missing.append(f"{node['name']}.{column['name']}")
    assert not missing, (
        "A newcomer reads the docs before the SQL, so describe these in the YAML "
        f"beside the model: {missing}"
    )


def test_no_description_merely_repeats_the_name(manifest: dict) -> None:
    empty_words = {"the", "a", "an", "of", "is", "for", "this", "column", "field"}
    repeating = []
    for node in described_nodes(manifest):
        for column in node["columns"].values():
            words = set(re.findall(r"[a-z]+", column["description"].lower()))
            if words <= set(column["name"].lower().split("_")) | empty_words:
                repeating.append(f"{node['name']}.{column['name']}")
    assert not repeating, (
        f"Say what the name does not (unit, bound, why anyone cares): {repeating}"
    )


def test_every_model_states_and_tests_its_grain(manifest: dict) -> None:
    grain_tests = {"unique", "unique_combination_of_columns"}
    tested = {
        test["attached_node"]
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test"
        and (test.get("test_metadata") or {}).get("name") in grain_tests
    }
    untested, unstated = [], []
    for unique_id, node in manifest["nodes"].items():
        if node["resource_type"] != "model":
            continue
        may_repeat = node["config"]["meta"].get("rows_may_repeat")
        if unique_id not in tested and not may_repeat:
            untested.append(node["name"])
        if not re.search(r"\b[Oo]ne row\b|\b[Oo]ne\b.*\bper\b", node["description"]):
            unstated.append(node["name"])
    assert not untested, (
        f"Add a unique test on the grain of {untested}, or, where rows may repeat, "
        "say why in `config: meta: rows_may_repeat:`"
    )
    assert not unstated, f"Say 'One row per ...' in the description of: {unstated}"


def test_every_model_has_an_owner(manifest: dict) -> None:
    without = [
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and not node["config"].get("group")
    ]
    assert not without, f"Set `config: group:` for: {without}"


def test_documented_columns_are_the_columns_of_the_tables(
    built_project: DbtProject,
) -> None:
    manifest = json.loads(
        (built_project.folder / "target" / "manifest.json").read_text()
    )
    wrong = []
    for node in manifest["nodes"].values():
        if node["resource_type"] not in {"model", "seed"}:
            continue
        if node["config"]["materialized"] == "ephemeral":
            continue
        columns = {
            name
            for (name,) in built_project.query(
                """select column_name from information_schema.columns
                where table_schema = ? and table_name = ?""",
                node["schema"],
                node["alias"],
            )
        }
        documented = set(node["columns"])
        # Columns that the clickstream's dictionary generates are documented
        # there, once.
        documented |= columns & inherited_columns(manifest, node)
        if columns != documented:
            wrong.append((node["name"], sorted(columns ^ documented)))
    assert not wrong, f"Tables and their YAML name different columns: {wrong}"


def test_one_yaml_beside_each_model_and_seed() -> None:
    paths = [
        *ROOT.glob("models/**/*.sql"),
        *ROOT.glob("python_models/*.py"),
        *ROOT.glob("seeds/*.csv"),
    ]
    lonely = [
        str(path.relative_to(ROOT))
        for path in paths
        if not path.with_suffix(".yml").exists()
    ]
    assert paths
    assert not lonely, f"Put the documentation of each beside it: {lonely}"
