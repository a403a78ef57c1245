"""Monthly hazard of a hidden state, the oracle for all models.

This module defines the daily rates at which accounts start to consider leaving, calm
down and cancel, and computes the **monthly hazard** from them: the probability that an
account that is open on the morning of a day D churns within the `HORIZON_DAYS` from D
on, given its hidden state on that morning. The hidden state is its mood, its usual
mood, its rate, whether it considers leaving, and whether it is too new or too recently
won back to cancel. No model can rank or predict better than the monthly hazard, because
it uses the complete hidden state and the laws of the simulation. The days from D on are
random to it, as they are to a model.

It is computed backwards, day by day, on a grid of hidden states (Bellman's equation for
a Markov chain that is absorbed when an account leaves). One simplification: an account
with a reversal, that is a plan change or a pause, counts as safe for the rest of the
month. In the simulation, it cannot cancel for at least 20 days.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RegularGridInterpolator

HORIZON_DAYS = 30

# Effect of dissatisfaction on the log of the daily rate at which an account starts to
# consider leaving, and the maximum of this rate.
_MOOD_WEIGHT = 1.15
_MAX_RATE = 0.06
# An account that considers leaving cancels or calms down, after eight weeks on average.
_LEAVES_PER_DAY = 0.013
CALMS_PER_DAY = 0.004
# Cancellations without considering, per account that starts to consider.
_WITHOUT_WARNING = 0.08

# Mean reversion of the mood per day: half of a shock is left after 138 days.
_MOOD_MEMORY = 0.995
MOOD_NOISE = 0.092
SHOCKS_PER_DAY = 1 / 200
# A shock adds an exponential number with this mean, and this shift.
SHOCK_SCALE, SHOCK_SHIFT = 0.9, -0.15
_MIN_MOOD, _MAX_MOOD = -3.0, 4.5

# The grid. Its moods are closer together than the noise of a day.
_MOODS = np.linspace(_MIN_MOOD, _MAX_MOOD, 151)
_USUAL_MOODS = np.linspace(-2.8, 2.4, 14)
_LOG_RATES = np.linspace(-10.5, -4.0, 14)
_SMALLEST = 1e-9


def drift(mood: np.ndarray, usual_mood: np.ndarray) -> np.ndarray:
    """Return the expected mood of the next day, without noise and shocks."""
    return usual_mood + _MOOD_MEMORY * (mood - usual_mood)


def within_bounds(mood: np.ndarray) -> np.ndarray:
    """Clip moods to their bounds."""
    return np.clip(mood, _MIN_MOOD, _MAX_MOOD)


def considers_from(base_log_hazard: np.ndarray, mood: np.ndarray) -> np.ndarray:
    """Return the probability per day that an account starts to consider leaving."""
    return np.minimum(np.exp(base_log_hazard + _MOOD_WEIGHT * mood), _MAX_RATE)


def cancels_per_day(considers: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the probability per day that an account leaves for good.

    Args:
        considers: Whether it considers leaving.
        starts: The result of `considers_from`.
    """
    return np.where(considers, _LEAVES_PER_DAY, _WITHOUT_WARNING * starts)


def reversals_per_day(cancels: np.ndarray) -> np.ndarray:
    """Return the probability per day of a plan change or pause, which is no churn."""
    return 0.0002 + 0.3 * cancels


