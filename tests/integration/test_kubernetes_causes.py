# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rarer causes of docs/waits.md, each provoked on a real control plane; the common ones are with the waits.

tests/unit/test_causes.py sees to it that every cause of that table is asserted here or there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from harness import Json
from kubernetes import client
from module_runner import run
from test_kubernetes_waits import PLUGIN, POOL, TOLERATION, Cluster, cluster, explains, plugged, whole_cluster

__all__ = ["cluster", "plugged", "whole_cluster"]

MIG_POOL = "mig"
CONTAINER: Json = PLUGIN["spec"]["template"]["spec"]["containers"][0]


def tells(result: Json, cause: str, *words: str) -> None:
    """GPUs can be used, and the finding is told all the same."""
    assert not result["failed"], result
    said = [problem for problem in result["problems"] if problem["cause"] == cause]
    assert said, result["problems"]
    for text in words:
        assert text in said[0]["message"]


def node_of(cluster: Cluster, pool: str = POOL) -> str:
    return str(cluster.core.list_node(label_selector=f"agentpool={pool}").items[0].metadata.name)


@pytest.fixture
def node(plugged: Cluster) -> Iterator[str]:
    """The pool's node; what a test writes to it is taken back."""
    name = node_of(plugged)
    taints = [taint.to_dict() for taint in plugged.core.read_node(name).spec.taints]
    yield name
    own = [{key: value for key, value in taint.items() if value} for taint in taints]
    labels = {"nvidia.com/mig.config.state": None}
    plugged.core.patch_node(name, {"metadata": {"labels": labels}, "spec": {"unschedulable": None, "taints": own}})


def taint(cluster: Cluster, node: str, key: str, effect: str = "NoSchedule") -> None:
    now = [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}, {"key": key, "effect": effect}]
    cluster.core.patch_node(node, {"spec": {"taints": now}})


# Pools


