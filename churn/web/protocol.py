"""The HTTP protocol of the page: httptools with limits on the head and on time."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Address and headers of one request. uvicorn limits them with h11 only.
MAX_HEAD_BYTES = 32 * 1024
# Seconds until a request is complete. uvicorn waits for ever, so that as many silent
# connections as it serves at once would keep everybody else out.
MAX_REQUEST_SECONDS = 20.0


class BoundedHeadProtocol(HttpToolsProtocol):
    """Refuses a request whose address and headers are too large, or that is too slow.

    A head that arrives in one read is bounded by the size of that read instead.
    """

    _is_in_head = False
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, and wait for its first request for a limited time."""
        super().connection_made(transport)
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and count those of an incomplete head."""
        self._start_deadline()
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The address and headers are too large.")

    def on_message_begin(self) -> None:
        """Start the head of a request."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End the head of a request."""
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request; its answer may take its time."""
        self._end_deadline()
        super().on_message_complete()

    def _start_deadline(self) -> None:
        if self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(MAX_REQUEST_SECONDS, self.transport.close)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
