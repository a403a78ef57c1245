"""`init` proposes a project and asks; `check` reads the data as the build does."""

from __future__ import annotations

import csv
import json
import random
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from churn.config import Project, UserError
from churn.onboarding.check import CheckReport, check
from churn.onboarding.init import InitResult, init, load_sources
from churn.onboarding.questions import Answers, Question
from churn.onboarding.time_formats import detect_time_format, is_time
from tests.support.preset_samples import amplitude, ga4, segment, visits

VISITS = list(visits())[:1500]


def write_events(folder: Path, records: list[dict[str, Any]]) -> str:
    path = folder / "events.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def write_table(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def accounts_of_days(folder: Path, days: int, **columns: Any) -> str:
    """Write one extract of accounts per day; values may be functions of the account."""
    for offset in range(days):
        day = date(2025, 1, 1) + timedelta(days=offset)
        rows = [
            {
                "account_id": f"user-{number:03d}",
                **{
                    name: value(number, day) if callable(value) else value
                    for name, value in columns.items()
                },
            }
            for number in range(30)
        ]
        write_table(folder, f"accounts-{day}", rows)
    return f"{folder}/accounts-*.csv"


def variables(result: InitResult) -> dict[str, Any]:
    text = (result.folder / "dbt_project.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["vars"]["churn"]
    return found


def paths(result: InitResult) -> dict[str, list[str]]:
    (path,) = (result.folder / "models").glob("*.yml")
    (model,) = yaml.safe_load(path.read_text())["models"]
    return {
        column["name"]: column["config"]["meta"]["json_paths"]
        for column in model["columns"]
        if "config" in column
    }


def checked(result: InitResult) -> CheckReport:
    (result.folder / "dbt_packages" / "churn").mkdir(parents=True, exist_ok=True)
    return check(Project.load(result.folder, result.folder))


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHURN_DUCKDB_PATH", raising=False)


# ---- Events --------------------------------------------------------------------


@pytest.mark.parametrize("tracker", [None, "none"])
def test_a_counter_is_no_event_id(tmp_path: Path, tracker: str | None) -> None:
    events = write_events(tmp_path, [amplitude(visit) for visit in VISITS])
    result = init(tmp_path / "co", sources={"events": events}, tracker=tracker)
    assert paths(result)["event_id"][0] == '$."$insert_id"'
    assert "$.event_id" not in paths(result)["event_id"]
    assert {question.key for question in result.questions} <= {"accounts"}
    if tracker:
        assert any("is a counter" in note for note in result.notes)


@pytest.mark.slow
def test_check_reports_records_that_would_be_duplicates(tmp_path: Path) -> None:
    records = [{**amplitude(visit), "device_id": "one"} for visit in VISITS]
    events = write_events(tmp_path, records)
    result = init(tmp_path / "co", sources={"events": events})
    (path,) = (result.folder / "models").glob("*.yml")
    path.write_text(path.read_text().replace('$."$insert_id"', "$.event_id", 1))
    (problem,) = [p for p in checked(result).problems if "duplicates" in p]
    assert re.match(r"1,\d{3} of 1,500 sampled records \(\d\d%\)", problem)
    assert "change the json_paths of event_id" in problem


@pytest.mark.slow
def test_check_reports_identifiers_that_visitors_share(tmp_path: Path) -> None:
    events = write_events(tmp_path, [amplitude(visit) for visit in VISITS])
    result = init(tmp_path / "co", sources={"events": events})
    (path,) = (result.folder / "models").glob("*.yml")
    path.write_text(path.read_text().replace('$."$insert_id"', "$.event_id", 1))
    problems = checked(result).problems
    assert any(
        "share their event_id with events of other visitors" in p for p in problems
    )


def test_a_page_call_is_called_page(tmp_path: Path) -> None:
    events = write_events(tmp_path, [segment(visit) for visit in VISITS])
    for tracker in (None, "none"):
        result = init(
            tmp_path / f"co{tracker}", sources={"events": events}, tracker=tracker
        )
        names = dict(
            csv.reader((result.folder / "seeds" / "event_names.csv").open(newline=""))
        )
        assert names["page"] == "page_view"
        assert names["site searched"] == "search"
        assert "analytics.js" not in names


@pytest.mark.parametrize("tracker", [None, "none"])
def test_ga4_parameters_are_read(tmp_path: Path, tracker: str | None) -> None:
    events = write_events(tmp_path, [ga4(visit) for visit in VISITS])
    result = init(tmp_path / "co", sources={"events": events}, tracker=tracker)
    assert paths(result)["page_path"][0] == "$.event_params.page_location"
    assert "$.device.category" not in paths(result)["product_category"]
    assert variables(result)["product_categories"] == []
    assert paths(result)["event_id"] == []


def music_log(number: int) -> dict[str, Any]:
    draw = random.Random(number)
    page = draw.choice(
        ["NextSong"] * 12
        + [
            "Home",
            "Thumbs Up",
            "Thumbs Down",
            "Downgrade",
            "Settings",
            "Help",
            "Logout",
        ]
    )
    user = number % 25
    return {
        "ts": 1538352117000 + number * 1000,
        "userId": str(user),
        "sessionId": user,
        "page": page,
        "auth": "Cancelled" if number == 7 else "Logged In",
        "method": "GET" if page in ("Home", "Help", "Settings") else "PUT",
        "level": ["free", "paid"][user % 2],
        "location": f"City {user}, ST",
        "userAgent": f"Browser {user}",
        "gender": "FM"[user % 2],
        "artist": f"Artist {draw.randrange(400)}" if page == "NextSong" else None,
    }


def test_the_event_name_is_what_changes_within_a_visit(tmp_path: Path) -> None:
    events = write_events(tmp_path, [music_log(number) for number in range(2000)])
    result = init(tmp_path / "co", sources={"events": events})
    asked = {question.key: question for question in result.questions}
    question = asked["events.raw_event_name"]
    assert question.proposal == "$.page"
    assert question.candidates[0].value == "$.page"
    assert "distinct values" in question.candidates[0].evidence
    assert paths(result)["raw_event_name"] == ["$.page"]
    # Until a person has chosen it, its values stay out of the seed.
    seed = (result.folder / "seeds" / "event_names.csv").read_text()
    assert seed == "raw_name,event_name\n"


def test_identifiers_are_no_event_names(tmp_path: Path) -> None:
    records = [
        {
            "$insert_id": f"i{number}",
            "device_id": f"phone{number // 9}",
            "event_id": number % 9,
            "event_type": "page_view",
            "event_time": f"2025-02-{number + 1:02d} 10:00:00",
        }
        for number in range(10)
    ]
    sources = {"events": write_events(tmp_path, records)}
    result = init(tmp_path / "co", sources=sources, tracker="none")
    assert paths(result)["raw_event_name"] == ["$.event_type"]
    assert paths(result)["event_id"] == ['$."$insert_id"']


def test_times_in_one_strftime_format(tmp_path: Path) -> None:
    records = [
        {
            "event": "login",
            "user_id": f"u{n % 9}",
            "when": n,
            "time": f"{n:02d}-02-2025 10:04",
        }
        for n in range(1, 29)
    ]
    result = init(tmp_path / "co", sources={"events": write_events(tmp_path, records)})
    (path,) = (result.folder / "models").glob("*.yml")
    (model,) = yaml.safe_load(path.read_text())["models"]
    formats = {
        column["name"]: column["config"]["meta"].get("format")
        for column in model["columns"]
        if "config" in column
    }
    assert formats["occurred_at"] == "%d-%m-%Y %H:%M"
    assert not [p for p in checked(result).problems if "unreadable_event_time" in p]


# ---- Tables --------------------------------------------------------------------

EVENTS = [
    {
        "event": "page_view",
        "id": f"e{n}",
        "ts": f"2025-01-{n % 28 + 1:02d}T10:00:00Z",
        "user_id": f"user-{n % 30:03d}",
    }
    for n in range(900)
]


@pytest.mark.slow
def test_a_format_can_be_an_answer(tmp_path: Path) -> None:
    records = [
        {**each, "ts": f"at {datetime.fromisoformat(each['ts'][:-1]):%H:%M %Y|%d|%m}"}
        for each in EVENTS[:90]
    ]
    result = init(tmp_path / "co", sources={"events": write_events(tmp_path, records)})
    assert "events.occurred_at" in {question.key for question in result.questions}
    answered(
        result,
        **{
            "events.occurred_at": "$.ts",
            "events.occurred_at.format": "at %H:%M %Y|%d|%m",
        },
    )
    report = checked(result)
    assert "Events: 100.0% of 90 sampled records are readable." in report.facts


def answered(result: InitResult, **values: str) -> InitResult:
    answers = Answers.read(result.folder)
    assert answers is not None
    answers.answers |= values
    answers.write(result.folder)
    return init(result.folder)


@pytest.mark.parametrize(
    ("column", "words", "proposal"),
    [
        ("cancelled", (" X\r", ""), "X"),
        ("churned", ("nope", "still here"), None),
        ("status", ("Cancelled", "Active"), "Cancelled"),
        ("is_active", ("false", "true"), "false"),
    ],
)
def test_words_that_mean_cancelled_are_asked(
    tmp_path: Path, column: str, words: tuple[str, str], proposal: str | None
) -> None:
    accounts = accounts_of_days(
        tmp_path,
        2,
        signup_date="2024-01-05",
        **{column: lambda n, _: words[0] if n < 4 else words[1]},
    )
    sources = {"events": write_events(tmp_path, EVENTS[:90]), "accounts": accounts}
    result = init(tmp_path / "co", sources=sources)
    if column in ("status", "is_active"):
        (question,) = result.questions
        assert question.key == "accounts.cancelled_service"
        assert [candidate.value for candidate in question.candidates] == [column]
        result = answered(result, **{question.key: column})
    (question,) = result.questions
    assert question.key == "accounts.cancelled_service.values"
    assert question.proposal == proposal
    with pytest.raises(UserError, match="no such value"):
        answered(result, **{question.key: "perhaps"})
    result = answered(result, **{question.key: words[0].strip()})
    assert result.questions == []
    assert variables(result)["cancellation_source"] == "flags"
    expression = variables(result)["raw_accounts_columns"]["cancelled_service"]
    with duckdb.connect(str(result.folder / "co.duckdb"), read_only=True) as connection:
        assert dict(
            connection.execute(
                f"select {expression}, count(*) from raw.raw_accounts group by 1"
            ).fetchall()
        ) == {"Y": 8, "N" if words[1] else None: 52}


@pytest.mark.slow
def test_a_term_that_is_renewed_is_no_cancellation(tmp_path: Path) -> None:
    accounts = accounts_of_days(
        tmp_path,
        2,
        signup_date="2024-01-05",
        expires_at=lambda n, day: day + timedelta(days=n + 1),
    )
    sources = {"events": write_events(tmp_path, EVENTS), "accounts": accounts}
    problems = checked(init(tmp_path / "co", sources=sources)).problems
    assert any("30 of 30 active accounts" in problem for problem in problems)


@pytest.mark.parametrize(
    ("revenue", "currency"),
    [("$12.50", None), ("£12.50", "GBP"), ("CHF 12.-", "CHF")],
)
def test_a_currency_is_read_and_never_assumed(
    tmp_path: Path, revenue: str, currency: str | None
) -> None:
    accounts = accounts_of_days(tmp_path, 1, signup_date="2024-01-05", mrr=revenue)
    sources = {"events": write_events(tmp_path, EVENTS[:90]), "accounts": accounts}
    result = init(tmp_path / "co", sources=sources)
    assert variables(result)["currency"] == currency
    assert any("currency" in note or "is in" in note for note in result.notes)


def test_a_history_in_one_file_was_known_day_by_day(tmp_path: Path) -> None:
    days = [date(2025, 1, 1) + timedelta(days=offset) for offset in range(60)]
    rows = [
        {"exported_on": day, "account_id": "user-001", "signup_date": "2024-01-05"}
        for day in [*days, "2099-01-01", "infinity"]
    ]
    sources = {
        "events": write_events(tmp_path, EVENTS[:90]),
        "accounts": write_table(tmp_path, "accounts", rows),
    }
    result = init(tmp_path / "co", sources=sources)
    columns = variables(result)["raw_accounts_columns"]
    with duckdb.connect(str(result.folder / "co.duckdb"), read_only=True) as connection:
        found = connection.execute(
            f"select cast({columns['loaded_at']} as date) from raw.raw_accounts "
            "order by 1"
        ).fetchall()
    assert [day for (day,) in found] == [
        *(day + timedelta(days=1) for day in days),
        None,
        None,
    ]


@pytest.mark.slow
def test_customers_that_never_start_again(tmp_path: Path) -> None:
    records = [
        {**each, "event": "cancellation_confirmation"} if n % 90 == 0 else each
        for n, each in enumerate(EVENTS)
    ]
    accounts = accounts_of_days(tmp_path, 2, signup_date="2024-01-05")
    sources = {"events": write_events(tmp_path, records), "accounts": accounts}
    result = init(tmp_path / "co", sources=sources)
    assert {q.key for q in result.questions} == {
        "cancellation_source",
        "restart_events",
    }
    result = answered(result, cancellation_source="events", restart_events="none")
    assert result.questions == []
    assert variables(result)["restart_events"] == []
    problems = checked(result).problems
    assert not [p for p in problems if "restart_events" in p or "computed" in p]


def test_api_names_of_a_crm(tmp_path: Path) -> None:
    rows = [
        {
            "Id": f"user-{n:03d}",
            "Name": "x",
            "CreatedDate": "2024-01-01T10:00:00.000+0000",
            "Cancelled_Service__c": "2025-01-20" if n < 4 else "",
            "New_Customer__c": "",
        }
        for n in range(30)
    ]
    accounts = write_table(tmp_path, "accounts", rows)
    events = write_events(tmp_path, [*EVENTS, {**EVENTS[0], "event": "cancel_dialog"}])
    result = init(tmp_path / "co", sources={"events": events, "accounts": accounts})
    columns = variables(result)["raw_accounts_columns"]
    assert columns["cancelled_service"] == '"Cancelled_Service__c"'
    assert columns["new_customer"] == '"New_Customer__c"'
    assert columns["signup_date"] == '"CreatedDate"'
    assert variables(result)["cancellation_source"] == "dates"
    assert result.questions == []


def test_seconds_since_1970_and_names_of_subscribers(tmp_path: Path) -> None:
    rows = [
        {
            "user_id": f"user-{n:03d}",
            "plan_tier": "gold",
            "mrr_amount": "19.90",
            "created": 1704067200 + n,
            "canceled_at": 1737367200 if n < 4 else "",
        }
        for n in range(30)
    ]
    accounts = write_table(tmp_path, "accounts", rows)
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    columns = variables(result)["raw_accounts_columns"]
    assert columns["account_id"] == '"user_id"'
    assert columns["plan"] == '"plan_tier"'
    assert columns["monthly_recurring_revenue"] == '"mrr_amount"'
    assert result.questions == []
    with duckdb.connect(str(result.folder / "co.duckdb"), read_only=True) as connection:
        found = connection.execute(
            f"select {columns['signup_date']}, {columns['cancelled_service']} "
            "from raw.raw_accounts order by created limit 1"
        ).fetchall()
        kind = connection.execute(
            "select table_type from information_schema.tables "
            "where table_name = 'raw_accounts'"
        ).fetchall()
    assert found == [("2024-01-01 00:00:00", "2025-01-20 10:00:00")]
    # A view over files would make each build read them again.
    assert kind == [("BASE TABLE",)]


def test_yes_and_no_are_flags(tmp_path: Path) -> None:
    accounts = accounts_of_days(
        tmp_path,
        3,
        signup_date="2024-01-05",
        cancelled=lambda n, _: "Yes" if n < 4 else "No",
    )
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    assert variables(result)["cancellation_source"] == "flags"
    days = {"batch_date": "_file_date", "loaded_at": "_file_loaded_at"}
    assert variables(result)["raw_accounts_columns"].items() >= days.items()


@pytest.mark.parametrize(
    ("dates", "asks", "time_format"),
    [
        (["1/5/2024", "2/12/2024"], True, None),
        (["02/13/2024", "01/05/2024"], False, "%m/%d/%Y"),
        (["13/02/2024", "01/05/2024"], False, "%d/%m/%Y"),
        (["2024-05-01", "2024-12-02"], False, None),
    ],
)
def test_the_order_of_dates_is_asked_if_it_is_ambiguous(
    tmp_path: Path, dates: list[str], asks: bool, time_format: str | None
) -> None:
    accounts = accounts_of_days(
        tmp_path, 2, signup_date=lambda n, _: dates[n % 2], cancellation_date=""
    )
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    asked = [q for q in result.questions if q.key == "accounts.date_format"]
    assert bool(asked) == asks
    if asks:
        values = [candidate.value for candidate in asked[0].candidates]
        assert {"%d/%m/%Y", "%m/%d/%Y"} <= set(values)
        assert any("Open question" in p for p in checked(result).problems)
        answers = Answers.read(result.folder)
        assert answers is not None
        answers.answers["accounts.date_format"] = "%m/%d/%Y"
        answers.write(result.folder)
        result = init(result.folder)
        assert result.questions == []
        time_format = "%m/%d/%Y"
    assert variables(result).get("crm_date_format") == time_format


@pytest.mark.slow
def test_check_accepts_no_column_without_a_readable_value(tmp_path: Path) -> None:
    accounts = accounts_of_days(
        tmp_path,
        5,
        signup_date=lambda n, _: f"{n % 12 + 1}/5/2024",
        cancelled_service=lambda n, _: "maybe" if n < 5 else "",
    )
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    answers = Answers.read(result.folder)
    assert answers is not None
    answers.variables = {"crm_date_format": None}
    answers.write(result.folder)
    init(result.folder)
    problems = checked(result).problems
    assert any("values of `signup_date`" in p and "`9/9/9999`" in p for p in problems)


@pytest.mark.slow
def test_a_short_history_is_reported(tmp_path: Path) -> None:
    accounts = accounts_of_days(
        tmp_path,
        30,
        signup_date="2024-01-05",
        cancellation_date=lambda n, day: (
            "2025-01-10" if n < 6 and day.day >= 10 else ""
        ),
    )
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    (problem,) = checked(result).problems
    assert "cover 30 days" in problem
    assert "more than 60" in problem
    answers = Answers.read(result.folder)
    assert answers is not None
    answers.variables = {"churn_horizon_days": 7, "churn_grace_days": 7}
    answers.write(result.folder)
    report = checked(init(result.folder))
    assert report.problems == [], report.facts


def test_a_refused_variable_is_reported(tmp_path: Path) -> None:
    result = init(tmp_path / "co", sources={"events": write_events(tmp_path, EVENTS)})
    answers = Answers.read(result.folder)
    assert answers is not None
    answers.variables = {"churn_horizon_days": 0}
    answers.write(result.folder)
    init(result.folder)
    problems = checked(result).problems
    assert any("churn_horizon_days` is `0`" in problem for problem in problems)


# ---- Answers -------------------------------------------------------------------


def test_questions_are_asked_and_answers_kept(tmp_path: Path) -> None:
    events = write_events(tmp_path, [music_log(number) for number in range(2000)])
    asked: list[Question] = []

    def ask(question: Question) -> str | None:
        asked.append(question)
        return {"events.raw_event_name": "$.page", "events.page_view": "home"}.get(
            question.key
        )

    result = init(tmp_path / "co", sources={"events": events}, ask=ask)
    assert {"events.raw_event_name"} <= {question.key for question in asked}
    answers = Answers.read(result.folder)
    assert answers is not None
    assert answers.answers["events.raw_event_name"] == "$.page"
    again = init(result.folder)
    assert "events.raw_event_name" not in {q.key for q in again.questions}


def test_more_data_is_loaded_once(tmp_path: Path) -> None:
    accounts = accounts_of_days(
        tmp_path, 2, signup_date="2024-01-05", cancellation_date=""
    )
    sources = {"events": write_events(tmp_path, EVENTS), "accounts": accounts}
    result = init(tmp_path / "co", sources=sources)
    assert result.loaded_rows == {"raw_accounts": 60}
    accounts_of_days(tmp_path, 3, signup_date="2024-01-05", cancellation_date="")
    database = result.folder / "co.duckdb"
    assert load_sources(result.folder, database).loaded_rows == {"raw_accounts": 30}
    assert init(result.folder).loaded_rows == {}


def test_an_extract_that_is_overwritten_daily_becomes_batches(tmp_path: Path) -> None:
    sources = {
        "events": write_events(tmp_path, EVENTS),
        "accounts": write_table(
            tmp_path, "accounts", [{"account_id": "a", "signup_date": "2024-01-05"}]
        ),
    }
    result = init(tmp_path / "co", sources=sources)
    write_table(
        tmp_path,
        "accounts",
        [{"account_id": "a", "signup_date": "2024-01-05", "plan": "x"}],
    )
    assert load_sources(result.folder, result.folder / "co.duckdb").loaded_rows == {
        "raw_accounts": 1
    }
    with duckdb.connect(str(result.folder / "co.duckdb")) as connection:
        rows = connection.execute("select plan from raw.raw_accounts").fetchall()
    assert sorted(rows, key=str) == [("x",), (None,)]


def test_no_personal_data_is_written_into_files_that_people_commit(
    tmp_path: Path,
) -> None:
    records = [
        {
            **record,
            "email": "zdenka.smith@example.com",
            "name": "Zdenka Smith",
            "x": record["id"],
        }
        for record in EVENTS
    ]
    accounts = accounts_of_days(
        tmp_path, 2, owner="Bob Brown", started="1/2/2024", phone="+49 30 1234"
    )
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, records), "accounts": accounts},
    )
    assert result.questions
    for path in result.folder.rglob("*"):
        if path.suffix in (".yml", ".csv", ".sql"):
            text = path.read_text().lower()
            for secret in ("zdenka", "smith", "bob", "brown", "1234", "user-0"):
                assert secret not in text, (path.name, secret)


