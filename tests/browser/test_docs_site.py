"""The docs site shows what data holds as text, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from churn.reports.docs import write_static_page
from tests.browser.test_browser import open_page
from tests.support.project import DbtProject

RUNS = "document.title='hacked'"
HOSTILE = [
    f"</script><script>{RUNS}</script>",
    f"<img src=x onerror={RUNS}>",
    f"<svg onload={RUNS}>",
    f"`code` <iframe srcdoc='<script>parent.{RUNS}</script>'></iframe>",
    f"[link](javascript:{RUNS})",
    f"[reference][x]\n\n[x]: javascript:{RUNS}",
    f"<a href=javascript:{RUNS}>link</a>",
    "![image](https://evil.example/pixel.png)",
    "{{ constructor.constructor(\"document.title='hacked'\")() }}",
    "&lt;img src=x onerror=alert(1)&gt; &amp;lt;",
    "\u2028 <!-- --> ]]> <base href=https://evil.example/>",
    "MANIFEST.JSON INLINE DATA",
    "CATALOG.JSON INLINE DATA",
]
MODEL = "model.churn.churn_scores"


@pytest.fixture(scope="module")
def page_path(module_project: DbtProject) -> Path:
    """Provide the docs site of a project with hostile texts in every place."""
    module_project.dbt("parse")
    target = module_project.folder / "target"
    manifest = json.loads((target / "manifest.json").read_text())
    node = manifest["nodes"][MODEL]
    column = next(iter(node["columns"].values()))
    node["description"] = "\n\n".join(HOSTILE)
    node["tags"] = list(HOSTILE)
    node["raw_code"] = node["compiled_code"] = "\n".join(HOSTILE)
    for text in HOSTILE:
        node["columns"][text] = {**column, "name": text, "description": text}
    for place in ("nodes", "sources", "macros", "docs"):
        for number, each in enumerate(manifest[place].values()):
            key = "block_contents" if place == "docs" else "description"
            each[key] = HOSTILE[number % len(HOSTILE)] if each[key] else each[key]
    node["description"] = "\n\n".join(HOSTILE)
    (target / "manifest.json").write_text(json.dumps(manifest))
    columns = {
        text: {"type": "varchar", "index": number, "name": text, "comment": text}
        for number, text in enumerate([*node["columns"], *HOSTILE])
    }
    table = {"type": "BASE TABLE", "schema": "main", "name": "churn_scores"}
    table |= {"database": "x", "comment": HOSTILE[0], "owner": None}
    catalog = {
        "nodes": {
            MODEL: {
                "metadata": table,
                "columns": columns,
                "stats": {},
                "unique_id": MODEL,
            }
        },
        "sources": {},
        "metadata": {},
        "errors": None,
    }
    (target / "catalog.json").write_text(json.dumps(catalog))
    write_static_page(target)
    return target / "static_index.html"


def test_the_docs_site_runs_no_code_from_data(
    page_path: Path, open_context: Callable[..., BrowserContext]
) -> None:
    context = open_context()
    requests: list[str] = []
    # The policy stops a request before it gets here.
    context.route(
        "**/*",
        lambda route: (
            route.continue_()
            if route.request.url.startswith("file:")
            else (requests.append(route.request.url), route.abort())
        ),
    )
    page, problems = open_page(context, f"file://{page_path}#!/model/{MODEL}")
    expect(page.get_by_role("heading", name="churn_scores").first).to_be_visible()
    expect(page.locator(".model-markdown").first).to_contain_text(HOSTILE[2])
    for link in page.get_by_role("link", name="link", exact=True).all():
        link.click()
    page.locator("#search").click()
    page.locator("#search").press_sequentially("onerror")
    expect(page.locator(".search-result-match").first).to_be_attached()
    state: dict[str, Any] = page.evaluate(
        """() => ({
            title: document.title,
            foreign: document.querySelectorAll(
                'iframe, base, [onerror], [onload]').length,
        })"""
    )
    assert state["title"] != "hacked"
    assert state["foreign"] == 0
    assert requests == []
    # dbt's own icons cannot be loaded from a file.
    expected = ("Content Security Policy", "Unsafe attempt to load URL file:")
    assert not [
        problem for problem in problems if not any(map(problem.count, expected))
    ]


def test_the_docs_site_holds_no_path_of_this_machine(page_path: Path) -> None:
    page = page_path.read_text()
    assert str(page_path.parent) not in page
    assert str(Path(__file__).parents[2]) not in page
