"""Layout of a landing zone, and writing of its files.

::

    clickstream/dt=<day received>/part-<day of the visit>.jsonl.gz
    salesforce/batch_date=<day>/accounts.csv.gz, contacts.csv.gz
    billing/dt=<day>/invoices.csv.gz
    support/dt=<day>/calls.csv.gz
    truth/                          hidden state, not for models

A line of a clickstream file is an envelope, ``{"received_at": "…Z", "payload": "…"}``;
the payload is the record as text.
"""

from __future__ import annotations

import io
from gzip import GzipFile
from pathlib import Path

TRUTH = "truth"


def write_gzip(path: Path, content: bytes) -> None:
    """Write a gzip file whose bytes depend only on its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compress(content))


def compress(content: bytes) -> bytes:
    """Compress into one gzip member, without time or name."""
    buffer = io.BytesIO()
    with GzipFile(
        filename="", mode="wb", fileobj=buffer, compresslevel=5, mtime=0
    ) as file:
        file.write(content)
    return buffer.getvalue()


def csv_field(text: str) -> str:
    """Format one field of a CSV row, quoted if necessary."""
    if any(sign in text for sign in ',"\n\r'):
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


def csv_bytes(header: str, rows: list[str]) -> bytes:
    """Format a CSV file: the header and one line per row."""
    return "\n".join([header, *rows, ""]).encode()
