"""One Python model to run: its code, its configuration, and errors that name it."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt_common.exceptions import DbtRuntimeError

if TYPE_CHECKING:
    from dbt.adapters.base.impl import BaseAdapter


@dataclass(frozen=True)
class Job:
    """What dbt hands over for one run of one Python model.

    Attributes:
        adapter: The adapter of the target, with its open connection.
        model: The model's node, as dbt hands it to adapters.
        compiled_code: The model's own code, what dbt adds to it (``dbtObj`` with the
            refs and the configuration), and what the adapter adds to write the result.
    """

    adapter: BaseAdapter
    model: dict[str, Any]
    compiled_code: str

    @property
    def name(self) -> str:
        """The model's name, for sentences."""
        return self.model["name"]

    @property
    def path(self) -> str:
        """The model's file, relative to its project."""
        return self.model["original_file_path"]

    def config(self, key: str, default: Any = None) -> Any:
        """One value of the model's configuration."""
        value = self.model["config"].get(key)
        return default if value is None else value

    def split(self, marker: str) -> tuple[str, str]:
        """The model's code with ``dbtObj``, and what the adapter put behind it.

        Args:
            marker: The line with which the adapter's part begins.

        Raises:
            DbtRuntimeError: There is no such line: another version of the adapter.
        """
        code, found, tail = self.compiled_code.partition(marker)
        if not found:
            raise DbtRuntimeError(
                f"The code that dbt-{self.adapter.type()} puts behind the Python model "
                f"{self.name} has no line {marker.strip()!r}: install the version of "
                "the adapter that dbt_local_python names in its README."
            )
        return code, tail

    def load(self, code: str | None = None) -> Model:
        """Execute the model's code, without calling the model.

        Args:
            code: The code up to the adapter's part; by default all of it.

        Raises:
            DbtRuntimeError: The code fails; the message names its file and line.
        """
        code = (self.compiled_code if code is None else code).lstrip()
        # dbt strips a model's file; its lines are to be counted as in the file.
        code = "\n" * self._blank_lines_before() + code
        # The text of the lines in tracebacks, even where the file is not found.
        linecache.cache[self.path] = (
            len(code),
            None,
            code.splitlines(keepends=True),
            self.path,
        )
        namespace: dict[str, Any] = {"__name__": f"dbt_python_model_{self.name}"}
        self.guard(lambda: exec(compile(code, self.path, "exec"), namespace))
        for needed in ("model", "dbtObj"):
            if needed not in namespace:
                raise DbtRuntimeError(
                    f"{self.path} defines no {needed}: "
                    + (
                        "write `def model(dbt, session)` that returns a frame."
                        if needed == "model"
                        else "install the dbt-core that dbt_local_python names."
                    )
                )
        return Model(self, namespace)

    def guard(self, action: Callable[[], Any]) -> Any:
        """Do what runs the model's code; an error names the model's file and line.

        Raises:
            DbtRuntimeError: ``action`` raised anything.
        """
        try:
            return action()
        except Exception as error:
            raise DbtRuntimeError(self._told(error)) from error

    def _blank_lines_before(self) -> int:
        root = self.model.get("root_path")
        try:
            text = (Path(root or ".") / self.path).read_text(encoding="utf-8")
        except OSError:
            return 0
        return text[: len(text) - len(text.lstrip())].count("\n")

    def _told(self, error: BaseException) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        own = [
            number for number, frame in enumerate(frames) if frame.filename == self.path
        ]
        line = (
            getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
        )
        if own:
            line = frames[own[-1]].lineno
        place = f"{self.path}, line {line}" if line else self.path
        told = "".join(traceback.format_list(frames[own[0] :] if own else frames))
        return (
            f"The Python model {self.name} failed ({place}): "
            f"{type(error).__name__}: {error}\n{told.rstrip()}"
        )


@dataclass(frozen=True)
class Model:
    """A Python model whose code has been executed."""

    job: Job
    namespace: dict[str, Any]

    def call(self, session: Any, load_frame: Callable[[str], Any]) -> Any:
        """Call ``model(dbt, session)`` and return what it returns.

        Args:
            session: What the model gets as its session.
            load_frame: Turns the name of a relation into the frame that ``dbt.ref``
                and ``dbt.source`` return.

        Raises:
            DbtRuntimeError: The model fails; the message names its file and line.
        """
        return self.job.guard(
            lambda: self.namespace["model"](
                self.namespace["dbtObj"](load_frame), session
            )
        )
