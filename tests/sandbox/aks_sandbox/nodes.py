"""One simulated node: its Node object, its conditions, and the GPUs it shows.

Labels, names and conditions are AKS's (learn.microsoft.com/azure/aks: "Reserved labels", "Node Problem Detector").
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from aks_sandbox.apiclient import STRATEGIC, ApiClient, ApiError, background
from aks_sandbox.gpus import Device, DeviceManager, PluginConfig, PoolGpus, advertised, devices
from aks_sandbox.interfaces import Json, Settings, matching
from aks_sandbox.sizes import VmSize, node_size

_NO_NETWORK = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin "
    "returns error: cni plugin not initialized"
)
_PROBLEMS = {
    "KernelDeadlock": ("KernelHasNoDeadlock", "kernel has no deadlock"),
    "ReadonlyFilesystem": ("FilesystemIsNotReadOnly", "Filesystem is not read-only"),
    "ContainerRuntimeProblem": ("ContainerRuntimeIsUp", "container runtime service is up"),
    "KubeletProblem": ("KubeletIsUp", "kubelet service is up"),
    "VMEventScheduled": ("NoVMEventScheduled", "VM has no scheduled event"),
}
_GPU_PROBLEMS = {
    "GPUMissing": ("NoGPUMissing", "All GPUs are present"),
    "XIDErrors": ("NoXIDErrors", "No GPU XID errors"),
    "NVLinkStatusInactive": ("NVLinkStatusActive", "NVLink is active"),
    "IBLinkFlapping": ("NoIBLinkFlapping", "InfiniBand links are stable"),
    "GPUClockThrottling": ("NoGPUClockThrottling", "GPU clocks are not throttled"),
    "NVIDIAGRIDStatusInvalid": ("NVIDIAGRIDStatusValid", "GRID licence is valid"),
}
_MANAGED_PROBLEMS = {
    "UnhealthyNvidiaDevicePlugin": ("HealthyNvidiaDevicePlugin", "NVIDIA device plugin is healthy"),
    "UnhealthyNvidiaDCGMServices": ("HealthyNvidiaDCGMServices", "NVIDIA DCGM services are healthy"),
}
PREEMPTION = "Preempt Scheduled: Spot VM will be evicted"
_BUILT_IN = "built-in"
_RETRY_SECONDS = 0.2
_GONE_SECONDS = 2.0


def timestamp(when: float | None = None) -> str:
    """RFC 3339 with seconds, as Kubernetes writes it."""
    moment = datetime.datetime.fromtimestamp(time.time() if when is None else when, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def base36(number: int, width: int) -> str:
    """`number` in base 36, as scale sets number their instances."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits.rjust(width, "0")


@dataclass(frozen=True)
class ClusterFacts:
    """What every node of a cluster has in common."""

    cluster_id: str
    name: str
    location: str
    node_resource_group: str
    kubernetes_version: str
    kubelet_port: int

    @classmethod
    def of(cls, cluster: Json, kubernetes_version: str, kubelet_port: int) -> ClusterFacts:
        identifier = cluster["id"]
        parts = identifier.split("/")
        group = parts[4] if len(parts) > 4 else "myResourceGroup"
        name = cluster.get("name") or parts[-1]
        location = cluster.get("location", "westus2")
        properties = cluster.get("properties") or {}
        return cls(
            identifier.lower(),
            name,
            location,
            properties.get("nodeResourceGroup") or f"MC_{group}_{name}_{location}",
            kubernetes_version,
            kubelet_port,
        )

    @property
    def subscription(self) -> str:
        parts = self.cluster_id.split("/")
        return parts[2] if len(parts) > 2 else "00000000-0000-0000-0000-000000000000"

    @property
    def number(self) -> str:
        """The eight digits in node names."""
        return f"{int(hashlib.sha256(self.cluster_id.encode()).hexdigest(), 16) % 10**8:08d}"


