"""Salesforce gets the scores that changed, and creates no record."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from churn.cli.main import churn
from churn.operations import push_salesforce
from churn.operations.push_salesforce import FIELDS
from tests.support.paths import ROOT
from tests.support.salesforce_stub import BUSY, EXPIRED, SalesforceStub, account
from tests.support.serving import write_marts
from tests.support.tls_stub import Answer

EXTERNAL = "Customer_Number__c"
# An identifier that tries to become a part of the query.
HOSTILE_ID = "x') or (Name != '\\"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SalesforceStub]:
    stub = SalesforceStub(tmp_path_factory.mktemp("salesforce"))
    yield stub
    stub.close()


@dataclass
class Company:
    """Scores of 40 accounts: Salesforce has 31, and four are a comparison group."""

    stub: SalesforceStub
    database: Path
    state: Path

    def push(self, *arguments: str) -> Result:
        return CliRunner().invoke(
            churn,
            [
                *("push", "salesforce", "--database", str(self.database)),
                *("--project-dir", str(ROOT), "--profiles-dir", str(ROOT)),
                *arguments,
            ],
        )

    def change(self, statement: str) -> None:
        with duckdb.connect(str(self.database)) as connection:
            connection.execute(statement)

    def rows(self, query: str) -> list[Any]:
        path = self.state / "push_salesforce.db"
        with sqlite3.connect(path) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def company(
    server: SalesforceStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Company:
    server.reset(31, 0)
    server.external_ids = {EXTERNAL}
    server.fields["Account"] |= {EXTERNAL: "string", **dict.fromkeys(FIELDS.values())}
    server.fields["Account"]["Churn_Probability__c"] = "percent"
    ids = [HOSTILE_ID, *(f"acc-{number:06d}" for number in range(1, 40))]
    server.records["Account"] = lambda number: {
        **account(number),
        EXTERNAL: ids[number],
    }
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CHURN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(push_salesforce, "JOB_WAIT_SECONDS", 0)
    return Company(
        server,
        write_marts(tmp_path / "marts.duckdb", 40, ids=ids),
        tmp_path / "state",
    )


ARGUMENTS = ("--external-id", EXTERNAL)


def test_mapped_accounts_get_their_score(company: Company) -> None:
    result = company.push(*ARGUMENTS)
    assert result.exit_code == 0, result.exception
    # Of 40 accounts, four are a comparison group, one of them without a record.
    assert "8 accounts have no record" in result.output
    assert "Wrote 28 rows" in result.output
    assert len(company.stub.upserted) == 28
    assert company.stub.upserted[HOSTILE_ID] == {
        EXTERNAL: HOSTILE_ID,
        "Churn_Probability__c": "84",
        "Churn_Risk_Band__c": "high",
        "Churn_Reason_1__c": "1 support calls in the last 90 days",
        "Churn_Reason_2__c": "no page views in the last 7 days",
        "Churn_Reason_3__c": "#N/A",
        "Churn_Offer__c": "One free upgrade",
        "Churn_As_Of_Date__c": "2026-03-02",
    }
    assert "acc-000002" not in company.stub.upserted


def test_only_changes_are_sent(company: Company) -> None:
    company.push(*ARGUMENTS)
    company.stub.upserted.clear()
    company.change("update churn_scores set as_of_date = as_of_date + 1")
    assert "0 rows differ" in company.push(*ARGUMENTS).output
    company.change(
        "update churn_scores set reason_1 = 'new' where account_id = 'acc-000005'"
    )
    assert "1 rows differ" in company.push(*ARGUMENTS).output
    assert list(company.stub.upserted) == ["acc-000005"]
    assert company.stub.upserted["acc-000005"]["Churn_As_Of_Date__c"] == "2026-03-03"


@pytest.mark.parametrize(
    "statement",
    [
        "delete from churn_scores where account_id = 'acc-000005'",
        "update churn_scores set arm = 'control' where account_id = 'acc-000005'",
    ],
)
def test_scores_that_end_are_emptied(company: Company, statement: str) -> None:
    company.push(*ARGUMENTS)
    company.change(statement)
    result = company.push(*ARGUMENTS)
    assert "1 rows differ from what Salesforce has, 1 of them" in result.output
    values = company.stub.upserted["acc-000005"]
    assert {values[name] for name in FIELDS.values()} == {"#N/A"}
    assert "0 rows differ" in company.push(*ARGUMENTS).output


def test_refused_rows_are_stored_and_sent_again(company: Company) -> None:
    reason = "FIELD_CUSTOM_VALIDATION_EXCEPTION:no,\n\x1b[31mscore"
    company.stub.refuse = lambda row: (
        reason if row[EXTERNAL] in ("acc-000005", "acc-000007") else None
    )
    result = company.push(*ARGUMENTS)
    assert result.exit_code
    assert "Wrote 26 rows" in result.output
    assert "\x1b" not in result.output
    assert "refused 2 rows" in str(result.exception)
    failures = "select account_id, reason from failures order by 1"
    assert company.rows(failures) == [("acc-000005", reason), ("acc-000007", reason)]
    company.stub.refuse = lambda _: None
    assert "Wrote 2 rows" in company.push(*ARGUMENTS).output
    assert company.rows(failures) == []


def test_a_dry_run_sends_nothing(company: Company) -> None:
    result = company.push(*ARGUMENTS, "--dry-run")
    assert "28 rows differ" in result.output
    assert "Churn_Risk_Band__c: high" in result.output
    assert company.stub.upserted == {}
    assert not any("jobs" in request.path for request in company.stub.requests)
    assert company.rows("select * from pushed") == []


def test_the_daily_limit_postpones_the_least_risky(company: Company) -> None:
    first = company.push(*ARGUMENTS, "--daily-limit", "20")
    assert "8 rows wait for tomorrow" in first.output
    assert len(company.stub.upserted) == 20
    assert HOSTILE_ID in company.stub.upserted
    assert "acc-000030" not in company.stub.upserted
    assert "Wrote 0 rows" in company.push(*ARGUMENTS, "--daily-limit", "20").output
    company.rows("update sent set day = '2000-01-01'")
    assert "Wrote 8 rows" in company.push(*ARGUMENTS, "--daily-limit", "20").output


def test_faults_that_pass_change_nothing(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_salesforce, "JOB_ROWS", 10)
    monkeypatch.setattr(push_salesforce, "LOOKUP_ROWS", 0)
    company.stub.fail("jobs/ingest", BUSY, 4)
    company.stub.fail("batches", EXPIRED, 2)
    company.stub.fail("successfulResults", company.stub.expire_tokens)
    result = company.push(*ARGUMENTS)
    assert result.exit_code == 0, result.exception
    assert len(company.stub.upserted) == 28


def test_a_push_that_stops_goes_on(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_salesforce, "JOB_ROWS", 10)
    error = [{"message": "TotalRequests", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    company.stub.fail("batches", Answer(error, 403), 9, after=1)
    result = company.push(*ARGUMENTS)
    assert "REQUEST_LIMIT_EXCEEDED" in str(result.exception)
    assert company.rows("select count(*) from pushed") == [(10,)]
    company.stub.faults.clear()
    assert "18 rows differ" in company.push(*ARGUMENTS).output
    assert len(company.stub.upserted) == 28


def test_own_identifiers_have_15_or_18_characters(company: Company) -> None:
    company.change(
        "update churn_scores set account_id = '001' || lpad(risk_rank::text, 12, '0')"
    )
    result = company.push("--map", "risk_band=Name")
    assert result.exit_code == 0, result.exception
    assert f"{'001':0<14}1AAA" in company.stub.upserted
    assert company.stub.upserted[account(1)["Id"]]["Name"] == "high"


@pytest.mark.parametrize(
    ("arguments", "statement", "words"),
    [
        (ARGUMENTS, "drop table churn_scores", "no table churn_scores yet"),
        (ARGUMENTS, "delete from churn_scores", "churn_scores is empty"),
        (ARGUMENTS, "update churn_scores set is_stale = true", "scores are stale"),
        (("--external-id", "Name"), "select 1", "has no external id Name"),
        ((*ARGUMENTS, "--map", "risk_band=Health__c"), "select 1", "Health__c that"),
        ((*ARGUMENTS, "--map", "risk_band=Id"), "select 1", "no field Id that the"),
    ],
)
def test_errors_are_one_sentence(
    company: Company, arguments: tuple[str, ...], statement: str, words: str
) -> None:
    company.change(statement)
    result = company.push(*arguments)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)
    assert company.stub.upserted == {}


def test_a_mapping_names_a_column_and_a_field(company: Company) -> None:
    assert "is not COLUMN=FIELD" in company.push("--map", "arm=Name").output
