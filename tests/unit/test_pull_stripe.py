"""Lists of Stripe become complete dated files, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from churn.cli.main import churn
from churn.ingest.pull_stripe import TABLES
from churn.onboarding.presets import load_presets
from tests.support.tls_stub import Answer, Request, TlsStub

DAY = "2025-03-01"
KEY = "rk_live_51secret"


def subscription(number: int) -> dict[str, Any]:
    price = {
        "unit_amount": 12_000,
        "recurring": {"interval": "year", "interval_count": 1},
    }
    return {
        "id": f"sub_{number:04d}",
        "customer": {"id": f"cus_{number}"} if number % 2 else f"cus_{number}",
        "status": "canceled" if number % 3 else "active",
        "created": 1_735_689_600 + number,
        "start_date": 1_735_689_600 + number,
        "ended_at": 1_738_368_000 if number % 3 else None,
        "canceled_at": 1_738_368_000 if number % 3 else None,
        "cancel_at": None,
        "currency": "eur",
        "items": {
            "data": [
                {"plan": {"id": "price_team"}, "price": price, "quantity": 3},
                {
                    "price": {
                        "unit_amount": 500,
                        "recurring": {"interval": "month", "interval_count": 1},
                    }
                },
            ]
        },
    }


class StripeStub(TlsStub):
    """Stripe's lists, newest first."""

    hosts = ("api.stripe.com",)

    def __init__(self, folder: Path) -> None:
        self.requests, self.faults = [], []
        self.rows = {
            "subscriptions": [subscription(number) for number in range(250)],
            "invoices": [],
        }
        super().__init__(folder)

    def answer(self, request: Request) -> Answer:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            message = "Invalid API Key provided: rk_live_51******"
            return Answer({"error": {"message": message}}, 401)
        rows = self.rows[request.path.rpartition("/")[2]]
        if request.path.endswith("subscriptions"):
            # Without it, Stripe leaves out what was canceled.
            assert request.query["status"] == "all"
        ids = [row["id"] for row in rows]
        after = request.query.get("starting_after")
        start = ids.index(after) + 1 if after else 0
        end = start + int(request.query["limit"])
        return Answer({"data": rows[start:end], "has_more": end < len(rows)})


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeStub]:
    server = StripeStub(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CHURN_STRIPE_API_KEY", KEY)
    yield server
    server.close()


def pull(folder: Path) -> Result:
    return CliRunner().invoke(
        churn, ["pull", "stripe", "--out", str(folder), "--date", DAY]
    )


def test_lists_become_files_of_text(stub: StripeStub, tmp_path: Path) -> None:
    busy = Answer({"error": {"message": "busy"}}, 429, {"Retry-After": "0"})
    stub.fail("subscriptions", busy, 3, after=1)
    result = pull(tmp_path / "out")
    assert result.exit_code == 0, result.exception
    path = tmp_path / f"out/subscriptions/dt={DAY}/subscriptions.parquet"
    rows = {row["id"]: row for row in pq.read_table(path).to_pylist()}
    assert len(rows) == 250
    assert rows["sub_0004"] == {
        "id": "sub_0004",
        "customer": "cus_4",
        "status": "canceled",
        "created": "1735689604",
        "start_date": "1735689604",
        "ended_at": "1738368000",
        "canceled_at": "1738368000",
        "cancel_at": None,
        "currency": "eur",
        "quantity": "3",
        "plan.id": "price_team",
        # Three seats of 120 a year, and 5 a month.
        "mrr": "35.00",
    }
    assert rows["sub_0005"]["customer"] == "cus_5"
    empty = tmp_path / f"out/invoices/dt={DAY}/invoices.parquet"
    assert pq.read_table(empty).num_rows == 0


@pytest.mark.parametrize("table", TABLES)
def test_the_preset_recognises_the_files(table: str) -> None:
    (preset,) = (each for each in load_presets() if each.key == "stripe")
    assert set(preset.tables[table].signature) <= set(TABLES[table])


def test_an_object_that_is_listed_twice_is_noticed(
    stub: StripeStub, tmp_path: Path
) -> None:
    stub.rows["subscriptions"].insert(150, subscription(3))
    stub.rows["subscriptions"][-1] = subscription(3)
    del stub.rows["subscriptions"][3]
    result = pull(tmp_path / "out")
    assert "1 rows of subscriptions were read twice" in str(result.exception)
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer({"error": {"message": "no\nway"}}, 400), "status 400 (no"),
        (Answer("<html>", 502, {"Retry-After": "0"}), "status 502"),
        (Answer("{", is_cut=True), "cannot be reached"),
    ],
)
def test_errors_are_one_sentence(
    stub: StripeStub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    words: str,
) -> None:
    monkeypatch.setattr(
        "churn.ingest.http_session.RetryingSession.sleep", lambda *_: None
    )
    stub.fail("subscriptions", answer, 99)
    result = pull(tmp_path / "out")
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.usefixtures("stub")
def test_the_key_is_in_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_STRIPE_API_KEY", "rk_live_51wrong")
    message = str(pull(tmp_path / "out").exception)
    assert "check CHURN_STRIPE_API_KEY" in message
    assert "51" not in message
    monkeypatch.delenv("CHURN_STRIPE_API_KEY")
    assert "is not set" in str(pull(tmp_path / "out").exception)
