"""One real control plane with simulated nodes for all tests of the Kubernetes side, read back with kubectl."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from aks_sandbox import build
from aks_sandbox.interfaces import Settings
from aks_sandbox.nodeplane import Cluster, KubernetesNodePlane

T = TypeVar("T")
Json = dict[str, Any]

CLUSTER_ID = (
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/myResourceGroup/providers/"
    "Microsoft.ContainerService/managedClusters/myAKSCluster"
)


class Kubernetes:
    """A node plane on an event loop of its own, and kubectl as its user."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.binaries = build.binaries(print)
        self.settings = Settings(node_join_seconds=0.1, node_ready_seconds=0.5, mig_reboot_seconds=0.5)
        self.plane = KubernetesNodePlane(self.settings, directory, self.binaries)
        self.counts: list[tuple[str, int]] = []
        self.plane.on_count_changed(self._counted)
        started = time.monotonic()
        self.run(self.plane.create_cluster({"id": CLUSTER_ID, "name": "myAKSCluster", "location": "westus2"}))
        self.start_seconds = time.monotonic() - started
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(self.run(self.plane.kubeconfig(CLUSTER_ID, admin=False)))
        self.apply_pool("nodepool1", "Standard_D4s_v5", mode="System")

    async def _counted(self, cluster_id: str, pool: str, count: int) -> None:
        self.counts.append((pool, count))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    @property
    def cluster(self) -> Cluster:
        return self.plane.cluster(CLUSTER_ID)

    def apply_pool(self, name: str, size: str, count: int = 1, headers: Json | None = None, **properties: Any) -> None:
        pool = {"name": name, "properties": {"vmSize": size, "mode": "User", **properties}, "headers": headers or {}}
        self.run(self.plane.apply_pool(CLUSTER_ID, pool, count))

    def remove_pool(self, name: str) -> None:
        self.run(self.plane.remove_pool(CLUSTER_ID, name))

    def set(self, **values: Any) -> None:
        async def change() -> None:
            await self.plane.settings_changed(self.settings.update(values))

        self.run(change())

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            [self.binaries.path("kubectl"), f"--kubeconfig={self.kubeconfig}", *words],
            input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stderr
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *documents: Json) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def get(self, *words: str) -> Json:
        return dict(json.loads(self.kubectl("get", *words, "-o", "json")))

    def node(self, pool: str) -> Json:
        return dict(self.get("nodes", "-l", f"agentpool={pool}")["items"][0])

    def gpus(self, pool: str, resource: str = "nvidia.com/gpu") -> tuple[str | None, str | None]:
        """Capacity and allocatable of the pool's first node."""
        status = self.node(pool)["status"]
        return status["capacity"].get(resource), status["allocatable"].get(resource)

    def until(self, probe: Callable[[], Any], expected: Any, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while (found := probe()) != expected:
            assert time.monotonic() < deadline, f"{found!r} is not {expected!r} after {seconds} s"
            time.sleep(0.1)

    def close(self) -> None:
        self.run(self.plane.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def kubernetes_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    kubernetes = Kubernetes(tmp_path_factory.mktemp("sandbox"))
    try:
        yield kubernetes
    finally:
        kubernetes.close()


@pytest.fixture
def kubernetes(kubernetes_session: Kubernetes) -> Iterator[Kubernetes]:
    """The shared control plane; a test's settings, pools and namespaced objects are undone after it."""
    before = kubernetes_session.settings.as_json()
    yield kubernetes_session
    kubernetes_session.set(**before)
    kubernetes_session.counts.clear()
    kubernetes_session.kubectl(
        "delete", "jobs,daemonsets,deployments,pods,configmaps,poddisruptionbudgets",
        "--all", "-n", "default", "--wait=false", "--ignore-not-found",
    )  # fmt: skip
    for pool in list(kubernetes_session.cluster.pools):
        if pool != "nodepool1":
            kubernetes_session.remove_pool(pool)
    kubernetes_session.until(lambda: kubernetes_session.get("pods")["items"], [], 20)


def plugin(image: str = "nvcr.io/nvidia/k8s-device-plugin:v0.18.0", **container: Any) -> Json:
    """A device plugin's DaemonSet on all GPU nodes."""
    labels = {"name": "nvidia-device-plugin-ds"}
    volumes = container.pop("volumes", [])
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "nvidia-device-plugin", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "tolerations": [{"operator": "Exists"}],
                    "nodeSelector": {"kubernetes.azure.com/accelerator": "nvidia"},
                    "containers": [{"name": "plugin", "image": image, **container}],
                    "volumes": volumes,
                },
            },
        },
    }


def job(image: str, *arguments: str, gpus: int = 0, name: str = "work", policy: str = "Never", **spec: Any) -> Json:
    """A Job of one container."""
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            **spec,
            "template": {
                "spec": {
                    "restartPolicy": policy,
                    "tolerations": [{"key": "sku", "operator": "Exists"}],
                    "containers": [
                        {"name": "main", "image": image, "args": list(arguments), "resources": {"limits": limits}}
                    ],
                }
            },
        },
    }
