"""JSON repair accounts for every record and never guesses."""

from __future__ import annotations

import hashlib
import json
import random

import pytest

from churn.ingest.json_repair import split_record

EVENT = '{"event":"x","ts":1740823445,"user_id":"u"}'


def payloads(record: str | None) -> list[object]:
    """Return the objects in a record; a reject reason for each part that is none."""
    return [
        json.loads(part.payload) if part.payload is not None else part.reject_reason
        for part in split_record(record)
    ]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("{'a': 'it\\'s'}", {"a": "it's"}),
        ("{a: 1}", {"a": 1}),
        ('{"a": [1, 2,],}', {"a": [1, 2]}),
        ("{'a': None, 'b': True, 'c': False}", {"a": None, "b": True, "c": False}),
        ("{a: None}", {"a": None}),
        ('{"a": undefined}', {"a": None}),
        ('{"a": NaN, "b": -Infinity, "c": 1}', {"a": None, "b": None, "c": 1}),
        ('{"a": nan}', {"a": None}),
        ('{"a": "\\ud800"}', {"a": "\ufffd"}),
        (EVENT + ",", json.loads(EVENT)),
    ],
)
def test_unambiguous_records_are_repaired(record: str, expected: object) -> None:
    assert payloads(record) == [expected]
    assert split_record(record)[0].is_repaired


@pytest.mark.parametrize(
    "record",
    [
        EVENT,
        f"\ufeff {EVENT}\n",
        EVENT + EVENT,
        '{"a": "None, {b: undefined}"}',
        '{"a": "\\u0000"}',
        '{"a": "\\ud83d\\ude00"}',
        '{"a": 1, "a": 2}',
        '{"a": 1e999}',
    ],
)
def test_json_is_not_marked_as_repaired(record: str) -> None:
    assert not any(part.is_repaired for part in split_record(record))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "not_json"),
        ("", "not_json"),
        (" \ufeff\n", "not_json"),
        ('{"a": "x', "not_json"),
        ('{"a": {"b": 1}', "not_json"),
        ('{"a": 1]', "not_json"),
        ("hello", "not_json"),
        ("INFO " + EVENT, "not_json"),
        ("{'a': 1, 'a': 2}", "not_json"),
        ("{'a': 'x' 'y'}", "not_json"),
        ('{"a": "an "unescaped" quote"}', "not_json"),
        ("{a: b}", "not_json"),
        ("1, 2", "not_json"),
        ("[1, 2]", "not_an_object"),
        (f"[{EVENT}]", "not_an_object"),
        ("5", "not_an_object"),
        ('"text"', "not_an_object"),
        ("null", "not_an_object"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested_too_deep"),
        ("[" * 100_000, "nested_too_deep"),
        ("{'a':" * 5_000 + "1" + "}" * 5_000, "nested_too_deep"),
        ('{"a":' * 201 + "1" + "}" * 201, "nested_too_deep"),
        ("{'a':" * 201 + "1" + "}" * 201, "nested_too_deep"),
        ('{"a":' + "[" * 200 + "]" * 200 + "}", "nested_too_deep"),
    ],
)
def test_a_record_that_is_no_object_is_rejected(
    record: str | None, reason: str
) -> None:
    parts = split_record(record)
    assert [part.reject_reason for part in parts] == [reason]
    assert parts[0].received_text == record
    assert parts[0].payload is None


def test_the_maximum_nesting_is_accepted() -> None:
    for record in (
        '{"a":' * 200 + "1" + "}" * 200,
        "{'a':" * 200 + "1" + "}" * 200,
        '{"a":' + "[" * 199 + "]" * 199 + "}",
        '{"a":"' + "{" * 300 + '"}',
    ):
        assert [part.reject_reason for part in split_record(record)] == [None]


def test_objects_back_to_back_are_split() -> None:
    assert payloads('{"a":1}{"b":"}{"} \n{"c":3}') == [{"a": 1}, {"b": "}{"}, {"c": 3}]
    assert payloads("{'a':1}{'b':2}") == [{"a": 1}, {"b": 2}]


def test_objects_before_a_truncated_part_are_kept() -> None:
    first, second = split_record('{"a":1}{"b":')
    assert first.payload == '{"a":1}'
    assert second.reject_reason == "not_json"
    assert (first.received_text, second.received_text) == ('{"a":1}', '{"b":')


def test_key_value_pairs_and_nested_json_become_objects() -> None:
    assert payloads(
        '{"event_params":[{"key":"page","value":{"string_value":"/x"}},'
        '{"key":"n","value":{"string_value":null,"int_value":5}},'
        '{"key":"page","value":{"string_value":"/second"}}]}'
    ) == [{"event_params": {"page": "/x", "n": 5}}]
    inner = json.dumps({"event": "x", "more": json.dumps({"a": [1, {"b": "c"}]})})
    assert payloads(json.dumps({"data": inner})) == [
        {"data": {"event": "x", "more": {"a": [1, {"b": "c"}]}}}
    ]
    assert payloads(json.dumps(EVENT)) == [json.loads(EVENT)]


