"""Metrics of predicted probabilities, with bootstrap intervals by account.

scikit-learn has point metrics but no intervals, and SciPy's bootstrap resamples rows.
Rows of one account are correlated, so this module resamples accounts. All metrics of
all draws come from one set of sums, and so does the value, so that value and interval
agree. The tests compare them with scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

TOP_SHARES = (0.05, 0.10, 0.20)
CALIBRATION_BINS = 10
# Confidence level of the intervals.
INTERVAL = 0.95
DRAWS = 200
# Maximum accounts x draws held in memory at once.
_BLOCK = 500_000
# Maximum steps of the curves of one draw.
_MAX_STEPS = 5_000
_MIN_PROBABILITY = 1e-7

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
    """A metric and its bootstrap interval.

    ``None`` if the metric is not defined, such as the AUC of one class.
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
    """Evaluate probabilities against observed labels.

    Rows of one account are correlated, so the bootstrap resamples accounts; an
    interval from resampled rows would be far too narrow.

    Args:
        labels: Whether each row churned, of shape (n_rows,).
        probabilities: The predicted probability of each row, of shape (n_rows,).
        accounts: The account of each row; ``None`` for no intervals.
        revenue: Monthly revenue of each row's account, for captured revenue.
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
    """Apply `evaluate` to several predictions, on the same bootstrap draws."""
    labels = np.asarray(labels, dtype=float)
    predictions = [np.asarray(prediction, dtype=float) for prediction in predictions]
    if len(labels) == 0:
        return [{metric: Estimate(None) for metric in METRICS} for _ in predictions]
    drawn = [np.empty((0, len(METRICS)))] * len(predictions)
    if accounts is not None and draws:
        drawn = _draw_metrics(labels, predictions, accounts, revenue, draws, seed)
    return [
        _estimates(_measure(labels, prediction, revenue), draw_metrics)
        for prediction, draw_metrics in zip(predictions, drawn, strict=True)
    ]


def compare(
    labels: np.ndarray,
    probabilities: np.ndarray,
    other_probabilities: np.ndarray,
    accounts: np.ndarray,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Estimate the difference of each metric between two predictions.

    Both are measured on the same draws of accounts. The errors of paired draws are
    correlated, so the interval of the difference is far narrower than the two
    separate intervals suggest.

    Args:
        labels: Whether each row churned, of shape (n_rows,), not empty.
        probabilities: The predicted probability of each row.
        other_probabilities: The prediction to subtract.
        accounts: The account of each row.
        draws: Bootstrap draws, at least 1.
        seed: Seed of the draws.

    Returns:
        The difference of each of `METRICS`.
    """
    labels = np.asarray(labels, dtype=float)
    both = [
        np.asarray(prediction, dtype=float)
        for prediction in (probabilities, other_probabilities)
    ]
    value, other_value = (_measure(labels, prediction, None) for prediction in both)
    drawn, other_drawn = _draw_metrics(labels, both, accounts, None, draws, seed)
    return _estimates(value - other_value, drawn - other_drawn)


def _estimates(value: np.ndarray, drawn: np.ndarray) -> dict[str, Estimate]:
    """Combine values with the intervals of draws of shape (n_draws, n_metrics)."""
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
        Blocks of weights of shape (draws in the block, accounts): the number of
        times each account was drawn.
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
    """Bootstrap the mean of a value by account.

    Args:
        values: Of shape (n_rows,).
        accounts: The account of each row.
        draws: Number of draws.
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
    """Return the logarithmic loss of each row."""
    bounded = np.clip(probabilities, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    return -np.where(np.asarray(labels) > 0, np.log(bounded), np.log1p(-bounded))


def _measure(
    labels: np.ndarray, probabilities: np.ndarray, revenue: np.ndarray | None
) -> np.ndarray:
    """Return each of `METRICS` on all rows, NaN if not defined."""
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
    """Return each prediction's metrics on each draw: (draws, n_metrics)."""
    names, account_of_row = np.unique(np.asarray(accounts), return_inverse=True)
    sums = [
        _sums_by_account(labels, prediction, account_of_row, revenue, _MAX_STEPS)
        for prediction in predictions
    ]
    drawn = [
        [account_sums.metrics(weights) for account_sums in sums]
        for weights in draw_accounts(len(names), draws, seed)
    ]
    return [np.concatenate(blocks) for blocks in zip(*drawn, strict=True)]


