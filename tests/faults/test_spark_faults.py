"""After a kill of Spark and dbt at any moment, one more run equals a clean one.

``make test-faults`` runs it. Spark's catalog allows one process at a time, so the run
that is killed is a process of its own, and the session of this process starts after it.
The selection has each kind of incremental model, because starting Spark takes longer
than most models.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spark.test_spark_runs import as_raw
from tests.support import arrivals
from tests.support.engines import SparkEngine, stop_spark
from tests.support.faults import kill_after, run
from tests.support.parity import rows_of, sort_key
from tests.support.paths import ROOT
from tests.support.project import DbtProject
from tests.support.tables import Contents, assert_same

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("CHURN_FAULT_SPARK_KILLS", "20"))
VARIABLES = {"raw_schema": "arriving", "load_demo_seeds": False}
SELECTED = ["+int_visitor_activity_daily", "+subscription_periods", "event_names"]
TABLES = [
    *["stg_clickstream__event_versions", "int_visitor_activity_daily"],
    *["int_account_changes", "subscription_periods"],
]
STARTED = "Concurrency:"


class Company:
    """A warehouse that can be set back to the state before a run."""

    def __init__(self, folder: Path, project: DbtProject) -> None:
        self.folder = folder / "current"
        self.start = folder / "start"
        self.folder.mkdir()
        engine = SparkEngine(self.folder, schema="killed")
        project.create_raw_tables()
        batches = arrivals.batches(
            4, arrivals.company(4, events=400, visitors=20), count=2
        )
        for number, batch in enumerate(batches):
            for name, rows in batch.items():
                project.write(f"raw.{name}", rows)
                engine.append(f"arriving.{name}", as_raw(project, name, rows))
            if not number:
                engine.dbt("run", "--select", *SELECTED, **VARIABLES)
        stop_spark()
        shutil.copytree(self.folder, self.start)
        started = time.monotonic()
        finished = run(self.command(), self.folder, self.environment)
        assert finished.returncode == 0, finished.stdout[-3_000:]
        self.seconds = time.monotonic() - started
        self.expected = self.contents()

    @property
    def environment(self) -> dict[str, str]:
        engine = SparkEngine(self.folder, schema="killed")
        return {
            **os.environ,
            **engine.environment,
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "PYTHONPATH": str(ROOT),
        }

    def command(self) -> list[str]:
        program = str(Path(sys.executable).parent / "dbt")
        return [
            *(program, "--no-use-colors", "run", "--select", *SELECTED),
            *("--target", "spark", "--vars", json.dumps(VARIABLES)),
            *("--target-path", str(self.folder / "target-spark")),
            *("--log-path", str(self.folder / "logs")),
            *("--project-dir", str(ROOT), "--profiles-dir", str(ROOT)),
        ]

    def reset(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.start, self.folder)

    def contents(self) -> Contents:
        """Return the rows of the tables, sorted, and the names of all relations."""
        engine = SparkEngine(self.folder, schema="killed")
        found: Contents = {"": [(name,) for name in sorted(engine.relations())]}
        for table in TABLES:
            columns = rows_of(engine, engine.relation(table))
            rows = zip(*(columns[name] for name in sorted(columns)), strict=True)
            found[table] = sorted(rows, key=sort_key)
        stop_spark()
        return found


@pytest.fixture(scope="module")
def company(
    tmp_path_factory: pytest.TempPathFactory, module_project: DbtProject
) -> Iterator[Company]:
    yield Company(tmp_path_factory.mktemp("spark"), module_project)
    stop_spark()


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_run(company: Company, number: int) -> None:
    company.reset()
    moment = random.Random(number).uniform(0, company.seconds * 0.6)
    kill_after(
        company.command(),
        company.folder,
        company.environment,
        moment,
        (signal.SIGKILL, signal.SIGTERM)[number % 2],
        STARTED,
    )
    finished = run(company.command(), company.folder, company.environment)
    assert finished.returncode == 0, finished.stdout[-3_000:]
    assert_same(company.contents(), company.expected)
