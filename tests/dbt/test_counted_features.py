"""A company's own events and values as features, against sums in Python."""

from __future__ import annotations

import json
import random
import shutil
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from churn.ml.features import read_features
from churn.reports.docs import add_generated_features
from tests.support.paths import ROOT
from tests.support.project import DbtProject

FIRST_DAY = date(2025, 1, 1)
DAYS = 120
AS_OF = FIRST_DAY + timedelta(days=DAYS)
ACCOUNTS = [f"a{number}" for number in range(6)]
SETTINGS: dict[str, Any] = {
    "load_demo_seeds": False,
    "has_invoices": False,
    "has_support_calls": False,
    "counted_events": [
        "error",
        {
            "name": "Thumbs Down",
            "singular": "thumbs down",
            "plural": "thumbs down",
            "monotone_direction": "raises",
        },
    ],
    "counted_values": [
        {
            "name": "listening",
            "column": "listened_seconds",
            "event": "Next Song",
            "plural": "seconds of music",
        }
    ],
}
MODEL = "models/staging/clickstream/base/base_clickstream__parsed_records.yml"
NEW_COLUMN = """
      - name: listened_seconds
        description: Seconds of a song that were played.
        data_type: double
        config:
          meta:
            json_paths: [$.length]
"""
NAMES = ["error", "Thumbs Down", "Next Song", "login"]
Event = tuple[datetime, str, str, float | None]


def random_events() -> list[Event]:
    """Generate (time, account, name, seconds), sorted."""
    chance = random.Random(7)
    events: list[Event] = []
    for account in ACCOUNTS[:-1]:
        for day in range(DAYS):
            for _ in range(chance.choice([0, 0, 1, 3])):
                name = chance.choice(NAMES)
                seconds = chance.choice([None, 12.5, 200.0, float(day)])
                at = datetime(2025, 1, 1) + timedelta(
                    days=day, minutes=chance.randrange(1440)
                )
                events.append((at, account, name, seconds))
    return sorted(events)


def expected_features(events: list[Event], account: str) -> dict[str, float | None]:
    """Return the features of one account as of `AS_OF`."""

    def amounts(name: str, days: int, skipped: int = 0) -> list[float | None]:
        last = AS_OF - timedelta(days=skipped)
        first = last - timedelta(days=days)
        return [
            seconds
            for at, who, what, seconds in events
            if who == account and what == name and first <= at.date() < last
        ]

    features: dict[str, float | None] = {}
    for name, what in (("error", "error"), ("thumbs_down", "Thumbs Down")):
        for days in (7, 28, 90):
            features[f"{name}_events_{days}d"] = len(amounts(what, days))
        recent, before = len(amounts(what, 28)), len(amounts(what, 28, 28))
        features[f"{name}_events_trend_28d"] = (recent + 1) / (before + 1)
        is_active = any(amounts(each, 28) for each in NAMES)
        features[f"{name}_events_per_active_user_28d"] = recent if is_active else None
        last = max(
            (at.date() for at, who, w, _ in events if (who, w) == (account, what)),
            default=None,
        )
        features[f"days_since_last_{name}_event"] = last and (AS_OF - last).days
    seconds = [each for each in amounts("Next Song", 28) if each is not None]
    features["listening_total_28d"] = sum(seconds)
    features["listening_mean_28d"] = sum(seconds) / len(seconds) if seconds else None
    return features


