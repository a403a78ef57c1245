"""`churn daily` under Airflow 3, one task for each step.

Airflow has its own environment. This file imports nothing of the project; each task
calls the command ``churn daily --steps STEP`` with the run id of the DAG run.

| variable | meaning |
|---|---|
| ``CHURN_COMMAND`` | the command, such as ``/opt/churn/.venv/bin/churn`` |
| ``CHURN_PROJECT_DIR`` | the folder of dbt_project.yml |
| ``CHURN_LANDING_ZONE`` | the folder to load; none if others load the raw tables |
| ``CHURN_SCHEDULE`` | the cron schedule in UTC; default ``15 6 * * *`` |
| ``CHURN_RETRY_SECONDS`` | seconds before a failed task is tried again; default 300 |

The pool ``churn_writer`` needs one slot, because a DuckDB file has one writer:
``airflow pools set churn_writer 1 "Steps of churn daily"``.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, TriggerRule

SOURCES = ("clickstream", "crm", "contacts", "billing", "support")
# `churn daily` exits with 2 if a source or the scores are late or stale.
LATE = 2


def step(task_id: str, *arguments: str, **settings: Any) -> BashOperator:
    """Return the task of one step.

    Values reach the command as environment variables, never as shell text.

    Args:
        task_id: The task's name.
        arguments: Arguments of `churn daily`, from this file only.
        settings: Settings of the operator.
    """
    command = '"${CHURN_COMMAND:-churn}" daily'
    folder = '${CHURN_LANDING_ZONE:+"$CHURN_LANDING_ZONE"}'
    options = '--run-id "$CHURN_RUN_ID" --as-of "$CHURN_AS_OF" --json'
    return BashOperator(
        task_id=task_id,
        bash_command=(
            f'cd "${{CHURN_PROJECT_DIR:-.}}" && exec {command} {folder} {options} '
            + " ".join(arguments)
        ),
        env={"CHURN_RUN_ID": "{{ run_id }}", "CHURN_AS_OF": "{{ ds }}"},
        append_env=True,
        # The log has JSON lines; the return value of a task is not used.
        do_xcom_push=False,
        **settings,
    )


with DAG(
    dag_id="churn_daily",
    # The data of a day are complete `allowed_lateness_hours` after midnight.
    schedule=os.environ.get("CHURN_SCHEDULE", "15 6 * * *"),
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    # The next run scores the days that were missed.
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(
            seconds=int(os.environ.get("CHURN_RETRY_SECONDS", "300"))
        ),
        "execution_timeout": timedelta(hours=3),
    },
    doc_md=__doc__,
    tags=["churn"],
) as dag:
    waits = [
        # A source that does not arrive in time is skipped: the run goes on without it.
        step(
            f"wait_for_{source}",
            f"--steps wait --source {source}",
            skip_on_exit_code=LATE,
            retries=0,
        )
        for source in SOURCES
    ]
    load = step(
        "load", "--steps load", pool="churn_writer", trigger_rule=TriggerRule.ALL_DONE
    )
    build = step("build", "--steps build", pool="churn_writer")
    catch_up = step("catch_up", "--steps catch_up", pool="churn_writer")
    verify = step(
        "verify",
        "--steps verify",
        pool="churn_writer",
        skip_on_exit_code=LATE,
        retries=0,
    )
    publish = step(
        "publish",
        "--steps publish",
        pool="churn_writer",
        outlets=[Asset("churn://churn_scores")],
    )
    # The last task fails if the run failed or is stale, and with it the DAG run.
    tell = step(
        "notify",
        "--steps notify",
        pool="churn_writer",
        retries=0,
        trigger_rule=TriggerRule.ALL_DONE,
    )
    waits >> load >> build >> catch_up >> [verify, publish] >> tell
