"""dbt Python models that run where dbt runs: ``submission_method: local``.

dbt imports every installed top-level module whose name begins with ``dbt_`` before
it connects to anything. That import is what installs this package: it wraps one
method of dbt's base adapter, and imports no adapter itself, so it costs targets that
need it not nothing.

DuckDB's adapter has a method of its own for Python models, and never comes here.
"""

from __future__ import annotations

import inspect
import os
import shutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dbt.adapters.base.impl import BaseAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbt.adapters.contracts.connection import AdapterResponse

    from dbt_local_python.job import Job

__all__ = ["METHOD", "UnsupportedDbtError", "install", "register"]

METHOD = "local"

# dbt looks for this name in the modules that it imports so. There is nothing to add.
plugins: list[Any] = []

# Who runs the models of an adapter, by `adapter.type()`: a function that takes a
# `Job` and returns the number of rows it wrote, or None. Imported when first needed.
_runners: dict[str, str | Callable[[Job], int | None]] = {
    "spark": "dbt_local_python.spark:run",
    "athena": "dbt_local_python.athena:run",
}

_EXPECTED_PARAMETERS = ["self", "parsed_model", "compiled_code"]


class UnsupportedDbtError(RuntimeError):
    """dbt has changed where this package holds on to it; one sentence says how."""


def register(adapter_type: str, runner: str | Callable[[Job], int | None]) -> None:
    """Let ``runner`` run the local Python models of one more adapter.

    Args:
        adapter_type: What ``adapter.type()`` returns, such as ``spark``.
        runner: A function of a `Job`, or where to find one, as ``module:function``.
            It returns the number of rows written, or None if it cannot tell.
    """
    _runners[adapter_type] = runner


def install() -> None:
    """Teach dbt's adapters the submission method ``local``; twice does no harm.

    Raises:
        UnsupportedDbtError: ``BaseAdapter.submit_python_job`` is not what this
            package wraps.
    """
    original: Any = getattr(BaseAdapter, "submit_python_job", None)
    if getattr(original, "is_local_python", False):
        return
    found = _parameters_of(original)
    if found != _EXPECTED_PARAMETERS:
        raise UnsupportedDbtError(
            "dbt_local_python wraps BaseAdapter.submit_python_job(parsed_model, "
            f"compiled_code), which this version of dbt-adapters has "
            f"{'not' if found is None else 'with other parameters'}: install "
            "dbt-adapters 1.24, or a newer dbt_local_python."
        )

    def submit_python_job(
        self: BaseAdapter, parsed_model: dict[str, Any], compiled_code: str
    ) -> AdapterResponse:
        if parsed_model["config"].get("submission_method") != METHOD:
            response: AdapterResponse = original(self, parsed_model, compiled_code)
            return response
        return _submit(self, parsed_model, compiled_code)

    submit_python_job.is_local_python = True  # type: ignore[attr-defined]
    BaseAdapter.submit_python_job = submit_python_job  # type: ignore[method-assign]
    _give_adapters(stage_csv=_stage_csv, files_under=_files_under)


def _parameters_of(method: Any) -> list[str] | None:
    """The parameters of a method of dbt's, whatever decorators are around it."""
    if method is None:
        return None
    found: list[str] | None = list(inspect.signature(method).parameters)
    for cell in getattr(method, "__closure__", None) or ():
        inner = cell.cell_contents
        if inspect.isfunction(inner) and inner.__name__ == "submit_python_job":
            found = _parameters_of(inner)
    return found


def _give_adapters(**methods: Callable[..., Any]) -> None:
    """Add methods that macros can call, as ``adapter.stage_csv(...)``."""
    adapters = [BaseAdapter]
    for adapter in adapters:
        # Adapters derived from one of these later take this over from it.
        adapter._available_ = adapter._available_ | methods.keys()
        adapters += adapter.__subclasses__()
    for name, method in methods.items():
        setattr(BaseAdapter, name, method)


def _files_under(self: BaseAdapter, location: str) -> dict[str, Any]:
    """The files under a location in S3, with when each was written, in UTC."""
    from dbt_local_python.athena import files_under

    return files_under(self, location)


def _stage_csv(self: BaseAdapter, relation: Any, path: str) -> None:
    """Make a CSV file of this machine readable to an engine that cannot see it."""
    from dbt_local_python.athena import stage_csv

    stage_csv(self, relation, path)


def _submit(
    adapter: BaseAdapter, parsed_model: dict[str, Any], compiled_code: str
) -> AdapterResponse:
    """Run one compiled Python model with the runner of its adapter."""
    from dbt.adapters.contracts.connection import AdapterResponse

    from dbt_local_python.job import Job

    # Some adapters close a Python model with a second, empty job.
    if not compiled_code.strip():
        return AdapterResponse(_message="OK")
    rows = _runner_of(adapter.type())(Job(adapter, parsed_model, compiled_code))
    return AdapterResponse(_message="OK", rows_affected=rows)


def _runner_of(adapter_type: str) -> Callable[[Job], int | None]:
    runner = _runners.get(adapter_type)
    if runner is None:
        from dbt_common.exceptions import DbtRuntimeError

        raise DbtRuntimeError(
            f"dbt_local_python has no runner for the adapter {adapter_type}: it knows "
            f"{', '.join(sorted(_runners))}; take submission_method: local out of the "
            "model's configuration, or register a runner."
        )
    if isinstance(runner, str):
        module, _, function = runner.partition(":")
        runner = getattr(import_module(module), function)
    return runner


install()
if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
    from dbt_local_python.java import provide_java

    provide_java()
