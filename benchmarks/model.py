"""Training and scoring at the size of a large company.

Measures the Python models as ratios to XGBoost's own calls on the same rows, with the
same parameters, in the same run. Each step is a separate process, so that its memory is
measured separately: ``python -m benchmarks.model STEP FOLDER``.

Times are wall-clock seconds and CPU seconds; CPU seconds depend less on other load.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost as xgb

from benchmarks.running import ROOT, THREADS
from churn.engine_io import as_batches
from churn.ml import train
from churn.ml.dataset import read_training_data
from churn.ml.features import Feature
from churn.ml.predict import RiskBands, Scorer, scorer_from
from churn.ml.registry import REGISTRY_SCHEMA, champion_of, model_of, train_and_register
from churn.ml.train import SEARCH_SPACE, TrainingSettings

FEATURES = 60
# A year of weekly as-of dates.
WEEKS = 50
GAP_DAYS = 60
# Memory limit of DuckDB. Above it, DuckDB would only fill its cache.
DUCKDB_MEMORY = "100MB"

# The plans with their prices, and the count features.
PLANS = {"basic": 200.0, "plus": 500.0, "premium": 900.0}
COUNTS = [f"count_{number:02}" for number in range(FEATURES - 3)]
DESCRIBED = [
    Feature(name="plan", label="plan", theme="plan", high="{value}", low="{value}"),
    Feature(
        name="days_since_last_visit",
        label="days since the last visit",
        theme="recency",
        high="last visit {value:.0f} days ago",
        low="last visit {value:.0f} days ago",
        missing="no visit in the last 90 days",
        monotone_direction="raises",
    ),
    Feature(
        name="monthly_recurring_revenue",
        label="monthly revenue",
        theme="plan",
        high="pays {value:,.0f} euros a month",
        low="pays only {value:,.0f} euros a month",
    ),
    *[
        Feature(
            name=name,
            label=name,
            theme=f"theme {number % 15}",
            high=f"{{value:.0f}} times {name}, {{{COUNTS[number - 1]}:.0f}} before",
            low=f"only {{value:.0f}} times {name}",
        )
        for number, name in enumerate(COUNTS)
    ],
]


UNITS = ("s", "cpu")


class Stopwatch:
    """Wall-clock and CPU seconds since its creation."""

    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return the seconds of each of `UNITS`."""
        now = time.perf_counter(), time.process_time()
        return {
            unit: end - start
            for unit, start, end in zip(UNITS, self._started, now, strict=True)
        }


@dataclass(frozen=True)
class Ratio:
    """One measured figure and its reference.

    Attributes:
        name: Description of the figure.
        value: Its value.
        floor: The value to divide by.
        unit: Unit of both: ``s`` (wall clock), ``cpu`` (CPU seconds) or ``MB``.
        bound: Maximum of the ratio.
    """

    name: str
    value: float
    floor: float
    unit: str
    bound: float

    @property
    def ratio(self) -> float:
        """Return the value divided by the floor."""
        return self.value / self.floor


