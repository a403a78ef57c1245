"""Kinesis Firehose on loopback, which delivers to S3 as AWS documents it.

moto's Firehose writes each call to S3 at once and ignores buffering, prefixes,
compression, delimiters and transformations. Written from the Developer Guide:
https://docs.aws.amazon.com/firehose/latest/dev/basic-deliver.html and
https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.tls_stub import QuietServer

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
# Java's letters of times, as prefixes use them.
_JAVA = {
    "yyyy": "%Y",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
}
_EXPRESSION = re.compile(r"!\{(\w+):([^}]+)\}")


@dataclass
class DeliveryStream:
    """A stream that delivers to S3.

    Attributes:
        name: Its name.
        s3: boto3's client for S3.
        bucket: The bucket.
        prefix: Prefix of keys, with expressions such as ``!{timestamp:yyyy}``.
        error_prefix: Prefix of records that the transformation could not process.
        buffer_seconds: An object is written this long after its first record.
        buffer_bytes: An object is written when it has this size, before compression.
        is_gzip: Whether objects are compressed.
        has_delimiter: Whether a new line is appended to each record.
        transform: The handler of a Lambda function, called with up to 500 records.
        now: The clock; time passes only by `advance`.
    """

    name: str
    s3: Any
    bucket: str
    prefix: str = ""
    error_prefix: str = ""
    buffer_seconds: int = 300
    buffer_bytes: int = 5 * 2**20
    is_gzip: bool = False
    has_delimiter: bool = False
    transform: Handler | None = None
    now: datetime = datetime(2025, 3, 1, 10, tzinfo=UTC)
    _records: list[tuple[datetime, bytes]] = field(default_factory=list)
    _bytes: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        expressions = [kind for kind, _ in _EXPRESSION.findall(self.prefix)]
        assert set(expressions) <= {"timestamp", "firehose"}, self.prefix
        # AWS refuses an expression in the prefix without an error prefix.
        assert not expressions or self.error_prefix
        if _EXPRESSION.search(self.error_prefix) and expressions:
            assert "!{firehose:error-output-type}" in self.error_prefix

    def put(self, data: bytes) -> None:
        with self._lock:
            self._records.append((self.now, data))
            self._bytes += len(data) + self.has_delimiter
            if self._bytes >= self.buffer_bytes:
                self.deliver()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self.now += timedelta(seconds=seconds)
            if self._records and self.now - self._records[0][0] >= timedelta(
                seconds=self.buffer_seconds
            ):
                self.deliver()

    def deliver(self) -> None:
        """Write what is buffered."""
        with self._lock:
            records, self._records, self._bytes = self._records, [], 0
            if not records:
                return
            started = records[0][0]
            failed: list[dict[str, Any]] = []
            if self.transform is not None:
                records, failed = self._transformed(records)
            end = b"\n" if self.has_delimiter else b""
            body = b"".join(data + end for _, data in records)
            if body:
                self._write(self._prefix(self.prefix, started, ""), started, body)
            if failed:
                lines = "".join(json.dumps(each) + "\n" for each in failed)
                prefix = self._prefix(self.error_prefix, started, "processing-failed")
                self._write(prefix, started, lines.encode())

    def _write(self, prefix: str, started: datetime, body: bytes) -> None:
        key = f"{prefix}{self.name}-1-{started:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}"
        if self.is_gzip:
            key, body = key + ".gz", gzip.compress(body, 1)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def _prefix(self, prefix: str, at: datetime, error_type: str) -> str:
        if not _EXPRESSION.search(prefix):
            if error_type:
                prefix += f"{error_type}/"
            return f"{prefix}{at:%Y/%m/%d/%H/}"

        def value(found: re.Match[str]) -> str:
            kind, text = found.groups()
            if kind == "firehose":
                return (
                    error_type if text == "error-output-type" else uuid.uuid4().hex[:11]
                )
            for java, python in _JAVA.items():
                text = text.replace(java, at.strftime(python))
            return text.replace("'", "")

        return _EXPRESSION.sub(value, prefix)

    def _transformed(
        self, records: list[tuple[datetime, bytes]]
    ) -> tuple[list[tuple[datetime, bytes]], list[dict[str, Any]]]:
        kept: list[tuple[datetime, bytes]] = []
        failed: list[dict[str, Any]] = []
        for start in range(0, len(records), 500):
            chunk = records[start : start + 500]
            event = {
                "invocationId": str(uuid.uuid4()),
                "deliveryStreamArn": f"arn:aws:firehose:eu-west-1:1:{self.name}",
                "region": "eu-west-1",
                "records": [
                    {
                        "recordId": f"{start + number}",
                        "approximateArrivalTimestamp": int(at.timestamp() * 1000),
                        "data": base64.b64encode(data).decode(),
                    }
                    for number, (at, data) in enumerate(chunk)
                ],
            }
            # A Lambda function answers with JSON of at most 6 MB.
            text = json.dumps(self.transform(event, None))  # type: ignore[misc]
            assert len(text) <= 6 * 2**20
            answers = {each["recordId"]: each for each in json.loads(text)["records"]}
            for (at, data), sent in zip(chunk, event["records"], strict=True):
                answer = answers.get(sent["recordId"], {"result": "missing"})
                if answer["result"] == "Ok":
                    kept.append((at, base64.b64decode(answer["data"])))
                elif answer["result"] != "Dropped":
                    failed.append(
                        {
                            "attemptsMade": 1,
                            "arrivalTimestamp": sent["approximateArrivalTimestamp"],
                            "errorCode": "Lambda.ProcessingFailedStatus",
                            "rawData": base64.b64encode(data).decode(),
                        }
                    )
        return kept, failed


class FirehoseStub:
    """The API of Firehose for some streams.

    Attributes:
        streams: The streams by name.
        failed_share: Share of records that a call refuses.
        calls: Number of records and of refused ones, by call.
    """

    def __init__(self, *streams: DeliveryStream) -> None:
        self.streams = {stream.name: stream for stream in streams}
        self.failed_share = 0.0
        self.calls: list[tuple[int, int]] = []
        self.before_call: Callable[[int], None] = lambda _: None
        self._draw = random.Random(5)
        self._lock = threading.RLock()
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = QuietServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_FIREHOSE": self.url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.before_call(len(self.calls))
            stream = self.streams.get(request["DeliveryStreamName"])
            if stream is None:
                raise _ClientError("ResourceNotFoundException", "no such stream")
            records = [base64.b64decode(each["Data"]) for each in request["Records"]]
            if len(records) > 500 or sum(map(len, records)) > 4 * 2**20:
                raise _ClientError("InvalidArgumentException", "too much")
            if any(len(each) > 1000 * 2**10 for each in records):
                raise _ClientError("InvalidArgumentException", "record too long")
            responses: list[dict[str, str]] = []
            for data in records:
                if self._draw.random() < self.failed_share:
                    responses.append(
                        {
                            "ErrorCode": "ServiceUnavailableException",
                            "ErrorMessage": "Slow down.",
                        }
                    )
                    continue
                stream.put(data)
                responses.append({"RecordId": str(uuid.uuid4())})
            failed = sum(1 for each in responses if "ErrorCode" in each)
            self.calls.append((len(records), failed))
            return {
                "FailedPutCount": failed,
                "Encrypted": False,
                "RequestResponses": responses,
            }


class _ClientError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: FirehoseStub

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = 200
        try:
            assert self.headers["X-Amz-Target"].endswith(".PutRecordBatch")
            answer = self.stub.put_batch(request)
        except _ClientError as error:
            status = 400
            answer = {"__type": error.args[0], "message": error.args[1]}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
