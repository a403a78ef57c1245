"""Hosts of the internet on loopback, over TLS.

`TlsStub` is an HTTPS proxy that answers for the hosts itself, with certificates of an
authority of its own. A client finds it by the environment variables that every client
knows, so its code, its addresses and its checks of certificates are the real ones.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trustme


@dataclass(frozen=True)
class Request:
    """A request that the stub received."""

    method: str
    host: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


@dataclass
class Answer:
    """What the stub answers; ``body`` that is no text or bytes becomes JSON."""

    body: Any = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    # Send only half of the body, then cut the connection.
    is_cut: bool = False


@dataclass
class Fault:
    """An answer in place of the real one, for some requests."""

    matches: Callable[[Request], bool]
    answer: Answer | Callable[[], None]
    times: int
    after: int = 0


class QuietServer(ThreadingHTTPServer):
    """A server that does not report clients that are killed."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


class TlsStub:
    """A server; subclasses answer requests in `answer`."""

    hosts: tuple[str, ...] = ()
    requests: list[Request]
    faults: list[Fault]

    def __init__(self, folder: Path) -> None:
        self._lock = threading.RLock()
        authority = trustme.CA()
        self.ca_file = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*self.hosts).configure_cert(self._context)
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = QuietServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a client finds the stub."""
        proxy = f"http://127.0.0.1:{self._server.server_port}"
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
        }

    def fail(
        self, part: str, answer: Answer | Callable[[], None], times: int = 1, **kw: Any
    ) -> None:
        """Give another answer, or call a function first, if a path has a part."""
        self.faults.append(
            Fault(lambda request: part in request.path, answer, times, **kw)
        )

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def handle(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if not fault.times or not fault.matches(request):
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                if isinstance(fault.answer, Answer):
                    return fault.answer
                fault.answer()
        return self.answer(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: TlsStub
    host = ""

    def log_message(self, *_: Any) -> None:
        pass

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        try:
            self.connection = self.stub._context.wrap_socket(
                self.connection, server_side=True
            )
        except (ssl.SSLError, OSError):
            self.close_connection = True
            return
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", 65_536)
        self.close_connection = False

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        url = urlsplit(self.path)
        answer = self.stub.handle(
            Request(
                self.command,
                self.host,
                url.path,
                dict(parse_qsl(url.query)),
                dict(self.headers),
                self.rfile.read(size),
            )
        )
        body = answer.body
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **answer.headers}
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if answer.is_cut else body)
        self.wfile.flush()
        if answer.is_cut:
            self.close_connection = True
            self.connection.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815
