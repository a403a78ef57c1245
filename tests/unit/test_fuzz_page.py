"""The web page answers every request: no error of the server, no data as markup.

``make fuzz`` sends a part of a million requests: see `tests/support/fuzzing.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from churn.web.actions import ACTION_TYPES, CHANNELS, new_form_id
from churn.web.app import create_app
from churn.web.guard import POLICY, Guard
from churn.web.protocol import BoundedHeadProtocol
from churn.web.publish import publish
from tests.support.fuzzing import (
    INPUTS,
    VARIANTS,
    bounded,
    inputs,
    seeds,
    variants,
)
from tests.support.serving import (
    HOSTILE,
    NOW,
    page_settings,
    project_of,
    sqlite_url,
    write_marts,
)

pytestmark = pytest.mark.slow

HOST = b"127.0.0.1:8000"
ROUTES = [
    *["/", "/account", "/decision", "/outcomes", "/model", "/model/card", "/log"],
    *["/help", "/accounts.csv", "/accounts.jsonl", "/actions", "/static/page.css"],
    *["/healthz", "/readyz", "/metrics", "/static/..%2f..%2fapp.py", "//evil", "/%00"],
]
NAMES = [
    *["q", "id", "list", "score", "mine", "owner", "band", "offer", "quiet", "rising"],
    *["snoozed", "sort", "size", "after", "before", "last", "done", "do", "form_id"],
    *["account_id", "action_type", "channel", "offer_id", "snoozed_until", "note"],
    *["occurred_at", "corrects_action_id", "override_reason", "back"],
]
VALUES = [
    *HOSTILE,
    *["acc-000001", "acc-000003", "owner1", "high", "mattress", "probability", "1"],
    *["-1", "99999999999", "1e9", "٣", "2026-03-02", "2026-02-30", "9999-12-31"],
    *["0000-00-00", "/account?id=x", "//evil.example", "\\\\evil", "javascript:1"],
    *["%", "_", '"', "'", "%ff", "\ud800", "\0", "\U0001d54f" * 50, "a" * 3_000],
    *ACTION_TYPES,
    *CHANNELS,
]
# A tag that the page does not write, or an attribute that is a script. In an escaped
# value, these are within quotes or follow `&lt;`.
MARKUP = re.compile(
    r'<(script(?! src="/static/)|img|svg/|iframe)|'
    r'<[a-z](?:[^<>"]|"[^"]*")*?\son\w+\s*=',
    re.I,
)

values = st.sampled_from(VALUES) | st.text(max_size=12)
fields = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), values)
headers = st.dictionaries(
    st.sampled_from(
        [
            *["accept-language", "accept-encoding", "cookie", "origin", "referer"],
            *["content-type", "content-length", "sec-fetch-site", "x-forwarded-user"],
            *["x-forwarded-groups", "x-churn-proxy-secret", "host", "range"],
        ]
    ),
    st.binary(max_size=20)
    | st.sampled_from(
        [
            *[
                b"same-origin",
                b"cross-site",
                b"http://127.0.0.1:8000",
                b"gzip",
                b"null",
            ],
            *[b"de-DE,de;q=0.9", b"x-klingon", b"en-" + b"9" * 190, b"ar", b"zh-Hant"],
            *[b"application/x-www-form-urlencoded", b"multipart/form-data"],
            *[b"multipart/form-data; boundary=x", b"application/json", b"99999999999"],
            *[b"bytes=0-1", b"a=b; c=\xff", b"evil.example", b"[::1", b"owner1"],
        ]
    ),
)


def escaped(target: str) -> str:
    return quote(target, safe="/?&=%", errors="surrogatepass")


def encoded(fields: dict[str, str]) -> str:
    return urlencode(fields, errors="surrogatepass")


bodies = (
    fields.map(encoded).map(str.encode)
    | st.binary(max_size=60)
    | st.sampled_from(
        [
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="../b"\r\n\r\n',
            b"a=" + b"b" * 20_000,
            b"&".join(b"a%d=1" % number for number in range(60)),
            b"%",
            b"a=%zz&b=%ff",
        ]
    )
)


class Page:
    """The application, called as a server does; one event loop for all requests."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        settings = page_settings(
            folder, actions=sqlite_url(folder / "actions.db"), **changes
        )
        self.app: Guard = create_app(settings, lambda: NOW)
        # The limit of a person would refuse most requests.
        self.app._limit.allows = lambda _: True  # type: ignore[method-assign]
        self.loop = asyncio.new_event_loop()

    def send(
        self, method: str, target: str, headers: dict[str, bytes], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the answer to a request."""
        path, _, query = target.partition("?")
        given = {"host": HOST, **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "query_string": query.encode("utf-8", "replace"),
            "headers": [(name.encode(), value) for name, value in given.items()],
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        sent: list[Any] = []
        parts = [body[:50], body[50:]]

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        self.loop.run_until_complete(self.app(scope, receive, send))
        start = sent[0]
        found = {n.decode("latin-1"): v.decode("latin-1") for n, v in start["headers"]}
        return start["status"], found, b"".join(m.get("body", b"") for m in sent[1:])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Provide the page of a company with hostile names."""
    folder = tmp_path_factory.mktemp("fuzzed")
    marts = write_marts(folder / "marts.duckdb", names=HOSTILE, ids=None)
    publish(project_of(marts), page_settings(folder).serving)
    page = Page(folder)
    yield page
    page.loop.close()


def check_answer(page: Page, *request: Any) -> int:
    with bounded():
        status, headers, body = page.send(*request)
    # 503: the store says that it cannot be used, which no request can bring about.
    assert status < 500, (status, request)
    for name, value in headers.items():
        assert not re.search(r"[\r\n\0]", name + value), request
    policy = headers["content-security-policy"]
    assert policy == POLICY or "sandbox" in policy
    assert headers["x-content-type-options"] == "nosniff"
    if "location" in headers:
        assert re.match(r"/(?![/\\])", headers["location"]), request
    if headers.get("content-type", "").startswith("text/html") and policy == POLICY:
        text = body.decode()
        assert not MARKUP.search(text), (request, MARKUP.search(text))
    return status


@inputs("requests")
@given(st.sampled_from(ROUTES), fields, headers, bodies, st.data(), seeds)
def test_every_request_is_answered(
    page: Page,
    route: str,
    query: dict[str, str],
    headers: dict[str, bytes],
    body: bytes,
    data: st.DataObject,
    seed: int,
) -> None:
    method = data.draw(st.sampled_from(["GET", "POST", "HEAD", "PUT", "G\u00e9T"]))
    if route == "/actions" and method == "POST":
        # Half of the forms come from a page, so that they reach the store.
        headers = {**headers, "origin": b"http://" + HOST}
        headers.setdefault("content-type", b"application/x-www-form-urlencoded")
        headers.pop("sec-fetch-site", None)
        query_fields = {"form_id": new_form_id(), "account_id": "acc-000001", **query}
        body = data.draw(st.sampled_from([body, encoded(query_fields).encode()]))
    target = route + ("?" + encoded(query) if query else "")
    check_answer(page, method, target, headers, body)
    for other in variants(target, seed, VALUES)[1 : 1 + VARIANTS // 2]:
        check_answer(page, method, escaped(other), headers, body)
    for other in variants(body, seed, [b"&", b"=", b"%", b"\r\n--x", b"\0"])[
        1 : VARIANTS - VARIANTS // 2
    ]:
        check_answer(page, "POST", target, headers, other)


def test_the_requests_reach_the_handlers(page: Page) -> None:
    """Most requests of a fuzzer that is refused at the door would prove nothing."""
    form = {"form_id": new_form_id(), "account_id": "acc-000001"}
    form |= {"action_type": "contacted", "channel": next(iter(CHANNELS))}
    headers = {
        "origin": b"http://" + HOST,
        "content-type": b"application/x-www-form-urlencoded",
    }
    assert check_answer(page, "GET", "/account?id=acc-000001", {}, b"") == 200
    assert (
        check_answer(page, "POST", "/actions", headers, encoded(form).encode()) == 303
    )
    assert INPUTS or VARIANTS == 1


class Wire(asyncio.Transport):
    """The other end of a connection: collects what the server writes."""

    def __init__(self) -> None:
        super().__init__(
            {"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 1)}
        )
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


LINES = [
    *[
        b"GET / HTTP/1.1\r\n",
        b"HEAD /log HTTP/1.0\r\n",
        b"GET /%ff?q=\xff HTTP/1.1\r\n",
    ],
    *[
        b"POST /actions HTTP/1.1\r\n",
        b"GET http://evil/ HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
    ],
    *[
        b"GET /\x00 HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
    ],
    *[
        b"Host: 127.0.0.1:8000\r\n",
        b"host: 127.0.0.1\r\nhost: evil\r\n",
        b"\r\n",
        b"\n",
    ],
    *[b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 1e3\r\n"],
    *[b"Transfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b"ffffffff\r\n"],
    *[b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n"],
    *[
        b"Connection: close\r\n",
        b"X: a\r\n b\r\n",
        b": a\r\n",
        b"a" * 5_000,
        b"\0",
        b"\xff",
    ],
    b"Origin: http://127.0.0.1:8000\r\n",
]
parts = st.lists(st.sampled_from(LINES) | st.binary(max_size=6), max_size=8)
# Half of the requests begin as a valid one does, so that they reach the application.
wire = st.tuples(
    st.sampled_from([b"", b"GET /log HTTP/1.1\r\nhost: 127.0.0.1\r\n"]), parts
).map(lambda drawn: drawn[0] + b"".join(drawn[1]) + b"\r\n")


def check_wire(page: Page, content: bytes) -> None:
    """Send bytes to the protocol of the server in two parts, and check the answer."""
    transport, state = Wire(), ServerState()
    config = uvicorn.Config(
        page.app, http=BoundedHeadProtocol, ws="none", log_level="critical"
    )
    config.loaded_app = page.app

    async def exchange() -> None:
        protocol = BoundedHeadProtocol(config, state, {})
        protocol.connection_made(transport)
        half = len(content) // 2
        for part in (content[:half], content[half:]):
            if part and not transport.is_closed:
                protocol.data_received(part)
        while state.tasks:
            # A task that waits for the rest of a body ends with the connection.
            done, _ = await asyncio.wait(state.tasks, timeout=0.02)
            if not done:
                break
        protocol.connection_lost(None)
        await asyncio.gather(*state.tasks)

    with bounded():
        page.loop.run_until_complete(exchange())
    for status in re.findall(rb"HTTP/1\.1 (\d+) ", transport.written):
        assert int(status) < 500, (content, transport.written[:200])


@inputs("bytes")
@given(wire, seeds)
def test_any_bytes_of_a_connection_are_answered_or_refused(
    page: Page, drawn: bytes, seed: int
) -> None:
    for content in variants(drawn, seed, LINES):
        check_wire(page, content)
