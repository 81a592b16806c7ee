# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who hands out the GPUs of a node: what runs there, what is meant for it, and what would be on a node to come."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import GpuStatus, evaluate_nodes
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Permanence
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import Expectations, Observations, checks_of

GPU = "nvidia.com/gpu"
NAME = "aks-gpunp-28993262-vmss000000"
SKU = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
DIRECTORY = "/var/lib/kubelet/device-plugins"
OURS = "gpu-resources/nvidia-device-plugin-gpunp"
POOL = {"name": "gpunp", "vm_size": "Standard_NC4as_T4_v3", "node_taints": ["sku=gpu:NoSchedule"]}
POOL_LABELS = {
    "kubernetes.azure.com/agentpool": "gpunp",
    "kubernetes.azure.com/accelerator": "nvidia",
    "node.kubernetes.io/instance-type": "Standard_NC4as_T4_v3",
}


def node(gpus: int = 1, name: str = NAME, /, **labels: str) -> dict[str, Any]:
    amounts = {GPU: str(gpus)} if gpus else {}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "m"}
    return {
        "metadata": {"name": name, "uid": name, "labels": {**POOL_LABELS, **labels}},
        "spec": {},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }


def daemon_set(
    name: str, image: str, *, container: str = "ctr", mount: bool = True, env: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    namespace, _slash, own = name.partition("/")
    variables = [{"name": key, "value": value} for key, value in (env or {}).items()]
    volumes = [{"name": "device-plugin", "hostPath": {"path": DIRECTORY}}] if mount else []
    spec = {"tolerations": [SKU], "volumes": volumes, **spec}
    template = {"spec": {"containers": [{"name": container, "image": image, "env": variables}], **spec}}
    return {"metadata": {"name": own, "namespace": namespace, "uid": name}, "spec": {"template": template}}


def affine(*expressions: dict[str, Any]) -> dict[str, Any]:
    """Terms of which any may match."""
    terms = [{"matchExpressions": [expression]} for expression in expressions]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def pod_of(owner: dict[str, Any] | None, name: str = "kube-system/plugin-x", **status: Any) -> dict[str, Any]:
    namespace, _slash, own = name.partition("/")
    template = (owner or plugin())["spec"]["template"]["spec"]
    owners = [{"kind": "DaemonSet", "uid": owner["metadata"]["uid"]}] if owner else []
    return {
        "metadata": {"name": own, "namespace": namespace, "uid": own, "ownerReferences": owners},
        "spec": {**template, "nodeName": NAME},
        "status": {"phase": "Running", **status},
    }


def plugin(name: str = OURS) -> dict[str, Any]:
    return daemon_set(name, "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.18.2")


# https://github.com/NVIDIA/k8s-device-plugin, deployments/helm: the affinity of NVIDIA's own chart.
CHART = daemon_set(
    "nvidia-device-plugin/nvdp-nvidia-device-plugin",
    "nvcr.io/nvidia/k8s-device-plugin:v0.17.1",
    affinity=affine(
        {"key": "feature.node.kubernetes.io/pci-10de.present", "operator": "In", "values": ["true"]},
        {"key": "feature.node.kubernetes.io/cpu-model.vendor_id", "operator": "In", "values": ["NVIDIA"]},
        {"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]},
    ),
)
# https://github.com/kaito-project/kaito, charts/kaito/workspace: for every AKS node.
KAITO = daemon_set(
    "kaito-workspace/nvidia-device-plugin-daemonset",
    "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.17.0",
    affinity=affine({"key": "kubernetes.azure.com/cluster", "operator": "Exists"}),
)
# https://github.com/kubernetes-sigs/dra-driver-nvidia-gpu: its kubelet plugin has a container for each driver.
DRA_IMAGE = "nvcr.io/nvidia/k8s-dra-driver-gpu:v25.8.0"
DRA = daemon_set("nvidia-dra-driver-gpu/kubelet-plugin", DRA_IMAGE, container="gpus", mount=False)
# https://github.com/kubevirt/kubevirt/pull/3427: what virt-handler mounts.
VIRT_HANDLER = daemon_set(
    "kubevirt/virt-handler", "quay.io/kubevirt/virt-handler:v1.6.0", tolerations=[{"operator": "Exists"}]
)
# https://github.com/ROCm/k8s-device-plugin, k8s-ds-amdgpu-dp.yaml (Azure/AKS#5559).
AMD = daemon_set("kube-system/amdgpu-device-plugin-daemonset", "rocm/k8s-device-plugin", container="amdgpu-dp-cntr")


def judged(*nodes: dict[str, Any], daemon_sets: Any = (), pods: Any = (), **more: Any) -> GpuStatus:
    expected: dict[str, Any] = {key: more.pop(key) for key in ("pool", "stack", "ignored") if key in more}
    options: dict[str, Any] = {"node_pool": "gpunp", "gpus_per_node": 1, **expected}
    return evaluate_nodes(Expectation(**options), nodes, daemon_sets, pods, **more)


def two(verdict: GpuStatus) -> str:
    assert not verdict.done
    (problem,) = [each for each in verdict.problems if each.cause == "TwoDevicePlugins"]
    return problem.message


# A3: two on one node, however it came by them --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "labels"),
    [
        # NVIDIA/k8s-device-plugin#708, #1213: the labels of GPU feature discovery, and of node feature discovery
        pytest.param(CHART, {"nvidia.com/gpu.present": "true"}, id="NVIDIA's chart, gpu.present"),
        pytest.param(CHART, {"feature.node.kubernetes.io/pci-10de.present": "true"}, id="NVIDIA's chart, pci-10de"),
        pytest.param(plugin("default/plugin2"), {}, id="NVIDIA/k8s-device-plugin#255"),
        pytest.param(KAITO, {"kubernetes.azure.com/cluster": "MC_g_c_eastus"}, id="kaito-project/kaito"),
        # Project-HAMi/website#809: its own plugin registers nvidia.com/gpu, too.
        pytest.param(daemon_set("kube-system/hami-device-plugin", "docker.io/projecthami/hami:v2.6.0",
                                container="device-plugin", env={"NVIDIA_MIG_MONITOR_DEVICES": "all"}), {}, id="HAMi"),
        # kai-scheduler/KAI-Scheduler#1177, NVIDIA/aicr#332: both hand out every GPU.
        pytest.param(DRA, {}, id="DRA driver"),
    ],
)  # fmt: skip
def test_two_daemon_sets_for_one_node(other: dict[str, Any], labels: dict[str, str]) -> None:
    theirs = f"{other['metadata']['namespace']}/{other['metadata']['name']}"
    words = two(judged(node(**labels), daemon_sets=[plugin(), other], pods=[pod_of(plugin())]))
    assert f"DaemonSet {OURS}" in words
    assert f"DaemonSet {theirs}" in words


def test_a_pod_that_no_daemon_set_of_now_explains() -> None:
    """NVIDIA/k8s-device-plugin#255, with a static Pod (the plugin's README names that way)."""
    verdict = judged(node(), daemon_sets=[plugin()], pods=[pod_of(plugin()), pod_of(None, "kube-system/static-x")])
    assert "Pod kube-system/static-x" in two(verdict)
    assert [each.permanence for each in verdict.problems] == [Permanence.UNCERTAIN]
    ending = pod_of(None, "kube-system/static-x")
    ending["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
    assert judged(node(), daemon_sets=[plugin()], pods=[pod_of(plugin()), ending]).done


def test_one_daemon_set_with_two_pods_while_it_is_replaced() -> None:
    pods = [pod_of(plugin(), "gpu-resources/a"), pod_of(plugin(), "gpu-resources/b")]
    assert judged(node(), daemon_sets=[plugin()], pods=pods).done


# A4: only what hands out NVIDIA's GPUs is a rival ------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        VIRT_HANDLER,
        AMD,
        # A mirror of AMD's under a bare name (ROCm/k8s-device-plugin#19: it shares the image's name with NVIDIA's).
        daemon_set("kube-system/amdgpu-dp", "example.azurecr.io/k8s-device-plugin:1.31", container="amdgpu-dp-cntr"),
        # https://github.com/intel/intel-device-plugins-for-kubernetes
        daemon_set("intel/intel-gpu-plugin", "intel/intel-gpu-plugin:0.34.0", container="intel-gpu-plugin"),
        # https://github.com/Mellanox/k8s-rdma-shared-dev-plugin, in NVIDIA's registry
        daemon_set("network-operator/rdma-shared-dp-ds", "nvcr.io/nvidia/mellanox/k8s-rdma-shared-dev-plugin:1.5"),
        # https://github.com/squat/generic-device-plugin: Linux devices of any kind
        daemon_set("kube-system/generic-device-plugin", "ghcr.io/squat/generic-device-plugin:latest"),
    ],
    ids=lambda each: each["metadata"]["name"],
)  # fmt: skip
def test_what_is_no_rival(other: dict[str, Any]) -> None:
    verdict = judged(node(), daemon_sets=[plugin(), other], pods=[pod_of(plugin())], pool=POOL)
    assert (verdict.done, verdict.problems) == (True, [])
    assert verdict.device_plugins == verdict.pool_device_plugins == [OURS]


