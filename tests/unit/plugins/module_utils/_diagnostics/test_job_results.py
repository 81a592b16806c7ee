# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the Pods of a complete Job ran, and what is left of what they told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._job_logs import JobLogs, SuccessCriteria
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._jobs import job_node_core, job_result
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import node_pool_of
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Permanence

NODE = "aks-gpunp-28993262-vmss000000"


def job(selector: dict[str, str] | None = None) -> dict[str, Any]:
    template = {"spec": {"nodeSelector": selector}} if selector else {"spec": {}}
    return {
        "metadata": {"name": "mnist", "namespace": "n", "uid": "job"},
        "spec": {"completions": 1, "template": template},
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    }


def pod(phase: str = "Succeeded", name: str = "mnist-1", node: str = NODE, gpus: str = "1") -> dict[str, Any]:
    ended = {"terminated": {"exitCode": 0 if phase == "Succeeded" else 1, "finishedAt": "2026-08-01T10:03:00Z"}}
    container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    return {
        "metadata": {"name": name, "namespace": "n", "uid": name, "creationTimestamp": "2026-08-01T10:00:00Z"},
        "spec": {"nodeName": node, "containers": [container]},
        "status": {
            "phase": phase,
            "startTime": "2026-08-01T10:00:01Z",
            "containerStatuses": [{"name": "c", "image": "img", "restartCount": 0, "state": ended}],
        },
    }


def node(created: str = "2026-08-01T09:00:00Z", size: str = "Standard_NC4as_T4_v3") -> dict[str, Any]:
    labels = {"kubernetes.azure.com/agentpool": "gpunp", "node.kubernetes.io/instance-type": size, "other": "x"}
    return job_node_core({"metadata": {"name": NODE, "labels": labels, "creationTimestamp": created}, "status": {}})


def place(nodes: list[dict[str, Any]] | None, found: dict[str, Any] | None = None) -> tuple[Any, ...]:
    (result,) = job_result("n", "mnist", job(), [found or pod()], nodes=nodes)["pods"]
    return tuple(result[key] for key in ("node", "node_pool", "vm_size", "node_is_there", "asks_for_gpu"))


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node()], (NODE, "gpunp", "Standard_NC4as_T4_v3", True, True)),
        # A pool of the same name that was made anew has nodes of the same names.
        ([node("2026-08-01T11:00:00Z", size="Standard_NC24ads_A100_v4")], (NODE, "gpunp", None, False, True)),
        ([], (NODE, "gpunp", None, False, True)),
        (None, (NODE, "gpunp", None, None, True)),
    ],
    ids=["there", "replaced", "gone", "nodes can't be listed"],
)
def test_place_of_a_pod(nodes: list[dict[str, Any]] | None, expected: tuple[Any, ...]) -> None:
    assert place(nodes) == expected


def test_a_pod_without_a_gpu() -> None:
    assert place([node()], pod(gpus="0"))[-1] is False


@pytest.mark.parametrize(
    ("name", "labels", "pool"),
    [
        # Azure/aks-engine#4241 lists nodes of AKS: of a Linux pool, and of the Windows pools job and win2.
        ("aks-nodepool1-41422890-vmss000000", {}, "nodepool1"),
        ("aksjob000000", {}, None),
        # Azure/AKS#3293: the number goes on in base 36.
        ("aks-nodepool1-41422890-vmss00000a", {}, "nodepool1"),
        ("aksjob000000", {"agentpool": "job"}, "job"),
        (NODE, {"kubernetes.azure.com/agentpool": "other"}, "other"),
        # Node auto-provisioning, as in the findings E11.
        ("aks-default-a100-system-surge-x7k2p", {}, None),
        ("", {}, None),
    ],
)
def test_pool_of_a_node(name: str, labels: dict[str, str], pool: str | None) -> None:
    assert node_pool_of(name, labels) == pool


@pytest.mark.parametrize(
    ("selector", "pool"),
    [
        ({"kubernetes.azure.com/agentpool": "gpunp"}, "gpunp"),
        ({"agentpool": "gpunp"}, "gpunp"),
        ({"kubernetes.io/os": "linux"}, None),
        (None, None),
    ],
)
def test_the_pool_that_a_job_is_bound_to(selector: dict[str, str] | None, pool: str | None) -> None:
    assert job_result("n", "mnist", job(selector))["node_pool"] == pool


def rule() -> SuccessCriteria:
    return SuccessCriteria.of({"log_pattern": None, "minimum_accuracy": 0.9})


def test_pods_are_gone() -> None:
    """Findings C12; kubernetes/autoscaler#2157."""
    result = job_result("n", "mnist", job())
    assert (result["complete"], result["log_state"]) == (True, "gone")
    (problem,) = rule().violations("Job n/mnist", [], JobLogs())
    assert (problem.cause, problem.permanence) == ("LogGone", Permanence.TRANSIENT)
    assert "mnist_recreate: true" in problem.advice


def test_of_a_complete_job_only_the_pod_that_failed_is_left() -> None:
    """The Pod that succeeded went with its node; the log of the other one is not the proof."""
    failed = pod("Failed")
    evidence = JobLogs()
    evidence.take([("mnist-1/c/0", "Found device 0 with properties: name: Tesla T4"), ("mnist-1/c/0", "Killed")])
    result = job_result("n", "mnist", job(), [failed], evidence)
    assert (result["devices"], result["log_state"], result["log_tail"]) == ([], "gone", [])
    (problem,) = rule().violations("Job n/mnist", [failed], evidence)
    assert problem.cause == "LogGone"


@pytest.mark.parametrize(
    ("evidence", "state"),
    [
        (JobLogs(), "read"),
        (JobLogs(unread={"mnist-1/c/0": "i/o timeout"}), "not_read"),
        (JobLogs(gone={"mnist-1/c/0"}), "gone"),
    ],
)
def test_log_state(evidence: JobLogs, state: str) -> None:
    result = job_result("n", "mnist", job(), [pod()], evidence)
    assert result["log_state"] == state
    assert (result["log_problem"] is None) == (state == "read")


@pytest.mark.parametrize(
    ("lines", "nothing"),
    [
        # kubernetes/kubernetes#98236 and #111812: the whole log of a container that is no longer on the node.
        (["unable to retrieve container logs for containerd://61a93aa17bfb193bc125b151ec643c85"], True),
        (["unable to retrieve container logs for docker://ad94d3ea0fbe0a2e429b45babfd09143"], True),
        # kubernetes/kubernetes#45911.
        (['failed to open log file "/var/log/pods/30aae155/prometheus_3.log": open /var/log/pods/30aae155'], True),
        (["Accuracy at step 490: 0.9258"], False),
        (["unable to retrieve container logs for containerd://61a93aa1", "Accuracy at step 490: 0.9258"], False),
        ([], False),
    ],
)
def test_words_of_the_kubelet_are_no_log(lines: list[str], nothing: bool) -> None:
    evidence = JobLogs()
    evidence.take(("mnist-1/c/0", line) for line in lines)
    assert evidence.says_nothing("mnist-1/c/0") is nothing
