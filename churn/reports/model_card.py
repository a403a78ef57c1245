"""Write a model card as one HTML file: ``churn report``.

The card shows the training data, the metrics beside those of simple baselines (and, for
a demo company, of the true hazard), the most important features, the drift of today's
accounts, and the limits of the model. The file is self-contained.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from churn.config import use_schemas
from churn.ml.evaluation import MODEL
from churn.ml.metrics import TOP_SHARES
from churn.ml.model import ChurnModel
from churn.ml.oracle import Oracle, measure_oracle
from churn.ml.registry import model_of, select_model
from churn.reports import charts
from churn.reports.charts import Curve, Node, percent, plain

TEMPLATE = Path(__file__).with_name("model_card.html.jinja")

# Predictors in display order.
PREDICTORS = {
    MODEL: "this model",
    "oracle": "true hazard (the oracle)",
    "logistic_regression": "logistic regression",
    "recency_rule": "days since last visit",
    "prevalence": "constant probability",
}
METRICS = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    **{f"lift_at_{s * 100:.0f}": f"lift at {s:.0%}" for s in TOP_SHARES},
    **{
        f"captured_revenue_at_{s * 100:.0f}": f"captured revenue at {s:.0%}"
        for s in TOP_SHARES
    },
}
KINDS = {
    "logistic_regression": "a logistic regression",
    "trees": "gradient-boosted trees",
    "constrained_trees": "gradient-boosted trees with monotone constraints",
    "boosted_regression": "a logistic regression, corrected by gradient-boosted trees",
    "averaged": "the average of a logistic regression and gradient-boosted trees",
}
# Maximum rows in the contribution charts; more rows do not change them visibly.
MAX_EXPLAINED_ROWS = 4000
BINS = 10
MAX_TREES = 3
MAX_EFFECTS = 6
MAX_BARS = 12


class ModelCardError(Exception):
    """Report why there is no model card, in one sentence that says what to do."""


@dataclass(frozen=True)
class HeldOut:
    """The rows that the model is evaluated on, with its predictions.

    Attributes:
        part: ``test``, ``validation`` or ``train``, the first that has rows.
        rows: Rows of ``churn_training_set``.
        matrix: Their features, encoded for the model.
        probabilities: The model's probabilities, of shape (n_rows,).
    """

    part: str
    rows: pd.DataFrame
    matrix: np.ndarray
    probabilities: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Return whether each row churned."""
        return self.rows["is_churned"].to_numpy(dtype=float)


def model_card(
    database: Path,
    schema: str = "main",
    version: str | None = None,
    truth: Path | None = None,
) -> str:
    """Return the model card as HTML.

    Args:
        database: The DuckDB file that dbt built.
        schema: The target schema of dbt.
        version: The model version; ``None`` for the champion.
        truth: The folder ``truth`` of the demo company in the database.

    Raises:
        ModelCardError: The database, a table or the model is missing.
        RegistryError: The version is not in the registry.
    """
    if not database.exists():
        raise ModelCardError(f"There is no database {database}: run `dbt build` first.")
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            use_schemas(connection, schema)
            return _page(connection, version, truth)
    except duckdb.CatalogException as error:
        raise ModelCardError(
            f"{database} does not hold all tables yet: run `dbt build` first."
        ) from error
    except duckdb.IOException as error:
        raise ModelCardError(
            f"{database} is in use by another process: wait until that run has ended."
        ) from error


def _page(
    connection: duckdb.DuckDBPyConnection, version: str | None, truth: Path | None
) -> str:
    registry = connection.table("churn_models").df()
    row = select_model(registry, version)
    if row is None:
        raise ModelCardError(
            "churn_models is empty: a model needs observed labels of accounts that "
            "churned and of accounts that stayed."
        )
    model = model_of(row, os.cpu_count() or 1)
    feature_dictionary = connection.table("feature_dictionary").df()
    feature_dictionary = feature_dictionary.set_index("feature")
    labels = feature_dictionary["label"].to_dict()
    held_out = _held_out(connection, row, model)
    # Other rows are not held out from the final model, only from its folds.
    is_test = held_out.part == "test"
    oracle = (
        measure_oracle(held_out.rows, held_out.probabilities, truth)
        if truth and is_test
        else None
    )
    contributions, explained = _contributions(model, held_out.matrix)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, plain=plain)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        model=row,
        parameters=json.loads(row["parameters"]),
        libraries=json.loads(row["library_versions"]),
        features=len(model.feature_names),
        kind=KINDS.get(row["model_kind"], "gradient-boosted trees"),
        constraint_tests=[
            {**test, "label": labels.get(test["feature"], test["feature"])}
            for test in json.loads(row["constraint_tests"] or "[]")
        ],
        accounts=_accounts(connection),
        spans=_svg(_spans, connection, row),
        part=held_out.part,
        held_out=held_out,
        account_count=held_out.rows["account_id"].nunique(),
        metrics=_metric_rows(row, held_out.part, oracle),
        intervals=[
            (METRICS[metric], _svg(_intervals, row, held_out.part, oracle, metric))
            for metric in ("roc_auc", "pr_auc")
        ],
        oracle=oracle,
        gain=_svg(_gain_chart, held_out, oracle) if is_test else None,
        calibration=_svg(_calibration_chart, held_out) if is_test else None,
        importance=_svg(_importance_chart, model, contributions, labels),
        effects=_effects(model, explained, contributions, labels),
        drift=_drift(connection, row, labels),
        outcomes=_outcomes(connection, row),
        trees=_trees(model, labels),
        rounds=model.rounds,
        registry=_registry_rows(registry),
    )


