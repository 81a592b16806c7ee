# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes, device plugins and Pods, and the words for what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import GpuStatus, evaluate_nodes
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation, expectation_of
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_sources import is_device_plugin
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import count_of, gpu_resources
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._placement import placement_obstacle, tolerates
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._pods import pod_problems, requested
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import GraceTracker, Permanence, Problem

GPU = "nvidia.com/gpu"
NAME = "aks-gpunp-12345678-vmss000000"
TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
TOLERATION = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}


def node(
    gpus: int | None = 1,
    *,
    allocatable: int | None = None,
    ready: str = "True",
    name: str = NAME,
    taints: list[dict[str, Any]] | None = None,
    labels: dict[str, str] | None = None,
    conditions: list[dict[str, Any]] | None = None,
    resource: str = GPU,
    **spec: Any,
) -> dict[str, Any]:
    amounts = {} if gpus is None else {resource: str(gpus)}
    usable = amounts if allocatable is None else {resource: str(allocatable)}
    reason = "KubeletReady" if ready == "True" else "KubeletNotReady"
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "labels": {
                "kubernetes.azure.com/agentpool": "gpunp",
                "kubernetes.azure.com/accelerator": "nvidia",
                "node.kubernetes.io/instance-type": "Standard_NC4as_T4_v3",
                **(labels or {}),
            },
        },
        "spec": {"taints": taints or [], **spec},
        "status": {
            "capacity": {"cpu": "4", **amounts},
            "allocatable": {"cpu": "4", **usable},
            "conditions": [
                {"type": "Ready", "status": ready, "reason": reason, "message": "in its words"},
                *(conditions or []),
            ],
        },
    }


def plugin(**spec: Any) -> dict[str, Any]:
    container = {"name": "ctr", "image": "nvcr.io/nvidia/k8s-device-plugin:v0.18.0"}
    return {
        "kind": "DaemonSet",
        "metadata": {"name": "plugin", "namespace": "gpu-resources", "uid": "ds"},
        "spec": {"template": {"spec": {"containers": [container], "tolerations": [TOLERATION], **spec}}},
    }


def plugin_pod(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "plugin-x",
            "namespace": "gpu-resources",
            "uid": "plugin-x",
            "ownerReferences": [{"uid": "ds", "kind": "DaemonSet"}],
        },
        "spec": {"nodeName": NAME, "containers": plugin()["spec"]["template"]["spec"]["containers"], **spec},
        "status": status or {"phase": "Running", "containerStatuses": [{"name": "ctr", "state": {"running": {}}}]},
    }


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    container = {"name": "ctr", "image": "img", "state": {"waiting": {"reason": reason, "message": message}}, **more}
    return {"phase": "Pending", "containerStatuses": [container]}


def judge(*nodes: dict[str, Any], pods: Any = (), plugins: Any = None, events: Any = (), **expected: Any) -> GpuStatus:
    wanted = Expectation(**{"node_pool": "gpunp", "gpus_per_node": 1, "vm_size": "Standard_NC4as_T4_v3", **expected})
    return evaluate_nodes(wanted, nodes, [plugin()] if plugins is None else plugins, pods, events)


def causes(verdict: GpuStatus) -> list[str]:
    return [problem.cause for problem in verdict.problems]


def only(verdict: GpuStatus) -> Problem:
    assert len(verdict.problems) == 1, verdict.problems
    return verdict.problems[0]


def test_all_is_well() -> None:
    verdict = judge(node(), pods=[plugin_pod()])
    assert verdict.done
    assert verdict.problems == []
    assert (verdict.nodes[0]["capacity"], verdict.nodes[0]["allocatable"], verdict.nodes[0]["in_use"]) == (1, 1, 0)


def test_in_use() -> None:
    holder = {
        "metadata": {"name": "h", "uid": "h"},
        "spec": {"nodeName": NAME, "containers": [{"name": "c", "resources": {"limits": {GPU: "1"}}}]},
        "status": {"phase": "Running"},
    }
    over = {**holder, "status": {"phase": "Succeeded"}}
    assert judge(node(2), pods=[plugin_pod(), holder, over]).nodes[0]["in_use"] == 1


