"""A stand-in for nodes: it runs the pods that the scheduler places, as processes.

It does what a kubelet does for the pods of deploy/kubernetes: it makes volumes and
variables, starts the container, runs its `preStop` hook, sends SIGTERM, kills after the
grace period, and reports the status. Pods have one container; probes, limits of CPU and
memory, images by name, and networks are not covered.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.kubernetes.control_plane import DEADLINE, ControlPlane
from tests.kubernetes.image import Image
from tests.kubernetes.sandbox import Sandbox, inside

Object = dict[str, Any]


@dataclass
class Node:
    """A node that the scheduler sees.

    Attributes:
        name: Its name.
        labels: Its labels.
        taints: Its taints.
        cpu: Cores, for the scheduler only.
        memory: Memory, for the scheduler only.
    """

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[Object] = field(default_factory=list)
    cpu: str = "4"
    memory: str = "16Gi"


def spot_node(name: str) -> Node:
    """Return a node as docs/kubernetes.md says that spot instances are."""
    taint = {"key": "spot", "value": "true", "effect": "NoSchedule"}
    return Node(name, {"capacity": "spot"}, [taint])


class Container:
    """The process of a pod.

    Args:
        kubelet: Who runs it.
        pod: The pod.
        number: Makes its address.
    """

    def __init__(self, kubelet: Kubelet, pod: Object, number: int) -> None:
        self.kubelet = kubelet
        self.pod = pod
        self.name: str = pod["metadata"]["name"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.address = f"127.1.{number // 250}.{number % 250 + 1}"
        self.folder = kubelet.folder / f"{number}-{self.name}"
        self.log = self.folder / "log"
        self.is_stopping = threading.Event()
        self.ended = threading.Event()
        self.process_id: int | None = None

    @property
    def spec(self) -> Object:
        """Return the specification of the one container."""
        (container,) = self.pod["spec"]["containers"]
        return container

    def run(self) -> None:
        """Run the pod from its start to its end, and report both."""
        self.folder.mkdir(parents=True)
        prepared = self._prepare()
        if prepared is None:
            self.ended.set()
            return
        sandbox, environment = prepared
        image = self.kubelet.image
        command = self.spec.get("command", image.entrypoint)
        command = [*command, *self.spec.get("args", image.arguments)]
        folder = self.spec.get("workingDir", image.working_folder)
        reading, writing = os.pipe()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                sandbox.command(command, folder, info=writing),
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[writing],
                # Signals of a terminal are for the tests.
                start_new_session=True,
            )
        os.close(writing)
        with os.fdopen(reading) as information:
            text = information.read()
        if text:
            self.process_id = json.loads(text)["child-pid"]
        self._report("Running", {"running": {"startedAt": now()}})
        code = process.wait()
        self.ended.set()
        reason = "Completed" if code == 0 else "Error"
        state = {"terminated": {"exitCode": code, "reason": reason}}
        self._report("Failed" if code else "Succeeded", state)

    def _prepare(self) -> tuple[Sandbox, dict[str, str]] | None:
        """Make volumes and variables, as soon as all they refer to exists.

        Returns:
            What the container sees, or ``None`` if the pod is to go before that.
        """
        is_reported = False
        while True:
            try:
                return self._sandbox(), self._environment()
            except LookupError as error:
                if not is_reported:
                    waiting = {"reason": "CreateContainerConfigError"}
                    waiting["message"] = str(error)
                    self._report("Pending", {"waiting": waiting})
                is_reported = True
            if self.is_stopping.wait(1):
                return None

    def stop(self, seconds: int) -> None:
        """Stop it as Kubernetes does: hook, SIGTERM, and SIGKILL after the seconds."""
        hook = self.spec.get("lifecycle", {}).get("preStop", {}).get("exec")
        killer = threading.Timer(seconds, self.signal, [signal.SIGKILL])
        killer.start()
        if hook and self.process_id is not None and not self.ended.is_set():
            with (self.folder / "hook.log").open("wb") as log:
                subprocess.run(
                    inside(self.process_id, hook["command"]),
                    env=self._environment(),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
        self.signal(signal.SIGTERM)
        self.ended.wait()
        killer.cancel()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to process 1 of the container, if it still runs."""
        if self.process_id is not None and not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process_id, number)

    def _report(self, phase: str, state: Object) -> None:
        is_ready = str("running" in state)
        status = {
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": now(),
            "containerStatuses": [
                {
                    "name": self.spec["name"],
                    "image": self.spec["image"],
                    "imageID": self.spec["image"],
                    "ready": "running" in state,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        pod = self.kubelet.pod(self.namespace, self.name)
        if pod is None:
            return
        # Others set conditions, too: DisruptionTarget says why a pod is deleted.
        kept = [
            each
            for each in pod["status"].get("conditions", [])
            if each["type"] not in ("Ready", "ContainersReady")
        ]
        ready = [
            {"type": name, "status": is_ready} for name in ("Ready", "ContainersReady")
        ]
        status["conditions"] = kept + ready
        self.kubelet.patch_status(pod, status)

    def _environment(self) -> dict[str, str]:
        variables = dict(self.kubelet.image.environment)
        host, _, port = self.kubelet.plane.url.removeprefix("https://").partition(":")
        variables["KUBERNETES_SERVICE_HOST"] = host
        variables["KUBERNETES_SERVICE_PORT"] = port
        for source in self.spec.get("envFrom", []):
            (kind,) = source
            path = {"configMapRef": "configmaps", "secretRef": "secrets"}[kind]
            variables |= self._texts(path, source[kind]["name"])
        for each in self.spec.get("env", []):
            if "valueFrom" in each:
                place = each["valueFrom"]["fieldRef"]["fieldPath"]
                variables[each["name"]] = {
                    "metadata.name": self.name,
                    "metadata.namespace": self.namespace,
                    "status.podIP": self.address,
                }[place]
            else:
                variables[each["name"]] = each.get("value", "")
        return variables

    def _texts(self, kind: str, name: str) -> dict[str, str]:
        found = self.kubelet.get(f"/api/v1/namespaces/{self.namespace}/{kind}/{name}")
        if found is None:
            raise LookupError(f'{kind.removesuffix("s")} "{name}" not found')
        data: dict[str, str] = found.get("data", {})
        if kind == "secrets":
            return {
                key: base64.b64decode(value).decode() for key, value in data.items()
            }
        return data

    def _sandbox(self) -> Sandbox:
        volumes = {
            volume["name"]: self._volume(volume)
            for volume in self.pod["spec"].get("volumes", [])
        }
        mounts = [
            (
                volumes[mount["name"]],
                mount["mountPath"],
                not mount.get("readOnly", False),
            )
            for mount in self.spec.get("volumeMounts", [])
        ]
        shared = self.kubelet.shared
        mounts.append((shared, str(shared), True))
        is_read_only = self.spec.get("securityContext", {}).get(
            "readOnlyRootFilesystem", False
        )
        security = self.pod["spec"].get("securityContext", {})
        image = self.kubelet.image
        return Sandbox(
            image.folder,
            security.get("runAsUser", image.user),
            is_read_only=is_read_only,
            mounts=mounts,
        )

    def _volume(self, volume: Object) -> Path:
        """Return the folder of a volume."""
        place = self.folder / "volumes" / volume["name"]
        place.mkdir(parents=True, exist_ok=True)
        if "persistentVolumeClaim" in volume:
            return self._claimed(volume["persistentVolumeClaim"]["claimName"])
        if "configMap" in volume:
            texts = self._texts("configmaps", volume["configMap"]["name"])
        elif "projected" in volume:
            texts = self._projected(volume["projected"]["sources"])
        else:
            assert "emptyDir" in volume, volume
            texts = {}
        for name, text in texts.items():
            (place / name).write_text(text)
        return place

    def _claimed(self, name: str) -> Path:
        path = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims/{name}"
        claim = self.kubelet.get(path)
        if claim is None:
            raise LookupError(f'persistentvolumeclaim "{name}" not found')
        volume = self.kubelet.get(
            f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}"
        )
        assert volume is not None
        return Path(volume["spec"]["hostPath"]["path"])

    def _projected(self, sources: list[Object]) -> dict[str, str]:
        """Return the files of a service account: token, certificate and namespace."""
        files = {"namespace": self.namespace}
        for source in sources:
            if "serviceAccountToken" in source:
                wanted = source["serviceAccountToken"]
                account = self.pod["spec"]["serviceAccountName"]
                metadata = self.pod["metadata"]
                owner = {"kind": "Pod", "apiVersion": "v1"}
                owner |= {"name": metadata["name"], "uid": metadata["uid"]}
                answer = self.kubelet.plane.request(
                    "post",
                    f"/api/v1/namespaces/{self.namespace}/serviceaccounts/"
                    f"{account}/token",
                    {
                        "apiVersion": "authentication.k8s.io/v1",
                        "kind": "TokenRequest",
                        "spec": {
                            "expirationSeconds": wanted["expirationSeconds"],
                            "boundObjectRef": owner,
                        },
                    },
                )
                files[wanted["path"]] = answer["status"]["token"]
            elif "configMap" in source:
                texts = self._texts("configmaps", source["configMap"]["name"])
                for item in source["configMap"]["items"]:
                    files[item["path"]] = texts[item["key"]]
        return files


class Kubelet:
    """Runs the pods of some nodes; a context manager.

    Args:
        plane: The control plane.
        image: The image of every container.
        folder: Where pods have their folders.
        shared: A folder that every pod sees at the same path, instead of an object
            store.
        nodes: The nodes.
    """

    def __init__(
        self,
        plane: ControlPlane,
        image: Image,
        folder: Path,
        shared: Path,
        nodes: list[Node],
    ) -> None:
        self.plane = plane
        self.image = image
        self.folder = folder
        self.shared = shared
        self.nodes = nodes
        self.containers: dict[str, Container] = {}
        self._started = 0
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Kubelet:
        """Register the nodes, and watch their pods."""
        for node in self.nodes:
            self.add(node)
        self._do(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        self._is_over.set()
        for container in list(self.containers.values()):
            container.signal(signal.SIGKILL)
        for thread in self._threads[1:]:
            thread.join(30)

    def add(self, node: Node) -> None:
        """Register a node, which is ready at once."""
        labels = {"kubernetes.io/hostname": node.name, **node.labels}
        metadata = {"name": node.name, "labels": labels}
        self.plane.request(
            "post",
            "/api/v1/nodes",
            {"apiVersion": "v1", "kind": "Node", "metadata": metadata},
        )
        resources = {"cpu": node.cpu, "memory": node.memory, "pods": "50"}
        resources["ephemeral-storage"] = "50Gi"
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now()}
        status = {"capacity": resources, "allocatable": resources}
        self.plane.request(
            "patch",
            f"/api/v1/nodes/{node.name}/status",
            {"status": status | {"conditions": [ready]}},
        )
        # The API server has given it a taint, because it was not ready.
        self.plane.request(
            "patch", f"/api/v1/nodes/{node.name}", {"spec": {"taints": node.taints}}
        )

    def cordon(self, name: str, is_unschedulable: bool = True) -> None:
        """Let no further pods onto a node, or let them again."""
        self.plane.request(
            "patch",
            f"/api/v1/nodes/{name}",
            {"spec": {"unschedulable": is_unschedulable}},
        )

    def running(self, **labels: str) -> list[Container]:
        """Return the containers that run, of pods with these labels."""
        return [
            container
            for _, container in sorted(self.containers.items())
            if labels.items() <= container.pod["metadata"]["labels"].items()
            and container.process_id is not None
            and not container.ended.is_set()
        ]

    def first(self, **labels: str) -> Container:
        """Wait until a container runs, of a pod with these labels, and return it."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        while True:
            pod = self.plane.wait_for(
                "/api/v1/pods",
                lambda pod: pod["status"]["phase"] == "Running",
                labelSelector=selector,
            )
            container = self.containers[pod["metadata"]["name"]]
            if not container.ended.is_set():
                return container

    def get(self, path: str) -> Object | None:
        """Return an object, or ``None`` if it does not exist."""
        try:
            return self.plane.request("get", path)
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code == 404:
                return None
            raise

    def pod(self, namespace: str, name: str) -> Object | None:
        """Return a pod."""
        return self.get(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def patch_status(self, pod: Object, status: Object) -> None:
        """Report the status of a pod, unless it is gone."""
        with contextlib.suppress(requests.HTTPError):
            self.plane.request("patch", f"{pod_path(pod)}/status", {"status": status})

    def _watch(self) -> None:
        names = {node.name for node in self.nodes}
        # The watch ends when the control plane does, and is renewed until then.
        while not self._is_over.is_set():
            with contextlib.suppress(requests.RequestException, OSError, ValueError):
                for kind, pod in self.plane.watch("/api/v1/pods", DEADLINE):
                    if self._is_over.is_set():
                        return
                    if pod["spec"].get("nodeName") in names:
                        self._handle(kind, pod)

    def _handle(self, kind: str, pod: Object) -> None:
        name = pod["metadata"]["name"]
        container = self.containers.get(name)
        if kind == "DELETED":
            if container is not None:
                container.is_stopping.set()
                container.signal(signal.SIGKILL)
        elif pod["metadata"].get("deletionTimestamp"):
            if container is None:
                self._remove(pod)
            elif not container.is_stopping.is_set():
                container.is_stopping.set()
                self._do(self._stop, container, pod)
        elif container is None and pod["status"]["phase"] == "Pending":
            self._started += 1
            container = Container(self, pod, self._started)
            self.containers[name] = container
            self._do(container.run)

    def _stop(self, container: Container, pod: Object) -> None:
        container.stop(pod["metadata"]["deletionGracePeriodSeconds"])
        self._remove(pod)

    def _remove(self, pod: Object) -> None:
        """Tell the API server that nothing of the pod runs any more."""
        with contextlib.suppress(requests.HTTPError):
            self.plane.request("delete", pod_path(pod), gracePeriodSeconds=0)

    def _do(self, function: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


def pod_path(pod: Object) -> str:
    """Return the path of a pod in the API."""
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def evict(plane: ControlPlane, pod: Object, seconds: int | None = None) -> None:
    """Evict a pod, as when the node of a spot instance is drained.

    Args:
        plane: The control plane.
        pod: The pod.
        seconds: Another grace period than that of the pod.
    """
    metadata = {name: pod["metadata"][name] for name in ("name", "namespace")}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    if seconds is not None:
        eviction["deleteOptions"] = {"gracePeriodSeconds": seconds}
    plane.request("post", f"{pod_path(pod)}/eviction", eviction)


def now() -> str:
    """Return the time, as the API has it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_volume(folder: Path, claim: str, size: str, mode: str) -> Object:
    """Return a volume, in a folder of this machine, for one claim."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": claim},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": [mode],
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": "churn", "name": claim},
        },
    }