@pytest.mark.parametrize(
    "rival",
    [
        daemon_set("ops/gpus", "registry.example/own/nvdp:1"),
        daemon_set("ops/gpus", "registry.example/mirror/4711", env={"NVIDIA_VISIBLE_DEVICES": "all"}),
        daemon_set("ops/gpus", "registry.example/mirror/4711", container="nvidia-device-plugin-ctr"),
        # https://github.com/NVIDIA/kubevirt-gpu-device-plugin: nvidia.com/…, for virtual machines
        daemon_set("ops/gpus", "nvcr.io/nvidia/kubevirt-gpu-device-plugin:v1.4.0"),
    ],
)
def test_a_mirror_is_known_by_more_than_its_image(rival: dict[str, Any]) -> None:
    assert judged(daemon_sets=[rival], pool=POOL).pool_device_plugins == ["ops/gpus"]


def test_a_mount_alone_is_a_warning_at_most() -> None:
    verdict = judged(
        node(), daemon_sets=[daemon_set("ops/devices", "registry.example/devices:1")], pool=POOL, stack=None
    )
    assert verdict.done
    assert verdict.pool_device_plugins == []
    assert verdict.possible_device_plugins == ["ops/devices"]
    assert judged(daemon_sets=[VIRT_HANDLER, AMD], pool=POOL).possible_device_plugins == []


