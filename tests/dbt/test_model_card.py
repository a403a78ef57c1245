"""The model card is self-contained, well formed, and equal to the tables."""

from __future__ import annotations

import gzip
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn.cli.main import main
from churn.ml.oracle import HAZARD_FILE, measure_oracle
from churn.reports import model_card
from churn.reports.charts import Node, tree_chart
from tests.support.project import DbtProject

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Tags(HTMLParser):
    """Checks that every tag is closed, and collects attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(built_project: DbtProject, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("card") / "card.html"
    arguments = ["--database", str(built_project.database), "--write", str(path)]
    assert main(["report", *arguments]) == 0
    return path.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_self_contained(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert {"src", "href", "srcset"}.isdisjoint(name for name, _ in tags.attributes)
    without_namespace = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|url\(|@import|<script", without_namespace)
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) >= 8
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.attrib["aria-label"]
        assert "nan" not in svg.lower().replace("finance", "")


def test_the_page_shows_the_values_of_the_tables(
    page: str, built_project: DbtProject
) -> None:
    ((version, kind, metrics, rows),) = built_project.query(
        """select model_version, model_kind, metrics,
            (select count(*) from churn_training_set)
        from churn_models where is_champion"""
    )
    assert version in page
    assert f"<strong>{rows:,}</strong>" in page
    part = [name for name in ("train", "validation", "test") if name in metrics][-1]
    value = json.loads(metrics)[part]["log_loss"][0]
    assert f"<td>{value:.3f}" in page
    for heading in ("Data and split", "Drift", "Limits"):
        assert f"<h2>{heading}</h2>" in page
    assert ("<h2>The first trees</h2>" in page) == (kind != "logistic_regression")


def test_the_gain_curve_matches_its_definition() -> None:
    labels = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    shares, churn_shares = model_card.gain(labels, np.linspace(1, 0, 10))
    found = dict(zip(shares.round(2), churn_shares, strict=True))
    assert found[0.0] == 0
    assert found[0.1] == 0.5
    assert found[0.3] == found[1.0] == 1
    # Equal scores give the diagonal.
    np.testing.assert_allclose(*model_card.gain(labels, np.zeros(10)))


def test_calibration_points_are_within_their_intervals() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.beta(1, 9, 5000)
    labels = (generator.random(5000) < probabilities).astype(float)
    points = model_card.calibration_points(labels, probabilities)
    assert len(points) == 10
    assert points["predicted"].is_monotonic_increasing
    assert (
        (points["low"] <= points["actual"]) & (points["actual"] <= points["high"])
    ).all()
    within = (points["low"] <= points["predicted"]) & (
        points["predicted"] <= points["high"]
    )
    assert within.sum() >= 8


def test_the_true_hazard_is_an_upper_bound(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "account_id": [f"A{number % 400}" for number in range(2000)],
            "as_of_date": pd.date_range("2025-01-06", periods=5, freq="7D").repeat(400),
            "monthly_recurring_revenue": 100.0,
        }
    )
    true = generator.beta(1, 8, len(rows))
    rows["is_churned"] = generator.random(len(rows)) < true
    blurred = np.clip(true + generator.normal(scale=0.05, size=len(rows)), 0.01, 0.99)
    truth = rows[["account_id", "as_of_date"]].assign(
        monthly_hazard=true, dissatisfaction=0, considers_leaving=0
    )
    truth["as_of_date"] = truth["as_of_date"].dt.strftime("%Y-%m-%d")
    with gzip.open(tmp_path / HAZARD_FILE, "wt") as file:
        truth.iloc[:-100].to_csv(file, index=False)
    oracle = measure_oracle(rows, blurred, tmp_path)
    assert oracle.rows == 1900
    assert np.isnan(oracle.probabilities).sum() == 100
    assert 0.7 < oracle.share_reached("roc_auc") < 1
    assert oracle.share_reached("pr_auc") < 1
    others = rows.assign(account_id="unknown")
    assert measure_oracle(others, blurred, tmp_path) is None


def test_a_tree_is_drawn_with_all_its_nodes() -> None:
    leaves = (Node("weight 1", "yes", 0.5), Node("weight 2", "no", -0.25))
    root = ElementTree.fromstring(tree_chart(Node("a < b & c?", children=leaves), "T"))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a < b & c?", "yes: +0.500", "weight 1", "no: -0.250", "weight 2"]


def test_missing_tables_are_reported_in_one_sentence(
    project: DbtProject, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--database", str(project.database)]) == 1
    assert "There is no database" in capsys.readouterr().err
    duckdb.connect(str(project.database)).close()
    assert main(["report", "--database", str(project.database)]) == 1
    error = capsys.readouterr().err
    assert "run `dbt build` first" in error
    assert len(error.splitlines()) == 1
