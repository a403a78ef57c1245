"""Pull tables of a database into dated Parquet files: ``churn pull sql``.

Rows are counted in the transaction that reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from churn.ingest.dated_files import (
    Extract,
    Pulled,
    PullError,
    dated_path,
    deliver,
    delivered,
    explained_write_errors,
)

if TYPE_CHECKING:
    from churn.ingest.load import Progress

URL_VARIABLE = "CHURN_PULL_URL"
# Rows in memory at a time.
BATCH_ROWS = 20_000


def pull_sql(
    url: str | sa.URL,
    tables: list[str],
    folder: Path,
    day: date,
    progress: Progress | None = None,
) -> list[Pulled]:
    """Write one file per table: ``folder/TABLE/dt=YYYY-MM-DD/TABLE.parquet``.

    All tables are read in one transaction, so that they belong together. A file that
    exists is kept, because a delivered batch never changes.

    Args:
        url: URL of the database, as SQLAlchemy reads it.
        tables: Names of tables or views, ``NAME`` or ``SCHEMA.NAME``.
        folder: The folder of all tables; created if missing.
        day: The date of the batch.
        progress: Called with a table's name, the number of written rows and the total.

    Raises:
        PullError: The database cannot be read, or a count differs. Files of earlier
            tables of the same call stay, as each is complete.
    """
    try:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    except ImportError as error:
        raise PullError(
            f"The driver of the database is not installed ({error.name}): install it "
            "into this environment."
        ) from None
    except (sa.exc.ArgumentError, ValueError):
        # A port that is no number is a ValueError. The message of the exception would
        # show the password.
        raise PullError(
            f"{URL_VARIABLE} is no database URL: write it as "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE."
        ) from None
    try:
        with explained_write_errors(folder), engine.connect() as connection:
            if connection.dialect.name != "sqlite":
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ"
                )
            else:
                # The driver starts transactions only before writing.
                connection.exec_driver_sql("begin")
            return [
                _pull_table(connection, name, folder, day, progress) for name in tables
            ]
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise PullError(
            f"Nothing more was delivered, because the database cannot be read "
            f"({reason}): check {URL_VARIABLE} and the names of the tables."
        ) from None


def _pull_table(
    connection: sa.Connection,
    name: str,
    folder: Path,
    day: date,
    progress: Progress | None,
) -> Pulled:
    schema, _, table_name = name.rpartition(".")
    path = dated_path(folder, table_name, day)
    if earlier := delivered(name, path):
        return earlier
    table = sa.table(table_name, schema=schema or None)
    total = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
    result = connection.execution_options(
        stream_results=True, max_row_buffer=BATCH_ROWS
    ).execute(sa.select(sa.text("*")).select_from(table))
    columns = list(result.keys())
    schema_of_file = pa.schema([(column, pa.string()) for column in columns])
    extract = Extract(
        name, columns, lambda: _batches(result, schema_of_file), lambda: total
    )
    return deliver(extract, path, total or 0, progress)


def _batches(
    result: sa.CursorResult[Any], columns: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for rows in result.partitions(BATCH_ROWS):
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([_as_text(row[position]) for row in rows], pa.string())
                for position in range(len(columns))
            ],
            schema=columns,
        )


def _as_text(value: Any) -> str | None:
    """Return a value as a CSV export would show it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)
