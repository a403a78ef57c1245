"""The journal of `churn daily`, its lock, and the table ``pipeline_runs``.

The journal is a file of JSON lines in the state folder. Each line is a part of one
run, such as a finished step, and is synced to the disk before the run goes on. A run
that was killed therefore still has its line. ``pipeline_runs`` is made of the journal.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from churn.config import Project, UserError

if TYPE_CHECKING:
    import pandas as pd

# The environment variable with which a build finds the journal.
JOURNAL_VARIABLE = "CHURN_RUN_JOURNAL"
# Statuses of a run that has ended.
ENDED = ("ok", "stale", "failed", "interrupted", "refused")
SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("started_at", pa.timestamp("us")),
        ("ended_at", pa.timestamp("us")),
        ("as_of_date", pa.date32()),
        ("status", pa.string()),
        ("failed_step", pa.string()),
        ("rows_clickstream", pa.int64()),
        ("rows_crm", pa.int64()),
        ("rows_billing", pa.int64()),
        ("rows_support", pa.int64()),
        ("nodes_success", pa.int64()),
        ("nodes_warn", pa.int64()),
        ("nodes_error", pa.int64()),
        ("nodes_skipped", pa.int64()),
        ("seconds", pa.float64()),
        ("model_version", pa.string()),
        ("alerts", pa.string()),
    ]
)
_DUCKDB_TYPES = {
    "string": "varchar",
    "timestamp[us]": "timestamp",
    "date32[day]": "date",
    "int64": "bigint",
    "double": "double",
}


def state_folder(project: Project) -> Path:
    """Return the folder of lock, journal, logs and sent alerts.

    It is ``CHURN_STATE_DIR``, by default ``state/NAME`` in the project's folder, where
    NAME is that of the DuckDB file or of the target.
    """
    given = os.environ.get("CHURN_STATE_DIR")
    if given:
        return Path(os.path.expanduser(given)).absolute()
    name = project.database.stem if project.adapter == "duckdb" else project.target
    return project.work_dir / "state" / name


@contextlib.contextmanager
def run_lock(folder: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a project's runs; the system frees it when the process ends.

    Raises:
        UserError: Another run holds it.
    """
    import fcntl

    path = folder / "daily.lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise UserError(
                f"Another `churn daily` is running ({holder}): wait until it has "
                "ended, then run again."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, run {run_id}\n")
        file.flush()
        yield


