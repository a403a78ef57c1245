"""Mutated records: the build succeeds, and every record is accounted for.

`make test` mutates a few thousand records. For a longer run set their number:

    CHURN_MUTATED_RECORDS=100000 pytest tests/dbt/test_clickstream_mutations.py
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pandas as pd
import pytest

from tests.dbt.test_clickstream_scenarios import SCENARIOS
from tests.support.project import NO_UNIT_TESTS, DbtProject

COUNT = int(os.environ.get("CHURN_MUTATED_RECORDS", "4000"))
SEED = int(os.environ.get("CHURN_MUTATION_SEED", "20250301"))
# Each record has a unique time of receipt, which identifies its objects.
FIRST_RECEIPT = datetime(2025, 10, 1)
APART = timedelta(seconds=7)
MODELS = (
    "+stg_clickstream__events",
    "+stg_clickstream__rejects",
    "+clickstream_daily_counts",
    "+clickstream_field_profile",
    "every_raw_record_is_processed",
    "no_raw_record_is_lost",
)

# Records that say when they were received are left out, because these tests find a
# record by its time of receipt.
VALID = [
    record.encode()
    for scenario in SCENARIOS
    for _, record in scenario.records
    if record and record.startswith("{") and '"receivedAt"' not in record
]
# Tokens that break parsers of JSON, its dialects, UTF-8, numbers and times.
TOKENS = [
    *(bytes([byte]) for byte in b"{}[]\"':,\\/-+.0eEnNtfiI \t\n\r\0\x0b\x1f\x7f"),
    *(b"NaN", b"-Infinity", b"nan", b"None", b"True", b"undefined", b"null", b"0x1F"),
    *(b"}{", b'}"{', b"}\n{", b"},{", b",}", b",]", b"[]", b"{}", b'""', b"''", b"/*"),
    *(b"1e999", b"-1e999", b"9" * 400, b"0." + b"0" * 400 + b"1", b"1740823445123456"),
    *(b"\\ud800", b"\\udc00", b"\\u0000", b"\\u007b", b"\\x41", b"\\", b'\\"'),
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x9b", b"\xef\xbb\xbf", b"\xc0\xaf"),
    *("é🛏\u2028\u00a0\u200b".encode(), b"%s", b"'; drop table raw_events; --"),
    *(b'{"key":"a","value":{"string_value":"b"}}', b'"[{\\"a\\":1}]"'),
    *(b'"9999-12-31T23:59:60+99:99"', b'"0000-00-00"', b'"infinity"', b"true"),
]

Mutation = Callable[[bytes, random.Random], bytes]


def flip_bytes(record: bytes, draw: random.Random) -> bytes:
    flipped = bytearray(record)
    for _ in range(draw.choice([1, 1, 1, 2, 8])):
        if flipped:
            flipped[draw.randrange(len(flipped))] ^= draw.randrange(1, 256)
    return bytes(flipped)


def cut(record: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(record) + 1)
    return draw.choice([record[:place], record[place:]])


def remove_a_part(record: bytes, draw: random.Random) -> bytes:
    start, end = sorted(draw.randrange(len(record) + 1) for _ in range(2))
    return record[:start] + record[end:]


def repeat_a_part(record: bytes, draw: random.Random) -> bytes:
    start, end = sorted(draw.randrange(len(record) + 1) for _ in range(2))
    return record[:end] + record[start:]


def splice(record: bytes, draw: random.Random) -> bytes:
    other = draw.choice(VALID)
    return (
        record[: draw.randrange(len(record) + 1)]
        + other[draw.randrange(len(other) + 1) :]
    )


def insert_a_token(record: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(record) + 1)
    return record[:place] + draw.choice(TOKENS) + record[place:]


def replace_a_value(record: bytes, draw: random.Random) -> bytes:
    parts = record.split(b":")
    place = draw.randrange(len(parts))
    after = parts[place].find(b",")
    parts[place] = draw.choice(TOKENS) + (parts[place][after:] if after >= 0 else b"")
    return b":".join(parts)


def put_back_to_back(record: bytes, draw: random.Random) -> bytes:
    between = draw.choice([b"", b"", b"\n", b",", b" ", b"\x1e", b"x"])
    return record + between + draw.choice(VALID)


def put_in_a_text(record: bytes, draw: random.Random) -> bytes:
    text = json.dumps(record.decode("utf-8", "replace"))
    return draw.choice([text, f'{{"data":{text}}}', f'{{"a":[{text}]}}']).encode()


def change_quotes(record: bytes, draw: random.Random) -> bytes:
    return record.replace(b'"', draw.choice([b"'", b"", b'\\"', "“".encode()]))


def nest(record: bytes, draw: random.Random) -> bytes:
    depth = draw.choice([1, 20, 100, 100, 127, 128, 199, 200, 300, 1_200])
    opening, closing = draw.choice([(b'{"d":', b"}"), (b"[", b"]"), (b"{'d':", b"}")])
    nested = opening * depth + draw.choice([b"1", b"", record]) + closing * depth
    return draw.choice([nested, b'{"deep":' + nested + b"," + record[1:]])


MUTATIONS: list[Mutation] = [
    flip_bytes,
    flip_bytes,
    cut,
    remove_a_part,
    repeat_a_part,
    splice,
    insert_a_token,
    insert_a_token,
    replace_a_value,
    replace_a_value,
    put_back_to_back,
    put_in_a_text,
    change_quotes,
    nest,
]


def mutated(number: int, draw: random.Random) -> bytes:
    """Return a valid record of any tracker with one to three mutations."""
    record = draw.choice(VALID).replace(
        b"1740823445", str(1740823445 + number).encode()
    )
    for key in (b'"event_id":"', b'"id":"', b'"messageId":"'):
        # Every twentieth identifier is repeated.
        record = record.replace(key, key + str(number - number % 20 // 19).encode())
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        if len(record) < 100_000:
            record = draw.choice(MUTATIONS)(record, draw)
    return record


def giants() -> list[bytes]:
    """Return records above a megabyte, with ten thousand keys or deep nesting."""
    event = b'"event":"x","ts":1740823445,"user_id":"u"'
    keys = json.dumps({f"key {number}": number for number in range(10_000)}).encode()
    odd = json.dumps(
        {f"\"'\\{chr(number)}[]": number for number in range(500)}
    ).encode()
    mebibyte = b"x" * 1_048_576
    return [
        b"{" + event + b',"page":"' + mebibyte + b'"}',
        b"{" + event + b',"page":"' + mebibyte,
        b"{'page':'" + mebibyte + b"',}",
        b'{"' + mebibyte + b'":1,' + event + b"}",
        b"{" + event + b"," + keys[1:],
        keys[:-1] + b",}",
        odd[:-1] + b"," + event + b"}",
        (b"{" + event + b"}") * 1_000,
        b"[" * 100_000,
        b'{"event":' * 3_000 + b"1" + b"}" * 3_000,
        b'{"event":' * 100_000 + b"1" + b"}" * 100_000,
        b"{" + event + b',"d":' + b"[" * 100 + b"]" * 100 + b"}",
        b"{" + event + b',"d":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b"-" * 200_000,
        b"\0" * 1_000,
        b"\xff" * 1_000,
        b"",
    ]


@pytest.fixture(scope="module")
def payloads() -> list[str]:
    """Provide the records as loaded: bytes that are not UTF-8 are U+FFFD."""
    draw = random.Random(SEED)
    records = [mutated(number, draw) for number in range(COUNT)]
    return [record.decode("utf-8", "replace") for record in [*records, *giants()]]


@pytest.fixture(scope="module")
def mutations(module_project: DbtProject, payloads: list[str]) -> DbtProject:
    """Provide the built mutations. A failing build fails all tests."""
    project = module_project
    project.create_raw_tables()
    frame = pd.DataFrame(
        {
            "payload": payloads,
            "received_at": [
                FIRST_RECEIPT + number * APART for number in range(len(payloads))
            ],
            "source_file": [f"file {number % 5}" for number in range(len(payloads))],
        }
    )
    project.write("raw.raw_events", frame.astype({"received_at": "datetime64[us]"}))
    project.dbt("build", *NO_UNIT_TESTS, "-s", *MODELS, load_demo_seeds=False)
    return project


def is_strict_object(record: str) -> bool:
    """Return whether Python's parser reads a record as a JSON object."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return isinstance(json.loads(record, parse_constant=refuse), dict)
    except (ValueError, RecursionError):
        return False


