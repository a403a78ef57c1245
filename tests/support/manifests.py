"""The manifests under deploy/kubernetes/, rendered."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import yaml

from tests.support.paths import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"


def _load_script() -> ModuleType:
    path = ROOT / "scripts" / "lint_kubernetes.py"
    spec = importlib.util.spec_from_file_location("lint_kubernetes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lint = _load_script()
Objects = list[dict[str, Any]]


def rendered(overlay: str) -> Objects:
    """Return the objects of an overlay."""
    return lint.render(FOLDER / "overlays" / overlay)


def pod_templates(objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the template of each pod that the objects make."""
    for each in objects:
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield each["metadata"]["name"], spec["template"]
    if any(each["kind"] == "Role" for each in objects):
        yield "executor", yaml.safe_load(lint.TEMPLATES[0].read_text())


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    """Return the object of a kind with a name."""
    (found,) = (
        each
        for each in objects
        if each["kind"] == kind and each["metadata"]["name"] == name
    )
    return found
