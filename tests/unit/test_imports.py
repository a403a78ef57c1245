"""Imports go one way, and unit tests need neither dbt nor an engine."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ENGINE_PACKAGES, ROOT

# Modules directly in churn/, except the one that starts the command line.
BASE = "base"
ML = {BASE, "ml"}
OPERATIONS = {
    *(BASE, "ingest", "onboarding", "ml", "reports", "operations", "dbt_local_python"),
}
# The layers that each layer of the library may import.
ALLOWED = {
    BASE: {BASE},
    "ingest": {BASE, "ingest"},
    "onboarding": {BASE, "ingest", "onboarding"},
    "ml": ML,
    "reports": {*ML, "reports"},
    "operations": OPERATIONS,
    "demo": {*OPERATIONS, "demo"},
    "web": {*OPERATIONS, "web"},
    "cli": {*OPERATIONS, "demo", "web", "cli"},
}
# The package of dbt Python models works in any project.
STANDALONE = "dbt_local_python"
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("churn", STANDALONE)
    for path in (ROOT / package).rglob("*.py")
)


def layer_of(module: str) -> str | None:
    """Return the layer of a module's dotted name; None if not of this repository."""
    package, *rest = module.split(".")
    if package == STANDALONE:
        return STANDALONE
    if package != "churn":
        return None
    if not rest:
        return BASE
    is_subpackage = (ROOT / "churn" / rest[0]).is_dir()
    if is_subpackage:
        return rest[0]
    return "cli" if rest[0] == "__main__" else BASE


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of each import in a file, also in functions."""
    package = ".".join(path.parent.parts)
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            module = importlib.util.resolve_name(name, package)
            for alias in node.names:
                # `from churn.ml import train` imports a module.
                yield node.lineno, f"{module}.{alias.name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_lower_layers(path: Path) -> None:
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    layer = layer_of(module)
    allowed = {STANDALONE} if layer == STANDALONE else ALLOWED[layer]
    layers = {(line, name, layer_of(name)) for line, name in imported(path)}
    wrong = [
        f"{path}:{line} imports {name}"
        for line, name, of_name in sorted(layers, key=str)
        if of_name not in {*allowed, None}
    ]
    assert not wrong, f"The layer {layer} may import {sorted(allowed)}: {wrong}"


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        ("churn", BASE),
        ("churn.engine_io", BASE),
        ("churn.engine_io.as_frame", BASE),
        ("churn.ml.train.fit", "ml"),
        ("churn.__main__", "cli"),
        ("dbt_local_python.job", STANDALONE),
        ("churning.model", None),
        ("pandas", None),
    ],
)
def test_a_module_has_one_layer(module: str, layer: str | None) -> None:
    assert layer_of(module) == layer


@pytest.mark.slow
def test_unit_tests_import_neither_dbt_nor_an_engine(
    request: pytest.FixtureRequest,
) -> None:
    files = {item.path for item in request.session.items}
    are_collected = files >= set((ROOT / "tests" / "unit").glob("test_*.py"))
    if are_collected and not set(ENGINE_PACKAGES) & set(sys.modules):
        return
    # Tests of other layers have imported them, or some unit tests are not collected.
    program = f"""
import sys
import pytest

class Modules:
    def pytest_sessionfinish(self):
        found = sorted(set({ENGINE_PACKAGES!r}) & set(sys.modules))
        print("imported:", *found)

sys.exit(pytest.main(
    ["-n", "0", "--collect-only", "-qq", "-p", "no:cacheprovider", "tests/unit"],
    plugins=[Modules()],
))
"""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (line,) = [
        each for each in finished.stdout.splitlines() if each.startswith("imported:")
    ]
    assert line == "imported:"


# What docs/spark.md says that the Python of Spark's executors has.
ON_EXECUTORS = {"churn", "numpy", "pandas", "pyarrow", "pyjson5", "xgboost"}
BLOCKED = """
import sys
from importlib.metadata import packages_distributions

allowed = set(sys.argv[1].split(","))
installed = set(packages_distributions())

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if path is None and name in installed - allowed:
            raise ModuleNotFoundError(f"executors have no {name}")

sys.meta_path.insert(0, Blocker())
for module in sys.argv[2:]:
    __import__(module)
"""


def test_executors_need_few_packages() -> None:
    """The modules whose functions run in executors import nothing else."""
    modules = [
        "churn.ml.predict",
        "churn.ml.train_on_spark",
        "churn.ingest.json_repair",
        "churn.onboarding.profile",
    ]
    # pandas and XGBoost bring the others.
    allowed = {*ON_EXECUTORS, "dateutil", "six", "pytz", "tzdata", "scipy"}
    command = [sys.executable, "-c", BLOCKED, ",".join(allowed)]
    finished = subprocess.run(
        [*command, *modules], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert finished.returncode == 0, finished.stderr
