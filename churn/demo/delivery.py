"""Deliver the records of a day: late, duplicated, concatenated or truncated.

A record is written to the folder of the day on which it was received, in a file named
for the day of the visit, so that two days never write the same file.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from json.encoder import encode_basestring
from pathlib import Path

import numpy as np

from churn.demo import dirt, trackers
from churn.demo.company import Company
from churn.demo.landing_zone import write_gzip
from churn.demo.lifecycle import Lifecycle
from churn.demo.settings import DAY_MS, HOUR_MS, Settings
from churn.demo.visits import Events, simulate_visits

TRUTH_HEADER = "kind,event_id,tracker,received_at,source_file,outcome"
_LATE_MS = 6 * HOUR_MS


@dataclass(frozen=True)
class _Record:
    """One record as delivered."""

    received_ms: int
    payload: str
    is_envelope_broken: bool = False


def deliver_day(
    settings: Settings, company: Company, lifecycle: Lifecycle, day: int, out: Path
) -> tuple[int, list[str]]:
    """Write all clickstream files of one day's visits under ``out``.

    Returns:
        The number of records, and the rows of ``truth/broken_records.csv.gz``.
    """
    events = simulate_visits(settings, company, lifecycle, day)
    records, event_ids = trackers.write_records(settings, company, events, day)
    random = settings.stream("delivery", day)
    received = (
        events.upload_ms
        + 80
        + np.rint(random.exponential(700.0, len(events))).astype(np.int64)
    )
    order = np.argsort(received, kind="stable")
    kinds = dirt.draw_kinds(random, len(events), day, settings.days, settings.dirt)

    clean = _clean_lines(records, received, kinds, order, settings)
    truth = _Truth(settings, day)
    dirty = _dirty_records(
        records, received, kinds, order, events, event_ids, random, truth
    )
    _add_clock_errors_and_delays(events, event_ids, received, kinds, truth)
    return _write(settings, day, clean, dirty, out), truth.rows


def _clean_lines(
    records: list[str],
    received: np.ndarray,
    kinds: np.ndarray,
    order: np.ndarray,
    settings: Settings,
) -> list[tuple[int, str]]:
    """Return arrival time and line of every clean record."""
    arrives = order[(kinds[order] < 0) & (received[order] <= settings.snapshot_ms)]
    return [
        (at, f'{{"received_at":"{text}Z","payload":{encode_basestring(records[row])}}}')
        for row, at, text in zip(
            arrives.tolist(),
            received[arrives].tolist(),
            _iso(received[arrives]),
            strict=True,
        )
    ]


def _dirty_records(
    records: list[str],
    received: np.ndarray,
    kinds: np.ndarray,
    order: np.ndarray,
    events: Events,
    event_ids: list[str],
    random: np.random.Generator,
    truth: _Truth,
) -> list[_Record]:
    """Return the dirty records, in order of arrival."""
    delivered: list[_Record] = []
    pending_record: _Record | None = None
    has_unknown_time = _has_unknown_time(events)
    for row in order[kinds[order] >= 0].tolist():
        kind = dirt.KINDS[kinds[row]]
        tracker, at = int(events.tracker[row]), int(received[row])
        record = records[row]
        arrives_at = at
        if kind.kind == "delivered_again_later":
            seconds = np.exp(random.uniform(0.0, np.log(2.5e6)))
            arrives_at += 1 + int(seconds * 1_000)
        outcome = dirt.REJECT if has_unknown_time[row] else kind.outcome
        truth.add(kind.kind, event_ids[row], tracker, arrives_at, outcome)
        if kind.corrupt is not None:
            delivered.append(_Record(at, kind.corrupt(record, tracker, random)))
        elif kind.kind == "back_to_back":
            # Two records are concatenated. The last one without a partner gets a `}{`
            # inside a text. Skip records after the end of the simulation, because they
            # would delay their partner.
            if at > truth.settings.snapshot_ms:
                continue
            if pending_record is None:
                pending_record = _Record(at, record)
            else:
                gap = str(random.choice(["", "", "\n"]))
                joined = pending_record.payload + gap + record
                delivered.append(_Record(at, joined))
                pending_record = None
        elif kind.kind == "delivered_again_identical":
            delivered += [_Record(at, record)] * 2
        elif kind.kind == "delivered_again_later":
            delivered += [_Record(at, record), _Record(arrives_at, record)]
        else:
            delivered.append(_Record(at, record, is_envelope_broken=True))
    if pending_record is not None:
        joined = _with_braces_in_text(pending_record.payload)
        delivered.append(_Record(pending_record.received_ms, joined))
    return delivered


def _with_braces_in_text(record: str) -> str:
    """Append an object that holds ``}{`` inside a text.

    The second object has no event name, so it is rejected; the first is an event.
    """
    return record + '{"note":"}{ is no boundary here"}'


def _add_clock_errors_and_delays(
    events: Events,
    event_ids: list[str],
    received: np.ndarray,
    kinds: np.ndarray,
    truth: _Truth,
) -> None:
    """Add well-formed records with a wrong clock or a late arrival to the truth."""
    has_unknown_time = _has_unknown_time(events)
    for row in np.flatnonzero((events.clock_off_ms != 0) & (kinds < 0)).tolist():
        outcome = dirt.REJECT if has_unknown_time[row] else dirt.EVENT
        truth.add(
            dirt.CLOCK_YEARS_OFF,
            event_ids[row],
            int(events.tracker[row]),
            int(received[row]),
            outcome,
        )
    late = (received - events.happened_ms > _LATE_MS) & (kinds < 0)
    for row in np.flatnonzero(late & (events.clock_off_ms == 0)).tolist():
        truth.add(
            dirt.LATE,
            event_ids[row],
            int(events.tracker[row]),
            int(received[row]),
            dirt.EVENT,
        )


def _has_unknown_time(events: Events) -> np.ndarray:
    """Return whether the event time cannot be recovered, ``(n_events,)`` booleans.

    This is so if the device's clock was reset and the record has no send time.
    """
    has_sent_at = (events.tracker == 1) | (events.tracker == 2)
    return (events.clock_off_ms < -20 * 365 * DAY_MS) & ~has_sent_at


class _Truth:
    """Collects the rows of ``truth/broken_records.csv.gz`` of one day."""

    def __init__(self, settings: Settings, day: int) -> None:
        self.settings = settings
        self.day = day
        self.rows: list[str] = []

    def add(
        self, kind: str, event_id: str, tracker: int, received_ms: int, outcome: str
    ) -> None:
        """Add one record, if it arrives before the end of the simulation."""
        if received_ms > self.settings.snapshot_ms:
            return
        received_at = _iso(np.array([received_ms]))[0]
        file = _file_name(self.settings, self.day, received_ms)
        self.rows.append(
            f"{kind},{event_id},v{tracker + 1},{received_at}Z,{file},{outcome}"
        )


def _write(
    settings: Settings,
    day: int,
    clean: list[tuple[int, str]],
    dirty: list[_Record],
    out: Path,
) -> int:
    lines = clean + [
        (record.received_ms, _line(record))
        for record in dirty
        if record.received_ms <= settings.snapshot_ms
    ]
    lines.sort(key=lambda line: line[0])
    files: dict[str, list[str]] = defaultdict(list)
    names: dict[int, str] = {}
    for received_ms, line in lines:
        received_day = received_ms // DAY_MS
        if received_day not in names:
            names[received_day] = _file_name(settings, day, received_ms)
        files[names[received_day]].append(line)
    for name, content in files.items():
        text = "\n".join([*content, ""])
        write_gzip(out / name, text.encode("utf-8", "surrogateescape"))
    return len(lines)


def _line(record: _Record) -> str:
    received_at = _iso(np.array([record.received_ms]))[0]
    line = (
        f'{{"received_at":"{received_at}Z",'
        f'"payload":{encode_basestring(record.payload)}}}'
    )
    # The writer stopped in the middle of the line.
    return line[: len(line) * 2 // 3] if record.is_envelope_broken else line


def _file_name(settings: Settings, day: int, received_ms: int) -> str:
    received_day = settings.day_text((received_ms - settings.start_ms) // DAY_MS)
    return f"clickstream/dt={received_day}/part-{settings.day_text(day)}.jsonl.gz"


def _iso(milliseconds: np.ndarray) -> list[str]:
    return np.datetime_as_string(
        milliseconds.astype("datetime64[ms]"), unit="ms"
    ).tolist()
