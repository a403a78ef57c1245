"""What `churn daily` costs beside the `dbt build` that it runs.

A demo company without its last day is loaded and built. Two copies of the database then
take that day: one by `churn load` and a bare `dbt build`, one by `churn daily`, which
also waits, verifies, publishes and tells.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from subprocess import DEVNULL

from benchmarks.running import CommandRun, run_command, run_dbt

DAYS = 366
START = date(2025, 1, 1)
LAST_DAY = START + timedelta(days=DAYS - 1)
VARIABLES = json.dumps({"load_demo_seeds": False})
WITHOUT_UNIT_TESTS = ("build", "--exclude-resource-types", "unit_test")


@dataclass(frozen=True)
class DailyCost:
    """CPU seconds of one day.

    Attributes:
        load: Of `churn load`.
        build: Of the bare `dbt build`.
        daily: Of `churn daily`.
    """

    load: float
    build: float
    daily: float


def measure(accounts: int, folder: Path) -> DailyCost:
    """Measure one day of a demo company.

    Args:
        accounts: Number of accounts.
        folder: An empty folder.
    """
    company, zone = folder / "company", folder / "landing"
    size = [f"--accounts={accounts}", f"--days={DAYS}", f"--start={START}"]
    _churn(folder, "demo", *size, f"--out={company}")
    last = [path for path in company.glob(f"*/*={LAST_DAY}") if path.is_dir()]
    if not last:
        raise RuntimeError(f"The demo company has no files of {LAST_DAY}.")
    held_back = {path: folder / "last" / path.relative_to(company) for path in last}
    for path, place in held_back.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    company.rename(zone)
    _churn(folder, "load", str(zone))
    run_dbt(folder, *WITHOUT_UNIT_TESTS)
    for path, place in held_back.items():
        place.rename(zone / path.relative_to(company))
    other = folder / "daily"
    other.mkdir()
    shutil.copy(folder / "bench.duckdb", other / "bench.duckdb")
    load = _churn(folder, "load", str(zone))
    build = run_dbt(folder, *WITHOUT_UNIT_TESTS)
    daily = _churn(other, "daily", str(zone), "--no-wait", f"--vars={VARIABLES}")
    return DailyCost(load.cpu_seconds, build.cpu_seconds, daily.cpu_seconds)


def print_cost(accounts: int) -> None:
    """Measure, and print the cost of one day."""
    with tempfile.TemporaryDirectory() as name:
        cost = measure(accounts, Path(name))
    print(f"\nOne day of a demo company of {accounts:,} accounts, CPU seconds")
    print(f"{'churn load':30}{cost.load:>8.1f}")
    print(f"{'dbt build':30}{cost.build:>8.1f}")
    print(f"{'churn daily':30}{cost.daily:>8.1f}")
    print(f"{'  against dbt build':30}{cost.daily / cost.build:>8.2f}  at most 1.15")


def _churn(folder: Path, *arguments: str) -> CommandRun:
    environment = {
        "CHURN_DUCKDB_PATH": str(folder / "bench.duckdb"),
        "CHURN_STATE_DIR": str(folder / "state"),
        "CHURN_SERVING_URL": f"sqlite:///{folder / 'serving.db'}",
        # The morning after the last day.
        "CHURN_NOW": f"{LAST_DAY + timedelta(days=1)}T09:00:00",
    }
    command = [sys.executable, "-m", "churn", *arguments]
    run = run_command(command, environment, stdout=DEVNULL)
    # Code 2: something is stale, which costs the same.
    if run.status not in ((0, 2) if arguments[0] == "daily" else (0,)):
        raise RuntimeError(f"churn {arguments[0]} ended with {run.status}")
    return run
