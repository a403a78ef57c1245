"""Runs a command where AWS is this machine: ``python -m tests.athena_local -- dbt ls``.

Without a command it starts a shell. Everything is gone when it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.athena_local.local import LocalCloud
from tests.athena_local.trino_server import TrinoMissingError


def main() -> int:
    """Start AWS, Trino and Athena, run the command, return its exit status."""
    command = sys.argv[1:]
    if command[:1] == ["--"]:
        command = command[1:]
    try:
        with LocalCloud() as cloud:
            finished = subprocess.run(
                command or [os.environ.get("SHELL", "/bin/sh")],
                env={**os.environ, **cloud.environment},
                check=False,
            )
            if not command:
                print(f"Scanned in all: {cloud.athena.scanned_bytes:,} bytes")
            return finished.returncode
    except TrinoMissingError as missing:
        print(missing, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
