"""Arms are random and the same everywhere; intervals cover the truth as they say."""

from __future__ import annotations

import csv
import hashlib
import re
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pytest
import sqlalchemy as sa
from scipy import stats

from churn.demo import sales
from churn.ml.experiments import (
    MIN_CHURNED,
    MIN_OBSERVED,
    Moments,
    anytime_interval,
    arm_of,
    bucket_of,
    experiment_results,
    minimum_detectable_effect,
    moments_of_rate,
    newcombe_interval,
    power_of,
    required_accounts,
    sample_ratio_p_value,
    welch_interval,
    wilson_interval,
)
from tests.support.paths import ROOT

EXPERIMENTS = 2_000
IDS = ["0015g0469485834", "", "Łódź|x", "a'b", "日本", "A" * 300]


# ---- Arms --------------------------------------------------------------------


def test_the_bucket_is_that_of_the_documented_digest() -> None:
    digest = hashlib.md5(b"s|2026Q1|0015g0469485834").hexdigest()
    assert bucket_of("s", "2026Q1", "0015g0469485834") == int(digest[:8], 16) / 2**32
    assert all(0 <= bucket_of("s", "e", str(n)) < 1 for n in range(1_000))


def test_postgres_has_the_same_arms(postgres: sa.URL) -> None:
    text = (ROOT / "docs" / "experiments.md").read_text()
    (query,) = re.findall(r"```sql\n(select.*?)```", text, re.DOTALL)
    engine = sa.create_engine(postgres, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create temporary table accounts (account_id text);"
            "create temporary table experiments "
            "(experiment_id text, salt text, control_share double precision)"
        )
        connection.execute(
            sa.text("insert into accounts values (:id)"), [{"id": i} for i in IDS]
        )
        connection.execute(
            sa.text("insert into experiments values ('e|1', 'sält', 0.5)")
        )
        rows = connection.exec_driver_sql(query).all()
    assert {row.account_id: (row.bucket, row.arm) for row in rows} == {
        i: (bucket_of("sält", "e|1", i), arm_of("sält", "e|1", i, 0.5)) for i in IDS
    }


@pytest.fixture(scope="module")
def arms() -> tuple[np.ndarray, np.ndarray]:
    """Return the buckets of a million accounts in two experiments."""
    sql = """
        select
            cast('0x' || substr(md5('s|one|' || i), 1, 8) as bigint) / 4294967296 as a,
            cast('0x' || substr(md5('s|two|' || i), 1, 8) as bigint) / 4294967296 as b
        from range(1000000) as accounts (i) order by i"""
    columns = duckdb.sql(sql).fetchnumpy()
    return columns["a"], columns["b"]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.5])
def test_arms_of_a_million_accounts_have_their_share(arms: Any, share: float) -> None:
    for buckets in arms:
        error = np.sqrt(share * (1 - share) / len(buckets))
        assert abs((buckets < share).mean() - share) < 3 * error


def test_arms_are_independent_of_age_band_and_the_next_experiment(arms: Any) -> None:
    first, second = arms
    number = np.arange(len(first))
    control = first < 0.2
    # Accounts are numbered by age; the band is a function of the number.
    for other in (number % 3 == 0, number < 300_000, second < 0.2):
        table = [
            [np.sum(control & other), np.sum(control & ~other)],
            [np.sum(~control & other), np.sum(~control & ~other)],
        ]
        assert stats.chi2_contingency(table).pvalue > 0.001
    for other in (number, second):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / np.sqrt(len(first))


def test_the_demo_uses_the_experiment_of_the_seed() -> None:
    with (ROOT / "seeds" / "experiments.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["experiment_id"], row["salt"]) == (sales.EXPERIMENT_ID, sales.SALT)
    assert float(row["control_share"]) == sales.CONTROL_SHARE
    bound = float(row["max_monthly_recurring_revenue"])
    assert bound == sales.MAX_MONTHLY_REVENUE


# ---- Intervals ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Newcombe 1998, table II, method 10.
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_newcombes_interval_has_the_published_values(
    counts: tuple[int, ...], expected: tuple[float, float]
) -> None:
    assert newcombe_interval(*counts) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("x", "n"), [(0, 10), (3, 10), (10, 10), (250, 1_000)])
def test_wilsons_interval_is_scipys(x: int, n: int) -> None:
    expected = stats.binomtest(x, n).proportion_ci(method="wilson")
    assert wilson_interval(x, n) == pytest.approx((expected.low, expected.high))


def test_welchs_interval_is_scipys() -> None:
    random = np.random.default_rng(1)
    a, b = random.exponential(3, 40), random.exponential(2, 90)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    moments = [Moments(len(x), x.mean(), x.var(ddof=1)) for x in (a, b)]
    assert welch_interval(*moments) == pytest.approx((expected.low, expected.high))


