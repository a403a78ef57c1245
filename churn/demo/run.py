"""Run all steps on a demo company: ``python -m churn run``.

Generate the company's landing zone, load it into the DuckDB file, build the dbt project
and print the summary. A second run finds all files loaded and builds nothing new.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"

# dbt events that repeat a warning at the end of the run. The project's hook has already
# explained it.
ALREADY_EXPLAINED = {"RunResultWarning", "RunResultWarningMessage"}


def main(arguments: list[str] | None = None) -> int:
    """Run all steps; return the exit code of the first that fails, or 0."""
    parser = argparse.ArgumentParser(prog="python -m churn run", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    # Subprocesses print too, so flush each line to keep the order.
    sys.stdout.reconfigure(line_buffering=True)

    company = f"{options.accounts}-accounts-{options.days}-days-seed-{options.seed}"
    landing_zone = DATA / company
    problem = _other_company_in_database(company)
    if problem:
        print(problem, file=sys.stderr)
        return 1

    started = time.monotonic()
    print(f"== 1/4 A demo company: {options.accounts} accounts, {options.days} days")
    if _is_complete(landing_zone):
        print(f"   already generated: {landing_zone.relative_to(ROOT)}")
    else:
        code = _python(
            "churn.demo",
            f"--accounts={options.accounts}",
            f"--days={options.days}",
            f"--seed={options.seed}",
            f"--out={landing_zone}",
        )
        if code:
            return code
        (landing_zone / "COMPLETE").touch()

    print("== 2/4 Loading its files into the raw tables")
    DATA.mkdir(exist_ok=True)
    _marker().write_text(json.dumps({"company": company}) + "\n")
    code = _python("churn", "load", str(landing_zone))
    if code:
        return code

    print("== 3/4 From raw records to scores: dbt build")
    code = _dbt_build()
    if code:
        return code

    print("== 4/4 The result")
    code = _python("churn", "summary")
    print(f"Done in {time.monotonic() - started:.0f} seconds.")
    return code


def database_path() -> Path:
    """Return the DuckDB file, the same as in ``profiles.yml``."""
    return Path(os.environ.get("CHURN_DUCKDB_PATH", "churn.duckdb"))


def _marker() -> Path:
    """Return the file that names the demo company in the database."""
    return DATA / f"loaded-into-{database_path().stem}.json"


def _other_company_in_database(company: str) -> str | None:
    """Return a sentence if the database holds another company, else ``None``."""
    if not database_path().exists() or not _marker().exists():
        return None
    loaded = json.loads(_marker().read_text())["company"]
    if loaded == company:
        return None
    return (
        f"{database_path()} already holds the demo company {loaded}: delete that "
        "file, or set CHURN_DUCKDB_PATH to another one."
    )


def _is_complete(landing_zone: Path) -> bool:
    return (landing_zone / "COMPLETE").exists()


def _python(module: str, *arguments: str) -> int:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _dbt_build() -> int:
    """Run ``dbt build`` and show one line of progress instead of one per test.

    Warnings and errors are shown in full. The complete log is in ``logs/``.
    """
    dbt = Path(sys.executable).parent / "dbt"
    command = [
        str(dbt),
        "--log-format=json",
        "--no-use-colors",
        "build",
        "--exclude=resource_type:seed",
    ]
    # Read line by line, so that progress is shown as it happens.
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        progress = Progress()
        for line in run.stdout or ():
            progress.read(line)
        progress.finish()
    return run.returncode


class Progress:
    """Prints the progress, warnings and errors of dbt's JSON log."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._tenths_shown = 0
        self._line_width = 0

    def read(self, line: str) -> None:
        """Process one line of dbt's JSON log, or of a model's own output."""
        try:
            event = json.loads(line)
            info, data = event["info"], event["data"]
        except (ValueError, KeyError, TypeError):
            self._print(line.rstrip())
            return
        is_result = info["name"] in {"LogModelResult", "LogTestResult"}
        if info["level"] == "error" or info["name"] == "JinjaLogInfo":
            self._print(info["msg"])
        elif is_result:
            # dbt uses different fields for the total of models and of tests.
            total = data.get("total") or data["num_models"]
            self._count(data["index"], total, data["node_info"]["node_name"])
        elif info["name"] == "MainReportVersion":
            self._print(f"dbt {info['msg'].strip()}")
        elif info["level"] == "warn" and info["name"] not in ALREADY_EXPLAINED:
            self._print(info["msg"])

    def finish(self) -> None:
        """End the line of progress."""
        if self._line_width:
            print()
            self._line_width = 0

    def _count(self, done: int, total: int, name: str) -> None:
        text = f"   {done} of {total}"
        if self._is_terminal:
            text = f"{text}  {name}"[:78]
            print(f"\r{text:<{self._line_width}}", end="", flush=True)
            self._line_width = len(text)
        elif 10 * done // total > self._tenths_shown:
            self._tenths_shown = 10 * done // total
            print(text, flush=True)

    def _print(self, text: str) -> None:
        if not text.strip():
            return
        self.finish()
        for line in text.strip().splitlines():
            print(
                textwrap.fill(line, 79, initial_indent="   ", subsequent_indent="   ")
            )
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
