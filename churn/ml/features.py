"""Features: their description, their values in words and as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# Monthly revenue of an account. Text features are ranked by it.
PRICE_COLUMN = "monthly_recurring_revenue"

# The kind of a feature that an account cannot change by what it does.
ATTRIBUTE = "attribute"
RAISES_RISK = "raises"
LOWERS_RISK = "lowers"


class UnknownFeatureError(ValueError):
    """Report a feature that a model needs and the data does not have."""


@dataclass(frozen=True)
class Feature:
    """One feature, as described in the YAML of ``account_features``.

    Attributes:
        name: The column of ``account_features``.
        label: What the feature counts or measures, in a salesperson's words.
        theme: The aspect of the customer relation. A score has at most one reason
            per theme.
        high: The phrase for a value at or above the median: a format string with
            ``value`` and other columns. It states the bare fact, so that it is also
            true of median values.
        low: The phrase for a value below the median. If it names a column with
            ``_prior_`` in its name, it is used only if the value is below that
            column too: ``only 3 visits, 0 before`` would contradict itself.
        missing: The phrase for a missing value.
        monotone_direction: ``raises`` or ``lowers`` if the direction of the effect
            on risk is beyond doubt, else ``None``.
        kind: ``behaviour`` or `ATTRIBUTE`.
    """

    name: str
    label: str
    theme: str
    high: str
    low: str
    missing: str | None = None
    monotone_direction: str | None = None
    kind: str = "behaviour"

    def phrases(self, columns: Columns, median: float | None) -> np.ndarray:
        """Put the values of some accounts into words.

        Each distinct phrase is formatted once and then copied. The usual value, which
        is the median, follows in brackets, except where the phrase names an earlier
        value to compare with.

        Args:
            columns: The accounts' columns.
            median: The median of the training rows, encoded as in `as_matrix`.

        Returns:
            For each account the phrase for a high, a low or a missing value.
        """
        numbers = columns.numbers_of(self.name)
        texts = np.empty(len(numbers), dtype=object)
        is_missing = np.isnan(numbers)
        is_low = np.zeros(len(numbers), dtype=bool)
        if median is not None:
            is_low = numbers < median
            for name in _fields(self.low):
                if "_prior_" in name:
                    is_low &= ~(numbers >= columns.numbers_of(name))
        texts[is_missing] = self.missing or f"{self.label}: not known"
        for phrase, is_used in (
            (self.low, is_low),
            (self.high, ~is_low & ~is_missing),
        ):
            chosen = np.flatnonzero(is_used)
            if len(chosen):
                texts[chosen] = self._format(phrase, columns, chosen)
                texts[chosen] += self.usual(phrase, median)
        return texts

    def usual(self, phrase: str, median: float | None) -> str:
        """Return the usual value in brackets, or nothing if a phrase needs none."""
        form = next((f for _, n, f, _ in Formatter().parse(phrase) if n == "value"), "")
        compares = any("_prior_" in name for name in _fields(phrase))
        if median is None or not form or form.startswith("+") or compares:
            return ""
        # The phrase has named what is counted.
        return f" (usually {_Number(median):{'.0f' if '|' in form else form}})"

    def _format(self, phrase: str, columns: Columns, chosen: np.ndarray) -> np.ndarray:
        """Format a phrase with the values of the chosen accounts."""
        names = _fields(phrase)
        group = np.zeros(len(chosen), dtype=np.int64)
        for name in names:
            column = self.name if name == "value" else name
            different, number = columns.groups_of(column, chosen)
            # Renumber after each column, so that the product cannot overflow.
            group = np.unique(group * different + number, return_inverse=True)[1]
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        rows = chosen[first]
        shown = [
            columns.values_of(self.name if name == "value" else name, rows)
            for name in names
        ]
        texts = np.empty(len(rows), dtype=object)
        values_of_row = zip(*shown, strict=True) if names else [()] * len(rows)
        for row, values in enumerate(values_of_row):
            texts[row] = _format_once(phrase, values)
        return texts[group]


class Columns:
    """The columns of some accounts that phrases use.

    Args:
        rows: The accounts, with the columns that phrases name.
        codes: The codes of text features.
        chosen: Positions of the accounts to use, or ``None`` for all.
    """

    def __init__(
        self,
        rows: pa.RecordBatch,
        codes: Mapping[str, Mapping[str, float]] | None = None,
        chosen: np.ndarray | None = None,
    ) -> None:
        self._rows = rows
        self._codes = codes or {}
        self._chosen = chosen

    def take(self, chosen: np.ndarray) -> Columns:
        """Return the same columns of the accounts at some positions."""
        return Columns(self._rows, self._codes, chosen)

    def numbers_of(self, name: str) -> np.ndarray:
        """Return a feature's values, encoded as in the matrix."""
        return as_numbers(self._column(name), self._codes.get(name))

    def groups_of(self, name: str, chosen: np.ndarray) -> tuple[int, np.ndarray]:
        """Return the number of distinct values, and the index of each row's value."""
        column = self._column(name).take(pa.array(chosen))
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            values = column.cast(pa.float64(), safe=False)
            distinct, group = np.unique(
                values.to_numpy(zero_copy_only=False), return_inverse=True
            )
            return len(distinct), group
        encoded = column.dictionary_encode("encode")
        group = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return len(encoded.dictionary), group

    def values_of(self, name: str, chosen: np.ndarray) -> list[Any]:
        """Return the values at some positions, ``None`` for a missing one."""
        return self._column(name).take(pa.array(chosen)).to_pylist()

    def _column(self, name: str) -> pa.Array:
        if name not in self._rows.schema.names:
            raise UnknownFeatureError(
                f"a phrase names the column {name}, which account_features no "
                "longer has"
            )
        column = self._rows.column(name)
        return column if self._chosen is None else column.take(pa.array(self._chosen))


