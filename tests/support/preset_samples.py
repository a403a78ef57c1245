"""A small company in the formats of known trackers and CRMs.

Records are written from the formats' public documentation, which each preset names. The
same company has a different tracker and a different CRM each time.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

FIRST_DAY = date(2025, 1, 1)
DAYS = 70
ACCOUNTS = 50
# Short periods, so that a short history has observed labels.
VARIABLES = {"churn_horizon_days": 14, "churn_grace_days": 7}


@dataclass(frozen=True)
class Visit:
    """One page view, search or login.

    Attributes:
        number: A number that no other event has.
        count: The number of the event on its device.
        user: The user.
        device: The browser or app installation.
        at: When it happened, in UTC.
        name: ``page``, ``search`` or ``login``.
        path: The page.
    """

    number: int
    count: int
    user: str
    device: str
    at: datetime
    name: str
    path: str


def cancellation_day(account: int) -> date | None:
    """Return when an account cancels: one in three, spread over the history."""
    if account % 3:
        return None
    return FIRST_DAY + timedelta(days=15 + (account * 7) % (DAYS - 20))


def visits() -> Iterator[Visit]:
    """Yield all events of the company, ordered by time within an account."""
    draw = random.Random(11)
    number = 0
    for account in range(ACCOUNTS):
        count = 0
        ends = cancellation_day(account) or FIRST_DAY + timedelta(days=DAYS)
        for offset in range(DAYS):
            day = FIRST_DAY + timedelta(days=offset)
            fading = account % 3 == 0 and (ends - day).days < 12
            if day >= ends or draw.random() > (0.15 if fading else 0.6):
                continue
            for step, name in enumerate(("login", "page", "page", "search")):
                number, count = number + 1, count + 1
                yield Visit(
                    number,
                    count,
                    f"user-{account:03d}",
                    f"device-{account:03d}-{draw.randrange(2)}",
                    datetime(day.year, day.month, day.day, 9, 10 * step, account % 60),
                    name,
                    f"/page/{draw.randrange(20)}",
                )


def iso(at: datetime, seconds: float = 0) -> str:
    """Return a time as trackers write it: 2025-03-01T10:00:00.000Z."""
    later = at + timedelta(seconds=seconds)
    return later.strftime("%Y-%m-%dT%H:%M:%S.") + f"{later.microsecond // 1000:03d}Z"


def spaced(at: datetime, seconds: float = 0) -> str:
    return (at + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S.%f")


def epoch(at: datetime, unit: int) -> int:
    return int(at.replace(tzinfo=UTC).timestamp() * unit)


# Phones of this company are a day fast. Trackers that correct this say so.
DAY = 86_400


def segment(visit: Visit) -> dict[str, Any]:
    kinds = {"page": "page", "search": "track", "login": "identify"}
    record = {
        "messageId": f"ajs-{visit.number}",
        "type": kinds[visit.name],
        "anonymousId": visit.device,
        "userId": visit.user,
        "originalTimestamp": iso(visit.at, DAY),
        "sentAt": iso(visit.at, DAY + 1),
        "receivedAt": iso(visit.at, 1),
        "timestamp": iso(visit.at),
        "context": {
            "library": {"name": "analytics.js", "version": "2.1"},
            "page": {"path": visit.path},
        },
        "properties": {"path": visit.path} if visit.name == "page" else {},
    }
    if visit.name == "search":
        record["event"] = "Site Searched"
    return record


def rudderstack(visit: Visit) -> dict[str, Any]:
    return {
        **segment(visit),
        "channel": "web",
        "rudderId": f"r-{visit.device}",
        "messageId": f"rudder-{visit.number}",
    }


def snowplow(visit: Visit) -> dict[str, Any]:
    names = {"page": "page_view", "search": "site_search", "login": "login"}
    return {
        "app_id": "shop",
        "platform": "web",
        "event": "page_view" if visit.name == "page" else "unstruct",
        "event_name": names[visit.name],
        "event_id": f"00000000-0000-4000-8000-{visit.number:012d}",
        "collector_tstamp": iso(visit.at, 1),
        "dvce_created_tstamp": iso(visit.at, DAY),
        "dvce_sent_tstamp": iso(visit.at, DAY + 1),
        "derived_tstamp": iso(visit.at),
        "domain_userid": visit.device,
        "domain_sessionidx": visit.count,
        "user_id": visit.user,
        "page_urlpath": visit.path,
        "v_collector": "ssc-3.0",
    }


def ga4(visit: Visit) -> dict[str, Any]:
    names = {"page": "page_view", "search": "view_search_results", "login": "login"}
    return {
        "event_date": visit.at.strftime("%Y%m%d"),
        "event_timestamp": epoch(visit.at, 10**6),
        "event_name": names[visit.name],
        "event_params": [
            {
                "key": "page_location",
                "value": {"string_value": f"https://shop.example{visit.path}?q=1"},
            },
            {"key": "ga_session_number", "value": {"int_value": visit.count}},
        ],
        "event_bundle_sequence_id": visit.count,
        "user_pseudo_id": visit.device,
        "user_id": visit.user,
        "device": {"category": "desktop"},
        "stream_id": "1",
    }


def amplitude(visit: Visit) -> dict[str, Any]:
    names = {"page": "[Amplitude] Page Viewed", "search": "Search", "login": "Login"}
    return {
        "$insert_id": f"insert-{visit.number}",
        "uuid": f"uuid-{visit.number}",
        # A counter of the device.
        "event_id": visit.count,
        "event_type": names[visit.name],
        "event_time": spaced(visit.at),
        "client_event_time": spaced(visit.at, DAY),
        "client_upload_time": spaced(visit.at, DAY + 1),
        "server_received_time": spaced(visit.at, 1),
        "server_upload_time": spaced(visit.at, 2),
        "device_id": visit.device,
        "user_id": visit.user,
        "session_id": epoch(visit.at, 1000),
        "event_properties": {"[Amplitude] Page Path": visit.path},
        "device_type": "Android",
    }


def mixpanel(visit: Visit) -> dict[str, Any]:
    names = {"page": "$mp_web_page_view", "search": "Search", "login": "Login"}
    return {
        "event": names[visit.name],
        "properties": {
            "time": epoch(visit.at, 1),
            "distinct_id": visit.user,
            "$device_id": visit.device,
            "$user_id": visit.user,
            "$insert_id": f"insert{visit.number}",
            "mp_processing_time_ms": epoch(visit.at, 1000) + 900,
            "$current_url": f"https://shop.example{visit.path}",
            "$browser": "Chrome",
        },
    }


def posthog(visit: Visit) -> dict[str, Any]:
    names = {"page": "$pageview", "search": "search", "login": "$identify"}
    properties = {
        "$pathname": visit.path,
        "$device_id": visit.device,
        "$user_id": visit.user,
        "$lib": "web",
    }
    return {
        "uuid": f"018f0000-0000-7000-8000-{visit.number:012d}",
        "event": names[visit.name],
        "distinct_id": visit.user,
        "timestamp": spaced(visit.at),
        "created_at": spaced(visit.at, 3),
        # Parquet exports write the properties as a text.
        "properties": json.dumps(properties) if visit.number % 2 else properties,
    }


def matomo(visit: Visit) -> dict[str, Any]:
    return {
        "idlink_va": visit.number,
        "idsite": 1,
        "idvisit": visit.number // 4,
        "idvisitor": visit.device,
        "user_id": visit.user,
        "server_time": visit.at.strftime("%Y-%m-%d %H:%M:%S"),
        "type": {"page": "action", "search": "search", "login": "login"}[visit.name],
        "url": f"https://shop.example{visit.path}",
    }


def cloudevents(visit: Visit) -> dict[str, Any]:
    names = {"page": "page_view", "search": "search", "login": "login"}
    return {
        "specversion": "1.0",
        "id": f"ce-{visit.number}",
        "source": "/shop",
        "type": f"com.example.{names[visit.name]}"
        if visit.name == "search"
        else names[visit.name],
        "time": iso(visit.at),
        "datacontenttype": "application/json",
        "data": {
            "userId": visit.user,
            "anonymousId": visit.device,
            "path": visit.path,
        },
    }


TRACKERS: dict[str, Callable[[Visit], dict[str, Any]]] = {
    each.__name__: each
    for each in (
        *(segment, rudderstack, snowplow, ga4, amplitude, mixpanel, posthog),
        *(matomo, cloudevents),
    )
}


# ---- Tables ------------------------------------------------------------------


def signup(account: int) -> datetime:
    return datetime(2024, 1 + account % 12, 1 + account % 28, 12)


def ended(account: int, day: date) -> datetime | None:
    """Return when an account ended, as far as an extract of a day knows it."""
    cancelled = cancellation_day(account)
    if cancelled is None or cancelled > day:
        return None
    return datetime(cancelled.year, cancelled.month, cancelled.day, 8)


def _when(at: datetime | None, write: Callable[[datetime], Any]) -> Any:
    return "" if at is None else write(at)


def salesforce_accounts(account: int, day: date) -> dict[str, Any]:
    return {
        "Id": f"001{account:012d}AAA",
        "Name": f"Company {account}",
        "Industry": "Hotels",
        "CreatedDate": iso(signup(account)).replace("Z", "+0000"),
        "Plan__c": "Basic",
        "Cancelled_Service__c": _when(ended(account, day), lambda at: f"{at:%Y-%m-%d}"),
        "New_Customer__c": "",
    }


def salesforce_contacts(account: int, _: date) -> dict[str, Any]:
    return {
        "Id": f"003{account:012d}AAA",
        "AccountId": f"001{account:012d}AAA",
        "Email": f"ann{account}@example.com",
        "App_User_Id__c": f"user-{account:03d}",
        "Title": "Buyer",
    }


def salesforce_calls(account: int, day: date) -> dict[str, Any]:
    return {
        "Id": f"500{account:08d}{day:%m%d}AAA",
        "CaseNumber": f"{account:05d}{day:%m%d}",
        "AccountId": f"001{account:012d}AAA",
        "CreatedDate": f"{day}T10:00:00.000+0000",
        "Reason": "Delivery",
    }


def hubspot_accounts(account: int, day: date) -> dict[str, Any]:
    return {
        "hs_object_id": 7000 + account,
        "name": f"Company {account}",
        "createdate": iso(signup(account)),
        "industry": "HOTELS",
        "cancellation_date": _when(ended(account, day), lambda at: f"{at:%Y-%m-%d}"),
    }


def hubspot_contacts(account: int, _: date) -> dict[str, Any]:
    return {
        "hs_object_id": 9000 + account,
        "email": f"user-{account:03d}",
        "associatedcompanyid": 7000 + account,
        "jobtitle": "Buyer",
    }


def stripe_accounts(account: int, day: date) -> dict[str, Any]:
    seconds = lambda at: epoch(at, 1)  # noqa: E731
    return {
        "id": f"sub_{account:06d}",
        "customer": f"user-{account:03d}",
        "created": seconds(signup(account)),
        "canceled_at": _when(ended(account, day), seconds),
        "ended_at": _when(ended(account, day), seconds),
        "status": "canceled" if ended(account, day) else "active",
    }


def stripe_invoices(account: int, day: date) -> dict[str, Any]:
    at = datetime(day.year, day.month, day.day)
    return {
        "id": f"in_{account:06d}{day:%m%d}",
        "customer": f"user-{account:03d}",
        "created": epoch(at, 1),
        "due_date": epoch(at, 1),
        "amount_due": 12900,
        "status": ["paid", "open", "uncollectible"][account % 3],
    }


def chargebee_accounts(account: int, day: date) -> dict[str, Any]:
    return {
        "id": f"cb-{account}",
        "customer_id": f"user-{account:03d}",
        "started_at": epoch(signup(account), 1),
        "current_term_end": epoch(signup(account), 1) + 10**8,
        "cancelled_at": _when(ended(account, day), lambda at: epoch(at, 1)),
        "status": "cancelled" if ended(account, day) else "active",
        "plan_id": "basic",
        "mrr": 9900,
    }


def recurly_accounts(account: int, day: date) -> dict[str, Any]:
    return {
        "uuid": f"{account:032x}",
        "account": {"code": f"user-{account:03d}"},
        "plan": {"code": "basic"},
        "activated_at": iso(signup(account)),
        "canceled_at": _when(ended(account, day), iso),
        "expires_at": _when(ended(account, day), iso),
        "unit_amount": 99.0,
    }


def zendesk_calls(account: int, day: date) -> dict[str, Any]:
    return {
        "id": int(f"{account + 1}{day:%m%d}"),
        "organization_id": 3000 + account,
        "requester_id": 5000 + account,
        "created_at": iso(datetime(day.year, day.month, day.day, 10)),
        "type": "question",
        "subject": "Where is my bed?",
    }


def plain_accounts(account: int, day: date) -> dict[str, Any]:
    """Nobody's export: days before months, and flags in words."""
    return {
        "organization_id": 3000 + account,
        "company": f"Company {account}",
        "joined_on": f"{signup(account):%d.%m.%Y}",
        "is_cancelled": "Yes" if ended(account, day) else "No",
    }


