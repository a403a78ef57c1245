"""Generate the customers of the demo company: accounts, users and devices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churn.demo import identifiers
from churn.demo.landing_zone import csv_field
from churn.demo.settings import Settings

INDUSTRIES = (
    "Hospitality",
    "Student housing",
    "Health care",
    "Serviced apartments",
    "Airlines",
    "Property management",
    "Shipping",
    "Camping",
)
# Added to the log of the daily rate at which accounts of an industry start to consider
# leaving. `PLAN_HAZARD` is added for their plan.
INDUSTRY_HAZARD = np.array([-0.25, 0.45, -0.4, 0.2, -0.2, 0.0, 0.1, 0.5])

PLANS = ("basic", "comfort", "premium", "enterprise")
PLAN_HAZARD = np.array([0.35, 0.0, -0.15, -0.5])
PLAN_PRICE_PER_SEAT = np.array([14.0, 19.0, 27.0, 23.0])

# Categories of the products.
CATEGORIES = ("mattress", "pillow", "bed_frame", "bedding", "topper")

ROLES = ("owner", "buyer", "facility_manager", "finance", "employee")

# The salespeople who own the accounts, by user id and name.
OWNERS = (
    ("a.meyer", "Anna Meyer"),
    ("j.nowak", "Jan Nowak"),
    ("l.garcia", "Lucía García"),
    ("m.okafor", "Maya Okafor"),
    ("t.lindberg", "Tove Lindberg"),
)

# Share of each of the five trackers among devices.
TRACKER_SHARES = np.array([0.40, 0.25, 0.20, 0.10, 0.05])
SERVER_TRACKER = 1

_NAME_HEADS = (
    "Alpen", "Amber", "Baltic", "Bergmann", "Brightwater", "Castell", "Córdoba",
    "Dahl", "Delta", "Eichwald", "Fjord", "Garnier", "Grünwald", "Harbour",
    "Iberia", "Jansen", "Kestrel", "Lindqvist", "Łódź", "Marina", "Nordlicht",
    "O'Neill", "Pannonia", "Quay", "Rivière", "Sønder", "Tramontana", "Ufer",
    "Valentin", "Westend", "Öztürk", "Zephyr",
)  # fmt: skip
_NAME_TAILS = {
    "Hospitality": ("Hotels", "Hotel Group", "Hostels", "Resorts"),
    "Student housing": ("Student Living", "Campus Homes", "Halls"),
    "Health care": ("Clinics", "Care Homes", "Hospital Trust"),
    "Serviced apartments": ("Apartments", "Serviced Living", "Suites"),
    "Airlines": ("Air Crew Lodges", "Airways"),
    "Property management": ("Immobilien", "Estates", "Properties"),
    "Shipping": ("Cruises", "Ferries", "Shipping"),
    "Camping": ("Camping", "Glamping", "Holiday Parks"),
}
_NAME_FORMS = (" GmbH", " Ltd", ", Inc.", " S.A.", " AB", "", " & Co. KG", " B.V.")


@dataclass(frozen=True)
class Company:
    """All attributes of customers that do not change from day to day.

    Arrays with one element per account (``n_accounts``): ``account_id``, ``crm_head``
    (its first CRM columns, up to ``signup_date``), ``crm_tail`` (its last CRM columns,
    from ``owner_id``), ``industry``, ``signup_day`` (day
    number, negative before the first simulated day), ``plan``, ``seats``,
    ``price_factor``, ``base_log_hazard`` (log of the daily rate at which a neutral
    account starts to consider leaving), ``usual_mood`` (mean dissatisfaction),
    ``visits_per_day``, ``first_user``, ``user_count`` and ``billing_day`` (1 to 28).

    One element per user (``n_users``): ``user_account``, ``role``, ``first_device``,
    ``device_count``. One per device, kiosks and strangers' devices last:
    ``device_tracker`` (0 to 4 for formats 1 to 5), ``device_kind`` (0 desktop,
    1 mobile, 2 tablet), ``device_skew_ms``, ``device_zone_minutes``.
    """

    account_id: list[str]
    crm_head: list[str]
    crm_tail: list[str]
    industry: np.ndarray
    signup_day: np.ndarray
    plan: np.ndarray
    seats: np.ndarray
    price_factor: np.ndarray
    base_log_hazard: np.ndarray
    usual_mood: np.ndarray
    visits_per_day: np.ndarray
    first_user: np.ndarray
    user_count: np.ndarray
    billing_day: np.ndarray
    user_account: np.ndarray
    role: np.ndarray
    first_device: np.ndarray
    device_count: np.ndarray
    device_tracker: np.ndarray
    device_kind: np.ndarray
    device_skew_ms: np.ndarray
    device_zone_minutes: np.ndarray
    first_kiosk: int
    first_stranger: int

    @property
    def accounts(self) -> int:
        """Return the number of accounts."""
        return len(self.signup_day)

    @property
    def users(self) -> int:
        """Return the number of users."""
        return len(self.user_account)

    @property
    def devices(self) -> int:
        """Return the number of devices, with kiosks and strangers' devices."""
        return len(self.device_tracker)


