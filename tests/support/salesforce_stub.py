"""A small Salesforce: OAuth, describe, queries, Bulk API 2.0, deleted records, limits.

Written from the developer guides of the REST API and the Bulk API 2.0. Behaviour that
the guides do not state is not imitated.
"""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import jwt

from tests.support.tls_stub import Answer, Request, TlsStub

DOMAIN = "acme.my"
CLIENT_ID, CLIENT_SECRET = "consumer-key", "consumer-secret-5d41402a"
EXPIRED = Answer(
    [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], 401
)
BUSY = Answer(
    [{"message": "Server is busy", "errorCode": "SERVER_UNAVAILABLE"}],
    503,
    {"Retry-After": "0"},
)
_QUERY = re.compile(
    r"select (?P<fields>.+?) from (?P<object>\w+)(?: where (?P<where>.+))?", re.I
)
# `Owner` is a relationship: its fields are read through `OwnerId`.
ACCOUNT_FIELDS = {
    "Id": "id",
    "Name": "string",
    "Industry": "picklist",
    "CreatedDate": "datetime",
    "Plan__c": "string",
    "Seats__c": "double",
    "MRR__c": "currency",
    "Cancelled_Service__c": "date",
    "New_Customer__c": "date",
    "OwnerId": "reference",
    "IsDeleted": "boolean",
    "MasterRecordId": "reference",
    "LastModifiedDate": "datetime",
    "Is_Partner__c": "boolean",
}
CONTACT_FIELDS = {
    "Id": "id",
    "AccountId": "reference",
    "Email": "email",
    "App_User_Id__c": "string",
    "Title": "string",
    "IsDeleted": "boolean",
    "MasterRecordId": "reference",
    "LastModifiedDate": "datetime",
}
# Cases cannot be merged in every organisation.
CASE_FIELDS = {
    "Id": "id",
    "CaseNumber": "string",
    "AccountId": "reference",
    "CreatedDate": "datetime",
    "Reason": "picklist",
    "IsDeleted": "boolean",
    "LastModifiedDate": "datetime",
}


def account(number: int) -> dict[str, Any]:
    """Return an account; every third has cancelled."""
    return {
        "Id": f"001{number:012d}AAA",
        "Name": f'Company "{number}",\nLtd' if number == 1 else f"Company {number}",
        "Industry": "Hotels" if number % 2 else None,
        "CreatedDate": f"2025-01-{number % 28 + 1:02d}T08:00:00.000+0000",
        "Plan__c": "Basic",
        "Seats__c": float(number % 50 + 1),
        "MRR__c": 19.5,
        "Cancelled_Service__c": None if number % 3 else "2025-02-01",
        "New_Customer__c": None,
        "OwnerId": f"005{number % 7:012d}AAA",
        "Owner": {"Name": f"Owner {number % 7}"},
        "Is_Partner__c": not number % 5,
        "IsDeleted": False,
        "MasterRecordId": None,
        "LastModifiedDate": "2025-02-02T00:00:00.000+0000",
    }


def contact(number: int) -> dict[str, Any]:
    return {
        "Id": f"003{number:012d}AAA",
        "AccountId": f"001{number:012d}AAA",
        "Email": f"ann{number}@example.com",
        "App_User_Id__c": f"user-{number}",
        "Title": "Buyer",
        "IsDeleted": False,
        "MasterRecordId": None,
        "LastModifiedDate": "2025-02-02T00:00:00.000+0000",
    }


def case(number: int) -> dict[str, Any]:
    """Return a case; every fourth has no account."""
    return {
        "Id": f"500{number:012d}AAA",
        "CaseNumber": f"{number:08d}",
        "AccountId": f"001{number:012d}AAA" if number % 4 else None,
        "CreatedDate": "2025-02-01T08:00:00.000+0000",
        "Reason": "Delivery",
        "IsDeleted": False,
        "LastModifiedDate": "2025-02-02T00:00:00.000+0000",
    }


