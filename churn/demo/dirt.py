"""Kinds of dirty clickstream records, as found in practice.

Each kind of dirt corrupts one record and defines the expected outcome:

- ``event``: valid JSON in an unusual form; becomes an event;
- ``repaired``: not JSON, but a tolerant parser reads it without ambiguity;
- ``reject``: cannot be read;
- ``duplicate``: the event was delivered before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from churn.demo import trackers

EVENT, REPAIRED, REJECT, DUPLICATE = "event", "repaired", "reject", "duplicate"

Corrupter = Callable[[str, int, np.random.Generator], str]


@dataclass(frozen=True)
class Dirt:
    """One kind of dirt.

    Attributes:
        kind: Its name.
        share: Share of all records that have it.
        outcome: The expected outcome of such a record.
        corrupt: Returns the corrupted record for a clean record, its tracker (0 to
            4) and a random stream. Bytes that are not UTF-8 are written as surrogate
            escapes. ``None`` for kinds that `churn.demo.delivery` applies.
    """

    kind: str
    share: float
    outcome: str
    corrupt: Corrupter | None


def _byte_order_mark(record: str, _: int, __: np.random.Generator) -> str:
    return "\ufeff" + record


def _stray_whitespace(record: str, _: int, random: np.random.Generator) -> str:
    return str(random.choice([" ", "\n", "\t "])) + record + "  \n"


def _pretty_printed(record: str, tracker: int, _: np.random.Generator) -> str:
    event = json.loads(record) if tracker == 4 else trackers.decode(record, tracker)
    return json.dumps(event, indent=2, ensure_ascii=False)


def _single_quotes(record: str, tracker: int, _: np.random.Generator) -> str:
    return _flat(record, tracker).replace('"', "'")


def _unquoted_keys(record: str, tracker: int, _: np.random.Generator) -> str:
    return re.sub(r'"([a-z_A-Z]+)":', r"\1:", _flat(record, tracker))


def _trailing_comma(record: str, _: int, __: np.random.Generator) -> str:
    return record[:-1] + ",}"


def _python_literals(record: str, tracker: int, _: np.random.Generator) -> str:
    event = json.loads(_flat(record, tracker))
    return repr({**event, "is_test": False, "consent": True, "campaign": None})


def _not_a_number(record: str, _: int, random: np.random.Generator) -> str:
    literal = str(random.choice(["NaN", "Infinity", "-Infinity"]))
    return record[:-1] + f',"scroll_depth":{literal}}}'


def _placeholder_text(record: str, tracker: int, random: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    placeholder = str(random.choice(["null", "", "undefined"]))
    # Keep one identifier, because a record without any is rejected.
    ids = _identifiers(event, tracker)
    if ids["user_id"] is None or ids["anonymous_id"] is None:
        field = "user_id" if ids["user_id"] is None else "anonymous_id"
        trackers.set_field(event, tracker, field, placeholder)
    else:
        trackers.set_field(event, tracker, "page", placeholder)
    return trackers.encode(event, tracker)


def _non_ascii(record: str, tracker: int, random: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    text = str(random.choice(["müde Füße", "матрас", "枕头", "édredon 🛏️", "ąę żółć"]))
    trackers.set_field(event, tracker, "page", f"/search?q={text}")
    return trackers.encode(event, tracker, ascii_only=bool(random.random() < 0.5))


def _broken_utf8(record: str, tracker: int, random: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    trackers.set_field(event, tracker, "page", "/search?q=BROKEN")
    broken = str(random.choice(["f\udcfcr", "\udcc3(", "\udced\udca0\udc80", "\udcff"]))
    return trackers.encode(event, tracker).replace("BROKEN", broken)


def _duplicate_keys(record: str, tracker: int, random: np.random.Generator) -> str:
    if tracker == 4:
        return record[:-1] + "," + record[1:]
    first = next(iter(json.loads(record).items()))
    again = json.dumps({first[0]: first[1]})[1:-1]
    if random.random() < 0.4:
        again += ',"debug":1,"debug":2'
    return record[:-1] + f",{again}}}"


def _wrong_type(record: str, tracker: int, random: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    value: Any = [{"path": 1}, ["/", "/pricing"], 17, True][int(random.integers(4))]
    trackers.set_field(event, tracker, "page", value)
    return trackers.encode(event, tracker)


def _huge_number(record: str, _: int, random: np.random.Generator) -> str:
    number = str(random.choice(["1e400", "9" * 40, "-1E+999", "0.1" + "0" * 50 + "1"]))
    return record[:-1] + f',"scroll_depth":{number}}}'


def _double_encoded(record: str, _: int, __: np.random.Generator) -> str:
    return json.dumps(record, ensure_ascii=False)


def _braces_in_text(record: str, tracker: int, _: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    trackers.set_field(event, tracker, "page", '/search?q={"a":1}{"b":"}{"}')
    return trackers.encode(event, tracker)


def _no_event_id(record: str, tracker: int, _: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    trackers.set_field(event, tracker, "event_id", ...)
    return trackers.encode(event, tracker)


def _truncated(record: str, _: int, random: np.random.Generator) -> str:
    return record[: int(len(record) * random.uniform(0.15, 0.9))]


def _bare_value(_: str, __: int, random: np.random.Generator) -> str:
    return str(
        random.choice(["[]", '"page_view"', "42", "null", '["page_view","/"]', "true"])
    )


def _not_json(_: str, __: int, random: np.random.Generator) -> str:
    return str(
        random.choice(
            [
                "<html><body><h1>502 Bad Gateway</h1></body></html>",
                "Error: connect ECONNREFUSED 10.0.3.17:443",
                "event=page_view&page=/pricing",
            ]
        )
    )


def _blank(_: str, __: int, random: np.random.Generator) -> str:
    return str(random.choice([" ", "\n", "\ufeff", "\ufeff\t"]))


def _no_identity(record: str, tracker: int, random: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    trackers.set_field(event, tracker, "user_id", ...)
    absent = [..., None, "", "undefined"][int(random.integers(4))]
    trackers.set_field(event, tracker, "anonymous_id", absent)
    return trackers.encode(event, tracker)


def _no_event_name(record: str, tracker: int, random: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    absent = [..., None, ""][int(random.integers(3))]
    trackers.set_field(event, tracker, "name", absent)
    return trackers.encode(event, tracker)


def _unreadable_time(record: str, tracker: int, random: np.random.Generator) -> str:
    event = trackers.decode(record, tracker)
    wrong: Any = ["yesterday", None, {"day": 1}, "2025-02-30T25:61:00Z", "NaN"][
        int(random.integers(5))
    ]
    trackers.set_field(event, tracker, "time", wrong)
    return trackers.encode(event, tracker)


KINDS: tuple[Dirt, ...] = (
    Dirt("byte_order_mark", 0.0003, EVENT, _byte_order_mark),
    Dirt("stray_whitespace", 0.0006, EVENT, _stray_whitespace),
    Dirt("pretty_printed", 0.0003, EVENT, _pretty_printed),
    Dirt("single_quotes", 0.0003, REPAIRED, _single_quotes),
    Dirt("unquoted_keys", 0.0003, REPAIRED, _unquoted_keys),
    Dirt("trailing_comma", 0.0005, REPAIRED, _trailing_comma),
    Dirt("python_literals", 0.0004, REPAIRED, _python_literals),
    Dirt("not_a_number", 0.0005, REPAIRED, _not_a_number),
    Dirt("absent_as_text", 0.0040, EVENT, _placeholder_text),
    Dirt("non_ascii", 0.0040, EVENT, _non_ascii),
    Dirt("broken_utf8", 0.0003, EVENT, _broken_utf8),
    Dirt("duplicate_keys", 0.0004, EVENT, _duplicate_keys),
    Dirt("wrong_type", 0.0006, EVENT, _wrong_type),
    Dirt("huge_number", 0.0003, EVENT, _huge_number),
    Dirt("double_encoded", 0.0004, EVENT, _double_encoded),
    Dirt("braces_in_text", 0.0004, EVENT, _braces_in_text),
    Dirt("no_event_id", 0.0005, EVENT, _no_event_id),
    Dirt("truncated", 0.0016, REJECT, _truncated),
    Dirt("bare_value", 0.0003, REJECT, _bare_value),
    Dirt("not_json", 0.0003, REJECT, _not_json),
    Dirt("blank", 0.0001, REJECT, _blank),
    Dirt("no_identity", 0.0004, REJECT, _no_identity),
    Dirt("no_event_name", 0.0003, REJECT, _no_event_name),
    Dirt("unreadable_time", 0.0004, REJECT, _unreadable_time),
    # Applied during delivery, see `churn.demo.delivery`.
    Dirt("back_to_back", 0.0020, EVENT, None),
    Dirt("delivered_again_identical", 0.0035, DUPLICATE, None),
    Dirt("delivered_again_later", 0.0045, DUPLICATE, None),
    Dirt("broken_envelope", 0.00003, REJECT, None),
)

# More kinds in `truth/`; they are caused by visits.
CLOCK_YEARS_OFF = "clock_years_off"
LATE = "late"


def draw_kinds(
    random: np.random.Generator, count: int, day: int, days: int, factor: float
) -> np.ndarray:
    """Draw the dirt of each of a day's records.

    Each kind is also assigned to fixed days on which one record has it, so that a
    small company has every kind, too.

    Returns:
        Indexes into ``KINDS``, -1 for a clean record; ``(count,)``.
    """
    edges = np.cumsum([kind.share * factor for kind in KINDS])
    kinds = np.searchsorted(edges, random.random(count), side="right")
    kinds[kinds == len(KINDS)] = -1
    kinds_of_day = [kind for kind in range(len(KINDS)) if (3 + 5 * kind) % days == day]
    for kind, row in zip(
        kinds_of_day, random.permutation(count).tolist(), strict=False
    ):
        kinds[row] = kind
    return kinds


def _flat(record: str, tracker: int) -> str:
    """Return the record or, for format 5, the object inside, without nested quotes."""
    if tracker != 4:
        return record
    return trackers.encode(trackers.decode(record, tracker), 0)


def _identifiers(event: dict[str, Any], tracker: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in ("user_id", "anonymous_id"):
        value: Any = event
        for key in trackers.FIELD_PATHS[tracker][field]:
            value = value.get(key) if isinstance(value, dict) else None
        values[field] = value
    return values
