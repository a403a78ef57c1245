"""The store of actions: what sales did about an account.

Rows are only added. A correction is a row that names the action it corrects. An
action is stored once for each ``action_id``, however often it is sent. In SQLite the
file is in WAL mode and every commit is synced to the disk; in PostgreSQL the table is
in its own schema.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from churn.config import Project, UserError
from churn.operations.export_actions import export_actions
from churn.uuid7 import RANDOM_BITS, uuid7
from churn.web.settings import actions_url, serving_url

ACTION_TYPES = {
    "contacted": "Contacted",
    "offer_made": "Offer made",
    "offer_accepted": "Offer accepted",
    "offer_declined": "Offer declined",
    "customer_kept": "Customer kept",
    "customer_leaving": "Customer leaving",
    "snoozed": "Snoozed",
    "unsnoozed": "Snooze ended",
    "note": "Note",
    "correction": "Correction",
}
# Types after which somebody has talked to the customer.
CONTACT_TYPES = frozenset(
    {
        *("contacted", "offer_made", "offer_accepted", "offer_declined"),
        *("customer_kept", "customer_leaving"),
    }
)
# Not about a customer's decision: exports of lists, which are logged too.
EXPORTED = "exported"
CHANNELS = ("call", "email", "visit", "in_app")
MAX_NOTE = 2_000
SCHEMA = "churn_actions"
_LOCK_KEY = 0x616374696F6E
# Ten seconds, as the busy timeout.
_WAL_ATTEMPTS = 200

metadata = sa.MetaData()

actions = sa.Table(
    "retention_actions",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("action_id", sa.Text, nullable=False, unique=True),
    sa.Column("account_id", sa.Text, nullable=False, index=True),
    sa.Column("action_type", sa.Text, nullable=False),
    sa.Column("channel", sa.Text),
    sa.Column("offer_id", sa.Text),
    sa.Column("snoozed_until", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("actor_id", sa.Text, nullable=False),
    sa.Column("occurred_at", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.Text, nullable=False),
    sa.Column("corrects_action_id", sa.Text),
    sa.Column("shown_as_of_date", sa.Text),
    sa.Column("shown_model_version", sa.Text),
    sa.Column("shown_arm", sa.Text),
    sa.Column("override_reason", sa.Text),
    sa.Column("source", sa.Text, nullable=False),
)


_NEWEST = sa.select(sa.func.max(actions.c.sequence))


class ActionError(ValueError):
    """Report an action that cannot be recorded, in one sentence."""


@dataclass(frozen=True)
class Action:
    """One action; times are ISO 8601 texts in UTC.

    Attributes:
        action_id: UUID of version 7; the idempotency key.
        account_id: The account.
        action_type: One of `ACTION_TYPES`, or `EXPORTED`.
        actor_id: Who did it.
        occurred_at: When it happened, as the person says.
        recorded_at: When the server recorded it.
        channel: One of `CHANNELS`.
        offer_id: The offer, as in ``offers``.
        snoozed_until: Date until which the account is hidden from lists.
        note: Free text.
        corrects_action_id: The action that this one corrects.
        shown_as_of_date: As-of date of the score that the person saw.
        shown_model_version: Model of that score.
        shown_arm: Experiment arm of the account at that time.
        override_reason: Why an account of the control arm was contacted.
        source: ``page``, ``crm`` or ``import``.
    """

    action_id: str
    account_id: str
    action_type: str
    actor_id: str
    occurred_at: str
    recorded_at: str
    channel: str | None = None
    offer_id: str | None = None
    snoozed_until: str | None = None
    note: str | None = None
    corrects_action_id: str | None = None
    shown_as_of_date: str | None = None
    shown_model_version: str | None = None
    shown_arm: str | None = None
    override_reason: str | None = None
    source: str = "page"


_COLUMNS = tuple(field.name for field in fields(Action))


@dataclass(frozen=True)
class Latest:
    """What lists need to know about an account's actions.

    Attributes:
        action_type: Type of the latest action.
        occurred_at: When it happened.
        contacted_at: When somebody last talked to the customer.
        snoozed_until: Date until which the account is hidden; ``None`` if it is not.
    """

    action_type: str
    occurred_at: str
    contacted_at: str | None = None
    snoozed_until: str | None = None


def new_form_id(now_ms: int | None = None) -> str:
    """Return a new UUID of version 7 (RFC 9562): a time, then random bits."""
    return uuid7(
        time.time_ns() // 1_000_000 if now_ms is None else now_ms,
        secrets.randbits(RANDOM_BITS),
    )


def action_id_of(form_id: str, *content: str | None) -> str:
    """Return the id of an action that was sent with a form.

    The same form and content give the same id, so that a double click or a repeated
    request is one action. Other content sent with the same form is another action.

    Args:
        form_id: The id that the form was rendered with.
        content: What identifies the action within the form.

    Raises:
        ActionError: The form's id is no UUID of version 7.
    """
    try:
        form = uuid.UUID(form_id)
    except ValueError:
        form = None
    if form is None or form.version != 7:
        raise ActionError("The form is invalid: reload the page and try again.")
    digest = hashlib.sha256(
        json.dumps([str(form), *content]).encode("utf-8", "surrogatepass")
    ).digest()
    return uuid7(form.int >> 80, int.from_bytes(digest[:10], "big"))


class ActionStore:
    """The store of actions, in SQLite or PostgreSQL.

    Several processes may write. Each process keeps the latest state of the accounts
    with actions in memory, and reads only the rows that were added since.
    """

    def __init__(self, url: sa.URL) -> None:
        self.url = url
        self._is_sqlite = url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(url) if self._is_sqlite else _postgres_engine(url)
        self._latest: dict[str, Latest] = {}
        self._corrected: set[str] = set()
        self._read_through = 0
        self._lock = threading.Lock()
        self._is_ready = False

    def prepare(self) -> None:
        """Create the table if it is missing.

        Raises:
            UserError: The store cannot be used.
        """
        if self._is_ready:
            return
        try:
            if self._is_sqlite:
                path = Path(str(self.url.database))
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o640))
            with self._engine.begin() as connection:
                if self._is_sqlite:
                    # Another process may create the table at the same time.
                    connection.exec_driver_sql("begin immediate")
                else:
                    connection.exec_driver_sql(
                        f"select pg_advisory_xact_lock({_LOCK_KEY})"
                    )
                    connection.exec_driver_sql(f"create schema if not exists {SCHEMA}")
                metadata.create_all(connection)
        except (OSError, sa.exc.SQLAlchemyError) as error:
            reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
            place = self.url.render_as_string(hide_password=True)
            raise UserError(
                f"The store of actions {place} cannot be used ({reason}): check "
                "CHURN_ACTIONS_URL."
            ) from None
        self._is_ready = True

    def record(self, action: Action) -> bool:
        """Store an action durably; return whether it is new.

        Returns:
            Whether the action was stored now. False if its id is stored already.
        """
        return self.record_all([action]) == 1

    def record_all(self, new: Sequence[Action]) -> int:
        """Store actions durably in one transaction; return how many are new."""
        self.prepare()
        with self._engine.connect() as connection:
            if self._is_sqlite:
                connection.exec_driver_sql("begin immediate")
            else:
                # Sequence numbers become visible in their order.
                connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK_KEY})")
            stored: set[str] = set()
            for start in range(0, len(new), 500):
                ids = [action.action_id for action in new[start : start + 500]]
                stored.update(
                    connection.scalars(
                        sa.select(actions.c.action_id).where(
                            actions.c.action_id.in_(ids)
                        )
                    )
                )
            rows = {
                action.action_id: asdict(action)
                for action in new
                if action.action_id not in stored
            }
            if rows:
                connection.execute(actions.insert(), list(rows.values()))
            connection.commit()
        return len(rows)

    def latest(self) -> Mapping[str, Latest]:
        """Return the latest state of each account with actions."""
        with self._lock:
            self._refresh()
            return self._latest

    def _refresh(self) -> None:
        self.prepare()
        columns = [actions.c.sequence, *(actions.c[name] for name in _COLUMNS)]
        with self._engine.connect() as connection:
            newest = connection.execute(_NEWEST).scalar()
            if (newest or 0) <= self._read_through:
                return
            rows = connection.execute(
                sa.select(*columns)
                .where(actions.c.sequence > self._read_through)
                .order_by(actions.c.sequence)
            ).all()
        changed = dict(self._latest)
        for row in rows:
            self._read_through = row.sequence
            if row.corrects_action_id:
                # The state without the corrected action has to be computed.
                rest = self.of_account(row.account_id)
                state = None
                for action in reversed(rest):
                    state = _next(state, action)
                if state is None:
                    changed.pop(row.account_id, None)
                else:
                    changed[row.account_id] = state
                continue
            state = _next(changed.get(row.account_id), row)
            if state is not None:
                changed[row.account_id] = state
        # Readers hold the previous mapping without a lock.
        self._latest = changed

    def of_account(
        self, account_id: str, with_corrected: bool = False
    ) -> list[sa.Row[Any]]:
        """Return an account's actions, newest first.

        Args:
            account_id: The account.
            with_corrected: Whether to include corrections and what they correct.
        """
        self.prepare()
        with self._engine.connect() as connection:
            rows = connection.execute(
                sa.select(actions)
                .where(actions.c.account_id == account_id)
                .order_by(actions.c.occurred_at.desc(), actions.c.sequence.desc())
                .limit(500)
            ).all()
        if with_corrected:
            return list(rows)
        corrected = {row.corrects_action_id for row in rows if row.corrects_action_id}
        return [
            row
            for row in rows
            if row.action_id not in corrected and not row.corrects_action_id
        ]

    def find(self, action_id: str) -> sa.Row[Any] | None:
        """Return one action, or ``None``."""
        self.prepare()
        with self._engine.connect() as connection:
            return connection.execute(
                sa.select(actions).where(actions.c.action_id == action_id)
            ).first()

    def recent(self, limit: int = 100) -> Sequence[sa.Row[Any]]:
        """Return the newest actions of all accounts."""
        self.prepare()
        with self._engine.connect() as connection:
            return connection.execute(
                sa.select(actions)
                .where(actions.c.action_type != EXPORTED)
                .order_by(actions.c.sequence.desc())
                .limit(limit)
            ).all()

    def rows_after(self, sequence: int, limit: int) -> Sequence[sa.Row[Any]]:
        """Return rows in the order in which they were stored."""
        self.prepare()
        with self._engine.connect() as connection:
            return connection.execute(
                sa.select(actions)
                .where(actions.c.sequence > sequence)
                .order_by(actions.c.sequence)
                .limit(limit)
            ).all()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _next(state: Latest | None, row: Any) -> Latest | None:
    """Return an account's state after one more action."""
    if row.action_type in (EXPORTED, "correction"):
        return state
    contacted = state.contacted_at if state else None
    if row.action_type in CONTACT_TYPES:
        contacted = max(contacted or "", row.occurred_at)
    snoozed = state.snoozed_until if state else None
    if row.action_type == "snoozed":
        snoozed = row.snoozed_until
    elif row.action_type == "unsnoozed":
        snoozed = None
    return Latest(row.action_type, row.occurred_at, contacted, snoozed)


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url, connect_args={"timeout": 10, "check_same_thread": False}
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        # Transactions are started explicitly, so that writers wait for each other.
        connection.isolation_level = None
        connection.execute("pragma busy_timeout=10000")
        _use_write_ahead_log(connection)
        connection.execute("pragma synchronous=full")

    return engine


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL mode, which it keeps.

    SQLite does not wait for other connections here, whatever the busy timeout.
    """
    for attempt in range(_WAL_ATTEMPTS):
        try:
            connection.execute("pragma journal_mode=wal")
            return
        except sqlite3.OperationalError:
            if attempt == _WAL_ATTEMPTS - 1:
                raise
            time.sleep(0.05)


def _postgres_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        pool_size=4,
        max_overflow=8,
        connect_args={
            "options": f"-c search_path={SCHEMA} -c statement_timeout=5000",
            "connect_timeout": 5,
        },
    )


def check_action(
    form: Mapping[str, str],
    account_id: str,
    actor_id: str,
    now: datetime,
    shown: Mapping[str, str | None],
) -> Action:
    """Build an action from a form.

    Args:
        form: The fields of the form.
        account_id: The account that the page is about.
        actor_id: Who sent it.
        now: The time, in UTC.
        shown: As-of date, model version and arm of the score that the page shows.

    Raises:
        ActionError: A field is missing or invalid.
    """
    kind = form.get("action_type", "")
    if kind not in ACTION_TYPES:
        raise ActionError("The action is not known: choose one of the buttons.")
    channel = form.get("channel") or None
    if channel is not None and channel not in CHANNELS:
        raise ActionError("The channel is not known: choose one of the list.")
    note = _clean(form.get("note"))
    if kind == "note" and note is None:
        raise ActionError("The note is empty: write one first.")
    if note is not None and len(note) > MAX_NOTE:
        raise ActionError(
            f"The note has {len(note):,} characters, at most {MAX_NOTE:,} are allowed: "
            "shorten it."
        )
    snoozed_until = None
    if kind == "snoozed":
        snoozed_until = _snooze_date(form.get("snoozed_until"), now.date())
    corrects = form.get("corrects_action_id") or None
    if kind == "correction" and corrects is None:
        raise ActionError("A correction has to name an action: use its button.")
    reason = _clean(form.get("override_reason"))
    is_control = shown.get("arm") == "control"
    if is_control and kind in ("contacted", "offer_made") and reason is None:
        raise ActionError(
            "The account is in the comparison group: write why it is contacted anyway."
        )
    occurred = _occurred(form.get("occurred_on"), now)
    return Action(
        action_id=action_id_of(
            form.get("form_id", ""),
            *(account_id, kind, channel, note, snoozed_until, corrects, reason),
        ),
        account_id=account_id,
        action_type=kind,
        actor_id=actor_id,
        occurred_at=occurred,
        recorded_at=now.isoformat(timespec="milliseconds"),
        channel=channel,
        offer_id=_clean(form.get("offer_id")) if kind.startswith("offer_") else None,
        snoozed_until=snoozed_until,
        note=note,
        corrects_action_id=corrects if kind == "correction" else None,
        shown_as_of_date=shown.get("as_of_date"),
        shown_model_version=shown.get("model_version"),
        shown_arm=shown.get("arm"),
        override_reason=reason if is_control else None,
    )


def _clean(text: str | None) -> str | None:
    """Return a text without surrounding space and control characters."""
    if text is None:
        return None
    text = text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    kept = "".join(c for c in text if c in "\n\t" or (ord(c) >= 32 and ord(c) != 127))
    return kept.strip() or None


def _snooze_date(text: str | None, today: date) -> str:
    try:
        day = (
            today + timedelta(days=int(text))
            if text and text.isdecimal()
            else date.fromisoformat(text or "")
        )
    except (ValueError, OverflowError):
        raise ActionError("The date is not valid: choose a day after today.") from None
    if not today < day <= today + timedelta(days=366):
        raise ActionError("Choose a day after today, at most one year away.")
    return day.isoformat()


def _occurred(text: str | None, now: datetime) -> str:
    if text:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise ActionError("The date is not valid: use YYYY-MM-DD.") from None
        if day > now.date() or day < now.date() - timedelta(days=366):
            raise ActionError("Choose a day of the last year, up to today.")
        if day != now.date():
            noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            return noon.isoformat(timespec="milliseconds")
    return now.isoformat(timespec="milliseconds")


def import_actions(store: ActionStore, folder: Path) -> int:
    """Store the actions of a landing zone's files; return how many are new."""
    found = []
    for path in sorted(folder.glob("actions/dt=*/part-*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found += [Action(**json.loads(line)) for line in lines]
    return store.record_all(found)


def export_page_actions(project: Project | None, folder: Path) -> list[Path]:
    """Write new actions of a project's page to a landing zone; return the files.

    Raises:
        UserError: The store cannot be used, or the folder has those of another one.
    """
    url = actions_url(serving_url(project))
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        # Nobody has used the page yet.
        return []
    store = ActionStore(url)
    try:
        return export_actions(store, folder)
    finally:
        store.close()
