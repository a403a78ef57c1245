"""A brute-force reading of outcomes that clickstream events tell.

It walks one account's events in the order in which they happened, and knows nothing
of signals, batches and windows.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

DAY = timedelta(days=1)

# When an account starts (True) and cancels (False), in order of time.
Turns = list[tuple[datetime, bool]]

Spells = list[list[date | None]]


def spells_of(signup: date, turns: Turns) -> Spells:
    """Starts and ends, one day's last word being the one that counts."""
    spells: Spells = [[signup, None]]
    for day in sorted({time.date() for time, _ in turns}):
        if day < signup:
            continue
        kinds = [is_start for time, is_start in turns if time.date() == day]
        was_open = spells[-1][1] is None
        if kinds[-1]:
            if not was_open:
                spells.append([day, None])
        elif was_open:
            spells[-1][1] = day
        elif True in kinds:
            spells.append([day, day])
    return spells


def end_kind(spells: Spells, number: int, grace: int, known: date) -> str | None:
    """What the end of a spell is, as of the last day that is known."""
    ended = spells[number][1]
    if ended is None:
        return None
    if number + 1 < len(spells) and spells[number + 1][0] - ended <= grace * DAY:
        return "pause"
    return "churn" if ended + grace * DAY <= known else "pending"
