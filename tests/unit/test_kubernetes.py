"""The manifests under deploy/kubernetes/ are valid, restricted, and fit the CLI."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from churn.cli.main import churn
from tests.support.manifests import (
    FOLDER,
    Objects,
    lint,
    named,
    pod_templates,
    rendered,
)
from tests.support.paths import ROOT


@pytest.fixture(scope="module", params=lint.OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> tuple[str, Objects]:
    return request.param, rendered(request.param)


def test_schemas_accept_every_object(overlay: tuple[str, Objects]) -> None:
    assert list(lint.problems(overlay[1])) == []


def _unknown_field(objects: Objects) -> None:
    named(objects, "Deployment", "churn-page")["spec"]["replica"] = 2


def _missing_field(objects: Objects) -> None:
    del named(objects, "CronJob", "churn-daily")["spec"]["schedule"]


def _wrong_type(objects: Objects) -> None:
    named(objects, "Service", "churn-page")["spec"]["ports"][0]["port"] = "http"


@pytest.mark.parametrize("plant", [_unknown_field, _missing_field, _wrong_type])
def test_planted_errors_are_found(overlay: tuple[str, Objects], plant: Any) -> None:
    objects = copy.deepcopy(overlay[1])
    plant(objects)
    assert len(list(lint.problems(objects))) == 1


def test_pods_are_restricted(overlay: tuple[str, Objects]) -> None:
    """What Pod Security `restricted` asks for, and limits for the scheduler."""
    pods = dict(pod_templates(overlay[1]))
    assert {"churn-daily", "churn-page"} <= set(pods)
    for name, template in pods.items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume}
        assert kinds <= {"name", "emptyDir", "persistentVolumeClaim", "configMap"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"]["drop"] == ["ALL"], name
            # Spark sets the resources of executors.
            if name != "executor":
                assert security["readOnlyRootFilesystem"], name
                assert container["resources"]["requests"].keys() == {"cpu", "memory"}
                assert "memory" in container["resources"]["limits"], name


def test_commands_and_variables_exist(overlay: tuple[str, Objects]) -> None:
    documents = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "churn").rglob("*.py")]
    known = "\n".join(path.read_text() for path in documents)
    known += (ROOT / "profiles.yml").read_text()
    known += (FOLDER / "overlays/spark/spark-defaults.conf").read_text()
    for name, template in pod_templates(overlay[1]):
        for container in template["spec"]["containers"]:
            program, subcommand, *arguments = container.get("args", ["churn", "daily"])
            assert program == "churn", name
            found = churn.get_command(None, subcommand)
            assert found is not None, subcommand
            found.make_context(subcommand, arguments)
            for variable in container.get("env", []):
                if variable["name"].startswith(("CHURN_", "ATHENA_")):
                    assert re.search(rf"\b{variable['name']}\b", known), variable
    for each in overlay[1]:
        if each["kind"] == "ConfigMap":
            for variable in each["data"]:
                if variable.startswith(("CHURN_", "ATHENA_")):
                    assert re.search(rf"\b{variable}\b", known), variable


def test_references_exist(overlay: tuple[str, Objects]) -> None:
    """An API server does not look for what a pod refers to; its node would wait.

    The secrets are those that docs/kubernetes.md lets the user create.
    """
    objects = overlay[1]
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    names |= {("Secret", name) for name in ("churn-daily", "churn-page")}
    for pod, template in pod_templates(objects):
        spec = template["spec"]
        needed = {("ServiceAccount", spec["serviceAccountName"])}
        for volume in spec.get("volumes", []):
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                needed.add(("PersistentVolumeClaim", claim))
            if "configMap" in volume:
                needed.add(("ConfigMap", volume["configMap"]["name"]))
        for container in spec["containers"]:
            for source in container.get("envFrom", []):
                ((kind, reference),) = source.items()
                kind = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind]
                needed.add((kind, reference["name"]))
        assert needed <= names, pod
    for each in objects:
        if each["kind"] == "RoleBinding":
            assert ("Role", each["roleRef"]["name"]) in names
            for subject in each["subjects"]:
                assert (subject["kind"], subject["name"]) in names


def test_selectors_find_their_pods(overlay: tuple[str, Objects]) -> None:
    labels = [t["metadata"]["labels"] for _, t in pod_templates(overlay[1])]

    def is_found(wanted: dict[str, str]) -> bool:
        return any(wanted.items() <= each.items() for each in labels)

    for each in overlay[1]:
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            assert is_found(spec["selector"])
        for selector in (spec.get("selector"), spec.get("podSelector")):
            if isinstance(selector, dict) and "matchLabels" in selector:
                assert is_found(selector["matchLabels"]), each["metadata"]["name"]


def test_rights_are_minimal(overlay: tuple[str, Objects]) -> None:
    """Only Spark's driver has rights, in its namespace, and none to read secrets."""
    kinds = [each["kind"] for each in overlay[1]]
    assert "ClusterRole" not in kinds
    assert kinds.count("Role") == (overlay[0] == "spark")
    for each in overlay[1]:
        for rule in each.get("rules", []):
            assert "*" not in rule["resources"] + rule["verbs"]
            assert "secrets" not in rule["resources"]
        if each["kind"] == "ServiceAccount":
            is_driver = (overlay[0], each["metadata"]["name"]) == (
                "spark",
                "churn-daily",
            )
            assert each["automountServiceAccountToken"] is is_driver


def test_a_run_can_hang_at_no_level() -> None:
    job = named(rendered("spark"), "CronJob", "churn-daily")["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] <= 4 * 3600
    settings = dict(
        line.split(None, 1)
        for line in (FOLDER / "overlays/spark/spark-defaults.conf")
        .read_text()
        .splitlines()
        if line and not line.startswith("#")
    )
    for name in (
        "spark.kubernetes.allocation.executor.timeout",
        "spark.kubernetes.allocation.maxPendingPods",
        "spark.network.timeout",
        "spark.executor.maxNumFailures",
        "spark.executor.failuresValidityInterval",
        "spark.scheduler.maxRegisteredResourcesWaitingTime",
    ):
        assert name in settings
