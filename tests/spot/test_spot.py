"""The daily job on Kubernetes with Spark's executors on spot instances.

API server, scheduler and controllers are real, and so are the image's programs, Spark's
Kubernetes backend and the manifests of the overlay `spark`. Nodes are a stand-in that
runs pods as processes. Each spot node has room for one executor.
"""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.control_plane import DEADLINE, ControlPlane
from tests.kubernetes.image import Image
from tests.kubernetes.kubelet import (
    Container,
    Kubelet,
    Node,
    evict,
    local_volume,
    spot_node,
)
from tests.support.engines import DuckdbEngine, SparkEngine, stop_spark
from tests.support.manifests import Objects, named, rendered
from tests.support.parity import Built, differences, tables_built
from tests.support.paths import ROOT

JOBS = "/apis/batch/v1/namespaces/churn/jobs"
PODS = "/api/v1/namespaces/churn/pods"
EXECUTOR = {"spark-role": "executor"}
# Seconds that a whole build may take on a busy machine.
BUILD_SECONDS = 3000
# What a small machine changes; the other settings are those of the overlay.
SETTINGS = """
spark.executor.cores 1
spark.executor.memory 1g
spark.executor.memoryOverhead 512m
spark.storage.decommission.fallbackStorage.path file://{shared}/fallback/
"""
# Executors that are lost in a build: fewer than `spark.executor.maxNumFailures`.
LOSSES = 12
# Share of a build's nodes after which no executor is lost: an evicted executor needs
# time to move its data before the build ends.
LAST_LOSS = 0.9


@dataclass
class Cluster:
    """The control plane with nodes, the overlay, and what was built."""

    plane: ControlPlane
    kubelet: Kubelet
    folder: Path
    objects: Objects

    @property
    def shared(self) -> Path:
        """Return the folder that stands for the object store."""
        return self.kubelet.shared

    @property
    def variables(self) -> dict[str, str]:
        """Return dbt's variables: executors read the seeds, too."""
        return {"seeds_seen_by_spark_at": str(self.shared / "seeds")}

    def start_job(self, name: str, *arguments: str, **environment: str) -> None:
        """Start the pod of the CronJob with another command, as a job."""
        template = copy.deepcopy(
            named(self.objects, "CronJob", "churn-daily")["spec"]["jobTemplate"]
        )
        (container,) = template["spec"]["template"]["spec"]["containers"]
        container["args"] = list(arguments)
        container["env"] += [
            {"name": key, "value": value} for key, value in environment.items()
        ]
        job = {"apiVersion": "batch/v1", "kind": "Job", **template}
        job["metadata"] = {"name": name, "namespace": "churn"}
        self.plane.apply([job])

    def driver(self, job: str) -> Container:
        """Wait until the driver of a job runs, and return it."""
        pod = self.plane.wait_for(
            PODS,
            lambda pod: pod["status"]["phase"] == "Running",
            labelSelector=f"job-name={job}",
        )
        return self.kubelet.containers[pod["metadata"]["name"]]

    def drivers(self, job: str) -> list[Container]:
        """Return all drivers that a job has had, in order."""
        return [
            container
            for container in self.kubelet.containers.values()
            if container.pod["metadata"]["labels"].get("job-name") == job
        ]

    def output(self, job: str) -> str:
        """Return what the drivers of a job have written."""
        logs = [each.log for each in self.drivers(job) if each.log.exists()]
        return "\n".join(log.read_text(errors="replace") for log in logs)

    def finish(self, job: str, seconds: int = BUILD_SECONDS) -> dict[str, Any]:
        """Wait until a job has ended; return its status."""

        def has_ended(found: dict[str, Any]) -> bool:
            kinds = {each["type"] for each in found["status"].get("conditions", [])}
            return bool(kinds & {"Complete", "Failed"})

        try:
            ended = self.plane.wait_for(
                JOBS, has_ended, seconds, fieldSelector=f"metadata.name={job}"
            )
        except TimeoutError as error:
            pytest.fail(f"{error}\n{self.output(job)[-8000:]}")
        return ended["status"]


