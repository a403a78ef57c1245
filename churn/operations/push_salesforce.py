"""Write changed scores to fields of Salesforce: ``churn push salesforce``.

What was written is remembered in an SQLite file of the state folder, so that each push
sends only rows that differ. No record is ever created in Salesforce.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.config import Project, UserError
from churn.ingest.salesforce import check_calls, explained_errors
from churn.operations.marts import Marts, open_marts
from churn.operations.runs import state_folder

if TYPE_CHECKING:
    from simple_salesforce.api import Salesforce

    from churn.ingest.load import Progress

# The field of each column, unless `--map` names another.
FIELDS = {
    "churn_probability": "Churn_Probability__c",
    "risk_band": "Churn_Risk_Band__c",
    "reason_1": "Churn_Reason_1__c",
    "reason_2": "Churn_Reason_2__c",
    "reason_3": "Churn_Reason_3__c",
    "recommended_offer": "Churn_Offer__c",
    "as_of_date": "Churn_As_Of_Date__c",
}
# Rows that one job sends.
JOB_ROWS = 10_000
# Seconds between two questions whether a job is done.
JOB_WAIT_SECONDS = 5
# Up to this number of accounts are looked up by name, more by reading all identifiers.
LOOKUP_ROWS = 2_000
_LOOKUP_CHUNK = 200
# Length of a text field.
_TEXT_LENGTH = 255
# What the Bulk API takes for an empty field.
_NULL = "#N/A"
_ID_LENGTH = 15


@dataclass
class Pushed:
    """What a push did, or would do.

    Attributes:
        as_of_date: The date of the scores.
        changed: Rows that differ from what Salesforce has.
        cleared: Of these, accounts whose fields are emptied.
        unmapped: Accounts that no record of Salesforce has.
        postponed: Rows that wait, because the daily limit is reached.
        written: Rows that Salesforce took.
        failures: Account and reason of each row that it refused.
        examples: Some of the changed rows, with Salesforce's names of fields.
    """

    as_of_date: date
    changed: int = 0
    cleared: int = 0
    unmapped: int = 0
    postponed: int = 0
    written: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    examples: list[dict[str, str]] = field(default_factory=list)


class PushState:
    """What Salesforce has, by account."""

    def __init__(self, path: Path, target: str) -> None:
        """Open or create the file.

        Args:
            path: The SQLite file.
            target: Organisation, object and fields. A change of them pushes all rows.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(
            """
            create table if not exists pushed (
                target text, account_id text, digest text, pushed_at text,
                primary key (target, account_id)) without rowid;
            create table if not exists failures (
                target text, account_id text, reason text, failed_at text,
                primary key (target, account_id)) without rowid;
            create table if not exists sent (
                target text, day text, rows integer, primary key (target, day));
            """
        )
        self._target = target

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def digests(self) -> dict[str, str]:
        """Return the digest of the values that Salesforce has, by account."""
        return dict(
            self._connection.execute(
                "select account_id, digest from pushed where target = ?", [self._target]
            )
        )

    def sent_today(self) -> int:
        """Return the number of rows that were sent on this UTC day."""
        row = self._connection.execute(
            "select rows from sent where target = ? and day = ?",
            [self._target, _today()],
        ).fetchone()
        return row[0] if row else 0

    def count_sent(self, rows: int) -> None:
        """Add rows to this day's number, before they are sent."""
        self._connection.execute(
            """insert into sent values (?, ?, ?)
            on conflict do update set rows = rows + excluded.rows""",
            [self._target, _today(), rows],
        )

    def record(
        self, written: Mapping[str, str | None], failures: Mapping[str, str]
    ) -> None:
        """Store the results of a job in one transaction.

        Args:
            written: Digest by account; ``None`` if its fields were emptied.
            failures: Reason by account.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._connection:
            self._connection.execute("begin")
            self._connection.executemany(
                "delete from failures where target = ? and account_id = ?",
                [(self._target, each) for each in written],
            )
            self._connection.executemany(
                "insert or replace into failures values (?, ?, ?, ?)",
                [(self._target, *each, now) for each in failures.items()],
            )
            self._connection.executemany(
                "delete from pushed where target = ? and account_id = ?",
                [(self._target, each) for each, new in written.items() if new is None],
            )
            self._connection.executemany(
                "insert or replace into pushed values (?, ?, ?, ?)",
                [
                    (self._target, each, new, now)
                    for each, new in written.items()
                    if new is not None
                ],
            )


def push_salesforce(
    project: Project,
    client: Salesforce,
    external_id: str,
    *,
    fields: Mapping[str, str] | None = None,
    sobject: str = "Account",
    daily_limit: int = 100_000,
    is_dry_run: bool = False,
    allow_stale: bool = False,
    progress: Progress | None = None,
    open_tables: Callable[[Project], Marts] = open_marts,
) -> Pushed:
    """Write the scores that changed to Salesforce, the riskiest accounts first.

    A row has changed if band, reasons, offer or the probability in percent differ. The
    fields of accounts that are not scored any more, or that became part of a comparison
    group, are emptied. Accounts of a comparison group are not written.

    Args:
        project: The dbt project with its target.
        client: A client, as `churn.ingest.salesforce.connect` returns it.
        external_id: The field that holds our ``account_id``; ``Id`` for Salesforce's
            own.
        fields: The field of each column.
        sobject: The object.
        daily_limit: Rows to send on a UTC day at most.
        is_dry_run: Whether to send nothing.
        allow_stale: Whether to write stale scores.
        progress: Called with a name, the number of sent rows and the total.
        open_tables: Opens the tables.

    Raises:
        UserError: There are no scores, they are stale, a field is missing, or
            Salesforce refuses. What was written is remembered.
    """
    fields = {**FIELDS, **(fields or {})}
    with explained_errors():
        types = _field_types(client, sobject, external_id, fields)
    target = json.dumps(
        [client.sf_instance, sobject, external_id, sorted(fields.items())]
    )
    path = state_folder(project) / "push_salesforce.db"
    with closing(PushState(path, target)) as state:
        marts = open_tables(project)
        try:
            result, rows = _changes(marts, state, fields, types, allow_stale)
        finally:
            marts.close()
        with explained_errors():
            known = _known_accounts(client, sobject, external_id, list(rows))
            mapped = {
                each: rows[each] for each in rows if _key(each, external_id) in known
            }
            result.unmapped = len(rows) - len(mapped)
            result.changed = len(mapped)
            result.cleared = sum(1 for _, digest in mapped.values() if digest is None)
            allowed = max(0, daily_limit - state.sent_today())
            result.postponed = max(0, len(mapped) - allowed)
            sent = dict(list(mapped.items())[:allowed])
            result.examples = [values for values, _ in list(sent.values())[:3]]
            if is_dry_run:
                return result
            done = 0
            for job in _chunks(sent.items(), JOB_ROWS):
                accounts = {
                    known[_key(account, external_id)]: account for account, _ in job
                }
                check_calls(client, 20)
                state.count_sent(len(job))
                _send(client, sobject, external_id, accounts, dict(job), state, result)
                done += len(job)
                if progress:
                    progress("rows", done, len(sent))
    return result


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _key(account_id: str, external_id: str) -> str:
    """Return an identifier for comparisons; Salesforce's have 15 or 18 characters."""
    return account_id[:_ID_LENGTH] if external_id.lower() == "id" else account_id


