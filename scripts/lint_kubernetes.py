"""Validate the Kubernetes manifests: render each overlay, check it against the schemas.

An API server finds more (`make test-kubernetes`); this takes seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"
OVERLAYS = ("duckdb", "spark", "athena")
# The version of Kubernetes whose schemas count.
VERSION = "1.34"
# A pod that no manifest contains, because Spark's driver creates it.
TEMPLATES = (FOLDER / "overlays/spark/executor.yaml",)
RENDERERS = (("kubectl", "kustomize"), ("kustomize", "build"))


def render(folder: Path) -> list[dict[str, Any]]:
    """Return the objects of a folder with a ``kustomization.yaml``.

    Raises:
        RuntimeError: There is neither kubectl nor kustomize, or it refuses the folder.
    """
    # `make` calls this script without the environment's folder on the path.
    path = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])
    renderer = next(
        (
            [found, command]
            for program, command in RENDERERS
            if (found := shutil.which(program, path=path))
        ),
        None,
    )
    if renderer is None:
        raise RuntimeError(
            "Manifests are rendered by kubectl or kustomize: install one, or run "
            "scripts/install_kustomize.sh."
        )
    finished = subprocess.run(
        [*renderer, str(folder)], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise RuntimeError(f"{folder.name}: {finished.stderr.strip()}")
    return [each for each in yaml.safe_load_all(finished.stdout) if each]


def problems(objects: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each object that the schemas refuse."""
    for each in objects:
        try:
            kubernetes_validate.validate(each, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(map(str, error.path))
            name = f"{each['kind']} {each['metadata'].get('name', '')}".strip()
            yield f"{name}: {where}: {error.message}"


def main() -> int:
    """Print all problems; return the exit code."""
    found = []
    for overlay in OVERLAYS:
        objects = render(FOLDER / "overlays" / overlay)
        found += [f"{overlay}: {problem}" for problem in problems(objects)]
    for path in TEMPLATES:
        found += problems([yaml.safe_load(path.read_text())])
    for problem in found:
        print(problem, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:
        sys.exit(str(error))
