"""A real Kubernetes control plane on loopback, from scripts/install_control_plane.sh.

etcd, the API server, controllers and the scheduler are processes of this machine. There
are no nodes: `tests.kubernetes.kubelet` has a stand-in.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.cluster.standalone import free_port

HOME = Path.home() / ".cache" / "churn" / "kubernetes-1.36.3"
# Seconds in which something that was asked for must have happened, on a busy machine.
DEADLINE = 600
# Those that act on the objects of deploy/kubernetes. Others would miss real nodes.
CONTROLLERS = (
    *("cronjob-controller", "deployment-controller", "disruption-controller"),
    *("garbage-collector-controller", "job-controller", "namespace-controller"),
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    *("replicaset-controller", "root-ca-certificate-publisher-controller"),
    "serviceaccount-controller",
)
# Logs who does what, for the test of rights.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:churn"]},
        {"level": "None"},
    ],
}


def programs() -> Path:
    """Return the folder of the programs that were built."""
    return Path(os.environ.get("CONTROL_PLANE_HOME", HOME))


@dataclass
class ControlPlane:
    """The control plane; a context manager that starts and stops it.

    Args:
        folder: Where its files are.
        schedules: Whether the scheduler and the controllers run.
    """

    folder: Path
    schedules: bool = True
    port: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        """Return the file of the certificate authority."""
        return self.folder / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """Return the file with the address and the administrator's token."""
        return self.folder / "kubeconfig"

    @cached_property
    def session(self) -> requests.Session:
        """Return a session of the administrator, which waits until the server is up."""
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.token}"
        session.verify = str(self.ca)
        # Environment variables could name a proxy or other certificates.
        session.trust_env = False
        retry = Retry(
            total=400, backoff_factor=0.1, backoff_max=0.5, status_forcelist=(500, 503)
        )
        session.mount(self.url, HTTPAdapter(max_retries=retry))
        return session

    def __enter__(self) -> ControlPlane:
        """Start the programs, and wait until the API server is ready."""
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the programs, the last one first."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def request(
        self, verb: str, path: str, body: Any = None, **parameters: Any
    ) -> dict[str, Any]:
        """Send a request to the API server and return its answer.

        Args:
            verb: The method of HTTP. ``patch`` sends a merge patch.
            path: Path of the resource, such as ``/api/v1/namespaces/churn/pods``.
            body: The object.
            parameters: Parameters of the query.

        Raises:
            requests.HTTPError: The server refused; the message has its sentence.
        """
        kind = "merge-patch+json" if verb == "patch" else "json"
        answer = self.session.request(
            verb,
            self.url + path,
            data=None if body is None else json.dumps(body),
            params=parameters,
            headers={"Content-Type": f"application/{kind}"},
            timeout=DEADLINE,
        )
        if not answer.ok:
            message = f"{verb} {path}: {answer.status_code}: {answer.text}"
            raise requests.HTTPError(message, response=answer)
        return answer.json()

    def watch(
        self, path: str, seconds: int = DEADLINE, **parameters: Any
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the objects of a list, and each change, until the seconds are over.

        Args:
            path: Path of the list.
            seconds: How long to watch.
            parameters: Parameters of the query, such as ``fieldSelector``.
        """
        parameters |= {"watch": 1, "timeoutSeconds": seconds}
        with self.session.get(
            self.url + path, params=parameters, stream=True, timeout=(10, seconds + 30)
        ) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                event = json.loads(line)
                yield event["type"], event["object"]

    def wait_for(
        self, path: str, condition: Any, seconds: int = DEADLINE, **parameters: Any
    ) -> dict[str, Any]:
        """Return the first object of a list that meets a condition.

        Raises:
            TimeoutError: There was none in that time.
        """
        last = None
        for kind, last in self.watch(path, seconds, **parameters):
            if kind != "DELETED" and condition(last):
                return last
        raise TimeoutError(f"{path}: after {seconds} s: {json.dumps(last)[:3000]}")

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator."""
        finished = subprocess.run(
            [programs() / "kubectl", "--kubeconfig", self.kubeconfig, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.defpath, "HOME": str(self.folder)},
        )
        if check and finished.returncode:
            raise RuntimeError(f"{arguments}: {finished.stderr}")
        return finished

    def apply(self, objects: list[dict[str, Any]]) -> None:
        """Create or change objects."""
        text = yaml.safe_dump_all(objects)
        self.kubectl("apply", "--server-side", "--filename=-", stdin=text)

    def start(self, program: str, *options: str) -> None:
        """Start one of the programs; its output goes to a file."""
        with (self.folder / f"{program}.log").open("wb") as log:
            process = subprocess.Popen(
                [programs() / program, *options],
                cwd=self.folder,
                env={"PATH": os.defpath, "HOME": str(self.folder)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)

    def _start_all(self) -> None:
        self._write_files()
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.start(
            "etcd",
            "--data-dir=etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # The data need not survive a crash of the machine.
            "--unsafe-no-fsync",
        )
        self.start(
            "kube-apiserver",
            f"--etcd-servers={client}",
            "--bind-address=127.0.0.1",
            # There is one server, so nobody needs a list of them.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=accounts.key",
            "--service-account-signing-key-file=accounts.key",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC",
            "--audit-policy-file=audit.yaml",
            "--audit-log-path=audit.log",
        )
        assert self.session.get(f"{self.url}/readyz", timeout=DEADLINE).ok
        if not self.schedules:
            return
        common = (f"--kubeconfig={self.kubeconfig}", "--leader-elect=false")
        common += ("--bind-address=127.0.0.1",)
        self.start(
            "kube-controller-manager",
            *common,
            f"--controllers={','.join(CONTROLLERS)}",
            f"--root-ca-file={self.ca}",
            f"--secure-port={free_port()}",
        )
        self.start("kube-scheduler", *common, f"--secure-port={free_port()}")

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        server = authority.issue_cert("127.0.0.1", "kubernetes.default.svc")
        server.cert_chain_pems[0].write_to_path(self.folder / "server.crt")
        server.private_key_pem.write_to_path(self.folder / "server.key")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        (self.folder / "accounts.key").write_bytes(pem)
        rows = f'{self.token},administrator,1,"system:masters"\n'
        (self.folder / "tokens.csv").write_text(rows)
        (self.folder / "audit.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
        cluster = {"server": self.url, "certificate-authority": str(self.ca)}
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "administrator", "user": {"token": self.token}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": "administrator"},
                }
            ],
            "current-context": "test",
        }
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig))
