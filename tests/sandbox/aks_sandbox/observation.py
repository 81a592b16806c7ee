"""What a monitoring agent in a cluster sees: nodes with their GPUs, and containers that asked for some."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .gpus import GPU, Device, PoolGpus, devices, extended_resources
from .sizes import node_size

if TYPE_CHECKING:
    from .interfaces import Json
    from .nodeplane import Cluster

EXPORTER = "dcgm-exporter"
TRAINING = ("mnist", "train")


@dataclass(frozen=True)
class SeenNode:
    """A node; `capacity` and `allocatable` count nvidia.com/gpu, None: it has no such key."""

    name: str
    pool: str
    capacity: int | None
    allocatable: int | None
    devices: tuple[Device, ...] = ()
    managed: bool = False
    """AKS runs the DCGM exporter on it, as a service of the node."""


@dataclass(frozen=True)
class SeenContainer:
    """A container of a Pod that was scheduled and has not ended."""

    namespace: str
    pod: str
    pod_uid: str
    name: str
    node: str
    requests: int = 0
    limits: int = 0
    devices: tuple[Device, ...] = ()
    """Those that it computes on; none while it doesn't run."""
    running: bool = False
    trains: bool = False
    """Its program keeps the GPU busy."""
    exporter: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    """Of its Pod."""


@dataclass(frozen=True)
class Observation:
    """One look at a cluster."""

    nodes: tuple[SeenNode, ...] = ()
    containers: tuple[SeenContainer, ...] = ()


def of_cluster(cluster: Cluster) -> Observation:
    """A look at a cluster with a real control plane."""
    now = time.monotonic()
    nodes: list[SeenNode] = []
    containers: list[SeenContainer] = []
    for node in cluster.nodes():
        grace = cluster._settings.capacity_grace_seconds
        capacity = node.manager.capacity(now, grace).get(GPU)
        allocatable = node.manager.allocatable(node.unhealthy_gpus()).get(GPU)
        present = devices(node.gpus, node.name, strategy=node.mig_strategy)[: node.visible_devices()]
        nodes.append(
            SeenNode(node.name, node.pool["name"], capacity, allocatable, tuple(present), managed=node.gpus.managed)
        )
        for worker in cluster._kubelets.on_node(node.name):
            pod = worker._pod
            if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                continue
            for container in worker._containers:
                running = "running" in container.state
                containers.append(
                    _container(pod, container.spec, node.name, container.devices if running else (), running)
                )
    return Observation(tuple(nodes), tuple(containers))


def _container(pod: Json, spec: Json, node: str, devices_in_use: tuple[Device, ...], running: bool) -> SeenContainer:
    metadata = pod["metadata"]
    resources = spec.get("resources") or {}
    limits = extended_resources([{"resources": {"limits": resources.get("limits")}}]).get(GPU, 0)
    requests = extended_resources([{"resources": {"limits": resources.get("requests")}}]).get(GPU, 0)
    words = " ".join([spec.get("image", ""), *spec.get("command", ()), *spec.get("args", ())]).lower()
    return SeenContainer(
        namespace=metadata["namespace"],
        pod=metadata["name"],
        pod_uid=metadata["uid"],
        name=spec["name"],
        node=node,
        requests=requests or limits,
        limits=limits,
        devices=devices_in_use if limits else (),
        running=running,
        trains=any(word in words for word in TRAINING),
        exporter=EXPORTER in spec.get("image", ""),
        labels=tuple(sorted((metadata.get("labels") or {}).items())),
    )


def without_kubernetes(number: int, pools: dict[str, tuple[Json, int]], pods: list[Json]) -> Observation:
    """What would be seen in a cluster whose nodes are only counted.

    Args:
        number: Of the cluster; names of nodes follow from it.
        pools: Agent pool and count of nodes, by name.
        pods: {pool, name, namespace, container, gpus, trains}: one container each, on the pool's first nodes in turn.
    """
    nodes: list[SeenNode] = []
    by_pool: dict[str, list[SeenNode]] = {}
    for name, (pool, count) in pools.items():
        gpus = PoolGpus.of(node_size(pool["properties"]["vmSize"]), pool)
        for index in range(count):
            hostname = f"aks-{name}-{number:08d}-vmss{index:06d}"
            present = tuple(devices(gpus, hostname))
            offered = len(present) if gpus.driver and present else None
            seen = SeenNode(hostname, name, offered, offered, present, managed=gpus.managed)
            nodes.append(seen)
            by_pool.setdefault(name, []).append(seen)
    containers = []
    for index, pod in enumerate(pods):
        places = by_pool.get(pod["pool"])
        if not places:
            continue
        node = places[index % len(places)]
        count = int(pod.get("gpus", 1))
        containers.append(
            SeenContainer(
                str(pod.get("namespace", "default")),
                pod["name"],
                str(uuid.uuid5(uuid.NAMESPACE_URL, f"{number}/{pod['name']}")),
                str(pod.get("container", pod["name"])),
                node.name,
                count,
                count,
                node.devices[:count],
                running=True,
                trains=bool(pod.get("trains", True)),
            )
        )
    return Observation(tuple(nodes), tuple(containers))
