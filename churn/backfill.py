"""Scores a range of past days: ``python -m churn.backfill --from DAY --to DAY``.

Each day is scored as it would have been scored then, from what was known then,
and is appended to ``churn_score_history``. The model is the champion of today,
or the one that ``--model`` names. In the end ``churn_scores`` holds the latest
day again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt_common.events.base_types import EventMsg

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
# Texts in the warning of `warn_if_as_of_date_not_final`.
_REFUSALS = ("is not final yet", "cannot be scored")


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
    with contextlib.chdir(ROOT):
        problem = _score_all(
            _days(options.first, options.last, options.every), variables
        )
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


def _score_all(days: Iterator[date], variables: dict[str, object]) -> str | None:
    """Score each day, then the latest; return a sentence if one cannot be scored."""
    # Parsed once, which takes longer than a day does: the as-of date matters to no
    # model's configuration.
    parsed, problem = _dbt(None, ["parse"], variables)
    if problem:
        return problem
    for day in days:
        _, problem = _dbt(parsed.result, _LINE, {**variables, "as_of_date": str(day)})
        if problem:
            break
        print(f"{day} is scored.", flush=True)
    # Whatever happened, the table that people read is about today.
    _, problem_today = _dbt(parsed.result, _LINE, variables)
    return problem or problem_today


def _dbt(
    manifest: Manifest | None, command: list[str], variables: dict[str, object]
) -> tuple[dbtRunnerResult, str | None]:
    """Run one dbt command; also return a sentence if it did not do what it should."""
    said: list[EventMsg] = []
    finished = dbtRunner(manifest, [said.append]).invoke(
        [
            "--no-use-colors",
            "--log-level=none",
            *command,
            "--vars",
            json.dumps(variables),
        ]
    )
    if not finished.success:
        errors = [event.info.msg for event in said if event.info.level == "error"]
        return finished, "\n".join(errors) or str(finished.exception)
    for event in said:
        if any(refusal in event.info.msg for refusal in _REFUSALS):
            sentence = event.info.msg.split(", and is scored")[0].strip(". ") + "."
            return finished, sentence
    return finished, None


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
