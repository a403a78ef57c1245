"""The project on a Spark cluster whose executors have nothing that was not shipped.

The workers are processes with a folder and an environment of their own. Python travels
as docs/spark.md says: packed with venv-pack, named by `spark.archives`. The driver is
this process. Tables are in a folder that stands for shared storage.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.standalone import Cluster
from tests.support.engines import DuckdbEngine, SparkEngine, stop_spark
from tests.support.parity import Built, differences, tables_built
from tests.support.paths import ROOT

# What docs/spark.md says that executors need.
EXECUTOR_PACKAGES = ("numpy", "pandas", "pyarrow", "pyjson5", "scipy", "xgboost-cpu")
SETTINGS = """
spark.archives {archive}#environment
spark.executor.memory 1g
spark.executor.cores 1
spark.cores.max 2
spark.scheduler.minRegisteredResourcesRatio 1.0
spark.scheduler.maxRegisteredResourcesWaitingTime 120s
spark.driver.host 127.0.0.1
spark.task.maxFailures 8
"""


def uv(*arguments: str | Path) -> None:
    """Run uv of this environment, quietly."""
    program = Path(sys.executable).parent / "uv"
    subprocess.run([program, "--quiet", *arguments], check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack an environment with the project's wheel and what executors need."""
    folder = tmp_path_factory.mktemp("environment")
    uv("build", "--wheel", "--no-build-isolation", "--out-dir", folder)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "venv"
    uv("venv", "--python", sys.executable, environment)
    python = ("--python", environment / "bin" / "python")
    uv("pip", "install", *python, "--constraint", "requirements.lock", "--no-deps",
       *EXECUTOR_PACKAGES, "python-dateutil", "six", "pytz", "tzdata")  # fmt: skip
    uv("pip", "install", *python, "--no-deps", wheel)
    packed = folder / "environment.tar.gz"
    # Spark 4.1 refuses links to outside in other archives than .tar.gz.
    options = ["--prefix", environment, "--output", packed, "--compress-level", "1"]
    command = [sys.executable, "-m", "venv_pack", "--quiet", *options]
    subprocess.run(command, check=True)
    shutil.rmtree(environment)
    return packed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def spark(
    cluster: Cluster, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparkEngine]:
    folder = tmp_path_factory.mktemp("spark")
    shared_seeds = folder / "shared" / "seeds"
    shutil.copytree(ROOT / "seeds", shared_seeds)
    configuration = folder / "conf"
    configuration.mkdir()
    (configuration / "spark-defaults.conf").write_text(SETTINGS.format(archive=archive))
    engine = SparkEngine(folder, schema="churn")
    engine.environment |= {
        "CHURN_SPARK_MASTER": cluster.url,
        "SPARK_CONF_DIR": str(configuration),
        "PYSPARK_PYTHON": "environment/bin/python",
    }
    yield engine
    stop_spark()


@pytest.fixture(scope="module")
def built(spark: SparkEngine) -> Built:
    duckdb = DuckdbEngine(spark.folder)
    options = ("build", "--exclude-resource-types", "test", "unit_test")
    duckdb.dbt(*options)
    seeds = str(spark.folder / "shared" / "seeds")
    result = spark.dbt(*options, seeds_seen_by_spark_at=seeds)
    return Built(spark, duckdb, tables_built(result))


def test_the_seeds_give_the_rows_of_duckdb(built: Built) -> None:
    assert len(built.tables) > 50
    different = differences(built)
    assert not different, "\n".join(different)


def test_executors_use_only_what_was_shipped(built: Built, cluster: Cluster) -> None:
    """Each worker has run tasks, in its folder, with the packed Python."""

    def where(_rows: object) -> Iterator[tuple[str, str, str]]:
        import churn

        yield os.getcwd(), sys.prefix, churn.__file__

    context = built.engine.session.sparkContext
    places = set(context.parallelize(range(8), 8).mapPartitions(where).collect())
    folders = {Path(place[0]).relative_to(cluster.folder).parts[0] for place in places}
    assert folders == {"worker-1", "worker-2"}
    for working, prefix, module in places:
        assert Path(prefix).name == "environment"
        for path in (prefix, module):
            assert str(ROOT) not in path
        assert Path(module).is_relative_to(Path(working) / "environment") or (
            "environment" in module
        )


def test_a_killed_executor_is_replaced(built: Built, cluster: Cluster) -> None:
    """SIGKILL, as when a machine goes: the build ends with the same rows."""
    engine = built.engine
    before = cluster.executors()
    assert len(before) == 2
    victim = min(before)
    killer = threading.Timer(5, os.kill, (victim, signal.SIGKILL))
    killer.start()
    engine.dbt("run", "--full-refresh", "--select", "+sessions")
    killer.join()
    after = cluster.executors()
    assert victim not in after
    assert len(after) == 2
    different = differences(
        Built(engine, built.duckdb, ["stg_clickstream__events", "sessions"])
    )
    assert not different, "\n".join(different)
