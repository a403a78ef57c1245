"""Settings of the serving store and of the page, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from churn.config import UserError

SERVING_FILE = "serving/serving.db"
ACTIONS_FILE = "serving/actions.db"


def serving_url(folder: Path | None = None) -> sa.URL:
    """Return the URL of the serving store.

    Args:
        folder: The folder that a relative path starts from. Default: the current one.

    Returns:
        ``CHURN_SERVING_URL``, by default an SQLite file in the folder.

    Raises:
        UserError: It is no URL of SQLite or PostgreSQL.
    """
    return _url("CHURN_SERVING_URL", SERVING_FILE, folder)


def actions_url(folder: Path | None = None) -> sa.URL:
    """Return the URL of the store of actions.

    Returns:
        ``CHURN_ACTIONS_URL``; by default the PostgreSQL database of the serving store,
        or ``actions.db`` beside its SQLite file.

    Raises:
        UserError: It is no URL of SQLite or PostgreSQL.
    """
    if os.environ.get("CHURN_ACTIONS_URL"):
        return _url("CHURN_ACTIONS_URL", ACTIONS_FILE, folder)
    serving = serving_url(folder)
    if serving.get_backend_name() == "postgresql":
        return serving
    return serving.set(database=str(Path(serving.database or "").parent / "actions.db"))


def _url(variable: str, default: str, folder: Path | None) -> sa.URL:
    text = os.environ.get(variable) or f"sqlite:///{default}"
    expected = (
        f"set {variable} to a URL such as sqlite:///serving/serving.db or "
        "postgresql://user@host/database."
    )
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise UserError(f"{variable} is not a database URL: {expected}") from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise UserError(f"{variable} is a database of type {backend}: {expected}")
    if not url.database or url.database == ":memory:":
        raise UserError(f"{variable} names no file: {expected}")
    path = (folder or Path.cwd()) / Path(url.database).expanduser()
    return url.set(database=str(path))


@dataclass(frozen=True)
class PageSettings:
    """Settings of the page.

    Attributes:
        serving: URL of the serving store.
        actions: URL of the store of actions.
        host: The address to listen on.
        port: The port to listen on.
        unix_socket: A Unix socket to listen on instead.
        allowed_hosts: Host names that requests may name.
        proxy_secret: The secret that a proxy sends in ``X-Churn-Proxy-Secret``.
        user_header: The proxy's header with the user's id.
        groups_header: The proxy's header with the user's groups.
        actor_groups: Groups that may record actions; empty for everybody.
        own_accounts_only: Whether a user sees only the accounts that they own.
        local_actor: The actor if there is no authentication.
        crm_url: Template of the link to the CRM, with ``{account_id}``.
        is_read_only: Whether actions are recorded elsewhere, such as in the CRM.
    """

    serving: sa.URL
    actions: sa.URL
    host: str = "127.0.0.1"
    port: int = 8000
    unix_socket: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    proxy_secret: str | None = None
    user_header: str = "x-forwarded-user"
    groups_header: str = "x-forwarded-groups"
    actor_groups: tuple[str, ...] = ()
    own_accounts_only: bool = False
    local_actor: str = "local"
    crm_url: str | None = None
    is_read_only: bool = False

    @property
    def is_authenticated(self) -> bool:
        """Return whether a proxy says who the user is."""
        return self.proxy_secret is not None or self.unix_socket is not None

    @classmethod
    def from_environment(
        cls,
        host: str = "127.0.0.1",
        port: int = 8000,
        unix_socket: str | None = None,
        folder: Path | None = None,
    ) -> PageSettings:
        """Read the settings and check that they are safe.

        Raises:
            UserError: A value is invalid, or the address is not this machine's and no
                authentication is configured.
        """
        secret = os.environ.get("CHURN_PROXY_SECRET") or None
        if secret is not None and len(secret) < 16:
            raise UserError(
                "CHURN_PROXY_SECRET is shorter than 16 characters: use a longer secret."
            )
        if host not in LOOPBACK and secret is None and unix_socket is None:
            raise UserError(
                f"The page would be open to everybody who reaches {host}: set "
                "CHURN_PROXY_SECRET and put a proxy with a login before it, or listen "
                "on 127.0.0.1."
            )
        crm_url = os.environ.get("CHURN_CRM_URL") or None
        if crm_url is not None and not (
            crm_url.startswith("https://") and crm_url.count("{account_id}") == 1
        ):
            raise UserError(
                "CHURN_CRM_URL must begin with https:// and contain {account_id} once, "
                "such as https://example.my.salesforce.com/{account_id}."
            )
        return cls(
            serving=serving_url(folder),
            actions=actions_url(folder),
            host=host,
            port=port,
            unix_socket=unix_socket,
            allowed_hosts=_words("CHURN_ALLOWED_HOSTS"),
            proxy_secret=secret,
            user_header=os.environ.get("CHURN_USER_HEADER", "x-forwarded-user").lower(),
            groups_header=os.environ.get(
                "CHURN_GROUPS_HEADER", "x-forwarded-groups"
            ).lower(),
            actor_groups=_words("CHURN_ACTOR_GROUPS"),
            own_accounts_only=_flag("CHURN_OWN_ACCOUNTS_ONLY"),
            local_actor=_local_user(),
            crm_url=crm_url,
            is_read_only=_flag("CHURN_READ_ONLY"),
        )


LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _words(variable: str) -> tuple[str, ...]:
    text = os.environ.get(variable, "")
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _flag(variable: str) -> bool:
    value = os.environ.get(variable, "").lower()
    if value not in ("", "0", "1", "true", "false"):
        raise UserError(f"{variable} is `{value}`: set it to true or false.")
    return value in ("1", "true")


def _local_user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"
