"""What a feature is, how its value is put into words, how rows become numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

# Text features are numbered by what their accounts pay: see `learn_codes`.
PRICE_COLUMN = "monthly_recurring_revenue"

RAISES_RISK = "raises"
LOWERS_RISK = "lowers"


class UnknownFeatureError(ValueError):
    """A model asks for a feature that the data does not have."""


@dataclass(frozen=True)
class Feature:
    """One feature, as the YAML of ``account_features`` describes it.

    Attributes:
        name: The column of ``account_features``.
        label: What is counted or measured, as a salesperson would say it.
        theme: The side of the customer relation that it shows. An explanation
            takes at most one reason from each theme.
        high: The phrase for a value above the typical one, a format string that
            names ``value`` and other columns.
        low: The phrase for a value below the typical one.
        missing: The phrase for a value that is not known.
        known_effect: ``raises`` or ``lowers`` where nobody doubts how the value
            moves the risk, else ``None``.
    """

    name: str
    label: str
    theme: str
    high: str
    low: str
    missing: str | None = None
    known_effect: str | None = None

    def phrase(
        self, row: Mapping[str, Any], number: float, typical: float | None
    ) -> str:
        """Put the value of one account into words.

        Args:
            row: The account's columns.
            number: The value as the model sees it (see `as_matrix`).
            typical: The typical value that it is compared with.

        Returns:
            The phrase for a high, a low or a missing value; a value that is
            neither high nor low is told as it is.
        """
        if math.isnan(number):
            return self.missing or f"{self.label}: not known"
        shown = {name: _shown(value) for name, value in row.items()}
        shown["value"] = _shown(row[self.name])
        if typical is not None and number > typical:
            return self.high.format_map(shown)
        if typical is not None and number < typical:
            return self.low.format_map(shown)
        return f"{self.label}: {_plain(row[self.name])}"


class _Number(float):
    """A number that is formatted as a word where it is not known."""

    def __format__(self, form: str) -> str:
        return "unknown" if math.isnan(self) else super().__format__(form)


def _shown(value: Any) -> Any:
    """A value that every format can show, known or not."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return _Number("nan")
    try:
        return _Number(value)
    except (TypeError, ValueError):
        return str(value)


def _plain(value: Any) -> str:
    """A value without a format of its own: whole numbers without decimals."""
    shown = _shown(value)
    if isinstance(shown, _Number):
        return f"{shown:.0f}" if shown == round(shown) else f"{shown:.2f}"
    return str(shown)


def read_features(dictionary: pd.DataFrame) -> list[Feature]:
    """The features that ``feature_dictionary`` lists, sorted by name.

    The order is that of the names, not of the rows, so that the order of the
    columns can change without changing a model.
    """
    features = []
    for row in dictionary.sort_values("feature").to_dict("records"):
        texts = {key: value for key, value in row.items() if isinstance(value, str)}
        features.append(
            Feature(
                name=texts["feature"],
                label=texts.get("label", texts["feature"]),
                theme=texts.get("theme", texts["feature"]),
                high=texts["high_phrase"],
                low=texts["low_phrase"],
                missing=texts.get("missing_phrase"),
                known_effect=texts.get("known_effect"),
            )
        )
    return features


def learn_codes(
    rows: pd.DataFrame, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Number the values of the text features.

    The values of such a feature, the plans say, are ranked by what their
    accounts pay on average, values of equal price by name. A price order lets a
    tree split between cheap and dear plans, and does not depend on the order of
    the rows.

    Returns:
        For each text feature, the number of each of its values.
    """
    codes = {}
    for name in names:
        if not _is_text(rows[name]):
            continue
        values = rows[name].dropna().astype(str)
        prices = (
            pd.to_numeric(rows[PRICE_COLUMN], errors="coerce")
            if PRICE_COLUMN in rows
            else pd.Series(0.0, index=rows.index)
        )
        # Rounded, so that the order of summation cannot decide a rank.
        price = prices.loc[values.index].groupby(values).mean().fillna(0).round(6)
        ranked = sorted(price.items(), key=lambda item: (item[1], item[0]))
        codes[name] = {
            str(value): float(rank) for rank, (value, _) in enumerate(ranked)
        }
    return codes


def as_matrix(
    rows: pd.DataFrame,
    names: Sequence[str],
    codes: Mapping[str, Mapping[str, float]] | None = None,
) -> np.ndarray:
    """The features of ``rows`` as numbers, missing values as NaN.

    Args:
        rows: Rows of ``account_features``, columns in any order.
        names: The features, in the order of the model.
        codes: The numbers of the values of text features; a value without a
            number is a missing one.

    Returns:
        A float32 array of shape (n_rows, n_features).

    Raises:
        UnknownFeatureError: ``rows`` lack some of the features.
    """
    absent = [name for name in names if name not in rows.columns]
    if absent:
        raise UnknownFeatureError(
            f"the model needs the feature{'s' * (len(absent) > 1)} "
            f"{', '.join(absent)}, which account_features no longer has"
        )
    matrix = np.empty((len(rows), len(names)), dtype=np.float32, order="C")
    for position, name in enumerate(names):
        column = rows[name]
        if codes and name in codes:
            column = column.map(codes[name])
        matrix[:, position] = pd.to_numeric(column, errors="coerce").to_numpy(
            dtype=np.float32, na_value=np.nan
        )
    return matrix


def _is_text(column: pd.Series) -> bool:
    """Whether a column holds text (a column without any value does not)."""
    if pd.api.types.is_numeric_dtype(column):
        return False
    return any(isinstance(value, str) for value in column.dropna().head(1))