def _field_types(
    client: Salesforce, sobject: str, external_id: str, fields: Mapping[str, str]
) -> dict[str, str]:
    """Return the types of the fields; raise if one is missing or read-only."""
    described = {
        each["name"].lower(): each
        for each in getattr(client, sobject).describe()["fields"]
    }
    key = described.get(external_id.lower())
    if key is None or not (key.get("externalId") or key.get("idLookup")):
        raise UserError(
            f"{sobject} has no external id {external_id}: name a field that is marked "
            "as external id and holds account_id."
        )
    missing = [
        name
        for name in fields.values()
        if not described.get(name.lower(), {}).get("updateable")
    ]
    if missing:
        raise UserError(
            f"{sobject} has no field {', '.join(missing)} that the user may edit: "
            "create it, or name another with --map COLUMN=FIELD."
        )
    return {column: described[name.lower()]["type"] for column, name in fields.items()}


def _changes(
    marts: Marts,
    state: PushState,
    fields: Mapping[str, str],
    types: Mapping[str, str],
    allow_stale: bool,
) -> tuple[Pushed, dict[str, tuple[dict[str, str], str | None]]]:
    """Return values and digest of each account that differs, the riskiest first."""
    if not marts.has("churn_scores", "account_id", "as_of_date"):
        raise UserError("There is no table churn_scores yet: run `dbt build` first.")
    arm = "arm" if marts.has("churn_scores", "arm") else "cast(null as varchar)"
    columns = ", ".join(("account_id", "is_stale", f"{arm} as arm", *fields))
    before = state.digests()
    rows: dict[str, tuple[dict[str, str], str | None]] = {}
    kept = set()
    as_of_date = None
    for batch in marts.read(
        f"select {columns} from {marts.name('churn_scores')}", order="risk_rank"
    ):
        for row in batch.to_pylist():
            as_of_date = row["as_of_date"] if as_of_date is None else as_of_date
            if row["is_stale"] and not allow_stale:
                raise UserError(
                    "The scores are stale, so nothing was written to Salesforce: see "
                    "`churn status`, or add --allow-stale."
                )
            if row["arm"] == "control":
                continue
            account = row["account_id"]
            kept.add(account)
            values = {
                name: _value(row[column], types[column])
                for column, name in fields.items()
            }
            compared = {**values, fields["as_of_date"]: ""}
            digest = hashlib.sha256(json.dumps(compared).encode()).hexdigest()
            if before.get(account) != digest:
                rows[account] = (values, digest)
    if as_of_date is None:
        raise UserError(
            "churn_scores is empty, so nothing was written to Salesforce: run `churn "
            "summary`."
        )
    empty = dict.fromkeys(fields.values(), _NULL)
    rows |= {account: (empty, None) for account in before if account not in kept}
    return Pushed(as_of_date), rows


