"""What the demo company is made from, and the random streams behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

# The landing zone is as it stood on the morning after the last day, in UTC.
SNAPSHOT_HOUR = 8


@dataclass(frozen=True)
class Settings:
    """The arguments of one demo company.

    Args:
        accounts: Companies that are customers at some time.
        days: Whole days simulated, from ``start`` on.
        seed: Seed of every random draw.
        start: First simulated day.
        dialect: How the CRM tells cancellations: ``dates`` or ``flags``.
        activity: Factor on the number of visits; 1 gives about 0.8 events per
            account and day.
        dirt: Factor on the share of dirty records.
    """

    accounts: int
    days: int
    seed: int
    start: date = date(2025, 1, 1)
    dialect: str = "dates"
    activity: float = 1.0
    dirt: float = 1.0

    @property
    def start_day(self) -> np.datetime64:
        """The first day, as ``datetime64[D]``."""
        return np.datetime64(self.start, "D")

    @property
    def start_ms(self) -> int:
        """The first midnight, in milliseconds since the epoch."""
        return int(self.start_day.astype("datetime64[ms]").astype(np.int64))

    @property
    def snapshot_ms(self) -> int:
        """The moment after which nothing has arrived yet, in milliseconds."""
        return self.start_ms + self.days * DAY_MS + SNAPSHOT_HOUR * HOUR_MS

    def day_text(self, day: int) -> str:
        """Day number ``day`` as ``YYYY-MM-DD``."""
        return str(self.start_day + np.timedelta64(day, "D"))

    def weekday(self, day: int) -> int:
        """Weekday of day number ``day``: 0 is Monday."""
        return int((self.start_day.astype(np.int64) + day + 3) % 7)

    def stream(self, purpose: str, *numbers: int) -> np.random.Generator:
        """The random stream of one purpose and, say, one day.

        Every day of every purpose has a stream of its own, so that days can be
        made in any order and by any number of processes.
        """
        name = int.from_bytes(purpose.encode(), "little")
        return np.random.default_rng([self.seed, name, *numbers])
