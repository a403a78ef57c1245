"""A run that waits for Spark's executors in vain ends, and says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from churn.config import UserError
from churn.operations.daily import DailyRun, Options, Tools
from churn.operations.dbt_runner import DbtError
from churn.operations.executors import ExecutorWatch, wait_minutes
from tests.support.serving import project_of


class Spark:
    """What the watch asks of a SparkContext."""

    def __init__(self, master: str = "k8s://https://127.0.0.1") -> None:
        self.master = master
        self.executors = 0
        self.stages = [1]
        self.cancelled = 0
        self.seconds = 0.0
        self.watch = ExecutorWatch(10, lambda: self, lambda: self.seconds)

    def look(self, seconds: float = 0) -> None:
        self.seconds += seconds
        self.watch.look()

    @property
    def _jsc(self) -> Any:
        return self

    def sc(self) -> Any:
        return self

    def getExecutorIds(self) -> Any:  # noqa: N802
        return self

    def size(self) -> int:
        return self.executors

    def statusTracker(self) -> Any:  # noqa: N802
        return self

    def getActiveStageIds(self) -> list[int]:  # noqa: N802
        return self.stages

    def cancelAllJobs(self) -> None:  # noqa: N802
        self.cancelled += 1


@pytest.fixture
def spark() -> Spark:
    return Spark()


def test_jobs_that_wait_too_long_are_cancelled(spark: Spark) -> None:
    spark.look()
    spark.look(599)
    assert (spark.cancelled, spark.watch.problem) == (0, None)
    spark.look(1)
    assert spark.cancelled == 1
    assert spark.watch.problem is not None
    assert spark.watch.problem.startswith(
        "No Spark executor was running for 10 minutes, so the run was stopped: "
        "`kubectl get pods --selector spark-role=executor`"
    )
    # The next model does not wait as long again.
    spark.stages = []
    spark.look(1)
    spark.stages = [2]
    spark.look(1)
    assert spark.cancelled == 2


def test_an_executor_in_between_starts_the_time_again(spark: Spark) -> None:
    spark.look()
    spark.executors = 1
    spark.look(599)
    spark.executors = 0
    spark.look(599)
    spark.look(599)
    assert spark.cancelled == 0
    spark.look(1)
    assert spark.cancelled == 1


def test_a_driver_that_asks_nothing_of_executors_is_left_alone(spark: Spark) -> None:
    """With dynamic allocation there may be none between two statements."""
    spark.stages = []
    for _ in range(5):
        spark.look(600)
    assert spark.cancelled == 0


def test_spark_in_this_process_has_no_executors() -> None:
    spark = Spark("local[2]")
    spark.look()
    spark.look(6000)
    assert spark.cancelled == 0


def test_other_clusters_are_named() -> None:
    spark = Spark("spark://127.0.0.1:7077")
    spark.look()
    spark.look(6000)
    assert "ask the cluster manager, spark://127.0.0.1:7077" in str(spark.watch.problem)


def test_without_spark_the_watch_does_nothing() -> None:
    watch = ExecutorWatch(10, lambda: None)
    with watch:
        watch.look()
    assert watch.problem is None


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf"])
def test_the_time_is_checked(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CHURN_SPARK_EXECUTOR_WAIT_MINUTES", text)
    with pytest.raises(UserError, match="must be a positive number of minutes"):
        wait_minutes()


def test_the_default_is_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHURN_SPARK_EXECUTOR_WAIT_MINUTES", raising=False)
    assert wait_minutes() == 15


class Silent:
    """Tables of an engine whose jobs are cancelled."""

    def has(self, *_: str) -> bool:
        return True

    def name(self, table: str) -> str:
        return table

    def rows(self, _sql: str) -> list[Any]:
        raise RuntimeError("Job 7 cancelled")

    def close(self) -> None:
        pass


def silent_at_opening(_: Any) -> Silent:
    raise RuntimeError("Job 6 cancelled")


@pytest.mark.parametrize("opening", [lambda _: Silent(), silent_at_opening])
def test_the_alert_is_sent_although_no_table_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening: Any
) -> None:
    """Executors are missing: the tables are read by them, too."""
    monkeypatch.setenv("CHURN_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CHURN_ALERT_URLS", "json://127.0.0.1:9/none")
    alerts: list[str] = []

    def refuse(*_: Any, **__: Any) -> None:
        raise DbtError("`dbt build` failed")

    def send(_urls: Any, _title: str, body: str, _kind: str) -> bool:
        alerts.append(body)
        return True

    tools = Tools(
        publish=lambda _: None,
        read_snapshot=lambda _: None,
        build=refuse,
        open_marts=opening,
        store_runs=lambda *_: None,
        send=send,
    )
    project = replace(project_of(tmp_path / "none.duckdb"), adapter="spark")
    options = Options(waits=False)
    run = DailyRun(project, options, tools)
    run.executors.problem = "No Spark executor was running for 15 minutes."
    assert run.execute() == 1
    assert "No Spark executor was running for 15 minutes" in alerts[0]
    assert "spark did not answer (RuntimeError)" in alerts[0]
