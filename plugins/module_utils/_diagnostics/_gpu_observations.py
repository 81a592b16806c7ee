# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was seen of the GPU nodes of a pool, and what is expected of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_sources import (
    DRA_DRIVER,
    claimed_devices,
    is_device_plugin,
    is_dra_driver,
    may_be_device_plugin,
    meant_for,
    name_with_namespace,
    names,
    sliced_devices,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
    ACCELERATOR_LABEL,
    MANAGED_LABEL,
    POOL_LABEL,
    labels_of,
    name_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._pods import (
    is_over,
    requested,
)


@dataclass(frozen=True)
class Expectation:
    """What a pool is to offer.

    Attributes:
        node_pool: Name of the pool; None for every node that AKS labels as one with an accelerator.
        nodes: So many nodes at least. Zero for a pool that the autoscaler may empty.
        gpus_per_node: So many of the resource on each node; None for any number above zero.
        resource: The resource's name.
        vm_size: The pool's size, for messages.
        stack: The ``gpu_stack`` of the pool, where it is known: who brings the device plugin.
        pool: What Azure says of the pool, as ``aks.gpu.node_pool`` returns it; empty when unknown.
        ignored: DaemonSets to pass over, each ``namespace/name``.
    """

    node_pool: str | None = None
    nodes: int = 1
    gpus_per_node: int | None = None
    resource: str = "nvidia.com/gpu"
    vm_size: str | None = None
    stack: str | None = None
    pool: dict[str, Any] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()

    @property
    def subject(self) -> str:
        """What messages call it."""
        return f"Node pool {self.node_pool}" if self.node_pool else "The cluster"

    @property
    def label_selector(self) -> str:
        """The nodes that are meant."""
        return f"{POOL_LABEL}={self.node_pool}" if self.node_pool else ACCELERATOR_LABEL

    @property
    def work_under_way(self) -> str:
        """What Azure is doing with the pool, such as ``UpgradingNodeImageVersion``; empty when nothing is known."""
        state = str(self.pool_value("provisioning_state") or "")
        return "" if state in ("Succeeded", "Failed", "Canceled") else state

    def pool_value(self, *keys: str) -> Any:
        """Returns what Azure says under nested keys, or None."""
        value: Any = self.pool
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


