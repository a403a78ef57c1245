"""What an experiment finds in a company whose true effect is known.

A sales team works for months on 20,000 simulated accounts: every Monday it scores them
with a model of what it sees, accounts enter the experiment, most of the treatment arm
is called, offers that fit change the hidden state, and the model is trained again. The
estimate is compared with the true effect, which the simulation knows for each contact.

The same company answers how training should treat accounts that somebody contacted:
models that are trained on all rows, or without those of contacted accounts, predict the
hidden hazard without an offer.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from churn.demo.company import generate_company, price_cents
from churn.demo.hazard import HORIZON_DAYS
from churn.demo.lifecycle import simulate_lifecycle
from churn.demo.sales import CONTROL_SHARE, SalesTeam
from churn.demo.settings import Settings
from churn.ml.experiments import CHURNED, LOST_REVENUE, experiment_results

_GRACE_DAYS = 30
_KNOWN_DAYS = HORIZON_DAYS + _GRACE_DAYS
# The team begins when a model can be trained, and enters accounts until the outcomes
# of the last are known at the end.
_FIRST_SCORED_DAY = 152
_TRAINED_EVERY_DAYS = 56
# Share of accounts that are worked on at first, which sets the bound of the score.
_WORKED_SHARE = 0.15
_ROUNDS = 80
_PARAMETERS = {
    "objective": "binary:logistic",
    "max_depth": 4,
    "eta": 0.08,
    "min_child_weight": 20,
    "seed": 1,
    "nthread": 2,
}


@dataclass(frozen=True)
class Effect:
    """An estimated and a true effect.

    Attributes:
        metric: ``churned`` or ``lost_revenue``.
        true: The true effect per assigned account.
        estimated: The estimate.
        low: Lower end of the interval.
        high: Upper end.
        anytime_low: Lower end of the anytime-valid interval.
        anytime_high: Upper end.
    """

    metric: str
    true: float
    estimated: float
    low: float
    high: float
    anytime_low: float
    anytime_high: float


@dataclass(frozen=True)
class Policy:
    """A way to train with contacted accounts.

    Attributes:
        name: What it does.
        rows: Number of training rows.
        log_loss: Expected log loss of open accounts against the true hazard without an
            offer, which the hidden state gives.
        risky_gap: Mean prediction minus mean hazard of the tenth with the highest
            prediction.
    """

    name: str
    rows: int
    log_loss: float
    risky_gap: float


@dataclass(frozen=True)
class Outcome:
    """All results.

    Attributes:
        control: Accounts of the control arm.
        treatment: Accounts of the treatment arm.
        contacted: Contacted accounts of the treatment arm.
        effects: Effects on churn and revenue.
        policies: Ways to train.
    """

    control: int
    treatment: int
    contacted: int
    effects: list[Effect]
    policies: list[Policy]


class _ScoringTeam(SalesTeam):
    """A team that works by the scores of a model of what can be seen."""

    def __post_init__(self) -> None:
        super().__post_init__()
        accounts = self.company.accounts
        self.days: list[int] = []
        self.features: list[np.ndarray] = []
        self.hazards: list[np.ndarray] = []
        self.opens: list[np.ndarray] = []
        self.is_open = np.zeros((self.settings.days + 1, accounts), bool)
        self.assigned_day = np.full(accounts, -1)
        self.contact_days: list[tuple[int, int]] = []
        self._model: xgboost.Booster | None = None
        self._bound: float | None = None

    def pick(
        self,
        day: int,
        is_open: np.ndarray,
        hazard: np.ndarray,
        _mood: np.ndarray,
        _considers: np.ndarray,
    ) -> None:
        features = self._see(day, _mood, _considers)
        self.days.append(day)
        self.features.append(features)
        self.hazards.append(hazard.copy())
        self.opens.append(is_open.copy())
        if day < _FIRST_SCORED_DAY:
            return
        if (day - _FIRST_SCORED_DAY) % _TRAINED_EVERY_DAYS == 0:
            self._model = self.train(self.rows(day - _KNOWN_DAYS, "contacted"))
        assert self._model is not None
        scores = self._model.predict(xgboost.DMatrix(features))
        if self._bound is None:
            self._bound = float(np.quantile(scores[is_open], 1 - _WORKED_SHARE))
        is_risky = is_open & (scores >= self._bound)
        if day <= self.settings.days - _KNOWN_DAYS:
            is_new = is_risky & (self.assigned_day < 0)
            self.assigned_day[is_new] = day
        self._plan(day, is_risky)

    def contact(
        self, day: int, is_open: np.ndarray, mood: np.ndarray, considers: np.ndarray
    ) -> list[tuple[int, int, bool]]:
        self.is_open[day] = is_open
        made = super().contact(day, is_open, mood, considers)
        self.contact_days += [(account, day) for account, *_ in made]
        return made

    def _see(self, day: int, mood: np.ndarray, considers: np.ndarray) -> np.ndarray:
        """Return what data shows of the hidden state, with noise."""
        random = self.settings.stream("seen", day)
        accounts = self.company.accounts
        calls = random.poisson(0.3 + 0.5 * np.clip(mood, 0, None) + 1.2 * considers)
        hovers = random.poisson(0.5 + 1.5 * considers)
        visits = random.poisson(np.exp(1.5 - 0.3 * mood))
        return np.column_stack(
            [
                calls,
                hovers,
                visits,
                mood + random.normal(0.0, 0.7, accounts),
                day - self.company.signup_day,
                self.company.industry,
                self.company.plan,
            ]
        ).astype(np.float32)

    def rows(self, last_day: int, excluded: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the features and labels of all dates up to a day.

        Args:
            last_day: The last day.
            excluded: ``nobody``, accounts that somebody ``contacted`` within the
                horizon, or accounts that were in the treatment ``arm``, too.
        """
        matrices, labels = [], []
        for day, features, is_open in zip(
            self.days, self.features, self.opens, strict=True
        ):
            if day > last_day:
                break
            used = is_open.copy()
            if excluded == "arm":
                used &= (
                    self.is_control
                    | (self.assigned_day < 0)
                    | (day < self.assigned_day)
                )
            if excluded != "nobody":
                treated = [
                    account
                    for account, contact_day in self.contact_days
                    if day - HORIZON_DAYS <= contact_day < day + HORIZON_DAYS
                ]
                used[treated] = False
            matrices.append(features[used])
            labels.append(self.churned(day)[used])
        return np.vstack(matrices), np.concatenate(labels)

    def churned(self, day: int) -> np.ndarray:
        """Return whether each account churned within the horizon after a day."""
        window = self.is_open[day : day + HORIZON_DAYS + _GRACE_DAYS + 1]
        churned = np.zeros(self.company.accounts, bool)
        # Days without an account in a row, from the end of the window backwards.
        away = np.zeros(self.company.accounts, np.int64)
        for number in range(len(window) - 1, 0, -1):
            away = np.where(window[number], 0, away + 1)
            if number <= HORIZON_DAYS:
                churned |= window[number - 1] & (away >= _GRACE_DAYS)
        return churned

    @staticmethod
    def train(rows: tuple[np.ndarray, np.ndarray]) -> xgboost.Booster:
        """Fit trees with fixed parameters."""
        matrix, labels = rows
        data = xgboost.DMatrix(matrix, label=labels.astype(np.float32))
        return xgboost.train(_PARAMETERS, data, num_boost_round=_ROUNDS)