class MonthlyHazard:
    """The monthly hazard of hidden states, interpolated on a precomputed grid."""

    def __init__(self) -> None:
        log_odds = np.empty(
            (
                2,
                HORIZON_DAYS + 1,
                len(_LOG_RATES),
                len(_USUAL_MOODS),
                len(_MOODS),
            )
        )
        for column, usual_mood in enumerate(_USUAL_MOODS):
            tomorrow = _transitions(usual_mood)
            for row, log_rate in enumerate(_LOG_RATES):
                churn = np.clip(
                    _churn_within(log_rate, tomorrow), _SMALLEST, 1 - _SMALLEST
                )
                log_odds[:, :, row, column] = np.log(churn / (1 - churn))
        axes = (np.arange(HORIZON_DAYS + 1.0), _LOG_RATES, _USUAL_MOODS, _MOODS)
        self._content, self._considering = (
            RegularGridInterpolator(axes, values) for values in log_odds
        )

    def __call__(
        self,
        base_log_hazard: np.ndarray,
        usual_mood: np.ndarray,
        mood: np.ndarray,
        considers: np.ndarray,
        exposed_days: np.ndarray,
    ) -> np.ndarray:
        """Return the monthly hazard of each account, of shape ``(n_accounts,)``.

        Args:
            base_log_hazard: Log of the rate of a neutral account.
            usual_mood: The mood that it reverts to.
            mood: The mood of the day.
            considers: Whether the account considers leaving.
            exposed_days: Days of the month on which it can cancel.
        """
        states = np.column_stack(
            [
                np.clip(exposed_days, 0, HORIZON_DAYS),
                np.clip(base_log_hazard, _LOG_RATES[0], _LOG_RATES[-1]),
                np.clip(usual_mood, _USUAL_MOODS[0], _USUAL_MOODS[-1]),
                within_bounds(mood),
            ]
        )
        log_odds = np.where(considers, self._considering(states), self._content(states))
        return 1.0 / (1.0 + np.exp(-log_odds))


def _churn_within(log_rate: float, tomorrow: np.ndarray) -> np.ndarray:
    """Return the probability of leaving within 0 to 30 days: ``(2, 31, n_moods)``.

    The first axis is whether the account considers leaving.
    """
    starts = considers_from(np.full(len(_MOODS), log_rate), _MOODS)
    will_consider = starts, np.full(len(_MOODS), 1.0 - CALMS_PER_DAY)
    churn = np.zeros((2, HORIZON_DAYS + 1, len(_MOODS)))
    for days in range(1, HORIZON_DAYS + 1):
        content, considering = churn[:, days - 1] @ tomorrow.T
        for considers in (0, 1):
            cancels = cancels_per_day(np.full(len(_MOODS), considers == 1), starts)
            stays = 1.0 - cancels - reversals_per_day(cancels)
            ahead = content + will_consider[considers] * (considering - content)
            churn[considers, days] = cancels + stays * ahead
    return churn


def _transitions(usual_mood: float) -> np.ndarray:
    """Return the probability of each mood of tomorrow: ``(n_moods, n_moods)``.

    The rows are the moods of today.
    """
    # Quadratures of the noise (normal) and of a shock (exponential).
    noise, noise_weight = np.polynomial.hermite_e.hermegauss(5)
    noise_weight = noise_weight / noise_weight.sum()
    size, size_weight = np.polynomial.laguerre.laggauss(6)
    steps = [(MOOD_NOISE * noise, (1 - SHOCKS_PER_DAY) * noise_weight)] + [
        (
            MOOD_NOISE * noise + SHOCK_SCALE * shock + SHOCK_SHIFT,
            SHOCKS_PER_DAY * weight * noise_weight,
        )
        for shock, weight in zip(size, size_weight, strict=True)
    ]
    step = np.concatenate([sizes for sizes, _ in steps])
    weight = np.concatenate([weights for _, weights in steps])
    moods = within_bounds(drift(_MOODS, np.array(usual_mood))[:, None] + step)
    # Distribute each mood to the two nearest moods of the grid.
    position = (moods - _MIN_MOOD) / (_MOODS[1] - _MOODS[0])
    below = np.minimum(position.astype(int), len(_MOODS) - 2)
    share = position - below
    probabilities = np.zeros((len(_MOODS), len(_MOODS)))
    today = np.arange(len(_MOODS))[:, None]
    np.add.at(probabilities, (today, below), weight * (1 - share))
    np.add.at(probabilities, (today, below + 1), weight * share)
    return probabilities
