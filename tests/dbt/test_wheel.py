"""The wheel works where only its dependencies are installed, without the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
import yaml

from tests.support.paths import ROOT

PACKAGES = ("churn", "dbt_local_python")
# The folders and files of the dbt project.
DBT_PROJECT = (
    "dbt_project.yml",
    "profiles.yml",
    "models",
    "python_models",
    "macros",
    "seeds",
    "tests/data",
    "tests/fixtures",
)


# The cancellation date of some accounts, by number.
CANCELLED = {n: date(2025, 3, n) for n in (1, 5, 8)}


def tracked(*paths: str) -> list[str]:
    """Return the files that git tracks under some paths."""
    listing = subprocess.run(
        ["git", "ls-files", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listing.stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the pinned build backend."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1735689600"},
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("churn-*.whl")
    return path


@dataclass
class Installed:
    """A virtual environment with the wheel.

    Attributes:
        folder: The environment.
        work: A folder outside the repository, in which commands run.
    """

    folder: Path
    work: Path

    def run(self, *command: str, cwd: Path | None = None, check: bool = True) -> str:
        """Run a program of the environment and return its output."""
        environment = {
            name: value
            for name, value in os.environ.items()
            # Nothing may lead back to the repository.
            if not name.startswith(("PYTHON", "CHURN_", "DBT_"))
        }
        finished = subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=cwd or self.work,
            env={**environment, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and finished.returncode:
            pytest.fail(f"{' '.join(command)}\n{finished.stdout[-6000:]}")
        return finished.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel; its dependencies are those of this environment.

    A path file shows them to the new environment. Python does not read the path files
    in that folder, so the repository's editable installation is not visible.
    """
    folder = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python)),
            *("install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-index", str(wheel)),
        ],
        check=True,
    )
    packages = sysconfig.get_path(
        "purelib", vars={"base": str(folder), "platbase": str(folder)}
    )
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(folder, tmp_path_factory.mktemp("work"))


def write_company(folder: Path) -> None:
    """Write clicks as JSON lines, and accounts and logins as CSV, one file per week."""
    with (folder / "clicks.jsonl").open("w") as file:
        for number in range(500):
            day = date(2025, 3, 1) + timedelta(days=number // 8)
            moment = f"{day}T10:{number % 60:02d}"
            record = {
                "messageId": f"m{number}",
                "type": "track",
                "event": ["Page Viewed", "Signed In"][number % 2],
                "originalTimestamp": f"{moment}:00.000Z",
                "sentAt": f"{moment}:01.000Z",
                "receivedAt": f"{moment}:02.000Z",
                "anonymousId": f"a{number % 40}",
                "userId": f"u{number % 20}" if number % 3 else None,
                "properties": {"path": f"/p/{number}"},
            }
            file.write(json.dumps(record) + "\n")
    for number in range(18):
        day = date(2025, 1, 4) + timedelta(weeks=number)
        ends = {n: end for n, end in CANCELLED.items() if end <= day}
        accounts = [
            f"acc{n},Company {n},2024-02-{n + 1:02d},{ends.get(n, '')}"
            for n in range(20)
        ]
        (folder / f"accounts-{day}.csv").write_text(
            "\n".join(["id,company,created_at,closed_on", *accounts, ""])
        )
        logins = [f"u{n},acc{n}" for n in range(20)]
        (folder / f"logins-{day}.csv").write_text(
            "\n".join(["login,account", *logins, ""])
        )


def test_the_wheel_has_the_whole_dbt_project(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    project = [f"churn/dbt_project/{name}" for name in tracked(*DBT_PROJECT)]
    library = tracked(*PACKAGES)
    assert project
    assert library
    assert not {*project, *library} - names
    # Nothing else is installed beside the two packages.
    folders = {name.partition("/")[0] for name in names}
    assert {each for each in folders if not each.endswith(".dist-info")} == {*PACKAGES}


def test_the_installed_package_is_complete(installed: Installed) -> None:
    program = (
        "import churn, churn.config, dbt_local_python as d;"
        "print(churn.__file__, d.__file__, churn.config.package_dir(), sep='\\n')"
    )
    paths = installed.run("python", "-c", program).split()
    assert len(paths) == 3
    assert all(Path(path).is_relative_to(installed.folder) for path in paths), paths
    assert "init" in installed.run("churn", "--help")


def answer_all(path: Path) -> bool:
    """Accept what `init` proposes; return whether there was a question."""
    content = yaml.safe_load(path.read_text())
    questions = content.pop("questions", None) or []
    answers = content.setdefault("answers", None) or {}
    for question in questions:
        candidates = [each["value"] for each in question.get("candidates") or []]
        proposal = question.get("proposal")
        answers[question["key"]] = proposal or next(iter(candidates), "none")
    path.write_text(yaml.safe_dump({**content, "answers": answers}))
    return bool(questions)


def test_a_company_is_built_with_the_wheel_alone(installed: Installed) -> None:
    write_company(installed.work)
    installed.run(
        *("churn", "init", "--events", "clicks.jsonl"),
        *("--accounts", "accounts-*.csv", "--contacts", "logins-*.csv"),
        *("--out", "mine"),
    )
    company = installed.work / "mine"
    while answer_all(company / "onboarding.yml"):
        installed.run("churn", "init", cwd=company)
    for file in company.rglob("*.yml"):
        assert str(ROOT) not in file.read_text(), file
    dbt = ("python", "-m", "dbt.cli.main")
    installed.run(*dbt, "deps", cwd=company)
    installed.run("churn", "check", cwd=company)
    installed.run(*dbt, "build", cwd=company)

    (database,) = company.glob("*.duckdb")
    with duckdb.connect(str(database), read_only=True) as connection:
        (events,) = connection.execute(
            "select count(*) from main_staging.stg_clickstream__events"
        ).fetchone()
        ends = connection.execute(
            "select account_id, end_date from main.subscription_periods"
            " where end_date is not null order by 1"
        ).fetchall()
    assert events == 500
    assert ends == [(f"acc{n}", end) for n, end in CANCELLED.items()]
