"""Log in to Salesforce, and explain its errors in one sentence.

Credentials come from the environment and appear in no message and no log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from churn.config import UserError
from churn.ingest.dated_files import PullError
from churn.ingest.http_session import RetryingSession
from churn.quoting import printable

if TYPE_CHECKING:
    from simple_salesforce.api import Salesforce

PREFIX = "CHURN_SALESFORCE_"
API_VERSION = "62.0"
# How often a request may log in again, because a new session can expire, too.
LOGINS_PER_REQUEST = 2
# Calls that a command leaves to others on the same day.
SPARE_CALLS = 100
_HOST = ".salesforce.com"
_GENERAL_DOMAINS = ("login", "test")


@dataclass(frozen=True)
class Credentials:
    """How to log in: OAuth client credentials, or a JWT signed with a private key.

    Attributes:
        domain: The host without ``.salesforce.com``, such as ``acme.my``.
        client_id: The connected app's consumer key.
        client_secret: Its secret; ``None`` for a JWT.
        username: For a JWT, the user.
        private_key_file: For a JWT, the PEM file of the key.
    """

    domain: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    username: str | None = None
    private_key_file: Path | None = None

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ
    ) -> Credentials:
        """Read the variables ``CHURN_SALESFORCE_*``.

        Raises:
            UserError: A variable is missing.
        """
        values = {
            name: environment.get(PREFIX + name, "").strip()
            for name in (
                *("DOMAIN", "CLIENT_ID", "CLIENT_SECRET"),
                *("USERNAME", "PRIVATE_KEY_FILE"),
            )
        }
        if not values["CLIENT_ID"]:
            raise UserError(
                f"{PREFIX}CLIENT_ID is not set: export the consumer key of a connected "
                "app."
            )
        domain = re.sub(r"^https://|/.*$", "", values["DOMAIN"]).removesuffix(_HOST)
        if not re.fullmatch(r"[\w.-]*", domain):
            raise UserError(f"{PREFIX}DOMAIN is no domain: write it as acme.my.")
        if values["CLIENT_SECRET"]:
            if domain in ("", *_GENERAL_DOMAINS):
                raise UserError(
                    f"{PREFIX}DOMAIN is not set: export your My Domain, such as "
                    "acme.my, because client credentials need it."
                )
            return cls(domain, values["CLIENT_ID"], values["CLIENT_SECRET"])
        if not values["USERNAME"] or not values["PRIVATE_KEY_FILE"]:
            raise UserError(
                f"Salesforce needs {PREFIX}CLIENT_SECRET, or {PREFIX}USERNAME and "
                f"{PREFIX}PRIVATE_KEY_FILE: export one of them."
            )
        key_file = Path(values["PRIVATE_KEY_FILE"])
        if not key_file.is_file():
            raise UserError(
                f"{PREFIX}PRIVATE_KEY_FILE names no file: export the path of the PEM "
                "file."
            )
        return cls(
            domain or "login",
            values["CLIENT_ID"],
            username=values["USERNAME"],
            private_key_file=key_file,
        )


class SalesforceSession(RetryingSession):
    """Adds the access token to each request, and logs in again when it has expired."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials
        self._token = ""
        self.instance = ""
        self.log_in()

    def log_in(self) -> None:
        """Get a new access token.

        Raises:
            PullError: Salesforce refuses the credentials.
        """
        from jwt import PyJWTError
        from simple_salesforce.exceptions import SalesforceAuthenticationFailed
        from simple_salesforce.login import SalesforceLogin

        given = self._credentials
        try:
            self._token, self.instance = SalesforceLogin(
                session=RetryingSession(),
                domain=given.domain,
                username=given.username,
                consumer_key=given.client_id,
                consumer_secret=given.client_secret,
                privatekey_file=(
                    str(given.private_key_file) if given.private_key_file else None
                ),
                sf_version=API_VERSION,
            )
        except SalesforceAuthenticationFailed as error:
            raise PullError(
                "Salesforce refuses the log-in "
                f"({printable(error.code)}: {printable(error.auth_message, 200)}): "
                f"check {PREFIX}* and the connected app."
            ) from None
        except (ValueError, TypeError, PyJWTError):
            # The message could quote the key.
            raise PullError(
                f"{PREFIX}PRIVATE_KEY_FILE holds no usable key: write an RSA key in "
                "PEM format."
            ) from None

    def request(  # type: ignore[override]
        self, method: str, url: str, **kwargs: Any
    ) -> requests.Response:
        """Send a request; log in again if the session has expired."""
        for _ in range(LOGINS_PER_REQUEST):
            response = super().request(method, url, **kwargs, auth=self._authorize)
            if response.status_code != 401:
                return response
            self.log_in()
        return super().request(method, url, **kwargs, auth=self._authorize)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def should_retry(self, response: requests.Response) -> bool:
        """Return whether the request is worth another attempt.

        A limit of concurrent requests passes in seconds, the daily limit does not.
        """
        if response.status_code == 403:
            return "ConcurrentRequests" in response.text
        return super().should_retry(response)


