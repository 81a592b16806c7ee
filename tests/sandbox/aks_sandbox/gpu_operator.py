"""NVIDIA's GPU Operator and node feature discovery, as a cluster shows them: labels, DaemonSets, statuses, locks.

Witness: the chart and the controllers of github.com/NVIDIA/gpu-operator at v26.7.0 (deployments/gpu-operator,
controllers/, assets/, cmd/). No recording of a cluster was seen: how long things take is the sandbox's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import posixpath
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from aks_sandbox.apiclient import ApiClient, ApiError
from aks_sandbox.interfaces import Json
from aks_sandbox.nodes import timestamp

LEASE = "53822513.nvidia.com"
"""`LeaderElectionID` of cmd/gpu-operator/main.go; durations are controller-runtime's defaults."""

LEASE_SECONDS = 15
RENEW_SECONDS = 2.0
LOOK_SECONDS = 0.4
PCI_LABELS = tuple(f"feature.node.kubernetes.io/pci-{each}10de.present" for each in ("", "0302_", "0300_"))
NFD_PREFIX = "feature.node.kubernetes.io/"
OPERANDS_LABEL = "nvidia.com/gpu.deploy.operands"
FINALIZER = "gpucluster.nvidia.com/dra-resourceclaim"
"""controllers/gpucluster_controller.go"""

STATES = (
    "driver",
    "gpu-feature-discovery",
    "container-toolkit",
    "device-plugin",
    "dcgm",
    "dcgm-exporter",
    "node-status-exporter",
    "operator-validator",
    "client",
)
"""`gpuStateLabels` of controllers/state_manager.go, for containers."""

POLICIES = "/apis/nvidia.com/v1/clusterpolicies"
CLUSTERS = "/apis/nvidia.com/v1alpha1/gpuclusters"


@dataclass(frozen=True)
class Place:
    """Where a program runs.

    Attributes:
        client: Speaks with the cluster's API server.
        namespace: Of its Pod.
        pod: Name of its Pod.
        uid: Of its Pod.
        node: Name of its node.
        nvidia: Whether that node has a PCI device of NVIDIA.
    """

    client: ApiClient
    namespace: str
    pod: str
    uid: str
    node: str
    nvidia: bool


Program = Callable[[Place], Awaitable[None]]


def program(container: Json) -> Program | None:
    """What a container runs, None when it is none of the operator's."""
    image = str(container.get("image", ""))
    if not any(part in image for part in ("gpu-operator", "node-feature-discovery")):
        return None
    words = [*container.get("command", ()), *container.get("args", ())]
    name = posixpath.basename(words[0]) if words else ""
    if name == "nfd-master" and "-prune" in words:
        return _prune
    if name == "cleanup-gpuclusters":
        return lambda place: _clean_up(place, words[words.index("--gpucluster-name") + 1])
    return {"gpu-operator": _operate, "nfd-worker": _discover}.get(name)


async def _discover(place: Place) -> None:
    """nfd-worker: tells the node's features; here it labels the node as well, which is nfd-master's work."""
    labels = {f"{NFD_PREFIX}kernel-version.full": "5.15.0-1102-azure", f"{NFD_PREFIX}system-os_release.ID": "ubuntu"}
    if place.nvidia:
        labels[PCI_LABELS[0]] = "true"
    feature = {
        "apiVersion": "nfd.k8s-sigs.io/v1alpha1",
        "kind": "NodeFeature",
        "metadata": {
            "name": place.node,
            "labels": {"nfd.node.kubernetes.io/node-name": place.node},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": place.pod, "uid": place.uid}],
        },
        "spec": {"labels": labels},
    }
    await _until_done(
        lambda: place.client.apply(
            f"/apis/nfd.k8s-sigs.io/v1alpha1/namespaces/{place.namespace}/nodefeatures/{place.node}", feature
        )
    )
    await _until_done(lambda: _label(place.client, place.node, labels))
    await asyncio.Event().wait()


async def _prune(place: Place) -> None:
    """nfd-master -prune: takes the labels of node feature discovery from all nodes."""
    for node in (await place.client.get("/api/v1/nodes"))["items"]:
        labels = dict.fromkeys(name for name in node["metadata"].get("labels", {}) if name.startswith(NFD_PREFIX))
        if labels:
            await _label(place.client, node["metadata"]["name"], labels)


async def _clean_up(place: Place, name: str) -> None:
    """cleanup-gpuclusters: deletes the chart's GPUCluster and waits until it is gone."""
    path = f"{CLUSTERS}/{name}"
    while (await place.client.find(path)) is not None:
        await place.client.delete(path)
        await asyncio.sleep(LOOK_SECONDS)


async def _operate(place: Place) -> None:
    """gpu-operator: holds its Lease, labels GPU nodes, makes the operands of a ClusterPolicy, says how it stands."""
    holder = f"{place.pod}_{uuid.UUID(int=random.getrandbits(128), version=4)}"
    await _until_done(lambda: _lead(place, holder))
    renewed = time.monotonic()
    while True:
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
            if time.monotonic() - renewed >= RENEW_SECONDS:
                await _hold(place, holder)
                renewed = time.monotonic()
            await _reconcile(place)
        await asyncio.sleep(LOOK_SECONDS)


async def _lead(place: Place, holder: str) -> None:
    """Waits until nobody else holds the Lease; it isn't given back at the end, as without ReleaseOnCancel."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases/{LEASE}"
    before = await place.client.find(path)
    pods = await place.client.get(f"/api/v1/namespaces/{place.namespace}/pods")
    names = {pod["metadata"]["name"] for pod in pods["items"]} - {place.pod}
    while before is not None and before["spec"].get("holderIdentity", "").rpartition("_")[0] in names:
        await asyncio.sleep(LEASE_SECONDS)
        now = await place.client.find(path)
        if now is None or now["spec"].get("renewTime") == before["spec"].get("renewTime"):
            break
        before = now
    await _hold(place, holder)


async def _hold(place: Place, holder: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    }
    await place.client.apply(f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases/{LEASE}", body)


async def _reconcile(place: Place) -> None:
    policies = sorted((await _all(place.client, POLICIES)), key=lambda each: each["metadata"]["creationTimestamp"])
    clusters = await _all(place.client, CLUSTERS)
    for cluster in clusters:
        await _reconcile_cluster(place, cluster, policies)
    if not policies:
        return
    policy, *ignored = policies
    for each in ignored:
        await _status(place, each, "ignored")
    if clusters:
        text = f'conflicting GPUCluster resource "{clusters[0]["metadata"]["name"]}" detected; ClusterPolicy and '
        await _status(place, policy, "notReady", "ReconcileFailed", text + "GPUCluster cannot co-exist")
        return
    nodes = (await place.client.get("/api/v1/nodes"))["items"]
    gpu_nodes = [node for node in nodes if any(_labels(node).get(label) == "true" for label in PCI_LABELS)]
    for node in gpu_nodes:
        await _label_gpu_node(place.client, node)
    if not any(name.startswith(NFD_PREFIX) for node in nodes for name in _labels(node)):
        await _status(place, policy, "ready", "NFDLabelsMissing", "No NFD labels found")
        return
    if not gpu_nodes:
        text = "No GPU node found, watching for new nodes to join the cluster."
        await _status(place, policy, "ready", "NoGPUNodes", text)
        return
    waiting = []
    for name, body in _operands(place.namespace, policy).items():
        made = await place.client.apply(f"/apis/apps/v1/namespaces/{place.namespace}/daemonsets/{name}", body)
        status = made.get("status") or {}
        if status.get("numberReady", 0) < max(1, status.get("desiredNumberScheduled", 0)):
            waiting.append(f"state-{name.removeprefix('nvidia-').removesuffix('-daemonset')}")
    if waiting:
        text = f"ClusterPolicy is not ready; states not ready: [{' '.join(waiting)}]"
        await _status(place, policy, "notReady", "OperandNotReady", text)
        return
    text = "ClusterPolicy is ready as all resources have been successfully reconciled"
    await _status(place, policy, "ready", "Reconciled", text)


async def _reconcile_cluster(place: Place, cluster: Json, policies: list[Json]) -> None:
    metadata = cluster["metadata"]
    path = f"{CLUSTERS}/{metadata['name']}"
    if "deletionTimestamp" in metadata:
        await place.client.patch(path, {"metadata": {"finalizers": None}})
        return
    if FINALIZER not in metadata.get("finalizers", ()):
        await place.client.patch(path, {"metadata": {"finalizers": [FINALIZER]}})
    if policies:
        text = f'A ClusterPolicy CR "{policies[0]["metadata"]["name"]}" exists; '
        text += "a ClusterPolicy CR and GPUCluster CR may not exist at the same time"
        await _status(place, cluster, "notReady", "PrerequisiteNotMet", text, CLUSTERS)
        return
    await _status(place, cluster, "ready", "Reconciled", "All resources have been successfully reconciled", CLUSTERS)


def _operands(namespace: str, policy: Json) -> dict[str, Json]:
    """The DaemonSets of assets/, without what no one here looks at."""
    spec = policy["spec"]
    registry = spec.get("registry", "nvcr.io")
    plugin = f"{registry}/nvidia/k8s-device-plugin:{spec['devicePlugin']['version']}"
    operator = f"{registry}/nvidia/gpu-operator:{spec['validator']['version']}"
    images = {
        "nvidia-driver-daemonset": ("driver", f"{registry}/nvidia/driver:{spec['driver']['version']}", []),
        "nvidia-container-toolkit-daemonset": (
            "container-toolkit", f"{registry}/nvidia/k8s/container-toolkit:{spec['toolkit']['version']}", []),
        "nvidia-operator-validator": ("operator-validator", operator, ["sleep", "infinity"]),
        "nvidia-device-plugin-daemonset": ("device-plugin", plugin, []),
        "gpu-feature-discovery": ("gpu-feature-discovery", plugin, ["gpu-feature-discovery"]),
        "nvidia-dcgm-exporter": (
            "dcgm-exporter", f"{registry}/nvidia/k8s/dcgm-exporter:{spec['dcgmExporter']['version']}", []),
    }  # fmt: skip
    owner = {
        "apiVersion": "nvidia.com/v1",
        "kind": "ClusterPolicy",
        "name": policy["metadata"]["name"],
        "uid": policy["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    tolerations = (spec.get("daemonsets") or {}).get("tolerations") or []
    found: dict[str, Json] = {}
    for name, (state, image, command) in images.items():
        folder = {"name": "device-plugin", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}
        mount = {"name": "device-plugin", "mountPath": "/var/lib/kubelet/device-plugins"}
        plugs = state == "device-plugin"
        found[name] = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": name, "labels": {"app": name}, "ownerReferences": [owner]},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name, "app.kubernetes.io/managed-by": "gpu-operator"}},
                    "spec": {
                        "nodeSelector": {f"nvidia.com/gpu.deploy.{state}": "true"},
                        "tolerations": tolerations,
                        "priorityClassName": "system-node-critical",
                        "containers": [
                            {
                                "name": name,
                                "image": image,
                                "command": command,
                                "securityContext": {"privileged": True},
                                "volumeMounts": [mount] if plugs else [],
                            }
                        ],
                        "volumes": [folder] if plugs else [],
                    },
                },
            },
        }
    return found


async def _label_gpu_node(client: ApiClient, node: Json) -> None:
    """As `addGPUStateLabels`: a state that somebody has switched off stays so; without operands there are no states."""
    labels = _labels(node)
    wanted: dict[str, Any] = {"nvidia.com/gpu.present": "true"}
    for state in STATES:
        name = f"nvidia.com/gpu.deploy.{state}"
        if labels.get(OPERANDS_LABEL) == "false":
            if name in labels:
                wanted[name] = None
        elif name not in labels:
            wanted[name] = "true"
    if any(labels.get(name) != value for name, value in wanted.items()):
        await _label(client, node["metadata"]["name"], wanted)


async def _status(
    place: Place, found: Json, state: str, reason: str = "", message: str = "", collection: str = POLICIES
) -> None:
    """Write a status as internal/conditions and `SetStatus` do, if it is another one."""
    good = state == "ready"
    conditions = [
        {"type": "Ready", "status": "True" if good else "False", "reason": reason if good else "Error",
         "message": message if good else ""},
        {"type": "Error", "status": "False" if good else "True", "reason": "Ready" if good else reason,
         "message": "" if good else message},
    ] if reason else []  # fmt: skip
    now = found.get("status") or {}
    known = [{key: value for key, value in each.items() if key != "lastTransitionTime"}
             for each in now.get("conditions", ())]  # fmt: skip
    if now.get("state") == state and known == conditions:
        return
    stamped = [{**each, "lastTransitionTime": timestamp()} for each in conditions]
    status = {"state": state, "namespace": place.namespace, "conditions": stamped}
    await place.client.patch(f"{collection}/{found['metadata']['name']}/status", {"status": status})


async def _all(client: ApiClient, path: str) -> list[Json]:
    found = await client.find(path)
    return list(found["items"]) if found else []


def _labels(node: Json) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


async def _label(client: ApiClient, node: str, labels: dict[str, Any]) -> None:
    await client.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}})


async def _until_done(call: Callable[[], Awaitable[Any]]) -> None:
    """A start that is tried again while the API server, or a kind, is not there yet."""
    while True:
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
            await call()
            return
        await asyncio.sleep(LOOK_SECONDS)
