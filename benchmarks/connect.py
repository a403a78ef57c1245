"""Measure what comes in from Salesforce and through Firehose.

Run ``python -m benchmarks.connect [salesforce] [firehose] [options]``. The other side
of each connection is the stand-in of tests/support.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.running import ROOT, CommandRun, connect, run_command

# The other side of the Salesforce benchmark, in a process of its own.
_STUB = """
import csv, io, json, sys
from pathlib import Path
from tests.support.salesforce_stub import SalesforceStub
from tests.support.tls_stub import Answer

class Fast(SalesforceStub):
    # Pages are made once, because their making is not what is measured.
    pages = {}
    def _query_job(self, request, parts):
        if len(parts) < 2:
            return super()._query_job(request, parts)
        query = self.jobs[parts[0]]["query"]
        key = query, request.query.get("locator"), request.query["maxRecords"]
        if key not in self.pages:
            answer = super()._query_job(request, parts)
            self.pages[key] = answer.body.encode(), dict(answer.headers)
        body, headers = self.pages[key]
        return Answer(body, headers=dict(headers))

stub = Fast(Path(sys.argv[1]), int(sys.argv[2]))
print(json.dumps(stub.environment), flush=True)
sys.stdin.read()
"""
# simple-salesforce without anything else: it stores the pages as they come.
_BARE = """
import sys
from simple_salesforce import Salesforce
from churn.ingest.salesforce import Credentials
given = Credentials.from_environment()
client = Salesforce(
    domain=given.domain, consumer_key=given.client_id,
    consumer_secret=given.client_secret,
)
with open(sys.argv[1], "w") as file:
    for page in client.bulk2.Account.query(sys.argv[2], wait=0.5):
        file.write(page)
