"""A real API server and real controllers accept the manifests, and nothing worse.

Errors are planted in correct manifests, and each must be found. The server runs without
nodes, so statuses of pods are written by the tests.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import yaml

from tests.kubernetes.control_plane import ControlPlane
from tests.support.manifests import Objects, lint, named, pod_templates, rendered

PODS = "/api/v1/namespaces/churn/pods"
JOBS = "/apis/batch/v1/namespaces/churn/jobs"


@pytest.fixture(scope="module", params=lint.OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> tuple[str, Objects]:
    return request.param, rendered(request.param)


@pytest.fixture(scope="module")
def installed(
    overlay: tuple[str, Objects], control_plane: ControlPlane
) -> Iterator[Objects]:
    """Install an overlay into an empty namespace; return its objects."""
    with install(control_plane, overlay[1]):
        yield overlay[1]


@pytest.fixture(scope="module")
def spark(control_plane: ControlPlane) -> Iterator[Objects]:
    """Install the overlay for Spark, the one with rights."""
    objects = rendered("spark")
    with install(control_plane, objects):
        yield objects


@contextlib.contextmanager
def install(control_plane: ControlPlane, objects: Objects) -> Iterator[None]:
    """Create objects, and delete their namespace at the end."""
    control_plane.apply(objects)
    yield
    control_plane.kubectl("delete", "namespace", "churn", "--ignore-not-found")


def dry_run(control_plane: ControlPlane, objects: Objects) -> tuple[list[str], str]:
    """Return the lines about accepted objects, and the errors about the others."""
    finished = control_plane.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--filename=-"),
        stdin=yaml.safe_dump_all(objects),
        check=False,
    )
    return finished.stdout.splitlines(), finished.stderr


def create_pod(control_plane: ControlPlane, template: dict[str, Any]) -> dict[str, Any]:
    """Create a pod from a template, as a dry run; return what it would be.

    Raises:
        requests.HTTPError: The server refuses it.
    """
    pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
    # Spark's driver sets it, and the image.
    pod["metadata"]["name"] = "try"
    for container in pod["spec"]["containers"]:
        container.setdefault("image", "churn")
    return control_plane.request("post", PODS, pod, dryRun="All")


# ---- Manifests --------------------------------------------------------------


def test_the_server_has_the_version_of_the_modules(control_plane: ControlPlane) -> None:
    versions = json.loads(control_plane.kubectl("version", "--output=json").stdout)
    assert versions["serverVersion"]["gitVersion"] == "v1.36.3"
    assert versions["clientVersion"]["gitVersion"] == "v1.36.3"


def test_every_object_is_accepted(
    installed: Objects, control_plane: ControlPlane
) -> None:
    accepted, errors = dry_run(control_plane, installed)
    assert errors == ""
    assert len(accepted) == len(installed)


def test_every_pod_is_accepted(installed: Objects, control_plane: ControlPlane) -> None:
    """Pod Security, accounts and priorities are checked when a pod is created."""
    templates = dict(pod_templates(installed))
    assert {"churn-daily", "churn-page"} <= set(templates)
    for template in templates.values():
        create_pod(control_plane, template)


def daily(objects: Objects) -> dict[str, Any]:
    return named(objects, "CronJob", "churn-daily")["spec"]


def page(objects: Objects) -> dict[str, Any]:
    return named(objects, "Deployment", "churn-page")["spec"]


def budget(objects: Objects) -> dict[str, Any]:
    return named(objects, "PodDisruptionBudget", "churn-page")["spec"]


def policy(objects: Objects) -> dict[str, Any]:
    return named(objects, "NetworkPolicy", "churn-daily")["spec"]


def job_pod(objects: Objects) -> dict[str, Any]:
    return daily(objects)["jobTemplate"]["spec"]["template"]["spec"]


def change(place: Callable[[Objects], Any], *keys: Any) -> Callable[[Objects], None]:
    """Return a function that sets a field of a part of the manifests.

    Args:
        place: Returns the part.
        keys: The keys of the field, then its value.
    """

    def plant(objects: Objects) -> None:
        *inner, last, value = keys
        part = place(objects)
        for key in inner:
            part = part[key]
        part[last] = value

    return plant


def set_name(objects: Objects) -> None:
    named(objects, "Service", "churn-page")["metadata"]["name"] = "churn_page"


# What the server says of each.
PLANTED = {
    "unknown field": (change(page, "replica", 2), "replica"),
    "unknown field of a pod": (change(job_pod, "restartpolicy", "Never"), "restartpol"),
    "wrong enum": (change(daily, "concurrencyPolicy", "Never"), "concurrencyPolicy"),
    "wrong type": (change(page, "replicas", "two"), "replicas"),
    "name": (set_name, "churn_page"),
    "minimum and maximum": (change(budget, "maxUnavailable", 1), "cannot be both set"),
    "schedule": (change(daily, "schedule", "15 6 * *"), "schedule"),
    "time zone": (change(daily, "timeZone", "Europe/Atlantis"), "timeZone"),
    "selector": (
        change(page, "selector", "matchLabels", "app", "other"),
        "`selector` does not match template `labels`",
    ),
    "quantity": (
        change(job_pod, "containers", 0, "resources", "requests", "memory", "4 GB"),
        "quantit",
    ),
    "request above limit": (
        change(job_pod, "containers", 0, "resources", "requests", "memory", "8Gi"),
        "must be less than or equal to memory limit",
    ),
    "restart policy": (change(job_pod, "restartPolicy", "Always"), "restartPolicy"),
    "mount without volume": (
        change(job_pod, "containers", 0, "volumeMounts", 0, "name", "temporary"),
        'volumeMounts[0].name: Not found: "temporary"',
    ),
    "container of a rule": (
        change(
            daily,
            *("jobTemplate", "spec", "podFailurePolicy", "rules", 1, "onExitCodes"),
            *("containerName", "daily"),
        ),
        "must be one of the container",
    ),
    "port": (change(policy, "egress", 0, "ports", 0, "port", 70000), "65535"),
    "toleration": (
        change(job_pod, "tolerations", [{"key": "spot", "operator": "Equals"}]),
        "operator",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_errors_are_found(
    installed: Objects, control_plane: ControlPlane, name: str
) -> None:
    """The object with the error is refused, and no other."""
    plant, sentence = PLANTED[name]
    objects = copy.deepcopy(installed)
    plant(objects)
    assert objects != installed
    accepted, errors = dry_run(control_plane, objects)
    assert sentence in errors
    assert len(accepted) == len(objects) - 1


def _main(template: dict[str, Any]) -> dict[str, Any]:
    return template["spec"]["containers"][0]


def _security(template: dict[str, Any], **values: Any) -> None:
    _main(template)["securityContext"] |= values


FORBIDDEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "privileged": (
        # A container that is privileged may not forbid to escalate.
        lambda pod: _security(pod, privileged=True, allowPrivilegeEscalation=True),
        "privileged",
    ),
    "root": (
        lambda pod: pod["spec"].update(securityContext={"runAsUser": 0}),
        "runAsNonRoot != true",
    ),
    "escalation": (
        lambda pod: _main(pod).update(securityContext={}),
        "allowPrivilegeEscalation != false",
    ),
    "capability": (
        lambda pod: _security(pod, capabilities={"add": ["NET_ADMIN"]}),
        "unrestricted capabilities",
    ),
    "host network": (
        lambda pod: pod["spec"].update(hostNetwork=True),
        "host namespaces",
    ),
    "host path": (
        lambda pod: pod["spec"].update(
            volumes=[
                *pod["spec"].get("volumes", []),
                {"name": "host", "hostPath": {"path": "/"}},
            ]
        ),
        "hostPath",
    ),
    "seccomp": (
        lambda pod: pod["spec"]["securityContext"].pop("seccompProfile"),
        "seccompProfile",
    ),
    "missing account": (
        lambda pod: pod["spec"].update(serviceAccountName="churn-dayly"),
        'serviceaccount "churn-dayly" not found',
    ),
    "missing priority": (
        lambda pod: pod["spec"].update(priorityClassName="urgent"),
        "no PriorityClass with name urgent",
    ),
    "missing runtime": (
        lambda pod: pod["spec"].update(runtimeClassName="sandboxed"),
        'RuntimeClass "sandboxed" not found',
    ),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_pods_that_are_not_allowed_are_refused(
    installed: Objects, control_plane: ControlPlane, name: str
) -> None:
    change_pod, sentence = FORBIDDEN[name]
    for template in dict(pod_templates(installed)).values():
        forbidden = copy.deepcopy(template)
        change_pod(forbidden)
        with pytest.raises(requests.HTTPError) as refusal:
            create_pod(control_plane, forbidden)
        assert sentence in json.loads(refusal.value.response.text)["message"]


def test_accounts_without_rights_get_no_token(
    overlay: tuple[str, Objects], installed: Objects, control_plane: ControlPlane
) -> None:
    """The API server adds a token to pods of accounts that do not decline it."""
    for name, template in pod_templates(installed):
        created = create_pod(control_plane, template)
        volumes = created["spec"].get("volumes", [])
        has_token = any("projected" in volume for volume in volumes)
        assert has_token is ((overlay[0], name) == ("spark", "churn-daily"))


# ---- Rights -----------------------------------------------------------------

# What Spark's driver does. `tests/spot` shows that it needs all of it.
DRIVER = {
    "pods": {"get", "list", "watch", "create", "delete", "deletecollection"},
    "configmaps": {"create", "deletecollection"},
    "services": {"deletecollection"},
    "persistentvolumeclaims": {"list", "deletecollection"},
}
# What every account may ask: who it is, and what it may do.
EVERYBODY = {
    ("create", f"{name}.authorization.k8s.io")
    for name in ("selfsubjectaccessreviews", "selfsubjectrulesreviews")
} | {("create", "selfsubjectreviews.authentication.k8s.io")}


def rules(
    control_plane: ControlPlane, account: str, namespace: str
) -> Iterator[tuple[str, str]]:
    """Yield each verb and resource that an account may use in a namespace."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = control_plane.session.post(
        f"{control_plane.url}/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        json=review,
        headers={
            "Impersonate-User": f"system:serviceaccount:churn:{account}",
            "Impersonate-Group": "system:authenticated",
        },
        timeout=30,
    )
    answer.raise_for_status()
    for rule in answer.json()["status"]["resourceRules"]:
        assert not rule.get("resourceNames")
        for resource in rule["resources"]:
            for group in rule["apiGroups"]:
                for verb in rule["verbs"]:
                    yield verb, f"{resource}.{group}".rstrip(".")


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("account", ["churn-daily", "churn-page", "churn-executor"])
def test_accounts_have_the_rights_that_they_need(
    control_plane: ControlPlane, account: str
) -> None:
    """Exactly those: the driver of Spark some in its namespace, and others none."""
    needed = set(EVERYBODY)
    if account == "churn-daily":
        needed |= {(verb, name) for name, verbs in DRIVER.items() for verb in verbs}
    assert set(rules(control_plane, account, "churn")) == needed
    for other in ("default", "kube-system"):
        assert set(rules(control_plane, account, other)) == EVERYBODY


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize(
    ("account", "verb", "resource", "expected"),
    [
        ("churn-daily", "create", "pods", True),
        ("churn-daily", "create", "pods --subresource=exec", False),
        ("churn-daily", "get", "secrets", False),
        ("churn-daily", "create", "rolebindings", False),
        ("churn-daily", "create", "serviceaccounts --subresource=token", False),
        ("churn-page", "get", "pods", False),
        ("churn-executor", "get", "pods", False),
        ("churn-executor", "get", "configmaps", False),
    ],
)
def test_kubectl_answers_what_an_account_may_do(
    control_plane: ControlPlane,
    account: str,
    verb: str,
    resource: str,
    expected: bool,
) -> None:
    finished = control_plane.kubectl(
        *("auth", "can-i", verb, *resource.split(), "--namespace=churn"),
        f"--as=system:serviceaccount:churn:{account}",
        check=False,
    )
    assert finished.stdout.strip() == ("yes" if expected else "no")