def test_another_project_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: mine\n")
    with pytest.raises(UserError, match="name another folder"):
        init(tmp_path, sources={"events": write_events(tmp_path, EVENTS)})
    assert (tmp_path / "dbt_project.yml").read_text() == "name: mine\n"


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({}, "--events"),
        ({"events": "/nowhere/*.jsonl"}, "No file matches"),
        (
            {"events": "{tmp}/events.jsonl", "accounts": "/nowhere/*.csv"},
            "No file matches",
        ),
        ({"events": "{tmp}/events.jsonl", "accounts": "{tmp}/empty"}, "cannot be read"),
    ],
)
def test_unreadable_sources_are_one_sentence(
    tmp_path: Path, sources: dict[str, str], message: str
) -> None:
    write_events(tmp_path, EVENTS)
    (tmp_path / "empty").write_text("")
    given = {
        name: path.replace("{tmp}", str(tmp_path)) for name, path in sources.items()
    }
    with pytest.raises(UserError, match=message):
        init(tmp_path / "co", sources=given)
    assert not (tmp_path / "co" / "dbt_project.yml").exists()


# ---- Times ---------------------------------------------------------------------


def test_white_space_words_for_null_and_placeholder_dates(tmp_path: Path) -> None:
    """Exports write these instead of nothing, or around a value."""
    spaces = ["\r", "\u00a0", "\t", "\u200b", "\ufeff", "\u3000"]
    nothing = ["", "N/A", "-", "None", "NaT", "9999-12-31", "0000-00-00 00:00:00"]

    def padded(value: str, number: int) -> str:
        return spaces[number % len(spaces)] + value + spaces[number % len(spaces)]

    accounts = accounts_of_days(
        tmp_path,
        3,
        signup_date=lambda n, _: padded("2024-01-05 00:00:00 UTC", n),
        cancelled_service=lambda n, _: padded(
            "2025-01-02" if n < 4 else nothing[n % len(nothing)], n
        ),
        mrr=lambda n, _: padded(
            ["(12.50)", "12.50-", "CHF 12.-", "1,25,000"][n % 4], n
        ),
    )
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    assert result.questions == []
    report = checked(result)
    assert not [p for p in report.problems if "cannot be read" in p]
    for column in ("signup_date", "cancelled_service", "monthly_recurring_revenue"):
        assert f"Accounts: {column} is readable in 100.0%." in report.facts


