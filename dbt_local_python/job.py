"""Load and run one Python model, with errors that name its file and line."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dbt_common.exceptions import DbtRuntimeError

if TYPE_CHECKING:
    from dbt.adapters.base.impl import BaseAdapter

_T = TypeVar("_T")


@dataclass(frozen=True)
class Job:
    """One run of one Python model.

    Attributes:
        adapter: The adapter of the target, with its open connection.
        model: The model's node, as dbt passes it to adapters.
        compiled_code: The model's code, the code that dbt adds (``dbtObj`` with the
            refs and the configuration), and the adapter's code that writes the result.
    """

    adapter: BaseAdapter
    model: dict[str, Any]
    compiled_code: str

    @property
    def name(self) -> str:
        """Return the model's name, for messages."""
        name: str = self.model["name"]
        return name

    @property
    def path(self) -> str:
        """Return the model's file, relative to its project."""
        path: str = self.model["original_file_path"]
        return path

    def config(self, key: str, default: Any = None) -> Any:
        """Return one value of the model's configuration."""
        value = self.model["config"].get(key)
        return default if value is None else value

    def split(self, marker: str) -> tuple[str, str]:
        """Split the compiled code into the model's part and the adapter's part.

        Args:
            marker: The first line of the adapter's part.

        Raises:
            DbtRuntimeError: There is no such line, so the adapter has another version.
        """
        code, found, tail = self.compiled_code.partition(marker)
        if not found:
            raise DbtRuntimeError(
                f"The code that dbt-{self.adapter.type()} appends to the Python model "
                f"{self.name} has no line {marker.strip()!r}: install the version of "
                "the adapter given in the README of dbt_local_python."
            )
        return code, tail

    def load(self, code: str | None = None) -> Model:
        """Execute the model's code, without calling the model.

        Args:
            code: The code before the adapter's part; ``None`` for all code.

        Raises:
            DbtRuntimeError: The code fails; the message names its file and line.
        """
        code = (self.compiled_code if code is None else code).lstrip()
        # dbt strips a model's file, so add its leading lines for correct line numbers.
        code = "\n" * self._blank_lines_before() + code
        # Provide the text of the lines for tracebacks, even if the file is not found.
        linecache.cache[self.path] = (
            len(code),
            None,
            code.splitlines(keepends=True),
            self.path,
        )
        namespace: dict[str, Any] = {"__name__": f"dbt_python_model_{self.name}"}
        self.guard(lambda: exec(compile(code, self.path, "exec"), namespace))
        for required in ("model", "dbtObj"):
            if required not in namespace:
                raise DbtRuntimeError(
                    f"{self.path} defines no {required}: "
                    + (
                        "write `def model(dbt, session)` that returns a frame."
                        if required == "model"
                        else "install the dbt-core version given in the README of "
                        "dbt_local_python."
                    )
                )
        return Model(self, namespace)

    def guard(self, action: Callable[[], _T]) -> _T:
        """Run the model's code; an error names the model's file and line.

        Raises:
            DbtRuntimeError: ``action`` raised an error.
        """
        try:
            return action()
        except Exception as error:
            raise DbtRuntimeError(self._error_message(error)) from error

    def _blank_lines_before(self) -> int:
        root = self.model.get("root_path")
        try:
            text = (Path(root or ".") / self.path).read_text(encoding="utf-8")
        except OSError:
            return 0
        return text[: len(text) - len(text.lstrip())].count("\n")

    def _error_message(self, error: BaseException) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        own_frames = [
            number for number, frame in enumerate(frames) if frame.filename == self.path
        ]
        line = (
            getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
        )
        if own_frames:
            line = frames[own_frames[-1]].lineno
        place = f"{self.path}, line {line}" if line else self.path
        shown = frames[own_frames[0] :] if own_frames else frames
        stack = "".join(traceback.format_list(shown))
        return (
            f"The Python model {self.name} failed ({place}): "
            f"{type(error).__name__}: {error}\n{stack.rstrip()}"
        )


@dataclass(frozen=True)
class Model:
    """A Python model whose code has been executed."""

    job: Job
    namespace: dict[str, Any]

    def call(self, session: Any, load_frame: Callable[[str], Any]) -> Any:
        """Call ``model(dbt, session)`` and return its result.

        Args:
            session: The session to pass to the model.
            load_frame: Maps the name of a relation to the frame that ``dbt.ref`` and
                ``dbt.source`` return.

        Raises:
            DbtRuntimeError: The model fails; the message names its file and line.
        """
        return self.job.guard(
            lambda: self.namespace["model"](
                self.namespace["dbtObj"](load_frame), session
            )
        )
