"""Scores a range of past days: ``python -m churn.backfill --from DAY --to DAY``.

Each day is scored as it would have been scored then, from what was known then,
and is appended to ``churn_score_history``. The model is the champion of today,
or the one that ``--model`` names. In the end ``churn_scores`` holds the latest
day again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What follows from the as-of date, up to the scores. Nothing is learnt: a model
# of today must not be replaced by one that knows less.
_LINE = [
    "run",
    "--select",
    "int_as_of_dates+,+churn_score_history",
    "--exclude",
    "churn_models",
    "churn_training_set",
    "churn_labels",
]
# How `say_if_not_decided` begins to say why a day cannot be scored.
_REFUSALS = ("is not decided yet", "cannot be scored")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m churn.backfill")
    parser.description = __doc__.split("\n\n", 1)[1] if __doc__ else None
    parser.add_argument("--from", type=_day, required=True, dest="first", metavar="DAY")
    parser.add_argument("--to", type=_day, required=True, dest="last", metavar="DAY")
    parser.add_argument(
        "--every", type=int, default=1, metavar="DAYS", help="days apart (default 1)"
    )
    parser.add_argument(
        "--model", metavar="VERSION", help="model_version that scores (the champion)"
    )
    parser.add_argument(
        "--vars", type=_object, default={}, help="further dbt variables, as JSON"
    )
    options = parser.parse_args(arguments)
    if options.last < options.first or options.every < 1:
        parser.error("--to must not lie before --from, and --every must be 1 or more")

    variables = dict(options.vars)
    if options.model:
        variables["champion_model_version"] = options.model
    problem = None
    for day in _days(options.first, options.last, options.every):
        problem = _score({**variables, "as_of_date": str(day)})
        if problem:
            break
        print(f"{day} is scored.", flush=True)
    # Whatever happened, the table that people read is about today.
    problem = _score(variables) or problem
    if problem:
        print(problem, file=sys.stderr)
        return 1
    print("churn_score_history holds these days; churn_scores holds the latest one.")
    return 0


def _days(first: date, last: date, every: int) -> Iterator[date]:
    """The days from ``first`` to ``last``, both included, ``every`` days apart."""
    while first <= last:
        yield first
        first += timedelta(days=every)


def _score(variables: dict[str, object]) -> str | None:
    """Score one day; return a sentence if that cannot be done."""
    finished = subprocess.run(
        [
            str(Path(sys.executable).parent / "dbt"),
            "--no-use-colors",
            "--log-format=text",
            *_LINE,
            "--vars",
            json.dumps(variables),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        return finished.stdout.strip() or finished.stderr.strip()
    for line in finished.stdout.splitlines():
        if any(refusal in line for refusal in _REFUSALS):
            # Without the time of day that dbt puts before it.
            return line.split("  ", 1)[-1].split(", and is scored")[0].strip(". ") + "."
    return None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day like 2025-03-01") from None


def _object(text: str) -> dict[str, object]:
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"{text} is no JSON object") from None


if __name__ == "__main__":
    sys.exit(main())
