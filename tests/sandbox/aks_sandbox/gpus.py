"""GPUs of a simulated node: who advertises which resources, and what capacity and allocatable follow from it.

`nvidia.com/gpu` comes from a device plugin only: a Pod on the node that is ready and finds the driver, or the plugin
that a GPU-image or managed pool brings. Behaviour of the plugin: github.com/NVIDIA/k8s-device-plugin (README,
v0.18); of the kubelet's device manager: capacity of a plugin that went away stays for 5 minutes, allocatable drops at
once.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from aks_sandbox.interfaces import Json
from aks_sandbox.sizes import GpuModel, VmSize, mig_layout

GPU = "nvidia.com/gpu"
DRIVER_VERSION = "580.95.05"
CUDA_VERSION = "13.0"
K80_DRIVER_VERSION = "470.57.02"
K80_CUDA_VERSION = "11.4"


@dataclass(frozen=True)
class Device:
    """One GPU, or one MIG instance of it, as a container sees it."""

    model: GpuModel
    bus_id: str
    uuid: str
    mig: str | None = None


@dataclass(frozen=True)
class PoolGpus:
    """What a pool's ARM properties say about its GPUs."""

    size: VmSize
    driver: bool
    built_in_plugin: bool
    managed: bool
    profile: str | None

    @classmethod
    def of(cls, size: VmSize, pool: Json) -> PoolGpus:
        properties = pool.get("properties", pool)
        gpu_profile = properties.get("gpuProfile") or {}
        nvidia = gpu_profile.get("nvidia") or {}
        tags = {key.lower(): str(value).lower() for key, value in (properties.get("tags") or {}).items()}
        headers = {key.lower(): str(value).lower() for key, value in (pool.get("headers") or {}).items()}
        managed = (
            str(nvidia.get("managementMode", "")).lower() == "managed"
            or tags.get("enablemanagedgpuexperience") == "true"
        )
        image = headers.get("usegpudedicatedvhd") == "true"
        return cls(
            size,
            driver=size.nvidia and str(gpu_profile.get("driver", "Install")).lower() != "none",
            built_in_plugin=size.nvidia and (managed or image),
            managed=size.nvidia and managed,
            profile=properties.get("gpuInstanceProfile"),
        )


@dataclass(frozen=True)
class PluginConfig:
    """How a device plugin Pod is configured, from its arguments, environment and configuration file, in this order."""

    mig_strategy: str = "none"
    fail_on_init_error: bool = True
    sharing: Json = field(default_factory=dict)
    may_manage_mig: bool = True
    """Has the privilege that MIG needs (SYS_ADMIN)."""

    @property
    def mps(self) -> bool:
        return bool((self.sharing.get("mps") or {}).get("resources"))


def is_plugin(container: Json, pod: Json) -> bool:
    """Is this container a device plugin: by its image, or by the kubelet directory that it mounts."""
    words = " ".join([*container.get("command", ()), *container.get("args", ())])
    if any(other in words for other in ("mps-control-daemon", "gpu-feature-discovery", "config-manager")):
        return False
    if "k8s-device-plugin" in container.get("image", ""):
        return True
    directories = {
        volume["name"] for volume in pod["spec"].get("volumes", ())
        if str((volume.get("hostPath") or {}).get("path", "")).rstrip("/") == "/var/lib/kubelet/device-plugins"
    }  # fmt: skip
    return "nvidia" in container.get("image", "") and any(
        mount["name"] in directories for mount in container.get("volumeMounts", ())
    )


def is_mps_daemon(container: Json) -> bool:
    return "mps-control-daemon" in " ".join([*container.get("command", ()), *container.get("args", ())])


def is_driver(container: Json) -> bool:
    """A container that installs the driver on a node whose pool brought none (the GPU Operator's)."""
    image = container.get("image", "")
    return "nvidia/driver" in image or "nvidia-driver" in image or "gpu-driver" in image


def plugin_config(container: Json, pod: Json, files: dict[str, str]) -> PluginConfig:
    """Read a plugin's configuration. `files`: content of mounted ConfigMap files by path."""
    environment = {each["name"]: str(each.get("value", "")) for each in container.get("env", ()) if "value" in each}
    arguments: dict[str, str] = {}
    words = [*container.get("command", ()), *container.get("args", ())]
    for position, word in enumerate(words):
        if word.startswith("--"):
            name, separator, value = word[2:].partition("=")
            follows = words[position + 1] if position + 1 < len(words) else "true"
            arguments[name] = value if separator else ("true" if follows.startswith("--") else follows)
    path = arguments.get("config-file") or environment.get("CONFIG_FILE")
    document: Json = {}
    if path:
        loaded = yaml.safe_load(files.get(posixpath.normpath(path), "")) or {}
        document = loaded if isinstance(loaded, dict) else {}
    flags = document.get("flags") or {}
    # 1.11 and its like of 2018 know no such option and wait.
    default_fail = not container.get("image", "").endswith((":1.9", ":1.10", ":1.11"))
    fail = arguments.get("fail-on-init-error") or environment.get("FAIL_ON_INIT_ERROR") or flags.get("failOnInitError")
    security = container.get("securityContext") or {}
    added = (security.get("capabilities") or {}).get("add") or []
    return PluginConfig(
        mig_strategy=str(
            arguments.get("mig-strategy") or environment.get("MIG_STRATEGY") or flags.get("migStrategy") or "none"
        ),
        fail_on_init_error=default_fail if fail is None else str(fail).lower() == "true",
        sharing=document.get("sharing") or {},
        may_manage_mig=bool(security.get("privileged")) or "SYS_ADMIN" in added or "ALL" in added,
    )