def plain_contacts(account: int, _: date) -> dict[str, Any]:
    return {"login": f"user-{account:03d}", "company_id": 3000 + account}


Row = Callable[[int, date], dict[str, Any]]
CRMS: dict[str, dict[str, Row]] = {
    "salesforce": {
        "accounts": salesforce_accounts,
        "contacts": salesforce_contacts,
        "calls": salesforce_calls,
    },
    "hubspot": {"accounts": hubspot_accounts, "contacts": hubspot_contacts},
    "stripe": {"accounts": stripe_accounts, "invoices": stripe_invoices},
    "chargebee": {"accounts": chargebee_accounts},
    "recurly": {"accounts": recurly_accounts},
    "zendesk": {
        "accounts": plain_accounts,
        "contacts": plain_contacts,
        "calls": zendesk_calls,
    },
}
# Each tracker with a CRM, so that both occur at least once.
PAIRS = {
    "segment": "salesforce",
    "rudderstack": "hubspot",
    "snowplow": "stripe",
    "ga4": "chargebee",
    "amplitude": "recurly",
    "mixpanel": "zendesk",
    "posthog": "salesforce",
    "matomo": "stripe",
    "cloudevents": "hubspot",
}


def write_company(folder: Path, tracker: str, crm: str) -> dict[str, str]:
    """Write the company's files; return the path of each source."""
    (folder / "events").mkdir(parents=True)
    by_day: dict[date, list[str]] = {}
    for visit in visits():
        by_day.setdefault(visit.at.date(), []).append(
            json.dumps(TRACKERS[tracker](visit)) + "\n"
        )
    for day, lines in by_day.items():
        (folder / "events" / f"events-{day}.json").write_text("".join(lines))
    sources = {"events": f"{folder}/events/*.json"}
    for table, row in CRMS[crm].items():
        (folder / table).mkdir()
        for offset in range(DAYS):
            day = FIRST_DAY + timedelta(days=offset)
            # Calls and invoices are new rows, others are full extracts.
            is_full = table in ("accounts", "contacts")
            rows = [
                row(account, day)
                for account in range(ACCOUNTS)
                if is_full or account % 7 == offset % 7
            ]
            _write_rows(folder / table / f"{table}-{day}", rows, crm)
        sources[table] = f"{folder}/{table}/*"
    return sources


def _write_rows(path: Path, rows: list[dict[str, Any]], crm: str) -> None:
    if crm in ("recurly", "zendesk"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.with_suffix(".jsonl").write_text(text)
        return
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
