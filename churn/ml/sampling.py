"""Row samples that keep long histories cheap."""

from __future__ import annotations

import numpy as np

# Maximum rows to fit a baseline or a linear part to. It has at most two weights per
# feature, so more rows do not improve it.
LOGISTIC_MAX_ROWS = 50_000


def as_slice(part: np.ndarray) -> slice | np.ndarray:
    """Return ascending row numbers as a slice (no copy) if they are contiguous."""
    if len(part) and part[-1] - part[0] + 1 == len(part):
        return slice(int(part[0]), int(part[-1]) + 1)
    return part


def stride_sample(part: np.ndarray, most: int) -> np.ndarray:
    """Return every n-th row number, so that at most ``most`` remain."""
    return part[:: max(1, -(-len(part) // most))]


def downsample(
    part: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample at most `LOGISTIC_MAX_ROWS` rows and return them with their weights.

    Churned rows are rare and carry most information, so they make up to half of the
    sample. The weights restore the original class balance.
    """
    if len(part) <= LOGISTIC_MAX_ROWS:
        return part, np.ones(len(part))
    generator = np.random.default_rng(seed)
    is_churned = labels[part] > 0
    outcomes = part[is_churned], part[~is_churned]
    minority_rows = min(len(rows) for rows in outcomes)
    max_rows = max(LOGISTIC_MAX_ROWS // 2, LOGISTIC_MAX_ROWS - minority_rows)
    kept = [
        np.sort(generator.choice(rows, min(len(rows), max_rows), replace=False))
        for rows in outcomes
    ]
    weights = [
        np.full(len(sampled), len(rows) / len(sampled))
        for sampled, rows in zip(kept, outcomes, strict=True)
    ]
    return np.concatenate(kept), np.concatenate(weights)
