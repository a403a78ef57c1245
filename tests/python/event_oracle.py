"""A brute-force reading of outcomes that clickstream events tell.

It walks one account's events in the order in which they happened, and knows nothing
of signals, batches and windows.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

DAY = timedelta(days=1)

# When an account starts (True) and cancels (False), in order of time.
Turns = list[tuple[datetime, bool]]

Periods = list[list[date | None]]


def periods_of(signup: date, turns: Turns) -> Periods:
    """Starts and ends, one day's last word being the one that counts."""
    periods: Periods = [[signup, None]]
    for day in sorted({time.date() for time, _ in turns}):
        if day < signup:
            continue
        kinds = [is_start for time, is_start in turns if time.date() == day]
        was_open = periods[-1][1] is None
        if kinds[-1]:
            if not was_open:
                periods.append([day, None])
        elif was_open:
            periods[-1][1] = day
        elif True in kinds:
            periods.append([day, day])
    return periods


def end_reason(periods: Periods, number: int, grace: int, known: date) -> str | None:
    """What the end of a period is, as of the last day that is known."""
    ended = periods[number][1]
    if ended is None:
        return None
    if number + 1 < len(periods) and periods[number + 1][0] - ended <= grace * DAY:
        return "pause"
    return "churn" if ended + grace * DAY <= known else "pending"
