"""Alerts reach a webhook once, hold no secret, and never fail a run."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from churn.config import UserError
from churn.operations.alerts import (
    Receivers,
    notify,
    send_heartbeat,
    tell_start_failure,
)
from churn.operations.status import CRITICAL, WARNING, Facts, Problem, Status

NOW = datetime(2025, 8, 27, 6, 15, tzinfo=UTC)
STALE = Problem("scores_stale:crm", CRITICAL, 2, "Scores are stale.", "Deliver.")
GAP = Problem("gap:crm:2025-08-26", WARNING, 0, "A batch is missing.", "Deliver.")


class Webhook:
    """A receiver on this machine, as Apprise's JSON service and Mattermost see it."""

    def __init__(self) -> None:
        self.received: list[tuple[str, Any]] = []
        self.code = 200
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.received.append((self.path, json.loads(body)))
                self._answer()

            def do_GET(self) -> None:
                webhook.received.append((self.path, None))
                self._answer()

            def _answer(self) -> None:
                self.send_response(webhook.code)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/secret-token"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    yield webhook
    webhook.server.shutdown()
    webhook.server.server_close()


def status(*problems: Problem) -> Status:
    return Status(NOW, Facts(), problems)


def test_a_problem_is_reported_once_and_once_when_it_is_solved(
    webhook: Webhook, tmp_path: Path
) -> None:
    receivers = Receivers((webhook.url,))
    for problems in ((GAP,), (GAP,), (GAP, STALE), (STALE,), ()):
        notify(status(*problems), receivers, tmp_path)
    reported = [
        (body["title"], body["message"], body["type"]) for _, body in webhook.received
    ]
    assert reported == [
        ("[warning] churn", "A batch is missing. Deliver.", "warning"),
        ("[critical] churn", "Scores are stale. Deliver.", "failure"),
        ("[solved] churn", "Solved: A batch is missing.", "success"),
        ("[solved] churn", "Solved: Scores are stale.", "success"),
    ]


def test_a_pager_gets_critical_problems_only(webhook: Webhook, tmp_path: Path) -> None:
    notify(status(GAP, STALE), Receivers(pager=(webhook.url,)), tmp_path)
    assert [body["title"] for _, body in webhook.received] == ["[critical] churn"]


def test_a_receiver_that_refuses_is_asked_again(
    webhook: Webhook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receivers = Receivers((webhook.url,))
    webhook.code = 500
    assert notify(status(GAP), receivers, tmp_path).failed
    webhook.code = 200
    assert not notify(status(GAP), receivers, tmp_path).failed
    assert len(webhook.received) == 2
    notify(status(GAP), receivers, tmp_path)
    assert len(webhook.received) == 2
    assert "was not accepted" in caplog.text


@pytest.mark.parametrize(
    "url",
    ["json://127.0.0.1:9/secret-token", "nonsense://secret-token", "secret-token"],
)
def test_no_secret_is_logged(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert notify(status(GAP), Receivers((url,)), tmp_path).failed
    assert not send_heartbeat("http://127.0.0.1:9/secret-token")
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("churn")
    ]
    assert len(ours) == 2
    assert "secret" not in "".join(ours)


def test_a_damaged_state_repeats_alerts_and_fails_nothing(
    webhook: Webhook, tmp_path: Path
) -> None:
    (tmp_path / "alerts.json").write_text('{"gap:crm:2025-08-26": ')
    notify(status(GAP), Receivers((webhook.url,)), tmp_path)
    assert len(webhook.received) == 1


def test_values_from_data_are_one_line_of_plain_text(
    webhook: Webhook, tmp_path: Path
) -> None:
    text = "a\x1b[31m\u202e\r\n<b>*x*</b> & {{ 7*7 }}"
    problem = Problem("unreadable_file:x", CRITICAL, 1, text, "")
    notify(status(problem), Receivers((webhook.url,)), tmp_path)
    message = webhook.received[0][1]["message"]
    assert message == "a [31m   <b>*x*</b> & {{ 7*7 }}"


def test_a_run_that_cannot_start_is_reported(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_ALERT_URLS", webhook.url)
    tell_start_failure("There is no profile.")
    assert webhook.received[0][1]["message"] == (
        "The daily run could not start: There is no profile."
    )


def test_a_heartbeat_is_requested(webhook: Webhook) -> None:
    url = f"http://127.0.0.1:{webhook.server.server_port}/ping/1"
    assert send_heartbeat(url)
    assert webhook.received == [("/ping/1", None)]


@pytest.mark.parametrize("address", ["file:///etc/passwd", "https://[::1/ping"])
def test_a_heartbeat_that_is_no_web_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("CHURN_HEARTBEAT_URL", address)
    with pytest.raises(UserError, match="CHURN_HEARTBEAT_URL"):
        Receivers.from_environment()
