"""Every macro of macros/sql/ means on Athena what it means elsewhere."""

from __future__ import annotations

from tests.athena.engine import AthenaEngine
from tests.athena_local.local import LAKE
from tests.spark.test_engine_macros import (
    CASES,
    jinja_of,
    same,
    wrongly_read_repeated_keys,
)

# How many cases one statement holds: Athena's planner slows down with its length.
CASES_AT_ONCE = 60


def test_every_macro_means_what_it_says(cloud, tmp_path) -> None:
    engine = AthenaEngine(cloud, tmp_path, "macros")
    engine.rows("create schema if not exists macros")
    wrong = []
    for start in range(0, len(CASES), CASES_AT_ONCE):
        cases = CASES[start : start + CASES_AT_ONCE]
        selected = [
            f"{jinja_of(engine, macro, arguments)} as c{number}"
            for number, ((macro, arguments), _) in enumerate(cases)
        ]
        query = engine.compiled("select\n" + ",\n".join(selected))
        # The cases' own casts: a plain timestamp of Athena has milliseconds.
        query = query.replace(" as timestamp)", " as timestamp(6))")
        results = engine.rows(query).to_pylist()[0].values()
        wrong += [
            f"{macro}{arguments!r} is {result!r}, not {expected!r}"
            for ((macro, arguments), expected), result in zip(
                cases, results, strict=True
            )
            if not same(result, expected) and not says_no_scalar(result, expected)
        ]
    wrong += wrongly_read_repeated_keys(engine)
    assert not wrong, "\n".join(wrong)


def test_the_watermark_range_equals_that_of_the_rows(cloud, tmp_path) -> None:
    """The query reads the metadata of an Iceberg table and none of its rows."""
    engine = AthenaEngine(cloud, tmp_path, "watermarks")
    engine.rows("create schema if not exists watermarks")
    engine.rows(
        "create table loaded with (table_type = 'iceberg', format = 'parquet', "
        f"is_external = false, location = 's3://{LAKE}/tables/watermarks/loaded') as "
        "select 1 as number, cast(null as timestamp(6)) as processed_at where false"
    )
    query = engine.compiled(
        "{% if execute %}{{ watermark_range_query(api.Relation.create("
        "database=target.database, schema=target.schema, identifier='loaded', "
        "type='table'), 'processed_at') }}{% endif %}"
    )
    assert engine.rows(query).to_pylist() == [
        {"first_watermark": None, "latest_watermark": None}
    ]
    for moment in ("2025-03-02 10:00:00.123", "2025-03-01 09:00", "2025-03-01 11:00"):
        engine.rows(f"insert into loaded values (1, timestamp '{moment}')")
    reported = engine.rows(query).to_pylist()
    in_rows = engine.rows(
        "select min(processed_at) as first_watermark, "
        "max(processed_at) as latest_watermark from loaded"
    )
    assert reported == in_rows.to_pylist()
    assert reported[0]["latest_watermark"].isoformat() == "2025-03-02T10:00:00.123000"
    assert "$partitions" in query


def says_no_scalar(result: object, expected: object) -> bool:
    """Objects and arrays can be null on Athena, see `json_extract_many`."""
    return result is None and str(expected).startswith(("[", "{"))
