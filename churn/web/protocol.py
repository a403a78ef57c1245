"""The HTTP protocol of the page: httptools with a limit on the head of a request."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Address and headers of one request. uvicorn limits them with h11 only.
MAX_HEAD_BYTES = 32 * 1024


class BoundedHeadProtocol(HttpToolsProtocol):
    """Refuses a request whose address and headers are larger than the limit.

    A head that arrives in one read is bounded by the size of that read instead.
    """

    _is_in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and count those of an incomplete head."""
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
