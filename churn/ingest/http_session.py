"""A session of requests that repeats what a busy or broken connection refuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import requests

ATTEMPTS = 6
# Seconds to connect, and between two bytes of an answer.
TIMEOUT = (10, 300)
LONGEST_WAIT_SECONDS = 60.0
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class RetryingSession(requests.Session):
    """Repeats a request after a broken connection or a status that passes.

    The wait doubles from one second on, unless the server names it by ``Retry-After``.
    """

    sleep: Callable[[float], None] = staticmethod(time.sleep)

    def request(  # type: ignore[override]
        self, method: str, url: str, **kwargs: Any
    ) -> requests.Response:
        """Send a request up to ``ATTEMPTS`` times.

        Raises:
            requests.RequestException: The last attempt got no answer.
        """
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT
        for attempt in range(1, ATTEMPTS + 1):
            wait = min(2.0 ** (attempt - 1), LONGEST_WAIT_SECONDS)
            try:
                response = super().request(method, url, **kwargs)
            except (
                requests.exceptions.SSLError,
                requests.exceptions.ProxyError,
            ):
                # A wrong certificate or proxy does not pass.
                raise
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ):
                if attempt == ATTEMPTS:
                    raise
            else:
                if attempt == ATTEMPTS or not self.should_retry(response):
                    return response
                wait = _named_wait(response, wait)
            if wait:
                self.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def should_retry(self, response: requests.Response) -> bool:
        """Return whether the request is worth another attempt."""
        return response.status_code in RETRIED_STATUSES


def _named_wait(response: requests.Response, default: float) -> float:
    """Return the seconds of ``Retry-After``, at most ``LONGEST_WAIT_SECONDS``."""
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return default
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS)
