"""Run the benchmarks: ``python -m benchmarks [benchmark ...] [options]``."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

import duckdb

from benchmarks import clickstream, incremental, labels, model

BENCHMARKS = ["clickstream", "incremental", "labels", "model"]


def main() -> None:
    """Measure and print a table for each benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="benchmark",
        help=f"which to run, of {', '.join(BENCHMARKS)} (default: all)",
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows that the model is tried on"
    )
    parser.add_argument(
        "--batches-kept",
        type=int,
        default=7,
        help="full CRM batches in the raw table when the measured day begins",
    )
    parser.add_argument(
        "--events-a-day",
        type=int,
        default=20_000,
        help="of the incremental benchmark; 200000 takes 15 GB and an hour",
    )
    parser.add_argument(
        "--histories",
        type=int,
        nargs=2,
        default=[30, 365],
        metavar="DAYS",
        help="of the incremental benchmark: the short one and the long one",
    )
    parser.add_argument(
        "--scratch", type=Path, help="folder for large databases (the system's)"
    )
    options = parser.parse_args()
    chosen = options.benchmarks or BENCHMARKS
    for name in chosen:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name}: {', '.join(BENCHMARKS)}")

    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"DuckDB {duckdb.__version__}"
    )
    if "clickstream" in chosen:
        print(f"\nClickstream, {options.records:,} records")
        print(f"{'':40}{'seconds':>10}{'floor':>10}{'ratio':>8}")
        for measured in clickstream.measure(options.records, options.repeats):
            print(
                f"{measured.name:40}{measured.seconds:>10.2f}"
                f"{measured.floor_seconds:>10.2f}{measured.ratio:>8.2f}"
            )
    if "incremental" in chosen:
        print(f"\nA day of {options.events_a_day:,} events on top of a history")
        print(f"{'':46}{'measured':>9}{'against':>9}{'ratio':>8}  target")
        ratios, histories = incremental.measure(
            options.events_a_day, *options.histories, options.scratch
        )
        for measured in ratios:
            print(
                f"{measured.name:46}{measured.measured:>9.2f}"
                f"{measured.compared_with:>9.2f}{measured.ratio:>8.2f}"
                f"  {measured.target} ({measured.unit})"
            )
        for history in histories:
            slowest = sorted(history.day.model_seconds.items(), key=lambda i: -i[1])[:5]
            print(
                f"  a day on {history.days} days, slowest: "
                + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in slowest)
            )
    if "labels" in chosen:
        print(f"\nCRM, {options.accounts:,} accounts")
        print(f"{'':40}{'seconds':>10}{'of CPU':>10}{'peak GB':>10}")
        for measured in labels.measure(options.accounts, options.batches_kept):
            print(
                f"{measured.name:40}{measured.seconds:>10.1f}"
                f"{measured.cpu_seconds:>10.1f}"
                f"{measured.peak_bytes / 1e9:>10.2f}"
            )
            print(f"  {measured.rows}")
            slowest = ", ".join(f"{name} {s:.1f} s" for name, s in measured.slowest)
            print(f"  slowest: {slowest}")
    if "model" in chosen:
        print(f"\nModel, {options.rows:,} rows of {model.FEATURES} features")
        print(f"{'':60}{'value':>10}{'floor':>10}{'ratio':>8}{'bound':>8}")
        for figure in model.measure(options.rows):
            print(
                f"{figure.name:60}{figure.value:>7.1f} {figure.unit:<3}"
                f"{figure.floor:>6.1f} {figure.unit:<3}"
                f"{figure.ratio:>7.2f}{figure.bound:>8.2f}"
            )


if __name__ == "__main__":
    main()
