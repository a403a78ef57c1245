"""Alerts through Apprise, and the heartbeat.

A problem is reported once, and once more when it is solved. What was reported is in
``alerts.json`` of the state folder. An alert that no receiver accepted is sent again by
the next run.

| variable | receives |
|---|---|
| ``CHURN_ALERT_URLS`` | every problem and every solved problem |
| ``CHURN_PAGER_URLS`` | critical problems only, and that they are solved |
| ``CHURN_DIGEST_URLS`` | the state of each morning, also without problems |
| ``CHURN_HEARTBEAT_URL`` | a request after each run that did its work |

The first three are Apprise's URLs, separated by spaces. They hold secrets, so they are
neither logged nor part of a message.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.config import UserError
from churn.operations.status import CRITICAL, OK, Problem, Status

log = logging.getLogger("churn.operations")

HEARTBEAT_SECONDS = 10
MAX_CHARACTERS = 4_000

# Sends a title and a body to receivers; returns whether all accepted it.
Send = Callable[[Sequence[str], str, str, str], bool]


@dataclass(frozen=True)
class Receivers:
    """The URLs of the receivers, from the environment."""

    alerts: tuple[str, ...] = ()
    pager: tuple[str, ...] = ()
    digest: tuple[str, ...] = ()
    heartbeat: str | None = None

    @classmethod
    def from_environment(cls) -> Receivers:
        """Read the URLs.

        Raises:
            UserError: Receivers are named, but Apprise is not installed, or the
                heartbeat is no http URL.
        """

        def urls(name: str) -> tuple[str, ...]:
            return tuple(os.environ.get(name, "").split())

        heartbeat = os.environ.get("CHURN_HEARTBEAT_URL") or None
        if heartbeat and not _is_web_address(heartbeat):
            raise UserError(
                "CHURN_HEARTBEAT_URL must be an address that begins with https:// or "
                "http://: correct it."
            )
        receivers = cls(
            urls("CHURN_ALERT_URLS"),
            urls("CHURN_PAGER_URLS"),
            urls("CHURN_DIGEST_URLS"),
            heartbeat,
        )
        if receivers.alerts or receivers.pager or receivers.digest:
            try:
                import apprise  # noqa: F401
            except ImportError:
                raise UserError(
                    "CHURN_ALERT_URLS names receivers, but Apprise is not installed: "
                    "run `pip install 'churn[alerts]'`."
                ) from None
        return receivers

    def for_severity(self, severity: str) -> tuple[str, ...]:
        """Return the URLs that receive problems of a severity."""
        pager = self.pager if severity == CRITICAL else ()
        return tuple(dict.fromkeys((*self.alerts, *pager)))


def _is_web_address(text: str) -> bool:
    try:
        return urllib.parse.urlsplit(text).scheme in ("http", "https")
    except ValueError:
        # An opening bracket of an IPv6 address without a closing one.
        return False


@dataclass
class Sent:
    """What was reported.

    Attributes:
        sentences: One line for each message that was sent.
        failed: Whether a receiver did not accept a message.
    """

    sentences: list[str]
    failed: bool = False


def send_with_apprise(
    urls: Sequence[str], title: str, body: str, notify_type: str
) -> bool:
    """Send one message; return whether all receivers accepted it."""
    import apprise

    # Apprise logs URLs, which hold secrets.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    channels = apprise.Apprise()
    added = [channels.add(url) for url in urls]
    return all(added) and bool(
        channels.notify(
            body=body,
            title=title,
            notify_type=apprise.NotifyType(notify_type),
            body_format=apprise.NotifyFormat.TEXT,
        )
    )


def notify(
    status: Status,
    receivers: Receivers,
    folder: Path,
    digest: str | None = None,
    send: Send = send_with_apprise,
) -> Sent:
    """Tell new and solved problems, and the digest.

    Args:
        status: The state of the project.
        receivers: Who receives alerts.
        folder: The state folder.
        digest: The text of the morning digest; ``None`` for no digest.
        send: Sends one message; it must not raise.
    """
    path = folder / "alerts.json"
    previous = _read(path)
    current = {problem.key: problem for problem in status.problems}
    reported = Sent([])
    open_alerts = dict(previous)

    def deliver(severity: str, title: str, lines: list[str], kind: str) -> bool:
        body = "\n".join(map(_plain, lines))[:MAX_CHARACTERS]
        reported.sentences.extend(f"[{title}] {_plain(line)}" for line in lines)
        urls = receivers.for_severity(severity)
        if urls and not _send(send, urls, f"[{title}] churn", body, kind):
            reported.failed = True
            return False
        return True

    for severity in dict.fromkeys(problem.severity for problem in status.problems):
        new = [
            problem
            for problem in status.problems
            if problem.severity == severity
            and (previous.get(problem.key) or {}).get("severity") != severity
        ]
        kind = "failure" if severity == CRITICAL else "warning"
        if new and deliver(severity, severity, list(map(str, new)), kind):
            for problem in new:
                open_alerts[problem.key] = {
                    "severity": severity,
                    "sentence": problem.sentence,
                    "since": status.now.isoformat(timespec="seconds"),
                }
    for severity in dict.fromkeys(each["severity"] for each in previous.values()):
        solved = {
            key: each
            for key, each in previous.items()
            if key not in current and each["severity"] == severity
        }
        lines = [f"Solved: {each['sentence']}" for each in solved.values()]
        if lines and deliver(severity, "solved", lines, "success"):
            for key in solved:
                del open_alerts[key]
    if open_alerts != previous:
        _write(path, open_alerts)
    if digest and receivers.digest:
        kind = "info" if status.exit_code == OK else "warning"
        if not _send(send, receivers.digest, "churn this morning", digest, kind):
            reported.failed = True
    return reported


def tell_start_failure(sentence: str, send: Send = send_with_apprise) -> None:
    """Tell that a run could not start, such as without a profile; never raises."""
    try:
        urls = Receivers.from_environment().for_severity(CRITICAL)
    except UserError:
        # The command prints this sentence.
        return
    if urls:
        body = _plain(f"The daily run could not start: {sentence}")
        _send(send, urls, f"[{CRITICAL}] churn", body, "failure")


def _send(
    send: Send, urls: Sequence[str], title: str, body: str, notify_type: str
) -> bool:
    try:
        accepted = send(urls, title, body, notify_type)
    except Exception as error:
        # A receiver must not fail the run. Its message can hold a secret.
        log.warning("An alert was not sent: %s.", type(error).__name__)
        return False
    if not accepted:
        log.warning(
            "An alert was not accepted by all of %d receivers: check the URLs in "
            "CHURN_ALERT_URLS, CHURN_PAGER_URLS and CHURN_DIGEST_URLS.",
            len(urls),
        )
    return accepted


def send_heartbeat(url: str) -> bool:
    """Request the heartbeat URL; return whether it answered."""
    try:
        with urllib.request.urlopen(url, timeout=HEARTBEAT_SECONDS) as answer:
            return bool(200 <= answer.status < 400)
    except (OSError, ValueError) as error:
        log.warning("The heartbeat was not sent: %s.", type(error).__name__)
        return False


def digest_text(status: Status, problems: Sequence[Problem]) -> str:
    """Return the morning digest: scores, sources and open problems."""
    facts = status.facts
    through = ", ".join(
        f"{name} through {source.through or 'never'}"
        for name, source in facts.sources.items()
    )
    lines = [
        f"{facts.accounts:,} accounts scored as of {facts.as_of_date}; model "
        f"{facts.model_version}.",
        f"Data: {through}.",
        *([f"Open problems: {len(problems)}."] if problems else ["No open problems."]),
        *(f"[{problem.severity}] {problem}" for problem in problems),
    ]
    return "\n".join(map(_plain, lines))[:MAX_CHARACTERS]


def _plain(text: str) -> str:
    """Return a text as one line without control characters."""
    return "".join(
        letter if letter.isprintable() else " " for letter in str(text)
    ).strip()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        alerts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(alerts, dict):
        return {}
    return {
        key: each
        for key, each in alerts.items()
        if isinstance(each, dict) and "severity" in each and "sentence" in each
    }


def _write(path: Path, alerts: dict[str, dict[str, Any]]) -> None:
    """Replace the file by a rename; a full disk is logged."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(alerts, indent=1), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        log.warning(
            "%s cannot be written (%s), so alerts may be repeated.",
            path,
            error.strerror,
        )
