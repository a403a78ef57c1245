"""How good probabilities are, with bootstrap intervals by account."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

TOP_SHARES = (0.05, 0.10, 0.20)
CALIBRATION_BINS = 10
# Share of the bootstrap draws that an interval holds.
INTERVAL = 0.95
DRAWS = 200
# Rows x draws that are held in memory at once.
_BLOCK = 4_000_000
_SMALLEST_PROBABILITY = 1e-7

METRICS = (
    "roc_auc",
    "pr_auc",
    "log_loss",
    "brier",
    "calibration_error",
    *(f"lift_at_{share:.0%}".replace("%", "") for share in TOP_SHARES),
    *(f"captured_revenue_at_{share:.0%}".replace("%", "") for share in TOP_SHARES),
)


class Estimate(NamedTuple):
    """A metric and the interval in which its bootstrap draws lie.

    ``None`` where the metric is not defined, such as an AUC of one class.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


def evaluate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    accounts: np.ndarray | None = None,
    revenue: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Measure probabilities against what happened.

    The rows of one account resemble each other, so the bootstrap draws accounts,
    not rows: an interval drawn from rows would be far too narrow.

    Args:
        labels: Whether each row churned, of shape (n_rows,).
        probabilities: The probability given to each row.
        accounts: The account of each row; without it there are no intervals.
        revenue: What each row's account pays, for the captured revenue.
        draws: Bootstrap draws; 0 for no intervals.
        seed: Seed of the draws.

    Returns:
        The estimate of each of `METRICS`.
    """
    labels = np.asarray(labels, dtype=float)
    probabilities = np.asarray(probabilities, dtype=float)
    if len(labels) == 0:
        return {metric: Estimate(None) for metric in METRICS}
    measure = _prepare(labels, probabilities, revenue)
    value = measure(np.ones((1, len(labels))))[0]
    drawn = np.empty((0, len(METRICS)))
    if accounts is not None and draws:
        drawn = np.concatenate(
            [measure(weights) for weights in draw_accounts(accounts, draws, seed)]
        )
    return _estimates(value, drawn)


def compare(
    labels: np.ndarray,
    probabilities: np.ndarray,
    other_probabilities: np.ndarray,
    accounts: np.ndarray,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """How much higher each metric is than with other probabilities.

    Both are measured on the same draws of accounts: what makes a draw hard for
    one makes it hard for the other, so the interval of the difference is far
    narrower than the two intervals beside each other suggest.

    Args:
        labels: Whether each row churned, of shape (n_rows,), not empty.
        probabilities: The probability given to each row.
        other_probabilities: The one that it is compared with.
        accounts: The account of each row.
        draws: Bootstrap draws, at least 1.
        seed: Seed of the draws.

    Returns:
        The difference of each of `METRICS`.
    """
    labels = np.asarray(labels, dtype=float)
    one, other = (
        _prepare(labels, np.asarray(given, dtype=float), None)
        for given in (probabilities, other_probabilities)
    )
    everyone = np.ones((1, len(labels)))
    drawn = [
        one(weights) - other(weights)
        for weights in draw_accounts(accounts, draws, seed)
    ]
    return _estimates((one(everyone) - other(everyone))[0], np.concatenate(drawn))


def _estimates(value: np.ndarray, drawn: np.ndarray) -> dict[str, Estimate]:
    """Each metric's value, and the interval of its draws: (n_draws, n_metrics)."""
    tail = (1 - INTERVAL) / 2 * 100
    low, high = np.full((2, len(METRICS)), np.nan)
    defined = ~np.isnan(drawn).all(axis=0)
    if len(drawn):
        low[defined], high[defined] = np.nanpercentile(
            drawn[:, defined], [tail, 100 - tail], axis=0
        )
    return {
        metric: Estimate(*(_none_if_nan(numbers[i]) for numbers in (value, low, high)))
        for i, metric in enumerate(METRICS)
    }