def test_daemon_sets_to_pass_over() -> None:
    ignored = frozenset({"default/plugin2"})
    other = plugin("default/plugin2")
    pods = [pod_of(plugin()), pod_of(other, "default/plugin2-x")]
    verdict = judged(node(), daemon_sets=[plugin(), other], pods=pods, pool=POOL, ignored=ignored)
    assert verdict.done
    assert verdict.device_plugins == verdict.pool_device_plugins == verdict.nodes[0]["daemon_sets"] == [OURS]


# A2: a node that is to come ----------------------------------------------------------------------------------------

# As nodes of AKS have them: https://learn.microsoft.com/azure/aks/use-labels#reserved-system-labels
SYSTEM_NODE = {
    "metadata": {
        "name": "aks-system-1-vmss000000",
        "labels": {
            "kubernetes.azure.com/agentpool": "system",
            "kubernetes.azure.com/mode": "system",
            "kubernetes.azure.com/cluster": "MC_g_c_eastus",
            "kubernetes.azure.com/role": "agent",
            "kubernetes.azure.com/os-sku": "Ubuntu",
            "kubernetes.azure.com/ebpf-dataplane": "cilium",
            "kubernetes.io/role": "agent",
            "topology.kubernetes.io/region": "eastus",
            "topology.kubernetes.io/zone": "eastus-1",
            "kubernetes.io/hostname": "aks-system-1-vmss000000",
            "team": "platform",
        },
    }
}


