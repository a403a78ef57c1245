"""Settings of the serving store and of the page, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from churn.config import Project, UserError

_EXAMPLE = "sqlite:///serving/churn.db or postgresql://user@host/database"


def serving_url(project: Project | None = None) -> sa.URL:
    """Return the URL of the serving store.

    Args:
        project: The project whose scores are served; needed for the default.

    Returns:
        ``CHURN_SERVING_URL``, by default the SQLite file ``serving/NAME.db`` in the
        project's folder, where NAME is that of the DuckDB file or of the target.

    Raises:
        UserError: It is no URL of SQLite or PostgreSQL, or there is no default.
    """
    folder = project.work_dir if project else Path.cwd()
    text = os.environ.get("CHURN_SERVING_URL")
    if text:
        return _parse_url("CHURN_SERVING_URL", text, folder)
    if project is None:
        raise UserError(
            "There is no dbt project here: change to its folder, or set "
            f"CHURN_SERVING_URL to the store that it publishes to, such as {_EXAMPLE}."
        )
    name = project.database.stem if project.adapter == "duckdb" else project.target
    return sa.URL.create("sqlite", database=str(folder / "serving" / f"{name}.db"))


def actions_url(serving: sa.URL) -> sa.URL:
    """Return the URL of the store of actions.

    Returns:
        ``CHURN_ACTIONS_URL``; by default the PostgreSQL database of the serving store,
        or a file ``NAME.actions.db`` beside its SQLite file ``NAME.db``.

    Raises:
        UserError: It is no URL of SQLite or PostgreSQL.
    """
    text = os.environ.get("CHURN_ACTIONS_URL")
    if text:
        return _parse_url("CHURN_ACTIONS_URL", text, Path.cwd())
    if serving.get_backend_name() == "postgresql":
        return serving
    return serving.set(
        database=str(Path(str(serving.database)).with_suffix(".actions.db"))
    )


def _parse_url(variable: str, text: str, folder: Path) -> sa.URL:
    remedy = f"set {variable} to a URL such as {_EXAMPLE}."
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        # A port that is no number is a ValueError.
        raise UserError(f"{variable} is not a database URL: {remedy}") from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise UserError(f"{variable} is a database of type {backend}: {remedy}")
    if not url.database or Path(url.database).name in ("", "..", ":memory:"):
        raise UserError(f"{variable} names no file: {remedy}")
    return url.set(database=str(folder / os.path.expanduser(url.database)))


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
        project: Project | None = None,
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
        serving = serving_url(project)
        return cls(
            serving=serving,
            actions=actions_url(serving),
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