def _svg(draw: Any, *arguments: Any) -> Markup | None:
    """Draw a chart and mark it as safe HTML; ``None`` stays ``None``."""
    svg = draw(*arguments)
    return None if svg is None else Markup(svg)


def _accounts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Count the rows and accounts of the training set."""
    counts = connection.execute(
        """select count(*) as rows, count(distinct account_id) as accounts,
            count(case when is_churned then 1 end) as churned,
            min(as_of_date) as first_day, max(as_of_date) as last_day
        from churn_training_set"""
    ).df()
    return counts.iloc[0].to_dict()


def _held_out(
    connection: duckdb.DuckDBPyConnection, row: dict[str, Any], model: ChurnModel
) -> HeldOut:
    """Read the newest part of the model's split."""
    part = next(
        part for part in ("test", "validation", "train") if row[f"{part}_rows"] > 0
    )
    rows = connection.execute(
        """select * from churn_training_set
        where as_of_date between ? and ? order by as_of_date, account_id""",
        [
            pd.Timestamp(row[f"{part}_from"]).date(),
            pd.Timestamp(row[f"{part}_to"]).date(),
        ],
    ).df()
    matrix = model.matrix(rows)
    return HeldOut(part, rows, matrix, model.predict_proba(matrix))


def _contributions(
    model: ChurnModel, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the contributions of evenly spread rows, and those rows."""
    sample = matrix[:: max(1, len(matrix) // MAX_EXPLAINED_ROWS)]
    return model.contributions(sample)[:, :-1], sample


def _spans(connection: duckdb.DuckDBPyConnection, row: dict[str, Any]) -> str:
    """Draw the time range of each part of the split."""
    first, last = connection.execute(
        """select min(as_of_date), greatest(
            max(as_of_date), (select max(as_of_date) from churn_scores)
        ) from churn_training_set"""
    ).fetchall()[0]
    first, last = pd.Timestamp(first), pd.Timestamp(last)
    length = max((last - first).days, 1)

    def share(day: Any) -> float:
        return (pd.Timestamp(day) - first).days / length

    spans = [
        (
            part,
            f"{row[f'{part}_rows']:,} rows, {row[f'{part}_churned_rows']:,} churned",
            share(row[f"{part}_from"]),
            share(row[f"{part}_to"]),
            color,
        )
        for part, color in (("train", 2), ("validation", 4), ("test", 1))
        if row[f"{part}_rows"] > 0
    ]
    return charts.span_chart(
        spans, f"Parts of the split, {first.date()} to {last.date()}"
    )


def _estimates(
    row: dict[str, Any], part: str, oracle: Oracle | None
) -> dict[str, dict[str, Any]]:
    """Return the metrics of each predictor on one part of the split."""
    metrics_by_part = {
        MODEL: json.loads(row["metrics"]),
        **json.loads(row["baselines"]),
    }
    estimates = {
        name: parts[part] for name, parts in metrics_by_part.items() if part in parts
    }
    if oracle is not None:
        estimates["oracle"] = oracle.metrics
    return {name: estimates[name] for name in PREDICTORS if name in estimates}


def _metric_rows(
    row: dict[str, Any], part: str, oracle: Oracle | None
) -> dict[str, Any]:
    """Return the table of metrics: one row per metric, one column per predictor."""
    estimates = _estimates(row, part, oracle)

    def cell(metric: str, predictor_metrics: dict[str, Any]) -> tuple[str, str]:
        value, low, high = predictor_metrics.get(metric, (None, None, None))
        if value is None:
            return "none", ""
        interval = "" if low is None else f"{low:.3f} to {high:.3f}"
        return f"{value:.3f}", interval

    return {
        "predictors": [PREDICTORS[name] for name in estimates],
        "rows": [
            (title, [cell(metric, predictor) for predictor in estimates.values()])
            for metric, title in METRICS.items()
        ],
    }


def _intervals(
    row: dict[str, Any], part: str, oracle: Oracle | None, metric: str
) -> str | None:
    """Draw one metric of all predictors with its interval, the model first."""
    rows = [
        (PREDICTORS[name], *predictor_metrics[metric])
        for name, predictor_metrics in _estimates(row, part, oracle).items()
        if predictor_metrics[metric][0] is not None
    ]
    if not rows:
        return None
    return charts.interval_chart(rows, f"{METRICS[metric]} with 95 % intervals")


def gain(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of churn in the top 0 to 100 % of the rows by score.

    Rows of equal score form one step, so that the curve does not depend on their
    order.
    """
    levels, level = np.unique(-scores, return_inverse=True)
    rows_by_level = np.bincount(level, minlength=len(levels)).cumsum()
    churned_by_level = np.bincount(level, labels, minlength=len(levels)).cumsum()
    shares = np.linspace(0, 1, 51)
    return shares, np.interp(
        shares,
        np.append(0, rows_by_level / rows_by_level[-1]),
        np.append(0, churned_by_level / max(churned_by_level[-1], 1)),
    )


def _gain_chart(held_out: HeldOut, oracle: Oracle | None) -> str | None:
    """Draw the share of churn reached by calling the riskiest accounts first."""
    if not held_out.labels.any():
        return None
    curves = [Curve("this model", *gain(held_out.labels, held_out.probabilities), 1)]
    days = held_out.rows.get("days_since_last_visit")
    if days is not None:
        recency = days.to_numpy(dtype=float, na_value=np.nan)
        recency_score = np.nan_to_num(recency, nan=np.inf)
        curves.append(
            Curve("days since last visit", *gain(held_out.labels, recency_score), 2)
        )
    if oracle is not None:
        has_hazard = ~np.isnan(oracle.probabilities)
        shares, churn_shares = gain(
            held_out.labels[has_hazard], oracle.probabilities[has_hazard]
        )
        curves.append(Curve("true hazard", shares, churn_shares, 3))
    curves.append(Curve("random order", [0, 1], [0, 1], 4, is_dashed=True))
    return charts.line_chart(
        curves,
        "Gain curve",
        "share of accounts called, riskiest first",
        "share of churn reached",
        percent,
        percent,
    )


def calibration_points(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> pd.DataFrame:
    """Return predicted and actual churn in bins of equal size.

    Returns:
        ``predicted`` (mean probability), ``actual`` (churned share), and ``low`` and
        ``high``, the bounds of Wilson's score interval (1927) at two standard errors.
        One row per bin.
    """
    order = np.argsort(probabilities, kind="stable")
    points = []
    for rows in np.array_split(order, min(bins, len(order))):
        n, share = len(rows), labels[rows].mean()
        middle = (share + 2 / n) / (1 + 4 / n)
        half = 2 * np.sqrt(share * (1 - share) / n + 1 / n**2) / (1 + 4 / n)
        points.append(
            {
                "predicted": probabilities[rows].mean(),
                "actual": share,
                "low": max(middle - half, 0.0),
                "high": min(middle + half, 1.0),
            }
        )
    return pd.DataFrame(points)


def _calibration_chart(held_out: HeldOut) -> str:
    """Draw actual churn against predicted probability."""
    points = calibration_points(held_out.labels, held_out.probabilities)
    end = float(points["predicted"].max())
    return charts.line_chart(
        [
            Curve(
                "this model",
                points["predicted"].tolist(),
                points["actual"].tolist(),
                1,
                has_points=True,
                low=points["low"].tolist(),
                high=points["high"].tolist(),
            ),
            Curve("as predicted", [0, end], [0, end], 4, is_dashed=True),
        ],
        "Calibration curve",
        "mean predicted probability of a tenth of the rows",
        "share that churned",
        percent,
        percent,
    )


def _importance_chart(
    model: ChurnModel, contributions: np.ndarray, labels: dict[str, str]
) -> str:
    """Draw the features with the largest mean absolute contribution."""
    strength = np.abs(contributions).mean(axis=0)
    order = np.argsort(-strength)[:MAX_BARS]
    return charts.bar_chart(
        [
            (
                labels.get(model.feature_names[i], model.feature_names[i]),
                float(strength[i]),
            )
            for i in order
            if strength[i] > 0
        ],
        "Mean absolute contribution to the log-odds",
    )


def _effects(
    model: ChurnModel,
    matrix: np.ndarray,
    contributions: np.ndarray,
    labels: dict[str, str],
) -> list[tuple[str, Markup]]:
    """Draw the contribution of the strongest features against their value."""
    charts_with_notes = []
    strength = np.abs(contributions).mean(axis=0)
    for position in np.argsort(-strength):
        name = model.feature_names[position]
        values, contribution = matrix[:, position], contributions[:, position]
        present = ~np.isnan(values)
        if strength[position] == 0:
            break
        if name in model.codes or len(np.unique(values[present])) < 3:
            continue
        edges = np.unique(np.quantile(values[present], np.linspace(0, 1, 13)))
        bin_of = np.clip(
            np.searchsorted(edges, values[present], "right") - 1, 0, len(edges) - 2
        )
        means = pd.DataFrame(
            {"bin": bin_of, "x": values[present], "y": contribution[present]}
        )
        means = means.groupby("bin").mean()
        title = labels.get(name, name)
        chart = charts.line_chart(
            [Curve("", means["x"].tolist(), means["y"].tolist(), 1, has_points=True)],
            f"Effect of {title}",
            title,
            "added to the log-odds of churn",
            height=230,
        )
        missing = contribution[~present]
        note = f"{missing.mean():+.2f} if missing" if len(missing) else ""
        charts_with_notes.append((note, Markup(chart)))
        if len(charts_with_notes) == MAX_EFFECTS:
            break
    return charts_with_notes


def _drift(
    connection: duckdb.DuckDBPyConnection, row: dict[str, Any], labels: dict[str, str]
) -> dict[str, Any] | None:
    """Return the features of the newest date with the largest drift."""
    drift = connection.execute(
        """select * from feature_drift
        where model_version = $version and as_of_date = (
            select max(as_of_date) from feature_drift where model_version = $version
        )
        and population_stability_index is not null
        order by population_stability_index desc, feature""",
        {"version": row["model_version"]},
    ).df()
    if drift.empty:
        return None
    bars = [
        (
            labels.get(row_of_feature.feature, row_of_feature.feature),
            float(row_of_feature.population_stability_index),
        )
        for row_of_feature in drift.head(MAX_BARS).itertuples()
    ]
    return {
        "day": str(drift["as_of_date"][0])[:10],
        "accounts": int(drift["count_accounts"][0]),
        "expected_psi": float(drift["expected_psi"].max()),
        "missing_rates": [
            (
                labels.get(row_of_feature.feature, row_of_feature.feature),
                row_of_feature.training_missing_share,
                row_of_feature.missing_share,
            )
            for row_of_feature in drift.itertuples()
            if row_of_feature.missing_share
            > row_of_feature.training_missing_share + 0.1
        ],
        "chart": Markup(
            charts.bar_chart(bars, "Population stability index", mark=0.25)
        ),
    }


def _outcomes(
    connection: duckdb.DuckDBPyConnection, row: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the outcomes of the model's scores by month and risk band."""
    outcomes = connection.execute(
        """select * from score_outcomes
        where model_version = ? and count_observed > 0
        order by score_month desc, case risk_band
            when 'high' then 1 when 'medium' then 2 when 'low' then 3 else 4 end
        limit 24""",
        [row["model_version"]],
    ).df()
    return outcomes.to_dict("records")


def _trees(model: ChurnModel, labels: dict[str, str]) -> list[Markup]:
    """Draw the first trees of the model; none if it has only a linear part."""
    if model.booster is None:
        return []
    first_trees = model.booster[: min(MAX_TREES, model.rounds)]
    trees = first_trees.get_dump(dump_format="json", with_stats=True)
    # XGBoost writes a split as `value < threshold`.
    texts = {
        name: {number: text for text, number in codes.items()}
        for name, codes in model.codes.items()
    }

    def node(split: dict[str, Any], answer: str) -> Node:
        if "leaf" in split:
            rows = f"weight {split['cover']:,.0f}"
            return Node(rows, answer, value=float(split["leaf"]))
        name = split["split"]
        by_id = {child["nodeid"]: child for child in split["children"]}
        below, above = by_id[split["yes"]], by_id[split["no"]]
        missing = split.get("missing")
        if name in texts:
            words = [
                text
                for number, text in sorted(texts[name].items())
                if number < split["split_condition"]
            ]
            question = f"{labels.get(name, name)} is {' or '.join(words)}"
        else:
            threshold = plain(float(split["split_condition"]))
            question = f"{labels.get(name, name)} < {threshold}"
        return Node(
            f"{question}?",
            answer,
            children=(
                node(below, "yes" if missing != split["yes"] else "yes, or missing"),
                node(above, "no" if missing != split["no"] else "no, or missing"),
            ),
        )

    return [
        Markup(charts.tree_chart(node(json.loads(tree), ""), f"Tree {number}"))
        for number, tree in enumerate(trees, start=1)
    ]


def _registry_rows(registry: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the newest models of the registry."""
    newest = registry.sort_values(["trained_at", "model_version"], ascending=False)
    return newest.head(10).to_dict("records")