def test_a_running_plugin_is_no_proof() -> None:
    verdict = judge(node(None), pods=[plugin_pod()])
    assert not verdict.done
    assert only(verdict).cause == "PluginSilent"
    assert only(verdict).log is not None


def test_not_ready() -> None:
    problem = only(judge(node(ready="False"), pods=[plugin_pod()]))
    assert problem.cause == "NotReady"
    assert "KubeletNotReady: in its words" in problem.message
    assert problem.permanence is Permanence.TRANSIENT


def test_spot_node_that_went_away() -> None:
    labels = {"kubernetes.azure.com/scalesetpriority": "spot"}
    assert "evicted" in only(judge(node(ready="Unknown", labels=labels), pods=[plugin_pod()])).advice


def test_spot_eviction_is_announced() -> None:
    condition = {"type": "VMEventScheduled", "status": "True", "reason": "VMEventScheduled", "message": "Preempt"}
    assert causes(judge(node(conditions=[condition]), pods=[plugin_pod()])) == ["SpotEviction"]


def test_mig_reboot() -> None:
    verdict = judge(node(ready="False"), pool={"gpu_instance_profile": "MIG1g"})
    assert causes(verdict) == ["MigReboot"]


def test_cordoned() -> None:
    assert only(judge(node(unschedulable=True), pods=[plugin_pod()])).cause == "Cordoned"


@pytest.mark.parametrize(
    "state",
    [
        "UpgradingNodeImageVersion",  # Azure/AKS#3439: the node image upgrade that cordons
        # Version upgrades: https://learn.microsoft.com/azure/aks/how-does-upgrade-happen, Azure/AKS#3927 and #4340
        "Upgrading",
        "Updating",  # https://learn.microsoft.com/rest/api/aks/agent-pools/get
        "Scaling",
    ],
)
def test_a_node_that_azure_has_cordoned_is_waited_for(state: str) -> None:
    problem = only(judge(node(unschedulable=True), pods=[plugin_pod()], pool={"provisioning_state": state}))
    assert (problem.cause, problem.permanence) == ("Cordoned", Permanence.TRANSIENT)
    assert f"Azure says: {state}" in problem.message
    assert "uncordon" not in problem.advice


@pytest.mark.parametrize("state", ["Succeeded", "Canceled", None])
def test_a_cordoned_node_that_azure_does_not_work_on(state: str | None) -> None:
    problem = only(judge(node(unschedulable=True), pods=[plugin_pod()], pool={"provisioning_state": state}))
    assert (problem.cause, problem.permanence) == ("Cordoned", Permanence.UNCERTAIN)
    assert f"kubectl uncordon {NAME}" in problem.advice


def test_a_failed_upgrade_leaves_its_node_cordoned() -> None:
    """Azure/AKS#3439: the pool Failed, and the node stayed cordoned."""
    verdict = judge(node(unschedulable=True), pods=[plugin_pod()], pool={"provisioning_state": "Failed"})
    assert causes(verdict) == ["PoolFailed", "Cordoned"]
    assert "uncordon" in verdict.problems[1].advice


def test_a_node_that_an_upgrade_could_not_drain() -> None:
    """Azure/azure-rest-api-specs#28919, undrainableNodeBehavior Cordon: the label, and the node stays cordoned."""
    labels = {"kubernetes.azure.com/upgrade-status": "Quarantined"}
    pool = {"provisioning_state": "Canceled"}
    problem = only(judge(node(unschedulable=True, labels=labels), pods=[plugin_pod()], pool=pool))
    assert (problem.cause, problem.permanence) == ("Cordoned", Permanence.UNCERTAIN)
    assert "could not drain it" in problem.advice


