"""The declared classes of personal data, and what erasing means for each.

A column declares its class as ``config.meta.pii`` in the YAML of a source or a model.
Columns of the same name in other relations have the same class. A column of a raw table
that no YAML declares, and a JSON path that the field mapping does not read, count as
personal.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from churn.config import Project, UserError
from churn.ingest.json_repair import split_record

# The one rule of erasure: what happens to a value of each class.
RULES = {
    "identifier": "is replaced by a random pseudonym, the same in all relations",
    "contact": "is replaced by a constant in the rows of the person",
    "free_text": "is replaced by a constant in the rows of the person",
    "record": "keeps the mapped fields without a class; all others are removed",
}
# Replaces contact and free text.
ERASED = "[erased]"
# Columns whose value says that a row is about a person or an account.
SUBJECT_COLUMNS = ("user_id", "anonymous_id", "visitor_id", "account_id")

_STEP = re.compile(r'\.("[^"]*"|[^.\[]+)|\[(\d+)\]')


@dataclass
class PathNode:
    """The steps of the field mapping's paths below one path.

    Attributes:
        is_mapped: Whether a path of the field mapping ends here.
        pii: The class of the column that reads it.
        children: The next steps: a key, or the number of an item.
    """

    is_mapped: bool = False
    pii: str | None = None
    children: dict[str | int, PathNode] = field(default_factory=dict)


@dataclass(frozen=True)
class Classification:
    """The classes of columns and JSON paths.

    Attributes:
        by_relation: Class by relation and column, as declared.
        raw_columns: The declared columns of each raw table.
        mapping: The columns of the field mapping, each with its paths and class.
    """

    by_relation: Mapping[tuple[str, str], str]
    raw_columns: Mapping[str, tuple[str, ...]]
    mapping: Mapping[str, tuple[tuple[str, ...], str | None]]

    @classmethod
    def load(cls, project: Project) -> Classification:
        """Read the YAML of the package and of the project that uses it.

        Raises:
            UserError: A column declares an unknown class.
        """
        by_relation: dict[tuple[str, str], str] = {}
        raw_columns: dict[str, tuple[str, ...]] = {}
        mapping: dict[str, tuple[tuple[str, ...], str | None]] = {}
        mapping_model = project.variables.get("clickstream_field_mapping_model")
        folders = dict.fromkeys((project.package_dir, project.project_dir))
        for kind, node in _nodes(folders):
            name, columns = node["name"], node.get("columns") or []
            if kind == "source":
                raw_columns[name] = tuple(each["name"] for each in columns)
            for column in columns:
                meta = _meta(column)
                pii = meta.get("pii")
                if pii is not None and pii not in RULES:
                    raise UserError(
                        f"The column `{column['name']}` of {name} has the class "
                        f"`{pii}` as `meta.pii`: use one of {', '.join(RULES)}."
                    )
                if pii is not None:
                    by_relation[name, column["name"]] = pii
                if name == mapping_model and meta.get("json_paths") is not None:
                    mapping[column["name"]] = (tuple(meta["json_paths"]), pii)
        return cls(by_relation, raw_columns, mapping)

    @cached_property
    def _by_name(self) -> dict[str, str]:
        classes: dict[str, str] = {}
        for (_, column), pii in self.by_relation.items():
            # `example` and the like mean something else in another relation.
            classes.setdefault(column, pii)
        classes.pop("example", None)
        return classes

    def pii_of(self, relation: str, column: str) -> str | None:
        """Return the class of a relation's column, or ``None``."""
        return self.by_relation.get((relation, column)) or self._by_name.get(column)

    @cached_property
    def paths(self) -> PathNode:
        """Return the field mapping's paths as a tree."""
        root = PathNode()
        for paths, pii in self.mapping.values():
            for path in paths:
                node = root
                for key, item in _STEP.findall(path):
                    step = int(item) if item else key.strip('"')
                    node = node.children.setdefault(step, PathNode())
                node.is_mapped = True
                # If two columns read a path, the class counts.
                node.pii = node.pii or pii
        return root

    def kept(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a normalised record that are not personal.

        Identifiers stay: the caller replaces those of the person.
        """
        return _kept(value, self.paths) or {}

    def set_event_id(self, value: dict[str, Any], event_id: str) -> None:
        """Write an event's identifier to a record that has none."""
        paths, _ = self.mapping.get("event_id", ((), None))
        steps = [_STEP.findall(path) for path in paths]
        if any(_has(value, each) for each in steps):
            return
        for each in steps:
            if len(each) == 1 and each[0][0]:
                value[each[0][0].strip('"')] = event_id
                return


def _has(value: Any, steps: list[tuple[str, str]]) -> bool:
    for key, _ in steps:
        if not isinstance(value, dict) or value.get(key.strip('"')) in (None, ""):
            return False
        value = value[key.strip('"')]
    return True


def _kept(value: Any, node: PathNode) -> Any:
    """Return the part of a value that mapped paths without a class read."""
    if isinstance(value, dict):
        kept = {
            key: part
            for key, inner in value.items()
            if key in node.children
            and (part := _kept(inner, node.children[key])) is not None
        }
        return kept or None
    if isinstance(value, list):
        # Items keep their numbers, because paths address them by number.
        items = [
            _kept(item, node.children[number]) if number in node.children else None
            for number, item in enumerate(value)
        ]
        return items if any(item is not None for item in items) else None
    is_kept = node.is_mapped and node.pii in (None, "identifier")
    return value if is_kept else None


def _meta(column: Mapping[str, Any]) -> Mapping[str, Any]:
    config = column.get("config") or {}
    return config.get("meta") or column.get("meta") or {}


def _nodes(folders: Mapping[Path, None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the models and source tables of the YAML below some folders."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for folder in folders:
        for part in ("models", "python_models"):
            for path in sorted((folder / part).rglob("*.yml")):
                text = path.read_text(encoding="utf-8")
                content = yaml.load(text, Loader=loader) or {}
                for model in content.get("models") or []:
                    yield "model", model
                for source in content.get("sources") or []:
                    for table in source.get("tables") or []:
                        yield "source", table


class Eraser:
    """Replaces a person in values.

    Args:
        pseudonyms: The pseudonym of each identifier of the person.
        keys: The new value of each key that is computed from an identifier.
        texts: Other texts of the person, such as an address, which are removed.
        classes: The declared classes.
    """

    # Shorter identifiers occur in other texts by chance.
    MIN_SEARCHED = 5

    def __init__(
        self,
        pseudonyms: Mapping[str, str],
        classes: Classification,
        keys: Mapping[str, str] | None = None,
        texts: tuple[str, ...] = (),
    ) -> None:
        self.classes = classes
        self.values = {**(keys or {}), **pseudonyms}
        self.pseudonyms = dict(pseudonyms)
        searched = {text: ERASED for text in texts if text.strip()} | {
            identifier: pseudonym
            for identifier, pseudonym in pseudonyms.items()
            if len(identifier) >= self.MIN_SEARCHED
        }
        self.searched = searched
        # JSON may write a character of a text in another way.
        forms = {
            form: new for text, new in searched.items() for form in _json_forms(text)
        }
        self._forms = forms
        self._pattern = _whole_words(forms)

    @property
    def needles(self) -> list[str]:
        """Return the texts of which a value that needs erasing contains one."""
        return sorted(self._forms)

    def holds(self, text: str) -> bool:
        """Return whether a text contains an identifier or a text of the person."""
        return self._pattern is not None and bool(self._pattern.search(text))

    def text(self, text: str) -> str:
        """Return a text without the person: pseudonyms replace identifiers."""
        new = self.values.get(text.strip())
        if new is not None:
            return new
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._forms[found.group()], text)

    def record(self, record: str) -> str:
        """Return a delivered record without the person.

        Each object of the person keeps only the mapped fields without a class, and
        its identifier as an event. A part that cannot be read is replaced. Objects of
        others stay as they are.
        """
        parts = split_record(record)
        is_strict = len(parts) == 1 and record.lstrip(" \t\r\n").startswith("{")
        texts = []
        has_changed = False
        for part in parts:
            received = part.received_text or ""
            value = None if part.payload is None else json.loads(part.payload)
            if value is None:
                is_hit = self.holds(received)
                new = "erased record" if is_hit else received
            elif self._is_about_person(value):
                is_hit = True
                if is_strict and not part.is_repaired:
                    identity = hashlib.md5(
                        record.rstrip(" \t\n\r").encode()
                    ).hexdigest()
                else:
                    identity = part.identity or ""
                kept = self._replaced(self.classes.kept(value))
                self.classes.set_event_id(kept, identity)
                new = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
            else:
                is_hit, new = False, received
            has_changed |= is_hit
            texts.append(new)
        if not has_changed:
            return "erased record" if self.holds(record) else record
        erased = " ".join(texts)
        return "erased record" if self.holds(erased) else erased

    def _is_about_person(self, value: Any, node: PathNode | None = None) -> bool:
        """Return whether a mapped identifier, or any text, names the person."""
        stack: list[tuple[Any, PathNode | None]] = [(value, node or self.classes.paths)]
        while stack:
            item, here = stack.pop()
            if isinstance(item, dict):
                for key, inner in item.items():
                    if self.holds(key):
                        return True
                    stack.append((inner, here.children.get(key) if here else None))
            elif isinstance(item, list):
                for number, inner in enumerate(item):
                    stack.append((inner, here.children.get(number) if here else None))
            elif item is not None and not isinstance(item, bool):
                text = str(item).strip()
                if self.holds(text):
                    return True
                if here and here.pii == "identifier" and text in self.pseudonyms:
                    return True
        return False

    def _replaced(self, value: Any, node: PathNode | None = None) -> Any:
        """Return a record with pseudonyms in the place of identifiers."""
        node = node or self.classes.paths
        if isinstance(value, dict):
            return {
                key: self._replaced(inner, node.children.get(key) or PathNode())
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [
                self._replaced(inner, node.children.get(number) or PathNode())
                for number, inner in enumerate(value)
            ]
        if value is None or isinstance(value, bool):
            return value
        text = str(value)
        if node.pii == "identifier" and text.strip() in self.pseudonyms:
            return _as_type(self.pseudonyms[text.strip()], value)
        return self.text(value) if isinstance(value, str) else value


def _as_type(pseudonym: str, value: Any) -> Any:
    return (
        int(pseudonym)
        if isinstance(value, int) and _is_integer(pseudonym)
        else (pseudonym)
    )


def _is_integer(text: str) -> bool:
    return bool(re.fullmatch(r"-?\d{1,18}", text))


def _whole_words(texts: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern of texts that are no part of a longer identifier."""
    names: list[str] = []
    addresses: list[str] = []
    for text in sorted(texts, key=len, reverse=True):
        (addresses if "@" in text else names).append(re.escape(text))
    groups = []
    if addresses:
        # The address ann@x.com is no part of lee.ann@x.com or ann@x.com.au.
        groups.append(rf"(?<![\w.+-])(?:{'|'.join(addresses)})(?![\w-]|\.\w)")
    if names:
        groups.append(rf"(?<![\w-])(?:{'|'.join(names)})(?![\w-])")
    return re.compile("|".join(groups)) if groups else None


def _json_forms(text: str) -> set[str]:
    """Return how a text is written in plain text and in JSON."""
    escaped = json.dumps(text)[1:-1]
    return {
        text,
        escaped,
        json.dumps(text, ensure_ascii=False)[1:-1],
        escaped.replace("/", "\\/"),
    }
