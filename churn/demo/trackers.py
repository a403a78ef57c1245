"""The five formats in which the app's trackers write events.

========  ==================================================================
format    description
========  ==================================================================
1  web    flat, epoch milliseconds (sometimes as text)
2  site   nested, ISO 8601 in UTC, with send time; also used by the server
3  hub    camel case with ``properties``, ISO 8601 with offset, send time
4  app    key/value array ``event_params``, epoch microseconds
5  view   JSON inside a JSON string, epoch seconds
========  ==================================================================
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

import numpy as np

from churn.demo import identifiers
from churn.demo.company import CATEGORIES, Company
from churn.demo.settings import Settings
from churn.demo.visits import (
    APP_OPEN,
    CLICK,
    EVENT_NAMES,
    HOVER,
    INVOICE_VIEW,
    LOGIN,
    LOGOUT,
    PRODUCT_VIEW,
    SEARCH,
    SUPPORT_VIEW,
    Events,
)

# Event names of each format, if they differ from `EVENT_NAMES`.
RAW_NAMES: tuple[dict[str, str], ...] = (
    {},
    {
        "page_view": "pageview",
        "product_view": "view_item",
        "subscribe_hover": "hover_subscribe",
        "subscribe_click": "click_subscribe",
    },
    {
        "page_view": "Page Viewed",
        "product_view": "Product Viewed",
        "search": "Site Searched",
        "subscribe_hover": "Subscribe Hovered",
        "subscribe_click": "Subscribe Clicked",
        "login": "Signed In",
        "logout": "Signed Out",
        "app_open": "Application Opened",
    },
    {"page_view": "screen_view", "product_view": "view_item"},
    {},
)

_NAME_OF = [[names.get(name, name) for name in EVENT_NAMES] for names in RAW_NAMES]
_DEVICES = ("desktop", "mobile", "tablet")
_VERSIONS = ("2.3.0", "2.3.1", "2.4.0", "3.0.0-beta")
_REFERRERS = (
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://news.example.com/best-mattresses",
)
_PAGES = ("/", "/pricing", "/how-it-works", "/account", "/blog/sleep", "/hotels")
_SEARCHES = ("soft+pillow", "90x200", "topper+firm", "bed+frame+oak", "washable")
_PRODUCTS = ("classic", "air", "duo", "eco")

# The path of keys of each field in each format. In format 4, page, category and
# event_id are in the key/value array.
FIELD_PATHS: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "name": ("event",),
        "event_id": ("event_id",),
        "time": ("ts",),
        "anonymous_id": ("anonymous_id",),
        "user_id": ("user_id",),
        "page": ("page",),
    },
    {
        "name": ("name",),
        "event_id": ("id",),
        "time": ("time",),
        "anonymous_id": ("user", "anonymous_id"),
        "user_id": ("user", "id"),
        "page": ("page", "path"),
    },
    {
        "name": ("event",),
        "event_id": ("messageId",),
        "time": ("timestamp",),
        "anonymous_id": ("anonymousId",),
        "user_id": ("userId",),
        "page": ("properties", "path"),
    },
    {
        "name": ("event_name",),
        "event_id": ("event_params", "event_id"),
        "time": ("event_timestamp",),
        "anonymous_id": ("user_pseudo_id",),
        "user_id": ("user_id",),
        "page": ("event_params", "page"),
    },
    {
        "name": ("event",),
        "event_id": ("eventId",),
        "time": ("timestamp",),
        "anonymous_id": ("visitor",),
        "user_id": ("uid",),
        "page": ("url",),
    },
)


def write_records(
    settings: Settings, company: Company, events: Events, day: int
) -> tuple[list[str], list[str]]:
    """Write each event in the format of its tracker.

    Returns:
        The records as JSON text, and the events' identifiers.
    """
    random = settings.stream("trackers", day)
    total = len(events)
    event_id = identifiers.event_ids(day, total, settings.seed)
    draw = random.random((3, total))
    fields = _Fields(company, settings, events, event_id, draw)
    records: list[str] = [""] * total
    for tracker, write in enumerate((_web, _site, _hub, _app, _view)):
        rows = np.flatnonzero(events.tracker == tracker)
        for row, record in zip(rows.tolist(), write(fields, rows), strict=True):
            records[row] = record
    return records, event_id


def decode(record: str, tracker: int) -> dict[str, Any]:
    """Parse a clean record into its event object."""
    event = json.loads(record)
    return json.loads(event["data"]) if tracker == 4 else event


def encode(event: dict[str, Any], tracker: int, ascii_only: bool = False) -> str:
    """Format an event object as a record: the inverse of ``decode``."""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=ascii_only)
    if tracker != 4:
        return text
    return json.dumps({"data": text}, separators=(",", ":"), ensure_ascii=ascii_only)


def set_field(event: dict[str, Any], tracker: int, field: str, value: Any) -> None:
    """Set one field of a decoded record; the value ``...`` removes it."""
    path = FIELD_PATHS[tracker][field]
    if path[0] == "event_params":
        entries = [entry for entry in event["event_params"] if entry["key"] != path[1]]
        if value is not ...:
            entries.append({"key": path[1], "value": {"string_value": value}})
        event["event_params"] = entries
        return
    for key in path[:-1]:
        event = event.setdefault(key, {})
    if value is ...:
        event.pop(path[-1], None)
    else:
        event[path[-1]] = value


class _Fields:
    """Texts of the events' fields, computed once for all formats."""

    def __init__(
        self,
        company: Company,
        settings: Settings,
        events: Events,
        event_id: list[str],
        draw: np.ndarray,
    ) -> None:
        self.company = company
        self.events = events
        self.draw = draw
        self.event_id = np.array(event_id, dtype=object)
        devices, index = np.unique(events.device, return_inverse=True)
        texts = identifiers.anonymous_ids(devices, settings.seed)
        self.anonymous_id = np.array(texts, dtype=object)[index]
        users, index = np.unique(events.user, return_inverse=True)
        texts = identifiers.user_ids(np.maximum(users, 0))
        self.user_id = np.array(texts, dtype=object)[index]
        self.user_id[events.user < 0] = ""
        self.category = np.array([*CATEGORIES, ""], dtype=object)[events.category]
        self.page = self._pages()
        self.device = np.array(_DEVICES, dtype=object)[
            company.device_kind[events.device]
        ]
        self.sent_ms = events.upload_ms + events.clock_ms - events.happened_ms

    def _pages(self) -> np.ndarray:
        events, draw = self.events, self.draw[0]
        pages = np.array(_PAGES, dtype=object)[(draw * len(_PAGES)).astype(int)]
        fixed = {
            LOGIN: "/login",
            LOGOUT: "/logout",
            SUPPORT_VIEW: "/support",
            INVOICE_VIEW: "/account/invoices",
            APP_OPEN: "/",
            HOVER: "/subscribe",
            CLICK: "/subscribe",
        }
        for name, page in fixed.items():
            pages[events.name == name] = page
        at = np.flatnonzero(events.name == SEARCH)
        pages[at] = [f"/search?q={_SEARCHES[int(d * 5)]}" for d in draw[at].tolist()]
        at = np.flatnonzero(
            (events.name == PRODUCT_VIEW) | ((events.category >= 0) & (draw < 0.8))
        )
        pages[at] = [
            f"/products/{category}/{_PRODUCTS[int(d * 37) % 4]}"
            for category, d in zip(self.category[at], draw[at].tolist(), strict=True)
        ]
        return pages


