"""Makes up the raw data of a small streaming service: ``python make_data.py``.

Writes the app's clickstream as files under ``data/clicks`` and the daily export of
subscribers into ``lake.subscribers`` of the DuckDB file. Subscribers lose interest
before they cancel; some come back within days, some after months.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
from datetime import date, datetime, time, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

FIRST_DAY = date(2025, 1, 1)
DAYS = 210
SUBSCRIBERS = 300
TIERS = {"mobile": 5.99, "standard": 9.99, "family": 14.99}
GENRES = ["drama", "comedy", "documentary", "sport"]
EPOCH = datetime(1970, 1, 1)


def main(arguments: list[str] | None = None) -> None:
    """Make the same data every time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data"))
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("CHURN_DUCKDB_PATH", "streaming.duckdb")),
    )
    options = parser.parse_args(arguments)

    chance = random.Random(20250101)
    subscribers = [_subscriber(chance, number) for number in range(SUBSCRIBERS)]
    records: dict[date, list[str]] = {
        FIRST_DAY + timedelta(days=day): [] for day in range(DAYS)
    }
    for subscriber in subscribers:
        for happened, received, record in _life(chance, subscriber):
            record["id"] = f"{chance.getrandbits(64):016x}"
            record["t"], record["r"] = _millis(happened), _millis(received)
            line = json.dumps(record, separators=(",", ":"))
            day = received.date()
            if day not in records:
                continue
            roll = chance.random()
            # Now and then a record is cut off, or comes twice.
            records[day].append(line[: len(line) // 2] if roll < 0.002 else line)
            if roll > 0.99:
                records[day].append(line)

    folder = options.out / "clicks"
    folder.mkdir(parents=True, exist_ok=True)
    for day, lines in records.items():
        _write(folder, day, "".join(line + "\n" for line in lines).encode())
    _export(options.database, subscribers)
    count = sum(len(lines) for lines in records.values())
    print(f"{count:,} records in {folder}")
    print(f"{SUBSCRIBERS} subscribers in {options.database}")


def _subscriber(chance: random.Random, number: int) -> dict:
    return {
        "subscriber": f"s{number:04d}",
        "joined_on": FIRST_DAY + timedelta(days=chance.randrange(-300, DAYS - 20)),
        "tier": chance.choice(list(TIERS)),
        "country": chance.choice(["AT", "DE", "NL"]),
        "genre": chance.choice(GENRES),
        "keenness": chance.uniform(0.25, 0.9),
    }


def _life(chance: random.Random, subscriber: dict):
    """What a subscriber does, day by day: when, received when, and the record."""
    uid = subscriber["subscriber"]
    is_customer, interest, away_until = True, 1.0, None
    is_fading = False
    for number in range(DAYS):
        day = FIRST_DAY + timedelta(days=number)
        if day < subscriber["joined_on"]:
            continue
        noon = datetime.combine(day, time(chance.randrange(6, 23), 0))
        if not is_customer:
            if day == away_until:
                is_customer, is_fading, interest = True, False, 1.0
                yield _said(chance, noon, {"n": "sub_start", "uid": uid})
            continue
        is_fading = is_fading or chance.random() < 0.006
        if is_fading:
            interest *= 0.93
            if interest < 0.35 and chance.random() < 0.15:
                is_customer = False
                comes_back = chance.choice([None, None, None, 0, 5, 12, 40, 70])
                away_until = (
                    None if comes_back is None else day + timedelta(days=comes_back)
                )
                yield _said(chance, noon, {"n": "sub_cancel", "uid": uid})
                if comes_back == 0:
                    is_customer, is_fading, interest = True, False, 1.0
                    later = noon + timedelta(minutes=20)
                    yield _said(chance, later, {"n": "sub_start", "uid": uid})
                continue
        if chance.random() < subscriber["keenness"] * interest:
            yield from _visit(chance, subscriber, noon, is_fading)


def _visit(chance: random.Random, subscriber: dict, start: datetime, is_fading: bool):
    uid = subscriber["subscriber"]
    device = chance.choice(["tv", "tv", "phone", "browser", "fridge", None])
    moment = start
    yield _said(chance, moment, {"n": "app_open", "uid": uid, "dv": device})
    for _ in range(chance.randrange(1, 4)):
        moment += timedelta(minutes=chance.randrange(1, 25))
        yield _said(
            chance,
            moment,
            {"n": "screen", "uid": uid, "dv": device, "screen": "/browse"},
        )
        genre = subscriber["genre"] if chance.random() < 0.7 else chance.choice(GENRES)
        yield _said(
            chance,
            moment + timedelta(seconds=30),
            {
                "n": "play",
                "uid": uid,
                "dv": device,
                "screen": f"/title/{chance.randrange(500)}",
                "genre": genre.title(),
                "secs": chance.randrange(60, 5400),
            },
        )
    if not is_fading and chance.random() < 0.1:
        yield _said(chance, moment, {"n": "upgrade_seen", "uid": uid, "dv": device})
        if chance.random() < 0.3:
            yield _said(chance, moment, {"n": "upgrade_tap", "uid": uid, "dv": device})


def _said(
    chance: random.Random, happened: datetime, record: dict
) -> tuple[datetime, datetime, dict]:
    """A record with its receipt: mostly at once, now and then a day late."""
    late = timedelta(days=1) if chance.random() < 0.01 else timedelta(seconds=2)
    return happened, happened + late, record


def _millis(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _write(folder: Path, day: date, content: bytes) -> None:
    """One file a day: packed one way or another, or not at all."""
    kind = day.toordinal() % 3
    name = f"{day}.jsonl" + ("", ".gz", ".zst")[kind]
    if kind == 1:
        content = gzip.compress(content, mtime=0)
    elif kind == 2:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(content)
        content = sink.getvalue().to_pybytes()
    (folder / name).write_bytes(content)


def _export(database: Path, subscribers: list[dict]) -> None:
    """The daily export: everybody who ever joined, as of that day."""
    rows = pd.DataFrame(
        [
            {
                "exported_on": day,
                "exported_at": datetime.combine(day, time(3)) + timedelta(days=1),
                "subscriber": subscriber["subscriber"],
                "joined_on": subscriber["joined_on"],
                "tier": subscriber["tier"],
                "price_euros": TIERS[subscriber["tier"]],
                "country": subscriber["country"],
            }
            for day in (FIRST_DAY + timedelta(days=number) for number in range(DAYS))
            for subscriber in subscribers
            if subscriber["joined_on"] <= day
        ]
    )
    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema if not exists lake")
        connection.register("export", rows)
        connection.execute(
            "create or replace table lake.subscribers as select * from export"
        )


if __name__ == "__main__":
    main()
