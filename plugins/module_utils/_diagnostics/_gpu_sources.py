# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who hands out the GPUs of a node: device plugins, DRA drivers. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._placement import placement_obstacle

DRA_DRIVER = "gpu.nvidia.com"
"""The driver in the ResourceSlices of NVIDIA's DRA driver. https://github.com/kubernetes-sigs/dra-driver-nvidia-gpu"""

_PLUGIN_IMAGE = re.compile(r"k8s-device-plugin|(?:nvidia|gpu)[^/]*device-plugin|device-plugin[^/]*(?:nvidia|gpu)")
_OF_NVIDIA = re.compile(r"nvidia|nvdp|\bMIG_STRATEGY\b", re.IGNORECASE)
_OF_ANOTHER_VENDOR = re.compile(
    r"rocm|amdgpu|amd\.com|amd-gpu|\bamd/|intel|habana|gaudi|cambricon|ascend|mthreads|metax"
)
_OTHER_DEVICES = re.compile(r"rdma|sriov|sgx|fuse|kvm|fpga|smarter|habana|qat|virt-handler")
_PLUGIN_DIRECTORY = "/var/lib/kubelet/device-plugins"
_BESIDE_PLUGIN = re.compile(r"mps-control-daemon|gpu-feature-discovery|config-manager")
"""Other programs of the device plugin's image."""

_DRA_IMAGE = re.compile(r"dra-driver[^/]*gpu|gpu[^/]*dra-driver|k8s-dra-driver")
_DRA_CONTAINER = "gpus"
"""The container of NVIDIA's DRA driver that hands GPUs out; ``compute-domains`` beside it hands out none."""


def is_device_plugin(workload: dict[str, Any]) -> bool:
    """True for a DaemonSet, or a Pod, that advertises NVIDIA's GPUs to the kubelet.

    A mount of the kubelet's directory is no sign by itself: KubeVirt's virt-handler and other vendors' plugins have it.

    Args:
        workload: A DaemonSet or a Pod.
    """
    # What most Pods of a large cluster lack is looked at first: the rest costs ten times as much.
    if not (_mounts_directory(workload) or _has_plugin_image(_spec(workload).get("containers") or [])):
        return False
    containers = _plugin_containers(workload)
    if not containers:
        return False
    identity = _source_identity(workload, containers)
    of_nvidia = bool(_OF_NVIDIA.search(identity))
    if _OF_ANOTHER_VENDOR.search(identity) and not of_nvidia:
        return False
    if _has_plugin_image(containers):
        return True
    images = [str(container.get("image")) for container in containers]
    return of_nvidia and _mounts_directory(workload) and not _of_other_devices(workload, images)


def may_be_device_plugin(workload: dict[str, Any]) -> bool:
    """True for a DaemonSet that registers devices at the kubelet, and nothing says which.

    Args:
        workload: A DaemonSet.
    """
    containers = _plugin_containers(workload)
    if not containers or not _mounts_directory(workload) or is_device_plugin(workload):
        return False
    images = [str(container.get("image")) for container in containers]
    other = _OF_ANOTHER_VENDOR.search(_source_identity(workload, containers))
    return not other and not _of_other_devices(workload, images)


def is_dra_driver(workload: dict[str, Any]) -> bool:
    """True for a DaemonSet of NVIDIA's DRA driver that hands out GPUs.

    Args:
        workload: A DaemonSet.
    """
    return any(
        _DRA_IMAGE.search(str(container.get("image"))) and container.get("name") == _DRA_CONTAINER
        for container in _spec(workload).get("containers") or []
    )


def hands_out_gpus(workload: dict[str, Any]) -> bool:
    """True for a DaemonSet that hands out NVIDIA's GPUs in any way."""
    return is_device_plugin(workload) or is_dra_driver(workload)


def name_with_namespace(found: dict[str, Any]) -> str:
    """Returns ``namespace/name``."""
    return f"{found['metadata'].get('namespace')}/{found['metadata']['name']}"


def names(found: Iterable[dict[str, Any]]) -> list[str]:
    """Returns the sorted names, each ``namespace/name``."""
    return sorted(name_with_namespace(each) for each in found)