@pytest.mark.parametrize(
    ("name", "done"),
    [("GPUMissing", False), ("XIDErrors", False), ("UnhealthyNvidiaDevicePlugin", False), ("GPUClockThrottling", True)],
)
def test_health_conditions(name: str, done: bool) -> None:
    condition = {"type": name, "status": "True", "reason": "R", "message": "said so"}
    verdict = judge(node(conditions=[condition]), pods=[plugin_pod()])
    assert verdict.done is done
    assert only(verdict).message == f"{name}: R: said so"


def test_taint_that_the_plugin_does_not_tolerate() -> None:
    problem = only(judge(node(None, taints=[TAINT]), plugins=[plugin(tolerations=[])]))
    assert problem.cause == "NotTolerated"
    assert "DaemonSet gpu-resources/plugin" in problem.message
    assert "sku=gpu:NoSchedule" in problem.message


def test_selector_that_does_not_match() -> None:
    problem = only(judge(node(None), plugins=[plugin(nodeSelector={"accelerator": "nvidia"})]))
    assert problem.cause == "NotSelected"
    assert "accelerator=nvidia" in problem.message


def test_unscheduled_plugin_pod() -> None:
    status = {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
        ],
    }
    target = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NAME]}]}
    ]}}}  # fmt: skip
    pod = plugin_pod(status, nodeName=None, affinity=target)
    problem = only(judge(node(None, taints=[TAINT]), pods=[pod]))
    assert problem.cause == "Unschedulable"
    assert "0/1 nodes are available" in problem.message
    assert problem.advice == "The DaemonSet needs a toleration for sku=gpu:NoSchedule."


def test_image_that_can_not_be_pulled() -> None:
    message = 'failed to pull image "x": manifest unknown'
    problem = only(judge(node(None), pods=[plugin_pod(waiting("ImagePullBackOff", message))]))
    assert problem.cause == "ImagePull"
    assert problem.permanence is Permanence.PERMANENT
    assert "manifest unknown" in problem.message


def test_registry_that_does_not_answer() -> None:
    problem = only(judge(node(None), pods=[plugin_pod(waiting("ErrImagePull", "dial tcp: i/o timeout"))]))
    assert (problem.cause, problem.permanence) == ("ImagePull", Permanence.UNCERTAIN)


def test_plugin_that_crashes() -> None:
    last = {"terminated": {"exitCode": 1, "reason": "Error"}}
    status = waiting("CrashLoopBackOff", "back-off", lastState=last, restartCount=3)
    problem = only(judge(node(None), pods=[plugin_pod({**status, "phase": "Running"})]))
    assert problem.cause == "CrashLoopBackOff"
    assert "exit code 1" in problem.message
    assert problem.log is not None
    assert problem.log.previous


def test_no_plugin() -> None:
    assert only(judge(node(None), plugins=[])).cause == "NoDevicePlugin"


@pytest.mark.parametrize("stack", ["managed", "gpu_image"])
def test_node_that_brings_its_plugin(stack: str) -> None:
    assert only(judge(node(None), plugins=[], stack=stack)).cause == "CapacityZero"


def test_managed_node_is_known_by_its_label() -> None:
    verdict = judge(node(None, labels={"kubernetes.azure.com/dcgm-exporter": "enabled"}), plugins=[])
    assert only(verdict).cause == "CapacityZero"


MANAGED = {"kubernetes.azure.com/dcgm-exporter": "enabled"}


@pytest.mark.parametrize(("stack", "labels"), [("gpu_image", {}), ("managed", {}), (None, MANAGED)])
def test_a_plugin_beside_the_nodes_own(stack: str | None, labels: dict[str, str]) -> None:
    verdict = judge(node(labels=labels), pods=[plugin_pod({"phase": "Running"})], stack=stack)
    assert (only(verdict).cause, verdict.done) == ("TwoDevicePlugins", False)
    meant = judge(node(labels=labels), stack=stack)
    assert (only(meant).cause, meant.done) == ("TwoDevicePlugins", False)
    assert judge(node(labels=labels), plugins=[], stack=stack).done


def test_managed_gpus_are_managed_whatever_else_is_there() -> None:
    (found,) = judge(node(labels=MANAGED)).nodes
    assert (found["gpus_from"], found["daemon_sets"]) == ("managed", ["gpu-resources/plugin"])


