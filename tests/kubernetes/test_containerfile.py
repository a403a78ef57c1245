"""The image's Containerfile: its steps run, and containers have what they need."""

from __future__ import annotations

import pytest

from tests.kubernetes.image import Image, instructions


def test_all_instructions_are_known() -> None:
    names = {name for name, _ in instructions()}
    assert names == {
        *("FROM", "ARG", "RUN", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT", "CMD")
    }
    assert ("USER", "10001") in instructions()


@pytest.mark.parametrize("command", ["daily", "serve"])
def test_commands_run_without_the_repository(image: Image, command: str) -> None:
    finished = image.run("churn", command, "-h")
    assert finished.returncode == 0, finished.stderr
    assert f"churn {command}" in finished.stdout


def test_dbt_reads_the_project(image: Image) -> None:
    """The root is read-only, as the manifests say."""
    folders = {"DBT_TARGET_PATH": "/tmp/target", "DBT_LOG_PATH": "/tmp/logs"}
    finished = image.run("dbt", "parse", "--target", "spark", **folders)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_executors_find_what_they_start_with(image: Image) -> None:
    (jars,) = (image.folder / "opt/churn").glob("lib/*/site-packages/pyspark/jars")
    assert list(jars.glob("iceberg-spark-runtime-*.jar"))
    assert list(jars.glob("spark-kubernetes_*.jar"))
    for script in ("entrypoint.sh", "decom.sh"):
        assert image.run("sh", "-c", f"test -x /opt/{script}").returncode == 0
    assert not (image.folder / "build").exists()
