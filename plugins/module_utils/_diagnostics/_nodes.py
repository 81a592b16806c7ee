# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node is, what is wrong with it, and whether a Pod may run on it. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Permanence, Problem

POOL_LABEL = "kubernetes.azure.com/agentpool"
POOL_LABELS = (POOL_LABEL, "agentpool")
ACCELERATOR_LABEL = "kubernetes.azure.com/accelerator"
SIZE_LABEL = "node.kubernetes.io/instance-type"
IMAGE_LABEL = "kubernetes.azure.com/node-image-version"
MANAGED_LABEL = "kubernetes.azure.com/dcgm-exporter"
UPGRADE_LABEL = "kubernetes.azure.com/upgrade-status"
SPOT_LABEL = "kubernetes.azure.com/scalesetpriority"

# https://learn.microsoft.com/azure/aks/gpu-health-monitoring and the managed GPU experience's conditions.
HEALTH_CONDITIONS: dict[str, tuple[bool, str]] = {
    "GPUMissing": (
        True,
        "The driver sees fewer GPUs than the size has; AKS does not repair it: reimage or replace the node.",
    ),
    "XIDErrors": (
        True,
        "The driver reported GPU errors; https://docs.nvidia.com/deploy/xid-errors/ explains the numbers.",
    ),
    "NVLinkStatusInactive": (True, "GPUs of the node can't reach each other by NVLink; replace the node."),
    "NVIDIAGRIDStatusInvalid": (True, "The GRID licence of the node is not valid."),
    "UnhealthyNvidiaDevicePlugin": (True, "The node's own device plugin service does not work."),
    "IBLinkFlapping": (False, "The InfiniBand link of the node goes up and down."),
    "GPUClockThrottling": (False, "The GPUs are slowed down, by heat or power."),
    "UnhealthyNvidiaDCGMServices": (False, "GPU metrics of the node are missing; GPUs work without them."),
}
"""Condition → whether it keeps GPUs from working when it is True, and what to do."""

_NODE_NAME = re.compile(r"aks-([a-z][a-z0-9]{0,11})-[0-9]+-vmss[0-9a-z]{6}")
"""A Linux node of a scale set (kubernetes/autoscaler#1896, Azure/aks-engine#4241)."""

_HEALTH_WORDS = frozenset({"ready", "healthy", "available"})
_NEGATIONS = frozenset({"not", "un", "non", "never"})
_LABEL_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ABOUT_GPUS = re.compile(
    r"gpu|xid|nvlink|nvswitch|nvidia|nvml|dcgm|cuda|infiniband|rdma|roce|mellanox|mlx|accelerat|imex|"
    r"fabric-?manager|double-?bit",
    re.IGNORECASE,
)
_ABOUT_GPUS_WORD = re.compile(r"(?i:ib|ecc|mig)|IB(?!M$)[A-Z]+")
_WATCHED_ELSEWHERE = frozenset({"Ready", "VMEventScheduled"})

PASSING_TAINTS = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/unschedulable",
        "node.kubernetes.io/network-unavailable",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.cloudprovider.kubernetes.io/uninitialized",
    }
)
LEAVING_TAINTS = frozenset({"ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler"})


def name_of(node: dict[str, Any]) -> str:
    """Returns a node's name."""
    return str(node["metadata"]["name"])


def labels_of(node: dict[str, Any]) -> dict[str, str]:
    """Returns a node's labels."""
    return node["metadata"].get("labels") or {}


def pool_of_labels(labels: Mapping[str, str]) -> str | None:
    """Returns the node pool that labels name, also those of a selector; None when they name none."""
    return next((labels[key] for key in POOL_LABELS if labels.get(key)), None)


def node_pool_of(name: str, labels: Mapping[str, str]) -> str | None:
    """Returns the node pool of a node by its labels, else by its name, as AKS makes it; None when neither tells.

    Args:
        name: The name of the node, ``aks-gpunp-28993262-vmss000000``.
        labels: Its labels; empty for a node that is no longer there, or that can't be read.
    """
    found = _NODE_NAME.fullmatch(name)
    return pool_of_labels(labels) or (found[1] if found else None)


