"""A person is replaced in every form of a record, and others stay as they are."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from churn.cli.main import churn
from churn.config import Project, UserError
from churn.ingest.event_files import LoadedFile, find_event_files, new_lines
from churn.ingest.json_repair import split_record
from churn.ingest.load import load
from churn.operations import forget_tables
from churn.operations.forget import Pending, Receipt, Subject, request
from churn.operations.forget_files import erase_files
from churn.operations.forget_tables import DuckDBTables, salesforce_forms
from churn.operations.pii import ERASED, Classification, Eraser
from churn.web.actions import Action, ActionStore
from churn.web.forget import erase_actions
from churn.web.publish import current_snapshot, publish
from churn.web.settings import actions_url, serving_url
from tests.support.paths import ROOT
from tests.support.serving import write_marts

USER = "u-77aa11bb"
PSEUDONYM = "erased-0123456789abcdef"
CLASSES = Classification.load(Project.load(ROOT, ROOT))


def eraser(identifier: str = USER, *texts: str) -> Eraser:
    return Eraser({identifier: PSEUDONYM}, CLASSES, texts=texts)


def test_a_record_keeps_its_event_and_loses_the_person() -> None:
    record = json.dumps(
        {
            "event_name": "login",
            "ts": 1739181600,
            "user": {"id": USER, "email": "ann@example.com"},
            "page": {"path": f"/users/{USER}"},
            "referrer": "https://mail.example/ann",
            "comment": "call me",
        }
    )
    erased = json.loads(eraser().record(record))
    assert erased.pop("event_id") == split_record(record)[0].identity
    assert erased == {
        "event_name": "login",
        "ts": 1739181600,
        "user": {"id": PSEUDONYM},
        "page": {"path": f"/users/{PSEUDONYM}"},
    }


def test_another_person_in_the_same_record_stays() -> None:
    other = '{"event_name":"login","uid":"u-other","name":"Bob"}'
    erased = eraser().record(f'{{"event":"login","uid":"{USER}"}}{other}')
    parts = split_record(erased)
    assert [json.loads(part.payload or "")["uid"] for part in parts] == [
        PSEUDONYM,
        "u-other",
    ]
    assert erased.endswith(other)


def test_a_number_is_a_person_only_where_the_mapping_says_so() -> None:
    short = Eraser({"12": "-1000"}, CLASSES)
    other = '{"event_name":"view","userId":"7","items":12}'
    assert short.record(other) == other
    assert json.loads(short.record('{"event_name":"view","userId":12,"x":1}')) == {
        "event_name": "view",
        "userId": -1000,
        "event_id": split_record('{"event_name":"view","userId":12,"x":1}')[0].identity,
    }


def test_an_identifier_within_another_stays() -> None:
    assert eraser().text(f"{USER}0 {USER}.") == f"{USER}0 {PSEUDONYM}."


@pytest.mark.slow
@given(
    st.recursive(
        st.text(max_size=8) | st.integers() | st.just(USER) | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["user_id", "user", "id", "page", USER, "x"]), inner
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["{}", "x{}", "{}{}", "[{}", '{{"data": {}}}']),
    st.booleans(),
)
def test_no_record_keeps_the_person(value: object, form: str, is_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)
    record = form.format(text, text)
    erased = eraser().record(record)
    assert not eraser().holds(erased)
    assert eraser().record(erased) == erased
    if USER not in record:
        assert erased == record


def test_both_forms_of_an_identifier_of_salesforce() -> None:
    both = ["0015000000Gv7qJ", "0015000000Gv7qJAAR"]
    assert salesforce_forms(both[0]) == both
    assert salesforce_forms(both[1]) == both
    assert salesforce_forms("0015000000Gv7qJAAA") == ["0015000000Gv7qJAAA"]
    assert salesforce_forms("u-1") == ["u-1"]


def test_an_interrupted_request_has_the_same_pseudonyms(tmp_path: Path) -> None:
    ann, bob = Subject("user", "ann-1"), Subject("user", "bob-2")
    pending = Pending(tmp_path)
    salt, is_continued = pending.begin(ann)
    assert not is_continued
    pending.begin(bob)
    pending.end(bob)
    assert Pending(tmp_path).begin(ann) == (salt, True)
    assert "ann-1" not in pending.path.read_text()
    pending.end(ann)
    assert list(tmp_path.iterdir()) == []
    assert pending.begin(ann)[0] != salt


@pytest.mark.parametrize("identifier", ["", " ", "\t"])
def test_an_empty_identifier_is_refused(identifier: str) -> None:
    with pytest.raises(UserError, match="empty"):
        Subject("user", identifier)


def test_files_of_a_landing_zone_are_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    landing = tmp_path / "landing"
    payload = json.dumps(
        {"event_name": "login", "userId": USER, "email": "a@b.example"}
    )
    lines = [
        json.dumps({"received_at": "2025-01-01T00:00:00Z", "payload": payload}),
        '{"received_at":"2025-01-01T00:00:01Z","payload":"{\\"userId\\":\\"u-other\\"}"}',
    ]
    files = {
        "clickstream/dt=2025-01-01/a.jsonl.gz": gzip.compress(
            "\n".join(lines).encode()
        ),
        "salesforce/batch_date=2025-01-01/contacts.csv": (
            f"user_id,account_id,role,phone\n{USER},a1,buyer,0151\nu-other,a1,x,0152\n"
        ).encode(),
        "notes/readme.txt": f"about {USER}".encode(),
    }
    for name, content in files.items():
        path = landing / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    times = {path: path.stat().st_mtime_ns for path in landing.rglob("*.*")}

    project = Project.load(ROOT, ROOT)
    rewritten, remaining, states = erase_files(project, eraser(), [landing])
    assert sorted(Path(path).name for path in rewritten) == [
        "a.jsonl.gz",
        "contacts.csv",
    ]
    assert remaining == [str(landing / "notes" / "readme.txt")]
    assert {state.name for state in states} == set(list(files)[:2])

    events = gzip.decompress((landing / next(iter(files))).read_bytes()).decode()
    assert "a@b.example" not in events
    assert events.split("\n")[1] == lines[1]
    assert (landing / list(files)[1]).read_text() == (
        f"user_id,account_id,role,phone\n{PSEUDONYM},a1,buyer,{ERASED}\n"
        "u-other,a1,x,0152\n"
    )
    assert {path: path.stat().st_mtime_ns for path in landing.rglob("*.*")} == times
    assert erase_files(project, eraser(), [landing])[0] == []


def test_unusual_tables_are_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines end with a carriage return only; a field is beyond Python's limit."""
    monkeypatch.setenv("CHURN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    landing = tmp_path / "landing" / "salesforce"
    tables = {
        "2025-01-01": f"user_id,account_id,role\r{USER},a1,buyer\r",
        "2025-01-02": f"user_id,account_id,role\n{USER},a1,{'x' * 200_000}\n",
    }
    for day, text in tables.items():
        path = landing / f"batch_date={day}" / "contacts.csv"
        path.parent.mkdir(parents=True)
        path.write_text(text, newline="")
    rewritten, remaining, _ = erase_files(
        Project.load(ROOT, ROOT), eraser(), [landing.parent]
    )
    assert remaining == []
    assert len(rewritten) == len(tables)
    assert not any(USER in Path(path).read_text() for path in rewritten)


@pytest.mark.parametrize(
    ("identifier", "other"),
    [
        (USER, f"{USER}-2"),
        (USER, f"x_{USER}"),
        ("ann@x.example", "lee.ann@x.example"),
        ("ann@x.example", "ann@x.example.au"),
    ],
)
def test_a_longer_identifier_is_another_person(identifier: str, other: str) -> None:
    assert eraser(identifier).text(f"of {other}") == f"of {other}"
    assert eraser(identifier).text(f"of {identifier}.") == f"of {PSEUDONYM}."


def test_the_store_of_actions_loses_the_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_SERVING_URL", f"sqlite:///{tmp_path}/serving.db")
    monkeypatch.delenv("CHURN_ACTIONS_URL", raising=False)
    project = Project.load(ROOT, ROOT)
    assert erase_actions(project, eraser()) == {}
    store = ActionStore(actions_url(serving_url(project)))
    times = {
        "occurred_at": "2025-01-01T00:00:00Z",
        "recorded_at": "2025-01-01T00:00:00Z",
    }
    for number, account in enumerate((USER, "other")):
        note = f"Ann likes pillows, as does {USER}"
        store.record(
            Action(f"id-{number}", account, "note", "sales", note=note, **times)
        )
    store.close()
    assert erase_actions(project, eraser()) == {"store of actions": 2}
    assert erase_actions(project, eraser()) == {}

    store = ActionStore(actions_url(serving_url(project)))
    rows = store.rows_after(0, 10)
    store.close()
    assert [(row.account_id, row.note) for row in rows] == [
        (PSEUDONYM, ERASED),
        ("other", f"Ann likes pillows, as does {PSEUDONYM}"),
    ]
    for path in tmp_path.iterdir():
        assert USER.encode() not in path.read_bytes()


def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Provide tables of a company with numbers as user ids and its own columns."""
    monkeypatch.setenv("CHURN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    path = tmp_path / "company.duckdb"
    with duckdb.connect(str(path)) as connection:
        for statement in (
            "create schema raw",
            "create schema main_intermediate",
            """create table raw.raw_contacts as select * from (values
                (4711, '0015000000Gv7qJAAR', 'x', '0151', date '2025-01-01'),
                (4712, '0015000000Gv7qJAAR', 'y', '0152', null),
                (4713, '0015000000other', 'z', '0153', null)
            ) as t (app_login, account, role, phone, born)""",
            """create table raw.raw_accounts as select * from (values
                ('0015000000Gv7qJAAR', 'Ann Lee Ltd', 'o-1', 'Olga'),
                ('0015000000other', 'Other', 'o-1', 'Olga')
            ) as t (account_id, company_name, owner_id, owner_name)""",
            """create table raw.raw_events as select * from (values
                ('{"event":"login","uid":4711,"visitor":"d-1"}'),
                ('{"event":"view","visitor":"d-1","items":4711}'),
                ('{"event":"view","visitor":"d-9","items":4711}')
            ) as t (payload)""",
            """create table main_intermediate.int_account_users as select * from (values
                ('4711', '0015000000Gv7qJ'), ('4712', '0015000000Gv7qJ'),
                ('4712', '0015000000other'), ('4713', '0015000000other')
            ) as t (user_id, account_id)""",
            """create table main_intermediate.int_visitor_users as select * from (values
                ('d-1', '4711'), ('d-2', '4711'), ('d-2', '4713')
            ) as t (visitor_id, user_id)""",
            "create table main.model as select ['d-1', 'about d-100', 'x'] as content",
        ):
            connection.execute(statement)
    project = Project.load(ROOT, ROOT, database=path)
    mapping = {"user_id": "app_login", "account_id": "account"}
    return replace(
        project, variables={**project.variables, "raw_contacts_columns": mapping}
    )


def erase(project: Project, subject: Subject) -> Receipt:
    with request(project, subject) as current:
        current.find()
        current.erase_tables()
    return current.receipt


def rows(project: Project, query: str) -> list[tuple]:
    with duckdb.connect(str(project.database), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.slow
def test_an_account_is_forgotten_with_its_own_users_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = company(tmp_path, monkeypatch)
    receipt = erase(project, Subject("account", "0015000000Gv7qJ"))
    assert receipt.identifiers == {"account": 1, "user": 1, "device": 1}

    contacts = rows(project, "select * from raw.raw_contacts order by role")
    # The user has a number below zero, because the column holds numbers. What no
    # source declares is removed in the rows of the account.
    new_user, new_account = contacts[0][:2]
    assert new_user < 0
    assert contacts == [
        (new_user, new_account, "x", ERASED, None),
        (4712, new_account, "y", ERASED, None),
        (4713, "0015000000other", "z", "0153", None),
    ]
    assert rows(project, "select * from raw.raw_accounts order by company_name") == [
        ("0015000000other", "Other", "o-1", "Olga"),
        (new_account, ERASED, "o-1", ERASED),
    ]
    events = [json.loads(text) for (text,) in rows(project, "from raw.raw_events")]
    assert events[0]["uid"] == new_user
    assert events[1] == {
        "event": "view",
        "visitor": events[0]["visitor"],
        "event_id": events[1]["event_id"],
    }
    assert events[2] == {"event": "view", "visitor": "d-9", "items": 4711}
    linked = rows(project, "from main_intermediate.int_account_users order by all")
    assert (str(new_user), new_account) in linked
    assert ("4712", "0015000000other") in linked
    assert rows(project, "from main.model") == [
        ([events[0]["visitor"], "about d-100", "x"],)
    ]
    assert erase(project, Subject("account", "0015000000Gv7qJ")).rows == {}


@pytest.mark.slow
def test_a_killed_run_is_continued_with_the_same_pseudonyms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = company(tmp_path, monkeypatch)
    subject = Subject("user", "4711")
    before = rows(project, "from raw.raw_events")
    for name in ("record_files", "hits"):
        with monkeypatch.context() as patched:
            patched.setattr(DuckDBTables, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                erase(project, subject)
        assert rows(project, "from raw.raw_events") == before
    with monkeypatch.context() as patched:
        patched.setattr(forget_tables, "rewrite_database", interrupt)
        with pytest.raises(KeyboardInterrupt):
            erase(project, subject)
    erased = rows(project, "from raw.raw_events")
    assert erased != before
    receipt = erase(project, subject)
    assert rows(project, "from raw.raw_events") == erased
    assert not receipt.rows
    assert b'"uid":4711' not in project.database.read_bytes()
    stored = "".join(path.read_text() for path in (tmp_path / "state").iterdir())
    assert "4711" not in stored
    assert "salt" not in stored


@pytest.mark.slow
def test_a_table_that_cannot_be_erased_stops_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = company(tmp_path, monkeypatch)
    with duckdb.connect(str(project.database)) as connection:
        connection.execute("create table raw.own as select {'id': 'd-12345'} as person")
        connection.execute(
            "insert into main_intermediate.int_visitor_users values ('d-12345', '4711')"
        )
    before = rows(project, "from raw.raw_events")
    with pytest.raises(UserError, match=r"raw\.own\.person still hold"):
        erase(project, Subject("user", "4711"))
    assert rows(project, "from raw.raw_events") == before


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_rewritten_file_is_not_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    path = (
        tmp_path / "landing" / "salesforce" / "batch_date=2025-01-01" / "contacts.csv"
    )
    path.parent.mkdir(parents=True)
    path.write_text(
        "user_id,account_id,role,batch_date,loaded_at\n"
        f"{USER},a1,buyer,2025-01-01,2025-01-02 00:00:00\n"
    )
    landing = tmp_path / "landing"
    project = Project.load(ROOT, ROOT, database=tmp_path / "new.duckdb")
    assert load(landing, project.database).rows == {"raw_contacts": 1}
    with request(project, Subject("user", USER)) as current:
        current.find()
        current.erase_files([landing])
        current.erase_tables()
    assert current.receipt.counts()["files"] == 1
    (stored,) = rows(project, "select user_id from raw.raw_contacts")
    assert stored[0] in path.read_text()
    again = load(landing, project.database)
    assert (again.already_loaded, again.changed, again.rows) == (1, [], {})


@pytest.mark.slow
def test_rewritten_event_files_equal_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    record = json.dumps({"event": "login", "uid": USER, "email": "a@b.example"})
    array = tmp_path / "array.json"
    array.write_text(f"[\n  {record},\n  {{}}\n]")
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text(
            f"{record}\n{{}}\n" if name == "one.jsonl" else "{}"
        )
    pattern = str(tmp_path / "*.jsonl")
    reports: list[str] = []
    lines = new_lines(find_event_files(pattern), {}, reports.append).read_all()
    project = Project.load(ROOT, ROOT, database=tmp_path / "new.duckdb")
    project = replace(
        project, variables={**project.variables, "raw_event_files": pattern}
    )
    table = "main_staging.base_clickstream__file_records"
    with duckdb.connect(str(project.database)) as connection:
        connection.execute("create schema main_staging")
        connection.register("lines", lines)
        connection.execute(f"create table {table} as from lines")
    with request(project, Subject("user", USER)) as current:
        current.find()
        current.erase_files([])
        current.erase_tables()
    assert current.receipt.rows == {table: 1}
    other = {**project.variables, "raw_event_files": str(array)}
    assert erase_files(replace(project, variables=other), eraser(), [])[:2] == (
        [],
        [str(array)],
    )
    loaded = {
        name: LoadedFile(*file)
        for name, *file in rows(
            project,
            f"""select source_file, min(file_bytes), min(file_sha256),
                min(file_modified_at), count(*) from {table} group by 1""",
        )
    }
    files = find_event_files(pattern)
    assert new_lines(files, loaded, reports.append).read_all().num_rows == 0
    assert reports == []
    # A full refresh reads the same records.
    stored = rows(project, f"from {table} order by all")
    assert stored == sorted(
        map(
            tuple, (row.values() for row in new_lines(files, {}).read_all().to_pylist())
        )
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> sa.URL:
    if request.param == "sqlite":
        return sa.URL.create("sqlite", database=str(tmp_path / "serving.db"))
    url: sa.URL = request.getfixturevalue("postgres")
    return url


def stored_bytes(url: sa.URL) -> Iterator[bytes]:
    """Yield all values and all files of a store; packed values unpacked."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    with engine.connect() as connection:
        for schema in inspector.get_schema_names():
            for name in inspector.get_table_names(schema=schema):
                table = sa.Table(
                    name, sa.MetaData(), schema=schema, autoload_with=engine
                )
                for row in connection.execute(sa.select(table)):
                    for value in row:
                        content = (
                            value if isinstance(value, bytes) else str(value).encode()
                        )
                        with contextlib.suppress(zlib.error):
                            content = zlib.decompress(content)
                        yield content
    if url.get_backend_name() == "sqlite":
        folder = Path(str(url.database)).parent
        yield from (path.read_bytes() for path in folder.glob("serving*"))
        return
    with engine.connect() as connection:
        # It deletes the files of dropped tables.
        connection.exec_driver_sql("checkpoint")
        folder = Path(connection.exec_driver_sql("show data_directory").scalar_one())
    files = [path for path in (folder / "base").rglob("*") if path.is_file()]
    yield from (path.read_bytes() for path in files)


@pytest.mark.slow
def test_the_page_loses_the_account(
    store: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is published again, and the store of actions is changed."""
    account, name = "acc-forgotten-1", "Forgotten Planted Ltd"
    monkeypatch.setenv("CHURN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    monkeypatch.setenv("CHURN_SERVING_URL", store.render_as_string(False))
    monkeypatch.delenv("CHURN_ACTIONS_URL", raising=False)
    marts = write_marts(tmp_path / "marts.duckdb", 30, names=[name], ids=[account])
    project = Project.load(ROOT, ROOT, database=marts)
    publish(project, store)
    actions = ActionStore(actions_url(store))
    at = "2025-01-01T00:00:00Z"
    times = {"occurred_at": at, "recorded_at": at}
    actions.record(Action("id-1", account, "note", "sales", note=name, **times))
    actions.close()
    texts = (account.encode(), name.encode())
    for text in texts:
        assert any(text in content for content in stored_bytes(store))

    result = CliRunner().invoke(
        churn,
        [
            # The marts of this test have the name as a topic of calls, too.
            *("forget", "--account", account, "--also", name),
            *("--database", str(marts)),
            *("--project-dir", str(ROOT), "--profiles-dir", str(ROOT)),
        ],
        obj={},
    )
    assert result.exit_code == 0, (result.output, result.exception)
    assert "serving snapshot" in result.output
    snapshot = current_snapshot(store)
    assert snapshot is not None
    assert snapshot["accounts"] == 30
    left = [
        content
        for content in stored_bytes(store)
        if any(text in content for text in texts)
    ]
    assert left == []
