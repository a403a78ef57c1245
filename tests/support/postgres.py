"""A PostgreSQL server for tests, from the installed programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa


def find_postgres() -> Path | None:
    for folder in (
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        *(Path(each) for each in os.environ.get("PATH", "").split(os.pathsep)),
    ):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


@contextlib.contextmanager
def running_postgres(programs: Path, folder: Path) -> Iterator[sa.URL]:
    """Run an empty server and yield the URL of its database."""
    user: dict[str, object] = {}
    if os.getuid() == 0:
        # PostgreSQL refuses to run as root.
        user = {"user": "nobody"}
        for parent in (folder, *folder.parents):
            if parent == Path("/tmp"):
                break
            parent.chmod(0o755)
        shutil.chown(folder, "nobody")
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "churn", "-A", "trust", "-E", "UTF8"],
        check=True,
        capture_output=True,
        cwd="/tmp",
        **user,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            *(programs / "postgres", "-D", data, "-p", str(port)),
            *("-c", f"unix_socket_directories={folder}"),
            *("-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/tmp",
        **user,
    )
    url = sa.URL.create(
        "postgresql+psycopg", "churn", host="127.0.0.1", port=port, database="postgres"
    )
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    for _ in range(100):
        try:
            engine.connect().close()
            break
        except sa.exc.OperationalError:
            time.sleep(0.1)
    yield url
    server.send_signal(signal.SIGINT)
    server.wait(20)