def taints_of(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a node's taints."""
    return (node.get("spec") or {}).get("taints") or []


def taint_text(taint: dict[str, Any]) -> str:
    """Returns a taint as people write it: ``sku=gpu:NoSchedule``."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key')}{value}:{taint.get('effect')}"


def condition_of(node: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Returns a condition of a node, or None."""
    conditions = (node.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == name), None)


def is_ready(node: dict[str, Any]) -> bool:
    """True when the kubelet says so."""
    condition = condition_of(node, "Ready")
    return condition is not None and condition.get("status") == "True"


def is_leaving(node: dict[str, Any]) -> bool:
    """True when the node is being removed."""
    if node["metadata"].get("deletionTimestamp"):
        return True
    return any(taint.get("key") == "ToBeDeletedByClusterAutoscaler" for taint in taints_of(node))


def count_of(quantity: Any) -> int:
    """Returns how many whole things a quantity is: ``8`` is 8, and ``1k``, as Kubernetes writes 1000, is 1000.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ caps it at 2^63-1. The API server
    stores no quantity that is not valid; one that can't be read here counts as none, and is seen on its own node only.

    Args:
        quantity: Text or a number; None is none.
    """
    # Here, because rooms that only want this file's tables do without the library.
    from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._official_client import parse_quantity

    try:
        return int(min(parse_quantity(quantity or 0), 2**63 - 1))
    except (ValueError, ArithmeticError):
        return 0


@dataclass(frozen=True)
class Ailment:
    """A condition of a node that says that something is wrong.

    Attributes:
        kind: The type of the condition.
        message: Its type, status, reason and message.
        advice: What to do.
        blocking: Whether it counts against the GPUs of the node.
    """

    kind: str
    message: str
    advice: str
    blocking: bool


def is_about_gpus(kind: str) -> bool:
    """True when the type of a condition is about GPUs, their links, InfiniBand, or NVIDIA's services.

    The names are not stable: AKS documents ``XIDErrors`` and ``GPUXIDErrors``, and its nodes say ``XIDError``
    (Azure/AgentBaker#8797).

    Args:
        kind: The type of the condition.
    """
    return bool(_ABOUT_GPUS.search(kind)) or any(_ABOUT_GPUS_WORD.fullmatch(word) for word in _LABEL_WORD.findall(kind))


def ailment_of(condition: Mapping[str, Any]) -> Ailment | None:
    """Returns what a condition of a node says is wrong; None when it is well, or judged elsewhere, as Ready is.

    A condition is bad when it is True, unless its name states health (``GPUHealthy``), which is bad when it is False.

    Args:
        condition: With ``type``, ``status``, ``reason`` and ``message``.
    """
    kind, status = str(condition.get("type")), str(condition.get("status"))
    gpus = is_about_gpus(kind)
    if kind in _WATCHED_ELSEWHERE or status == ("True" if _states_health(kind) else "False"):
        return None
    said = kind if status == "True" else f"{kind} is {status}"
    message = f"{said}: {condition.get('reason')}: {condition.get('message')}"
    if status not in ("True", "False"):
        advice = "What checks this did not come to a result."
        return Ailment(kind, message, advice, blocking=False) if gpus else None
    known = _KNOWN_CONDITIONS.get(_bare(kind)) if gpus else None
    if known is not None:
        return Ailment(kind, message, known[1], known[0])
    if gpus:
        advice = "This condition is not recognised. Its name is about GPUs, so it counts against the node."
        return Ailment(kind, message, advice, blocking=True)
    return Ailment(kind, message, _OTHER_ADVICE.get(kind, "This condition is not recognised."), blocking=False)


def is_telling(condition: Mapping[str, Any]) -> bool:
    """Says whether a node is judged by a condition: it is Ready, one about GPUs, or not well."""
    kind = str(condition.get("type"))
    return kind == "Ready" or is_about_gpus(kind) or ailment_of(condition) is not None


def is_well(condition: Mapping[str, Any]) -> bool:
    """Says whether a condition by which a node is judged has nothing to tell: it is Ready, or states no ailment."""
    if condition.get("type") == "Ready":
        return condition.get("status") == "True"
    return ailment_of(condition) is None


def _states_health(kind: str) -> bool:
    words = [word.lower() for word in _LABEL_WORD.findall(kind)]
    return bool(words) and words[-1] in _HEALTH_WORDS and not _NEGATIONS & set(words[-2:-1])


