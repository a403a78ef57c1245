"""Whether scores and their sources are fresh, by the clock of the reader.

`churn status`, the alerts and the banner of the page use these functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from churn.operations.schedule import Schedule
from churn.operations.sources import DAILY_SOURCES

SOURCE_NAMES = {
    "clickstream": "the clickstream",
    "crm": "the CRM",
    "billing": "billing",
    "support": "the call centre",
}


@dataclass(frozen=True)
class StaleSource:
    """A daily source whose newest data are too old.

    Attributes:
        source: The source.
        name: Its name in a sentence.
        through: The day of its newest data; ``None`` if it has none.
        missing: The days with data since then that have not arrived.
    """

    source: str
    name: str
    through: date | None
    missing: tuple[date, ...]


def stale_sources(
    data_through: Mapping[str, date | None], schedule: Schedule, as_of_date: date
) -> tuple[StaleSource, ...]:
    """Return the daily sources that make scores stale.

    Args:
        data_through: The day of the newest data in the scores, by source.
        schedule: The declared schedule.
        as_of_date: The as-of date of the scores.
    """
    found = []
    for source in DAILY_SOURCES:
        if source not in data_through:
            continue
        through = data_through[source]
        due = schedule.sources[source]
        if through is None:
            found.append(StaleSource(source, SOURCE_NAMES[source], None, ()))
        elif due.age_days(through, as_of_date) > schedule.stale_after_days:
            missing = tuple(due.missing_days(through, as_of_date))
            found.append(StaleSource(source, SOURCE_NAMES[source], through, missing))
    return tuple(found)


@dataclass(frozen=True)
class Freshness:
    """The age of a serving snapshot.

    Attributes:
        snapshot_age: Time since it was published.
        scores_age_days: Days since the as-of date.
        is_old: Whether newer scores are due.
        late: The daily sources that are stale.
        is_unreadable: Whether a newer snapshot cannot be read.
    """

    snapshot_age: timedelta
    scores_age_days: int
    is_old: bool
    late: tuple[StaleSource, ...]
    is_unreadable: bool

    @property
    def needs_banner(self) -> bool:
        """Return whether a reader should know before acting."""
        return self.is_old or bool(self.late) or self.is_unreadable


def freshness(meta: Mapping[str, Any], now: datetime) -> Freshness:
    """Compute the freshness of a snapshot at some time.

    Args:
        meta: The snapshot's ``meta``.
        now: The time, in UTC.
    """
    published = datetime.fromisoformat(meta["published_at"])
    if published.tzinfo is None:
        published = published.replace(tzinfo=UTC)
    # Snapshots of an earlier version have no schedule.
    schedule = Schedule.read(
        {"stale_after_days": meta["stale_after_days"], **meta.get("schedule", {})}
    )
    as_of_date = date.fromisoformat(meta["as_of_date"])
    return Freshness(
        snapshot_age=max(now - published, timedelta(0)),
        scores_age_days=(now.date() - as_of_date).days,
        is_old=as_of_date < schedule.due_as_of_date(now),
        late=stale_sources(days_through(meta["sources"]), schedule, as_of_date),
        is_unreadable=bool(meta.get("is_unreadable")),
    )


def days_through(values: Mapping[str, Any]) -> dict[str, date | None]:
    """Return the day of each time, date or ISO text."""
    return {
        source: None if value is None else date.fromisoformat(str(value)[:10])
        for source, value in values.items()
    }
