"""Settings and random streams of the demo company."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

# Hour (UTC) of the morning after the last day, at which the simulation ends.
SNAPSHOT_HOUR = 8


@dataclass(frozen=True)
class Settings:
    """The arguments of one demo company.

    Attributes:
        accounts: Number of companies that are customers at some time.
        days: Number of complete days to simulate, from ``start`` on.
        seed: Seed of every random draw.
        start: First simulated day.
        dialect: How the CRM marks cancellations: ``dates`` or ``flags``.
        activity: Factor on the number of visits; 1 gives about 0.8 events per account
            and day.
        dirt: Factor on the share of dirty records.
        is_reversed: Whether unhappy accounts behave as happy ones do otherwise. The
            true hazard is the same.
        sales_from_day: Day number from which a sales team makes offers, which change
            the hazard; ``None`` if there is none.
    """

    accounts: int
    days: int
    seed: int
    start: date = date(2025, 1, 1)
    dialect: str = "dates"
    activity: float = 1.0
    dirt: float = 1.0
    is_reversed: bool = False
    sales_from_day: int | None = None

    @property
    def start_day(self) -> np.datetime64:
        """Return the first day, as ``datetime64[D]``."""
        return np.datetime64(self.start, "D")

    @property
    def start_ms(self) -> int:
        """Return the first midnight, in milliseconds since the epoch."""
        return int(self.start_day.astype("datetime64[ms]").astype(np.int64))

    @property
    def snapshot_ms(self) -> int:
        """Return the end of the simulation, in milliseconds since the epoch."""
        return self.start_ms + self.days * DAY_MS + SNAPSHOT_HOUR * HOUR_MS

    def day_text(self, day: int) -> str:
        """Format day number ``day`` as ``YYYY-MM-DD``."""
        return str(self.start_day + np.timedelta64(day, "D"))

    def weekday(self, day: int) -> int:
        """Return the weekday of day number ``day``: 0 is Monday."""
        return int((self.start_day.astype(np.int64) + day + 3) % 7)

    def stream(self, purpose: str, *numbers: int) -> np.random.Generator:
        """Return the random stream of one purpose and, for example, one day.

        Each day of each purpose has its own stream, so that days can be generated in
        any order and by any number of processes.
        """
        name = int.from_bytes(purpose.encode(), "little")
        return np.random.default_rng([self.seed, name, *numbers])