def test_text_that_only_looks_like_json_stays_text() -> None:
    for text in ("{braces}", "[1,2]", "{}", '{"a": ', '["a"] and more'):
        assert payloads(json.dumps({"a": text})) == [{"a": text}]


def test_the_first_of_repeated_keys_counts() -> None:
    assert payloads('{"a":1,"a":2,"b":{"c":3,"c":4}}') == [{"a": 1, "b": {"c": 3}}]


def test_numbers_keep_their_digits() -> None:
    digits = "9" * 5_000
    (payload,) = payloads(f'{{"a":{digits},"b":1e999,"c":2.10,"d":-0,"e":1.5}}')
    assert payload == {"a": digits, "b": "1e999", "c": "2.10", "d": "-0", "e": 1.5}


def test_identity_is_the_digest_of_the_objects_own_text() -> None:
    digest = hashlib.md5(EVENT.encode()).hexdigest()
    for record in (EVENT, f"\ufeff{EVENT}\n", EVENT + EVENT):
        assert {part.identity for part in split_record(record)} == {digest}


def mutated(record: str, draw: random.Random) -> str:
    """Return a record with one mutation."""
    position = draw.randrange(len(record) + 1)
    other = draw.randrange(len(record) + 1)
    return draw.choice(
        [
            lambda: record[:position],
            lambda: record[position:],
            lambda: record[:position] + record[other:],
            lambda: record[:position] + chr(draw.randrange(1, 256)) + record[position:],
            lambda: record[:position] + draw.choice("{}[]\"',:\\") + record[position:],
            lambda: record + record[:position],
            lambda: record.replace('"', "'"),
            lambda: record.replace('"', '"' * draw.randrange(3), draw.randrange(4)),
            lambda: json.dumps({"data": record}),
            lambda: record.replace("1", draw.choice(["NaN", "None", "1e999", "--1"])),
            lambda: '{"deep":' * 100 + record + "}" * 100,
        ]
    )()


def test_every_mutated_record_is_accounted_for() -> None:
    draw = random.Random(20250301)
    for _ in range(5_000):
        record = EVENT
        for _ in range(draw.randrange(1, 5)):
            record = mutated(record, draw)
        parts = split_record(record)
        assert parts
        for part in parts:
            assert (part.payload is None) == (part.reject_reason is not None)
            if part.payload is not None:
                assert isinstance(json.loads(part.payload), dict)
                assert len(part.identity or "") == 32
        if len(parts) == 1:
            assert parts[0].received_text == record
        else:
            position = 0
            for part in parts:
                position = record.index(part.received_text or "", position)
                position += len(part.received_text or "")


@pytest.mark.parametrize(
    "record",
    [
        '{"a":"' + "x" * 1_000_000 + '"}',
        json.dumps({f"key {number}": number for number in range(10_000)}),
        "{'a':'" + "x" * 1_000_000 + "',}",
        "-" * 200_000,
        "(" * 200_000,
        "{'a': " + "-" * 100_000 + "1}",
        EVENT * 2_000,
    ],
)
def test_large_records_are_read_in_linear_time(record: str) -> None:
    assert split_record(record)


@pytest.mark.parametrize(
    "broken", ["{'a':1}", "{a:1}", '{"a":True}', '{"a":1,} ', "{'a':[1,{'b':2}]},"]
)
def test_broken_objects_back_to_back_are_split_in_linear_time(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of Python's JSON reader takes time in proportion to its position."""
    positions: list[int] = []

    class CountedError(json.JSONDecodeError):
        def __init__(self, message: str, text: str, position: int) -> None:
            positions.append(position)
            super().__init__(message, text, position)

    monkeypatch.setattr(json.decoder, "JSONDecodeError", CountedError)
    record = broken * 2_000
    assert len(split_record(record)) == 2_000
    assert len(positions) >= 2_000
    assert sum(positions) <= 2 * len(record)


def test_the_rest_of_too_many_objects_is_one_reject() -> None:
    record = "{'a':1}" * 40_000
    parts = split_record(record)
    assert parts[-1].reject_reason == "too_many_objects"
    assert {part.reject_reason for part in parts[:-1]} == {None}
    assert len(parts) == 10_000 + len(record) // 50 + 1
    assert "".join(part.received_text or "" for part in parts) == record
    # Objects as long as events are split, however many there are.
    events = split_record(EVENT * 20_000)
    assert {part.reject_reason for part in events} == {None}
    assert len(events) == 20_000


def test_after_a_broken_object_a_scalar_is_still_a_scalar() -> None:
    assert [part.reject_detail for part in split_record("{'a':1} \"x\"")] == [
        None,
        "text",
    ]
