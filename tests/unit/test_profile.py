"""The profile of JSON paths has a limited size and loses no count."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest

from churn.onboarding import profile


def profiled(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the profile of the records of one file, by path."""
    batch = pa.RecordBatch.from_pylist(
        [
            {
                "source_file": "f",
                "received_date": date(2025, 3, 1 + number % 9),
                "shape": None,
                "example": json.dumps(row),
                "records": 1,
                "processed_at": datetime(2025, 3, 1),
            }
            for number, row in enumerate(rows)
        ]
    )
    found = [
        row for each in profile.profiled_batches([batch]) for row in each.to_pylist()
    ]
    return {row["json_path"]: row for row in found}


def test_the_paths_of_a_map_with_many_keys_are_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profile, "_MAX_PATHS", 50)
    rows = [
        {"event": "x", "by_id": {f"{n}-{m}": {"deep": m} for m in range(10)}}
        for n in range(40)
    ]
    found = profiled(rows)
    assert len(found) == 51
    assert found["$.event"]["records"] == 40
    assert found["$.by_id"]["records"] == 40
    # 40 events, 40 maps, 400 objects and 400 numbers.
    assert sum(row["records"] for row in found.values()) == 880
    others = found[profile.OTHER_PATHS]
    assert (others["example"], others["first_seen_date"]) == (None, date(2025, 3, 1))
    again = profiled(rows[::-1])
    assert {path: row["records"] for path, row in again.items()} == {
        path: row["records"] for path, row in found.items()
    }


def test_a_very_long_key_is_no_path() -> None:
    found = profiled([{"x" * 5_000: 1, "a": 2}])
    assert {path: row["records"] for path, row in found.items()} == {
        "$.a": 1,
        profile.OTHER_PATHS: 1,
    }
