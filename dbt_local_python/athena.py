"""Local Python models on Athena: read by UNLOAD, written through files in S3.

A model gets frames that are read when it asks for their rows: Athena unloads them to
Parquet files in S3, which are read batch by batch and removed. What it returns is
staged in S3 as Parquet, behind an external table, and the adapter's own statement
creates the model's table from that: partitions and incremental models are as those
of SQL models. Staged files are removed also when something fails.
"""

from __future__ import annotations

import datetime
import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from dbt_local_python.arrow import (
    cast_batch,
    reader_of,
    sql_type,
    with_plain_types,
)
from dbt_local_python.sql_frames import SqlFrame, SqlSession

if TYPE_CHECKING:
    from dbt_local_python.job import Job

_MARKER = "# --- dbt_local_python: staged rows --- #"
_COLUMNS = "/* columns */"
# Rows of an unloaded file that are held at once, and bytes of a staged file.
_ROWS_PER_BATCH = 50_000
_BYTES_PER_FILE = 64 * 1024 * 1024


def run(job: Job) -> int:
    """Run a Python model and create its table from what it returns.

    Args:
        job: The model, with what the macro ``athena__py_save_table_as`` adds to it.

    Returns:
        The number of rows written.

    Raises:
        DbtRuntimeError: The model or Athena fails.
    """
    code, stage_json = job.split(_MARKER)
    stage = json.loads(stage_json)
    session = AthenaSession(job.adapter)
    result = job.load(code).call(session, session.table)
    return job.guard(lambda: _write(session, result, stage))


def _write(session: AthenaSession, result: Any, stage: dict[str, str]) -> int:
    reader = _with_stored_times(with_plain_types(reader_of(result)))
    with _staged(session, reader, stage) as rows:
        columns = ", ".join(_stored(field) for field in reader.schema)
        session.execute(stage["statement"].replace(_COLUMNS, columns, 1))
    return rows


class AthenaFrame(SqlFrame):
    """A query whose rows are unloaded when they are asked for.

    Unloaded files have no order: rows that must have one are sorted here, and are
    all in memory meanwhile.
    """

    _session: AthenaSession
    _sorted_by: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The names of the columns; asks Athena, which reads nothing for it."""
        names: list[str] = self._session.schema_of(self.query).names
        return names

    def order(self, *columns: str) -> AthenaFrame:
        """The rows in the order of ``columns``, which later selections must keep."""
        frame = self._of(self.query)
        frame._sorted_by = columns
        return frame

    def to_arrow_reader(self, batch_size: int | None = None) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches, of at most ``batch_size`` rows."""
        if not self._sorted_by:
            return super().to_arrow_reader(batch_size)
        table = self.arrow()
        return pa.RecordBatchReader.from_batches(
            table.schema, table.to_batches(batch_size)
        )

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        table = super().arrow()
        if self._sorted_by:
            table = table.sort_by([(name, "ascending") for name in self._sorted_by])
        return table

    to_arrow_table = arrow

    def _of(self, query: str) -> AthenaFrame:
        frame = AthenaFrame(self._session, query)
        frame._sorted_by = self._sorted_by
        return frame


