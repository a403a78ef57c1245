"""What a feature is, how its value is put into words, how rows become numbers."""

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

# What an account pays, by which text features are numbered too.
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
        high: The phrase for a value that is not below the typical one, a format
            string that names ``value`` and other columns. It tells the bare
            fact, so that it is true of typical values too.
        low: The phrase for a value below the typical one. If it names the same
            count of the period before (a column with ``_prior_`` in its name), it
            is told only where the value is below that too: ``only 3 visits, 0
            before`` would contradict itself.
        missing: The phrase for a value that is not known.
        monotone_direction: ``raises`` or ``lowers`` where nobody doubts how the value
            moves the risk, else ``None``.
    """

    name: str
    label: str
    theme: str
    high: str
    low: str
    missing: str | None = None
    monotone_direction: str | None = None

    def phrases(self, columns: Columns, typical: float | None) -> np.ndarray:
        """Put the values of some accounts into words.

        Accounts that would be told the same are told once and copied: a million
        accounts have few different numbers of visits.

        Args:
            columns: The accounts' columns.
            typical: The typical value that theirs are compared with, as the
                model sees it (see `as_matrix`).

        Returns:
            For each account the phrase for a high, a low or a missing value, an
            array of texts.
        """
        numbers = columns.numbers_of(self.name)
        told = np.empty(len(numbers), dtype=object)
        is_missing = np.isnan(numbers)
        is_low = np.zeros(len(numbers), dtype=bool)
        if typical is not None:
            is_low = numbers < typical
            for name in _fields(self.low):
                if "_prior_" in name:
                    is_low &= ~(numbers >= columns.numbers_of(name))
        told[is_missing] = self.missing or f"{self.label}: not known"
        for phrase, is_told in (
            (self.low, is_low),
            (self.high, ~is_low & ~is_missing),
        ):
            chosen = np.flatnonzero(is_told)
            if len(chosen):
                told[chosen] = self._say(phrase, columns, chosen)
        return told

    def _say(self, phrase: str, columns: Columns, chosen: np.ndarray) -> np.ndarray:
        """One phrase with the values of the chosen accounts."""
        names = _fields(phrase)
        kind = np.zeros(len(chosen), dtype=np.int64)
        for name in names:
            column = self.name if name == "value" else name
            different, number = columns.kinds_of(column, chosen)
            # Numbered anew, so that the product of many columns cannot overflow.
            kind = np.unique(kind * different + number, return_inverse=True)[1]
        _, first, kind = np.unique(kind, return_index=True, return_inverse=True)
        rows = chosen[first]
        shown = [
            columns.values_of(self.name if name == "value" else name, rows)
            for name in names
        ]
        said = np.empty(len(rows), dtype=object)
        told = zip(*shown, strict=True) if names else [()] * len(rows)
        for row, values in enumerate(told):
            said[row] = _say_once(phrase, values)
        return said[kind]


class Columns:
    """Some accounts' columns, as the phrases read them.

    Args:
        rows: The accounts, with the columns that phrases name.
        codes: The numbers of the values of text features.
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
        """The same columns of the accounts at some positions."""
        return Columns(self._rows, self._codes, chosen)

    def numbers_of(self, name: str) -> np.ndarray:
        """A feature's values as the model sees them."""
        return as_numbers(self._column(name), self._codes.get(name))

    def kinds_of(self, name: str, chosen: np.ndarray) -> tuple[int, np.ndarray]:
        """How many different values there are, and the number of each one's."""
        column = self._column(name).take(pa.array(chosen))
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            values = column.cast(pa.float64(), safe=False)
            different, kind = np.unique(
                values.to_numpy(zero_copy_only=False), return_inverse=True
            )
            return len(different), kind
        encoded = column.dictionary_encode("encode")
        kind = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return len(encoded.dictionary), kind

    def values_of(self, name: str, chosen: np.ndarray) -> list[Any]:
        """The values themselves, ``None`` where there is none."""
        return self._column(name).take(pa.array(chosen)).to_pylist()

    def _column(self, name: str) -> pa.Array:
        if name not in self._rows.schema.names:
            raise UnknownFeatureError(
                f"a phrase of a feature names the column {name}, which "
                "account_features no longer has"
            )
        column = self._rows.column(name)
        return column if self._chosen is None else column.take(pa.array(self._chosen))


@cache
def _fields(phrase: str) -> tuple[str, ...]:
    """The columns that a format string names, sorted."""
    fields = {field for _, field, _, _ in Formatter().parse(phrase) if field}
    return tuple(sorted(fields))


@lru_cache(maxsize=50_000)
def _say_once(phrase: str, values: tuple[Any, ...]) -> str:
    """A phrase with the values of its columns, remembered: batches repeat them."""
    shown = dict(zip(_fields(phrase), map(_shown, values), strict=True))
    return _in_plain_words(phrase.format_map(shown))


class _Number(float):
    """A number that is formatted as a word where it is not known.

    What is rounded never reads as none or all of something: 0.3 % is ``under 1%``.
    """

    def __format__(self, form: str) -> str:
        if math.isnan(self):
            return "unknown"
        told = super().__format__(form)
        if self != 0 and not re.search("[1-9]", told):
            is_signed = told[0] in "+-"
            smallest = re.sub(r"0(?=\D*$)", "1", told.lstrip("+-"))
            return "about 0" if is_signed else f"under {smallest}"
        if self < 1 and re.fullmatch(r"100(\.0+)?%", told):
            return "over 99%"
        return told


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


_SAYS_NONE_OR_ALL = re.compile(r"(?<![\d.,])0|100%")
# What says nothing or all in numbers, and how people say it.
_PLAIN_WORDS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\bonly 0(?:\.0)? ", "no "),
        (r"\blooked at 0 ", "looked at no "),
        (r"^0(?:\.0)?%? of ", "none of "),
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
    """A phrase with words for none and all, and what is counted once in singular."""
    if "1 " in phrase:
        phrase = re.sub(r"(?<![\d.,])1 ((?:\w+ )?\w+?)ies\b", r"1 \1y", phrase)
        phrase = re.sub(r"(?<![\d.,])1 ((?:page |support )?\w+?)s\b", r"1 \1", phrase)
    if _SAYS_NONE_OR_ALL.search(phrase):
        for pattern, words in _PLAIN_WORDS:
            phrase = pattern.sub(words, phrase)
    return phrase


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
                monotone_direction=texts.get("monotone_direction"),
            )
        )
    return features


def as_matrix(
    rows: pd.DataFrame | pa.RecordBatch,
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
    is_frame = isinstance(rows, pd.DataFrame)
    known = set(rows.columns if is_frame else rows.schema.names)
    absent = [name for name in names if name not in known]
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
    """One feature's values as float32 numbers, missing values as NaN.

    Args:
        column: The values.
        codes: The numbers of a text feature's values. Text that has no number
            is a missing value.
    """
    if codes is not None:
        known = pa.array(list(codes), pa.string())
        numbers = pa.array(list(codes.values()), pa.float32())
        column = numbers.take(pc.index_in(column.cast(pa.string()), known))
    elif not _is_number(column.type):
        return np.full(len(column), np.nan, dtype=np.float32)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)


def _is_number(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )
