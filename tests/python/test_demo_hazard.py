"""The monthly hazard is the oracle that it is said to be."""

from __future__ import annotations

import numpy as np
import pytest

from churn.demo.company import generate_company
from churn.demo.hazard import HORIZON_DAYS, MonthlyHazard
from churn.demo.lifecycle import (
    CANCELLED,
    OPEN,
    RESTARTED,
    Lifecycle,
    simulate_lifecycle,
)
from churn.demo.settings import Settings
from churn.metrics import roc_auc

SETTINGS = Settings(accounts=12_000, days=160, seed=4)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Lifecycle]:
    company = generate_company(SETTINGS)
    return company, simulate_lifecycle(
        SETTINGS, company, tmp_path_factory.mktemp("lives")
    )


def churned_within_the_month(lifecycle: Lifecycle, day: int) -> np.ndarray:
    """Whether each account cancels within the month from ``day`` on, for good."""
    churned = np.zeros(SETTINGS.accounts, bool)
    is_restart = lifecycle.row_kind == RESTARTED
    soon = (lifecycle.row_day >= day) & (lifecycle.row_day < day + HORIZON_DAYS)
    for row in np.flatnonzero(soon & (lifecycle.row_kind == CANCELLED)):
        own = lifecycle.row_account == lifecycle.row_account[row]
        gaps = lifecycle.row_day[own & is_restart] - lifecycle.row_day[row]
        churned[lifecycle.row_account[row]] |= not ((gaps >= 0) & (gaps <= 30)).any()
    return churned


def test_as_many_leave_as_the_hidden_state_says(lived) -> None:
    """Tenth by tenth, in two months that share no day."""
    company, lifecycle = lived
    days = [int(day) for day in lifecycle.truth_day if 50 <= day <= 95]
    for day in (days[0], days[-1]):
        row = int(np.flatnonzero(lifecycle.truth_day == day)[0])
        known = np.flatnonzero(
            (lifecycle.state[day - 1] == OPEN) & (company.signup_day < day)
        )
        hazard = lifecycle.truth[row][known].astype(float)
        churned = churned_within_the_month(lifecycle, day)[known]
        for tenth in np.array_split(np.argsort(hazard), 10):
            expected = hazard[tenth].sum()
            spread = np.sqrt((hazard[tenth] * (1 - hazard[tenth])).sum())
            assert abs(churned[tenth].sum() - expected) < 4 * spread + 1
        # It tells far more than the mood alone, and than what an account considers.
        oracle = roc_auc(churned, hazard)
        assert oracle > 0.87
        assert oracle > roc_auc(churned, lifecycle.mood[day][known].astype(float))
        assert oracle > roc_auc(churned, lifecycle.considers[day][known].astype(float))


def test_more_of_what_drives_accounts_away_is_more_hazard() -> None:
    monthly_hazard = MonthlyHazard()

    def of(
        rate: float = -7.0,
        usual: float = 0.0,
        mood: float = 0.0,
        considers: bool = False,
        exposed: int = HORIZON_DAYS,
    ) -> float:
        told = monthly_hazard(
            np.array([rate]),
            np.array([usual]),
            np.array([mood]),
            np.array([considers]),
            np.array([exposed]),
        )
        return float(told[0])

    assert of() < of(rate=-6.5)
    assert of() < of(mood=1.0) < of(mood=2.0)
    assert of(mood=1.0) < of(mood=1.0, usual=1.0)
    assert of(mood=3.0) < of(mood=3.0, considers=True)
    assert of(considers=True, exposed=0) < 1e-6
    assert of(considers=True, exposed=10) < of(considers=True)
    # Nothing is certain.
    assert 0.25 < of(considers=True) < 0.5
