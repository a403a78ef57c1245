"""How a day's records travel: late, twice, glued together, cut off.

A record lands in the folder of the day on which it was received, in a file
named for the day of the visit, so that no two days ever write the same file.
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
from churn.demo.visits import Events, visit

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
        Records written, and the rows of ``truth/broken_records.csv.gz``.
    """
    events = visit(settings, company, lifecycle, day)
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
    spoiled = _spoil(records, received, kinds, order, events, event_ids, random, truth)
    _tell_of_clocks_and_delays(events, event_ids, received, kinds, truth)
    return _write(settings, day, clean, spoiled, out), truth.rows


def _clean_lines(
    records: list[str],
    received: np.ndarray,
    kinds: np.ndarray,
    order: np.ndarray,
    settings: Settings,
) -> list[tuple[int, str]]:
    """Time of receipt and line of every record that nothing befalls."""
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


def _spoil(
    records: list[str],
    received: np.ndarray,
    kinds: np.ndarray,
    order: np.ndarray,
    events: Events,
    event_ids: list[str],
    random: np.random.Generator,
    truth: _Truth,
) -> list[_Record]:
    """The records that something befalls, in order of their own receipt."""
    delivered: list[_Record] = []
    glued: _Record | None = None
    is_hopeless = _has_hopeless_clock(events)
    for row in order[kinds[order] >= 0].tolist():
        kind = dirt.KINDS[kinds[row]]
        tracker, at = int(events.tracker[row]), int(received[row])
        record = records[row]
        again_at = at
        if kind.kind == "delivered_again_later":
            seconds = np.exp(random.uniform(0.0, np.log(2.5e6)))
            again_at += 1 + int(seconds * 1_000)
        outcome = dirt.REJECT if is_hopeless[row] else kind.outcome
        truth.tell(kind.kind, event_ids[row], tracker, again_at, outcome)
        if kind.spoil is not None:
            delivered.append(_Record(at, kind.spoil(record, tracker, random)))
        elif kind.kind == "back_to_back":
            # Two share a record; an odd one out gets a `}{` inside a text.
            # One that is not received in time would take its partner along.
            if at > truth.settings.snapshot_ms:
                continue
            if glued is None:
                glued = _Record(at, record)
            else:
                gap = str(random.choice(["", "", "\n"]))
                together = glued.payload + gap + record
                delivered.append(_Record(at, together))
                glued = None
        elif kind.kind == "delivered_again_identical":
            delivered += [_Record(at, record)] * 2
        elif kind.kind == "delivered_again_later":
            delivered += [_Record(at, record), _Record(again_at, record)]
        else:
            delivered.append(_Record(at, record, is_envelope_broken=True))
    if glued is not None:
        again = _braces_between(glued.payload)
        delivered.append(_Record(glued.received_ms, again))
    return delivered


def _braces_between(record: str) -> str:
    """A record and, glued to it, an object that has ``}{`` inside a text.

    The second object names no event: it is rejected, the first is an event.
    """
    return record + '{"note":"}{ is no boundary here"}'


def _tell_of_clocks_and_delays(
    events: Events,
    event_ids: list[str],
    received: np.ndarray,
    kinds: np.ndarray,
    truth: _Truth,
) -> None:
    """Note records that are well-formed, but with an odd time or a late one."""
    is_hopeless = _has_hopeless_clock(events)
    for row in np.flatnonzero((events.clock_off_ms != 0) & (kinds < 0)).tolist():
        outcome = dirt.REJECT if is_hopeless[row] else dirt.EVENT
        truth.tell(
            dirt.CLOCK_YEARS_OFF,
            event_ids[row],
            int(events.tracker[row]),
            int(received[row]),
            outcome,
        )
    late = (received - events.happened_ms > _LATE_MS) & (kinds < 0)
    for row in np.flatnonzero(late & (events.clock_off_ms == 0)).tolist():
        truth.tell(
            dirt.LATE,
            event_ids[row],
            int(events.tracker[row]),
            int(received[row]),
            dirt.EVENT,
        )


def _has_hopeless_clock(events: Events) -> np.ndarray:
    """Whether nobody can tell when it happened: ``(n_events,)`` booleans.

    So it is on a device whose clock was reset, and that does not say when it
    sent the record.
    """
    tells_sent = (events.tracker == 1) | (events.tracker == 2)
    return (events.clock_off_ms < -20 * 365 * DAY_MS) & ~tells_sent


class _Truth:
    """Collects the rows of ``truth/broken_records.csv.gz`` of one day."""

    def __init__(self, settings: Settings, day: int) -> None:
        self.settings = settings
        self.day = day
        self.rows: list[str] = []

    def tell(
        self, kind: str, event_id: str, tracker: int, received_ms: int, outcome: str
    ) -> None:
        """Note one record, if it has arrived by the end of the simulation."""
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
    spoiled: list[_Record],
    out: Path,
) -> int:
    lines = clean + [
        (record.received_ms, _line(record))
        for record in spoiled
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
    # The writer died in the middle of the line.
    return line[: len(line) * 2 // 3] if record.is_envelope_broken else line


def _file_name(settings: Settings, day: int, received_ms: int) -> str:
    received_day = settings.day_text((received_ms - settings.start_ms) // DAY_MS)
    return f"clickstream/dt={received_day}/part-{settings.day_text(day)}.jsonl.gz"


def _iso(milliseconds: np.ndarray) -> list[str]:
    return np.datetime_as_string(
        milliseconds.astype("datetime64[ms]"), unit="ms"
    ).tolist()