def test_other_dates_of_a_table_show_the_order(tmp_path: Path) -> None:
    accounts = accounts_of_days(
        tmp_path,
        2,
        signup_date=lambda n, _: f"{n % 12 + 1}/{n % 28 + 1}/2024",
        cancelled_service=lambda n, _: "2/10/2025" if n < 4 else "",
    )
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    assert result.questions == []
    assert variables(result)["crm_date_format"] == "%m/%d/%Y"
    assert any("is read as `%m/%d/%Y`" in note for note in result.notes)


def test_days_of_a_spreadsheet_are_dates(tmp_path: Path) -> None:
    accounts = accounts_of_days(tmp_path, 2, signup_date="45296", cancelled_at="45698")
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    columns = variables(result)["raw_accounts_columns"]
    with duckdb.connect(str(result.folder / "co.duckdb"), read_only=True) as connection:
        assert connection.execute(
            f"select {columns['signup_date']}, {columns['cancelled_service']} "
            "from raw.raw_accounts limit 1"
        ).fetchall() == [("2024-01-05 00:00:00", "2025-02-10 00:00:00")]


def test_a_constant_is_no_event_name(tmp_path: Path) -> None:
    records = [
        {
            "type": "event",
            "stage": ["open", "closed", "browse"][n % 3],
            "ts": EVENTS[n]["ts"],
            "user_id": EVENTS[n]["user_id"],
        }
        for n in range(900)
    ]
    result = init(tmp_path / "co", sources={"events": write_events(tmp_path, records)})
    asked = {question.key: question for question in result.questions}
    assert asked["events.raw_event_name"].proposal == "$.stage"


