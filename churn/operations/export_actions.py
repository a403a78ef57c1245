"""Export the actions of the web page to the landing zone: ``churn export-actions``.

`churn load` reads the files into ``raw_retention_actions``.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from churn.config import UserError
from churn.ingest.file_readers import RAW_TABLES

# The columns of an exported action, those of the raw table.
COLUMNS = next(
    tuple(table.columns)
    for table in RAW_TABLES
    if table.name == "raw_retention_actions"
)


class StoredActions(Protocol):
    """A store of actions that numbers them in the order in which they were stored."""

    def rows_after(self, sequence: int, limit: int) -> Sequence[Any]:
        """Return rows with ``sequence`` and the columns, in the order of storage."""


def export_actions(
    store: StoredActions, folder: Path, rows_per_file: int = 10_000
) -> list[Path]:
    """Write new actions as JSON-lines files, which are never changed afterwards.

    Files are ``actions/dt=YYYY-MM-DD/part-FIRST-LAST.jsonl.gz`` with the sequence
    numbers of their first and last row. A file that exists is not written again, so
    every action is in exactly one file.

    Args:
        store: The store of actions, such as `churn.web.actions.ActionStore`.
        folder: The landing zone.
        rows_per_file: Maximum number of rows in a file.

    Returns:
        The new files.

    Raises:
        UserError: The landing zone has files of another store, whose numbers would hide
            this store's actions.
    """
    root = folder / "actions"
    written = {
        int(path.name.split("-")[2].split(".")[0]): path
        for path in root.glob("dt=*/part-*.jsonl.gz")
    }
    written_through = max(written, default=0)
    if written:
        _check_store(store, written_through, written[written_through])
    files = []
    while rows := store.rows_after(written_through, rows_per_file):
        day = rows[0].recorded_at[:10]
        # Only a run of rows without a gap, in stored order.
        run = rows[
            : next(
                (i for i, r in enumerate(rows) if r.recorded_at[:10] != day), len(rows)
            )
        ]
        path = (
            root
            / f"dt={day}"
            / (f"part-{run[0].sequence:012d}-{run[-1].sequence:012d}.jsonl.gz")
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
                for line in _lines(run):
                    packed.write(line)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        files.append(path)
        written_through = run[-1].sequence
    return files


def _check_store(store: StoredActions, last: int, path: Path) -> None:
    """Check that the last exported row is this store's."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            exported = json.loads(line)["action_id"]
    rows = store.rows_after(last - 1, 1)
    if not rows or (rows[0].sequence, rows[0].action_id) != (last, exported):
        raise UserError(
            f"{path.parent.parent} has the actions of another store: export to another "
            "folder, or restore that store."
        )


def _lines(rows: Sequence[Any]) -> Iterator[bytes]:
    for row in rows:
        values = {name: getattr(row, name) for name in COLUMNS}
        yield json.dumps(values, ensure_ascii=False).encode() + b"\n"
