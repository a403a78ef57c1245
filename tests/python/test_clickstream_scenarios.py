"""Every clickstream scenario of SCENARIOS.md, and thousands of broken records."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT, DbtProject
from test_repairing import mutated

RECEIVED_AT = datetime(2025, 3, 1, 10, 5)
# After every scenario, so that no broken record is the first receipt of an event.
LATER = datetime(2025, 10, 1)
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
    if text.startswith("\\ufeff"):
        text = "\ufeff" + text.removeprefix("\\ufeff")
    if text.endswith("\\0"):
        text = text.removesuffix("\\0") + "\0"
    return received_at, text


def read_scenarios() -> list[Scenario]:
    text = (ROOT / "SCENARIOS.md").read_text().split("\n## Clickstream\n")[1]
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


def broken_records(count: int) -> list[str]:
    """Valid records of every tracker, each with up to four things done to it."""
    draw = random.Random(7)
    valid = [
        record
        for scenario in SCENARIOS
        for _, record in scenario.records
        if record and record.startswith("{")
    ]
    records = []
    for number in range(count):
        record = draw.choice(valid).replace("1740823445", str(1740823445 + number))
        record = re.sub(r'"(event_id|id|messageId)":"', rf"\g<0>{number}-", record)
        for _ in range(draw.randrange(1, 5)):
            record = mutated(record, draw)
        # Raw tables hold valid Unicode.
        records.append(record.encode("utf-8", "replace").decode())
    return [
        *records,
        '{"event":"x","ts":1740823445,"user_id":"u","page":"' + "x" * 1_000_000 + '"}',
        json.dumps({f"key {number}": number for number in range(10_000)}),
        '{"event":' * 3_000 + "1" + "}" * 3_000,
        '{"event":' * 100_000 + "1" + "}" * 100_000,
        "[" * 100_000,
        '{"event":"x","ts":1740823445,"user_id":"u","d":' + "[" * 100 + "]" * 100 + "}",
    ]


@pytest.fixture(scope="module")
def clickstream(module_project: DbtProject) -> DbtProject:
    """The scenarios and the broken records, built together."""
    project = module_project
    project.create_raw_tables()
    rows = [
        (payload, received_at, scenario.source_file)
        for scenario in SCENARIOS
        for received_at, payload in scenario.records
    ] + [(payload, LATER, "broken") for payload in broken_records(3_000)]
    frame = pd.DataFrame(rows, columns=["payload", "received_at", "source_file"])
    project.write("raw.raw_events", frame.astype({"received_at": "datetime64[us]"}))
    project.dbt(
        "build",
        "-s",
        *f"{MODELS} every_raw_record_is_taken nothing_delivered_is_lost".split(),
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

    (receipts,) = clickstream.query(
        "select count(*) from base_clickstream__records "
        "where reject_reason is null and source_file = ?",
        scenario.source_file,
    )[0]
    assert receipts - len(scenario.events) == scenario.duplicates


def test_every_broken_record_is_accounted_for(clickstream: DbtProject) -> None:
    """The build did not fail; nothing was lost or invented on the way."""
    raw, extra, events, duplicates, rejects = clickstream.query(
        "select sum(raw_records), sum(extra_pieces), sum(events), sum(duplicates), "
        "sum(rejects) from clickstream_daily_counts"
    )[0]
    assert raw == clickstream.query("select count(*) from raw.raw_events")[0][0]
    assert raw + extra == events + duplicates + rejects
    assert rejects > 500
    assert events > 300


def test_a_reject_of_one_piece_is_the_record_as_received(
    clickstream: DbtProject,
) -> None:
    lost = clickstream.query(
        """
        select raw.payload from raw.raw_events as raw
        where
            raw.payload not in (
                select payload from stg_clickstream__rejects
                where payload is not null
            )
            and not json_valid(raw.payload)
            and raw.source_file = 'broken'
            and raw.payload not like '%{%'
        """
    )
    assert not lost


def test_both_lanes_read_a_record_alike(
    clickstream: DbtProject, project: DbtProject
) -> None:
    """A plain record gives the same event when it takes the repair lane."""
    plain = [
        payload
        for (payload,) in clickstream.query(
            """
            select raw.payload from raw.raw_events as raw
            where
                starts_with(raw.payload, '{') and ends_with(raw.payload, '}')
                and json_valid(raw.payload) and length(raw.payload) < 5000
                and not regexp_matches(raw.payload, '"key"|"[{\\[]|,\\s*[}\\]]|NaN|nf')
            """
        )
    ]
    assert len(plain) > 200
    project.create_raw_tables()
    for source_file, prefix in [("plain", ""), ("irregular", "\ufeff")]:
        frame = pd.DataFrame(
            {
                "payload": [prefix + payload for payload in plain],
                "received_at": pd.Timestamp(RECEIVED_AT),
                "source_file": source_file,
            }
        )
        project.write("raw.raw_events", frame)
    project.dbt("run", "-s", "+base_clickstream__records", load_demo_seeds=False)
    columns = "* exclude (payload, source_file, taken_at, object_number, is_repaired)"
    difference = project.query(
        f"""
        (select {columns} from base_clickstream__records where source_file = 'plain'
        except all
        select {columns} from base_clickstream__records
        where source_file = 'irregular')
        """
    )
    assert not difference