def simulate(
    rates: tuple[float, float], weekly: tuple[int, int], weeks: int
) -> dict[str, float]:
    """Simulate experiments whose outcomes become known week by week.

    Returns:
        The shares of experiments in which an interval misses the true difference: at
        the end, at any week of the interval for one look, and at any week of the
        anytime-valid one; and the power at the end.
    """
    random = np.random.default_rng(20_260_101)
    shape = (EXPERIMENTS, weeks)
    churned = [
        np.cumsum(random.binomial(size, rate, shape), axis=1)
        for size, rate in zip(weekly, rates, strict=True)
    ]
    sizes = [size * np.arange(1, weeks + 1) for size in weekly]
    fixed = newcombe_interval(churned[0], sizes[0], churned[1], sizes[1])
    anytime = anytime_interval(
        moments_of_rate(churned[0], sizes[0]),
        moments_of_rate(churned[1], sizes[1]),
        sum(weekly) * weeks,
    )
    # The page shows no effect before.
    is_shown = (np.minimum(*sizes) >= MIN_OBSERVED) & (sum(churned) >= MIN_CHURNED)
    effect = rates[0] - rates[1]
    misses = [(low > effect) | (high < effect) for low, high in (fixed, anytime)]
    return {
        "end": misses[0][:, -1].mean(),
        "peeking": (misses[0] & is_shown).any(axis=1).mean(),
        "anytime": (misses[1] & is_shown).any(axis=1).mean(),
        "power": (fixed[0][:, -1] > 0).mean(),
    }


@pytest.mark.parametrize(
    ("rate", "weekly", "weeks"),
    [
        (0.25, (20, 80), 26),
        (0.25, (50, 50), 26),
        (0.10, (20, 180), 26),
        (0.05, (10, 90), 52),
        (0.034, (40, 160), 26),
    ],
)
def test_no_effect_gives_few_false_alarms(
    rate: float, weekly: tuple[int, int], weeks: int
) -> None:
    shares = simulate((rate, rate), weekly, weeks)
    assert 0.04 <= shares["end"] <= 0.06
    assert shares["anytime"] <= 0.05
    # Why the page does not show the interval for one look every week.
    assert shares["peeking"] > 0.12


@pytest.mark.parametrize(
    ("rates", "control_share"),
    [
        ((0.25, 0.20), 0.2),
        ((0.25, 0.20), 0.5),
        ((0.10, 0.08), 0.1),
        ((0.034, 0.024), 0.2),
    ],
)
def test_intervals_cover_the_effect_and_power_is_as_planned(
    rates: tuple[float, float], control_share: float
) -> None:
    weeks = 26
    size = required_accounts(*rates, control_share)
    weekly = (
        round(size * control_share / weeks),
        round(size * (1 - control_share) / weeks),
    )
    shares = simulate(rates, weekly, weeks)
    assert 0.93 <= 1 - shares["end"] <= 0.97
    assert shares["anytime"] <= 0.05
    assert shares["power"] == pytest.approx(0.80, abs=0.03)
    # The size and the smallest effect are inverse to each other.
    effect = minimum_detectable_effect(
        rates[0], size * control_share, size * (1 - control_share)
    )
    assert effect == pytest.approx(rates[0] - rates[1], rel=0.01)


def test_intervals_cover_the_effect_on_revenue() -> None:
    random = np.random.default_rng(7)
    sizes, rates, weeks = (20, 80), (0.25, 0.18), 26
    sums = []
    for size, rate in zip(sizes, rates, strict=True):
        shape = (EXPERIMENTS, weeks, size)
        lost = random.binomial(1, rate, shape) * random.gamma(2.0, 150.0, shape)
        sums.append([np.cumsum((lost**power).sum(axis=2), axis=1) for power in (1, 2)])
    moments = []
    for size, (total, squares) in zip(sizes, sums, strict=True):
        n = size * np.arange(1, weeks + 1)
        variance = (squares - total**2 / n) / (n - 1)
        moments.append(Moments(n, total / n, variance))
    effect = 300.0 * (rates[0] - rates[1])
    low, high = welch_interval(*moments)
    assert 0.93 <= ((low <= effect) & (effect <= high))[:, -1].mean() <= 0.97
    low, high = anytime_interval(*moments, sum(sizes) * weeks)
    is_shown = moments[0].size >= MIN_OBSERVED
    assert (((low > effect) | (high < effect)) & is_shown).any(axis=1).mean() <= 0.05


def test_sizes_agree_with_fleiss() -> None:
    # Fleiss, Statistical Methods for Rates and Proportions, without correction.
    assert required_accounts(0.25, 0.20, 0.5) == pytest.approx(2_188, rel=0.01)
    assert power_of(0.25, 0.25, 500, 500) == pytest.approx(0.05, abs=0.03)
    assert minimum_detectable_effect(0.0, 100, 100) is None
    assert minimum_detectable_effect(0.05, 0, 100) is None
    assert minimum_detectable_effect(0.05, 10, 10) is None


def test_the_sample_ratio_test_has_its_level() -> None:
    random = np.random.default_rng(3)
    draws = random.binomial(5_000, 0.2, EXPERIMENTS)
    values = np.array([sample_ratio_p_value(x, 5_000 - x, 0.2) for x in draws])
    assert (values < 0.05).mean() == pytest.approx(0.05, abs=0.015)
    assert sample_ratio_p_value(1_100, 3_900, 0.2) < 0.001
    assert sample_ratio_p_value(3, 12, 0.2) is None


