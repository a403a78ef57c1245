"""Erase a person from files: landing zones are rewritten, other files are found.

A rewritten file keeps its time of modification, and the tables get its new size and
checksum. So a later load does not take it for a changed file.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.config import Project
from churn.files import replacing
from churn.ingest.decoding import DamagedFileError, unpack
from churn.ingest.envelopes import map_payloads
from churn.ingest.event_files import NoFilesError, find_event_files
from churn.ingest.file_readers import find_files, read_documents
from churn.ingest.table_readers import NotATableError, read_records
from churn.operations.pii import ERASED, SUBJECT_COLUMNS, Eraser
from churn.operations.runs import state_folder

_GZIP = b"\x1f\x8b"
_LARGEST = 256_000_000


@dataclass(frozen=True)
class FileState:
    """A file as the tables record it.

    Attributes:
        table: ``loaded_files`` or ``base_clickstream__file_records``.
        name: Its name there.
        bytes: Its size.
        modified_ns: When it was last written, in nanoseconds since 1970.
        sha256: Its checksum.
    """

    table: str
    name: str
    bytes: int
    modified_ns: int
    sha256: str


@dataclass(frozen=True)
class _Found:
    table: str
    name: str
    location: Path
    erase: Callable[[str], str]


def erase_files(
    project: Project, eraser: Eraser, folders: Iterable[Path]
) -> tuple[list[str], list[str], list[FileState]]:
    """Rewrite the files of landing zones and of ``raw_event_files``.

    Args:
        project: The project.
        eraser: What replaces the person.
        folders: Landing zones.

    Returns:
        The rewritten files, the files that hold the person and were not rewritten, and
        the state of all delivered files.
    """
    rewritten: list[str] = []
    remaining: list[str] = []
    states: list[FileState] = []
    delivered: set[Path] = set()
    folders = list(folders)
    for file in _delivered(project, eraser, folders):
        delivered.add(file.location.resolve())
        try:
            if _rewrite(file, eraser):
                rewritten.append(str(file.location))
            packed = file.location.read_bytes()
            stat = file.location.stat()
        except (OSError, ValueError, DamagedFileError, NotATableError):
            if _holds(file.location, eraser):
                remaining.append(str(file.location))
            continue
        sha256 = hashlib.sha256(packed).hexdigest()
        states.append(
            FileState(file.table, file.name, len(packed), stat.st_mtime_ns, sha256)
        )
    for path in _others(project, folders):
        if path.resolve() not in delivered and _holds(path, eraser):
            remaining.append(str(path))
    return rewritten, remaining, states


def _delivered(
    project: Project, eraser: Eraser, folders: list[Path]
) -> Iterator[_Found]:
    for folder in folders:
        for file in find_files(folder):
            name = file.table.name
            erase = {
                "raw_events": lambda text: _lines(text, eraser, _event),
                "raw_retention_actions": lambda text: _lines(text, eraser, _action),
            }.get(name, lambda text, name=name: _csv(text, eraser, name))
            yield _Found("loaded_files", file.path, file.location, erase)
    pattern = project.variables.get("raw_event_files")
    if pattern and "://" not in str(pattern):
        path = str(project.work_dir / str(pattern))
        try:
            files = find_event_files(path)
        except NoFilesError:
            return
        for event_file in files:
            yield _Found(
                "base_clickstream__file_records",
                event_file.name,
                Path(event_file.location),
                lambda text: _events(text, eraser),
            )


def _others(project: Project, folders: list[Path]) -> Iterator[Path]:
    """Yield the other files of the project that may hold rows of tables."""
    own = [project.work_dir / name for name in ("logs", "seeds")]
    own.append(state_folder(project))
    for folder in dict.fromkeys([*folders, *own, project.target_path]):
        if folder.is_dir():
            yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def _holds(path: Path, eraser: Eraser) -> bool:
    """Return whether a file contains the person, also in an archive."""
    if path.stat().st_size > _LARGEST:
        return _holds_in_parts(path, eraser)
    packed = path.read_bytes()
    try:
        contents = unpack(packed)
    except (ValueError, OSError, DamagedFileError):
        contents = [packed]
    return any(eraser.holds(content.decode("utf-8", "replace")) for content in contents)


def _holds_in_parts(path: Path, eraser: Eraser) -> bool:
    overlap = max((len(needle) for needle in eraser.needles), default=0) + 2
    tail = ""
    with path.open("r", encoding="utf-8", errors="replace") as file:
        while part := file.read(16_000_000):
            if eraser.holds(tail + part):
                return True
            tail = part[-overlap:]
    return False


def _rewrite(file: _Found, eraser: Eraser) -> bool:
    """Replace a file that holds the person; return whether it did.

    Raises:
        ValueError: The file is of a kind that cannot be rewritten.
        OSError: It cannot be written.
    """
    packed = file.location.read_bytes()
    is_gzip = packed.startswith(_GZIP)
    content = b"\n".join(unpack(packed)) if is_gzip else packed
    text = content.decode("utf-8")
    erased = file.erase(text)
    if erased == text:
        if eraser.holds(text):
            raise ValueError("the file holds the person in another form")
        return False
    encoded = erased.encode()
    stat = file.location.stat()
    with replacing(file.location) as target:
        target.write(gzip.compress(encoded, mtime=0) if is_gzip else encoded)
        target.flush()
        os.fchmod(target.fileno(), stat.st_mode)
        os.utime(target.fileno(), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return True


def _lines(text: str, eraser: Eraser, erase: Callable[[str, Eraser], str]) -> str:
    return "\n".join(
        erase(line, eraser) if line.strip() else line for line in text.split("\n")
    )


def _events(text: str, eraser: Eraser) -> str:
    """Erase the records of a file that has one on each line.

    Raises:
        ValueError: The file holds the person in another format.
    """
    content = text.encode()
    if read_records(content) is None and read_documents(content) is None:
        return _lines(text, eraser, _event)
    if eraser.holds(text):
        raise ValueError("the file has no record on each line")
    return text


def _event(line: str, eraser: Eraser) -> str:
    """Erase a record, also within the envelope that a delivery stream wrote."""
    erased = map_payloads(line, eraser.record)
    return eraser.record(line) if erased is None else erased


def _action(line: str, eraser: Eraser) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return eraser.text(line)
    if not isinstance(row, dict):
        return eraser.text(line)
    erased = _row(row, "raw_retention_actions", eraser)
    return line if erased == row else json.dumps(erased, ensure_ascii=False)


def _csv(text: str, eraser: Eraser, source: str) -> str:
    # The default is 128 KiB, which a free text can exceed. The limit is the process's.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows = list(reader)
    names = reader.fieldnames
    if not names or any(None in row for row in rows):
        return text
    erased = [_row(row, source, eraser) for row in rows]
    if erased == rows:
        return text
    target = io.StringIO(newline="")
    writer = csv.DictWriter(target, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(erased)
    return target.getvalue()


def _row(row: dict[str, Any], source: str, eraser: Eraser) -> dict[str, Any]:
    """Return a row of a raw table without the person."""
    declared = eraser.classes.raw_columns.get(source, ())
    is_subject = any(
        str(row.get(column) or "").strip() in eraser.pseudonyms
        for column in SUBJECT_COLUMNS
    )
    erased = {}
    for name, value in row.items():
        pii = eraser.classes.by_relation.get((source, name))
        is_personal = name not in declared or pii in ("contact", "free_text")
        if value and is_subject and is_personal:
            erased[name] = ERASED
        else:
            erased[name] = eraser.text(value) if isinstance(value, str) else value
    return erased
