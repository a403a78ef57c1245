"""Incremental runs on Athena end where a full refresh would: rules R1 and R3.

A company's files land in S3 in four parts, late and repeated ones among them, and
dbt runs after each. What the tables then hold is compared, row for row, with tables
that are made of all files at once.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import pytest
from engine import AthenaEngine
from landing import make_landing_zone, upload
from parity import DIFFERENT_BY_NATURE

from tests.athena_local.statements import LONGEST_STATEMENT_BYTES

DAYS = 32
LAST_DAY = str(datetime.date(2025, 1, 1) + datetime.timedelta(DAYS + 1))
# Hive tables are rewritten where Iceberg tables are merged: the models that lose
# rows are enough to see that.
SELECTED = {
    "iceberg": ["--exclude", "churn_models+"],
    "hive": ["--select", "+late_arrivals", "+clickstream_field_profile", "+sessions"],
}
# Stamps of a run, and what is made of them.
STAMPS = {"decided_at", "grown_at", "offered_at", "inputs_digest"}
# Reading a record anew must not leave a trace of how it was read before.
STRICTER = "2025-01-20"


@dataclass
class Grown:
    """Tables that grew over several runs, and the same made at once."""

    engine: AthenaEngine
    full: AthenaEngine
    tables: list[str]
    scanned: dict[str, int]


@pytest.fixture(scope="module", params=["iceberg", "hive"])
def grown(request, cloud, tmp_path_factory) -> Grown:
    table_type = request.param
    folder = tmp_path_factory.mktemp(f"grown_{table_type}")
    zone = make_landing_zone(folder / "zone", accounts=12, days=DAYS)
    prefix = f"landing_{table_type}"
    engine = AthenaEngine(cloud, folder, table_type, f"grown_{table_type}")
    full = AthenaEngine(cloud, folder, table_type, f"full_{table_type}")
    variables = {"load_demo_seeds": False, "raw_schema": f"raw_{table_type}"}
    parts = {
        # A file of an early day comes with the last part, another one again.
        "first": lambda day: day <= "2025-01-24" and day != "2025-01-09",
        "second": lambda day: "2025-01-25" <= day <= "2025-01-30",
        "third": lambda day: day > "2025-01-30" or day == "2025-01-09",
    }
    scanned = {}
    for part, takes in parts.items():
        assert upload(cloud, zone, prefix, takes)
        if part == "first":
            engine.dbt("seed", "--select", "event_names", "offers", **variables)
            engine.dbt(
                "run-operation",
                "create_raw_tables",
                "--args",
                f"{{location: s3://lake/{prefix}, first_day: 2025-01-01, "
                f"last_day: {LAST_DAY}}}",
                **variables,
            )
        before = cloud.athena.scanned_bytes
        engine.dbt("run", *SELECTED[table_type], **variables)
        scanned[part] = cloud.athena.scanned_bytes - before
    again(cloud, prefix, "2025-01-12")
    variables["earliest_plausible_date"] = STRICTER
    engine.dbt("run", *SELECTED[table_type], **variables)
    variables.pop("earliest_plausible_date")
    result = engine.dbt("run", *SELECTED[table_type], **variables)
    full.dbt("seed", "--select", "event_names", "offers", **variables)
    before = cloud.athena.scanned_bytes
    full.dbt("run", *SELECTED[table_type], **variables)
    scanned["full"] = cloud.athena.scanned_bytes - before
    tables = [outcome.node.alias for outcome in result.result.results]
    return Grown(engine, full, tables, scanned)


def again(cloud, prefix: str, day: str) -> None:
    """Deliver a day's first file once more, under another name."""
    folder = f"{prefix}/clickstream/dt={day}/"
    found = cloud.s3.list_objects_v2(Bucket="lake", Prefix=folder)["Contents"]
    content = cloud.s3.get_object(Bucket="lake", Key=found[0]["Key"])["Body"].read()
    cloud.s3.put_object(Bucket="lake", Key=f"{folder}again.jsonl.gz", Body=content)


def rows_of(engine: AthenaEngine, table: str) -> list[str]:
    told = engine.rows(f"select * from {engine.schema}.{table}").to_pylist()
    return sorted(
        str(
            {
                name: value
                for name, value in row.items()
                # What was revised once, and when, is a run's own affair.
                if name not in {*DIFFERENT_BY_NATURE, *STAMPS}
            }
        )
        for row in told
    )


def test_tables_equal_those_of_a_full_refresh(grown) -> None:
    different = []
    for table in grown.tables:
        ours, theirs = rows_of(grown.engine, table), rows_of(grown.full, table)
        if table == "base_clickstream__events":
            # A visitor who lost an event to another leaves a row that counts not.
            ours = [row for row in ours if "'is_counted': True" in row]
        if ours != theirs:
            only = [row for row in ours if row not in theirs][:1]
            lacking = [row for row in theirs if row not in ours][:1]
            different.append(f"{table}: {len(ours)} {len(theirs)} {only} {lacking}")
    assert len(grown.tables) > 15
    assert not different, "\n".join(different)


def test_nothing_is_lost(grown) -> None:
    (counts,) = grown.engine.rows(
        "select sum(raw_records) as raw_records, sum(extra_pieces) as extra_pieces, "
        "sum(events) as events, sum(duplicates) as duplicates, "
        "sum(rejects) as rejects from clickstream_daily_counts"
    ).to_pylist()
    (raw,) = grown.engine.rows(
        f"select count(*) as n from raw_{grown.engine.table_type}.raw_events"
    ).to_pylist()
    assert counts["raw_records"] == raw["n"] > 0
    assert counts["rejects"] > 0
    assert counts["duplicates"] > 0
    assert (
        counts["raw_records"] + counts["extra_pieces"]
        == counts["events"] + counts["duplicates"] + counts["rejects"]
    )


def test_a_run_reads_less_than_a_full_refresh(grown) -> None:
    assert grown.scanned["second"] < grown.scanned["full"]


@pytest.mark.usefixtures("grown")
def test_statements_stay_below_athenas_limit(cloud) -> None:
    longest = max(
        len(execution.sql.encode()) for execution in cloud.athena.executions.values()
    )
    assert 10_000 < longest < LONGEST_STATEMENT_BYTES
