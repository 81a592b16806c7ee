"""One Kubernetes control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK, as processes.

etcd listens on a Unix socket, the API server on one loopback port, the others nowhere. Each process ends as soon as its
standard input does, and this process holds the other end: however it dies, nothing is left.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from aks_sandbox.apiclient import ApiClient, ApiError
from aks_sandbox.build import Binaries
from aks_sandbox.certificates import Authority, KeyPair, signing_key, write_private
from aks_sandbox.entra import EntraId
from aks_sandbox.interfaces import SandboxError

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
KUBELET_HOST = "localhost"
"""The name under which the API server reaches the simulated kubelets."""

USER_GROUP = "aks:cluster-users"
ADMIN_GROUP = "aks:cluster-admins"
SERVICE_CIDR = "10.0.0.0/16"

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_POLICIES = Path(__file__).resolve().parent / "policies"
_LOG_TAIL = 2000


class ControlPlaneError(SandboxError):
    """A component ended or did not become ready; the message has the end of its log."""


@dataclass
class _Process:
    arguments: list[str]
    process: asyncio.subprocess.Process | None = None


class ControlPlane:
    """Starts, watches over and stops one cluster's control plane.

    Args:
        name: the cluster's name, as it appears in kubeconfigs.
        directory: empty directory for data, keys and logs; made 0700.
        binaries: what `build.binaries` returned.
        user: name of the kubeconfig's user without its prefix, as AKS builds it: `resourceGroup_cluster`.
        entra: whose tokens it accepts besides certificates.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        binaries: Binaries,
        user: str | None = None,
        entra: EntraId | None = None,
    ) -> None:
        self.name = name
        self.user = user or name
        self.entra = entra
        self.directory = directory
        self._binaries = binaries
        self.authority = Authority(f"{name}-ca")
        self._components: dict[str, _Process] = {}
        self._reservation: socket.socket | None = None
        self.port = 0
        self._client: ApiClient | None = None

    @property
    def server(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def client(self) -> ApiClient:
        """The sandbox's own client, member of system:masters."""
        if self._client is None:
            raise ControlPlaneError(f"The control plane of {self.name} is not running")
        return self._client

    @property
    def audit_log(self) -> Path:
        """What was written and by whom, one JSON event a line (audit.k8s.io/v1)."""
        return self.directory / "audit.jsonl"

    async def start(self) -> None:
        """Start everything. Returns when the API server answers and has the sandbox's roles and policies.

        Raises:
            ControlPlaneError: a component ended or was not ready in a minute.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._reserve_port()
        self._write_files()
        self._describe_components()
        await self._spawn("etcd")
        await self._until(self._socket_exists, "etcd")
        await self._spawn("kube-apiserver")
        self._client = ApiClient(
            self.server, self._file("ca.pem"), self._file("sandbox.pem"), self._file("sandbox-key.pem")
        )
        await self._until(self._ready, "kube-apiserver")
        await self._apply_policies()
        for name in ("kube-controller-manager", "kube-scheduler", "kwok"):
            await self._spawn(name)

    async def stop(self) -> None:
        """End all processes and close the client. Data and logs stay in the directory."""
        if self._client is not None:
            await self._client.close()
            self._client = None
        await asyncio.gather(*(self._end(name) for name in reversed(COMPONENTS)))
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    async def kill_component(self, name: str) -> None:
        """SIGKILL, for tests of what happens without it. A component that is down stays down."""
        component = self._components[name].process
        if component is not None and component.returncode is None:
            component.kill()
            await component.wait()

    async def restart_component(self, name: str) -> None:
        """Kill if need be and start again, on the same port with the same data. The API server is awaited."""
        await self.kill_component(name)
        await self._spawn(name)
        if name in ("kube-apiserver", "etcd"):
            await self._until(self._ready, name)

    async def pause_component(self, name: str, seconds: float) -> None:
        """Stop a component's process for a while, so that it is slow rather than gone."""
        component = self._components[name].process
        if component is None or component.returncode is not None:
            return
        component.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                component.send_signal(signal.SIGCONT)

    def pids(self) -> dict[str, int]:
        """Process ids of what runs."""
        return {
            name: component.process.pid
            for name, component in self._components.items()
            if component.process is not None and component.process.returncode is None
        }

    @property
    def clients(self) -> dict[str, KeyPair]:
        """The client certificates of the kubeconfigs, by their group."""
        return {USER_GROUP: self._user, ADMIN_GROUP: self._admin}

    def kubeconfig(self, *, admin: bool, server: str | None = None) -> str:
        """A kubeconfig (YAML) as AKS hands it out: of a cluster user, or of the cluster's administrator.

        Args:
            server: what stands before the API server; by default nothing does.
        """
        name = ("clusterAdmin_" if admin else "clusterUser_") + self.user
        context = self.name + ("-admin" if admin else "")
        pair = self._admin if admin else self._user
        return _kubeconfig(
            server or self.server, self.authority.certificate, pair, cluster=self.name, user=name, context=context
        )

    async def refuse_writes(self, refuse: bool) -> None:
        """Switch the policy that denies users every write that is no dry run; returns when it is in effect."""
        binding = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/sandbox-refuse-writes"
        if refuse:
            body = yaml.safe_load((_POLICIES / "refuse-writes-binding.yaml").read_text())
            await self.client.apply(binding, body)
        else:
            await self.client.delete(binding)
        probe = {"metadata": {"name": "sandbox-probe"}, "data": {}}
        deadline = time.monotonic() + 10
        while True:
            try:
                await self.client.request(
                    "POST", "/api/v1/namespaces/kube-system/configmaps", probe, query={"dryRun": "All"},
                    headers={"Impersonate-User": "sandbox-probe", "Impersonate-Group": ADMIN_GROUP},
                )  # fmt: skip
                refused = False
            except ApiError as error:
                if error.status not in (403, 422):
                    raise
                refused = True
            if refused == refuse:
                return
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"{self.name}: the policy that refuses writes did not take effect in 10 s")
            await asyncio.sleep(0.05)

    def kubelet_certificate(self) -> KeyPair:
        """What the simulated kubelets serve with."""
        return self.authority.server(KUBELET_HOST)

    def _reserve_port(self) -> None:
        """Keep the API server's port bound: the API server shares it (SO_REUSEPORT), nobody else gets it."""
        reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation.bind(("127.0.0.1", 0))
        self._reservation = reservation
        self.port = reservation.getsockname()[1]

    def _file(self, name: str) -> Path:
        return self.directory / name

    def _write_files(self) -> None:
        ca = self.authority
        self._file("ca.pem").write_text(ca.certificate)
        write_private(self._file("ca-key.pem"), ca.key)
        names = ("localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.0.0.1")
        ca.server("kube-apiserver", names).write(self.directory, "apiserver")
        ca.client("kube-apiserver-kubelet-client", ["system:masters"]).write(self.directory, "kubelet-client")
        ca.client("aks-sandbox", ["system:masters"]).write(self.directory, "sandbox")
        if self.entra is not None:
            self._file("authentication.json").write_text(self.entra.authentication())
        private, public = signing_key()
        write_private(self._file("service-account-key.pem"), private)
        self._file("service-account.pem").write_text(public)
        self._user = ca.client("masterclient", [USER_GROUP])
        self._admin = ca.client("masterclient", [ADMIN_GROUP])
        for name, user, groups in (
            ("kube-controller-manager", "system:kube-controller-manager", ()),
            ("kube-scheduler", "system:kube-scheduler", ()),
            ("kwok", "system:kwok", ("system:masters",)),
        ):
            pair = ca.client(user, groups)
            write_private(
                self._file(f"{name}.kubeconfig"),
                _kubeconfig(self.server, ca.certificate, pair, cluster=self.name, user=user, context=self.name),
            )

    def _describe_components(self) -> None:
        etcd = "unix://etcd.sock:0"
        peer = "unix://peer.sock:0"
        private = str(self._file("service-account-key.pem"))
        ca, ca_key = str(self._file("ca.pem")), str(self._file("ca-key.pem"))
        arguments = {
            "etcd": [
                f"--name={self.name}",
                f"--data-dir={self._file('etcd')}",
                "--unsafe-no-fsync",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster={self.name}={peer}",
                "--log-level=warn",
            ],
            "kube-apiserver": [
                f"--etcd-servers={etcd}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.port}",
                "--permit-port-sharing=true",
                # No loopback address is allowed here, and nobody uses it: there are no endpoints of the service.
                "--advertise-address=10.224.0.254",
                "--endpoint-reconciler-type=none",
                f"--tls-cert-file={self._file('apiserver.pem')}",
                f"--tls-private-key-file={self._file('apiserver-key.pem')}",
                f"--client-ca-file={ca}",
                "--anonymous-auth=false",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={self._file('service-account.pem')}",
                f"--service-account-signing-key-file={private}",
                f"--service-cluster-ip-range={SERVICE_CIDR}",
                f"--kubelet-client-certificate={self._file('kubelet-client.pem')}",
                f"--kubelet-client-key={self._file('kubelet-client-key.pem')}",
                f"--kubelet-certificate-authority={ca}",
                "--kubelet-preferred-address-types=InternalDNS",
                f"--audit-policy-file={_POLICIES / 'audit.yaml'}",
                f"--audit-log-path={self.audit_log}",
                "--profiling=false",
                "--v=1",
            ],
            "kube-controller-manager": [
                f"--kubeconfig={self._file('kube-controller-manager.kubeconfig')}",
                "--secure-port=0",
                "--leader-elect=false",
                f"--service-account-private-key-file={private}",
                f"--root-ca-file={ca}",
                f"--cluster-signing-cert-file={ca}",
                f"--cluster-signing-key-file={ca_key}",
                "--use-service-account-credentials=true",
                "--kube-api-qps=100",
                "--kube-api-burst=200",
                "--profiling=false",
                "--v=1",
            ],
            "kube-scheduler": [
                f"--kubeconfig={self._file('kube-scheduler.kubeconfig')}",
                "--secure-port=0",
                "--leader-elect=false",
                "--profiling=false",
                "--v=1",
            ],
            "kwok": [
                f"--kubeconfig={self._file('kwok.kubeconfig')}",
                f"--config={_POLICIES.parent / 'kwok.yaml'}",
                f"--config={_POLICIES.parent / 'kwok-stages.yaml'}",
            ],
        }
        if self.entra is not None:
            arguments["kube-apiserver"].append(f"--authentication-config={self._file('authentication.json')}")
        self._components = {name: _Process(arguments[name]) for name in COMPONENTS}

    async def _spawn(self, name: str) -> None:
        component = self._components[name]
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.directory),
            "AKS_SANDBOX_LIFELINE": "stdin",
            "GOMAXPROCS": str(os.cpu_count() or 2),
        }
        with self._file(f"{name}.log").open("ab") as log:
            component.process = await asyncio.create_subprocess_exec(
                self._binaries.path(name), *component.arguments,
                cwd=self.directory, env=environment, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    async def _end(self, name: str) -> None:
        component = self._components.get(name)
        if component is None or component.process is None or component.process.returncode is not None:
            return
        process = component.process
        process.kill()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            raise ControlPlaneError(f"{name} of {self.name} (process {process.pid}) does not end") from None

    async def _until(self, ready: Any, name: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not await ready():
            process = self._components[name].process
            if process is not None and process.returncode is not None:
                raise ControlPlaneError(
                    f"{name} of {self.name} ended with {process.returncode}:\n{self._log_tail(name)}"
                )
            if time.monotonic() > deadline:
                raise ControlPlaneError(
                    f"{name} of {self.name} was not ready in {_START_SECONDS:.0f} s:\n{self._log_tail(name)}"
                )
            await asyncio.sleep(0.03)

    async def _socket_exists(self) -> bool:
        return self._file("etcd.sock:0").exists()

    async def _ready(self) -> bool:
        try:
            await self.client.get("/readyz")
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError):
            return False
        return True

    async def _apply_policies(self) -> None:
        administrators = {
            group.replace(":", "-"): [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]
            for group in (USER_GROUP, ADMIN_GROUP)
        }
        if self.entra is not None and self.entra.administrators:
            administrators["aks-cluster-admin-binding-aad"] = self.entra.subjects()
        for name, subjects in administrators.items():
            await self.client.apply(
                f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}",
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRoleBinding",
                    "metadata": {"name": name},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": "cluster-admin",
                    },
                    "subjects": subjects,
                },
            )
        for path in sorted(_POLICIES.glob("admission-*.yaml")):
            body = yaml.safe_load(path.read_text())
            bindings = body["kind"].endswith("Binding")
            plural = "validatingadmissionpolicybindings" if bindings else "validatingadmissionpolicies"
            await self.client.apply(f"/apis/{body['apiVersion']}/{plural}/{body['metadata']['name']}", body)

    def _log_tail(self, name: str) -> str:
        try:
            return self._file(f"{name}.log").read_text(errors="replace")[-_LOG_TAIL:]
        except FileNotFoundError:
            return ""


def _kubeconfig(server: str, authority: str, pair: KeyPair, *, cluster: str, user: str, context: str) -> str:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": cluster, "cluster": {"certificate-authority-data": encoded(authority), "server": server}}
            ],
            "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
            "current-context": context,
            "preferences": {},
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": encoded(pair.certificate),
                        "client-key-data": encoded(pair.key),
                    },
                }
            ],
        },
        sort_keys=False,
    )
