"""Score a range of past days: ``python -m churn backfill --from DAY --to DAY``.

Each day is scored with the data that was available on that day and appended to
``churn_score_history``. The model is the current champion, or the one given by
``--model``. At the end, ``churn_scores`` holds the latest day again.
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

ROOT = Path(__file__).resolve().parents[2]

# Select the models between the as-of date and the scores. No model is trained, because
# a champion of today must not be replaced by one with less data.
_SCORING_COMMAND = [
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
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m churn backfill")
    parser.description = __doc__.split("\n\n", 1)[1] if __doc__ else None
    parser.add_argument("--from", type=_day, required=True, dest="first", metavar="DAY")
    parser.add_argument("--to", type=_day, required=True, dest="last", metavar="DAY")
    parser.add_argument(
        "--every", type=int, default=1, metavar="DAYS", help="days apart (default 1)"
    )
    parser.add_argument(
        "--model", metavar="VERSION", help="model_version to score with (champion)"
    )
    parser.add_argument(
        "--vars", type=_object, default={}, help="more dbt variables, as JSON"
    )
    options = parser.parse_args(arguments)
    if options.last < options.first or options.every < 1:
        parser.error("--to must not be before --from, and --every must be at least 1")

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
    print("churn_score_history holds these days; churn_scores holds the latest day.")
    return 0


def _days(first: date, last: date, every: int) -> Iterator[date]:
    """Yield the days from ``first`` to ``last`` inclusive, ``every`` days apart."""
    while first <= last:
        yield first
        first += timedelta(days=every)


def _score_all(days: Iterator[date], variables: dict[str, object]) -> str | None:
    """Score each day, then the latest; return a sentence if one cannot be scored."""
    # Parse once, which takes longer than scoring a day. No model's configuration
    # depends on the as-of date.
    parsed, problem = _dbt(None, ["parse"], variables)
    if problem:
        return problem
    for day in days:
        _, problem = _dbt(
            parsed.result, _SCORING_COMMAND, {**variables, "as_of_date": str(day)}
        )
        if problem:
            break
        print(f"{day} is scored.", flush=True)
    # Restore the scores of the latest day, even after a problem.
    _, problem_today = _dbt(parsed.result, _SCORING_COMMAND, variables)
    return problem or problem_today


def _dbt(
    manifest: Manifest | None, command: list[str], variables: dict[str, object]
) -> tuple[dbtRunnerResult, str | None]:
    """Run one dbt command; also return a sentence if it failed."""
    events: list[EventMsg] = []
    finished = dbtRunner(manifest, [events.append]).invoke(
        [
            "--no-use-colors",
            "--log-level=none",
            *command,
            "--vars",
            json.dumps(variables),
        ]
    )
    if not finished.success:
        errors = [event.info.msg for event in events if event.info.level == "error"]
        return finished, "\n".join(errors) or str(finished.exception)
    for event in events:
        if any(refusal in event.info.msg for refusal in _REFUSALS):
            sentence = event.info.msg.replace("latest final date, ", "latest one is ")
            return finished, sentence.replace(", is scored instead", "")
    return finished, None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is not a date like 2025-03-01"
        ) from None


def _object(text: str) -> dict[str, object]:
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"{text} is not a JSON object") from None


if __name__ == "__main__":
    sys.exit(main())
