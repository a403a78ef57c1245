"""The second company: another data model, built as a package by configuration."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from churn.cli.main import main
from churn.config import Project
from churn.onboarding.check import check
from tests.support.event_oracle import Transitions, end_reason, periods_of
from tests.support.paths import ROOT
from tests.support.project import DbtProject

GRACE = 14
EPOCH = datetime(1970, 1, 1)


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """Provide the example, built in a separate folder as its README says."""
    folder = tmp_path_factory.mktemp("streaming")
    shutil.copytree(
        ROOT / "examples" / "streaming",
        folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("data", "target", "dbt_packages", "*.duckdb"),
    )
    (folder / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")
    project = DbtProject(folder, root=folder)
    subprocess.run(
        [sys.executable, "make_data.py", "--database", str(project.database)],
        cwd=folder,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    project.dbt("deps")
    report = check(Project.load(folder, folder, database=project.database))
    assert report.problems == []
    project.dbt("build")
    return project


def lines_of(folder: Path) -> list[str]:
    """Return all lines of all files, unpacked without the project's code."""
    lines = []
    for path in sorted((folder / "data" / "clicks").iterdir()):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        elif path.suffix == ".zst":
            content = pa.input_stream(path, compression="zstd").read()
        lines += content.decode().splitlines()
    return lines


def read_transitions(lines: list[str]) -> dict[str, Transitions]:
    """Return each subscriber's starts and cancellations; skip truncated records."""
    transitions: dict[str, set[tuple[datetime, bool]]] = defaultdict(set)
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["n"] in ("sub_start", "sub_cancel"):
            happened = EPOCH + timedelta(milliseconds=record["t"])
            transitions[record["uid"]].add((happened, record["n"] == "sub_start"))
    return {uid: sorted(each) for uid, each in transitions.items()}


def test_no_sql_is_edited() -> None:
    written = (ROOT / "examples/streaming/models/streaming_events.sql").read_text()
    assert written == "select * from {{ ref('stg_clickstream__events') }}\n"
    assert len(list((ROOT / "examples/streaming").glob("**/*.sql"))) == 1


def test_every_line_is_an_event_a_duplicate_or_a_reject(streaming: DbtProject) -> None:
    lines = lines_of(streaming.folder)
    event_ids, broken = set(), 0
    for line in lines:
        try:
            event_ids.add(json.loads(line)["id"])
        except ValueError:
            broken += 1
    assert len(lines) > len(event_ids) + broken > 100_000
    assert streaming.query(
        """select
            (select count(*) from stg_clickstream__events),
            (select count(*) from stg_clickstream__rejects)"""
    ) == [(len(event_ids), broken)]


def test_periods_match_the_taps(streaming: DbtProject) -> None:
    transitions = read_transitions(lines_of(streaming.folder))
    # The allowed lateness of the last day has not passed.
    data_through = date(2025, 7, 28)
    expected = set()
    for account, joined_on in streaming.query(
        "select distinct subscriber, joined_on from lake.subscribers"
    ):
        periods = periods_of(joined_on, transitions.get(account, []))
        expected |= {
            (account, start, end, end_reason(periods, number, GRACE, data_through))
            for number, (start, end) in enumerate(periods)
        }
    assert {reason for *_, reason in expected} == {"churn", "pause", "pending", None}
    found = streaming.query(
        "select account_id, start_date, end_date, end_reason from subscription_periods"
    )
    assert set(found) ^ expected == set()


def test_missing_sources_leave_no_columns_or_tables(streaming: DbtProject) -> None:
    columns = {
        name for name, *_ in streaming.query("describe select * from account_features")
    }
    features = {
        name for (name,) in streaming.query("select feature from feature_dictionary")
    }
    for word in ("support", "call", "invoice", "seat", "active_user", "mattress"):
        assert not [name for name in columns | features if word in name], word
    assert "drama_views_90d" in columns & features
    tables = {
        name for name, *_ in streaming.query("select table_name from duckdb_tables()")
    }
    assert not [name for name in tables if "support" in name or "billing" in name]


def test_every_current_subscriber_has_a_score_with_a_reason(
    streaming: DbtProject,
) -> None:
    scores = streaming.frame("select * from churn_scores")
    labelled = streaming.frame(
        "select account_id from churn_labels where as_of_date = date '2025-07-29'"
    )
    # Accounts with a late cancellation were still customers on that morning.
    late = streaming.frame(
        """select account_id, source_column, event_date
        from int_subscription_event_versions where batch_scope = 'all'
        except
        select account_id, source_column, event_date
        from int_subscription_event_versions where batch_scope = 'on_time'"""
    )
    scored = set(scores["account_id"])
    assert len(scored) == len(scores) > 100
    assert set(labelled["account_id"]) <= scored
    assert scored - set(labelled["account_id"]) <= set(late["account_id"])
    assert scores["churn_probability"].between(0, 1, inclusive="neither").all()
    assert scores["reason_1"].notna().all()
    # On the as-of date. By the clock of this test, newer scores are due.
    assert streaming.query("select bool_or(is_stale) from int_latest_scores") == [
        (False,)
    ]
    offered = set(scores["recommended_offer"])
    assert offered <= set(streaming.frame("select offer from offers")["offer"])
    assert streaming.query(
        "select count(*) from churn_models where train_rows > 1000"
    ) == [(1,)]


