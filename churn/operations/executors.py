"""Ends a run that waits for Spark's executors in vain.

Spark waits for its executors without a limit: if no node takes their pods, a run hangs
until somebody kills it, and no alert says why. The watch cancels Spark's jobs instead,
so that the run fails, says why, and sends its alerts.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from churn.config import UserError

log = logging.getLogger("churn.operations")

WAIT_VARIABLE = "CHURN_SPARK_EXECUTOR_WAIT_MINUTES"
DEFAULT_WAIT_MINUTES = 15.0
POLL_SECONDS = 1.0


def wait_minutes() -> float:
    """Return the minutes that a run may wait without executors.

    Raises:
        UserError: The variable is no positive number.
    """
    text = os.environ.get(WAIT_VARIABLE) or str(DEFAULT_WAIT_MINUTES)
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise UserError(
            f"{WAIT_VARIABLE} must be a positive number of minutes, such as 15: "
            "correct it."
        )
    return minutes


def active_context() -> Any:
    """Return the SparkContext of this process, or ``None``; imports nothing."""
    pyspark = sys.modules.get("pyspark")
    return pyspark and pyspark.SparkContext._active_spark_context


class ExecutorWatch:
    """Watches Spark in a thread while a run is in progress; a context manager.

    Args:
        minutes: How long tasks may wait while there is no executor.
        context: Returns the SparkContext, or ``None``.
        clock: Returns seconds.

    Attributes:
        problem: One sentence if the watch has cancelled jobs, else ``None``.
    """

    def __init__(
        self,
        minutes: float,
        context: Callable[[], Any] = active_context,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem: str | None = None
        self._minutes = minutes
        self._context = context
        self._clock = clock
        self._waiting_since: float | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ExecutorWatch:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._is_over.set()
        self._thread.join()

    def look(self) -> None:
        """Look once; cancel the jobs if they have waited for too long.

        After that, jobs that find no executor are cancelled at once, because later
        models would wait as long again.
        """
        context = self._context()
        if context is None or not _waits(context):
            self._waiting_since = None
            return
        if self._waiting_since is None:
            self._waiting_since = self._clock()
        seconds = self._clock() - self._waiting_since
        if self.problem is None and seconds < 60 * self._minutes:
            return
        if self.problem is None:
            self.problem = (
                f"No Spark executor was running for {self._minutes:g} minutes, so the "
                f"run was stopped: {_remedy(context.master)}."
            )
        context.cancelAllJobs()

    def _run(self) -> None:
        while not self._is_over.wait(POLL_SECONDS):
            try:
                self.look()
            except Exception as error:
                # Spark may end while it is asked.
                log.debug("Spark did not answer: %s.", type(error).__name__)


def _waits(context: Any) -> bool:
    """Return whether tasks wait while a cluster has no executor."""
    if context.master.startswith("local"):
        return False
    # The list of block managers has the driver and the fallback storage, too.
    executors = context._jsc.sc().getExecutorIds().size()
    return executors == 0 and bool(context.statusTracker().getActiveStageIds())


def _remedy(master: str) -> str:
    if master.startswith("k8s://"):
        return (
            "`kubectl get pods --selector spark-role=executor` lists the pods that are "
            "pending, `kubectl describe pod` says why, and docs/kubernetes.md what to "
            "do"
        )
    return f"ask the cluster manager, {master}, why it starts none"
