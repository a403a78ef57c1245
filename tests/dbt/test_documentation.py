"""Every model, seed, source and column is described, owned and tested."""

from __future__ import annotations

import json
import re

import pytest

from churn.config import Project
from churn.operations.pii import RULES, Classification
from churn.reports.docs import inherit_columns, origins_of
from tests.support.paths import ROOT
from tests.support.project import DbtProject

# The beginning of a macro or generic test, with its parameters.
SIGNATURE = re.compile(r"\{%-?\s*(macro|test)\s+(\w+)\s*\((.*?)\)\s*-?%\}", re.DOTALL)
DESCRIBED_TYPES = {"model", "seed", "source", "snapshot"}
GRAIN_TESTS = {"unique", "unique_combination_of_columns"}


@pytest.fixture(scope="module")
def manifest(module_project: DbtProject) -> dict:
    """The manifest as dbt writes it."""
    module_project.dbt("parse")
    return read_json(module_project, "manifest.json")


@pytest.fixture(scope="module")
def built_manifest(built_project: DbtProject) -> dict:
    """The manifest that the docs site shows."""
    built_project.dbt("docs", "generate", "--no-compile")
    manifest = read_json(built_project, "manifest.json")
    inherit_columns(manifest, read_json(built_project, "catalog.json"))
    return manifest


def read_json(project: DbtProject, name: str) -> dict:
    return json.loads((project.folder / "target" / name).read_text())


def described_nodes(manifest: dict) -> list[dict]:
    nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
    return [node for node in nodes if node["resource_type"] in DESCRIBED_TYPES]


def models(manifest: dict) -> list[dict]:
    return [
        node for node in manifest["nodes"].values() if node["resource_type"] == "model"
    ]


def test_every_node_and_column_is_described(manifest: dict) -> None:
    missing = []
    for node in described_nodes(manifest):
        if not node["description"].strip():
            missing.append(node["name"])
        if not node["columns"] and not origins_of(node):
            missing.append(f"{node['name']}: no columns")
        for column in node["columns"].values():
            if not column["description"].strip():
                missing.append(f"{node['name']}.{column['name']}")
    assert not missing, f"Describe these in the YAML beside the model: {missing}"


def test_no_description_merely_repeats_the_name(manifest: dict) -> None:
    empty_words = {"the", "a", "an", "of", "is", "for", "this", "column", "field"}
    repeating = []
    for node in described_nodes(manifest):
        for column in node["columns"].values():
            words = set(re.findall(r"[a-z]+", column["description"].lower()))
            if words <= set(column["name"].lower().split("_")) | empty_words:
                repeating.append(f"{node['name']}.{column['name']}")
    assert not repeating, (
        "Add what the name does not say (unit, bound, why anyone cares) to the "
        f"descriptions of: {repeating}"
    )


def test_columns_from_names_models(manifest: dict) -> None:
    names = {node["name"] for node in models(manifest)}
    unknown = {
        node["name"]: sorted(set(origins_of(node)) - names)
        for node in models(manifest)
        if set(origins_of(node)) - names
    }
    assert not unknown, f"`columns_from` names models that do not exist: {unknown}"


def test_every_model_states_and_tests_its_grain(manifest: dict) -> None:
    tested = {
        test["attached_node"]
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test"
        and (test.get("test_metadata") or {}).get("name") in GRAIN_TESTS
    }
    untested = [
        node["name"]
        for node in models(manifest)
        if node["unique_id"] not in tested
        and not node["config"]["meta"].get("rows_may_repeat")
    ]
    unstated = [
        node["name"]
        for node in models(manifest)
        if not re.search(r"\b[Oo]ne row\b|\b[Oo]ne\b.*\bper\b", node["description"])
    ]
    assert not untested, (
        f"Add a unique test on the grain of {untested}. If rows may repeat, give the "
        "reason in `config: meta: rows_may_repeat:`."
    )
    assert not unstated, f"Write 'One row per ...' in the description of: {unstated}"


def test_every_model_has_an_owner(manifest: dict) -> None:
    without = [
        node["name"] for node in models(manifest) if not node["config"].get("group")
    ]
    assert not without, f"Set `config: group:` for: {without}"


def test_docs_describe_exactly_the_columns_that_exist(
    built_project: DbtProject, built_manifest: dict
) -> None:
    nodes = {**built_manifest["nodes"], **built_manifest["sources"]}
    catalog = read_json(built_project, "catalog.json")
    tables = {**catalog["nodes"], **catalog["sources"]}
    assert len(tables) > 50
    wrong = {}
    for unique_id, table in tables.items():
        existing = {name.lower() for name in table["columns"]}
        described = {
            name
            for name, column in nodes[unique_id]["columns"].items()
            if column["description"].strip()
        }
        if existing != described:
            wrong[nodes[unique_id]["name"]] = sorted(existing ^ described)
    assert not wrong, (
        "Describe each column in the model's YAML, or inherit it with `config: meta: "
        f"columns_from:`. Columns in only one of table and docs: {wrong}"
    )


