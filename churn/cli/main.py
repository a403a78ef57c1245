"""The command group ``churn``, its errors and its exit codes.

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed, or problems found; one sentence on stderr says what to do |
| 2 | wrong use of a command; `churn status` and `churn daily`: a source is stale |
| 130 | interrupted with Ctrl-C |
| 141 | the reader of the output has closed it, such as `head` |
| 143 | ended by SIGTERM |
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import click

from churn.cli.options import shared_options
from churn.cli.output import safe_text

OK, FAILED, WRONG_USE = 0, 1, 2
INTERRUPTED, CLOSED_PIPE, TERMINATED = 130, 141, 143

# Commands in the order in which a new user needs them. `label-cost` is in the module
# `churn.cli.label_cost`.
COMMANDS = (
    "run",
    "init",
    "check",
    "pull",
    "load",
    "daily",
    "status",
    "summary",
    "explain",
    "report",
    "docs",
    "dictionary",
    "backfill",
    "publish",
    "export",
    "push",
    "serve",
    "export-actions",
    "forget",
    "demo",
    "label-cost",
)


class LazyGroup(click.Group):
    """A group that imports a command's module only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Return a command, or ``None`` if there is none of this name."""
        name = cmd_name.replace("_", "-")
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"churn.cli.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(package_name="churn", message="churn %(version)s")
@shared_options
@click.pass_context
def churn(ctx: click.Context) -> None:
    """Predict churn from clickstream and CRM data, with reasons to act on.

    Commands work in the folder of a dbt project or below it, and read the same
    profiles.yml as dbt.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


class _Signals:
    """Turns SIGTERM into KeyboardInterrupt, and remembers which signal came."""

    def __init__(self) -> None:
        self.received: int | None = None

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle Ctrl-C and SIGTERM, in the main thread only."""
        previous: dict[int, Any] = {}
        try:
            for each in (signal.SIGINT, signal.SIGTERM):
                previous[each] = signal.signal(each, self._stop)
        except ValueError:
            pass
        try:
            yield
        finally:
            for restored, handler in previous.items():
                signal.signal(restored, handler)

    @property
    def exit_code(self) -> int:
        return TERMINATED if self.received == signal.SIGTERM else INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: The arguments after ``churn``; default: those of this process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal or locale that cannot show a letter gets a replacement.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    shared: dict[str, Any] = {}
    signals = _Signals()
    try:
        with signals.handled():
            result = _invoke(arguments, shared)
            sys.stdout.flush()
        return result if isinstance(result, int) else OK
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except BrokenPipeError:
        # Python would report the closed pipe again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except (Exception, KeyboardInterrupt) as error:
        if shared.get("debug") or "--debug" in arguments:
            import traceback

            traceback.print_exc()
        command = _command_name(arguments)
        if signals.received or isinstance(error, KeyboardInterrupt | click.Abort):
            _print_error(f"{command} was interrupted: run it again to continue.")
            return signals.exit_code
        if isinstance(error, click.UsageError):
            _print_error(_usage_sentence(error))
            return WRONG_USE
        _print_error(_sentence(error, command))
        return FAILED


def _invoke(arguments: list[str], shared: dict[str, Any]) -> object:
    """Run a command, or answer a shell that completes one.

    click's own ``main`` handles interrupts and closed pipes in another way.
    """
    completion = os.environ.get("_CHURN_COMPLETE")
    if completion:
        from click.shell_completion import shell_complete

        return shell_complete(churn, {}, "churn", "_CHURN_COMPLETE", completion)
    with churn.make_context("churn", arguments, obj=shared) as context:
        return churn.invoke(context)


def _command_name(arguments: Sequence[str]) -> str:
    name = next((each for each in arguments if each.replace("_", "-") in COMMANDS), "")
    return f"churn {name}".strip()


def _print_error(sentence: str) -> None:
    click.echo(safe_text(sentence, limit=4000), err=True)


def _usage_sentence(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "churn"
    message = error.format_message().rstrip(".")
    return f"{path}: {message}; see `{path} --help`."


def _sentence(error: BaseException, command: str) -> str:
    """Return one sentence for an error."""
    # Compare with modules that are loaded, because loading them takes long.
    config = sys.modules.get("churn.config")
    duckdb = sys.modules.get("duckdb")
    if isinstance(error, click.ClickException):
        return error.format_message()
    if config and isinstance(error, config.UserError):
        return str(error)
    if config and duckdb and isinstance(error, duckdb.Error):
        return str(config.explain_database_error(error))
    if isinstance(error, OSError) and error.strerror:
        # Only now, because it takes time that most commands do not need.
        from churn.config import explain_os_error

        return f"{command} stopped: {explain_os_error(error)}"
    lines = str(error).strip().splitlines()
    text = f": {lines[0]}" if lines else ""
    return (
        f"{command} stopped because of an unexpected {type(error).__name__}{text}; "
        "run it with --debug for the traceback."
    )
