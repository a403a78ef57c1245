"""The steps of the image's Containerfile, run in empty folders instead of an image.

No engine builds images here. Each ``RUN`` is run by a shell with its paths below a
temporary folder, and each ``COPY`` copies what git knows. The result must run the
commands of the manifests and hold what Spark's executors start with.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CONTAINERFILE = ROOT / "deploy/kubernetes/image/Containerfile"
# Steps that change the system of the image; this machine has Java.
SYSTEM_STEPS = ("useradd", "apt-get")
# Folders of the image that the other steps write.
FOLDERS = ("/build", "/opt", "/project")


def instructions() -> list[tuple[str, str]]:
    """Return the instructions and their arguments, in order."""
    text = re.sub(r"\\\n\s*", "", CONTAINERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


class Image:
    """A folder that stands for the image's file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arguments: dict[str, str] = {}
        (folder / "opt").mkdir()

    def inside(self, text: str) -> str:
        """Return a text in which the image's paths are below the folder."""
        return re.sub(
            rf"(?<![\w.])(?=({'|'.join(FOLDERS)})(/|\b))", str(self.folder), text
        )

    def copy(self, rest: str) -> None:
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
                place = Path(self.inside(target)) / (
                    name if source == "." else Path(name).name
                )
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, place)

    def run(self, command: str) -> None:
        """Run a step with few variables, as a new image has."""
        # The Python of the base image is that of these tests.
        python = Path(sys.executable).resolve().parent
        environment = {
            "PATH": f"{python}:{os.defpath}",
            "HOME": str(self.folder),
            **self.arguments,
            # How this machine reaches packages.
            **{
                name: value
                for name, value in os.environ.items()
                if name.lower().endswith("_proxy")
                or name.startswith(("PIP_", "UV_", "SSL_"))
            },
        }
        subprocess.run(
            ["sh", "-euc", self.inside(command)], env=environment, check=True
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    image = Image(tmp_path_factory.mktemp("image"))
    for name, rest in instructions():
        if name == "ARG":
            key, _, value = rest.partition("=")
            image.arguments[key] = value
        elif name == "COPY":
            image.copy(rest)
        elif name == "RUN" and not rest.startswith(SYSTEM_STEPS):
            image.run(rest)
    return image


def test_all_instructions_are_known() -> None:
    names = {name for name, _ in instructions()}
    assert names == {
        *("FROM", "ARG", "RUN", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT", "CMD")
    }
    assert ("USER", "10001") in instructions()


@pytest.mark.parametrize("command", ["daily", "serve"])
def test_commands_run_without_the_repository(image: Image, command: str) -> None:
    folder = image.folder
    finished = subprocess.run(
        [folder / "opt/entrypoint.sh", folder / "opt/churn/bin/churn", command, "-h"],
        cwd=folder / "project",
        env={"PATH": f"{folder}/opt/churn/bin:{os.defpath}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert f"churn {command}" in finished.stdout


def test_the_project_builds_in_the_image(image: Image) -> None:
    folder = image.folder
    finished = subprocess.run(
        [folder / "opt/churn/bin/dbt", "parse", "--target", "spark"],
        cwd=folder / "project",
        env={
            "PATH": f"{folder}/opt/churn/bin:{os.defpath}",
            "HOME": str(folder),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout


def test_executors_find_what_they_start_with(image: Image) -> None:
    (jars,) = (image.folder / "opt/churn").glob("lib/*/site-packages/pyspark/jars")
    assert list(jars.glob("iceberg-spark-runtime-*.jar"))
    assert list(jars.glob("spark-kubernetes_*.jar"))
    for script in ("entrypoint.sh", "decom.sh"):
        assert os.access(image.folder / "opt" / script, os.X_OK)
    assert not (image.folder / "build").exists()
