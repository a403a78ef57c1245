"""The steps of the image's Containerfile, run in a folder instead of by an engine.

Each ``RUN`` is run in a sandbox whose root is the folder, and each ``COPY`` copies what
git knows. The result has what a container of the image would have.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template

from tests.kubernetes.sandbox import Sandbox, network_variables
from tests.support.paths import ROOT

CONTAINERFILE = ROOT / "deploy/kubernetes/image/Containerfile"
# The step that installs packages of the system; this machine has Java.
SYSTEM_STEP = "apt-get"


def instructions() -> list[tuple[str, str]]:
    """Return the instructions and their arguments, in order."""
    text = re.sub(r"\\\n\s*", "", CONTAINERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


class Image:
    """A folder that has the image's file system, and what containers start with.

    Attributes:
        environment: The variables of a container.
        entrypoint: The command of a container that has none.
        arguments: The arguments of a container that has none.
        working_folder: The folder in which a container starts.
        user: The user of a container.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The Python of the base image is that of these tests.
        python = Path(sys.base_prefix) / "bin"
        self.environment = {"PATH": f"{python}:{os.defpath}"}
        self.entrypoint: list[str] = []
        self.arguments: list[str] = []
        self.working_folder = "/"
        self.user = 0
        self._build_arguments: dict[str, str] = {}
        (folder / "opt").mkdir(parents=True)

    @classmethod
    def build(cls, folder: Path) -> Image:
        """Run the steps of the Containerfile.

        Args:
            folder: The folder of the result; it must not exist.
        """
        image = cls(folder)
        for name, rest in instructions():
            if name == "ARG":
                key, _, value = rest.partition("=")
                image._build_arguments[key] = value
            elif name == "COPY":
                image._copy(rest)
            elif name == "RUN" and rest.startswith("useradd "):
                image._add_user(rest)
            elif name == "RUN" and not rest.startswith(SYSTEM_STEP):
                image._run(rest)
            elif name == "USER":
                image.user = int(rest)
            elif name == "ENV":
                for variable in rest.split():
                    key, _, value = variable.partition("=")
                    value = Template(value).substitute(image.environment)
                    image.environment[key] = value
            elif name == "WORKDIR":
                image.working_folder = rest
            elif name == "ENTRYPOINT":
                image.entrypoint = json.loads(rest)
            elif name == "CMD":
                image.arguments = json.loads(rest)
        return image

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container that can write only below /tmp."""
        sandbox = Sandbox(self.folder, self.user, is_read_only=True)
        return subprocess.run(
            sandbox.command([*self.entrypoint, *command], self.working_folder),
            env={**self.environment, "HOME": "/tmp", **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def _add_user(self, command: str) -> None:
        """Write the file of the users. Hadoop refuses to run as one without a name."""
        user = re.search(r"--uid (\d+)", command)
        assert user is not None, command
        line = f"{command.split()[-1]}:x:{user[1]}:{user[1]}::/tmp:/bin/sh\n"
        users = self.folder.with_suffix(".passwd")
        users.write_text(Path("/etc/passwd").read_text() + line)

    def _copy(self, rest: str) -> None:
        """Copy tracked files of the repository."""
        *sources, target = rest.split()
        for source in sources:
            listed = subprocess.run(
                ["git", "ls-files", "--", source],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()
            assert listed, source
            for name in listed:
                place = self.folder / target.lstrip("/")
                place /= name if source == "." else Path(name).name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, place)

    def _run(self, command: str) -> None:
        """Run a step with few variables, as a new image has."""
        environment = {**self.environment, "HOME": "/tmp", **self._build_arguments}
        sandbox = Sandbox(self.folder, self.user, is_writable=True)
        subprocess.run(
            sandbox.command(["sh", "-euc", command], "/"),
            env=environment | network_variables(),
            check=True,
        )
