"""Random CRM batches with realistic errors in content and delivery."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pandas as pd

FIRST_BATCH = date(2025, 1, 1)
FLAG_TEXTS = [
    *["Y", "y", "1", "true", "TRUE", "Yes", "T", "1.0", "yes\r"],
    *["N", "0", "False", "no", "f", "0.0", None, "", "\\N", "\t", "\u00a0", "?"],
]
# (signup_date, cancelled_service, new_customer)
Row = tuple[str | None, str | None, str | None]


@dataclass
class Delivery:
    """One delivery of a batch, with one or more rows per account."""

    batch_date: date
    loaded_at: datetime
    rows: dict[str, list[Row]]


@dataclass
class Company:
    """The deliveries of a CRM, in the order of the batches."""

    dialect: str
    batches: list[Delivery] = field(default_factory=list)

    def frame(self, batches: list[Delivery] | None = None) -> pd.DataFrame:
        """Return rows of raw_accounts."""
        return pd.DataFrame(
            [
                {
                    "batch_date": delivery.batch_date,
                    "loaded_at": delivery.loaded_at,
                    "account_id": account,
                    "plan": "basic",
                    "signup_date": signup,
                    "cancelled_service": cancelled_service,
                    "new_customer": new_customer,
                }
                for delivery in batches or self.batches
                for account, rows in delivery.rows.items()
                for signup, cancelled_service, new_customer in rows
            ]
        )


def random_company(
    seed: int,
    dialect: str,
    accounts: int,
    last_day: int = 240,
    has_restart_column: bool = True,
) -> Company:
    """Generate a company whose accounts have random histories.

    Batches exist on a random share of the days; some are repeated, late or incomplete.
    Values are entered late or ahead, scheduled, postponed, corrected, overwritten,
    removed, written in several formats and sometimes unreadable. Accounts appear,
    vanish and reappear. Some have several rows in a batch.

    Args:
        seed: Of all random choices.
        dialect: The cancellation source, ``dates`` or ``flags``.
        accounts: Number of accounts.
        last_day: Number of days from the first to the last possible batch.
        has_restart_column: Whether ``new_customer`` is ever filled.
    """
    chance = random.Random(seed)
    share_of_days = chance.choice([0.15, 0.3, 0.6, 0.9])
    batch_days = [
        FIRST_BATCH + timedelta(days=day)
        for day in range(last_day)
        if chance.random() < share_of_days or day in (0, last_day - 1)
    ]
    histories = {
        f"a{number:05d}": _random_history(chance, dialect, batch_days)
        for number in range(accounts)
    }
    for account in list(histories):
        # Some accounts have a second row, some an identical one.
        roll = chance.random()
        if roll < 0.12:
            second = (
                _random_history(chance, dialect, batch_days)
                if roll < 0.1
                else histories[account]
            )
            histories[account] = [
                (one or []) + (other or []) or None
                for one, other in zip(histories[account], second, strict=True)
            ]
    if not has_restart_column:
        histories = {
            account: [
                rows and [(signup, cancelled, None) for signup, cancelled, _ in rows]
                for rows in history
            ]
            for account, history in histories.items()
        }

    company = Company(dialect)
    for position, batch_date in enumerate(batch_days):
        rows = {
            account: history[position]
            for account, history in histories.items()
            if history[position] is not None
        }
        loaded_at = datetime.combine(batch_date, datetime.min.time()) + timedelta(
            hours=24 + chance.choice([3, 5, 5, 5, 7, 40, 400])
        )
        roll = chance.random()
        if roll < 0.08:
            kept = chance.uniform(0.0, 0.62)
            part = {key: row for key, row in rows.items() if chance.random() < kept}
            company.batches.append(Delivery(batch_date, loaded_at, part))
            loaded_at += timedelta(hours=chance.choice([1, 30]))
            if roll < 0.04:
                continue
        company.batches.append(Delivery(batch_date, loaded_at, rows))
        if roll > 0.95:
            repeated = {
                key: row for key, row in rows.items() if roll > 0.97 or key > "a00010"
            }
            company.batches.append(
                Delivery(batch_date, loaded_at + timedelta(minutes=9), repeated)
            )
    return company


def _random_history(
    chance: random.Random, dialect: str, batch_days: list[date]
) -> list[list[Row] | None]:
    """Generate one row of an account in each batch; None if it is not in it."""
    first = 0 if chance.random() < 0.6 else chance.randrange(len(batch_days))
    signup = batch_days[first] - timedelta(days=chance.choice([0, 1, 2, 30, 400]))
    values = [
        _written(chance, signup) if chance.random() < 0.97 else None,
        None if dialect == "dates" or chance.random() < 0.5 else "N",
        None if dialect == "dates" or chance.random() < 0.5 else "0",
    ]
    restlessness = chance.choice([0.0, 0.02, 0.05, 0.15, 0.4])
    history: list[list[Row] | None] = []
    is_present = True
    last_change = signup
    for position, batch in enumerate(batch_days):
        if position < first:
            history.append(None)
            continue
        if chance.random() < restlessness:
            column = chance.choice([1, 1, 2, 2, 2, 0]) if chance.random() < 0.9 else 0
            if column == 0 and chance.random() < 0.8:
                is_present = not is_present
            elif dialect == "flags" and column > 0:
                values[column] = chance.choice(FLAG_TEXTS)
                if chance.random() < 0.2:
                    values[3 - column] = chance.choice(["Y", "N", None])
            elif column == 1 and chance.random() < 0.35:
                # A cancellation is cleared, postponed, scheduled or corrected.
                day = chance.choice(
                    [
                        None,
                        None,
                        batch + timedelta(days=chance.randrange(1, 60)),
                        last_change + timedelta(days=chance.randrange(1, 60)),
                        last_change - timedelta(days=365),
                        last_change + timedelta(days=365),
                    ]
                )
                last_change = day or batch
                values[1] = day and _written(chance, day)
            else:
                day = chance.choice(
                    [
                        batch,
                        batch,
                        batch - timedelta(days=chance.randrange(4)),
                        last_change,
                        last_change + timedelta(days=chance.randrange(90)),
                        batch + timedelta(days=chance.randrange(40)),
                        signup + timedelta(days=chance.randrange(-5, 6)),
                    ]
                )
                last_change = day
                values[column] = _written(chance, day)
                if column > 0 and chance.random() < 0.15:
                    values[3 - column] = _written(chance, day)
        history.append([tuple(values)] if is_present else None)
    return history


def _written(chance: random.Random, day: date) -> str | None:
    """Format a day in one of the formats of an extract, or as null or invalid text."""
    return chance.choice(
        [
            day.isoformat(),
            day.isoformat(),
            f"{day.isoformat()} 00:00:00.0",
            f"{day.isoformat()}T10:00:00Z",
            f"\ufeff{day.isoformat()}\u200b",
            f"{day.isoformat()}\r",
            f"\u00a0{day.isoformat()}\t",
        ]
        * 20
        + [
            None,
            "",
            "\\N",
            "NULL",
            "\r",
            "\u00a0",
            f"{day:%d/%m/%Y}",
            "soon",
            "2025-02-30",
        ]
    )
