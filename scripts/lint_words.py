"""Find retired names and words in tracked files: ``python scripts/lint_words.py``.

``retired_words.toml`` lists them with their replacements and the allowed exceptions.
Prints file, line, the word and its replacement for each match; exits with 1 if there is
any.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORD_LIST = Path(__file__).with_name("retired_words.toml")
SUFFIXES = {".sql", ".yml", ".yaml", ".py", ".md", ".jinja", ".toml", ".sh"}


@dataclass(frozen=True)
class Match:
    """One retired word in a file."""

    path: str
    line: int
    word: str
    replacement: str

    def __str__(self) -> str:
        """Format the match as ``file:line: word: replacement``."""
        return f"{self.path}:{self.line}: `{self.word}`: use {self.replacement}"


@dataclass(frozen=True)
class WordList:
    """The retired words with their replacements, and the exceptions.

    Attributes:
        names: Replacement of each retired identifier.
        words: Replacement of each retired word or phrase, in lower case.
        exceptions: Globs of paths, with the names and words that they may hold.
    """

    names: dict[str, str]
    words: dict[str, str]
    exceptions: list[tuple[str, frozenset[str]]]

    @classmethod
    def read(cls, path: Path = WORD_LIST) -> WordList:
        """Read a word list.

        Raises:
            ValueError: An exception has no reason.
        """
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        exceptions = []
        for exception in content.get("exceptions", []):
            if not exception.get("reason", "").strip():
                raise ValueError(f"Give a reason for the exception {exception}.")
            entries = frozenset(exception["entries"])
            exceptions += [(glob, entries) for glob in exception["paths"]]
        return cls(content["names"], content["words"], exceptions)

    def allows(self, path: str, entry: str) -> bool:
        """Return whether an exception allows a name or word in a file."""
        return any(
            fnmatch(path, glob) and not entries.isdisjoint({"*", entry})
            for glob, entries in self.exceptions
        )

    def find(self, path: str, text: str) -> Iterator[Match]:
        """Yield the retired names and words in the text of a file."""
        for pattern, replacements in self._patterns:
            for match in pattern.finditer(text):
                word = re.sub(r"\s+", " ", match[0])
                entry = word if word in replacements else word.lower()
                if not self.allows(path, entry):
                    line = text.count("\n", 0, match.start()) + 1
                    yield Match(path, line, word, replacements[entry])

    @property
    def _patterns(self) -> list[tuple[re.Pattern[str], dict[str, str]]]:
        names = "|".join(map(re.escape, self.names))
        words = "|".join(r"\s+".join(map(re.escape, w.split())) for w in self.words)
        return [
            (re.compile(rf"(?<!\w)(?:{names})(?!\w)"), self.names),
            (re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.I), self.words),
        ]


def tracked_files(root: Path = ROOT) -> list[str]:
    """List the tracked text files, relative to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    return [
        name
        for name in listed.stdout.split("\0")
        if (Path(name).suffix in SUFFIXES or Path(name).name == "Makefile")
        and (root / name).is_file()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the retired words in some or all tracked files; return 1 if any."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("paths", nargs="*", help="files to check (default: all)")
    options = parser.parse_args(arguments)
    word_list = WordList.read()
    matches = [
        match
        for path in options.paths or tracked_files()
        for match in word_list.find(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    for match in sorted(matches, key=lambda match: (match.path, match.line)):
        print(match)
    if matches:
        print(f"{len(matches)} retired words: replace them, or add an exception.")
    return 1 if matches else 0


if __name__ == "__main__":
    sys.exit(main())
