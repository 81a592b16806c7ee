# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node is, what is wrong with it, and whether a Pod may run on it. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Hope, Problem

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
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ABOUT_GPUS = re.compile(
    r"gpu|xid|nvlink|nvswitch|nvidia|nvml|dcgm|cuda|infiniband|rdma|roce|mellanox|mlx|accelerat|imex|"
    r"fabric-?manager|double-?bit",
    re.IGNORECASE,
)
_ABOUT_GPUS_WORD = re.compile(r"(?i:ib|ecc|mig)|IB(?!M$)[A-Z]+")
_WATCHED_ELSEWHERE = frozenset({"Ready", "VMEventScheduled"})

_PASSING_TAINTS = frozenset(
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
_LEAVING_TAINTS = frozenset({"ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler"})


def name_of(node: dict[str, Any]) -> str:
    """Returns a node's name."""
    return str(node["metadata"]["name"])


def labels_of(node: dict[str, Any]) -> dict[str, str]:
    """Returns a node's labels."""
    return node["metadata"].get("labels") or {}


def pool_of_labels(labels: Mapping[str, str]) -> str | None:
    """Returns the node pool that labels name, also those of a selector; None when they name none."""
    return next((labels[key] for key in POOL_LABELS if labels.get(key)), None)


def pool_of(name: str, labels: Mapping[str, str]) -> str | None:
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
    return bool(_ABOUT_GPUS.search(kind)) or any(_ABOUT_GPUS_WORD.fullmatch(word) for word in _WORD.findall(kind))


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
    words = [word.lower() for word in _WORD.findall(kind)]
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
        return [Problem(subject, "Leaving", "it is being removed", "", Hope.GOOD, blocking=False)]
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
            problems.append(Problem(subject, kind, words, ailment.advice, Hope.LITTLE, blocking=ailment.blocking))
    state = labels_of(node).get("nvidia.com/mig.config.state")
    if state in ("pending", "rebooting"):
        problems.append(Problem(subject, "MigReboot", f"its GPUs are being partitioned (mig.config.state is {state})"))
    elif state == "failed":
        advice = "The MIG manager's log says why; a profile that the GPU does not know is the usual cause."
        problems.append(Problem(subject, "MigFailed", "its GPUs could not be partitioned", advice, Hope.LITTLE))
    return problems


def future_node(pool: Mapping[str, Any], stack: str | None, live: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Returns what Kubernetes will say of a new GPU node, as far as it decides which Pods are put there.

    Its labels are those that AKS has put on a live node of the cluster, with what differs by pool. Of those that
    something in the cluster adds, node feature discovery's for NVIDIA's devices are foreseen where it runs.

    Args:
        pool: Its pool as ``aks.gpu.node_pool`` returns it, or a part of that.
        stack: The ``gpu_stack`` of the pool, or None.
        live: Nodes of the cluster.
    """
    nvidia = (pool.get("gpu_profile") or {}).get("nvidia") or {}
    tags = {str(key).lower(): str(text).lower() for key, text in (pool.get("tags") or {}).items()}
    managed = nvidia.get("management_mode") == "Managed" or tags.get("enablemanagedgpuexperience") == "true"
    spot = str(pool.get("scale_set_priority")) == "Spot"
    # Grace, the processor beside GB200 and GB300, is of Arm; all other GPU sizes are not.
    arch = "arm64" if re.search(r"_gb\d", str(pool.get("vm_size")).lower()) else "amd64"
    system = str(pool.get("os_type") or "Linux").lower()
    known = {
        **_labels_of_cluster(live),
        POOL_LABEL: pool.get("name"),
        "agentpool": pool.get("name"),
        SIZE_LABEL: pool.get("vm_size"),
        "beta.kubernetes.io/instance-type": pool.get("vm_size"),
        SPOT_LABEL: "spot" if spot else None,
        MANAGED_LABEL: "enabled" if stack == "managed" or managed else None,
        "kubernetes.azure.com/mode": str(pool.get("mode") or "User").lower(),
        "kubernetes.io/os": system,
        "beta.kubernetes.io/os": system,
        "kubernetes.io/arch": arch,
        "beta.kubernetes.io/arch": arch,
        "accelerator": "nvidia",
        ACCELERATOR_LABEL: "nvidia",
        **(pool.get("node_labels") or {}),
    }
    taints = [*(pool.get("node_taints") or ()), *([f"{SPOT_LABEL}=spot:NoSchedule"] if spot else [])]
    return {
        "metadata": {"name": "", "labels": {key: str(value) for key, value in known.items() if value is not None}},
        "spec": {"taints": [_taint_of(str(text)) for text in taints]},
    }


_LABELS_OF_POOL = re.compile(
    r"kubernetes\.azure\.com/(?:agentpool|mode|accelerator|scalesetpriority|dcgm-exporter|node-image-version|os-sku.*|"
    r"storageprofile|storagetier|sku-.*|security-type|kata.*|fips.*|upgrade-status|.*gpu.*)"
)
_LABELS_OF_CLUSTER = re.compile(
    r"kubernetes\.azure\.com/.*|kubernetes\.io/role|node-role\.kubernetes\.io/.*|"
    r"(?:topology\.kubernetes\.io|failure-domain\.beta\.kubernetes\.io)/region"
)
_DISCOVERY = "feature.node.kubernetes.io/"
_DISCOVERED = ("pci-10de.present", "pci-0300_10de.present", "pci-0302_10de.present")


def _labels_of_cluster(live: Sequence[dict[str, Any]]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for node in live:
        for key, value in labels_of(node).items():
            if _LABELS_OF_CLUSTER.fullmatch(key) and not _LABELS_OF_POOL.fullmatch(key):
                labels.setdefault(key, value)
            if key.startswith(_DISCOVERY):
                labels |= {f"{_DISCOVERY}{name}": "true" for name in _DISCOVERED}
            if key == "nvidia.com/gpu.present":
                labels[key] = value
    return labels


def _taint_of(text: str) -> dict[str, str]:
    front, _colon, effect = text.rpartition(":")
    key, _equals, value = front.partition("=")
    return {"key": key, "value": value, "effect": effect}


def placement_obstacle(
    template: dict[str, Any], node: dict[str, Any], *, open_labels: bool = False
) -> tuple[str, str] | None:
    """Returns why a DaemonSet makes no Pod for a node, as a cause and in words; None when it does.

    Args:
        template: The Pod template of the DaemonSet.
        node: The node.
        open_labels: The node may get more labels than it has, so that one that it lacks is no obstacle.
    """
    spec = template.get("spec") or {}
    labels = labels_of(node)
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value and not (open_labels and _may_come(key, labels)):
            return "NotSelected", f"its nodeSelector wants the label {key}={value}, which the node does not have"
    if not _affine(spec, node, open_labels):
        return "NotSelected", "its node affinity does not match the labels of the node"
    taints = untolerated(spec, node)
    if taints:
        word = "taint" if len(taints) == 1 else "taints"
        return "NotTolerated", f"it does not tolerate the {word} {', '.join(taints)} of the node"
    return None


def untolerated(spec: dict[str, Any], node: dict[str, Any]) -> list[str]:
    """Returns the taints of a node that keep a Pod away for good; not those of a node that boots, fills up or leaves.

    Args:
        spec: The spec of the Pod.
        node: The node.
    """
    return [
        taint_text(taint)
        for taint in taints_of(node)
        if taint.get("effect") != "PreferNoSchedule"
        and taint.get("key") not in _PASSING_TAINTS | _LEAVING_TAINTS
        and not any(tolerates(toleration, taint) for toleration in spec.get("tolerations") or [])
    ]


def tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    """True when a toleration covers a taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint.get("key")
    return toleration.get("key") == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")


def _may_come(key: str, labels: dict[str, str]) -> bool:
    """True for a label that is not there and that something may still add; those that AKS adds by itself are known."""
    return key not in labels and key not in (SPOT_LABEL, MANAGED_LABEL)


def _affine(spec: dict[str, Any], node: dict[str, Any], open_labels: bool) -> bool:
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return True
    fields = {"metadata.name": name_of(node)}
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and _all_match(term.get("matchExpressions") or [], labels_of(node), open_labels)
        and _all_match(term.get("matchFields") or [], fields, False)
        for term in required.get("nodeSelectorTerms") or []
    )


def _all_match(expressions: Iterable[dict[str, Any]], values: dict[str, str], open_labels: bool) -> bool:
    return all(_matches(expression, values, open_labels) for expression in expressions)


def _matches(expression: dict[str, Any], values: dict[str, str], open_labels: bool) -> bool:
    value = values.get(expression["key"])
    operator, wanted = expression["operator"], expression.get("values") or []
    if open_labels and operator in ("Exists", "In", "Gt", "Lt") and _may_come(expression["key"], values):
        return True
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator == "In":
        return value in wanted
    if operator == "NotIn":
        return value not in wanted
    try:
        return int(value or "") > int(wanted[0]) if operator == "Gt" else int(value or "") < int(wanted[0])
    except ValueError:
        return False


def _cordoned(subject: str, node: dict[str, Any], azure_says: str) -> Problem:
    """https://learn.microsoft.com/azure/aks/how-does-upgrade-happen: an upgrade cordons one node after the other."""
    text = "it is cordoned, so nothing is scheduled on it"
    if labels_of(node).get(UPGRADE_LABEL) == "Quarantined":
        advice = (
            f"AKS could not drain it for an upgrade ({UPGRADE_LABEL}=Quarantined). Remove what blocks the drain, "
            "often a PodDisruptionBudget, and start the upgrade again."
        )
        return Problem(subject, "Cordoned", text, advice, Hope.LITTLE)
    if azure_says:
        advice = "AKS cordons the nodes of a pool while it works on it; it lifts that by itself."
        return Problem(subject, "Cordoned", f"{text}; Azure says: {azure_says}", advice)
    advice = f"If nobody works on it: kubectl uncordon {name_of(node)}"
    return Problem(subject, "Cordoned", text, advice, Hope.LITTLE)


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
        return [Problem(subject, "SpotEviction", message, advice, Hope.GOOD)]
    return [Problem(subject, "VMEventScheduled", message, "Azure maintains the VM.", Hope.GOOD, blocking=False)]
