# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the GPUs of a pool can be used, and what is in the way: pure, but for the wait at the end."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import (
    Expectation,
    Observed,
    brings_plugin,
    owned_by,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_sources import (
    DRA_DRIVER,
    allocated_gpus,
    hands_out_gpus,
    is_device_plugin,
    may_be_device_plugin,
    meant_for,
    names,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
    MANAGED_LABEL,
    SIZE_LABEL,
    gpu_resources,
    is_leaving,
    is_ready,
    labels_of,
    name_of,
    node_core,
    node_problems,
    node_result,
    quantity,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._placement import placement_obstacle, untolerated
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._planned_node import planned_node
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._pods import (
    holder_core,
    is_over,
    pod_problems,
    requested,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import (
    LogReference,
    Permanence,
    Problem,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._resources import describe
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, State

_MAY_NOT_LIST = "Let this identity list DaemonSets and Pods in all namespaces, as docs/azure.md says."


@dataclass(frozen=True)
class GpuStatus:
    """How a pool stands.

    Attributes:
        nodes: The nodes as return values, by name.
        problems: What is wrong, the most telling first.
        done: True when the GPUs can be used.
        summary: One line for a person who waits.
        expected: What it was judged by.
        device_plugins: DaemonSets of device plugins in the cluster, each ``namespace/name``.
        pool_device_plugins: Those that would make a Pod for a new node of the expected pool.
        cluster_policies: The ClusterPolicies of NVIDIA's GPU Operator, by name.
        possible_device_plugins: DaemonSets that may put a second device plugin on a new node of the expected pool: by a
            label that can't be foreseen, or because nothing says which devices they register.
        gpu_clusters: The GPUClusters of NVIDIA's GPU Operator, by name.
    """

    nodes: list[dict[str, Any]]
    problems: list[Problem]
    done: bool
    summary: str
    expected: Expectation
    device_plugins: list[str] = field(default_factory=list)
    pool_device_plugins: list[str] = field(default_factory=list)
    cluster_policies: list[str] = field(default_factory=list)
    possible_device_plugins: list[str] = field(default_factory=list)
    gpu_clusters: list[str] = field(default_factory=list)


def evaluate_nodes(
    expected: Expectation,
    nodes: Iterable[dict[str, Any]],
    daemon_sets: Iterable[dict[str, Any]],
    pods: Iterable[dict[str, Any]],
    events: Iterable[dict[str, Any]] = (),
    cluster_policies: Iterable[dict[str, Any]] = (),
    *,
    unknown: Set[str] = frozenset(),
    **more: Iterable[dict[str, Any]],
) -> GpuStatus:
    """Judges a pool by what is in the cluster.

    Args:
        expected: What the pool is to offer.
        nodes: Its nodes.
        daemon_sets: Of the whole cluster, at least those of device plugins.
        pods: Of the whole cluster, at least those that hold the resource, belong to a device plugin, or failed at
            their node's admission.
        events: Warnings about DaemonSets.
        cluster_policies: Those of NVIDIA's GPU Operator.
        unknown: The collections that could not be read, by the names of ``watched``.
        more: ``gpu_clusters``, ``resource_slices``, ``resource_claims`` and ``system_nodes``.
    """
    found = sorted(nodes, key=name_of)
    collections = {"daemon_sets": list(daemon_sets), "pods": pods, "events": events, **more}
    seen = Observed(expected, collections, unknown)
    operators = _Operators(list(cluster_policies), list(more.get("gpu_clusters", ())))
    staying = [node for node in found if not is_leaving(node)]
    problems = _pool_problems(expected, staying)
    partitioned = bool(expected.pool_value("gpu_instance_profile"))
    for node in found:
        problems += node_problems(node, partitioned=partitioned, azure_says=expected.work_under_way)
        if is_ready(node) and not is_leaving(node):
            problems += _more_than_one(expected, node, seen)
            problems += _gpu_problems(expected, node, seen, operators)
        problems += _rejected(node, seen.pods.get(name_of(node), []))
    problems.sort(key=lambda problem: problem.cause != "SpotEviction")  # it explains what else is missing
    good = [node for node in staying if _usable(expected, node)]
    done = len(good) >= expected.nodes and not any(problem.blocking for problem in problems)
    wanted = f"{expected.gpus_per_node or 'some'} {expected.resource} each"
    summary = (
        f"{expected.node_pool or 'GPU nodes'}: {len(good)} of {max(expected.nodes, len(staying))} nodes with {wanted}"
    )
    results = [
        node_result(
            node,
            expected.resource,
            None if "pods" in unknown else seen.in_use[name_of(node)],
            seen.running_plugin(node),
            _gpu_provider(node, seen),
            names(seen.meant(node, seen.rivals)),
        )
        for node in found
    ]
    to_come: list[dict[str, Any]] = []
    possible: list[dict[str, Any]] = []
    if expected.pool:
        future = planned_node(expected.pool, expected.stack, [*more.get("system_nodes", ()), *found])
        to_come = seen.meant(future, seen.rivals)
        likely = meant_for(future, seen.rivals + seen.unclear, open_labels=True)
        possible = [each for each in likely if each not in to_come]
    return GpuStatus(
        results,
        problems,
        done,
        summary,
        expected,
        names(seen.rivals),
        names(to_come),
        sorted(name_of(policy) for policy in operators.policies),
        names(possible),
        sorted(name_of(each) for each in operators.clusters),
    )


@dataclass(frozen=True)
class _Operators:
    policies: list[dict[str, Any]]
    clusters: list[dict[str, Any]]

    def words(self) -> str:
        """Returns what NVIDIA's GPU Operator says of itself; empty when it says nothing."""
        said = []
        for kind, found in (("ClusterPolicy", self.policies), ("GPUCluster", self.clusters)):
            for each in found:
                status = each.get("status") or {}
                reasons = [
                    f"{condition.get('reason')}: {condition['message']}"
                    for condition in status.get("conditions") or []
                    if condition.get("message")
                    and (condition.get("type") == "Ready" or condition.get("status") == "True")
                ]
                words = ([str(status["state"])] if status.get("state") else []) + reasons
                if words:
                    said.append(f"{kind} {name_of(each)} says: {', '.join(words)}")
        return "; ".join(said)


def _more_than_one(expected: Expectation, node: dict[str, Any], seen: Observed) -> list[Problem]:
    """Says that the GPUs of a node are handed out twice, however it came to that."""
    sources = seen.sources(expected, node)
    if len(sources) < 2:
        return []
    text = f"its GPUs are handed out by more than one: {', '.join(sources)}"
    advice = "Each hands out every GPU. Remove all but one, or keep them off these nodes by labels or taints."
    # A Pod that a DaemonSet has left behind goes when the garbage collector comes to it.
    permanence = Permanence.UNCERTAIN if any(source.startswith("Pod ") for source in sources) else Permanence.PERMANENT
    return [Problem(f"Node {name_of(node)}", "TwoDevicePlugins", text, advice, permanence)]


def _gpu_provider(node: dict[str, Any], seen: Observed) -> str | None:
    """Says who offers the GPUs of a node: AKS, a DaemonSet that is meant for it, or, where there is none, its image."""
    if not any(quantity(node, "allocatable", name) for name in gpu_resources(node)):
        return "dra" if seen.by_dra(node) else None
    if labels_of(node).get(MANAGED_LABEL) == "enabled":
        return "managed"
    if seen.meant(node, seen.plugins) or seen.running_plugin(node):
        return "daemon_set"
    return None if "daemon_sets" in seen.unknown else "node"


def _usable(expected: Expectation, node: dict[str, Any]) -> bool:
    allocatable = quantity(node, "allocatable", expected.resource)
    return is_ready(node) and allocatable >= (expected.gpus_per_node or 1)


def _pool_problems(expected: Expectation, staying: list[dict[str, Any]]) -> list[Problem]:
    problems: list[Problem] = []
    state = expected.pool_value("provisioning_state")
    if state == "Failed":
        error = expected.pool_value("status", "provisioning_error") or expected.pool_value("provisioning_error")
        words = error.get("message") if isinstance(error, dict) else error
        problems.append(
            Problem(
                expected.subject,
                "PoolFailed",
                f"Azure says that the pool Failed: {words or 'it gives no reason'}",
                "Correct the cause and run aks.gpu.node_pool again.",
                Permanence.PERMANENT if len(staying) < expected.nodes else Permanence.UNCERTAIN,
            )
        )
    elif expected.pool_value("power_state") == "Stopped" or expected.pool_value("power_state", "code") == "Stopped":
        advice = "Start it: az aks nodepool start"
        problems.append(Problem(expected.subject, "PoolStopped", "the pool is stopped", advice, Permanence.PERMANENT))
    if len(staying) < expected.nodes:
        creating = f"; Azure says: {state}" if state and state != "Succeeded" else ""
        text = f"it has {len(staying)} of {expected.nodes} nodes{creating}"
        if staying or creating:
            advice = ""
        elif expected.pool_value("scale_set_priority") == "Spot":
            advice = "Azure may have evicted Spot nodes, or have no Spot capacity at the moment."
        else:
            advice = "The pool may still be created, have failed, or be scaled to zero."
        problems.append(Problem(expected.subject, "NodesMissing", text, advice))
    sizes = {labels_of(node).get(SIZE_LABEL) for node in staying} - {None}
    for size in sorted(str(name) for name in sizes):
        if expected.vm_size and size.lower() != expected.vm_size.lower():
            text = f"nodes have the size {size}, not {expected.vm_size}"
            problems.append(Problem(expected.subject, "OtherSize", text, "", Permanence.PERMANENT))
    return problems


def _gpu_problems(expected: Expectation, node: dict[str, Any], seen: Observed, operators: _Operators) -> list[Problem]:
    subject, resource = f"Node {name_of(node)}", expected.resource
    capacity, allocatable = quantity(node, "capacity", resource), quantity(node, "allocatable", resource)
    wanted = expected.gpus_per_node or 1
    if allocatable >= wanted:
        return []
    causes = _plugin_problems(expected, node, seen, operators)
    if capacity and allocatable < capacity:
        text = f"{allocatable} of its {capacity} {resource} can be allocated"
        advice = "Its device plugin is gone, or reports the others as unhealthy."
        return [Problem(subject, "AllocatableBelowCapacity", text, advice, Permanence.UNCERTAIN), *causes]
    if capacity:
        whole = f"; {expected.vm_size} should have {wanted}" if expected.vm_size else f"; {wanted} are expected"
        advice = "A GPU may be missing, or MIG or sharing be set up otherwise than expected."
        text = f"it offers {capacity} {resource}{whole}"
        return [Problem(subject, "FewerGpus", text, advice, Permanence.UNCERTAIN), *causes]
    others = {name: count for name, count in gpu_resources(node).items() if name != resource}
    if others:
        offered = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
        advice = "Expect this resource name, or change the plugin's MIG strategy or its time slicing."
        return [
            Problem(subject, "OtherResource", f"it offers {offered}, but no {resource}", advice, Permanence.UNCERTAIN)
        ]
    return causes or [_nothing_registered(subject, resource)]


def _nothing_registered(subject: str, resource: str) -> Problem:
    advice = "If it stays so, the node has no working driver, or the plugin found no GPU."
    return Problem(subject, "CapacityZero", f"it offers no {resource} yet", advice, Permanence.UNCERTAIN)


def _plugin_problems(
    expected: Expectation, node: dict[str, Any], seen: Observed, operators: _Operators
) -> list[Problem]:
    plugins = seen.plugins
    subject = f"Node {name_of(node)}"
    driver = expected.pool_value("gpu_profile", "driver")
    if driver == "None" and expected.stack != "operator":
        advice = "Create a pool with gpu_profile.driver Install, or bring the driver, as the GPU Operator does."
        text = "the pool has the GPU driver None, so nothing can advertise its GPUs"
        return [Problem(subject, "DriverNone", text, advice, Permanence.UNCERTAIN if plugins else Permanence.PERMANENT)]
    if brings_plugin(expected, node):
        return []
    meant = seen.meant(node, plugins)
    if seen.by_dra(node) and not meant:
        text = f"its GPUs are handed out by DRA (ResourceSlices of {DRA_DRIVER}), not as {expected.resource}"
        advice = "Keep NVIDIA's DRA driver off these nodes, or let workloads ask by ResourceClaims."
        return [Problem(subject, "HandedOutByDra", text, advice, Permanence.UNCERTAIN)]
    obstacles: list[Problem] = []
    for plugin in meant or plugins:
        mine = [
            pod
            for pod in seen.pods.get(name_of(node), [])
            if owned_by(pod, plugin) and not pod["metadata"].get("deletionTimestamp")
        ]
        if mine:
            return [problem for pod in mine for problem in _plugin_pod_problems(subject, pod, node, expected.resource)]
        obstacle = placement_obstacle((plugin.get("spec") or {}).get("template") or {}, node)
        if obstacle:
            cause, words = obstacle
            advice = {
                "NotTolerated": "Add the toleration to the DaemonSet.",
                "NotSelected": "Correct the DaemonSet's selector, or wait for the label if something still sets it.",
            }[cause]
            text = f"{describe({'kind': 'DaemonSet', **plugin})} makes no Pod for it: {words}"
            obstacles.append(Problem(subject, cause, text, advice, Permanence.UNCERTAIN))
            continue
        obstacles += _failed_creation(subject, plugin, seen.warnings.get(plugin["metadata"]["uid"], []))
    if meant and not obstacles and "pods" in seen.unknown:
        text = "whether its device plugin Pod runs is not known: Pods can't be listed"
        return [Problem(subject, "PluginUnknown", text, _MAY_NOT_LIST, Permanence.UNCERTAIN)]
    if obstacles or plugins:
        return obstacles or [
            Problem(subject, "NoPluginPod", "the device plugin's DaemonSet has made no Pod for it yet")
        ]
    if "daemon_sets" in seen.unknown:
        text = "whether a device plugin is meant for it is not known: DaemonSets can't be listed"
        return [Problem(subject, "PluginUnknown", text, _MAY_NOT_LIST, Permanence.UNCERTAIN)]
    text = "there is no device plugin in the cluster"
    said = operators.words()
    if expected.stack == "operator":
        advice = "NVIDIA's GPU Operator makes it when it has found the node; if not, the logs of its Pods say why."
        return [Problem(subject, "NoDevicePlugin", f"{text}; {said}" if said else text, advice)]
    advice = "Apply the device plugin's DaemonSet (role aks.gpu.device_plugin), or choose another gpu_stack."
    return [Problem(subject, "NoDevicePlugin", text, advice, Permanence.UNCERTAIN)]


def _plugin_pod_problems(subject: str, pod: dict[str, Any], node: dict[str, Any], resource: str) -> list[Problem]:
    taints = untolerated(pod.get("spec") or {}, node)
    problems = [
        replace(
            problem,
            subject=f"{subject}, device plugin {problem.subject}",
            # The scheduler does not say which taint it is.
            advice=f"The DaemonSet needs a toleration for {', '.join(taints)}."
            if taints and problem.cause == "Unschedulable"
            else problem.advice,
        )
        for problem in pod_problems(pod)
    ]
    if problems:
        return problems
    name = f"device plugin Pod {pod['metadata'].get('namespace')}/{pod['metadata']['name']}"
    phase = (pod.get("status") or {}).get("phase")
    if phase != "Running":
        return [Problem(subject, "PluginStarting", f"its {name} is {phase}")]
    text = f"its {name} is Running, but has registered no {resource}"
    advice = (
        "The driver may still be installed. If it stays so: without a driver the plugin waits for ever unless "
        "FAIL_ON_INIT_ERROR is true, and a wrong MIG strategy advertises nothing, or another name."
    )
    metadata, container = pod["metadata"], pod["spec"]["containers"][0]["name"]
    log = LogReference(metadata.get("namespace", "default"), metadata["name"], container, False, metadata["uid"])
    return [Problem(subject, "PluginSilent", text, advice, Permanence.UNCERTAIN, log)]


def _failed_creation(subject: str, plugin: dict[str, Any], events: list[dict[str, Any]]) -> list[Problem]:
    if not events:
        return []
    last = max(events, key=lambda event: str(event.get("lastTimestamp") or ""))
    text = (
        f"{describe({'kind': 'DaemonSet', **plugin})} can't make its Pod: {last.get('reason')}: {last.get('message')}"
    )
    advice = "Pod Security, a quota or an admission rule is in the way; the message names it."
    return [Problem(subject, "PluginRefused", text, advice, Permanence.UNCERTAIN)]


def _rejected(node: dict[str, Any], pods: list[dict[str, Any]]) -> list[Problem]:
    mine = [pod for pod in pods if (pod.get("status") or {}).get("reason") == "UnexpectedAdmissionError"]
    if not mine:
        return []
    said = (mine[0].get("status") or {}).get("message")
    example = describe({"kind": "Pod", **mine[0]})
    text = f"{len(mine)} Pods failed with UnexpectedAdmissionError, such as {example}: {said}"
    advice = "The kubelet had lost its GPUs. Restart the device plugin's Pod of this node, and delete the failed Pods."
    return [
        Problem(f"Node {name_of(node)}", "UnexpectedAdmissionError", text, advice, Permanence.TRANSIENT, blocking=False)
    ]


def watched(expected: Expectation) -> dict[str, Query]:
    """Returns what has to be followed to judge a pool."""

    def pod_that_matters(pod: dict[str, Any]) -> dict[str, Any] | None:
        if is_device_plugin(pod):
            return {**pod, "metadata": {**pod["metadata"], "managedFields": None}}
        rejected = (pod.get("status") or {}).get("reason") == "UnexpectedAdmissionError"
        if rejected or (requested(pod, expected.resource) and not is_over(pod)):
            return holder_core(pod, expected.resource)
        return None

    def allocated_claim(claim: dict[str, Any]) -> dict[str, Any] | None:
        return claim if allocated_gpus(claim) else None

    queries = {
        "nodes": Query("/api/v1/nodes", label_selector=expected.label_selector, keep=node_core),
        "daemon_sets": Query(
            "/apis/apps/v1/daemonsets",
            optional=True,
            keep=lambda found: found if hands_out_gpus(found) or may_be_device_plugin(found) else None,
        ),
        # A Pod that succeeded holds nothing. Of one that failed, its node may have lost its GPUs.
        "pods": Query("/api/v1/pods", field_selector="status.phase!=Succeeded", optional=True, keep=pod_that_matters),
        "events": Query("/api/v1/events", field_selector="type=Warning,involvedObject.kind=DaemonSet", optional=True),
        "cluster_policies": Query("/apis/nvidia.com/v1/clusterpolicies", optional=True),
        "gpu_clusters": Query("/apis/nvidia.com/v1alpha1/gpuclusters", optional=True),
        "resource_slices": Query(
            "/apis/resource.k8s.io/v1/resourceslices", field_selector=f"spec.driver={DRA_DRIVER}", optional=True
        ),
        "resource_claims": Query("/apis/resource.k8s.io/v1/resourceclaims", optional=True, keep=allocated_claim),
    }
    if expected.pool and not expected.node_pool:
        # Before the pool is there: what AKS's nodes are called in this cluster.
        queries["system_nodes"] = Query(
            "/api/v1/nodes", label_selector="kubernetes.azure.com/mode=system", optional=True, keep=node_core
        )
    return queries


def evaluate_state(expected: Expectation, state: State) -> GpuStatus:
    """Judges a pool by the state of a watch."""
    found = {name: state.all(name) for name in watched(expected)}
    return evaluate_nodes(expected, **found, unknown=state.denied.keys())
