# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every cause that wait_for_gpus and wait_for_job explain, provoked on a real control plane."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from aks_sandbox.testing import Sandbox
from harness import Json, clean, kubernetes_client, reset
from module_runner import Running, run

POOL = "gpunp"
TAINT = "sku=gpu:NoSchedule"
TOLERATION = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
PLUGIN: Json = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "plugin", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"name": "plugin"}},
        "template": {
            "metadata": {"labels": {"name": "plugin"}},
            "spec": {
                "tolerations": [TOLERATION],
                "nodeSelector": {"kubernetes.azure.com/accelerator": "nvidia"},
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "ctr",
                        "image": "nvcr.io/nvidia/k8s-device-plugin:v0.18.0",
                        "volumeMounts": [{"name": "d", "mountPath": "/var/lib/kubelet/device-plugins"}],
                    }
                ],
                "volumes": [{"name": "d", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}],
            },
        },
    },
}


class Cluster:
    """The cluster of this module: one pool of one T4 node."""

    def __init__(self, sandbox: Sandbox, kubeconfig: str) -> None:
        self.sandbox = sandbox
        self.kubeconfig = kubeconfig
        client = kubernetes_client(sandbox)
        self.core = kubernetes.client.CoreV1Api(client)
        self.apps = kubernetes.client.AppsV1Api(client)
        self.batch = kubernetes.client.BatchV1Api(client)

    def create_pool(self, name: str = POOL, **properties: Any) -> None:
        body: Json = {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "mode": "User", "nodeTaints": [TAINT], **properties}
        pools: Any = self.sandbox.container_service("owner").agent_pools
        pools.begin_create_or_update(
            self.sandbox.resource_group, self.sandbox.cluster, name, {"properties": body}, polling_interval=0.2
        ).result()

    def delete_pool(self, name: str) -> None:
        pools = self.sandbox.container_service("owner").agent_pools
        pools.begin_delete(self.sandbox.resource_group, self.sandbox.cluster, name, polling_interval=0.2).result()

    def plug(self, **spec: Any) -> None:
        body = copy.deepcopy(PLUGIN)
        body["spec"]["template"]["spec"].update(spec)
        self.apps.create_namespaced_daemon_set("default", body)

    def unplug(self) -> None:
        with contextlib.suppress(kubernetes.client.ApiException):
            self.apps.delete_namespaced_daemon_set("plugin", "default", propagation_policy="Foreground")
        self.until(lambda: not self.apps.list_namespaced_daemon_set("default").items)

    def gpus(self, **options: Any) -> Json:
        defaults = {"kubeconfig": self.kubeconfig, "node_pool": POOL, "wait_timeout": 15, "grace": 1}
        return run("wait_for_gpus", {**defaults, **options})

    def job(self, name: str = "work", *, image: str = "example.invalid/work:1", **options: Any) -> Json:
        """A Job that asks for a GPU.

        Options of the container: args, cpu; of the Pod: restart, tolerations, volumes, gates, pool, node; of the Job:
        all others.
        """
        container: Json = {"name": "c", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}}
        if "cpu" in options:
            container["resources"]["requests"] = {"cpu": options.pop("cpu")}
        if "args" in options:
            container["args"] = options.pop("args")
        spec = {
            "restartPolicy": options.pop("restart", "Never"),
            "tolerations": options.pop("tolerations", [TOLERATION]),
            "volumes": options.pop("volumes", []),
            "schedulingGates": [{"name": gate} for gate in options.pop("gates", [])],
            "nodeSelector": {"agentpool": options.pop("pool")} if "pool" in options else {},
            "nodeName": options.pop("node", None),
            "containers": [container],
        }
        body = {"metadata": {"name": name}, "spec": {**options, "template": {"spec": spec}}}
        self.batch.create_namespaced_job("default", body)
        return {"kubeconfig": self.kubeconfig, "name": name, "namespace": "default", "wait_timeout": 30, "grace": 1}

    @staticmethod
    def until(condition: Any, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.fixture(scope="module")
def whole_cluster(shared_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    reset(shared_sandbox)
    path: Path = tmp_path_factory.mktemp("kubeconfig") / "config"
    path.write_text(shared_sandbox.kubeconfig())
    found = Cluster(shared_sandbox, str(path))
    found.create_pool()
    yield found
    clean(shared_sandbox)


@pytest.fixture
def cluster(whole_cluster: Cluster) -> Iterator[Cluster]:
    reset(whole_cluster.sandbox)
    whole_cluster.sandbox.set(capacity_grace_seconds=0.0, restart_backoff_seconds=0.3, generic_pod_seconds=0.5)
    yield whole_cluster
    reset(whole_cluster.sandbox)
    whole_cluster.sandbox.set(capacity_grace_seconds=0.0)
    jobs = whole_cluster.batch.list_namespaced_job("default").items
    for job in jobs:
        whole_cluster.batch.delete_namespaced_job(
            job.metadata.name, "default", propagation_policy="Background", grace_period_seconds=0
        )
    whole_cluster.unplug()


@pytest.fixture
def plugged(cluster: Cluster) -> Cluster:
    cluster.plug()
    assert not cluster.gpus()["failed"]
    return cluster


def explains(result: Json, cause: str, *words: str) -> None:
    assert result["failed"], result
    assert cause in [problem["cause"] for problem in result["problems"]], result["msg"]
    for text in words:
        assert text in result["msg"]


# GPUs


def test_gpus_come(cluster: Cluster) -> None:
    waiting = Running("wait_for_gpus", {"kubeconfig": cluster.kubeconfig, "node_pool": POOL, "wait_timeout": 30})
    waiting.wait_for_line("no device plugin")
    cluster.plug()
    result = waiting.result()
    assert not result["failed"], result
    node = result["nodes"][0]
    assert (node["ready"], node["capacity"], node["allocatable"], node["in_use"]) == (True, 1, 1, 0)
    assert node["vm_size"] == "Standard_NC4as_T4_v3"
    assert node["taints"] == [TAINT]
    assert node["labels"]["kubernetes.azure.com/accelerator"] == "nvidia"
    assert result["problems"] == []


def test_check_mode_returns_at_once(cluster: Cluster) -> None:
    started = time.monotonic()
    result = run("wait_for_gpus", {"kubeconfig": cluster.kubeconfig, "node_pool": "later"}, check=True)
    assert (result["failed"], result["gpus_ready"], result["nodes"]) == (False, False, [])
    job = {"kubeconfig": cluster.kubeconfig, "name": "later", "namespace": "not-yet"}
    result = run("wait_for_job", job, check=True)
    assert (result["failed"], result["job"]["exists"]) == (False, False)
    assert time.monotonic() - started < 5


def test_no_plugin(cluster: Cluster) -> None:
    explains(cluster.gpus(), "NoDevicePlugin", "there is no device plugin", "aks.gpu.device_plugin")


def test_taint(cluster: Cluster) -> None:
    cluster.plug(tolerations=[])
    explains(cluster.gpus(), "NotTolerated", TAINT, "DaemonSet default/plugin")


def test_selector(cluster: Cluster) -> None:
    cluster.plug(nodeSelector={"hardware": "gpu"})
    explains(cluster.gpus(), "NotSelected", "hardware=gpu")


def test_plugin_image(cluster: Cluster) -> None:
    cluster.sandbox.set(image_faults={"*device-plugin*": "pull"})
    cluster.plug()
    explains(cluster.gpus(), "ImagePull", "nvcr.io/nvidia/k8s-device-plugin:v0.18.0", "imagePullSecrets")


def test_plugin_crashes(cluster: Cluster) -> None:
    cluster.sandbox.set(image_faults={"*device-plugin*": "crash"})
    cluster.plug()
    result = cluster.gpus(grace=3)
    assert result["failed"]
    assert "exit code" in result["msg"]
    assert "Its log ends" in result["msg"]


def test_driver_is_late(cluster: Cluster) -> None:
    cluster.sandbox.set(driver_late_seconds=600.0)
    container = PLUGIN["spec"]["template"]["spec"]["containers"][0]
    cluster.plug(containers=[{**container, "env": [{"name": "FAIL_ON_INIT_ERROR", "value": "false"}]}])
    explains(cluster.gpus(), "PluginSilent", "is Running, but has registered no nvidia.com/gpu")


def test_wrong_strategy(cluster: Cluster) -> None:
    cluster.sandbox.set(wrong_strategy=True)
    cluster.plug()
    explains(cluster.gpus(), "CrashLoopBackOff", "invalid device discovery strategy", "finds no NVIDIA driver")


def test_driver_none(cluster: Cluster) -> None:
    pool = {"gpu_profile": {"driver": "None"}, "provisioning_state": "Succeeded"}
    explains(cluster.gpus(pool=pool), "DriverNone", "driver None")


def test_fewer_gpus(plugged: Cluster) -> None:
    explains(plugged.gpus(gpus_per_node=2), "FewerGpus", "it offers 1 nvidia.com/gpu")


def test_other_size(plugged: Cluster) -> None:
    explains(plugged.gpus(vm_size="Standard_NC64as_T4_v3"), "OtherSize", "not Standard_NC64as_T4_v3")


def test_unhealthy_gpu(plugged: Cluster) -> None:
    plugged.sandbox.set(unhealthy_gpus={"*gpunp*": 1})
    plugged.until(lambda: plugged.core.list_node(label_selector=f"agentpool={POOL}").items[0].status.allocatable.get(
        "nvidia.com/gpu") == "0")  # fmt: skip
    explains(plugged.gpus(), "AllocatableBelowCapacity", "0 of its 1 nvidia.com/gpu can be allocated")


def test_health_condition(plugged: Cluster) -> None:
    plugged.sandbox.set(node_conditions={"*gpunp*": {"GPUMissing": ["True", "GPUMissing", "1 GPU is missing"]}})
    plugged.until(lambda: not plugged.gpus(wait_timeout=1, grace=60)["gpus_ready"])
    explains(plugged.gpus(), "GPUMissing", "1 GPU is missing", "replace the node")


def test_node_not_ready(plugged: Cluster) -> None:
    plugged.sandbox.set(node_faults={"*gpunp*": "not_ready"})
    plugged.until(lambda: not plugged.gpus(wait_timeout=1)["gpus_ready"])
    explains(plugged.gpus(wait_timeout=3), "NotReady", "could not be used within 3 s")
    plugged.sandbox.set(node_faults={})
    assert not plugged.gpus(wait_timeout=30)["failed"]


def test_rejected_pods(plugged: Cluster) -> None:
    plugged.sandbox.set(devices_lost=["*gpunp*"])
    plugged.job()
    plugged.until(lambda: any(
        pod.status.reason == "UnexpectedAdmissionError" for pod in plugged.core.list_namespaced_pod("default").items
    ))  # fmt: skip
    result = plugged.gpus(wait_timeout=2)
    assert "UnexpectedAdmissionError" in [problem["cause"] for problem in result["problems"]]


def test_pool_without_nodes(cluster: Cluster) -> None:
    explains(cluster.gpus(node_pool="nobody", wait_timeout=1), "NodesMissing", "it has 0 of 1 nodes")
    failed = {"provisioning_state": "Failed", "status": {"provisioning_error": {"message": "no capacity"}}}
    explains(cluster.gpus(node_pool="nobody", pool=failed), "PoolFailed", "no capacity")
    assert not cluster.gpus(node_pool="nobody", nodes=0)["failed"]
    empty = {"enable_auto_scaling": True, "min_count": 0, "count": 0, "provisioning_state": "Succeeded"}
    assert not cluster.gpus(node_pool="nobody", pool=empty)["failed"]


def test_in_use(plugged: Cluster) -> None:
    plugged.sandbox.set(generic_pod_seconds=60.0)
    plugged.job()
    plugged.until(lambda: plugged.gpus()["nodes"][0]["in_use"] == 1)


def test_reaction(plugged: Cluster) -> None:
    """From the moment of the change in the cluster to the end of the wait: at most half a second."""
    job = plugged.job(suspend=True)
    waiting = Running("wait_for_job", job)
    waiting.wait_for_line("suspended")
    patch = {"status": {"conditions": [{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}]}}
    changed = time.monotonic()
    plugged.batch.patch_namespaced_job_status("work", "default", patch)
    assert waiting.result()["failed"]
    assert waiting.ended - changed < 1.0  # 0.5 s on an idle machine; make bench measures it


# Jobs


def test_job_completes(plugged: Cluster) -> None:
    plugged.sandbox.set(workload_seconds=6.0)  # Lines are at least 2 s apart.
    options = plugged.job(
        "mnist", image="mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu", args=["--max_steps", "100"]
    )
    waiting = Running("wait_for_job", options)
    result = waiting.result()
    assert not result["failed"], result
    job = result["job"]
    assert (job["complete"], job["succeeded"], job["completions"]) == (True, 1, 1)
    assert [entry["step"] for entry in job["accuracy"]] == list(range(0, 100, 10))
    assert job["accuracy_best"] >= job["accuracy_last"] > job["accuracy_first"]
    assert job["devices"][0]["name"] == "Tesla T4"
    assert job["devices"][0]["compute_capability"] == "7.5"
    assert job["devices"][0]["bus_id"]
    assert job["pods"][0]["node"].startswith("aks-gpunp-")
    assert job["duration_seconds"] >= 0
    shown = [moment for moment, line in waiting.lines if "accuracy" in line]
    assert len(shown) > 1  # of states that follow each other quickly only some are shown
    assert shown[0] < waiting.ended - 0.5
    again = run("wait_for_job", options)
    assert {**again["job"], "duration_seconds": 0} == {**job, "duration_seconds": 0}
    assert run("wait_for_job", options, check=True)["job"]["accuracy"] == job["accuracy"]


def test_missing_job(cluster: Cluster) -> None:
    result = run("wait_for_job", {"kubeconfig": cluster.kubeconfig, "name": "nobody"})
    assert result["failed"]
    assert "There is no Job nobody in the namespace default" in result["msg"]


def test_failed_job_fails(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*work*": {"fault": "fail", "message": "the reason why"}})
    explains(run("wait_for_job", plugged.job(backoffLimit=0)), "BackoffLimitExceeded", "exit code", "the reason why")


def test_job_deadline(plugged: Cluster) -> None:
    plugged.sandbox.set(generic_pod_seconds=60.0)
    explains(run("wait_for_job", plugged.job(activeDeadlineSeconds=1)), "DeadlineExceeded", "activeDeadlineSeconds")


def test_retries(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*work*": {"fault": "fail", "times": 1}})
    result = run("wait_for_job", plugged.job(backoffLimit=3, podReplacementPolicy="Failed"))
    assert not result["failed"], result
    assert (result["job"]["succeeded"], result["job"]["failed"], len(result["job"]["pods"])) == (1, 1, 2)


def test_several_completions(plugged: Cluster) -> None:
    result = run("wait_for_job", plugged.job(completions=3, parallelism=2))
    assert not result["failed"], result
    assert (result["job"]["succeeded"], len(result["job"]["pods"])) == (3, 3)


def test_unschedulable(plugged: Cluster) -> None:
    options = plugged.job(tolerations=[])
    result = run("wait_for_job", {**options, "unschedulable_grace": 2})
    explains(result, "Unschedulable", "nodes are available", TAINT)


def test_job_image(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*work*": "pull"})
    explains(run("wait_for_job", plugged.job()), "ImagePull", "example.invalid/work:1")


def test_out_of_memory(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*work*": "oom"})
    explains(run("wait_for_job", plugged.job(restart="OnFailure")), "OOMKilled", "memory limit")


def test_driver_mismatch(plugged: Cluster) -> None:
    plugged.sandbox.set(article_image_runs_on_modern_gpus=False)
    options = plugged.job(image="mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu", restart="OnFailure")
    result = run("wait_for_job", options)
    explains(result, "DriverMismatch", "CUDA driver version is insufficient for CUDA runtime version", "update the")
    assert not result["job"]["complete"]


def test_evicted_pod_is_replaced(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*work*": {"fault": "evicted", "times": 1}})
    result = run("wait_for_job", plugged.job(backoffLimit=2))
    assert not result["failed"], result


def test_deleted_job(plugged: Cluster) -> None:
    waiting = Running("wait_for_job", plugged.job(suspend=True))
    waiting.wait_for_line("suspended")
    plugged.batch.delete_namespaced_job("work", "default", propagation_policy="Background")
    assert "was deleted while it was waited for" in waiting.result()["msg"]


def test_node_that_is_lost(plugged: Cluster) -> None:
    plugged.sandbox.set(generic_pod_seconds=60.0)
    waiting = Running("wait_for_job", plugged.job())
    waiting.wait_for_line("runs on aks-gpunp")
    plugged.sandbox.set(node_faults={"*gpunp*": "not_ready"})
    explains(waiting.result(), "NodeLost", "its node aks-gpunp-")


def test_quota(plugged: Cluster) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    plugged.core.create_namespaced_resource_quota("default", quota)
    try:
        explains(run("wait_for_job", plugged.job()), "FailedCreate", "exceeded quota")
    finally:
        plugged.core.delete_namespaced_resource_quota("none", "default")


# Probes


def probe(cluster: Cluster, *, check: bool = False, **options: Any) -> Json:
    defaults = {"kubeconfig": cluster.kubeconfig, "node_pool": POOL, "wait_timeout": 30, "grace": 1}
    return run("gpu_probe", {**defaults, **options}, check=check)


def probe_jobs(cluster: Cluster) -> list[str]:
    found = cluster.batch.list_namespaced_job("default", label_selector="app.kubernetes.io/name=gpu-probe").items
    return [job.metadata.name for job in found if job.metadata.deletion_timestamp is None]


def test_probe(plugged: Cluster) -> None:
    predicted = probe(plugged, check=True)
    assert (predicted["failed"], predicted["probes"][0]["asked"], predicted["probes"][0]["seen"]) == (False, 1, None)
    result = probe(plugged)
    assert not result["failed"], result
    found = result["probes"][0]
    assert (found["asked"], found["held"], found["seen"], found["passed"], found["works"]) == (1, 0, 1, 1, True)
    assert found["devices"][0]["name"] == "Tesla T4"
    assert found["driver_version"]
    assert found["cuda_version"]
    assert (result["changed"], result["gpus_work"], result["gpus_probed"]) == (False, True, 1)
    assert probe_jobs(plugged) == []


def test_probe_leaves_held_gpus_alone(plugged: Cluster) -> None:
    plugged.sandbox.set(generic_pod_seconds=60.0)
    plugged.job()
    plugged.until(lambda: plugged.gpus()["nodes"][0]["in_use"] == 1)
    result = probe(plugged)
    assert not result["failed"], result
    found = result["probes"][0]
    assert (found["asked"], found["held"], found["seen"], found["works"]) == (0, 1, None, None)


def test_probe_of_every_gpu(plugged: Cluster) -> None:
    plugged.create_pool("four", vmSize="Standard_NC64as_T4_v3")
    try:
        assert not plugged.gpus(node_pool="four", vm_size="Standard_NC64as_T4_v3", wait_timeout=30)["failed"]
        result = probe(plugged, node_pool="four")
        assert not result["failed"], result
        found = result["probes"][0]
        assert (found["asked"], found["seen"], found["passed"]) == (4, 4, 4)
        assert len({device["uuid"] for device in found["devices"]}) == 4
    finally:
        plugged.delete_pool("four")


def test_probe_finds_a_driver_that_does_not_fit(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*cuda-sample*": "driver_mismatch"})
    result = probe(plugged)
    assert result["failed"]
    assert "CUDA driver version is insufficient" in result["msg"]
    assert not result["probes"][0]["works"]
    assert probe_jobs(plugged) == []


def test_probe_of_a_node_without_gpus(cluster: Cluster) -> None:
    result = probe(cluster)
    assert result["failed"]
    assert "it offers no GPUs" in result["msg"]


def test_probe_image(plugged: Cluster) -> None:
    plugged.sandbox.set(image_faults={"*cuda-sample*": "pull"})
    result = probe(plugged)
    assert result["failed"]
    assert "nvcr.io/nvidia/k8s/cuda-sample" in result["msg"]
    assert probe_jobs(plugged) == []


@pytest.mark.parametrize(
    "options", [{"grace": 1}, {"grace": 600, "wait_timeout": 4}], ids=["after the grace", "at the deadline"]
)
def test_probe_that_a_quota_refuses(plugged: Cluster, options: Json) -> None:
    """Findings C1, apache/airflow#36348: a quota that is used up was "did not end within 600 s", without a reason."""
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    plugged.core.create_namespaced_resource_quota("default", quota)
    try:
        result = probe(plugged, **options)
    finally:
        plugged.core.delete_namespaced_resource_quota("none", "default")
    assert result["failed"]
    assert "exceeded quota: none, requested: pods=1" in result["msg"]
    assert probe_jobs(plugged) == []


def test_probe_that_an_admission_policy_refuses(plugged: Cluster) -> None:
    """Findings C1; https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/."""
    admission = kubernetes.client.AdmissionregistrationV1Api(plugged.core.api_client)
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    refuses = {
        "metadata": {"name": "no-probes"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [
                {
                    "expression": "!('aks.gpu/probe-run' in object.metadata.?labels.orValue({}))",
                    "message": "house rule 7: no probes on Mondays",
                }
            ],
        },
    }
    binding = {
        "metadata": {"name": "no-probes"},
        "spec": {"policyName": "no-probes", "validationActions": ["Deny"]},
    }
    admission.create_validating_admission_policy(refuses)
    admission.create_validating_admission_policy_binding(binding)
    try:
        time.sleep(2)  # A policy takes effect a moment after it is there.
        result = probe(plugged)
    finally:
        admission.delete_validating_admission_policy_binding("no-probes")
        admission.delete_validating_admission_policy("no-probes")
    assert result["failed"]
    assert "house rule 7: no probes on Mondays" in result["msg"]


def test_probe_under_usual_house_rules(plugged: Cluster) -> None:
    """Findings C1: Pod Security at its strictest level, and a quota that asks every container for cpu and memory."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    plugged.core.create_namespace({"metadata": {"name": "strict", "labels": labels}})
    hard = {"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "4", "limits.memory": "8Gi"}
    quota = {"metadata": {"name": "strict"}, "spec": {"hard": hard}}
    plugged.core.create_namespaced_resource_quota("strict", quota)
    try:
        result = probe(plugged, namespace="strict")
    finally:
        plugged.core.delete_namespace("strict")
    assert not result["failed"], result


def test_probe_that_a_queue_holds(plugged: Cluster) -> None:
    """Findings C1: a Job that a queue suspends, as Kueue does, is not started (kubernetes-sigs/kueue#412)."""
    plugged.sandbox.set(generic_pod_seconds=60.0)

    def hold() -> None:
        plugged.until(lambda: probe_jobs(plugged))
        for name in probe_jobs(plugged):
            plugged.batch.patch_namespaced_job(name, "default", {"spec": {"suspend": True}})

    queue = threading.Thread(target=hold)
    queue.start()
    result = probe(plugged, wait_timeout=8, grace=60)
    queue.join()
    assert result["failed"]
    assert "did not end within 8 s" in result["msg"]
    assert "it is suspended" in result["msg"]
