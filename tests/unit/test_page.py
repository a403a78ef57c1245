"""The page answers, escapes, refuses and records as it should, without a browser."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.config import UserError
from churn.operations.freshness import freshness
from churn.quoting import neutralise
from churn.web.app import create_app
from churn.web.formats import Formats, formats_for
from churn.web.guard import POLICY, RateLimit
from churn.web.publish import publish
from churn.web.settings import PageSettings
from tests.support.serving import (
    AS_OF,
    HOSTILE,
    NOW,
    page_settings,
    project_of,
    write_marts,
)

ORIGIN = "http://127.0.0.1:8000"
PAGES = [
    "/",
    "/?band=high&sort=probability",
    "/?mine=1",
    "/?q=comp",
    "/?last=1",
    "/account?id=acc-000001",
    "/log",
    "/outcomes",
    "/model",
    "/help",
]
SECRET = "s" * 32


class Client:
    """Sends requests to the application, without a server."""

    def __init__(self, folder: Path, clock: Any = lambda: NOW, **changes: Any) -> None:
        import anyio

        self._anyio = anyio
        self._app = create_app(page_settings(folder, **changes), clock)
        self.headers: dict[str, str] = {}

    def send(self, method: str, url: str, **values: Any) -> httpx.Response:
        """Send one request."""
        headers = {**self.headers, **values.pop("headers", {})}

        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url=ORIGIN
            ) as client:
                return await client.request(method, url, headers=headers, **values)

        return self._anyio.run(call)

    def get(self, url: str, **values: Any) -> httpx.Response:
        """Get a page."""
        return self.send("GET", url, **values)

    def post(self, data: dict[str, str], **headers: str) -> httpx.Response:
        """Send a form from the page itself."""
        form = re.search(r'name="form_id" value="([^"]+)"', self.get("/").text)
        assert form
        return self.send(
            "POST",
            "/actions",
            data={"form_id": form[1], **data},
            headers={"origin": ORIGIN, **headers},
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a folder with a published company."""
    folder = tmp_path_factory.mktemp("served")
    url = page_settings(folder).serving
    publish(project_of(write_marts(folder / "marts.duckdb")), url)
    return folder


@pytest.fixture
def client(served: Path, tmp_path: Path) -> Client:
    """Provide the page of that company, without actions."""
    from tests.support.serving import sqlite_url

    return Client(served, actions=sqlite_url(tmp_path / "actions.db"))


