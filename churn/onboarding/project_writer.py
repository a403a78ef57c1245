"""Write the files of a company's dbt project.

Values from data are written only through the YAML writer and the CSV writer, and
descriptions hold none. So no value becomes code, and no personal data is committed.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from churn.config import UserError
from churn.onboarding.column_inference import Field, is_addressable
from churn.onboarding.field_mapping import column_name
from churn.onboarding.yaml_writer import write_yaml

# Type, description and further meta of each column of the field mapping.
FIELD_MAPPING_COLUMNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "event_id": ("varchar", "The tracker's identifier of the event.", {}),
    "raw_event_name": (
        "varchar",
        "The event's name as written by the tracker.",
        {"required": True},
    ),
    "occurred_at": (
        "timestamp",
        "Event time by the device's clock, in UTC.",
        {"required": True},
    ),
    "tracker_event_at": (
        "timestamp",
        "Event time that the tracker has corrected for the device's clock, in UTC.",
        {},
    ),
    "sent_at": ("timestamp", "Send time by the device's clock, in UTC.", {}),
    "server_received_at": (
        "timestamp",
        "When the tracker's server received the record, in UTC.",
        {},
    ),
    "anonymous_id": ("varchar", "The browser or app installation.", {}),
    "user_id": ("varchar", "The logged-in user.", {}),
    "page_path": ("varchar", "The page or screen.", {"format": "url_path"}),
    "product_category": (
        "varchar",
        "The category of the viewed product, in lower case.",
        {"format": "lower"},
    ),
}
_DERIVED_COLUMNS = [
    ("event_name", "varchar", "The event's name in the seed event_names."),
    ("event_at", "timestamp", "Event time in UTC, corrected for clock skew."),
    ("received_at", "timestamp", "When the record was received, in UTC."),
    ("visitor_id", "varchar", "The anonymous_id or, if null, the user_id."),
    ("is_on_time", "boolean", "Whether it arrived in time for its day's features."),
    ("is_repaired", "boolean", "Whether the record was not strict JSON."),
    ("is_clock_skewed", "boolean", "Whether the device's clock was ahead."),
    ("source_file", "varchar", "The file that delivered it first."),
]
_MAX_OWN_COLUMNS = 60
_PROJECT_HEADER = """\
`churn init` writes this file. Put your own variables under `variables` in
onboarding.yml. The package's dbt_project.yml describes all variables, with units.
"""
_EXPERIMENT_COLUMNS = (
    *("experiment_id", "salt", "control_share", "eligible_bands"),
    *("max_monthly_recurring_revenue", "start_date", "planned_end_date"),
    "planned_accounts",
)
# Names that dbt or the package uses.
_RESERVED_PROJECT_NAMES = {"churn", "dbt", "dbt_utils", "models", "seeds", "target"}


@dataclass
class Draft:
    """The project to write.

    Attributes:
        name: The name of the project, of its profile and of its database.
        variables: The variables of the package that the project sets.
        paths: The JSON paths of each column of the field mapping.
        formats: The format of columns of times that need one.
        own_fields: Further fields of the records, which become columns.
        event_names: Our event name for each raw name in lower case.
        categories: The product categories.
    """

    name: str
    variables: dict[str, Any] = field(default_factory=dict)
    paths: Mapping[str, Sequence[str]] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    own_fields: Sequence[Field] = ()
    event_names: Mapping[str, str] = field(default_factory=dict)
    categories: Sequence[str] = ()


def project_name(folder: Path) -> str:
    """Return a name that dbt accepts, from a folder's name."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_")
    if not name or name[0].isdigit() or name in _RESERVED_PROJECT_NAMES:
        name = f"company_{name}".strip("_")
    return name[:60]


def write_project(folder: Path, draft: Draft, package: Path) -> None:
    """Write all files of the project into a folder.

    Seeds that exist are kept: new event names are added to them.

    Args:
        folder: The folder; created if missing.
        draft: What to write.
        package: The folder of the dbt package churn.
    """
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "seeds").mkdir(exist_ok=True)
    _write_field_mapping(folder, draft)
    _write_event_names(folder, draft.event_names)
    _write_offers(folder, draft.categories)
    _write_experiments(folder)
    _write_products(folder)
    write_yaml(folder / "dbt_project.yml", _project(draft), _PROJECT_HEADER)
    write_yaml(
        folder / "packages.yml", {"packages": [{"local": _local(folder, package)}]}
    )
    write_yaml(folder / "profiles.yml", _profile(draft.name))
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text(
            "dbt_packages/\npackage-lock.yml\ntarget/\nlogs/\n*.duckdb*\n"
        )


def _local(folder: Path, package: Path) -> str:
    """Return the package's path: relative if the project is within the package."""
    if package in folder.resolve().parents:
        return os.path.relpath(package, folder.resolve())
    return str(package)