def selecting(**labels: str) -> dict[str, Any]:
    selector = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    return daemon_set("ops/theirs", "nvcr.io/nvidia/k8s-device-plugin:v0.17.1", nodeSelector=selector)


def to_come(theirs: dict[str, Any], *live: dict[str, Any], **pool: Any) -> tuple[bool, bool]:
    """Whether a DaemonSet is meant for a node of the pool that is to come, and whether it may be."""
    verdict = judged(daemon_sets=[theirs], system_nodes=live, pool={**POOL, **pool})
    return bool(verdict.pool_device_plugins), bool(verdict.possible_device_plugins)


@pytest.mark.parametrize(
    ("theirs", "meant", "possible"),
    [
        pytest.param(KAITO, True, False, id="kaito-project/kaito"),
        # https://learn.microsoft.com/azure/aks/use-labels
        pytest.param(selecting(kubernetes_azure_com__role="agent"), True, False, id="the role of AKS's nodes"),
        pytest.param(selecting(topology_kubernetes_io__region="eastus"), True, False, id="the region"),
        pytest.param(selecting(kubernetes_azure_com__mode="system"), False, False, id="what differs by pool"),
        pytest.param(selecting(kubernetes_azure_com__agentpool="other"), False, False, id="another pool"),
        pytest.param(selecting(beta_kubernetes_io__arch="arm64"), False, False, id="another processor"),
        # Can't be foreseen.
        pytest.param(CHART, False, True, id="node feature discovery's, NVIDIA/k8s-device-plugin#1213"),
        pytest.param(selecting(team="platform"), False, True, id="somebody's own label"),
        pytest.param(selecting(topology_kubernetes_io__zone="eastus-1"), False, True, id="the zone"),
        pytest.param(selecting(kubernetes_azure_com__scalesetpriority="spot"), False, False, id="no Spot pool"),
    ],
)
def test_labels_of_a_node_to_come(theirs: dict[str, Any], meant: bool, possible: bool) -> None:
    assert to_come(theirs, SYSTEM_NODE) == (meant, possible)


def test_without_a_live_node_what_is_not_known_is_possible() -> None:
    assert to_come(KAITO) == (False, True)


def test_node_feature_discovery_is_foreseen_where_it_runs() -> None:
    """NVIDIA/k8s-device-plugin#708: the chart's DaemonSet comes with the label."""
    labels = {**SYSTEM_NODE["metadata"]["labels"], "feature.node.kubernetes.io/cpu-model.vendor_id": "AMD"}  # type: ignore[dict-item]
    assert to_come(CHART, {"metadata": {"name": "n", "labels": labels}}) == (True, False)


def test_sizes_with_arm_processors() -> None:
    """https://learn.microsoft.com/azure/virtual-machines/sizes/gpu-accelerated/nd-gb200-v6-series: Grace."""
    arm = selecting(kubernetes_io__arch="arm64")
    assert to_come(arm, vm_size="Standard_ND128isr_NDR_GB200_v6") == (True, False)
    assert to_come(arm, vm_size="Standard_ND96isr_H100_v5") == (False, False)


# A6: DRA -----------------------------------------------------------------------------------------------------------


