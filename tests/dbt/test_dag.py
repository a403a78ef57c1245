"""Models show in their own files what they read, and keep to their layer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.project import DbtProject

COMMENT = re.compile(r"\{#.*?#\}|--[^\n]*", re.DOTALL)
REFERENCE = re.compile(r"\b(?:ref|source)\s*\(")
# What a query reads, unlike a relation that is passed to a macro in a condition.
READ = re.compile(r"\b(?:from|join)\s+(\{\{.*?\}\})", re.DOTALL | re.IGNORECASE)
STATEMENT = re.compile(
    r"\{%-?\s*set\s+\w+\s*-?%\}.*?\{%-?\s*endset\s*-?%\}|\{%.*?%\}", re.DOTALL
)
ALTERNATIVE = re.compile(r"\{%-?\s*el(?:se|if)\b")
NOT_AN_IMPORT = re.compile(
    r"\b(?:join|union|group\s+by|over|distinct|qualify)\b", re.IGNORECASE
)


def blank(match: re.Match) -> str:
    """Replace text by spaces, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group())


def code_of(path: Path) -> str:
    return COMMENT.sub(blank, path.read_text())


def place(path: Path, text: str, offset: int) -> str:
    return f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, offset) + 1}"


def as_list(problems: list[str]) -> str:
    return "\n" + "\n".join(sorted(problems))


@pytest.fixture(scope="module")
def manifest(module_project: DbtProject) -> dict:
    module_project.dbt("parse")
    return json.loads((module_project.folder / "target" / "manifest.json").read_text())


def test_no_macro_reads_a_model_or_source() -> None:
    paths = sorted(ROOT.glob("macros/**/*.sql"))
    assert paths
    problems = [
        place(path, code, match.start())
        for path in paths
        for code in [code_of(path)]
        for match in REFERENCE.finditer(code)
    ]
    assert not problems, (
        "A model must show what it reads. Call `ref` or `source` in the model and "
        f"pass the relation to the macro as an argument:{as_list(problems)}"
    )


def model_files() -> list[Path]:
    return sorted(ROOT.glob("models/**/*.sql"))


def end_of_parenthesis(code: str, start: int) -> int:
    """Return the offset after the parenthesis that closes the one at ``start``."""
    depth = 0
    for match in re.compile(r"[()]|'[^']*'|\"[^\"]*\"").finditer(code, start):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    return len(code)


