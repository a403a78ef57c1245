"""How old the published scores and their sources are, by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

SOURCE_NAMES = {
    "clickstream": "the clickstream",
    "crm": "the CRM",
    "billing": "billing",
    "support": "the call centre",
}
# Invoices and calls do not arrive every day: see `is_stale` of churn_scores.
DAILY_SOURCES = ("clickstream", "crm")
# Hours after which a daily publish is missing.
PUBLISH_HOURS = 36


@dataclass(frozen=True)
class LateSource:
    """A source that has not delivered: its name, last day and age in days."""

    name: str
    through: str | None
    days: int | None


@dataclass(frozen=True)
class Freshness:
    """The age of the snapshot.

    Attributes:
        snapshot_age: Time since it was published.
        scores_age_days: Days since the as-of date.
        late: The daily sources that are late.
        is_unreadable: Whether a newer snapshot cannot be read.
    """

    snapshot_age: timedelta
    scores_age_days: int
    late: tuple[LateSource, ...]
    is_unreadable: bool

    @property
    def is_old(self) -> bool:
        """Return whether the last publish is missing."""
        return self.snapshot_age > timedelta(hours=PUBLISH_HOURS)

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
    today = now.date()
    sources = meta["sources"]
    late = []
    for key in DAILY_SOURCES:
        if key not in sources:
            continue
        through = sources[key]
        days = None
        if through is not None:
            days = (today - date.fromisoformat(through[:10])).days
        # Yesterday's batch is loaded today, so one day is normal.
        if days is None or days > meta["stale_after_days"] + 1:
            late.append(LateSource(SOURCE_NAMES[key], through, days))
    return Freshness(
        snapshot_age=max(now - published, timedelta(0)),
        scores_age_days=(today - date.fromisoformat(meta["as_of_date"])).days,
        late=tuple(late),
        is_unreadable=bool(meta.get("is_unreadable")),
    )