def connect(credentials: Credentials) -> Salesforce:
    """Return a client that is logged in.

    Raises:
        PullError: Salesforce cannot be reached or refuses the log-in.
    """
    try:
        from simple_salesforce.api import Salesforce
    except ImportError:
        raise PullError(
            "simple-salesforce is not installed: install the extra `salesforce`."
        ) from None
    with explained_errors():
        session = SalesforceSession(credentials)
        return Salesforce(
            instance_url=f"https://{session.instance}",
            # The session adds the token.
            session_id="",
            session=session,
            version=API_VERSION,
            # Numbers stay as Salesforce writes them.
            parse_float=str,
            object_pairs_hook=dict,
        )


def check_calls(client: Salesforce, calls: int) -> None:
    """Raise if the organisation's daily calls do not suffice for some more.

    Raises:
        PullError: Less than these calls and ``SPARE_CALLS`` are left.
    """
    usage = client.api_usage.get("api-usage")
    if usage and usage.total - usage.used < calls + SPARE_CALLS:
        raise PullError(
            f"Salesforce allows {usage.total - usage.used} more calls today, and "
            f"{calls} and {SPARE_CALLS} for others are needed: run it again when the "
            "limit has been reset."
        )


@contextmanager
def explained_errors() -> Iterator[None]:
    """Turn errors of the client into one sentence each.

    Raises:
        PullError: The client raised an error.
    """
    from simple_salesforce.exceptions import SalesforceError, SalesforceOperationError

    try:
        yield
    except SalesforceError as error:
        raise PullError(_sentence(error)) from None
    except SalesforceOperationError as error:
        raise PullError(
            f"A bulk job of Salesforce failed ({printable(error, 300)}): nothing more "
            "was delivered, run it again."
        ) from None
    except requests.RequestException as error:
        reason = type(error).__name__
        raise PullError(
            f"Salesforce cannot be reached ({reason}): nothing more was delivered, "
            "check the network and run it again."
        ) from None


def _sentence(error: Any) -> str:
    code, message = "", error.content
    if isinstance(message, list) and message and isinstance(message[0], dict):
        code = str(message[0].get("errorCode", ""))
        message = message[0].get("message", "")
    shown = f"{printable(code)}: {printable(message, 300)}" if code else ""
    shown = shown or f"status {error.status}"
    remedy = {
        "REQUEST_LIMIT_EXCEEDED": "run it again when the daily limit has been reset",
        "INVALID_FIELD": "check the names of the fields and the user's rights",
        "INVALID_TYPE": "check the name of the object and the user's rights",
        "MALFORMED_QUERY": "check --where and the names of the fields",
        "INVALID_SESSION_ID": f"check {PREFIX}* and the user's rights",
    }.get(code, "run it again")
    return f"Salesforce answered with {shown}; nothing more was delivered: {remedy}."
