"""The page works in a real browser: for eyes, keys, screen readers and phones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Site

ACCOUNT = "/account?id=acc-000001&list=band%3Dhigh"
PAGES = [
    "/",
    "/?band=high&sort=probability",
    "/?q=bright",
    "/?q=nothing-like-this",
    ACCOUNT,
    "/account?id=acc-000004",
    "/account?id=nobody",
    "/log",
    "/outcomes",
    "/model",
    "/help",
    "/nope",
]
EMPTY_PAGES = ["/", "/account?id=x", "/log", "/outcomes", "/model", "/help"]
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    }
}

Open = Callable[..., BrowserContext]


def open_page(context: BrowserContext, url: str) -> tuple[Page, list[str]]:
    """Open a page; return it and what the browser complained about."""
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text)
            # An answer other than 200 is logged too.
            if message.type == "error" and "status of" not in message.text
            else None
        ),
    )
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(url)
    return page, problems


def violations(page: Page) -> list[str]:
    """Return the violations that axe-core finds, with their elements."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{each['id']}: {each['help']}: "
        f"{[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in found
    ]


def stored(site: Site) -> list[tuple[Any, ...]]:
    """Return the stored actions."""
    with sqlite3.connect(site.actions) as connection:
        return connection.execute(
            "select account_id, action_type, channel, note, offer_id "
            "from retention_actions order by sequence"
        ).fetchall()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_page_is_accessible(
    site: Site, open_context: Open, theme: str, size: dict[str, int]
) -> None:
    context = open_context(viewport=size, color_scheme=theme)
    wrong = {}
    for path in PAGES:
        page, problems = open_page(context, site.url + path)
        problems += violations(page)
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overflow > 0:
            problems.append(f"{overflow} pixels wider than the screen")
        if problems:
            wrong[path] = problems
        page.close()
    assert wrong == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_company_without_scores_has_accessible_pages(
    empty_site: Site, open_context: Open, theme: str
) -> None:
    context = open_context(color_scheme=theme)
    for path in EMPTY_PAGES:
        page, problems = open_page(context, empty_site.url + path)
        assert [*problems, *violations(page)] == []
        if path != "/help":
            expect(page.get_by_role("heading", level=1)).to_have_text(
                "No scores have been published yet"
            )
        page.close()


def test_hostile_names_are_text(site: Site, open_context: Open) -> None:
    page, problems = open_page(open_context(), f"{site.url}/?sort=probability&size=20")
    expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
    page.get_by_role("link", name="<script>alert(1)</script>").first.click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("<script>alert(1)</script>")
    assert page.evaluate("document.images.length") == 0
    assert problems == []


def test_an_action_goes_from_the_click_to_the_store(
    site: Site, open_context: Open
) -> None:
    page, problems = open_page(open_context(), f"{site.url}/?sort=probability")
    row = page.locator("tbody tr").filter(has_text="Brightwater Clinics")
    row.get_by_role("button", name="Offer made").click()
    expect(page.get_by_role("status")).to_contain_text(
        "Recorded: Offer made, Brightwater Clinics S.A."
    )
    assert ("acc-000001", "offer_made", None, None, "mattress") in stored(site)
    page.get_by_role("link", name="Brightwater Clinics").click()
    page.get_by_role("combobox", name="By").select_option("call")
    page.get_by_label("Note").fill("They want a new offer")
    page.get_by_role("button", name="Contacted").click()
    expect(page.get_by_text("They want a new offer")).to_be_visible()
    assert stored(site)[-1][:4] == (
        *("acc-000001", "contacted", "call", "They want a new offer"),
    )
    page.get_by_role("button", name="Undo").first.click()
    expect(page.get_by_role("status")).to_contain_text("Correction")
    assert stored(site)[-1][1] == "correction"
    assert problems == []


