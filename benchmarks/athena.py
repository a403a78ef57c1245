"""What a daily run on Athena reads, as a share of what a full refresh reads.

Amazon bills a query by the bytes that it reads from S3. Here Trino counts them, on
the local Athena of the tests: ``python -m benchmarks.athena`` (needs `make trino`).
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

sys.path.append(str(ROOT / "tests" / "athena"))


def main() -> None:
    """Build a year but for its last days, then those one by one, then all again."""
    from landing import make_landing_zone, upload

    from tests.athena_local.local import LAKE, LocalCloud

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.athena", description=__doc__
    )
    parser.add_argument("--accounts", type=int, default=60)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument(
        "--daily-runs", type=int, default=1, help="days of the year that are run alone"
    )
    parser.add_argument("--by-model", action="store_true", help="what each model read")
    options = parser.parse_args()
    days = [FIRST_DAY + datetime.timedelta(number) for number in range(options.days)]
    days_alone = days[-options.daily_runs :]

    with tempfile.TemporaryDirectory() as scratch, LocalCloud() as cloud:
        zone = make_landing_zone(Path(scratch) / "zone", options.accounts, options.days)
        run = _Runner(cloud, Path(scratch))
        # A company's bill is that of its clickstream: training reads none of it.
        models = ["run", "--exclude", "churn_models+"]
        upload(cloud, zone, "landing", _is_between("", str(days_alone[0])))
        run("seed", "--select", "event_names", "offers")
        run(
            "run-operation",
            "create_raw_tables",
            "--args",
            f"{{location: s3://lake/landing, first_day: {FIRST_DAY}, "
            f"last_day: {days[-1] + datetime.timedelta(2)}}}",
        )
        run(*models)
        # Which files are new is told by when they were written: each on its day, not
        # all of a year just now.
        cloud.aws.age(LAKE, "landing/")
        daily = {}
        # What lands after the year's end is of its last day.
        for day, end in zip(
            days_alone, [*days_alone[1:], datetime.date.max], strict=True
        ):
            upload(cloud, zone, "landing", _is_between(str(day), str(end)))
            daily[day] = run(*models, tell=options.by_model)
        full = run(*models, "--full-refresh", tell=options.by_model)
        print(f"{options.accounts} accounts, {options.days} days:")
        for day, read in daily.items():
            print(
                f"the run of {day} reads {read:,} bytes, a full refresh {full:,}: "
                f"{read / full:.1%}"
            )


def _is_between(first: str, end: str) -> Callable[[str], bool]:
    """Whether a day is `first` or later, and before `end`."""
    return lambda day: first <= day < end


class _Runner:
    """Runs dbt on the local Athena, and says what it read."""

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

    def __call__(self, *arguments: str, tell: bool = False) -> int:
        """The bytes that one dbt command reads.

        Raises:
            SystemExit: dbt failed; what it said is shown.
        """
        known = set(self._cloud.athena.executions)
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
            for id_, execution in self._cloud.athena.executions.items()
            if id_ not in known
        ]
        read = sum(execution.outcome.scanned_bytes for execution in new)
        print(
            f"dbt {' '.join(arguments[:3])}: {read:,} bytes in "
            f"{time.perf_counter() - started:.0f} s"
        )
        if tell:
            by_model: Counter[str] = Counter()
            for execution in new:
                comment = execution.sql.partition("\n")[0]
                name = comment.rpartition('"node_id": "')[2].partition('"')[0]
                by_model[name] += execution.outcome.scanned_bytes
            for name, count in by_model.most_common(15):
                print(f"   {count:12,} {name}")
        return read


if __name__ == "__main__":
    main()
