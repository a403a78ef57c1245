"""Run the page: ``churn serve``."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

from churn.config import Project, UserError
from churn.web.settings import PageSettings

if TYPE_CHECKING:
    import uvicorn


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    unix_socket: str | None = None,
    project: Project | None = None,
    max_requests: int = 64,
) -> None:
    """Serve the page until the process is stopped.

    Args:
        host: The address to listen on.
        port: The port to listen on.
        unix_socket: A Unix socket to listen on instead.
        project: The project whose scores are served; needed for the default stores.
        max_requests: Requests at the same time, beyond which the answer is 503.

    Raises:
        UserError: A setting is invalid or unsafe, or the address is in use.
    """
    settings = PageSettings.from_environment(host, port, unix_socket, project)
    # Only here, because settings are checked faster than this is imported.
    from churn.web.app import create_app

    if unix_socket is None:
        _refuse_used_port(host, port)
        print(f"The page is at http://{host}:{port}/ (Ctrl-C stops it).", flush=True)
    else:
        print(f"The page is at the socket {unix_socket} (Ctrl-C stops it).", flush=True)
    app = create_app(settings, access_log=sys.stderr)
    create_server(app, host, port, unix_socket, max_requests).run()


def create_server(
    app: Any,
    host: str = "127.0.0.1",
    port: int = 8000,
    unix_socket: str | None = None,
    max_requests: int = 64,
) -> uvicorn.Server:
    """Return a server of an ASGI application, with the limits of the page.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port to listen on.
        unix_socket: A Unix socket to listen on instead.
        max_requests: Requests at the same time, beyond which the answer is 503.
    """
    import uvicorn

    from churn.web.protocol import BoundedHeadProtocol

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        uds=unix_socket,
        http=BoundedHeadProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        # The proxy's headers are read by the page itself, with its secret.
        proxy_headers=False,
        limit_concurrency=max_requests,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
        lifespan="off",
    )
    return uvicorn.Server(config)


def _refuse_used_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"The page cannot listen on {host}:{port} ({error.strerror}): choose "
                "another one with --host and --port."
            ) from None