def test_pool_that_azure_could_not_make(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Azure says of the pool comes from Azure, and goes into the wait as a role hands it on."""
    for name, value in cluster.sandbox.variables.items():
        monkeypatch.setenv(name, value)
    where = {"resource_group": cluster.sandbox.resource_group, "cluster_name": cluster.sandbox.cluster, "name": "late"}
    pools = cluster.sandbox.container_service("owner").agent_pools
    body: Any = {"properties": {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "mode": "User"}}
    cluster.sandbox.set(capacity_missing={"Standard_NC4as_T4_v3": "AllocationFailed"}, create_seconds=60.0)
    creation = pools.begin_create_or_update(
        where["resource_group"], where["cluster_name"], "late", body, polling_interval=0.2
    )
    try:
        pool = run("node_pool_info", where)["node_pools"][0]
        explains(cluster.gpus(node_pool="late", pool=pool, wait_timeout=1), "NodesMissing", "Azure says: Creating")
        with pytest.raises(Exception, match="AllocationFailed"):
            creation.result()
        pool = run("node_pool_info", where)["node_pools"][0]
        explains(cluster.gpus(node_pool="late", pool=pool), "PoolFailed", "Azure says that the pool Failed", "capacity")
    finally:
        cluster.delete_pool("late")


def test_pool_that_is_stopped(cluster: Cluster) -> None:
    stopped = {"provisioning_state": "Succeeded", "power_state": "Stopped", "count": 1}
    explains(cluster.gpus(node_pool="nobody", pool=stopped), "PoolStopped", "the pool is stopped", "nodepool start")


def test_spot_pool_without_nodes(cluster: Cluster) -> None:
    spot = {"provisioning_state": "Succeeded", "scale_set_priority": "Spot", "count": 1}
    result = cluster.gpus(node_pool="nobody", pool=spot, wait_timeout=1)
    explains(result, "NodesMissing", "Azure may have evicted Spot nodes")


# Nodes


def test_spot_node_is_taken(plugged: Cluster) -> None:
    plugged.create_pool("spot", scaleSetPriority="Spot", scaleSetEvictionPolicy="Delete", spotMaxPrice=-1)
    try:
        plugged.unplug()
        plugged.plug(tolerations=[{"operator": "Exists"}])
        assert not plugged.gpus(node_pool="spot")["failed"]
        plugged.sandbox.set(spot_evictions=["*spot*"], spot_notice_seconds=5.0)
        plugged.until(lambda: not plugged.gpus(node_pool="spot", wait_timeout=1)["gpus_ready"])
        result = plugged.gpus(node_pool="spot", wait_timeout=1)
        explains(result, "SpotEviction", "Preempt Scheduled: Spot VM will be evicted", "Spot capacity back")
        explains(plugged.gpus(node_pool="spot", wait_timeout=6), "NodesMissing", "it has 0 of 1 nodes")
    finally:
        plugged.sandbox.set(spot_evictions=[])
        plugged.delete_pool("spot")


def test_announced_eviction(plugged: Cluster) -> None:
    event = {"VMEventScheduled": ["True", "PreemptScheduled", "Preempt Scheduled: Spot VM will be evicted"]}
    plugged.sandbox.set(node_conditions={"*gpunp*": event})
    plugged.until(lambda: not plugged.gpus(wait_timeout=1)["gpus_ready"])
    explains(plugged.gpus(wait_timeout=1), "SpotEviction", "Preempt Scheduled", "use a regular pool")


def test_maintenance(plugged: Cluster) -> None:
    plugged.sandbox.set(node_conditions={"*gpunp*": {"VMEventScheduled": ["True", "Freeze", "Freeze Scheduled"]}})
    plugged.until(lambda: plugged.gpus()["problems"])
    tells(plugged.gpus(), "VMEventScheduled", "Freeze Scheduled")


HEALTH = {
    "XIDErrors": "XID 79 was reported",
    "NVLinkStatusInactive": "NVLink 3 is down",
    "NVIDIAGRIDStatusInvalid": "GRID licence is not valid",
    "UnhealthyNvidiaDevicePlugin": "the service is down",
    "GpuNvlinkWatch": "not recognised",  # NVIDIA/aicr#2641: no name of AKS
}
TOLD = {
    "IBLinkFlapping": "mlx5_0 flaps",
    "GPUClockThrottling": "thermal slowdown",
    "UnhealthyNvidiaDCGMServices": "the exporter is down",
    "KernelDeadlock": "docker hung",
}


@pytest.mark.parametrize("condition", [*HEALTH, *TOLD])
def test_health_conditions(plugged: Cluster, condition: str) -> None:
    words = {**HEALTH, **TOLD}[condition]
    plugged.sandbox.set(node_conditions={"*gpunp*": {condition: ["True", condition, words]}})
    plugged.until(lambda: condition in [problem["cause"] for problem in plugged.gpus(wait_timeout=1)["problems"]])
    if condition in HEALTH:
        explains(plugged.gpus(), condition, words)
    else:
        tells(plugged.gpus(), condition, words)


def test_node_that_nobody_hears_of(plugged: Cluster) -> None:
    plugged.sandbox.set(node_faults={"*gpunp*": "lost"})
    plugged.until(lambda: not plugged.gpus(wait_timeout=1)["gpus_ready"], 60)
    explains(plugged.gpus(wait_timeout=1), "NotReady", "Kubelet stopped posting node status", "VM may be stopped")
    plugged.sandbox.set(node_faults={})
    assert not plugged.gpus(wait_timeout=30)["failed"]


def test_cordoned(plugged: Cluster, node: str) -> None:
    plugged.core.patch_node(node, {"spec": {"unschedulable": True}})
    explains(plugged.gpus(), "Cordoned", "it is cordoned", f"kubectl uncordon {node}")


def test_uninitialized(plugged: Cluster, node: str) -> None:
    taint(plugged, node, "node.cloudprovider.kubernetes.io/uninitialized")
    explains(plugged.gpus(wait_timeout=1), "Uninitialized", "cloud controller has not taken it in yet")


def test_node_on_its_way_out(plugged: Cluster, node: str) -> None:
    taint(plugged, node, "ToBeDeletedByClusterAutoscaler")
    result = plugged.gpus(wait_timeout=1)
    explains(result, "Leaving", "it is being removed")
    explains(result, "NodesMissing", "it has 0 of 1 nodes")


def test_mig_manager(plugged: Cluster, node: str) -> None:
    def state(word: str) -> None:
        plugged.core.patch_node(node, {"metadata": {"labels": {"nvidia.com/mig.config.state": word}}})

    state("rebooting")
    explains(plugged.gpus(wait_timeout=1), "MigReboot", "mig.config.state is rebooting")
    state("failed")
    explains(plugged.gpus(), "MigFailed", "could not be partitioned", "MIG manager's log")


# GPUs


def test_mig_node_reboots_and_offers_slices_of_another_name(plugged: Cluster) -> None:
    plugged.sandbox.set(mig_reboot_seconds=5.0)
    plugged.create_pool(MIG_POOL, vmSize="Standard_NC24ads_A100_v4", gpuInstanceProfile="MIG1g")
    try:
        pool = {"name": MIG_POOL, "gpu_instance_profile": "MIG1g", "provisioning_state": "Succeeded", "count": 1}
        options = {"node_pool": MIG_POOL, "pool": pool, "grace": 60}
        explains(
            plugged.gpus(**options, wait_timeout=2), "MigReboot", "node is shutting down", "reboots while its GPUs"
        )
        plugged.unplug()
        container = {**CONTAINER, "env": [{"name": "MIG_STRATEGY", "value": "mixed"}]}
        plugged.plug(containers=[{**container, "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}])
        result = plugged.gpus(node_pool=MIG_POOL, pool=pool, wait_timeout=30, grace=8)
        explains(result, "OtherResource", "it offers 7 nvidia.com/mig-1g.", "no nvidia.com/gpu", "MIG strategy")
    finally:
        plugged.delete_pool(MIG_POOL)


def test_two_device_plugins(plugged: Cluster) -> None:
    plugged.until(lambda: plugged.gpus()["nodes"][0]["device_plugin"])
    explains(
        plugged.gpus(gpu_stack="managed", gpus_per_node=1, nodes=2),
        "TwoDevicePlugins",
        "DaemonSet default/plugin",
        "the device plugin of the node itself",
    )


def test_gpus_that_dra_hands_out(cluster: Cluster) -> None:
    """ResourceSlices as NVIDIA's DRA driver publishes them (resource.k8s.io/v1), alone and beside a device plugin."""
    node = node_of(cluster)
    objects = kubernetes.client.CustomObjectsApi(cluster.core.api_client)
    where = ("resource.k8s.io", "v1", "resourceslices")
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "gpu.nvidia.com", "nodeName": node, "pool": pool, "devices": [{"name": "gpu-0"}]}
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "gpus"}, "spec": spec}
    objects.create_cluster_custom_object(*where, body)
    try:
        explains(cluster.gpus(), "HandedOutByDra", "handed out by DRA (ResourceSlices of gpu.nvidia.com)")
        cluster.plug()
        cluster.until(lambda: cluster.gpus(wait_timeout=1)["nodes"][0]["device_plugin"])
        explains(cluster.gpus(), "TwoDevicePlugins", "DaemonSet default/plugin, ResourceSlices of gpu.nvidia.com")
    finally:
        objects.delete_cluster_custom_object(*where, "gpus")


