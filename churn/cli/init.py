"""``churn init``."""

from __future__ import annotations

from pathlib import Path

import click

from churn.cli.options import debug_option


@click.command("init")
@click.option(
    "--events",
    required=True,
    metavar="PATH",
    help="Clickstream: JSON lines, Parquet or CSV.",
)
@click.option("--accounts", metavar="PATH", help="Accounts: Parquet or CSV.")
@click.option("--contacts", metavar="PATH", help="Contacts: Parquet or CSV.")
@click.option("--invoices", metavar="PATH", help="Invoices: Parquet or CSV.")
@click.option("--calls", metavar="PATH", help="Support calls: Parquet or CSV.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="my_company",
    show_default=True,
    metavar="DIR",
    help="Folder to write.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    metavar="NUMBER",
    help="Records to read.",
)
@debug_option
def command(out: Path, sample: int, **paths: str | None) -> int:
    """Write a first project for your own data.

    Reads a sample of your data. Paths can be globs, local or s3://, plain, .gz or .zst.
    """
    from churn.onboarding.init import main

    arguments = [f"--{name}={path}" for name, path in paths.items() if path]
    return main([*arguments, f"--out={out}", f"--sample={sample}"])