@dataclass(frozen=True)
class _Sums:
    """Sufficient statistics of all metrics, summed by account.

    Rows of equal probability form one step of every curve, so that no metric depends
    on the order of ties. Sums over rows are computed once, not in every draw.

    Attributes:
        selected, churned, revenue: Sums by account and step, of shape (n_accounts,
            n_steps): rows, churned rows, and revenue of churned rows. The first step
            has the highest probability. Without revenue, ``revenue`` is NaN.
        rows, losses, squares: Totals by account: rows, log loss, squared error.
        bins: Probability minus outcome by account and calibration bin, of shape
            (n_accounts, n_bins).
    """

    selected: sparse.csr_array
    churned: sparse.csr_array
    revenue: sparse.csr_array
    rows: np.ndarray
    losses: np.ndarray
    squares: np.ndarray
    bins: np.ndarray

    def metrics(self, weights: np.ndarray) -> np.ndarray:
        """Compute the metrics for weighted accounts.

        Args:
            weights: Of shape (n_draws, n_accounts).

        Returns:
            An array of shape (n_draws, n_metrics).
        """
        selected, churned, revenue = (
            _cumulative(weights @ sums)
            for sums in (self.selected, self.churned, self.revenue)
        )
        total = weights @ self.rows
        positives = churned[:, -1]
        negatives = total - positives
        with np.errstate(divide="ignore", invalid="ignore"):
            churned_in_step = np.diff(churned, axis=1)
            stayed_in_step = np.diff(selected - churned, axis=1)
            churned_with_step = churned[:, 1:]
            metrics = [
                (stayed_in_step * (churned_with_step - churned_in_step / 2)).sum(axis=1)
                / (positives * negatives),
                np.nansum(churned_in_step * churned_with_step / selected[:, 1:], axis=1)
                / np.where(positives > 0, positives, np.nan),
                weights @ self.losses / total,
                weights @ self.squares / total,
                np.abs(weights @ self.bins).sum(axis=1) / total,
            ]
            for share in TOP_SHARES:
                metrics.append(_at_share(selected, churned, share) / positives / share)
            for share in TOP_SHARES:
                metrics.append(_at_share(selected, revenue, share) / revenue[:, -1])
        return np.column_stack(metrics)


def _sums_by_account(
    labels: np.ndarray,
    probabilities: np.ndarray,
    account_of_row: np.ndarray,
    revenue: np.ndarray | None,
    max_steps: int,
) -> _Sums:
    """Sum the statistics of the metrics, with at most ``max_steps`` curve steps."""
    levels, step = np.unique(-probabilities, return_inverse=True)
    if len(levels) > max_steps:
        # Merge neighbouring steps; the error is far below the bootstrap noise.
        step = step * max_steps // len(levels)
    steps = min(len(levels), max_steps)
    accounts = int(account_of_row.max()) + 1
    is_churned = labels > 0
    paid = np.full(len(labels), np.nan) if revenue is None else np.nan_to_num(revenue)
    bins = _equal_bins(probabilities)
    calibration_errors = np.bincount(
        account_of_row * CALIBRATION_BINS + bins,
        probabilities - labels,
        accounts * CALIBRATION_BINS,
    )
    row_index = account_of_row, step
    churned_index = account_of_row[is_churned], step[is_churned]
    selected, churned, churned_revenue = (
        sparse.csr_array((np.asarray(values, dtype=float), index), (accounts, steps))
        for values, index in (
            (np.ones(len(labels)), row_index),
            (np.ones(int(is_churned.sum())), churned_index),
            (paid[is_churned], churned_index),
        )
    )
    return _Sums(
        selected=selected,
        churned=churned,
        revenue=churned_revenue,
        rows=np.bincount(account_of_row, minlength=accounts),
        losses=np.bincount(account_of_row, log_losses(labels, probabilities)),
        squares=np.bincount(account_of_row, (probabilities - labels) ** 2),
        bins=calibration_errors.reshape(accounts, CALIBRATION_BINS),
    )


def _cumulative(sums: np.ndarray) -> np.ndarray:
    """Return the cumulative sums of each row, starting with a zero column."""
    cumulative = np.zeros((sums.shape[0], sums.shape[1] + 1))
    np.cumsum(sums, axis=1, out=cumulative[:, 1:])
    return cumulative


def _at_share(selected: np.ndarray, gained: np.ndarray, share: float) -> np.ndarray:
    """Return the gain of the top ``share`` of rows, interpolated within a step."""
    return np.array(
        [np.interp(share * x[-1], x, y) for x, y in zip(selected, gained, strict=True)]
    )


def _equal_bins(probabilities: np.ndarray) -> np.ndarray:
    """Assign rows to bins of equal size; equal probabilities share a bin."""
    shares = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    edges = np.unique(np.quantile(probabilities, shares))
    return np.searchsorted(edges, probabilities, "left")


def _none_if_nan(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
