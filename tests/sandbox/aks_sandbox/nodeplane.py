"""The Kubernetes side of the sandbox: a control plane for each cluster, and the simulated nodes of its pools."""

from __future__ import annotations

import asyncio
import copy
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import aiohttp

from aks_sandbox import autoscaler
from aks_sandbox.apiclient import ApiError, Informer, background
from aks_sandbox.apigateway import ApiGateway
from aks_sandbox.arm.faults import Faults
from aks_sandbox.build import Binaries
from aks_sandbox.controlplane import COMPONENTS, ControlPlane
from aks_sandbox.entra import EntraId
from aks_sandbox.interfaces import CountsChanged, Json, Machine, SandboxError, Settings
from aks_sandbox.kubelet import EventRecorder, Kubelets
from aks_sandbox.logs import KubeletServer, LogStore
from aks_sandbox.nodes import PREEMPTION, ClusterFacts, SimulatedNode, base36
from aks_sandbox.run_command import run, with_token
from aks_sandbox.sizes import node_size

_LOG = logging.getLogger(__name__)
_AUTOSCALER_DELAY_SECONDS = 0.3
_AUTOSCALER_IDLE_CHECKS = 4
_EVICTION_RETRY_SECONDS = 0.5


class NoSuchClusterError(SandboxError):
    """A cluster without a control plane."""


