"""Run and measure commands, and dbt on a benchmark's database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from churn.config import use_schemas

ROOT = Path(__file__).resolve().parents[1]
THREADS = 2


# Linux includes the memory that the parent held before `exec` in a process's peak. A
# small process therefore starts the measured command.
_STARTER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump(
        {
            "status": os.waitstatus_to_exitcode(status),
            "seconds": time.perf_counter() - started,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            # macOS counts bytes, Linux kibibytes.
            "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        },
        file,
    )
"""


@dataclass(frozen=True)
class CommandRun:
    """Measurements of a finished command.

    Attributes:
        status: Its exit code; negative for the signal that ended it.
        seconds: Wall-clock seconds, including its start.
        cpu_seconds: CPU seconds of all threads; depends less on other load.
        peak_bytes: Peak memory of the process.
    """

    status: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class DbtRun(CommandRun):
    """Measurements of a successful dbt command.

    Attributes:
        model_seconds: Seconds by model.
    """

    model_seconds: dict[str, float]


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open the benchmark's database, with as many threads as dbt's profile."""
    database = str(folder / "bench.duckdb")
    connection = duckdb.connect(database, config={"threads": THREADS})
    use_schemas(connection)
    return connection


def run_dbt(
    folder: Path,
    *arguments: str,
    memory: str | None = None,
    project: Path = ROOT,
    **variables: Any,
) -> DbtRun:
    """Run one dbt command on the benchmark's database.

    Args:
        folder: Folder of the database and of dbt's output.
        arguments: Arguments of dbt.
        memory: Memory limit of DuckDB; ``None`` for the profile's default.
        project: Folder of the dbt project.
        variables: dbt's variables.

    Raises:
        RuntimeError: dbt failed; its output has been printed.
    """
    run = run_command(
        [
            Path(sys.executable).parent / "dbt",
            "--quiet",
            *arguments,
            f"--project-dir={project}",
            f"--vars={json.dumps({'load_demo_seeds': False, **variables})}",
        ],
        {
            "CHURN_DUCKDB_PATH": str(folder / "bench.duckdb"),
            "DBT_PROFILES_DIR": str(ROOT),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            **({"CHURN_DUCKDB_MEMORY": memory} if memory else {}),
        },
    )
    if run.status:
        raise RuntimeError(f"dbt {' '.join(arguments)} failed")
    results = folder / "target" / "run_results.json"
    model_seconds = {}
    if arguments[0] in ("run", "build"):
        model_seconds = {
            result["unique_id"].split(".")[-1]: result["execution_time"]
            for result in json.loads(results.read_text())["results"]
        }
    return DbtRun(**asdict(run), model_seconds=model_seconds)


def run_command(
    command: list[str | Path], environment: dict[str, str], **options: Any
) -> CommandRun:
    """Run a command in the repository's folder and measure it.

    Args:
        command: The program and its arguments.
        environment: Environment variables to add to those of this process.
        options: Options of `subprocess.run`.
    """
    with tempfile.NamedTemporaryFile() as measurements:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _STARTER, measurements.name, *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            check=True,
            **options,
        )
        return CommandRun(**json.load(measurements))
