"""Starts S3, Glue and STS of this machine in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

# The account that moto pretends to be.
ACCOUNT = "123456789012"
# Path of the request that ages files. No bucket has such a name.
AGE_PATH = "/_age_files"

_ROOT = Path(__file__).resolve().parents[2]


class LocalAws:
    """A server of S3, Glue and STS; what it holds is gone with it.

    Attributes:
        url: The endpoint of all three.

    Args:
        port: Where it shall listen; 0 for any free port.

    Raises:
        RuntimeError: It has ended at its start.
    """

    def __init__(self, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.athena_local.aws_server", str(port)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        port_line = self._process.stdout.readline().strip()
        if not port_line:
            self.stop()
            raise RuntimeError("The local S3 and Glue have ended at their start.")
        self.url = f"http://127.0.0.1:{port_line}"

    def age(self, bucket: str, prefix: str) -> None:
        """Have files look as if written in the night after the day in their path."""
        body = json.dumps({"bucket": bucket, "prefix": prefix}).encode()
        urllib.request.urlopen(self.url + AGE_PATH, data=body).close()

    def stop(self) -> None:
        """End the server."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
