# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: when one can still succeed, when it can't, and what it told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._job_logs import (
    JobLogs,
    SuccessCriteria,
    log_key,
    main_container,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._jobs import JobStatus, evaluate_job, job_result
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Permanence

NODE = {
    "metadata": {"name": "node"},
    "spec": {"taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


def job(*conditions: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "mnist", "namespace": "n", "uid": "job"},
        "spec": {"completions": 1},
        "status": {
            "startTime": "2026-08-01T10:00:00Z",
            "conditions": [
                {"type": kind, "status": "True", "reason": reason, "message": message}
                for kind, reason, message in conditions
            ],
            **more,
        },
    }


def pod(
    phase: str = "Running", name: str = "mnist-1", state: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    container = {"name": "c", "image": "img", "restartCount": 0, "state": state or {"running": {}}}
    container.update(more.pop("container", {}))
    return {
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": name,
            "creationTimestamp": f"2026-08-01T10:00:0{name[-1]}Z",
        },
        "spec": {"nodeName": "node", "containers": [{"name": "c"}], **more.pop("spec", {})},
        "status": {"phase": phase, "containerStatuses": [container], **more},
    }


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": "2026-08-01T10:03:00Z"}}


def waiting(reason: str, message: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def expired(verdict: JobStatus) -> list[str]:
    return [problem.cause for problem in verdict.problems if problem.permanence is Permanence.PERMANENT]


def little(verdict: JobStatus) -> list[str]:
    return [problem.cause for problem in verdict.problems if problem.permanence is Permanence.UNCERTAIN]


def test_complete() -> None:
    verdict = evaluate_job(job(("Complete", "CompletionsReached", "")), [pod("Succeeded", state=ended(0, "Completed"))])
    assert verdict.complete
    assert verdict.problems == []


def test_running() -> None:
    verdict = evaluate_job(job(), [pod()], nodes=[NODE])
    assert not verdict.complete
    assert verdict.problems == []
    assert "Pod mnist-1 runs on node" in verdict.summary


@pytest.mark.parametrize("reason", ["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy"])
@pytest.mark.parametrize("kind", ["Failed", "FailureTarget"])
def test_failed(kind: str, reason: str) -> None:
    verdict = evaluate_job(job((kind, reason, "in its words")), [])
    assert expired(verdict) == [reason]
    assert "in its words" in verdict.problems[0].message


def test_unschedulable() -> None:
    status = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
    }
    unscheduled = pod("Pending", conditions=[status], containerStatuses=[], spec={"nodeName": None})
    verdict = evaluate_job(job(), [unscheduled], nodes=[NODE])
    assert little(verdict) == ["Unschedulable"]
    assert "0/1 nodes are available" in verdict.problems[0].message
    assert "sku=gpu:NoSchedule" in verdict.problems[0].advice


def test_image() -> None:
    pulling = pod("Pending", state=waiting("ErrImagePull", "img: not found"))
    assert expired(evaluate_job(job(), [pulling], nodes=[NODE])) == ["ImagePull"]


def test_retries_leave_hope() -> None:
    verdict = evaluate_job(job(failed=1), [pod("Failed", state=ended(1)), pod(name="mnist-2")], nodes=[NODE])
    assert expired(verdict) == []
    assert little(verdict) == []


def test_evicted_pod_is_replaced() -> None:
    evicted = pod("Failed", reason="Evicted", message="low on memory", containerStatuses=[])
    verdict = evaluate_job(job(failed=1), [evicted, pod(name="mnist-2")], nodes=[NODE])
    assert [problem.cause for problem in verdict.problems] == ["Evicted"]
    assert expired(verdict) == little(verdict) == []


def test_killed_for_memory_twice() -> None:
    killed = [pod("Failed", f"mnist-{n}", state=ended(137, "OOMKilled")) for n in (1, 2)]
    assert "OOMKilled" not in expired(evaluate_job(job(), killed[:1], nodes=[NODE]))
    assert "OOMKilled" in expired(evaluate_job(job(), killed, nodes=[NODE]))
    again = pod(
        state=waiting("CrashLoopBackOff", ""), container={"restartCount": 2, "lastState": ended(137, "OOMKilled")}
    )
    assert "OOMKilled" in expired(evaluate_job(job(), [again], nodes=[NODE]))


def test_node_lost() -> None:
    lost = {
        "metadata": {"name": "node"},
        "status": {
            "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "m"}]
        },
    }
    assert little(evaluate_job(job(), [pod()], nodes=[lost])) == ["NodeLost"]
    assert little(evaluate_job(job(), [pod()], nodes=[])) == ["NodeLost"]
    assert evaluate_job(job(), [pod()], nodes=None).problems == []


def test_pods_that_may_not_be_created() -> None:
    event = {"involvedObject": {"uid": "job"}, "reason": "FailedCreate", "message": "exceeded quota"}
    verdict = evaluate_job(job(), [], [event])
    assert little(verdict) == ["FailedCreate"]
    assert "exceeded quota" in verdict.problems[0].message


def told(target: dict[str, Any], *lines: str) -> JobLogs:
    evidence = JobLogs()
    key = log_key(target, "c")
    assert key
    evidence.take((key, line) for line in lines)
    return evidence


def test_driver_mismatch_ends_a_job_that_would_try_again() -> None:
    crashed = pod(state=waiting("CrashLoopBackOff", "back-off"), container={"restartCount": 1, "lastState": ended(1)})
    evidence = told(crashed, "CUDA driver version is insufficient for CUDA runtime version")
    verdict = evaluate_job(job(), [crashed], nodes=[NODE], evidence=evidence)
    assert expired(verdict) == ["DriverMismatch"]
    assert "newer NVIDIA driver" in verdict.problems[0].advice
    assert "mnist_workload: digits" in verdict.problems[0].advice


def test_driver_mismatch_of_a_program_that_goes_on_is_only_told() -> None:
    running = pod()
    evidence = told(running, "CUDA driver version is insufficient for CUDA runtime version")
    verdict = evaluate_job(job(), [running], nodes=[NODE], evidence=evidence)
    assert expired(verdict) == []
    assert [problem.cause for problem in verdict.problems] == ["DriverMismatch"]


def test_suspended() -> None:
    suspended = job(("Suspended", "JobSuspended", "Job suspended"))
    suspended["spec"]["suspend"] = True
    assert [problem.cause for problem in evaluate_job(suspended, []).problems] == ["Suspended"]


def test_result() -> None:
    done = pod("Succeeded", state=ended(0, "Completed"))
    evidence = told(
        done,
        "Found device 0 with properties:",
        "name: Tesla T4 major: 7 minor: 5",
        "Accuracy at step 0: 0.1",
        "Accuracy at step 10: 0.9",
        "Accuracy at step 20: 0.8",
    )
    complete = job(("Complete", "", ""), succeeded=1, completionTime="2026-08-01T10:03:10Z")
    result = job_result("n", "mnist", complete, [done], evidence)
    assert result["complete"]
    assert (result["duration_seconds"], result["succeeded"], result["completions"]) == (190, 1, 1)
    assert (result["accuracy_first"], result["accuracy_last"], result["accuracy_best"]) == (0.1, 0.8, 0.9)
    assert result["devices"][0]["name"] == "Tesla T4"
    assert result["pods"] == [
        {
            "name": "mnist-1",
            "node": "node",
            "node_pool": None,
            "vm_size": None,
            "node_is_there": None,
            "phase": "Succeeded",
            "asks_for_gpu": False,
            "exit_code": 0,
            "devices": result["devices"],
            "accuracy_last": 0.8,
            "log_pattern_found": None,
        }
    ]


def rule(log_pattern: str | None = None, minimum_accuracy: float | None = None) -> SuccessCriteria:
    return SuccessCriteria.of({"log_pattern": log_pattern, "minimum_accuracy": minimum_accuracy})


@pytest.mark.parametrize(
    ("asked", "lines", "causes"),
    [
        (rule(), [], []),
        (rule("^Test PASSED$"), ["Test PASSED"], []),
        (rule("^Test PASSED$"), ["The Test PASSED"], ["PatternNotFound"]),
        (rule("PASSED"), [], ["PatternNotFound"]),
        (rule(minimum_accuracy=0.9), ["Accuracy at step 0: 0.2", "Accuracy at step 10: 0.9"], []),
        (rule(minimum_accuracy=0.9), ["Accuracy at step 0: 0.95", "Accuracy at step 10: 0.89"], ["AccuracyTooLow"]),
        (rule(minimum_accuracy=0.0), ["done"], ["AccuracyNotTold"]),
        (rule("done", 0.5), ["Accuracy at step 0: 0.4"], ["PatternNotFound", "AccuracyTooLow"]),
    ],
)
def test_rule(asked: SuccessCriteria, lines: list[str], causes: list[str]) -> None:
    done = pod("Succeeded", state=ended(0, "Completed"))
    evidence = JobLogs(asked.pattern)
    evidence.take((f"{done['metadata']['uid']}/c/0", line) for line in lines)
    broken = asked.violations("Job n/mnist", [done, pod("Failed", "mnist-2", state=ended(1))], evidence)
    assert [problem.cause for problem in broken] == causes
    assert all(problem.permanence is Permanence.PERMANENT for problem in broken)


def test_rule_holds_for_every_pod() -> None:
    pods = [pod("Succeeded", f"mnist-{n}", state=ended(0, "Completed")) for n in (1, 2)]
    evidence = JobLogs()
    for found, accuracy in zip(pods, (0.95, 0.5), strict=True):
        evidence.take([(f"{found['metadata']['uid']}/c/0", f"Accuracy at step 10: {accuracy}")])
    (problem,) = rule(minimum_accuracy=0.9).violations("Job n/mnist", pods, evidence)
    assert problem.subject == "Pod n/mnist-2"
    assert "0.5" in problem.message


def test_what_pods_told_that_are_gone_can_not_be_judged() -> None:
    (problem,) = rule(minimum_accuracy=0.9).violations("Job n/mnist", [], JobLogs())
    assert (problem.cause, problem.permanence) == ("LogGone", Permanence.TRANSIENT)


def test_rule_that_can_not_be() -> None:
    with pytest.raises(Failure, match=r"log_pattern is no regular expression.*minimum_accuracy has to be"):
        rule("(", 1.5)


def test_result_has_the_same_keys_without_a_job() -> None:
    nothing = job_result("n", "mnist", None)
    assert nothing.keys() == job_result("n", "mnist", job(), [pod()]).keys()
    assert (nothing["exists"], nothing["complete"], nothing["devices"]) == (False, False, [])


def test_result_shows_the_pod_that_succeeded_not_the_one_that_failed() -> None:
    failed, done = pod("Failed", state=ended(1)), pod("Succeeded", "mnist-2", state=ended(0))
    evidence = told(failed, "Accuracy at step 0: 0.1")
    evidence.take((str(log_key(done, "c")), line) for line in ["Accuracy at step 0: 0.2"])
    assert job_result("n", "mnist", job(), [failed, done], evidence)["accuracy_last"] == 0.2


def test_log_key() -> None:
    assert log_key(pod("Pending", state=waiting("ContainerCreating", "")), "c") is None
    assert log_key(pod(), "c") == "mnist-1/c/0"
    assert log_key(pod(state=ended(1), container={"restartCount": 2}), "c") == "mnist-1/c/2"
    assert log_key(pod(), "other") is None


def several(
    *names: str, asks: str | None = None, default: str | None = None, init: str | None = None
) -> dict[str, Any]:
    """A Pod of several containers, of which one asks for a GPU."""
    found = pod()
    found["spec"]["containers"] = [{"name": name} for name in names]
    for container in found["spec"]["containers"]:
        if container["name"] == asks:
            container["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    found["status"]["containerStatuses"] = [
        {"name": name, "image": "img", "restartCount": 0, "state": {"running": {}}} for name in names
    ]
    if init is not None:
        found["spec"]["initContainers"] = [{"name": init}]
        state = ended(0, "Completed")
        found["status"]["initContainerStatuses"] = [{"name": init, "image": "img", "restartCount": 0, "state": state}]
    if default is not None:
        found["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": default}
    return found


@pytest.mark.parametrize(
    ("found", "main"),
    [
        # Findings B2: kubeflow/trainer#1182 has a log shipper before the container that trains.
        (several("shipper", "trainer", asks="trainer"), "trainer"),
        # istio/istio#26764 and kubernetes/kubernetes#96986: an injected proxy may come first; kubectl's annotation.
        (several("istio-proxy", "work", default="work"), "work"),
        # kubernetes/kubernetes#61333: a patched Pod has its sidecar at the top.
        (several("sidecar", "nginx"), "sidecar"),
        # An injector's annotation may name a container that works without a GPU.
        (several("work", "train", asks="train", default="work"), "train"),
        # kubernetes/kubernetes#82339: an annotation that names nothing that is there.
        (several("a", "b", default="gone"), "a"),
    ],
)
def test_main_container(found: dict[str, Any], main: str) -> None:
    assert main_container(found) == main


def test_main_container_with_a_resource_claim() -> None:
    """Dynamic resource allocation has claims instead of limits.

    https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
    """
    found = several("log", "train")
    found["spec"]["containers"][1]["resources"] = {"claims": [{"name": "gpu"}]}
    assert main_container(found) == "train"


def test_the_container_with_the_gpu_counts_and_trouble_of_any() -> None:
    """Findings B2: PatternNotFound, AccuracyNotTold, and no DriverMismatch."""
    found = several("shipper", "trainer", asks="trainer", init="check")
    found["status"]["phase"] = "Succeeded"
    evidence = JobLogs(re.compile("done"))
    evidence.take(
        [
            ("mnist-1/shipper/0", "shipping"),
            ("mnist-1/trainer/0", "Accuracy at step 10: 0.95, done"),
            ("mnist-1/check/0", "Failed to initialize NVML: Driver/library version mismatch"),
        ]
    )
    asked = rule("done", 0.9)
    assert asked.violations("Job n/mnist", [found], evidence) == []
    assert [problem.cause for problem in evaluate_job(job(), [found], evidence=evidence).problems] == ["DriverChanged"]
    assert log_key(found, "check") == "mnist-1/check/0"


@pytest.mark.parametrize("reason", ["OOMKilled", "Error"])
def test_exit_code_is_the_main_containers(reason: str) -> None:
    """Findings B3; kubernetes/kubernetes#116676 and #19825 have init containers that end with 0, and 137 as Error."""
    found = several("main", init="init")
    found["status"]["containerStatuses"][0]["state"] = ended(137, reason)
    assert job_result("n", "mnist", job(), [found])["pods"][0]["exit_code"] == 137


def test_exit_code_without_an_end_of_the_main_container() -> None:
    """kubernetes/kubernetes#104454: what failed is the init container, and the main one never started."""
    found = several("main", init="init")
    found["status"]["containerStatuses"][0]["state"] = waiting("PodInitializing", "")
    assert job_result("n", "mnist", job(), [found])["pods"][0]["exit_code"] is None
    found["status"]["initContainerStatuses"][0]["state"] = ended(3)
    assert job_result("n", "mnist", job(), [found])["pods"][0]["exit_code"] == 3


def test_the_pod_shown_is_one_whose_log_was_read() -> None:
    """Findings B1: of 20 Pods the 8 youngest are read, and the one that ended first was shown."""
    pods = []
    for number in range(1, 4):
        done = pod("Succeeded", f"mnist-{number}", state=ended(0))
        done["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = f"2026-08-01T10:0{number}:00Z"
        pods.append(done)
    evidence = told(pods[1], "Found device 0 with properties: name: Tesla T4", "Accuracy at step 1: 0.9")
    result = job_result("n", "mnist", job(), pods, evidence)
    assert (result["accuracy_last"], len(result["devices"])) == (0.9, 1)


def refused(when: str | None, message: str = "exceeded quota", reason: str = "FailedCreate") -> dict[str, Any]:
    return {"involvedObject": {"uid": "job"}, "reason": reason, "message": message, "lastTimestamp": when}


@pytest.mark.parametrize(
    ("event", "missing", "causes"),
    [
        # Findings B5; volcano-sh/volcano#2534: a gang of 2 with quota for 1. Both in the same second.
        (refused("2026-08-01T10:00:01Z"), True, ["FailedCreate"]),
        # kubernetes/kubernetes#88718 and #45213: refused again and again while Pods of before are there.
        (refused("2026-08-01T10:20:01Z", "exceeded quota: default, requested: pods=1"), True, ["FailedCreate"]),
        # iovisor/kubectl-trace#49 and haproxytech/helm-charts#236: limits that the quota asks for.
        (refused("2026-08-01T10:00:09Z", "failed quota: must specify limits.cpu"), True, ["FailedCreate"]),
        # An event that is older than the newest Pod: it is over.
        (refused("2026-08-01T09:59:00Z"), True, []),
        (refused("2026-08-01T10:00:09Z"), False, []),
        (refused("2026-08-01T10:00:09Z", reason="TooManyActivePods"), True, []),
    ],
)
def test_pods_that_are_missing(event: dict[str, Any], missing: bool, causes: list[str]) -> None:
    gang = job(active=1)
    gang["spec"].update(completions=2, parallelism=2 if missing else 1)
    problems = evaluate_job(gang, [pod()], [event], nodes=[NODE]).problems
    assert [problem.cause for problem in problems if problem.cause == "FailedCreate"] == causes


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        # Findings B6.
        ("no CUDA-capable device is detected", "NoDevice"),
        ("CUDA driver version is insufficient for CUDA runtime version", "DriverMismatch"),
        # kubeflow/trainer#903 has this line of one worker; microsoft/pai#4344 a node that lost one GPU of four.
        ("failed call to cuInit: CUDA_ERROR_NO_DEVICE", "NoDevice"),
        # determined-ai/determined#2343.
        ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "ImageTooOldForGpu"),
        # vllm-project/ci-infra#582: a node whose devices come back minutes later.
        ("RuntimeError: No CUDA GPUs are available", "NoDevice"),
    ],
)
def test_what_one_pod_says_is_fatal_only_when_all_say_so(trouble: str, cause: str) -> None:
    bad = pod("Failed", "mnist-1", state=ended(1))
    good, worse = pod(name="mnist-2"), pod("Failed", "mnist-3", state=ended(1))
    evidence = told(bad, trouble)
    alone = evaluate_job(job(), [bad], nodes=[NODE], evidence=evidence)
    assert cause not in expired(alone)
    assert little(alone) == [cause]
    assert cause not in expired(evaluate_job(job(), [bad, good], nodes=[NODE], evidence=evidence))
    assert cause in expired(evaluate_job(job(("Failed", "BackoffLimitExceeded", "")), [bad, good], evidence=evidence))
    evidence.take([("mnist-3/c/0", trouble)])
    assert expired(evaluate_job(job(), [bad, worse], nodes=[NODE], evidence=evidence)) == [cause, cause]