def measure(rows: int) -> Iterator[Ratio]:
    """Measure training on and scoring of a number of rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, rows)
        trained = _step("train", folder)
        bare = _step("bare_train", folder)
        compared = _step("train_all", folder)
        matrix = rows * FEATURES * 4 / 1e6
        for unit in UNITS:
            yield Ratio(
                f"training one candidate, {trained['rounds']} rounds",
                trained[unit],
                bare[unit],
                unit,
                1.25,
            )
            yield Ratio(
                "training and comparing all candidates",
                compared[unit],
                bare[unit],
                unit,
                3.0,
            )
        yield Ratio(
            "training, peak memory relative to the matrix",
            trained["peak_megabytes"],
            matrix,
            "MB",
            2.5,
        )
        few, many = (_step("score", folder, rows // share) for share in (5, 1))
        contributions = _step("bare_contributions", folder)
        for unit in UNITS:
            yield Ratio(
                "scoring without reasons, relative to 100,000 rows a second",
                many["without_reasons"][unit],
                rows / 100_000 * (1 if unit == "s" else THREADS),
                unit,
                1.0,
            )
            yield Ratio(
                "scoring with reasons, relative to pred_contribs",
                many["with_reasons"][unit],
                contributions[unit],
                unit,
                1.3,
            )
        yield Ratio(
            "scoring, peak memory relative to a fifth of the rows",
            many["peak_megabytes"],
            few["peak_megabytes"],
            "MB",
            1.2,
        )


def write_rows(folder: Path, rows: int) -> None:
    """Write a training set in which churn depends on some of the features."""
    accounts = rows // WEEKS
    days = pd.date_range("2025-01-06", periods=WEEKS, freq="7D")
    generator = np.random.default_rng(7)
    usual_count = generator.gamma(2.0, 5.0, accounts)
    plan = generator.choice(list(PLANS), accounts)
    with duckdb.connect(str(folder / "bench.duckdb")) as connection:
        for week, day in enumerate(days):
            counts = generator.poisson(
                usual_count[:, None] * np.linspace(0.2, 5, len(COUNTS))
            )
            recency = generator.exponential(60 / (1 + counts[:, 10])).round()
            margin = -1.5 - 0.12 * counts[:, 10] + 0.02 * np.minimum(recency, 90)
            batch = pd.DataFrame(counts.astype(float), columns=COUNTS)
            batch["plan"] = plan
            batch["monthly_recurring_revenue"] = pd.Series(plan).map(
                PLANS
            ) + usual_count.round(2)
            batch["days_since_last_visit"] = np.where(recency > 90, np.nan, recency)
            batch["account_id"] = [f"A{number:07}" for number in range(accounts)]
            batch["company_name"] = batch["account_id"]
            batch["as_of_date"] = day.date()
            batch["is_churned"] = generator.random(accounts) < 1 / (1 + np.exp(-margin))
            batch["top_category_90d"] = "mattress"
            for column in ("clickstream", "billing", "support"):
                batch[f"{column}_data_through"] = day
            batch["crm_data_through"] = day.date()
            batch["is_stale"] = False
            # Later accounts first, so that the rows are not sorted.
            batch = pa.Table.from_pandas(batch.iloc[::-1], preserve_index=False)
            verb = "insert into rows" if week else "create table rows as"
            connection.execute(f"{verb} select * from batch")


def train_step(folder: Path) -> dict[str, Any]:
    """Train one candidate as ``churn_models`` does, apart from the search."""
    search = dict.fromkeys(UNITS, 0.0)
    select = train._Trainer.select

    def timed_select(*arguments: Any) -> Any:
        watch = Stopwatch()
        result = select(*arguments)
        search.update(watch.read())
        return result

    train._Trainer.select = timed_select
    measured, peak, written = _train(folder, "always")
    written.to_pickle(folder / "registry.pickle")
    parameters = json.loads(champion_of(written)["parameters"])
    return {
        **{unit: measured[unit] - search[unit] for unit in UNITS},
        "rounds": parameters["rounds"],
        "peak_megabytes": peak,
    }


def train_all_step(folder: Path) -> dict[str, Any]:
    """Train and compare all candidates, from a DuckDB table to a registry row."""
    return _train(folder, "auto")[0]


def _train(
    folder: Path, constraints: str
) -> tuple[dict[str, float], float, pd.DataFrame]:
    """Return the time, the peak memory in megabytes, and the registry."""
    with _connect(folder) as connection:
        # Read the table once, so that DuckDB's cache is not measured.
        for _ in as_batches(connection.table("rows")):
            pass
        before = _resident_megabytes()
        watch = Stopwatch()
        registry = train_and_register(
            connection.table("rows"),
            DESCRIBED,
            None,
            TrainingSettings(
                GAP_DAYS,
                seed=3,
                search_trials=1,
                monotone_constraints=constraints,
                threads=THREADS,
            ),
        )
        measured = watch.read()
    return measured, _peak_megabytes() - before, registry.to_pandas()


def bare_train_step(folder: Path) -> dict[str, Any]:
    """Run the plain XGBoost calls that fit the registry's trees on the same rows.

    These are ``xgboost.DMatrix`` and ``xgboost.train`` on a matrix in memory. The
    first round computes the histogram bins.
    """
    row = champion_of(pd.read_pickle(folder / "registry.pickle"))
    with _connect(folder) as connection:
        names = [feature.name for feature in DESCRIBED]
        training_data = read_training_data(connection.table("rows"), names)
    training_data.encode(json.loads(row["category_codes"]))
    fit_rows = slice(0, int(row["fit_rows"]))
    registered = json.loads(row["parameters"])
    parameters = {
        name: value
        for name, value in registered.items()
        if name not in ("rounds", "ridge")
    }
    assert set(SEARCH_SPACE) <= set(parameters)
    labels = training_data.labels[fit_rows]
    watch = Stopwatch()
    data = xgb.DMatrix(
        training_data.matrix[fit_rows],
        label=labels,
        nthread=parameters["nthread"],
    )
    xgb.train(parameters, data, num_boost_round=registered["rounds"])
    return watch.read()


def score_step(folder: Path, rows: int) -> dict[str, Any]:
    """Score as ``int_accounts_scored`` does, batch by batch from a DuckDB table."""
    with _connect(folder) as connection:
        accounts = connection.table("rows").filter(f"rowid < {rows}")
        scorer = _scorer(folder)
        # Read the table once, so that DuckDB's cache is not measured.
        for _ in as_batches(accounts):
            pass
        elapsed = {}
        before = _resident_megabytes()
        for name, gives_reasons in (("without_reasons", False), ("with_reasons", True)):
            configured_scorer = replace(scorer, gives_reasons=gives_reasons)
            watch = Stopwatch()
            scored = sum(
                len(batch)
                for batch in configured_scorer.score_batches(as_batches(accounts))
            )
            elapsed[name] = watch.read()
            assert scored == rows
    return {**elapsed, "peak_megabytes": _peak_megabytes() - before}


def bare_contributions_step(folder: Path) -> dict[str, Any]:
    """Compute XGBoost's contributions of all rows, from a matrix in memory."""
    model = _scorer(folder).model
    with _connect(folder) as connection:
        batches = list(as_batches(connection.table("rows"), model.feature_names))
    matrix = np.concatenate([model.matrix(batch) for batch in batches])
    booster = model_of(
        champion_of(pd.read_pickle(folder / "registry.pickle")), THREADS
    ).booster
    watch = Stopwatch()
    booster.predict(
        xgb.DMatrix(matrix, feature_names=model.feature_names, nthread=THREADS),
        pred_contribs=True,
    )
    return watch.read()


