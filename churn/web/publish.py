"""Publish a serving snapshot of the marts: ``churn publish``.

Streams the marts of any target into a new SQLite file or PostgreSQL schema, checks it,
and puts it in the place of the current snapshot: by a rename of the file, or by a
rename of the schema in one transaction. Readers see the old or the new snapshot,
never a part.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from churn.config import Project, UserError, disk_remedy, explain_os_error
from churn.operations.marts import Marts, open_marts
from churn.operations.schedule import Schedule
from churn.web import schema
from churn.web.settings import serving_url

log = logging.getLogger("churn.web")

# Accounts with the highest risk whose decision paths are published.
DETAIL_ACCOUNTS = 5_000
# Today's model is replayed on the days of this many of them.
REPLAYED_ACCOUNTS = 50
# Days before the as-of date whose sessions, calls and replayed scores are published.
HISTORY_DAYS = 182
# Increase in seven days from which an account counts as rising.
RISING_FROM = 0.02
ROWS_PER_INSERT = 20_000


@dataclass(frozen=True)
class Published:
    """What was published.

    Attributes:
        accounts: Number of accounts.
        as_of_date: The as-of date of the scores.
        where: The file or schema.
        seconds: How long it took.
    """

    accounts: int
    as_of_date: str
    where: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"Published the scores of {self.accounts:,} accounts as of "
            f"{self.as_of_date} to {self.where} in {self.seconds:.1f} s."
        )


def publish(
    project: Project,
    url: sa.URL | None = None,
    allow_fewer: bool = False,
    allow_older: bool = False,
    detail_accounts: int = DETAIL_ACCOUNTS,
) -> Published:
    """Publish the marts of a project's target.

    Args:
        project: The dbt project with its target.
        url: The serving store. Default: ``CHURN_SERVING_URL``.
        allow_fewer: Whether a snapshot with less than half of the accounts of the
            current one may replace it.
        allow_older: Whether a snapshot of an earlier as-of date may replace it.
        detail_accounts: Number of riskiest accounts with decision paths.

    Raises:
        UserError: There is nothing to publish, the snapshot is older or much smaller
            than the current one, or a store cannot be used. The current snapshot stays.
    """
    started = time.monotonic()
    url = url or serving_url(project)
    marts = open_marts(project)
    try:
        if not marts.has("churn_scores", "account_id", "as_of_date"):
            raise UserError(
                "There is no table churn_scores yet: run `dbt build` first."
            )
        summary = _summary(marts)
        store = _store(url)
        store.check(summary, allow_fewer, allow_older)
        with store.new() as writer:
            _write(marts, writer, summary, project, detail_accounts)
            writer.finish(summary["accounts"])
    finally:
        marts.close()
    return Published(
        accounts=summary["accounts"],
        as_of_date=summary["as_of_date"],
        where=store.place,
        seconds=time.monotonic() - started,
    )


def _summary(marts: Marts) -> dict[str, Any]:
    """Return the number of scores and their as-of date.

    Raises:
        UserError: There are no scores.
    """
    (row,) = marts.rows(
        "select count(*) as accounts, max(as_of_date) as as_of_date "
        f"from {marts.name('churn_scores')}"
    )
    if not row["accounts"]:
        raise UserError(
            "churn_scores is empty, so nothing was published and the current snapshot "
            "stays: run `churn summary` to see whether a model could be trained."
        )
    return {
        "accounts": int(row["accounts"]),
        "as_of_date": _text(row["as_of_date"]),
    }


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return value.isoformat() if isinstance(value, date) else str(value)


# ---- Stores ------------------------------------------------------------------


class _Store:
    """A serving store that snapshots are published to."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url

    @property
    def place(self) -> str:
        """Return where the snapshot is, without a password."""
        return self.url.render_as_string(hide_password=True)

    def current(self) -> dict[str, Any] | None:
        """Return the values of ``meta`` of the current snapshot."""
        raise NotImplementedError

    def new(self) -> contextlib.AbstractContextManager[_Writer]:
        """Return a writer of a new snapshot, which replaces the current one at exit."""
        raise NotImplementedError

    def check(
        self, summary: dict[str, Any], allow_fewer: bool, allow_older: bool
    ) -> None:
        """Raise UserError if a snapshot must not replace the current one."""
        current = self.current()
        if current is None:
            return
        if summary["as_of_date"] < current["as_of_date"] and not allow_older:
            raise UserError(
                f"The scores are as of {summary['as_of_date']}, but those of "
                f"{current['as_of_date']} are published, which stay: use --allow-older "
                "to go back."
            )
        if 2 * summary["accounts"] < current["accounts"] and not allow_fewer:
            raise UserError(
                f"There are scores of {summary['accounts']:,} accounts, but "
                f"{current['accounts']:,} are published, which stay: use --allow-fewer "
                "if that is right."
            )


