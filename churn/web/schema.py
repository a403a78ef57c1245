"""Tables of the serving snapshot, the same in SQLite and PostgreSQL.

A snapshot is written once and never changed. One row per account carries all that a
list shows. What only the page of one account shows is packed: one text per account and
section, with a line per row and tabs between fields.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

# Increased with every change of the tables; a page reads its own version only.
SCHEMA_VERSION = 1

# Names of the schemas in PostgreSQL.
SERVING_SCHEMA = "churn_serving"
NEW_SCHEMA = "churn_serving_new"
PREVIOUS_SCHEMA = "churn_serving_previous"

# Key of the advisory lock in PostgreSQL: readers share it, the swap holds it alone.
LOCK_KEY = 0x636875726E

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("risk_rank", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("company_name", sa.Text),
    sa.Column("owner_id", sa.Text),
    sa.Column("owner_name", sa.Text),
    sa.Column("churn_probability", sa.Float, nullable=False),
    sa.Column("probability_change_7d", sa.Float),
    sa.Column("risk_band", sa.Text, nullable=False),
    sa.Column("reason_1", sa.Text),
    sa.Column("reason_2", sa.Text),
    sa.Column("reason_3", sa.Text),
    sa.Column("offer_id", sa.Text),
    sa.Column("recommended_offer", sa.Text),
    sa.Column("offer_because", sa.Text),
    sa.Column("monthly_recurring_revenue", sa.Float),
    sa.Column("revenue_at_risk", sa.Float),
    sa.Column("currency", sa.Text),
    sa.Column("arm", sa.Text),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("plan", sa.Text),
    sa.Column("industry", sa.Text),
    sa.Column("seats", sa.Integer),
    sa.Column("account_age_days", sa.Integer),
    # Ranks of the other sort orders: unique, from 1, so that pages need no offset.
    sa.Column("revenue_rank", sa.Integer, nullable=False),
    sa.Column("change_rank", sa.Integer, nullable=False),
)

# Created after the rows, in this order.
INDEXES = (
    sa.Index("accounts_by_id", accounts.c.account_id, unique=True),
    sa.Index("accounts_by_revenue", accounts.c.revenue_rank, unique=True),
    sa.Index("accounts_by_change", accounts.c.change_rank, unique=True),
    sa.Index("accounts_by_band", accounts.c.risk_band, accounts.c.revenue_rank),
    sa.Index("accounts_by_owner", accounts.c.owner_id, accounts.c.revenue_rank),
    sa.Index("accounts_by_owner_risk", accounts.c.owner_id, accounts.c.risk_rank),
)

# Every word of every name, without accents, for search by the start of a word.
words = sa.Table(
    "words",
    metadata,
    sa.Column("word", sa.Text, primary_key=True),
    sa.Column("risk_rank", sa.Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# Counts and sums of all combinations of filters, so that a list need not count.
facets = sa.Table(
    "facets",
    metadata,
    sa.Column("owner_id", sa.Text),
    sa.Column("owner_name", sa.Text),
    sa.Column("risk_band", sa.Text, nullable=False),
    sa.Column("offer_id", sa.Text),
    sa.Column("is_rising", sa.Integer, nullable=False),
    sa.Column("is_control", sa.Integer, nullable=False),
    sa.Column("currency", sa.Text),
    sa.Column("accounts", sa.Integer, nullable=False),
    sa.Column("revenue_at_risk", sa.Float, nullable=False),
)
FACET_INDEX = sa.Index("facets_by_owner", facets.c.owner_id)

# Packed rows of one section of one account's page: history, sessions, calls, ...
sections = sa.Table(
    "sections",
    metadata,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("section", sa.Text, primary_key=True),
    sa.Column("lines", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

# How the model computed a score, as compressed JSON of churn.ml.decision_paths.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("as_of_date", sa.Text, primary_key=True),
    sa.Column("model_version", sa.Text, primary_key=True),
    # Whether this score was given on that day, or is today's model replayed.
    sa.Column("is_replayed", sa.Integer, nullable=False),
    sa.Column("churn_probability", sa.Float, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Small tables and pages as JSON or HTML: outcomes, models, features, model card.
documents = sa.Table(
    "documents",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

# Letters that have no decomposition into a letter and an accent.
_LETTERS = {
    **{"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"},
    "ı": "i",
}


def name_key(name: str | None) -> str:
    """Return a name in lower case without accents and signs, words separated by spaces.

    ``O'Neill & Søn GmbH`` becomes ``o neill son gmbh``.
    """
    return name_keys([name])[0]


def name_keys(names: Iterable[str | None]) -> list[str]:
    """Return `name_key` of many names, which takes a tenth of the time of single calls.

    No step depends on characters across a line end, so the names are one text with a
    name per line.
    """
    lines = [name.replace("\n", " ") if name else "" for name in names]
    if not lines:
        return []
    text = "\n".join(lines)
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
    text = text.casefold()
    # Names share few characters, so that replacing each of them is fast.
    for character in set(text):
        if (character.isascii() and character.isalnum()) or character == "\n":
            continue
        if unicodedata.combining(character):
            text = text.replace(character, "")
        elif not character.isalnum():
            text = text.replace(character, " ")
        elif character in _LETTERS:
            text = text.replace(character, _LETTERS[character])
    return [" ".join(key.split()) for key in text.split("\n")]


def read_meta(connection: sa.Connection) -> dict[str, Any]:
    """Return the values of a snapshot's ``meta``."""
    rows = connection.execute(sa.select(meta.c.key, meta.c.value))
    return {str(key): json.loads(str(value)) for key, value in rows}
