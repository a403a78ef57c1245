"""Runs dbt-project-evaluator on a copy of this project, on DuckDB.

The evaluator is no dependency of the project, so pass a clone of it and of
dbt-utils: ``python scripts/evaluate_project.py EVALUATOR DBT_UTILS``. Prints each row
that the evaluator reports and that docs/reference/evaluator_exceptions.csv does not
list. Ends with 1 if there are any.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "dbt_project_evaluator"
SEED = f"{PACKAGE}_exceptions"
EXCEPTIONS = ROOT / "docs" / "reference" / "evaluator_exceptions.csv"
FOLDERS = ("models", "python_models", "macros", "seeds", "tests/data", "tests/fixtures")
COVERAGE = {
    "fct_documentation_coverage": "documentation_coverage_pct",
    "fct_test_coverage": "test_coverage_pct",
}


def main() -> int:
    """Print what the evaluator reports; return 1 if it reports anything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("evaluator", type=Path)
    parser.add_argument("dbt_utils", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "churn"
        _copy_project(copy, options.evaluator.resolve(), options.dbt_utils.resolve())
        database = copy / "evaluator.duckdb"
        _run_dbt(copy, "deps")
        _run_dbt(copy, "build", "--select", f"package:{PACKAGE}", SEED)
        return 1 if _print_rows(database) else 0


def _copy_project(copy: Path, evaluator: Path, dbt_utils: Path) -> None:
    for name in (*FOLDERS, "profiles.yml"):
        source, target = ROOT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    shutil.copyfile(EXCEPTIONS, copy / "seeds" / f"{SEED}.csv")
    shutil.copytree(evaluator, copy / "evaluator")
    packages = {"packages": [{"local": str(dbt_utils)}]}
    (copy / "evaluator" / "packages.yml").write_text(yaml.safe_dump(packages))
    packages["packages"].append({"local": "evaluator"})
    (copy / "packages.yml").write_text(yaml.safe_dump(packages))

    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text())
    project["seeds"][PACKAGE] = {SEED: {"+enabled": False}}
    project["models"][PACKAGE] = {"+schema": "evaluator"}
    project["vars"][PACKAGE] = {
        "primary_key_test_macros": [
            ["dbt.test_unique", "dbt.test_not_null"],
            ["churn.test_unique_combination_of_columns"],
        ],
    }
    (copy / "dbt_project.yml").write_text(yaml.safe_dump(project, sort_keys=False))


def _run_dbt(copy: Path, *arguments: str) -> None:
    environment = {
        **os.environ,
        "DBT_PROFILES_DIR": str(copy),
        "CHURN_DUCKDB_PATH": str(copy / "evaluator.duckdb"),
        "PYTHONPATH": str(ROOT),
    }
    dbt = Path(sys.executable).parent / "dbt"
    command = [str(dbt), "--quiet", *arguments]
    subprocess.run(command, cwd=copy, env=environment, check=True)


def _print_rows(database: Path) -> int:
    count = 0
    with duckdb.connect(str(database), read_only=True) as connection:
        connection.execute("set search_path = 'main_evaluator'")
        rules = connection.execute(
            "select table_name from duckdb_tables() where table_name like 'fct_%'"
        ).fetchall()
        for (rule,) in sorted(rules):
            rows = connection.sql(f"from {rule}").to_arrow_table().to_pylist()
            if rule in COVERAGE:
                rows = [row for row in rows if row[COVERAGE[rule]] < 100]
            for row in rows:
                print(rule, {name: value for name, value in row.items() if value})
            count += len(rows)
    print(f"{count} rows")
    return count


if __name__ == "__main__":
    sys.exit(main())