@pytest.mark.parametrize(
    ("pool", "stack", "selector", "meant"),
    [
        ({"node_taints": ["sku=gpu:NoSchedule"]}, None, {}, True),
        ({"node_taints": ["sku=gpu:NoSchedule", "team=vision:NoSchedule"]}, None, {}, False),
        ({"node_taints": ["sku=gpu:NoSchedule"], "scale_set_priority": "Spot"}, None, {}, False),
        ({"node_labels": {"tier": "gpu"}}, None, {"tier": "gpu"}, True),
        ({}, None, {"tier": "gpu"}, False),
        ({"name": "a"}, "managed", {**MANAGED, "agentpool": "a", "kubernetes.io/os": "linux"}, True),
        ({"name": "a"}, "gpu_image", MANAGED, False),
    ],
)
def test_plugins_for_nodes_that_are_not_there_yet(
    pool: dict[str, Any], stack: str | None, selector: dict[str, str], meant: bool
) -> None:
    pool = {"vm_size": "Standard_NC4as_T4_v3", **pool}
    verdict = judge(plugins=[plugin(nodeSelector=selector)], pool=pool, stack=stack)
    assert verdict.pool_device_plugins == (["gpu-resources/plugin"] if meant else [])


def test_driver_none() -> None:
    problem = only(judge(node(None), plugins=[], pool={"gpu_profile": {"driver": "None"}}))
    assert (problem.cause, problem.permanence) == ("DriverNone", Permanence.PERMANENT)


def test_fewer_gpus_than_the_size_has() -> None:
    verdict = judge(node(3), pods=[plugin_pod()], gpus_per_node=4, vm_size="Standard_NC64as_T4_v3")
    assert causes(verdict)[0] == "OtherSize"
    labels = {"node.kubernetes.io/instance-type": "Standard_NC64as_T4_v3"}
    verdict = judge(node(3, labels=labels), pods=[plugin_pod()], gpus_per_node=4, vm_size="Standard_NC64as_T4_v3")
    assert causes(verdict)[0] == "FewerGpus"
    assert "Standard_NC64as_T4_v3 should have 4" in verdict.problems[0].message


def test_allocatable_below_capacity() -> None:
    verdict = judge(node(2, allocatable=1), pods=[plugin_pod()], gpus_per_node=2)
    assert causes(verdict)[0] == "AllocatableBelowCapacity"


def test_other_resource_name() -> None:
    problem = only(judge(node(7, resource="nvidia.com/mig-1g.10gb"), pods=[plugin_pod()]))
    assert problem.cause == "OtherResource"
    assert "7 nvidia.com/mig-1g.10gb" in problem.message


def test_rejected_pods_are_counted() -> None:
    pods = [
        {
            "metadata": {"name": f"r{n}", "namespace": "d", "uid": f"r{n}"},
            "spec": {"nodeName": NAME, "containers": []},
            "status": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "Allocate failed"},
        }
        for n in range(3)
    ]
    verdict = judge(node(), pods=[plugin_pod(), *pods])
    assert verdict.done
    assert "3 Pods failed" in only(verdict).message


def test_daemon_set_that_may_not_create_pods() -> None:
    event = {"involvedObject": {"uid": "ds"}, "reason": "FailedCreate", "message": "violates PodSecurity"}
    problem = only(judge(node(None), events=[event]))
    assert problem.cause == "PluginRefused"
    assert "violates PodSecurity" in problem.message


def test_pool_without_nodes() -> None:
    verdict = judge(nodes=1)
    assert only(verdict).cause == "NodesMissing"
    assert judge(nodes=0).done


@pytest.mark.parametrize(
    ("state", "cause"), [("Failed", "PoolFailed"), ("Creating", "NodesMissing"), ("Succeeded", "NodesMissing")]
)
def test_pool_state(state: str, cause: str) -> None:
    verdict = judge(nodes=1, pool={"provisioning_state": state})
    assert causes(verdict)[0] == cause
    assert (state in verdict.problems[0].message) is (state != "Succeeded")


