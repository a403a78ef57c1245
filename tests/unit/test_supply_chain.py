"""What is downloaded is pinned, compared with a digest, and free to use.

`make audit` asks PyPI for known vulnerabilities, which needs the network.
"""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.paths import ROOT

LOCKS = sorted(
    path
    for path in ROOT.rglob("*.lock")
    if not path.relative_to(ROOT).parts[0].startswith((".", "target"))
)
CHECK = ROOT / "scripts" / "check_downloads.sh"
CHECKSUMS = (ROOT / "scripts" / "checksums.sha256").read_text()
# Licences that a company may not want in what it installs.
REFUSED = re.compile(r"\b(AGPL|GPL|GNU (Affero )?General|SSPL|BUSL|Commons Clause)")
ALTERNATIVES = re.compile(r"LGPL|Lesser|\bOR\b| or |exception", re.I)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_locked_package_has_one_version_and_hashes(lock: Path) -> None:
    text = lock.read_text().replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line.strip()]
    assert requirements
    for line in requirements:
        assert re.match(r"[a-z0-9._-]+(\[[\w,-]+\])?==\S+ ", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
        # No other place than the index of the machine, and no code of a repository.
        assert not re.search(r"https?:|git\+|file:| @ ", line), line


def test_installations_compare_hashes() -> None:
    environment = (ROOT / "scripts" / "make_environment.sh").read_text()
    image = (ROOT / "deploy/kubernetes/image/Containerfile").read_text()
    for text in (environment, image):
        commands = text.replace("\\\n", " ").splitlines()
        for command in commands:
            if "--requirement" in command:
                assert "--require-hashes" in command


def test_every_download_of_a_script_is_compared_with_a_digest() -> None:
    for script in ROOT.glob("scripts/install_*.sh"):
        text = script.read_text()
        if "mvn " in text:
            assert "check_downloads.sh" in text, script.name
            assert "--strict-checksums" in text, script.name
            versions = re.findall(r"^\w+=(\d[\d.]*)$", text, re.M)
            assert versions, script.name
            for version in versions:
                assert re.search(rf"-{re.escape(version)}[.-]", CHECKSUMS), script.name
        assert not re.search(r"\b(curl|wget)\b", text), script.name
    packages = re.search(
        r"iceberg-spark-runtime\S+?:[\d.]+", (ROOT / "profiles.yml").read_text()
    )
    assert packages
    assert f"{packages[0].replace(':', '-')}.jar" in CHECKSUMS


def test_a_changed_download_is_refused_in_one_sentence(tmp_path: Path) -> None:
    names = [line.split()[1] for line in CHECKSUMS.splitlines()]
    for name in (names[0], "unknown.jar"):
        file = tmp_path / name
        file.write_bytes(b"other content")
        refused = subprocess.run(
            [CHECK, file], capture_output=True, text=True, check=False
        )
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert f"{name} is not the expected file" in refused.stderr


def test_actions_of_ci_are_pinned_by_commit() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        for action in re.findall(r"uses: (\S+)", workflow.read_text()):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
        assert "permissions:\n  contents: read" in workflow.read_text()


def test_updates_of_vulnerable_packages_are_proposed_at_once() -> None:
    renovate = json.loads((ROOT / "renovate.json").read_text())
    assert renovate["osvVulnerabilityAlerts"] is True
    assert renovate["vulnerabilityAlerts"]["schedule"] == ["at any time"]


def test_licences_of_what_users_install_allow_it() -> None:
    locked = re.findall(
        r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.M
    )
    checked = 0
    for name in locked:
        try:
            found = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            # Locked for another platform.
            continue
        licence = found.get("License-Expression") or "; ".join(
            [
                *(found.get("License") or "").splitlines()[:1],
                *(
                    c
                    for c in found.get_all("Classifier", [])
                    if c.startswith("License")
                ),
            ]
        )
        checked += 1
        assert licence, f"{name} names no licence"
        assert not REFUSED.search(licence) or ALTERNATIVES.search(licence), (
            f"{name} has the licence {licence}"
        )
    assert checked > 40


@pytest.mark.long
def test_the_bill_of_materials_names_every_locked_package() -> None:
    subprocess.run(["make", "sbom"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((ROOT / "target" / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    text = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, re.M))
    found = {each["name"]: each["version"] for each in bill["components"]}
    assert found == locked
    assert all(
        each["externalReferences"][0]["hashes"] or each.get("hashes")
        for each in bill["components"]
    )
