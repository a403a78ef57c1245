"""Write the landing zone of a demo company, many days in parallel."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from churn.demo import batches, delivery, truth
from churn.demo.company import Company, generate_company
from churn.demo.landing_zone import TRUTH, compress, csv_bytes
from churn.demo.lifecycle import OPEN, Lifecycle, simulate_lifecycle
from churn.demo.sales import SalesTeam
from churn.demo.settings import Settings

Progress = Callable[[str, int, int], None]


class _Worker:
    """The state that one process needs to generate any day."""

    def __init__(self, settings: Settings, state: Path, out: Path) -> None:
        self.settings = settings
        self.out = out
        self.company: Company = generate_company(settings)
        self.lifecycle = Lifecycle.load(state)

    def make_day(self, day: int) -> tuple[int, list[str], list[str]]:
        """Write one day of all sources; return its record count and truth rows."""
        arguments = (self.settings, self.company, self.lifecycle, day)
        if day < self.settings.days:
            batches.write_crm_batch(*arguments, self.out)
            batches.write_invoices(*arguments, self.out)
            batches.write_calls(*arguments, self.out)
        count, broken = delivery.deliver_day(*arguments, self.out)
        return count, broken, truth.hazard_rows(*arguments)


_worker: _Worker | None = None


def _start_worker(settings: Settings, state: Path, out: Path) -> None:
    global _worker
    _worker = _Worker(settings, state, out)


def _make_day(day: int) -> tuple[int, list[str], list[str]]:
    assert _worker is not None
    return _worker.make_day(day)


def generate(
    settings: Settings,
    out: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write a landing zone into the folder ``out``, which must not exist.

    The folder appears only when all files are written, so an interrupted run leaves
    no incomplete landing zone.

    Args:
        settings: The company to generate.
        out: Folder to write.
        workers: Number of processes; by default one per core. The output does not
            depend on it.
        progress: Called with a step's name, the number of parts done, and the total.

    Returns:
        The number of clickstream records written.
    """
    workers = min(workers or os.cpu_count() or 1, settings.days + 1)
    report_progress = progress or (lambda *_: None)
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".churn-demo-") as name:
            state = Path(name)
            company = generate_company(settings)
            report_days = partial(report_progress, "accounts simulated, by day")
            sales = (
                None
                if settings.sales_from_day is None
                else SalesTeam(settings, company)
            )
            lifecycle = simulate_lifecycle(settings, company, state, report_days, sales)
            lifecycle.save(state)
            records = _write_days(settings, state, unfinished, workers, report_progress)
            if sales is not None:
                sales.write(unfinished, lifecycle.state, OPEN)
        _write_visitors(settings, company, unfinished)
        description = json.dumps(asdict(settings), default=str, indent=2)
        (unfinished / "demo.json").write_text(description + "\n")
        if out.exists():
            out.rmdir()
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return records


def _write_days(
    settings: Settings, state: Path, out: Path, workers: int, report_progress: Progress
) -> int:
    """Write all days, and the morning after the last day."""
    days = range(settings.days + 1)
    (out / TRUTH).mkdir()
    records = 0
    with (
        open(out / TRUTH / "broken_records.csv.gz", "wb") as broken_file,
        open(out / TRUTH / "monthly_hazard.csv.gz", "wb") as hazard_file,
    ):
        broken_file.write(compress(csv_bytes(delivery.TRUTH_HEADER, [])))
        hazard_file.write(compress(csv_bytes(truth.HAZARD_HEADER, [])))
        for done, (count, broken, hazard) in enumerate(
            _generate_days(settings, state, out, workers, days), start=1
        ):
            records += count
            for file, rows in ((broken_file, broken), (hazard_file, hazard)):
                if rows:
                    file.write(compress("\n".join([*rows, ""]).encode()))
            report_progress("days", done, len(days))
    return records


def _generate_days(
    settings: Settings, state: Path, out: Path, workers: int, days: Iterable[int]
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the days in order, generated in this process or in several."""
    if workers == 1:
        worker = _Worker(settings, state, out)
        yield from map(worker.make_day, days)
        return
    # Use spawn, because a fork would copy the caller's threads.
    with _ctrl_c_ignored():
        pool = multiprocessing.get_context("spawn").Pool(
            workers, initializer=_start_worker, initargs=(settings, state, out)
        )
    with pool:
        yield from pool.imap(_make_day, days, chunksize=2)


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Start processes that ignore Ctrl-C; this process ends them.

    Otherwise each would print a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _write_visitors(settings: Settings, company: Company, out: Path) -> None:
    with open(out / TRUTH / "visitors.csv.gz", "wb") as file:
        file.write(compress(csv_bytes(truth.VISITORS_HEADER, [])))
        for rows in truth.visitor_rows(settings, company):
            file.write(compress("\n".join([*rows, ""]).encode()))
