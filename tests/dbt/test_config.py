"""`Project.load` agrees with dbt on the project, the profile and the variables."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.config.profile import Profile
from dbt.config.renderer import ProfileRenderer
from dbt.config.runtime import load_profile, load_project
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context
from dbt_common.exceptions import DbtBaseException

from churn.config import Project, UserError
from tests.support.paths import ROOT

ENVIRONMENT = {"PORT": "5432", "QUOTES": "'a' 1", "ON": "True", "EMPTY": ""}

# Values of a key of a target.
TEMPLATES = [
    "plain",
    "{{ env_var('PORT') }}",
    "{{ env_var('PORT') | as_number }}",
    "{{ env_var('PORT') | int }}",
    "{{ env_var('PORT') | as_native }}",
    "{{ env_var('PORT') | as_text }}",
    "{{ env_var('ON') | as_bool }}",
    "{{ env_var('QUOTES') }}",
    "{{ env_var('QUOTES') | as_native }}",
    "{{ env_var('EMPTY') }}",
    "{{ env_var('NONE', 'fallback') }}",
    "{{ env_var('NONE', env_var('PORT') ~ '/x') }}",
    "a{{ env_var('PORT') }}b",
    "{% if env_var('ON') == 'True' %}yes{% else %}no{% endif %}",
    "{{ 'x' if env_var('NONE', '') else 'y' }}",
    "{# nothing #}",
    "{{ ['a', 'b'] }}",
    "{{ 1 + 1 }}",
    "{{ env_var('PORT') }}{{ env_var('ON') }}",
    "{{ var('unset', 'default') }}",
    "{{ fromjson('[1, 2]') }}",
    "{{ local_md5('x') }}",
    "{{ 'a' | upper }}",
    [1, "{{ env_var('PORT') }}", {"deep": "{{ env_var('PORT') | as_number }}"}],
    7,
    True,
    None,
]
BROKEN_TEMPLATES = [
    "{{ env_var('NONE') }}",
    "{{ env_var('PORT') | as_bool }}",
    "{{ env_var('QUOTES') | as_number }}",
    "{{ env_var('PORT' }}",
    "{{ var('unset') }}",
    "{{ no_such_function() }}",
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set the variables that templates read, and no variable of dbt."""
    for name in ("PROFILES_DIR", "PROJECT_DIR", "PROFILE", "TARGET", "TARGET_PATH"):
        monkeypatch.delenv(f"DBT_{name}", raising=False)
        monkeypatch.delenv(f"DBT_ENGINE_{name}", raising=False)
    for name in ("CHURN_DUCKDB_PATH", "CHURN_TARGET", "NONE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".dbt").mkdir(parents=True)


def write_company(folder: Path, **settings: Any) -> Path:
    """Write a project that uses the package, with a profile."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": "company", "profile": "company", **settings}
    (folder / "dbt_project.yml").write_text(yaml.safe_dump(content))
    (folder / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")
    write_profile(folder, type="duckdb", path="company.duckdb")
    return folder


def write_profile(folder: Path, **output: Any) -> None:
    """Write a profile with one target."""
    profile = {"company": {"target": "only", "outputs": {"only": output}}}
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile))


def dbt_profile(folder: Path, target: str | None = None) -> Profile:
    """Return the profile that dbt reads."""
    set_flags(folder)
    return load_profile(str(folder), {}, None, target, None)


def set_flags(profiles_dir: Path) -> None:
    set_invocation_context(os.environ)
    set_from_args(Namespace(PROFILES_DIR=str(profiles_dir), profile=None), None)


@pytest.mark.parametrize("template", TEMPLATES, ids=str)
def test_values_of_a_target_are_rendered_as_by_dbt(
    template: Any, tmp_path: Path
) -> None:
    write_company(tmp_path)
    write_profile(tmp_path, type="duckdb", schema=template)
    set_flags(tmp_path)
    expected = ProfileRenderer({}).render_data({"schema": template})
    found = Project.load(tmp_path).credentials["schema"]
    assert found == expected["schema"]
    # dbt marks some texts with subclasses of `str`; True equals 1.
    kind = str if isinstance(found, str) else type(found)
    assert isinstance(expected["schema"], kind)


@pytest.mark.parametrize("template", BROKEN_TEMPLATES)
def test_templates_that_dbt_refuses_are_refused_in_one_sentence(
    template: str, tmp_path: Path
) -> None:
    write_company(tmp_path)
    write_profile(tmp_path, type="duckdb", schema=template)
    set_flags(tmp_path)
    with pytest.raises(DbtBaseException):
        ProfileRenderer({}).render_data({"schema": template})
    with pytest.raises(UserError, match="the target `only` of the profile") as refusal:
        Project.load(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("target", [None, "duckdb", "spark", "athena"])
def test_repository_is_read_as_by_dbt(
    target: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_DUCKDB_PATH", "elsewhere.duckdb")
    expected = dbt_profile(ROOT, target)
    found = Project.load(ROOT, target=target)
    assert found.target == expected.target_name
    assert found.profile_name == expected.profile_name
    assert found.threads == expected.threads
    assert found.schema == expected.credentials.schema
    assert found.adapter == expected.credentials.type
    project = load_project(str(ROOT), False, expected, {})
    assert found.variables == project.vars.to_dict()
    if found.adapter == "duckdb":
        assert found.database == ROOT / expected.credentials.path
        assert found.database.name == "elsewhere.duckdb"


def test_variables_of_a_company_override_those_of_the_package(tmp_path: Path) -> None:
    """The precedence is that of dbt's `var` in the package's macros."""
    write_company(
        tmp_path,
        vars={
            "churn": {"churn_grace_days": 10, "stale_after_days": 4},
            "churn_grace_days": 20,
            "churn_horizon_days": 60,
        },
    )
    found = Project.load(tmp_path).variables
    assert found["churn_grace_days"] == 10
    assert found["stale_after_days"] == 4
    assert found["churn_horizon_days"] == 60
    own = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
    assert found["session_timeout_minutes"] == own["session_timeout_minutes"]
    assert set(found) == set(own)


def test_project_is_found_above_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = write_company(tmp_path / "company")
    (company / "models" / "deep").mkdir(parents=True)
    monkeypatch.chdir(company / "models" / "deep")
    project = Project.load()
    assert project.project_dir == company
    assert project.profiles_dir == company
    assert project.package_dir == ROOT
    assert project.database == company / "company.duckdb"
    assert project.target_path == company / "target"
    monkeypatch.setenv("DBT_PROJECT_DIR", str(write_company(tmp_path / "other")))
    assert Project.load().project_dir == tmp_path / "other"


def test_profiles_are_searched_in_dbts_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = write_company(tmp_path / "company")
    folders = {}
    for name in ("given", "environment", "current", "home/.dbt"):
        folders[name] = tmp_path / name
        folders[name].mkdir(exist_ok=True)
        write_profile(folders[name], type="duckdb", path=f"{name[:4]}.duckdb")
    monkeypatch.chdir(folders["current"])
    monkeypatch.setenv("DBT_PROFILES_DIR", str(folders["environment"]))

    assert Project.load(company, folders["given"]).profiles_dir == folders["given"]
    assert Project.load(company).profiles_dir == folders["environment"]
    monkeypatch.delenv("DBT_PROFILES_DIR")
    assert Project.load(company).profiles_dir == folders["current"]
    # A profile that dbt would not find: that of the project's own folder.
    (folders["current"] / "profiles.yml").write_text("another: {}\n")
    assert Project.load(company).profiles_dir == company
    (company / "profiles.yml").unlink()
    assert Project.load(company).profiles_dir == folders["home/.dbt"]


def test_a_database_can_be_given_outside_any_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--project-dir"):
        Project.load()
    project = Project.load(database="some.duckdb")
    assert project.database == tmp_path / "some.duckdb"
    assert project.is_package
    assert project.dbt_environment == {"CHURN_DUCKDB_PATH": str(project.database)}
    monkeypatch.setenv("CHURN_DUCKDB_PATH", "/data/other.duckdb")
    assert Project.load().database == Path("/data/other.duckdb")


def test_a_database_that_the_profile_cannot_use_is_refused(tmp_path: Path) -> None:
    project = Project.load(write_company(tmp_path), database=tmp_path / "x.duckdb")
    with pytest.raises(UserError, match="does not read CHURN_DUCKDB_PATH"):
        _ = project.dbt_environment


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("dbt_project.yml", "a: [", "line 2 is not YAML"),
        ("dbt_project.yml", "- a\n", "is not a YAML mapping"),
        ("dbt_project.yml", "name: x\n", "names no profile"),
        ("dbt_project.yml", "name: x\nprofile: y\n", "has no profile `y`"),
        ("profiles.yml", "\x00", "is not YAML"),
        ("profiles.yml", "company: {outputs: {}}", "no target `default`"),
        ("profiles.yml", "company: {target: a}", "no `outputs`"),
        ("profiles.yml", "company: {target: a, outputs: {a: {}}}", "no `type`"),
        ("profiles.yml", "company: {target: a, outputs: {a: x}}", "no `type`"),
    ],
)
def test_mistakes_in_files_are_named_in_one_sentence(
    file: str, content: str, message: str, tmp_path: Path
) -> None:
    write_company(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=message) as refusal:
        Project.load(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "output",
    [{"type": "spark"}, {"type": "duckdb"}, {"type": "duckdb", "path": "md:x"}],
)
def test_a_target_without_a_file_has_no_database(
    output: dict[str, str], tmp_path: Path
) -> None:
    write_company(tmp_path)
    write_profile(tmp_path, **output)
    with pytest.raises(UserError, match="--database"):
        _ = Project.load(tmp_path).database