def test_every_record_is_accounted_for(
    mutations: DbtProject, payloads: list[str]
) -> None:
    """Records are matched by time of receipt, without the project's own counts."""
    assert (
        mutations.query(
            """
        with objects as (
            select
                received_at,
                count(*) as objects,
                max(object_number) as last_number,
                count(distinct object_number) as numbers
            from base_clickstream__records group by 1
        )
        select raw.received_at from raw.raw_events as raw
        full join objects on raw.received_at = objects.received_at
        where
            raw.received_at is null or objects.received_at is null
            or objects.last_number <> objects.objects
            or objects.numbers <> objects.objects
        """
        )
        == []
    )
    events, duplicates, rejects, objects = mutations.query(
        "select sum(events), sum(duplicates), sum(rejects), sum(objects) "
        "from clickstream_daily_counts"
    )[0]
    assert events + duplicates + rejects == objects >= len(payloads)
    assert (events, rejects) == (
        mutations.query("select count(*) from stg_clickstream__events")[0][0],
        mutations.query("select count(*) from stg_clickstream__rejects")[0][0],
    )
    # The mutations are useful only if every outcome is common.
    assert min(events, rejects) > len(payloads) / 10
    assert duplicates > 0


def test_every_event_has_its_first_time_of_receipt(mutations: DbtProject) -> None:
    assert mutations.query(
        """
        select count(*) from stg_clickstream__events as events
        full join (
            select event_id, visitor_id, min(received_at) as received_at
            from base_clickstream__records
            where reject_reason is null group by 1, 2
        ) as versions using (event_id, visitor_id)
        where events.received_at is distinct from versions.received_at
        """
    ) == [(0,)]


