"""Pull objects of Salesforce into dated files: ``churn pull salesforce``.

Few rows are read page by page from the REST API, many from the Bulk API 2.0. Deleted
and merged records are not in an extract; their ids are delivered beside it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.csv

from churn.ingest.dated_files import (
    CountError,
    Extract,
    Pulled,
    PullError,
    dated_path,
    deliver,
    delivered,
    explained_write_errors,
    previous_columns,
)
from churn.ingest.salesforce import check_calls, explained_errors

if TYPE_CHECKING:
    import requests
    from simple_salesforce.api import Salesforce

    from churn.ingest.load import Progress

T = TypeVar("T")

# The object of each table.
OBJECTS = {"accounts": "Account", "contacts": "Contact", "calls": "Case"}
# From this number of rows on, the Bulk API is used.
BULK_ROWS = 100_000
# Rows per page of the Bulk API, and in memory.
BULK_PAGE_ROWS = 50_000
# Most seconds between two questions whether a bulk job is done; the first is earlier.
BULK_WAIT_SECONDS = 5.0
# A bulk job that takes longer is given up.
BULK_LONGEST_SECONDS = 6 * 3600
# Rows per page of the REST API.
PAGE_ROWS = 2_000
# An extract is read again if records were added or deleted meanwhile.
TRIES = 3
_FIELD = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)?", re.ASCII)


@dataclass(frozen=True)
class Wanted:
    """What to pull of one object.

    Attributes:
        table: ``accounts``, ``contacts`` or ``calls``.
        required: Fields that must exist.
        candidates: For each of our columns, the fields that can hold it.
        where: A condition in SOQL; empty for all records.
    """

    table: str
    required: Sequence[str]
    candidates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    where: str = ""


@dataclass(frozen=True)
class SalesforcePull:
    """What was delivered.

    Attributes:
        files: The files.
        notes: One sentence for each column without a field.
    """

    files: list[Pulled]
    notes: list[str]


def pull_salesforce(
    client: Salesforce,
    wanted: Sequence[Wanted],
    folder: Path,
    day: date,
    progress: Progress | None = None,
) -> SalesforcePull:
    """Write ``folder/TABLE/dt=DAY/TABLE.parquet``, and one for deleted records each.

    Columns have Salesforce's names, which `churn init` recognises. All objects are
    checked before the first row is read. A file that exists is kept.

    Args:
        client: A client, as `churn.ingest.salesforce.connect` returns it.
        wanted: The objects and fields.
        folder: The folder of all tables; created if missing.
        day: The date of the batch.
        progress: Called with a table's name, the number of read rows and the total.

    Raises:
        PullError: A field is missing, Salesforce refuses, or counts differ. Files of
            earlier tables of the same call stay, as each is complete.
    """
    result = SalesforcePull([], [])
    with explained_write_errors(folder), explained_errors():
        extracts = []
        for each in wanted:
            path = dated_path(folder, each.table, day)
            if earlier := delivered(each.table, path):
                result.files.append(earlier)
                continue
            known = _known_fields(client, each)
            fields, notes = _checked_fields(known, each, path)
            result.notes.extend(notes)
            # Cases have it only if they can be merged.
            merged = [known[name] for name in ("masterrecordid",) if name in known]
            extracts.append((each, path, fields, merged))
        for each, path, fields, merged in extracts:
            result.files.append(_pull(client, each, path, fields, progress))
            result.files.append(_pull_deleted(client, each, folder, day, merged))
    return result


def _known_fields(client: Salesforce, wanted: Wanted) -> dict[str, str]:
    """Return the fields that the user can see, by their names in lower case."""
    known: dict[str, str] = {}
    for each in getattr(client, OBJECTS[wanted.table]).describe()["fields"]:
        known[each["name"].lower()] = each["name"]
        if each.get("relationshipName"):
            relation = each["relationshipName"]
            known[f"{relation}.name".lower()] = f"{relation}.Name"
    return known


def _checked_fields(
    known: Mapping[str, str], wanted: Wanted, path: Path
) -> tuple[list[str], list[str]]:
    """Return the fields to read, and notes; raise if one of them is missing.

    Field-level security hides fields without an error, so the fields of the previous
    batch are required, too.
    """
    name = OBJECTS[wanted.table]
    candidates = [each for names in wanted.candidates.values() for each in names]
    for each in (*wanted.required, *candidates):
        if not _FIELD.fullmatch(each):
            raise PullError(f"{each!r} is no name of a field of {name}: correct it.")
    missing = [each for each in wanted.required if each.lower() not in known]
    if missing:
        raise PullError(
            f"{name} has no field {', '.join(missing)} that the user can see: grant "
            "the right to read it, or correct its name."
        )
    fields = dict.fromkeys(
        known[each.lower()]
        for each in ("Id", *wanted.required, *candidates)
        if each.lower() in known
    )
    if before := previous_columns(path):
        gone = [each for each in before[1] if each not in fields]
        gone = [each for each in gone if each.lower() not in known]
        if gone:
            raise PullError(
                f"{name} has no field {', '.join(gone)} any more, which the batch of "
                f"{before[0]} has: grant the right to read it again."
            )
        # A batch has the columns of the one before it.
        fields |= dict.fromkeys(known[each.lower()] for each in before[1])
    notes = [
        f"{name} has no field for {column}: if another field holds it, name it with "
        f"--field {wanted.table}.FIELD."
        for column, names in wanted.candidates.items()
        if names and not any(each.lower() in known for each in names)
    ]
    return list(fields), notes


def _pull(
    client: Salesforce,
    wanted: Wanted,
    path: Path,
    fields: list[str],
    progress: Progress | None,
) -> Pulled:
    name = OBJECTS[wanted.table]
    condition = f" where {wanted.where}" if wanted.where else ""
    query = f"select {', '.join(fields)} from {name}{condition}"

    def count() -> int:
        return int(client.query(f"select count() from {name}{condition}")["totalSize"])

    for attempt in range(1, TRIES + 1):
        total = count()
        is_bulk = total >= BULK_ROWS
        check_calls(client, 30 if is_bulk else -(-total // PAGE_ROWS))
        read = _bulk_batches if is_bulk else _page_batches
        extract = Extract(
            wanted.table,
            fields,
            lambda read=read: read(client, name, query, fields),  # type: ignore[misc]
            count,
            key="Id",
        )
        try:
            return deliver(extract, path, total, progress)
        except CountError:
            if attempt == TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def _pull_deleted(
    client: Salesforce, wanted: Wanted, folder: Path, day: date, merged: list[str]
) -> Pulled:
    """Deliver the ids of deleted records that are still in the recycle bin.

    Args:
        client: A client.
        wanted: The object.
        folder: The folder of all tables.
        day: The date of the batch.
        merged: ``MasterRecordId`` if the object has it: the record into which a record
            was merged.
    """
    table = f"{wanted.table}_deleted"
    path = dated_path(folder, table, day)
    if earlier := delivered(table, path):
        return earlier
    name = OBJECTS[wanted.table]
    fields = ["Id", *merged, "LastModifiedDate"]
    query = f"select {', '.join(fields)} from {name} where IsDeleted = true"
    return deliver(
        Extract(
            table,
            fields,
            lambda: _page_batches(client, name, query, fields, include_deleted=True),
            lambda: None,
            key="Id",
        ),
        path,
    )


def _page_batches(
    client: Salesforce,
    _: str,
    query: str,
    fields: list[str],
    include_deleted: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yield the pages of the REST API."""
    schema = pa.schema([(name, pa.string()) for name in fields])
    paths = [name.split(".") for name in fields]
    for records in _read_ahead(_pages(client, query, include_deleted)):
        if not records:
            # Arrow would import pandas, which takes as long as 500,000 bulk rows.
            continue
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([_text(record, path) for record in records], pa.string())
                for path in paths
            ],
            schema=schema,
        )