def _project(draft: Draft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "version": "0.1.0",
        "config-version": 2,
        "profile": draft.name,
        # The package overrides some of dbt's own macros.
        "dispatch": [
            {"macro_namespace": "dbt", "search_order": [draft.name, "churn", "dbt"]}
        ],
        "flags": {
            "send_anonymous_usage_stats": False,
            # The package reads this project's seeds, which replace its own.
            "require_ref_searches_node_package_before_root": True,
            # A test runs only if all tables that it reads are selected or upstream.
            "indirect_selection": "buildable",
        },
        "model-paths": ["models"],
        "seed-paths": ["seeds"],
        "clean-targets": ["target", "dbt_packages"],
        "seeds": {
            "churn": {
                "event_names": {"+enabled": False},
                "offers": {"+enabled": False},
                "experiments": {"+enabled": False},
                "products": {"+enabled": False},
            }
        },
        # They test the package with its default variables.
        "unit_tests": {"churn": {"+enabled": False}},
        "vars": {
            "churn": {
                "load_demo_seeds": False,
                "clickstream_field_mapping_model": f"{draft.name}_events",
                **draft.variables,
            }
        },
    }


def _profile(name: str) -> dict[str, Any]:
    return {
        name: {
            "target": "duckdb",
            "outputs": {
                "duckdb": {
                    "type": "duckdb",
                    "path": f"{{{{ env_var('CHURN_DUCKDB_PATH', '{name}.duckdb') }}}}",
                    "schema": "main",
                    "threads": 2,
                    # Every time in this project is UTC.
                    "settings": {"TimeZone": "UTC"},
                }
            },
        }
    }


def _write_field_mapping(folder: Path, draft: Draft) -> None:
    model = f"{draft.name}_events"
    (folder / "models" / f"{model}.sql").write_text(
        "select * from {{ ref('stg_clickstream__events') }}\n"
    )
    columns = []
    used = {path for paths in draft.paths.values() for path in paths}
    for name, (data_type, description, meta) in FIELD_MAPPING_COLUMNS.items():
        if name == "tracker_event_at" and not draft.paths.get(name):
            continue
        meta = dict(meta)
        if name in draft.formats:
            meta["format"] = draft.formats[name]
        meta["json_paths"] = [
            path for path in draft.paths.get(name, []) if is_addressable(path)
        ]
        columns.append(_column(name, data_type, description, meta))
    names = {*FIELD_MAPPING_COLUMNS, *(name for name, *_ in _DERIVED_COLUMNS)}
    for each in draft.own_fields:
        if each.path in used or not is_addressable(each.path):
            continue
        if len(columns) >= _MAX_OWN_COLUMNS:
            break
        name = column_name(each.path, names)
        names.add(name)
        json_type = next(iter(each.types)) if len(each.types) == 1 else "text"
        data_type = {"number": "double", "boolean": "boolean"}.get(json_type, "varchar")
        columns.append(
            _column(
                name,
                data_type,
                "A further field of the records: describe what it means.",
                {"json_paths": [each.path]},
            )
        )
    columns += [_column(*each, None) for each in _DERIVED_COLUMNS]
    content = {
        "models": [
            {
                "name": model,
                "description": (
                    "One row per event: the field mapping of the clickstream. The SQL "
                    "extracts each column from its `json_paths`, the first that has a "
                    "value; an empty list is a field that the tracker does not send."
                ),
                "config": {"materialized": "view"},
                "columns": columns,
            }
        ]
    }
    write_yaml(folder / "models" / f"{model}.yml", content)


def _column(
    name: str, data_type: str, description: str, meta: dict[str, Any] | None
) -> dict[str, Any]:
    column: dict[str, Any] = {
        "name": name,
        "description": description,
        "data_type": data_type,
    }
    return column if meta is None else {**column, "config": {"meta": meta}}


def _write_event_names(folder: Path, names: Mapping[str, str]) -> None:
    path = folder / "seeds" / "event_names.csv"
    merged = dict(names)
    if path.exists():
        try:
            with path.open(newline="", encoding="utf-8-sig") as seed:
                merged |= {
                    row["raw_name"]: row["event_name"]
                    for row in csv.DictReader(seed)
                    if row.get("raw_name") and row.get("event_name")
                }
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(
                f"{path} cannot be read ({error}): save it as CSV in UTF-8, or delete "
                "it."
            ) from None
    with path.open("w", newline="", encoding="utf-8") as seed:
        writer = csv.writer(seed, lineterminator="\n")
        writer.writerow(["raw_name", "event_name"])
        writer.writerows(merged.items())


def _write_offers(folder: Path, categories: Sequence[str]) -> None:
    path = folder / "seeds" / "offers.csv"
    if path.exists():
        return
    with path.open("w", newline="", encoding="utf-8") as seed:
        writer = csv.writer(seed, lineterminator="\n")
        writer.writerow(
            ["offer_id", "product_category", "product_id", "attributes", "offer"]
        )
        writer.writerows(
            [name, name, "", "", f"An offer for {name}"] for name in categories
        )
        writer.writerow(["default", "", "", "", "A call"])


def _write_products(folder: Path) -> None:
    """Write the seed of products without rows: the company fills it if it wants to."""
    path = folder / "seeds" / "products.csv"
    if not path.exists():
        path.write_text(
            "product_id,product_name,product_category,page_path,attributes\n",
            encoding="utf-8",
        )


def _write_experiments(folder: Path) -> None:
    """Write a seed without experiments, if there is none."""
    path = folder / "seeds" / "experiments.csv"
    if not path.exists():
        path.write_text(",".join(_EXPERIMENT_COLUMNS) + "\n", encoding="utf-8")
