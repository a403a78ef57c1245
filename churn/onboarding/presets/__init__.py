"""Field mappings of known trackers and tables, as data.

Each YAML file of this folder is one preset: see docs/how-to/add-a-preset.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

# A preset is recognised if at least this share of the records has its signature.
_RECOGNISED_SHARE = 0.8
# Custom fields of a CRM have a suffix, and connectors add a prefix.
_SUFFIX = re.compile(r"__(c|pc|r)$", re.I)


@dataclass(frozen=True)
class TablePreset:
    """The columns of one table of a preset.

    Attributes:
        signature: Column names that identify the table.
        columns: For each of our columns, its names, the preferred one first.
        values: For a column, our value for each of theirs, in lower case.
        units: For a column, the unit ``cents``.
    """

    signature: Sequence[str]
    columns: Mapping[str, Sequence[str]]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """A known tracker, or known tables.

    Attributes:
        key: The file's name, as ``--tracker`` takes it.
        name: The name for people.
        documentation: The page from which the field mapping was written.
        signature: ``all``, ``any`` and ``values`` of an events preset.
        columns: For each column of the field mapping, its JSON paths.
        formats: For a column of times, the format of the field mapping.
        event_names: Our event name for a raw name in lower case.
        tables: The tables of a tables preset, by ``accounts`` and so on.
    """

    key: str
    name: str
    documentation: str
    signature: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    event_names: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, TablePreset] = field(default_factory=dict)

    def matches(self, record: Any) -> bool:
        """Return whether a record has the signature of this tracker."""
        if not isinstance(record, dict) or not self.columns:
            return False
        wanted = self.signature.get("all", [])
        choice = self.signature.get("any", [])
        return (
            all(value_at(record, path) is not None for path in wanted)
            and (
                not choice or any(value_at(record, path) is not None for path in choice)
            )
            and all(
                str(value_at(record, path)).lower() in values
                for path, values in self.signature.get("values", {}).items()
            )
        )


@lru_cache(maxsize=1)
def load_presets() -> tuple[Preset, ...]:
    """Return all presets, sorted by key."""
    return tuple(_read(path) for path in sorted(Path(__file__).parent.glob("*.yml")))


def _read(path: Path) -> Preset:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Preset(
        key=path.stem,
        name=content["name"],
        documentation=content["documentation"],
        signature=content.get("signature", {}),
        columns=content.get("columns", {}),
        formats=content.get("formats", {}),
        event_names=content.get("event_names", {}),
        tables={
            name: TablePreset(**table)
            for name, table in content.get("tables", {}).items()
        },
    )


def event_presets() -> dict[str, Preset]:
    """Return the presets of trackers by key."""
    return {preset.key: preset for preset in load_presets() if preset.columns}


def recognise_tracker(records: Sequence[Any]) -> tuple[Preset, float] | None:
    """Return the preset whose signature most records have, with their share.

    Of presets with the same share, the one with the longer signature wins.
    """
    objects = [record for record in records if isinstance(record, dict)][:5000]
    shares = [
        (
            sum(map(preset.matches, objects)) / max(1, len(objects)),
            sum(map(len, preset.signature.values())),
            preset,
        )
        for preset in event_presets().values()
    ]
    share, _, preset = max(shares, key=lambda each: each[:2])
    return (preset, share) if share >= _RECOGNISED_SHARE else None


def recognise_table(
    table: str, column_names: Iterable[str]
) -> tuple[Preset, TablePreset] | None:
    """Return the preset of which all signature columns occur, if any.

    Args:
        table: ``accounts``, ``contacts``, ``subscriptions``, ``invoices`` or ``calls``.
        column_names: The names of the columns.
    """
    names = {column_key(name) for name in column_names}
    found = [
        (len(preset.tables[table].signature), preset)
        for preset in load_presets()
        if table in preset.tables
        and all(column_key(name) in names for name in preset.tables[table].signature)
    ]
    if not found:
        return None
    _, preset = max(found, key=lambda each: each[0])
    return preset, preset.tables[table]


def column_key(name: str) -> str:
    """Return a name for comparisons: ``properties.Plan_Tier__c`` is ``plantier``."""
    name = name.strip().removeprefix("properties.")
    name = re.sub(r" *\(utc\)$", "", name, flags=re.I)
    if _SUFFIX.search(name):
        # The namespace of an installed package of Salesforce: `acme__Plan__c`.
        name = _SUFFIX.sub("", name).rpartition("__")[2]
    return re.sub(r"[^a-z0-9]", "", name.lower())


def path_steps(path: str) -> list[str | int]:
    """Return the keys and positions of a JSON path of the field mapping."""
    return [
        int(item) if item else (quoted or plain)
        for quoted, plain, item in re.findall(
            r'[.]"([^"]+)"|[.]([^.\["]+)|\[(\d+)\]', path
        )
    ]


def value_at(record: Any, path: str) -> Any:
    """Return the value at a JSON path, ``None`` without one.

    Arrays of keys and values count as objects, as the models read them.
    """
    for step in path_steps(path):
        if isinstance(step, int):
            record = (
                record[step]
                if isinstance(record, list) and step < len(record)
                else None
            )
        else:
            record = as_object(record).get(step)
        if record is None:
            return None
    return record


def as_object(value: Any) -> Mapping[str, Any]:
    """Return an object, or an array of keys and values as an object."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and all(
        isinstance(each, dict) and "key" in each for each in value
    ):
        return {str(each["key"]): _pair_value(each.get("value")) for each in value}
    return {}


def _pair_value(value: Any) -> Any:
    if isinstance(value, dict):
        return next((each for each in value.values() if each is not None), None)
    return value
