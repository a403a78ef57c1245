"""Runs dbt on a benchmark's own database, and measures it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
THREADS = 2


@dataclass(frozen=True)
class DbtRun:
    """One dbt command that went well.

    Attributes:
        seconds: By the clock, dbt's start included.
        cpu_seconds: Of all threads together: what it takes whatever else runs on
            the machine.
        peak_bytes: The most memory that the process held at once.
        model_seconds: Seconds by model.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    model_seconds: dict[str, float]


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """The benchmark's database, with as many threads as dbt's profile has."""
    return duckdb.connect(str(folder / "bench.duckdb"), config={"threads": THREADS})


def run_dbt(folder: Path, *arguments: str) -> DbtRun:
    """Run one dbt command on the benchmark's database.

    Raises:
        RuntimeError: dbt failed; what it said is shown.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [
            str(Path(sys.executable).parent / "dbt"),
            "--quiet",
            *arguments,
            '--vars={"load_demo_seeds": false}',
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "CHURN_DUCKDB_PATH": str(folder / "bench.duckdb"),
            "DBT_PROFILES_DIR": str(ROOT),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        },
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"dbt {' '.join(arguments)} failed")
    results = folder / "target" / "run_results.json"
    model_seconds = {}
    if arguments[0] in ("run", "build"):
        model_seconds = {
            result["unique_id"].split(".")[-1]: result["execution_time"]
            for result in json.loads(results.read_text())["results"]
        }
    # macOS counts bytes, Linux kibibytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return DbtRun(
        seconds,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * unit,
        model_seconds,
    )
