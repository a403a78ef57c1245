"""How a delivery stream can be set up, and records that it delivers."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.support.firehose_stub import Handler
from tests.support.paths import ROOT

TRUNCATED = '{"event": "lo'
PREFIX = "landing/dt=!{timestamp:yyyy-MM-dd}/"
ERRORS = "errors/!{firehose:error-output-type}/"


def lambda_of_the_documentation() -> Handler:
    """Return the handler that docs/athena.md shows."""
    page = (ROOT / "docs/athena.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import base64.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/athena.md", "exec"), names)
    return names["handler"]


def without_line_ends(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Transform as the documentation does, and forget the line ends."""
    answer = lambda_of_the_documentation()(event, context)
    for record in answer["records"]:
        line = base64.b64decode(record["data"]).rstrip(b"\n")
        record["data"] = base64.b64encode(line).decode()
    return answer


# How a stream can be set up.
LAYOUTS: dict[str, dict[str, Any]] = {
    "glued": {},
    "delimited": {"has_delimiter": True},
    "compressed": {"has_delimiter": True, "is_gzip": True},
    "enveloped": {"transform": lambda_of_the_documentation()},
    "packed": {"transform": without_line_ends},
    "all": {
        "transform": lambda_of_the_documentation(),
        "has_delimiter": True,
        "is_gzip": True,
    },
}


def make_payload(number: int, prefix: str = "e") -> str:
    """Return a record; some are dirty. Its identifier begins with ``prefix``."""
    event_id = f"{prefix}{number}"
    if number % 100 == 1:
        return (
            f"{{'event': 'login', 'event_id': '{event_id}', 'ts': {1740823445 + number}"
            ", 'user_id': 'u', }"
        )
    if number % 100 == 2:
        return TRUNCATED
    record = {
        "event": "login",
        "event_id": event_id,
        "ts": 1740823445 + number,
        "user_id": "ü}{\n" if number % 50 == 3 else "u",
    }
    return json.dumps(record, ensure_ascii=bool(number % 2))
