"""A brute-force computation of subscription periods from clickstream events.

It processes one account's events in the order in which they happened, and shares no
code with the models.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

DAY = timedelta(days=1)

# Time and whether it is a start (True) or a cancellation (False), sorted by time.
Transitions = list[tuple[datetime, bool]]

Periods = list[list[date | None]]


def periods_of(signup: date, transitions: Transitions) -> Periods:
    """Return start and end of each period; the last event of a day counts."""
    periods: Periods = [[signup, None]]
    for day in sorted({time.date() for time, _ in transitions}):
        if day < signup:
            continue
        starts_of_day = [
            is_start for time, is_start in transitions if time.date() == day
        ]
        was_open = periods[-1][1] is None
        if starts_of_day[-1]:
            if not was_open:
                periods.append([day, None])
        elif was_open:
            periods[-1][1] = day
        elif True in starts_of_day:
            periods.append([day, day])
    return periods


def end_reason(
    periods: Periods, number: int, grace: int, data_through: date
) -> str | None:
    """Return the end reason of a period, with data through a date."""
    ended = periods[number][1]
    if ended is None:
        return None
    if number + 1 < len(periods) and periods[number + 1][0] - ended <= grace * DAY:
        return "pause"
    return "churn" if ended + grace * DAY <= data_through else "pending"
