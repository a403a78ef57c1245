"""Runs one statement on a Trino server, over its own HTTP protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests


class TrinoError(Exception):
    """A statement that Trino refused.

    Attributes:
        name: Trino's name of the error, such as ``COLUMN_NOT_FOUND``.
        kind: ``USER_ERROR``, ``INTERNAL_ERROR``, ``INSUFFICIENT_RESOURCES`` or
            ``EXTERNAL``.
    """

    def __init__(self, name: str, kind: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.kind = kind


@dataclass
class Answer:
    """What a statement gave.

    Attributes:
        columns: Name and Trino type of each column.
        rows: The rows, with JSON's types.
        update_type: What a statement that is no query did, such as ``INSERT``.
        update_count: How many rows it wrote.
        scanned_bytes: What was read from files.
    """

    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    update_type: str | None = None
    update_count: int | None = None
    scanned_bytes: int = 0


class Trino:
    """A client of the server at ``url``; each thread needs one of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()
        self._http.trust_env = False

    def run(
        self,
        sql: str,
        catalog: str | None = None,
        schema: str | None = None,
        session: dict[str, str] | None = None,
    ) -> Answer:
        """Run a statement and wait for all its rows.

        Args:
            sql: One statement, without a semicolon.
            catalog: Where names without a catalog are looked up.
            schema: Where names without a schema are looked up.
            session: Session properties.

        Raises:
            TrinoError: Trino refused it.
            OSError: There is no server.
        """
        headers = {
            "X-Trino-User": "athena",
            "X-Trino-Time-Zone": "UTC",
            "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
        }
        if catalog:
            headers["X-Trino-Catalog"] = catalog
        if schema:
            headers["X-Trino-Schema"] = schema
        if session:
            headers["X-Trino-Session"] = ",".join(
                f"{name}={value}" for name, value in session.items()
            )
        answer = Answer()
        page = self._send("POST", f"{self._url}/v1/statement", sql.encode(), headers)
        while True:
            if "error" in page:
                error = page["error"]
                raise TrinoError(
                    error.get("errorName", "GENERIC_INTERNAL_ERROR"),
                    error.get("errorType", "INTERNAL_ERROR"),
                    error.get("message", ""),
                )
            if page.get("columns") and not answer.columns:
                answer.columns = [(c["name"], c["type"]) for c in page["columns"]]
            answer.rows += page.get("data", [])
            answer.update_type = page.get("updateType", answer.update_type)
            answer.update_count = page.get("updateCount", answer.update_count)
            answer.scanned_bytes = max(
                answer.scanned_bytes, page["stats"].get("physicalInputBytes", 0)
            )
            if "nextUri" not in page:
                return answer
            page = self._send("GET", page["nextUri"], None, headers)

    def _send(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str]
    ) -> dict[str, Any]:
        reply = self._http.request(method, url, data=body, headers=headers)
        if reply.status_code in (502, 503, 504):
            raise ConnectionError(f"Trino answered {reply.status_code}")
        if reply.status_code != 200:
            raise TrinoError("GENERIC_INTERNAL_ERROR", "INTERNAL_ERROR", reply.text)
        return reply.json()
