"""What the hidden state of an account means for the month ahead.

The rates by which accounts start to consider leaving, calm down and cancel, and what
follows from them: the **monthly hazard**, the probability that an account which is
open on the morning of a day D leaves for good within the `HORIZON_DAYS` from D on,
given all that is hidden about it on that morning (its mood, its usual mood, its rate,
whether it considers leaving, and whether it is too new or too recently won back to
cancel). It is the oracle of every model: whoever knew the hidden state, and all laws
of the demo company, could not rank or guess better. What the days from D on bring is
chance to it, as it is to a model; labels come of that chance for both alike.

It is computed backwards, day by day, on a grid of hidden states (Bellman's equation
for a Markov chain that is absorbed when an account leaves). The one simplification:
who wavers, that is changes its plan or pauses instead of leaving, counts as safe for
the rest of the month; it is kept from cancelling for 20 days or more.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RegularGridInterpolator

HORIZON_DAYS = 30

# How strongly dissatisfaction raises the log of the daily rate at which an account
# starts to consider leaving, and the most that this rate can be.
_MOOD_WEIGHT = 1.15
_HIGHEST_RATE = 0.06
# An account that considers leaving cancels, or calms down: after eight weeks on
# average.
_LEAVES_PER_DAY = 0.013
CALMS_PER_DAY = 0.004
# Those who cancel without considering it first, per account that starts to consider.
_WITHOUT_WARNING = 0.08

# Mean reversion of the mood per day: a shock has halved after 138 days.
_MOOD_MEMORY = 0.995
MOOD_NOISE = 0.092
SHOCKS_PER_DAY = 1 / 200
# A shock adds an exponential number with this mean, and this.
SHOCK_SCALE, SHOCK_SHIFT = 0.9, -0.15
_LOWEST_MOOD, _HIGHEST_MOOD = -3.0, 4.5

# The grid. The moods lie closer than a day's noise moves one.
_MOODS = np.linspace(_LOWEST_MOOD, _HIGHEST_MOOD, 151)
_USUAL_MOODS = np.linspace(-2.8, 2.4, 14)
_LOG_RATES = np.linspace(-10.5, -4.0, 14)
_SMALLEST = 1e-9


def drift(mood: np.ndarray, usual_mood: np.ndarray) -> np.ndarray:
    """The moods of the next day, but for noise and shocks."""
    return usual_mood + _MOOD_MEMORY * (mood - usual_mood)


def within_bounds(mood: np.ndarray) -> np.ndarray:
    """Moods no better and no worse than moods can be."""
    return np.clip(mood, _LOWEST_MOOD, _HIGHEST_MOOD)


def considers_from(base_log_hazard: np.ndarray, mood: np.ndarray) -> np.ndarray:
    """Probability per day that an account starts to consider leaving."""
    return np.minimum(np.exp(base_log_hazard + _MOOD_WEIGHT * mood), _HIGHEST_RATE)


def cancels_per_day(considers: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Probability per day that an account leaves for good.

    Args:
        considers: Whether it considers leaving.
        starts: What `considers_from` says.
    """
    return np.where(considers, _LEAVES_PER_DAY, _WITHOUT_WARNING * starts)


def wavers_per_day(cancels: np.ndarray) -> np.ndarray:
    """Probability per day of a plan change or a pause: a cancellation, yet no churn."""
    return 0.0002 + 0.3 * cancels


class MonthlyHazard:
    """The monthly hazard of hidden states, interpolated in a grid computed once."""

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
        """The monthly hazard of each account: an array of shape ``(n_accounts,)``.

        Args:
            base_log_hazard: Log of the rate of a neutral account.
            usual_mood: Where the mood settles.
            mood: The mood of the day.
            considers: Whether the account considers leaving.
            exposed_days: Days of the month on which it can cancel at all.
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
    """Probability of leaving within 0 to 30 days: ``(2, 31, n_moods)``.

    The first axis says whether the account considers leaving.
    """
    starts = considers_from(np.full(len(_MOODS), log_rate), _MOODS)
    turns = starts, np.full(len(_MOODS), 1.0 - CALMS_PER_DAY)
    churn = np.zeros((2, HORIZON_DAYS + 1, len(_MOODS)))
    for days in range(1, HORIZON_DAYS + 1):
        content, considering = churn[:, days - 1] @ tomorrow.T
        for considers in (0, 1):
            cancels = cancels_per_day(np.full(len(_MOODS), considers == 1), starts)
            stays = 1.0 - cancels - wavers_per_day(cancels)
            ahead = content + turns[considers] * (considering - content)
            churn[considers, days] = cancels + stays * ahead
    return churn


def _transitions(usual_mood: float) -> np.ndarray:
    """How likely each mood of tomorrow is: ``(n_moods today, n_moods tomorrow)``."""
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
    # Each lands between two moods of the grid, on the nearer one more.
    place = (moods - _LOWEST_MOOD) / (_MOODS[1] - _MOODS[0])
    below = np.minimum(place.astype(int), len(_MOODS) - 2)
    share = place - below
    found = np.zeros((len(_MOODS), len(_MOODS)))
    today = np.arange(len(_MOODS))[:, None]
    np.add.at(found, (today, below), weight * (1 - share))
    np.add.at(found, (today, below + 1), weight * share)
    return found