def _scorer(folder: Path) -> Scorer:
    registry = pd.read_pickle(folder / "registry.pickle")
    assert list(registry.columns) == REGISTRY_SCHEMA.names
    bands = RiskBands(0.05, 0.15)
    scorer = scorer_from(registry, DESCRIBED, bands, threads=THREADS)
    assert scorer is not None
    return scorer


def _connect(folder: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        str(folder / "bench.duckdb"),
        config={"threads": THREADS, "memory_limit": DUCKDB_MEMORY},
    )


def _step(name: str, folder: Path, *arguments: int) -> dict[str, Any]:
    """Run one step in a separate process."""
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.model",
            name,
            str(folder),
            *map(str, arguments),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(THREADS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout.splitlines()[-1])


def _resident_megabytes() -> float:
    """Return the resident memory of this process."""
    pa.default_memory_pool().release_unused()
    return _status("VmRSS")


def _peak_megabytes() -> float:
    """Return the peak memory of this process."""
    return _status("VmHWM")


def _status(name: str) -> float:
    """Return a figure of /proc/self/status, in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no {name}: run this on Linux.")


def main() -> None:
    """Run one step and print its measurements as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model")
    steps = {
        "train": train_step,
        "train_all": train_all_step,
        "bare_train": bare_train_step,
        "score": score_step,
        "bare_contributions": bare_contributions_step,
    }
    parser.add_argument("step", choices=steps)
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=int, nargs="*")
    options = parser.parse_args()
    print(json.dumps(steps[options.step](options.folder, *options.rows)))


if __name__ == "__main__":
    main()
