"""Pull subscriptions and invoices of Stripe into dated files: ``churn pull stripe``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import requests

from churn.ingest.dated_files import (
    Extract,
    Pulled,
    PullError,
    dated_path,
    deliver,
    delivered,
    explained_write_errors,
)
from churn.ingest.http_session import RetryingSession
from churn.quoting import printable

if TYPE_CHECKING:
    from churn.ingest.load import Progress

KEY_VARIABLE = "CHURN_STRIPE_API_KEY"
URL = "https://api.stripe.com/v1"
API_VERSION = "2024-06-20"
PAGE_ROWS = 100
# Months per billing interval.
_MONTHS = {"day": 12 / 365, "week": 12 / 52, "month": 1, "year": 12}

# Digits after the point of currencies that do not have two, as Stripe documents them:
# https://docs.stripe.com/currencies#zero-decimal
_DIGITS = {
    **dict.fromkeys(
        [
            *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf"),
            *("vnd", "vuv", "xaf", "xof", "xpf"),
        ],
        0,
    ),
    **dict.fromkeys(["bhd", "jod", "kwd", "omr", "tnd"], 3),
}

# The columns of each list, by their paths in an object. `mrr` is computed.
TABLES = {
    "subscriptions": [
        *("id", "customer", "status", "created", "start_date", "ended_at"),
        *("canceled_at", "cancel_at", "currency", "quantity", "plan.id", "mrr"),
    ],
    "invoices": [
        *("id", "customer", "created", "due_date", "period_end", "amount_due"),
        *("total", "currency", "status"),
    ],
}
_PARAMETERS = {"subscriptions": {"status": "all"}, "invoices": {}}


def pull_stripe(
    api_key: str,
    tables: list[str],
    folder: Path,
    day: date,
    progress: Progress | None = None,
) -> list[Pulled]:
    """Write ``folder/TABLE/dt=DAY/TABLE.parquet`` for each table.

    Columns have Stripe's names, which `churn init` recognises. A file that exists is
    kept. Stripe does not tell the number of objects: a list is complete if its last
    page says so and no object occurs twice.

    Args:
        api_key: A secret or restricted key.
        tables: Names in ``TABLES``.
        folder: The folder of all tables; created if missing.
        day: The date of the batch.
        progress: Called with a table's name, the number of read rows and the total.

    Raises:
        PullError: Stripe refuses or cannot be reached.
    """
    session = RetryingSession()
    session.headers["Stripe-Version"] = API_VERSION
    session.auth = _Bearer(api_key)
    pulled = []
    with explained_write_errors(folder), _explained_errors():
        for table in tables:
            path = dated_path(folder, table, day)
            extract = Extract(
                table,
                TABLES[table],
                lambda table=table: _batches(session, table),  # type: ignore[misc]
                lambda: None,
                key="id",
            )
            pulled.append(
                delivered(table, path) or deliver(extract, path, progress=progress)
            )
    return pulled


@contextmanager
def _explained_errors() -> Iterator[None]:
    try:
        yield
    except requests.RequestException as error:
        raise PullError(
            f"Stripe cannot be reached ({type(error).__name__}): nothing more was "
            "delivered, check the network and run it again."
        ) from None


class _Bearer(requests.auth.AuthBase):
    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _batches(session: RetryingSession, table: str) -> Iterator[pa.RecordBatch]:
    columns = TABLES[table]
    schema = pa.schema([(name, pa.string()) for name in columns])
    parameters: dict[str, Any] = {"limit": PAGE_ROWS, **_PARAMETERS[table]}
    while True:
        response = session.get(f"{URL}/{table}", params=parameters)
        if response.status_code != 200:
            raise PullError(_sentence(response))
        page = response.json(parse_float=str)
        objects = page["data"]
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([_text(each, name) for each in objects], pa.string())
                for name in columns
            ],
            schema=schema,
        )
        if not page["has_more"]:
            return
        parameters["starting_after"] = objects[-1]["id"]


def _sentence(response: requests.Response) -> str:
    try:
        message = response.json()["error"]["message"]
    except (ValueError, LookupError, TypeError):
        message = ""
    if response.status_code in (401, 403):
        # The message of Stripe quotes parts of the key.
        return f"Stripe refuses the key: check {KEY_VARIABLE} and its rights."
    return (
        f"Stripe answered with status {response.status_code} "
        f"({printable(message, 300)}): nothing more was delivered, run it again."
    )


def _text(row: dict[str, Any], column: str) -> str | None:
    if column == "mrr":
        return _monthly_revenue(row)
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None and column.partition(".")[0] in ("plan", "quantity"):
        # A subscription with several items has neither at its top level.
        items = row.get("items", {}).get("data") or [{}]
        value = items[0]
        for name in column.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, dict):
        # An expanded object.
        value = value.get("id")
    return None if value is None else str(value)


def _monthly_revenue(row: dict[str, Any]) -> str | None:
    """Return the price of all items per month in units of the currency.

    It is null if an item has no fixed price, such as one by usage.
    """
    total = 0.0
    items = row.get("items", {}).get("data") or []
    for item in items:
        price = item.get("price") or {}
        recurring = price.get("recurring") or {}
        months = _MONTHS.get(recurring.get("interval", ""), 0) * (
            recurring.get("interval_count") or 1
        )
        if price.get("unit_amount") is None or not months:
            return None
        quantity = 1 if item.get("quantity") is None else int(item["quantity"])
        total += int(price["unit_amount"]) * quantity / months
    digits = _DIGITS.get(str(row.get("currency")).lower(), 2)
    return f"{total / 10**digits:.{digits}f}" if items else None
