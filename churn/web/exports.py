"""Exports of a list: CSV for people, JSON lines for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from churn.quoting import neutralise

COLUMNS = (
    *("risk_rank", "account_id", "company_name", "owner_id", "owner_name"),
    *("churn_probability", "probability_change_7d", "risk_band"),
    *("reason_1", "reason_2", "reason_3"),
    *("offer_id", "recommended_offer", "offer_because"),
    *("revenue_at_risk", "currency", "arm", "model_version"),
)


def as_csv(rows: Sequence[Any], as_of_date: str) -> bytes:
    """Return rows as CSV (RFC 4180) in UTF-8 with a byte-order mark."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["as_of_date", *COLUMNS])
    for row in rows:
        writer.writerow(
            [as_of_date, *(neutralise(getattr(row, name)) for name in COLUMNS)]
        )
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "replace")


def as_json_lines(rows: Sequence[Any], as_of_date: str) -> bytes:
    """Return rows as one JSON object per line, with their values unchanged."""
    return b"".join(
        json.dumps(
            {
                "as_of_date": as_of_date,
                **{name: getattr(row, name) for name in COLUMNS},
            },
            ensure_ascii=False,
        ).encode("utf-8", "replace")
        + b"\n"
        for row in rows
    )