class Cluster:
    """One cluster: control plane, kubelets, pools and their nodes."""

    def __init__(
        self,
        cluster: Json,
        directory: Path,
        settings: Settings,
        binaries: Binaries,
        count_changed: CountsChanged,
        entra: EntraId | None = None,
    ) -> None:
        self.cluster_id = cluster["id"].lower()
        self._cluster = cluster
        self._settings = settings
        self._binaries = binaries
        self._count_changed = count_changed
        self._directory = directory
        parts = cluster["id"].split("/")
        group = parts[4] if len(parts) > 4 else "myResourceGroup"
        name = cluster.get("name") or parts[-1]
        self.control_plane = ControlPlane(name, directory, binaries, f"{group}_{name}", entra)
        self._logs = LogStore()
        self.pools: dict[str, Json] = {}
        self._nodes: dict[str, dict[int, SimulatedNode]] = {}
        self._next_index: dict[str, int] = {}
        self._node_number = 0
        self._idle_since: dict[str, float] = {}
        self._pool_locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._scaling: asyncio.Task[None] | None = None
        self._shrinking: asyncio.Task[None] | None = None
        self._evicting: set[str] = set()
        self._hopeless: set[str] = set()
        self._scaling_wanted = False
        self._leaving: dict[str, asyncio.Event] = {}
        self._gateway: ApiGateway | None = None
        self._gateway_lock = asyncio.Lock()

    async def start(self) -> None:
        await self.control_plane.start()
        plane = self.control_plane
        certificate, key = plane.kubelet_certificate().write(self._directory, "kubelet")
        self._server = KubeletServer(self._logs, certificate, key, self._directory / "ca.pem")
        await self._server.start()
        version = (self._cluster.get("properties") or {}).get(
            "currentKubernetesVersion"
        ) or self._binaries.kubernetes_version
        self.facts = ClusterFacts.of(self._cluster, version, self._server.port)
        self._recorder = EventRecorder(plane.client)
        self._kubelets = Kubelets(plane.client, self._settings, self._logs, self._recorder)
        self._pods = Informer(plane.client, "/api/v1/pods", self._on_pod)
        await self._pods.start()
        self._node_objects = Informer(plane.client, "/api/v1/nodes", self._on_node)
        await self._node_objects.start()
        if self._settings.refuse_writes:
            await plane.refuse_writes(True)

    async def stop(self) -> None:
        for task in (*self._tasks, self._scaling, self._shrinking):
            if task is not None:
                task.cancel()
        if hasattr(self, "_pods"):
            await self._pods.stop()
            await self._node_objects.stop()
            await asyncio.gather(*(node.stop() for node in self.nodes()), return_exceptions=True)
            await self._kubelets.stop()
        if hasattr(self, "_server"):
            await self._server.stop()
        if self._gateway is not None:
            await self._gateway.stop()
        await self.control_plane.stop()

    async def gateway(self, faults: Faults, record: Path) -> str:
        """The URL of the gateway before the API server, which is started when it is first asked for."""
        plane = self.control_plane
        async with self._gateway_lock:
            if self._gateway is None:
                gateway = ApiGateway(plane.server, self._directory, plane.authority, plane.clients, faults, record)
                await gateway.start()
                self._gateway = gateway
        return f"https://localhost:{self._gateway.port}"

    def nodes(self, pool_name: str | None = None) -> list[SimulatedNode]:
        pools = self._nodes if pool_name is None else {pool_name: self._nodes.get(pool_name, {})}
        return [node for nodes in pools.values() for _unused, node in sorted(nodes.items())]

    async def apply_pool(self, pool: Json, count: int) -> None:
        async with self._lock(pool["name"]):
            await self._apply_pool(pool, count)

    async def drain_pool(self, pool_name: str, ignore_budget: bool, timeout: float) -> list[str]:
        names = [node.name for node in self.nodes(pool_name)]
        await asyncio.gather(*(self._cordon(name) for name in names))
        return await self._drain(names, ignore_budget, timeout)

    async def remove_pool(self, pool_name: str) -> None:
        self._leaving.setdefault(pool_name, asyncio.Event()).set()
        async with self._lock(pool_name):
            await asyncio.gather(*(self._remove_node(node) for node in self.nodes(pool_name)))
            self._nodes.pop(pool_name, None)
            self._next_index.pop(pool_name, None)
            self.pools.pop(pool_name, None)
            self._leaving.pop(pool_name, None)

    def machines(self, pool_name: str) -> list[Machine]:
        return [
            Machine(node.name, node.index, node.address, _zone(node.pool, node.index)) for node in self.nodes(pool_name)
        ]

    async def remove_machines(self, pool_name: str, names: list[str]) -> None:
        async with self._lock(pool_name):
            leaving = [node for node in self.nodes(pool_name) if node.name in names]
            await asyncio.gather(*(self._remove_node(node) for node in leaving))

    async def settings_changed(self, names: set[str]) -> None:
        if "refuse_writes" in names:
            await self.control_plane.refuse_writes(self._settings.refuse_writes)
        self._kubelets.settings_changed(names)
        for node in self.nodes():
            node.poke()
        if "spot_evictions" in names:
            self._evict_spot()
        if any(name.startswith("autoscaler") for name in names):
            if self._shrinking is not None:
                self._shrinking.cancel()
                await asyncio.gather(self._shrinking, return_exceptions=True)
            self._consider_scaling()

    # Nodes

    def _lock(self, pool_name: str) -> asyncio.Lock:
        return self._pool_locks.setdefault(pool_name, asyncio.Lock())

    async def _apply_pool(self, pool: Json, count: int) -> None:
        name = pool["name"]
        self.pools[name] = pool
        nodes = self._nodes.setdefault(name, {})
        await asyncio.gather(*(node.update_pool(pool) for node in nodes.values()))
        surplus = sorted(nodes)[count:] if count < len(nodes) else []
        if surplus:
            leaving = [nodes[index] for index in surplus]
            names = [node.name for node in leaving]
            await asyncio.gather(*(self._cordon(each) for each in names))
            await self._drain(names, False, self._settings.drain_timeout_seconds)
            await asyncio.gather(*(self._remove_node(node) for node in leaving))
        missing = count - len(nodes)
        if missing > 0:
            await asyncio.sleep(self._settings.node_join_seconds)
        fresh = [node for node in nodes.values() if not node.started]
        fresh += [self._new_node(pool) for _unused in range(missing)]
        if fresh:
            await asyncio.gather(*(self._join(node) for node in fresh))
        await self._ready_or_leaving(name)
        self._consider_scaling()

    async def _ready_or_leaving(self, pool_name: str) -> None:
        """Wait until all nodes of the pool are Ready, or somebody wants the pool away."""
        waits = [node.ready.wait() for node in self.nodes(pool_name)]
        ready: asyncio.Future[Any] = asyncio.gather(*waits)
        leaving: asyncio.Future[Any] = asyncio.ensure_future(
            self._leaving.setdefault(pool_name, asyncio.Event()).wait()
        )
        try:
            await asyncio.wait({ready, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (ready, leaving):
                each.cancel()
            await asyncio.gather(ready, leaving, return_exceptions=True)

    def _new_node(self, pool: Json) -> SimulatedNode:
        name = pool["name"]
        index = self._next_index.get(name, 0)
        self._next_index[name] = index + 1
        self._node_number += 1
        hostname = f"aks-{name}-{self.facts.number}-vmss{base36(index, 6)}"
        node = SimulatedNode(
            hostname, index, self._node_number, pool, self.facts, self.control_plane.client, self._settings,
            self._recorder.record,
        )  # fmt: skip
        self._nodes[name][index] = node
        self._kubelets.nodes[hostname] = node
        return node

    async def _join(self, node: SimulatedNode) -> None:
        if node.matches(self._settings.node_faults) == "never_joins":
            while node.matches(self._settings.node_faults) == "never_joins":
                await node.change(node.generation)
        await node.start()
        self._kubelets.adopt(list(self._pods.objects.values()), node)
        self._evict_spot()

    async def _remove_node(self, node: SimulatedNode) -> None:
        """Delete the Node object and, as AKS's cloud controller and the Pod garbage collector do, the Pods on it.

        Once begun it goes on, also when whoever asked is cancelled.
        """
        await asyncio.shield(self._delete_node(node))

    async def _delete_node(self, node: SimulatedNode) -> None:
        client = self.control_plane.client
        await node.stop()
        self._nodes.get(node.pool["name"], {}).pop(node.index, None)
        self._idle_since.pop(node.name, None)
        await client.delete(f"/api/v1/nodes/{node.name}")
        self._kubelets.nodes.pop(node.name, None)
        force = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        for pod in self._pods_on(node.name):
            metadata = pod["metadata"]
            await client.delete(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", force)

    def _pods_on(self, node_name: str) -> list[Json]:
        return [pod for pod in self._pods.objects.values() if pod["spec"].get("nodeName") == node_name]

    def _cordoned(self) -> set[str]:
        """Nodes that take no new Pods."""
        return {
            node["metadata"]["name"]
            for node in self._node_objects.objects.values()
            if node.get("spec", {}).get("unschedulable")
        }

    async def _cordon(self, node_name: str) -> None:
        try:
            await self.control_plane.client.patch(f"/api/v1/nodes/{node_name}", {"spec": {"unschedulable": True}})
        except ApiError as error:
            if error.status != 404:
                raise

    async def _drain(self, names: list[str], ignore_budget: bool, timeout: float) -> list[str]:
        """Evict what is on the nodes, but for DaemonSets and mirror Pods. Returns who blocks, and why."""
        deadline = time.monotonic() + timeout
        while True:
            pods = [pod for name in names for pod in self._pods_on(name) if _drainable(pod)]
            if not pods:
                return []
            blocked = await asyncio.gather(*(self._evict(pod, ignore_budget) for pod in pods))
            if time.monotonic() >= deadline:
                return [reason for reason in blocked if reason]
            await asyncio.sleep(_EVICTION_RETRY_SECONDS)

    async def _evict(self, pod: Json, ignore_budget: bool) -> str | None:
        """Ask for one Pod to go. Returns why it may not."""
        metadata = pod["metadata"]
        where = f"{metadata['namespace']}/{metadata['name']}"
        if "deletionTimestamp" in metadata:
            return f"{where}: still terminating"
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        client = self.control_plane.client
        if ignore_budget:
            await client.delete(path)
            return f"{where}: still terminating"
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        }
        try:
            await client.create(f"{path}/eviction", eviction)
        except ApiError as error:
            if error.status == 404:
                return None
            if error.status in (429, 500):
                return f"{where}: {error.message}"
            raise
        return f"{where}: still terminating"

    # Pods, autoscaler, Spot

    async def _on_node(self, kind: str, body: Json) -> None:
        """A node that the node controller gave up says that it is there, as a kubelet does, if KWOK keeps it alive."""
        node = self._kubelets.nodes.get(body["metadata"]["name"])
        given_up = any(
            condition["type"] == "Ready" and condition.get("reason") == "NodeStatusUnknown"
            for condition in body.get("status", {}).get("conditions", ())
        )
        if node is not None and kind != "DELETED" and given_up and "kwok" in self.control_plane.pids():
            node.post_again()

    async def _on_pod(self, kind: str, pod: Json) -> None:
        await self._kubelets.handle(kind, pod)
        phase = pod.get("status", {}).get("phase")
        moves = kind == "DELETED" or phase in ("Succeeded", "Failed") or autoscaler.wants_nodes(pod)
        if moves and any(_scaled(pool) for pool in self.pools.values()):
            self._consider_scaling()

    def _consider_scaling(self) -> None:
        if not self._settings.autoscaler:
            return
        self._scaling_wanted = True
        if self._scaling is None or self._scaling.done():
            self._scaling = background(self._scale(), f"autoscaler {self.cluster_id}")

    async def _scale(self) -> None:
        while self._scaling_wanted:
            await asyncio.sleep(_AUTOSCALER_DELAY_SECONDS)
            self._scaling_wanted = False
            await self._scale_once()

    async def _scale_once(self) -> None:
        if self._settings.autoscaler_stops_without_gpus and any(
            node.size.nvidia and not any(node.manager.allocatable(0).values()) for node in self.nodes()
        ):
            return
        await self._tell_hopeless()
        scaled = [pool for pool in self.pools.values() if _scaled(pool)]
        scaled.sort(key=lambda pool: (node_size(pool["properties"]["vmSize"]).gpu_devices, pool["name"]))
        helped: set[str] = set()
        for pool in scaled:
            try:
                await self._scale_up(pool, helped)
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                _LOG.warning("autoscaler of %s: %s", self.cluster_id, error)
        if self._shrinking is None or self._shrinking.done():
            self._shrinking = background(self._shrink(), f"autoscaler {self.cluster_id} idle nodes")

    async def _tell_hopeless(self) -> None:
        """Pods that no pool's nodes would take are told so, once."""
        scaled = [pool for pool in self.pools.values() if _scaled(pool)]
        for pod in self._pods.objects.values():
            metadata = pod["metadata"]
            if metadata["uid"] in self._hopeless or not autoscaler.wants_nodes(pod):
                continue
            if not any(autoscaler.fits_pool(pod, pool, self.facts) for pool in scaled):
                self._hopeless.add(metadata["uid"])
                await self._recorder.record(
                    _reference(pod),
                    "Normal",
                    "NotTriggerScaleUp",
                    "pod didn't trigger scale-up: no node group's nodes would take it",
                    "cluster-autoscaler",
                )

    async def _scale_up(self, pool: Json, helped: set[str]) -> None:
        """Add nodes for waiting Pods that no other pool has `helped` yet."""
        name, properties = pool["name"], pool["properties"]
        current = len(self._nodes.get(name, {}))
        waiting = [
            pod for pod in self._pods.objects.values()
            if pod["metadata"]["uid"] not in helped
            and autoscaler.wants_nodes(pod)
            and autoscaler.fits_pool(pod, pool, self.facts)
        ]  # fmt: skip
        # Nodes that have just come, or still wait for their device plugin, will take their share; cordoned ones won't.
        # No witness: a recording; the upstream autoscaler leaves unschedulable nodes out.
        cordoned = self._cordoned()
        upcoming = [
            node for node in self.nodes(name)
            if node.name not in cordoned and not any(_drainable(pod) for pod in self._pods_on(node.name))
        ]  # fmt: skip
        wanted = current + autoscaler.nodes_needed(waiting, pool) - len(upcoming)
        wanted = max(
            min(wanted, int(properties.get("maxCount") or current)), current, int(properties.get("minCount") or 0)
        )
        if wanted > current or upcoming:
            helped.update(pod["metadata"]["uid"] for pod in waiting)
        if wanted == current:
            return
        scale_set = f"aks-{name}-{self.facts.number}-vmss"
        for pod in waiting:
            reference = _reference(pod)
            await self._recorder.record(
                reference, "Normal", "TriggeredScaleUp",
                f"pod triggered scale-up: [{{{scale_set} {current}->{wanted} (max: {properties.get('maxCount')})}}]",
                "cluster-autoscaler",
            )  # fmt: skip
        await self._count_changed(self.cluster_id, name, wanted)
        async with self._lock(name):
            if self.pools.get(name) is pool:
                await self._apply_pool(pool, wanted)

    async def _shrink(self) -> None:
        """Remove nodes that were idle long enough; ends when no pool can shrink."""
        while True:
            interval = max(0.2, self._settings.autoscaler_idle_seconds / _AUTOSCALER_IDLE_CHECKS)
            await asyncio.sleep(interval)
            candidates = [
                pool for name, pool in self.pools.items()
                if _scaled(pool)
                and len(self._nodes.get(name, {})) > int(pool["properties"].get("minCount") or 0)
            ]  # fmt: skip
            if not candidates or not self._settings.autoscaler:
                return
            for pool in candidates:
                try:
                    await self._shrink_pool(pool)
                except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                    _LOG.warning("autoscaler of %s: %s", self.cluster_id, error)

    async def _shrink_pool(self, pool: Json) -> None:
        name, now = pool["name"], time.monotonic()
        lowest = int(pool["properties"].get("minCount") or 0)
        async with self._lock(name):
            nodes = self.nodes(name)
            for node in nodes:
                if any(_drainable(pod) for pod in self._pods_on(node.name)):
                    self._idle_since.pop(node.name, None)
                else:
                    self._idle_since.setdefault(node.name, now)
            idle = [
                node for node in nodes
                if now - self._idle_since.get(node.name, now) >= self._settings.autoscaler_idle_seconds
            ]  # fmt: skip
            leaving = idle[: len(nodes) - lowest]
            for node in leaving:
                await self._cordon(node.name)
                await self._remove_node(node)
        if leaving:
            await self._count_changed(self.cluster_id, name, len(nodes) - len(leaving))

    def _evict_spot(self) -> None:
        for node in self.nodes():
            spot = str(node.pool["properties"].get("scaleSetPriority", "")).lower() == "spot"
            if spot and node.matches(self._settings.spot_evictions) and node.name not in self._evicting:
                self._evicting.add(node.name)
                task = background(self._take_away(node), f"spot eviction {node.name}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _take_away(self, node: SimulatedNode) -> None:
        """Azure takes a Spot machine: notice, then the node is gone with its Pods."""
        try:
            node.preempted = True
            node.poke()
            await self._recorder.record(
                node.reference, "Warning", "PreemptScheduled", PREEMPTION, "custom-sysctl-monitor"
            )
            await asyncio.sleep(self._settings.spot_notice_seconds)
            name = node.pool["name"]
            async with self._lock(name):
                if node.index not in self._nodes.get(name, {}):
                    return
                await self._remove_node(node)
                left = len(self._nodes.get(name, {}))
            await self._count_changed(self.cluster_id, name, left)
            self._consider_scaling()
        finally:
            self._evicting.discard(node.name)


class KubernetesNodePlane:
    """`interfaces.NodePlane` on real control planes.

    Args:
        settings: shared with Resource Manager.
        state_directory: the sandbox's; `clusters/<name>` below it holds each cluster's data and logs.
        binaries: from `build.binaries`.
    """

    def __init__(self, settings: Settings, state_directory: Path, binaries: Binaries) -> None:
        self._settings = settings
        self._directory = state_directory / "clusters"
        self._binaries = binaries
        self._clusters: dict[str, Cluster] = {}
        self._starting: dict[str, asyncio.Lock] = {}
        self._listeners: list[CountsChanged] = []
        self.entra: EntraId | None = None
        """Whose tokens the API servers of clusters that are still to come accept."""
        self.faults = Faults()
        """Those that a test plants, for the gateways of API servers."""

    def cluster(self, cluster_id: str) -> Cluster:
        """The running cluster, for tests and tools that need its parts.

        Raises:
            NoSuchClusterError: there is none.
        """
        try:
            return self._clusters[cluster_id.lower()]
        except KeyError:
            raise NoSuchClusterError(f"{cluster_id} has no control plane") from None

    def clusters(self) -> list[Cluster]:
        return list(self._clusters.values())

    async def create_cluster(self, cluster: Json) -> None:
        cluster_id = cluster["id"].lower()
        async with self._starting.setdefault(cluster_id, asyncio.Lock()):
            if cluster_id in self._clusters:
                return
            name = cluster.get("name") or cluster_id.split("/")[-1]
            directory = self._directory / name
            number = 2
            while directory.exists():
                directory = self._directory / f"{name}-{number}"
                number += 1
            directory.mkdir(parents=True, mode=0o700)
            started = Cluster(cluster, directory, self._settings, self._binaries, self._tell, self.entra)
            try:
                await started.start()
            except BaseException:
                await started.stop()
                raise
            self._clusters[cluster_id] = started

    async def delete_cluster(self, cluster_id: str) -> None:
        cluster = self._clusters.pop(cluster_id.lower(), None)
        if cluster is not None:
            await cluster.stop()
            await asyncio.to_thread(shutil.rmtree, cluster.control_plane.directory, True)

    async def apply_pool(self, cluster_id: str, pool: Json, count: int) -> None:
        await self.cluster(cluster_id).apply_pool(copy.deepcopy(pool), count)

    async def drain_pool(
        self, cluster_id: str, pool_name: str, ignore_pod_disruption_budget: bool, timeout: float
    ) -> list[str]:
        return await self.cluster(cluster_id).drain_pool(pool_name, ignore_pod_disruption_budget, timeout)

    async def remove_pool(self, cluster_id: str, pool_name: str) -> None:
        await self.cluster(cluster_id).remove_pool(pool_name)

    async def kubeconfig(self, cluster_id: str, *, admin: bool, direct: bool = False) -> str:
        cluster = self.cluster(cluster_id)
        server = None
        if self._settings.api_server_gateway and not direct:
            server = await cluster.gateway(self.faults, self._directory.parent / "kubernetes.jsonl")
        return cluster.control_plane.kubeconfig(admin=admin, server=server)

    async def run_command(self, cluster_id: str, command: str, files: bytes, token: str | None) -> tuple[int, bytes]:
        text = self.cluster(cluster_id).control_plane.kubeconfig(admin=True)
        return await run(command, files, with_token(text, token) if token else text, self._binaries.directory)

    async def node_counts(self, cluster_id: str) -> dict[str, int]:
        cluster = self.cluster(cluster_id)
        return {name: len(cluster.nodes(name)) for name in cluster.pools}

    async def machines(self, cluster_id: str, pool_name: str) -> list[Machine]:
        return self.cluster(cluster_id).machines(pool_name)

    async def remove_machines(self, cluster_id: str, pool_name: str, names: list[str]) -> None:
        await self.cluster(cluster_id).remove_machines(pool_name, names)

    async def component(self, cluster_id: str, name: str, what: str, seconds: float = 0.0) -> None:
        control_plane = self.cluster(cluster_id).control_plane
        if name not in COMPONENTS:
            raise SandboxError(f"There is no component {name}: {', '.join(COMPONENTS)}")
        if what == "kill":
            await control_plane.kill_component(name)
        elif what == "restart":
            await control_plane.restart_component(name)
            if name == "kwok":
                for node in self.cluster(cluster_id).nodes():
                    node.post_again()
        elif what == "pause":
            await control_plane.pause_component(name, seconds)
        else:
            raise SandboxError(f"A component can be killed, restarted, paused; not {what}")

    async def settings_changed(self, names: set[str]) -> None:
        await asyncio.gather(*(cluster.settings_changed(names) for cluster in self._clusters.values()))

    def on_count_changed(self, callback: CountsChanged) -> None:
        self._listeners.append(callback)

    async def close(self) -> None:
        clusters, self._clusters = list(self._clusters.values()), {}
        await asyncio.gather(*(cluster.stop() for cluster in clusters))

    async def _tell(self, cluster_id: str, pool_name: str, count: int) -> None:
        for listener in self._listeners:
            await listener(cluster_id, pool_name, count)


def _scaled(pool: Json) -> bool:
    """Does the cluster autoscaler look after the pool? Not after one that is stopped.

    Witness: Microsoft's page on starting and stopping node pools. No witness: that it starts no node there by itself.
    """
    properties = pool["properties"]
    return bool(properties.get("enableAutoScaling")) and (properties.get("powerState") or {}).get("code") != "Stopped"


def _zone(pool: Json, index: int) -> str | None:
    """The availability zone of a pool's instance."""
    zones = pool["properties"].get("availabilityZones") or []
    return str(zones[index % len(zones)]) if zones else None


def _reference(pod: Json) -> Json:
    """A Pod as the object of an Event."""
    metadata = pod["metadata"]
    return {"kind": "Pod", "apiVersion": "v1", **{key: metadata[key] for key in ("namespace", "name", "uid")}}


def _drainable(pod: Json) -> bool:
    """Does a drain have to move this Pod?"""
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return False
    metadata = pod["metadata"]
    if "kubernetes.io/config.mirror" in (metadata.get("annotations") or {}):
        return False
    return all(owner["kind"] != "DaemonSet" for owner in metadata.get("ownerReferences", ()))