@cache
def _fields(phrase: str) -> tuple[str, ...]:
    """Return the columns that a format string names, sorted."""
    fields = {field for _, field, _, _ in Formatter().parse(phrase) if field}
    return tuple(sorted(fields))


@lru_cache(maxsize=50_000)
def _format_once(phrase: str, values: tuple[Any, ...]) -> str:
    """Format a phrase with the values of its columns; cached for later batches."""
    shown = dict(zip(_fields(phrase), map(_as_formattable, values), strict=True))
    return _in_plain_words(phrase.format_map(shown))


class _Number(float):
    """A number that formats NaN as ``unknown``.

    Rounding never produces none or all of something: 0.3 % becomes ``under 1%``. The
    format ``error|errors`` names what is counted: ``no errors``, ``one error``,
    ``2 errors``.
    """

    def __format__(self, form: str) -> str:
        if "|" in form:
            singular, plural = form.split("|", 1)
            number = float(self)
            if number == 1:
                return f"one {singular}"
            amount = "unknown" if math.isnan(number) else f"{number:,.0f}"
            return f"{'no' if number == 0 else amount} {plural}"
        if math.isnan(self):
            return "unknown"
        text = super().__format__(form)
        if float(self) != 0 and not re.search("[1-9]", text):
            is_signed = text[0] in "+-"
            smallest = re.sub(r"0(?=\D*$)", "1", text.lstrip("+-"))
            return "about 0" if is_signed else f"under {smallest}"
        if self < 1 and re.fullmatch(r"100(\.0+)?%", text):
            return "over 99%"
        return text


def _as_formattable(value: Any) -> Any:
    """Convert a value to one that accepts every number format."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return _Number("nan")
    try:
        return _Number(value)
    except (TypeError, ValueError):
        return str(value)


_NONE_OR_ALL = re.compile(r"(?<![\d.,])0|100%")
# Replacements for numbers that mean none or all.
_PLAIN_WORDS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\bonly 0(?:\.0)? ", "no "),
        (r"\blooked at 0 ", "looked at no "),
        (r"^(?:about )?0(?:\.0)?%? of ", "none of "),
        (r"^[+-]?0(?:\.0)? ", "no "),
        (r"\b(?:changed by [+-]0) euros", "unchanged"),
        (r"^(\w+) 0 times ", r"never \1 "),
        (r", 0 in the ", ", none in the "),
        (r" and 0 clicks\b", " and no clicks"),
        (r"^(1 support call\b.*), 100% (?=about)", r"\1, "),
        (r", 0% (?=about)", ", none "),
        (r", 100% (?=about)", ", all "),
    )
)


def _in_plain_words(phrase: str) -> str:
    """Use words for none and all, and the singular after 1."""
    phrase = phrase.replace("about under ", "under ")
    if "1 " in phrase:
        phrase = re.sub(r"(?<![\d.,])1 ((?:\w+ )?\w+?)ies\b", r"1 \1y", phrase)
        phrase = re.sub(r"(?<![\d.,])1 ((?:page |support )?\w+?)s\b", r"1 \1", phrase)
    if _NONE_OR_ALL.search(phrase):
        for pattern, words in _PLAIN_WORDS:
            phrase = pattern.sub(words, phrase)
    return phrase


def read_features(dictionary: pd.DataFrame) -> list[Feature]:
    """Read the features from ``feature_dictionary``, sorted by name.

    Sorting makes a model independent of the order of the columns.
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
                monotone_direction=texts.get("monotone_direction"),
                kind=texts.get("kind", "behaviour"),
            )
        )
    return features


def as_matrix(
    rows: pd.DataFrame | pa.RecordBatch,
    names: Sequence[str],
    codes: Mapping[str, Mapping[str, float]] | None = None,
) -> np.ndarray:
    """Return the features of ``rows`` as numbers, missing values as NaN.

    Args:
        rows: Rows of ``account_features``, columns in any order.
        names: The features, in the order of the model.
        codes: The codes of text features; a text without a code is missing.

    Returns:
        A float32 array of shape (n_rows, n_features).

    Raises:
        UnknownFeatureError: ``rows`` lack some of the features.
    """
    is_frame = isinstance(rows, pd.DataFrame)
    available = set(rows.columns if is_frame else rows.schema.names)
    absent = [name for name in names if name not in available]
    if absent:
        raise UnknownFeatureError(
            f"the model needs the feature{'s' * (len(absent) > 1)} "
            f"{', '.join(absent)}, which account_features no longer has"
        )
    matrix = np.empty((len(rows), len(names)), dtype=np.float32, order="C")
    for position, name in enumerate(names):
        column = pa.Array.from_pandas(rows[name]) if is_frame else rows.column(name)
        matrix[:, position] = as_numbers(column, (codes or {}).get(name))
    return matrix


def as_numbers(
    column: pa.Array, codes: Mapping[str, float] | None = None
) -> np.ndarray:
    """Return one feature's values as float32, missing values as NaN.

    Args:
        column: The values.
        codes: The codes of a text feature; a text without a code is missing.
    """
    if codes is not None:
        texts = pa.array(list(codes), pa.string())
        numbers = pa.array(list(codes.values()), pa.float32())
        column = numbers.take(pc.index_in(column.cast(pa.string()), texts))
    elif not _is_number(column.type):
        return np.full(len(column), np.nan, dtype=np.float32)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)


def _is_number(data_type: pa.DataType) -> bool:
    return (
        pa.types.is_integer(data_type)
        or pa.types.is_floating(data_type)
        or pa.types.is_boolean(data_type)
        or pa.types.is_decimal(data_type)
    )