class _Writer:
    """Writes the tables of a new snapshot."""

    connection: sa.Connection
    schema: str | None = None

    def insert(self, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, as tuples in the order of the table's columns."""
        raise NotImplementedError

    def create_indexes(self) -> None:
        """Create the indexes and collect statistics."""
        for index in (*schema.INDEXES, schema.FACET_INDEX):
            index.create(self.connection)

    def finish(self, accounts: int) -> None:
        """Check that all accounts were written, and collect statistics.

        Raises:
            UserError: Some are missing.
        """
        written = self.connection.execute(
            sa.select(sa.func.count()).select_from(schema.accounts)
        ).scalar_one()
        if written != accounts:
            raise UserError(
                f"Only {written:,} of {accounts:,} accounts were written, so the "
                "current snapshot stays: publish again when no build is running."
            )


def _create_tables(connection: sa.Connection) -> None:
    """Create the tables without their indexes, which follow after the rows."""
    for table in schema.metadata.sorted_tables:
        connection.execute(sa.schema.CreateTable(table))


class _SQLiteWriter(_Writer):
    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        _create_tables(connection)

    def insert(self, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            marks = ",".join("?" * len(table.columns))
            self.connection.exec_driver_sql(
                f"insert into {table.name} values ({marks})", list(rows)
            )

    def finish(self, accounts: int) -> None:
        super().finish(accounts)
        # A sample of each index is enough for the plans.
        self.connection.exec_driver_sql("pragma analysis_limit=1000")
        self.connection.exec_driver_sql("analyze")
        self.connection.commit()
        (result,) = self.connection.exec_driver_sql("pragma quick_check(1)").one()
        if result != "ok":
            raise UserError(
                f"The new snapshot is damaged ({result}), so the current one stays: "
                "check the disk and publish again."
            )


class _SQLiteStore(_Store):
    @property
    def path(self) -> Path:
        return Path(str(self.url.database))

    @property
    def place(self) -> str:
        return str(self.path)

    def current(self) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        from churn.web.snapshot import open_sqlite

        engine = open_sqlite(self.path)
        try:
            with engine.connect() as connection:
                return schema.read_meta(connection)
        except sa.exc.DatabaseError:
            # A snapshot that cannot be read is no reason to keep it.
            return None
        finally:
            engine.dispose()

    @contextlib.contextmanager
    def new(self) -> Iterator[_Writer]:
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The folder {folder} cannot be made ({error.strerror}): set "
                "CHURN_SERVING_URL to another place."
            ) from None
        remove_leftovers(self.path)
        new = folder / f".{self.path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.new"
        # Not readable by others, from the start.
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))
        engine = sa.create_engine(self.url.set(database=str(new)))
        try:
            with engine.connect() as connection:
                # Durability comes from the fsync before the rename.
                for pragma in (
                    "page_size=8192",
                    "journal_mode=off",
                    "synchronous=off",
                    "cache_size=-65536",
                    "locking_mode=exclusive",
                    "temp_store=file",
                ):
                    connection.exec_driver_sql(f"pragma {pragma}")
                yield _SQLiteWriter(connection)
            engine.dispose()
            _fsync(new)
            os.replace(new, self.path)
            _fsync(folder)
        except sa.exc.OperationalError as error:
            reason = disk_remedy(str(error.orig)) or str(error.orig)
            raise UserError(
                f"The snapshot cannot be written to {folder}, so the current one "
                f"stays: {reason}"
            ) from None
        except OSError as error:
            raise UserError(
                f"The snapshot cannot be written to {folder}, so the current one "
                f"stays: {explain_os_error(error)}"
            ) from None
        finally:
            engine.dispose()
            new.unlink(missing_ok=True)


