"""Write ``churn_scores`` to a file with a fixed schema: ``churn export``.

Readers can rely on `SCHEMA`. Columns are only added, at the end. A change that breaks
readers raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from churn.config import Project, UserError
from churn.files import replacing
from churn.operations.marts import Marts, open_marts
from churn.quoting import neutralise

SCHEMA_VERSION = "1"
_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("account_id", pa.string(), nullable=False),
        pa.field("as_of_date", pa.date32(), nullable=False),
        pa.field("company_name", pa.string()),
        pa.field("owner_id", pa.string()),
        pa.field("owner_name", pa.string()),
        pa.field("churn_probability", pa.float64(), nullable=False),
        pa.field("probability_change_7d", pa.float64()),
        pa.field("risk_band", pa.string()),
        pa.field("risk_rank", pa.int64(), nullable=False),
        pa.field("reason_1", pa.string(), nullable=False),
        pa.field("reason_2", pa.string()),
        pa.field("reason_3", pa.string()),
        pa.field("offer_id", pa.string()),
        pa.field("recommended_offer", pa.string()),
        pa.field("offer_because", pa.string()),
        pa.field("monthly_recurring_revenue", pa.float64()),
        pa.field("revenue_at_risk", pa.float64()),
        pa.field("currency", pa.string()),
        pa.field("arm", pa.string()),
        pa.field("control_until", pa.date32()),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("scored_at", _TIME),
        pa.field("clickstream_data_through", _TIME),
        pa.field("crm_data_through", pa.date32()),
        pa.field("billing_data_through", _TIME),
        pa.field("support_data_through", _TIME),
        pa.field("is_stale", pa.bool_(), nullable=False),
    ],
    metadata={"churn_scores_schema": SCHEMA_VERSION},
)


def export_scores(
    project: Project,
    path: Path,
    file_format: str,
    open_tables: Callable[[Project], Marts] = open_marts,
) -> int:
    """Write the scores to a file, the riskiest account first.

    The file is replaced when it is complete. Times are in UTC. In CSV, a text that a
    spreadsheet would take for a formula begins with an apostrophe.

    Args:
        project: The dbt project with its target.
        path: The file.
        file_format: ``parquet``, ``csv`` or ``arrow`` (an Arrow IPC file).
        open_tables: Opens the tables.

    Returns:
        The number of rows.

    Raises:
        UserError: There are no scores, or a column is missing.
    """
    marts = open_tables(project)
    try:
        missing = set(SCHEMA.names) - set(marts.columns("churn_scores"))
        if missing == set(SCHEMA.names):
            raise UserError(
                "There is no table churn_scores yet: run `dbt build` first."
            )
        if missing:
            raise UserError(
                f"churn_scores has no column {sorted(missing)[0]}, which readers of "
                "exports need: run `dbt build` with this version."
            )
        return _replace(
            path,
            file_format,
            (
                _as_contract(batch)
                for batch in marts.read(
                    f"select {', '.join(SCHEMA.names)} "
                    f"from {marts.name('churn_scores')}",
                    order="risk_rank",
                )
            ),
        )
    finally:
        marts.close()


def _as_contract(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with the types of the contract; engines differ in some."""
    columns = []
    for field in SCHEMA:
        column = batch[field.name]
        if field.type == _TIME and pa.types.is_timestamp(column.type):
            # Times of the marts are in UTC, with or without a zone.
            column = column.cast(pa.timestamp("us", tz=column.type.tz))
            if column.type.tz is None:
                column = column.cast(pa.int64()).cast(_TIME)
        columns.append(column.cast(field.type))
        if not field.nullable and columns[-1].null_count:
            raise UserError(
                f"{field.name} of churn_scores has nulls: run `dbt test --select "
                "churn_scores`."
            )
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _replace(path: Path, file_format: str, batches: Iterable[pa.RecordBatch]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        os.fchmod(file.fileno(), 0o644)
        return _WRITERS[file_format](file, batches)


def _write_parquet(file: BinaryIO, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += len(batch)
    return rows


def _write_arrow(file: BinaryIO, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    with pa.ipc.new_file(file, SCHEMA) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += len(batch)
    return rows


def _write_csv(file: BinaryIO, batches: Iterable[pa.RecordBatch]) -> int:
    # Times as text with a Z, which every reader takes for UTC.
    texts = pa.schema(
        [
            pa.field(each.name, pa.string() if each.type == _TIME else each.type)
            for each in SCHEMA
        ]
    )
    file.write((",".join(texts.names) + "\n").encode())
    rows = 0
    for batch in batches:
        columns = []
        for field in SCHEMA:
            column = batch[field.name]
            if field.type == pa.string():
                column = pa.array(map(neutralise, column.to_pylist()), pa.string())
            elif field.type == _TIME:
                column = pa.compute.strftime(column, "%Y-%m-%dT%H:%M:%SZ")
            columns.append(column)
        text = io.BytesIO()
        pa.csv.write_csv(
            pa.RecordBatch.from_arrays(columns, schema=texts),
            text,
            pa.csv.WriteOptions(include_header=False),
        )
        file.write(text.getvalue())
        rows += len(batch)
    return rows


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[pa.RecordBatch]], int]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "arrow": _write_arrow,
}
