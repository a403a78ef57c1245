"""Athena's HTTP interface: the operations that dbt-athena uses, no others."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3

from tests.athena_local.engine import Engine, Outcome
from tests.athena_local.errors import AthenaError, InvalidRequestError
from tests.athena_local.statements import (
    LONGEST_STATEMENT_BYTES,
    statement_kind,
    without_comments,
)

# A question after a statement that still runs is answered when it ends, or after so
# many seconds: the client would otherwise sleep through most of its time.
_PATIENCE_SECONDS = 20
_LARGEST_PAGE = 1000
_AT_ONCE = 8


class _Execution:
    """One statement on its way."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.id = str(uuid.uuid4())
        self.sql: str = request["QueryString"]
        self.context: dict[str, Any] = request.get("QueryExecutionContext", {})
        self.work_group: str = request.get("WorkGroup", "primary")
        self.output = (
            request.get("ResultConfiguration", {})
            .get("OutputLocation", "s3://athena-results/")
            .rstrip("/")
        )
        self.kind = statement_kind(without_comments(self.sql))
        self.submitted_at = time.time()
        self.completed_at: float | None = None
        self.outcome = Outcome()
        self.error: AthenaError | None = None
        self.is_cancelled = False
        self.has_ended = threading.Event()

    @property
    def schema(self) -> str:
        return self.context.get("Database", "default")

    def description(self) -> dict[str, Any]:
        """The statement as ``GetQueryExecution`` describes it."""
        status: dict[str, Any] = {"SubmissionDateTime": self.submitted_at}
        if not self.has_ended.is_set():
            status["State"] = "RUNNING"
        elif self.is_cancelled:
            status["State"] = "CANCELLED"
            status["StateChangeReason"] = "Query cancelled by user"
        elif self.error:
            status["State"] = "FAILED"
            status["StateChangeReason"] = str(self.error)
            status["AthenaError"] = {
                "ErrorCategory": self.error.category,
                "ErrorType": self.error.kind,
                "Retryable": False,
                "ErrorMessage": str(self.error),
            }
        else:
            status["State"] = "SUCCEEDED"
        if self.completed_at is not None:
            status["CompletionDateTime"] = self.completed_at
        milliseconds = round(
            1000 * ((self.completed_at or time.time()) - self.submitted_at)
        )
        statistics: dict[str, Any] = {
            "DataScannedInBytes": self.outcome.scanned_bytes,
            "EngineExecutionTimeInMillis": milliseconds,
            "TotalExecutionTimeInMillis": milliseconds,
        }
        if self.outcome.manifest:
            statistics["DataManifestLocation"] = f"{self.output}/{self.id}-manifest.csv"
        extension = "csv" if self.kind == "DML" else "txt"
        return {
            "QueryExecutionId": self.id,
            "Query": self.sql,
            "StatementType": self.kind,
            "QueryExecutionContext": self.context,
            "WorkGroup": self.work_group,
            "ResultConfiguration": {
                "OutputLocation": f"{self.output}/{self.id}.{extension}"
            },
            "EngineVersion": _ENGINE_VERSION,
            "Status": status,
            "Statistics": statistics,
        }


_ENGINE_VERSION = {
    "SelectedEngineVersion": "AUTO",
    "EffectiveEngineVersion": "Athena engine version 3",
}


