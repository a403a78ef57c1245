"""The target `spark_thrift`: dbt outside of Spark, connected to a Thrift Server.

Tests the differences to the target `spark`: the connection, ANSI mode, which is on
there, incremental tables, and Python models that run in the dbt process on rows read
and inserted through the connection.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from dbt_local_python.spark_thrift import ThriftSession
from tests.support.engines import DuckdbEngine, SparkEngine
from tests.support.parity import Built, compare
from tests.support.paths import ROOT

pytestmark = pytest.mark.long

MODELS = "+base_clickstream__parsed_repaired_records"
TABLES = [
    "base_clickstream__parsed_records",
    "base_clickstream__repaired_json",
    "base_clickstream__parsed_repaired_records",
]
HALFWAY = "cast('2025-06-01 00:00:00' as timestamp)"


class ThriftEngine(SparkEngine):
    """Spark in a Thrift Server on this machine."""

    target = "spark_thrift"

    def __post_init__(self) -> None:
        super().__post_init__()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.environment["CHURN_SPARK_THRIFT_PORT"] = str(free.getsockname()[1])
        self.environment["CHURN_SPARK_DRIVER_MEMORY"] = "1g"

    def start(self) -> subprocess.Popen:
        """Start the server and wait until it answers."""
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "spark_thrift_server.py")],
            env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            stdout=(self.folder / "server.log").open("w"),
            stderr=subprocess.STDOUT,
        )
        pause = threading.Event()
        while server.poll() is None:
            try:
                self.connection = self._connect()
                return server
            except Exception:
                pause.wait(0.5)
        pytest.fail((self.folder / "server.log").read_text()[-4000:])

    def _connect(self) -> Any:
        from pyhive import hive

        return hive.connect(
            "127.0.0.1", int(self.environment["CHURN_SPARK_THRIFT_PORT"])
        )

    @property
    def session(self) -> Any:
        connection = SimpleNamespace(handle=SimpleNamespace(handle=self.connection))
        adapter = SimpleNamespace(
            connections=SimpleNamespace(get_thread_connection=lambda: connection)
        )
        return ThriftSession(adapter)

    def rows(self, sql: str) -> pa.Table:
        return self.session.sql(sql).arrow()

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self.session.execute(statement)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    folder = tmp_path_factory.mktemp("thrift")
    duckdb = DuckdbEngine(folder)
    engine = ThriftEngine(folder, schema="churn")
    server = engine.start()
    try:
        for each in (duckdb, engine):
            each.dbt("seed", "--select", "raw_events")
            each.keep_rows("raw.raw_events", f"received_at < {HALFWAY}")
            each.dbt("run", "--select", MODELS)
            each.dbt("seed", "--select", "raw_events")
            each.dbt("run", "--select", MODELS)
        yield Built(engine, duckdb, TABLES)
    finally:
        server.terminate()
        server.wait()


def test_ansi_mode_is_on(built) -> None:
    # Without ANSI mode, this file would not test its difference.
    assert built.engine.rows("set spark.sql.ansi.enabled").to_pylist()[0]["value"] == (
        "true"
    )


@pytest.mark.parametrize("table", TABLES)
def test_tables_equal_those_of_duckdb(built, table) -> None:
    relation = built.engine.relation(table)
    assert built.engine.rows(f"select count(*) as n from {relation}").to_pylist()
    assert compare(built, table) == []