# ---- What controllers make of the manifests ---------------------------------


@pytest.fixture
def started_job(spark: Objects, control_plane: ControlPlane) -> Iterator[str]:
    """Start a job from the CronJob; yield its name."""
    assert named(spark, "CronJob", "churn-daily")
    control_plane.kubectl(
        *("create", "job", "--namespace=churn", "--from=cronjob/churn-daily", "again")
    )
    yield "again"
    control_plane.kubectl("delete", "job", "--namespace=churn", "again")


def pod_of(control_plane: ControlPlane, job: str, without: str = "") -> dict[str, Any]:
    """Return the pod that the controller has made for a job."""
    return control_plane.wait_for(
        PODS,
        lambda pod: (
            pod["metadata"]["name"] != without and pod["status"]["phase"] == "Pending"
        ),
        labelSelector=f"job-name={job}",
    )


def end_pod(
    control_plane: ControlPlane, pod: dict[str, Any], code: int, *why: str
) -> None:
    """Write the status of a pod whose container has ended."""
    container = pod["spec"]["containers"][0]
    terminated = {"exitCode": code, "reason": "Error"}
    status = {
        "phase": "Failed",
        "conditions": [{"type": each, "status": "True"} for each in why],
        "containerStatuses": [
            {
                **{"name": container["name"], "image": container["image"]},
                **{"imageID": "", "ready": False, "restartCount": 0},
                "state": {"terminated": terminated},
            }
        ],
    }
    path = f"{PODS}/{pod['metadata']['name']}/status"
    control_plane.request("patch", path, {"status": status})


