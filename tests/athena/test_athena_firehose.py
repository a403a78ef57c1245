"""Objects of Kinesis Firehose give the same events on Athena as on DuckDB.

Objects of all layouts, under keys with odd characters, are in one raw table. Payloads
are dirty, and each record is delivered twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.athena.engine import AthenaEngine
from tests.athena_local.local import LAKE, LocalCloud
from tests.support.engines import DuckdbEngine
from tests.support.firehose_layouts import LAYOUTS, TRUNCATED, make_payload
from tests.support.firehose_stub import DeliveryStream
from tests.support.parity import rows_of, sort_key

RECORDS = 300
# Objects of each layout are written under one of these names after another.
ODD_NAMES = (
    *("a b", "100%20", "%2F", "a+b", "dt=x", "ü日本", "it's", 'say "x"', "a#b", "a?b"),
    *("a&b", "{x}", "[x]", "$x", "a,b;c:d@e", "a*b", "!(~)", "^`|", "a\\b", "c//d"),
)
FOLDER = "firehose %20 +=ü"
MODELS = (
    "base_clickstream__records",
    "stg_clickstream__events",
    "stg_clickstream__rejects",
)
SELECT = ("--select", "+stg_clickstream__events", "+stg_clickstream__rejects")
# DuckDB names files without this folder, which is the fixed part of the glob.
ROOT_OF_FILES = f"s3://{LAKE}/{FOLDER}/clickstream/"


def deliver(cloud: LocalCloud, names: Iterator[str], since: int, until: int) -> None:
    """Deliver records of each layout, and give the objects odd names."""
    for layout, settings in LAYOUTS.items():
        stream = DeliveryStream(
            layout,
            cloud.s3,
            LAKE,
            prefix="delivered/dt=!{timestamp:yyyy-MM-dd}/",
            error_prefix="errors/!{firehose:error-output-type}/",
            buffer_bytes=12_000,
            **settings,
        )
        for number in range(since, until):
            text = make_payload(number, f"{layout}-")
            if layout == "glued" and text == TRUNCATED:
                continue
            stream.advance(7)
            stream.put(text.encode())
        stream.deliver()
    found = cloud.s3.list_objects_v2(Bucket=LAKE, Prefix="delivered/")["Contents"]
    assert len(found) > 2 * len(LAYOUTS)
    for each in found:
        key = each["Key"]
        day, name = key.split("/")[-2:]
        cloud.s3.put_object(
            Bucket=LAKE,
            Key=f"{FOLDER}/clickstream/{day}/{next(names)} {name}",
            Body=cloud.s3.get_object(Bucket=LAKE, Key=key)["Body"].read(),
        )
        cloud.s3.delete_object(Bucket=LAKE, Key=key)


@pytest.fixture(scope="module")
def engines(
    cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AthenaEngine, DuckdbEngine]:
    """Deliver in two parts, of which the second repeats a half of the first."""
    athena = AthenaEngine(cloud, tmp_path_factory.mktemp("athena"), "firehose")
    duckdb = DuckdbEngine(tmp_path_factory.mktemp("duckdb"))
    duckdb.environment |= {
        **cloud.environment,
        "AWS_ENDPOINT_URL_S3": cloud.aws.url,
    }
    variables: dict[str, Any] = {"load_demo_seeds": False, "raw_schema": "raw_firehose"}
    names = (ODD_NAMES[number % len(ODD_NAMES)] for number in range(10_000))
    deliver(cloud, names, 0, RECORDS // 2)
    arguments = {
        "location": f"s3://{LAKE}/{FOLDER}",
        "first_day": "2025-02-27",
        "last_day": "2025-03-05",
    }
    athena.dbt(
        *("run-operation", "create_raw_tables", "--args", json.dumps(arguments)),
        **variables,
    )
    seeds = ("seed", "--select", "event_names", "offers", "products")
    athena.dbt(*seeds, **variables)
    athena.dbt("run", *SELECT, **variables)
    deliver(cloud, names, RECORDS // 4, RECORDS)
    athena.dbt("run", *SELECT, **variables)
    # Nothing is new.
    athena.dbt("run", *SELECT, **variables)
    variables = {
        "load_demo_seeds": False,
        "raw_event_files": f"{ROOT_OF_FILES}**",
    }
    duckdb.dbt(*seeds, **variables)
    duckdb.dbt("run", *SELECT, **variables)
    return athena, duckdb


@pytest.mark.parametrize("model", MODELS)
def test_events_are_the_same_row_for_row(
    engines: tuple[AthenaEngine, DuckdbEngine], model: str
) -> None:
    athena, duckdb = (rows_of(each, each.relation(model)) for each in engines)
    assert athena.keys() == duckdb.keys()
    athena["source_file"] = [
        each.removeprefix(ROOT_OF_FILES) for each in athena["source_file"]
    ]
    columns = sorted(athena)
    ours, theirs = (
        sorted(zip(*(rows[name] for name in columns), strict=True), key=sort_key)
        for rows in (athena, duckdb)
    )
    assert len(ours) == len(theirs) > 0
    for our_row, their_row in zip(ours, theirs, strict=True):
        assert dict(zip(columns, our_row, strict=True)) == dict(
            zip(columns, their_row, strict=True)
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_all_events(
    engines: tuple[AthenaEngine, DuckdbEngine], layout: str
) -> None:
    expected = [
        f"{layout}-{number}"
        for number in range(RECORDS)
        if make_payload(number) != TRUNCATED
    ]
    for engine in engines:
        events = engine.rows(
            f"select event_id from {engine.relation('stg_clickstream__events')} "
            f"where event_id like '{layout}-%'"
        )
        assert sorted(events["event_id"].to_pylist()) == sorted(expected)


def test_a_folder_that_could_be_code_is_refused(
    engines: tuple[AthenaEngine, DuckdbEngine],
) -> None:
    athena, _ = engines
    for location in ("s3://lake/it's", "s3://lake/${x}", "/lake"):
        arguments = json.dumps({"location": location, "first_day": "2025-03-01"})
        with pytest.raises(pytest.fail.Exception, match="write it as s3://bucket"):
            athena.dbt("run-operation", "create_raw_tables", "--args", arguments)
