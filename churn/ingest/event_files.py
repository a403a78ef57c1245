"""Read the clickstream files that a glob matches, each file once.

Supports plain, gzip and zstd files with one record per line, local or in object storage
that pyarrow can read (``s3://…``). The target table records what was loaded: each line
carries the size, modification time and checksum of its file.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.fs

from churn.ingest.file_readers import read_lines

SCHEMA = pa.schema(
    [
        ("payload", pa.string()),
        ("received_at", pa.timestamp("us")),
        ("source_file", pa.string()),
        ("file_bytes", pa.int64()),
        ("file_sha256", pa.string()),
    ]
)


class NoFilesError(ValueError):
    """Report that a glob matches no file; the message is one sentence."""


@dataclass(frozen=True)
class EventFile:
    """One file that the glob matches.

    Attributes:
        name: Its path relative to the fixed part of the glob, so that it does not
            depend on the working directory.
        location: Its path or URI.
        bytes: Its size.
        modified_at: When it was last written, in UTC.
    """

    name: str
    location: str
    bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class LoadedFile:
    """A file in the target table.

    Attributes:
        bytes: Its size when it was loaded.
        sha256: Its checksum when it was loaded.
        modified_at: Its modification time when it was loaded, in UTC.
        lines: Number of its lines in the table.
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
    base = _fixed_part(pattern)
    if "://" in pattern:
        files = _remote_files(pattern, base)
    else:
        files = [
            _local_file(Path(name), base)
            for name in sorted(glob.glob(pattern, recursive=True))
            if Path(name).is_file()
        ]
    if not files:
        raise NoFilesError(
            f"No file matches `raw_event_files`, which is {pattern}: correct it in "
            "dbt_project.yml or in --vars."
        )
    return files


def new_lines(
    files: list[EventFile],
    loaded_files: dict[str, LoadedFile],
    report: Callable[[str], None] = print,
) -> pa.RecordBatchReader:
    """Read the lines of new and grown files, one batch per file.

    A new file is loaded. A file with more lines than before is reloaded completely,
    so a half-written file does no harm. A file that changed otherwise is reported and
    skipped. A truncated archive is reported and retried on the next run.

    Args:
        files: All matching files.
        loaded_files: The files in the target table, by name.
        report: Receives one sentence for each file that is skipped or reloaded.

    Returns:
        Batches of ``SCHEMA``, read lazily. ``received_at`` is when the file was last
        written.
    """
    return pa.RecordBatchReader.from_batches(
        SCHEMA, _batches(files, loaded_files, report)
    )


def _batches(
    files: list[EventFile],
    loaded_files: dict[str, LoadedFile],
    report: Callable[[str], None],
) -> Iterator[pa.RecordBatch]:
    for file in files:
        previous = loaded_files.get(file.name)
        if previous and (previous.bytes, previous.modified_at) == (
            file.bytes,
            file.modified_at,
        ):
            continue
        try:
            packed = _read(file.location)
            content = _unpack(file.name, packed)
        except (OSError, EOFError) as error:
            report(
                f"{file.name} cannot be read to its end and is skipped; the next run "
                f"retries it: {error}"
            )
            continue
        sha256 = hashlib.sha256(packed).hexdigest()
        if previous and previous.sha256 == sha256:
            continue
        lines = read_lines(content)
        if previous:
            if len(lines) <= previous.lines:
                report(
                    f"{file.name} changed after it was loaded and is skipped: deliver "
                    "changes as new files."
                )
                continue
            report(f"{file.name} has grown since it was loaded and is reloaded.")
        yield pa.record_batch(
            [
                lines,
                pa.repeat(pa.scalar(file.modified_at, pa.timestamp("us")), len(lines)),
                pa.repeat(file.name, len(lines)),
                pa.repeat(pa.scalar(file.bytes, pa.int64()), len(lines)),
                pa.repeat(sha256, len(lines)),
            ],
            schema=SCHEMA,
        )


def _fixed_part(pattern: str) -> str:
    """Return the folder before the first wildcard, with a trailing slash."""
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return prefix[: prefix.rfind("/") + 1]


def _local_file(path: Path, base: str) -> EventFile:
    stat = path.stat()
    return EventFile(
        name=path.as_posix().removeprefix(base),
        location=str(path),
        bytes=stat.st_size,
        modified_at=_microseconds(datetime.fromtimestamp(stat.st_mtime, UTC)),
    )


def _remote_files(pattern: str, base: str) -> list[EventFile]:
    scheme = pattern.split("://", 1)[0]
    storage, folder = pyarrow.fs.FileSystem.from_uri(base)
    path_pattern = _as_regular_expression(pattern.split("://", 1)[1])
    return [
        EventFile(
            name=info.path.removeprefix(folder).lstrip("/"),
            location=f"{scheme}://{info.path}",
            bytes=info.size,
            modified_at=_microseconds(info.mtime),
        )
        for info in sorted(
            storage.get_file_info(pyarrow.fs.FileSelector(folder, recursive=True)),
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


def _read(location: str) -> bytes:
    """Read the bytes of a file, without unpacking."""
    if "://" not in location:
        return Path(location).read_bytes()
    storage, path = pyarrow.fs.FileSystem.from_uri(location)
    with storage.open_input_stream(path, compression=None) as stream:
        return stream.read()


def _unpack(name: str, packed: bytes) -> bytes:
    """Unpack a file by its extension.

    Raises:
        EOFError: The archive is truncated.
        OSError: The file is not packed as its extension says.
    """
    compression = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}.get(Path(name).suffix)
    if compression is None:
        return packed
    # CompressedInputStream reads concatenated gzip members, too.
    with pa.CompressedInputStream(pa.BufferReader(packed), compression) as stream:
        return stream.read()
