"""Send the clickstream of a landing zone to a Kinesis Firehose stream.

What a stream has taken is recorded beside the landing zone, so a run that was killed
goes on where it stopped. It repeats the last records, as every producer does that must
lose none; the pipeline counts them as duplicates.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.config import UserError
from churn.quoting import printable

if TYPE_CHECKING:
    from churn.ingest.load import Progress

# Limits of one call and one record:
# https://docs.aws.amazon.com/firehose/latest/dev/limits.html
MAX_RECORDS = 500
MAX_CALL_BYTES = 4 * 2**20
MAX_RECORD_BYTES = 1000 * 2**10
# How often a record is put before the run gives up.
ATTEMPTS = 10
LONGEST_WAIT_SECONDS = 10.0
_STREAM_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


@dataclass
class _Record:
    """A record that the stream has not taken yet."""

    number: int
    data: bytes
    attempts: int = 0


def make_client() -> Any:
    """Return boto3's client, which finds region and credentials as every AWS tool.

    Raises:
        UserError: boto3 or the region is missing.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise UserError("boto3 is not installed: install the extra `athena`.") from None
    try:
        return boto3.client("firehose")
    except BotoCoreError as error:
        raise UserError(
            f"There is no client for Firehose ({printable(error, 200)}): set "
            "AWS_DEFAULT_REGION and credentials."
        ) from None


def send_clickstream(
    client: Any,
    stream: str,
    folder: Path,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Put the clickstream records of a landing zone, in the order of their receipt.

    Args:
        client: boto3's client for Firehose.
        stream: The name of the delivery stream.
        folder: The landing zone.
        progress: Called with a name, the number of sent records and the total.
        sleep: Waits for a number of seconds.

    Returns:
        The number of records that this call has put.

    Raises:
        UserError: There are no records, or the stream refuses them.
    """
    if not _STREAM_NAME.fullmatch(stream):
        raise UserError(f"{printable(stream)} is no name of a delivery stream.")
    files = sorted((folder / "clickstream").glob("dt=*/*.jsonl.gz"))
    if not files:
        raise UserError(f"{folder} has no clickstream: name a landing zone.")
    position = folder / f".firehose-{stream}"
    first = int(position.read_text()) if position.exists() else 0
    total = sum(1 for file in files for _ in _lines(file)) if progress else 0
    waiting: deque[_Record] = deque()
    records = _records(files, first)
    next_number, failures_in_a_row = first, 0
    try:
        while True:
            batch = _next_batch(waiting, records)
            if not batch:
                return next_number - first
            next_number = max(next_number, batch[-1].number + 1)
            refused = _put(client, stream, batch)
            waiting.extendleft(reversed(refused))
            # All records before this one have been taken.
            taken = min((each.number for each in waiting), default=next_number)
            _write(position, str(taken))
            if progress:
                progress("records sent", taken, total)
            is_throttled = 2 * len(refused) > len(batch)
            failures_in_a_row = failures_in_a_row + 1 if is_throttled else 0
            if is_throttled:
                wait = min(0.1 * 2**failures_in_a_row, LONGEST_WAIT_SECONDS)
                sleep(wait * random.uniform(0.5, 1))
    finally:
        records.close()


def _lines(file: Path) -> Iterator[str]:
    with gzip.open(file, "rt", encoding="utf-8", errors="replace", newline="\n") as f:
        yield from f


def _records(files: list[Path], first: int) -> Generator[_Record, None, None]:
    """Yield the payloads of the lines from a number on."""
    number = 0
    for file in files:
        for line in _lines(file):
            if number >= first:
                yield _Record(number, _payload(line))
            number += 1


def _payload(line: str) -> bytes:
    """Return the record in an envelope; a broken envelope is a record itself."""
    try:
        payload = json.loads(line)["payload"]
    except (ValueError, LookupError, TypeError):
        payload = None
    text = payload if isinstance(payload, str) else line.rstrip("\n")
    return text.encode("utf-8", "replace")


def _next_batch(waiting: deque[_Record], records: Iterator[_Record]) -> list[_Record]:
    """Take records for one call: those that were refused first, then new ones."""
    batch: list[_Record] = []
    size = 0
    while len(batch) < MAX_RECORDS:
        record = waiting.popleft() if waiting else next(records, None)
        if record is None:
            break
        if len(record.data) > MAX_RECORD_BYTES:
            raise UserError(
                f"Record {record.number} has {len(record.data):,} bytes, and Firehose "
                f"takes {MAX_RECORD_BYTES:,}: send smaller records."
            )
        if batch and size + len(record.data) > MAX_CALL_BYTES:
            waiting.appendleft(record)
            break
        batch.append(record)
        size += len(record.data)
    # The last one has the highest number, whatever was refused before.
    return sorted(batch, key=lambda each: each.number)


def _put(client: Any, stream: str, batch: list[_Record]) -> list[_Record]:
    """Put records and return those that the stream refused.

    Raises:
        UserError: The stream refuses the call, or a record too often.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.put_record_batch(
            DeliveryStreamName=stream,
            Records=[{"Data": each.data} for each in batch],
        )
    except (BotoCoreError, ClientError) as error:
        raise UserError(
            f"Firehose does not take records ({printable(error, 300)}): correct it and "
            "run the command again, which goes on where it stopped."
        ) from None
    refused = []
    for record, response in zip(batch, answer["RequestResponses"], strict=True):
        if not response.get("ErrorCode"):
            continue
        record.attempts += 1
        if record.attempts >= ATTEMPTS:
            reason = f"{response['ErrorCode']}: {response.get('ErrorMessage', '')}"
            raise UserError(
                f"Firehose refused a record {ATTEMPTS} times "
                f"({printable(reason, 200)}): run the command again later, which goes "
                "on where it stopped."
            )
        refused.append(record)
    return refused


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(text)
    os.replace(temporary, path)
