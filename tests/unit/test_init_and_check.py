"""`init` writes a first project from sample data, and `check` finds its problems."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml

from churn.onboarding import check, init
from churn.onboarding.column_inference import (
    collect_fields,
    infer_event_columns,
    is_time,
)
from tests.support.paths import ROOT

SHAPES = {
    # Records of some trackers, and the expected path of each column.
    "segment": (
        lambda number: {
            "messageId": f"m{number}",
            "type": "track",
            "event": ["Page Viewed", "Signed In"][number % 2],
            "originalTimestamp": f"2025-03-01T10:{number % 60:02d}:00.000Z",
            "sentAt": f"2025-03-01T10:{number % 60:02d}:01.000Z",
            "receivedAt": f"2025-03-01T10:{number % 60:02d}:02.000Z",
            "anonymousId": f"a{number % 40}",
            "userId": f"u{number % 20}" if number % 3 else None,
            "properties": {"path": f"/p/{number}", "category": ["x", "y"][number % 2]},
        },
        {
            "event_id": "$.messageId",
            "raw_event_name": "$.event",
            "occurred_at": "$.originalTimestamp",
            "sent_at": "$.sentAt",
            "received_at": "$.receivedAt",
            "anonymous_id": "$.anonymousId",
            "user_id": "$.userId",
            "page_path": "$.properties.path",
            "product_category": "$.properties.category",
        },
    ),
    "analytics export": (
        lambda number: {
            "event_name": ["screen_view", "view_item", "purchase"][number % 3],
            "event_timestamp": 1740823445123000 + number * 10**6,
            "user_pseudo_id": f"{number % 30}.{number % 7}",
            "user_id": f"u{number % 30}",
            "device": {"category": ["mobile", "desktop"][number % 2]},
        },
        {
            "raw_event_name": "$.event_name",
            "occurred_at": "$.event_timestamp",
            "anonymous_id": "$.user_pseudo_id",
            "user_id": "$.user_id",
        },
    ),
    "nobody's names": (
        lambda number: {
            "what": ["open", "close", "buy"][number % 3],
            "moment": 1740823445123 + number * 1000,
            "who": {"login": f"u{number % 30}"},
            "amount": number / 3,
        },
        {
            "raw_event_name": "$.what",
            "occurred_at": "$.moment",
            "user_id": "$.who.login",
        },
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_columns_are_inferred_from_any_names(shape: str) -> None:
    make, expected = SHAPES[shape]
    fields, total = collect_fields(make(number) for number in range(500))
    inferred = infer_event_columns(fields, total)
    found = {
        column: column_inferred.fields[0].path
        for column, column_inferred in inferred.items()
        if column_inferred.fields and column in expected
    }
    assert found == expected
    questions = [
        column_inferred.question
        for column_inferred in inferred.values()
        if column_inferred.question
    ]
    assert bool(questions) == (shape == "nobody's names")


def test_columns_that_cannot_be_inferred_become_questions() -> None:
    fields, total = collect_fields({"a": number, "b": "same"} for number in range(99))
    inferred = infer_event_columns(fields, total)
    for column in ("raw_event_name", "occurred_at", "user_id"):
        assert "which one is it?" in (inferred[column].question or "")


def test_times_are_distinguished_from_other_numbers() -> None:
    for text in ("1740823445", "1740823445123", "1740823445123000", "2025-03-01"):
        assert is_time(text), text
    for text in ("7", "19990101", "4.25", "soon", "", "123456789012345678901234"):
        assert not is_time(text), text


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide clicks as JSON lines, accounts and logins as CSV, one file per day."""
    monkeypatch.delenv("CHURN_DUCKDB_PATH", raising=False)
    make, _ = SHAPES["segment"]
    (tmp_path / "clicks.jsonl").write_text(
        "".join(json.dumps(make(number)) + "\n" for number in range(500))
    )
    for day in (date(2025, 2, 1) + timedelta(days=number) for number in range(3)):
        pd.DataFrame(
            {
                "id": [f"acc{number}" for number in range(20)],
                "company": [f"Company {number}" for number in range(20)],
                "created_at": ["01/02/2024"] * 20,
                "closed_on": ["28/02/2025" if n == 3 else None for n in range(20)],
            }
        ).to_csv(tmp_path / f"accounts-{day}.csv", index=False)
        pd.DataFrame(
            {
                "login": [f"u{number}" for number in range(20)],
                "account": [f"acc{number}" for number in range(20)],
            }
        ).to_csv(tmp_path / f"logins-{day}.csv", index=False)
    return tmp_path


def write(company: Path, *more: str) -> int:
    return init.main(
        [
            "--events",
            f"{company}/clicks.jsonl",
            "--accounts",
            f"{company}/accounts-*.csv",
            "--out",
            f"{company}/mine",
            *more,
        ]
    )


def test_check_accepts_a_written_project_after_its_questions_are_answered(
    company: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(company, "--contacts", f"{company}/logins-*.csv") == 0
    output = capsys.readouterr().out
    assert "dbt deps" in output
    project = company / "mine"
    variables = yaml.safe_load((project / "dbt_project.yml").read_text())["vars"][
        "churn"
    ]
    assert variables["cancellation_source"] == "dates"
    assert variables["crm_date_format"] == "%d/%m/%Y"
    assert variables["has_contacts"] is True
    assert variables["has_support_calls"] is False
    accounts = variables["raw_accounts_columns"]
    assert accounts["account_id"] == "id"
    assert accounts["cancelled_service"] == "closed_on"
    assert accounts["seats"] is None
    with duckdb.connect(str(project / "mine.duckdb"), read_only=True) as connection:
        days = connection.execute(
            f"select distinct {accounts['batch_date']} from raw.raw_accounts order by 1"
        ).fetchall()
    assert [day for (day,) in days] == [date(2025, 2, number) for number in (1, 2, 3)]
    names = (project / "seeds/event_names.csv").read_text()
    assert "page viewed,page_view\n" in names
    assert "signed in,login\n" in names

    (project / "dbt_packages/churn").mkdir(parents=True)
    capsys.readouterr()
    assert check.main(["--project", str(project)]) == 1
    problems = capsys.readouterr().out.splitlines()
    assert problems
    assert all("delete the line" in problem for problem in problems), problems
    assert any("day before month?" in problem for problem in problems)

    for file in project.glob("**/*.yml"):
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if "QUESTION:" not in line))
    assert check.main(["--project", str(project)]) == 0
    assert "No problems found" in capsys.readouterr().out