def test_leaving_node_is_not_waited_for() -> None:
    leaving = node(None, name="old", taints=[{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}])
    assert judge(node(), leaving, pods=[plugin_pod()]).done


def test_a_pool_that_is_not_among_those_of_the_cluster_is_not_waited_for() -> None:
    options = {**dict.fromkeys(("nodes", "gpus_per_node", "vm_size", "gpu_stack", "pool")), "resource_name": GPU}
    with pytest.raises(Failure, match=r"There is no node pool gpunp\. There are: a100, nodepool1\."):
        expectation_of({**options, "node_pool": "gpunp", "node_pools": ["a100", "nodepool1"]}, gpus_of_size=int)
    for pools in ([], ["gpunp", "nodepool1"]):
        expectation_of({**options, "node_pool": "gpunp", "node_pools": pools}, gpus_of_size=int)


def test_expectation_follows_the_pool() -> None:
    options = dict.fromkeys(("node_pool", "nodes", "gpus_per_node", "vm_size", "gpu_stack"))
    pool = {"name": "gpunp", "count": 3, "min_count": 1, "enable_auto_scaling": True, "vm_size": "Standard_X"}
    found = expectation_of({**options, "resource_name": GPU, "pool": pool}, gpus_of_size=lambda size: 8)
    assert (found.node_pool, found.nodes, found.gpus_per_node, found.vm_size) == ("gpunp", 1, 8, "Standard_X")
    pool["enable_auto_scaling"] = False
    assert expectation_of({**options, "resource_name": GPU, "pool": pool}, gpus_of_size=lambda size: 8).nodes == 3
    shared = expectation_of({**options, "resource_name": f"{GPU}.shared", "pool": pool}, gpus_of_size=lambda size: 8)
    assert shared.gpus_per_node is None


@pytest.mark.parametrize(
    ("image", "path", "expected"),
    [
        ("nvcr.io/nvidia/k8s-device-plugin:v0.18.0", None, True),
        ("mcr.microsoft.com/oss/nvidia/k8s-device-plugin:1.11", "/var/lib/kubelet/device-plugins", True),
        ("registry.example/own/nvdp:1", "/var/lib/kubelet/device-plugins", True),
        ("ghcr.io/mellanox/k8s-rdma-shared-dev-plugin:latest", "/var/lib/kubelet/device-plugins", False),
        ("nginx", None, False),
    ],
)
def test_is_device_plugin(image: str, path: str | None, expected: bool) -> None:
    volumes = [{"name": "v", "hostPath": {"path": path}}] if path else []
    pod = {"spec": {"containers": [{"name": "c", "image": image}], "volumes": volumes}}
    assert is_device_plugin(pod) is expected
    assert is_device_plugin({"spec": {"template": pod}}) is expected


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "sku", "operator": "Exists"}, True),
        ({"key": "sku", "value": "gpu"}, True),
        ({"key": "sku", "operator": "Equal", "value": "other"}, False),
        ({"key": "sku", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerates(toleration: dict[str, Any], expected: bool) -> None:
    assert tolerates(toleration, TAINT) is expected


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "kubernetes.azure.com/accelerator", "operator": "In", "values": ["nvidia"]}, True),
        ({"key": "kubernetes.azure.com/accelerator", "operator": "NotIn", "values": ["nvidia"]}, False),
        ({"key": "nothing", "operator": "Exists"}, False),
        ({"key": "nothing", "operator": "DoesNotExist"}, True),
        ({"key": "count", "operator": "Gt", "values": ["3"]}, True),
        ({"key": "count", "operator": "Lt", "values": ["3"]}, False),
    ],
)
def test_node_affinity(expression: dict[str, Any], fits: bool) -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    template = {"spec": {"affinity": affinity}}
    assert (placement_obstacle(template, node(labels={"count": "4"})) is None) is fits


