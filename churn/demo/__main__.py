"""Command line of the demo company: ``python -m churn demo --help``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from churn.demo.generate import ProgressLine, generate
from churn.demo.settings import Settings


class _Parser(argparse.ArgumentParser):
    """Prints an error as one sentence, without the usage."""

    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"{self.prog}: {message}.", file=sys.stderr)
        raise SystemExit(2)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.seeds:
        from churn.demo.seeds import write_seeds

        size = write_seeds(options.out or Path("seeds"))
        print(f"Wrote the seeds: {size:,} bytes in {options.out or 'seeds'}")
        return 0
    if options.out is None:
        parser.error("name the folder to write with --out DIR")
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"--out {options.out} is a file, not a folder")
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"--out {options.out} is not empty: name a new folder")

    settings = Settings(
        accounts=options.accounts,
        days=options.days,
        seed=options.seed,
        start=options.start,
        dialect=options.dialect,
        is_reversed=options.reversed,
    )
    started = time.monotonic()
    try:
        records = generate(settings, options.out, options.workers, ProgressLine())
    except KeyboardInterrupt:
        print("\nchurn.demo: stopped; nothing was written.", file=sys.stderr)
        return 130
    except OSError as error:
        print(
            f"churn.demo: cannot write {error.filename or options.out}: "
            f"{error.strerror or error}.",
            file=sys.stderr,
        )
        return 1
    print(
        f"Wrote {records:,} clickstream records of {settings.accounts:,} accounts over "
        f"{settings.days:,} days to {options.out} in {time.monotonic() - started:.1f} s"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m churn.demo",
        description="Generate a demo company: a landing zone of all five sources, "
        "with dirty records, and the truth for evaluation.",
        epilog="`python -m churn demo --seeds` rewrites the small company in seeds/.",
    )
    parser.add_argument(
        "--accounts",
        type=_between(1, 2_000_000),
        default=1_000,
        help="customer companies (default 1000)",
    )
    parser.add_argument(
        "--days",
        type=_between(1, 3_650),
        default=365,
        help="days to simulate (default 365)",
    )
    parser.add_argument(
        "--seed",
        type=_between(0, 2**31 - 1),
        default=7,
        help="seed of every random draw (default 7)",
    )
    parser.add_argument("--out", type=Path, help="folder to write; must be new")
    parser.add_argument(
        "--start",
        type=_day,
        default=date(2025, 1, 1),
        help="first day (default 2025-01-01)",
    )
    parser.add_argument(
        "--workers",
        type=_between(1, 256),
        default=None,
        help="processes (default: one per core); the output does not depend on it",
    )
    parser.add_argument(
        "--dialect",
        choices=["dates", "flags"],
        default="dates",
        help="how the CRM marks cancellations and restarts (default dates)",
    )
    parser.add_argument(
        "--reversed",
        action="store_true",
        help="unhappy accounts behave as happy ones do otherwise",
    )
    parser.add_argument(
        "--seeds", action="store_true", help="write the small company as dbt seeds"
    )
    return parser


def _between(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of integers from ``low`` to ``high``, inclusive."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {low} to {high}"
            )
        return number

    return parse


def _day(text: str) -> date:
    """Parse a date from 2011 on; earlier event times are rejected as implausible."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if not date(2011, 1, 1) <= day <= date(2100, 1, 1):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a day YYYY-MM-DD from 2011-01-01 to 2100-01-01"
        )
    return day


if __name__ == "__main__":
    sys.exit(main())
