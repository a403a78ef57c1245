"""``churn serve``."""

from __future__ import annotations

import click

from churn.cli.options import load_project, shared_options


@click.command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on. Others than this machine's need CHURN_PROXY_SECRET.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=8_000,
    show_default=True,
    metavar="NUMBER",
    help="Port to listen on.",
)
@click.option(
    "--uds",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Unix socket to listen on, instead of an address.",
)
@shared_options
@click.pass_context
def command(ctx: click.Context, host: str, port: int, uds: str | None) -> None:
    """Serve the web page for sales and marketing.

    Reads what `churn publish` wrote, never the database that dbt writes.
    """
    from churn.config import NoProjectError
    from churn.web.serve import serve

    try:
        project = load_project(ctx)
    except NoProjectError:
        # A machine that only serves has CHURN_SERVING_URL.
        project = None
    serve(host, port, uds, project)
