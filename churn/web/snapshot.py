"""Read the serving snapshot; follow it when another one is published."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
import time
import zlib
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from churn.config import Project
from churn.web import schema
from churn.web.settings import serving_url

# Seconds after which a query is interrupted.
QUERY_SECONDS = 2.0
# Owners that a list offers to choose from.
MAX_OWNERS = 50
# Accounts that begin with one word of a search and are compared with the others.
MAX_CANDIDATES = 300
# Words of one term that are compared, if many words start with each term.
MAX_COMPARED = 5_000
# Words that a term of such a search is compared with.
MAX_WORDS = 8
# Values that are kept for one snapshot.
MAX_CACHED = 1_000

Cache = dict[Any, Any]
_Opened = tuple[sa.Engine, dict[str, Any], Cache]


class SnapshotError(Exception):
    """Report why there is no snapshot to read.

    Attributes:
        kind: ``missing`` if none was published, ``unreadable``, or ``version``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class QueryError(Exception):
    """Report a query that failed or took too long."""


class _ReplacedError(Exception):
    """Report that the file of an engine now holds another snapshot."""


def open_sqlite(path: Path, holds: Callable[[str], bool] | None = None) -> sa.Engine:
    """Return an engine on a snapshot file, which nobody writes to.

    Args:
        path: The file. Publishing replaces it by another file of that name.
        holds: Whether the engine reads the snapshot of an id. A connection that is
            opened after the file was replaced raises `_ReplacedError`.
    """

    def connect() -> sqlite3.Connection:
        quoted = str(path.absolute()).replace("?", "%3f").replace("#", "%23")
        connection = sqlite3.connect(
            f"file:{quoted}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        if holds is not None:
            found = connection.execute(
                "select value from meta where key = 'snapshot_id'"
            ).fetchone()
            if found is None or not holds(json.loads(found[0])):
                connection.close()
                raise _ReplacedError
        connection.execute("pragma query_only=1")
        # The kernel caches the file; a page cache for each connection would not pay.
        connection.execute("pragma cache_size=-2048")
        deadline = _Deadline()
        connection.set_progress_handler(deadline.is_over, 20_000)
        deadlines[id(connection)] = deadline
        return connection

    deadlines: dict[int, _Deadline] = {}
    engine = sa.create_engine(
        "sqlite://",
        creator=connect,
        poolclass=sa.QueuePool,
        pool_size=8,
        max_overflow=24,
        pool_reset_on_return=None,
    )

    @sa.event.listens_for(engine, "checkout")
    def start_clock(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
        deadlines[id(dbapi_connection)].start()

    @sa.event.listens_for(engine, "close")
    def forget(dbapi_connection: Any, _record: Any) -> None:
        deadlines.pop(id(dbapi_connection), None)

    return engine


class _Deadline:
    def __init__(self) -> None:
        self._at = float("inf")

    def start(self) -> None:
        self._at = time.monotonic() + QUERY_SECONDS

    def is_over(self) -> bool:
        return time.monotonic() > self._at


@dataclass(frozen=True)
class Filters:
    """Filters and order of a list.

    Attributes:
        owner_id: Only accounts of this owner; ``None`` for all.
        band: Only this risk band.
        offer_id: Only accounts with this offer.
        is_rising: Only accounts whose probability rose.
        sort: ``revenue``, ``probability`` or ``change``.
    """

    owner_id: str | None = None
    band: str | None = None
    offer_id: str | None = None
    is_rising: bool = False
    sort: str = "revenue"

    @property
    def rank(self) -> str:
        """Return the column that gives the order."""
        return {"probability": "risk_rank", "change": "change_rank"}.get(
            self.sort, "revenue_rank"
        )


LIST_COLUMNS = (
    "risk_rank, account_id, company_name, owner_id, owner_name, churn_probability, "
    "probability_change_7d, risk_band, reason_1, reason_2, reason_3, offer_id, "
    "recommended_offer, offer_because, revenue_at_risk, currency, arm, revenue_rank, "
    "change_rank, model_version"
)
_NOT_CONTROL = "(arm is null or arm <> 'control')"


class Reader:
    """Queries on one snapshot, all on one connection.

    Queries go to the driver, because SQLAlchemy would need more time than SQLite.

    Args:
        connection: The driver's connection.
        dialect: Its dialect.
        meta: The snapshot's ``meta``.
        cache: What earlier readers of the same snapshot computed.
    """

    def __init__(
        self,
        connection: Any,
        dialect: sa.Dialect,
        meta: dict[str, Any],
        cache: Cache,
    ) -> None:
        self._connection = connection
        self._is_named = dialect.paramstyle in ("named", "qmark")
        self._error: type[Exception] = dialect.loaded_dbapi.OperationalError
        self.meta = meta
        self._cache = cache

    def _rows(self, sql: str, **values: Any) -> list[Any]:
        """Return the rows of a query as named tuples.

        Args:
            sql: The query, with parameters such as ``:name``.
            values: Values of the parameters.

        Raises:
            QueryError: The query failed or took too long.
        """
        cursor = self._connection.cursor()
        rows = self._fetch(cursor, sql, values)
        make = _row_type(tuple(column[0] for column in cursor.description))
        return list(map(make, rows))

    def _fetch(self, cursor: Any, sql: str, values: dict[str, Any]) -> list[Any]:
        try:
            cursor.execute(sql if self._is_named else _pyformat(sql), values)
            return cursor.fetchall()
        except self._error as error:
            raise QueryError(str(error).strip()) from error

    def cached(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return a value that depends on the snapshot only, computed once."""
        if key not in self._cache:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[key] = compute()
        return self._cache[key]

    def accounts(
        self,
        filters: Filters,
        after: int = 0,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Any]:
        """Return accounts in order of a rank.

        Args:
            filters: Which accounts, and their order.
            after: Only accounts with a higher rank.
            before: Only accounts with a lower rank, the last ``limit`` of them.
            limit: Maximum number of accounts.
        """
        rank = filters.rank
        where = [f"{rank} > :after", _NOT_CONTROL]
        values: dict[str, Any] = {"after": after, "limit": limit}
        if before is not None:
            where.append(f"{rank} < :before")
            values["before"] = before
        if filters.owner_id is not None:
            where.append("owner_id = :owner_id")
            values["owner_id"] = filters.owner_id
        if filters.band is not None:
            first, last = self._band(filters.band)
            if rank == "risk_rank":
                # Bands are intervals of the rank: see `bands` in meta. Of two lower
                # bounds a database uses one, perhaps the wrong one.
                where.append("risk_rank <= :last")
                values |= {"after": max(after, first - 1), "last": last}
            else:
                where.append("risk_band = :band")
                values["band"] = filters.band
        if filters.offer_id is not None:
            where.append("offer_id = :offer_id")
            values["offer_id"] = filters.offer_id
        if filters.is_rising:
            # The accounts that rise are the first by change.
            where.append("change_rank <= :rising")
            values["rising"] = self.meta["rising"]
        direction = "desc" if before is not None else "asc"
        rows = self._rows(
            f"select {LIST_COLUMNS} from accounts where {' and '.join(where)} "
            f"order by {rank} {direction} limit :limit",
            **values,
        )
        return rows[::-1] if before is not None else rows

    def _band(self, band: str) -> tuple[int, int]:
        first, last, _ = self.meta["bands"].get(band, (1, 0, 0))
        return first, last

    def totals(self, filters: Filters) -> dict[str, Any]:
        """Return count, controls and money at risk by currency of a list."""
        key = ("totals", replace(filters, sort="revenue"))
        return self.cached(key, lambda: self._totals(filters))

    def _totals(self, filters: Filters) -> dict[str, Any]:
        where, values = ["true"], {}
        for column, value in (
            ("owner_id", filters.owner_id),
            ("risk_band", filters.band),
            ("offer_id", filters.offer_id),
        ):
            if value is not None:
                where.append(f"{column} = :{column}")
                values[column] = value
        if filters.is_rising:
            where.append("is_rising = 1")
        rows = self._rows(
            "select is_control, currency, sum(accounts), sum(revenue_at_risk) "
            f"from facets where {' and '.join(where)} group by 1, 2 order by 4 desc",
            **values,
        )
        return {
            "accounts": sum(row[2] for row in rows if not row[0]),
            "controls": sum(row[2] for row in rows if row[0]),
            "revenue": [(row[1], row[3]) for row in rows if not row[0] and row[3]],
        }

    def owners(self) -> list[dict[str, Any]]:
        """Return the owners by money at risk, with their number of accounts."""
        return self.cached("owners", self._owners)

    def _owners(self) -> list[dict[str, Any]]:
        rows = self._rows(
            "select owner_id, max(owner_name), sum(accounts), sum(revenue_at_risk) "
            "from facets where owner_id is not null group by owner_id "
            f"order by 4 desc, 1 limit {MAX_OWNERS}"
        )
        return [
            {"owner_id": row[0], "owner_name": row[1] or row[0], "accounts": row[2]}
            for row in rows
        ]

    def offers(self) -> list[str]:
        """Return the ids of the offers."""
        return self.cached(
            "offers",
            lambda: [
                row[0]
                for row in self._rows(
                    "select distinct offer_id from facets where offer_id is not null "
                    "order by 1"
                )
            ],
        )

    def account(self, account_id: str) -> Any | None:
        """Return one account, or ``None``."""
        rows = self._rows(
            "select * from accounts where account_id = :account_id",
            account_id=account_id,
        )
        return rows[0] if rows else None

    def by_ids(self, account_ids: Sequence[str]) -> dict[str, Any]:
        """Return some accounts by their id."""
        if not account_ids:
            return {}
        values = {f"id{n}": account_id for n, account_id in enumerate(account_ids)}
        rows = self._rows(
            f"select {LIST_COLUMNS} from accounts "
            f"where account_id in (:{', :'.join(values)})",
            **values,
        )
        return {row.account_id: row for row in rows}

    def sections(self, account_id: str) -> dict[str, list[list[str]]]:
        """Return the packed rows of an account's page, by section."""
        rows = self._rows(
            "select section, lines from sections where account_id = :account_id",
            account_id=account_id,
        )
        return {
            section: [line.split("\t") for line in lines.split("\n")]
            for section, lines in rows
        }

    def search(
        self, text: str, owner_id: str | None = None, limit: int = 50
    ) -> tuple[list[Any], bool]:
        """Return accounts by the start of the words of their name, or by their id.

        Returns:
            The accounts by risk, and whether there are more than were compared.
        """
        terms = schema.name_key(text).split()[:6]
        ranks, is_cut = self._ranks(
            terms, MAX_CANDIDATES if owner_id is not None else limit + 1
        )
        wanted = ranks if owner_id is not None else ranks[: limit + 1]
        found = self._in_ranks(LIST_COLUMNS, wanted)
        stripped = text.strip()
        if stripped:
            by_id = self._rows(
                f"select {LIST_COLUMNS} from accounts where account_id >= :start "
                "and account_id < :stop order by account_id limit 20",
                **_range(stripped),
            )
            known = {row.account_id for row in by_id}
            found = [*by_id, *(row for row in found if row.account_id not in known)]
        if owner_id is not None:
            found = [row for row in found if row.owner_id == owner_id]
        return found[:limit], is_cut or len(found) > limit

    def _ranks(self, terms: Sequence[str], limit: int) -> tuple[list[int], bool]:
        """Return ranks of accounts whose names have words for all terms, in order.

        Args:
            terms: Starts of words.
            limit: Number of ranks that are needed.

        Returns:
            The ranks, and whether there are more than were compared.
        """
        first: list[int] = []
        # The first term that few words start with; the longest are tried first.
        ordered = sorted(set(terms), key=len, reverse=True)
        for term in ordered:
            found = self._fetch(
                self._connection.cursor(),
                f"select risk_rank from words where {_STARTS} limit :limit",
                _range(term) | {"limit": MAX_CANDIDATES + 1},
            )
            ranks = sorted(row[0] for row in found[:MAX_CANDIDATES])
            if len(found) <= MAX_CANDIDATES:
                return self._matching(ranks, [t for t in ordered if t != term]), False
            first = first or ranks
        if len(ordered) < 2:
            return first, bool(ordered)
        # Many words start with each term. Those of one may be the same word often.
        for term in ordered:
            words = self._words(term)
            if len(words) <= MAX_WORDS:
                rest = [each for each in ordered if each != term]
                wanted = MAX_CANDIDATES if rest[1:] else limit
                marks, values = _marks(words)
                rows = self._rows(
                    f"""with others as materialized (
                        select risk_rank from words where {_STARTS} limit :most
                    )
                    select risk_rank, (select count(*) from others) as compared
                    from words where word in ({marks})
                    and risk_rank in (select risk_rank from others)
                    order by risk_rank limit :limit""",
                    most=MAX_COMPARED,
                    limit=wanted,
                    **_range(rest[0]),
                    **values,
                )
                is_cut = len(rows) == wanted or bool(
                    rows and rows[0].compared == MAX_COMPARED
                )
                ranks = sorted({row.risk_rank for row in rows})
                return self._matching(ranks, rest[1:]), is_cut
        return self._matching(first, ordered[1:]), True

    def _matching(self, ranks: list[int], terms: Sequence[str]) -> list[int]:
        """Return those ranks whose names have words for all terms too."""
        broad = []
        for term in terms:
            words = self._words(term) if ranks else []
            if len(words) > MAX_WORDS:
                broad.append(term)
            elif ranks:
                # The words of a snapshot lie together; names would be read singly.
                marks, values = _marks(words)
                rows = self._rows(
                    f"select distinct risk_rank from words where word in ({marks}) "
                    f"and risk_rank in ({_listed(ranks)}) order by risk_rank",
                    **values,
                )
                ranks = [row.risk_rank for row in rows]
        if not broad or not ranks:
            return ranks
        names = self._in_ranks("risk_rank, company_name", ranks)
        keys = schema.name_keys(name for _, name in names)
        return [
            rank
            for (rank, _), key in zip(names, keys, strict=True)
            if all(f" {term}" in f" {key}" for term in broad)
        ]

    def _words(self, start: str) -> list[str]:
        """Return some of the words that begin with a text: one more than are used."""
        rows = self._rows(
            f"""with recursive found (word) as (
                select min(word) from words where {_STARTS}
                union all
                select (
                    select min(words.word) from words
                    where words.word > found.word and words.word < :stop
                ) from found where found.word is not null
            )
            select word from found where word is not null limit :limit""",
            limit=MAX_WORDS + 1,
            **_range(start),
        )
        return [row.word for row in rows]

    def _in_ranks(self, columns: str, ranks: Sequence[int]) -> list[Any]:
        """Return columns of the accounts of some ranks, in their order."""
        if not ranks:
            return []
        return self._rows(
            f"select {columns} from accounts where risk_rank in ({_listed(ranks)}) "
            "order by risk_rank"
        )

    def similar(self, account_id: str, limit: int = 5) -> list[Any]:
        """Return accounts whose id or name starts like a text that matches none."""
        for length in range(len(account_id), 2, -1):
            rows, _ = self.search(account_id[:length], limit=limit)
            if rows:
                return rows
        return []

    def decisions(self, account_id: str) -> list[Any]:
        """Return dates, models and probabilities of the explained scores.

        The newest score comes first. Of a date with several models, the model of the
        snapshot does.
        """
        return self._rows(
            "select as_of_date, model_version, is_replayed, churn_probability "
            "from decisions where account_id = :account_id "
            "order by as_of_date desc, "
            "case when model_version = :model_version then 0 else 1 end, model_version",
            account_id=account_id,
            model_version=self.meta["model_version"],
        )

    def decision(
        self, account_id: str, as_of_date: str, model_version: str
    ) -> dict[str, Any] | None:
        """Return how a score was computed, or ``None`` if it is not published."""
        rows = self._rows(
            "select body from decisions where account_id = :account_id "
            "and as_of_date = :as_of_date and model_version = :model_version",
            account_id=account_id,
            as_of_date=as_of_date,
            model_version=model_version,
        )
        return json.loads(zlib.decompress(bytes(rows[0][0]))) if rows else None

    def document(self, name: str) -> str | None:
        """Return a document as text, or ``None``."""
        rows = self._rows("select body from documents where name = :name", name=name)
        return rows[0][0] if rows else None

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a small table, empty if it was not published."""

        def compute() -> list[dict[str, Any]]:
            body = self.document(name)
            return json.loads(body) if body is not None else []

        return self.cached(("table", name), compute)


_STARTS = "word >= :start and word < :stop"


def _range(start: str) -> dict[str, Any]:
    """Return the bounds of texts that begin with a text."""
    return {"start": start, "stop": start + "\U0010ffff"}


def _marks(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return parameters for some words, and their values; for none, one of no word."""
    values = {f"word{number}": word for number, word in enumerate(words or [""])}
    return f":{', :'.join(values)}", values


def _listed(ranks: Sequence[int]) -> str:
    """Return numbers for a query, because hundreds of parameters would cost more."""
    return ",".join(map(str, map(int, ranks)))


@lru_cache(maxsize=512)
def _pyformat(sql: str) -> str:
    """Return a query with parameters such as ``%(name)s``."""
    return re.sub(r":(\w+)", r"%(\1)s", sql)


@lru_cache(maxsize=512)
def _row_type(columns: tuple[str, ...]) -> Callable[[Sequence[Any]], Any]:
    row: Any = namedtuple("Row", columns, rename=True)  # type: ignore[misc]
    make: Callable[[Sequence[Any]], Any] = row._make
    return make


class Snapshots:
    """The current snapshot of a serving store."""

    def open(self) -> contextlib.AbstractContextManager[Reader]:
        """Return a reader of the current snapshot, the same until it is closed.

        Raises:
            SnapshotError: None was published, or it cannot be read.
        """
        raise NotImplementedError


class SQLiteSnapshots(Snapshots):
    """Snapshots in a file that publishing replaces."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._key: tuple[int, int, int] | None = None
        self._engine: sa.Engine | None = None
        self._meta: dict[str, Any] = {}
        self._cache: Cache = {}

    @contextlib.contextmanager
    def open(self) -> Iterator[Reader]:
        """Open the current snapshot; another one may be published meanwhile."""
        connection = None
        while connection is None:
            engine, meta, cache = self._current()
            try:
                connection = engine.raw_connection()
            except _ReplacedError:
                continue
            except sqlite3.Error as error:
                raise SnapshotError("unreadable", str(error)) from None
        try:
            yield Reader(connection, engine.dialect, meta, cache)
        finally:
            connection.close()

    def _current(self) -> _Opened:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            if self._engine is not None:
                return self._engine, self._meta, self._cache
            raise SnapshotError("missing", f"There is no {self._path}.") from None
        except OSError as error:
            raise SnapshotError("unreadable", str(error)) from None
        key = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if key == self._key and self._engine is not None:
            return self._engine, self._meta, self._cache
        with self._lock:
            if key == self._key and self._engine is not None:
                return self._engine, self._meta, self._cache
            return self._reopen(key)

    def _reopen(self, key: tuple[int, int, int]) -> _Opened:
        meta: dict[str, Any] = {}
        engine = open_sqlite(
            self._path, lambda found: meta.get("snapshot_id", found) == found
        )
        try:
            with engine.connect() as connection:
                meta |= _checked_meta(connection)
        except (sa.exc.DatabaseError, SnapshotError) as error:
            engine.dispose()
            if self._engine is not None:
                # The last readable snapshot goes on; the file is tried again.
                return self._engine, self._meta | {"is_unreadable": True}, self._cache
            if isinstance(error, SnapshotError):
                raise
            raise SnapshotError(
                "unreadable", f"{self._path} cannot be read: {error.orig}"
            ) from None
        previous, self._engine, self._meta = self._engine, engine, meta
        self._key, self._cache = key, {}
        if previous is not None:
            previous.dispose()
        return engine, meta, self._cache


class PostgresSnapshots(Snapshots):
    """Snapshots in a schema that publishing replaces."""

    def __init__(self, url: sa.URL) -> None:
        self._engine = sa.create_engine(
            url,
            pool_size=8,
            max_overflow=8,
            pool_pre_ping=False,
            connect_args={
                "options": f"-c search_path={schema.SERVING_SCHEMA} -c jit=off "
                "-c plan_cache_mode=force_custom_plan "
                "-c default_transaction_read_only=on "
                f"-c statement_timeout={int(QUERY_SECONDS * 1000)}",
                "connect_timeout": 5,
            },
        )
        self._key: Any = None
        self._meta: dict[str, Any] = {}
        self._cache: Cache = {}

    @contextlib.contextmanager
    def open(self) -> Iterator[Reader]:
        """Open the current snapshot; a swap waits until the reader is closed."""
        try:
            connection = self._engine.connect()
        except sa.exc.OperationalError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise SnapshotError("unreadable", reason) from None
        with connection:
            try:
                connection.exec_driver_sql(
                    f"select pg_advisory_xact_lock_shared({schema.LOCK_KEY})"
                )
                key: str = connection.exec_driver_sql(
                    "select value from meta where key = 'snapshot_id'"
                ).scalar_one()
                if key != self._key:
                    self._meta = _checked_meta(connection)
                    self._key, self._cache = key, {}
            except sa.exc.ProgrammingError:
                raise SnapshotError(
                    "missing", f"There is no schema {schema.SERVING_SCHEMA}."
                ) from None
            except sa.exc.DBAPIError as error:
                reason = str(error.orig).strip().splitlines()[0]
                raise SnapshotError("unreadable", reason) from None
            yield Reader(
                connection.connection, self._engine.dialect, self._meta, self._cache
            )


def _checked_meta(connection: sa.Connection) -> dict[str, Any]:
    meta = schema.read_meta(connection)
    if meta.get("schema_version") != schema.SCHEMA_VERSION:
        raise SnapshotError(
            "version",
            "The snapshot was published by another version of churn: publish it again "
            "with the version that serves the page.",
        )
    return meta


def open_snapshots(url: sa.URL) -> Snapshots:
    """Return the snapshots of a serving store."""
    if url.get_backend_name() == "sqlite":
        return SQLiteSnapshots(Path(str(url.database)))
    return PostgresSnapshots(url)


def read_snapshot_age(project: Project) -> dict[str, Any] | None:
    """Return ``as_of_date`` and ``published_at`` of a project's snapshot.

    Returns:
        Also ``problem``, if it cannot be read; ``None`` if nothing was published yet.

    Raises:
        UserError: The URL of the serving store is wrong.
    """
    try:
        with open_snapshots(serving_url(project)).open() as reader:
            meta = reader.meta
    except SnapshotError as error:
        return None if error.kind == "missing" else {"problem": str(error)}
    if meta.get("is_unreadable"):
        return {"problem": "the newest snapshot cannot be read"}
    return {name: meta[name] for name in ("as_of_date", "published_at")}
