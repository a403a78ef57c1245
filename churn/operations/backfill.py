"""Scores a range of past days: ``churn backfill``.

Each day is scored with the data that was available on that day and appended to
``churn_score_history``. The model is the current champion, or the one that is given. At
the end, ``churn_scores`` holds the latest day again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from churn.config import Project
from churn.operations.dbt_runner import DbtError, run_dbt
from churn.operations.runs import Journal, state_folder

# Select the models between the as-of date and the scores. No model is trained, because
# a champion of today must not be replaced by one with less data.
_SCORING_COMMAND = [
    "run",
    # Writing the manifest takes longer than several models.
    "--no-write-json",
    "--select",
    "int_as_of_dates+,+churn_score_history",
    "--exclude",
    "churn_models",
    "churn_training_set",
    "churn_labels",
    # A past day changes no experiment.
    "int_experiment_outcomes",
    "int_experiment_arms",
    "experiment_results",
]


def backfill_days(first: date, last: date, every: int = 1) -> list[date]:
    """Return the days from ``first`` to ``last`` inclusive, ``every`` days apart."""
    count = (last - first).days // every + 1
    return [first + timedelta(days=every * number) for number in range(count)]


def backfill(
    project: Project,
    days: Sequence[date],
    variables: Mapping[str, Any] | None = None,
    on_scored: Callable[[date], None] = lambda _: None,
) -> None:
    """Score each day, then the latest day.

    Args:
        project: The project to score in.
        days: The days to score, in order.
        variables: dbt's ``--vars``, such as ``champion_model_version``.
        on_scored: Called after each scored day.

    Raises:
        DbtError: A day cannot be scored. Earlier days are kept.
    """
    variables = dict(variables or {})
    # The latest day is that of the last daily run, also if no record has arrived since.
    built_at = Journal(state_folder(project)).built_at()
    if built_at is not None:
        variables.setdefault("loaded_through", f"{built_at:%Y-%m-%d %H:%M:%S}")
    # Parse once, which takes longer than scoring a day. No model's configuration
    # depends on the as-of date.
    manifest = run_dbt(project, ["parse"], variables).result
    try:
        for day in days:
            _score(project, manifest, {**variables, "as_of_date": str(day)})
            on_scored(day)
    finally:
        # Restore the scores of the latest day, even after a problem.
        _score(project, manifest, variables)


def _score(project: Project, manifest: Any, variables: Mapping[str, Any]) -> None:
    messages: list[str] = []
    try:
        run_dbt(
            project,
            _SCORING_COMMAND,
            variables,
            manifest,
            on_message=messages.append,
        )
    except DbtError as error:
        lines = [line.strip() for text in messages for line in text.splitlines()]
        refusals = [line for line in lines if line.startswith("The as_of_date ")]
        raise DbtError("\n".join(refusals[:1] or messages) or str(error)) from error
