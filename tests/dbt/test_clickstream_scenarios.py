"""Every clickstream scenario of docs/reference/scenarios.md."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.paths import ROOT
from tests.support.project import NO_UNIT_TESTS, DbtProject

RECEIVED_AT = datetime(2025, 3, 1, 10, 5)
MODELS = (
    "+stg_clickstream__events +stg_clickstream__rejects +clickstream_daily_counts "
    "+clickstream_field_profile"
)


@dataclass
class Scenario:
    title: str
    records: list[tuple[datetime, str | None]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    duplicates: int = 0

    @property
    def source_file(self) -> str:
        return f"scenarios/{self.title}"


def read_record(line: str) -> tuple[datetime, str | None]:
    timed = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \| (.*)", line)
    received_at = datetime.fromisoformat(timed[1]) if timed else RECEIVED_AT
    text = timed[2] if timed else line
    if text == "<null>":
        return received_at, None
    text = text.replace("@@1200", "[" * 1_200 + "]" * 1_200)
    if text.startswith("\\ufeff"):
        text = "\ufeff" + text.removeprefix("\\ufeff")
    if text.endswith("\\0"):
        text = text.removesuffix("\\0") + "\0"
    return received_at, text


def read_scenarios() -> list[Scenario]:
    page = ROOT / "docs" / "reference" / "scenarios.md"
    text = page.read_text().split("\n## Clickstream\n")[1]
    text = text.split("\n## ")[0]
    scenarios = []
    for section in text.split("\n### ")[1:]:
        scenario = Scenario(section.splitlines()[0])
        records = re.search(r"```records\n(.*?)\n```", section, re.DOTALL)
        rows = re.search(r"```rows\n(.*?)\n```", section, re.DOTALL)
        assert records, scenario.title
        assert rows, scenario.title
        scenario.records = [read_record(line) for line in records[1].split("\n")]
        for row in rows[1].split("\n"):
            kind, _, rest = row.partition(" ")
            if kind == "duplicates":
                scenario.duplicates = int(rest)
            else:
                {"event": scenario.events, "reject": scenario.rejects}[kind].append(
                    json.loads(rest)
                )
        scenarios.append(scenario)
    return scenarios


SCENARIOS = read_scenarios()


@pytest.fixture(scope="module")
def clickstream(module_project: DbtProject) -> DbtProject:
    """Provide the built scenarios."""
    project = module_project
    project.create_raw_tables()
    rows = [
        (payload, received_at, scenario.source_file)
        for scenario in SCENARIOS
        for received_at, payload in scenario.records
    ]
    frame = pd.DataFrame(rows, columns=["payload", "received_at", "source_file"])
    project.write("raw.raw_events", frame.astype({"received_at": "datetime64[us]"}))
    project.dbt(
        "build",
        *NO_UNIT_TESTS,
        "-s",
        *f"{MODELS} every_raw_record_is_processed no_raw_record_is_lost".split(),
        load_demo_seeds=False,
    )
    return project


def as_comparable(row: dict[str, Any], columns: set[str]) -> str:
    shown = {
        name: re.sub(r"[.]?0+$", "", str(value)) + ""
        if isinstance(value, datetime) and value.microsecond
        else str(value)
        if isinstance(value, datetime)
        else value
        for name, value in row.items()
        if name in columns
    }
    return json.dumps(shown, sort_keys=True, ensure_ascii=False)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_scenario(clickstream: DbtProject, scenario: Scenario) -> None:
    for table, expected in [
        ("stg_clickstream__events", scenario.events),
        ("stg_clickstream__rejects", scenario.rejects),
    ]:
        names = [
            row[0]
            for row in clickstream.query(
                "select column_name from information_schema.columns "
                "where table_name = ?",
                table,
            )
        ]
        found = [
            dict(zip(names, row, strict=True))
            for row in clickstream.query(
                f"select {', '.join(names)} from {table} where source_file = ?",
                scenario.source_file,
            )
        ]
        remaining = list(found)
        for row in expected:
            match = next(
                (
                    candidate
                    for candidate in remaining
                    if as_comparable(candidate, set(row))
                    == json.dumps(row, sort_keys=True, ensure_ascii=False)
                ),
                None,
            )
            assert match is not None, f"no row {row} among {remaining}"
            remaining.remove(match)
        assert not remaining

    (versions,) = clickstream.query(
        "select count(*) from base_clickstream__records "
        "where reject_reason is null and source_file = ?",
        scenario.source_file,
    )[0]
    assert versions - len(scenario.events) == scenario.duplicates


@pytest.mark.parametrize(
    "loss",
    [
        "delete from base_clickstream__event_versions where event_id = 'b2'",
        "delete from base_clickstream__parsed_records where reject_reason = "
        "'unreadable_event_time' and reject_detail = 'soon'",
        "delete from base_clickstream__parsed_repaired_records "
        "where reject_detail = 'array'",
        "update clickstream_daily_counts set duplicates = duplicates + 1, "
        "extra_objects = extra_objects + 1 where received_date = '2025-03-01'",
    ],
)
def test_a_loss_is_detected(clickstream: DbtProject, tmp_path: Path, loss: str) -> None:
    """The conservation tests fail if records are lost."""
    damaged = DbtProject(tmp_path)
    shutil.copyfile(clickstream.database, damaged.database)
    damaged.execute(loss)
    finished = damaged.dbt(
        "test",
        "-s",
        "no_raw_record_is_lost",
        "every_raw_record_is_processed",
        check=False,
        load_demo_seeds=False,
    )
    assert not finished.succeeded
    assert "ERROR=1" in finished.output or "ERROR=2" in finished.output
