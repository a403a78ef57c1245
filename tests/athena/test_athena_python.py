"""What Python models on Athena put into S3 is removed, also when something fails."""

from __future__ import annotations

from types import SimpleNamespace

import boto3
import pyarrow as pa
import pytest

from dbt_local_python.athena import AthenaSession, _staged
from tests.athena.engine import AthenaEngine
from tests.athena_local.local import LAKE, REGION, RESULTS

STAGE = {
    "schema": "staged",
    "table": "model__staged",
    "hive_name": "`staged`.`model__staged`",
    "location": f"s3://{LAKE}/tables/model__staged",
}


@pytest.fixture(scope="module")
def engine(cloud, tmp_path_factory) -> AthenaEngine:
    engine = AthenaEngine(cloud, tmp_path_factory.mktemp("staged"), "staged")
    engine.rows("create schema if not exists `staged`")
    return engine


@pytest.fixture
def session(engine, monkeypatch) -> AthenaSession:
    """A session as a model gets it, over what it needs of dbt-athena's adapter."""
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    connection = SimpleNamespace(
        credentials=SimpleNamespace(
            s3_staging_dir=f"s3://{RESULTS}/", region_name=REGION
        ),
        handle=SimpleNamespace(session=boto3.Session()),
    )
    return AthenaSession(
        SimpleNamespace(
            connections=SimpleNamespace(get_thread_connection=lambda: connection),
            execute=lambda statement, **_: engine.rows(statement),
            get_column_schema_from_query=lambda query: [
                SimpleNamespace(column=field.name, dtype=_NAMES[field.type])
                for field in engine.rows(query).schema
            ],
        )
    )


_NAMES = {pa.int32(): "integer", pa.string(): "varchar"}


def files(cloud, bucket: str, folder: str) -> list[str]:
    found = cloud.s3.list_objects_v2(Bucket=bucket, Prefix=folder)
    return [file["Key"] for file in found.get("Contents", [])]


def test_unloaded_rows_are_removed_once_they_are_read(cloud, session) -> None:
    reader = session.sql("select 1 as n, 'a' as text").to_arrow_reader()
    assert files(cloud, RESULTS, "unloaded/")
    assert reader.read_all().to_pylist() == [{"n": 1, "text": "a"}]
    assert not files(cloud, RESULTS, "unloaded/")


def test_a_query_that_fails_leaves_no_files(cloud, session) -> None:
    query = "select 1 / n as n from (values 1, 0) as t (n)"
    with pytest.raises(RuntimeError, match="DIVISION_BY_ZERO"):
        session.sql(query).arrow()
    assert not files(cloud, RESULTS, "unloaded/")


def test_a_table_that_cannot_be_made_leaves_nothing_staged(
    cloud, engine, session
) -> None:
    rows = pa.table({"n": [1, 2]}).to_reader()

    def make_table() -> None:
        with _staged(session, rows, STAGE):
            assert engine.rows("select sum(n) as n from model__staged").to_pylist()
            assert files(cloud, LAKE, "tables/model__staged/")
            session.execute("create table broken as select nothing from model__staged")

    with pytest.raises(RuntimeError, match="COLUMN_NOT_FOUND"):
        make_table()
    assert not files(cloud, LAKE, "tables/model__staged/")
    with pytest.raises(cloud.glue.exceptions.EntityNotFoundException):
        cloud.glue.get_table(DatabaseName="staged", Name="model__staged")
