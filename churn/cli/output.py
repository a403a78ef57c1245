"""Prints text, tables and progress; every value from data passes `safe_text`.

Rich chooses the width, wraps, and respects ``NO_COLOR``. It never interprets data as
markup. Results go to stdout, progress and messages to stderr.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

# C0 and C1 controls, marks that reorder or hide text, surrogates, noncharacters.
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}
# Joiners that emoji and Persian or Indic words need.
_JOINERS = {"\u200c", "\u200d"}
_WHITE_SPACE = re.compile(r"[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]")
ELLIPSIS = "…"
DEFAULT_LIMIT = 500


def safe_text(value: object, limit: int = DEFAULT_LIMIT) -> str:
    r"""Return a value as one line of text that a terminal only shows.

    White space becomes spaces. Control characters, escape sequences, direction
    marks and invisible characters become visible escapes, such as ``\x1b``, so
    different values stay different. A longer text is cut.

    Args:
        value: Any value; ``None`` becomes ``-``.
        limit: Maximum number of characters of the result.
    """
    if value is None:
        return "-"
    raw = str(value)
    # Cut before escaping too, so that the time does not depend on the length.
    text = _WHITE_SPACE.sub(" ", raw[: limit + 1]).strip()
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_escape, text))
    if len(text) > limit or len(raw) > limit + 1:
        text = text[: max(0, limit - len(ELLIPSIS))] + ELLIPSIS[:limit]
    return text


def _escape(character: str) -> str:
    if character in _JOINERS or character.isprintable():
        return character
    if unicodedata.category(character) not in _UNSAFE_CATEGORIES:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def make_console(file: TextIO | None = None) -> Console:
    """Return a console that interprets nothing.

    Its width is that of the terminal, else ``COLUMNS``, else 80.

    Args:
        file: The stream; default: stdout.
    """
    from rich.console import Console

    return Console(
        file=file or sys.stdout,
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_text(
    value: object = "",
    style: str | None = None,
    indent: int = 0,
    hanging: int = 0,
    wrap: bool = True,
) -> None:
    """Print a text.

    Args:
        value: The text.
        style: Rich's name of a style, such as ``bold``.
        indent: Columns to the left of it.
        hanging: Further columns to the left of wrapped lines.
        wrap: Whether to wrap it to the width; not for paths that people copy.
    """
    from rich.text import Text

    text = Text(safe_text(value, limit=10_000), style=style or "")
    if wrap:
        _print_wrapped(make_console(), text, indent, hanging)
    else:
        make_console().print(Text(" " * indent) + text, soft_wrap=True)


def _print_wrapped(console: Console, text: Text, indent: int, hanging: int) -> None:
    from rich.text import Text

    first = Text(" " * indent)
    width = max(20, console.width - indent - hanging)
    lines = text.wrap(console, width) if text else [text]
    for line in lines:
        line.rstrip()
        console.print(first + line, soft_wrap=True)
        first = Text(" " * (indent + hanging))


def print_fields(fields: Iterable[tuple[str, object]], label_width: int = 10) -> None:
    """Print labels with texts beside them, wrapped within their column.

    Args:
        fields: Label and text of each line. An empty label continues the one above.
        label_width: Columns of the labels.
    """
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=label_width, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in fields:
        grid.add_row(
            Text(safe_text(label), style="bold"), Text(safe_text(value, limit=10_000))
        )
    _print_block(grid)


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Sequence[int] = (),
    indent: int = 0,
) -> None:
    """Print a table without lines.

    Args:
        headers: One text per column; no line if all are empty.
        rows: One value per column.
        right: Indexes of the columns to align right, such as numbers.
        indent: Columns to the left of it.
    """
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(headers)
    )
    for number, header in enumerate(headers):
        table.add_column(
            Text(safe_text(header)),
            justify="right" if number in right else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(safe_text(value)) for value in row))
    _print_block(Padding(table, (0, 0, 0, indent), expand=False))


def _print_block(block: RenderableType) -> None:
    """Print a block without the spaces that Rich adds to the right of it."""
    console = make_console()
    with console.capture() as captured:
        console.print(block)
    for line in captured.get().splitlines():
        console.file.write(line.rstrip() + "\n")


class ProgressDisplay:
    """Shows the progress of steps on stderr.

    On a terminal it is a bar with the remaining time. Elsewhere, such as in a log, it
    is one line for each tenth of a step.
    """

    def __init__(self) -> None:
        self._console = make_console(sys.stderr)
        self._bar: Any = None
        self._task: Any = None
        self._step: str | None = None
        self._tenth = 0

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_terminal:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("   {task.description}", markup=False),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[item]}", markup=False),
                console=self._console,
                transient=True,
                # Print results above the bar, unless they go into a file.
                redirect_stdout=sys.stdout.isatty(),
                # Steps differ in length, so look at more than the last ones.
                speed_estimate_period=600,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def begin(self, step: str) -> None:
        """Show a step before its first part is done."""
        self._step, self._tenth = step, 0
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(safe_text(step, 40), total=None, item="")

    def update(self, step: str, done: int, total: int, item: object = "") -> None:
        """Show that ``done`` of ``total`` parts of ``step`` are done."""
        if step != self._step:
            self.begin(step)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=done, total=total, item=safe_text(item, 40)
            )
            return
        tenth = 10 * done // total if total else 10
        if tenth > self._tenth:
            self._tenth = tenth
            self._print(f"{step}: {done:,} of {total:,}")

    def message(self, text: str) -> None:
        """Print a text of several lines above the bar."""
        for line in text.strip().splitlines():
            if line.strip():
                self._print(line)

    def _print(self, line: str) -> None:
        from rich.text import Text

        text = Text(safe_text(line, limit=10_000))
        _print_wrapped(self._console, text, indent=3, hanging=0)
