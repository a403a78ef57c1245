"""A served company and a Chromium, for tests in a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from churn.web.app import create_app
from churn.web.publish import publish
from churn.web.serve import create_server
from tests.support.serving import (
    HOSTILE,
    NOW,
    page_settings,
    project_of,
    sqlite_url,
    write_experiments,
    write_marts,
)

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str:
    """Return the path of a Chromium; fail with a sentence if there is none."""
    path = os.environ.get("CHURN_CHROMIUM") or next(
        (found for name in CHROMIUMS if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.fail(
            "There is no Chromium: run scripts/install_test_programs.sh, or set "
            "CHURN_CHROMIUM to its path."
        )
    return path


@dataclass
class Site:
    """A running page.

    Attributes:
        url: Its address.
        actions: The file of its store of actions.
    """

    url: str
    actions: Path


def _serve(folder: Path, clock: Callable[[], datetime]) -> tuple[Site, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    actions = folder / "actions.db"
    app = create_app(
        page_settings(
            folder,
            actions=sqlite_url(actions),
            crm_url="https://crm.example/{account_id}",
        ),
        clock,
    )
    server = create_server(app, port=port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    return Site(f"http://127.0.0.1:{port}", actions), server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Provide a Chromium."""
    path = find_chromium()
    with sync_playwright() as playwright:
        # Chromium's sandbox needs rights that containers do not give.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Provide the page of a company with hostile names among its accounts."""
    folder = tmp_path_factory.mktemp("site")
    names = ["Brightwater Clinics S.A.", *HOSTILE]
    marts = write_marts(folder / "marts.duckdb", 160, names=names)
    write_experiments(marts)
    publish(project_of(marts), sqlite_url(folder / "serving.db"))
    site, server = _serve(folder, lambda: NOW)
    yield site
    server.should_exit = True


@pytest.fixture(scope="session")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Provide the page of a company without scores."""
    site, server = _serve(tmp_path_factory.mktemp("empty"), lambda: NOW)
    yield site
    server.should_exit = True


@pytest.fixture
def open_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Provide a function that opens a browser context with some settings."""
    contexts: list[BrowserContext] = []

    def open_context(**settings: Any) -> BrowserContext:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, **settings}
        )
        contexts.append(context)
        return context

    yield open_context
    for context in contexts:
        context.close()