def test_inherited_columns_keep_their_description_and_type() -> None:
    def column(description: str) -> dict:
        return {"description": description, "data_type": "varchar", "meta": {"x": 1}}

    def node(name: str, columns: dict, *origins: str) -> dict:
        return {
            "name": name,
            "resource_type": "model",
            "columns": columns,
            "config": {"meta": {"columns_from": list(origins)} if origins else {}},
        }

    manifest = {
        "nodes": {
            "first": node("first", {"a": column("A"), "b": column("B")}),
            "second": node("second", {"c": column("C")}, "first"),
            "third": node("third", {"b": column("Own B")}, "second", "absent"),
        }
    }
    catalog = {"nodes": {"third": {"columns": {"A": {}, "B": {}}}}}
    inherit_columns(manifest, catalog)
    described = {
        name: {key: each["description"] for key, each in node["columns"].items()}
        for name, node in manifest["nodes"].items()
    }
    assert described == {
        "first": {"a": "A", "b": "B"},
        # Not in the catalog, so all columns are inherited.
        "second": {"c": "C", "a": "A", "b": "B"},
        # The table has no column c.
        "third": {"b": "Own B", "a": "A"},
    }
    inherited = manifest["nodes"]["third"]["columns"]["a"]
    assert inherited["data_type"] == "varchar"
    assert inherited["meta"] == {"x": 1, "inherited_from": "first"}
    assert manifest["nodes"]["first"]["columns"]["a"]["meta"] == {"x": 1}


def test_one_yaml_beside_each_model_and_seed() -> None:
    paths = [
        *ROOT.glob("models/**/*.sql"),
        *ROOT.glob("python_models/**/*.py"),
        *ROOT.glob("seeds/*.csv"),
    ]
    without_yaml = [
        str(path.relative_to(ROOT))
        for path in paths
        if not path.with_suffix(".yml").exists()
    ]
    assert paths
    assert not without_yaml, f"Add a YAML file beside each of: {without_yaml}"


def signatures() -> dict[str, list[str]]:
    """Return the parameters of each macro by dbt's name for it."""
    found = {}
    for path in ROOT.glob("macros/**/*.sql"):
        for kind, name, parameters in SIGNATURE.findall(path.read_text()):
            # A default value can be a list, but none has an equals sign.
            names = re.findall(r"(\w+)\s*(?==|,|$)(?:=[^,]*)?", parameters.strip())
            found[f"test_{name}" if kind == "test" else name] = names
    return found


def public_macros() -> set[str]:
    """Return the macros that something besides macros calls."""
    folders = ("models", "python_models", "tests/data", "seeds")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.*")]
    callers = "\n".join(
        path.read_text()
        for path in [*paths, ROOT / "dbt_project.yml"]
        if path.suffix in (".sql", ".yml")
    )
    called = set(re.findall(r"\b(\w+)\(", callers))
    return {name for name in signatures() if name.startswith("test_") or name in called}


def test_every_public_macro_is_documented_with_its_arguments(manifest: dict) -> None:
    described = {
        macro["name"]: macro
        for macro in manifest["macros"].values()
        if macro["package_name"] == "churn" and macro["description"]
    }
    assert len(public_macros()) > 50
    missing = sorted(public_macros() - described.keys())
    assert not missing, f"Describe these in macros/_macros.yml: {missing}"
    different = {
        name: (arguments, documented)
        for name, arguments in signatures().items()
        if name in described
        and arguments
        != (documented := [each["name"] for each in described[name]["arguments"]])
    }
    assert not different, (
        "List these arguments in macros/_macros.yml as the macro does: "
        f"{{name: (macro, YAML)}} = {different}"
    )
    undescribed = [
        f"{name}.{argument['name']}"
        for name, macro in described.items()
        for argument in macro["arguments"]
        if not (argument["type"] and argument["description"])
    ]
    assert not undescribed, f"Add type and description to: {undescribed}"


def test_columns_that_may_identify_a_person_declare_their_class(manifest: dict) -> None:
    # Names of columns that hold personal data in every company.
    personal = re.compile(
        r"(^|_)(user|account|owner|actor|anonymous|visitor)_id$"
        r"|(company|owner|first|last|full)_name$|^(payload|note|override_reason)$"
        r"|e?mail|phone|address$|^referrer$"
    )
    mapping_model = "base_clickstream__parsed_records"
    declaring = [
        *manifest["sources"].values(),
        *(node for node in models(manifest) if node["name"] == mapping_model),
    ]
    columns = {
        f"{node['name']}.{column['name']}": column["config"]["meta"].get("pii")
        for node in declaring
        for column in node["columns"].values()
    }
    unclassified = [
        name
        for name, pii in columns.items()
        if personal.search(name.split(".")[1]) and pii is None
    ]
    assert unclassified == []
    assert {pii for pii in columns.values() if pii is not None} == set(RULES)


def test_a_class_of_personal_data_is_one_of_the_declared(manifest: dict) -> None:
    classes = {
        (node["name"], column["name"]): column["config"].get("meta", {}).get("pii")
        for node in described_nodes(manifest)
        for column in node["columns"].values()
    }
    assert {pii for pii in classes.values() if pii} <= set(RULES)
    # `churn forget` reads the YAML itself, also of disabled sources.
    loaded = Classification.load(Project.load(ROOT, ROOT)).by_relation
    assert {place: loaded.get(place) for place in classes} == classes
