"""Objects of Salesforce become complete dated files, or nothing."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from churn.cli.main import churn, main
from churn.ingest import dated_files, http_session, pull_salesforce
from churn.ingest.table_loader import load_table_files
from churn.onboarding.presets import recognise_table
from tests.support.paths import ROOT
from tests.support.salesforce_stub import (
    BUSY,
    CLIENT_SECRET,
    EXPIRED,
    SalesforceStub,
    account,
    case,
)
from tests.support.tls_stub import Answer

DAY = "2025-03-01"
# Headers of the last page of a bulk job.
LAST_PAGE = {
    "Content-Type": "text/csv",
    "Sforce-Locator": "null",
    "Sforce-NumberOfRecords": "1",
}
FILE = Path("accounts/dt=2025-03-01/accounts.parquet")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SalesforceStub]:
    stub = SalesforceStub(tmp_path_factory.mktemp("salesforce"))
    yield stub
    stub.close()


@pytest.fixture
def stub(server: SalesforceStub, monkeypatch: pytest.MonkeyPatch) -> SalesforceStub:
    """An organisation with 45 accounts and 30 contacts, in pages of 20."""
    server.reset(45, 30)
    server.page_rows = 20
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pull_salesforce, "BULK_WAIT_SECONDS", 0)
    return server


def pull(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        churn,
        ["pull", "salesforce", *arguments, "--out", str(folder), "--date", DAY],
    )


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )


def rows(folder: Path, table: str = "accounts") -> list[dict[str, Any]]:
    path = folder / table / f"dt={DAY}" / f"{table}.parquet"
    return pq.read_table(path).to_pylist()


@pytest.mark.usefixtures("stub")
def test_objects_become_files_of_text(tmp_path: Path) -> None:
    result = pull(tmp_path)
    assert result.exit_code == 0, result.exception
    assert files(tmp_path) == [
        FILE.as_posix(),
        f"accounts_deleted/dt={DAY}/accounts_deleted.parquet",
        f"contacts/dt={DAY}/contacts.parquet",
        f"contacts_deleted/dt={DAY}/contacts_deleted.parquet",
    ]
    found = {row["Id"]: row for row in rows(tmp_path)}
    assert len(found) == 45
    for number in range(45):
        expected = account(number)
        row = found[expected["Id"]]
        assert row["Name"] == expected["Name"]
        assert row["Industry"] == expected["Industry"]
        assert row["Seats__c"] == str(expected["Seats__c"])
        assert row["Owner.Name"] == expected["Owner"]["Name"]
    assert len(rows(tmp_path, "contacts")) == 30
    # The organisation has no field for the currency.
    assert "no field for currency" in result.output
    assert "Wrote 45 rows of accounts" in result.output


def test_cases_are_support_calls(stub: SalesforceStub, tmp_path: Path) -> None:
    stub.deleted["Case"] = [{**case(100), "IsDeleted": True}]
    result = pull(tmp_path, "calls")
    assert result.exit_code == 0, result.exception
    found = {row["Id"]: row for row in rows(tmp_path, "calls")}
    assert len(found) == 30
    for number in range(30):
        expected = case(number)
        row = found[expected["Id"]]
        assert row == {name: expected[name] for name in row}
        assert {"CaseNumber", "AccountId", "CreatedDate", "Reason"} <= row.keys()
    deleted = rows(tmp_path, "calls_deleted")
    assert [row["Id"] for row in deleted] == [case(100)["Id"]]
    files = f"{tmp_path}/calls/dt=*/calls.parquet"
    connection = duckdb.connect()
    load_table_files(connection, "raw", "calls", files)
    columns = connection.execute("describe raw.calls").fetchall()
    recognised = recognise_table("calls", [name for name, *_ in columns])
    assert recognised
    assert recognised[0].name == "Salesforce"


@pytest.mark.usefixtures("stub")
def test_the_files_are_what_onboarding_reads(tmp_path: Path) -> None:
    pull(tmp_path)
    connection = duckdb.connect()
    for table in ("accounts", "contacts"):
        files = f"{tmp_path}/{table}/dt=*/{table}.parquet"
        load = load_table_files(connection, "raw", table, files)
        assert load.rows == (45 if table == "accounts" else 30)
        assert load.messages == []
        days = connection.execute(f"select distinct _file_date from raw.{table}")
        assert days.fetchall() == [(date.fromisoformat(DAY),)]
        columns = connection.execute(f"describe raw.{table}").fetchall()
        found = recognise_table(table, [name for name, *_ in columns])
        assert found
        assert found[0].name == "Salesforce"


def test_the_bulk_api_gives_the_same_file(
    stub: SalesforceStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(tmp_path / "pages", "accounts")
    monkeypatch.setattr(pull_salesforce, "BULK_ROWS", 45)
    monkeypatch.setattr(pull_salesforce, "BULK_PAGE_ROWS", 10)
    pull(tmp_path / "bulk", "accounts")
    assert any("jobs/query" in request.path for request in stub.requests)
    assert rows(tmp_path / "bulk") == rows(tmp_path / "pages")


@pytest.mark.parametrize(
    ("part", "answer", "words"),
    [
        (
            "jobs/query/",
            Answer({"state": "Failed", "errorMessage": "bad\nfield"}),
            "A bulk job of Salesforce failed (bad",
        ),
        (
            "jobs/query/",
            Answer({"state": "InProgress"}),
            "A bulk job of Salesforce failed (it takes too long)",
        ),
        ("results", Answer('"Id"\n"001', headers=LAST_PAGE), "cannot be read"),
        ("results", Answer(b'"Id"\n"\xff"', headers=LAST_PAGE), "cannot be read"),
    ],
    ids=["failed", "slow", "cut", "no text"],
)
def test_a_bulk_job_that_fails_delivers_nothing(
    stub: SalesforceStub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    answer: Answer,
    words: str,
) -> None:
    monkeypatch.setattr(pull_salesforce, "BULK_ROWS", 1)
    if "too long" in words:
        monkeypatch.setattr(pull_salesforce, "BULK_LONGEST_SECONDS", 0)
    stub.fail(part, answer, 99)
    result = pull(tmp_path, "accounts")
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)
    assert files(tmp_path) == []


@pytest.mark.usefixtures("stub")
def test_a_condition_and_a_further_field(tmp_path: Path) -> None:
    result = pull(
        *(tmp_path, "accounts", "--field", "accounts.Is_Partner__c"),
        *("--where", "accounts", "Is_Partner__c = false"),
    )
    assert result.exit_code == 0, result.exception
    assert len(rows(tmp_path)) == 36
    assert {row["Is_Partner__c"] for row in rows(tmp_path)} == {"false"}


def test_deleted_and_merged_records_are_named(
    stub: SalesforceStub, tmp_path: Path
) -> None:
    winner = account(3)["Id"]
    stub.deleted["Account"] = [
        {**account(100), "IsDeleted": True},
        {**account(101), "IsDeleted": True, "MasterRecordId": winner},
    ]
    pull(tmp_path, "accounts")
    assert len(rows(tmp_path)) == 45
    assert {
        row["Id"]: row["MasterRecordId"] for row in rows(tmp_path, "accounts_deleted")
    } == {account(100)["Id"]: None, account(101)["Id"]: winner}


@pytest.mark.parametrize(
    ("part", "answer", "times"),
    [
        ("query", BUSY, 5),
        ("oauth2", Answer("upstream", 502, {"Retry-After": "0"}), 5),
        ("describe", EXPIRED, 2),
        ("query", EXPIRED, 2),
        ("query", Answer({"records": []}, is_cut=True), 3),
        (
            "query",
            Answer(
                [
                    {
                        "message": "ConcurrentRequests (Concurrent API Requests) Limit",
                        "errorCode": "REQUEST_LIMIT_EXCEEDED",
                    }
                ],
                403,
                {"Retry-After": "0"},
            ),
            4,
        ),
    ],
    ids=["503", "502 at log-in", "expired", "expired twice", "cut", "concurrent"],
)
@pytest.mark.parametrize("is_bulk", [False, True], ids=["pages", "bulk"])
def test_a_fault_that_passes_changes_nothing(
    stub: SalesforceStub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    answer: Answer,
    times: int,
    is_bulk: bool,
) -> None:
    monkeypatch.setattr(http_session.RetryingSession, "sleep", lambda *_: None)
    monkeypatch.setattr(pull_salesforce, "BULK_ROWS", 1 if is_bulk else 10**9)
    monkeypatch.setattr(pull_salesforce, "BULK_PAGE_ROWS", 10)
    # The second page fails.
    is_page = part == "query"
    stub.fail(part, answer, times, after=2 if is_page else 0)
    result = pull(tmp_path, "accounts")
    assert result.exit_code == 0, result.exception
    assert len({row["Id"] for row in rows(tmp_path)}) == 45


def test_a_session_that_expires_in_the_middle(
    stub: SalesforceStub, tmp_path: Path
) -> None:
    stub.fail("query", stub.expire_tokens, after=2)
    assert pull(tmp_path, "accounts").exit_code == 0
    assert len(rows(tmp_path)) == 45
    assert len([each for each in stub.requests if "oauth2" in each.path]) == 2


def test_waits_are_bounded(
    stub: SalesforceStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(
        http_session.RetryingSession, "sleep", staticmethod(waits.append)
    )
    stub.fail("describe", Answer("", 503, {"Retry-After": "86400"}), 2)
    stub.fail("describe", Answer("", 503), 99)
    result = pull(tmp_path, "accounts")
    assert waits == [60, 60, 4, 8, 16]
    assert str(result.exception).startswith("Salesforce answered with status 503")
    assert files(tmp_path) == []


@pytest.mark.parametrize("offset", [-1, 1])
def test_nothing_is_delivered_if_counts_differ(
    stub: SalesforceStub, tmp_path: Path, offset: int
) -> None:
    stub.count_offset = offset
    result = pull(tmp_path, "accounts")
    assert f"accounts has {45 + offset} rows, but 45 were read" in str(result.exception)
    assert files(tmp_path) == []


def test_an_extract_is_read_again_if_a_record_is_added_meanwhile(
    stub: SalesforceStub, tmp_path: Path
) -> None:
    def add() -> None:
        stub.counts["Account"] += 1

    # After the first page. The second page is the last request of its query.
    stub.fail("query/", add, after=3)
    stub.page_rows = 45
    stub.fail("query", add, after=2)
    assert pull(tmp_path, "accounts").exit_code == 0
    assert len(rows(tmp_path)) == stub.counts["Account"]


def test_a_row_that_replaces_another_is_noticed(
    stub: SalesforceStub, tmp_path: Path
) -> None:
    stub.records["Account"] = lambda number: account(min(number, 43))
    result = pull(tmp_path, "accounts")
    assert "1 rows of accounts were read twice" in str(result.exception)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "keys",
    [
        [f"001{number:012d}AAA" for number in range(100_000)],
        [f"{number:05d}" for number in range(100_000)],
        [str(number) for number in range(1_000)],
        [f"{number:08b}".replace("1", "é").replace("0", "ab") for number in range(256)],
        ["", "a", None],
        [""],
        [],
    ],
    ids=["own", "short", "of several lengths", "words", "null", "empty", "none"],
)
def test_different_keys_have_different_hashes(keys: list[str | None]) -> None:
    array = pa.array(["x", *keys, "y", *keys], pa.string())
    hashes = dated_files._hashes(array[1 : len(keys) + 1])
    assert len(set(hashes.tolist())) == len(keys)
    again = dated_files._hashes(array[len(keys) + 2 :])
    assert hashes.tolist() == again.tolist()


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        (lambda stub: stub.fields["Account"].pop("Name"), (), "has no field Name"),
        (
            lambda _: None,
            ("--field", "accounts.Plan_c"),
            "has no field Plan_c that the user can see",
        ),
        (
            lambda _: None,
            ("--field", "accounts.Id from User"),
            "is no name of a field",
        ),
        (
            lambda stub: setattr(stub, "calls_left", 60),
            (),
            "allows 58 more calls today",
        ),
        (
            lambda stub: stub.fail(
                "query",
                Answer(
                    [
                        {
                            "message": "TotalRequests Limit exceeded.",
                            "errorCode": "REQUEST_LIMIT_EXCEEDED",
                        }
                    ],
                    403,
                ),
                99,
            ),
            (),
            "daily limit has been reset",
        ),
        (
            lambda stub: stub.fail(
                "query",
                Answer(
                    [{"message": "bad\nquery", "errorCode": "MALFORMED_QUERY"}], 400
                ),
                99,
            ),
            (),
            "check --where",
        ),
        (lambda stub: stub.fail("query", EXPIRED, 99), (), "INVALID_SESSION_ID"),
    ],
    ids=["required", "own", "injected", "limit", "used up", "query", "expired"],
)
def test_errors_are_one_sentence(
    stub: SalesforceStub,
    tmp_path: Path,
    change: Callable[[SalesforceStub], object],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    change(stub)
    result = pull(tmp_path, "accounts", *arguments)
    assert result.exit_code
    assert isinstance(result.exception, dated_files.PullError)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)
    assert files(tmp_path) == []


def test_a_field_that_becomes_invisible_stops_the_next_day(
    stub: SalesforceStub, tmp_path: Path
) -> None:
    pull(tmp_path, "accounts", "--field", "accounts.Is_Partner__c")
    arguments = ["pull", "salesforce", "accounts", "--out", str(tmp_path), "--date"]
    # The next day has the further field without being asked.
    assert CliRunner().invoke(churn, [*arguments, "2025-03-02"]).exit_code == 0
    del stub.fields["Account"]["Plan__c"]
    result = CliRunner().invoke(churn, [*arguments, "2025-03-03"])
    assert "no field Plan__c any more, which the batch of 2025-03-02" in str(
        result.exception
    )
    second = tmp_path / "accounts/dt=2025-03-02/accounts.parquet"
    assert "Is_Partner__c" in pq.read_schema(second).names
    assert not (tmp_path / "accounts/dt=2025-03-03").exists()


def test_a_delivered_batch_never_changes(stub: SalesforceStub, tmp_path: Path) -> None:
    pull(tmp_path, "accounts")
    content = (tmp_path / FILE).read_bytes()
    stub.counts["Account"] = 3
    result = pull(tmp_path, "accounts")
    assert "Kept 45 rows of accounts" in result.output
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.slow
def test_a_pull_that_is_killed_delivers_nothing(
    stub: SalesforceStub, tmp_path: Path
) -> None:
    process: subprocess.Popen[bytes]

    def kill() -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    stub.fail("query/", kill, after=3)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "churn", "pull", "salesforce", "accounts"),
            *("--out", str(tmp_path), "--date", DAY),
        ],
        cwd=ROOT,
        env=os.environ | stub.environment,
    )
    assert process.wait(60) == -signal.SIGKILL
    # Only the temporary file is there, and the next pull removes it.
    (leftover,) = files(tmp_path)
    assert leftover.startswith(f"{FILE.parent}/.accounts.parquet.")
    assert pull(tmp_path, "accounts").exit_code == 0
    assert FILE.as_posix() in files(tmp_path)
    assert leftover not in files(tmp_path)
    assert len(rows(tmp_path)) == 45


def test_another_running_pull_is_left_alone(tmp_path: Path) -> None:
    path = dated_files.dated_path(tmp_path, "accounts", date(2025, 3, 1))
    path.parent.mkdir(parents=True)
    running = path.parent / ".accounts.parquet.x.part"
    with running.open("wb") as file:
        dated_files.fcntl.flock(file, dated_files.fcntl.LOCK_EX)
        dated_files._remove_leftovers(path)
        assert running.exists()
    dated_files._remove_leftovers(path)
    assert not running.exists()


# ---- Log in ------------------------------------------------------------------


@pytest.fixture
def jwt_login(
    stub: SalesforceStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    stub.public_key = (
        key.public_key()
        .public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        .decode()
    )
    monkeypatch.delenv("CHURN_SALESFORCE_CLIENT_SECRET")
    monkeypatch.delenv("CHURN_SALESFORCE_DOMAIN")
    monkeypatch.setenv("CHURN_SALESFORCE_USERNAME", "robot@acme.example")
    monkeypatch.setenv("CHURN_SALESFORCE_PRIVATE_KEY_FILE", str(path))
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("jwt_login")
def test_log_in_with_a_signed_token(stub: SalesforceStub, tmp_path: Path) -> None:
    assert pull(tmp_path / "out", "accounts").exit_code == 0
    assert stub.requests[0].host == "login.salesforce.com"


@pytest.mark.slow
@pytest.mark.usefixtures("stub")
def test_a_damaged_key_is_not_shown(jwt_login: Path, tmp_path: Path) -> None:
    jwt_login.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n")
    result = pull(tmp_path / "out", "accounts")
    assert "PRIVATE_KEY_FILE holds no usable key" in str(result.exception)
    assert "c2VjcmV0" not in str(result.exception)


def test_secrets_are_in_no_message_and_no_log(
    stub: SalesforceStub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    arguments = ["--debug", "pull", "salesforce", "--out", str(tmp_path), "--date", DAY]
    assert main(arguments) == 0
    stub.fail("query", EXPIRED, 99)
    assert main([*arguments[:-1], "2025-03-02"]) == 1
    monkeypatch.setenv("CHURN_SALESFORCE_CLIENT_ID", "other")
    assert main([*arguments[:-1], "2025-03-03"]) == 1
    shown = capfd.readouterr()
    written = shown.out + shown.err + caplog.text
    assert "invalid credentials" in written
    assert "oauth2/token" in caplog.text
    for secret in (CLIENT_SECRET, *stub.tokens, "00D!"):
        assert secret not in written


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CHURN_SALESFORCE_CLIENT_ID": ""}, "CLIENT_ID is not set"),
        ({"CHURN_SALESFORCE_DOMAIN": ""}, "DOMAIN is not set"),
        ({"CHURN_SALESFORCE_DOMAIN": "evil.example#"}, "DOMAIN is no domain"),
        ({"CHURN_SALESFORCE_CLIENT_SECRET": ""}, "CLIENT_SECRET, or"),
        (
            {
                "CHURN_SALESFORCE_CLIENT_SECRET": "",
                "CHURN_SALESFORCE_USERNAME": "ann",
                "CHURN_SALESFORCE_PRIVATE_KEY_FILE": "/nowhere",
            },
            "PRIVATE_KEY_FILE names no file",
        ),
        ({"HTTPS_PROXY": "http://127.0.0.1:1"}, "cannot be reached (ProxyError)"),
        ({"REQUESTS_CA_BUNDLE": ""}, "cannot be reached (SSLError)"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    words: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("https_proxy", os.environ["HTTPS_PROXY"])
    result = pull(tmp_path, "accounts")
    assert words in str(result.exception)
    assert files(tmp_path) == []


@pytest.mark.usefixtures("stub")
def test_a_url_is_a_domain_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_SALESFORCE_DOMAIN", "https://acme.my.salesforce.com/home")
    assert pull(tmp_path, "accounts").exit_code == 0
