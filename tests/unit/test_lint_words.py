"""The word check finds retired names and words, and reports file, line and word."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT


def load_lint_words() -> ModuleType:
    path = ROOT / "scripts" / "lint_words.py"
    spec = importlib.util.spec_from_file_location("lint_words", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["lint_words"] = module
    spec.loader.exec_module(module)
    return module


lint_words = load_lint_words()
WORDS = lint_words.WordList(
    names={"taken_at": "processed_at", "churn.frames": "churn.engine_io"},
    words={"anew": "again", "told": "reported", "of whom": "of which"},
    exceptions=[("docs/*.md", frozenset({"anew"}))],
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("select events.taken_at", ["taken_at"]),
        ("select last_taken_at, taken_at_utc", []),
        ("from churn.frames import x", ["churn.frames"]),
        ("Built anew.", ["anew"]),
        ("ANEW told_apart, retold, toldness", ["ANEW", "told"]),
        ("accounts, of\n    whom", ["of whom"]),
    ],
)
def test_names_match_exactly_and_words_in_any_case(text: str, words: list[str]) -> None:
    assert [match.word for match in WORDS.find("models/a.sql", text)] == words


def test_a_match_names_file_line_and_replacement() -> None:
    (match,) = WORDS.find("models/a.sql", "select\n    taken_at\n")
    assert str(match) == "models/a.sql:2: `taken_at`: use processed_at"


def test_exceptions_hold_for_their_files_only() -> None:
    assert not list(WORDS.find("docs/a.md", "anew"))
    assert list(WORDS.find("docs/a.md", "told"))
    assert list(WORDS.find("README.md", "anew"))


def test_an_exception_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text(
        '[names]\n[words]\n[[exceptions]]\npaths = ["a"]\nentries = ["*"]\n'
    )
    with pytest.raises(ValueError, match="Give a reason"):
        lint_words.WordList.read(path)


def test_no_replacement_is_retired() -> None:
    words = lint_words.WordList.read()
    replacements = "\n".join([*words.names.values(), *words.words.values()])
    assert not list(words.find("replacements", replacements))
