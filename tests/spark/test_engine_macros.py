"""Every macro of macros/sql/ returns the same on every engine.

CASES lists macro calls and expected results. Each engine computes all of them in one
query. To add an engine, add it to `ENGINES`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from typing import Any

import pytest

from churn.ml.experiments import bucket_of
from tests.support.engines import DuckdbEngine, Engine, SparkEngine, stop_spark

ENGINES = {"duckdb": DuckdbEngine, "spark": SparkEngine}


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def date_of(text: str) -> str:
    return f"cast('{text}' as date)"


def time_of(text: str) -> str:
    return f"cast('{text}' as timestamp)"


class Text(str):
    """A text argument, which each engine writes as its own literal."""


def call(macro: str, *arguments: Any) -> tuple[str, tuple[Any, ...]]:
    return macro, arguments


def at_minute(text: str) -> str:
    return time_of(f"2025-03-01 {text}:00")


def texts_at(document: str, paths: list[str], place: int) -> tuple[str, tuple]:
    return "texts_at", (Text(document), paths, place)


def dateadd(part: str, interval: Any, start: str) -> tuple[str, tuple[Any, ...]]:
    return call("dbt.dateadd", part, interval, start)


def datediff(first: str, second: str) -> tuple[str, tuple[Any, ...]]:
    return call("dbt.datediff", first, second, "day")


NULL_TEXT = Text("\0null")
LETTERS = ["'a'", "nullif('b', 'b')", "'c'", "'d'"]
DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"

CASES = [
    (dateadd("day", 2, date_of("2025-02-27")), day("2025-03-01")),
    (dateadd("day", -1, date_of("2025-03-01")), day("2025-02-28")),
    (dateadd("day", "cast(null as integer)", date_of("2025-03-01")), None),
    (dateadd("hour", 30, date_of("2025-03-01")), at("2025-03-02 06:00:00")),
    (dateadd("hour", -2, at_minute("01:30")), at("2025-02-28 23:30:00")),
    (
        dateadd("minute", 30, at_minute("00:50")),
        at("2025-03-01 01:20:00"),
    ),
    (
        dateadd("minute", -30, at_minute("00:10")),
        at("2025-02-28 23:40:00"),
    ),
    (datediff(date_of("2025-02-27"), date_of("2025-03-01")), 2),
    (datediff(date_of("2025-03-01"), date_of("2025-02-27")), -2),
    (datediff("cast(null as date)", date_of("2025-02-27")), None),
    (call("days_in", date_of("2025-02-27"), date_of("2025-03-01")), 2),
    (call("days_in", date_of("2025-03-01"), date_of("2025-03-01")), 0),
    (call("days_in", date_of("2025-03-01"), date_of("2025-02-27")), 0),
    (call("days_in", "cast(null as date)", date_of("2025-02-27")), 0),
    (call("days_in", "cast(null as date)", date_of("2025-02-27")), 0),
    (
        call("epoch_to_timestamp", "cast(1740823445123456 as bigint)"),
        at("2025-03-01 10:04:05.123456"),
    ),
    (
        call("epoch_to_timestamp", "cast(-1 as bigint)"),
        at("1969-12-31 23:59:59.999999"),
    ),
    (
        call(
            "seconds_between",
            time_of("2025-03-01 10:00:00"),
            time_of("2025-03-01 10:00:01.5"),
        ),
        1.5,
    ),
    (
        call(
            "shift_timestamp",
            time_of("2025-03-01 10:00:00"),
            time_of("2025-03-01 09:00:00"),
            time_of("2025-03-01 08:30:00.000001"),
        ),
        at("2025-03-01 09:30:00.000001"),
    ),
    (
        call("parse_iso_timestamp", Text("2025-03-01T12:04:05Z")),
        at("2025-03-01 12:04:05"),
    ),
    (call("parse_iso_timestamp", Text("2025-03-01")), at("2025-03-01 00:00:00")),
    (call("parse_iso_timestamp", Text("2025-03-01 12:04")), at("2025-03-01 12:04:00")),
    (
        call("parse_iso_timestamp", Text("2025-03-01t12:04:05,123456789z")),
        at("2025-03-01 12:04:05.123456"),
    ),
    (call("parse_iso_timestamp", Text("2025-02-30T12:04:05Z")), None),
    (call("parse_iso_timestamp", Text("2025-03-01T25:04:05Z")), None),
    (
        call("parse_iso_timestamptz", Text("2025-03-01T12:04:05+02:00")),
        at("2025-03-01 10:04:05"),
    ),
    (
        call("parse_iso_timestamptz", Text("2025-03-01 12:04:05 -0530")),
        at("2025-03-01 17:34:05"),
    ),
    (
        call("parse_iso_timestamptz", Text("2025-03-01T00:04:05.5+02")),
        at("2025-02-28 22:04:05.5"),
    ),
    (call("parse_iso_timestamptz", Text("2025-02-30T12:04:05+02:00")), None),
    (call("dbt.hash", Text("a")), "0cc175b9c0f1b6a831c399e269772661"),
    (call("dbt.hash", Text("é\n")), hashlib.md5("é\n".encode()).hexdigest()),
    (call("dbt.hash", NULL_TEXT), None),
    (call("hash_bigint", Text("a")), 14025043329265),
    (
        call("hash_bigint", Text("é\n")),
        int(hashlib.md5("é\n".encode()).hexdigest()[:12], 16),
    ),
    (call("hash_bigint", NULL_TEXT), None),
    # The arm of an account is the same in Python and on every engine.
    *(
        (
            call("experiment_bucket", Text("sält"), Text("e|1"), Text(account)),
            bucket_of("sält", "e|1", account),
        )
        for account in ("0015g0469485834", "Łódź|x", "日本", "a'b")
    ),
    (call("experiment_bucket", Text("s"), Text("e"), NULL_TEXT), None),
    *(
        (call("parse_action_time", Text(text)), expected)
        for text, expected in (
            ("2025-03-01T12:00:00.250+02:00", at("2025-03-01 10:00:00.25")),
            ("2025-03-01T12:00:00Z", at("2025-03-01 12:00:00")),
            ("2025-03-01 12:00:00", at("2025-03-01 12:00:00")),
            ("yesterday", None),
            ("2025-02-30T12:00:00Z", None),
        )
    ),
    (call("byte_length", Text("née")), 4),
    (call("byte_length", NULL_TEXT), None),
    (call("first_code_point", Text("née")), 110),
    (call("first_code_point", Text("é")), 233),
    (call("first_code_point", Text(" a")), 32),
    (call("first_code_point", Text("")), -1),
    (call("first_code_point", NULL_TEXT), None),
    (call("regexp_matches_text", Text("a1"), "[0-9]"), True),
    (call("regexp_matches_text", Text("ab"), "[0-9]"), False),
    (call("regexp_matches_text", NULL_TEXT, "[0-9]"), None),
    # The end is the very end, a dot is no line feed, white space no vertical tab.
    (call("regexp_matches_text", Text("2025-03-01"), DATE_PATTERN), True),
    (call("regexp_matches_text", Text("2025-03-01\n"), DATE_PATTERN), False),
    (call("regexp_matches_text", Text("a\nb"), "^a.b$"), False),
    (call("regexp_matches_text", Text("a\rb"), "^a.b$"), True),
    (call("regexp_matches_text", Text("a\vb"), r"a\sb"), False),
    (call("regexp_matches_text", Text("a\tb"), r"a\sb"), True),
    (call("regexp_matches_text", Text("\u0663"), r"\d"), False),
    (call("regexp_matches_text", Text("NaN"), "(?i)^(nan|null)$"), True),
    (call("regexp_extract_first", Text("+02:30"), r"^[+](\d\d)", 1), "02"),
    (call("regexp_extract_first", Text("02:30"), r"^[+](\d\d)", 1), None),
    (call("regexp_extract_first", Text("ab"), r"^(a)(c)?", 2), ""),
    (call("regexp_extract_first", NULL_TEXT, "a", 0), None),
    (call("without_trailing_space", Text(" a b \t\r\n")), " a b"),
    (call("without_trailing_space", Text("a\u00a0")), "a\u00a0"),
    (call("text_literal", "it's a \\N"), "it's a \\N"),
    (call("try_parse_date", Text("01/03/2025"), "%d/%m/%Y"), day("2025-03-01")),
    (call("try_parse_date", Text("32/03/2025"), "%d/%m/%Y"), None),
    (call("try_parse_date", Text("2025-03-01"), "%d/%m/%Y"), None),
    (call("try_parse_date", NULL_TEXT, "%d/%m/%Y"), None),
    (
        call("try_parse_timestamp", Text("01-03-2025 10:04"), "%d-%m-%Y %H:%M"),
        at("2025-03-01 10:04:00"),
    ),
    (
        call(
            "try_parse_timestamp",
            Text("03/01/2025 01:04:05 PM"),
            "%m/%d/%Y %I:%M:%S %p",
        ),
        at("2025-03-01 13:04:05"),
    ),
    (call("try_parse_timestamp", Text("2025-03-01"), "%d-%m-%Y %H:%M"), None),
    (
        call("try_parse_timestamp", Text("20250301100405"), "%Y%m%d%H%M%S"),
        at("2025-03-01 10:04:05"),
    ),
    (
        call(
            "try_parse_timestamp",
            Text("Sat, 01 Mar 2025 10:04:05 GMT"),
            "%a, %d %b %Y %H:%M:%S GMT",
        ),
        at("2025-03-01 10:04:05"),
    ),
    *(
        (call("dbt.safe_cast", Text(text), type_), value)
        for type_, values in {
            "integer": {
                "12": 12,
                " +12 ": 12,
                "-7": -7,
                "12.0": 12,
                "12.5": None,
                "1e3": None,
                "1_000": None,
                "0x10": None,
                "99999999999": None,
                "": None,
                "12x": None,
            },
            "bigint": {"9223372036854775807": 2**63 - 1, "9223372036854775808": None},
            "double": {
                "1.5": 1.5,
                "-1e3": -1000.0,
                ".5": 0.5,
                "5.": 5.0,
                "NaN": None,
                "Infinity": None,
                "12D": None,
                "1f": None,
                "1_0": None,
            },
            "date": {
                "2025-03-01": day("2025-03-01"),
                "2025-3-1": day("2025-03-01"),
                "2025-03-01 10:00:00": day("2025-03-01"),
                "2025-02-30": None,
                "2025": None,
                "2025/03/01": None,
                "20250301": None,
                "x": None,
            },
            "timestamp": {
                "2025-03-01 10:04:05": at("2025-03-01 10:04:05"),
                "2025-03-01T10:04:05.1234567Z": at("2025-03-01 10:04:05.123456"),
                "2025-03-01": at("2025-03-01 00:00:00"),
                "2025-03-01 10:04:05+02:00": None,
                "2025-03-01 25:00:00": None,
                "2025": None,
            },
        }.items()
        for text, value in values.items()
    ),
    *(
        (call("is_strict_json_object", Text(text)), is_plain)
        for text, is_plain in {
            '{"a":1}': True,
            '{"a":1} \n\t\r': True,
            "{}": True,
            '{"a":{"b":[1,{"c":null}]},"d":"x\\"y","e":true,"f":-1.5e3}': True,
            '{"a":"é \\u00e9 \\ud83d\\ude00 \\n"}': True,
            "": False,
            " ": False,
            ' {"a":1}': False,
            "[1]": False,
            '"a"': False,
            "1": False,
            "null": False,
            '{"a":1}{"b":2}': False,
            '{"a":1},{"b":2}': False,
            '{"a":1},{"b":2}]': False,
            '{"a":1},{"\\"":0}]': False,
            '{"a":1},{"\\u0022":0}] x': False,
            '{"":1,"a\\"":{" ":""}}': True,
            '{"a":1,"A":2}': True,
            '{"a":1} x': False,
            '{"a":1},': False,
            '{"a":1}]': False,
            '{"a":1}}': False,
            '{"a":1},{"":0}] x': False,
            '{"a":1},null]': False,
            '{"a":1': False,
            '{"a":[1,2}}': False,
            '{"a":1,}': False,
            '{"a":[1,]}': False,
            "{'a':1}": False,
            "{a:1}": False,
            '{"a":NaN}': False,
            '{"a":-Infinity}': False,
            '{"a":tru}': False,
            '{"a":01}': False,
            '{"a":"\t"}': False,
            '{"a":"\\x"}': False,
            '{"a":"\\ud800"}': False,
            '{"a":"\\ude00\\ud83d"}': False,
            '{"a":"{\\"b\\":1}"}': False,
            '{"a":[{"key":"b","value":1}]}': False,
            '{"a":[{"k\\u0065y":"b","value":1}]}': False,
            '{"a":"[1,{\\"b\\":1}]"}': False,
            '{"a":"\\n {\\"b\\":1}"}': False,
            '{"a":"\\u007b\\"b\\":1}"}': False,
            '{"a":"x [1] \\" {2}","key":1}': False,
            '{"a":"x [1] \\n {2}","keys":1}': True,
            '{"a":' + "[" * 200 + "]" * 200 + ',"b":"' + "x" * 700 + '"}': False,
            '{"a":' + "[" * 199 + "]" * 199 + ',"b":"' + "x" * 700 + '"}': True,
            '{"a":1} // x': False,
        }.items()
    ),
    (call("is_strict_json_object", NULL_TEXT), False),
    *(
        (texts_at(document, paths, place), value)
        for document, paths, values in [
            (
                '{"a":{"b":1,"c":{"d":"x"}},"e":null,"f":true,"g":" é","h":[{"i":7}]}',
                [
                    "$.a.b",
                    "$.a.c.d",
                    "$.e",
                    "$.f",
                    "$.g",
                    "$.h[0].i",
                    "$.none",
                    "$.e.x",
                ],
                ["1", "x", None, "true", " é", "7", None, None],
            ),
            ('{"a":"x","b":5,"c":[1]}', ["$.a.b", "$.b.c", "$.c.d"], [None] * 3),
            ('{"odd key":1,"a-b":{"é":2}}', ['$."odd key"', '$.a-b."é"'], ["1", "2"]),
            ('{"a`b":{".c":1}}', ['$."a`b".".c"', "$[0].a"], ["1", None]),
            ('{"a":[1,2]}', ["$.a[1]", "$.a[2]", "$.a"], ["2", None, "[1,2]"]),
            (
                '{"a":12345678901234567890123,"b":1.5,"c":-0.0}',
                ["$.a", "$.b"],
                ["12345678901234567890123", "1.5"],
            ),
            # As many digits as an identifier of 128 bits may have, and more.
            (
                json.dumps({"a": {"b c": 2**128 - 1}, "d": [-(10**50) - 1, 10**38]}),
                ['$.a."b c"', "$.d[0]", "$.d[1]"],
                [str(2**128 - 1), str(-(10**50) - 1), str(10**38)],
            ),
            ('{"a":"1.5E40","b":"E"}', ["$.a", "$.b"], ["1.5E40", "E"]),
            # What is a text here is an object there, and an array elsewhere.
            *(
                (document, ["$.a", "$.a.b", "$.a.b.c", "$.a[0]"], values)
                for document, values in {
                    '{"a":"x"}': ["x", None, None, None],
                    '{"a":{"b":"y"}}': ['{"b":"y"}', "y", None, None],
                    '{"a":{"b":{"c":1}}}': ['{"b":{"c":1}}', '{"c":1}', "1", None],
                    '{"a":["x",{"b":1}]}': ['["x",{"b":1}]', None, None, "x"],
                }.items()
            ),
            # Keys that differ in case only.
            (
                '{"userid":1,"userId":{"X":2,"x":{"y":3}},"USERID":null}',
                ["$.userId.X", "$.userId.x.y", "$.userid", "$.USERID", "$.UserId"],
                ["2", "3", "1", None, None],
            ),
            (
                '{"a":"","b":"null","c":"\\n\\"\\\\"}',
                ["$.a", "$.b", "$.c"],
                ["", "null", '\n"\\'],
            ),
        ]
        for place, value in enumerate(values)
    ),
    (call("restore_big_integers", Text("1.0E38"), Text('{"a":1}'), []), "1.0E38"),
    (call("first_by_of_letters", "place", ["letter", "place"]), 4),
    (call("first_element_where", LETTERS, "letter", "letter > 'a'"), "c"),
    (call("first_element_where", LETTERS, "letter", "letter > 'd'"), None),
    (call("trim_whitespace", Text("A4\r")), "A4"),
    (call("trim_whitespace", Text("\ufeff\t 2025-03-10\u00a0\r\n")), "2025-03-10"),
    (
        call("trim_whitespace", Text("\u200bcafé\u3000 au lait\u2009")),
        "café\u3000 au lait",
    ),
    (call("trim_whitespace", Text("\u00a0\t\u202f")), ""),
    (call("trim_whitespace", Text("")), ""),
    (call("trim_whitespace", NULL_TEXT), None),
    (call("parse_crm_text", Text(" NULL\r")), None),
    (call("parse_crm_text", Text("\\N")), None),
    (call("parse_crm_text", Text("\u00a0Basic ")), "Basic"),
    (call("parse_crm_id", Text("0015000000Gv7qJAAR")), "0015000000Gv7qJ"),
    (call("parse_crm_id", Text("0015000000Gv7qJAAS")), "0015000000Gv7qJAAS"),
    (call("parse_crm_id", Text("0015000000Gv7qJ")), "0015000000Gv7qJ"),
    (call("parse_crm_id", Text("a b")), "a b"),
    (call("parse_crm_flag", Text("Yes")), True),
    (call("parse_crm_flag", Text("1.0")), True),
    (call("parse_crm_flag", Text("f")), False),
    (call("parse_crm_flag", Text("maybe")), None),
    (call("parse_crm_number", Text("1250.50")), 1250.5),
    (call("parse_crm_number", Text("1,250.50")), 1250.5),
    (call("parse_crm_number", Text("1.250,50")), 1250.5),
    (call("parse_crm_number", Text("1,250")), 1250.0),
    (call("parse_crm_number", Text("1.250")), 1.25),
    (call("parse_crm_number", Text("1,5")), 1.5),
    (call("parse_crm_number", Text("-€ 1.234.567,8")), -1234567.8),
    (call("parse_crm_number", Text("1 250,5\u00a0EUR")), 1250.5),
    (call("parse_crm_number", Text("1'250.5")), 1250.5),
    (call("parse_crm_number", Text("US$12")), 12.0),
    (call("parse_crm_number", Text("1.2345E7")), 12345000.0),
    (call("parse_crm_number", Text("12a")), None),
    (call("parse_crm_number", Text("1,25,000")), 125000.0),
    (call("parse_crm_number", Text("1,25,00")), None),
    (call("parse_crm_number", Text("(12.50)")), -12.5),
    (call("parse_crm_number", Text("($1,250)")), -1250.0),
    (call("parse_crm_number", Text("(12.50")), None),
    (call("parse_crm_number", Text("12.50-")), -12.5),
    (call("parse_crm_number", Text("\u221212,5")), -12.5),
    (call("parse_crm_number", Text("CHF 12.-")), 12.0),
    (call("null_if_missing", Text("N/A")), None),
    (call("null_if_placeholder_date", Text("9999-12-31")), None),
    (call("null_if_placeholder_date", Text("0000-00-00 00:00:00")), None),
    (call("null_if_placeholder_date", Text("2025-12-31")), "2025-12-31"),
    (call("parse_crm_date", Text("2025-03-01 10:00:00 UTC")), day("2025-03-01")),
    (call("parse_crm_number", Text("12 345 6")), None),
    (call("parse_crm_number", Text("NaN")), None),
    (
        call("plausible_arrival", time_of("2025-03-01 10:00:00")),
        at("2025-03-01 10:00:00"),
    ),
    (call("plausible_arrival", Text("2025-03-01 10:00:00")), at("2025-03-01 10:00:00")),
    (call("plausible_arrival", time_of("2099-03-01 10:00:00")), None),
    (call("plausible_arrival", time_of("1970-01-01 00:00:00")), None),
    (call("plausible_arrival", Text("soon")), None),
    (call("plausible_arrival_date", date_of("2025-03-01")), day("2025-03-01")),
    (call("plausible_arrival_date", date_of("2099-03-01")), None),
    (call("event_key", Text("Thumbs Down!")), "thumbs_down"),
    (call("event_key", Text("next-song")), "next_song"),
]

# Objects with a repeated key, a path to it, and its first value.
REPEATED_KEYS = [
    (Text(document), path, text)
    for document, path, text in [
        ('{"a":1,"a":2}', "$.a", "1"),
        ('{"a":null,"a":2}', "$.a", None),
        ('{"b":{"c":3,"c":4}}', "$.b.c", "3"),
        ('{"a":5,"d":[{"e":{"f":1,"f":1}}]}', "$.a", "5"),
        ('{"a":6,"\\u0061":7}', "$.a", "6"),
    ]
]


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request, tmp_path_factory) -> Engine:
    yield ENGINES[request.param](tmp_path_factory.mktemp(request.param))
    if request.param == "spark":
        stop_spark()


def jinja_of(engine: Engine, macro: str, arguments: tuple[Any, ...]) -> str:
    """Return a macro call as Jinja, with texts as literals of the engine."""

    def written(argument: Any) -> str:
        if isinstance(argument, Text):
            text = None if argument == NULL_TEXT else str(argument)
            return json.dumps(engine.literal(text))
        return json.dumps(argument)

    literals = [written(argument) for argument in arguments]
    letters = (
        "(select 1 as place, 'a' as letter union all select 2, nullif('x', 'x') "
        "union all select 3, 'c' union all select 4, 'b') as letters"
    )
    if macro == "texts_at":
        document, paths, place = literals
        texts = f"json_extract_many(json_prepare({document}, {paths}), {paths})"
        text = f"json_extracted_columns({texts}, {paths})[{place}]"
        path = json.dumps([arguments[1][arguments[2]]])
        return f"{{{{ restore_big_integers({text}, {document}, {path}) }}}}"
    if macro == "days_in":
        spine = f"dbt.date_spine('day', {', '.join(literals)})"
        return f"(select count(date_day) from ({{{{ {spine} }}}}) as days)"
    if macro == "first_by_of_letters":
        aggregate = f"min_by({', '.join(literals)})"
        return f"(select {{{{ {aggregate} }}}} from {letters} where letter <> 'a')"
    return f"{{{{ {macro}({', '.join(literals)}) }}}}"


@pytest.fixture(scope="module")
def results(engine) -> list[Any]:
    """Compute all cases on the engine in one query."""
    selected = [
        f"{jinja_of(engine, macro, arguments)} as c{number}"
        for number, ((macro, arguments), _) in enumerate(CASES)
    ]
    query = engine.compiled("select\n" + ",\n".join(selected))
    return list(engine.rows(query).to_pylist()[0].values())


def test_every_macro_means_what_it_says(engine, results) -> None:
    wrong = [
        f"{macro}{arguments!r} is {result!r}, not {expected!r}"
        for ((macro, arguments), expected), result in zip(CASES, results, strict=True)
        if not same(result, expected)
    ]
    assert not wrong, f"on {engine.target}:\n" + "\n".join(wrong)


def test_the_first_of_repeated_keys_counts(engine) -> None:
    assert not wrongly_read_repeated_keys(engine)


def wrongly_read_repeated_keys(engine: Engine) -> list[str]:
    """Return records read as strict objects in which the first key does not count."""
    selected = [
        f"{jinja_of(engine, 'is_strict_json_object', (document,))} "
        f"as is_strict{number}, "
        f"{jinja_of(engine, 'texts_at', (document, [path], 0))} as text{number}"
        for number, (document, path, _) in enumerate(REPEATED_KEYS)
    ]
    query = engine.compiled("select\n" + ",\n".join(selected))
    values = list(engine.rows(query).to_pylist()[0].values())
    return [
        f"{document}: {text}"
        for (document, _, first), is_plain, text in zip(
            REPEATED_KEYS, values[::2], values[1::2], strict=True
        )
        if is_plain and text != first
    ]


def same(result: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(result, float):
        return math.isclose(result, expected, rel_tol=1e-12)
    if isinstance(result, bool) != isinstance(expected, bool):
        return False
    return result == expected