def is_running(folder: Path) -> bool:
    """Return whether a run holds the lock."""
    import fcntl

    try:
        with (folder / "daily.lock").open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def add_to_run(run: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Add values to a run in place; a mapping is merged with the earlier one."""
    for key, value in values.items():
        is_merged = isinstance(value, dict) and isinstance(run.get(key), dict)
        run[key] = {**run[key], **value} if is_merged else value


class Journal:
    """The runs of one project.

    Args:
        folder: The state folder; created when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "runs.jsonl"

    def write(self, run_id: str, **values: Any) -> None:
        """Append a part of a run and sync it to the disk.

        Args:
            run_id: The run.
            values: Its values; a mapping is merged with the earlier one.

        Raises:
            OSError: The disk is full, or the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"run_id": run_id, **values}, default=str)
        # One write of less than a page is not mixed with those of other processes.
        # The line break before it ends a line that a killed process left.
        with self.path.open("ab", buffering=0) as file:
            needs_break = file.tell() and not self._ends_with_break()
            file.write((("\n" if needs_break else "") + line + "\n").encode())
            os.fsync(file.fileno())

    def _ends_with_break(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, the latest start last; damaged lines are skipped."""
        runs: dict[str, dict[str, Any]] = {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        for line in text.splitlines():
            try:
                part = json.loads(line)
                run = runs.setdefault(str(part["run_id"]), {})
            except (ValueError, TypeError, KeyError):
                continue
            add_to_run(run, part)
        started = [run for run in runs.values() if run.get("started_at")]
        return sorted(started, key=lambda run: str(run["started_at"]))

    def get(self, run_id: str) -> dict[str, Any]:
        """Return one run, empty if it has not started."""
        return next((run for run in self.runs() if run["run_id"] == run_id), {})

    def last_run(self) -> dict[str, Any] | None:
        """Return the run that started last, without refused ones."""
        runs = [run for run in self.runs() if run.get("status") != "refused"]
        return runs[-1] if runs else None

    def built_at(self) -> datetime | None:
        """Return until when arrivals are in the tables, by the last build, in UTC."""
        times = [
            str(run["loaded_through"])
            for run in self.runs()
            if run.get("loaded_through")
            and ((run.get("steps") or {}).get("build") or {}).get("status") == "ok"
        ]
        return datetime.fromisoformat(times[-1]).replace(tzinfo=UTC) if times else None

    def end_interrupted(self, except_run: str | None = None) -> list[str]:
        """Mark runs that were killed; call it with the lock held.

        Returns:
            Their ids.
        """
        killed = [
            str(run["run_id"])
            for run in self.runs()
            if run.get("status") == "running" and run["run_id"] != except_run
        ]
        for run_id in killed:
            self.write(run_id, status="interrupted")
        return killed


def _row(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a run in ``pipeline_runs``."""
    rows, nodes = run.get("rows") or {}, run.get("nodes") or {}

    def moment(key: str) -> datetime | None:
        text = run.get(key)
        if not text:
            return None
        parsed = datetime.fromisoformat(str(text))
        return parsed.astimezone(UTC).replace(tzinfo=None) if parsed.tzinfo else parsed

    as_of = run.get("as_of_date")
    return {
        "run_id": run["run_id"],
        "started_at": moment("started_at"),
        "ended_at": moment("ended_at"),
        "as_of_date": datetime.fromisoformat(as_of).date() if as_of else None,
        "status": run.get("status"),
        "failed_step": run.get("failed_step"),
        **{
            f"rows_{source}": rows.get(source)
            for source in ("clickstream", "crm", "billing", "support")
        },
        **{
            f"nodes_{status}": nodes.get(status)
            for status in ("success", "warn", "error", "skipped")
        },
        "seconds": run.get("seconds"),
        "model_version": run.get("model_version"),
        "alerts": "\n".join(run.get("alerts") or []) or None,
    }


def rows_to_add(existing: pd.DataFrame | None) -> pa.Table:
    """Return the runs of the journal that the table lacks, or has not ended.

    Args:
        existing: The rows of ``pipeline_runs``, if it exists.
    """
    path = os.environ.get(JOURNAL_VARIABLE)
    ended: set[str] = set()
    if existing is not None:
        ended = set(existing.loc[existing["status"].isin(ENDED), "run_id"])
    runs = Journal(Path(path).parent).runs() if path else []
    new = [_row(run) for run in runs if run["run_id"] not in ended]
    return pa.Table.from_pylist(new, schema=SCHEMA)


def store_runs(project: Project, journal: Journal) -> None:
    """Write the journal's runs to ``pipeline_runs`` in a DuckDB file.

    Does nothing if dbt has not created the schema yet.

    Raises:
        UserError: The database is missing, locked or damaged.
        duckdb.Error: It cannot be written.
    """
    from churn.quoting import sql_identifier

    if not project.database.exists():
        return
    table = f"{sql_identifier(project.schema)}.pipeline_runs"
    columns = ", ".join(
        f"{field.name} {_DUCKDB_TYPES[str(field.type)]}" for field in SCHEMA
    )
    with project.connect(read_only=False) as connection:
        connection.execute(f"create table if not exists {table} ({columns})")
        statuses = dict(
            connection.execute(f"select run_id, status from {table}").fetchall()
        )
        rows = pa.Table.from_pylist(
            [
                _row(run)
                for run in journal.runs()
                if statuses.get(run["run_id"]) != run.get("status")
            ],
            schema=SCHEMA,
        )
        if not len(rows):
            return
        connection.register("new_runs", rows)
        connection.execute("begin")
        connection.execute(
            f"delete from {table} where run_id in (select run_id from new_runs)"
        )
        names = ", ".join(SCHEMA.names)
        connection.execute(
            f"insert into {table} ({names}) select {names} from new_runs"
        )
        connection.execute("commit")
