"""A published snapshot is complete, and only a complete one is ever visible."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from churn.config import UserError
from churn.operations.marts import sorted_batches
from churn.web import schema, snapshot
from churn.web.publish import pack, publish, remove_leftovers
from churn.web.settings import actions_url, serving_url
from churn.web.snapshot import Filters, SnapshotError, open_snapshots
from tests.support.paths import ROOT
from tests.support.serving import AS_OF, HOSTILE, project_of, sqlite_url, write_marts


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> sa.URL:
    """Provide an empty serving store of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "serving.db")
    url = request.getfixturevalue("postgres")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for name in (schema.SERVING_SCHEMA, schema.PREVIOUS_SCHEMA):
            connection.exec_driver_sql(f"drop schema if exists {name} cascade")
    return url


def test_a_snapshot_has_every_account_in_every_order(
    tmp_path: Path, store: sa.URL
) -> None:
    project = project_of(write_marts(tmp_path / "marts.duckdb"))
    published = publish(project, store)
    assert published.accounts == 120
    with open_snapshots(store).open() as reader:
        assert reader.meta["as_of_date"] == AS_OF.isoformat()
        listed = {}
        for sort in ("probability", "revenue", "change"):
            rows = reader.accounts(Filters(sort=sort), limit=200)
            listed[sort] = rows
            # Every tenth account is in the comparison group and not listed.
            assert len({row.account_id for row in rows}) == 108
        probabilities = [row.churn_probability for row in listed["probability"]]
        assert probabilities == sorted(probabilities, reverse=True)
        money = [row.revenue_at_risk for row in listed["revenue"]]
        assert money == sorted(money, reverse=True)
        changes = [
            -2 if row.probability_change_7d is None else row.probability_change_7d
            for row in listed["change"]
        ]
        assert changes == sorted(changes, reverse=True)


@pytest.mark.parametrize("sort", ["probability", "revenue", "change"])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"band": "high"},
        {"owner_id": "owner1"},
        {"band": "medium", "owner_id": "owner2", "offer_id": "default"},
        {"is_rising": True},
    ],
)
def test_pages_forwards_and_backwards_are_the_whole_list(
    tmp_path_factory: pytest.TempPathFactory, sort: str, filters: dict
) -> None:
    folder = tmp_path_factory.getbasetemp() / "pages"
    url = sqlite_url(folder / "serving.db")
    if not folder.exists():
        folder.mkdir()
        publish(project_of(write_marts(folder / "marts.duckdb", 157)), url)
    with open_snapshots(url).open() as reader:
        chosen = Filters(sort=sort, **filters)
        whole = [row.account_id for row in reader.accounts(chosen, limit=1_000)]
        assert whole
        assert reader.totals(chosen)["accounts"] == len(whole)
        forwards: list[str] = []
        after = 0
        while rows := reader.accounts(chosen, after=after, limit=7):
            forwards += [row.account_id for row in rows]
            after = getattr(rows[-1], chosen.rank)
        backwards: list[str] = []
        before = 1_000_000
        while rows := reader.accounts(chosen, before=before, limit=7):
            backwards = [row.account_id for row in rows] + backwards
            before = getattr(rows[0], chosen.rank)
        assert forwards == backwards == whole


@pytest.mark.slow
def test_an_empty_older_or_smaller_snapshot_is_refused(
    tmp_path: Path, store: sa.URL
) -> None:
    marts = tmp_path / "marts.duckdb"
    publish(project_of(write_marts(marts)), store)

    def current() -> str:
        with open_snapshots(store).open() as reader:
            return str(reader.meta["snapshot_id"])

    first = current()
    with pytest.raises(UserError, match=r"churn_scores is empty.*current snapshot"):
        publish(project_of(write_marts(marts, accounts=0)), store)
    older = project_of(write_marts(marts, as_of=AS_OF - timedelta(days=1)))
    with pytest.raises(UserError, match="--allow-older"):
        publish(older, store)
    assert current() == first
    publish(older, store, allow_older=True)
    fewer = project_of(write_marts(marts, accounts=59))
    with pytest.raises(UserError, match="--allow-fewer"):
        publish(fewer, store)
    publish(fewer, store, allow_fewer=True)
    assert current() != first