def measure(accounts: int, seed: int = 11) -> Outcome:
    """Simulate a company with an experiment and compare its result with the truth.

    Args:
        accounts: Number of accounts.
        seed: Seed of every random draw.
    """
    # Twelve months of work, after the months that the first model needs.
    settings = Settings(
        accounts=accounts,
        days=_FIRST_SCORED_DAY + 365,
        seed=seed,
        sales_from_day=0,
    )
    company = generate_company(settings)
    team = _ScoringTeam(settings, company)
    with tempfile.TemporaryDirectory() as folder:
        simulate_lifecycle(settings, company, Path(folder), sales=team)
    revenue = price_cents(company.plan, company.seats, company.price_factor) / 100
    assigned = np.flatnonzero(team.assigned_day >= 0)
    # Large accounts are no part of the experiment.
    assigned = assigned[revenue[assigned] <= 5_000]
    table = experiment_results(_arms(team, assigned, revenue, settings), _KNOWN_DAYS)
    (churned, lost) = table.to_pylist()
    truth = _true_effects(team, assigned, revenue)
    effects = [
        Effect(
            metric,
            truth[metric],
            row["effect"],
            row["fixed_low"],
            row["fixed_high"],
            row["anytime_low"],
            row["anytime_high"],
        )
        for metric, row in ((CHURNED, churned), (LOST_REVENUE, lost))
    ]
    contacts = {account for account, _ in team.contact_days}
    treated = [a for a in assigned.tolist() if not team.is_control[a]]
    return Outcome(
        control=len(assigned) - len(treated),
        treatment=len(treated),
        contacted=len(contacts & set(treated)),
        effects=effects,
        policies=_policies(team, settings),
    )