@dataclass
class Losses(threading.Thread):
    """Takes executors away while a build goes on, evenly over dbt's nodes.

    It follows what the driver writes. One of two is taken, never the last one, and the
    kinds of loss take turns.
    """

    cluster: Cluster
    driver: Container
    kinds: tuple[str, ...]
    random: random.Random = field(default_factory=lambda: random.Random(7))
    victims: list[tuple[str, str]] = field(default_factory=list)

    __hash__ = threading.Thread.__hash__

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        follow = ["tail", "--lines=+1", "--follow=name", "--retry"]
        follow.append(f"--pid={self.driver.process_id}")
        tail = subprocess.Popen(
            [*follow, self.driver.log],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert tail.stdout is not None
        for line in tail.stdout:
            started = re.search(r"(\d+) of (\d+) START (?!hook)", line)
            if started:
                share = int(started[1]) / int(started[2])
                is_due = int(share * (LOSSES + 1)) > len(self.victims)
                if is_due and share <= LAST_LOSS:
                    self._take()
        tail.wait()

    def _take(self) -> None:
        executors = self.cluster.kubelet.running(**EXECUTOR)
        executors = [each for each in executors if not each.is_stopping.is_set()]
        if len(executors) < 2:
            return
        victim = self.random.choice(executors)
        kind = self.kinds[len(self.victims) % len(self.kinds)]
        self.victims.append((kind, victim.name))
        if kind == "kill":
            victim.signal(signal.SIGKILL)
        else:
            evict(self.cluster.plane, victim.pod)


@pytest.fixture(scope="module")
def cluster(
    image: Image, control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    shared = folder / "shared"
    shutil.copytree(ROOT / "seeds", shared / "seeds")
    nodes = [Node("on-demand"), *(spot_node(f"spot-{number}") for number in (1, 2))]
    for node in nodes[1:]:
        node.cpu, node.memory = "1", "2Gi"
    # Pods share the network of this machine, so two pages could not listen.
    objects = [each for each in rendered("spark") if each["kind"] != "Deployment"]
    set_up(objects, control_plane, shared)
    kubelet = Kubelet(control_plane, image, folder / "pods", shared, nodes)
    with kubelet:
        control_plane.apply(
            [local_volume(folder / "state", "churn-state", "5Gi", "ReadWriteOncePod")]
        )
        control_plane.apply(objects)
        secret = {"apiVersion": "v1", "kind": "Secret"}
        secret["metadata"] = {"name": "churn-daily", "namespace": "churn"}
        secret["stringData"] = {"CHURN_SERVING_URL": "sqlite:////state/serving.db"}
        control_plane.apply([secret])
        yield Cluster(control_plane, kubelet, folder, objects)


def set_up(objects: Objects, plane: ControlPlane, shared: Path) -> None:
    """Set in the overlay what every user sets: addresses of stores and servers."""
    for each in objects:
        if each["kind"] != "ConfigMap":
            continue
        data = each["data"]
        if "spark-defaults.conf" in data:
            data["spark-defaults.conf"] += SETTINGS.format(shared=shared)
        else:
            data |= {
                "CHURN_SPARK_MASTER": f"k8s://{plane.url}",
                "CHURN_SPARK_WAREHOUSE": str(shared / "warehouse"),
                "CHURN_SPARK_METASTORE": str(shared / "metastore"),
                # The embedded metastore has no locks.
                "CHURN_SPARK_HIVE_LOCKS": "false",
                "CHURN_SPARK_SHUFFLE_PARTITIONS": "4",
            }


@pytest.fixture(scope="module")
def losses(cluster: Cluster) -> Losses:
    """Build the seeds and test them, while executors are lost."""
    command = ["dbt", "--no-use-colors", "build"]
    command += ["--vars", json.dumps(cluster.variables)]
    cluster.start_job("build", *command, "--exclude-resource-types", "unit_test")
    losses = Losses(cluster, cluster.driver("build"), ("kill", "evict"))
    losses.start()
    status = cluster.finish("build")
    losses.join()
    assert status.get("succeeded") == 1, cluster.output("build")[-8000:]
    return losses


@pytest.fixture(scope="module")
def built(cluster: Cluster, losses: Losses) -> Iterator[Built]:
    """Open the tables with Spark in this process, and build the seeds on DuckDB."""
    assert losses.driver.ended.is_set()
    spark = SparkEngine(cluster.folder, schema="churn")
    spark.environment["CHURN_SPARK_WAREHOUSE"] = str(cluster.shared / "warehouse")
    spark.environment["CHURN_SPARK_METASTORE"] = str(cluster.shared / "metastore")
    duckdb = DuckdbEngine(cluster.folder)
    result = duckdb.dbt("build", "--exclude-resource-types", "test", "unit_test")
    yield Built(spark, duckdb, tables_built(result))
    stop_spark()


def test_executors_were_lost_in_all_parts_of_the_build(losses: Losses) -> None:
    kinds = [kind for kind, _ in losses.victims]
    assert len(kinds) >= 6
    assert kinds.count("kill") >= 3
    assert len({name for _, name in losses.victims}) == len(kinds)


def test_the_job_needs_no_second_try(cluster: Cluster, losses: Losses) -> None:
    assert losses.driver.ended.is_set()
    assert len(cluster.drivers("build")) == 1


def test_lost_executors_give_the_rows_of_duckdb(built: Built) -> None:
    assert len(built.tables) > 50
    different = differences(built)
    assert not different, "\n".join(different)


def test_evicted_executors_move_their_data_and_end(
    cluster: Cluster, losses: Losses
) -> None:
    """The hook tells an executor to go; it ends before the grace period does."""
    logs = [
        cluster.kubelet.containers[name].log.read_text(errors="replace")
        for kind, name in losses.victims
        if kind == "evict"
    ]
    assert logs
    for log in logs:
        assert "Decommission executor" in log, log[-3000:]
    assert any("Migrated migrate_shuffle" in log for log in logs)


@pytest.mark.usefixtures("losses")
def test_executors_run_on_spot_nodes_only(cluster: Cluster) -> None:
    for container in cluster.kubelet.containers.values():
        spec = container.pod["spec"]
        is_executor = EXECUTOR.items() <= container.pod["metadata"]["labels"].items()
        assert spec["nodeName"].startswith("spot-") is is_executor


def test_the_driver_uses_all_its_rights_and_needs_no_others(
    cluster: Cluster, losses: Losses
) -> None:
    """The audit log of the API server has every request of the service account."""
    used, refused = set(), []
    for line in (cluster.plane.folder / "audit.log").read_text().splitlines():
        event = json.loads(line)
        if event["user"]["username"] != "system:serviceaccount:churn:churn-daily":
            continue
        what = event["verb"], event.get("objectRef", {}).get("resource")
        if event["responseStatus"].get("code", 200) == 403:
            refused.append(what)
        used.add(what)
    role = named(cluster.objects, "Role", "churn-driver")
    granted = {
        (verb, resource)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert not refused
    assert used == granted
    assert losses.victims


def test_another_pod_continues_the_run_of_an_evicted_driver(
    cluster: Cluster, built: Built
) -> None:
    """Its executors go with it, and the eviction is no failed try."""
    # The embedded metastore has one user.
    stop_spark()
    cluster.start_job(
        "again",
        *("dbt", "--no-use-colors", "run", "--full-refresh"),
        *("--select", "+sessions", "--vars", json.dumps(cluster.variables)),
    )
    driver = cluster.driver("again")
    executor = cluster.kubelet.first(**EXECUTOR)
    evict(cluster.plane, driver.pod, seconds=5)
    status = cluster.finish("again")
    assert status.get("succeeded") == 1, cluster.output("again")[-8000:]
    assert status.get("failed", 0) == 0
    assert len(cluster.drivers("again")) == 2
    assert executor.ended.wait(DEADLINE)
    tables = ["stg_clickstream__events", "sessions"]
    different = differences(Built(built.engine, built.duckdb, tables))
    assert not different, "\n".join(different)
    stop_spark()


def test_a_run_without_executors_says_so(cluster: Cluster, losses: Losses) -> None:
    """No node takes the pods: the run ends in the time that it may wait."""
    assert losses.victims
    for node in cluster.kubelet.nodes[1:]:
        cluster.kubelet.cordon(node.name)
    wait = {"CHURN_SPARK_EXECUTOR_WAIT_MINUTES": "0.5"}
    command = ["churn", "daily", "--json", "--no-wait"]
    command += ["--vars", json.dumps(cluster.variables)]
    cluster.start_job("pending", *command, **wait)
    assert cluster.driver("pending").ended.wait(BUILD_SECONDS)
    records = [
        json.loads(line)
        for line in cluster.output("pending").splitlines()
        if line.startswith("{")
    ]
    failures = [each for each in records if each["message"] == "failed"]
    sentence = (
        "No Spark executor was running for 0.5 minutes, so the run was stopped: "
        "`kubectl get pods --selector spark-role=executor`"
    )
    assert failures[0]["error"].startswith(sentence), cluster.output("pending")[-8000:]
    # The alert is sent, although the tables cannot be read.
    assert "notify" not in {each["step"] for each in failures}
    alerts = [each["message"] for each in records if each.get("step") == "notify"]
    assert any(sentence in alert for alert in alerts), alerts
    cluster.plane.kubectl("delete", "job", "--namespace=churn", "pending")
    for node in cluster.kubelet.nodes[1:]:
        cluster.kubelet.cordon(node.name, is_unschedulable=False)
