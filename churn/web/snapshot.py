"""Read the serving snapshot; follow it when another one is published."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import zlib
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
# Accounts whose names a search with several words compares.
MAX_CANDIDATES = 1_000
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

    Args:
        connection: The connection.
        meta: The snapshot's ``meta``.
        cache: What earlier readers of the same snapshot computed.
    """

    def __init__(
        self, connection: sa.Connection, meta: dict[str, Any], cache: Cache
    ) -> None:
        self._connection = connection
        self.meta = meta
        self._cache = cache

    def _rows(self, sql: str, **values: Any) -> Sequence[sa.Row]:
        return self._connection.execute(_statement(sql), values).all()

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
    ) -> Sequence[sa.Row]:
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

    def account(self, account_id: str) -> sa.Row | None:
        """Return one account, or ``None``."""
        rows = self._rows(
            "select * from accounts where account_id = :account_id",
            account_id=account_id,
        )
        return rows[0] if rows else None

    def by_ids(self, account_ids: Sequence[str]) -> dict[str, sa.Row]:
        """Return some accounts by their id."""
        if not account_ids:
            return {}
        statement = sa.text(
            f"select {LIST_COLUMNS} from accounts where account_id in :ids"
        ).bindparams(sa.bindparam("ids", expanding=True))
        rows = self._connection.execute(statement, {"ids": list(account_ids)})
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
    ) -> tuple[list[sa.Row], bool]:
        """Return accounts by the start of the words of their name, or by their id.

        Returns:
            The accounts by risk, and whether there are more than were compared.
        """
        terms = schema.name_key(text).split()[:6]
        most = MAX_CANDIDATES if len(terms) > 1 or owner_id is not None else 300
        candidates: set[int] | None = None
        is_cut = False
        # The first term that few words start with; the longest are tried first.
        for term in sorted(set(terms), key=len, reverse=True):
            rows = self._rows(
                "select risk_rank from words where word >= :start and word < :stop "
                "limit :limit",
                start=term,
                stop=term + "\U0010ffff",
                limit=most + 1,
            )
            if candidates is None or len(rows) <= most:
                candidates = {row[0] for row in rows[:most]}
                is_cut = len(rows) > most
            if not is_cut:
                break
        ranks = sorted(candidates or ())
        if len(terms) > 1:
            ranks = self._matching(ranks, terms)
        wanted = ranks if owner_id is not None else ranks[: limit + 1]
        found = list(self._by_ranks(wanted))
        stripped = text.strip()
        if stripped:
            by_id = self._rows(
                f"select {LIST_COLUMNS} from accounts where account_id >= :start "
                "and account_id < :stop order by account_id limit 20",
                start=stripped,
                stop=stripped + "\U0010ffff",
            )
            known = {row.account_id for row in by_id}
            found = [*by_id, *(row for row in found if row.account_id not in known)]
        if owner_id is not None:
            found = [row for row in found if row.owner_id == owner_id]
        return found[:limit], is_cut or len(found) > limit

    def _matching(self, ranks: Sequence[int], terms: Sequence[str]) -> list[int]:
        """Return the ranks of accounts whose names have words for all terms."""
        statement = sa.text(
            "select risk_rank, company_name from accounts where risk_rank in :ranks "
            "order by risk_rank"
        ).bindparams(sa.bindparam("ranks", expanding=True))
        rows = self._connection.execute(statement, {"ranks": list(ranks)})
        return [rank for rank, name in rows if _matches(name, terms)]

    def _by_ranks(self, ranks: Sequence[int]) -> Sequence[sa.Row]:
        if not ranks:
            return []
        statement = sa.text(
            f"select {LIST_COLUMNS} from accounts where risk_rank in :ranks "
            "order by risk_rank"
        ).bindparams(sa.bindparam("ranks", expanding=True))
        return self._connection.execute(statement, {"ranks": list(ranks)}).all()

    def similar(self, account_id: str, limit: int = 5) -> list[sa.Row]:
        """Return accounts whose id or name starts like a text that matches none."""
        for length in range(len(account_id), 2, -1):
            rows, _ = self.search(account_id[:length], limit=limit)
            if rows:
                return rows
        return []

    def decisions(self, account_id: str) -> Sequence[sa.Row]:
        """Return dates, models and probabilities of the explained scores."""
        return self._rows(
            "select as_of_date, model_version, is_replayed, churn_probability "
            "from decisions where account_id = :account_id "
            "order by as_of_date desc, model_version",
            account_id=account_id,
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


def _matches(name: str | None, terms: Sequence[str]) -> bool:
    words = schema.name_key(name).split()
    return all(any(word.startswith(term) for word in words) for term in terms)


@lru_cache(maxsize=512)
def _statement(sql: str) -> sa.TextClause:
    return sa.text(sql)


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
            with contextlib.suppress(_ReplacedError):
                connection = engine.connect()
        with connection:
            yield Reader(connection, meta, cache)

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
                key = connection.exec_driver_sql(
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
            yield Reader(connection, self._meta, self._cache)


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