def _iso(milliseconds: np.ndarray) -> list[str]:
    """Format milliseconds since the epoch as ``2025-03-01T10:04:05.123``."""
    return np.datetime_as_string(
        milliseconds.astype("datetime64[ms]"), unit="ms"
    ).tolist()


def _web(fields: _Fields, rows: np.ndarray) -> list[str]:
    events = fields.events
    referrers = np.where(
        events.is_first[rows], (fields.draw[1][rows] * 9).astype(int), 9
    ).tolist()
    return [
        f'{{"event":"{name}","event_id":"{event_id}","ts":'
        + (f'"{clock}"' if chance < 0.03 else f"{clock}")
        + f',"anonymous_id":"{anonymous_id}"'
        + (f',"user_id":"{user_id}"' if user_id else "")
        + f',"page":"{page}"'
        + (f',"category":"{category}"' if category else "")
        + f',"device":"{device}"'
        + (f',"referrer":"{_REFERRERS[referrer]}"' if referrer < 3 else "")
        + (',"experiment":{"hero":"b"}' if chance > 0.98 else "")
        + "}"
        for name, event_id, clock, anonymous_id, user_id, page, category, device,
        referrer, chance in zip(
            _names(fields, rows, 0),
            fields.event_id[rows],
            events.clock_ms[rows].tolist(),
            fields.anonymous_id[rows],
            fields.user_id[rows],
            fields.page[rows],
            fields.category[rows],
            fields.device[rows],
            referrers,
            fields.draw[2][rows].tolist(),
            strict=True,
        )
    ]  # fmt: skip


