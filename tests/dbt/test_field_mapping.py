"""Field mapping: one YAML entry is a column, its type and its documentation."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml

from churn.cli.main import main
from churn.onboarding.field_mapping import RESERVED_NAMES, column_name
from tests.support.paths import ROOT
from tests.support.project import DbtProject

MODEL = "base_clickstream__parsed_records"
YAML = f"models/staging/clickstream/base/{MODEL}.yml"
EVENT = {"event": "login", "ts": 1740823445, "user_id": "u"}
RECORDS = [
    {
        **EVENT,
        "event_id": "e1",
        "scroll": {"depth": 0.75, "isDeep": "yes"},
        "cart": [{"sku": "A-1", "order": 3}, {"sku": "B-2"}],
        "odd key": {"a.b": "x", "$browser": "Firefox", "größe": 90},
        "params": [{"key": "plan", "value": {"string_value": "Basic"}}],
        "blob": json.dumps({"trial_ends": "2025-04-01T00:00:00+02:00"}),
    },
    {
        **EVENT,
        "event_id": "e2",
        "scroll": {"depth": "deep", "isDeep": 0},
        "params": [{"key": "plan", "value": {"string_value": "gold"}}],
        'it\'s "odd"': 1,
    },
    {**EVENT, "event_id": "e3", "scroll": {"depth": None}, "cart": [], "blob": "{"},
]

NEW_COLUMNS = """
      - name: scroll_depth
        description: Share of the page that was scrolled through, 0 to 1.
        data_type: double
        config:
          meta:
            json_paths: [$.scroll.depth]
      - name: is_deep
        description: Whether the tracker called it deep.
        data_type: boolean
        config:
          meta:
            json_paths: [$.scroll.isDeep]
      - name: first_sku
        description: The first thing in the cart.
        data_type: varchar
        config:
          meta:
            json_paths: ['$.cart[0].sku']
      - name: browser
        description: The browser, as the tracker calls it.
        data_type: varchar
        config:
          meta:
            format: lower
            json_paths: ['$."odd key"."$browser"']
      - name: dotted
        description: The value of a key with a dot.
        data_type: varchar
        config:
          meta:
            json_paths: [$.nowhere, '$."odd key"."a.b"']
      - name: plan
        description: The plan, if it is one of the known values.
        data_type: varchar
        config:
          meta:
            format: lower
            values: [basic, plus]
            json_paths: [$.params.plan]
      - name: trial_end_date
        description: The last day of the trial, in UTC.
        data_type: date
        config:
          meta:
            json_paths: [$.blob.trial_ends]
"""


@pytest.fixture(scope="module")
def copied_project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """Provide a copy of this project, whose field mapping a test can change."""
    folder = tmp_path_factory.mktemp("field_mapping")
    shutil.copytree(
        ROOT,
        folder / "project",
        ignore=shutil.ignore_patterns(
            ".git", ".venv", "target", "logs", "*.duckdb", "__pycache__"
        ),
    )
    project = DbtProject(folder, folder / "project")
    project.create_raw_tables()
    frame = pd.DataFrame(
        {
            "payload": [json.dumps(record) for record in RECORDS],
            "received_at": pd.Timestamp("2025-03-01 10:05"),
            "source_file": "file",
        }
    )
    project.write("raw.raw_events", frame.astype({"received_at": "datetime64[us]"}))
    return project


def append_to_field_mapping(project: DbtProject, entries: str) -> None:
    path = project.root / YAML
    path.write_text(
        (ROOT / YAML).read_text().rstrip() + "\n" + entries.strip("\n") + "\n"
    )


def columns_of(project: DbtProject, file: str) -> dict:
    """Return the columns of the parsing model in dbt's manifest or catalog."""
    text = (project.folder / "target" / file).read_text()
    return json.loads(text)["nodes"][f"model.churn.{MODEL}"]["columns"]


def test_an_entry_is_a_column_with_its_type_and_its_documentation(
    copied_project: DbtProject,
) -> None:
    """Only the YAML is changed."""
    project = copied_project
    append_to_field_mapping(project, NEW_COLUMNS)
    project.dbt(
        "run", "-s", "event_names", "+stg_clickstream__events", load_demo_seeds=False
    )
    project.dbt("docs", "generate", load_demo_seeds=False)

    new = {entry["name"]: entry for entry in yaml.safe_load(NEW_COLUMNS)}
    rows = project.query(
        f"select {', '.join(new)} from stg_clickstream__events order by event_id"
    )
    day = pd.Timestamp("2025-03-31").date()
    assert rows == [
        (0.75, True, "A-1", "firefox", "x", "basic", day),
        (None, False, None, None, None, None, None),
        (None, None, None, None, None, None, None),
    ]

    manifest, catalog = (
        columns_of(project, "manifest.json"),
        columns_of(project, "catalog.json"),
    )
    for name, entry in new.items():
        assert manifest[name]["description"] == entry["description"]
        assert catalog[name]["type"] == entry["data_type"].upper()
    node = json.loads((project.folder / "target" / "manifest.json").read_text())[
        "nodes"
    ][f"model.churn.{MODEL}"]
    assert node["config"]["contract"]["enforced"]
    assert set(catalog) == set(manifest)


def test_the_contract_rejects_a_column_without_a_value(
    copied_project: DbtProject,
) -> None:
    append_to_field_mapping(
        copied_project,
        """
      - name: promised
        description: No path extracts it.
        data_type: varchar
""",
    )
    finished = copied_project.dbt(
        "run",
        "-s",
        "event_names",
        "+stg_clickstream__events",
        check=False,
        load_demo_seeds=False,
    )
    assert not finished.succeeded
    assert "enforced contract that failed" in finished.output
    assert "promised" in finished.output