def _value(value: Any, field_type: str) -> str:
    """Return a cell of the Bulk API; a probability has whole percent."""
    if value is None:
        return _NULL
    if isinstance(value, float):
        is_percent = field_type == "percent"
        return f"{100 * value:.0f}" if is_percent else f"{value:.2f}"
    text = " ".join(str(value).replace("\0", "").split())
    if len(text) > _TEXT_LENGTH:
        text = text[: _TEXT_LENGTH - 1] + "…"
    return text or _NULL


def _known_accounts(
    client: Salesforce, sobject: str, external_id: str, accounts: list[str]
) -> dict[str, str]:
    """Return Salesforce's identifier of each account that has a record."""
    from simple_salesforce.format import format_soql

    query = f"select {external_id} from {sobject} where {external_id} "
    found: Iterable[Any]
    if len(accounts) <= LOOKUP_ROWS:
        found = chain.from_iterable(
            client.query_all_iter(query + format_soql("in {}", chunk))
            for chunk in _chunks(accounts, _LOOKUP_CHUNK)
        )
    else:
        check_calls(client, 30)
        found = _all_identifiers(client, sobject, query + "!= null")
    return {
        _key(str(row[external_id]), external_id): str(row[external_id]) for row in found
    }


def _all_identifiers(
    client: Salesforce, sobject: str, query: str
) -> Iterator[dict[str, str]]:
    job = getattr(client.bulk2, sobject)
    for page in job.query(query, wait=JOB_WAIT_SECONDS):
        yield from _csv(page)


def _send(
    client: Salesforce,
    sobject: str,
    external_id: str,
    accounts: Mapping[str, str],
    rows: Mapping[str, tuple[dict[str, str], str | None]],
    state: PushState,
    result: Pushed,
) -> None:
    """Send one job and store what became of each row.

    Args:
        client: The client.
        sobject: The object.
        external_id: The field that identifies a record.
        accounts: Our account by Salesforce's identifier.
        rows: Values and digest by account.
        state: What was written.
        result: Receives the counts.
    """
    handler = getattr(client.bulk2, sobject)
    jobs = handler.upsert(
        records=[
            {external_id: key, **rows[account][0]} for key, account in accounts.items()
        ],
        external_id_field=external_id,
        wait=JOB_WAIT_SECONDS,
    )
    for job in jobs:
        identifier = job["job_id"]
        written = {
            accounts[row[external_id]]: rows[accounts[row[external_id]]][1]
            for row in _csv(handler.get_successful_records(identifier))
        }
        failures = {
            accounts[row[external_id]]: row["sf__Error"]
            for row in _csv(handler.get_failed_records(identifier))
        }
        for row in _csv(handler.get_unprocessed_records(identifier)):
            failures[accounts[row[external_id]]] = "not processed"
        state.record(written, failures)
        result.written += len(written)
        result.failures += failures.items()


def _chunks(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _csv(text: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(text))
