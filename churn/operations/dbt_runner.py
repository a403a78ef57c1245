"""Runs dbt commands in this process, with progress and messages from dbt's events.

dbt's import takes seconds, so several commands of one process share it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from churn.config import Project, UserError, check_database, disk_remedy

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.events.base_types import EventMsg

# Receives a node's name, the number of finished nodes and their total.
Progress = Callable[[str, int, int], None]
Message = Callable[[str], None]

# Builds without unit tests, which prove the SQL on fixed rows, whatever the data.
BUILD = ("build", "--exclude-resource-types=unit_test")
_RESULTS = {"LogModelResult", "LogTestResult", "LogSeedResult"}
# Events that repeat a warning at the end of the run, which the project's hook has
# already explained, or an exception that `run_dbt` raises.
_REPEATED = {
    "RunResultWarning",
    "RunResultWarningMessage",
    "MainEncounteredError",
    "MainStackTrace",
}


class DbtError(UserError):
    """Report a dbt command that failed.

    Attributes:
        results: The results of its nodes, if it ran any.
    """

    def __init__(self, message: str, results: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.results = results


def run_dbt(
    project: Project,
    command: list[str],
    variables: Mapping[str, Any] | None = None,
    manifest: Manifest | None = None,
    on_progress: Progress | None = None,
    on_message: Message | None = None,
) -> dbtRunnerResult:
    """Run one dbt command on a project's target and release the DuckDB file.

    Args:
        project: The project; dbt runs in its `work_dir`.
        command: The command and its options, such as ``["build"]``.
        variables: dbt's ``--vars``.
        manifest: The parsed project of an earlier command, to save the parsing.
        on_progress: Called after each finished node.
        on_message: Called with each error, each warning and each line that a macro
            logs.

    Returns:
        dbt's result.

    Raises:
        DbtError: The command failed. If ``on_message`` is given, the errors have been
            passed to it.
        UserError: The database cannot be opened.
        KeyboardInterrupt: The command was interrupted.
    """
    if project.adapter == "duckdb":
        check_database(project)
    # Importing dbt takes seconds, so report a database that cannot be used before.
    from dbt.cli.main import dbtRunner

    listener = _Listener(on_progress, on_message)
    arguments = [
        "--no-use-colors",
        "--log-level=none",
        *command,
        f"--project-dir={project.project_dir}",
        f"--profiles-dir={project.profiles_dir}",
        f"--target={project.target}",
    ]
    if project.work_dir != project.project_dir:
        arguments.append(f"--target-path={project.target_path}")
        arguments.append(f"--log-path={project.work_dir / 'logs'}")
    if variables:
        arguments.append(f"--vars={json.dumps(dict(variables), default=str)}")
    environment = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **os.environ}
    environment |= project.dbt_environment
    with (
        contextlib.chdir(project.work_dir),
        _environment(environment),
        _released_database(project),
    ):
        result = dbtRunner(manifest, [listener]).invoke(arguments)
    if isinstance(result.exception, KeyboardInterrupt | SystemExit):
        raise KeyboardInterrupt from result.exception
    if not result.success:
        results = getattr(result.result, "results", None) or ()
        raise DbtError(_failure(project, command, result, listener), results)
    return result


def _failure(
    project: Project, command: list[str], result: dbtRunnerResult, listener: _Listener
) -> str:
    """Return one sentence, or dbt's errors if nobody has received them."""
    log = project.work_dir / os.environ.get("DBT_LOG_PATH", "logs") / "dbt.log"
    hint = f"the complete log is in {log}."
    results = getattr(result.result, "results", None) or ()
    messages = " ".join(str(getattr(each, "message", "")) for each in results)
    disk = disk_remedy(f"{messages} {result.exception or ''}")
    if disk:
        return f"`dbt {command[0]}` failed: {disk}"
    if not listener.forwards_messages and listener.errors:
        return "\n".join(listener.errors)
    if isinstance(result.exception, UserError):
        return str(result.exception)
    if result.exception is not None:
        lines = [line.strip() for line in str(result.exception).splitlines()]
        return " ".join(line for line in lines if line) + f"; {hint}"
    return f"`dbt {command[0]}` failed, as the messages say; {hint}"


class _Listener:
    """Receives dbt's events."""

    def __init__(
        self, on_progress: Progress | None, on_message: Message | None
    ) -> None:
        self.on_progress = on_progress
        self.on_message = on_message
        self.errors: list[str] = []

    @property
    def forwards_messages(self) -> bool:
        return self.on_message is not None

    def __call__(self, event: EventMsg) -> None:
        # dbt's types of events are generated without their attributes.
        info: Any = event.info
        data: Any = event.data
        if info.name in _RESULTS and self.on_progress is not None:
            # dbt uses different fields for the total of models and of tests.
            total = getattr(data, "total", 0) or getattr(data, "num_models", 0)
            self.on_progress(data.node_info.node_name, data.index, total)
        text = info.msg.strip()
        # A query that an interrupt has ended is no error.
        if info.name in _REPEATED or not text or "INTERRUPT Error" in text:
            return
        if info.level == "error":
            self.errors.append(text)
        elif info.level == "warn":
            # The project's hook explains a data test that warns.
            if info.name in _RESULTS:
                return
        elif info.name != "JinjaLogInfo" or info.level == "debug":
            return
        if self.on_message is not None:
            self.on_message(text)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a time."""
    previous = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(previous)


@contextlib.contextmanager
def _released_database(project: Project) -> Iterator[None]:
    """Close dbt's connection to DuckDB afterwards; dbt would keep the file locked."""
    try:
        yield
    finally:
        if project.adapter == "duckdb":
            from dbt.adapters.duckdb.connections import DuckDBConnectionManager

            manager: Any = DuckDBConnectionManager
            if manager._ENV is not None:
                manager._ENV.close()
            manager.close_all_connections()
