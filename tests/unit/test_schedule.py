"""Ages, gaps and the hours from which scores and sources are due."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.config import UserError
from churn.operations.freshness import stale_sources
from churn.operations.schedule import DAY, Schedule, SourceSchedule, utc_now
from churn.operations.status import (
    CRITICAL,
    OK,
    STALE,
    Facts,
    SourceFacts,
    _short_days,
    evaluate,
)

NOW = datetime(2025, 8, 27, 10, 0, tzinfo=UTC)
TODAY = NOW.date()
DAYS = st.dates(date(2024, 1, 1), date(2026, 12, 31))
SCHEDULES = st.builds(
    SourceSchedule,
    source=st.just("crm"),
    due_hour=st.integers(0, 23),
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    days_without_data=st.frozensets(DAYS, max_size=5),
)


@given(SCHEDULES, DAYS, st.integers(0, 40))
def test_days_without_data_do_not_age(
    due: SourceSchedule, through: date, days: int
) -> None:
    """The age counts the days between one by one."""
    as_of = through + days * DAY
    between = [through + number * DAY for number in range(1, days)]
    expected = sum(map(due.has_data, between)) + (days > 0)
    assert due.age_days(through, as_of) == expected
    assert due.missing_days(through, as_of) == list(filter(due.has_data, between))


@given(SCHEDULES, st.datetimes(datetime(2024, 2, 1), datetime(2026, 1, 1)))
def test_the_latest_due_day_is_due_and_the_next_is_not(
    due: SourceSchedule, moment: datetime
) -> None:
    now = moment.replace(tzinfo=UTC)
    day = due.latest_due_day(now)
    assert due.has_data(day)
    assert due.due_at(day) <= now
    later = (day + number * DAY for number in range(1, 60))
    following = next((each for each in later if due.has_data(each)), None)
    assert following is None or due.due_at(following) > now


def test_arrivals_age_by_hours_and_skip_weekends() -> None:
    weekdays = SourceSchedule("crm", weekdays=frozenset(range(5)))
    # The batch of Friday 22 August arrives on Saturday, that of Monday on Tuesday.
    arrived = datetime(2025, 8, 23, 4, 0, tzinfo=UTC)
    tuesday = datetime(2025, 8, 26, 4, 0, tzinfo=UTC)
    assert weekdays.age_of_arrival(arrived, tuesday) == timedelta(hours=24)
    daily = SourceSchedule("crm")
    assert daily.age_of_arrival(arrived, tuesday) == timedelta(hours=72)


@pytest.mark.parametrize(
    ("crm", "clickstream", "stale"),
    [
        (1, 0, []),
        (2, 2, []),
        (3, 0, ["crm"]),
        (1, 3, ["clickstream"]),
        (None, 0, ["crm"]),
    ],
)
def test_sources_are_stale_as_in_the_models(
    crm: int | None, clickstream: int, stale: list[str]
) -> None:
    through = {
        "crm": None if crm is None else TODAY - crm * DAY,
        "clickstream": TODAY - clickstream * DAY,
    }
    found = stale_sources(through, Schedule.read({}), TODAY)
    assert [each.source for each in found] == stale


def facts(**changes: object) -> Facts:
    """Return the facts of a morning without problems."""
    arrived = datetime(2025, 8, 27, 5, 0, tzinfo=UTC)
    through = {"clickstream": TODAY, "crm": TODAY - DAY}
    days = frozenset(TODAY - number * DAY for number in range(20))
    tables = {
        **{"clickstream": "raw_events", "crm": "raw_accounts"},
        **{"contacts": "raw_contacts", "billing": "raw_invoices"},
        "support": "raw_calls",
    }
    sources = {
        name: SourceFacts(
            {table: arrived},
            TODAY,
            days if name in ("clickstream", "crm") else None,
        )
        for name, table in tables.items()
    }
    values = {
        "as_of_date": TODAY,
        "accounts": 102,
        "data_through": through,
        "model_version": "m1",
        "trained_at": NOW - timedelta(days=3),
        "sources": sources,
    }
    return Facts(**{**values, **changes})  # type: ignore[arg-type]


def test_a_morning_without_problems_is_ok() -> None:
    status = evaluate(facts(), Schedule.read({}), NOW)
    assert status.problems == ()
    assert status.exit_code == OK


def test_scores_that_are_late_name_the_day() -> None:
    late = facts(as_of_date=TODAY - DAY, data_through={"crm": TODAY - 2 * DAY})
    schedule = Schedule.read({})
    (problem,) = evaluate(late, schedule, NOW).problems
    assert problem.severity == CRITICAL
    assert problem.exit_code == STALE
    assert problem.sentence == (
        "Scores of 27 Aug are missing: the newest are of 26 Aug."
    )
    # They are due at nine.
    assert evaluate(late, schedule, NOW.replace(hour=8)).problems == ()


def test_a_model_that_cannot_be_trained_again_is_a_warning() -> None:
    old = facts(trained_at=NOW - timedelta(days=36))
    status = evaluate(old, Schedule.read({}), NOW)
    assert [problem.key for problem in status.problems] == ["model_late"]
    assert status.exit_code == OK


def test_no_scores_are_a_failure() -> None:
    status = evaluate(facts(as_of_date=None), Schedule.read({}), NOW)
    assert [problem.key for problem in status.problems] == ["no_scores"]
    assert status.exit_code == 1


def test_a_page_behind_the_scores_is_stale() -> None:
    old = {"as_of_date": str(TODAY - DAY), "published_at": str(NOW)}
    status = evaluate(facts(), Schedule.read({}), NOW, snapshot=old)
    assert [problem.key for problem in status.problems] == ["snapshot_old"]
    broken = evaluate(facts(), Schedule.read({}), NOW, snapshot={"problem": "damaged"})
    assert broken.exit_code == 1


def test_days_are_listed_briefly() -> None:
    days = [date(2025, 8, 30) + number * DAY for number in range(6)]
    assert _short_days(days[:1]) == "30 Aug"
    assert _short_days(days[:2]) == "30 and 31 Aug"
    assert _short_days(days[:3]) == "30, 31 Aug and 1 Sep"
    assert _short_days(days) == "30 Aug to 4 Sep"


def test_a_schedule_that_cannot_be_used_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match="sources_due"):
        Schedule.read({"sources_due": {"crm": {"weekdays": ["Funday"]}}})
    monkeypatch.setenv("CHURN_NOW", "tomorrow")
    with pytest.raises(UserError, match="CHURN_NOW"):
        utc_now()


def test_a_schedule_survives_a_snapshot() -> None:
    variables = {
        "has_invoices": False,
        "stale_after_days": 4,
        "sources_due": {
            "crm": {"weekdays": ["monday"], "days_without_data": ["2025-12-25"]}
        },
    }
    schedule = Schedule.read(variables)
    assert Schedule.read(schedule.as_settings()) == schedule
    assert "billing" not in schedule.sources