class Observed:
    """What is in the cluster, so that a look at one node costs as much as what is on it.

    Args:
        expected: What the pool is to offer.
        found: The objects of each collection, by the names of ``watched``.
        unknown: The collections that could not be read.
    """

    def __init__(self, expected: Expectation, found: Mapping[str, Iterable[dict[str, Any]]], unknown: Set[str]) -> None:
        every = [each for each in found.get("daemon_sets", ()) if name_with_namespace(each) not in expected.ignored]
        passed_over = {
            each["metadata"].get("uid")
            for each in found.get("daemon_sets", ())
            if name_with_namespace(each) in expected.ignored
        }
        self.unknown = unknown
        self.plugins = [each for each in every if is_device_plugin(each)]
        self.drivers = [each for each in every if is_dra_driver(each)]
        self.unclear = [each for each in every if may_be_device_plugin(each)]
        self.pods: dict[str | None, list[dict[str, Any]]] = {}
        self.warnings: dict[str | None, list[dict[str, Any]]] = {}
        self.in_use = Counter[str]()
        self._plugin_pods: dict[str | None, list[dict[str, Any]]] = {}
        self._uids = {each["metadata"].get("uid") for each in self.plugins}
        slices = list(found.get("resource_slices", ()))
        claimed = claimed_devices(slices, found.get("resource_claims", ()))
        self._sliced = sliced_devices(slices)
        # GPUs of which nothing says that they are free are not.
        self.in_use.update(self._sliced if "resource_claims" in unknown else claimed)
        for pod in found.get("pods", ()):
            if _pod_owner_uids(pod) & passed_over:
                continue
            where = _node_of(pod)
            self.pods.setdefault(where, []).append(pod)
            if self._is_plugin_pod(pod):
                self._plugin_pods.setdefault(where, []).append(pod)
            if not is_over(pod) and (pod.get("spec") or {}).get("nodeName"):
                self.in_use[pod["spec"]["nodeName"]] += requested(pod, expected.resource)
        for event in found.get("events", ()):
            self.warnings.setdefault((event.get("involvedObject") or {}).get("uid"), []).append(event)

    @property
    def rivals(self) -> list[dict[str, Any]]:
        """The DaemonSets that hand out GPUs."""
        return self.plugins + self.drivers

    def meant(self, node: dict[str, Any], daemon_sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns those of the DaemonSets that make a Pod for a node."""
        return meant_for(node, daemon_sets)

    def running_plugin(self, node: dict[str, Any]) -> str | None:
        """Returns the device plugin Pod that runs on a node, as ``namespace/name``."""
        for pod in self._plugin_pods.get(name_of(node), []):
            if (pod.get("status") or {}).get("phase") == "Running":
                return name_with_namespace(pod)
        return None

    def by_dra(self, node: dict[str, Any]) -> bool:
        """True when NVIDIA's DRA driver hands out the GPUs of a node."""
        return name_of(node) in self._sliced or bool(self.meant(node, self.drivers))

    def sources(self, expected: Expectation, node: dict[str, Any]) -> list[str]:
        """Returns all that hands out the GPUs of a node, in words."""
        meant = self.meant(node, self.rivals)
        uids = {each["metadata"].get("uid") for each in meant}
        sources = [f"DaemonSet {name}" for name in names(meant)]
        sources += [
            f"Pod {name_with_namespace(pod)}"
            for pod in self._plugin_pods.get(name_of(node), [])
            if not _pod_owner_uids(pod) & uids
        ]
        if name_of(node) in self._sliced and not any(is_dra_driver(each) for each in meant):
            sources.append(f"ResourceSlices of {DRA_DRIVER}")
        if brings_plugin(expected, node):
            sources.append("the device plugin of the node itself")
        return sources

    def _is_plugin_pod(self, pod: dict[str, Any]) -> bool:
        if pod["metadata"].get("deletionTimestamp") or is_over(pod):
            return False
        return bool(_pod_owner_uids(pod) & self._uids) or is_device_plugin(pod)


def brings_plugin(expected: Expectation, node: dict[str, Any]) -> bool:
    return expected.stack in ("managed", "gpu_image") or labels_of(node).get(MANAGED_LABEL) == "enabled"


def owned_by(pod: dict[str, Any], owner: dict[str, Any]) -> bool:
    return owner["metadata"]["uid"] in _pod_owner_uids(pod)


def _pod_owner_uids(pod: dict[str, Any]) -> set[Any]:
    return {reference.get("uid") for reference in pod["metadata"].get("ownerReferences") or []}


def _node_of(pod: dict[str, Any]) -> str | None:
    """The node of a Pod; also of one that a DaemonSet made for a node but that is not scheduled yet."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or []
    for term in terms:
        for expression in term.get("matchFields") or []:
            if expression.get("key") == "metadata.name" and expression.get("values"):
                return str(expression["values"][0])
    return None


def expectation_of(params: dict[str, Any], *, gpus_of_size: Callable[[str], int | None]) -> Expectation:
    """Returns what the options of ``wait_for_gpus`` expect, with what the pool itself says where they say nothing.

    Args:
        params: The options.
        gpus_of_size: Says how many GPUs a VM size has; None for one that it does not know.

    Raises:
        Failure: The cluster's node pools are given, and this one is not among them.
    """
    pool = params["pool"] or {}
    name, existing = params["node_pool"] or pool.get("name"), params.get("node_pools") or ()
    if existing and name and name not in existing:
        raise Failure(
            f"There is no node pool {name}. There are: {', '.join(existing)}.",
            hint="The playbook aks.gpu.site or the role aks.gpu.node_pool creates it; node_pool_name names another.",
        )
    vm_size = params["vm_size"] or pool.get("vm_size")
    nodes = params["nodes"]
    if nodes is None:
        nodes = pool.get("min_count") if pool.get("enable_auto_scaling") else pool.get("count")
    gpus = params["gpus_per_node"]
    if (
        gpus is None
        and vm_size
        and params["resource_name"] == "nvidia.com/gpu"
        and not pool.get("gpu_instance_profile")
    ):
        gpus = gpus_of_size(vm_size)
    return Expectation(
        node_pool=name,
        nodes=1 if nodes is None else int(nodes),
        gpus_per_node=gpus,
        resource=params["resource_name"],
        vm_size=vm_size,
        stack=params["gpu_stack"],
        pool=pool,
        ignored=frozenset(params.get("ignored_daemon_sets") or ()),
    )
