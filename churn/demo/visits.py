"""Simulate the visits of one day and the events in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churn.demo.company import CATEGORIES, SERVER_TRACKER, Company
from churn.demo.lifecycle import NOT_YET, OPEN, Lifecycle
from churn.demo.settings import DAY_MS, Settings

EVENT_NAMES = (
    "page_view",
    "product_view",
    "search",
    "subscribe_hover",
    "subscribe_click",
    "login",
    "logout",
    "support_view",
    "invoice_view",
    "app_open",
)
(
    PAGE_VIEW,
    PRODUCT_VIEW,
    SEARCH,
    HOVER,
    CLICK,
    LOGIN,
    LOGOUT,
    SUPPORT_VIEW,
    INVOICE_VIEW,
    APP_OPEN,
) = range(10)

_CATEGORY_SHARES = np.array([0.38, 0.2, 0.14, 0.17, 0.11])

# Share of a day's visits that start in each hour, UTC.
_HOURS = np.array(
    [1, 1, 1, 1, 2, 4, 9, 14, 18, 20, 20, 18, 15, 17, 18, 17, 15, 12, 9, 8, 7, 6, 4, 2],
    float,
)
_HOURS /= _HOURS.sum()
_WEEKDAYS = (1.12, 1.18, 1.15, 1.1, 1.0, 0.72, 0.73)

# How a visitor is identified during a visit.
ANONYMOUS, LOGGED_IN, LOGS_IN = 0, 1, 2

_KIOSK_SHARE = 0.008
_STRANGER_SHARE = 0.04
_CLOCK_YEARS_OFF_SHARE = 0.004
_YEAR_MS = 365.25 * DAY_MS
# Each account shops for an upgrade in some of its months, if it is content. It hovers
# over subscribe as often as one that considers leaving, but does not call support.
_SHOPPING_DAYS = 28
_SHOPPING_SHARE = 0.1
_MAX_SHOPPING_MOOD = 0.5
# Prospects visit during this many days before the signup.
_PROSPECT_DAYS = 30


@dataclass(frozen=True)
class Events:
    """The events of one day, in order within each visit.

    Arrays of ``n_events``: ``happened_ms`` (true time), ``clock_ms`` (time by the
    device's clock), ``upload_ms`` (true time of sending), ``name`` (index into
    ``EVENT_NAMES``), ``category`` (index into ``CATEGORIES`` or -1), ``device``,
    ``user`` (-1 if not logged in), ``tracker`` (0 to 4), ``has_device`` (false for
    server records), ``clock_off_ms`` (clock error of years, else 0), ``is_first``
    (first event of its visit).
    """

    happened_ms: np.ndarray
    clock_ms: np.ndarray
    upload_ms: np.ndarray
    name: np.ndarray
    category: np.ndarray
    device: np.ndarray
    user: np.ndarray
    tracker: np.ndarray
    has_device: np.ndarray
    clock_off_ms: np.ndarray
    is_first: np.ndarray

    def __len__(self) -> int:
        return len(self.happened_ms)


def simulate_visits(
    settings: Settings, company: Company, lifecycle: Lifecycle, day: int
) -> Events:
    """Simulate all visits of one day."""
    random = settings.stream("visits", day)
    mood, considers = lifecycle.visible_state(settings, day)
    state = lifecycle.state[day]

    # -- Visits --------------------------------------------------------------
    rate = company.visits_per_day * np.exp(-0.5 * mood)
    # Accounts that consider leaving visit a little more often, to read the terms.
    rate *= np.where(considers, 1.3, 1.0)
    is_prospect = (state == NOT_YET) & (company.signup_day - day <= _PROSPECT_DAYS)
    rate = rate * np.where(state == OPEN, 1.0, np.where(is_prospect, 0.5, 0.04))
    rate[(state == NOT_YET) & ~is_prospect] = 0.0
    rate *= _WEEKDAYS[settings.weekday(day)]
    visits = random.poisson(np.minimum(rate, 8.0))
    account = np.repeat(np.arange(company.accounts), visits)
    own = len(account)
    strangers = random.poisson(_STRANGER_SHARE * own + 0.02)
    count = own + strangers

    draws = random.random((8, count))
    user = np.full(count, -1, np.int64)
    user[:own] = company.first_user[account] + (
        draws[0, :own] ** 1.6 * company.user_count[account]
    ).astype(np.int64)
    device = np.empty(count, np.int64)
    device[:own] = company.first_device[user[:own]] + (
        draws[1, :own] ** 1.8 * company.device_count[user[:own]]
    ).astype(np.int64)
    device[own:] = company.first_stranger + (
        draws[1, own:] * (company.devices - company.first_stranger)
    ).astype(np.int64)
    login_state = np.select(
        [draws[2] < 0.30, draws[2] < 0.66], [ANONYMOUS, LOGGED_IN], LOGS_IN
    )
    login_state[own:] = ANONYMOUS
    login_state[:own][is_prospect[account]] = ANONYMOUS
    at_kiosk = np.zeros(count, bool)
    at_kiosk[:own] = (draws[3, :own] < _KIOSK_SHARE) & ~is_prospect[account]
    kiosks = company.first_stranger - company.first_kiosk
    device[at_kiosk] = company.first_kiosk + (draws[1, at_kiosk] * kiosks).astype(
        np.int64
    )
    login_state[at_kiosk] = LOGS_IN

    hour = np.searchsorted(np.cumsum(_HOURS)[:-1], draws[4])
    start_ms = ((hour + draws[5]) * 3_600_000).astype(np.int64)
    start_ms += settings.start_ms + day * DAY_MS
    length = random.geometric(0.26, count) + (login_state == LOGS_IN)
    length = np.minimum(length, 40)
    clock_off = _clocks_years_off(
        draws[6], draws[7], settings.start_ms + day * DAY_MS, company, device
    )

    # -- Events ----------------------------------------------------------------
    of_visit = np.repeat(np.arange(count), length)
    first = np.cumsum(length) - length
    total = len(of_visit)
    position = np.arange(total) - first[of_visit]
    is_first = position == 0
    gap = random.exponential(38_000.0, total) + 900.0
    is_long = random.random(total) < 0.008
    gap = np.where(is_long, gap * 40, gap)
    gap[is_first] = 0.0
    elapsed = np.cumsum(gap)
    elapsed -= elapsed[first][of_visit]
    happened = start_ms[of_visit] + elapsed.astype(np.int64)

    visit_mood = np.zeros(count)
    visit_mood[:own] = mood[account]
    visit_considers = np.zeros(count, bool)
    visit_considers[:own] = considers[account]
    visit_shops = np.zeros(count, bool)
    visit_shops[:own] = _shops(settings, mood, considers, day)[account]
    name = _event_names(
        random,
        visit_mood[of_visit],
        visit_considers[of_visit],
        visit_shops[of_visit],
        login_state[of_visit],
        position,
        length,
        of_visit,
    )
    login_at = np.minimum(1 + (draws[7] * 3).astype(np.int64), length - 1)
    logs_in = (login_state[of_visit] == LOGS_IN) & (position == login_at[of_visit])
    name[logs_in] = LOGIN
    knows_user = (login_state[of_visit] == LOGGED_IN) | (
        (login_state[of_visit] == LOGS_IN) & (position >= login_at[of_visit])
    )
    event_user = np.where(knows_user, user[of_visit], -1)

    event_device = device[of_visit]
    tracker = company.device_tracker[event_device].copy()
    opens_app = is_first & (tracker == 3) & (name == PAGE_VIEW)
    name[opens_app] = APP_OPEN
    category = random.choice(len(CATEGORIES), size=total, p=_CATEGORY_SHARES)
    # Visitors stay with one category within a visit.
    category = np.where(random.random(total) < 0.6, category[first][of_visit], category)
    has_category = (name == PRODUCT_VIEW) | (
        ((name == HOVER) | (name == CLICK)) & (random.random(total) < 0.7)
    )

    by_server = knows_user & (
        random.random(total) < np.where(name == INVOICE_VIEW, 0.35, 0.012)
    )
    tracker[by_server] = SERVER_TRACKER

    skew = company.device_skew_ms[event_device] + clock_off[of_visit]
    skew = np.where(by_server, 0, skew)
    upload = happened + np.rint(random.exponential(1_800.0, total)).astype(np.int64)
    upload += _delays(random, total)

    return Events(
        happened_ms=happened,
        clock_ms=happened + skew,
        upload_ms=upload,
        name=name,
        category=np.where(has_category, category, -1).astype(np.int8),
        device=event_device,
        user=event_user,
        tracker=tracker,
        has_device=~by_server,
        clock_off_ms=np.where(by_server, 0, clock_off[of_visit]),
        is_first=is_first,
    )


def _shops(
    settings: Settings, mood: np.ndarray, considers: np.ndarray, day: int
) -> np.ndarray:
    """Return which accounts shop for an upgrade on a day."""
    random = settings.stream("shopping", day // _SHOPPING_DAYS)
    in_month = random.random(len(mood)) < _SHOPPING_SHARE
    return in_month & ~considers & (mood < _MAX_SHOPPING_MOOD)


def _event_names(
    random: np.random.Generator,
    mood: np.ndarray,
    considers: np.ndarray,
    shops: np.ndarray,
    login_state: np.ndarray,
    position: np.ndarray,
    length: np.ndarray,
    of_visit: np.ndarray,
) -> np.ndarray:
    """Draw the event names; dissatisfied visitors hover but do not click."""
    total = len(mood)
    hover = np.minimum(0.05 * np.exp(0.9 * mood), 0.35)
    hover = np.where(considers | shops, 0.65, hover)
    support = np.minimum(0.018 * np.exp(0.6 * mood), 0.15)
    # They look up how to cancel.
    support = np.where(considers, 0.12, support)
    invoice = np.where(login_state == LOGGED_IN, 0.035, 0.0)
    draw = random.random(total)
    name = np.full(total, PAGE_VIEW, np.int8)
    edge = hover.copy()
    name[draw < edge] = HOVER
    for share, event in ((support, SUPPORT_VIEW), (invoice, INVOICE_VIEW)):
        name[(draw >= edge) & (draw < edge + share)] = event
        edge += share
    browsing = (draw >= edge) & (draw < edge + 0.27)
    name[browsing] = PRODUCT_VIEW
    name[(draw >= edge + 0.27) & (draw < edge + 0.33)] = SEARCH

    click = np.clip(0.38 * np.exp(-1.0 * mood), 0.01, 0.85)
    click = np.where(considers | shops, 0.03, click)
    follows_hover = np.zeros(total, bool)
    follows_hover[1:] = (name[:-1] == HOVER) & (position[1:] > 0)
    name[follows_hover & (random.random(total) < click)] = CLICK
    logs_out = (
        (position == length[of_visit] - 1)
        & (position > 0)
        & (login_state != ANONYMOUS)
        & (random.random(total) < 0.08)
    )
    name[logs_out] = LOGOUT
    return name


def _clocks_years_off(
    chance: np.ndarray,
    draw: np.ndarray,
    midnight_ms: int,
    company: Company,
    device: np.ndarray,
) -> np.ndarray:
    """Return the clock error of each visit in milliseconds; 0 for most.

    A third of the wrong clocks were reset to 1970. Format 4 is excluded, because its
    microseconds since 1970 would look like seconds.
    """
    is_off = chance < _CLOCK_YEARS_OFF_SHARE
    is_reset = (draw < 0.35) & (company.device_tracker[device] != 3)
    years = np.choose((draw * 5).astype(int), [-3, -2, 1, 2, 5])
    off = np.where(is_reset, -midnight_ms, years * _YEAR_MS)
    return np.where(is_off, off, 0).astype(np.int64)


def _delays(random: np.random.Generator, count: int) -> np.ndarray:
    """Return extra milliseconds until sending: seconds to months for one in seventy."""
    is_late = random.random(count) < 0.014
    seconds = np.exp(random.uniform(np.log(5.0), np.log(1.1e7), count))
    return np.where(is_late, seconds * 1_000, 0.0).astype(np.int64)
