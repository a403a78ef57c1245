"""``dbt build --select +MODEL`` builds and passes its tests on an empty database."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

from tests.support.paths import ROOT
from tests.support.project import DbtProject

# Only these builds run: each begins with an empty database. Together they cover
# every source, and the demo seeds' own build covers the models after them. The first
# test covers the selection of all other models.
BUILT = ["stg_clickstream__rejects", "crm_data_issues", "label_comparison"]


@pytest.fixture(scope="module")
def dbt(module_project: DbtProject) -> Callable[..., list[str]]:
    """Runs dbt commands on a manifest that is parsed once."""
    module_project.dbt("parse")
    folder = ["--project-dir", str(ROOT)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in module_project.environment.items():
            patch.setenv(name, value)
        patch.chdir(module_project.folder)
        manifest = dbtRunner().invoke(["--quiet", "parse", *folder]).result
        assert isinstance(manifest, Manifest)
        runner = dbtRunner(manifest=manifest)

        def run(*command: str) -> list[str]:
            result = runner.invoke(["--quiet", *command, *folder])
            assert result.success, result.exception
            return result.result

        yield run


def test_selected_tests_read_only_selected_tables(
    dbt: Callable[..., list[str]], module_project: DbtProject
) -> None:
    target = module_project.folder / "target"
    nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    names = sorted(
        node["name"]
        for node in nodes.values()
        if node["resource_type"] == "model"
        and not node["name"].startswith(("base_", "int_"))
    )
    assert len(names) > 20
    unique_ids = ["--output", "json", "--output-keys", "unique_id"]
    missing = []
    for name in names:
        listed = dbt("ls", "--select", f"+{name}", *unique_ids)
        selected = {json.loads(line)["unique_id"] for line in listed}
        assert f"model.churn.{name}" in selected
        for unique_id in selected & set(nodes):
            parents = set(nodes[unique_id]["depends_on"].get("nodes", []))
            missing += [
                f"+{name}: {unique_id} reads {parent}"
                for parent in parents & set(nodes) - selected
            ]
    assert not missing, (
        "These tests read tables that the selection does not build. Keep "
        "`indirect_selection: buildable` in the flags of dbt_project.yml:\n"
        + "\n".join(missing)
    )


@pytest.mark.parametrize("name", BUILT)
def test_selection_builds_on_an_empty_database(project: DbtProject, name: str) -> None:
    project.dbt("build", "--write-json", "--select", f"+{name}")
    results = json.loads((project.folder / "target" / "run_results.json").read_text())
    statuses = {each["unique_id"]: each["status"] for each in results["results"]}
    assert statuses[f"model.churn.{name}"] == "success"
    assert any(unique_id.startswith("test.") for unique_id in statuses)