def test_a_double_click_is_one_action(site: Site, open_context: Open) -> None:
    page, _ = open_page(
        open_context(java_script_enabled=False), f"{site.url}/account?id=acc-000020"
    )
    before = len(stored(site)) if site.actions.exists() else 0
    page.get_by_role("button", name="Declined").dblclick()
    expect(page.get_by_role("status")).to_contain_text("Offer declined")
    assert len(stored(site)) == before + 1


def test_everything_works_without_javascript(site: Site, open_context: Open) -> None:
    context = open_context(java_script_enabled=False)
    page, problems = open_page(context, site.url)
    page.get_by_role("combobox", name="Risk").select_option("medium")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(f"{site.url}/?owner=&band=medium&offer=&sort=revenue")
    assert set(page.locator(".band").all_inner_texts()) == {"medium"}
    page.get_by_role("searchbox").fill("compa")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Search: compa")
    page.locator("tbody th a").first.click()
    page.get_by_role("button", name="Snooze").click()
    expect(page.get_by_role("status")).to_contain_text("Snoozed")
    page.get_by_role("button", name="End the snooze").click()
    expect(page.get_by_role("status")).to_contain_text("Snooze ended")
    page.get_by_role("link", name="Help").click()
    expect(page.get_by_role("heading", name="What the words mean")).to_be_visible()
    page.get_by_role("link", name="Accounts at risk").click()
    page.get_by_role("link", name="Next").click()
    page.get_by_role("link", name="Last").click()
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.get_by_role("link", name="First").click()
    expect(page.get_by_role("link", name="Previous")).to_have_count(0)
    assert problems == []


def test_a_list_is_worked_through_by_keys_alone(site: Site, open_context: Open) -> None:
    page, problems = open_page(open_context(), f"{site.url}/?sort=probability&size=20")
    for key in "jjjk":
        page.keyboard.press(key)
    chosen = page.locator("tr.current th a").inner_text()
    page.keyboard.press("c")
    expect(page.get_by_role("status")).to_contain_text(f"Contacted, {chosen}")
    page.keyboard.press("n")
    expect(page).to_have_url(f"{site.url}/?sort=probability&size=20&after=22")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("s")
    expect(page.get_by_role("status")).to_contain_text("Snoozed")
    page.keyboard.press("u")
    expect(page).to_have_url(f"{site.url}/?sort=probability&size=20")
    page.keyboard.press("/")
    page.keyboard.type("bright")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Search: bright")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert problems == []


def test_keys_do_nothing_while_typing(site: Site, open_context: Open) -> None:
    page, _ = open_page(open_context(), f"{site.url}/account?id=acc-000030")
    before = stored(site) if site.actions.exists() else []
    page.get_by_label("Note").fill("")
    page.keyboard.type("cos? j/k")
    expect(page.get_by_label("Note")).to_have_value("cos? j/k")
    assert (stored(site) if site.actions.exists() else []) == before


def test_the_skip_link_and_the_focus_are_visible(
    site: Site, open_context: Open
) -> None:
    page, _ = open_page(open_context(), site.url)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(style) == "solid"


def test_a_print_has_the_account_without_the_controls(
    site: Site, open_context: Open
) -> None:
    page, _ = open_page(open_context(), site.url + ACCOUNT)
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    expect(page.get_by_role("button", name="Offer made")).to_be_hidden()


def test_a_page_is_small(site: Site, open_context: Open) -> None:
    context = open_context()
    page = context.new_page()
    sizes: list[int] = []
    page.on(
        "requestfinished",
        lambda request: sizes.append(request.sizes()["responseBodySize"]),
    )
    page.goto(site.url, wait_until="networkidle")
    assert len(sizes) <= 4
    assert sum(sizes) <= 60_000


def test_touch_targets_are_large(site: Site, open_context: Open) -> None:
    context = open_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page, _ = open_page(context, site.url)
    small = page.evaluate(
        """[...document.querySelectorAll('main button, main select, .pages a')]
        .filter(e => e.getBoundingClientRect().height < 44)
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert small == []