def _site(fields: _Fields, rows: np.ndarray) -> list[str]:
    events = fields.events
    anonymous = np.where(
        events.has_device[rows],
        np.array([f'"anonymous_id":"{a}"' for a in fields.anonymous_id[rows]], object),
        '"anonymous_id":null',
    )
    return [
        f'{{"id":"{event_id}","name":"{name}","time":'
        + (
            f'"{clock}Z"'
            if chance < 0.92
            else (f'"{clock}"' if chance < 0.96 else f'"{clock[:10]} {clock[11:]}"')
        )
        + f',"sent_at":"{sent}Z","user":{{{anonymous_id}'
        + (f',"id":"{user_id}"}}' if user_id else "}")
        + f',"page":{{"path":"{page}"}}'
        + (f',"product":{{"category":"{category}"}}' if category else "")
        + (
            f',"context":{{"device":{{"type":"{device}"}},'
            f'"app":{{"version":"{_VERSIONS[version]}"}}}}}}'
            if device
            else ',"context":{"service":"billing"}}'
        )
        for event_id, name, clock, chance, sent, anonymous_id, user_id, page, category,
        device, version in zip(
            fields.event_id[rows],
            _names(fields, rows, 1),
            _iso(events.clock_ms[rows]),
            fields.draw[2][rows].tolist(),
            _iso(fields.sent_ms[rows]),
            anonymous,
            fields.user_id[rows],
            fields.page[rows],
            fields.category[rows],
            np.where(events.has_device[rows], fields.device[rows], ""),
            (events.device[rows] % 4).tolist(),
            strict=True,
        )
    ]  # fmt: skip


def _hub(fields: _Fields, rows: np.ndarray) -> list[str]:
    events = fields.events
    zone = fields.company.device_zone_minutes[events.device[rows]].astype(np.int64)
    offsets = {
        minutes: f"{'-' if minutes < 0 else '+'}"
        f"{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        for minutes in np.unique(zone).tolist()
    }
    return [
        f'{{"messageId":"{event_id}","type":"track","event":"{name}","timestamp":"'
        + clock
        + (offset if chance < 0.85 else offset.replace(":", ""))
        + f'","sentAt":"{sent}Z","anonymousId":"{anonymous_id}"'
        + (f',"userId":"{user_id}"' if user_id else ',"userId":null')
        + f',"properties":{{"path":"{page}"'
        + (f',"category":"{category}"' if category else "")
        + f'}},"context":{{"device":{{"type":"{device}"}}'
        + (',"campaign":{"source":"newsletter"}' if chance > 0.985 else "")
        + "}}"
        for event_id, name, clock, offset, chance, sent, anonymous_id, user_id, page,
        category, device in zip(
            fields.event_id[rows],
            _names(fields, rows, 2),
            _iso(events.clock_ms[rows] + zone * 60_000),
            [offsets[minutes] for minutes in zone.tolist()],
            fields.draw[2][rows].tolist(),
            _iso(fields.sent_ms[rows]),
            fields.anonymous_id[rows],
            fields.user_id[rows],
            fields.page[rows],
            fields.category[rows],
            fields.device[rows],
            strict=True,
        )
    ]  # fmt: skip


def _app(fields: _Fields, rows: np.ndarray) -> list[str]:
    events = fields.events
    micros = events.clock_ms[rows] * 1_000 + (fields.draw[1][rows] * 1_000).astype(
        np.int64
    )
    return [
        f'{{"event_name":"{name}","event_timestamp":'
        + (f'"{clock}"' if chance < 0.3 else f"{clock}")
        + f',"user_pseudo_id":"{anonymous_id}"'
        + (f',"user_id":"{user_id}"' if user_id else "")
        + f',"event_params":[{{"key":"page","value":{{"string_value":"{page}"}}}}'
        + (
            f',{{"key":"category","value":{{"string_value":"{category}"}}}}'
            if category
            else ""
        )
        + f',{{"key":"event_id","value":{{"string_value":"{event_id}"}}}}'
        + (
            ',{"key":"engagement_time_msec","value":{"int_value":'
            + f"{int(chance * 9_000)}}}}}"
            if chance > 0.5
            else ""
        )
        + "]}"
        for name, clock, chance, anonymous_id, user_id, page, category, event_id in zip(
            _names(fields, rows, 3),
            micros.tolist(),
            fields.draw[2][rows].tolist(),
            fields.anonymous_id[rows],
            fields.user_id[rows],
            fields.page[rows],
            fields.category[rows],
            fields.event_id[rows],
            strict=True,
        )
    ]


def _view(fields: _Fields, rows: np.ndarray) -> list[str]:
    events = fields.events
    return [
        '{"data":'
        + encode_basestring(
            f'{{"event":"{name}","eventId":"{event_id}","timestamp":{clock}'
            f',"visitor":"{anonymous_id}"'
            + (f',"uid":"{user_id}"' if user_id else "")
            + f',"url":"{page}"'
            + (f',"category":"{category}"' if category else "")
            + "}"
        )
        + "}"
        for name, event_id, clock, anonymous_id, user_id, page, category in zip(
            _names(fields, rows, 4),
            fields.event_id[rows],
            (events.clock_ms[rows] // 1_000).tolist(),
            fields.anonymous_id[rows],
            fields.user_id[rows],
            fields.page[rows],
            fields.category[rows],
            strict=True,
        )
    ]


def _names(fields: _Fields, rows: np.ndarray, tracker: int) -> list[str]:
    names = _NAME_OF[tracker]
    return [names[name] for name in fields.events.name[rows].tolist()]
