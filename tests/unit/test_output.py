"""What is printed is text only, whatever the data holds."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.cli.output import (
    ProgressDisplay,
    print_fields,
    print_table,
    print_text,
    safe_text,
)

# Other programs can slow a test down.
UNTIMED = settings(deadline=None)

# All code points, with more of those that terminals act on.
HOSTILE = st.text(
    st.one_of(
        st.characters(codec=None),
        st.sampled_from("\x00\x07\x08\x1b\x7f\x85\x9b\u200b\u202e\u2066\u2069\ufeff"),
        st.sampled_from("\n\r\t\v\f\u2028\u2029[]/\\:{}"),
        st.sampled_from("\ud800\U000e0041\u061c\u200e"),
    ),
    max_size=80,
)
DIRECTION_MARKS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e") | set(
    "\u2066\u2067\u2068\u2069"
)


@UNTIMED
@given(HOSTILE)
def test_safe_text_has_no_character_that_a_terminal_acts_on(value: str) -> None:
    text = safe_text(value)
    categories = {unicodedata.category(character) for character in text}
    assert not categories & {"Cc", "Cs", "Cn", "Zl", "Zp"}
    assert not DIRECTION_MARKS & set(text)
    assert text.splitlines() in ([], [text])
    text.encode("utf-8")


@UNTIMED
@given(HOSTILE, st.integers(0, 40))
def test_safe_text_is_idempotent_and_bounded(value: str, limit: int) -> None:
    text = safe_text(value, limit)
    assert len(text) <= limit
    assert safe_text(text, limit) == text


@UNTIMED
@given(HOSTILE, HOSTILE)
def test_values_that_differ_in_hidden_characters_stay_different(
    one: str, two: str
) -> None:
    """Apart from the kind of white space, and from text that is an escape itself."""
    if "\\" in one + two or len(one + two) > 60:
        return

    def visible(text: str) -> str:
        return "".join(" " if each.isspace() else each for each in text).strip()

    if visible(one) != visible(two):
        assert safe_text(one) != safe_text(two)


@UNTIMED
@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=100))
def test_plain_text_is_unchanged(value: str) -> None:
    assert safe_text(value) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1.5, "1.5"),
        ("  a\tb\n", "a b"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("abc\u202edcba", r"abc\u202edcba"),
        ("A\u200bcme", r"A\u200bcme"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("👩\u200d👩", "👩\u200d👩"),
        ("[bold]x[/bold] :smile:", "[bold]x[/bold] :smile:"),
        ("x" * 501, "x" * 499 + "…"),
    ],
)
def test_examples(value: object, text: str) -> None:
    assert safe_text(value) == text


@UNTIMED
@given(HOSTILE, HOSTILE)
def test_rich_interprets_no_markup_and_writes_no_escape(one: str, two: str) -> None:
    stream = io.StringIO()
    previous, sys.stdout = sys.stdout, stream
    try:
        print_text(one, style="bold")
        print_fields([(one, two)])
        print_table([one, "number"], [(two, one)], right=(1,))
    finally:
        sys.stdout = previous
    printed = stream.getvalue()
    categories = {unicodedata.category(each) for each in printed if each != "\n"}
    assert not categories & {"Cc", "Cs"}
    assert not DIRECTION_MARKS & set(printed)


@UNTIMED
@given(st.text(st.sampled_from("abc[]/:*!{}%"), max_size=30))
def test_markup_is_printed_as_it_is(value: str) -> None:
    stream = io.StringIO()
    previous, sys.stdout = sys.stdout, stream
    try:
        print_text(value)
    finally:
        sys.stdout = previous
    assert stream.getvalue() == safe_text(value) + "\n"


def test_text_is_wrapped_to_the_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_text("why: " + "some reason " * 9, indent=3, hanging=5)
    print_fields([("Label", "a longer text " * 9)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 6
    assert all(len(line) <= 40 and line == line.rstrip() for line in lines)
    assert lines[0].startswith("   why:")
    assert lines[1].startswith(" " * 8)
    print_text("/a path/that people/copy" * 4, wrap=False)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_progress_outside_a_terminal_is_a_line_for_each_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressDisplay() as display:
        for done in range(1, 101):
            display.update("files", done, 100, "item\x1b[31m")
        display.message("first\n\nsecond [red]")
        display.update("days", 1, 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[:2] == ["   files: 10 of 100", "   files: 20 of 100"]
    assert lines[10:] == ["   first", "   second [red]", "   days: 1 of 1"]


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_results_beside_a_bar_go_to_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as in `churn run > results.txt` at a terminal."""
    results, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", results)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressDisplay() as display:
        display.update("files", 1, 2, "item")
        print_text("a result")
        display.message("a message [red]")
    assert results.getvalue() == "a result\n"
    assert "a message [red]" in terminal.getvalue()
    assert "files" in terminal.getvalue()