def advertised(config: PluginConfig, gpus: PoolGpus, visible: int) -> dict[str, int]:
    """The resources that a plugin advertises for `visible` GPUs."""
    assert gpus.size.gpu is not None
    layout = mig_layout(gpus.size.gpu, gpus.profile) if gpus.profile else None
    if layout is None or config.mig_strategy == "none":
        resources = {GPU: visible}
    elif config.mig_strategy == "single":
        resources = {GPU: visible * layout.instances}
    else:
        resources = {f"nvidia.com/mig-{layout.resource}": visible * layout.instances}
    for kind in ("timeSlicing", "mps"):
        sharing = config.sharing.get(kind) or {}
        rules = {str(rule.get("name")): rule for rule in sharing.get("resources") or ()}
        shared: dict[str, int] = {}
        for name, count in resources.items():
            rule = rules.get(name)
            if rule is None:
                shared[name] = count
                continue
            renamed = f"{name}.shared" if sharing.get("renameByDefault") else name
            shared[str(rule.get("rename") or renamed)] = count * int(rule.get("replicas", 1))
        resources = shared
    return resources


def devices(gpus: PoolGpus, node: str, *, strategy: str = "none") -> list[Device]:
    """The GPUs of a node, with stable bus ids and UUIDs; MIG instances where the plugin hands those out."""
    model = gpus.size.gpu
    if model is None:
        return []
    layout = mig_layout(model, gpus.profile) if gpus.profile and strategy != "none" else None
    found: list[Device] = []
    for index in range(gpus.size.gpu_devices):
        digest = hashlib.sha256(f"{node}/{index}".encode()).hexdigest()
        bus = f"{digest[:4]}:00:00.0"
        for instance in range(layout.instances if layout else 1):
            mark = hashlib.sha256(f"{digest}/{instance}".encode()).hexdigest() if layout else digest
            uuid = f"{mark[:8]}-{mark[8:12]}-{mark[12:16]}-{mark[16:20]}-{mark[20:32]}"
            found.append(Device(model, bus, ("MIG-" if layout else "GPU-") + uuid, layout.resource if layout else None))
    return found


class DeviceManager:
    """The part of a kubelet that counts devices. Times are `time.monotonic()`."""

    def __init__(self) -> None:
        self._offers: dict[str, dict[str, int]] = {}
        self._capacity: dict[str, int] = {}
        self._lost: dict[str, float] = {}
        self._used: dict[str, dict[str, int]] = {}

    def offer(self, source: str, resources: dict[str, int] | None, now: float) -> None:
        """A plugin (`source`) advertises resources; None: it is gone."""
        if resources is None:
            self._offers.pop(source, None)
        else:
            self._offers[source] = dict(resources)
        offered = self._offered()
        for name, count in offered.items():
            self._capacity[name] = count
            self._lost.pop(name, None)
        for name in set(self._capacity) - set(offered):
            self._lost.setdefault(name, now)

    def offers(self, source: str) -> dict[str, int] | None:
        return self._offers.get(source)

    def capacity(self, now: float, grace: float) -> dict[str, int]:
        return {
            name: 0 if name in self._lost and now >= self._lost[name] + grace else count
            for name, count in self._capacity.items()
        }

    def allocatable(self, unhealthy: int) -> dict[str, int]:
        offered = self._offered()
        return {name: max(0, offered.get(name, 0) - unhealthy) for name in self._capacity}

    def next_change(self, now: float, grace: float) -> float | None:
        """When capacity changes by itself, if it does."""
        times = [lost + grace for name, lost in self._lost.items() if lost + grace > now and self._capacity[name]]
        return min(times, default=None)

    def allocate(self, pod: str, wanted: dict[str, int], unhealthy: int) -> str | None:
        """Give devices to a Pod. Returns the kubelet's refusal, or None."""
        if pod in self._used:
            return None
        allocatable = self.allocatable(unhealthy)
        for name, count in wanted.items():
            used = sum(each.get(name, 0) for each in self._used.values())
            if allocatable.get(name, 0) == 0:
                return (
                    "Allocate failed due to no healthy devices present; cannot allocate unhealthy devices "
                    f"{name}, which is unexpected"
                )
            if count > allocatable[name] - used:
                return (
                    f"Allocate failed due to requested number of devices unavailable for {name}. "
                    f"Requested: {count}, Available: {max(0, allocatable[name] - used)}, which is unexpected"
                )
        self._used[pod] = dict(wanted)
        return None

    def release(self, pod: str) -> None:
        self._used.pop(pod, None)

    def _offered(self) -> dict[str, int]:
        merged: dict[str, int] = {}
        for resources in self._offers.values():
            merged.update(resources)
        return merged


def extended_resources(containers: Iterable[Json]) -> dict[str, int]:
    """Whole devices (`nvidia.com/*`) that containers ask for, added up."""
    wanted: dict[str, int] = {}
    for container in containers:
        resources: dict[str, Any] = container.get("resources") or {}
        asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
        for name, value in asked.items():
            if name.startswith(("nvidia.com/", "amd.com/")) and str(value).isdigit() and int(value):
                wanted[name] = wanted.get(name, 0) + int(value)
    return wanted