def node_labels(facts: ClusterFacts, pool: Json, hostname: str, index: int) -> dict[str, str]:
    """The labels that AKS and the pool put on a node."""
    properties = pool["properties"]
    size = node_size(properties["vmSize"])
    name = pool["name"]
    system = properties.get("osType", "Linux").lower()
    gpus = PoolGpus.of(size, pool)
    zones = properties.get("availabilityZones") or []
    zone = f"{facts.location}-{zones[index % len(zones)]}" if zones else "0"
    labels = {
        "agentpool": name,
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/instance-type": size.name,
        "beta.kubernetes.io/os": system,
        "failure-domain.beta.kubernetes.io/region": facts.location,
        "failure-domain.beta.kubernetes.io/zone": zone,
        "kubernetes.azure.com/agentpool": name,
        "kubernetes.azure.com/cluster": facts.node_resource_group,
        "kubernetes.azure.com/mode": properties.get("mode", "User").lower(),
        "kubernetes.azure.com/node-image-version": node_image_version(pool),
        "kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets",
        "kubernetes.azure.com/os-sku": properties.get("osSKU") or "Ubuntu",
        "kubernetes.azure.com/role": "agent",
        "kubernetes.azure.com/storageprofile": "managed",
        "kubernetes.azure.com/storagetier": "Premium_LRS",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": hostname,
        "kubernetes.io/os": system,
        "kubernetes.io/role": "agent",
        "node.kubernetes.io/instance-type": size.name,
        "storageprofile": "managed",
        "storagetier": "Premium_LRS",
        "topology.disk.csi.azure.com/zone": "",
        "topology.kubernetes.io/region": facts.location,
        "topology.kubernetes.io/zone": zone,
    }
    if size.nvidia:
        labels |= {"accelerator": "nvidia", "kubernetes.azure.com/accelerator": "nvidia"}
    if gpus.managed:
        labels["kubernetes.azure.com/dcgm-exporter"] = "enabled"
    if str(properties.get("scaleSetPriority", "")).lower() == "spot":
        labels["kubernetes.azure.com/scalesetpriority"] = "spot"
    labels.update(properties.get("nodeLabels") or {})
    return labels


def node_taints(pool: Json) -> list[Json]:
    """The taints of a pool, Spot's own included, as Kubernetes writes them."""
    properties = pool["properties"]
    texts = list(properties.get("nodeTaints") or [])
    if str(properties.get("scaleSetPriority", "")).lower() == "spot":
        spot = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
        texts += [] if spot in texts else [spot]
    taints = []
    for text in texts:
        pair, _unused, effect = text.rpartition(":")
        key, separator, value = pair.partition("=")
        taints.append({"key": key, "effect": effect, **({"value": value} if separator else {})})
    return taints


def taint_text(taint: Json) -> str:
    return f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"


def node_image_version(pool: Json) -> str:
    properties = pool["properties"]
    if properties.get("nodeImageVersion"):
        return str(properties["nodeImageVersion"])
    size = node_size(properties["vmSize"])
    return "AKSUbuntu-2204gen2gpucontainerd-202611.02.0" if size.nvidia else "AKSUbuntu-2204gen2containerd-202611.02.0"


def node_annotations(labels: dict[str, str], pool: Json) -> dict[str, str]:
    """Notes for KWOK and for the admission policy: what the pool owns on its node."""
    return {
        "kwok.x-k8s.io/node": "fake",
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        "sandbox.aks/labels": ",".join(sorted({*labels, *(pool["properties"].get("nodeLabels") or {})})),
        "sandbox.aks/taints": ",".join(sorted(taint_text(taint) for taint in node_taints(pool))),
    }


def base_resources(size: VmSize, pool: Json) -> tuple[dict[str, str], dict[str, str]]:
    """Capacity and allocatable without GPUs."""
    properties = pool["properties"]
    pods = str(properties.get("maxPods") or 110)
    disk = int(properties.get("osDiskSizeGB") or 128)
    memory = int(size.memory_gib * 1024 * 1024 * 0.98)
    capacity = {
        "cpu": str(size.vcpus),
        "memory": f"{memory}Ki",
        "ephemeral-storage": f"{disk * 1024 * 1000}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": pods,
    }
    reserved = 60 + 20 * min(size.vcpus, 8) + 10 * max(0, size.vcpus - 8)
    allocatable = {
        **capacity,
        "cpu": f"{size.vcpus * 1000 - reserved}m",
        "memory": f"{memory - min(memory // 4, 100 * 1024 + 20 * 1024 * int(pods))}Ki",
        "ephemeral-storage": str(int(disk * 1024 * 1000 * 1024 * 0.9)),
    }
    return capacity, allocatable


