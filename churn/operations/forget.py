"""Find a person or an account in every table, and erase it by the declared rule.

The rule is `churn.operations.pii.RULES`. All tables of a DuckDB file change in one
transaction, so a killed run changes all or none; on Spark and Athena each table changes
in one commit. Files and the stores of the page come before the tables: they need the
identifiers that only the tables link to the person.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from churn.config import Project, UserError
from churn.files import replacing
from churn.operations.forget_files import FileState, erase_files
from churn.operations.forget_tables import open_tables, salesforce_forms
from churn.operations.pii import Classification, Eraser
from churn.operations.runs import run_lock, state_folder
from churn.uuid7 import RANDOM_BITS, uuid7


@dataclass(frozen=True)
class Subject:
    """Whom to forget.

    Attributes:
        kind: ``user`` or ``account``.
        identifier: The user id or the account id.
        texts: Other texts to remove, such as a name or an address.
    """

    kind: str
    identifier: str
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.identifier.strip():
            raise UserError("The identifier is empty: name a user or an account.")
        short = [text for text in self.texts if len(text.strip()) < 3]
        if short:
            raise UserError(
                "A text to remove has fewer than 3 characters and would occur by "
                "chance: give a longer one."
            )


@dataclass
class Receipt:
    """What was erased, without personal data.

    Attributes:
        receipt_id: UUID of version 7.
        kind: ``user`` or ``account``.
        is_continued: Whether an interrupted run erased a part, which is not counted.
        completed_at: When it was complete, ISO 8601 in UTC.
        identifiers: How many identifiers of the person were found, by kind.
        rows: Erased rows by relation.
        stores: Erased rows of the page's stores.
        files: Rewritten files.
        remaining: Files that hold the person and were not rewritten.
    """

    receipt_id: str
    kind: str
    is_continued: bool = False
    completed_at: str = ""
    identifiers: dict[str, int] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    stores: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)

    @property
    def has_found(self) -> bool:
        """Return whether anything held the person."""
        return bool(+self.rows or +self.stores or self.files or self.remaining)

    def counts(self) -> dict[str, Any]:
        """Return the receipt with the number of files, whose names may be personal."""
        return {
            **self.__dict__,
            "files": len(self.files),
            "remaining": len(self.remaining),
        }


# ---- Pseudonyms ----------------------------------------------------------------


class Pending:
    """The salts of requests that have not ended.

    A request that is run again after a kill gets the same pseudonyms. When it is
    complete, its salt is deleted, so nobody can compute a pseudonym from an identifier.

    Args:
        folder: The state folder of the project.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "forget_pending.json"

    def _entries(self) -> list[dict[str, str]]:
        try:
            return list(json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []

    def _write(self, entries: Sequence[Mapping[str, str]]) -> None:
        with replacing(self.path) as file:
            file.write(json.dumps(entries).encode())

    def begin(self, subject: Subject) -> tuple[bytes, bool]:
        """Return the salt of a request, and whether an earlier run began it."""
        entries = self._entries()
        for entry in entries:
            salt = bytes.fromhex(entry["salt"])
            if hmac.compare_digest(_digest(salt, subject), entry["digest"]):
                return salt, True
        salt = secrets.token_bytes(32)
        entry = {"salt": salt.hex(), "digest": _digest(salt, subject)}
        self._write([*entries, entry])
        return salt, False

    def end(self, subject: Subject) -> None:
        """Delete the salt of a request."""
        remaining = [
            entry
            for entry in self._entries()
            if _digest(bytes.fromhex(entry["salt"]), subject) != entry["digest"]
        ]
        if remaining:
            self._write(remaining)
        else:
            self.path.unlink(missing_ok=True)


def _digest(salt: bytes, subject: Subject) -> str:
    message = json.dumps(["request", subject.kind, subject.identifier.strip()])
    return hmac.new(salt, message.encode(), hashlib.sha256).hexdigest()


def _pseudonym(salt: bytes, identifier: str, is_number: bool) -> str:
    digest = hmac.new(salt, identifier.encode(), hashlib.sha256).hexdigest()
    if is_number:
        # Below zero, where no identifier is, and within the type integer.
        return str(-(10**9) - int(digest[:12], 16) % 10**9)
    return f"erased-{digest[:16]}"


# ---- The request ------------------------------------------------------------------


@contextlib.contextmanager
def request(project: Project, subject: Subject) -> Iterator[Request]:
    """Begin a request; when the block ends, write its receipt and delete its salt.

    Raises:
        UserError: The target is on another engine, or another run forgets somebody.
    """
    if project.adapter not in ("duckdb", "spark", "athena"):
        raise UserError(
            f"The target `{project.target}` is on {project.adapter}, which `churn "
            "forget` cannot change: name a target on DuckDB, Spark or Athena."
        )
    if project.variables.get("raw_database"):
        raise UserError(
            "The raw tables are in the database that `raw_database` names, which "
            "`churn forget` does not change: erase the person there, unset the "
            "variable for this run, and run again."
        )
    folder = state_folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder, "forget"):
        pending = Pending(folder)
        salt, is_continued = pending.begin(subject)
        current = Request(project, subject, salt, is_continued)
        yield current
        receipt = current.receipt
        receipt.completed_at = datetime.now(UTC).isoformat(timespec="seconds")
        with (folder / "forgotten.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(receipt.counts()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        pending.end(subject)


class Request:
    """One request to forget a person or an account.

    Attributes:
        receipt: What was erased so far.
        eraser: What replaces the person; set by `find`.
    """

    def __init__(
        self, project: Project, subject: Subject, salt: bytes, is_continued: bool
    ) -> None:
        self.project = project
        self.subject = subject
        self.classes = Classification.load(project)
        self.receipt = Receipt(
            uuid7(time.time_ns() // 1_000_000, secrets.randbits(RANDOM_BITS)),
            subject.kind,
            is_continued,
        )
        self.is_continued = is_continued
        self._files: list[FileState] = []
        self._salt = salt
        self.eraser: Eraser

    def find(self) -> None:
        """Find all identifiers of the subject in the tables."""
        with open_tables(self.project, self.classes, read_only=True) as tables:
            found = tables.identifiers(self.subject.kind, self.subject.identifier)
            is_number = tables.has_numbers()
            pseudonyms: dict[str, str] = {}
            for values in found.values():
                for value in values:
                    # Both forms of an identifier have one pseudonym.
                    base = salesforce_forms(value)[0]
                    number = is_number and value.lstrip("-").isdigit()
                    pseudonyms[value] = _pseudonym(self._salt, base, number)
            keys = tables.keys(pseudonyms)
        self.receipt.identifiers = {
            kind: len({pseudonyms[value] for value in values})
            for kind, values in found.items()
        }
        self.eraser = Eraser(pseudonyms, self.classes, keys, self.subject.texts)

    @property
    def short_identifiers(self) -> bool:
        """Return whether an identifier was too short to search texts for it."""
        return any(len(each) < Eraser.MIN_SEARCHED for each in self.eraser.pseudonyms)

    @property
    def has_changed(self) -> bool:
        """Return whether tables changed, perhaps in a run that was interrupted."""
        return bool(self.receipt.rows) or self.is_continued

    def erase_files(self, folders: Sequence[Path]) -> None:
        """Rewrite the files of landing zones and find other files."""
        rewritten, remaining, self._files = erase_files(
            self.project, self.eraser, folders
        )
        self.receipt.files, self.receipt.remaining = rewritten, remaining

    def erase_tables(self) -> None:
        """Erase the person in all tables, and in what their files still hold.

        Raises:
            UserError: A table still holds the person.
        """
        with open_tables(self.project, self.classes, read_only=False) as tables:
            self.receipt.rows = tables.erase(
                self.eraser, self._files, self.is_continued
            )
            self.receipt.remaining += tables.remaining(self.eraser)
