"""When each source delivers, and when the scores of a day must exist.

The variable ``sources_due`` declares it. All times are UTC. The data of a day are due
on the next morning, at ``due_hour``. Days without data do not count for any age.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from churn.config import UserError
from churn.operations.sources import DAILY_SOURCES, SOURCES

WEEKDAYS = (
    *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
)
DAY = timedelta(days=1)
# Years of the clock with which dates can be computed.
_YEARS = range(1970, 9000)


def utc_now() -> datetime:
    """Return the time in UTC: the clock's, or that of ``CHURN_NOW``.

    Tests and replays of past days set ``CHURN_NOW``, such as ``2025-08-27T06:15:00``.

    Raises:
        UserError: ``CHURN_NOW`` is no time.
    """
    text = os.environ.get("CHURN_NOW")
    if not text:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        if moment.year not in _YEARS:
            raise ValueError
    except (ValueError, OverflowError):
        raise UserError(
            f"CHURN_NOW is `{text}`: set it to a time such as 2025-08-27T06:15:00, or "
            "unset it to use the clock."
        ) from None
    return moment


@dataclass(frozen=True)
class SourceSchedule:
    """When one source delivers.

    Attributes:
        source: One of `SOURCES`.
        due_hour: Hour (UTC) at which the data of the day before are due.
        wait_minutes: Minutes after that hour for which a run waits for them.
        late_after_hours: Hours since the last arrival after which the source is late.
        stale_after_hours: Hours since the last arrival after which it is stale.
        weekdays: Numbers of the weekdays with data; 0 is Monday.
        days_without_data: Dates without data.
    """

    source: str
    due_hour: int = 6
    wait_minutes: int = 90
    late_after_hours: int = 36
    stale_after_hours: int = 72
    weekdays: frozenset[int] = frozenset(range(7))
    days_without_data: frozenset[date] = frozenset()

    @property
    def delivers_daily(self) -> bool:
        """Return whether a day without data is a gap."""
        return self.source in DAILY_SOURCES

    def has_data(self, day: date) -> bool:
        """Return whether the source has data of a day."""
        return day.weekday() in self.weekdays and day not in self.days_without_data

    def due_at(self, day: date) -> datetime:
        """Return when the data of a day are due, in UTC."""
        return datetime.combine(day + DAY, time(self.due_hour), UTC)

    def wait_until(self, day: date) -> datetime:
        """Return until when a run waits for the data of a day, in UTC."""
        return self.due_at(day) + timedelta(minutes=self.wait_minutes)

    def latest_due_day(self, now: datetime) -> date:
        """Return the latest day whose data are due."""
        day = (now - timedelta(hours=self.due_hour)).date() - DAY
        while not self.has_data(day):
            day -= DAY
        return day

    def missing_days(self, after: date, before: date) -> list[date]:
        """Return the days with data strictly between two dates."""
        count = (before - after).days
        days = (after + timedelta(days=number) for number in range(1, count))
        return [day for day in days if self.has_data(day)]

    def age_days(self, through: date, as_of: date) -> int:
        """Return the age of data on a date, in days; see the macro of this name."""
        if through >= as_of:
            return (as_of - through).days
        return len(self.missing_days(through, as_of)) + 1

    def age_of_arrival(self, arrived_at: datetime, now: datetime) -> timedelta:
        """Return the time since an arrival, without the days without data."""
        day, idle = arrived_at.date(), timedelta()
        # The data of a day arrive on the next morning.
        while day < now.date() - DAY:
            idle += timedelta() if self.has_data(day) else DAY
            day += DAY
        return now - arrived_at - idle


@dataclass(frozen=True)
class Schedule:
    """When sources and scores are due, and when they are stale.

    Attributes:
        sources: The schedule of each source that the company has.
        scores_due_hour: Hour (UTC) from which the scores of the day must exist.
        allowed_lateness_hours: Hour (UTC) at which the data of the day before are
            complete, so that a run can score the day.
        stale_after_days: Age of daily sources in days above which scores are stale.
        model_late_after_days: Days without training after which a warning is due.
    """

    sources: Mapping[str, SourceSchedule]
    scores_due_hour: int = 9
    allowed_lateness_hours: int = 6
    stale_after_days: int = 2
    model_late_after_days: int = 35

    def due_as_of_date(self, now: datetime) -> date:
        """Return the as-of date whose scores must exist for readers."""
        return (now - timedelta(hours=self.scores_due_hour)).date()

    def complete_as_of_date(self, now: datetime) -> date:
        """Return the as-of date that a run must score."""
        return (now - timedelta(hours=self.allowed_lateness_hours)).date()

    def as_settings(self) -> dict[str, Any]:
        """Return what `Schedule.read` reads, for a snapshot."""
        return {
            "scores_due_hour": self.scores_due_hour,
            "allowed_lateness_hours": self.allowed_lateness_hours,
            "stale_after_days": self.stale_after_days,
            "model_late_after_days": self.model_late_after_days,
            "has_contacts": "contacts" in self.sources,
            "has_invoices": "billing" in self.sources,
            "has_support_calls": "support" in self.sources,
            "sources_due": {
                name: {
                    "due_hour": each.due_hour,
                    "wait_minutes": each.wait_minutes,
                    "late_after_hours": each.late_after_hours,
                    "stale_after_hours": each.stale_after_hours,
                    "weekdays": [WEEKDAYS[number] for number in sorted(each.weekdays)],
                    "days_without_data": sorted(map(str, each.days_without_data)),
                }
                for name, each in self.sources.items()
            },
        }

    @classmethod
    def read(cls, variables: Mapping[str, Any]) -> Schedule:
        """Read the schedule from the project's variables.

        Raises:
            UserError: ``sources_due`` cannot be used.
        """
        entries = variables.get("sources_due") or {}
        present = {
            "clickstream": True,
            "crm": True,
            "contacts": bool(variables.get("has_contacts", True)),
            "billing": bool(variables.get("has_invoices", True)),
            "support": bool(variables.get("has_support_calls", True)),
        }
        try:
            sources = {
                name: _source(name, entries.get(name) or {})
                for name in SOURCES
                if present[name]
            }
            return cls(
                sources,
                int(variables.get("scores_due_hour", 9)),
                int(variables.get("allowed_lateness_hours", 6)),
                int(variables.get("stale_after_days", 2)),
                int(variables.get("model_late_after_days", 35)),
            )
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(
                f"The variable `sources_due` cannot be used ({error}): write it as "
                "dbt_project.yml of the package does."
            ) from None


def _source(name: str, entry: Mapping[str, Any]) -> SourceSchedule:
    numbers = {
        key: int(entry[key])
        for key in ("due_hour", "wait_minutes", "late_after_hours", "stale_after_hours")
        if key in entry
    }
    weekdays = frozenset(map(WEEKDAYS.index, entry.get("weekdays") or WEEKDAYS))
    holidays = frozenset(
        date.fromisoformat(str(day)) for day in entry.get("days_without_data") or ()
    )
    return SourceSchedule(
        name, weekdays=weekdays, days_without_data=holidays, **numbers
    )