def resource_slice(devices: int, name: str = NAME, driver: str = "gpu.nvidia.com") -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-slice-v1/"""
    every = [{"name": f"gpu-{number}"} for number in range(devices)]
    return {
        "metadata": {"name": f"{name}-{driver}", "uid": f"{name}-{driver}"},
        "spec": {"driver": driver, "nodeName": name, "pool": {"name": name, "generation": 1}, "devices": every},
    }


def claim(*devices: str, **result: Any) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-v1/"""
    results = [
        {"request": "gpu", "driver": "gpu.nvidia.com", "pool": NAME, "device": device, **result} for device in devices
    ]
    return {
        "metadata": {"name": "c", "uid": "".join(devices)},
        "status": {"allocation": {"devices": {"results": results}}},
    }


@pytest.mark.parametrize(
    "more",
    [
        {"daemon_sets": [DRA]},  # Azure/AKS#5962
        {"resource_slices": [resource_slice(1)]},  # bottlerocket-os/bottlerocket-core-kit#1035: no DaemonSet
        {"daemon_sets": [DRA], "resource_slices": [resource_slice(1)]},  # kubernetes-sigs/dra-driver-nvidia-gpu#689
    ],
)
def test_gpus_that_dra_hands_out(more: dict[str, Any]) -> None:
    verdict = judged(node(0), **more)
    (problem,) = verdict.problems
    assert (verdict.done, problem.cause, verdict.nodes[0]["gpus_from"]) == (False, "HandedOutByDra", "dra")
    assert "ResourceSlices of gpu.nvidia.com" in problem.message


def test_dra_beside_a_plugin() -> None:
    """NVIDIA/aicr#332: each advertises all GPUs by itself."""
    words = two(judged(node(), daemon_sets=[plugin()], pods=[pod_of(plugin())], resource_slices=[resource_slice(1)]))
    assert f"DaemonSet {OURS}" in words
    assert "ResourceSlices of gpu.nvidia.com" in words


def test_compute_domains_hand_out_no_gpus() -> None:
    """The driver's chart with resources.gpus.enabled=false."""
    domains = daemon_set("dra/plugin", DRA_IMAGE, container="compute-domains", mount=False)
    slices = [resource_slice(1, driver="compute-domain.nvidia.com")]
    assert judged(node(), daemon_sets=[plugin(), domains], pods=[pod_of(plugin())], resource_slices=slices).done


@pytest.mark.parametrize(
    ("claims", "held"),
    [
        pytest.param([claim("gpu-0", "gpu-1")], 2, id="one claim of two"),
        pytest.param([claim("gpu-0"), claim("gpu-0")], 1, id="a device that two claims share"),
        pytest.param([claim("gpu-0", adminAccess=True)], 0, id="who only watches"),
        pytest.param([claim("vf-0", driver="sriov.example")], 0, id="another driver"),
        pytest.param([{"metadata": {"name": "c"}, "status": {}}], 0, id="not allocated"),
    ],
)
def test_gpus_that_claims_hold_are_in_use(claims: list[dict[str, Any]], held: int) -> None:
    (found,) = judged(node(4), resource_slices=[resource_slice(4)], resource_claims=claims).nodes
    assert (found["in_use"], found["free"]) == (held, 4 - held)


def test_claims_that_may_not_be_listed_are_not_free_gpus() -> None:
    (found,) = judged(node(4), resource_slices=[resource_slice(4)], unknown={"resource_claims"}).nodes
    assert (found["in_use"], found["free"]) == (4, 0)


# C13: what may not be listed is unknown ------------------------------------------------------------------------------


def test_daemon_sets_that_may_not_be_listed() -> None:
    verdict = judged(node(), unknown={"daemon_sets"})
    assert verdict.done
    assert verdict.nodes[0]["gpus_from"] is None
    (problem,) = judged(node(0), unknown={"daemon_sets"}).problems
    assert (problem.cause, "can't be listed" in problem.message) == ("PluginUnknown", True)


def test_a_plugin_pod_is_seen_without_its_daemon_set() -> None:
    """With the rights of docs/azure.md: Pods may be listed, DaemonSets of all namespaces may not."""
    (found,) = judged(node(), pods=[pod_of(plugin(), "gpu-resources/plugin-x")], unknown={"daemon_sets"}).nodes
    assert (found["device_plugin"], found["gpus_from"]) == ("gpu-resources/plugin-x", "daemon_set")