class AthenaSession(SqlSession):
    """Reads through the connection that dbt has open for this thread."""

    def __init__(self, adapter: Any) -> None:
        connection = adapter.connections.get_thread_connection()
        self._adapter = adapter
        self._credentials = connection.credentials
        self.bucket = _Bucket(connection.handle.session, self._credentials)

    def sql(self, query: str) -> AthenaFrame:
        """The rows of a query."""
        return AthenaFrame(self, query)

    def table(self, name: str) -> AthenaFrame:
        """The rows of a table or view, by its full name."""
        return AthenaFrame(self, f"select * from {name}")

    def execute(self, statement: str) -> None:
        """Run a statement that returns no rows."""
        self._adapter.execute(statement, fetch=False)

    def read(self, query: str) -> pa.RecordBatchReader:
        """Unload a query; its files are read as the stream is, and then removed."""
        location = (
            f"{self._credentials.s3_staging_dir.rstrip('/')}/unloaded/{uuid.uuid4()}"
        )
        schema = self.schema_of(query)
        times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        columns = ", ".join(
            # A file of Athena's Hive writer holds milliseconds: text holds all.
            f'cast("{field.name}" as varchar) as "{field.name}"'
            if field.name in times
            else f'"{field.name}"'
            for field in schema
        )
        try:
            self.execute(
                f"unload (select {columns} from ({query}) as rows_to_unload) "
                f"to '{location}/' with (format = 'PARQUET', compression = 'SNAPPY')"
            )
        except BaseException:
            self.bucket.remove(location)
            raise
        return pa.RecordBatchReader.from_batches(
            schema, self._batches(location, schema)
        )

    @contextmanager
    def staged(self, schema: str, table: str, rows: pa.Table) -> Iterator[None]:
        """Provide rows as an external table, for as long as it is needed."""
        folder = self._credentials.s3_staging_dir.rstrip("/")
        stage = {
            "schema": schema,
            "table": table,
            "hive_name": f"`{schema}`.`{table}`",
            "location": f"{folder}/staged/{uuid.uuid4()}",
        }
        with _staged(self, rows.to_reader(), stage):
            yield

    def schema_of(self, query: str) -> pa.Schema:
        """The names and Arrow types of a query's columns."""
        columns = self._adapter.get_column_schema_from_query(
            f"select * from ({query}) as rows_to_describe limit 0"
        )
        return pa.schema(
            [(column.column, _arrow_type(column.dtype)) for column in columns]
        )

    def _batches(self, location: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            for file in self.bucket.files(location):
                parquet = pyarrow.parquet.ParquetFile(io.BytesIO(file))
                for batch in parquet.iter_batches(_ROWS_PER_BATCH):
                    yield cast_batch(batch, schema)
        finally:
            self.bucket.remove(location)


_ARROW_TYPES = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "float": pa.float32(),
    "double": pa.float64(),
    "varchar": pa.string(),
    "char": pa.string(),
    "string": pa.string(),
    "varbinary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


def _arrow_type(athena_type: str) -> pa.DataType:
    try:
        return _ARROW_TYPES[athena_type.lower()]
    except KeyError:
        raise TypeError(
            f"a column of type {athena_type} cannot be read from Athena: cast it in "
            "SQL before a Python model reads it"
        ) from None


class _Bucket:
    """The files in S3 that pass between dbt and Athena."""

    def __init__(self, session: Any, credentials: Any) -> None:
        self._s3 = session.client("s3", region_name=credentials.region_name)
        self.glue = session.client("glue", region_name=credentials.region_name)

    def write(self, location: str, content: bytes) -> None:
        """Write one file."""
        bucket, key = _split(location)
        self._s3.put_object(Bucket=bucket, Key=key, Body=content)

    def files(self, location: str) -> Iterator[bytes]:
        """What is in the files under a location, one after the other."""
        bucket, _ = _split(location)
        for key in self._keys(location):
            yield self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def remove(self, location: str) -> None:
        """Remove all files under a location."""
        bucket, _ = _split(location)
        keys = self._keys(location)
        for start in range(0, len(keys), 1000):
            self._s3.delete_objects(
                Bucket=bucket,
                Delete={"Objects": [{"Key": k} for k in keys[start : start + 1000]]},
            )

    def listed(self, location: str) -> list[dict[str, Any]]:
        """What S3 tells of the files under a location."""
        bucket, prefix = _split(location)
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{prefix.rstrip('/')}/"
        )
        return [found for page in pages for found in page.get("Contents", [])]

    def _keys(self, location: str) -> list[str]:
        return [found["Key"] for found in self.listed(location)]


def _split(location: str) -> tuple[str, str]:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return bucket, key


@contextmanager
def _staged(
    session: AthenaSession, reader: pa.RecordBatchReader, stage: dict[str, str]
) -> Iterator[int]:
    """The rows of ``reader`` as an external table, for as long as it is needed."""
    try:
        rows = _write_files(session.bucket, reader, stage["location"])
        _forget(session, stage)
        columns = ", ".join(
            f"`{field.name}` {hive_type(field.type)}" for field in reader.schema
        )
        session.execute(
            f"create external table {stage['hive_name']} ({columns}) "
            f"stored as parquet location '{stage['location']}/'"
        )
        yield rows
    finally:
        _forget(session, stage)
        session.bucket.remove(stage["location"])