def failures(control_plane: ControlPlane, job: str) -> int:
    """Return how many tries of a job have failed."""
    status = control_plane.request("get", f"{JOBS}/{job}")["status"]
    return status.get("failed", 0)


def test_a_disruption_is_no_failed_try(
    control_plane: ControlPlane, started_job: str
) -> None:
    """As often as the job may fail, and once more."""
    name = ""
    for _ in range(3):
        pod = pod_of(control_plane, started_job, without=name)
        name = pod["metadata"]["name"]
        end_pod(control_plane, pod, 137, "DisruptionTarget")
    pod_of(control_plane, started_job, without=name)
    assert failures(control_plane, started_job) == 0


def test_stale_scores_are_not_tried_again(
    control_plane: ControlPlane, started_job: str
) -> None:
    end_pod(control_plane, pod_of(control_plane, started_job), 2)
    control_plane.wait_for(
        JOBS,
        lambda job: any(
            each["type"] == "Failed" and each["reason"] == "PodFailurePolicy"
            for each in job["status"].get("conditions", [])
        ),
        fieldSelector=f"metadata.name={started_job}",
    )


def test_a_failure_is_tried_again(
    control_plane: ControlPlane, started_job: str
) -> None:
    pod = pod_of(control_plane, started_job)
    end_pod(control_plane, pod, 1)
    pod_of(control_plane, started_job, without=pod["metadata"]["name"])
    assert failures(control_plane, started_job) == 1


def test_a_run_ends_at_its_deadline(
    spark: Objects, control_plane: ControlPlane
) -> None:
    """The controller ends a job whose pod nobody starts; there are no nodes."""
    template = copy.deepcopy(daily(spark)["jobTemplate"])
    template["spec"]["activeDeadlineSeconds"] = 1
    job = {"apiVersion": "batch/v1", "kind": "Job", **template}
    job["metadata"] = {"name": "late", "namespace": "churn"}
    control_plane.apply([job])
    ended = control_plane.wait_for(
        JOBS,
        lambda job: any(
            each["type"] == "Failed" for each in job["status"].get("conditions", [])
        ),
        fieldSelector="metadata.name=late",
    )
    (failed,) = (e for e in ended["status"]["conditions"] if e["type"] == "Failed")
    assert failed["reason"] == "DeadlineExceeded"
    control_plane.kubectl("delete", "job", "--namespace=churn", "late")
