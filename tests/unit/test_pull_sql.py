"""Tables of a database become complete dated files, or nothing."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from churn.cli.main import churn
from churn.config import UserError
from churn.ingest import pull_sql as module
from churn.ingest.pull_sql import Pulled, PullError, pull_sql

DAY = date(2025, 3, 1)
HOSTILE = "it's; drop table invoices --\n\N{SNOWMAN}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> sa.Engine:
    """A billing database with two tables."""
    if request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'billing.db'}")
    else:
        engine = sa.create_engine(request.getfixturevalue("postgres"))
    metadata = sa.MetaData()
    invoices = sa.Table(
        "invoices",
        metadata,
        sa.Column("invoice_id", sa.String(100), primary_key=True),
        sa.Column("amount", sa.Numeric(12, 2)),
        sa.Column("is_paid", sa.Boolean),
        sa.Column("paid_at", sa.DateTime),
    )
    sa.Table("empty", metadata, sa.Column("id", sa.Integer, primary_key=True))
    metadata.drop_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            invoices.insert(),
            [
                {
                    "invoice_id": f"I{number:05d}" if number else HOSTILE,
                    "amount": Decimal("10.50") if number else None,
                    "is_paid": bool(number % 2),
                    "paid_at": datetime(2025, 1, 2, 3, 4, 5) if number else None,
                }
                for number in range(2_500)
            ],
        )
    return engine


def url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def test_a_table_becomes_one_file_of_text(
    database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 1_000)
    folder = tmp_path / "landing"
    pulled = pull_sql(url(database), ["invoices", "empty"], folder, DAY)

    path = folder / "invoices" / "dt=2025-03-01" / "invoices.parquet"
    assert pulled[0] == Pulled("invoices", path, 2_500, is_new=True)
    assert pulled[1].rows == 0
    rows = {row["invoice_id"]: row for row in pq.read_table(path).to_pylist()}
    assert len(rows) == 2_500
    assert rows[HOSTILE]["amount"] is None
    assert rows["I00001"]["paid_at"].startswith("2025-01-02 03:04:05")
    assert Decimal(rows["I00001"]["amount"]) == Decimal("10.5")
    assert {str(field.type) for field in pq.read_schema(path)} == {"string"}


def test_a_delivered_batch_never_changes(database: sa.Engine, tmp_path: Path) -> None:
    (first,) = pull_sql(url(database), ["invoices"], tmp_path, DAY)
    content = first.path.read_bytes()
    with database.begin() as connection:
        connection.execute(sa.text("delete from invoices"))
    (again,) = pull_sql(url(database), ["invoices"], tmp_path, DAY)
    assert (again.rows, again.is_new) == (2_500, False)
    assert first.path.read_bytes() == content


def test_a_table_that_ends_early_is_not_delivered(
    database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = module._batches
    monkeypatch.setattr(
        module, "_batches", lambda *given: [b.slice(1) for b in complete(*given)]
    )
    with pytest.raises(PullError, match="2500 rows, but 2499 were read"):
        pull_sql(url(database), ["invoices"], tmp_path / "out", DAY)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["", ".", "a.", "..", "x/../../y", "a\n"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(PullError):
        pull_sql("sqlite://", [name], tmp_path / "out", DAY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sqlite:////nowhere/x.db", "unable to open"),
        ("my secret", "no database URL"),
        ("postgresql+psycopg://a:secret@host:port/x", "no database URL"),
        ("postgresql+psycopg://a:secret@127.0.0.1:1/x", "refused"),
    ],
)
def test_errors_are_one_sentence_without_the_password(
    address: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as raised:
        pull_sql(address, ["invoices"], tmp_path / "out", DAY)
    message = str(raised.value)
    assert words in message
    assert "\n" not in message
    assert "secret" not in message


def test_the_command_needs_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHURN_PULL_URL", raising=False)
    result = CliRunner().invoke(churn, ["pull", "sql", "t", "--out", str(tmp_path)])
    assert result.exit_code
    assert "CHURN_PULL_URL is not set" in str(result.exception)
