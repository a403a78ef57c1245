"""Values from data never become SQL, Jinja or terminal escapes in a dbt run."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

import pandas as pd
import pytest

from tests.support.project import DbtProject

SECRET = "canary-7f3d"
HOSTILE = [
    "{{ env_var('DBT_ENV_SECRET_CANARY') }}",
    "{{ env_var('CHURN_CANARY') }}",
    "}}{{ 6 * 7 }}{{",
    "{% raw %}",
    "{# comment",
    "'; drop table raw.raw_calls; --",
    "\\'; drop table raw.raw_calls; --",
    '"); drop table raw.raw_calls; --',
    "\x1b]0;title\x07\x1b[31mred",
    "\u202egnp.exe\u2066",
    "line\rbreak\nand\ttab",
    "%(name)s %s {0} $$ ${x} :x ?",
    "</script><img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "x" * 3_000,
]
# Its first characters are an object of their own.
TOO_LONG = '{"event": "page_view"}' + " " * (16 << 20)
SELECTED = [
    *["--select", "event_names", "+stg_clickstream__rejects"],
    "+clickstream_field_profile",
    *["+stg_clickstream__events", "undocumented_json_paths", "unmapped_event_names"],
    *["--exclude-resource-types", "unit_test"],
]


def records(day: int) -> pd.DataFrame:
    """Return records with hostile texts as value, key, event name and file name."""
    rows = []
    for number, text in enumerate(HOSTILE):
        received_at = datetime(2025, 3, day, 10, number)
        record = {
            "event_id": f"{text}{day}",
            "event": text,
            "anonymous_id": text,
            "user_id": text,
            "ts": received_at.isoformat(),
            "page_path": text,
            text: text,
            "nested": {text: {text: [text]}},
        }
        for payload in (json.dumps(record), f"{{{text}", text, repr(record)):
            rows.append((payload, received_at, f"{day} {text}"))
    rows.append((TOO_LONG, datetime(2025, 3, day), f"{day} {HOSTILE[0]}"))
    return pd.DataFrame(rows, columns=["payload", "received_at", "source_file"])


def test_hostile_records_stay_text(
    project: DbtProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_ENV_SECRET_CANARY", SECRET)
    monkeypatch.setenv("CHURN_CANARY", SECRET)
    project.create_raw_tables()
    outputs = []
    # The second run lists the names of the new files in its SQL.
    for day in (3, 4):
        project.write("raw.raw_events", records(day))
        finished = project.dbt("build", *SELECTED, load_demo_seeds=False)
        outputs.append(finished.output)
    shown = "".join(outputs)
    assert "undocumented_json_paths found" in shown
    assert "unmapped_event_names found" in shown
    # dbt colours its own lines.
    assert all(c.isprintable() or c in "\n\x1b" for c in shown)
    assert "\x1b[31mred" not in shown
    assert "\x1b]0" not in shown

    assert project.unknown_relations() == []
    assert project.query("select count(*) from raw.raw_calls") == [(0,)]
    names = {name for (name,) in project.query("select event_name from event_names")}
    events = project.query("select distinct page_path from stg_clickstream__events")
    assert names
    assert {text.partition("?")[0] for text in HOSTILE} & {path for (path,) in events}
    files = {
        name
        for (name,) in project.query(
            """select source_file from base_clickstream__parsed_records
            union all select source_file from stg_clickstream__rejects"""
        )
    }
    assert files == {f"{day} {text}" for day in (3, 4) for text in HOSTILE}
    assert project.query(
        """select distinct payload, reject_detail, count(*)
        from stg_clickstream__rejects where reject_reason = 'too_long' group by all"""
    ) == [
        (
            TOO_LONG[:1000],
            f"{len(TOO_LONG)} bytes, MD5 {hashlib.md5(TOO_LONG.encode()).hexdigest()}",
            2,
        )
    ]
    for path in [project.database, *project.folder.rglob("target/**/*")]:
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path.name
    for path in project.folder.rglob("*.log"):
        assert SECRET not in path.read_text()
