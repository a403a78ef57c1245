"""The naive label study counts correctly and evaluates against true labels."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn.cli.main import main
from churn.ml import naive_label_study
from churn.ml.metrics import compare, evaluate
from churn.ml.train import TrainingSettings, train
from tests.support.planted import FEATURES, HORIZON_AND_GRACE, planted_rows
from tests.support.project import DbtProject

TRAINING = TrainingSettings(
    gap_days=HORIZON_AND_GRACE, seed=3, search_trials=1, draws=50
)


def test_naive_label_is_read_from_the_last_batch_of_the_horizon() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            """
            create table int_account_changes (
                batch_scope text default 'all', account_id text, batch_date date,
                change_kind text, cancellation_date date, is_cancelled boolean,
                unreadable_cancelled_service text);
            insert into int_account_changes (
                account_id, batch_date, change_kind, cancellation_date,
                is_cancelled, unreadable_cancelled_service) values
                (null, '2025-03-01', 'batch', null, null, null),
                ('in_time', '2025-03-01', 'arrived', null, null, null),
                ('in_time', '2025-03-16', 'changed', '2025-03-16', null, null),
                ('too_late', '2025-03-01', 'arrived', null, null, null),
                ('too_late', '2025-03-17', 'changed', '2025-03-17', null, null),
                ('before', '2025-03-09', 'arrived', '2025-03-01', null, null),
                ('vanished', '2025-03-09', 'arrived', '2025-03-01', null, null),
                ('vanished', '2025-03-11', 'vanished', null, null, null),
                ('flagged', '2025-03-10', 'arrived', null, true, null),
                ('unreadable', '2025-03-10', 'arrived', null, null, 'soon'),
                ('unflagged', '2025-03-10', 'arrived', null, false, null);
            create table churn_labels as
            select distinct account_id, date '2025-03-10' as as_of_date,
                'observed' as label_status, false as is_churned
            from int_account_changes where account_id is not null
            union all
            select 'pending', date '2025-03-10', 'pending', null;
            """
        )
        rows = naive_label_study.observed_rows(connection, horizon_days=7)
    read = {
        row.account_id: (row.was_filled, row.is_filled)
        for row in rows.itertuples(index=False)
    }
    assert read == {
        "in_time": (False, True),
        "too_late": (False, False),
        "before": (True, True),
        "vanished": (True, False),
        "flagged": (False, True),
        "unreadable": (False, True),
        "unflagged": (False, False),
    }


def test_every_disagreement_is_counted() -> None:
    rows = pd.DataFrame(
        [
            ("right", True, True, False),
            ("paused", False, True, False),
            ("returned", False, True, True),
            ("returned", False, True, True),
            ("left_again", True, True, True),
            ("vanished", True, False, False),
            ("stayed", False, False, False),
        ],
        columns=["account_id", "is_churned", "is_filled", "was_filled"],
    )
    assert naive_label_study.count_rows(
        rows, naive_label_study.FILLED
    ) == naive_label_study.RowCounts(
        rows=7,
        churned=3,
        naively_churned=5,
        only_naively=3,
        accounts_only_naively=2,
        missed=1,
        excluded=0,
    )
    assert naive_label_study.count_rows(
        rows, naive_label_study.NEWLY_FILLED
    ) == naive_label_study.RowCounts(
        rows=7,
        churned=3,
        naively_churned=2,
        only_naively=1,
        accounts_only_naively=1,
        missed=1,
        excluded=3,
    )


def test_models_are_evaluated_against_the_true_label() -> None:
    rows = planted_rows(accounts=150)
    generator = np.random.default_rng(0)
    returned = generator.choice(rows["account_id"].unique(), 40, replace=False)
    rows["was_filled"] = rows["account_id"].isin(returned)
    rows["is_filled"] = rows["was_filled"] | rows["is_churned"]

    held_out = naive_label_study.compare_labels(rows, FEATURES, TRAINING)

    assert isinstance(held_out, naive_label_study.HeldOut)
    true_model, filled, newly_filled = held_out.models
    assert [true_model.label, filled.label, newly_filled.label] == [
        naive_label_study.TRUE_LABEL,
        naive_label_study.FILLED,
        naive_label_study.NEWLY_FILLED,
    ]
    assert true_model.difference is None
    assert true_model.claimed_auc.value == true_model.metrics["roc_auc"].value
    # Accounts that returned look like all others, and are naively churned.
    assert filled.mean_probability > true_model.mean_probability + 0.1
    assert filled.difference["log_loss"].low > 0
    # In this data the newly filled label is right for all rows that it uses.
    assert newly_filled.mean_probability == pytest.approx(
        true_model.mean_probability, abs=0.02
    )
    for model in held_out.models[1:]:
        for metric in naive_label_study.SHOWN:
            assert model.difference[metric].value == pytest.approx(
                model.metrics[metric].value - true_model.metrics[metric].value
            )


def test_labels_with_more_events_are_compared_on_the_same_dates() -> None:
    """A label with more events would be split at other dates by itself."""
    rows = planted_rows(accounts=200)
    rows["is_filled"] = rows["is_churned"] | (rows.index % 2 == 0)
    rows["was_filled"] = False
    by_itself = train(rows.assign(is_churned=rows["is_filled"]), FEATURES, TRAINING)
    by_truth = train(rows, FEATURES, TRAINING)
    assert len(by_itself.split.test) != len(by_truth.split.test)

    held_out = naive_label_study.compare_labels(rows, FEATURES, TRAINING)

    assert isinstance(held_out, naive_label_study.HeldOut)
    assert held_out.rows == len(by_truth.split.test)
    assert len(held_out.models) == 3


def test_a_label_with_one_outcome_is_reported() -> None:
    rows = planted_rows(accounts=150)
    rows["is_filled"] = rows["was_filled"] = False
    reason = naive_label_study.compare_labels(rows, FEATURES, TRAINING)
    assert "stayed, by the label `filled`" in str(reason)


def test_interval_of_a_difference_is_narrower_than_of_its_sides() -> None:
    generator = np.random.default_rng(1)
    accounts = np.repeat(np.arange(200), 5)
    margins = generator.normal(size=1000)
    labels = generator.random(1000) < 1 / (1 + np.exp(-margins))
    good = 1 / (1 + np.exp(-margins))
    blurred = 1 / (1 + np.exp(-margins - generator.normal(scale=0.5, size=1000)))

    difference = compare(labels, blurred, good, accounts)["roc_auc"]
    alone = evaluate(labels, good, accounts)["roc_auc"]

    assert difference.low <= difference.value <= difference.high < 0
    assert difference.high - difference.low < alone.high - alone.low
    same = compare(labels, good, good, accounts)["log_loss"]
    assert same == (0.0, 0.0, 0.0)


def test_report_of_the_seeds_agrees_with_the_tables(
    built_project: DbtProject, tmp_path: Path
) -> None:
    written = tmp_path / "wrong-label.md"
    assert (
        main(["label-cost", str(built_project.database), "--write", str(written)]) == 0
    )
    text = written.read_text()
    observed, churned = built_project.query(
        """select count(*), count(*) filter (is_churned) from churn_labels
        where label_status = 'observed'"""
    )[0]
    assert f"| test | filled | {observed:,} | {churned:,} |" in text
    ((accounts, naively_churned),) = built_project.query(
        "select count(*), count(*) filter (is_naively_churned) from int_naive_churn"
    )
    assert f" | {accounts:,} | {naively_churned:,} | " in text
    assert "churn label-cost test.duckdb" in text


def test_missing_tables_are_reported_in_one_sentence(
    project: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label-cost", str(project.database)]) == 1
    assert "There is no database" in capsys.readouterr().err
    duckdb.connect(str(project.database)).close()
    assert main(["label-cost", str(project.database)]) == 1
    error = capsys.readouterr().err
    assert "run `dbt build` first" in error
    assert len(error.splitlines()) == 1
