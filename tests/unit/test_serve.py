"""The server of the page: limits that hold before the application sees a request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from churn.web import protocol
from churn.web.protocol import MAX_HEAD_BYTES
from churn.web.serve import create_server


async def _answer(_scope: Any, receive: Any, send: Any) -> None:
    size, is_more = 0, True
    while is_more:
        message = await receive()
        size += len(message.get("body", b""))
        is_more = message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = create_server(_answer)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)
    listener.close()


def _receive(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        pass
    return received


def _send_parts(connection: socket.socket, parts: list[bytes]) -> int:
    """Send until the server closes the connection; return the bytes sent."""
    sent = 0
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for part in parts:
            connection.sendall(part)
            sent += len(part)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n",
    ],
    ids=["first request", "second request"],
)
@pytest.mark.parametrize(
    "part", [b"x-filler: " + b"a" * 1000 + b"\r\n", b"a" * 1000], ids=["many", "long"]
)
def test_endless_head_is_refused(
    address: tuple[str, int], start: bytes, part: bytes
) -> None:
    name = b"" if part.endswith(b"\n") else b"x-endless: "
    endless = [start, name, *[part] * 40_000]
    with socket.create_connection(address, 20) as connection:
        sent = _send_parts(connection, endless)
        received = _receive(connection)
    # The buffers of both sockets hold some megabytes beside the limit.
    assert sent < sum(map(len, endless))
    # A reset connection may lose answers, but the endless request has none.
    assert received.count(b"200 OK") <= start.count(b"GET") - 1


def test_large_head_within_the_limit_is_served(address: tuple[str, int]) -> None:
    filler = b"a" * (MAX_HEAD_BYTES - 200)
    with socket.create_connection(address, 20) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
            b"content-length: 100000\r\nx-filler: " + filler + b"\r\n\r\n"
        )
        connection.sendall(b"b" * 100_000)
        received = _receive(connection)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.endswith(b"\r\n\r\n100000")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nb",
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n\r\n\r\n",
    ],
)
def test_a_request_that_is_never_complete_is_ended(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(protocol, "MAX_REQUEST_SECONDS", 0.1)
    with socket.create_connection(address, 20) as connection:
        connection.sendall(sent)
        # Empty when the server closes the connection.
        received = _receive(connection)
    assert received.count(b"200 OK") == sent.count(b"\r\n\r\n\r\n")