def print_outcome(accounts: int) -> None:
    """Measure and print."""
    outcome = measure(accounts)
    print(
        f"\nAn experiment among {accounts:,} accounts in twelve months: "
        f"{outcome.treatment:,} offered, {outcome.control:,} held out"
    )
    print(
        f"{'':28}{'true':>8}{'estimate':>10}{'95 % interval':>18}{'anytime-valid':>18}"
    )
    names = {CHURNED: "fewer churned of 100", LOST_REVENUE: "EUR a month per account"}
    for effect in outcome.effects:
        scale = 100 if effect.metric == CHURNED else 1
        print(
            f"{names[effect.metric]:28}{effect.true * scale:>8.2f}"
            f"{effect.estimated * scale:>10.2f}"
            + "".join(
                f"{f'{low * scale:.2f} to {high * scale:.2f}':>18}"
                for low, high in (
                    (effect.low, effect.high),
                    (effect.anytime_low, effect.anytime_high),
                )
            )
            + ("" if effect.low <= effect.true <= effect.high else "  MISSED")
        )
    print(f"{'training':52}{'rows':>9}{'log loss':>10}{'risky tenth':>13}")
    for policy in outcome.policies:
        print(
            f"{policy.name:52}{policy.rows:>9,}{policy.log_loss:>10.4f}"
            f"{100 * policy.risky_gap:>+9.1f} pts"
        )


def _arms(
    team: _ScoringTeam, assigned: np.ndarray, revenue: np.ndarray, settings: Settings
) -> list[dict[str, Any]]:
    """Return the rows of ``int_experiment_arms`` for all accounts together."""
    churned = np.zeros(team.company.accounts, bool)
    for day in np.unique(team.assigned_day[assigned]).tolist():
        entered = assigned[team.assigned_day[assigned] == day]
        churned[entered] = team.churned(day)[entered]
    contacted = {
        account
        for account, day in team.contact_days
        if team.assigned_day[account] <= day < team.assigned_day[account] + HORIZON_DAYS
    }
    first = settings.start + timedelta(days=_FIRST_SCORED_DAY)
    last = settings.start + timedelta(days=settings.days - _KNOWN_DAYS)
    rows = []
    for arm in ("control", "treatment"):
        own = assigned[team.is_control[assigned] == (arm == "control")]
        lost = np.where(churned[own], revenue[own], 0.0)
        rows.append(
            {
                "experiment_id": "benchmark",
                "stratum": "all",
                "arm": arm,
                "as_of_date": settings.start + timedelta(days=settings.days),
                "start_date": first,
                "planned_end_date": last,
                "planned_accounts": 4_000,
                "eligible_bands": "high",
                "max_monthly_recurring_revenue": 5_000.0,
                "control_share": CONTROL_SHARE,
                "first_assigned_date": first,
                "count_assigned": len(own),
                "count_assigned_later": 0,
                "count_observed": len(own),
                "count_churned": int(churned[own].sum()),
                "count_observed_contacted": len(contacted & set(own.tolist())),
                "churn_probability": 0.0,
                "lost_revenue": float(lost.sum()),
                "squared_lost_revenue": float((lost**2).sum()),
                "currency": "EUR",
            }
        )
    return rows


def _true_effects(
    team: _ScoringTeam, assigned: np.ndarray, revenue: np.ndarray
) -> dict[str, float]:
    """Return the true effect per assigned account, from the hazard of each contact."""
    is_assigned = np.zeros(team.company.accounts, bool)
    is_assigned[assigned] = True
    saved = np.zeros(team.company.accounts)
    for contact in team.contacts:
        is_first = contact.eligible_day == team.assigned_day[contact.account]
        if contact.contact_day >= 0 and is_assigned[contact.account] and is_first:
            saved[contact.account] = contact.hazard_without - contact.hazard_with
    effects = {}
    for metric, weight in ((CHURNED, np.ones_like(revenue)), (LOST_REVENUE, revenue)):
        means = [
            (saved * weight)[assigned[team.is_control[assigned] == is_control]].mean()
            for is_control in (False, True)
        ]
        effects[metric] = float(means[0] - means[1])
    return effects


def _policies(team: _ScoringTeam, settings: Settings) -> list[Policy]:
    """Train on all known rows in different ways, and predict the newest dates."""
    last = settings.days - _KNOWN_DAYS
    newest = [n for n, day in enumerate(team.days) if day > settings.days - 30]
    matrix = np.vstack([team.features[n][team.opens[n]] for n in newest])
    hazard = np.concatenate([team.hazards[n][team.opens[n]] for n in newest])
    policies = []
    for name, excluded in (
        ("all rows", "nobody"),
        ("without contacted accounts", "contacted"),
        ("without contacted accounts and the treatment arm", "arm"),
    ):
        rows = team.rows(last, excluded)
        model = team.train(rows)
        predicted = np.clip(model.predict(xgboost.DMatrix(matrix)), 1e-6, 1 - 1e-6)
        loss = -hazard * np.log(predicted) - (1 - hazard) * np.log(1 - predicted)
        is_risky = predicted >= np.quantile(predicted, 0.9)
        policies.append(
            Policy(
                name,
                len(rows[1]),
                float(loss.mean()),
                float((predicted - hazard)[is_risky].mean()),
            )
        )
    return policies