def test_a_reject_keeps_the_received_text(mutations: DbtProject) -> None:
    """The complete record if it is one object, else the part within it."""
    assert (
        mutations.query(
            """
        with objects as (
            select *, count(*) over (partition by received_at) as objects
            from base_clickstream__records
        )
        select raw.payload, objects.payload from objects
        inner join raw.raw_events as raw on raw.received_at = objects.received_at
        where
            objects.reject_reason is not null
            and case
                when objects.objects = 1
                    then objects.payload is distinct from raw.payload
                else not coalesce(contains(raw.payload, objects.payload), false)
            end
        limit 3
        """
        )
        == []
    )


def test_strict_path_accepts_only_what_a_strict_parser_accepts(
    mutations: DbtProject,
) -> None:
    """Strict records are JSON in Python too, and JSON is never `not_json`."""
    rows = mutations.query(
        """
        select
            raw.payload,
            bool_or(not parsed.needs_repair),
            bool_or(records.is_repaired),
            bool_or(records.reject_reason = 'not_json'),
            count(*)
        from raw.raw_events as raw
        inner join base_clickstream__parsed_records as parsed
            on raw.received_at = parsed.received_at
        inner join base_clickstream__records as records
            on raw.received_at = records.received_at
        group by raw.received_at, raw.payload
        """
    )
    strict = 0
    for payload, is_strict, is_repaired, is_not_json, objects in rows:
        if is_strict_object(payload):
            strict += 1
            assert not is_not_json, payload
            assert objects == 1, payload
            assert not is_repaired or "\\ud" in payload.lower(), payload
        else:
            # DuckDB's parser accepts more spellings of NaN and infinity.
            assert not is_strict or "nan" in payload.lower() or "inf" in payload.lower()
    assert strict > len(rows) / 10


def test_strict_and_repair_path_agree(
    mutations: DbtProject, project: DbtProject
) -> None:
    """A strict record gives the same row in the repair path.

    Exceptions are decimal numbers and -0, which DuckDB formats differently, and
    short records, which the strict path accepts at any depth.
    """
    strict = [
        payload
        for (payload,) in mutations.query(
            """
            select raw.payload from raw.raw_events as raw
            inner join base_clickstream__parsed_records as parsed
                on raw.received_at = parsed.received_at
            where not parsed.needs_repair
            """
        )
        if is_strict_object(payload)
        and not re.search(r"[0-9][.eE][0-9+-]|[:,[]\s*-0\b", payload)
        and payload.count("{") + payload.count("[") <= 200
    ]
    assert len(strict) > COUNT / 20
    project.create_raw_tables()
    for source_file, prefix in [("strict", ""), ("repair", "\ufeff")]:
        frame = pd.DataFrame(
            {
                "payload": [prefix + payload for payload in strict],
                "received_at": [
                    FIRST_RECEIPT + number * APART for number in range(len(strict))
                ],
                "source_file": source_file,
            }
        )
        project.write("raw.raw_events", frame.astype({"received_at": "datetime64[us]"}))
    project.dbt("run", "-s", "+base_clickstream__records", load_demo_seeds=False)
    assert project.query(
        "select needs_repair, count(*) from base_clickstream__parsed_records "
        "group by 1 order by 1"
    ) == [(False, len(strict)), (True, len(strict))]
    columns = (
        "* exclude (payload, source_file, processed_at, object_number, is_repaired)"
    )
    assert (
        project.query(
            f"""
            (select {columns} from base_clickstream__records
            where source_file = 'strict'
            except all
            select {columns} from base_clickstream__records
            where source_file = 'repair')
            limit 3
            """
        )
        == []
    )
