"""Read the clickstream files that a glob matches, each file once.

Files hold one record per line, or rows of CSV or Parquet, which become JSON objects.
How they are packed and encoded is recognised by their first bytes. They are local or in
object storage that pyarrow can read (``s3://…``). The target table records what was
loaded: each line carries the size, modification time and checksum of its file.
"""

from __future__ import annotations

import builtins
import contextlib
import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs

from churn.ingest.decoding import (
    DamagedFileError,
    check_size,
    read_local,
    reason_of,
    unpack,
)
from churn.ingest.envelopes import unwrap
from churn.ingest.file_readers import read_documents, read_lines
from churn.ingest.table_readers import NotATableError, read_records
from churn.quoting import path_text, printable, without_credentials

SCHEMA = pa.schema(
    [
        ("payload", pa.string()),
        ("received_at", pa.timestamp("us")),
        ("source_file", pa.string()),
        ("file_bytes", pa.int64()),
        ("file_sha256", pa.string()),
        ("file_modified_at", pa.timestamp("us")),
    ]
)
# Kinesis Firehose names objects <stream>-<version>-<time in UTC>-<random text>. Tools
# that copy objects change the time of last write, and keep the name.
_FIREHOSE_TIME = re.compile(r"-(\d{4}(?:-\d\d){5})-[^/]*$")


class NoFilesError(ValueError):
    """Report that a glob matches no file; the message is one sentence."""


@dataclass(frozen=True)
class EventFile:
    """One file that the glob matches.

    Attributes:
        name: Its path relative to the fixed part of the glob, so that it does not
            depend on the working directory.
        location: Its path, in object storage that of ``storage``.
        bytes: Its size.
        modified_at: When it was last written, in UTC.
        storage: The object storage that holds it, ``None`` for a local file.
    """

    name: str
    location: str
    bytes: int
    modified_at: datetime
    storage: pyarrow.fs.FileSystem | None = None

    @property
    def received_at(self) -> datetime:
        """When its records were received, in UTC: as Firehose says, or last written."""
        if found := _FIREHOSE_TIME.search(self.name):
            with contextlib.suppress(ValueError):
                named = datetime.strptime(found[1], "%Y-%m-%d-%H-%M-%S")
                return min(named, self.modified_at)
        return self.modified_at

    def read(self) -> builtins.bytes:
        """Read the bytes of the file, without unpacking.

        Raises:
            OSError: It is missing or too large, or it is no file.
        """
        if self.storage is None:
            return read_local(self.location, self.bytes)
        check_size(self.bytes)
        if "//" in self.location and self.storage.type_name == "s3":
            return _read_s3_object(self.location)
        with self.storage.open_input_stream(self.location, compression=None) as stream:
            return stream.read()


@dataclass(frozen=True)
class LoadedFile:
    """A file in the target table.

    Attributes:
        bytes: Its size when it was loaded.
        sha256: Its checksum when it was loaded.
        modified_at: Its modification time when it was loaded, in UTC.
        lines: Number of its records in the table.
    """

    bytes: int
    sha256: str
    modified_at: datetime
    lines: int


def find_event_files(pattern: str) -> list[EventFile]:
    """List the files that a glob matches, sorted by name.

    Args:
        pattern: A path with ``*``, ``?``, ``[…]`` or, for any depth, ``**``; or a
            URI such as ``s3://bucket/clicks/*/*.gz``.

    Raises:
        NoFilesError: No file matches.
    """
    if "://" in pattern:
        files = _remote_files(pattern, _fixed_part(pattern))
    else:
        if os.path.exists(pattern):
            # A name may hold wildcards. A folder stands for its files.
            literal = glob.escape(pattern.rstrip("/") or "/")
            base = os.path.dirname(pattern.rstrip("/")) + "/"
            if os.path.isdir(pattern):
                literal, base = f"{literal}/**", f"{pattern.rstrip('/')}/"
            pattern = literal
        else:
            base = _fixed_part(pattern)
        files = [_local_file(path, base) for path in _local_paths(pattern)]
    if not files:
        raise NoFilesError(
            "No file matches `raw_event_files`, which is "
            f"{printable(without_credentials(pattern), 200)}: correct it in "
            "dbt_project.yml or in --vars."
        )
    return files


def _read_s3_object(location: str) -> bytes:
    """Read an object whose key has an empty part, which pyarrow refuses to read."""
    try:
        import boto3
    except ImportError:
        raise OSError(
            "its key has `//`: install the extra `athena` to read it"
        ) from None
    bucket, _, key = location.partition("/")
    try:
        body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
        return bytes(body.read())
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from None


def new_lines(
    files: list[EventFile],
    loaded_files: dict[str, LoadedFile],
    report: Callable[[str], None] = print,
) -> pa.RecordBatchReader:
    """Read the lines of new and grown files, one batch per file.

    A new file is loaded. A file with more lines than before is reloaded completely,
    so a half-written file does no harm. A file that changed otherwise is reported and
    skipped. A truncated archive is reported and retried on the next run. The number of
    loaded files that do not exist any more is reported; their records stay.

    Args:
        files: All matching files.
        loaded_files: The files in the target table, by name.
        report: Receives one sentence for each file that is skipped or reloaded.

    Returns:
        Batches of ``SCHEMA``, read lazily. ``received_at`` is the time in a record's
        envelope, else that in the name of a Firehose object, else when the file was
        last written. It is never later than that.
    """
    return pa.RecordBatchReader.from_batches(
        SCHEMA, _batches(files, loaded_files, report)
    )


