"""Deliver extracts as dated Parquet files, complete or not at all.

A file is ``FOLDER/TABLE/dt=YYYY-MM-DD/TABLE.parquet``. Rows are written to a temporary
name, counted against the source, and renamed. All values are text, as in a CSV file, so
a column has one type on every day. A file that was delivered never changes.
"""

from __future__ import annotations

import fcntl
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn.config import UserError
from churn.files import replacing

if TYPE_CHECKING:
    from churn.ingest.load import Progress


class PullError(UserError):
    """Report why nothing was delivered; the message is one sentence."""


class CountError(PullError):
    """Report that rows are missing or repeated; another try can succeed."""


@dataclass(frozen=True)
class Pulled:
    """A delivered file.

    Attributes:
        table: The table's name.
        path: The file.
        rows: Number of its rows.
        is_new: False if the file was delivered earlier and was kept.
    """

    table: str
    path: Path
    rows: int
    is_new: bool


@dataclass(frozen=True)
class Extract:
    """A table of another system, to be read once.

    Attributes:
        table: Its name for people.
        columns: The columns, in order.
        read: Yields batches with these columns as text.
        count: Returns how many rows the source has, after all were read; ``None`` if
            the source cannot tell.
        key: A column whose values must differ; ``None`` if there is none.
    """

    table: str
    columns: list[str]
    read: Callable[[], Iterable[pa.RecordBatch]]
    count: Callable[[], int | None]
    key: str | None = None


@contextmanager
def explained_write_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one sentence.

    Raises:
        PullError: A file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise PullError(
            f"Nothing more was delivered, because {folder} cannot be written "
            f"({error.strerror}): check its rights and free space."
        ) from None


def dated_path(folder: Path, table: str, day: date) -> Path:
    """Return the path of a table's file.

    Raises:
        PullError: The name is no file name.
    """
    if table in ("", ".", "..") or not table.isprintable():
        raise PullError(f"{table!r} is no name of a table: give NAME or SCHEMA.NAME.")
    if os.sep in table:
        raise PullError(f"{table!r} has a {os.sep}: make a view with another name.")
    return folder / table / f"dt={day:%Y-%m-%d}" / f"{table}.parquet"


def delivered(table: str, path: Path) -> Pulled | None:
    """Return the file of an earlier delivery, or ``None`` if there is none."""
    if not path.exists():
        return None
    return Pulled(table, path, pq.read_metadata(path).num_rows, is_new=False)


def previous_columns(path: Path) -> tuple[date, list[str]] | None:
    """Return date and columns of the newest file before that of a path."""
    files = sorted(path.parent.parent.glob(f"dt=*/{path.name}"), reverse=True)
    for file in files:
        if file.parent.name < path.parent.name:
            day = date.fromisoformat(file.parent.name.removeprefix("dt="))
            return day, list(pq.read_schema(file).names)
    return None


def deliver(
    extract: Extract, path: Path, total: int = 0, progress: Progress | None = None
) -> Pulled:
    """Write the rows of an extract to a file.

    Args:
        extract: The rows.
        path: The file, as `dated_path` returns it.
        total: Number of rows that are expected, for the progress.
        progress: Called with the table's name, the number of written rows and the
            total.

    Raises:
        CountError: The source has another number of rows, or a key occurs twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    schema = pa.schema([(name, pa.string()) for name in extract.columns])
    written = 0
    # 8 bytes per row, so memory hardly grows with the number of rows.
    keys = array("q")
    with replacing(path) as file:
        # The lock ends with the process. Without it, a file is a leftover.
        fcntl.flock(file, fcntl.LOCK_EX)
        os.fchmod(file.fileno(), 0o644)
        # Whole files are read later, so neither dictionaries nor statistics pay.
        with pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
        ) as writer:
            for batch in extract.read():
                writer.write_batch(batch)
                written += len(batch)
                if extract.key:
                    keys.frombytes(_hashes(batch[extract.key]).tobytes())
                if progress:
                    progress(extract.table, written, max(total, written))
        _check(extract, written, keys)
    return Pulled(extract.table, path, written, is_new=True)


def _check(extract: Extract, written: int, keys: array[int]) -> None:
    total = extract.count()
    if total is not None and written != total:
        raise CountError(
            f"{extract.table} has {total} rows, but {written} were read: nothing of it "
            "was delivered, pull again."
        )
    repeated = len(keys) - len(np.unique(np.frombuffer(keys, np.int64))) if keys else 0
    if repeated:
        raise CountError(
            f"{repeated} rows of {extract.table} were read twice: nothing of it was "
            "delivered, pull again."
        )


def _hashes(keys: pa.Array) -> np.ndarray:
    """Return hashes of 64 bits.

    Keys of one length are hashed at once: each word of eight bytes is added and mixed
    as MurmurHash3's `fmix64` does it.
    """
    sizes = pc.unique(pc.binary_length(keys)).to_pylist()
    if len(sizes) != 1 or not sizes[0]:
        return np.fromiter(map(hash, keys.to_pylist()), np.int64, len(keys))
    (size,) = sizes
    _, offsets, data = keys.buffers()
    first = np.frombuffer(offsets, np.int32)[keys.offset]
    padded = np.zeros((len(keys), -(-size // 8) * 8), np.uint8)
    padded[:, :size] = np.frombuffer(data, np.uint8, len(keys) * size, first).reshape(
        len(keys), size
    )
    hashes = np.zeros(len(keys), np.uint64)
    for word in padded.view(np.uint64).T:
        hashes ^= word
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            hashes ^= hashes >> np.uint64(33)
            hashes *= np.uint64(factor)
        hashes ^= hashes >> np.uint64(33)
    return hashes.view(np.int64)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed."""
    for leftover in path.parent.glob(f".{path.name}.*.part"):
        try:
            with leftover.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink(missing_ok=True)
        except OSError:
            # Another process writes it.
            continue
