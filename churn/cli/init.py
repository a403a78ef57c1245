"""``churn init``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from churn.cli.options import debug_option

if TYPE_CHECKING:
    from churn.onboarding.init import InitResult
    from churn.onboarding.questions import Question


@click.command("init")
@click.option("--events", metavar="PATH", help="Clickstream.")
@click.option("--accounts", metavar="PATH", help="Accounts, one extract per file.")
@click.option("--contacts", metavar="PATH", help="Users of the accounts.")
@click.option("--subscriptions", metavar="PATH", help="Subscriptions.")
@click.option("--invoices", metavar="PATH", help="Invoices.")
@click.option("--calls", metavar="PATH", help="Support calls or tickets.")
@click.option(
    "--tracker",
    metavar="NAME",
    help="Preset of the clickstream, such as segment; none for no preset. Default: the "
    "one that the records show.",
)
@click.option("--interactive", is_flag=True, help="Ask the questions here.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to write. Default: the current one if init wrote it, else my_company.",
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
def command(
    out: Path | None,
    sample: int,
    tracker: str | None,
    interactive: bool,
    **sources: str | None,
) -> int:
    """Write or update a project for your own data.

    Reads a sample of your data, loads the tables, and asks what stays undecided. Paths
    can be globs, local or s3://; CSV, Parquet or JSON, packed or not. Run it again with
    answers or more data.
    """
    from churn.onboarding.init import init
    from churn.onboarding.questions import ANSWERS_FILE

    if out is None:
        out = Path() if Path(ANSWERS_FILE).exists() else Path("my_company")
    result = init(
        out,
        sources=sources,
        tracker=tracker,
        sample_size=sample,
        ask=_ask if interactive else None,
    )
    _show(result)
    return 0


def _ask(question: Question) -> str | None:
    """Ask one question in the terminal; an empty answer leaves it open."""
    from churn.cli.output import print_text, safe_text

    print_text("")
    print_text(question.text)
    for number, candidate in enumerate(question.candidates, start=1):
        evidence = f": {candidate.evidence}" if candidate.evidence else ""
        print_text(f"{number}. {safe_text(candidate.value)}{evidence}", indent=2)
    answer = click.prompt(
        "Number or answer (empty: later)", default="", show_default=False
    ).strip()
    if answer.isdigit() and 1 <= int(answer) <= len(question.candidates):
        return question.candidates[int(answer) - 1].value
    return answer or None


def _show(result: InitResult) -> None:
    from churn.cli.output import print_text, safe_text
    from churn.onboarding.questions import ANSWERS_FILE

    print_text(f"Wrote a dbt project into {result.folder}.")
    for table, rows in result.loaded_rows.items():
        print_text(f"{table}: {rows:,} rows loaded", indent=2)
    for text in [*result.notes, *result.messages]:
        print_text(f"- {safe_text(text, 400)}")
    if result.questions:
        count = len(result.questions)
        print_text("")
        print_text(
            f"{count} question{'s' * (count > 1)}. Answer in {ANSWERS_FILE} and run "
            "`churn init` again, or use --interactive:"
        )
        for question in result.questions:
            print_text(f"{question.key}: {safe_text(question.text, 400)}", indent=2)
            for candidate in question.candidates[:5]:
                shown = f"{candidate.value}: {candidate.evidence}".rstrip(": ")
                print_text(safe_text(shown, 200), indent=4)
    print_text("")
    print_text("Next:")
    for line in (f"cd {result.folder}", "dbt deps", "churn check", "dbt build"):
        print_text(line, indent=2)
    print_text("churn summary", indent=2)
