"""Makes up the raw data of a small helpdesk vendor: ``python make_data.py``.

Writes what such a company has: Segment events in gzip files, one extract of
subscriptions per day, the users of its customers, and support tickets as Zendesk
exports them. Customers use the product less before they leave; some change their plan.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

FIRST_DAY = date(2025, 1, 1)
DAYS = 150
CUSTOMERS = 90
PLANS = {"team": 49, "business": 149, "enterprise": 490}


def main(arguments: list[str] | None = None) -> None:
    """Make the same data every time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data"))
    options = parser.parse_args(arguments)
    draw = random.Random(20250301)
    customers = [_customer(draw, number) for number in range(CUSTOMERS)]
    for name in ("events", "subscriptions", "users", "tickets"):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    days = [FIRST_DAY + timedelta(days=offset) for offset in range(DAYS)]
    count = 0
    for day in days:
        events = list(_events(draw, customers, day))
        count += len(events)
        content = "".join(json.dumps(event) + "\n" for event in events)
        path = options.out / "events" / f"{day}.json.gz"
        path.write_bytes(gzip.compress(content.encode(), mtime=0))
        _write_csv(
            options.out / "subscriptions" / f"{day}.csv", _extract(customers, day)
        )
        _write_csv(options.out / "users" / f"{day}.csv", _users(customers, day))
        tickets = "".join(
            json.dumps(ticket) + "\n" for ticket in _tickets(draw, customers, day)
        )
        (options.out / "tickets" / f"{day}.jsonl").write_text(tickets)
    print(f"{count:,} events and {DAYS} daily extracts in {options.out}")


def _customer(draw: random.Random, number: int) -> dict[str, Any]:
    leaves = draw.random() < 0.4
    end = FIRST_DAY + timedelta(days=draw.randrange(25, DAYS - 5)) if leaves else None
    upgrade = FIRST_DAY + timedelta(days=draw.randrange(5, DAYS))
    return {
        "id": f"cus_{number:04d}",
        "plan": draw.choice(list(PLANS)),
        "upgrade": upgrade if draw.random() < 0.2 else None,
        "start": FIRST_DAY - timedelta(days=draw.randrange(10, 700)),
        "end": end,
        "users": [f"u{number:04d}-{user}" for user in range(draw.randrange(2, 6))],
        "keenness": draw.uniform(0.35, 0.8),
    }


def _is_customer(customer: dict[str, Any], day: date) -> bool:
    return customer["end"] is None or day < customer["end"]


def _interest(customer: dict[str, Any], day: date) -> float:
    """Return how keen a customer is; it fades in the 20 days before the end."""
    if customer["end"] is None:
        return float(customer["keenness"])
    left = (customer["end"] - day).days
    return float(customer["keenness"] * min(1.0, max(0.1, left / 20)))


def _events(
    draw: random.Random, customers: list[dict[str, Any]], day: date
) -> Iterator[dict[str, Any]]:
    """Yield Segment calls; the clock of one device in ten is an hour fast."""
    for customer in customers:
        for user in customer["users"]:
            if not _is_customer(customer, day) or (
                draw.random() > _interest(customer, day)
            ):
                continue
            at = datetime(day.year, day.month, day.day, draw.randrange(7, 18))
            skew = timedelta(hours=1 if user.endswith("0") else 0)
            names = ["page", *draw.choices(["Ticket Solved", "page"], k=4)]
            if draw.random() < 0.05:
                names.append("Upgrade Viewed")
            for name in names:
                at += timedelta(seconds=draw.randrange(20, 400))
                device_time = at + skew
                call: dict[str, Any] = {
                    "messageId": f"ajs-{draw.getrandbits(64):016x}",
                    "anonymousId": f"d-{user}",
                    "userId": user,
                    "originalTimestamp": _iso(device_time),
                    "sentAt": _iso(device_time + timedelta(seconds=1)),
                    "receivedAt": _iso(at + timedelta(seconds=1)),
                    "timestamp": _iso(at),
                    "context": {"library": {"name": "analytics.js"}},
                }
                if name == "page":
                    path = f"/tickets/{draw.randrange(400)}"
                    yield {**call, "type": "page", "properties": {"path": path}}
                else:
                    yield {**call, "type": "track", "event": name, "properties": {}}


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.000Z"


def _extract(customers: list[dict[str, Any]], day: date) -> Iterator[dict[str, Any]]:
    """Yield the subscription of each customer as of a day."""
    for customer in customers:
        plan = customer["plan"]
        if customer["upgrade"] and day >= customer["upgrade"]:
            plan = "enterprise"
        end = customer["end"]
        yield {
            "subscription_id": f"sub_{customer['id'][4:]}",
            "customer_id": customer["id"],
            "plan_name": plan,
            "mrr": PLANS[plan],
            "start_date": customer["start"],
            "end_date": end if end and day >= end else "",
        }


def _users(customers: list[dict[str, Any]], day: date) -> Iterator[dict[str, Any]]:
    for customer in customers:
        if _is_customer(customer, day) or (day - customer["end"]).days < 30:
            for number, user in enumerate(customer["users"]):
                yield {
                    "user_id": user,
                    "customer_id": customer["id"],
                    "job_title": "Admin" if number == 0 else "Agent",
                }


def _tickets(
    draw: random.Random, customers: list[dict[str, Any]], day: date
) -> Iterator[dict[str, Any]]:
    """Yield tickets; customers who are about to leave open more."""
    for number, customer in enumerate(customers):
        is_leaving = customer["end"] is not None and (customer["end"] - day).days < 20
        if _is_customer(customer, day) and draw.random() < (
            0.1 if is_leaving else 0.02
        ):
            at = datetime(day.year, day.month, day.day, draw.randrange(7, 18))
            yield {
                "id": int(f"{number + 1}{day:%m%d}"),
                "organization_id": 9000 + number,
                "organization": {"external_id": customer["id"]},
                "requester_id": 5000 + number,
                "created_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "type": draw.choice(["question", "problem"]),
                "subject": draw.choice(["Login", "Invoice", "Import"]),
            }


def _write_csv(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        first = next(rows)
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
