"""Model registry: which models are kept, which is the champion, and pinning."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from churn.ml.drift import measure_drift
from churn.ml.registry import (
    METRICS_SCHEMA,
    REGISTRY_SCHEMA,
    RegistryError,
    as_table,
    champion_of,
    metrics_table,
    model_of,
    select_model,
    train_and_register,
    with_all_columns,
)
from churn.ml.train import TrainingSettings
from tests.support.planted import FEATURES, HORIZON_AND_GRACE, planted_rows
from tests.support.project import DbtProject

SETTINGS = TrainingSettings(gap_days=HORIZON_AND_GRACE, seed=3, search_trials=1)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return planted_rows()


@pytest.fixture(scope="module")
def registry(rows: pd.DataFrame) -> pd.DataFrame:
    return train_and_register(rows, FEATURES, None, SETTINGS).to_pandas()


def test_the_first_model_is_champion(registry: pd.DataFrame) -> None:
    assert registry["is_champion"].tolist() == [True]
    assert registry["promotion_reason"].tolist() == ["The first model."]
    assert registry["model_version"][0].startswith("2025-11-03_")


def test_a_stored_model_scores_like_the_trained_one(
    rows: pd.DataFrame, registry: pd.DataFrame
) -> None:
    model = model_of(champion_of(registry))
    probabilities = model.predict_proba(model.matrix(rows))
    few = rows["visits_28d"] < 2
    assert probabilities[few].mean() > 3 * probabilities[~few].mean()


def test_the_same_training_is_not_repeated(
    rows: pd.DataFrame, registry: pd.DataFrame
) -> None:
    shuffled = rows.sample(frac=1, random_state=2)
    assert train_and_register(shuffled, FEATURES, registry, SETTINGS).num_rows == 0


def test_new_rows_give_a_challenger_and_one_champion(
    rows: pd.DataFrame, registry: pd.DataFrame
) -> None:
    more = pd.concat([rows, planted_rows(weeks=46).iloc[len(rows) :]])
    written = train_and_register(more, FEATURES, registry, SETTINGS).to_pandas()
    assert len(written) == 2
    assert written["is_champion"].sum() == 1
    old = written[written["model_version"] == registry["model_version"][0]].iloc[0]
    assert not old["is_champion"]
    assert old["was_promoted"]
    unchanged = [name for name in registry if name != "is_champion"]
    for name in unchanged:
        assert str(old[name]) == str(registry[name][0]), name


def test_a_worse_challenger_is_not_promoted(
    rows: pd.DataFrame, registry: pd.DataFrame
) -> None:
    noise = [feature for feature in FEATURES if feature.name == "noise"]
    written = train_and_register(rows, noise, registry, SETTINGS).to_pandas()
    assert written["is_champion"].tolist() == [False]
    assert written["was_promoted"].tolist() == [False]
    assert written["promotion_reason"][0].endswith("worse.")


def test_a_champion_without_its_features_is_replaced(
    rows: pd.DataFrame, registry: pd.DataFrame
) -> None:
    fewer = [feature for feature in FEATURES if feature.name != "noise"]
    written = train_and_register(
        rows.drop(columns="noise"), fewer, registry, SETTINGS
    ).to_pandas()
    new = written[written["is_champion"]].iloc[0]
    assert "cannot be compared" in new["promotion_reason"]
    assert "noise" in new["promotion_reason"]


def test_labels_completed_later_are_excluded(rows: pd.DataFrame) -> None:
    as_of_date = pd.Timestamp("2025-10-01")
    written = train_and_register(
        rows, FEATURES, None, SETTINGS, as_of_date=as_of_date
    ).to_pandas()
    newest = max(
        pd.Timestamp(day)
        for day in written[["train_to", "validation_to", "test_to"]].iloc[0].dropna()
    )
    assert newest + pd.Timedelta(days=HORIZON_AND_GRACE) <= as_of_date


def test_untrainable_labels_are_reported_in_one_line(
    rows: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    for untrainable in (rows.head(0), rows[~rows["is_churned"]]):
        table = train_and_register(untrainable, FEATURES, None, SETTINGS)
        assert table.num_rows == 0
        assert table.schema == REGISTRY_SCHEMA
        output = capsys.readouterr().out
        assert output.startswith("Cannot train a model yet: ")
        assert output.count("\n") == 1


def test_a_version_can_be_pinned(registry: pd.DataFrame) -> None:
    older = {**registry.iloc[0].to_dict(), "is_champion": False, "model_version": "old"}
    both = pd.concat([registry, as_table([older]).to_pandas()], ignore_index=True)
    assert select_model(both)["model_version"] == registry["model_version"][0]
    assert select_model(both, "old")["model_version"] == "old"
    with pytest.raises(RegistryError, match=r"is lost, but churn_models holds .*old"):
        select_model(both, "lost")


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        # Without the digest, XGBoost reads beyond its arrays and ends the process.
        ("model", '"left_children":[', '"left_children":[99999999,'),
        ("calibration", '"slope"', '"intercept"'),
        ("feature_names", '"noise"', '"__class__"'),
        ("feature_medians", "{", '{"x":1,'),
    ],
)
def test_a_model_that_was_changed_is_not_loaded(
    rows: pd.DataFrame,
    registry: pd.DataFrame,
    column: str,
    old: str,
    new: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = registry.copy()
    assert old in changed.loc[0, column]
    changed.loc[0, column] = changed.loc[0, column].replace(old, new)
    with pytest.raises(RegistryError, match="was changed after it was stored"):
        model_of(select_model(changed))
    if column == "model":
        # The same training is repeated and replaces the row.
        (again,) = train_and_register(rows, FEATURES, changed, SETTINGS).to_pylist()
        assert again["model_version"] == registry["model_version"][0]
        assert model_of(again).rounds == model_of(champion_of(registry)).rounds
        assert "it is not used" in capsys.readouterr().out


def test_metrics_table_has_one_row_per_metric(registry: pd.DataFrame) -> None:
    metrics = metrics_table(registry).to_pandas()
    keys = ["model_version", "predictor", "split", "metric"]
    assert not metrics.duplicated(keys).any()
    held_out = metrics[(metrics["split"] == "test") & (metrics["metric"] == "roc_auc")]
    assert len(held_out) == 4
    model = held_out[held_out["predictor"] == "model"].iloc[0]
    assert model["lower_bound"] < model["value"] < model["upper_bound"]
    assert model["value"] == registry["test_roc_auc"][0]
    assert metrics_table(registry.head(0)).schema == METRICS_SCHEMA


NEWER = [
    "fit_rows",
    "fit_end_date",
    "labels_complete_date",
    "drift_bins",
    "model_kind",
    "selection_reason",
    "quality_warning",
    "baseline_differences",
    "constraint_tests",
    "linear_part",
    "model_digest",
]


def test_a_registry_of_an_older_version_is_extended(
    rows: pd.DataFrame,
    registry: pd.DataFrame,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """New columns of old models are null; nothing else changes."""
    old = registry.drop(columns=NEWER)
    assert train_and_register(rows, FEATURES, old, SETTINGS).num_rows == 0
    more = pd.concat([rows, planted_rows(weeks=46).iloc[len(rows) :]])
    written = train_and_register(more, FEATURES, old, SETTINGS).to_pandas()
    assert written["is_champion"].sum() == 1
    replaced = written[written["model_version"] == registry["model_version"][0]]
    assert replaced[NEWER].isna().all(axis=None)
    for name in set(old) - {"is_champion"}:
        assert str(replaced.iloc[0][name]) == str(registry[name][0]), name

    champion = champion_of(with_all_columns(old))
    assert measure_drift(rows, champion, FEATURES).num_rows == 0
    assert "stored no drift bins" in capsys.readouterr().out


def test_models_run_on_a_registry_of_an_older_version(
    built_project: DbtProject, tmp_path: Path
) -> None:
    """The table gets its new columns, and the models that read them succeed."""
    shutil.copy(built_project.database, tmp_path)
    project = DbtProject(tmp_path)
    # Older versions had trees only.
    project.execute("delete from churn_models")
    only_trees = {"monotone_constraints": "always"}
    project.dbt("run", "--select", "churn_models", **only_trees)
    before = project.query("select model_version, model from churn_models")
    project.execute(*[f"alter table churn_models drop {name}" for name in NEWER])
    project.dbt(
        "run",
        "--select",
        "churn_models",
        "churn_model_metrics",
        "feature_drift",
        "score_outcomes",
        "int_accounts_scored",
        **only_trees,
    )
    assert before == project.query("select model_version, model from churn_models")
    assert project.query(f"select {', '.join(NEWER)} from churn_models") == [
        (None,) * len(NEWER)
    ]
