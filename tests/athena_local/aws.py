"""Amazon's S3, Glue and STS on this machine: moto, behind one loopback port."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

# The account that moto pretends to be.
ACCOUNT = "123456789012"

# Calls of Glue that Trino makes and moto lacks, answered as a catalog without column
# statistics and functions does.
_EMPTY_ANSWERS: dict[str, dict[str, Any]] = {
    "GetColumnStatisticsForTable": {"ColumnStatisticsList": [], "Errors": []},
    "GetColumnStatisticsForPartition": {"ColumnStatisticsList": [], "Errors": []},
    "UpdateColumnStatisticsForTable": {"Errors": []},
    "UpdateColumnStatisticsForPartition": {"Errors": []},
    "DeleteColumnStatisticsForTable": {},
    "DeleteColumnStatisticsForPartition": {},
    "GetUserDefinedFunctions": {"UserDefinedFunctions": []},
}


class _QuietHandler(MotoRequestHandler):
    """Says nothing of the requests it serves."""

    # One connection serves many requests.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *_: Any) -> None:
        pass


class LocalAws:
    """A server of S3, Glue and STS; what it holds is gone with it.

    Attributes:
        url: The endpoint of all three.

    Args:
        port: Where it shall listen; 0 for any free port.
    """

    def __init__(self, port: int = 0) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1",
            port,
            self._answer,
            threaded=True,
            request_handler=_QuietHandler,
        )
        host, port = self._server.server_address[:2]
        self.url = f"http://{host}:{port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def age(self, bucket: str, prefix: str, days: int) -> None:
        """Have files in S3 look as if they had been written some days earlier."""
        keys = s3_backends[ACCOUNT]["aws"].buckets[bucket].keys
        for name in keys:
            if name.startswith(prefix):
                keys[name].last_modified -= datetime.timedelta(days)

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if service != "AWSGlue" or operation not in _EMPTY_ANSWERS:
            return self._moto(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = json.dumps(_EMPTY_ANSWERS[operation]).encode()
        start_response(
            "200 OK",
            [
                ("Content-Type", "application/x-amz-json-1.1"),
                ("Content-Length", str(len(body))),
            ],
        )
        return [body]

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
