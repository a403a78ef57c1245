"""Observed labels and features as sorted arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from churn.engine_io import as_batches, column_names
from churn.ml.features import PRICE_COLUMN, UnknownFeatureError, as_numbers

LABEL = "is_churned"
ACCOUNT = "account_id"
AS_OF_DATE = "as_of_date"
WAS_TREATED = "was_treated"

# Number of matrix columns that are sorted at once. 16 float32 values fill one 64-byte
# cache line, so each line is read once and little extra memory is needed.
_SORT_BLOCK_COLUMNS = 16


@dataclass
class TrainingData:
    """Observed labels with their features, sorted by as-of date and account.

    Attributes:
        account_names: The distinct accounts, sorted.
        accounts: Index of each row's account in ``account_names``, of shape
            (n_rows,).
        days: As-of date of each row, as ``datetime64[D]``, ascending.
        labels: 1.0 for each row that churned, else 0.0.
        revenue: Monthly recurring revenue of each row's account, NaN if unknown.
        names: The features, sorted.
        matrix: Feature values as float32, of shape (n_rows, n_features). Text
            features are NaN until `encode` writes their codes.
        texts: The distinct values of each text feature, sorted.
        text_of_row: For each text feature, the index of each row's value in
            ``texts``, or -1 for a missing value.
    """

    account_names: list[str]
    accounts: np.ndarray
    days: np.ndarray
    labels: np.ndarray
    revenue: np.ndarray
    names: list[str]
    matrix: np.ndarray
    texts: dict[str, list[str]]
    text_of_row: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.labels)

    def until(self, day: Any) -> TrainingData:
        """Return the rows up to an as-of date, as views."""
        end = int(
            np.searchsorted(self.days, np.datetime64(pd.Timestamp(day), "D"), "right")
        )
        return replace(
            self,
            accounts=self.accounts[:end],
            days=self.days[:end],
            labels=self.labels[:end],
            revenue=self.revenue[:end],
            matrix=self.matrix[:end],
            text_of_row={name: rows[:end] for name, rows in self.text_of_row.items()},
        )

    def fit_codes(
        self, rows: np.ndarray, names: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        """Number the values of the text features among ``names``.

        The values of a text feature, such as the plan, are ranked by the mean revenue
        of their accounts, ties by name. A price order lets a tree split between cheap
        and expensive plans, and does not depend on the order of the rows.

        Args:
            rows: The rows that define the codes.
            names: The features of the model.

        Returns:
            For each text feature, the number of each of its values.
        """
        codes = {}
        for name in names:
            if name not in self.texts:
                continue
            values, revenue = self.text_of_row[name][rows], self.revenue[rows]
            size = len(self.texts[name])
            occurs = np.bincount(values[values >= 0], minlength=size) > 0
            priced = (values >= 0) & ~np.isnan(revenue)
            paid = np.bincount(values[priced], revenue[priced], minlength=size)
            count = np.bincount(values[priced], minlength=size)
            # Rounded, so that the order of summation cannot change a rank.
            price = np.round(paid / np.maximum(count, 1), 6)
            ranked = sorted(
                (price[number], text)
                for number, text in enumerate(self.texts[name])
                if occurs[number]
            )
            codes[name] = {text: float(rank) for rank, (_, text) in enumerate(ranked)}
        return codes

    def encode(self, codes: Mapping[str, Mapping[str, float]]) -> None:
        """Write the codes of the text features into the matrix."""
        for name in codes:
            self.matrix[:, self.names.index(name)] = self._encoded(
                name, codes[name], slice(None)
            )

    def matrix_of(
        self,
        rows: np.ndarray,
        names: Sequence[str],
        codes: Mapping[str, Mapping[str, float]],
    ) -> np.ndarray:
        """Return the matrix of some rows with the features and codes of a model.

        Raises:
            UnknownFeatureError: The model needs a feature that is missing.
        """
        absent = [name for name in names if name not in self.names]
        if absent:
            raise UnknownFeatureError(
                f"the model needs the feature{'s' * (len(absent) > 1)} "
                f"{', '.join(absent)}, which account_features no longer has"
            )
        selected = self.matrix[rows][:, [self.names.index(name) for name in names]]
        for position, name in enumerate(names):
            if name in self.texts:
                selected[:, position] = self._encoded(name, codes.get(name, {}), rows)
            elif name in codes:
                selected[:, position] = np.nan
        return np.ascontiguousarray(selected)

    def fingerprint(self, names: Sequence[str]) -> str:
        """Return a digest of keys, labels and features, independent of row order."""
        digest = hashlib.sha256("\n".join([*names, ""]).encode())
        digest.update(self.days.tobytes())
        digest.update(self.labels.tobytes())
        texts = [(self.account_names, self.accounts)] + [
            (self.texts[name], self.text_of_row[name])
            for name in names
            if name in self.texts
        ]
        for values, rows in texts:
            # Hash only values that occur in these rows.
            occurring, numbers = np.unique(rows, return_inverse=True)
            texts_in_use = [
                values[number] if number >= 0 else "\0" for number in occurring
            ]
            digest.update("\n".join([*texts_in_use, ""]).encode())
            digest.update(numbers.astype(np.int32).tobytes())
        positions = [self.names.index(name) for name in names if name not in self.texts]
        # In blocks, because selecting columns copies them.
        for start in range(0, len(self), 100_000):
            block = self.matrix[start : start + 100_000]
            digest.update(np.take(block, positions, axis=1).tobytes())
        return digest.hexdigest()

    def _encoded(
        self, name: str, codes: Mapping[str, float], rows: np.ndarray | slice
    ) -> np.ndarray:
        numbers = [codes.get(text, np.nan) for text in self.texts[name]]
        # The last entry is for index -1, a missing value.
        table = np.array([*numbers, np.nan], dtype=np.float32)
        return table[self.text_of_row[name][rows]]


class _Texts:
    """Collects batches of texts and dictionary-encodes them in sorted order."""

    def __init__(self) -> None:
        self._parts: list[pa.Array] = []

    def add(self, column: pa.Array) -> None:
        """Add one batch. Only the dictionary-encoded copy is kept in memory."""
        self._parts.append(column.cast(pa.string()).dictionary_encode())

    def sorted(self) -> tuple[list[str], np.ndarray]:
        """Return the distinct texts, sorted, and the index of each row's text."""
        encoded_type = pa.dictionary(pa.int32(), pa.string())
        encoded = (
            pa.chunked_array(self._parts, encoded_type)
            .unify_dictionaries()
            .combine_chunks()
        )
        texts = encoded.dictionary.to_pylist()
        in_order = sorted(range(len(texts)), key=texts.__getitem__)
        # The last entry is for index -1, a missing value.
        renumbered = np.full(len(texts) + 1, -1, dtype=np.int32)
        renumbered[in_order] = np.arange(len(texts))
        numbers = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return [texts[number] for number in in_order], renumbered[numbers]


