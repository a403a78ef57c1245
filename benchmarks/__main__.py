"""Run the benchmarks: ``python -m benchmarks [benchmark ...] [options]``."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import os
import platform
import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from benchmarks import (
    clickstream,
    daily,
    incremental,
    labels,
    model,
    page,
    retention,
    scale,
    tools,
    worth,
)

BENCHMARKS = [
    *("clickstream", "tools", "incremental", "labels", "model", "worth", "page"),
    *("retention", "daily", "scale"),
]
RESULTS = Path(__file__).parent / "RESULTS.md"
PICTURE = Path(__file__).parent / "tools.png"
VERSIONS = ["dbt-core", "dbt-duckdb", "xgboost-cpu", "polars", "pandas", "pyspark"]


class _Tee(io.TextIOBase):
    """Writes to stdout and keeps a copy."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        return sys.__stdout__.write(text)

    def flush(self) -> None:
        sys.__stdout__.flush()


def main() -> None:
    """Measure, print a table for each benchmark, and write RESULTS.md if requested."""
    tee = _Tee()
    with contextlib.redirect_stdout(tee):
        is_written = measure_selected()
    if is_written:
        RESULTS.write_text(results("".join(tee.texts)))
        print(f"\nWritten to {RESULTS}")


def results(printed: str) -> str:
    """Return the page of results: machine, versions, command and tables."""
    versions = []
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    command = re.sub(
        # Omit the local scratch folder.
        r" --scratch[ =]\S+",
        "",
        f"python -m benchmarks {shlex.join(sys.argv[1:])}".strip(),
    )
    image = f"\n![Raw files to sessions]({PICTURE.name})\n" if PICTURE.exists() else ""
    return f"""# Results

Written by `make bench`, not edited by hand. Compare ratios, not seconds: all figures of
a table come from one run on one machine.

- {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, \
{memory:.0f} GiB; load averages at the end: {loads}
- Python {platform.python_version()}, DuckDB {duckdb.__version__}, \
{", ".join(versions)}
- `{command}`

```text
{printed.strip()}
```
{image}"""


def measure_selected() -> bool:
    """Measure and print; return whether to write the results."""
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
        "--rows", type=int, default=1_000_000, help="rows of the model benchmark"
    )
    parser.add_argument(
        "--companies",
        type=int,
        default=1000,
        help="accounts of each demo company of the benchmarks of worth and daily",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 1, 2, 3, 4])
    parser.add_argument(
        "--page-accounts",
        type=int,
        default=1_000_000,
        help="accounts of the web page's benchmark",
    )
    parser.add_argument(
        "--retention-accounts",
        type=int,
        default=20_000,
        help="accounts of the company with an experiment",
    )
    parser.add_argument(
        "--requests", type=int, default=1_000, help="requests per kind of page"
    )
    parser.add_argument(
        "--publishes", type=int, default=100, help="publishes under load"
    )
    parser.add_argument(
        "--batches-kept",
        type=int,
        default=7,
        help="number of full CRM batches in the raw table on the measured day",
    )
    parser.add_argument(
        "--events-a-day",
        type=int,
        default=20_000,
        help="events per day of the incremental benchmark; 200000 needs 20 GB and "
        "20 minutes",
    )
    parser.add_argument(
        "--histories",
        type=int,
        nargs=2,
        default=[30, 365],
        metavar="DAYS",
        help="short and long history of the incremental benchmark",
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        help="folder for large databases (default: the system's)",
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[1_000_000, 2_000_000, 5_000_000],
        help="records of the comparison with other tools; 50000000 needs 60 GB",
    )
    parser.add_argument(
        "--scale-sizes",
        type=int,
        nargs="*",
        default=[1_000_000, 2_000_000],
        help="records of the benchmark of growth; 100000000 needs 40 GB",
    )
    parser.add_argument(
        "--scale-memory", help="memory limit of DuckDB in the benchmark of growth"
    )
    parser.add_argument(
        "--forms",
        type=int,
        default=1_000_000,
        help="records of each form in the benchmark of growth; 0 for none",
    )
    parser.add_argument(
        "--cluster-sizes",
        type=int,
        nargs="*",
        default=[500_000],
        help="records on the Spark cluster; none to leave it out",
    )
    parser.add_argument(
        "--write", action="store_true", help=f"write the results to {RESULTS.name}"
    )
    options = parser.parse_args()
    selected = options.benchmarks or BENCHMARKS
    for name in selected:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name}: {', '.join(BENCHMARKS)}")

    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"DuckDB {duckdb.__version__}"
    )
    if "clickstream" in selected:
        print(f"\nClickstream, {options.records:,} records")
        print(f"{'':40}{'seconds':>10}{'floor':>10}{'ratio':>8}")
        for measured in clickstream.measure(options.records, options.repeats):
            print(
                f"{measured.name:40}{measured.seconds:>10.2f}"
                f"{measured.floor_seconds:>10.2f}{measured.ratio:>8.2f}"
            )
    if "tools" in selected:
        print("\nRaw files to sessions, against other tools")
        print(
            f"{'':28}{'records':>12}{'seconds':>9}{'CPU s':>9}"
            f"{'peak GB':>9}{'ratio':>8}"
        )
        measured_tools = tools.measure(options.sizes, options.scratch)
        floors = {
            each.records: each.seconds
            for each in measured_tools
            if each.tool.startswith(tools.FLOOR)
        }
        for each in measured_tools:
            cpu = "-" if each.cpu_seconds is None else f"{each.cpu_seconds:.1f}"
            peak = "-" if each.peak_bytes is None else f"{each.peak_bytes / 1e9:.2f}"
            print(
                f"{each.tool:28}{each.records:>12,}{each.seconds:>9.1f}{cpu:>9}"
                f"{peak:>9}{each.seconds / floors[each.records]:>8.2f}"
            )
        if options.write:
            tools.draw(measured_tools, PICTURE)
    if "incremental" in selected:
        print(f"\nA day of {options.events_a_day:,} events on top of a history")
        print(f"{'':51}{'measured':>9}{'baseline':>9}{'ratio':>8}  target")
        ratios, histories = incremental.measure(
            options.events_a_day, *options.histories, options.scratch
        )
        for measured in ratios:
            print(
                f"{measured.name:51}{measured.measured:>9.2f}"
                f"{measured.compared_with:>9.2f}{measured.ratio:>8.2f}"
                f"  {measured.target} ({measured.unit})"
            )
        for history in histories:
            slowest = sorted(history.day.model_seconds.items(), key=lambda i: -i[1])[:5]
            print(
                f"  a day on {history.days} days, slowest: "
                + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in slowest)
            )
    if "labels" in selected:
        print(f"\nCRM, {options.accounts:,} accounts")
        print(f"{'':40}{'seconds':>10}{'CPU s':>10}{'peak GB':>10}")
        for measured in labels.measure(options.accounts, options.batches_kept):
            print(
                f"{measured.name:40}{measured.seconds:>10.1f}"
                f"{measured.cpu_seconds:>10.1f}"
                f"{measured.peak_bytes / 1e9:>10.2f}"
            )
            print(f"  {measured.rows}")
            slowest = ", ".join(f"{name} {s:.1f} s" for name, s in measured.slowest)
            print(f"  slowest: {slowest}")
    if "model" in selected:
        print(f"\nModel, {options.rows:,} rows of {model.FEATURES} features")
        print(f"{'':60}{'value':>10}{'floor':>10}{'ratio':>8}{'bound':>8}")
        for figure in model.measure(options.rows):
            print(
                f"{figure.name:60}{figure.value:>7.1f} {figure.unit:<3}"
                f"{figure.floor:>6.1f} {figure.unit:<3}"
                f"{figure.ratio:>7.2f}{figure.bound:>8.2f}"
            )
    if "worth" in selected:
        print(f"\nWorth of the model, demo companies of {options.companies:,} accounts")
        companies = worth.measure(options.companies, options.seeds, options.scratch)
        for line in worth.report(companies):
            print(line, flush=True)

    if "page" in selected:
        page.print_page(options.page_accounts, options.requests, options.publishes)

    if "retention" in selected:
        retention.print_outcome(options.retention_accounts)

    if "daily" in selected:
        daily.print_cost(options.companies)

    if "scale" in selected:
        scale.print_growth(
            options.scale_sizes,
            options.forms,
            options.cluster_sizes,
            options.scratch,
            options.scale_memory,
        )

    return options.write


if __name__ == "__main__":
    main()
