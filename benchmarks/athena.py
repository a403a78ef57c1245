"""Bytes that a daily run on Athena reads, as a share of a full refresh.

Amazon bills a query by the bytes that it reads from S3. This benchmark runs on the
local Athena of the tests, where Trino counts the bytes: ``python -m benchmarks.athena``
(needs `make trino`).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST_DAY = datetime.date(2025, 1, 1)


def main() -> None:
    """Build a year without its last days, then each last day, then a full refresh."""
    from tests.athena.landing import make_landing_zone, upload
    from tests.athena_local.local import LAKE, LocalCloud

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.athena", description=__doc__
    )
    parser.add_argument("--accounts", type=int, default=60)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument(
        "--daily-runs", type=int, default=1, help="number of days to run separately"
    )
    parser.add_argument("--by-model", action="store_true", help="print bytes by model")
    options = parser.parse_args()
    days = [FIRST_DAY + datetime.timedelta(number) for number in range(options.days)]
    daily_days = days[-options.daily_runs :]

    with tempfile.TemporaryDirectory() as scratch, LocalCloud() as cloud:
        zone = make_landing_zone(Path(scratch) / "zone", options.accounts, options.days)
        run = _Runner(cloud, Path(scratch))
        # Exclude training, because it reads no clickstream.
        models = ["run", "--exclude", "churn_models+"]
        upload(cloud, zone, "landing", _is_between("", str(daily_days[0])))
        run("seed", "--select", "event_names", "offers", "products")
        run(
            "run-operation",
            "create_raw_tables",
            "--args",
            f"{{location: s3://lake/landing, first_day: {FIRST_DAY}, "
            f"last_day: {days[-1] + datetime.timedelta(2)}}}",
        )
        run(*models)
        # The project finds new files by modification time, so date each file on its
        # day instead of now.
        cloud.aws.age(LAKE, "landing/")
        bytes_by_day = {}
        # Files after the end of the year belong to its last day.
        for day, end in zip(
            daily_days, [*daily_days[1:], datetime.date.max], strict=True
        ):
            upload(cloud, zone, "landing", _is_between(str(day), str(end)))
            bytes_by_day[day] = run(*models, print_by_model=options.by_model)
        full = run(*models, "--full-refresh", print_by_model=options.by_model)
        print(f"{options.accounts} accounts, {options.days} days:")
        for day, bytes_read in bytes_by_day.items():
            print(
                f"the run of {day} reads {bytes_read:,} bytes, a full refresh "
                f"{full:,}: {bytes_read / full:.1%}"
            )


def _is_between(first: str, end: str) -> Callable[[str], bool]:
    """Return a function that tests whether a day is in [`first`, `end`)."""
    return lambda day: first <= day < end


class _Runner:
    """Runs dbt on the local Athena and counts the bytes read."""

    def __init__(self, cloud, folder: Path) -> None:
        self._cloud = cloud
        self._environment = {
            **os.environ,
            **cloud.environment,
            "DBT_PROFILES_DIR": str(ROOT),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        self._variables = json.dumps({"load_demo_seeds": False})

    def __call__(self, *arguments: str, print_by_model: bool = False) -> int:
        """Run one dbt command and return the bytes that it read.

        Raises:
            SystemExit: dbt failed; its output has been printed.
        """
        previous_ids = set(self._cloud.athena.executions)
        started = time.perf_counter()
        finished = subprocess.run(
            [
                str(Path(sys.executable).parent / "dbt"),
                "--quiet",
                *arguments,
                "--vars",
                self._variables,
            ],
            cwd=ROOT,
            env=self._environment,
            check=False,
        )
        if finished.returncode:
            raise SystemExit(f"dbt {' '.join(arguments)} failed")
        new = [
            execution
            for execution_id, execution in self._cloud.athena.executions.items()
            if execution_id not in previous_ids
        ]
        bytes_read = sum(execution.outcome.scanned_bytes for execution in new)
        print(
            f"dbt {' '.join(arguments[:3])}: {bytes_read:,} bytes in "
            f"{time.perf_counter() - started:.0f} s"
        )
        if print_by_model:
            by_model: Counter[str] = Counter()
            for execution in new:
                comment = execution.sql.partition("\n")[0]
                name = comment.rpartition('"node_id": "')[2].partition('"')[0]
                by_model[name] += execution.outcome.scanned_bytes
            for name, count in by_model.most_common(15):
                print(f"   {count:12,} {name}")
        return bytes_read


if __name__ == "__main__":
    main()