def _pages(
    client: Salesforce, query: str, include_deleted: bool
) -> Iterator[list[Any]]:
    page = client.query(query, include_deleted=include_deleted)
    while True:
        yield page["records"]
        if page["done"]:
            return
        page = client.query_more(page["nextRecordsUrl"], identifier_is_url=True)


def _read_ahead(pages: Iterator[T]) -> Iterator[T]:
    """Yield pages while the next one is received in another thread."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, pages, end)
        while (page := following.result()) is not end:
            following = thread.submit(next, pages, end)
            yield page  # type: ignore[misc]


def _text(record: Any, path: Sequence[str]) -> str | None:
    """Return the value of a field as the Bulk API writes it."""
    for name in path:
        record = record[name] if record is not None else None
    if record is None or isinstance(record, str):
        return record
    if isinstance(record, bool):
        return "true" if record else "false"
    return str(record)


def _bulk_batches(
    client: Salesforce, name: str, query: str, fields: list[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the pages of a query job of the Bulk API 2.0, each as one batch."""
    schema = pa.schema([(each, pa.string()) for each in fields])
    job = _finished_job(client, query)
    for page in _read_ahead(_bulk_pages(client, job)):
        try:
            rows = pa.csv.read_csv(
                pa.BufferReader(page),
                read_options=pa.csv.ReadOptions(
                    use_threads=False, block_size=max(len(page), 1)
                ),
                parse_options=pa.csv.ParseOptions(newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(
                    column_types=schema,
                    include_columns=fields,
                    # Salesforce stores no empty text.
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise PullError(
                f"A page of the bulk job for {name} cannot be read "
                f"({str(error).splitlines()[0]}): nothing of it was delivered, pull "
                "again."
            ) from None
        yield from rows.to_batches()


def _finished_job(client: Salesforce, query: str) -> str:
    """Start a query job, wait until it is done, and return its path."""
    from simple_salesforce.exceptions import SalesforceOperationError

    started = time.monotonic()
    order = {"operation": "query", "query": query}
    job: Any = client.restful("jobs/query", method="POST", json=order)
    path = f"jobs/query/{job['id']}"
    wait = 0.5
    while job["state"] in ("UploadComplete", "InProgress"):
        if time.monotonic() - started > BULK_LONGEST_SECONDS:
            raise SalesforceOperationError("it takes too long")
        time.sleep(min(wait, BULK_WAIT_SECONDS))
        wait *= 1.5
        job = client.restful(path)
    if job["state"] != "JobComplete":
        raise SalesforceOperationError(job.get("errorMessage") or job["state"])
    return path


def _bulk_pages(client: Salesforce, job: str) -> Iterator[bytes]:
    """Yield the pages of a finished query job, as CSV.

    The client of simple-salesforce would receive them in blocks of 10 kB and decode
    them to text, which takes more CPU time than all else.
    """
    from simple_salesforce.util import call_salesforce

    bodies: list[bytes] = []

    def receive(response: requests.Response, **_: Any) -> None:
        # Within the request, which is repeated if the connection breaks.
        if response.ok:
            bodies.append(b"".join(response.iter_content(2**20)))

    locator: str | None = None
    while locator != "null":
        response = call_salesforce(
            f"{client.base_url}{job}/results",
            "GET",
            client.session,
            {"Accept": "text/csv"},
            params={
                "maxRecords": BULK_PAGE_ROWS,
                **({"locator": locator} if locator else {}),
            },
            stream=True,
            hooks={"response": receive},
        )
        locator = response.headers.get("Sforce-Locator", "null")
        page = bodies.pop()
        yield page.replace(b"\0", b"") if b"\0" in page else page
