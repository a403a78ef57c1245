"""Writes a model card as one HTML file: ``python -m churn report``.

What the model learnt from, how good it is beside simpler rules (and, for a demo
company, beside the truth), what it looks at, how far today's accounts are from
those it knows, and where its limits are. The file needs nothing but itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from churn import charts, run
from churn.charts import Curve, Node, percent, plain
from churn.metrics import TOP_SHARES
from churn.oracle import Oracle, measure_oracle
from churn.registry import RegistryError, model_of, select_model
from churn.train import MODEL, ChurnModel

TEMPLATE = Path(__file__).with_name("report.html.jinja")

# In the order in which they are shown.
PREDICTORS = {
    MODEL: "this model",
    "oracle": "true hazard (the oracle)",
    "logistic_regression": "logistic regression",
    "recency_rule": "days since last visit",
    "prevalence": "everyone alike",
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
# Rows whose contributions are shown: more change nothing that can be seen.
ROWS_EXPLAINED = 4000
BINS = 10
TREES_DRAWN = 3
EFFECTS_DRAWN = 6
BARS = 12


class ModelCardError(Exception):
    """Why there is nothing to report, as one sentence that says what to do."""


@dataclass(frozen=True)
class HeldOut:
    """The rows that judge the model, and what it says of them.

    Attributes:
        part: ``test``, ``validation`` or ``train``, the best that there is.
        rows: Rows of ``churn_training_set``.
        matrix: Their features as the model sees them.
        probabilities: The model's, of shape (n_rows,).
    """

    part: str
    rows: pd.DataFrame
    matrix: np.ndarray
    probabilities: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Whether each row churned."""
        return self.rows["is_churned"].to_numpy(dtype=float)


def main(arguments: list[str] | None = None) -> int:
    """Write the model card; return 0, or 1 with one sentence if it cannot."""
    parser = argparse.ArgumentParser(
        prog="python -m churn report", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument(
        "--database",
        type=Path,
        default=run.database_path(),
        help="the DuckDB file that dbt built (default: CHURN_DUCKDB_PATH)",
    )
    parser.add_argument(
        "--schema", default="main", help="the schema of the tables (default: main)"
    )
    parser.add_argument("--model", metavar="VERSION", help="default: the champion")
    parser.add_argument(
        "--truth",
        type=Path,
        help="folder `truth` of a demo company (default: that of `make run`)",
    )
    parser.add_argument(
        "--write", type=Path, default=Path("target/model_card.html"), metavar="FILE"
    )
    options = parser.parse_args(arguments)
    try:
        page = model_card(
            options.database,
            options.schema,
            options.model,
            options.truth or default_truth(options.database),
        )
    except (ModelCardError, RegistryError) as reason:
        print(reason, file=sys.stderr)
        return 1
    options.write.parent.mkdir(parents=True, exist_ok=True)
    options.write.write_text(page, encoding="utf-8")
    print(f"The model card is in {options.write}")
    return 0


def default_truth(database: Path) -> Path | None:
    """The truth of the demo company that ``make run`` loaded, if it did."""
    marker = run.DATA / f"loaded-into-{database.stem}.json"
    is_own = database.resolve() == (run.ROOT / run.database_path()).resolve()
    if not is_own or not marker.exists():
        return None
    truth = run.DATA / json.loads(marker.read_text())["company"] / "truth"
    return truth if truth.exists() else None


def model_card(
    database: Path,
    schema: str = "main",
    version: str | None = None,
    truth: Path | None = None,
) -> str:
    """The page, as HTML.

    Args:
        database: The DuckDB file that dbt built.
        schema: The schema of the tables.
        version: The model; the champion by default.
        truth: The folder ``truth`` of the demo company that the database holds.

    Raises:
        ModelCardError: There is no database, no table, or no model.
        RegistryError: The registry does not hold the version.
    """
    if not database.exists():
        raise ModelCardError(
            f"There is no database {database}: run `make run`, or `dbt build`, first."
        )
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute(f'set schema = "{schema}"')
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
            "churn_models holds no model yet: it needs observed labels of accounts "
            "that churned and of accounts that stayed."
        )
    model = model_of(row, os.cpu_count() or 1)
    dictionary = connection.table("feature_dictionary").df().set_index("feature")
    labels = dictionary["label"].to_dict()
    held_out = _held_out(connection, row, model)
    oracle = (
        measure_oracle(held_out.rows, held_out.probabilities, truth) if truth else None
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
        constrained=int(dictionary["monotone_direction"].notna().sum()),
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
        gain=_svg(_gain_chart, held_out, oracle),
        calibration=_svg(_calibration_chart, held_out),
        importance=_svg(_importance_chart, model, contributions, labels),
        effects=_effects(model, explained, contributions, labels),
        drift=_drift(connection, row, labels),
        outcomes=_outcomes(connection, row),
        trees=_trees(model, labels),
        rounds=model.booster.num_boosted_rounds(),
        registry=_registry_rows(registry),
    )


