"""The page shows who is held out, and what the experiments say so far."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from churn.web.publish import publish
from tests.support.serving import (
    page_settings,
    project_of,
    sqlite_url,
    write_experiments,
    write_marts,
)
from tests.unit.test_page import Client

CONTROL = "acc-000003"


def client_of(folder: Path, **changes: object) -> Client:
    marts = write_marts(folder / "marts.duckdb")
    write_experiments(marts, **changes)
    publish(project_of(marts), page_settings(folder).serving)
    return Client(folder, actions=sqlite_url(folder / "actions.db"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return client_of(tmp_path_factory.mktemp("outcomes"))


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_a_running_experiment_shows_effect_interval_and_chart(client: Client) -> None:
    page = client.get("/outcomes").text
    text = text_of(page)
    assert "30.0 churned accounts fewer per 100" in text
    assert "valid however often you look" in text
    assert "20% are in the comparison group" in text
    assert "accounts whose risk was high or medium, with at most 5,000 a month" in text
    (chart,) = re.findall(r"<svg class=\"chart\".*?</svg>", page, re.DOTALL)
    assert chart.count("<circle") == 3
    assert 'role="img" aria-label="Effect and interval. all accounts: 30.0' in chart


def test_too_few_accounts_are_a_normal_state(client: Client) -> None:
    text = text_of(client.get("/outcomes").text)
    assert "Too few accounts to tell: the outcome of 0 of 1,000 is known" in text
    assert "known by about May 2026" in text
    assert "it can show a difference of" in text


def test_nothing_claims_that_one_customer_was_kept_by_an_offer(client: Client) -> None:
    pages = [
        client.get(url).text for url in ("/outcomes", "/help", "/account?id=" + CONTROL)
    ]
    assert all("prevented" not in page for page in pages)
    assert "would have stayed anyway, only the comparison tells" in pages[0]


def test_names_of_experiments_are_escaped(client: Client) -> None:
    page = client.get("/outcomes").text
    assert "<b>running</b>" not in page
    assert "&lt;b&gt;running&lt;/b&gt;" in page


def test_a_broken_sample_ratio_hides_the_effect(tmp_path: Path) -> None:
    page = client_of(tmp_path, count_assigned=1_000).get("/outcomes").text
    assert "Broken: arms of wrong sizes" in page
    assert "fewer per 100" not in page
    assert '<svg class="chart"' not in page


def test_a_control_account_says_until_when_and_is_contacted_with_a_reason(
    client: Client,
) -> None:
    page = text_of(client.get(f"/account?id={CONTROL}").text)
    assert "In the comparison group until 1 Apr 2026" in page
    refused = client.post({"account_id": CONTROL, "action_type": "offer_made"})
    assert refused.status_code == 422
    assert "write why" in refused.text
    reason = {"override_reason": "They asked for a better price."}
    client.post({"account_id": CONTROL, "action_type": "offer_made", **reason})
    page = text_of(client.get(f"/account?id={CONTROL}").text)
    assert "Contacted in the comparison group: They asked for a better price." in page


def test_actions_of_the_crm_are_in_the_timeline(client: Client) -> None:
    page = text_of(client.get("/account?id=acc-000001").text)
    assert "Customer kept crm user" in page