def _bare(kind: str) -> str:
    """The name of a condition without what its spellings differ in: letter case, a first GPU, a plural."""
    return kind.lower().removeprefix("gpu").removesuffix("s")


_KNOWN_CONDITIONS = {_bare(kind): what for kind, what in HEALTH_CONDITIONS.items()}

# https://learn.microsoft.com/azure/aks/node-problem-detector lists what AKS's nodes report.
_OTHER_ADVICE = {
    "DiskPressure": "The node is short of disk space: Pods are evicted, and none is scheduled there.",
    "MemoryPressure": "The node is short of memory: Pods are evicted.",
    "PIDPressure": "The node runs out of process IDs.",
    "NetworkUnavailable": "The network of the node is not set up.",
    "ReadonlyFilesystem": "A disk of the node can't be written to: reimage the node.",
    "FilesystemCorruptionProblem": "A file system of the node is corrupt: reimage the node.",
    "KernelDeadlock": "The kernel of the node hangs: reboot the node.",
    "KubeletProblem": "The kubelet of the node does not work.",
    "ContainerRuntimeProblem": "The container runtime of the node does not work.",
}


def quantity(node: dict[str, Any], kind: str, resource: str) -> int:
    """Returns how many of a countable resource a node has.

    Args:
        node: The node.
        kind: ``capacity`` or ``allocatable``.
        resource: Such as ``nvidia.com/gpu``.
    """
    return count_of(((node.get("status") or {}).get(kind) or {}).get(resource))


def gpu_resources(node: dict[str, Any]) -> dict[str, int]:
    """Returns the GPU resources that a node offers, such as ``{"nvidia.com/mig-1g.10gb": 7}``."""
    capacity = (node.get("status") or {}).get("capacity") or {}
    counts = {name: count_of(value) for name, value in capacity.items() if name.startswith(("nvidia.com/", "amd.com/"))}
    return {name: count for name, count in counts.items() if count}


def node_core(node: dict[str, Any]) -> dict[str, Any]:
    """Returns a node without what is most of it and says nothing of its GPUs: up to 50 images, managed fields."""
    core = {**node, "metadata": {key: value for key, value in node["metadata"].items() if key not in _NOT_LOOKED_AT}}
    if node.get("status"):
        core["status"] = {key: value for key, value in node["status"].items() if key not in _NOT_LOOKED_AT}
    return core


_NOT_LOOKED_AT = frozenset({"annotations", "managedFields", "images", "volumesAttached", "volumesInUse"})


