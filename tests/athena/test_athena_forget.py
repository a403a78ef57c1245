"""`churn forget` on Athena, on a few tables."""

from __future__ import annotations

from collections.abc import Iterator

from tests.athena.engine import AthenaEngine
from tests.support.forgotten import DEVICE, USER, check_small_tables, small_tables

FOLDER = "s3://lake/forgetting"


def test_a_user_is_forgotten_in_tables_and_their_files(
    cloud, tmp_path, monkeypatch
) -> None:
    """Iceberg tables are merged, and files of others listed."""
    engine = AthenaEngine(cloud, tmp_path, "forgetting")
    for schema in ("forgetting", "forgetting_intermediate", "forgetting_raw"):
        engine.execute(f"create schema {schema}")
    tables = small_tables(engine, f"array['about {DEVICE}', null]")
    for name, query in tables.items():
        engine.execute(
            f"create table {name} with (table_type = 'ICEBERG', is_external = false, "
            f"location = '{FOLDER}/{name}') as {query}"
        )
    cloud.s3.put_object(
        Bucket="lake", Key="exported/a.txt", Body=f"one line of {USER}".encode()
    )
    engine.execute(
        "create external table forgetting_raw.exported (`line` string) row format "
        "serde 'org.apache.hadoop.hive.serde2.RegexSerDe' with serdeproperties "
        "('input.regex' = '(.*)') location 's3://lake/exported/'"
    )

    def files() -> Iterator[tuple[str, bytes]]:
        for bucket, folder in (
            *(("lake", part) for part in ("forgetting", "unloaded", "staged")),
            *(("athena-results", part) for part in ("unloaded", "staged")),
        ):
            for page in cloud.s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=f"{folder}/"
            ):
                for found in page.get("Contents", []):
                    key = found["Key"]
                    content = cloud.s3.get_object(Bucket=bucket, Key=key)["Body"]
                    yield f"{bucket}/{key}", content.read()

    check_small_tables(engine, tmp_path, monkeypatch, "s3://lake/exported", files)