def test_each_problem_is_one_line_with_its_remedy(
    company: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Without contacts, logins must be accounts, which they are not.
    assert write(company) == 0
    assert "--contacts" in capsys.readouterr().out
    project = company / "mine"
    settings = project / "dbt_project.yml"
    settings.write_text(
        settings.read_text()
        .replace("cancellation_source: dates", "cancellation_source: flags")
        .replace("company_name: company", "company_name: firm")
        .replace("has_invoices: false", "has_invoices: true")
    )
    (project / "seeds/event_names.csv").write_text("raw_name,event_name\n")
    check.main(["--project", str(project)])
    problems = capsys.readouterr().out.splitlines()
    for words in (
        "run `dbt deps`",
        "set cancellation_source to dates",
        "has no column `firm`",
        "set `has_invoices` to false",
        "event_names.csv has no row for page viewed, signed in",
        "map the JSON path and the column that hold the same user",
    ):
        assert sum(words in problem for problem in problems) == 1, (words, problems)
    assert all(problem.startswith("- ") for problem in problems)


def test_cancellation_events_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["play", "subscription cancelled", "resubscribed"]
    start = datetime(2025, 3, 1)
    rows = [
        {
            "event": names[number % 3],
            "time": (start + timedelta(minutes=number)).isoformat(),
            "user_id": f"u{number % 9}",
        }
        for number in range(300)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "clicks.parquet")
    pd.DataFrame({"account_id": [f"u{number}" for number in range(9)]}).to_csv(
        tmp_path / "people.csv", index=False
    )
    out = tmp_path / "tv"
    paths = [f"{tmp_path}/clicks.parquet", f"{tmp_path}/people.csv"]
    assert (
        init.main(["--events", paths[0], "--accounts", paths[1], "--out", str(out)])
        == 0
    )
    variables = yaml.safe_load((out / "dbt_project.yml").read_text())["vars"]["churn"]
    assert variables["cancellation_source"] == "events"
    assert variables["cancellation_events"] == ["subscription_cancelled"]
    assert variables["restart_events"] == ["resubscribed"]
    assert "which day's state" in capsys.readouterr().out
    # Columnar rows become JSON records.
    with duckdb.connect(str(out / "tv.duckdb"), read_only=True) as connection:
        payload, received = connection.execute(
            f"""select payload, {variables["raw_events_columns"]["received_at"]}
            from raw.raw_events order by 2 limit 1"""
        ).fetchone()
    assert json.loads(payload)["event"] == "play"
    assert received == start


def test_init_overwrites_nothing_and_reports_unreadable_files(
    company: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(company) == 0
    assert write(company) == 1
    assert "already" in capsys.readouterr().err
    assert init.main(["--events", f"{company}/no/*.gz", "--out", f"{company}/x"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (company / "x").exists()
    assert check.main(["--project", f"{company}/no"]) == 1
    assert "churn init" in capsys.readouterr().err


def test_the_streaming_example_is_inferred_as_written_by_hand(
    tmp_path: Path,
) -> None:
    """The field mapping of examples/streaming is inferred from its records alone."""
    script = ROOT / "examples" / "streaming" / "make_data.py"
    namespace: dict = {"__name__": "make_data"}
    exec(compile(script.read_text(), str(script), "exec"), namespace)
    namespace["DAYS"], namespace["SUBSCRIBERS"] = 60, 60
    namespace["main"](
        ["--out", str(tmp_path), "--database", str(tmp_path / "raw.duckdb")]
    )
    with duckdb.connect(str(tmp_path / "raw.duckdb")) as connection:
        connection.execute(f"copy lake.subscribers to '{tmp_path}/subscribers.parquet'")
    out = tmp_path / "streaming"
    draft = init.write_project(
        out,
        f"{tmp_path}/clicks/*.jsonl*",
        {"raw_accounts": f"{tmp_path}/subscribers.parquet"}
        | dict.fromkeys(["raw_contacts", "raw_invoices", "raw_calls"]),
        20_000,
    )
    by_hand = check.read_project(ROOT / "examples" / "streaming")
    inferred = check.read_project(out)
    for column in (
        *["event_id", "raw_event_name", "occurred_at", "sent_at", "anonymous_id"],
        *["user_id", "page_path", "product_category"],
    ):
        assert inferred.field_mapping[column] == by_hand.field_mapping[column], column
    for name in (
        *["cancellation_source", "has_contacts", "has_invoices", "has_support_calls"],
    ):
        assert inferred.variables[name] == by_hand.variables[name], name
    accounts = inferred.variables["raw_accounts_columns"]
    for column in ("batch_date", "loaded_at", "account_id", "plan"):
        assert accounts[column] == by_hand.variables["raw_accounts_columns"][column]
    assert set(inferred.variables["product_categories"]) == set(
        by_hand.variables["product_categories"]
    )
    assert len(draft.questions) <= 4
