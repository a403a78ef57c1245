"""Expired raw records are deleted, and no derived table changes."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest

from tests.dbt.test_clickstream_incremental import (
    LINE,
    START,
    contents,
    prepare,
)
from tests.support.arrivals import records
from tests.support.project import NO_UNIT_TESTS, DbtProject

KEPT = {"raw_days_kept": 3, "staging_text_days_kept": 4}
# The column with the text of a record, as received, of each staging table.
TEXTS = {
    "base_clickstream__parsed_records": "payload",
    "base_clickstream__parsed_repaired_records": "payload",
    "base_clickstream__repaired_json": "received_text",
    "base_clickstream__record_shapes": "example",
}


def build_kept(project: DbtProject, *arguments: str) -> None:
    project.dbt(
        *("build", *NO_UNIT_TESTS, *arguments, "-s", *LINE),
        load_demo_seeds=False,
        **KEPT,
    )


def expire(project: DbtProject) -> None:
    """Delete what is older than the variables allow, ten days after the start."""
    today = f"{START + timedelta(days=10):%Y-%m-%d}"
    project.dbt(
        *("run-operation", "delete_expired", "--args", json.dumps({"today": today})),
        load_demo_seeds=False,
        **KEPT,
    )


def without_texts(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the contents of tables without rejects, whose texts expire."""
    return {k: v for k, v in found.items() if k != "stg_clickstream__rejects"}


@pytest.mark.long
def test_expired_records_change_no_derived_table(project: DbtProject) -> None:
    prepare(project)
    rows = records(random.Random(5), 300)
    # Every third day's records arrive after the limit of seven days.
    rows["source_file"] = rows["received_at"].dt.strftime("file of %Y-%m-%d")
    project.write("raw.raw_events", rows)
    broken = rows.head(40).assign(payload="not JSON at all", source_file="broken")
    broken["received_at"] = rows["received_at"].min()
    repairable = broken.head(5).assign(payload="{'event': 'login', 'uid': 'u1'}")
    project.write("raw.raw_events", broken)
    project.write("raw.raw_events", repairable.assign(source_file="repairable"))
    build_kept(project)
    before = contents(project)
    count = project.query("select count(*) from raw.raw_events")[0][0]

    expire(project)
    limit = f"timestamp '{START + timedelta(days=7)}'"
    (kept, expired), *_ = project.query(
        """select (select count(*) from raw.raw_events),
            (select sum(count_expired_records) from base_clickstream__files)"""
    )
    assert 0 < kept < count
    assert kept + expired == count
    assert project.query(
        "select count(*) from raw.raw_events "
        f"where source_file in ('broken', 'repairable') or received_at < {limit}"
    ) == [(0,)]
    # Rejects stay with their reasons; their texts have expired.
    rejects = project.query(
        "select reject_reason, payload, count(*) from stg_clickstream__rejects "
        "where source_file = 'broken' group by all"
    )
    assert [(text, number) for _, text, number in rejects] == [(None, 40)]
    for table, column in TEXTS.items():
        assert project.query(
            f"select count({column}) from {table} where source_file in "
            "('broken', 'repairable')"
        ) == [(0,)]
    assert without_texts(contents(project)) == without_texts(before)
    after = contents(project)

    # With data tests, of which two count every record.
    build_kept(project)
    assert contents(project) == after
    build_kept(project, "--full-refresh")
    assert contents(project) == after
    # An expired file that is delivered again changes nothing, and expires again.
    project.write(
        "raw.raw_events", rows[rows["source_file"] == rows["source_file"].min()]
    )
    build_kept(project)
    assert contents(project) == after
    expire(project)
    assert project.query("select count(*) from raw.raw_events") == [(kept,)]


@pytest.mark.long
def test_event_files_do_not_expire(project: DbtProject) -> None:
    """They would be loaded again."""
    finished = project.dbt(
        "parse", check=False, raw_days_kept=9, raw_event_files="x/*.gz"
    )
    assert not finished.succeeded
    assert "would be loaded again" in " ".join(finished.output.split())