def draw_accounts(accounts: np.ndarray, draws: int, seed: int):
    """Draw accounts with replacement.

    Yields:
        Blocks of row weights of shape (draws in the block, n_rows): how often
        the account of each row was drawn.
    """
    names, account_of_row = np.unique(np.asarray(accounts), return_inverse=True)
    generator = np.random.default_rng(seed)
    block = max(1, min(draws, _BLOCK // max(1, len(account_of_row))))
    for start in range(0, draws, block):
        picked = generator.multinomial(
            len(names), np.full(len(names), 1 / len(names)), min(block, draws - start)
        )
        yield picked[:, account_of_row].astype(float)


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The logarithmic loss of each row."""
    bounded = np.clip(probabilities, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return -np.where(np.asarray(labels) > 0, np.log(bounded), np.log1p(-bounded))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean logarithmic loss."""
    return float(log_losses(labels, probabilities).mean())


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """The probability that a row that churned has a higher score than another."""
    return evaluate(labels, scores, draws=0)["roc_auc"].value


def _prepare(
    labels: np.ndarray, probabilities: np.ndarray, revenue: np.ndarray | None
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from row weights to the weighted metrics.

    What does not depend on the weights (the order of the rows, their losses) is
    worked out once. Rows of equal probability are one step of every curve, so
    that no metric depends on the order of ties.
    """
    order = np.argsort(-probabilities, kind="stable")
    labels, probabilities = labels[order], probabilities[order]
    paid = None if revenue is None else np.nan_to_num(np.asarray(revenue, float))[order]
    step_ends = np.append(
        np.flatnonzero(np.diff(probabilities)), len(probabilities) - 1
    )
    losses = log_losses(labels, probabilities)
    squares = (probabilities - labels) ** 2
    bins = _equal_bins(probabilities)
    bin_starts = np.append(0, np.flatnonzero(np.diff(bins)) + 1)

    def measure(weights: np.ndarray) -> np.ndarray:
        weights = weights[:, order]
        total = weights.sum(axis=1)
        churned = weights * labels
        caught = np.cumsum(churned, axis=1)[:, step_ends]
        taken = np.cumsum(weights, axis=1)[:, step_ends]
        positives = caught[:, -1]
        negatives = total - positives
        with np.errstate(divide="ignore", invalid="ignore"):
            caught_in_step = np.diff(caught, axis=1, prepend=0)
            missed_in_step = np.diff(taken - caught, axis=1, prepend=0)
            metrics = [
                (missed_in_step * (caught - caught_in_step / 2)).sum(axis=1)
                / (positives * negatives),
                np.nansum(caught_in_step * caught / taken, axis=1)
                / np.where(positives > 0, positives, np.nan),
                weights @ losses / total,
                weights @ squares / total,
                np.abs(
                    np.add.reduceat(
                        weights * (probabilities - labels), bin_starts, axis=1
                    )
                ).sum(axis=1)
                / total,
            ]
            for share in TOP_SHARES:
                metrics.append(_at_share(taken, caught, share) / positives / share)
            lost = (
                np.full_like(caught, np.nan)
                if paid is None
                else np.cumsum(churned * paid, axis=1)[:, step_ends]
            )
            for share in TOP_SHARES:
                metrics.append(_at_share(taken, lost, share) / lost[:, -1])
        return np.column_stack(metrics)

    return measure


def _at_share(taken: np.ndarray, gained: np.ndarray, share: float) -> np.ndarray:
    """What the top ``share`` of the rows gains, linear within a step."""
    return np.array(
        [
            np.interp(share * x[-1], np.append(0, x), np.append(0, y))
            for x, y in zip(taken, gained, strict=True)
        ]
    )


def _equal_bins(descending: np.ndarray) -> np.ndarray:
    """Bins of equally many rows, rows of equal probability in one bin."""
    edges = np.quantile(descending, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    return CALIBRATION_BINS - np.searchsorted(np.unique(edges), descending, "left")


def _none_if_nan(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