@pytest.mark.parametrize(
    ("asked", "lines", "causes"),
    [
        (rule("PASSED"), ["hello"], ["LogNotRead"]),
        (rule("PASSED"), [], ["LogNotRead"]),
        (rule("PASSED"), ["Test PASSED"], []),
        (rule(minimum_accuracy=0.9), ["Accuracy at step 0: 0.95"], ["LogNotRead"]),
        (rule(), [], []),
    ],
)
def test_a_log_that_was_not_read_does_not_say_no(asked: SuccessCriteria, lines: list[str], causes: list[str]) -> None:
    """Findings C4: 30 MB of log over 20 Mbit/s; what was unread counted as "not told"."""
    done = pod("Succeeded", state=ended(0, "Completed"))
    evidence = JobLogs(asked.pattern, unread={"mnist-1/c/0": "it did not come to its end in time"})
    evidence.take(("mnist-1/c/0", line) for line in lines)
    assert [problem.cause for problem in asked.violations("Job n/mnist", [done], evidence)] == causes


def test_a_log_that_is_gone_is_not_judged() -> None:
    """Findings C2 and C12."""
    done = pod("Succeeded", state=ended(0, "Completed"))
    evidence = JobLogs(gone={"mnist-1/c/0"})
    assert [problem.cause for problem in rule("x").violations("Job n/mnist", [done], evidence)] == ["LogGone"]
