"""From a producer through Kinesis Firehose and S3 to events, without a loss."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from churn.config import UserError
from churn.demo.firehose import send_clickstream
from churn.ingest.event_files import find_event_files, new_lines
from churn.onboarding.sample import parse_records
from tests.support.firehose_layouts import (
    ERRORS,
    LAYOUTS,
    PREFIX,
    TRUNCATED,
    lambda_of_the_documentation,
    make_payload,
)
from tests.support.firehose_stub import DeliveryStream, FirehoseStub
from tests.support.paths import ROOT
from tests.support.project import DbtProject

RECORDS = 1_200


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        yield boto3.client("s3")
    server.stop()


@pytest.fixture
def make_stream(s3: Any) -> Callable[..., DeliveryStream]:
    """Return a function that makes a stream with an empty bucket of its own."""

    def make(name: str, **settings: Any) -> DeliveryStream:
        bucket = f"lake-{len(s3.list_buckets()['Buckets'])}"
        s3.create_bucket(Bucket=bucket)
        given = {"prefix": PREFIX, "error_prefix": ERRORS, **settings}
        return DeliveryStream(name, s3, bucket, **given)

    return make


PAYLOADS = [make_payload(number) for number in range(RECORDS)]


def write_landing_zone(folder: Path, payloads: list[str]) -> Path:
    (folder / "demo.json").write_text("{}")
    for day in range(3):
        path = folder / f"clickstream/dt=2025-03-0{day + 1}/part-1.jsonl.gz"
        path.parent.mkdir(parents=True)
        with gzip.open(path, "wt", encoding="utf-8") as file:
            for text in payloads[day::3]:
                envelope = {"received_at": "2025-03-01T09:00:00Z", "payload": text}
                file.write(json.dumps(envelope) + "\n")
    return folder


@pytest.fixture(scope="module")
def landing_zone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_landing_zone(tmp_path_factory.mktemp("company"), PAYLOADS)


@pytest.fixture
def run_stub() -> Iterator[Callable[[DeliveryStream], FirehoseStub]]:
    stubs: list[FirehoseStub] = []

    def run(stream: DeliveryStream) -> FirehoseStub:
        stubs.append(FirehoseStub(stream))
        return stubs[-1]

    yield run
    for stub in stubs:
        stub.close()


def client_of(stub: FirehoseStub) -> Any:
    return boto3.client("firehose", endpoint_url=stub.url)


def send(stub: FirehoseStub, folder: Path, **options: Any) -> int:
    (name,) = stub.streams
    (folder / f".firehose-{name}").unlink(missing_ok=True)
    return send_clickstream(client_of(stub), name, folder, **options)


def records_in(stream: DeliveryStream) -> Counter[str]:
    """Return the objects in the bucket, as the build reads them."""
    files = find_event_files(f"s3://{stream.bucket}/landing/**")
    lines = new_lines(files, {}).read_all()["payload"].to_pylist()
    parsed, count_unreadable = parse_records(lines)
    found = Counter(json.dumps(each, sort_keys=True) for each in parsed)
    found["unreadable"] = count_unreadable
    return found


EXPECTED = Counter(
    json.dumps(each, sort_keys=True) for each in parse_records(PAYLOADS)[0]
)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "glued"])
def test_every_layout_gives_the_same_records(
    make_stream: Callable[..., DeliveryStream],
    run_stub: Callable[[DeliveryStream], FirehoseStub],
    landing_zone: Path,
    layout: str,
) -> None:
    stream = make_stream(layout, buffer_bytes=20_000, **LAYOUTS[layout])
    assert send(run_stub(stream), landing_zone) == RECORDS
    stream.deliver()
    assert len(stream.s3.list_objects_v2(Bucket=stream.bucket)["Contents"]) > 3
    found = records_in(stream)
    assert found.pop("unreadable") == RECORDS // 100
    assert found == EXPECTED


def test_glued_records_are_the_same_unless_one_is_truncated(
    make_stream: Callable[..., DeliveryStream],
    run_stub: Callable[[DeliveryStream], FirehoseStub],
    tmp_path: Path,
) -> None:
    complete = [text for text in PAYLOADS if text != TRUNCATED]
    stream = make_stream("glued", buffer_bytes=20_000)
    send(run_stub(stream), write_landing_zone(tmp_path, complete))
    stream.deliver()
    found = records_in(stream)
    assert found.pop("unreadable") == 0
    assert found == EXPECTED
    # What is glued to a truncated record is one reject: nothing says where it ends.
    stream = make_stream("glued")
    for text in (*complete[:5], TRUNCATED, *complete[5:10]):
        stream.put(text.encode())
    stream.deliver()
    found = records_in(stream)
    assert (found.pop("unreadable"), sum(found.values())) == (1, 5)


def test_envelopes_keep_the_time_of_receipt(
    make_stream: Callable[..., DeliveryStream],
) -> None:
    stream = make_stream("s", transform=lambda_of_the_documentation())
    stream.put(b'{"event_id": "e1"}')
    stream.advance(7)
    stream.put(b'\xff"')
    stream.deliver()
    rows = new_lines(find_event_files(f"s3://{stream.bucket}/**"), {}).read_all()
    assert rows["payload"].to_pylist() == [
        '{"event_id": "e1"}',
        '\N{REPLACEMENT CHARACTER}"',
    ]
    assert [f"{each:%H:%M:%S}" for each in rows["received_at"].to_pylist()] == [
        "10:00:00",
        "10:00:07",
    ]
    assert rows["file_modified_at"][0].as_py() > rows["received_at"][0].as_py()


def test_objects_are_named_as_firehose_names_them(
    make_stream: Callable[..., DeliveryStream], s3: Any
) -> None:
    def transform(event: dict[str, Any], _: object) -> dict[str, Any]:
        results = ("Ok", "Dropped", "ProcessingFailed")
        return {
            "records": [
                {"recordId": each["recordId"], "result": result, "data": each["data"]}
                for each, result in zip(event["records"], results, strict=True)
            ]
        }

    stream = make_stream("s", transform=transform, buffer_seconds=60, is_gzip=True)
    for data in (b"a", b"b", b"c"):
        stream.put(data)
    stream.advance(59)
    assert "Contents" not in s3.list_objects_v2(Bucket=stream.bucket)
    stream.advance(1)
    keys = [
        each["Key"] for each in s3.list_objects_v2(Bucket=stream.bucket)["Contents"]
    ]
    assert re.fullmatch(
        r"errors/processing-failed/s-1-2025-03-01-10-00-00-[0-9a-f-]{36}\.gz "
        r"landing/dt=2025-03-01/s-1-2025-03-01-10-00-00-[0-9a-f-]{36}\.gz",
        " ".join(keys),
    )
    plain = make_stream("p", prefix="x/", error_prefix="")
    plain.put(b"a")
    plain.deliver()
    (only,) = s3.list_objects_v2(Bucket=plain.bucket)["Contents"]
    assert only["Key"].startswith("x/2025/03/01/10/p-1-2025-03-01-10-00-00-")


# ---- The producer ------------------------------------------------------------


def test_refused_records_are_put_again(
    make_stream: Callable[..., DeliveryStream],
    run_stub: Callable[[DeliveryStream], FirehoseStub],
    landing_zone: Path,
) -> None:
    stream = make_stream("s", has_delimiter=True)
    stub = run_stub(stream)
    stub.failed_share = 0.3
    waits: list[float] = []
    assert send(stub, landing_zone, sleep=waits.append) == RECORDS
    assert sum(failed for _, failed in stub.calls) > 300
    stream.deliver()
    found = records_in(stream)
    del found["unreadable"]
    assert found == EXPECTED
    assert sum(waits) < 1


def test_a_stream_that_refuses_all_is_given_up(
    make_stream: Callable[..., DeliveryStream],
    run_stub: Callable[[DeliveryStream], FirehoseStub],
    landing_zone: Path,
) -> None:
    stub = run_stub(make_stream("s"))
    stub.failed_share = 1
    waits: list[float] = []
    with pytest.raises(UserError, match="refused a record 10 times"):
        send(stub, landing_zone, sleep=waits.append)
    assert len(waits) == 9
    assert max(waits) <= 10
    assert (landing_zone / ".firehose-s").read_text() == "0"
    with pytest.raises(UserError, match="no such stream"):
        send_clickstream(client_of(stub), "other", landing_zone)
    with pytest.raises(UserError, match="no name of a delivery stream"):
        send_clickstream(client_of(stub), "../x", landing_zone)


def test_a_killed_producer_goes_on(
    make_stream: Callable[..., DeliveryStream],
    run_stub: Callable[[DeliveryStream], FirehoseStub],
    landing_zone: Path,
) -> None:
    stream = make_stream("s", has_delimiter=True)
    stub = run_stub(stream)
    stub.failed_share = 0.05
    command = [
        *(sys.executable, "-m", "churn", "demo", "--out", str(landing_zone)),
        *("--firehose", "s"),
    ]
    (landing_zone / ".firehose-s").unlink(missing_ok=True)
    processes: list[subprocess.Popen[str]] = []

    def kill(call: int) -> None:
        # The call after the first is taken, but the producer does not learn it.
        if call == 1 and len(processes) == 1:
            processes[0].send_signal(signal.SIGKILL)

    stub.before_call = kill
    for _ in range(2):
        processes.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **stub.environment},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        output, _ = processes[-1].communicate(timeout=120)
    assert [each.returncode for each in processes] == [-signal.SIGKILL, 0]
    sent = int(re.search(r"Sent ([\d,]+) records", output)[1].replace(",", ""))  # type: ignore[index]
    assert 700 <= sent < RECORDS
    stream.deliver()
    found = records_in(stream)
    assert not EXPECTED - found
    assert sum(found.values()) > RECORDS


# ---- The build ---------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "glued"])
def test_every_layout_gives_the_same_events(
    make_stream: Callable[..., DeliveryStream],
    run_stub: Callable[[DeliveryStream], FirehoseStub],
    landing_zone: Path,
    project: DbtProject,
    layout: str,
) -> None:
    stream = make_stream(layout, buffer_bytes=50_000, **LAYOUTS[layout])
    stub = run_stub(stream)
    send(stub, landing_zone)
    # Each record is delivered a second time.
    send(stub, landing_zone)
    stream.deliver()
    project.create_raw_tables()
    for _ in range(2):
        project.dbt(
            "run",
            "--select",
            "+stg_clickstream__events",
            "+stg_clickstream__rejects",
            load_demo_seeds=False,
            raw_event_files=f"s3://{stream.bucket}/landing/**",
        )
    assert project.query(
        """select count(*), count(distinct event_id), sum(cast(is_repaired as int))
        from stg_clickstream__events"""
    ) == [(RECORDS - 12, RECORDS - 12, 12)]
    assert project.query("select count(*) from stg_clickstream__rejects") == [(24,)]