@pytest.fixture(scope="module")
def counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[DbtProject, list[Event]]:
    """Build the features of a company that counts two events and one value."""
    folder = tmp_path_factory.mktemp("counted")
    shutil.copytree(
        ROOT,
        folder / "project",
        ignore=shutil.ignore_patterns(
            ".git", ".venv", "target", "logs", "*.duckdb", "__pycache__"
        ),
    )
    yaml_file = folder / "project" / MODEL
    yaml_file.write_text(yaml_file.read_text().rstrip() + NEW_COLUMN)
    project = DbtProject(folder, folder / "project")
    events = random_events()
    project.create_raw_tables()
    project.write(
        "raw.raw_events",
        pd.DataFrame(
            [
                {
                    "payload": json.dumps(
                        {
                            "event": name,
                            "ts": at.isoformat(),
                            "user_id": account,
                            "event_id": str(number),
                            "length": seconds,
                        }
                    ),
                    "received_at": at,
                    "source_file": at.date().isoformat(),
                }
                for number, (at, account, name, seconds) in enumerate(events)
            ]
            + [
                {
                    "payload": "{}",
                    "received_at": datetime.combine(AS_OF, datetime.min.time())
                    + timedelta(hours=7),
                    "source_file": "last",
                }
            ]
        ),
    )
    project.write(
        "raw.raw_accounts",
        pd.DataFrame(
            [
                {
                    "batch_date": day,
                    "loaded_at": datetime.combine(day, datetime.min.time())
                    + timedelta(hours=27),
                    "account_id": account,
                    "signup_date": "2024-06-01",
                }
                for day in (FIRST_DAY, AS_OF - timedelta(days=1))
                for account in ACCOUNTS
            ]
        ),
    )
    project.write(
        "raw.raw_contacts",
        pd.DataFrame(
            [
                {
                    "user_id": account,
                    "account_id": account,
                    "batch_date": FIRST_DAY,
                    "loaded_at": datetime.combine(FIRST_DAY, datetime.min.time())
                    + timedelta(hours=27),
                }
                for account in ACCOUNTS
            ]
        ),
    )
    return project, events


def test_features_equal_the_sums_of_the_events(
    counted: tuple[DbtProject, list[Event]],
) -> None:
    """The accounts have events on random days; the last one has none."""
    project, events = counted
    project.dbt(
        "run",
        "--select",
        "+account_features",
        "feature_dictionary",
        "--exclude",
        "resource_type:seed",
        **SETTINGS,
    )
    rows = project.frame(
        f"select * from account_features where as_of_date = date '{AS_OF}'"
    ).set_index("account_id")
    assert set(rows.index) == set(ACCOUNTS)
    for account in ACCOUNTS:
        for name, value in expected_features(events, account).items():
            if value is None:
                assert pd.isna(rows.loc[account, name]), (account, name)
            else:
                assert rows.loc[account, name] == pytest.approx(value), (account, name)
    assert rows["error_events_28d"].max() > 3
    # The two other windows of the same column are there for phrases.
    assert {"error_events_prior_28d", "listening_total_prior_28d"} <= set(rows)


def test_reasons_and_docs_name_what_is_counted(
    counted: tuple[DbtProject, list[Event]],
) -> None:
    project, _ = counted
    dictionary = project.frame("select * from feature_dictionary")
    features = {each.name: each for each in read_features(dictionary)}
    down = features["thumbs_down_events_28d"]
    assert down.theme == "thumbs_down"
    assert down.monotone_direction == "raises"
    assert features["days_since_last_thumbs_down_event"].monotone_direction == "lowers"
    assert features["error_events_7d"].label == "error events in the last 7 days"
    phrase = features["error_events_28d"].high
    assert phrase == "{value:error event|error events} in the last 28 days"

    manifest = json.loads((project.folder / "target" / "manifest.json").read_text())
    add_generated_features(manifest)
    (node,) = (
        node
        for node in manifest["nodes"].values()
        if node["name"] == "account_features"
    )
    generated = {name for name in features if name.startswith(("thumbs_down", "error"))}
    assert len(generated) == 12
    for name in {*generated, "listening_mean_28d"}:
        assert node["columns"][name]["description"], name


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"counted_events": "error"}, "a list of names or maps"),
        ({"counted_events": ["error", "Error"]}, "entries with different names"),
        ({"counted_events": [{"name": "a", "plural": "{x}"}]}, "letters, digits"),
        ({"counted_events": [{"name": "a", "colour": "x"}]}, "a list of maps with"),
        (
            {"counted_events": [{"name": "a", "monotone_direction": "up"}]},
            "`raises` or `lowers`",
        ),
        ({"counted_values": ["app_version"]}, "a numeric column of the field mapping"),
    ],
)
def test_an_entry_without_a_use_is_refused(
    counted: tuple[DbtProject, list[Event]],
    variables: dict[str, Any],
    words: str,
) -> None:
    project, _ = counted
    result = project.dbt(
        "run",
        "--select",
        "stg_salesforce__accounts",
        check=False,
        **{**SETTINGS, **variables},
    )
    assert not result.succeeded
    assert words in " ".join(result.output.split())