def meant_for(
    node: dict[str, Any], daemon_sets: Iterable[dict[str, Any]], *, open_labels: bool = False
) -> list[dict[str, Any]]:
    """Returns the DaemonSets that make a Pod for a node.

    Args:
        node: The node.
        daemon_sets: Of which.
        open_labels: The node may get more labels than it has; what depends on one counts as meant for it.
    """
    return [
        each
        for each in daemon_sets
        if not each["metadata"].get("deletionTimestamp")
        and placement_obstacle((each.get("spec") or {}).get("template") or {}, node, open_labels=open_labels) is None
    ]


def sliced_devices(slices: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Returns how many GPUs ResourceSlices of NVIDIA's DRA driver offer on each node.

    Args:
        slices: As the API server returns them (resource.k8s.io/v1).
    """
    counts: dict[str, int] = {}
    for each in slices:
        spec = each.get("spec") or {}
        if spec.get("driver") == DRA_DRIVER and spec.get("nodeName"):
            counts[spec["nodeName"]] = counts.get(spec["nodeName"], 0) + len(spec.get("devices") or [])
    return counts


def claimed_devices(slices: Iterable[dict[str, Any]], claims: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Returns how many GPUs ResourceClaims hold on each node; one that several claims share counts once.

    A claim that the scheduler made for a Pod's ``nvidia.com/gpu`` (DRAExtendedResource) is counted with the Pod.

    Args:
        slices: The ResourceSlices, which say to which node a pool of devices belongs.
        claims: The ResourceClaims of the cluster (resource.k8s.io/v1).
    """
    nodes: dict[str, str] = {}
    for each in slices:
        spec = each.get("spec") or {}
        if spec.get("nodeName"):
            nodes[str((spec.get("pool") or {}).get("name"))] = spec["nodeName"]
    held: dict[str, set[str]] = {}
    for claim in claims:
        if "resource.kubernetes.io/extended-resource-name" in (claim["metadata"].get("annotations") or {}):
            continue
        for device in allocated_gpus(claim):
            pool = str(device.get("pool"))
            held.setdefault(nodes.get(pool, pool), set()).add(str(device.get("device")))
    return {node: len(devices) for node, devices in held.items()}


def allocated_gpus(claim: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the GPUs that a ResourceClaim holds; not those that it only watches (``adminAccess``)."""
    devices = ((claim.get("status") or {}).get("allocation") or {}).get("devices") or {}
    return [
        device
        for device in devices.get("results") or []
        if device.get("driver") == DRA_DRIVER and not device.get("adminAccess")
    ]


def _spec(workload: dict[str, Any]) -> dict[str, Any]:
    spec = workload.get("spec") or {}
    return (spec.get("template") or {}).get("spec") or spec


def _has_plugin_image(containers: Iterable[dict[str, Any]]) -> bool:
    return any(_PLUGIN_IMAGE.search(str(container.get("image"))) for container in containers)


def _plugin_containers(workload: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        container
        for container in _spec(workload).get("containers") or []
        if not _BESIDE_PLUGIN.search(str([container.get("command"), container.get("args")]))
    ]


def _source_identity(workload: dict[str, Any], containers: list[dict[str, Any]]) -> str:
    """All that says whose it is: names, labels, images, commands and environment; not where it is to run."""
    metadata = workload.get("metadata") or {}
    template = ((workload.get("spec") or {}).get("template") or {}).get("metadata") or {}
    parts: list[Any] = [metadata.get("name"), metadata.get("labels"), template.get("labels")]
    for container in containers:
        parts += [container.get(key) for key in ("name", "image", "command", "args")]
        parts += [f"{variable.get('name')}={variable.get('value')}" for variable in container.get("env") or []]
    return " ".join(str(part) for part in parts)


def _mounts_directory(workload: dict[str, Any]) -> bool:
    paths = [str((volume.get("hostPath") or {}).get("path")) for volume in _spec(workload).get("volumes") or []]
    return any(path.rstrip("/") == _PLUGIN_DIRECTORY or path.startswith(f"{_PLUGIN_DIRECTORY}/") for path in paths)


def _of_other_devices(workload: dict[str, Any], images: list[str]) -> bool:
    return any(_OTHER_DEVICES.search(text) for text in [str((workload.get("metadata") or {}).get("name")), *images])
