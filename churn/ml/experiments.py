"""Measure what offers achieve: arms, intervals and results of experiments.

An experiment holds out a random share of the accounts that become eligible (control).
The effect is the mean outcome of the control arm minus that of the treatment arm, over
all assigned accounts, whether or not anybody contacted them (intention to treat).

Functions take arrays as well as numbers. `scipy.special` has the quantiles;
`scipy.stats` and statsmodels have the same intervals, but importing them takes longer
than all of this, in every build.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import chdtrc, ndtr, ndtri, stdtrit

CONTROL, TREATMENT = "control", "treatment"
CONFIDENCE = 0.95
POWER = 0.8
# A smaller p-value of the sample-ratio test hides the effect.
SAMPLE_RATIO_ALPHA = 0.001
# Observed accounts per arm, and churned accounts of both, from which an effect is
# shown. The anytime-valid interval needs a minimum size.
MIN_OBSERVED = 30
MIN_CHURNED = 10
# Share of contacted accounts by which the arms must differ for an effect on them.
MIN_CONTACT_DIFFERENCE = 0.1


# ---- Arms --------------------------------------------------------------------


def bucket_of(salt: str, experiment_id: str, account_id: str) -> float:
    """Return the bucket of an account in an experiment, in [0, 1).

    It is the first eight hexadecimal digits of the MD5 digest of
    ``salt|experiment_id|account_id`` in UTF-8, divided by 2^32. The macro
    ``experiment_bucket`` is the same in SQL.
    """
    text = f"{salt}|{experiment_id}|{account_id}"
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) / 2**32


def arm_of(salt: str, experiment_id: str, account_id: str, control_share: float) -> str:
    """Return the arm of an account: ``control`` or ``treatment``."""
    is_control = bucket_of(salt, experiment_id, account_id) < control_share
    return CONTROL if is_control else TREATMENT


# ---- Intervals ---------------------------------------------------------------


def wilson_interval(
    successes: ArrayLike, size: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's score interval of a proportion, without continuity correction."""
    x, n = np.asarray(successes, float), np.asarray(size, float)
    z = ndtri(0.5 + confidence / 2)
    share = x / n
    centre = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    low, high = (centre - half) / scale, (centre + half) / scale
    return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)


