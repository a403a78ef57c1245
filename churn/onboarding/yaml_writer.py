"""Write YAML, so that no value becomes syntax or Jinja."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes each list on lines of its own, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def to_yaml(content: Any) -> str:
    """Return a value as YAML that reads back as the same value."""
    return yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=False,
        width=88,
        default_flow_style=False,
    )


def write_yaml(path: Path, content: Any, header: str = "") -> None:
    """Write a YAML file with a comment at its top.

    Args:
        path: The file.
        content: Dictionaries, lists, texts, numbers, booleans and ``None``.
        header: Lines of the comment; constant text, never data.
    """
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    path.write_text(comment + to_yaml(content), encoding="utf-8")


def without_jinja(text: str) -> str:
    """Return a text in which dbt finds no Jinja: braces of a tag are separated."""
    for tag in ("{{", "}}", "{%", "%}", "{#", "#}"):
        while tag in text:
            text = text.replace(tag, f"{tag[0]} {tag[1]}")
    return text
