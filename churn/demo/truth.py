"""Write the hidden state of the company, for evaluation only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from churn.demo import identifiers
from churn.demo.company import Company
from churn.demo.lifecycle import OPEN, Lifecycle
from churn.demo.settings import Settings

HAZARD_HEADER = "account_id,as_of_date,monthly_hazard,dissatisfaction,considers_leaving"
VISITORS_HEADER = "visitor_id,kind,user_id,account_id"
_CHUNK = 50_000


def hazard_rows(
    settings: Settings, company: Company, lifecycle: Lifecycle, day: int
) -> list[str]:
    """Return one row per open account if ``day`` is in ``truth_day``, else none."""
    truth_rows = np.flatnonzero(lifecycle.truth_day == day)
    if not len(truth_rows):
        return []
    # Open in the morning: signed up before the day and not closed before it.
    state = lifecycle.state[max(day - 1, 0)]
    accounts = np.flatnonzero((state == OPEN) & (company.signup_day < day))
    hazard = lifecycle.truth[truth_rows[0]][accounts].tolist()
    mood = lifecycle.mood[day][accounts].tolist()
    considers = lifecycle.considers[day][accounts].astype(int).tolist()
    text = settings.day_text(day)
    return [
        f"{company.account_id[account]},{text},{probability:.5f},{low:.3f},{considering}"
        for account, probability, low, considering in zip(
            accounts.tolist(), hazard, mood, considers, strict=True
        )
    ]


def visitor_rows(settings: Settings, company: Company) -> Iterator[list[str]]:
    """Yield the true owner of each visitor, in chunks of rows.

    ``kind`` is ``person`` (a user's device), ``server`` (server events that have only
    the user's identifier), ``kiosk`` (a shared device) or ``stranger``.
    """
    owner = np.repeat(np.arange(company.users), company.device_count)
    for start in range(0, company.devices, _CHUNK):
        devices = np.arange(start, min(start + _CHUNK, company.devices))
        visitors = identifiers.anonymous_ids(devices, settings.seed)
        own = devices[devices < company.first_kiosk]
        users = owner[own]
        rows = [
            f"{visitor},person,{user},{company.account_id[account]}"
            for visitor, user, account in zip(
                visitors[: len(own)],
                identifiers.user_ids(users),
                company.user_account[users].tolist(),
                strict=True,
            )
        ]
        rows += [
            f"{visitor},{'kiosk' if device < company.first_stranger else 'stranger'},,"
            for visitor, device in zip(
                visitors[len(own) :], devices[len(own) :].tolist(), strict=True
            )
        ]
        yield rows
    for start in range(0, company.users, _CHUNK):
        users = np.arange(start, min(start + _CHUNK, company.users))
        yield [
            f"{user},server,{user},{company.account_id[account]}"
            for user, account in zip(
                identifiers.user_ids(users),
                company.user_account[users].tolist(),
                strict=True,
            )
        ]
