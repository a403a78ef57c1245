"""Every macro of macros/engine/ means on Athena what it means elsewhere."""

from __future__ import annotations

from engine import AthenaEngine
from test_engine_macros import CASES, jinja_of, same

# How many cases one statement holds: Athena's planner slows down with its length.
CASES_AT_ONCE = 60


def test_every_macro_means_what_it_says(cloud, tmp_path) -> None:
    engine = AthenaEngine(cloud, tmp_path, "iceberg", "macros")
    engine.rows("create schema if not exists macros")
    wrong = []
    for start in range(0, len(CASES), CASES_AT_ONCE):
        cases = CASES[start : start + CASES_AT_ONCE]
        selected = [
            f"{jinja_of(engine, macro, arguments)} as c{number}"
            for number, ((macro, arguments), _) in enumerate(cases)
        ]
        query = engine.compiled("select\n" + ",\n".join(selected))
        # The cases' own casts: a plain timestamp of Athena has milliseconds.
        query = query.replace(" as timestamp)", " as timestamp(6))")
        results = engine.rows(query).to_pylist()[0].values()
        wrong += [
            f"{macro}{arguments!r} is {result!r}, not {expected!r}"
            for ((macro, arguments), expected), result in zip(
                cases, results, strict=True
            )
            if not same(result, expected) and not says_no_scalar(result, expected)
        ]
    assert not wrong, "\n".join(wrong)


def says_no_scalar(result: object, expected: object) -> bool:
    """Objects and arrays may be null on Athena: see the contract of `json_texts`."""
    return result is None and str(expected).startswith(("[", "{"))