class SalesforceStub(TlsStub):
    """An organisation with accounts and contacts.

    Attributes:
        counts: Number of records by object.
        records: Returns the record of a number, by object.
        fields: Types of the visible fields, by object.
        external_ids: Fields that are marked as external id.
        deleted: Records in the recycle bin, by object.
        count_offset: What `count()` adds to the truth.
        calls_left: Calls of the day that are left.
        upserted: Values by external id, after ingest jobs.
        refuse: Returns why a row of an ingest job fails, or nothing.
    """

    hosts = ("acme.my.salesforce.com", "login.salesforce.com")

    def __init__(self, folder: Path, accounts: int = 0, contacts: int = 0) -> None:
        self.reset(accounts, contacts)
        super().__init__(folder)

    def reset(self, accounts: int, contacts: int) -> None:
        """Forget everything, and have new records."""
        self.requests, self.faults = [], []
        self.counts = {"Account": accounts, "Contact": contacts, "Case": contacts}
        self.records: dict[str, Callable[[int], dict[str, Any]]] = {
            "Account": account,
            "Contact": contact,
            "Case": case,
        }
        self.fields = {
            "Account": dict(ACCOUNT_FIELDS),
            "Contact": dict(CONTACT_FIELDS),
            "Case": dict(CASE_FIELDS),
        }
        self.deleted: dict[str, list[dict[str, Any]]] = {
            name: [] for name in self.counts
        }
        self.external_ids: set[str] = set()
        self.count_offset = 0
        self.calls_left = 10_000
        self.page_rows = 2_000
        self.upserted: dict[str, dict[str, str]] = {}
        self.refuse: Callable[[dict[str, str]], str | None] = lambda _: None
        self.public_key: str | None = None
        self.tokens: list[str] = []
        self.jobs: dict[str, dict[str, Any]] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "CHURN_SALESFORCE_DOMAIN": DOMAIN,
            "CHURN_SALESFORCE_CLIENT_ID": CLIENT_ID,
            "CHURN_SALESFORCE_CLIENT_SECRET": CLIENT_SECRET,
        }

    def expire_tokens(self) -> None:
        self.tokens.clear()

    def answer(self, request: Request) -> Answer:
        if request.path == "/services/oauth2/token":
            return self._log_in(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens[-1:]:
            return EXPIRED
        if not self.calls_left:
            return Answer(
                [
                    {
                        "message": "TotalRequests Limit exceeded.",
                        "errorCode": "REQUEST_LIMIT_EXCEEDED",
                    }
                ],
                403,
            )
        self.calls_left -= 1
        match = re.fullmatch(r"/services/data/v[\d.]+/(.+?)/?", request.path)
        parts = match[1].split("/") if match else [""]
        if parts[0] == "sobjects" and parts[-1] == "describe":
            answer = self._describe(parts[1])
        elif parts[0] in ("query", "queryAll"):
            answer = self._query(request, parts)
        elif parts[:2] == ["jobs", "query"]:
            answer = self._query_job(request, parts[2:])
        elif parts[:2] == ["jobs", "ingest"]:
            answer = self._ingest_job(request, parts[2:])
        else:
            answer = Answer([{"message": "no", "errorCode": "NOT_FOUND"}], 404)
        usage = f"api-usage={10_000 - self.calls_left}/10000"
        answer.headers["Sforce-Limit-Info"] = usage
        return answer

    # ---- OAuth ---------------------------------------------------------------

    def _log_in(self, request: Request) -> Answer:
        form = request.form()
        refused = Answer(
            {"error": "invalid_client", "error_description": "invalid credentials"}, 401
        )
        if form["grant_type"] == "client_credentials":
            pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {pair}":
                return refused
        else:
            try:
                claims = jwt.decode(
                    form["assertion"],
                    self.public_key or "",
                    algorithms=["RS256"],
                    audience=f"https://{request.host}",
                    issuer=CLIENT_ID,
                )
            except jwt.InvalidTokenError:
                return refused
            if claims["sub"] != "robot@acme.example":
                return refused
        self.tokens.append(f"token-{len(self.tokens)}-00D!secret")
        return Answer(
            {
                "access_token": self.tokens[-1],
                "instance_url": f"https://{self.hosts[0]}",
                "token_type": "Bearer",
            }
        )

    # ---- Objects -------------------------------------------------------------

    def _describe(self, name: str) -> Answer:
        if name not in self.fields:
            return Answer([{"message": "no object", "errorCode": "NOT_FOUND"}], 404)
        return Answer(
            {
                "name": name,
                "fields": [
                    {
                        "name": field,
                        "type": kind,
                        "idLookup": field == "Id",
                        "externalId": field in self.external_ids,
                        "updateable": field not in ("Id", "CreatedDate"),
                        "relationshipName": field[:-2]
                        if kind == "reference" and field.endswith("Id")
                        else None,
                    }
                    for field, kind in self.fields[name].items()
                ],
            }
        )

    def _rows(self, query: str, start: int = 0) -> Iterator[dict[str, Any]]:
        match = _QUERY.fullmatch(query)
        assert match, query
        name, where = match["object"], match["where"] or ""
        if where == "IsDeleted = true":
            yield from self.deleted[name][start:]
            return
        make = self.records[name]
        if found := re.fullmatch(r"(\w+) in \((.*)\)", where):
            wanted = set(_literals(found[2]))
            every = map(make, range(self.counts[name]))
            # An identifier of 15 characters means the one of 18.
            size = 15 if found[1] == "Id" else None
            wanted = {each[:size] for each in wanted}
            rows = (row for row in every if row[found[1]][:size] in wanted)
            yield from islice(rows, start, None)
            return
        if where.endswith(" != null"):
            where = ""
        if where:
            assert where == "Is_Partner__c = false", where
            numbers = (n for n in range(self.counts[name]) if n % 5)
            yield from islice(map(make, numbers), start, None)
            return
        yield from map(make, range(start, self.counts[name]))

    def _count(self, query: str) -> int:
        match = _QUERY.fullmatch(query)
        assert match, query
        if not match["where"] or match["where"].endswith(" != null"):
            return self.counts[match["object"]]
        return sum(1 for _ in self._rows(query))

    def _fields(self, query: str) -> list[str]:
        match = _QUERY.fullmatch(query)
        assert match, query
        return match["fields"].split(", ")

    def _query(self, request: Request, parts: list[str]) -> Answer:
        if len(parts) == 2:
            key, _, offset = parts[1].partition("-")
            query, start = base64.urlsafe_b64decode(key).decode(), int(offset)
        else:
            query, start = request.query["q"], 0
        if self._fields(query) == ["count()"]:
            total = self._count(query) + self.count_offset
            return Answer({"totalSize": total, "done": True, "records": []})
        fields = self._fields(query)
        total = self._count(query)
        rows = list(islice(self._rows(query, start), self.page_rows))
        body: dict[str, Any] = {
            "totalSize": total,
            "done": start + len(rows) >= total,
            "records": [_record(row, fields) for row in rows],
        }
        if not body["done"]:
            key = base64.urlsafe_b64encode(query.encode()).decode()
            path = request.path.partition(parts[0])[0]
            body["nextRecordsUrl"] = f"{path}query/{key}-{start + len(rows)}"
        return Answer(body)

    # ---- Bulk API 2.0 --------------------------------------------------------

    def _query_job(self, request: Request, parts: list[str]) -> Answer:
        if not parts:
            job = {"id": f"750{len(self.jobs):012d}", "state": "UploadComplete"}
            self.jobs[job["id"]] = {**request.json(), **job}
            return Answer(job)
        job = self.jobs[parts[0]]
        if len(parts) == 1:
            job["state"] = "JobComplete"
            return Answer({"id": parts[0], "state": job["state"]})
        start = int(request.query.get("locator", "0"))
        size = int(request.query["maxRecords"])
        fields = self._fields(job["query"])
        rows = list(islice(self._rows(job["query"], start), size))
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(fields)
        writer.writerows([_cell(row, field) for field in fields] for row in rows)
        end = start + len(rows)
        locator = "null" if end >= self._count(job["query"]) else str(end)
        return Answer(
            text.getvalue(),
            headers={
                "Content-Type": "text/csv",
                "Sforce-Locator": locator,
                "Sforce-NumberOfRecords": str(len(rows)),
            },
        )

    def _ingest_job(self, request: Request, parts: list[str]) -> Answer:
        if not parts:
            job = {"id": f"751{len(self.jobs):012d}", "state": "Open"}
            self.jobs[job["id"]] = {**request.json(), **job}
            return Answer(job)
        job = self.jobs[parts[0]]
        if len(parts) == 2 and parts[1] == "batches":
            job["rows"] = list(csv.DictReader(io.StringIO(request.body.decode())))
            return Answer("", 201)
        if len(parts) == 2:
            return Answer(_results(job, parts[1]), headers={"Content-Type": "text/csv"})
        if request.method == "PATCH":
            job["state"] = request.json()["state"]
            if job["state"] == "UploadComplete":
                self._process(job)
        return Answer(
            {
                "id": job["id"],
                "state": job["state"],
                "numberRecordsFailed": len(job.get("failed", ())),
                "numberRecordsProcessed": len(job.get("rows", ())),
            }
        )

    def _process(self, job: dict[str, Any]) -> None:
        job["state"] = "JobComplete"
        job["failed"], job["successful"] = [], []
        for row in job["rows"]:
            reason = self.refuse(row)
            if reason:
                job["failed"].append({"sf__Id": "", "sf__Error": reason, **row})
                continue
            key = row[job["externalIdFieldName"]]
            created = str(key not in self.upserted).lower()
            self.upserted[key] = {**self.upserted.get(key, {}), **row}
            job["successful"].append({"sf__Id": key, "sf__Created": created, **row})


def _literals(text: str) -> list[str]:
    """Return the texts of a list of SOQL literals; fail if it is anything else."""
    literal = r"'((?:[^'\\]|\\.)*)'"
    assert re.fullmatch(rf"{literal}(,{literal})*", text), text
    return [re.sub(r"\\(.)", r"\1", found) for found in re.findall(literal, text)]


def _results(job: dict[str, Any], kind: str) -> str:
    rows = job.get(kind.removesuffix("Results"), [])
    text = io.StringIO()
    writer = csv.DictWriter(
        text,
        ["sf__Id", "sf__Error" if kind[0] == "f" else "sf__Created", *job["rows"][0]],
        lineterminator="\n",
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _record(row: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    record: dict[str, Any] = {"attributes": {"type": "sObject"}}
    for name in fields:
        outer, _, inner = name.partition(".")
        record[outer] = (
            {"attributes": {}, inner: row[outer][inner]} if inner else row[outer]
        )
    return record


def _cell(row: dict[str, Any], field: str) -> str:
    value: Any = row
    for name in field.split("."):
        value = value[name]
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


__all__ = ["BUSY", "EXPIRED", "SalesforceStub", "account", "contact"]