def remove_leftovers(path: Path, older_than_seconds: float = 6 * 3600) -> None:
    """Delete unfinished snapshots that a killed process left beside ``path``."""
    for leftover in path.parent.glob(f".{path.name}.*.new"):
        with contextlib.suppress(OSError):
            process = int(leftover.name.split(".")[-3])
            is_old = time.time() - leftover.stat().st_mtime > older_than_seconds
            if is_old or not _is_running(process):
                leftover.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _PostgresWriter(_Writer):
    schema = schema.NEW_SCHEMA

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection.execution_options(
            schema_translate_map={None: self.schema}
        )
        _create_tables(self.connection)

    def insert(self, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        cursor = self.connection.connection.cursor()
        with cursor.copy(f"copy {self.schema}.{table.name} from stdin") as copy:
            for row in rows:
                copy.write_row(
                    [
                        value.replace("\x00", "") if isinstance(value, str) else value
                        for value in row
                    ]
                )

    def create_indexes(self) -> None:
        super().create_indexes()
        # For search by the start of a word in any collation.
        for table, column in (("words", "word"), ("accounts", "account_id")):
            self.connection.exec_driver_sql(
                f"create index {table}_by_start on {self.schema}.{table} "
                f"({column} text_pattern_ops)"
            )

    def finish(self, accounts: int) -> None:
        super().finish(accounts)
        for table in schema.metadata.sorted_tables:
            self.connection.exec_driver_sql(f"analyze {self.schema}.{table.name}")


class _PostgresStore(_Store):
    @property
    def place(self) -> str:
        return f"the schema {schema.SERVING_SCHEMA} of {super().place}"

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        try:
            with engine.connect() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise UserError(
                f"The serving store {super().place} cannot be used ({reason}): check "
                "CHURN_SERVING_URL."
            ) from None
        finally:
            engine.dispose()

    def current(self) -> dict[str, Any] | None:
        with self._connect() as connection:
            if not _has_schema(connection, schema.SERVING_SCHEMA):
                return None
            return schema.read_meta(
                connection.execution_options(
                    schema_translate_map={None: schema.SERVING_SCHEMA}
                )
            )

    @contextlib.contextmanager
    def new(self) -> Iterator[_Writer]:
        serving, new, previous = (
            schema.SERVING_SCHEMA,
            schema.NEW_SCHEMA,
            schema.PREVIOUS_SCHEMA,
        )
        with self._connect() as connection:
            # One publish at a time; the lock ends with the connection.
            key = schema.LOCK_KEY
            connection.exec_driver_sql(f"select pg_advisory_lock({key + 1})")
            connection.exec_driver_sql(f"drop schema if exists {new} cascade")
            connection.exec_driver_sql(f"create schema {new}")
            yield _PostgresWriter(connection)
            connection.commit()
            # No reader is between two queries of one page during the swap.
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({key})")
            connection.exec_driver_sql(f"drop schema if exists {previous} cascade")
            if _has_schema(connection, serving):
                connection.exec_driver_sql(
                    f"alter schema {serving} rename to {previous}"
                )
            connection.exec_driver_sql(f"alter schema {new} rename to {serving}")
            connection.commit()


def _has_schema(connection: sa.Connection, name: str) -> bool:
    return sa.inspect(connection).has_schema(name)


def _store(url: sa.URL) -> _Store:
    is_sqlite = url.get_backend_name() == "sqlite"
    return _SQLiteStore(url) if is_sqlite else _PostgresStore(url)


def current_snapshot(url: sa.URL) -> dict[str, Any] | None:
    """Return the description of the published snapshot; ``None`` if there is none."""
    return _store(url).current()


# ---- Content -----------------------------------------------------------------


def _write(
    marts: Marts,
    writer: _Writer,
    summary: dict[str, Any],
    project: Project,
    detail_accounts: int,
) -> None:
    """Write all tables of a snapshot."""
    meta = _write_accounts(marts, writer)
    # Bounds that scoring chose itself are seen in the scores only.
    lowest = meta.pop("lowest")
    _write_sections(marts, writer, summary["as_of_date"])
    _write_decisions(marts, writer, summary["as_of_date"], detail_accounts)
    _write_documents(marts, writer, project)
    writer.create_indexes()
    variables = project.variables
    meta |= {
        "snapshot_id": uuid.uuid4().hex,
        "schema_version": schema.SCHEMA_VERSION,
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "as_of_date": summary["as_of_date"],
        "accounts": summary["accounts"],
        "target": project.target,
        "stale_after_days": int(variables.get("stale_after_days", 2)),
        "schedule": Schedule.read(variables).as_settings(),
        "churn_horizon_days": int(variables.get("churn_horizon_days", 30)),
        **{
            f"{name}_risk_from": variables.get(f"{name}_risk_from") or lowest.get(name)
            for name in ("medium", "high")
        },
        "rising_from": RISING_FROM,
        "detail_accounts": detail_accounts,
    }
    writer.insert(
        schema.meta, [(key, json.dumps(value)) for key, value in meta.items()]
    )


_SCORE_COLUMNS = (
    *("account_id", "company_name", "owner_id", "owner_name", "churn_probability"),
    *("probability_change_7d", "risk_band", "reason_1", "reason_2", "reason_3"),
    *("offer_id", "recommended_offer", "offer_because", "monthly_recurring_revenue"),
    *("revenue_at_risk", "currency", "arm", "model_version"),
)
_FEATURE_COLUMNS = ("plan", "industry", "seats", "account_age_days")
_TEXTS = frozenset(
    column.name
    for column in schema.accounts.columns
    if isinstance(column.type, sa.Text)
)


def _write_accounts(marts: Marts, writer: _Writer) -> dict[str, Any]:
    """Write accounts, words and facets; return the bounds of the bands."""
    scores = marts.columns("churn_scores")
    features = marts.columns("account_features")
    columns = [
        f"scores.{name}" if name in scores else _null(name) for name in _SCORE_COLUMNS
    ] + [
        f"features.{name}" if name in features else _null(name)
        for name in _FEATURE_COLUMNS
    ]
    revenue = "coalesce(revenue_at_risk, -1)"
    change = (
        "coalesce(probability_change_7d, -2)"
        if "probability_change_7d" in scores
        else "0"
    )
    query = f"""
        with ranks as (
            select risk_rank,
                row_number() over (order by {revenue} desc, risk_rank) as revenue_rank,
                row_number() over (order by {change} desc, risk_rank) as change_rank
            from {marts.name("churn_scores")}
        )
        select scores.risk_rank, {", ".join(columns)}, ranks.revenue_rank,
            ranks.change_rank
        from {marts.name("churn_scores")} as scores
        inner join ranks on scores.risk_rank = ranks.risk_rank
        left join {marts.name("account_features")} as features
            on scores.account_id = features.account_id
            and scores.as_of_date = features.as_of_date
    """
    facets = _Facets()
    words = _Words(writer)
    names = [column.name for column in schema.accounts.columns]
    for batch in marts.read(query, order="risk_rank"):
        columns_of = {name: _stored(batch.column(name)) for name in names}
        writer.insert(
            schema.accounts,
            list(zip(*(columns_of[name].to_pylist() for name in names), strict=True)),
        )
        facets.add(columns_of)
        words.add(columns_of["company_name"], columns_of["risk_rank"])
    words.finish()
    writer.insert(
        schema.facets,
        [(*key, count, round(money, 2)) for key, (count, money) in facets.sums.items()],
    )
    freshness = [
        name
        for name in scores
        if name.endswith("_data_through") or name in ("is_stale", "scored_at")
    ]
    (sources,) = marts.rows(
        f"""select {", ".join(f"max({n}) as {n}" for n in freshness)},
            max(model_version) as model_version
        from {marts.name("churn_scores")}"""
    )
    has_change = "probability_change_7d" in scores and bool(
        marts.rows(
            f"""select 1 as one from {marts.name("churn_scores")}
            where probability_change_7d is not null limit 1"""
        )
    )
    return {
        "bands": facets.bands,
        "lowest": facets.lowest,
        "rising": facets.rising,
        "has_change": has_change,
        "sources": {
            name.removesuffix("_data_through"): (
                _text(sources[name]) if sources[name] is not None else None
            )
            for name in freshness
            if name.endswith("_data_through")
        },
        "model_version": sources["model_version"],
    }


def _null(name: str) -> str:
    kind = {"seats": "bigint", "account_age_days": "bigint"}.get(
        name, "double" if name not in _TEXTS else "varchar(1)"
    )
    return f"cast(null as {kind}) as {name}"


def _stored(column: pa.Array) -> pa.Array:
    """Return a column as both stores take it: without decimals and without NaN."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column


class _Facets:
    """Counts and sums of money by the filters of a list.

    Attributes:
        sums: Number of accounts and money at risk by the columns before them.
        bands: First and last rank, and number of accounts, by band.
        lowest: The lowest probability by band.
        rising: Number of accounts whose probability rises.
    """

    _KEYS = ("owner_id", "owner_name", "risk_band", "offer_id")

    def __init__(self) -> None:
        self.sums: dict[tuple[Any, ...], list[float]] = {}
        self.bands: dict[str, list[int]] = {}
        self.lowest: dict[str, float] = {}
        self.rising = 0

    def add(self, columns: dict[str, pa.Array]) -> None:
        """Add accounts, of which all have higher ranks than those before."""
        is_rising = pc.fill_null(
            pc.greater_equal(columns["probability_change_7d"], RISING_FROM), False
        )
        is_control = pc.fill_null(pc.equal(columns["arm"], "control"), False)
        keys = {
            **{name: columns[name] for name in self._KEYS},
            "is_rising": is_rising.cast(pa.int8()),
            "is_control": is_control.cast(pa.int8()),
            "currency": columns["currency"],
        }
        table = pa.table(
            {
                **keys,
                "rank": columns["risk_rank"],
                "money": pc.fill_null(columns["revenue_at_risk"].cast(pa.float64()), 0),
                "probability": columns["churn_probability"],
            }
        )
        for *key, count, money in _groups(
            table, list(keys), [("rank", "count"), ("money", "sum")]
        ):
            sums = self.sums.setdefault(tuple(key), [0, 0.0])
            sums[0] += count
            sums[1] += money
        self.rising += pc.sum(is_rising).as_py() or 0
        for band, first, last, count, lowest in _groups(
            table,
            ["risk_band"],
            [
                ("rank", "min"),
                ("rank", "max"),
                ("rank", "count"),
                ("probability", "min"),
            ],
        ):
            bounds = self.bands.setdefault(band, [first, last, 0])
            bounds[1] = last
            bounds[2] += count
            self.lowest[band] = lowest


def _groups(
    table: pa.Table, keys: list[str], aggregates: list[tuple[str, str]]
) -> Iterator[tuple[Any, ...]]:
    """Yield keys and aggregates of the groups of a table."""
    grouped = table.group_by(keys).aggregate(aggregates)
    names = [*keys, *(f"{column}_{kind}" for column, kind in aggregates)]
    yield from zip(*(grouped[name].to_pylist() for name in names), strict=True)


class _Words:
    """Collects the words of names and writes them sorted, in runs of limited size."""

    _MAX_WORDS = 1_000_000

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self._parts: list[pa.Table] = []
        self._count = 0

    def add(self, company_names: pa.Array, ranks: pa.Array) -> None:
        """Add the words of names, whose ranks are higher than those before."""
        keys = pa.array(schema.name_keys(company_names.to_pylist()), pa.string())
        words = pc.split_pattern(keys, " ")
        part = pa.table(
            {
                "word": words.flatten(),
                "rank": ranks.take(words.value_parent_indices()).cast(pa.int32()),
            }
        )
        self._parts.append(part.filter(pc.not_equal(part["word"], "")))
        self._count += len(part)
        if self._count > self._MAX_WORDS:
            self.finish()

    def finish(self) -> None:
        """Write the words that were collected."""
        if not self._parts:
            return
        table = pa.concat_tables(self._parts).combine_chunks()
        self._parts, self._count = [], 0
        # Ranks are sorted already, and the sort is stable.
        order = pc.sort_indices(table["word"].combine_chunks())
        previous = None
        for start in range(0, len(order), ROWS_PER_INSERT):
            part = table.take(order.slice(start, ROWS_PER_INSERT))
            rows = []
            for row in zip(
                part["word"].to_pylist(), part["rank"].to_pylist(), strict=True
            ):
                # A name may have a word twice.
                if row != previous:
                    rows.append(row)
                previous = row
            self._writer.insert(schema.words, rows)


def _write_sections(marts: Marts, writer: _Writer, as_of_date: str) -> None:
    """Write the packed rows of the accounts' pages."""
    since = (date.fromisoformat(as_of_date) - timedelta(days=HISTORY_DAYS)).isoformat()
    scores = marts.name("churn_scores")
    only_scored = f"account_id in (select account_id from {scores})"
    queries: dict[str, tuple[str, tuple[str, ...], str]] = {
        "history": (
            "churn_score_history",
            ("as_of_date", "churn_probability", "model_version"),
            f"""select account_id, as_of_date, churn_probability, model_version
            from {{table}} where {only_scored}""",
        ),
        "sessions": (
            "sessions",
            ("started_at", "page_views", "subscribe_hovers", "subscribe_clicks"),
            f"""select account_id, cast(date_trunc('week', started_at) as date) as week,
                count(*) as sessions, sum(page_views) as page_views,
                sum(subscribe_hovers) as subscribe_hovers,
                sum(subscribe_clicks) as subscribe_clicks
            from {{table}}
            where started_at >= cast('{since}' as timestamp) and {only_scored}
            group by 1, 2""",
        ),
        "calls": (
            "stg_support__calls",
            ("started_at", "topic", "duration_seconds"),
            f"""select account_id, cast(started_at as date) as call_date, topic,
                duration_seconds
            from {{table}}
            where started_at >= cast('{since}' as timestamp) and {only_scored}""",
        ),
        "invoices": (
            "stg_billing__invoices",
            ("due_date", "status", "amount"),
            f"""select account_id, due_date, status, amount
            from {{table}}
            where due_date >= cast('{since}' as date) and {only_scored}""",
        ),
        "changes": (
            "int_account_changes",
            ("batch_date", "change_kind", "plan", "monthly_recurring_revenue"),
            f"""select account_id, batch_date, change_kind, plan, seats,
                monthly_recurring_revenue
            from {{table}}
            where batch_scope = 'all' and {only_scored}""",
        ),
        # Actions of the page itself are in its own store.
        "actions": (
            "retention_actions",
            ("action_date", "action_type", "actor_id", "source", "is_corrected"),
            f"""select account_id, action_date, action_type, actor_id
            from {{table}}
            where source <> 'page' and not is_corrected and {only_scored}""",
        ),
        "control": (
            "churn_scores",
            ("arm", "control_until"),
            """select account_id, control_until from {table}
            where arm = 'control'""",
        ),
        "periods": (
            "subscription_periods",
            ("start_date", "end_date", "end_reason"),
            f"""select account_id, start_date, end_date, end_reason
            from {{table}} where {only_scored}""",
        ),
    }
    for section, (table, columns, query) in queries.items():
        if not marts.has(table, "account_id", *columns):
            continue
        # By account and date, which are the first columns.
        order = "1, 2" if section == "control" else "1, 2, 3, 4"
        batches = marts.read(query.format(table=marts.name(table)), order)
        for accounts, lines in pack(batches):
            writer.insert(
                schema.sections,
                list(zip(accounts, [section] * len(accounts), lines, strict=True)),
            )


def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[list[str], list[str]]]:
    """Join the rows of each account to one text.

    Args:
        batches: Rows sorted by their first column, the account.

    Yields:
        Accounts and their texts: a line per row, with tabs between the fields.
    """
    pending: tuple[str, str] | None = None
    for batch in batches:
        if not len(batch):
            continue
        account = batch.column(0).cast(pa.string())
        fields = [_field(column) for column in batch.columns[1:]]
        lines = pc.binary_join_element_wise(
            *fields, pa.scalar("\t", fields[0].type), null_handling="replace"
        )
        is_new = pc.not_equal(account.slice(1), account.slice(0, len(account) - 1))
        starts = [0, *(pc.indices_nonzero(is_new).to_numpy() + 1).tolist()]
        offsets = pa.array([*starts, len(account)], pa.int32())
        texts = pc.binary_join(
            pa.ListArray.from_arrays(offsets, lines), "\n"
        ).to_pylist()
        accounts = account.take(pa.array(starts)).to_pylist()
        if pending is not None:
            if pending[0] == accounts[0]:
                texts[0] = pending[1] + "\n" + texts[0]
            else:
                accounts.insert(0, pending[0])
                texts.insert(0, pending[1])
        pending = (accounts.pop(), texts.pop())
        if accounts:
            yield accounts, texts
    if pending is not None:
        yield [pending[0]], [pending[1]]


