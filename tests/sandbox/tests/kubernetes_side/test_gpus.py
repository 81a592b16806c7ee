"""GPUs appear and disappear as a real kubelet and device plugin make them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import yaml
from aks_sandbox.apiclient import STRATEGIC

from .conftest import CLUSTER_ID, Kubernetes, job, plugin

T4 = "Standard_NC4as_T4_v3"
A100 = "Standard_NC24ads_A100_v4"


def test_nodes_join_not_ready_with_aks_labels_and_no_gpus(kubernetes: Kubernetes) -> None:
    kubernetes.apply_pool("gpunp", "Standard_NC6", nodeTaints=["sku=gpu:NoSchedule"], availabilityZones=["1"])
    node = kubernetes.node("gpunp")
    labels = node["metadata"]["labels"]
    assert node["metadata"]["name"].startswith("aks-gpunp-")
    assert node["metadata"]["name"].endswith("-vmss000000")
    assert labels["accelerator"] == labels["kubernetes.azure.com/accelerator"] == "nvidia"
    assert labels["agentpool"] == labels["kubernetes.azure.com/agentpool"] == "gpunp"
    assert labels["node.kubernetes.io/instance-type"] == "Standard_NC6"
    assert labels["kubernetes.azure.com/cluster"] == "MC_myResourceGroup_myAKSCluster_westus2"
    assert labels["topology.kubernetes.io/zone"] == "westus2-1"
    assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in node["spec"]["taints"]
    assert "nvidia.com/gpu" not in node["status"]["capacity"]
    conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert conditions["GPUMissing"] == "False"
    assert "accelerator" not in kubernetes.node("nodepool1")["metadata"]["labels"]


def test_a_node_that_never_gets_ready_says_why(kubernetes: Kubernetes) -> None:
    kubernetes.set(node_faults={"aks-late-*": "not_ready"})
    with pytest.raises(TimeoutError):
        kubernetes.run(_briefly(kubernetes, {"name": "late", "properties": {"vmSize": T4}}))
    ready = next(each for each in kubernetes.node("late")["status"]["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "False"
    assert "cni plugin not initialized" in ready["message"]
    taints = [taint["key"] for taint in kubernetes.node("late")["spec"]["taints"]]
    assert "node.kubernetes.io/not-ready" in taints
    kubernetes.set(node_faults={})
    kubernetes.kubectl("wait", "--for=condition=Ready", "node", "-l", "agentpool=late", "--timeout=5s")


async def _briefly(kubernetes: Kubernetes, pool: dict[str, Any]) -> None:
    async with asyncio.timeout(1.5):
        await kubernetes.plane.apply_pool(CLUSTER_ID, pool, 1)


def test_the_plugin_brings_gpus_and_takes_allocatable_with_it(kubernetes: Kubernetes) -> None:
    kubernetes.set(capacity_grace_seconds=3)
    kubernetes.apply_pool("gpunp", "Standard_NC64as_T4_v3")
    kubernetes.apply(plugin())
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("4", "4"))
    kubernetes.kubectl("delete", "daemonset", "nvidia-device-plugin")
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("4", "0"))
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("0", "0"))


@pytest.mark.parametrize(
    ("pool", "container", "resource", "count"),
    [
        ({"vmSize": A100, "gpuInstanceProfile": "MIG1g"}, {}, "nvidia.com/gpu", "1"),
        (
            {"vmSize": A100, "gpuInstanceProfile": "MIG1g"},
            {"env": [{"name": "MIG_STRATEGY", "value": "single"}], "securityContext": {"privileged": True}},
            "nvidia.com/gpu",
            "7",
        ),
        (
            {"vmSize": A100, "gpuInstanceProfile": "MIG2g"},
            {"args": ["--mig-strategy=mixed"], "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}},
            "nvidia.com/mig-2g.20gb",
            "3",
        ),
    ],
)
def test_mig_strategies(
    kubernetes: Kubernetes, pool: dict[str, Any], container: dict[str, Any], resource: str, count: str
) -> None:
    kubernetes.apply_pool("mig", pool.pop("vmSize"), **pool)
    kubernetes.apply(plugin(**container))
    kubernetes.until(lambda: kubernetes.gpus("mig", resource), (count, count), 15)


@pytest.mark.parametrize(
    ("sharing", "resource"),
    [
        ({"timeSlicing": {"resources": [{"name": "nvidia.com/gpu", "replicas": 4}]}}, "nvidia.com/gpu"),
        (
            {"timeSlicing": {"renameByDefault": True, "resources": [{"name": "nvidia.com/gpu", "replicas": 4}]}},
            "nvidia.com/gpu.shared",
        ),
    ],
)
def test_time_slicing_from_a_config_map(kubernetes: Kubernetes, sharing: dict[str, Any], resource: str) -> None:
    kubernetes.apply_pool("gpunp", T4)
    kubernetes.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "plugin", "namespace": "default"},
            "data": {"config.yaml": yaml.safe_dump({"version": "v1", "sharing": sharing})},
        },
        plugin(
            env=[{"name": "CONFIG_FILE", "value": "/etc/plugin/config.yaml"}],
            volumeMounts=[{"name": "config", "mountPath": "/etc/plugin"}],
            volumes=[{"name": "config", "configMap": {"name": "plugin"}}],
        ),
    )
    kubernetes.until(lambda: kubernetes.gpus("gpunp", resource), ("4", "4"))


def test_without_a_driver_the_plugin_crashes_or_hangs_as_it_is_told(kubernetes: Kubernetes) -> None:
    kubernetes.apply_pool("gpunp", T4, gpuProfile={"driver": "None"})
    kubernetes.apply(plugin())
    selector = ("pods", "-l", "name=nvidia-device-plugin-ds")

    def waiting() -> str | None:
        items = kubernetes.get(*selector)["items"]
        statuses = items[0]["status"].get("containerStatuses", ()) if items else ()
        return next((each["state"].get("waiting", {}).get("reason") for each in statuses), None)

    kubernetes.until(waiting, "CrashLoopBackOff", 15)
    log = kubernetes.kubectl("logs", "-l", "name=nvidia-device-plugin-ds")
    assert "invalid device discovery strategy" in log
    kubernetes.apply(plugin(env=[{"name": "FAIL_ON_INIT_ERROR", "value": "false"}]))
    kubernetes.kubectl("rollout", "status", "daemonset/nvidia-device-plugin", "--timeout=20s")
    kubernetes.until(
        lambda: "Waiting indefinitely" in kubernetes.kubectl("logs", "-l", "name=nvidia-device-plugin-ds"), True
    )
    assert kubernetes.gpus("gpunp") == (None, None)


def test_switches_that_keep_gpus_away(kubernetes: Kubernetes) -> None:
    kubernetes.set(driver_late_seconds=4)
    kubernetes.apply_pool("gpunp", "Standard_NC64as_T4_v3")
    kubernetes.apply(plugin(env=[{"name": "FAIL_ON_INIT_ERROR", "value": "false"}]))
    kubernetes.kubectl("rollout", "status", "daemonset/nvidia-device-plugin", "--timeout=20s")
    assert kubernetes.gpus("gpunp") == (None, None)
    kubernetes.set(driver_late_seconds=0)
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("4", "4"))
    kubernetes.set(gpus_missing={"aks-gpunp-*": 1}, node_conditions={"aks-gpunp-*": {"GPUMissing": True}})
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("3", "3"))
    conditions = {each["type"]: each["status"] for each in kubernetes.node("gpunp")["status"]["conditions"]}
    assert conditions["GPUMissing"] == "True"
    kubernetes.set(gpus_missing={}, unhealthy_gpus={"aks-gpunp-*": 2})
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("4", "2"))


def test_managed_and_image_pools_bring_their_own_plugin(kubernetes: Kubernetes) -> None:
    kubernetes.apply_pool("managed", T4, gpuProfile={"nvidia": {"managementMode": "Managed"}})
    kubernetes.apply_pool("image", "Standard_NC6", headers={"UseGPUDedicatedVHD": "true"})
    for pool in ("managed", "image"):
        kubernetes.until(partial(kubernetes.gpus, pool), ("1", "1"))
    assert kubernetes.node("managed")["metadata"]["labels"]["kubernetes.azure.com/dcgm-exporter"] == "enabled"
    kubernetes.set(node_conditions={"aks-managed-*": {"UnhealthyNvidiaDevicePlugin": True}})
    kubernetes.until(lambda: kubernetes.gpus("managed"), ("1", "0"))


def test_each_pod_gets_its_own_gpu_and_a_lost_device_fails_admission(kubernetes: Kubernetes) -> None:
    kubernetes.apply_pool("gpunp", "Standard_NC64as_T4_v3")
    kubernetes.apply(plugin())
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("4", "4"))
    probe = job("nvidia/cuda:13.0", "nvidia-smi --query-gpu=pci.bus_id --format=csv,noheader", gpus=1, name="probe")
    probe["spec"] |= {"parallelism": 4, "completions": 4}
    kubernetes.apply(probe)
    kubernetes.kubectl("wait", "--for=condition=complete", "job/probe", "--timeout=20s")
    log = kubernetes.kubectl("logs", "-l", "job-name=probe", "--tail=-1", "--max-log-requests=8")
    assert len({line for line in log.splitlines() if line.endswith(":00:00.0")}) == 4
    kubernetes.set(devices_lost=["aks-gpunp-*"])
    kubernetes.apply(job("nvidia/cuda:13.0", "nvidia-smi", gpus=1, name="lost", backoffLimit=0))
    kubernetes.kubectl("wait", "--for=condition=failed", "job/lost", "--timeout=20s")
    status = kubernetes.get("pods", "-l", "job-name=lost")["items"][0]["status"]
    assert status["reason"] == "UnexpectedAdmissionError"


def test_autoscaler_from_zero_and_spot_eviction(kubernetes: Kubernetes) -> None:
    scaled: dict[str, Any] = {"enableAutoScaling": True, "minCount": 0, "maxCount": 2, "scaleSetPriority": "Spot"}
    kubernetes.set(autoscaler_idle_seconds=600)
    kubernetes.apply_pool("spot", T4, 0, **scaled)
    kubernetes.apply(plugin())
    work = job("busybox", gpus=1)
    work["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    kubernetes.set(generic_pod_seconds=60)
    kubernetes.apply(work)
    kubernetes.until(lambda: kubernetes.counts, [("spot", 1)], 20)
    kubernetes.until(lambda: kubernetes.get("jobs", "work")["status"].get("ready"), 1, 20)
    assert "kubernetes.azure.com/scalesetpriority" in [
        taint["key"] for taint in kubernetes.node("spot")["spec"]["taints"]
    ]
    kubernetes.set(spot_evictions=["aks-spot-*-vmss000000"])
    kubernetes.until(lambda: kubernetes.counts[-2:], [("spot", 0), ("spot", 1)], 30)


def test_the_autoscaler_removes_idle_nodes(kubernetes: Kubernetes) -> None:
    kubernetes.set(autoscaler_idle_seconds=1)
    kubernetes.apply_pool("apps", "Standard_D4s_v5", 2, enableAutoScaling=True, minCount=1, maxCount=3)
    kubernetes.until(lambda: kubernetes.counts, [("apps", 1)])
    assert len(kubernetes.get("nodes", "-l", "agentpool=apps")["items"]) == 1


def test_mps_waits_for_its_control_daemon(kubernetes: Kubernetes) -> None:
    kubernetes.apply_pool("gpunp", T4)
    sharing = {"mps": {"resources": [{"name": "nvidia.com/gpu", "replicas": 10}]}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plugin", "namespace": "default"}}
    kubernetes.apply(
        {**config, "data": {"config.yaml": yaml.safe_dump({"version": "v1", "sharing": sharing})}},
        plugin(
            args=["--config-file", "/config/config.yaml"],
            volumeMounts=[{"name": "config", "mountPath": "/config"}],
            volumes=[{"name": "config", "configMap": {"name": "plugin"}}],
        ),
    )
    kubernetes.kubectl("rollout", "status", "daemonset/nvidia-device-plugin", "--timeout=20s")
    assert kubernetes.gpus("gpunp") == (None, None)
    daemon = plugin(command=["mps-control-daemon"])
    daemon["metadata"]["name"] = "mps"
    daemon["spec"]["selector"]["matchLabels"] = daemon["spec"]["template"]["metadata"]["labels"] = {"name": "mps"}
    kubernetes.apply(daemon)
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("10", "10"))


def test_a_node_that_was_given_up_comes_back(kubernetes: Kubernetes) -> None:
    """What the node controller writes after an outage, written here by hand: the outage would take 50 s."""
    kubernetes.run(_give_up(kubernetes, kubernetes.node("nodepool1")["metadata"]["name"]))
    kubernetes.kubectl("wait", "--for=condition=Ready", "node", "-l", "agentpool=nodepool1", "--timeout=10s")


async def _give_up(kubernetes: Kubernetes, name: str) -> None:
    unknown = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped"}
    client = kubernetes.cluster.control_plane.client
    await client.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [unknown]}}, content_type=STRATEGIC)


def test_a_disruption_budget_blocks_a_drain(kubernetes: Kubernetes) -> None:
    kubernetes.apply_pool("apps", "Standard_D4s_v5")
    labels = {"app": "web"}
    kubernetes.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"nodeSelector": {"agentpool": "apps"}, "containers": [{"name": "web", "image": "nginx"}]},
                },
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
        },
    )
    kubernetes.kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    kubernetes.until(lambda: kubernetes.get("pdb", "web")["status"].get("currentHealthy"), 1)
    blocked = kubernetes.run(kubernetes.plane.drain_pool(CLUSTER_ID, "apps", False, 1.0))
    assert len(blocked) == 1
    assert "disruption budget" in blocked[0]
    assert kubernetes.run(kubernetes.plane.drain_pool(CLUSTER_ID, "apps", True, 10.0)) == []
