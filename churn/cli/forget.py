"""``churn forget``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from churn.cli.options import project_command

if TYPE_CHECKING:
    from churn.config import Project


@click.command("forget")
@click.option("--user", metavar="ID", help="User to forget, with the user's devices.")
@click.option(
    "--account",
    metavar="ID",
    help="Account to forget, with the users and devices that are only its own.",
)
@click.option(
    "--also",
    "texts",
    multiple=True,
    metavar="TEXT",
    help="Another text to remove, such as a name or an address. May be repeated.",
)
@click.option(
    "--landing",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Landing zone whose files are rewritten, too. May be repeated.",
)
@project_command
def command(
    project: Project,
    user: str | None,
    account: str | None,
    texts: tuple[str, ...],
    folders: tuple[Path, ...],
) -> None:
    """Erase a person or an account from all tables, files and stores.

    Identifiers become random pseudonyms, so that counts, labels and features stay
    true. Contact data, free text and all fields that the field mapping does not read
    are removed. First delete the person in the source systems, which would deliver it
    again. If the command is interrupted, run it again. Files that hold the person and
    cannot be rewritten are listed; then the command exits with 1.
    """
    from churn.cli.output import print_table, print_text
    from churn.config import UserError
    from churn.operations.forget import Subject, request
    from churn.web.forget import erase_actions, replace_snapshot

    if (user is None) == (account is None):
        raise click.UsageError("give either --user or --account")
    kind = "user" if user is not None else "account"
    subject = Subject(kind, (user if user is not None else account) or "", texts)
    with request(project, subject) as current:
        current.find()
        current.erase_files(folders)
        current.receipt.stores.update(erase_actions(project, current.eraser))
        current.erase_tables()
        if replace_snapshot(project, is_needed=current.has_changed):
            current.receipt.stores["serving snapshot"] += 1
    receipt = current.receipt
    if not receipt.has_found:
        print_text("Nothing holds this identifier.")
        return
    rows = [(name, f"{count:,}") for name, count in sorted(receipt.rows.items())]
    rows += [(name, f"{count:,}") for name, count in sorted(receipt.stores.items())]
    print_table(["relation", "erased rows"], rows)
    if receipt.files:
        print_text(f"Rewrote {len(receipt.files)} files.")
    print_text(f"Receipt {receipt.receipt_id}, which holds no personal data.")
    if current.short_identifiers:
        print_text(
            "The identifier is short, so texts other than identifiers were not "
            "searched for it."
        )
    if receipt.remaining:
        for name in receipt.remaining:
            print_text(name, indent=2)
        raise UserError(
            f"{len(receipt.remaining)} files still hold the person: delete or rewrite "
            "them by hand, then run again."
        )