def _field(column: pa.Array) -> pa.Array:
    """Return a column as text without tabs and line ends."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        column = pc.round(column, 5)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.replace_substring_regex(
            column.cast(pa.string()), r"[\x00-\x1f]", " "
        )
    return column.cast(pa.string())


def _write_decisions(
    marts: Marts, writer: _Writer, as_of_date: str, detail_accounts: int
) -> None:
    """Write how the models computed the scores of the riskiest accounts."""
    if detail_accounts <= 0 or not marts.has("churn_models", "model"):
        return
    # Only here, because a page without models does not need XGBoost.
    from churn.ml.decision_paths import explain_decisions, read_trees
    from churn.ml.registry import model_of

    since = (date.fromisoformat(as_of_date) - timedelta(days=HISTORY_DAYS)).isoformat()
    scores = marts.name("churn_scores")
    riskiest = f"select account_id from {scores} where risk_rank <= {detail_accounts}"
    champion = marts.rows(f"select max(model_version) as v from {scores}")[0]["v"]
    given: dict[str, set[tuple[str, str]]] = {}
    if marts.has("churn_score_history", "account_id", "as_of_date"):
        for row in marts.rows(
            f"""select account_id, as_of_date, model_version
            from {marts.name("churn_score_history")}
            where account_id in ({riskiest}) and as_of_date >= date '{since}'"""
        ):
            key = (row["account_id"], _text(row["as_of_date"])[:10])
            given.setdefault(row["model_version"], set()).add(key)
    scored = set().union(*given.values()) if given else set()
    replayed = {
        row["account_id"]
        for row in marts.rows(
            f"select account_id from {scores} where risk_rank <= {REPLAYED_ACCOUNTS}"
        )
    }
    units = {
        row["feature"]: row["unit"]
        for row in marts.rows(
            f"select feature, unit from {marts.name('feature_dictionary')}"
        )
    }
    for version in sorted({*given, champion}):
        rows = marts.rows(
            f"""select * from {marts.name("churn_models")}
            where model_version = '{_quoted(version)}'"""
        )
        if not rows:
            continue
        model = model_of(rows[0], os.cpu_count() or 1)
        trees = read_trees(model.booster_json)
        own = given.get(version, set())
        query = f"""select * from {marts.name("account_features")}
            where account_id in ({riskiest}) and as_of_date >= date '{since}'"""
        for batch in marts.read(query):
            accounts = batch.column("account_id").to_pylist()
            days = [_text(day)[:10] for day in batch.column("as_of_date").to_pylist()]
            # Days without a given score are replayed with the champion.
            is_used = [
                (key in own)
                or (version == champion and key not in scored and key[0] in replayed)
                for key in zip(accounts, days, strict=True)
            ]
            batch = batch.filter(pa.array(is_used))
            if not set(model.feature_names) <= set(batch.schema.names):
                break
            kept = [
                key
                for key, used in zip(
                    zip(accounts, days, strict=True), is_used, strict=True
                )
                if used
            ]
            for start in range(0, len(kept), 5_000):
                part = batch.slice(start, 5_000)
                writer.insert(
                    schema.decisions,
                    [
                        (
                            *key,
                            version,
                            int(key not in own),
                            decision.probability,
                            zlib.compress(
                                json.dumps(
                                    decision.as_dict(), separators=(",", ":")
                                ).encode()
                            ),
                        )
                        for key, decision in zip(
                            kept[start : start + 5_000],
                            explain_decisions(model, trees, part, units),
                            strict=True,
                        )
                    ],
                )


def _quoted(text: str) -> str:
    return text.replace("'", "''")


# Small marts that pages show as they are.
_DOCUMENTS = {
    "score_outcomes": "score_month desc, model_version, risk_band",
    "experiment_results": "experiment_id, stratum, metric",
    "feature_dictionary": "feature_number",
    "churn_model_metrics": "model_version, predictor, split, metric",
    "offers": "offer_id",
}
_MAX_DOCUMENT_ROWS = 5_000


def _write_documents(marts: Marts, writer: _Writer, project: Project) -> None:
    """Write the small tables and the model card."""
    documents = {}
    for name, order in _DOCUMENTS.items():
        if marts.columns(name):
            documents[name] = marts.rows(
                f"select * from {marts.name(name)}", order, _MAX_DOCUMENT_ROWS
            )
    if marts.has("retention_actions", "action_type", "is_corrected"):
        documents["kept_after_offer"] = marts.rows(
            f"""select count(distinct account_id) as accounts
            from {marts.name("retention_actions")}
            where action_type = 'customer_kept' and not is_corrected"""
        )
    columns = [
        name
        for name in marts.columns("churn_models")
        if name not in ("model", "drift_bins")
    ]
    if columns:
        documents["churn_models"] = marts.rows(
            f"select {', '.join(columns)} from {marts.name('churn_models')}",
            order="trained_at desc",
            limit=50,
        )
    rows = [(name, json.dumps(body, default=_text)) for name, body in documents.items()]
    card = _model_card(project) if columns else None
    if card is not None:
        rows.append(("model_card", card))
    writer.insert(schema.documents, rows)


def _model_card(project: Project) -> str | None:
    """Return the model card as HTML, or ``None`` if there is none."""
    if project.adapter != "duckdb":
        return None
    from churn.reports.model_card import model_card

    try:
        return model_card(project.database, project.schema)
    except Exception as error:  # Scores are published without a card all the same.
        log.warning("The model card is not published: %s", error)
        return None
