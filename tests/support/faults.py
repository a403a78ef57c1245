"""Faults of disks and clocks, and kills at random moments, for commands under test."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("faulty_disk.c")


@dataclass(frozen=True)
class DiskFault:
    """A fault of the disk that holds a folder; see ``faulty_disk.c``.

    Attributes:
        error: The error number, such as ``errno.ENOSPC``.
        calls: Which calls fail: ``grow``, ``write``, ``sync``, ``read`` or ``open``.
        after: Bytes (``grow``) or calls that succeed before.
    """

    error: int
    calls: str
    after: int = 0

    def __str__(self) -> str:
        return f"{errno.errorcode[self.error]} of {self.calls} after {self.after}"

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment variables of a process that meets the fault."""
        return {
            "LD_PRELOAD": str(library()),
            "FAULT_FOLDER": str(folder.resolve()),
            "FAULT_ERRNO": str(self.error),
            "FAULT_CALLS": self.calls,
            "FAULT_AFTER": str(self.after),
        }


@lru_cache(maxsize=1)
def library() -> Path:
    """Compile the library; skip the test if there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("A C compiler makes the faulty disk: install gcc.")
    path = Path(tempfile.mkdtemp(prefix="churn-faults-")) / "faulty_disk.so"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", path, SOURCE, "-ldl"], check=True
    )
    return path


def run(
    command: list[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; standard error follows in the output."""
    return subprocess.run(command, check=False, **_options(folder, environment))


def _options(folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        "cwd": folder,
        "env": dict(environment),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def kill_after(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    number: signal.Signals,
    started: str,
) -> bool:
    """Run a command, and end it and its children at a moment.

    Args:
        command: The command.
        folder: The folder in which it runs.
        environment: Its environment variables.
        seconds: Time between the line that contains ``started`` and the signal.
        number: The signal.
        started: A text in a line of its output.

    Returns:
        Whether the signal ended it. If not, it had ended before.
    """
    run = subprocess.Popen(
        command, start_new_session=True, **_options(folder, environment)
    )

    def end() -> None:
        # The whole group, as if the machine had failed: Spark has a second process.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, number)

    timer = threading.Timer(seconds, end)
    for line in run.stdout or ():
        if started in line and not timer.is_alive() and not timer.finished.is_set():
            timer.start()
    run.wait()
    timer.cancel()
    return run.returncode in (-number, 128 + number)


def environment_of_clock(seconds: int) -> dict[str, str]:
    """Return the environment variables of a process whose clock is wrong.

    Args:
        seconds: By how much it is ahead; negative if it is behind.
    """
    return {"LD_PRELOAD": str(library()), "FAULT_CLOCK": str(seconds)}


def problems(output: str) -> list[str]:
    """Return the lines of an output that no person should have to read."""
    return [
        line
        for line in output.splitlines()
        if "Traceback" in line or line.lstrip().startswith(("File ", "raise "))
    ]
