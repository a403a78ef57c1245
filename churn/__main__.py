"""Dispatch the project's commands: ``python -m churn COMMAND``."""

from __future__ import annotations

import importlib
import sys

# Module and description of each command, in the order in which a new user needs them.
# Each module can also be run alone, such as `python -m churn load`.
COMMANDS = {
    "run": ("churn.demo.run", "generate a demo company, build all, print the summary"),
    "demo": ("churn.demo.__main__", "generate the raw data of a demo company"),
    "init": ("churn.onboarding.init", "write a first project for your own data"),
    "check": ("churn.onboarding.check", "list what is missing before the first run"),
    "load": (
        "churn.ingest.load",
        "load new files into the raw tables",
    ),
    "summary": (
        "churn.reports.summary",
        "show the riskiest accounts and the reasons",
    ),
    "explain": ("churn.reports.account_timeline", "show the timeline of one account"),
    "report": ("churn.reports.model_card", "write the champion's model card as HTML"),
    "dictionary": (
        "churn.onboarding.field_mapping",
        "print YAML for undocumented JSON paths",
    ),
    "backfill": ("churn.operations.backfill", "score past days"),
    "label_cost": (
        "churn.ml.naive_label_study",
        "measure the cost of training on a naive label",
    ),
    "docs": ("churn.reports.docs", "write the docs site as one HTML file"),
}


def usage() -> str:
    """Return the list of commands."""
    lines = ["usage: python -m churn COMMAND [options]", ""]
    lines += [f"  {name:<12}{does}" for name, (_, does) in COMMANDS.items()]
    lines += ["", "Run python -m churn COMMAND --help for the options of a command."]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments begin with."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        print(f"There is no command `{name}`.\n\n{usage()}", file=sys.stderr)
        return 2
    # Import only this command's module, because some imports are slow.
    return importlib.import_module(COMMANDS[name][0]).main(rest) or 0


if __name__ == "__main__":
    sys.exit(main())