def test_a_daemon_set_for_every_node_of_aks(cluster: Cluster) -> None:
    """KAITO's (kaito-project/kaito) selects a label that AKS puts on each node; one of the system pool has it."""
    term = {"matchExpressions": [{"key": "kubernetes.azure.com/cluster", "operator": "Exists"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    cluster.plug(affinity={"nodeAffinity": required})
    pool = {"vm_size": "Standard_NC4as_T4_v3", "node_taints": ["sku=gpu:NoSchedule"], "node_labels": {"agentpool": "b"}}
    found = run("wait_for_gpus", {"kubeconfig": cluster.kubeconfig, "pool": pool}, check=True)
    assert found["pool_device_plugins"] == ["default/plugin"]
    ignored = {"kubeconfig": cluster.kubeconfig, "pool": pool, "ignored_daemon_sets": ["default/plugin"]}
    assert run("wait_for_gpus", ignored, check=True)["pool_device_plugins"] == []


def test_daemon_sets_that_may_not_be_listed(cluster: Cluster, tmp_path: Path) -> None:
    """An identity that may list Nodes and Pods only: what it may not see is unknown."""
    rights = kubernetes.client.RbacAuthorizationV1Api(cluster.core.api_client)
    rule = {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list", "watch"]}
    cluster.core.create_namespaced_service_account("default", {"metadata": {"name": "narrow"}})
    rights.create_cluster_role({"metadata": {"name": "narrow"}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "narrow", "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "narrow"}
    rights.create_cluster_role_binding({"metadata": {"name": "narrow"}, "roleRef": role, "subjects": [subject]})
    try:
        token = cluster.core.create_namespaced_service_account_token("narrow", "default", {"spec": {}}).status.token
        config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        path = tmp_path / "narrow"
        path.write_text(yaml.safe_dump(config))
        result = cluster.gpus(kubeconfig=str(path))
        explains(result, "PluginUnknown", "DaemonSets can't be listed", "Not looked at: ")
        assert {"daemon_sets", "events"} <= set(result["not_looked_at"])
    finally:
        rights.delete_cluster_role_binding("narrow")
        rights.delete_cluster_role("narrow")
        cluster.core.delete_namespaced_service_account("narrow", "default")


def test_node_that_has_to_bring_its_gpus(cluster: Cluster) -> None:
    explains(cluster.gpus(gpu_stack="managed"), "CapacityZero", "it offers no nvidia.com/gpu yet", "no working driver")


def test_plugin_that_may_not_be_made(cluster: Cluster) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    cluster.core.create_namespaced_resource_quota("default", quota)
    try:
        cluster.plug()
        result = cluster.gpus(grace=2)
        explains(result, "PluginRefused", "DaemonSet default/plugin can't make its Pod", "exceeded quota")
    finally:
        cluster.core.delete_namespaced_resource_quota("none", "default")


def test_plugin_that_nobody_has_made_yet(cluster: Cluster) -> None:
    where = {"cluster": cluster.sandbox.cluster, "name": "kube-controller-manager"}
    cluster.sandbox.act("component", what="kill", **where)
    try:
        cluster.plug()
        explains(cluster.gpus(wait_timeout=2), "NoPluginPod", "has made no Pod for it yet")
    finally:
        cluster.sandbox.act("component", what="restart", **where)


def test_plugin_that_starts(cluster: Cluster) -> None:
    cluster.sandbox.set(image_pull_seconds=60.0)
    image = "nvcr.io/nvidia/k8s-device-plugin:v0.18.1"  # one that the node does not have yet
    cluster.plug(containers=[{**CONTAINER, "image": image}])
    explains(cluster.gpus(wait_timeout=3), "PluginStarting", "is Pending")


def test_plugin_without_room(cluster: Cluster) -> None:
    cluster.plug(containers=[{**CONTAINER, "resources": {"requests": {"cpu": "900"}}}])
    explains(
        cluster.gpus(grace=2), "Unschedulable", "device plugin Pod default/plugin-", "Insufficient cpu", "too full"
    )


# Jobs


def wait(options: Json, **more: Any) -> Json:
    return run("wait_for_job", {**options, **more})


def test_suspended(plugged: Cluster) -> None:
    explains(wait(plugged.job(suspend=True), wait_timeout=1), "Suspended", "it is suspended", "has to resume it")


def test_policy_ends_it(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*work*": {"fault": "fail", "message": "bad input", "exit_code": 42}})
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}}
    result = wait(plugged.job(backoffLimit=6, podFailurePolicy={"rules": [rule]}))
    explains(result, "PodFailurePolicy", "exit code 42", "bad input", "podFailurePolicy ended it")


@pytest.mark.parametrize(
    ("cause", "options"),
    [
        ("MaxFailedIndexesExceeded", {"completions": 3, "parallelism": 1, "maxFailedIndexes": 0}),
        ("FailedIndexes", {"completions": 1, "parallelism": 1}),
    ],
)
def test_indexes_fail(plugged: Cluster, cause: str, options: Json) -> None:
    plugged.sandbox.set(image_faults={"*work*": "fail"})
    explains(wait(plugged.job(completionMode="Indexed", backoffLimitPerIndex=0, **options)), cause, "indexes")


@pytest.mark.parametrize(
    ("cause", "line", "advice"),
    [
        ("DriverMismatch", "forward compatibility was attempted on non supported HW", "needs a newer NVIDIA driver"),
        ("ImageTooOldForGpu", "no kernel image is available for execution on the device", "built for older GPUs"),
        ("NoDevice", "no CUDA-capable device is detected", "ask for one in resources.limits"),
        ("DriverChanged", "Failed to initialize NVML: Driver/library version mismatch", "restart the node"),
    ],
)
def test_log_that_ends_it(plugged: Cluster, cause: str, line: str, advice: str) -> None:
    """Though the Job would try six times more."""
    plugged.sandbox.set(image_faults={"*work*": {"fault": "fail", "message": line}})
    result = wait(plugged.job(backoffLimit=6))
    explains(result, cause, line, advice)
    assert result["job"]["failed"] <= 2


@pytest.mark.parametrize(
    ("cause", "line", "advice"),
    [
        ("DataRefused", "urllib.error.HTTPError: HTTP Error 403: Forbidden", "Take a workload that brings it"),
        ("GpuLost", "Failed to initialize NVML: Unknown Error", "PASS_DEVICE_SPECS=true"),
        ("GpuOutOfMemory", "failed to allocate 15.2G: CUDA_ERROR_OUT_OF_MEMORY", "uses this GPU's memory"),
    ],
)
def test_log_that_explains(plugged: Cluster, cause: str, line: str, advice: str) -> None:
    plugged.sandbox.set(image_faults={"*work*": {"fault": "fail", "message": line}})
    result = wait(plugged.job(backoffLimit=0))
    explains(result, cause, line, advice)
    explains(result, "BackoffLimitExceeded", "failed too often")
    explains(result, "ContainerFailed", "container c ended with exit code 1")


def test_container_that_crashes_again_and_again(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*work*": {"fault": "fail", "message": "Segmentation fault"}})
    result = wait(plugged.job(restart="OnFailure", backoffLimit=50), wait_timeout=6)
    explains(
        result, "CrashLoopBackOff", "back-off" if "back-off" in result["msg"] else "CrashLoopBackOff", "Segmentation"
    )


def test_gate(plugged: Cluster) -> None:
    options = plugged.job(gates=["example.com/quota"])
    explains(wait(options, unschedulable_grace=1), "SchedulingGated", "Scheduling is blocked due to non-empty")


def test_container_that_refers_to_nothing(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*work*": {"fault": "config", "message": 'secret "token" not found'}})
    explains(wait(plugged.job()), "CreateContainerConfigError", 'secret "token" not found', "refers to")


def test_volume_that_is_not_there(plugged: Cluster) -> None:
    options = plugged.job(volumes=[{"name": "data", "configMap": {"name": "absent"}}])
    explains(wait(options), "FailedMount", 'configmap "absent" not found')


def test_evicted(plugged: Cluster) -> None:
    plugged.sandbox.set(
        image_faults={"*work*": {"fault": "evicted", "message": "The node was low on resource: memory"}}
    )
    result = wait(plugged.job(backoffLimit=0))
    explains(result, "Evicted", "The node was low on resource: memory", "ran short")


def test_kubelet_that_lost_its_gpus(plugged: Cluster) -> None:
    plugged.sandbox.set(devices_lost=["*gpunp*"])
    result = wait(plugged.job(backoffLimit=0))
    explains(result, "UnexpectedAdmissionError", "no healthy devices present", "Restart the device plugin's Pod")


def pod_of(cluster: Cluster, job: str = "work") -> str:
    """The name of the Job's Pod, once it runs."""
    found: list[str] = []

    def running() -> bool:
        pods = cluster.core.list_namespaced_pod("default", label_selector=f"batch.kubernetes.io/job-name={job}").items
        found[:] = [pod.metadata.name for pod in pods if pod.status.phase == "Running"]
        return bool(found)

    cluster.until(running)
    return found[0]


def test_drained(plugged: Cluster) -> None:
    plugged.sandbox.set(generic_pod_seconds=60.0, pod_termination_seconds=8.0)
    options = plugged.job(backoffLimit=2)
    name = pod_of(plugged)
    plugged.core.create_namespaced_pod_eviction(name, "default", {"metadata": {"name": name, "namespace": "default"}})
    explains(wait(options, wait_timeout=2), "Disrupted", "EvictionByEvictionAPI", "in favour of something else")


def test_resource_that_somebody_took_first(plugged: Cluster) -> None:
    """A Pod that is put on its node past the scheduler stands for one that came a moment too late."""
    options = plugged.job(backoffLimit=0, node=node_of(plugged), cpu="900")
    said = "OutOfcpu: Node didn't have enough resource: cpu"
    explains(wait(options), "OutOfResource", said, "took the node's resource first")


def test_node_that_is_gone(plugged: Cluster) -> None:
    plugged.sandbox.set(generic_pod_seconds=60.0)
    plugged.create_pool("gone")
    try:
        assert not plugged.gpus(node_pool="gone", wait_timeout=30)["failed"]
        options = plugged.job(pool="gone")
        pod_of(plugged)
        plugged.core.delete_node(node_of(plugged, "gone"))
        explains(wait(options), "NodeLost", "it is no longer in the cluster", "evicted")
    finally:
        plugged.delete_pool("gone")


def test_last_lines_of_each_of_several_pods(plugged: Cluster) -> None:
    """Several completions at once: one that fails does not hide the others."""
    plugged.sandbox.set(image_faults={"*work*": {"fault": "fail", "message": "index failed", "times": 1}})
    result = wait(plugged.job(completions=3, parallelism=3, backoffLimit=0))
    explains(result, "BackoffLimitExceeded", "index failed")
    assert len(result["job"]["pods"]) > 1


def test_the_toleration_that_is_missing_is_named(plugged: Cluster) -> None:
    result = wait(plugged.job(tolerations=[{**TOLERATION, "value": "cpu"}]), unschedulable_grace=1)
    explains(result, "Unschedulable", "taints that it does not tolerate: sku=gpu:NoSchedule")


@pytest.mark.parametrize(
    ("cause", "options", "words"),
    [
        ("PatternNotFound", {"log_pattern": "^Test PASSED"}, "no line of its log matches ^Test PASSED"),
        ("AccuracyNotTold", {"minimum_accuracy": 0.9}, "its log tells no accuracy, and 0.9 or more is asked for"),
    ],
)
def test_complete_but_not_good_enough(plugged: Cluster, cause: str, options: Json, words: str) -> None:
    explains(wait(plugged.job(), **options), cause, words)


def test_log_that_may_not_be_read(plugged: Cluster, tmp_path: Path) -> None:
    """What a log says is not known where ``pods/log`` is forbidden; it does not count as a log that says nothing."""
    rbac = client.RbacAuthorizationV1Api(plugged.core.api_client)
    looks = {"apiGroups": ["", "batch"], "resources": ["jobs", "pods", "events", "nodes"], "verbs": ["list", "watch"]}
    user = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "without-logs"}
    role = {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "without-logs"}
    rbac.create_cluster_role({"metadata": {"name": "without-logs"}, "rules": [looks]})
    rbac.create_cluster_role_binding({"metadata": {"name": "without-logs"}, "subjects": [user], "roleRef": role})
    try:
        config = yaml.safe_load(Path(plugged.kubeconfig).read_text())
        config["users"][0]["user"]["as"] = "without-logs"
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        result = wait({**plugged.job(), "kubeconfig": str(tmp_path / "config")}, log_pattern="PASSED")
    finally:
        rbac.delete_cluster_role_binding("without-logs")
        rbac.delete_cluster_role("without-logs")
    explains(result, "LogNotRead", "its log could not be read as a whole: ", "pods/log")


def test_job_that_is_gone_as_soon_as_it_has_ended(plugged: Cluster) -> None:
    """Findings C2, hashicorp/terraform-provider-kubernetes#1578: how it ended is its result."""
    for attempt in range(4):
        result = wait(plugged.job(f"work-{attempt}", ttlSecondsAfterFinished=0))
        assert not result["failed"], result
        assert result["job"]["complete"]


def test_accuracy_that_is_too_low(plugged: Cluster) -> None:
    plugged.sandbox.set(workload_seconds=1.0)
    image = "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu"
    options = plugged.job(image=image, args=["--max_steps", "100"])
    explains(wait(options, minimum_accuracy=0.999), "AccuracyTooLow", "0.999 or more is asked for", "more steps")


def test_log_that_is_gone(plugged: Cluster) -> None:
    options = plugged.job()
    assert not wait(options)["failed"]
    plugged.core.delete_collection_namespaced_pod("default", label_selector="batch.kubernetes.io/job-name=work")
    plugged.until(
        lambda: (
            not plugged.core.list_namespaced_pod("default", label_selector="batch.kubernetes.io/job-name=work").items
        )
    )
    tells(wait(options, log_pattern="runs"), "LogGone", "its Pods are gone, and with them what they told")
