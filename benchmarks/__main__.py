"""Run the benchmarks: ``python -m benchmarks [--records N] [--repeats N]``."""

from __future__ import annotations

import argparse
import os
import platform

import duckdb

from benchmarks import clickstream


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"DuckDB {duckdb.__version__}, {options.records:,} records"
    )
    print(f"{'':40}{'seconds':>10}{'floor':>10}{'ratio':>8}")
    for measured in clickstream.measure(options.records, options.repeats):
        print(
            f"{measured.name:40}{measured.seconds:>10.2f}"
            f"{measured.floor_seconds:>10.2f}{measured.ratio:>8.2f}"
        )


if __name__ == "__main__":
    main()
