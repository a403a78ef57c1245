"""Whatever the data holds, `init` writes a project that parses and holds no code."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from churn.config import UserError
from churn.onboarding.field_mapping import UndocumentedPath, column_name, column_stub
from churn.onboarding.init import init
from churn.onboarding.questions import Answers
from churn.onboarding.yaml_writer import to_yaml
from churn.quoting import (
    masked,
    printable,
    sql_identifier,
    sql_literal,
    without_credentials,
)

# Columns of the seeds that `init` writes; the others have two.
SEED_COLUMNS = {"experiments": 8, "offers": 5, "products": 5}

HOSTILE = [
    *["{{ 1 + 1 }}", "{% raw %}", "{# x #}", "</script>", "a'b", 'a"b', "a\nb: c"],
    *["# comment", "- item", "key: value", "\x1b[31mred", "\u2028", "\x85", "\x00"],
    *["'; drop table x; --", "$(rm -rf /)", "=1+1", "@x", "&anchor", "*alias", "!!tag"],
    *["null", "~", "true", "1e3", "%d", "\\", "\ufeff", "{{", "}}", "%}", "`x`", "…"],
]
texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=12),
    st.builds("{}{}".format, st.sampled_from(HOSTILE), st.text(max_size=4)),
).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
keys = texts.filter(lambda text: text.strip())

# The only templates that the project's files hold.
OWN_TEMPLATES = [
    "select * from {{ ref('stg_clickstream__events') }}",
    r"{{ env_var('CHURN_DUCKDB_PATH', '[a-z0-9_]+.duckdb') }}",
]
PROJECT_KEYS = {
    *["name", "version", "config-version", "profile", "dispatch", "flags", "vars"],
    *["model-paths", "seed-paths", "clean-targets", "seeds", "unit_tests"],
}
VARIABLES = {
    *["load_demo_seeds", "clickstream_field_mapping_model", "raw_event_files"],
    *["raw_events_columns", "has_contacts", "has_invoices", "has_support_calls"],
    *["raw_accounts_columns", "crm_date_format", "cancellation_source"],
    *["cancellation_events", "restart_events", "product_categories"],
    *["excluded_features", "currency"],
}


@given(
    st.recursive(
        texts | st.none() | st.booleans() | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_yaml_reads_back_as_written(content: Any) -> None:
    assert yaml.safe_load(to_yaml(content)) == content


@given(texts)
def test_sql_is_quoted(text: str) -> None:
    import duckdb

    plain = text.replace("\0", "")
    assert duckdb.execute(f"select {sql_literal(text)}").fetchall() == [(plain,)]
    if plain:
        column = duckdb.execute(f"select 1 as {sql_identifier(text)}").description[0][0]
        assert column == plain


@given(st.text())
def test_shown_values_hold_no_control_characters(text: str) -> None:
    assert printable(text).isprintable()
    assert not re.search(r"[b-zB-Z0-8]", re.sub(r"[^\x20-\x7e]", "", masked(text)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:se/cret@bucket/x", "s3://key:se/cret@bucket/x"),
        ("s3://key:secret@bucket/a@b", "s3://***@bucket/a@b"),
        (
            "postgresql+x://u:p@@host/db and b://t@h",
            "postgresql+x://***@host/db and b://***@h",
        ),
        ("mail a@b.com, https://host/p?q=a@b", "mail a@b.com, https://host/p?q=a@b"),
    ],
)
def test_urls_are_shown_without_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@given(path=texts, example=texts | st.none())
def test_a_stub_of_a_column_holds_no_code(path: str, example: str | None) -> None:
    for json_path in (f"$.{path}", f'$."{path}"', f"$.a[].{path}"):
        found = UndocumentedPath(json_path, 1, "text", example)
        stub = column_stub(found, column_name(json_path))
        assert all(c.isprintable() or c == "\n" for c in stub)
        columns = yaml.safe_load(stub)
        if found.mapping_path is None:
            assert columns is None
            continue
        (column,) = columns
        assert set(column) == {"name", "description", "data_type", "config"}
        assert column["config"] == {"meta": {"json_paths": [found.mapping_path]}}
        assert_no_template(column)


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=30,
    # An example takes half a second, so a failing one is not made smaller.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    name=texts,
    extra=st.dictionaries(keys, texts, max_size=4),
    nested=st.dictionaries(keys, texts, max_size=2),
    event_names=st.lists(texts, min_size=1, max_size=4),
    users=st.lists(texts, min_size=1, max_size=3),
    headers=st.lists(
        keys, min_size=1, max_size=4, unique_by=lambda t: t.strip().lower()
    ),
    cells=st.lists(texts, min_size=1, max_size=4),
)
def test_any_input_gives_a_project_without_code(
    name: str,
    extra: dict[str, str],
    nested: dict[str, str],
    event_names: list[str],
    users: list[str],
    headers: list[str],
    cells: list[str],
) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = folder / (re.sub(r"[/\0*?\[\]]", "_", name).strip(". ")[:40] or "d")
        data.mkdir()
        records = [
            {
                **extra,
                "nested": nested,
                "event": event_names[n % len(event_names)],
                "user_id": users[n % len(users)],
                "ts": f"2025-03-{n % 28 + 1:02d}T10:00:00Z",
                "id": f"e{n}",
            }
            for n in range(40)
        ]
        (data / "e.jsonl").write_text("\n".join(map(json.dumps, records)))
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(["account_id", "signup_date", *headers])
        for n in range(6):
            row = [cells[(n + m) % len(cells)] for m in range(len(headers))]
            writer.writerow([f"a{n}", "2024-01-01", *row])
        (data / "a.csv").write_text(table.getvalue(), newline="")
        project = folder / re.sub(r"[/\0]", "_", f"co {name}")[:40].strip()
        sources = {"events": str(data / "e.jsonl"), "accounts": str(data / "a.csv")}
        try:
            init(
                project,
                sources=sources,
                ask=lambda q: (q.candidates or [None])[0] and q.candidates[0].value,
            )
        except UserError as error:
            message = str(error)
        else:
            assert_no_code(project, sources)
            return
        assert message.isprintable()


def assert_no_code(project: Path, sources: dict[str, str]) -> None:
    settings_ = yaml.safe_load((project / "dbt_project.yml").read_text())
    assert set(settings_) == PROJECT_KEYS
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", settings_["name"])
    assert set(settings_["vars"]) == {"churn"}
    variables = settings_["vars"]["churn"]
    assert set(variables) <= VARIABLES
    # dbt does not render variables, so a path is a path.
    assert variables.pop("raw_event_files") == sources["events"]
    variables.pop("raw_accounts_columns")
    assert_no_template(settings_)
    profile = yaml.safe_load((project / "profiles.yml").read_text())
    assert set(profile) == {settings_["name"]}
    (model,) = (project / "models").glob("*.yml")
    content = yaml.safe_load(model.read_text())
    assert set(content) == {"models"}
    assert_no_template(content)
    for column in content["models"][0]["columns"]:
        assert set(column) <= {"name", "description", "data_type", "config"}
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", column["name"])
    assert Answers.read(project) is not None
    for path in project.rglob("*.yml"):
        assert all(c.isprintable() or c == "\n" for c in path.read_text()), path.name
    for path in (project / "seeds").glob("*.csv"):
        for row in csv.reader(path.open(newline="")):
            assert len(row) == SEED_COLUMNS.get(path.stem, 2)
            assert row[0][:1] not in ("=", "+", "-", "@")
            assert all(cell.isprintable() for cell in row)
    for path in project.rglob("*.sql"):
        assert path.read_text().strip() == OWN_TEMPLATES[0]


def assert_no_template(value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            assert_no_template(key)
            assert_no_template(inner)
    elif isinstance(value, list):
        for inner in value:
            assert_no_template(inner)
    elif isinstance(value, str):
        assert not re.search(r"\{[{%#]", value), value
