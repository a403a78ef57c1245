"""The local endpoint answers as Athena does, where dbt depends on it."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.athena.engine import AthenaEngine
from tests.athena_local.local import LAKE, REGION
from tests.athena_local.statements import LONGEST_STATEMENT_BYTES


@pytest.fixture(scope="module")
def engine(cloud, tmp_path_factory) -> AthenaEngine:
    engine = AthenaEngine(cloud, tmp_path_factory.mktemp("endpoint"), "endpoint")
    engine.rows("create schema if not exists `endpoint`")
    return engine


@pytest.fixture
def client(cloud):
    return boto3.client(
        "athena",
        region_name=REGION,
        endpoint_url=cloud.athena.url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def failure_of(client, sql: str) -> dict:
    started = client.start_query_execution(
        QueryString=sql, QueryExecutionContext={"Database": "endpoint"}
    )["QueryExecutionId"]
    status = client.get_query_execution(QueryExecutionId=started)["QueryExecution"]
    assert status["Status"]["State"] == "FAILED"
    return status["Status"]


def test_a_statement_that_is_too_long_is_refused(client) -> None:
    sql = "select '" + "x" * LONGEST_STATEMENT_BYTES + "'"
    with pytest.raises(ClientError) as refused:
        client.start_query_execution(QueryString=sql)
    assert refused.value.response["Error"]["Code"] == "InvalidRequestException"
    assert "262144" in str(refused.value)


def test_more_than_a_hundred_partitions_are_refused(client, engine) -> None:
    """In the words that dbt-athena waits for, to write them in several goes."""
    rows = "select n as value, n as part from unnest(sequence(1, {})) as t (n)"
    create = (
        "create table endpoint.parts{0} with (table_type='hive', is_external=true, "
        f"external_location='s3://{LAKE}/parts{{0}}', format='parquet', "
        "partitioned_by=array['part']) as "
    )
    engine.rows(create.format(100) + rows.format(100))
    assert engine.rows("select count(*) as n from parts100").to_pylist() == [{"n": 100}]
    status = failure_of(client, create.format(101) + rows.format(101))
    assert "TOO_MANY_OPEN_PARTITIONS" in status["StateChangeReason"]


def test_errors_have_athenas_form(client) -> None:
    status = failure_of(client, "select nothing_of_that_name")
    assert status["StateChangeReason"].startswith("COLUMN_NOT_FOUND: line 1:8")
    assert status["AthenaError"]["ErrorCategory"] == 2
    assert not status["AthenaError"]["Retryable"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("7 / 2", 3),
        ("regexp_extract('a', 'b')", None),
        ("json_extract_scalar('{\"a\":{}}', '$.a')", None),
        ("cast(timestamp '2025-03-01 10:00:00.123456' as timestamp)", ".123000"),
    ],
)
def test_expressions_mean_what_athena_says(engine, expression, value) -> None:
    found = engine.rows(f"select {expression} as value").to_pylist()[0]["value"]
    if isinstance(value, str):
        assert found.isoformat().endswith(value)
    else:
        assert found == value


def test_hive_tables_know_milliseconds_only(client) -> None:
    status = failure_of(
        client,
        "create table endpoint.fine with (table_type='hive', is_external=true, "
        f"external_location='s3://{LAKE}/fine', format='parquet') as "
        "select timestamp '2025-03-01 10:00:00.123456' as at",
    )
    assert "timestamp(6)" in status["StateChangeReason"]


def test_a_projected_partition_is_read_alone(cloud, engine) -> None:
    for day in ("2025-01-01", "2025-01-02"):
        cloud.s3.put_object(
            Bucket=LAKE, Key=f"days/dt={day}/a", Body=b"0123456789\n" * 100
        )
    engine.rows(
        f"""create external table `endpoint`.`days` (`line` string)
        partitioned by (`dt` string)
        location 's3://{LAKE}/days/'
        tblproperties (
            'projection.enabled' = 'true',
            'projection.dt.type' = 'date',
            'projection.dt.format' = 'yyyy-MM-dd',
            'projection.dt.range' = '2025-01-01,2025-01-03',
            'projection.dt.interval' = '1',
            'projection.dt.interval.unit' = 'DAYS',
            'storage.location.template' = 's3://{LAKE}/days/dt=${{dt}}/'
        )"""
    )
    before = cloud.athena.scanned_bytes
    query = "select count(*) as n from days where dt = '2025-01-02' and line <> ''"
    assert engine.rows(query).to_pylist() == [{"n": 100}]
    assert cloud.athena.scanned_bytes - before == 1100


def test_what_is_unknown_is_said(client) -> None:
    with pytest.raises(ClientError, match="ListQueryExecutions is not served here"):
        client.list_query_executions()
    with pytest.raises(ClientError, match="was not found"):
        client.get_query_execution(QueryExecutionId="none")
