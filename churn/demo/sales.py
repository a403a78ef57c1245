"""The sales team of the demo company: whom it contacts, and what that changes.

From a certain day on, the team looks every Monday at the accounts that seem likely to
leave. It sees the hidden hazard with noise, not the scores of this project. Accounts
enter the demo's experiment with that: those in the control arm get no offer, unless
they ask. Most of the others are called within some days and offered something. An
offer that fits calms an account that considers leaving, and lowers its mood.

The team uses random streams of its own, so that a company without one is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from churn.demo.company import CATEGORIES, OWNERS, Company, price_cents
from churn.demo.landing_zone import TRUTH, compress, csv_bytes, write_gzip
from churn.demo.settings import DAY_MS, HOUR_MS, Settings
from churn.ml.experiments import CONTROL, TREATMENT, arm_of
from churn.uuid7 import uuid7

# As in seeds/experiments.csv.
EXPERIMENT_ID, SALT, CONTROL_SHARE = "demo_2025q4", "demo", 0.2
MAX_MONTHLY_REVENUE = 5_000

EFFECTS_HEADER = (
    "account_id,arm,eligible_date,contact_date,is_fitting_offer,"
    "hazard_without_offer,hazard_with_offer"
)

# Share of the open accounts that seem most likely to leave, which are worked on, and
# the standard deviation of the noise in the log odds of what the team sees.
_WORKED_SHARE = 0.15
_NOISE = 0.5
# Days after which an account can be worked on again.
_REST_DAYS = 60
_CONTACTED_SHARE, _OVERRIDE_SHARE = 0.75, 0.03
_MAX_DELAY_DAYS = 4
# Share of accounts for which there is an offer that fits, and what it does.
_FITTING_SHARE = 0.6
_CALMED_SHARE = 0.7
_MOOD_CHANGE = -0.6
_CHANNELS = ("call", "call", "email", "visit")
# Kinds of actions, as in the arrays.
_KINDS = (
    "contacted",
    "offer_made",
    "offer_accepted",
    "offer_declined",
    "customer_kept",
)


@dataclass(frozen=True)
class Contact:
    """One planned or made contact.

    Attributes:
        account: Number of the account.
        eligible_day: Day on which the team picked it.
        contact_day: Day of the contact, or -1.
        is_fitting: Whether the offer fits.
        hazard_without: Probability of leaving between the day of the contact and 30
            days after the eligible day, without an offer.
        hazard_with: The same with the offer.
    """

    account: int
    eligible_day: int
    contact_day: int = -1
    is_fitting: bool = False
    hazard_without: float = float("nan")
    hazard_with: float = float("nan")


@dataclass
class SalesTeam:
    """The team's plans and its record of contacts and actions.

    Attributes:
        settings: The company's settings.
        company: The company.
        contacts: Accounts that were picked, also those that nobody contacted.
        actions: Day, account and kind of each action.
    """

    settings: Settings
    company: Company
    contacts: list[Contact] = field(default_factory=list)
    actions: list[tuple[int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the arms and which accounts have a fitting offer."""
        accounts = self.company.accounts
        random = self.settings.stream("fits")
        self._has_fit = random.random(accounts) < _FITTING_SHARE
        self.is_control = np.array(
            [
                arm_of(SALT, EXPERIMENT_ID, account_id, CONTROL_SHARE) == CONTROL
                for account_id in self.company.account_id
            ]
        )
        # Large accounts are always offered.
        revenue = price_cents(
            self.company.plan, self.company.seats, self.company.price_factor
        )
        self.is_control &= revenue <= MAX_MONTHLY_REVENUE * 100
        self._rests_until = np.zeros(accounts, np.int64)
        # Contacts by day.
        self._planned: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def pick(
        self,
        day: int,
        is_open: np.ndarray,
        hazard: np.ndarray,
        _mood: np.ndarray,
        _considers: np.ndarray,
    ) -> None:
        """Pick accounts on a Monday, and plan the contacts.

        Args:
            day: The day.
            is_open: Whether each account is a customer.
            hazard: Monthly hazard of each account without an offer.
            _mood: Mood of each account; for a team that sees more than the risk.
            _considers: Whether each account considers leaving.
        """
        random = self.settings.stream("sales", day)
        odds = np.log(np.clip(hazard, 1e-6, 1 - 1e-6) / (1 - hazard))
        seen = odds + random.normal(0.0, _NOISE, len(odds))
        open_accounts = np.flatnonzero(is_open)
        if not len(open_accounts):
            return
        bound = np.quantile(seen[open_accounts], 1 - _WORKED_SHARE)
        self._plan(day, is_open & (seen >= bound))

    def _plan(self, day: int, is_risky: np.ndarray) -> None:
        """Plan the contacts of the risky accounts that were not picked lately."""
        random = self.settings.stream("plan", day)
        delay = random.integers(0, _MAX_DELAY_DAYS, len(is_risky))
        draw = random.random(len(is_risky))
        picked = is_risky & (day >= self._rests_until)
        self._rests_until[picked] = day + _REST_DAYS
        share = np.where(self.is_control, _OVERRIDE_SHARE, _CONTACTED_SHARE)
        for account in np.flatnonzero(picked).tolist():
            if draw[account] < share[account]:
                self._planned[day + int(delay[account])].append((account, day))
            else:
                self.contacts.append(Contact(account, day))

    def contact(
        self, day: int, is_open: np.ndarray, mood: np.ndarray, considers: np.ndarray
    ) -> list[tuple[int, int, bool]]:
        """Contact accounts, and change ``mood`` and ``considers`` in place.

        Returns:
            Account, day on which it was picked, and whether the offer fits.
        """
        random = self.settings.stream("offer", day)
        made = []
        for account, eligible_day in self._planned.pop(day, []):
            if not is_open[account]:
                self.contacts.append(Contact(account, eligible_day))
                continue
            is_fitting = bool(self._has_fit[account])
            if is_fitting:
                if random.random() < _CALMED_SHARE:
                    considers[account] = False
                mood[account] += _MOOD_CHANGE
            made.append((account, eligible_day, is_fitting))
            accepts = random.random() < (0.8 if is_fitting else 0.15)
            for later, kind in (
                (0, 0),
                (0, 1),
                (int(random.integers(1, 6)), 2 if accepts else 3),
                (30, 4),
            ):
                if kind < 4 or accepts:
                    self.actions.append((day + later, account, kind))
        return made

    # ---- Files ----------------------------------------------------------------

    def write(self, out: Path, state: np.ndarray, open_state: int) -> None:
        """Write the actions as the page exports them, and the true effects.

        Args:
            out: The landing zone.
            state: State of each account at the end of each day.
            open_state: The value of a customer.
        """
        lines = defaultdict(list)
        for number, (day, account, kind) in enumerate(sorted(self.actions)):
            # Nobody keeps a customer who has left, or works after the last day.
            if day >= self.settings.days or (
                kind == 4 and state[day][account] != open_state
            ):
                continue
            lines[day].append((number + 1, self._line(number, day, account, kind)))
        for day, rows in lines.items():
            first, last = rows[0][0], rows[-1][0]
            name = f"part-{first:012d}-{last:012d}.jsonl.gz"
            folder = out / f"actions/dt={self.settings.day_text(day)}"
            text = "\n".join([*(line for _, line in rows), ""])
            write_gzip(folder / name, text.encode())
        (out / TRUTH / "offer_effects.csv.gz").write_bytes(
            compress(csv_bytes(EFFECTS_HEADER, self._effect_rows()))
        )

    def _line(self, number: int, day: int, account: int, kind: int) -> str:
        at = self.settings.start_ms + day * DAY_MS + 9 * HOUR_MS
        at += (account * 7_919 + kind * 60_013) % (8 * HOUR_MS)
        digest = hashlib.sha256(f"{self.settings.seed}|{number}".encode()).digest()
        moment = str(np.datetime64(at, "ms")) + "+00:00"
        is_control = bool(self.is_control[account])
        account_id = self.company.account_id[account]
        row = {
            "action_id": uuid7(at, int.from_bytes(digest[:10], "big")),
            "account_id": account_id,
            "action_type": _KINDS[kind],
            "actor_id": OWNERS[account % len(OWNERS)][0],
            "occurred_at": moment,
            "recorded_at": moment,
            "channel": _CHANNELS[account % len(_CHANNELS)],
            "offer_id": (
                CATEGORIES[account % len(CATEGORIES)] if 1 <= kind <= 3 else None
            ),
            "snoozed_until": None,
            "note": None,
            "corrects_action_id": None,
            "shown_as_of_date": self.settings.day_text(day),
            "shown_model_version": None,
            "shown_arm": CONTROL if is_control else TREATMENT,
            "override_reason": "The customer called us." if is_control else None,
            "source": "page",
        }
        return json.dumps(row, ensure_ascii=False)

    def _effect_rows(self) -> list[str]:
        rows = []
        for each in sorted(self.contacts, key=lambda c: (c.eligible_day, c.account)):
            arm = CONTROL if self.is_control[each.account] else TREATMENT
            eligible = self.settings.day_text(each.eligible_day)
            row = f"{self.company.account_id[each.account]},{arm},{eligible},"
            if each.contact_day >= 0:
                row += (
                    f"{self.settings.day_text(each.contact_day)},"
                    f"{int(each.is_fitting)},{each.hazard_without:.5f},"
                    f"{each.hazard_with:.5f}"
                )
            else:
                row += ",,,"
            rows.append(row)
        return rows