class LocalAthena:
    """A server of Athena's interface on a loopback port.

    Attributes:
        url: Its endpoint.
        executions: What has been run, in order.

    Args:
        session: Credentials and region.
        aws_url: The endpoint of S3 and Glue.
        trino_url: The Trino server.
    """

    def __init__(self, session: boto3.Session, aws_url: str, trino_url: str) -> None:
        self._engine = Engine(session, aws_url, trino_url)
        self._s3 = session.client("s3", endpoint_url=aws_url)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="athena")
        self.executions: dict[str, _Execution] = {}
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "StartQueryExecution": self._start,
            "GetQueryExecution": self._get,
            "GetQueryResults": self._results,
            "StopQueryExecution": self._stop_execution,
            "GetWorkGroup": self._work_group,
            "GetDataCatalog": self._data_catalog,
        }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        host, port = self._server.server_address[:2]
        self.url = f"http://{host}:{port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def scanned_bytes(self) -> int:
        """What all statements so far have read from S3, as Athena would bill it."""
        return sum(e.outcome.scanned_bytes for e in list(self.executions.values()))

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def answer(
        self, operation: str, request: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """The HTTP status and body that answer one request."""
        try:
            if operation not in self._operations:
                raise InvalidRequestError(f"{operation} is not served here")
            return 200, self._operations[operation](request)
        except InvalidRequestError as error:
            return 400, {
                "__type": "InvalidRequestException",
                "AthenaErrorCode": "INVALID_INPUT",
                "message": str(error),
            }

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        if len(request["QueryString"].encode()) > LONGEST_STATEMENT_BYTES:
            raise InvalidRequestError(
                "1 validation error detected: Value at 'queryString' failed to satisfy "
                "constraint: Member must have length less than or equal to "
                f"{LONGEST_STATEMENT_BYTES}"
            )
        execution = _Execution(request)
        self.executions[execution.id] = execution
        self._pool.submit(self._execute, execution)
        return {"QueryExecutionId": execution.id}

    def _execute(self, execution: _Execution) -> None:
        try:
            outcome = self._engine.run(execution.sql, execution.schema)
            if outcome.manifest:
                bucket, _, prefix = execution.output.removeprefix("s3://").partition(
                    "/"
                )
                self._s3.put_object(
                    Bucket=bucket,
                    Key=f"{prefix}/{execution.id}-manifest.csv".lstrip("/"),
                    Body="\n".join(outcome.manifest).encode(),
                )
            execution.outcome = outcome
        except AthenaError as error:
            execution.error = error
        except Exception as error:
            execution.error = AthenaError(
                f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}", category=1
            )
        execution.completed_at = time.time()
        execution.has_ended.set()

    def _execution(self, request: dict[str, Any]) -> _Execution:
        execution = self.executions.get(request.get("QueryExecutionId", ""))
        if execution is None:
            raise InvalidRequestError(
                f"QueryExecution {request.get('QueryExecutionId')} was not found"
            )
        return execution

    def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self._execution(request)
        execution.has_ended.wait(_PATIENCE_SECONDS)
        return {"QueryExecution": execution.description()}

    def _results(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self._execution(request)
        if not execution.has_ended.is_set() or execution.error:
            raise InvalidRequestError(
                "Query has not yet finished or has failed. Current state: "
                f"{execution.description()['Status']['State']}"
            )
        outcome = execution.outcome
        rows: list[list[str | None]] = outcome.rows
        if execution.kind == "DML" and outcome.has_rows:
            # The first row of the first page names the columns.
            rows = [[name for name, _ in outcome.columns], *rows]
        start = int(request.get("NextToken") or 0)
        size = min(int(request.get("MaxResults") or _LARGEST_PAGE), _LARGEST_PAGE)
        answer: dict[str, Any] = {
            "UpdateCount": outcome.update_count,
            "ResultSet": {
                "Rows": [
                    {
                        "Data": [
                            {} if value is None else {"VarCharValue": value}
                            for value in row
                        ]
                    }
                    for row in rows[start : start + size]
                ],
                "ResultSetMetadata": {
                    "ColumnInfo": [
                        {
                            "CatalogName": "hive",
                            "SchemaName": "",
                            "TableName": "",
                            "Name": name,
                            "Label": name,
                            "Type": kind,
                            "Precision": 0,
                            "Scale": 0,
                            "Nullable": "UNKNOWN",
                            "CaseSensitive": kind == "varchar",
                        }
                        for name, kind in outcome.columns
                    ]
                },
            },
        }
        if start + size < len(rows):
            answer["NextToken"] = str(start + size)
        return answer

    def _stop_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self._execution(request)
        if not execution.has_ended.is_set():
            execution.is_cancelled = True
            execution.completed_at = time.time()
            execution.has_ended.set()
        return {}

    def _work_group(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "WorkGroup": {
                "Name": request.get("WorkGroup", "primary"),
                "State": "ENABLED",
                "Configuration": {
                    "EnforceWorkGroupConfiguration": False,
                    "ResultConfiguration": {},
                    "EngineVersion": _ENGINE_VERSION,
                },
            }
        }

    def _data_catalog(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "DataCatalog": {
                "Name": request["Name"],
                "Type": "GLUE",
                "Parameters": {"catalog-id": "123456789012"},
            }
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        athena = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Small answers must not wait to be joined by more: 40 ms become 1 ms.
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                request = json.loads(self.rfile.read(length) or b"{}")
                operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                status, body = athena.answer(operation, request)
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