@dataclass(eq=False)
class SimulatedNode:
    """A node's machine, kubelet and device manager. `changed` is poked whenever anything might look different."""

    name: str
    index: int
    number: int
    """Unique in the cluster; addresses follow from it."""
    pool: Json
    facts: ClusterFacts
    client: ApiClient
    settings: Settings
    record: Callable[[Json, str, str, str], Awaitable[None]]
    """Writes an Event: object, type, reason, message."""

    manager: DeviceManager = field(default_factory=DeviceManager)
    driver_pods: set[str] = field(default_factory=set)
    mps_pods: set[str] = field(default_factory=set)
    pulled: set[str] = field(default_factory=set)
    mig_strategy: str = "none"
    uid: str = ""

    def __post_init__(self) -> None:
        self.size = node_size(self.pool["properties"]["vmSize"])
        self.gpus = PoolGpus.of(self.size, self.pool)
        self.created = time.monotonic()
        self.ready_since: float | None = None
        self.ready = asyncio.Event()
        self.preempted = False
        self.generation = 0
        self._pokes: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        self._posted: Json = {}
        self._transitions: dict[str, tuple[str, str]] = {}
        self._driver_was_found = False
        self._boot = ""
        self._assigned: dict[str, list[int]] = {}
        self._addresses = 0

    @property
    def reference(self) -> Json:
        """The node as the object of an Event."""
        return {"kind": "Node", "apiVersion": "v1", "name": self.name, "uid": self.name}

    @property
    def address(self) -> str:
        return f"10.224.{self.number // 250}.{4 + self.number % 250}"

    def pod_address(self) -> str:
        self._addresses += 1
        return f"10.244.{self.number % 250}.{2 + self._addresses % 250}"

    def matches(self, patterns: Any) -> Any:
        """The value of the pattern that matches this node (True for a list of patterns)."""
        if isinstance(patterns, list):
            patterns = dict.fromkeys(patterns, True)
        return matching(patterns, self.name, f"{self.facts.name}/{self.name}")

    # GPUs

    def driver_found(self) -> bool:
        """Does a program on this node find NVML now?"""
        if not self.size.nvidia or not (self.gpus.driver or self.driver_pods):
            return False
        since = self.ready_since
        return since is not None and time.monotonic() >= since + self.settings.driver_late_seconds

    def plugin_finds_driver(self) -> bool:
        return self.driver_found() and not self.settings.wrong_strategy

    def visible_gpus(self) -> int:
        return max(0, self.size.gpu_devices - int(self.matches(self.settings.gpus_missing) or 0))

    def unhealthy_gpus(self) -> int:
        return int(self.matches(self.settings.unhealthy_gpus) or 0)

    def offer(self, source: str, config: PluginConfig | None) -> list[str]:
        """A plugin advertises by its configuration; None: it is gone. Returns the names of the resources."""
        offered = None if config is None else advertised(config, self.gpus, self.visible_gpus())
        if config is not None:
            self.mig_strategy = config.mig_strategy
        if self.manager.offers(source) != offered:
            self.manager.offer(source, offered, time.monotonic())
            self.poke()
        return list(offered or ())

    def assign(self, pod: str, count: int) -> list[Device]:
        """Devices for a Pod: the least used ones, so that whole GPUs are never given twice."""
        present = devices(self.gpus, self.name, strategy=self.mig_strategy)[: self.visible_devices()]
        if not present or not count:
            return []
        use = [0] * len(present)
        for indexes in self._assigned.values():
            for index in indexes:
                use[index % len(use)] += 1
        chosen = sorted(range(len(present)), key=lambda index: (use[index], index))[:count]
        self._assigned.setdefault(pod, []).extend(chosen)
        return [present[index] for index in sorted(chosen)]

    def visible_devices(self) -> int:
        total = len(devices(self.gpus, self.name, strategy=self.mig_strategy))
        return total * self.visible_gpus() // self.size.gpu_devices if self.size.gpu_devices else 0

    def release(self, pod: str) -> None:
        self._assigned.pop(pod, None)
        self.manager.release(pod)

    # Life

    def poke(self) -> None:
        """Have the node look at itself again, and whoever waits for a change."""
        self.generation += 1
        for event in list(self._pokes):
            event.set()

    def post_again(self) -> None:
        """Somebody else wrote this node's status: write it anew, unless it is lost."""
        if self.matches(self.settings.node_faults) != "lost":
            self._posted = {}
            self.poke()

    async def change(self, seen: int, seconds: float | None = None) -> None:
        """Wait until something may have changed since `generation` was `seen`, or for so long."""
        if self.generation != seen:
            return
        event = asyncio.Event()
        self._pokes.add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._pokes.discard(event)

    async def connection(self) -> None:
        """Wait while the kubelet cannot reach the API server (fault `lost`)."""
        while self.matches(self.settings.node_faults) == "lost":
            await self.change(self.generation)

    @property
    def started(self) -> bool:
        """Has it ever registered."""
        return self._task is not None

    async def start(self) -> None:
        """Register the Node object, then keep its status up to date until `stop`."""
        now = time.monotonic()
        self.created = now
        body = self._object()
        body["status"] = self._status(now)
        try:
            answer = await self.client.create("/api/v1/nodes", body)
        except ApiError as error:
            if error.status != 409:
                raise
            answer = await self.client.get(f"/api/v1/nodes/{self.name}")
        self.uid = answer["metadata"]["uid"]
        self._posted = body["status"]
        await self.record(self.reference, "Normal", "Starting", "Starting kubelet.")
        self._task = background(self._live(), f"node {self.name}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def update_pool(self, pool: Json) -> None:
        """Take over labels and taints of a pool that was changed; what users set themselves stays."""
        before, taints_before = node_labels(self.facts, self.pool, self.name, self.index), node_taints(self.pool)
        self.pool = pool
        self.gpus = PoolGpus.of(self.size, pool)
        labels, taints = node_labels(self.facts, pool, self.name, self.index), node_taints(pool)
        if not self.started or (labels == before and taints == taints_before):
            return
        while True:
            try:
                await self._take_over(labels, taints, set(before) - set(labels), taints_before)
                break
            except ApiError as error:
                if error.status != 409:  # somebody else wrote to the node in between
                    raise
        self.poke()

    async def _take_over(self, labels: Json, taints: list[Json], gone: set[str], taints_before: list[Json]) -> None:
        path = f"/api/v1/nodes/{self.name}"
        current = await self.client.get(path)
        owned = {taint_text(taint) for taint in taints_before}
        kept = [taint for taint in current["spec"].get("taints", ()) if taint_text(taint) not in owned]
        kept = [taint for taint in kept if taint_text(taint) not in {taint_text(each) for each in taints}]
        patch = {
            "metadata": {
                "resourceVersion": current["metadata"]["resourceVersion"],
                "labels": {**dict.fromkeys(gone), **labels},
                "annotations": node_annotations(labels, self.pool),
            },
            "spec": {"taints": [*kept, *taints]},
        }
        await self.client.patch(path, patch)

    def _object(self) -> Json:
        labels = node_labels(self.facts, self.pool, self.name, self.index)
        group, pool = self.facts.node_resource_group, self.pool["name"]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels, "annotations": node_annotations(labels, self.pool)},
            "spec": {
                "taints": node_taints(self.pool),
                "podCIDR": f"10.244.{self.number % 250}.0/24",
                "podCIDRs": [f"10.244.{self.number % 250}.0/24"],
                "providerID": (
                    f"azure:///subscriptions/{self.facts.subscription}/resourceGroups/{group.lower()}/providers/"
                    f"Microsoft.Compute/virtualMachineScaleSets/aks-{pool}-{self.facts.number}-vmss/virtualMachines/"
                    f"{self.index}"
                ),
            },
        }

    async def _live(self) -> None:
        while True:
            now, seen = time.monotonic(), self.generation
            self._built_in_plugin()
            status = self._status(now)
            if status != self._posted:
                try:
                    await self.client.patch(
                        f"/api/v1/nodes/{self.name}/status", {"status": status}, content_type=STRATEGIC
                    )
                    self._posted = status
                except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                    # A kubelet whose Node object somebody deleted does not register again until it is restarted.
                    gone = isinstance(error, ApiError) and error.status == 404
                    await asyncio.sleep(_GONE_SECONDS if gone else _RETRY_SECONDS)
                    continue
            if (boot := status["nodeInfo"]["bootID"]) != self._boot:
                if self._boot:
                    await self.record(
                        self.reference, "Warning", "Rebooted", f"Node {self.name} has been rebooted, boot id: {boot}"
                    )
                self._boot = boot
            found = self.plugin_finds_driver()
            if found != self._driver_was_found:
                self._driver_was_found = found
                self.poke()
            if self._is_ready(now) and not self.ready.is_set():
                self.ready.set()
                await self.record(self.reference, "Normal", "NodeReady", f"Node {self.name} status is now: NodeReady")
            await self.change(seen, self._next_change(now))

    def _built_in_plugin(self) -> None:
        if not self.gpus.built_in_plugin:
            return
        condition = self._chosen_conditions().get("UnhealthyNvidiaDevicePlugin")
        healthy = condition is None or condition[0] != "True"
        since = self.ready_since
        late = since is None or time.monotonic() < since + self.settings.gpu_registration_seconds
        works = self.plugin_finds_driver() and healthy and not late
        strategy = "single" if self.gpus.profile else "none"
        self.offer(_BUILT_IN, PluginConfig(mig_strategy=strategy) if works else None)

    def _reboot_window(self) -> tuple[float, float] | None:
        """When a node with a MIG profile reboots to apply it, counted from its creation."""
        length = self.settings.mig_reboot_seconds
        if self.matches(self.settings.node_faults) != "mig_reboot" and not (self.gpus.profile and self.size.nvidia):
            return None
        begin = self.created + self.settings.node_ready_seconds + 0.5
        return (begin, begin + length) if length else None

    def _is_ready(self, now: float) -> bool:
        return self._ready_condition(now)[0] == "True"

    def _ready_condition(self, now: float) -> tuple[str, str, str]:
        fault = self.matches(self.settings.node_faults)
        if fault == "lost":
            return "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status."
        if fault == "not_ready" or now < self.created + self.settings.node_ready_seconds:
            return "False", "KubeletNotReady", _NO_NETWORK
        window = self._reboot_window()
        if window and window[0] <= now < window[1]:
            return "False", "KubeletNotReady", "node is shutting down"
        return "True", "KubeletReady", "kubelet is posting ready status"

    def _next_change(self, now: float) -> float | None:
        times = [self.created + self.settings.node_ready_seconds, *(self._reboot_window() or ())]
        if self.ready_since is not None:
            times += [
                self.ready_since + self.settings.driver_late_seconds,
                self.ready_since + self.settings.gpu_registration_seconds,
            ]
        expiry = self.manager.next_change(now, self.settings.capacity_grace_seconds)
        times += [] if expiry is None else [expiry]
        ahead = [each - now for each in times if each > now]
        return min(ahead) + 0.005 if ahead else None

    def _chosen_conditions(self) -> dict[str, tuple[str, str, str]]:
        chosen = {}
        for kind, value in (self.matches(self.settings.node_conditions) or {}).items():
            texts = value if isinstance(value, list) else [str(value)]
            status, reason, message = [*texts, "", ""][:3]
            status = str(status).capitalize()
            problem = status == "True"
            chosen[kind] = (
                status,
                str(reason or (kind if problem else f"No{kind}")),
                str(message or (f"{kind} detected" if problem else f"no {kind}")),
            )
        return chosen

    def _status(self, now: float) -> Json:
        ready = self._ready_condition(now)
        if ready[0] == "True":
            if self.ready_since is None:
                self.ready_since = now
        else:
            self.ready_since = None
        unknown = ready[0] == "Unknown"
        wanted: dict[str, tuple[str, str, str]] = {
            "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        }
        if unknown:
            wanted = dict.fromkeys(wanted, ("Unknown", ready[1], ready[2]))
        wanted["Ready"] = ready
        # The node problem detector starts when the node runs Pods.
        if self.ready_since is not None or "KernelDeadlock" in self._transitions:
            problems = dict(_PROBLEMS)
            if self.size.nvidia and self.gpus.driver:
                problems |= _GPU_PROBLEMS
            if self.gpus.managed:
                problems |= _MANAGED_PROBLEMS
            wanted |= {kind: ("False", *texts) for kind, texts in problems.items()}
        if self.preempted:
            wanted["VMEventScheduled"] = ("True", "PreemptScheduled", PREEMPTION)
        wanted |= self._chosen_conditions()
        # A condition that was posted once stays on the Node until somebody says that it is over.
        wanted |= {kind: ("False", f"No{kind}", f"no {kind}") for kind in self._transitions if kind not in wanted}
        window = self._reboot_window()
        boots = 1 if window and now >= window[1] else 0
        capacity, allocatable = base_resources(self.size, self.pool)
        capacity |= {
            name: str(count) for name, count in self.manager.capacity(now, self.settings.capacity_grace_seconds).items()
        }
        allocatable |= {name: str(count) for name, count in self.manager.allocatable(self.unhealthy_gpus()).items()}
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.facts.cluster_id}/{self.name}/{self.created}")
        return {
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.name},
                {"type": "InternalDNS", "address": "localhost"},
            ],
            "capacity": capacity,
            "allocatable": allocatable,
            "conditions": [self._condition(kind, *values) for kind, values in wanted.items()],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.facts.kubelet_port}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": str(uuid.uuid5(identity, f"boot {boots}")),
                "containerRuntimeVersion": "containerd://2.1.4-1",
                "kernelVersion": "5.15.0-1098-azure",
                "kubeProxyVersion": "",
                "kubeletVersion": f"v{self.facts.kubernetes_version}",
                "machineID": identity.hex,
                "operatingSystem": self.pool["properties"].get("osType", "Linux").lower(),
                "osImage": "Ubuntu 22.04.5 LTS (simulated by KWOK)",
                "systemUUID": str(identity),
            },
        }

    def _condition(self, kind: str, status: str, reason: str, message: str) -> Json:
        since = self._transitions.get(kind)
        if since is None or since[0] != status:
            since = self._transitions[kind] = (status, timestamp())
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": since[1],
            "lastTransitionTime": since[1],
        }