def generate_company(settings: Settings) -> Company:
    """Generate the customers of a demo company."""
    random = settings.stream("company")
    accounts = settings.accounts

    industry = random.choice(
        len(INDUSTRIES),
        size=accounts,
        p=[0.24, 0.14, 0.12, 0.14, 0.05, 0.16, 0.05, 0.10],
    )
    signup_day = _signup_days(settings, random)
    plan = random.choice(len(PLANS), size=accounts, p=[0.42, 0.32, 0.18, 0.08])
    seats = np.rint(np.exp(random.normal(2.6, 0.8, accounts) + 0.35 * plan)).astype(
        np.int32
    )
    seats = np.clip(seats, 2, 2_000)
    price_factor = random.uniform(0.85, 1.15, accounts)

    # Newer cohorts leave sooner: each year adds 0.5 to the log hazard.
    cohort = np.clip(signup_day / 365.0, -3.0, 2.0)
    base_log_hazard = (
        -6.85
        + 0.5 * cohort
        + INDUSTRY_HAZARD[industry]
        + PLAN_HAZARD[plan]
        + random.normal(0.0, 0.12, accounts)
    )
    usual_mood = random.normal(-0.2, 0.7, accounts)

    user_count = 1 + random.poisson(0.75 * np.log(seats), accounts)
    user_count = np.minimum(user_count, 12).astype(np.int32)
    first_user = np.concatenate([[0], np.cumsum(user_count)[:-1]]).astype(np.int64)
    visits_per_day = (
        0.215
        * np.exp(random.normal(-0.08, 0.4, accounts))
        * np.sqrt(user_count / 3.0)
        * settings.activity
    )
    billing_day = random.integers(1, 29, accounts)

    users = int(user_count.sum())
    user_account = np.repeat(np.arange(accounts), user_count)
    is_first = np.zeros(users, bool)
    is_first[first_user] = True
    role = np.where(
        is_first,
        random.choice(2, size=users, p=[0.7, 0.3]),
        random.choice(len(ROLES), size=users, p=[0.03, 0.22, 0.25, 0.15, 0.35]),
    )
    device_count = 1 + np.minimum(random.poisson(0.9, users), 5)
    first_device = np.concatenate([[0], np.cumsum(device_count)[:-1]])

    own_devices = int(device_count.sum())
    kiosks = max(1, accounts // 150)
    strangers = max(5, accounts // 5)
    devices = own_devices + kiosks + strangers
    tracker = random.choice(5, size=devices, p=TRACKER_SHARES)
    kind = random.choice(3, size=devices, p=[0.68, 0.24, 0.08])
    # Format 4 is sent by the mobile app, format 5 by its web view.
    kind = np.where((tracker == 3) | (tracker == 4), 1, kind)
    kiosk = slice(own_devices, own_devices + kiosks)
    tracker[kiosk] = 0
    kind[kiosk] = 2

    # The clocks of trackers that report a send time can be wrong.
    has_sent_at = (tracker == 1) | (tracker == 2)
    skew = random.normal(0.0, np.where(has_sent_at, 20_000.0, 800.0))
    is_far_off = has_sent_at & (random.random(devices) < 0.03)
    skew = np.where(is_far_off, skew * 400, skew)
    zone = random.choice(
        [60, 120, 0, -300, 330], size=devices, p=[0.4, 0.3, 0.15, 0.1, 0.05]
    )

    account_id = identifiers.account_ids(np.arange(accounts))
    names = _company_names(industry, random)
    signup_date = np.datetime_as_string(
        settings.start_day + signup_day.astype("timedelta64[D]")
    ).tolist()
    return Company(
        account_id=account_id,
        crm_head=[
            f"{account},{csv_field(name)},{INDUSTRIES[kind]},{signup_date}"
            for account, name, kind, signup_date in zip(
                account_id, names, industry.tolist(), signup_date, strict=True
            )
        ],
        # Owners do not use random draws, so that all other data is independent of them.
        crm_tail=[
            f"{owner_id},{csv_field(owner_name)},EUR"
            for owner_id, owner_name in (
                OWNERS[number % len(OWNERS)] for number in range(accounts)
            )
        ],
        industry=industry.astype(np.int8),
        signup_day=signup_day,
        plan=plan.astype(np.int8),
        seats=seats,
        price_factor=price_factor,
        base_log_hazard=base_log_hazard,
        usual_mood=usual_mood,
        visits_per_day=visits_per_day,
        first_user=first_user,
        user_count=user_count,
        billing_day=billing_day.astype(np.int8),
        user_account=user_account,
        role=role.astype(np.int8),
        first_device=first_device,
        device_count=device_count.astype(np.int32),
        device_tracker=tracker.astype(np.int8),
        device_kind=kind.astype(np.int8),
        device_skew_ms=np.rint(skew).astype(np.int64),
        device_zone_minutes=zone.astype(np.int16),
        first_kiosk=own_devices,
        first_stranger=own_devices + kiosks,
    )


def price_cents(plan: np.ndarray, seats: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the monthly revenue in cents by plan, seats and price factor."""
    return np.rint(PLAN_PRICE_PER_SEAT[plan] * seats * factor * 100).astype(np.int64)


def _signup_days(settings: Settings, random: np.random.Generator) -> np.ndarray:
    """Draw the day numbers of the signups; two thirds are before the start."""
    accounts = settings.accounts
    before = np.rint(-random.exponential(420, accounts)).astype(np.int64) - 1
    after = random.integers(0, max(settings.days - 5, 1), accounts)
    is_joining = random.random(accounts) < 0.36 * min(1.0, settings.days / 365)
    return np.where(is_joining, after, np.maximum(before, -1_800)).astype(np.int32)


def _company_names(industry: np.ndarray, random: np.random.Generator) -> list[str]:
    heads = random.integers(0, len(_NAME_HEADS), len(industry)).tolist()
    tails = random.integers(0, 60, len(industry)).tolist()
    forms = random.integers(0, len(_NAME_FORMS), len(industry)).tolist()
    names = []
    for head, tail, form, kind in zip(
        heads, tails, forms, industry.tolist(), strict=True
    ):
        choices = _NAME_TAILS[INDUSTRIES[kind]]
        names.append(
            f"{_NAME_HEADS[head]} {choices[tail % len(choices)]}{_NAME_FORMS[form]}"
        )
    return names
