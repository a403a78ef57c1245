"""``churn demo``."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import click

from churn.cli.options import Day, debug_option, demo_size_options

# An event before 2010 would be rejected as implausible.
FIRST_START, LAST_START = date(2011, 1, 1), date(2100, 1, 1)


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to write; must be new or empty.",
)
@demo_size_options
@click.option(
    "--start",
    type=Day(FIRST_START, LAST_START),
    default="2025-01-01",
    show_default=True,
    metavar="DAY",
    help="First day.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="NUMBER",
    help="Processes; the output does not depend on it. Default: one per core.",
)
@click.option(
    "--dialect",
    type=click.Choice(["dates", "flags"]),
    default="dates",
    show_default=True,
    help="How the CRM marks cancellations and restarts.",
)
@click.option(
    "--reversed",
    "is_reversed",
    is_flag=True,
    help="Let unhappy accounts behave as happy ones do otherwise.",
)
@click.option(
    "--sales-from-day",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Day number from which a sales team makes offers. Default: no team.",
)
@click.option(
    "--seeds",
    is_flag=True,
    help="Write the small company of the repository as dbt seeds instead.",
)
@click.option(
    "--firehose",
    "stream",
    metavar="STREAM",
    help="Send the clickstream to this stream of Kinesis Firehose, too. If DIR has a "
    "demo company, it is sent as it is, from where an earlier run stopped.",
)
@debug_option
def command(
    out: Path | None,
    accounts: int,
    days: int,
    seed: int,
    start: date,
    workers: int | None,
    dialect: str,
    is_reversed: bool,
    sales_from_day: int | None,
    seeds: bool,
    stream: str | None,
) -> None:
    """Generate the raw data of a demo company.

    Writes a landing zone of all five sources, with dirty records, and the truth for
    evaluation. `churn load` reads it.
    """
    from churn.cli.output import ProgressDisplay, print_text

    if seeds:
        from churn.demo.seeds import write_seeds

        folder = out or Path("seeds")
        print_text(f"Wrote the seeds: {write_seeds(folder):,} bytes in {folder}")
        return
    if out is None:
        raise click.UsageError("name the folder to write with --out DIR")
    if stream is not None and (out / "demo.json").exists():
        _send(stream, out)
        return
    if out.exists() and any(out.iterdir()):
        raise click.UsageError(f"--out {out} is not empty: name a new folder")

    from churn.demo.generate import generate
    from churn.demo.settings import Settings

    settings = Settings(
        accounts=accounts,
        days=days,
        seed=seed,
        start=start,
        dialect=dialect,
        is_reversed=is_reversed,
        sales_from_day=sales_from_day,
    )
    started = time.monotonic()
    with ProgressDisplay() as display:
        records = generate(settings, out, workers, display.update)
    print_text(
        f"Wrote {records:,} clickstream records of {accounts:,} accounts over "
        f"{days:,} days to {out} in {time.monotonic() - started:.1f} s"
    )
    if stream is not None:
        _send(stream, out)


def _send(stream: str, folder: Path) -> None:
    from churn.cli.output import ProgressDisplay, print_text
    from churn.demo.firehose import make_client, send_clickstream

    client = make_client()
    with ProgressDisplay() as display:
        sent = send_clickstream(client, stream, folder, display.update)
    print_text(f"Sent {sent:,} records to the stream {stream}.")