def test_requested_takes_the_larger_of_init_and_main() -> None:
    pod = {
        "spec": {
            "initContainers": [{"name": "i", "resources": {"limits": {GPU: "4"}}}],
            "containers": [{"name": "c", "resources": {"limits": {GPU: "1"}}}, {"name": "d"}],
        }
    }
    assert requested(pod, GPU) == 4


@pytest.mark.parametrize(
    ("before", "gpus", "held"),
    [
        # volcano-sh/volcano#5829, kubernetes-sigs/karpenter#479; as KEP-753 adds them up
        pytest.param([("Always", 1)], [2], 3, id="a sidecar beside the main container"),
        pytest.param([("Always", 1), (None, 4)], [2], 5, id="an init container beside the sidecar before it"),
        pytest.param([(None, 4), ("Always", 1)], [2], 4, id="an init container before the sidecar"),
        pytest.param([("Always", 1), ("Always", 1)], [1, 1], 4, id="two of each"),
    ],
)
def test_requested_counts_sidecars(before: list[tuple[str | None, int]], gpus: list[int], held: int) -> None:
    def container(count: int, policy: str | None = None) -> dict[str, Any]:
        more = {"restartPolicy": policy} if policy else {}
        return {"name": "c", "resources": {"limits": {GPU: str(count)}}, **more}

    init = [container(count, policy) for policy, count in before]
    assert requested({"spec": {"initContainers": init, "containers": [container(each) for each in gpus]}}, GPU) == held


@pytest.mark.parametrize(
    ("quantity", "count"),
    [
        # The forms of https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
        ("8", 8), (8, 8), (None, 0), ("0", 0), ("1k", 1000), ("2Ki", 2048), ("1e3", 1000), ("5E2", 500), ("500m", 0),
        ("1E", 10**18), ("16Ei", 2**63 - 1), ("1e999999999", 2**63 - 1),
        # What no API server stores.
        ("many", 0), ("", 0), ("NaN", 0), ("1kk", 0),
    ],
)  # fmt: skip
def test_quantities(quantity: Any, count: int) -> None:
    assert count_of(quantity) == count


def test_one_node_with_an_odd_quantity_does_not_stop_the_others() -> None:
    """Kubernetes writes 1000 as 1k (network-operator#425): ValueError for every pool of the cluster, once."""
    odd = node(name="odd")
    odd["status"]["capacity"] |= {"nvidia.com/hostdev": "1k", "nvidia.com/gds": "many"}
    odd["status"]["allocatable"] |= {"nvidia.com/hostdev": "1k", "nvidia.com/gds": "many"}
    assert gpu_resources(odd) == {GPU: 1, "nvidia.com/hostdev": 1000}
    pods = [plugin_pod(), plugin_pod(nodeName="odd")]
    verdict = judge(node(), odd, pods=pods, nodes=2)
    assert verdict.done, verdict.problems
    holding = {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/hostdev": "1k"}}}]}}
    assert requested(holding, "nvidia.com/hostdev") == 1000


def test_pod_that_waits_for_a_volume() -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "p"}, "spec": {}, "status": {"phase": "Pending"}}
    event = {"involvedObject": {"uid": "p"}, "reason": "FailedMount", "message": 'configmap "x" not found'}
    assert [problem.cause for problem in pod_problems(pod, [event])] == ["FailedMount"]


def test_patience() -> None:
    now = [0.0]
    patience = GraceTracker(10, clock=lambda: now[0])
    little = Problem("s", "c", "m", permanence=Permanence.UNCERTAIN)
    assert patience.expired([little]) == []
    now[0] = 9
    assert patience.expired([Problem("s", "c", "other words", permanence=Permanence.UNCERTAIN)]) == []
    now[0] = 10
    assert patience.expired([little]) == [little]
    assert patience.expired([]) == []
    assert patience.expired([little]) == []
    assert patience.expired([Problem("s", "d", "m", permanence=Permanence.PERMANENT)])
    now[0] = 1000
    assert patience.expired([Problem("s", "e", "m", permanence=Permanence.TRANSIENT)]) == []
