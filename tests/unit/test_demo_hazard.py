"""The monthly hazard is calibrated and ranks best, so it is an oracle."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

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

SETTINGS = Settings(accounts=12_000, days=160, seed=4)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Lifecycle]:
    company = generate_company(SETTINGS)
    return company, simulate_lifecycle(
        SETTINGS, company, tmp_path_factory.mktemp("lives")
    )


def churned_within_the_month(lifecycle: Lifecycle, day: int) -> np.ndarray:
    """Return whether each account churns within a month from ``day`` on."""
    churned = np.zeros(SETTINGS.accounts, bool)
    is_restart = lifecycle.row_kind == RESTARTED
    soon = (lifecycle.row_day >= day) & (lifecycle.row_day < day + HORIZON_DAYS)
    for row in np.flatnonzero(soon & (lifecycle.row_kind == CANCELLED)):
        own = lifecycle.row_account == lifecycle.row_account[row]
        gaps = lifecycle.row_day[own & is_restart] - lifecycle.row_day[row]
        churned[lifecycle.row_account[row]] |= not ((gaps >= 0) & (gaps <= 30)).any()
    return churned


def test_churn_matches_the_hazard(simulated) -> None:
    """By tenths of the hazard, in two months without a common day."""
    company, lifecycle = simulated
    days = [int(day) for day in lifecycle.truth_day if 50 <= day <= 95]
    for day in (days[0], days[-1]):
        row = int(np.flatnonzero(lifecycle.truth_day == day)[0])
        is_customer = np.flatnonzero(
            (lifecycle.state[day - 1] == OPEN) & (company.signup_day < day)
        )
        hazard = lifecycle.truth[row][is_customer].astype(float)
        churned = churned_within_the_month(lifecycle, day)[is_customer]
        for tenth in np.array_split(np.argsort(hazard), 10):
            expected = hazard[tenth].sum()
            spread = np.sqrt((hazard[tenth] * (1 - hazard[tenth])).sum())
            assert abs(churned[tenth].sum() - expected) < 4 * spread + 1
        # It ranks far better than the mood or the consideration alone.
        oracle = roc_auc_score(churned, hazard)
        assert oracle > 0.87
        assert oracle > roc_auc_score(
            churned, lifecycle.mood[day][is_customer].astype(float)
        )
        assert oracle > roc_auc_score(
            churned, lifecycle.considers[day][is_customer].astype(float)
        )


def test_hazard_rises_with_each_cause() -> None:
    monthly_hazard = MonthlyHazard()

    def of(
        rate: float = -7.0,
        usual: float = 0.0,
        mood: float = 0.0,
        considers: bool = False,
        exposed: int = HORIZON_DAYS,
    ) -> float:
        hazard = monthly_hazard(
            np.array([rate]),
            np.array([usual]),
            np.array([mood]),
            np.array([considers]),
            np.array([exposed]),
        )
        return float(hazard[0])

    assert of() < of(rate=-6.5)
    assert of() < of(mood=1.0) < of(mood=2.0)
    assert of(mood=1.0) < of(mood=1.0, usual=1.0)
    assert of(mood=3.0) < of(mood=3.0, considers=True)
    assert of(considers=True, exposed=0) < 1e-6
    assert of(considers=True, exposed=10) < of(considers=True)
    # Nothing is certain.
    assert 0.25 < of(considers=True) < 0.5
