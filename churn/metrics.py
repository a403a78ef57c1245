"""How good probabilities are, with bootstrap intervals by account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

TOP_SHARES = (0.05, 0.10, 0.20)
CALIBRATION_BINS = 10
# Share of the bootstrap draws that an interval holds.
INTERVAL = 0.95
DRAWS = 200
# Accounts x draws that are held in memory at once.
_BLOCK = 500_000
# Steps of the curves of one draw.
_MOST_STEPS = 5_000
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
    [estimates] = evaluate_each(labels, [probabilities], accounts, revenue, draws, seed)
    return estimates


def evaluate_each(
    labels: np.ndarray,
    predictions: Sequence[np.ndarray],
    accounts: np.ndarray | None = None,
    revenue: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, Estimate]]:
    """What `evaluate` says of each of several predictions, on the same draws."""
    labels = np.asarray(labels, dtype=float)
    predictions = [np.asarray(given, dtype=float) for given in predictions]
    if len(labels) == 0:
        return [{metric: Estimate(None) for metric in METRICS} for _ in predictions]
    drawn = [np.empty((0, len(METRICS)))] * len(predictions)
    if accounts is not None and draws:
        drawn = _draw_metrics(labels, predictions, accounts, revenue, draws, seed)
    return [
        _estimates(_measure(labels, given, revenue), of_draws)
        for given, of_draws in zip(predictions, drawn, strict=True)
    ]


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
    both = [
        np.asarray(given, dtype=float) for given in (probabilities, other_probabilities)
    ]
    value, other_value = (_measure(labels, given, None) for given in both)
    drawn, other_drawn = _draw_metrics(labels, both, accounts, None, draws, seed)
    return _estimates(value - other_value, drawn - other_drawn)


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


def draw_accounts(accounts: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Draw accounts with replacement.

    Yields:
        Blocks of weights of shape (draws in the block, accounts): how often each
        account was drawn.
    """
    generator = np.random.default_rng(seed)
    block = max(1, min(draws, _BLOCK // max(1, accounts)))
    for start in range(0, draws, block):
        yield np.stack(
            [
                np.bincount(generator.integers(accounts, size=accounts), None, accounts)
                for _ in range(min(block, draws - start))
            ]
        ).astype(float)


def draw_means(
    values: np.ndarray, accounts: np.ndarray, draws: int, seed: int
) -> np.ndarray:
    """The mean of a value over the rows of drawn accounts.

    Args:
        values: Of shape (n_rows,).
        accounts: The account of each row.
        draws: How many draws.
        seed: Seed of the draws.

    Returns:
        The mean of each draw, of shape (draws,).
    """
    names, account_of_row = np.unique(accounts, return_inverse=True)
    totals = np.bincount(account_of_row, values)
    rows = np.bincount(account_of_row)
    return np.concatenate(
        [
            weights @ totals / (weights @ rows)
            for weights in draw_accounts(len(names), draws, seed)
        ]
    )


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


def _measure(
    labels: np.ndarray, probabilities: np.ndarray, revenue: np.ndarray | None
) -> np.ndarray:
    """Each of `METRICS` on all rows, NaN where it is not defined."""
    one_account = np.zeros(len(labels), dtype=int)
    sums = _sums_by_account(labels, probabilities, one_account, revenue, len(labels))
    return sums.metrics(np.ones((1, 1)))[0]


def _draw_metrics(
    labels: np.ndarray,
    predictions: Sequence[np.ndarray],
    accounts: np.ndarray,
    revenue: np.ndarray | None,
    draws: int,
    seed: int,
) -> list[np.ndarray]:
    """Each prediction's metrics on each draw of accounts: (draws, n_metrics)."""
    names, account_of_row = np.unique(np.asarray(accounts), return_inverse=True)
    sums = [
        _sums_by_account(labels, given, account_of_row, revenue, _MOST_STEPS)
        for given in predictions
    ]
    drawn = [
        [of_one.metrics(weights) for of_one in sums]
        for weights in draw_accounts(len(names), draws, seed)
    ]
    return [np.concatenate(blocks) for blocks in zip(*drawn, strict=True)]


@dataclass(frozen=True)
class _Sums:
    """What every metric is made of, summed by account or kept by row.

    Rows of equal probability are one step of every curve, so that no metric
    depends on the order of ties. What adds up over rows is added up by account
    once, and not in every draw.

    Attributes:
        taken, caught, lost: Of each account and step the rows, those that churned,
            and what these paid, of shape (n_accounts, n_steps); the first step has
            the highest probability. Without revenue, what they paid is NaN.
        rows, losses, squares: Of each account, their totals.
        bins: Of each account, probability minus outcome in each of the bins of
            the calibration error, of shape (n_accounts, n_bins).
    """

    taken: sparse.csr_array
    caught: sparse.csr_array
    lost: sparse.csr_array
    rows: np.ndarray
    losses: np.ndarray
    squares: np.ndarray
    bins: np.ndarray

    def metrics(self, weights: np.ndarray) -> np.ndarray:
        """The metrics for some weights of accounts.

        Args:
            weights: Of shape (n_draws, n_accounts).

        Returns:
            Of shape (n_draws, n_metrics).
        """
        taken, caught, lost = (
            _from_zero(weights @ sums) for sums in (self.taken, self.caught, self.lost)
        )
        total = weights @ self.rows
        positives = caught[:, -1]
        negatives = total - positives
        with np.errstate(divide="ignore", invalid="ignore"):
            caught_in_step = np.diff(caught, axis=1)
            missed_in_step = np.diff(taken - caught, axis=1)
            caught_with_step = caught[:, 1:]
            metrics = [
                (missed_in_step * (caught_with_step - caught_in_step / 2)).sum(axis=1)
                / (positives * negatives),
                np.nansum(caught_in_step * caught_with_step / taken[:, 1:], axis=1)
                / np.where(positives > 0, positives, np.nan),
                weights @ self.losses / total,
                weights @ self.squares / total,
                np.abs(weights @ self.bins).sum(axis=1) / total,
            ]
            for share in TOP_SHARES:
                metrics.append(_at_share(taken, caught, share) / positives / share)
            for share in TOP_SHARES:
                metrics.append(_at_share(taken, lost, share) / lost[:, -1])
        return np.column_stack(metrics)


def _sums_by_account(
    labels: np.ndarray,
    probabilities: np.ndarray,
    account_of_row: np.ndarray,
    revenue: np.ndarray | None,
    most_steps: int,
) -> _Sums:
    """What the metrics of some rows are made of, in at most so many steps."""
    levels, step = np.unique(-probabilities, return_inverse=True)
    if len(levels) > most_steps:
        # Neighbours share a step: that is far below what a draw can tell.
        step = step * most_steps // len(levels)
    steps = min(len(levels), most_steps)
    accounts = int(account_of_row.max()) + 1
    is_churned = labels > 0
    paid = np.full(len(labels), np.nan) if revenue is None else np.nan_to_num(revenue)
    bins = _equal_bins(probabilities)
    off = np.bincount(
        account_of_row * CALIBRATION_BINS + bins,
        probabilities - labels,
        accounts * CALIBRATION_BINS,
    )
    places = account_of_row, step
    churned_places = account_of_row[is_churned], step[is_churned]
    taken, caught, lost = (
        sparse.csr_array((np.asarray(values, dtype=float), where), (accounts, steps))
        for values, where in (
            (np.ones(len(labels)), places),
            (np.ones(int(is_churned.sum())), churned_places),
            (paid[is_churned], churned_places),
        )
    )
    return _Sums(
        taken=taken,
        caught=caught,
        lost=lost,
        rows=np.bincount(account_of_row, minlength=accounts),
        losses=np.bincount(account_of_row, log_losses(labels, probabilities)),
        squares=np.bincount(account_of_row, (probabilities - labels) ** 2),
        bins=off.reshape(accounts, CALIBRATION_BINS),
    )


def _from_zero(sums: np.ndarray) -> np.ndarray:
    """The running sums of each row, beginning before its first column."""
    running = np.zeros((sums.shape[0], sums.shape[1] + 1))
    np.cumsum(sums, axis=1, out=running[:, 1:])
    return running


def _at_share(taken: np.ndarray, gained: np.ndarray, share: float) -> np.ndarray:
    """What the top ``share`` of the rows gains, linear within a step."""
    return np.array(
        [np.interp(share * x[-1], x, y) for x, y in zip(taken, gained, strict=True)]
    )


def _equal_bins(probabilities: np.ndarray) -> np.ndarray:
    """Bins of equally many rows, rows of equal probability in one bin."""
    shares = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    edges = np.unique(np.quantile(probabilities, shares))
    return np.searchsorted(edges, probabilities, "left")


def _none_if_nan(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