@pytest.mark.parametrize("url", PAGES)
def test_pages_answer_with_a_strict_policy(client: Client, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 200
    assert response.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert len(response.content) < 60_000
    assert "server" not in response.headers
    # The policy would block inline code and styles.
    assert not re.search(r"<style|<script(?! src=)| style=| on\w+=", response.text)
    assert not re.search(r"(src|href)=\"(https?:)?//", response.text)


def test_a_list_hides_the_comparison_group_and_search_finds_it(client: Client) -> None:
    page = client.get("/?sort=probability").text
    assert "Company 3 Ltd" not in page
    assert "12 more accounts are in the comparison group" in page
    found = client.get("/?q=company 3").text
    assert "Company 3 Ltd" in found
    assert "comparison group" in found
    account = client.get("/account?id=acc-000003").text
    assert "no offer from us" in account


def test_paging_visits_every_account_once(client: Client) -> None:
    seen: list[str] = []
    url: str | None = "/?size=20"
    while url:
        page = client.get(url).text
        seen += re.findall(r'<th scope="row"[^>]*><a href="/account\?id=([^"&]+)', page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        url = following[1].replace("&amp;", "&") if following else None
    assert len(seen) == len(set(seen)) == 108


def test_filters_are_kept_in_the_address(client: Client) -> None:
    page = client.get("/?owner=owner2&band=low&sort=change&size=5").text
    following = re.search(r'href="([^"]+)" rel="next"', page)
    assert following
    for part in ("owner=owner2", "band=low", "sort=change", "size=5"):
        assert part in following[1]
    owners = set(re.findall(r"<small>(Owner \d)</small>", page))
    assert owners == {"Owner 2"}


def test_mine_is_what_the_actor_owns(client: Client) -> None:
    page = client.get("/?mine=1").text
    assert set(re.findall(r"<small>(Owner \d)</small>", page)) == {"Owner 1"}


class _Elements(HTMLParser):
    """Counts the elements of a page, and collects its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_names_are_text(tmp_path: Path) -> None:
    marts = write_marts(tmp_path / "marts.duckdb", names=HOSTILE, ids=HOSTILE)
    publish(project_of(marts), page_settings(tmp_path).serving)
    client = Client(tmp_path, crm_url="https://crm.example/{account_id}")
    page = _Elements()
    page.feed(client.get("/?sort=probability").text)
    assert "<script>alert(1)</script>" in page.text
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    for name in HOSTILE:
        response = client.send("GET", "/account", params={"id": name})
        assert response.status_code == 200
        account = _Elements()
        account.feed(response.text)
        assert account.tags.count("script") == 1
        assert "img" not in account.tags
        link = re.search(r'href="(https://crm\.example/[^"]*)"', response.text)
        assert link
        assert re.fullmatch(r"https://crm\.example/[\w.~%-]*", link[1])
        decision = client.send("GET", "/decision", params={"id": name})
        assert decision.status_code == 404
        posted = client.post({"do": f"contacted:{name}", "override_reason": "test"})
        assert posted.status_code == 303
    assert client.get("/log").status_code == 200


def test_an_action_is_recorded_and_shown(client: Client) -> None:
    form = {"do": "offer_made:acc-000001", "back": "/?band=high"}
    response = client.post(form)
    assert response.status_code == 303
    assert response.headers["location"].startswith("/?band=high&done=")
    page = client.get(response.headers["location"]).text
    assert "Recorded: <strong>Offer made</strong>, Company 1 Ltd" in page
    assert "Offer made today" in page
    account = client.get("/account?id=acc-000001").text
    assert "offer mattress" in account
    assert "owner1" in account
    assert "Company 1 Ltd" in client.get("/log").text


def test_a_snoozed_account_is_hidden_until_the_day(
    served: Path, tmp_path: Path
) -> None:
    from tests.support.serving import sqlite_url

    now = [NOW]
    client = Client(served, lambda: now[0], actions=sqlite_url(tmp_path / "actions.db"))
    first = "/?sort=probability&size=1"
    assert "Company 1 Ltd" in client.get(first).text
    response = client.post({"do": "snoozed:acc-000001", "snoozed_until": "7"})
    assert response.status_code == 303
    page = client.get(first).text
    assert "Company 1 Ltd" not in page
    assert "Company 2 Ltd" in page
    assert "Company 1 Ltd" in client.get(first + "&snoozed=1").text
    now[0] += timedelta(days=7)
    assert "Company 1 Ltd" in client.get(first).text


def test_contacted_accounts_leave_the_quiet_list_for_30_days(client: Client) -> None:
    url = "/?sort=probability&quiet=1&size=1"
    assert "Company 1 Ltd" in client.get(url).text
    client.post({"do": "contacted:acc-000001"})
    assert "Company 1 Ltd" not in client.get(url).text


def test_an_action_is_undone_by_a_correction(client: Client) -> None:
    response = client.post({"do": "contacted:acc-000002"})
    action_id = response.headers["location"].partition("done=")[2]
    undone = client.post(
        {
            "action_type": "correction",
            "account_id": "acc-000002",
            "corrects_action_id": action_id,
        }
    )
    assert undone.status_code == 303
    assert "undone" in client.get("/account?id=acc-000002").text
    other = client.post(
        {
            "action_type": "correction",
            "account_id": "acc-000001",
            "corrects_action_id": action_id,
        }
    )
    assert other.status_code == 422


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil",
        "javascript:alert(1)",
        "/nope",
        "/?x=1\r\nset-cookie: a=b",
        "/" + "a" * 3000,
    ],
)
def test_a_form_returns_to_our_own_pages_only(client: Client, back: str) -> None:
    response = client.post({"do": "contacted:acc-000002", "back": back})
    assert response.status_code == 303
    assert response.headers["location"].startswith("/?done=")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": ORIGIN}, 403),
        ({"sec-fetch-site": "same-site", "origin": ORIGIN}, 403),
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"origin": ORIGIN}, 303),
    ],
)
def test_forms_of_other_sites_are_refused(
    client: Client, headers: dict[str, str], status: int
) -> None:
    assert client.post({"do": "contacted:acc-000002"}, **headers).status_code == status


def test_a_form_without_origin_is_refused(client: Client) -> None:
    response = client.send("POST", "/actions", data={"do": "contacted:acc-000002"})
    assert response.status_code == 403


def test_other_hosts_methods_and_large_forms_are_refused(client: Client) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example"):
        assert client.get("/", headers={"host": host}).status_code == 421
    probe = client.get("/healthz", headers={"host": "10.0.0.7:8000"})
    assert probe.status_code == 200
    assert client.send("DELETE", "/").status_code == 405
    assert client.get("/actions").status_code == 405
    large = client.post({"do": "note:acc-000001", "note": "x" * 20_000})
    assert large.status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 1_000

    async def body() -> Any:
        for chunk in chunks():
            yield chunk

    response = client.send(
        "POST",
        "/actions",
        content=body(),
        headers={"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"},
    )
    assert response.status_code == 413


def test_too_many_posts_are_refused() -> None:
    now = [0.0]
    limit = RateLimit(lambda: now[0])
    assert all(limit.allows("anna") for _ in range(30))
    assert not limit.allows("anna")
    assert limit.allows("berta")
    now[0] = 61.0
    assert limit.allows("anna")


def test_a_proxy_says_who_the_user_is(served: Path, tmp_path: Path) -> None:
    from tests.support.serving import sqlite_url

    client = Client(
        served,
        proxy_secret=SECRET,
        actor_groups=("sales",),
        actions=sqlite_url(tmp_path / "actions.db"),
    )
    assert client.get("/").status_code == 401
    client.headers = {"x-churn-proxy-secret": "wrong", "x-forwarded-user": "eve"}
    assert client.get("/").status_code == 401
    client.headers = {"x-churn-proxy-secret": SECRET}
    assert client.get("/").status_code == 401
    client.headers["x-forwarded-user"] = "evil\u00a0<b>"
    assert client.get("/", headers={"x-forwarded-user": "<b>"}).status_code == 401
    client.headers["x-forwarded-user"] = "owner2"
    page = client.get("/?mine=1").text
    assert "Signed in as owner2, read only" in page
    assert "Offer made" not in page
    assert client.post({"do": "contacted:acc-000002"}).status_code == 403
    client.headers["x-forwarded-groups"] = "staff,sales"
    assert client.post({"do": "contacted:acc-000002"}).status_code == 303


def test_users_can_be_limited_to_their_own_accounts(
    served: Path, tmp_path: Path
) -> None:
    from tests.support.serving import sqlite_url

    client = Client(
        served, own_accounts_only=True, actions=sqlite_url(tmp_path / "actions.db")
    )
    for url in ("/", "/?owner=owner2", "/?q=company"):
        page = client.get(url).text
        assert set(re.findall(r"<small>(Owner \d)</small>", page)) == {"Owner 1"}
    assert client.get("/account?id=acc-000001").status_code == 200
    assert client.get("/account?id=acc-000002").status_code == 404
    assert "Company 2 Ltd" not in client.get("/account?id=acc-000002").text
    assert client.post({"do": "contacted:acc-000002"}).status_code == 404
    assert "owner2" not in client.get("/accounts.csv").text


@pytest.mark.parametrize(
    ("host", "variables", "message"),
    [
        ("0.0.0.0", {}, "open to everybody"),
        ("127.0.0.1", {"CHURN_PROXY_SECRET": "short"}, "16 characters"),
        ("127.0.0.1", {"CHURN_CRM_URL": "http://x/{account_id}"}, "https://"),
        ("127.0.0.1", {"CHURN_CRM_URL": "https://x/"}, "account_id"),
        ("127.0.0.1", {"CHURN_READ_ONLY": "maybe"}, "true or false"),
    ],
)
def test_unsafe_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    variables: dict[str, str],
    message: str,
) -> None:
    monkeypatch.setenv("CHURN_SERVING_URL", "sqlite:///serving.db")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        PageSettings.from_environment(host)


def test_states_without_a_snapshot_explain_themselves(tmp_path: Path) -> None:
    client = Client(tmp_path)
    response = client.get("/")
    assert response.status_code == 503
    assert "No scores have been published yet" in response.text
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert client.get("/help").status_code == 200
    (tmp_path / "serving.db").write_bytes(b"no database")
    assert "cannot be read" in client.get("/").text
    # The page recovers by itself.
    url = page_settings(tmp_path).serving
    publish(project_of(write_marts(tmp_path / "marts.duckdb")), url)
    assert client.get("/").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_scores_stay_readable_without_the_store_of_actions(
    served: Path, tmp_path: Path
) -> None:
    from tests.support.serving import sqlite_url

    path = tmp_path / "actions.db"
    path.write_bytes(b"no database, but long enough to be taken for one" * 20)
    client = Client(served, actions=sqlite_url(path))
    page = client.get("/")
    assert page.status_code == 200
    assert "Actions cannot be read or recorded" in page.text
    assert client.get("/account?id=acc-000001").status_code == 200
    assert client.get("/log").status_code == 503
    # An export that cannot be logged is not made.
    assert client.get("/accounts.csv").status_code == 503
    assert client.get("/readyz").status_code == 503


def test_an_unknown_account_has_similar_ones(client: Client) -> None:
    response = client.get("/account?id=acc-0000019999")
    assert response.status_code == 404
    assert "Company 1" in response.text


@pytest.mark.parametrize(
    ("days", "is_shown"), [(0, False), (1, False), (2, True), (30, True)]
)
def test_the_banner_follows_the_clock(served: Path, days: int, is_shown: bool) -> None:
    from churn.web.snapshot import open_snapshots

    with open_snapshots(page_settings(served).serving).open() as reader:
        meta = {**reader.meta, "published_at": NOW.isoformat()}
    assert freshness(meta, NOW + timedelta(days=days)).needs_banner == is_shown


def test_exports_are_complete_neutral_and_logged(client: Client) -> None:
    response = client.get("/accounts.csv?sort=probability")
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert len(rows) == 108
    assert float(rows[0]["churn_probability"]) > 0.8
    lines = client.get("/accounts.jsonl?sort=probability").text.splitlines()
    assert len(lines) == 108
    assert json.loads(lines[0])["as_of_date"] == AS_OF.isoformat()
    metrics = client.get("/metrics").text
    assert 'churn_page_actions_total{action_type="exported"} 2' in metrics
    assert re.search(r"churn_page_accounts 120\b", metrics)


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    cell = neutralise(text)
    assert not cell.lstrip(" \u00a0\u3000").startswith(
        ("=", "+", "-", "@", "\t", "\r", "\n", "\x00")
    )
    full_width = ("\uff1d", "\uff0b", "\uff0d", "\uff20")
    assert not cell.lstrip(" \u00a0\u3000").startswith(full_width)
    assert cell.removeprefix("'") == text.replace("\x00", "").removeprefix("'")


def test_numbers_of_an_export_stay_numbers() -> None:
    assert neutralise(-3.5) == -3.5
    assert neutralise(None) is None


@pytest.mark.parametrize(
    ("accept", "number", "money"),
    [
        ("de-DE,de;q=0.9", "12.345,7", "1.235\u00a0€"),
        ("en-US", "12,345.7", "€1,235"),
        ("sv", "12\u00a0345,7", "1\u00a0235\u00a0€"),
        ("xx-YY, *", "12,345.7", "€1,235"),
        ("", "12,345.7", "€1,235"),
        (',;,"<script>', "12,345.7", "€1,235"),
    ],
)
def test_numbers_follow_the_locale(accept: str, number: str, money: str) -> None:
    formats = formats_for(accept)
    assert formats.number(12_345.67, 1) == number
    assert formats.money(1_234.6, "EUR") == money


def test_small_probabilities_are_never_none() -> None:
    formats = Formats("en_GB")
    assert formats.percent(0.001) == "under 1%"
    assert formats.percent(0.999) == "over 99%"
    assert formats.percent(0.0) == "0%"
    assert formats.of_100(0.001) == "fewer than 1"
    assert formats.money(5.0, "no currency") == "5"


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "q",
                "owner",
                "band",
                "offer",
                "sort",
                "after",
                "before",
                "size",
                "last",
                "done",
                "id",
                "list",
                "score",
            ]
        ),
        st.text(max_size=30),
        max_size=4,
    )
)
def test_no_address_is_an_error(served: Path, fields: dict[str, str]) -> None:
    client = Client(served)
    for path in ("/", "/account", "/decision"):
        response = client.send("GET", path, params=fields)
        assert response.status_code in (200, 404)
