"""The project's commands: ``python -m churn COMMAND``."""

from __future__ import annotations

import importlib
import sys

# In the order in which a newcomer meets them: the module and what it does. Each
# module can also be run itself, as `python -m churn.load`.
COMMANDS = {
    "run": ("churn.run", "make up a company, build everything, show who leaves"),
    "demo": ("churn.demo.__main__", "make up a company's raw data"),
    "init": ("churn.init", "look at your own data and write a first project for it"),
    "check": ("churn.check", "say what is missing before the first run"),
    "load": ("churn.load", "load a landing zone into the raw tables, each file once"),
    "summary": ("churn.summary", "show who is about to leave, and why"),
    "explain": (
        "churn.account_timeline",
        "one account's story, from batches to reasons",
    ),
    "report": ("churn.model_card", "the champion's model card as one HTML file"),
    "dictionary": ("churn.field_mapping", "YAML for JSON paths without a column"),
    "backfill": ("churn.backfill", "score past days"),
    "label_cost": ("churn.naive_label_study", "what a naive churn label would cost"),
    "docs": ("churn.docs", "the metadata dictionary as one HTML file"),
}


def usage() -> str:
    """What can be asked for."""
    lines = ["usage: python -m churn COMMAND [options]", ""]
    lines += [f"  {name:<12}{does}" for name, (_, does) in COMMANDS.items()]
    lines += ["", "python -m churn COMMAND --help tells more of each."]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Hand the arguments on to the command that they begin with."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        print(f"There is no command `{name}`.\n\n{usage()}", file=sys.stderr)
        return 2
    # Only what is asked for is imported: some of it is slow to.
    return importlib.import_module(COMMANDS[name][0]).main(rest) or 0


if __name__ == "__main__":
    sys.exit(main())