def test_dbt_sees_that_the_field_mapping_has_changed(
    copied_project: DbtProject, tmp_path: Path
) -> None:
    """A run of `state:modified+` builds the events after a field was added."""
    project = copied_project
    append_to_field_mapping(project, "")
    project.dbt("parse")
    shutil.copy(project.folder / "target" / "manifest.json", tmp_path)
    selection = ("ls", "-q", "-s", "state:modified+", "--state", str(tmp_path))
    unchanged = project.dbt(*selection, check=False).output
    append_to_field_mapping(project, NEW_COLUMNS)
    changed = project.dbt(*selection).output
    for model in (MODEL, "stg_clickstream__events", "sessions"):
        assert f".{model}\n" not in unchanged
        assert f".{model}\n" in changed


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            "name: sent, data_type: timestamp, paths: [sentAt]",
            "has the path `sentAt`: write it as `$.user.id`",
        ),
        (
            "name: amount, data_type: money, paths: [$.amount]",
            "has the data type `money`: use varchar, timestamp",
        ),
        (
            "name: order, data_type: varchar, paths: [$.order]",
            "has a name that means something else in these models or in SQL",
        ),
        (
            "name: agreed, data_type: varchar, paths: [$.a], values: [yes, no]",
            "has the value `True`: write it as a text, in quotes.",
        ),
    ],
)
def test_an_entry_that_cannot_be_extracted_is_rejected_in_one_sentence(
    copied_project: DbtProject, entry: str, sentence: str
) -> None:
    fields = yaml.safe_load("{" + entry.replace("paths:", "json_paths:") + "}")
    meta = {key: fields.pop(key) for key in ("json_paths", "values") if key in fields}
    fields |= {"description": "Wrong.", "config": {"meta": meta}}
    listed = yaml.safe_dump([fields], sort_keys=False)
    append_to_field_mapping(
        copied_project,
        "".join(f"      {line}" for line in listed.splitlines(keepends=True)),
    )
    finished = copied_project.dbt(
        "compile",
        "-s",
        "base_clickstream__parsed_records",
        check=False,
        load_demo_seeds=False,
    )
    assert not finished.succeeded
    output = " ".join(finished.output.split())
    assert f"The column `{fields['name']}` of {MODEL}" in output
    assert sentence in output


def test_pasted_stubs_leave_no_undocumented_path(
    copied_project: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copied_project
    append_to_field_mapping(project, "")
    models = ("event_names", "+stg_clickstream__events", "+clickstream_field_profile")
    project.dbt("run", "--full-refresh", "-s", *models, load_demo_seeds=False)
    assert main(["dictionary", "--database", str(project.database)]) == 0
    printed = capsys.readouterr().out
    # A key with both kinds of quotes cannot be addressed.
    assert printed.count("# No path can address") == 1
    names = [entry["name"] for entry in yaml.safe_load(printed)]
    assert len(names) == len(set(names))
    assert {"depth", "sku", "cart_order", "browser", "plan"} <= set(names)

    append_to_field_mapping(project, printed)
    project.dbt("run", "--full-refresh", "-s", *models, load_demo_seeds=False)
    assert project.query(
        "select depth, sku, cart_order, a_b from stg_clickstream__events "
        "order by event_id limit 1"
    ) == [("0.75", "A-1", 3.0, "x")]
    finished = project.dbt(
        "test",
        "-s",
        "undocumented_json_paths",
        "field_mapping_paths_that_never_occur",
        load_demo_seeds=False,
    )
    assert "WARN=2" in finished.output

    def rows_of(test: str) -> list[tuple]:
        compiled = project.folder / "target/compiled/churn/tests/data" / f"{test}.sql"
        return project.query(compiled.read_text())

    # Only that key remains, and every pasted path occurs.
    assert [row[0] for row in rows_of("undocumented_json_paths")] == [
        '$."it\'s \\"odd\\""'
    ]
    never = rows_of("field_mapping_paths_that_never_occur")
    pasted = {path for e in yaml.safe_load(printed) for path in paths_of(e)}
    assert pasted
    assert not pasted & {path for (path,) in never}
    assert ("$.user.anonymous_id",) in never


def paths_of(entry: dict) -> list[str]:
    return entry["config"]["meta"]["json_paths"]


@pytest.mark.parametrize(
    ("json_path", "used_names", "name"),
    [
        ("$.context.osName", (), "os_name"),
        ("$.context.device.id", ("id",), "device_id"),
        ("$.id", ("id",), "field_id"),
        ("$.id", ("id", "field_id"), "field_id_2"),
        ("$.items[]", (), "items"),
        ("$.cart.order", (), "cart_order"),
        ("$.content", (), "field_content"),
        ('$."Größe in cm"', (), "gr_e_in_cm"),
        ('$."1st"', (), "field_1st"),
        ('$."枕"', (), "unnamed"),
    ],
)
def test_a_stub_has_an_unused_name(
    json_path: str, used_names: tuple[str, ...], name: str
) -> None:
    assert column_name(json_path, used_names) == name


def test_reserved_names_are_the_same_in_sql_and_python() -> None:
    text = (ROOT / "macros/clickstream/field_mapping.sql").read_text()
    listed = text.split("macro reserved_column_names")[1].split("endmacro")[0]
    assert set(re.findall("'([a-z_]+)'", listed)) == RESERVED_NAMES


def test_a_missing_profile_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.duckdb"
    assert main(["dictionary", "--database", str(missing)]) == 1
    assert "run `dbt build` first" in capsys.readouterr().err
    assert not missing.exists()
    duckdb.connect(str(missing)).close()
    assert main(["dictionary", "--database", str(missing)]) == 1
    assert "run `dbt build` first" in capsys.readouterr().err