def node_result(
    node: dict[str, Any],
    resource: str,
    in_use: int | None,
    device_plugin: str | None = None,
    gpus_from: str | None = None,
    daemon_sets: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns a node as a return value.

    Args:
        node: As the API server returns it.
        resource: The resource that is counted.
        in_use: How many of it Pods and ResourceClaims hold; None when that is not known.
        device_plugin: The running device plugin Pod of the node, ``namespace/name``.
        gpus_from: Who offers its GPUs, ``daemon_set``, ``managed``, ``dra`` or ``node``; None when it offers none, or
            when that is not known.
        daemon_sets: DaemonSets of device plugins that are meant for it, each ``namespace/name``.
    """
    labels = labels_of(node)
    conditions = (node.get("status") or {}).get("conditions") or []
    return {
        "name": name_of(node),
        "node_pool": pool_of_labels(labels),
        "vm_size": labels.get(SIZE_LABEL),
        "ready": is_ready(node),
        "capacity": quantity(node, "capacity", resource),
        "allocatable": quantity(node, "allocatable", resource),
        "in_use": in_use,
        "free": None if in_use is None else max(0, quantity(node, "allocatable", resource) - in_use),
        "device_plugin": device_plugin,
        "gpus_from": gpus_from,
        "daemon_sets": list(daemon_sets),
        "labels": dict(labels),
        "taints": [taint_text(taint) for taint in taints_of(node)],
        "conditions": [{key: c.get(key) for key in ("type", "status", "reason", "message")} for c in conditions],
        "node_image_version": labels.get(IMAGE_LABEL),
        "kubelet_version": ((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion"),
    }


def node_problems(node: dict[str, Any], *, partitioned: bool = False, azure_says: str = "") -> list[Problem]:
    """Returns what is wrong with a node itself: not with its GPUs' count.

    Args:
        node: As the API server returns it.
        partitioned: Its GPUs are to be partitioned (MIG), for which it reboots.
        azure_says: What Azure is doing with its pool, such as ``UpgradingNodeImageVersion``; empty for nothing.
    """
    subject = f"Node {name_of(node)}"
    if is_leaving(node):
        return [Problem(subject, "Leaving", "it is being removed", "", Permanence.TRANSIENT, blocking=False)]
    problems = _eviction(subject, node)
    if not is_ready(node):
        problems.append(_not_ready(subject, node, partitioned))
    elif (node.get("spec") or {}).get("unschedulable"):
        problems.append(_cordoned(subject, node, azure_says))
    elif any(taint.get("key") == "node.cloudprovider.kubernetes.io/uninitialized" for taint in taints_of(node)):
        problems.append(Problem(subject, "Uninitialized", "Azure's cloud controller has not taken it in yet"))
    for condition in (node.get("status") or {}).get("conditions") or []:
        ailment = ailment_of(condition)
        if ailment is not None:
            kind, words = ailment.kind, ailment.message
            problems.append(
                Problem(subject, kind, words, ailment.advice, Permanence.UNCERTAIN, blocking=ailment.blocking)
            )
    state = labels_of(node).get("nvidia.com/mig.config.state")
    if state in ("pending", "rebooting"):
        problems.append(Problem(subject, "MigReboot", f"its GPUs are being partitioned (mig.config.state is {state})"))
    elif state == "failed":
        advice = "The MIG manager's log says why; a profile that the GPU does not know is the usual cause."
        problems.append(
            Problem(subject, "MigFailed", "its GPUs could not be partitioned", advice, Permanence.UNCERTAIN)
        )
    return problems


def _cordoned(subject: str, node: dict[str, Any], azure_says: str) -> Problem:
    """https://learn.microsoft.com/azure/aks/how-does-upgrade-happen: an upgrade cordons one node after the other."""
    text = "it is cordoned, so nothing is scheduled on it"
    if labels_of(node).get(UPGRADE_LABEL) == "Quarantined":
        advice = (
            f"AKS could not drain it for an upgrade ({UPGRADE_LABEL}=Quarantined). Remove what blocks the drain, "
            "often a PodDisruptionBudget, and start the upgrade again."
        )
        return Problem(subject, "Cordoned", text, advice, Permanence.UNCERTAIN)
    if azure_says:
        advice = "AKS cordons the nodes of a pool while it works on it; it lifts that by itself."
        return Problem(subject, "Cordoned", f"{text}; Azure says: {azure_says}", advice)
    advice = f"If nobody works on it: kubectl uncordon {name_of(node)}"
    return Problem(subject, "Cordoned", text, advice, Permanence.UNCERTAIN)


def _not_ready(subject: str, node: dict[str, Any], partitioned: bool) -> Problem:
    condition = condition_of(node, "Ready")
    if condition is None:
        return Problem(subject, "NotReady", "NotReady: its kubelet has not reported yet")
    message = f"NotReady: {condition.get('reason')}: {condition.get('message')}"
    if partitioned:
        return Problem(subject, "MigReboot", message, "A node with MIG reboots while its GPUs are partitioned.")
    advice = ""
    if condition.get("status") == "Unknown":
        spot = labels_of(node).get(SPOT_LABEL) == "spot"
        advice = (
            "It is a Spot node: Azure may have evicted it."
            if spot
            else "Its VM may be stopped, or its network be broken."
        )
    return Problem(subject, "NotReady", message, advice)


def _eviction(subject: str, node: dict[str, Any]) -> list[Problem]:
    event = condition_of(node, "VMEventScheduled")
    if event is None or event.get("status") != "True":
        return []
    message = f"{event.get('reason')}: {event.get('message')}"
    if "Preempt" in message:
        advice = "Azure takes the Spot capacity back. Wait for another node, or use a regular pool."
        return [Problem(subject, "SpotEviction", message, advice, Permanence.TRANSIENT)]
    return [
        Problem(subject, "VMEventScheduled", message, "Azure maintains the VM.", Permanence.TRANSIENT, blocking=False)
    ]