def test_a_second_run_finds_nothing_new(streaming: DbtProject) -> None:
    count = "select count(*), max(processed_at) from base_clickstream__event_versions"
    before = streaming.query(count)
    streaming.dbt(
        "run",
        "--select",
        "base_clickstream__file_records+1",
        "base_clickstream__event_versions",
    )
    assert streaming.query(count) == before


# ---- Commands, from another folder -------------------------------------------


@pytest.fixture
def elsewhere(
    streaming: DbtProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Provide another folder, and an environment that names the company's database."""
    for name in ("DBT_PROFILES_DIR", "DBT_PROJECT_DIR", "DBT_TARGET_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CHURN_DUCKDB_PATH", str(streaming.database))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(streaming: DbtProject, *arguments: str) -> int:
    """Run a command on the company from another folder."""
    return main([*arguments, "--project-dir", str(streaming.root)])


def test_summary_has_no_sources_that_the_company_lacks(
    streaming: DbtProject, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(streaming, "summary", "--accounts=3") == 0
    printed = " ".join(capsys.readouterr().out.split())
    ((account_id,),) = streaming.query(
        "select account_id from churn_scores where risk_rank = 1"
    )
    assert f"1. {account_id} ({account_id}):" in printed
    assert "The 3 accounts most likely to leave" in printed
    ((through,),) = streaming.query(
        "select max(crm_data_through)::date::varchar from churn_scores"
    )
    assert f"CRM through {through}" in printed
    assert "billing" not in printed
    assert "support calls through" not in printed
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("currency", [None, "CHF"])
def test_summary_works_without_revenue_and_prints_the_currency(
    streaming: DbtProject,
    elsewhere: Path,
    currency: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = elsewhere / "copy.duckdb"
    shutil.copy(streaming.database, copy)
    revenue = "1234.5" if currency else "null::double"
    with duckdb.connect(str(copy)) as connection:
        connection.execute(
            f"""create table changed_scores as
            select * exclude (revenue_at_risk, currency)
                replace (null as reason_1),
                {revenue} as revenue_at_risk, ? as currency
            from churn_scores""",
            [currency],
        )
        # The model is a view.
        connection.execute("drop view churn_scores")
        connection.execute("alter table changed_scores rename to churn_scores")
    assert run(streaming, "summary", f"--database={copy}", "--accounts=1") == 0
    printed = capsys.readouterr().out
    assert "risk, 1,234 CHF at risk\n" in printed if currency else " risk\n" in printed


def test_explain_prints_an_account_without_a_plan_of_the_demo(
    streaming: DbtProject, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ((account_id,),) = streaming.query(
        "select account_id from churn_scores where risk_rank = 1"
    )
    assert run(streaming, "explain", account_id) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"Account {account_id}\n")
    assert "Visits by week" in printed
    assert "Invoices" not in printed
    assert " seats" not in printed
    assert list(elsewhere.iterdir()) == []


def test_files_of_commands_are_written_into_the_companys_folder(
    streaming: DbtProject, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(streaming, "report") == 0
    assert run(streaming, "docs") == 0
    printed = capsys.readouterr().out
    for name in ("model_card.html", "static_index.html"):
        page = streaming.root / "target" / name
        assert page.stat().st_size > 10_000
        assert str(page) in printed
    assert "Features without a source, left out:" in printed
    assert run(streaming, "dictionary") == 0
    assert "documents every path" in capsys.readouterr().out
    assert list(elsewhere.iterdir()) == []


def test_backfill_changes_the_companys_database(
    streaming: DbtProject, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = "select count(*) from churn_score_history where as_of_date = '2025-06-30'"
    assert streaming.query(count) == [(0,)]
    assert run(streaming, "backfill", "--from=2025-06-30", "--to=2025-06-30") == 0
    assert "2025-06-30 is scored." in capsys.readouterr().out
    assert streaming.query(count)[0][0] > 100
    assert streaming.query("select distinct as_of_date from churn_scores") != [
        (date(2025, 6, 30),)
    ]
    assert list(elsewhere.iterdir()) == []
    # The database is released.
    streaming.execute("delete from churn_score_history where as_of_date < '2025-07-01'")


def test_label_cost_uses_the_companys_variables(
    streaming: DbtProject, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cancellations are events, so no CRM column has a naive label."""
    assert run(streaming, "label-cost", "--write=page.md") in (0, 1)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    written = (elsewhere / "page.md").exists()
    assert written or len(captured.err.strip().splitlines()) == 1
