"""Outcomes of old scores equal a brute-force computation from the CRM."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import date, timedelta
from types import SimpleNamespace

import pytest

from tests.dbt.test_labels_oracle import (
    accepted_batches,
    read_accounts,
    simulate_account,
)
from tests.dbt.test_replay import backfill
from tests.support.crm_histories import Delivery
from tests.support.project import DbtProject

HORIZON, GRACE = timedelta(days=30), timedelta(days=30)
# The model of this date scores later dates, one per week.
TRAINED = "2025-06-30"
FIRST, LAST = "2025-07-07", "2025-10-20"


@pytest.fixture(scope="module")
def scored_company(module_project: DbtProject) -> DbtProject:
    """Provide the demo company under seeds/, scored weekly by one old model."""
    module_project.dbt("seed")
    module_project.dbt(
        "run",
        "--select",
        "+churn_scores",
        load_demo_seeds=False,
        as_of_date=TRAINED,
    )
    finished = backfill(module_project, f"--from={FIRST}", f"--to={LAST}", "--every=7")
    assert finished.returncode == 0, finished.stderr
    # The brute-force computation ends with the last CRM batch.
    module_project.execute(
        f"delete from churn_score_history where as_of_date > date '{LAST}'"
    )
    module_project.dbt("build", "--select", "score_outcomes", load_demo_seeds=False)
    return module_project


def churns(project: DbtProject) -> tuple[dict[str, list[date]], dict, date]:
    """Return churn dates and customer dates of each account, and the last batch."""
    batches: dict[tuple, Delivery] = {}
    for batch, loaded, account, *values in project.query(
        "select batch_date, loaded_at, account_id, signup_date, cancelled_service, "
        "new_customer from raw.raw_accounts"
    ):
        delivery = batches.setdefault(
            (batch, loaded), Delivery(batch_date=batch, loaded_at=loaded, rows={})
        )
        delivery.rows.setdefault(account, []).append(tuple(values))

    accepted, _ = accepted_batches(SimpleNamespace(batches=list(batches.values())))
    last = accepted[-1].batch_date
    left, customer_dates = {}, {}
    for name, account in read_accounts(accepted, "dates", GRACE.days, None).items():
        history = simulate_account(account, last)
        customer_dates[name] = history.customer_dates
        starts = [*[start for start, _ in history.periods][1:], None]
        left[name] = [
            end
            for (_, end), next_start in zip(history.periods, starts, strict=True)
            if end is not None and (next_start is None or next_start - end > GRACE)
        ]
    return left, customer_dates, last


def test_outcomes_of_old_scores(scored_company: DbtProject) -> None:
    left, customer_dates, last = churns(scored_company)
    complete_date = dict(
        scored_company.query(
            "select model_version, labels_complete_date from churn_models"
        )
    )
    assert len(complete_date) == 1
    rows = defaultdict(list)
    for (
        account,
        day,
        version,
        band,
        probability,
        revenue,
        at_risk,
    ) in scored_company.query(
        """select account_id, as_of_date, model_version, risk_band,
            churn_probability, coalesce(monthly_recurring_revenue, 0), revenue_at_risk
        from churn_score_history"""
    ):
        if day < complete_date[version] or day not in customer_dates[account]:
            continue
        is_churned = None
        if day + HORIZON + GRACE <= last:
            is_churned = any(day <= end < day + HORIZON for end in left[account])
        for segment in (band, "all"):
            rows[version, day.replace(day=1), segment].append(
                (account, is_churned, probability, revenue, at_risk)
            )
    found = {
        tuple(row[:3]): row[3:]
        for row in scored_company.query(
            """select model_version, score_month, risk_band, count_scores,
                count_observed, count_observed_accounts, count_churned,
                mean_probability, churned_share, calibration_gap,
                calibration_gap_standard_error, lift, expected_lost_revenue,
                lost_revenue
            from score_outcomes"""
        )
    }
    assert found.keys() == rows.keys()
    for (version, month, band), scores in rows.items():
        outcome = found[version, month, band]
        seen = [score for score in scores if score[1] is not None]
        accounts = len({score[0] for score in seen})
        assert outcome[:3] == (len(scores), len(seen), accounts)
        assert outcome[3] == sum(score[1] for score in seen)
        if not seen:
            assert set(outcome[4:]) == {None}
            continue
        mean = sum(score[2] for score in seen) / len(seen)
        share = sum(score[1] for score in seen) / len(seen)
        month_scores = [s for s in rows[version, month, "all"] if s[1] is not None]
        month_share = sum(s[1] for s in month_scores) / len(month_scores)
        variance = sum(s[2] * (1 - s[2]) for s in seen) / len(seen)
        assert outcome[4:] == pytest.approx(
            (
                mean,
                share,
                share - mean,
                math.sqrt(variance / accounts),
                share / month_share if month_share else None,
                sum(score[4] for score in seen if score[4] is not None),
                sum(score[3] for score in seen if score[1]),
            )
        )
    # Every outcome must be common enough.
    everything = [
        score for key, all_ in rows.items() if key[2] == "all" for score in all_
    ]
    assert sum(score[1] is None for score in everything) > 50
    assert sum(score[1] is False for score in everything) > 100
    assert sum(score[1] is True for score in everything) >= 3