def _svg(draw: Any, *arguments: Any) -> Markup | None:
    """A chart that the template takes as it is; ``None`` stays ``None``."""
    drawn = draw(*arguments)
    return None if drawn is None else Markup(drawn)


def _accounts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """What the model learns from and scores, in numbers."""
    counted = connection.execute(
        """select count(*) as rows, count(distinct account_id) as accounts,
            count(case when is_churned then 1 end) as churned,
            min(as_of_date) as first_day, max(as_of_date) as last_day
        from churn_training_set"""
    ).df()
    return counted.iloc[0].to_dict()


def _held_out(
    connection: duckdb.DuckDBPyConnection, row: dict[str, Any], model: ChurnModel
) -> HeldOut:
    """The newest part of the model's split, whatever it is."""
    part = next(
        part for part in ("test", "validation", "train") if row[f"{part}_rows"] > 0
    )
    found = connection.execute(
        """select * from churn_training_set
        where as_of_date between ? and ? order by as_of_date, account_id""",
        [
            pd.Timestamp(row[f"{part}_from"]).date(),
            pd.Timestamp(row[f"{part}_to"]).date(),
        ],
    ).df()
    matrix = model.matrix(found)
    return HeldOut(part, found, matrix, model.predict_proba(matrix))


def _contributions(
    model: ChurnModel, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Contributions of evenly spread rows, and those rows."""
    some = matrix[:: max(1, len(matrix) // ROWS_EXPLAINED)]
    return model.contributions(some)[:, :-1], some


def _spans(connection: duckdb.DuckDBPyConnection, row: dict[str, Any]) -> str:
    """When the rows of each part lie."""
    first, last = connection.execute(
        """select min(as_of_date), greatest(
            max(as_of_date), (select max(as_of_date) from churn_scores)
        ) from churn_training_set"""
    ).fetchone()
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
    """The metrics of each predictor on one part of the split."""
    told = {MODEL: json.loads(row["metrics"]), **json.loads(row["baselines"])}
    found = {name: parts[part] for name, parts in told.items() if part in parts}
    if oracle is not None:
        found["oracle"] = oracle.metrics
    return {name: found[name] for name in PREDICTORS if name in found}


def _metric_rows(
    row: dict[str, Any], part: str, oracle: Oracle | None
) -> dict[str, Any]:
    """The table of metrics: predictors as columns, a metric a row."""
    estimates = _estimates(row, part, oracle)

    def cell(metric: str, told: dict[str, Any]) -> tuple[str, str]:
        value, low, high = told.get(metric, (None, None, None))
        if value is None:
            return "none", ""
        interval = "" if low is None else f"{low:.3f} to {high:.3f}"
        return f"{value:.3f}", interval

    return {
        "predictors": [PREDICTORS[name] for name in estimates],
        "rows": [
            (title, [cell(metric, told) for told in estimates.values()])
            for metric, title in METRICS.items()
        ],
    }


def _intervals(
    row: dict[str, Any], part: str, oracle: Oracle | None, metric: str
) -> str | None:
    """One metric of all predictors with its interval, the model first."""
    rows = [
        (PREDICTORS[name], *told[metric])
        for name, told in _estimates(row, part, oracle).items()
        if told[metric][0] is not None
    ]
    if not rows:
        return None
    return charts.interval_chart(rows, f"{METRICS[metric]} with 95 % intervals")


def gain(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of churn among the riskiest rows, for 0 to 100 % of the rows.

    Rows of equal score are one step, so that the curve does not depend on their
    order.
    """
    levels, level = np.unique(-scores, return_inverse=True)
    taken = np.bincount(level, minlength=len(levels)).cumsum()
    caught = np.bincount(level, labels, minlength=len(levels)).cumsum()
    shares = np.linspace(0, 1, 51)
    return shares, np.interp(
        shares,
        np.append(0, taken / taken[-1]),
        np.append(0, caught / max(caught[-1], 1)),
    )


def _gain_chart(held_out: HeldOut, oracle: Oracle | None) -> str | None:
    """Who would have been reached by calling the riskiest first."""
    if not held_out.labels.any():
        return None
    curves = [Curve("this model", *gain(held_out.labels, held_out.probabilities), 1)]
    days = held_out.rows.get("days_since_last_visit")
    if days is not None:
        known = days.to_numpy(dtype=float, na_value=np.nan)
        longest = np.nan_to_num(known, nan=np.inf)
        curves.append(
            Curve("days since last visit", *gain(held_out.labels, longest), 2)
        )
    if oracle is not None:
        told = ~np.isnan(oracle.probabilities)
        shares, caught = gain(held_out.labels[told], oracle.probabilities[told])
        curves.append(Curve("true hazard", shares, caught, 3))
    curves.append(Curve("by chance", [0, 1], [0, 1], 4, is_dashed=True))
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
    """Mean probability and share that churned in bins of equally many rows.

    Returns:
        ``predicted``, ``actual``, and the bounds ``low`` and ``high`` of two
        standard errors (Wilson's interval), one row per bin.
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
    """Whether 10 % means 10 %."""
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
    """The features that move scores most."""
    strength = np.abs(contributions).mean(axis=0)
    order = np.argsort(-strength)[:BARS]
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
    """What the values of the strongest features do to the score."""
    drawn = []
    strength = np.abs(contributions).mean(axis=0)
    for position in np.argsort(-strength):
        name = model.feature_names[position]
        values, told = matrix[:, position], contributions[:, position]
        known = ~np.isnan(values)
        if strength[position] == 0:
            break
        if name in model.codes or len(np.unique(values[known])) < 3:
            continue
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, 13)))
        bin_of = np.clip(
            np.searchsorted(edges, values[known], "right") - 1, 0, len(edges) - 2
        )
        means = pd.DataFrame({"bin": bin_of, "x": values[known], "y": told[known]})
        means = means.groupby("bin").mean()
        title = labels.get(name, name)
        chart = charts.line_chart(
            [Curve("", means["x"].tolist(), means["y"].tolist(), 1, has_points=True)],
            f"Effect of {title}",
            title,
            "added to the log-odds of churn",
            height=230,
        )
        missing = told[~known]
        note = f"{missing.mean():+.2f} where not known" if len(missing) else ""
        drawn.append((note, Markup(chart)))
        if len(drawn) == EFFECTS_DRAWN:
            break
    return drawn


def _drift(
    connection: duckdb.DuckDBPyConnection, row: dict[str, Any], labels: dict[str, str]
) -> dict[str, Any] | None:
    """The features of the newest day that are furthest from the training rows."""
    found = connection.execute(
        """select * from feature_drift
        where model_version = $version and as_of_date = (
            select max(as_of_date) from feature_drift where model_version = $version
        )
        and population_stability_index is not null
        order by population_stability_index desc, feature""",
        {"version": row["model_version"]},
    ).df()
    if found.empty:
        return None
    bars = [
        (
            labels.get(told.feature, told.feature),
            float(told.population_stability_index),
        )
        for told in found.head(BARS).itertuples()
    ]
    return {
        "day": str(found["as_of_date"][0])[:10],
        "accounts": int(found["count_accounts"][0]),
        "by_chance": float(found["expected_psi"].max()),
        "gaps": [
            (
                labels.get(told.feature, told.feature),
                told.training_missing_share,
                told.missing_share,
            )
            for told in found.itertuples()
            if told.missing_share > told.training_missing_share + 0.1
        ],
        "chart": Markup(
            charts.bar_chart(bars, "Population stability index", mark=0.25)
        ),
    }


def _outcomes(
    connection: duckdb.DuckDBPyConnection, row: dict[str, Any]
) -> list[dict[str, Any]]:
    """What became of the model's scores, month by month."""
    found = connection.execute(
        """select * from score_outcomes
        where model_version = ? and count_observed > 0
        order by score_month desc, case risk_band
            when 'high' then 1 when 'medium' then 2 when 'low' then 3 else 4 end
        limit 24""",
        [row["model_version"]],
    ).df()
    return found.to_dict("records")


def _trees(model: ChurnModel, labels: dict[str, str]) -> list[Markup]:
    """The first trees, in the order in which they were grown."""
    shown = model.booster[: min(TREES_DRAWN, model.booster.num_boosted_rounds())]
    trees = shown.get_dump(dump_format="json", with_stats=True)
    # XGBoost writes a split as `value < threshold`.
    texts = {
        name: {number: text for text, number in codes.items()}
        for name, codes in model.codes.items()
    }

    def node(told: dict[str, Any], answer: str) -> Node:
        if "leaf" in told:
            rows = f"weight {told['cover']:,.0f}"
            return Node(rows, answer, value=float(told["leaf"]))
        name = told["split"]
        by_id = {child["nodeid"]: child for child in told["children"]}
        below, above = by_id[told["yes"]], by_id[told["no"]]
        missing = told.get("missing")
        if name in texts:
            words = [
                text
                for number, text in sorted(texts[name].items())
                if number < told["split_condition"]
            ]
            question = f"{labels.get(name, name)} is {' or '.join(words)}"
        else:
            threshold = plain(float(told["split_condition"]))
            question = f"{labels.get(name, name)} < {threshold}"
        return Node(
            f"{question}?",
            answer,
            children=(
                node(below, "yes" if missing != told["yes"] else "yes, or not known"),
                node(above, "no" if missing != told["no"] else "no, or not known"),
            ),
        )

    return [
        Markup(charts.tree_chart(node(json.loads(tree), ""), f"Tree {number}"))
        for number, tree in enumerate(trees, start=1)
    ]


def _registry_rows(registry: pd.DataFrame) -> list[dict[str, Any]]:
    """The models so far, the newest first."""
    newest = registry.sort_values(["trained_at", "model_version"], ascending=False)
    return newest.head(10).to_dict("records")


if __name__ == "__main__":
    sys.exit(main())