def test_a_database_without_scores_is_one_sentence(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "empty.duckdb"
    duckdb.connect(str(path)).close()
    with pytest.raises(UserError, match=r"no table churn_scores.*dbt build"):
        publish(project_of(path), sqlite_url(tmp_path / "serving.db"))
    assert not (tmp_path / "serving.db").exists()


def test_marts_without_optional_columns_are_published(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "serving.db")
    marts = write_marts(tmp_path / "marts.duckdb", with_optional=False)
    publish(project_of(marts), url)
    with open_snapshots(url).open() as reader:
        rows = reader.accounts(Filters(), limit=200)
        assert len(rows) == 120
        assert rows[0].owner_id is None
        assert reader.sections(rows[0].account_id) == {}


def test_hostile_names_are_stored_unchanged(tmp_path: Path, store: sa.URL) -> None:
    marts = write_marts(tmp_path / "marts.duckdb", names=HOSTILE, ids=HOSTILE)
    publish(project_of(marts), store)
    is_postgres = store.get_backend_name() == "postgresql"
    with open_snapshots(store).open() as reader:
        for name in HOSTILE:
            # PostgreSQL cannot store a null character.
            expected = name.replace("\x00", "") if is_postgres else name
            row = reader.account(expected)
            assert row is not None
            assert row.company_name == expected
            for lines in reader.sections(expected).values():
                assert all(len(fields) > 1 for fields in lines)


def test_search_finds_the_start_of_any_word(tmp_path: Path, store: sa.URL) -> None:
    names = ["Bergmann Hotels AB", "Öztürk Hotel-Gruppe", "Łódź Søn", "Hotel O'Neill"]
    marts = write_marts(tmp_path / "marts.duckdb", names=names)
    publish(project_of(marts), store)
    with open_snapshots(store).open() as reader:

        def found(text: str) -> set[str]:
            return {row.company_name for row in reader.search(text)[0]}

        assert found("hot") == {names[0], names[1], names[3]}
        assert found("HOTEL oz") == {names[1]}
        assert found("lodz son") == {names[2]}
        assert found("neill") == {names[3]}
        assert found("ergmann") == set()
        assert found("acc-000003") == {names[2]}
        assert found("' or 1=1 --") == set()
        assert found("%") == found("_") == found("") == set()


def test_search_compares_all_accounts_however_common_the_words_are(
    tmp_path: Path, store: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many accounts begin with each word, so that the words are compared in SQL."""
    names = [
        f"{first} {second}{number % 7} {third}"
        for number, (first, second, third) in enumerate(
            itertools.product(("Alpen", "Amber", "Baltic"), ("Hotel", "Ho", "Al"), "ab")
        )
    ]
    marts = write_marts(tmp_path / "marts.duckdb", len(names), names=names)
    publish(project_of(marts), store)
    monkeypatch.setattr(snapshot, "MAX_CANDIDATES", 4)
    monkeypatch.setattr(snapshot, "MAX_WORDS", 3)
    texts = (
        "alp",
        "alpen hot",
        "al a",
        "b ba",
        "ho1 amb",
        "am ho b",
        "al ho a",
        "x al",
    )
    with open_snapshots(store).open() as reader:
        for text in texts:
            rows, is_cut = reader.search(text, limit=100)
            terms = text.split()
            expected = [
                name
                for name in names
                if all(
                    any(word.startswith(term) for word in name.lower().split())
                    for term in terms
                )
            ]
            found = [row.company_name for row in rows]
            assert set(found) <= set(expected)
            assert is_cut or found == expected, text
        assert reader.search("alpen hotel", limit=100)[1] is False


@given(st.lists(st.text()))
def test_names_are_folded_together_as_each_alone(names: list[str]) -> None:
    keys = schema.name_keys(names)
    assert keys == [schema.name_key(name) for name in names]
    for key in keys:
        assert key == " ".join(key.split())
        assert all(character.isalnum() or character == " " for character in key)


@pytest.mark.slow
def test_a_reader_sees_one_snapshot_while_others_are_published(
    tmp_path: Path, store: sa.URL
) -> None:
    """No reader fails, mixes two snapshots, or sees an older one later."""
    marts = tmp_path / "marts.duckdb"
    publishes = 12
    publish(project_of(write_marts(marts, 40)), store)
    snapshots = open_snapshots(store)
    problems: list[str] = []
    seen: list[str] = []
    stop = threading.Event()

    def read() -> None:
        last = ""
        while not stop.is_set():
            try:
                with snapshots.open() as reader:
                    day = reader.meta["as_of_date"]
                    totals = reader.totals(Filters())["accounts"]
                    rows = reader.accounts(Filters(), limit=1_000)
            except Exception as error:  # Any failure is a failed page.
                problems.append(repr(error))
                return
            if len(rows) != totals:
                problems.append(f"{len(rows)} rows, {totals} counted")
            if day < last:
                problems.append(f"{day} after {last}")
            last = day
            seen.append(day)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(1, publishes + 1):
        day = AS_OF + timedelta(days=number)
        publish(project_of(write_marts(marts, 40 + number, day)), store)
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert len(set(seen)) > 1
    with snapshots.open() as current:
        assert current.meta["as_of_date"] == str(AS_OF + timedelta(days=publishes))


@pytest.mark.slow
def test_a_killed_publish_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    marts = write_marts(tmp_path / "marts.duckdb")
    url = sqlite_url(tmp_path / "serving.db")
    publish(project_of(marts), url)
    before = (tmp_path / "serving.db").read_bytes()
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from churn.web import publish as p; from tests.support.serving import *\n"
        "def stop(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "p._write_documents = stop\n"
        "p.publish(project_of(Path(sys.argv[1])), sqlite_url(Path(sys.argv[2])))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(marts), str(tmp_path / "serving.db")],
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "serving.db").read_bytes() == before
    assert list(tmp_path.glob(".serving.db.*.new"))
    publish(project_of(marts), url)
    assert not list(tmp_path.glob(".serving.db.*"))


def test_leftovers_of_a_running_process_stay(tmp_path: Path) -> None:
    ours = tmp_path / f".serving.db.{os.getpid()}.abcd.new"
    ours.touch()
    remove_leftovers(tmp_path / "serving.db")
    assert ours.exists()


def test_a_damaged_file_keeps_the_last_readable_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "serving.db"
    publish(project_of(write_marts(tmp_path / "marts.duckdb")), sqlite_url(path))
    snapshots = open_snapshots(sqlite_url(path))
    with snapshots.open() as reader:
        first = reader.meta["snapshot_id"]
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5_000)
    os.replace(damaged, path)
    with snapshots.open() as reader:
        assert reader.meta["snapshot_id"] == first
        assert reader.meta["is_unreadable"]
        assert reader.accounts(Filters(), limit=1)
    with (
        pytest.raises(SnapshotError) as error,
        open_snapshots(sqlite_url(path)).open(),
    ):
        pass
    assert error.value.kind == "unreadable"
    publish(project_of(tmp_path / "marts.duckdb"), sqlite_url(path))
    with snapshots.open() as reader:
        assert "is_unreadable" not in reader.meta


def test_the_snapshot_is_private_and_holds_no_person(tmp_path: Path) -> None:
    path = tmp_path / "serving.db"
    publish(project_of(write_marts(tmp_path / "marts.duckdb")), sqlite_url(path))
    assert path.stat().st_mode & 0o007 == 0
    with sqlite3.connect(path) as connection:
        columns = {
            row[1]
            for table in schema.metadata.tables
            for row in connection.execute(f"pragma table_info({table})")
        }
    assert not columns & {"user_id", "email", "ip", "visitor_id", "anonymous_id"}


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.text(max_size=4)),
        max_size=40,
    ),
    st.integers(1, 7),
)
def test_packing_keeps_every_row_of_every_account(
    rows: list[tuple[str, int, str]], size: int
) -> None:
    rows.sort(key=lambda row: row[0])
    batches = [
        pa.record_batch(
            [
                pa.array([row[i] for row in rows[start : start + size]], kind)
                for i, kind in enumerate((pa.string(), pa.int64(), pa.string()))
            ],
            ["account_id", "number", "text"],
        )
        for start in range(0, len(rows), size)
    ]
    packed: dict[str, list[str]] = {}
    for accounts, texts in pack(batches):
        for account, text in zip(accounts, texts, strict=True):
            assert account not in packed
            packed[account] = text.split("\n")
    expected: dict[str, list[int]] = {}
    for account, number, _ in rows:
        expected.setdefault(account, []).append(number)
    assert {
        account: [int(line.split("\t")[0]) for line in lines]
        for account, lines in packed.items()
    } == expected
    assert all(line.count("\t") == 1 for lines in packed.values() for line in lines)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not a url", "not a database URL"),
        ("postgresql://host:port/db", "not a database URL"),
        ("mysql://host/db", "type mysql"),
        ("sqlite://", "names no file"),
    ],
)
def test_a_wrong_url_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("CHURN_SERVING_URL", url)
    with pytest.raises(UserError, match=message):
        serving_url()


def test_default_stores_are_named_after_the_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CHURN_SERVING_URL", raising=False)
    monkeypatch.delenv("CHURN_ACTIONS_URL", raising=False)
    url = serving_url(project_of(tmp_path / "company.duckdb"))
    assert str(url.database).endswith("serving/company.db")
    assert str(actions_url(url).database).endswith("serving/company.actions.db")


def test_rows_without_an_order_are_sorted_here() -> None:
    """Athena unloads to several files; accounts and ranks must come in order."""
    schema = pa.schema([("account_id", pa.string()), ("day", pa.date32())])
    rows = [(f"a{n % 97:02}", date(2026, 1, 1) + timedelta(n)) for n in range(1_000)]
    shuffled = random.Random(4).sample(rows, len(rows))
    batches = [
        pa.record_batch([*map(list, zip(*part, strict=True))], schema=schema)
        for part in (shuffled[start : start + 64] for start in range(0, 1_000, 64))
    ]
    found = list(sorted_batches(iter(batches), "1, 2"))
    assert [tuple(row.values()) for b in found for row in b.to_pylist()] == sorted(rows)
    assert list(sorted_batches(iter([]), "1")) == []
