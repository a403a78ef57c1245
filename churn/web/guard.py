"""ASGI middleware: who may do what, limits, security headers, log and metrics."""

from __future__ import annotations

import hmac
import json
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

from churn.web.settings import LOOPBACK, PageSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 16 * 1024
MAX_POSTS_PER_MINUTE = 30
# Probes of an orchestrator have neither a login nor a known host name.
PROBES = ("/healthz", "/readyz")
# No header may hold a line end; ids of users are shown and stored.
_USER = re.compile(r"^[\w.@+\- ]{1,200}$")

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Metrics:
    """Counters in the text format of Prometheus."""

    BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, int], int] = {}
        self._buckets = [0] * (len(self.BUCKETS) + 1)
        self._seconds = 0.0
        self.actions: dict[str, int] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        with self._lock:
            key = (route, status)
            self._requests[key] = self._requests.get(key, 0) + 1
            self._seconds += seconds
            for position, bound in enumerate(self.BUCKETS):
                if seconds <= bound:
                    self._buckets[position] += 1
            self._buckets[-1] += 1

    def count_action(self, kind: str) -> None:
        """Count one recorded action."""
        with self._lock:
            self.actions[kind] = self.actions.get(kind, 0) + 1

    def text(self, gauges: dict[str, float]) -> str:
        """Return all metrics as text."""
        with self._lock:
            lines = [
                "# HELP churn_page_requests_total Requests by route and status.",
                "# TYPE churn_page_requests_total counter",
                *(
                    f'churn_page_requests_total{{route="{route}",status="{status}"}} '
                    f"{count}"
                    for (route, status), count in sorted(self._requests.items())
                ),
                "# HELP churn_page_request_seconds Duration of requests.",
                "# TYPE churn_page_request_seconds histogram",
                *(
                    f'churn_page_request_seconds_bucket{{le="{bound}"}} {count}'
                    for bound, count in zip(
                        (*self.BUCKETS, "+Inf"), self._buckets, strict=True
                    )
                ),
                f"churn_page_request_seconds_sum {self._seconds:.6f}",
                f"churn_page_request_seconds_count {self._buckets[-1]}",
                "# HELP churn_page_actions_total Recorded actions by type.",
                "# TYPE churn_page_actions_total counter",
                *(
                    f'churn_page_actions_total{{action_type="{kind}"}} {count}'
                    for kind, count in sorted(self.actions.items())
                ),
            ]
        for name, value in sorted(gauges.items()):
            lines += [f"# TYPE churn_page_{name} gauge", f"churn_page_{name} {value}"]
        return "\n".join(lines) + "\n"


class RateLimit:
    """At most some posts a minute for each actor."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def allows(self, actor: str) -> bool:
        """Return whether an actor may post now, and count it."""
        now = self._clock()
        times = self._times.setdefault(actor, deque())
        while times and times[0] <= now - 60:
            times.popleft()
        if len(times) >= MAX_POSTS_PER_MINUTE:
            return False
        times.append(now)
        if len(self._times) > 10_000:
            self._times = {k: v for k, v in self._times.items() if v}
        return True


class Guard:
    """Checks every request before the application sees it.

    Args:
        app: The application.
        settings: Settings of the page.
        metrics: Counts requests.
        log: Where access lines are written as JSON; ``None`` for nowhere.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        settings: PageSettings,
        metrics: Metrics,
        log: TextIO | None = sys.stderr,
    ) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._limit = RateLimit()
        self._hosts = {*LOOPBACK, settings.host, *settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        sent = 0

        async def guarded_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                names = {name for name, _ in headers}
                headers += [pair for pair in HEADERS if pair[0] not in names]
                if b"cache-control" not in names:
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            # Of a repeated header, the first counts, as in the log of a proxy.
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        scope["churn.headers"] = headers
        problem = self._problem(scope, headers)
        try:
            if problem is not None:
                await _refuse(guarded_send, *problem)
            else:
                await self._app(scope, _limited(receive), guarded_send)
        finally:
            seconds = time.perf_counter() - started
            route = scope.get("churn.route", "other")
            self._metrics.observe(route, status, seconds)
            if self._log is not None and route not in ("health", "static"):
                line = {
                    "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "method": scope["method"],
                    # The query may hold names of customers.
                    "path": scope["path"][:200],
                    "status": status,
                    "ms": round(seconds * 1000, 1),
                    "bytes": sent,
                    "actor": scope.get("churn.actor"),
                }
                self._log.write(json.dumps(line) + "\n")

    def _problem(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return why a request is refused, with its status; ``None`` if it is not."""
        if scope["path"] in PROBES:
            return None
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "This method is not supported."
        host = headers.get("host", "")
        if _host_name(host) not in self._hosts:
            return 421, (
                "This host name is not served: add it to CHURN_ALLOWED_HOSTS if it is "
                "yours."
            )
        problem = self._authenticate(scope, headers)
        if problem is not None or scope["method"] != "POST":
            return problem
        if not _is_same_origin(headers):
            return 403, "The form was sent from another site: open the page and retry."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return 413, "The form is too large: shorten it."
        if not scope["churn.may_act"]:
            return 403, "You may read, but not record actions: ask for the role."
        if not self._limit.allows(scope["churn.actor"]):
            return 429, "Too many actions in one minute: wait a moment and retry."
        return None

    def _authenticate(
        self, scope: Scope, headers: dict[str, str]
    ) -> tuple[int, str] | None:
        settings = self._settings
        scope["churn.may_act"] = not settings.is_read_only
        if not settings.is_authenticated:
            scope["churn.actor"] = settings.local_actor
            return None
        if settings.proxy_secret is not None:
            given = headers.get("x-churn-proxy-secret", "")
            if not hmac.compare_digest(
                given.encode("latin-1"), settings.proxy_secret.encode()
            ):
                return 401, "Open this page through the company's login."
        actor = headers.get(settings.user_header, "").strip()
        if not _USER.match(actor):
            return 401, "The login names no user: check the proxy's user header."
        scope["churn.actor"] = actor
        if settings.actor_groups:
            groups = re.split(r"[,;\s]+", headers.get(settings.groups_header, ""))
            scope["churn.may_act"] &= bool(set(groups) & set(settings.actor_groups))
        return None


class BodyTooLargeError(Exception):
    """Stop reading a request whose body is larger than allowed."""


def _limited(receive: Receive) -> Receive:
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise BodyTooLargeError
        return message

    return limited


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].split("]")[0]
    return host.rsplit(":", 1)[0].lower() if ":" in host else host.lower()


def _is_same_origin(headers: dict[str, str]) -> bool:
    """Return whether a browser sent a form from one of our own pages."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    # Nothing is parsed, because an origin can be any text.
    host = headers.get("host")
    return bool(host) and headers.get("origin", "").partition("://")[2] == host


async def _refuse(send: Send, status: int, message: str) -> None:
    body = f"{message}\n".encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