def ctes_of(code: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, start and end of each CTE of a model's main query."""
    offset = 0
    while match := re.compile(r"\b(\w+)\s+as\s*\(").search(code, offset):
        end = end_of_parenthesis(code, match.end() - 1)
        yield match.group(1), match.start(), end
        offset = end


def reads_of(code: str) -> list[int]:
    """Return where the query reads a model or source."""
    return [
        match.start(1) for match in READ.finditer(code) if REFERENCE.search(match[1])
    ]


def without_head(code: str) -> str:
    """Blank out Jinja statements, and the expressions before `with`.

    These are the config block and checks that return nothing.
    """
    code = STATEMENT.sub(blank, code)
    while head := re.match(r"\s*\{\{-?\s*(?!with_recursive)\w+(?=\()", code):
        end = code.index("}}", end_of_parenthesis(code, head.end())) + 2
        code = re.sub(r"[^\n]", " ", code[:end]) + code[end:]
    return code


def import_problems(path: Path) -> list[str]:
    """Return what in a model's file breaks the rule of import CTEs."""
    full_code = code_of(path)
    code = without_head(full_code)
    start = len(code) - len(code.lstrip())
    if not re.match(r"with\b|\{\{-?\s*with_recursive\b", code[start:]):
        return [f"{place(path, code, start)} begin the query with `with`"]
    problems = []
    ctes = list(ctes_of(code))
    transformed, transformed_at = None, 0
    for name, start, end in ctes:
        imports = [each for each in reads_of(code) if start <= each < end]
        is_alternative = ALTERNATIVE.search(full_code, transformed_at, start)
        if not imports:
            transformed, transformed_at = name, start
        elif NOT_AN_IMPORT.search(code, start, end) or (
            len(imports) > 1 and not ALTERNATIVE.search(full_code, *imports[:2])
        ):
            problems.append(
                f"{place(path, code, imports[0])} `{name}` transforms what it imports: "
                "import in a CTE of its own (`select * from {{ ref(...) }}`)"
            )
        elif transformed and not is_alternative:
            problems.append(
                f"{place(path, code, imports[0])} move the import `{name}` before "
                f"`{transformed}`"
            )
    for read in reads_of(code):
        if not any(start <= read < end for _, start, end in ctes):
            problems.append(f"{place(path, code, read)} read this in a CTE")
    return problems


def test_models_begin_with_import_ctes() -> None:
    assert model_files()
    problems = [each for path in model_files() for each in import_problems(path)]
    assert not problems, (
        "A reader finds a model's inputs in its first CTEs. Correct these "
        f"lines:{as_list(problems)}"
    )


def layer_of(node: dict) -> str:
    """Return the layer of a model by its prefix, else by its folder."""
    for prefix, layer in {"base_": "base", "stg_": "stg", "int_": "int"}.items():
        if node["name"].startswith(prefix):
            return layer
    return "mart"


def reads(manifest: dict) -> Iterator[tuple[dict, dict]]:
    """Yield each model with each of its parents."""
    parents = {**manifest["nodes"], **manifest["sources"]}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model":
            for parent in node["depends_on"]["nodes"]:
                yield node, parents[parent]


def line_of_reference(node: dict, parent: dict) -> str:
    path = ROOT / node["original_file_path"]
    text = path.read_text()
    match = re.search(rf"['\"]{parent['name']}['\"]", text)
    return place(path, text, match.start() if match else 0)


def test_only_staging_reads_sources_and_base_models(manifest: dict) -> None:
    problems = []
    for node, parent in reads(manifest):
        is_raw = parent["resource_type"] == "source" or "raw" in parent["tags"]
        is_base = parent["resource_type"] == "model" and layer_of(parent) == "base"
        if layer_of(node) in {"int", "mart"} and (is_raw or is_base):
            problems.append(f"{line_of_reference(node, parent)} reads {parent['name']}")
    assert not problems, (
        "Intermediate models and marts read staging models (stg_), so that one place "
        f"cleans each source. Read a stg_ model instead:{as_list(problems)}"
    )


def test_staging_reads_no_later_layer(manifest: dict) -> None:
    problems = [
        f"{line_of_reference(node, parent)} reads {parent['name']}"
        for node, parent in reads(manifest)
        if layer_of(node) in {"base", "stg"}
        and parent["resource_type"] == "model"
        and layer_of(parent) in {"int", "mart"}
    ]
    assert not problems, (
        "Staging models read sources and base models only. Move the logic to an "
        f"intermediate model:{as_list(problems)}"
    )


def test_each_layer_has_a_schema(manifest: dict) -> None:
    schemas = {"base": "main_staging", "stg": "main_staging"}
    schemas |= {"int": "main_intermediate", "mart": "main"}
    problems = [
        f"{node['original_file_path']} is in {node['schema']}"
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and node["schema"] != schemas[layer_of(node)]
    ]
    assert not problems, (
        "A user of the database sees the marts first, because other layers have their "
        f"own schemas. Move the file to the folder of its layer:{as_list(problems)}"
    )


def test_models_that_exposures_read_are_public(manifest: dict) -> None:
    problems = [
        f"{manifest['nodes'][parent]['original_file_path']}: {exposure['name']} reads "
        f"{manifest['nodes'][parent]['name']}"
        for exposure in manifest["exposures"].values()
        for parent in exposure["depends_on"]["nodes"]
        if manifest["nodes"][parent].get("access") != "public"
    ]
    assert not problems, (
        "Exposures read public models. Set `config: access: public` in the YAML "
        f"of:{as_list(problems)}"
    )
