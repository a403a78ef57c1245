"""Write values into SQL, terminals and sheets, so that no value becomes code."""

from __future__ import annotations

import os
import re
from typing import Any

# A spreadsheet takes a text that begins with one of these for a formula (OWASP ASVS
# 1.2.10), also in their full-width forms and after spaces.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\x00", "＝", "＋", "－", "＠")
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


def sql_identifier(name: str) -> str:
    """Return a name as a quoted SQL identifier: ``a"b`` becomes ``"a""b"``."""
    return '"' + name.replace("\0", "").replace('"', '""') + '"'


def sql_literal(text: str) -> str:
    """Return a text as an SQL literal: ``it's`` becomes ``'it''s'``."""
    return "'" + text.replace("\0", "").replace("'", "''") + "'"


def path_text(path: str | os.PathLike[str]) -> str:
    r"""Return a path as text that can be stored: a byte that is not UTF-8 is ``\xff``.

    The operating system allows any bytes in a name, a table only Unicode.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def without_credentials(text: str) -> str:
    """Return a text whose URLs name no user: ``s3://key:secret@b`` is ``s3://***@b``."""
    return _CREDENTIALS.sub("***@", text)


def printable(text: object, length: int = 80) -> str:
    """Return a text that a terminal can show: one line, no control characters.

    Args:
        text: Any value from data.
        length: Number of characters after which the text is cut.
    """
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in str(text)[: length + 1]
    )
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def masked(text: object) -> str:
    """Return the form of a value without its content: ``ann@x.com`` is ``aaa@a.aaa``.

    Letters become ``a`` or ``A`` and digits ``9``, so that a person can recognise a
    format and no personal data is shown.
    """
    return "".join(
        "9"
        if character.isdigit()
        else ("A" if character.isupper() else "a")
        if character.isalpha()
        else character
        for character in printable(text, 40)
    )


def neutralise(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = value.replace("\x00", "")
    stripped = text.lstrip(" \u00a0\u3000")
    is_formula = stripped.startswith(_FORMULA_STARTS) or value.startswith("\x00")
    return "'" + text if is_formula else text