def _forget(session: AthenaSession, stage: dict[str, str]) -> None:
    glue = session.bucket.glue
    with suppress(glue.exceptions.EntityNotFoundException):
        glue.delete_table(DatabaseName=stage["schema"], Name=stage["table"])


def _write_files(bucket: _Bucket, reader: pa.RecordBatchReader, location: str) -> int:
    """Write Parquet files of moderate size; at least one, so that there is a table."""
    rows, number = 0, 0
    buffer, writer = io.BytesIO(), None
    for batch in reader:
        writer = writer or pyarrow.parquet.ParquetWriter(buffer, reader.schema)
        writer.write_batch(batch)
        rows += batch.num_rows
        if buffer.tell() >= _BYTES_PER_FILE:
            writer.close()
            bucket.write(f"{location}/part-{number:05}.parquet", buffer.getvalue())
            buffer, writer, number = io.BytesIO(), None, number + 1
    if writer or number == 0:
        writer = writer or pyarrow.parquet.ParquetWriter(buffer, reader.schema)
        writer.close()
        bucket.write(f"{location}/part-{number:05}.parquet", buffer.getvalue())
    return rows


def _with_stored_times(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Times as counts of microseconds: a Hive table would read milliseconds."""
    schema = pa.schema(
        [
            field.with_type(pa.int64()).with_metadata({"is": "time"})
            if pa.types.is_timestamp(field.type)
            else field
            for field in reader.schema
        ]
    )
    return pa.RecordBatchReader.from_batches(
        schema, (cast_batch(batch, schema) for batch in reader)
    )


def _stored(field: pa.Field) -> str:
    """The expression that gives a staged column its type in the table."""
    name = f'"{field.name.lower()}"'
    if (field.metadata or {}).get(b"is") != b"time":
        return name
    return (
        f"cast(from_unixtime_nanos(cast({name} as decimal(20, 0)) * 1000) "
        f"as timestamp(6)) as {name}"
    )


def hive_type(type_: pa.DataType) -> str:
    """The type of a column in Athena's data definition.

    Raises:
        TypeError: Athena has no such columns.
    """
    name = sql_type(type_)
    if name is not None:
        return name
    if pa.types.is_list(type_):
        return f"array<{hive_type(type_.value_type)}>"
    raise TypeError(
        f"a column of type {type_} cannot be written to Athena: make it text"
    )


def stage_csv(adapter: Any, relation: Any, path: str) -> None:
    """Put a local CSV file into S3 as a table of texts that Athena can read.

    Args:
        adapter: dbt-athena's adapter, with an open connection.
        relation: The external table to create.
        path: The file, with a header line. A field without a single character is
            null; an empty text in quotes is a text.
    """
    with Path(path).open(encoding="utf-8") as file:
        header = file.readline()
    names = pyarrow.csv.read_csv(io.BytesIO(header.encode())).column_names
    table = pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    session = AthenaSession(adapter)
    location = adapter.generate_s3_location(
        relation, session._credentials.s3_data_dir, "schema_table_unique"
    )
    _write_files(session.bucket, table.to_reader(), location)
    columns = ", ".join(f"`{name}` string" for name in names)
    session.execute(
        f"create external table {relation.render_hive()} ({columns}) "
        f"stored as parquet location '{location}/'"
    )


def files_under(adapter: Any, location: str) -> dict[str, datetime.datetime]:
    """The files under a location in S3, with when each was written.

    Args:
        adapter: dbt-athena's adapter, with an open connection.
        location: A folder, as ``s3://bucket/folder``.

    Returns:
        For the address of each file that is not empty a time in UTC, without a zone.
    """
    bucket, _ = _split(location)
    return {
        f"s3://{bucket}/{found['Key']}": found["LastModified"]
        .astimezone(datetime.UTC)
        .replace(tzinfo=None)
        for found in AthenaSession(adapter).bucket.listed(location)
        if found["Size"]
    }