def read_training_data(rows: Any, names: Iterable[str]) -> TrainingData:
    """Read observed rows into arrays sorted by as-of date and account.

    Batches are appended to one matrix that grows in place and is then sorted a few
    columns at a time, so peak memory is little more than the matrix.

    Rows of accounts that somebody contacted are left out, because their label may be
    the contact's doing: docs/experiments.md has the measurement.

    Args:
        rows: ``churn_training_set``, as accepted by `as_batches`.
        names: The features to read.

    Raises:
        UnknownFeatureError: The rows lack some of the features.
    """
    names = sorted(set(names))
    available = set(column_names(rows))
    absent = [name for name in names if name not in available]
    if absent:
        raise UnknownFeatureError(
            f"churn_training_set has no column {', '.join(absent)}, which "
            "feature_dictionary describes as a feature: run `dbt build`."
        )
    has_revenue = PRICE_COLUMN in available
    columns = [ACCOUNT, AS_OF_DATE, LABEL, *names]
    has_treated = WAS_TREATED in available
    if has_treated:
        columns.append(WAS_TREATED)
    if has_revenue and PRICE_COLUMN not in names:
        columns.append(PRICE_COLUMN)

    accounts = _Texts()
    texts: dict[str, _Texts] = {}
    days: list[np.ndarray] = [np.array([], dtype="datetime64[D]")]
    labels: list[np.ndarray] = [np.array([], dtype=np.float32)]
    revenue: list[np.ndarray] = [np.array([], dtype=np.float64)]
    matrix = np.empty((0, len(names)), dtype=np.float32)
    for batch in as_batches(rows, columns):
        if has_treated:
            batch = batch.filter(pc.invert(batch.column(WAS_TREATED)))
        accounts.add(batch.column(ACCOUNT))
        days.append(
            batch.column(AS_OF_DATE)
            .cast(pa.date32(), safe=False)
            .to_numpy(zero_copy_only=False)
        )
        labels.append(as_numbers(batch.column(LABEL)))
        revenue.append(
            batch.column(PRICE_COLUMN)
            .cast(pa.float64())
            .to_numpy(zero_copy_only=False)
            .copy()
            if has_revenue
            else np.full(len(batch), np.nan)
        )
        start = len(matrix)
        # Grow the memory in place, without a copy.
        matrix.resize((start + len(batch), len(names)), refcheck=False)
        for position, name in enumerate(names):
            column = batch.column(name)
            if _is_text(column.type):
                texts.setdefault(name, _Texts()).add(column)
                matrix[start:, position] = np.nan
            else:
                matrix[start:, position] = as_numbers(column)

    account_names, account_of_row = accounts.sorted()
    day_of_row = np.concatenate(days)
    order = np.lexsort((account_of_row, day_of_row))
    for start in range(0, len(names), _SORT_BLOCK_COLUMNS):
        group = matrix[:, start : start + _SORT_BLOCK_COLUMNS]
        group[:] = group[order]
    sorted_texts = {name: text.sorted() for name, text in texts.items()}
    return TrainingData(
        account_names=account_names,
        accounts=account_of_row[order],
        days=day_of_row[order],
        labels=np.concatenate(labels)[order],
        revenue=np.concatenate(revenue)[order],
        names=names,
        matrix=matrix,
        texts={name: values for name, (values, _) in sorted_texts.items()},
        text_of_row={name: rows[order] for name, (_, rows) in sorted_texts.items()},
    )


def sort_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by as-of date and account."""
    return rows.sort_values([AS_OF_DATE, ACCOUNT], ignore_index=True)


def _is_text(data_type: pa.DataType) -> bool:
    return (
        pa.types.is_string(data_type)
        or pa.types.is_large_string(data_type)
        or pa.types.is_string_view(data_type)
        or pa.types.is_dictionary(data_type)
    )
