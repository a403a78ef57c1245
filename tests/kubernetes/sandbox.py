"""Processes that see a folder as their file system, with bubblewrap.

It stands for a container runtime: a process has its own root, process ids and user, as
the image and the pod say. Programs and libraries of the base image are this machine's.
The network is this machine's, and limits of CPU and memory are not applied.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What the base image has.
SYSTEM = ("/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr")


def base_image() -> list[Path]:
    """Return the folders of this machine that stand for those of the base image.

    Python and Java may be outside of the system's folders.
    """
    java = Path(shutil.which("java") or "/usr/bin/java").resolve()
    resolver = Path("/etc/resolv.conf").resolve().parent
    others = (Path(sys.base_prefix), java.parents[1], resolver)
    return [Path(each) for each in SYSTEM if Path(each).exists()] + [
        each for each in others if not str(each).startswith(SYSTEM)
    ]


@dataclass
class Sandbox:
    """What a process sees.

    Args:
        root: The folder of the image. A file beside it, with the suffix ``.passwd``,
            names the users.
        user: The number of the user.
        is_writable: Whether writes change that folder; else they are lost with the
            process.
        is_read_only: Whether only the mounts can be written.
        mounts: Source, target, and whether the target can be written.
    """

    root: Path
    user: int
    is_writable: bool = False
    is_read_only: bool = False
    mounts: list[tuple[Path, str, bool]] = field(default_factory=list)

    def command(
        self, arguments: Sequence[str | Path], folder: str, info: int | None = None
    ) -> list[str]:
        """Return the command that runs another one in the sandbox, as process 1.

        Args:
            arguments: The command.
            folder: Its working folder.
            info: A file descriptor that gets the process id, as JSON.
        """
        program = shutil.which("bwrap")
        if program is None:
            raise RuntimeError(
                "These tests need bubblewrap: run scripts/install_bubblewrap.sh."
            )
        options = [program, "--die-with-parent", "--unshare-pid", "--as-pid-1"]
        options += ["--unshare-user", "--uid", str(self.user), "--gid", str(self.user)]
        options += (
            ["--bind", str(self.root), "/"] if self.is_writable else self._image()
        )
        for path in base_image():
            options += ["--ro-bind", str(path), str(path)]
        users = self.root.with_suffix(".passwd")
        if users.exists():
            options += ["--ro-bind", str(users), "/etc/passwd"]
        options += ["--proc", "/proc", "--dev", "/dev"]
        if "/tmp" not in {target for _, target, _ in self.mounts}:
            options += ["--tmpfs", "/tmp"]
        for source, target, is_writable in self.mounts:
            options += ["--bind" if is_writable else "--ro-bind", str(source), target]
        if self.is_read_only:
            options += ["--remount-ro", "/"]
        if info is not None:
            options += ["--info-fd", str(info)]
        return [*options, "--chdir", folder, *map(str, arguments)]

    def _image(self) -> list[str]:
        options = []
        for folder in sorted(self.root.iterdir()):
            if f"/{folder.name}" in (*SYSTEM, "/dev", "/proc", "/tmp"):
                continue
            # Mounts below a folder of the image need a place, so it is not one mount.
            children = sorted(folder.iterdir()) if folder.name == "opt" else [folder]
            for path in children:
                options += ["--ro-bind", str(path), f"/{path.relative_to(self.root)}"]
        return options


def inside(process: int, command: Sequence[str]) -> list[str]:
    """Return the command that runs another one beside process 1 of a sandbox.

    Args:
        process: The process id of process 1, as this machine sees it.
        command: The command.
    """
    options = ["--user", "--mount", "--pid", "--preserve-credentials", "--wdns=/"]
    return ["nsenter", f"--target={process}", *options, *command]


def network_variables() -> dict[str, str]:
    """Return the variables by which this machine reaches packages."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") or name.startswith(("PIP_", "UV_", "SSL_"))
    }
