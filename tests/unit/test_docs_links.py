"""Links, file names, lists and generated pages in the documentation are current."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT

# Its tables list the old names of files.
PAGES_WITH_OLD_NAMES = {"CHANGELOG.md"}
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"^[\w.*-]+(/[\w.*-]+)*/?$")


def tracked_files() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listing.stdout.splitlines()


FILES = tracked_files()
PAGES = [name for name in FILES if name.endswith(".md")]
TOP_LEVEL = {name.split("/")[0] for name in FILES}


def without_code(text: str) -> str:
    return CODE_BLOCK.sub("", text)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    names = set()
    headings = re.findall(
        r"^#{1,6} (.+)$", without_code(page.read_text()), re.MULTILINE
    )
    for heading in headings:
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        names.add(f"{slug}-{count}" if count else slug)
    return names


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    page = ROOT / name
    broken = []
    for target in LINK.findall(without_code(page.read_text())):
        # `#!/` addresses are those of the dbt docs site.
        if re.match(r"[a-z]+:|#!", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        is_present = linked.exists()
        if anchor and is_present and linked.suffix == ".md":
            is_present = anchor in anchors(linked)
        if not is_present:
            broken.append(target)
    assert not broken, f"{name} links to what does not exist: {broken}"


@pytest.mark.parametrize("name", sorted(set(PAGES) - PAGES_WITH_OLD_NAMES))
def test_named_files_exist(name: str) -> None:
    page = ROOT / name
    missing = []
    for path in INLINE_CODE.findall(without_code(page.read_text())):
        if re.fullmatch(r"\w+\.(py|sql)", path):
            if not any(file.rsplit("/", 1)[-1] == path for file in FILES):
                missing.append(path)
            continue
        if not PATH.match(path) or path.split("/")[0] not in TOP_LEVEL:
            continue
        if "/" not in path and not path.endswith(".md"):
            continue
        pattern = path.rstrip("/")
        if not any([*ROOT.glob(pattern), *page.parent.glob(pattern)]):
            missing.append(path)
    assert not missing, f"{name} names files that do not exist: {missing}"


def script(name: str) -> ModuleType:
    """Import a script that writes a page."""
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_of_commands_is_current() -> None:
    module = script("write_commands_page")
    assert module.PAGE.read_text() == module.page(), (
        "run: python scripts/write_commands_page.py"
    )


def test_page_of_variables_is_current() -> None:
    module = script("write_variables_page")
    assert module.PAGE.read_text() == module.page(module.PROJECT.read_text()), (
        "run: python scripts/write_variables_page.py"
    )


def macros_of(engine: str) -> set[str]:
    texts = [path.read_text() for path in (ROOT / "macros").rglob("*.sql")]
    pattern = re.compile(rf"macro {engine}__([a-z0-9_]+)")
    return {name for text in texts for name in pattern.findall(text)}


def test_page_lists_the_macros_of_a_new_engine() -> None:
    page = (ROOT / "docs" / "how-to" / "add-an-engine.md").read_text()
    listed = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1].split()
    assert set(listed) == macros_of("duckdb") - macros_of("default"), (
        "update the list in docs/how-to/add-an-engine.md: it has the macros with a "
        "duckdb__ implementation and without a default__ one"
    )


def test_each_decision_has_its_own_number() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs/decisions").glob("0*.md")]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) <= set(
        re.findall(r"^- \[(\d{4})\]\(\1-", _index(), flags=re.MULTILINE)
    )


def _index() -> str:
    return (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