"""


@dataclass(frozen=True)
class Pull:
    """Measurements of one extract.

    Attributes:
        accounts: Number of accounts.
        bare: The bare client.
        pull: `churn pull salesforce`.
    """

    accounts: int
    bare: CommandRun
    pull: CommandRun


def measure_salesforce(accounts: int, folder: Path) -> Pull:
    """Pull all accounts with the bare client and with the command, best of two.

    Args:
        accounts: Number of accounts, at least that from which the Bulk API is used.
        folder: An empty folder.
    """
    stub = subprocess.Popen(
        [sys.executable, "-c", _STUB, folder, str(accounts)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert stub.stdout is not None
        environment = json.loads(stub.stdout.readline())
        environment["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, "-m", "churn", "pull", "salesforce", "accounts"]
        runs: list[tuple[CommandRun, CommandRun]] = []
        for number in range(3):
            out = folder / f"out{number}"
            pull = run_command(
                [*command, "--out", out, "--date", "2025-03-01"],
                environment,
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            query = f"select {', '.join(_columns(out))} from Account"
            script = [sys.executable, "-c", _BARE, folder / "bare.csv", query]
            bare = run_command(script, environment)
            if pull.status or bare.status:
                raise RuntimeError("A pull failed.")
            _check_rows(out, accounts)
            runs.append((bare, pull))
        # The first run also makes the pages.
        bare, pull = (
            min(each, key=lambda run: run.seconds)
            for each in zip(*runs[1:], strict=True)
        )
        return Pull(accounts, bare, pull)
    finally:
        stub.communicate("")


def _columns(out: Path) -> list[str]:
    import pyarrow.parquet as pq

    (path,) = out.glob("accounts/*/accounts.parquet")
    return list(pq.read_schema(path).names)


def _check_rows(out: Path, accounts: int) -> None:
    import pyarrow.parquet as pq

    (path,) = out.glob("accounts/*/accounts.parquet")
    rows = pq.read_metadata(path).num_rows
    if rows != accounts:
        raise RuntimeError(f"{rows} of {accounts} accounts were delivered.")


@dataclass(frozen=True)
class Delivery:
    """What became of the records that went through Firehose.

    Attributes:
        records: Number of records.
        put: Number of records in all calls, with repeated and refused ones.
        refused: Number of records that a call refused.
        delivered: Number of records that Firehose took.
        lost: Records without an event.
        duplicated: Events beyond the first of a record.
        producer: The producer's last run.
        build_seconds: Seconds of the last build.
    """

    records: int
    put: int
    refused: int
    delivered: int
    lost: int
    duplicated: int
    producer: CommandRun
    build_seconds: float


def measure_firehose(records: int, folder: Path) -> Delivery:
    """Send records through Firehose and S3 to events; kill producer and build once.

    Args:
        records: Number of records.
        folder: An empty folder.
    """
    import boto3
    from moto.server import ThreadedMotoServer

    from tests.support.firehose_stub import DeliveryStream, FirehoseStub

    # moto's server logs each request.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    zone = folder / "company"
    _write_landing_zone(zone, records)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {"AWS_ENDPOINT_URL_S3": f"http://{host}:{port}"}
    environment |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    storage = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
    )
    storage.create_bucket(Bucket="lake")
    stream = DeliveryStream(
        "clicks",
        storage,
        "lake",
        prefix="landing/dt=!{timestamp:yyyy-MM-dd}/",
        error_prefix="errors/!{firehose:error-output-type}/",
        is_gzip=True,
        transform=_documented_function(),
    )
    stub = FirehoseStub(stream)
    stub.failed_share = 0.05
    environment = {**stub.environment, **environment, "AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, "-m", "churn", "demo", "--out", str(zone)]
    command += ["--firehose", "clicks"]
    try:
        first = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stderr=subprocess.DEVNULL,
        )
        middle = records // 1_000

        def kill(call: int) -> None:
            # The call is taken, but the producer does not learn it.
            if call == middle:
                first.send_signal(signal.SIGKILL)

        stub.before_call = kill
        if first.wait() != -signal.SIGKILL:
            raise RuntimeError("The producer was not killed.")
        producer = run_command(list(command), environment, stderr=subprocess.DEVNULL)
        if producer.status:
            raise RuntimeError("The producer failed.")
        stream.deliver()
        build_seconds = _build_twice(folder, environment)
    finally:
        stub.close()
        server.stop()
    with connect(folder) as connection:
        row = connection.execute(
            """select count(*), count(distinct event_id) from stg_clickstream__events"""
        ).fetchone()
    events, distinct = row or (0, 0)
    return Delivery(
        records=records,
        put=sum(put for put, _ in stub.calls),
        refused=sum(refused for _, refused in stub.calls),
        delivered=sum(put - refused for put, refused in stub.calls),
        lost=records - distinct,
        duplicated=events - distinct,
        producer=producer,
        build_seconds=build_seconds,
    )


def _documented_function() -> Any:
    """Return the transformation of docs/athena.md."""
    page = (ROOT / "docs/athena.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    return names["handler"]


def _write_landing_zone(zone: Path, records: int) -> None:
    per_file = 100_000
    for first in range(0, records, per_file):
        path = zone / f"clickstream/dt=2025-03-01/part-{first:012d}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt", compresslevel=1) as file:
            for number in range(first, min(first + per_file, records)):
                record = {
                    "event": "page_view",
                    "event_id": f"e{number}",
                    "anonymous_id": f"device-{number % 50_000}",
                    "page": "/mattresses",
                    "ts": 1_740_823_445 + number // 20,
                }
                envelope = {"received_at": "2025-03-01T09:00:00Z"}
                envelope["payload"] = json.dumps(record)
                file.write(json.dumps(envelope) + "\n")
    (zone / "demo.json").write_text("{}")


def _build_twice(folder: Path, environment: dict[str, str]) -> float:
    """Kill a build while it parses, and build again; return the seconds of that."""
    variables = {"load_demo_seeds": False, "raw_event_files": "s3://lake/landing/**"}
    command = [
        *(str(Path(sys.executable).parent / "dbt"), "run"),
        *("--select", "+stg_clickstream__events", "--vars", json.dumps(variables)),
    ]
    environment = {
        **environment,
        "CHURN_DUCKDB_PATH": str(folder / "bench.duckdb"),
        "DBT_PROFILES_DIR": str(ROOT),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }
    first = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    for line in first.stdout:
        if "START" in line and "base_clickstream__parsed_records" in line:
            first.send_signal(signal.SIGKILL)
            break
    if first.wait() != -signal.SIGKILL:
        raise RuntimeError("The build was not killed.")
    second = run_command(command, environment, stdout=subprocess.DEVNULL)
    if second.status:
        raise RuntimeError("The build failed.")
    return second.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connect")
    parser.add_argument("parts", nargs="*", default=["salesforce", "firehose"])
    parser.add_argument("--accounts", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--scratch", type=Path, help="folder for large files")
    options = parser.parse_args()
    if "salesforce" in options.parts:
        print("churn pull salesforce, against simple-salesforce alone")
        print(f"{'accounts':>10}{'':8}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}")
        for accounts in options.accounts:
            with tempfile.TemporaryDirectory(dir=options.scratch) as name:
                measured = measure_salesforce(accounts, Path(name))
            for title, run in (("alone", measured.bare), ("pull", measured.pull)):
                print(
                    f"{accounts:>10,}{title:>8}{run.seconds:>9.1f}"
                    f"{run.cpu_seconds:>8.1f}{run.peak_bytes / 1e6:>9.0f}",
                    flush=True,
                )
    if "firehose" in options.parts:
        with tempfile.TemporaryDirectory(dir=options.scratch) as name:
            delivery = measure_firehose(options.records, Path(name))
        print(
            f"Firehose, {delivery.records:,} records, producer and build killed once:\n"
            f"  put {delivery.put:,}, refused {delivery.refused:,}, delivered "
            f"{delivery.delivered:,}\n"
            f"  lost {delivery.lost:,}, duplicated {delivery.duplicated:,}\n"
            f"  producer after the kill {delivery.producer.seconds:.1f} s "
            f"({delivery.producer.cpu_seconds:.1f} s of CPU, "
            f"{delivery.producer.peak_bytes / 1e6:.0f} MB), build "
            f"{delivery.build_seconds:.1f} s"
        )


if __name__ == "__main__":
    main()