def test_columns_of_an_installed_package_have_a_namespace(tmp_path: Path) -> None:
    accounts = accounts_of_days(
        tmp_path, 2, acme__Signup_Date__c="2024-01-05", acme__Cancelled_Service__c=""
    )
    result = init(
        tmp_path / "co",
        sources={"events": write_events(tmp_path, EVENTS), "accounts": accounts},
    )
    columns = variables(result)["raw_accounts_columns"]
    assert columns["signup_date"] == '"acme__Signup_Date__c"'
    assert columns["cancelled_service"] == '"acme__Cancelled_Service__c"'


@pytest.mark.parametrize(
    "time_format",
    [
        "%Y%m%d%H%M%S",
        "%d/%b/%Y:%H:%M:%S +0000",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%Y%m%dT%H%M%SZ",
        "%H:%M:%S %d/%m/%Y",
        "%m/%d/%Y, %I:%M:%S %p",
    ],
)
def test_formats_of_logs_are_recognised(time_format: str) -> None:
    times = [datetime(2025, 2, day, day, 7, 9) for day in range(1, 24)]
    found = detect_time_format([each.strftime(time_format) for each in times])
    assert found is not None
    assert found.formats == (time_format,)


def test_times_are_distinguished_from_other_numbers() -> None:
    for text in (
        "1740823445",
        "1740823445123",
        "1740823445123000",
        "2025-03-01",
        "\ufeff1740823445",
    ):
        assert is_time(text), text
    for text in ("7", "19990101", "4.25", "soon", "", "123456789012345678901234"):
        assert not is_time(text), text


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["2025-03-01", "2025-03-01 10:00:00+02:00"], ("iso",)),
        (["1740823445", "1740823446"], ("seconds",)),
        (["31-12-2024 10:00"], ("%d-%m-%Y %H:%M",)),
        (["12/31/2024 1:05 PM"], ("%m/%d/%Y %I:%M %p",)),
        (["1 Mar 2024"], ("%d %b %Y",)),
        (["2025-03-01 10:00:00+00", "2025-03-01T10:00:00.5-07"], ("iso",)),
        (["03-14-25 10:00"], ("%m-%d-%y %H:%M",)),
        (["Sat Mar 15 10:00:00 2025"], ("%a %b %d %H:%M:%S %Y",)),
        (["Sat Mar 15 10:00:00 +0000 2025"], ("%a %b %d %H:%M:%S +0000 %Y",)),
        (["red", "blue"], None),
    ],
)
def test_formats_of_times(values: list[str], formats: tuple[str, ...] | None) -> None:
    found = detect_time_format(values)
    assert (found.formats if found else None) == formats
