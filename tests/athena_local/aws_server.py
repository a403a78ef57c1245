"""Amazon's S3, Glue and STS on this machine: moto, behind one loopback port.

``python -m tests.athena_local.aws_server PORT`` serves until its input ends, and so
never outlives who started it. A process of its own: moto would otherwise share one
core with dbt.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
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

from tests.athena_local.aws import ACCOUNT, AGE_PATH

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


class _Application:
    """moto, with what it lacks."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if service == "AWSGlue" and operation in _EMPTY_ANSWERS:
            _read_body(environ)
            answer = _EMPTY_ANSWERS[operation]
        elif environ["PATH_INFO"] == AGE_PATH:
            _age(**json.loads(_read_body(environ)))
            answer = {}
        else:
            return self._moto(environ, start_response)
        body = json.dumps(answer).encode()
        start_response(
            "200 OK",
            [
                ("Content-Type", "application/x-amz-json-1.1"),
                ("Content-Length", str(len(body))),
            ],
        )
        return [body]


def _read_body(environ: dict[str, Any]) -> bytes:
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def _age(bucket: str, prefix: str) -> None:
    """Have files look as if written in the night after the day in their path."""
    keys = s3_backends[ACCOUNT]["aws"].buckets[bucket].keys
    for name in keys:
        day = re.search(r"=(\d{4}-\d\d-\d\d)/", name)
        if name.startswith(prefix) and day:
            keys[name].last_modified = datetime.datetime.fromisoformat(
                day[1]
            ) + datetime.timedelta(days=1, hours=2)


def main() -> None:
    """Serve, say at which port, and end with the input."""
    server = make_server(
        "127.0.0.1",
        int(sys.argv[1]),
        _Application(),
        threaded=True,
        request_handler=_QuietHandler,
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
