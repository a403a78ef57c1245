"""Pull tables of a database into dated Parquet files: ``churn pull sql``.

A file is complete or absent: rows are written to a temporary name, counted against the
database in the same transaction, and renamed. All values are text, as in a CSV file, so
a column has one type on every day.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from churn.config import UserError

if TYPE_CHECKING:
    from churn.ingest.load import Progress

URL_VARIABLE = "CHURN_PULL_URL"
# Rows in memory at a time.
BATCH_ROWS = 20_000


class PullError(UserError):
    """Report why nothing was delivered; the message is one sentence."""


@dataclass(frozen=True)
class Pulled:
    """A delivered file.

    Attributes:
        table: The table's name.
        path: The file.
        rows: Number of its rows.
        is_new: False if the file was delivered earlier and was kept.
    """

    table: str
    path: Path
    rows: int
    is_new: bool


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
        with engine.connect() as connection:
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
    except ImportError as error:
        raise PullError(
            f"The driver of the database is not installed ({error.name}): install it "
            "into this environment."
        ) from None
    except sa.exc.ArgumentError:
        # The message of the exception would show the password.
        raise PullError(
            f"{URL_VARIABLE} is no database URL: write it as "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE."
        ) from None
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise PullError(
            f"Nothing more was delivered, because the database cannot be read "
            f"({reason}): check {URL_VARIABLE} and the names of the tables."
        ) from None
    except OSError as error:
        raise PullError(
            f"Nothing more was delivered, because {folder} cannot be written "
            f"({error.strerror}): check its rights and free space."
        ) from None


def _pull_table(
    connection: sa.Connection,
    name: str,
    folder: Path,
    day: date,
    progress: Progress | None,
) -> Pulled:
    schema, _, table_name = name.rpartition(".")
    if table_name in ("", ".", "..") or not table_name.isprintable():
        raise PullError(f"{name!r} is no name of a table: give NAME or SCHEMA.NAME.")
    if os.sep in table_name:
        raise PullError(f"{name!r} has a {os.sep}: make a view with another name.")
    path = folder / table_name / f"dt={day:%Y-%m-%d}" / f"{table_name}.parquet"
    if path.exists():
        return Pulled(name, path, pq.read_metadata(path).num_rows, is_new=False)

    table = sa.table(table_name, schema=schema or None)
    total = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
    result = connection.execution_options(
        stream_results=True, max_row_buffer=BATCH_ROWS
    ).execute(sa.select(sa.text("*")).select_from(table))
    names = list(result.keys())
    columns = pa.schema([(name, pa.string()) for name in names])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    written = 0
    try:
        with (
            temporary.open("wb") as file,
            pq.ParquetWriter(file, columns, compression="zstd") as writer,
        ):
            for batch in _batches(result, columns):
                writer.write_batch(batch)
                written += len(batch)
                if progress:
                    progress(name, written, total or 0)
        if written != total:
            raise PullError(
                f"{name} has {total} rows, but {written} were read: nothing of it was "
                "delivered, pull again."
            )
        with temporary.open("rb") as complete:
            os.fsync(complete.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return Pulled(name, path, written, is_new=True)


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
