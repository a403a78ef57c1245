"""Reads clickstream files that a glob names, each file once.

Plain, gzip and zstd files of one record a line, on this machine or in an object
storage that pyarrow reads (``s3://…``). What was taken is told by the table that the
lines went to: each line there carries its file's size, time and checksum.
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

from churn.file_readers import read_lines

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
    """The glob names no file; the message is one sentence."""


@dataclass(frozen=True)
class EventFile:
    """One file that the glob names.

    Attributes:
        name: Its path below the glob's fixed part, so that it is the same from
            wherever dbt is run.
        location: Where it is.
        bytes: Its size.
        modified_at: When it was last written, in UTC.
    """

    name: str
    location: str
    bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class TakenFile:
    """What the table holds of one file."""

    bytes: int
    sha256: str
    modified_at: datetime
    lines: int


def find_event_files(pattern: str) -> list[EventFile]:
    """All files that a glob names, by name.

    Args:
        pattern: A path with ``*``, ``?``, ``[…]`` or, for any depth, ``**``; or a
            URI such as ``s3://bucket/clicks/*/*.gz``.

    Raises:
        NoFilesError: There is none.
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
            f"No file is named by `raw_event_files`, which is {pattern}: correct it "
            "in dbt_project.yml or in --vars."
        )
    return files


def new_lines(
    files: list[EventFile],
    taken: dict[str, TakenFile],
    say: Callable[[str], None] = print,
) -> pa.RecordBatchReader:
    """The lines of the files that are to be taken, one batch a file.

    A file is taken if it was not before, or if it has more lines than then, as one
    that had been half written. One that changed otherwise is said and left alone; so
    is one that cannot be unpacked to its end, until it can.

    Args:
        files: All files there are.
        taken: What was taken before, by name.
        say: Takes one sentence for each file that is not simply taken.

    Returns:
        Batches of ``SCHEMA``, read as they are taken. ``received_at`` is when the
        file was last written.
    """
    return pa.RecordBatchReader.from_batches(SCHEMA, _batches(files, taken, say))


def _batches(
    files: list[EventFile], taken: dict[str, TakenFile], say: Callable[[str], None]
) -> Iterator[pa.RecordBatch]:
    for file in files:
        previous = taken.get(file.name)
        if previous and (previous.bytes, previous.modified_at) == (
            file.bytes,
            file.modified_at,
        ):
            continue
        try:
            packed = _read(file.location)
            content = _unpack(file.name, packed)
        except (OSError, EOFError) as error:
            say(
                f"{file.name} cannot be read to its end, and will be taken once it "
                f"can: {error}"
            )
            continue
        sha256 = hashlib.sha256(packed).hexdigest()
        if previous and previous.sha256 == sha256:
            continue
        lines = read_lines(content)
        if previous:
            if len(lines) <= previous.lines:
                say(
                    f"{file.name} changed after it was taken, and is left as it was: "
                    "deliver changes as new files."
                )
                continue
            say(f"{file.name} has grown after it was taken, and is taken anew.")
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
    """The folder before the first wildcard, with a slash at its end."""
    before = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return before[: before.rfind("/") + 1]


def _local_file(path: Path, base: str) -> EventFile:
    about = path.stat()
    return EventFile(
        name=path.as_posix().removeprefix(base),
        location=str(path),
        bytes=about.st_size,
        modified_at=_microseconds(datetime.fromtimestamp(about.st_mtime, UTC)),
    )


def _remote_files(pattern: str, base: str) -> list[EventFile]:
    scheme = pattern.split("://", 1)[0]
    storage, folder = pyarrow.fs.FileSystem.from_uri(base)
    wanted = _as_regular_expression(pattern.split("://", 1)[1])
    return [
        EventFile(
            name=found.path.removeprefix(folder).lstrip("/"),
            location=f"{scheme}://{found.path}",
            bytes=found.size,
            modified_at=_microseconds(found.mtime),
        )
        for found in sorted(
            storage.get_file_info(pyarrow.fs.FileSelector(folder, recursive=True)),
            key=lambda found: found.path,
        )
        if found.type == pyarrow.fs.FileType.File and wanted.fullmatch(found.path)
    ]


def _as_regular_expression(pattern: str) -> re.Pattern[str]:
    """What `glob.glob` means by a pattern: ``*`` stays in its folder, ``**`` not."""
    meanings = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    told = ""
    for piece in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern):
        if piece.startswith("[") and piece.endswith("]"):
            told += piece.replace("[!", "[^")
        else:
            told += meanings.get(piece, re.escape(piece))
    return re.compile(told)


def _microseconds(instant: datetime) -> datetime:
    """UTC without its zone, as the table keeps it."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def _read(location: str) -> bytes:
    """The bytes of a file, as they lie there."""
    if "://" not in location:
        return Path(location).read_bytes()
    storage, path = pyarrow.fs.FileSystem.from_uri(location)
    with storage.open_input_stream(path, compression=None) as stream:
        return stream.read()


def _unpack(name: str, packed: bytes) -> bytes:
    """The text of a file, by the ending of its name.

    Raises:
        EOFError: It ends before its packed content does.
        OSError: It is not packed as its name says.
    """
    kind = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}.get(Path(name).suffix)
    if kind is None:
        return packed
    # pyarrow unpacks several packed parts in one file, as gzip does.
    with pa.CompressedInputStream(pa.BufferReader(packed), kind) as stream:
        return stream.read()