# ---- Results -----------------------------------------------------------------


def arm_row(arm: str, **values: Any) -> dict[str, Any]:
    """Return a row of ``int_experiment_arms``."""
    row = {
        "experiment_id": "e",
        "stratum": "all",
        "arm": arm,
        "as_of_date": date(2026, 3, 1),
        "start_date": date(2026, 1, 1),
        "planned_end_date": date(2026, 3, 31),
        "planned_accounts": 1_500,
        "eligible_bands": "high medium",
        "max_monthly_recurring_revenue": None,
        "control_share": 0.2,
        "first_assigned_date": date(2026, 1, 1),
        "count_assigned": 200 if arm == "control" else 800,
        "count_assigned_later": 59,
        "count_observed": 200 if arm == "control" else 800,
        "count_churned": 60 if arm == "control" else 160,
        "count_observed_contacted": 6 if arm == "control" else 560,
        "churn_probability": 50.0,
        "lost_revenue": 6_000.0 if arm == "control" else 16_000.0,
        "squared_lost_revenue": 700_000.0 if arm == "control" else 1_900_000.0,
        "currency": "EUR",
    }
    return {**row, **values}


def results(
    control: dict[str, Any] | None = None,
    treatment: dict[str, Any] | None = None,
    **both: Any,
) -> list[dict[str, Any]]:
    arms = [
        arm_row("control", **both, **(control or {})),
        arm_row("treatment", **both, **(treatment or {})),
    ]
    return experiment_results(arms, outcome_days=60).to_pylist()


def test_a_running_experiment_shows_the_anytime_interval() -> None:
    churned, revenue = results()
    assert churned["status"] == "running"
    assert churned["effect"] == pytest.approx(0.1)
    low, high = churned["effect_low"], churned["effect_high"]
    assert (low, high) == (churned["anytime_low"], churned["anytime_high"])
    assert low < churned["fixed_low"] < 0.1 < churned["fixed_high"] < high
    assert churned["effect_on_contacted"] == pytest.approx(0.1 / (0.7 - 0.03))
    assert churned["result_known_date"] == date(2026, 5, 30)
    # 118 accounts in 59 days make 60 in the remaining 30.
    assert churned["expected_accounts"] == 1_000 + 60
    assert revenue["effect"] == pytest.approx(10.0)
    assert revenue["currency"] == "EUR"


def test_a_complete_experiment_shows_the_interval_for_one_look() -> None:
    churned, revenue = results(as_of_date=date(2026, 6, 1))
    for row in (churned, revenue):
        assert row["status"] == "complete"
        assert row["interval_kind"] == "fixed"
    assert (churned["effect_low"], churned["effect_high"]) == pytest.approx(
        newcombe_interval(60, 200, 160, 800)
    )
    assert "Offers lead to less churn" in churned["status_text"]


def test_pending_outcomes_keep_an_experiment_running() -> None:
    (churned, _) = results(
        as_of_date=date(2026, 6, 1), treatment={"count_assigned": 801}
    )
    assert churned["status"] == "running"
    assert churned["treatment_pending"] == 1


@pytest.mark.parametrize(
    ("control", "status"),
    [
        ({"count_assigned": 300}, "sample_ratio_mismatch"),
        ({"count_observed": 29}, "too_few"),
    ],
)
def test_an_effect_that_cannot_be_trusted_is_hidden(
    control: dict[str, Any], status: str
) -> None:
    for row in results(control):
        assert row["status"] == status
        shown = ("effect", "effect_low", "fixed_low", "anytime_low")
        assert all(row[name] is None for name in (*shown, "effect_on_contacted"))
        assert row["status_text"]


def test_too_few_accounts_say_when_more_is_known() -> None:
    (churned, _) = results(
        {"count_assigned": 20, "count_observed": 0, "count_churned": 0},
        {"count_assigned": 80, "count_observed": 0, "count_churned": 0},
        lost_revenue=0.0,
        squared_lost_revenue=0.0,
        churn_probability=12.5,
    )
    assert churned["status"] == "too_few"
    assert "May 2026" in churned["status_text"]
    # Before outcomes are known, the scores tell how many will churn.
    assert churned["minimum_detectable_effect"] > 0


def test_no_account_and_several_currencies_are_states() -> None:
    empty = {"first_assigned_date": None, "currency": None, "churn_probability": None}
    counts = dict.fromkeys(
        (
            *("count_assigned", "count_assigned_later", "count_observed"),
            *("count_churned", "count_observed_contacted"),
        ),
        0,
    )
    assert {row["status"] for row in results(**empty, **counts)} == {"not_started"}
    churned, revenue = results(treatment={"currency": "USD"})
    assert (churned["status"], revenue["status"]) == ("running", "several_currencies")
    assert revenue["effect"] is None


def test_arms_that_are_contacted_alike_have_no_effect_of_contacts() -> None:
    (churned, _) = results({"count_observed_contacted": 140})
    assert churned["effect"] is not None
    assert churned["effect_on_contacted"] is None


def test_no_experiments_give_no_rows() -> None:
    assert experiment_results([], 60).num_rows == 0