def _batches(
    files: list[EventFile],
    loaded_files: dict[str, LoadedFile],
    report: Callable[[str], None],
) -> Iterator[pa.RecordBatch]:
    deleted = sorted(loaded_files.keys() - {file.name for file in files})
    if deleted:
        report(
            f"{len(deleted)} loaded files do not exist any more, such as "
            f"{printable(deleted[0])}: their records stay in the tables."
        )
    for file in files:
        previous = loaded_files.get(file.name)
        shown_name = printable(file.name, 200)
        if previous and (previous.bytes, previous.modified_at) == (
            file.bytes,
            file.modified_at,
        ):
            continue
        try:
            packed = file.read()
            lines, times = _read_with_times(packed)
        except (OSError, DamagedFileError, NotATableError, MemoryError) as error:
            report(
                f"{shown_name} cannot be read to its end and is skipped; the next run "
                f"retries it: {printable(reason_of(error), 200)}"
            )
            continue
        sha256 = hashlib.sha256(packed).hexdigest()
        if previous and previous.sha256 == sha256:
            continue
        if previous:
            if len(lines) <= previous.lines:
                report(
                    f"{shown_name} changed after it was loaded and is skipped: deliver "
                    "changes as new files."
                )
                continue
            report(f"{shown_name} has grown since it was loaded and is reloaded.")
        yield pa.record_batch(
            [
                lines,
                pc.min_element_wise(
                    pc.coalesce(times, pa.scalar(file.received_at, pa.timestamp("us"))),
                    pa.scalar(file.modified_at, pa.timestamp("us")),
                ),
                pa.repeat(file.name, len(lines)),
                pa.repeat(pa.scalar(file.bytes, pa.int64()), len(lines)),
                pa.repeat(sha256, len(lines)),
                pa.repeat(pa.scalar(file.modified_at, pa.timestamp("us")), len(lines)),
            ],
            schema=SCHEMA,
        )


def _fixed_part(pattern: str) -> str:
    """Return the folder before the first wildcard, with a trailing slash."""
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return prefix[: prefix.rfind("/") + 1]


def _local_file(path: Path, base: str) -> EventFile:
    stat = path.stat() if path.is_file() else path.lstat()
    return EventFile(
        name=path_text(path.as_posix().removeprefix(base)),
        location=str(path),
        bytes=stat.st_size,
        modified_at=_microseconds(datetime.fromtimestamp(stat.st_mtime, UTC)),
    )


def _local_paths(pattern: str) -> list[Path]:
    """Return the files that match, each once, sorted by name.

    A symbolic link can lead to a file by several names, or endlessly into its own
    folder. The name without a link is used, else the shortest.
    """
    by_target: dict[str, tuple[bool, int, str]] = {}
    for name in glob.glob(pattern, recursive=True):
        # Others than files are reported when they are read.
        if os.path.isdir(name):
            continue
        target = os.path.realpath(name)
        rank = (os.path.abspath(name) != target, len(name), name)
        by_target[target] = min(by_target.get(target, rank), rank)
    return [Path(name) for name in sorted(name for *_, name in by_target.values())]


def _remote_files(pattern: str, base: str) -> list[EventFile]:
    scheme, _, rest = pattern.partition("://")
    bucket = rest.partition("/")[0]
    # Only the bucket is a URI. A key may hold any character, such as a blank or `#`.
    storage, root = pyarrow.fs.FileSystem.from_uri(f"{scheme}://{bucket}")
    in_root = rest.partition("/")[2]
    root = root.rstrip("/") + "/"
    folder = root + base.partition("://")[2].partition("/")[2]
    path_pattern = _as_regular_expression(root + in_root)
    return [
        EventFile(
            name=info.path.removeprefix(folder).lstrip("/"),
            location=info.path,
            bytes=info.size,
            modified_at=_microseconds(info.mtime),
            storage=storage,
        )
        for info in sorted(
            storage.get_file_info(
                pyarrow.fs.FileSelector(folder.rstrip("/") or "/", recursive=True)
            ),
            key=lambda info: info.path,
        )
        if info.type == pyarrow.fs.FileType.File and path_pattern.fullmatch(info.path)
    ]


def _as_regular_expression(pattern: str) -> re.Pattern[str]:
    """Convert a glob to a regular expression: only ``**`` crosses folders."""
    wildcards = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern):
        if part.startswith("[") and part.endswith("]"):
            expression += part.replace("[!", "[^")
        else:
            expression += wildcards.get(part, re.escape(part))
    return re.compile(expression)


def _microseconds(instant: datetime) -> datetime:
    """Convert to UTC without a zone, as stored in the table."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def read_event_records(packed: bytes) -> pa.Array:
    """Return the records of a file.

    Args:
        packed: The bytes of the file, as they are stored.

    Returns:
        Its lines, without envelopes; the objects of a JSON array or of indented JSON,
        as they are written; or the rows of a table as JSON objects.

    Raises:
        DamagedFileError: It is a truncated or damaged archive, or no text or table.
        NotATableError: It is a table that cannot be read.
    """
    return _read_with_times(packed)[0]


def _read_with_times(packed: bytes) -> tuple[pa.Array, pa.Array]:
    """Return the records of a file, and the times in their envelopes."""
    records: list[pa.Array] = []
    for content in unpack(packed):
        rows = read_records(content)
        if rows is None:
            rows = read_documents(content)
        records.append(
            read_lines(content) if rows is None else pa.array(rows, pa.string())
        )
    lines = pa.concat_arrays(records) if records else pa.array([], pa.string())
    return unwrap(lines)