def newcombe_interval(
    control_churned: ArrayLike,
    control_size: ArrayLike,
    treatment_churned: ArrayLike,
    treatment_size: ArrayLike,
    confidence: float = CONFIDENCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Return Newcombe's interval of the control minus the treatment rate.

    Method 10 of Newcombe, Interval estimation for the difference between independent
    proportions, Statistics in Medicine 17 (1998). Valid for one look at a planned size.
    """
    control = np.asarray(control_churned, float) / np.asarray(control_size, float)
    treatment = np.asarray(treatment_churned, float) / np.asarray(treatment_size, float)
    low_0, high_0 = wilson_interval(control_churned, control_size, confidence)
    low_1, high_1 = wilson_interval(treatment_churned, treatment_size, confidence)
    effect = control - treatment
    return (
        effect - np.sqrt((control - low_0) ** 2 + (high_1 - treatment) ** 2),
        effect + np.sqrt((high_0 - control) ** 2 + (treatment - low_1) ** 2),
    )


def welch_interval(
    control: Moments, treatment: Moments, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """Return Welch's interval of the difference of two means, for one look."""
    variances = [
        np.asarray(arm.variance, float) / np.asarray(arm.size, float)
        for arm in (control, treatment)
    ]
    total = variances[0] + variances[1]
    squares = sum(
        variance**2 / (np.asarray(arm.size, float) - 1)
        for variance, arm in zip(variances, (control, treatment), strict=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(total > 0, total**2 / squares, 1.0)
    half = stdtrit(degrees, 0.5 + confidence / 2) * np.sqrt(total)
    effect = np.asarray(control.mean, float) - np.asarray(treatment.mean, float)
    return effect - half, effect + half


@dataclass(frozen=True)
class Moments:
    """Size, mean and variance of an outcome in one arm; numbers or arrays."""

    size: Any
    mean: Any
    variance: Any


def moments_of_rate(churned: ArrayLike, size: ArrayLike) -> Moments:
    """Return the moments of a proportion.

    The variance is that of the proportion with one success and one failure added, so
    that an arm in which nobody has churned yet is not taken for certain.
    """
    x, n = np.asarray(churned, float), np.asarray(size, float)
    smoothed = (x + 1) / (n + 2)
    return Moments(n, x / n, smoothed * (1 - smoothed))


def anytime_interval(
    control: Moments,
    treatment: Moments,
    planned_accounts: float,
    confidence: float = CONFIDENCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Return an interval that is valid however often one looks.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and
    Ramdas, Time-uniform central limit theory and asymptotic confidence sequences
    (arXiv 2103.06476), of the inverse-probability-weighted scores of both arms, tuned
    to be narrowest at the planned number of accounts.

    Args:
        control: Moments of the control arm.
        treatment: Moments of the treatment arm.
        planned_accounts: Accounts of both arms at the planned end. Any number that was
            chosen before is valid.
        confidence: Probability that no interval of the sequence misses the effect.
    """
    alpha = 1 - confidence
    size_0, size_1 = np.asarray(control.size, float), np.asarray(treatment.size, float)
    n = size_0 + size_1
    share = size_0 / n
    deviation = np.sqrt(
        np.asarray(control.variance, float) / share
        + np.asarray(treatment.variance, float) / (1 - share)
    )
    log_alpha = -2 * np.log(alpha)
    rho_squared = (log_alpha + np.log(log_alpha + 1)) / planned_accounts
    growth = n * rho_squared + 1
    half = deviation * np.sqrt(
        2 * growth / (n**2 * rho_squared) * np.log(np.sqrt(growth) / alpha)
    )
    effect = np.asarray(control.mean, float) - np.asarray(treatment.mean, float)
    return effect - half, effect + half


# ---- Sizes -------------------------------------------------------------------


def power_of(
    control_rate: float,
    treatment_rate: float,
    control_size: float,
    treatment_size: float,
    confidence: float = CONFIDENCE,
) -> float:
    """Return the probability that the interval at the planned end excludes 0.

    Normal approximation with the pooled rate under no effect (Fleiss, Statistical
    Methods for Rates and Proportions, 3rd edition, chapter 4).
    """
    total = control_size + treatment_size
    pooled = (control_rate * control_size + treatment_rate * treatment_size) / total
    spread = 1 / control_size + 1 / treatment_size
    null_error = np.sqrt(pooled * (1 - pooled) * spread)
    error = np.sqrt(
        control_rate * (1 - control_rate) / control_size
        + treatment_rate * (1 - treatment_rate) / treatment_size
    )
    if error == 0:
        return 1.0
    threshold = ndtri(0.5 + confidence / 2) * null_error
    return float(ndtr((abs(control_rate - treatment_rate) - threshold) / error))


def required_accounts(
    control_rate: float,
    treatment_rate: float,
    control_share: float,
    power: float = POWER,
    confidence: float = CONFIDENCE,
) -> int:
    """Return the accounts of both arms that an experiment needs."""
    high = 1_000.0

    def missing_power(size: float) -> float:
        sizes = size * control_share, size * (1 - control_share)
        return power_of(control_rate, treatment_rate, *sizes, confidence) - power

    while missing_power(high) < 0:
        high *= 2
    return int(np.ceil(brentq(missing_power, 2.0, high)))


def minimum_detectable_effect(
    control_rate: float,
    control_size: float,
    treatment_size: float,
    power: float = POWER,
    confidence: float = CONFIDENCE,
) -> float | None:
    """Return the smallest reduction of a rate that these sizes show with ``power``.

    Returns:
        The reduction, as a difference of rates; ``None`` if not even the reduction to
        zero would be shown.
    """
    if min(control_size, treatment_size) < 1 or not 0 < control_rate < 1:
        return None

    def missing_power(effect: float) -> float:
        sizes = control_size, treatment_size
        rate = max(control_rate - effect, 0.0)
        return power_of(control_rate, rate, *sizes, confidence) - power

    if missing_power(control_rate) < 0:
        return None
    return float(brentq(missing_power, 0.0, control_rate))


def sample_ratio_p_value(
    control_size: float, treatment_size: float, control_share: float
) -> float | None:
    """Return the p-value of the chi-square test that the arms have their shares.

    Returns:
        ``None`` if fewer than five accounts are expected in an arm, for which the
        approximation is not valid.
    """
    total = control_size + treatment_size
    expected = total * control_share, total * (1 - control_share)
    if min(expected) < 5:
        return None
    statistic = sum(
        (size - mean) ** 2 / mean
        for size, mean in zip((control_size, treatment_size), expected, strict=True)
    )
    return float(chdtrc(1, statistic))


# ---- Results -----------------------------------------------------------------

RESULTS_SCHEMA = pa.schema(
    [
        ("experiment_id", pa.string()),
        ("stratum", pa.string()),
        ("metric", pa.string()),
        ("as_of_date", pa.date32()),
        ("population", pa.string()),
        ("start_date", pa.date32()),
        ("planned_end_date", pa.date32()),
        ("result_known_date", pa.date32()),
        ("control_share", pa.float64()),
        ("planned_accounts", pa.int64()),
        ("expected_accounts", pa.int64()),
        *[
            (f"{arm}_{count}", pa.int64())
            for count in ("assigned", "pending", "observed", "churned")
            for arm in (CONTROL, TREATMENT)
        ],
        *[
            (f"{arm}_{name}", pa.float64())
            for name in ("contacted_share", "mean")
            for arm in (CONTROL, TREATMENT)
        ],
        ("effect", pa.float64()),
        ("effect_low", pa.float64()),
        ("effect_high", pa.float64()),
        ("interval_kind", pa.string()),
        ("fixed_low", pa.float64()),
        ("fixed_high", pa.float64()),
        ("anytime_low", pa.float64()),
        ("anytime_high", pa.float64()),
        ("effect_on_contacted", pa.float64()),
        ("effect_on_contacted_low", pa.float64()),
        ("effect_on_contacted_high", pa.float64()),
        ("minimum_detectable_effect", pa.float64()),
        ("sample_ratio_p_value", pa.float64()),
        ("currency", pa.string()),
        ("status", pa.string()),
        ("status_text", pa.string()),
    ]
)
CHURNED, LOST_REVENUE = "churned", "lost_revenue"


def experiment_results(
    arms: Iterable[Mapping[str, Any]], outcome_days: int
) -> pa.Table:
    """Compute the results of all experiments.

    Args:
        arms: The rows of ``int_experiment_arms``: one per experiment, stratum and arm.
        outcome_days: Days from an assignment until its outcome is known.

    Returns:
        One row per experiment, stratum and metric, of `RESULTS_SCHEMA`.
    """
    groups: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in arms:
        groups.setdefault((row["experiment_id"], row["stratum"]), {})[row["arm"]] = row
    ratios = {
        experiment: _sample_ratio(both)
        for (experiment, stratum), both in groups.items()
        if stratum == "all"
    }
    rows = [
        _result(both, metric, ratios.get(experiment), outcome_days)
        for (experiment, _), both in sorted(groups.items())
        for metric in (CHURNED, LOST_REVENUE)
    ]
    return pa.Table.from_pylist(rows, schema=RESULTS_SCHEMA)


def _sample_ratio(both: Mapping[str, Mapping[str, Any]]) -> float | None:
    control, treatment = both[CONTROL], both[TREATMENT]
    return sample_ratio_p_value(
        control["count_assigned"],
        treatment["count_assigned"],
        control["control_share"],
    )


def _result(
    both: Mapping[str, Mapping[str, Any]],
    metric: str,
    sample_ratio: float | None,
    outcome_days: int,
) -> dict[str, Any]:
    """Return one row of the results; the sample ratio is that of all strata."""
    control = both[CONTROL]
    as_of, end = _day(control["as_of_date"]), _day(control["planned_end_date"])
    expected = _expected_accounts(both, as_of, end)
    row: dict[str, Any] = {
        **{
            name: control[name]
            for name in ("experiment_id", "stratum", "control_share")
        },
        "population": _population(control),
        "metric": metric,
        "as_of_date": as_of,
        "start_date": _day(control["start_date"]),
        "planned_end_date": end,
        "result_known_date": end + timedelta(days=outcome_days) if end else None,
        "planned_accounts": control["planned_accounts"],
        "expected_accounts": expected,
        "sample_ratio_p_value": sample_ratio,
        "currency": _currency(both) if metric == LOST_REVENUE else None,
    }
    for name, arm in both.items():
        row[f"{name}_assigned"] = int(arm["count_assigned"])
        row[f"{name}_observed"] = int(arm["count_observed"])
        row[f"{name}_pending"] = int(arm["count_assigned"] - arm["count_observed"])
        row[f"{name}_churned"] = int(arm["count_churned"])
        if arm["count_observed"]:
            row[f"{name}_contacted_share"] = (
                arm["count_observed_contacted"] / arm["count_observed"]
            )
    moments = {name: _moments(arm, metric) for name, arm in both.items()}
    for name, of_arm in moments.items():
        if of_arm is not None:
            row[f"{name}_mean"] = float(of_arm.mean)
    row["minimum_detectable_effect"] = _smallest_effect(both, metric, moments, expected)
    row["status"] = _status(row, _has_enough(both), as_of, end)
    if row["status"] in ("running", "complete"):
        row |= _effect(row, metric, moments)
    row["status_text"] = _in_words(row)
    return row


def _population(arm: Mapping[str, Any]) -> str:
    """Return in words which accounts the result is about."""
    bands = arm["stratum"]
    if bands == "all":
        bands = " or ".join(arm["eligible_bands"].split())
    text = f"accounts whose risk was {bands}"
    bound = arm["max_monthly_recurring_revenue"]
    return text if bound is None else f"{text}, with at most {bound:,.0f} a month"


def _currency(both: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the currency of both arms, ``None`` if they have several."""
    # `XXX` is the code for no currency.
    used = {arm["currency"] or "XXX" for arm in both.values() if arm["count_assigned"]}
    return used.pop() if len(used) == 1 else None


def _day(value: Any) -> date | None:
    return date.fromisoformat(str(value)[:10]) if value is not None else None


def _moments(arm: Mapping[str, Any], metric: str) -> Moments | None:
    size = int(arm["count_observed"])
    if size < 2:
        return None
    if metric == CHURNED:
        return moments_of_rate(arm["count_churned"], size)
    mean = arm["lost_revenue"] / size
    squares = arm["squared_lost_revenue"] - size * mean**2
    return Moments(size, mean, max(squares, 0.0) / (size - 1))


def _expected_accounts(
    both: Mapping[str, Mapping[str, Any]], as_of: date | None, end: date | None
) -> int | None:
    """Return the accounts of both arms that are expected at the planned end.

    Accounts that were eligible on the first day come at once, so the pace is that of
    the days after it. On the first day there is no pace but the plan.
    """
    assigned = sum(int(arm["count_assigned"]) for arm in both.values())
    first = _day(both[CONTROL]["first_assigned_date"])
    if not assigned or first is None or as_of is None or end is None:
        return None
    later = sum(int(arm["count_assigned_later"]) for arm in both.values())
    days, remaining = (as_of - first).days, max((end - as_of).days, 0)
    if days > 0:
        return assigned + round(later / days * remaining)
    return (
        max(assigned, int(both[CONTROL]["planned_accounts"])) if remaining else assigned
    )


def _smallest_effect(
    both: Mapping[str, Mapping[str, Any]],
    metric: str,
    moments: Mapping[str, Moments | None],
    expected: int | None,
) -> float | None:
    """Return the minimum detectable effect at the planned end."""
    if expected is None:
        return None
    share = both[CONTROL]["control_share"]
    sizes = expected * share, expected * (1 - share)
    if metric == CHURNED:
        return minimum_detectable_effect(_churn_rate(both), *sizes)
    control, treatment = moments[CONTROL], moments[TREATMENT]
    if control is None or treatment is None:
        return None
    if not _has_enough(both):
        return None
    error = np.sqrt(control.variance / sizes[0] + treatment.variance / sizes[1])
    return float((ndtri(0.5 + CONFIDENCE / 2) + ndtri(POWER)) * error)


def _churn_rate(both: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the churn rate of the control arm; before it is known, the predicted."""
    control = both[CONTROL]
    if control["count_observed"] >= MIN_OBSERVED and control["count_churned"]:
        return control["count_churned"] / control["count_observed"]
    assigned = sum(arm["count_assigned"] for arm in both.values())
    total = sum(arm["churn_probability"] or 0.0 for arm in both.values())
    return float(total / assigned) if assigned else 0.0


def _has_enough(both: Mapping[str, Mapping[str, Any]]) -> bool:
    observed = min(arm["count_observed"] for arm in both.values())
    churned = sum(arm["count_churned"] for arm in both.values())
    return bool(observed >= MIN_OBSERVED and churned >= MIN_CHURNED)


def _status(
    row: Mapping[str, Any], has_enough: bool, as_of: date | None, end: date | None
) -> str:
    assigned = row["control_assigned"] + row["treatment_assigned"]
    pending = row["control_pending"] + row["treatment_pending"]
    ratio = row["sample_ratio_p_value"]
    if not assigned:
        return "not_started"
    if ratio is not None and ratio < SAMPLE_RATIO_ALPHA:
        return "sample_ratio_mismatch"
    if row["metric"] == LOST_REVENUE and row["currency"] is None:
        return "several_currencies"
    if not has_enough:
        return "too_few"
    is_over = as_of is not None and end is not None and as_of > end
    return "complete" if is_over and not pending else "running"


def _effect(
    row: Mapping[str, Any], metric: str, moments: Mapping[str, Moments | None]
) -> dict[str, Any]:
    control, treatment = moments[CONTROL], moments[TREATMENT]
    assert control is not None
    assert treatment is not None
    fixed = (
        newcombe_interval(
            row["control_churned"],
            row["control_observed"],
            row["treatment_churned"],
            row["treatment_observed"],
        )
        if metric == CHURNED
        else welch_interval(control, treatment)
    )
    anytime = anytime_interval(control, treatment, row["planned_accounts"])
    is_complete = row["status"] == "complete"
    low, high = (float(bound) for bound in (fixed if is_complete else anytime))
    effect = float(control.mean - treatment.mean)
    values: dict[str, Any] = {
        "effect": effect,
        "effect_low": low,
        "effect_high": high,
        "interval_kind": "fixed" if is_complete else "anytime",
        "fixed_low": float(fixed[0]),
        "fixed_high": float(fixed[1]),
        "anytime_low": float(anytime[0]),
        "anytime_high": float(anytime[1]),
    }
    # Bloom's estimator: being assigned has an effect only on those it gets contacted.
    difference = row["treatment_contacted_share"] - row["control_contacted_share"]
    if difference > MIN_CONTACT_DIFFERENCE:
        values |= {
            "effect_on_contacted": effect / difference,
            "effect_on_contacted_low": low / difference,
            "effect_on_contacted_high": high / difference,
        }
    return values


def _in_words(row: Mapping[str, Any]) -> str:
    """Return the status in one or two sentences."""
    status, known = row["status"], row["result_known_date"]
    if status == "not_started":
        return f"No account has entered yet. The experiment begins {row['start_date']}."
    if status == "sample_ratio_mismatch":
        return (
            "The arms do not have the sizes that chance gives (p = "
            f"{row['sample_ratio_p_value']:.1g}), so that no effect is shown: find out "
            "which accounts are missing from one arm."
        )
    if status == "several_currencies":
        return "The accounts pay in several currencies, which cannot be added."
    observed = row["control_observed"] + row["treatment_observed"]
    assigned = row["control_assigned"] + row["treatment_assigned"]
    when = f"{known:%B %Y}" if known else "its end"
    if status == "too_few":
        text = (
            f"Too few accounts to tell: the outcome of {observed:,} of {assigned:,} "
            f"is known. At this pace the experiment has about "
            f"{row['expected_accounts']:,} at its end, and the result is known by "
            f"about {when}."
        )
        if row["metric"] == CHURNED and row["minimum_detectable_effect"] is None:
            text += " That is too few for any effect: extend the experiment."
        return text
    low, high = row["effect_low"], row["effect_high"]
    what = "less churn" if row["metric"] == CHURNED else "less lost revenue"
    if low > 0:
        text = f"Offers lead to {what}: the whole interval is above zero."
    elif high < 0:
        text = f"Offers do harm: the comparison group has {what}."
    elif status == "complete":
        return "No effect can be shown: zero is within the interval."
    else:
        return (
            f"Not yet known: the outcome of {observed:,} of {assigned:,} accounts is "
            f"known, and zero is within the interval. The result is known by about "
            f"{when}."
        )
    if status == "running":
        text += f" The experiment is still running, until {row['planned_end_date']}."
    return text
