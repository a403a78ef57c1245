"""Pull objects of Salesforce into dated files: ``churn pull salesforce``.

Few rows are read page by page from the REST API, many from the Bulk API 2.0. Deleted
and merged records are not in an extract; their ids are delivered beside it.
"""

from __future__ import annotations

import io
import re
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
    from simple_salesforce.api import Salesforce

    from churn.ingest.load import Progress

T = TypeVar("T")

# The object of each table.
OBJECTS = {"accounts": "Account", "contacts": "Contact", "calls": "Case"}
# From this number of rows on, the Bulk API is used.
BULK_ROWS = 100_000
# Rows per page of the Bulk API, and in memory.
BULK_PAGE_ROWS = 50_000
# Seconds between two questions whether a bulk job is done.
BULK_WAIT_SECONDS = 5
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
            fields, notes = _described_fields(client, each, path)
            result.notes.extend(notes)
            extracts.append((each, path, fields))
        for each, path, fields in extracts:
            result.files.append(_pull(client, each, path, fields, progress))
            result.files.append(_pull_deleted(client, each, folder, day))
    return result


def _described_fields(
    client: Salesforce, wanted: Wanted, path: Path
) -> tuple[list[str], list[str]]:
    """Return the fields to read, and notes; raise if one of them is missing.

    Field-level security hides fields without an error, so the fields of the previous
    batch are required, too.
    """
    name = OBJECTS[wanted.table]
    known: dict[str, str] = {}
    for each in getattr(client, name).describe()["fields"]:
        known[each["name"].lower()] = each["name"]
        if each.get("relationshipName"):
            relation = each["relationshipName"]
            known[f"{relation}.name".lower()] = f"{relation}.Name"
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
    client: Salesforce, wanted: Wanted, folder: Path, day: date
) -> Pulled:
    """Deliver the ids of deleted records that are still in the recycle bin.

    ``MasterRecordId`` is the record into which a record was merged.
    """
    table = f"{wanted.table}_deleted"
    path = dated_path(folder, table, day)
    if earlier := delivered(table, path):
        return earlier
    name = OBJECTS[wanted.table]
    fields = ["Id", "MasterRecordId", "LastModifiedDate"]
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
    """Yield the pages of a query job of the Bulk API 2.0."""
    schema = pa.schema([(name, pa.string()) for name in fields])
    handler = getattr(client.bulk2, name)
    pages = handler.query(query, max_records=BULK_PAGE_ROWS, wait=BULK_WAIT_SECONDS)
    for page in _read_ahead(pages):
        try:
            rows = pa.csv.read_csv(
                io.BytesIO(page.encode()),
                read_options=pa.csv.ReadOptions(use_threads=False),
                parse_options=pa.csv.ParseOptions(newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(
                    column_types=schema,
                    include_columns=fields,
                    # The client has decoded it.
                    check_utf8=False,
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
