"""Fills the package's own project with a demo company: ``churn run``.

The steps are separate, so that the caller can print between them. A second run finds
the company generated, its files loaded, and builds nothing new.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from churn.config import Project, UserError
from churn.demo.generate import Progress, generate
from churn.demo.settings import Settings
from churn.ingest.load import LoadReport, load


@dataclass(frozen=True)
class DemoRun:
    """One demo company in one project.

    Attributes:
        project: The package's own project.
        settings: The company.
    """

    project: Project
    settings: Settings

    def __post_init__(self) -> None:
        """Check that the database holds no other company.

        Raises:
            UserError: It does, or the project is not the package's own.
        """
        if not self.project.is_package:
            raise UserError(
                "`churn run` builds a demo company in the package's own project, not "
                f"in `{self.project.name}`: use `churn check` and `dbt build` here."
            )
        loaded = loaded_company(self.project)
        if loaded not in (None, self.name):
            raise UserError(
                f"{self.project.database} already holds the demo company {loaded}: "
                "delete that file, or name another one with --database."
            )

    @property
    def name(self) -> str:
        """Return the name of the company's landing zone."""
        settings = self.settings
        return f"{settings.accounts}-accounts-{settings.days}-days-seed-{settings.seed}"

    @property
    def landing_zone(self) -> Path:
        """Return the folder of the company's files."""
        return _data(self.project) / self.name

    @property
    def is_generated(self) -> bool:
        """Return whether the files exist; they appear all at once."""
        return (self.landing_zone / "demo.json").exists()

    def generate(self, progress: Progress | None = None) -> int:
        """Write the company's files; return the number of clickstream records."""
        return generate(self.settings, self.landing_zone, progress=progress)

    def load(self, progress: Progress | None = None) -> LoadReport:
        """Load the files into the raw tables."""
        marker = _marker(self.project)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps({"company": self.name}) + "\n")
        raw_schema = str(self.project.variables["raw_schema"])
        return load(self.landing_zone, self.project.database, raw_schema, progress)


def loaded_company(project: Project) -> str | None:
    """Return the name of the demo company in the project's database, if any."""
    marker = _marker(project)
    if not project.database.exists() or not marker.exists():
        return None
    return str(json.loads(marker.read_text())["company"])


def truth_folder(project: Project) -> Path | None:
    """Return the truth of the demo company in the project's database, if any."""
    name = loaded_company(project)
    truth = _data(project) / str(name) / "truth"
    return truth if name and truth.exists() else None


def _data(project: Project) -> Path:
    return project.work_dir / "data"


def _marker(project: Project) -> Path:
    """Return the file that names the demo company in the database."""
    return _data(project) / f"loaded-into-{project.database.stem}.json"