def test_pods_that_may_not_be_listed() -> None:
    (found,) = judged(node(), daemon_sets=[plugin()], unknown={"pods"}).nodes
    assert (found["in_use"], found["free"]) == (None, None)
    (problem,) = judged(node(0), daemon_sets=[plugin()], unknown={"pods"}).problems
    assert (problem.cause, "Pods can't be listed" in problem.message) == ("PluginUnknown", True)


@pytest.mark.parametrize(("denied", "holds"), [([], False), (["pods"], None), (["daemon_sets"], None)])
def test_evidence_does_not_take_unseen_for_absent(denied: list[str], holds: bool | None) -> None:
    verdict = judged(node(), unknown=set(denied))
    found = Observations(gpus={"nodes": verdict.nodes, "expected": {}, "gpus_ready": True, "not_looked_at": denied})
    (check,) = [check for check in checks_of(Expectations(), found) if check.name == "device_plugin"]
    assert check.holds is holds
    assert ("not known" in check.line) is (holds is None)


# F2, F6: NVIDIA's GPU Operator ---------------------------------------------------------------------------------------


def test_gpu_clusters_are_seen() -> None:
    """NVIDIA/gpu-operator#2571: GPUCluster instead of ClusterPolicy hands GPUs out by DRA."""
    cluster = {"metadata": {"name": "gpu-cluster"}, "spec": {"draDriver": {}}}
    assert judged(pool=POOL, gpu_clusters=[cluster]).gpu_clusters == ["gpu-cluster"]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        # NVIDIA/gpu-operator#1541
        ({"state": "notReady", "conditions": [
            {"type": "Ready", "status": "False", "reason": "Error", "message": ""},
            {"type": "Error", "status": "True", "reason": "ReconcileFailed", "message": "failed to validate DRA"}]},
         "ClusterPolicy cluster-policy says: notReady, ReconcileFailed: failed to validate DRA"),
        # controllers/clusterpolicy_controller.go: no label of node feature discovery
        ({"state": "ready", "conditions": [
            {"type": "Ready", "status": "True", "reason": "NFDLabelsMissing", "message": "No NFD labels found"}]},
         "ClusterPolicy cluster-policy says: ready, NFDLabelsMissing: No NFD labels found"),
        ({"state": "ignored"}, "ClusterPolicy cluster-policy says: ignored"),  # a second one: #2513
        ({}, ""),
    ],
)  # fmt: skip
def test_the_operators_own_words(status: dict[str, Any], says: str) -> None:
    policy = {"metadata": {"name": "cluster-policy"}, "status": status}
    (problem,) = judged(node(0), stack="operator", cluster_policies=[policy]).problems
    assert problem.cause == "NoDevicePlugin"
    assert problem.message == "there is no device plugin in the cluster" + (f"; {says}" if says else "")


# E9 -----------------------------------------------------------------------------------------------------------------


def seconds_for(count: int) -> float:
    nodes = [node(1, f"n{number}") for number in range(count)]
    pods = []
    for number in range(3 * count):
        pod = pod_of(plugin(), f"gpu-resources/p{number}")
        pod["spec"]["nodeName"] = f"n{number % count}"
        pods.append(pod)
    before = time.process_time()
    verdict = judged(*nodes, daemon_sets=[plugin()], pods=pods)
    spent = time.process_time() - before
    assert verdict.done, verdict.problems[:3]
    return spent


def test_judging_is_linear() -> None:
    """Four times the nodes and Pods: 4 where it is linear, 16 where each node looks at each Pod."""
    small = min(seconds_for(250) for _again in range(3))
    large = min(seconds_for(1000) for _again in range(3))
    assert large < 8 * small, f"{small:.3f} s, {large:.3f} s"
