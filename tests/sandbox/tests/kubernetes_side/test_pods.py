"""Pods: the article's log, failures in a kubelet's words, and the real Job controller's conclusions."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

from .conftest import Kubernetes, job, plugin

MNIST = "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu"


@pytest.fixture
def gpus(kubernetes: Kubernetes) -> Kubernetes:
    kubernetes.set(workload_seconds=2.0)
    kubernetes.apply_pool("gpunp", "Standard_NC6", nodeTaints=["sku=gpu:NoSchedule"])
    kubernetes.apply(plugin())
    kubernetes.until(lambda: kubernetes.gpus("gpunp"), ("1", "1"))
    return kubernetes


def test_the_articles_job_completes_with_the_articles_log(gpus: Kubernetes) -> None:
    gpus.apply(job(MNIST, "--max_steps", "500", gpus=1, name="mnist", policy="OnFailure"))
    gpus.kubectl("wait", "--for=condition=complete", "job/mnist", "--timeout=20s")
    lines = gpus.kubectl("logs", "job/mnist").splitlines()
    assert lines[0].startswith("[sandbox] simulated")
    text = "\n".join(lines)
    assert "Found device 0 with properties: \nname: Tesla K80 major: 3 minor: 7 memoryClockRate(GHz): 0.8235" in text
    assert "totalMemory: 11.17GiB freeMemory: 11.10GiB" in text
    assert "compute capability: 3.7)" in text
    steps = [int(step) for step in re.findall(r"^Accuracy at step (\d+): 0\.\d+$", text, re.MULTILINE)]
    assert steps == list(range(0, 500, 10))
    assert lines[-1] == "Adding run metadata for 499"
    state = gpus.get("pods", "-l", "job-name=mnist")["items"][0]["status"]
    assert state["phase"] == "Succeeded"
    assert state["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_following_a_log_ends_with_the_container(gpus: Kubernetes) -> None:
    gpus.apply(job(MNIST, "--max_steps", "100", gpus=1, name="mnist"))
    gpus.until(lambda: gpus.get("jobs", "mnist")["status"].get("ready"), 1)
    followed = subprocess.run(
        [gpus.binaries.path("kubectl"), f"--kubeconfig={gpus.kubeconfig}", "logs", "-f", "job/mnist"],
        capture_output=True, text=True, timeout=20, check=True,
    ).stdout  # fmt: skip
    assert followed.endswith("Adding run metadata for 99\n")
    assert gpus.kubectl("logs", "job/mnist", "--tail=1") == "Adding run metadata for 99\n"


def test_pull_failures_heal_when_the_fault_is_gone(kubernetes: Kubernetes) -> None:
    kubernetes.set(image_faults={"*busybox*": "pull: manifest unknown"})
    kubernetes.apply(job("busybox"))

    def waiting() -> tuple[str, bool]:
        pods = kubernetes.get("pods", "-l", "job-name=work")["items"]
        state = pods[0]["status"].get("containerStatuses", [{}])[0].get("state", {}) if pods else {}
        found = state.get("waiting", {})
        return found.get("reason", ""), "manifest unknown" in found.get("message", "")

    kubernetes.until(waiting, ("ImagePullBackOff", True), 15)
    reasons = {each["reason"] for each in kubernetes.get("events")["items"]}
    assert {"Pulling", "Failed", "BackOff"} <= reasons
    kubernetes.set(image_faults={})
    kubernetes.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=20s")


def test_crashes_restart_with_back_off_and_fail_the_job(kubernetes: Kubernetes) -> None:
    kubernetes.set(image_faults={"busybox": {"fault": "crash", "exit_code": 3}}, restart_backoff_seconds=0.3)
    kubernetes.apply(job("busybox", policy="OnFailure", backoffLimit=2))
    kubernetes.until(
        lambda: kubernetes.get("pods", "-l", "job-name=work")["items"][0]["status"]["containerStatuses"][0][
            "lastState"
        ].get("terminated", {}).get("exitCode"),
        3, 15,
    )  # fmt: skip
    kubernetes.kubectl("wait", "--for=condition=failed", "job/work", "--timeout=30s")
    conditions = kubernetes.get("jobs", "work")["status"]["conditions"]
    assert any(each["reason"] == "BackoffLimitExceeded" for each in conditions)


@pytest.mark.parametrize(
    ("fault", "exit_code", "reason"),
    [("fail", 1, "Error"), ("oom", 137, "OOMKilled"), ("driver_mismatch", 1, "Error")],
)
def test_ways_to_fail(kubernetes: Kubernetes, fault: str, exit_code: int, reason: str) -> None:
    kubernetes.set(image_faults={"busybox": fault})
    kubernetes.apply(job("busybox", backoffLimit=0))
    kubernetes.kubectl("wait", "--for=condition=failed", "job/work", "--timeout=20s")
    pod = kubernetes.get("pods", "-l", "job-name=work")["items"][0]
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (exit_code, reason)
    if fault == "driver_mismatch":
        log = kubernetes.kubectl("logs", pod["metadata"]["name"])
        assert "CUDA driver version is insufficient for CUDA runtime version" in log


def test_the_articles_image_can_fail_on_modern_gpus(kubernetes: Kubernetes) -> None:
    kubernetes.set(article_image_runs_on_modern_gpus=False)
    kubernetes.apply_pool("gpunp", "Standard_NC4as_T4_v3")
    kubernetes.apply(plugin())
    kubernetes.apply(job(MNIST, gpus=1, name="mnist", backoffLimit=0))
    kubernetes.kubectl("wait", "--for=condition=failed", "job/mnist", "--timeout=20s")
    assert "CUDA driver version is insufficient" in kubernetes.kubectl("logs", "job/mnist")


def test_vector_addition_passes_with_a_gpu_and_fails_without(gpus: Kubernetes) -> None:
    image = "nvcr.io/nvidia/k8s/cuda-sample:vectoradd-cuda12.5.0"
    gpus.apply(job(image, gpus=1, name="with"))
    work = job(image, name="without", backoffLimit=0)
    gpus.apply(work)
    gpus.kubectl("wait", "--for=condition=complete", "job/with", "--timeout=20s")
    assert gpus.kubectl("logs", "job/with").endswith("Test PASSED\nDone\n")
    gpus.kubectl("wait", "--for=condition=failed", "job/without", "--timeout=20s")


def test_eviction_and_configuration_errors(kubernetes: Kubernetes) -> None:
    kubernetes.set(image_faults={"busybox:1": "evicted", "busybox:2": 'config: secret "password" not found'})
    kubernetes.apply(job("busybox:1", name="evicted", backoffLimit=0), job("busybox:2", name="config"))
    kubernetes.kubectl("wait", "--for=condition=failed", "job/evicted", "--timeout=20s")
    status = kubernetes.get("pods", "-l", "job-name=evicted")["items"][0]["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")

    def waiting() -> str:
        statuses = kubernetes.get("pods", "-l", "job-name=config")["items"][0]["status"].get("containerStatuses", [])
        return str(statuses[0]["state"].get("waiting", {}).get("reason")) if statuses else ""

    kubernetes.until(waiting, "CreateContainerConfigError")


def test_a_lost_node_reports_nothing_until_it_is_back(kubernetes: Kubernetes) -> None:
    kubernetes.set(generic_pod_seconds=5.0)
    kubernetes.apply(job("busybox"))
    kubernetes.until(lambda: kubernetes.get("jobs", "work")["status"].get("ready"), 1)
    kubernetes.set(node_faults={"*nodepool1*": "lost"})
    kubernetes.kubectl("wait", "--for=condition=Ready=Unknown", "node", "-l", "agentpool=nodepool1", "--timeout=10s")
    time.sleep(6)
    assert "succeeded" not in kubernetes.get("jobs", "work")["status"]
    kubernetes.set(node_faults={})
    kubernetes.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=20s")


def test_init_containers_and_sidecars(kubernetes: Kubernetes) -> None:
    work = job("busybox")
    work["spec"]["template"]["spec"]["initContainers"] = [
        {"name": "first", "image": "busybox"},
        {"name": "proxy", "image": "envoy", "restartPolicy": "Always"},
    ]
    kubernetes.apply(work)
    kubernetes.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=20s")


def test_a_deleted_pod_ends_within_its_grace(kubernetes: Kubernetes) -> None:
    kubernetes.kubectl("run", "sleeper", "--image=busybox", "--restart=Always")
    kubernetes.kubectl("wait", "--for=condition=Ready", "pod/sleeper", "--timeout=10s")
    kubernetes.kubectl("delete", "pod", "sleeper", "--timeout=10s")
