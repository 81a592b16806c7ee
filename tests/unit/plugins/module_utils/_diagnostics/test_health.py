# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node conditions are judged by what they are: their names differ from what is documented, and new ones appear."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import GpuStatus, evaluate_nodes
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Permanence
from ansible_collections.aks.gpu.plugins.module_utils._evidence import _page
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import Expectations, Observations, checks_of

NAME = "aks-gpunp-28993262-vmss000000"


def judged(*conditions: tuple[str, str], **spec: Any) -> GpuStatus:
    """The verdict on a node that offers its GPU, with these conditions."""
    said = [{"type": kind, "status": status, "reason": "R", "message": "said so"} for kind, status in conditions]
    node = {
        "metadata": {
            "name": NAME,
            "labels": {"kubernetes.azure.com/agentpool": "gpunp", "kubernetes.azure.com/accelerator": "nvidia"},
        },
        "spec": spec,
        "status": {
            "capacity": {"nvidia.com/gpu": "1"},
            "allocatable": {"nvidia.com/gpu": "1"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "m"}, *said],
        },
    }
    return evaluate_nodes(Expectation(node_pool="gpunp", gpus_per_node=1, stack="gpu_image"), [node], [], [])


def health_of(verdict: GpuStatus) -> tuple[bool | None, str]:
    """The line of the evidence on the health of these nodes."""
    found = Observations(gpus={"nodes": verdict.nodes, "expected": {}, "gpus_ready": verdict.done})
    (check,) = [check for check in checks_of(Expectations(), found) if check.name == "health"]
    return check.holds, check.line


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("XIDError", "True"),  # Azure/AgentBaker#8797: what a real AKS node says
        ("GPUXIDErrors", "True"),  # https://learn.microsoft.com/azure/aks/gpu-health-monitoring
        ("XidCriticalError", "True"),  # GoogleCloudPlatform/container-engine-accelerators#497
        ("GpuNvlinkWatch", "True"),  # NVIDIA/aicr#2641, set by NVIDIA/NVSentinel
        ("GpuMemWatch", "True"),  # NVIDIA/NVSentinel#714, on an AKS node
        ("AcceleratedHardwareReady", "False"),  # aws/eks-node-monitoring-agent#272
        # Made of the conditions that issue 17 names.
        ("NVLinkDown", "True"),
        ("IBLinkDown", "True"),
        ("nvidia.com/gpu-healthy", "False"),
        ("GPUNotReady", "True"),
        ("NvidiaPersistencedUnhealthy", "True"),
    ],
)
def test_a_gpu_condition_counts_whatever_its_exact_name(kind: str, status: str) -> None:
    verdict = judged((kind, status))
    (problem,) = verdict.problems
    assert (verdict.done, problem.cause, problem.permanence) == (False, kind, Permanence.UNCERTAIN)
    assert "said so" in problem.message
    holds, line = health_of(verdict)
    assert holds is False
    assert kind in line


@pytest.mark.parametrize(
    ("kind", "status", "ill"),
    [
        ("XIDError", "True", True),
        ("GPUHealthy", "False", True),
        ("GPUHealthy", "True", False),
        ("Ready", "True", False),
    ],
)
def test_the_page_of_the_evidence_says_so(kind: str, status: str, ill: bool) -> None:
    """aws/eks-node-monitoring-agent#272 has a condition that is well when it is True."""
    node = {
        **dict.fromkeys(("vm_size", "node_image_version", "driver_version", "cuda_version", "probe", "gpus_from")),
        "name": NAME,
        "ready": True,
        "capacity": 1,
        "allocatable": 1,
        "in_use": 0,
        "device_plugin": None,
        "kubelet_version": None,
        "conditions": [{"type": kind, "status": status, "reason": "R", "message": "m"}],
    }
    assert bool(_page._node(node)["health"]) is ill


@pytest.mark.parametrize("kind", ["XIDError", "GPUXIDErrors", "XIDErrors"])
def test_spellings_of_a_known_condition_have_its_advice(kind: str) -> None:
    (problem,) = judged((kind, "True")).problems
    assert "docs.nvidia.com/deploy/xid-errors" in problem.advice


def test_a_name_that_is_not_known_is_said_not_to_be_recognised() -> None:
    (problem,) = judged(("GpuNvlinkWatch", "True")).problems
    assert "not recognised" in problem.advice
    assert problem.permanence is not Permanence.PERMANENT


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("AcceleratedHardwareReady", "True"),  # aws/eks-node-monitoring-agent#272
        ("GpuNvswitchFatalWatch", "False"),  # NVIDIA/aicr#2641
        ("XIDErrors", "False"),
        ("nvidia.com/gpu-healthy", "True"),
        ("NvidiaDriverAvailable", "True"),
    ],
)
def test_a_gpu_condition_that_is_well(kind: str, status: str) -> None:
    verdict = judged((kind, status))
    assert (verdict.done, verdict.problems) == (True, [])
    assert health_of(verdict)[0] is True


@pytest.mark.parametrize(
    "kind",
    [
        # https://kubernetes.io/docs/reference/node/node-status/#condition
        "DiskPressure", "MemoryPressure", "PIDPressure", "NetworkUnavailable",
        # https://learn.microsoft.com/azure/aks/node-problem-detector
        "ReadonlyFilesystem", "KernelDeadlock", "FilesystemCorruptionProblem", "FrequentKubeletRestart",
        "XfsShutdown",  # NVIDIA/aicr#2614
    ],
)  # fmt: skip
def test_any_other_condition_is_told(kind: str) -> None:
    verdict = judged((kind, "True"))
    (problem,) = verdict.problems
    assert (verdict.done, problem.cause, problem.blocking) == (True, kind, False)
    assert problem.message == f"{kind}: R: said so"
    assert judged((kind, "False")).problems == []


def test_a_check_without_a_result_is_not_taken_for_well() -> None:
    """Node problem detector's plugins may say Unknown (its docs/custom_plugin_monitor.md)."""
    verdict = judged(("XIDErrors", "Unknown"))
    (problem,) = verdict.problems
    assert (verdict.done, problem.blocking) == (True, False)
    assert health_of(verdict) == (None, f"GPU health conditions without a result: {NAME}: XIDErrors is Unknown")


@pytest.mark.parametrize("kind", ["IBLinkDown", "IBPKeyIssue", "ib-link-down", "RoCELinkIssue", "MIGFailed"])
def test_names_about_gpus_and_their_links(kind: str) -> None:
    assert not judged((kind, "True")).done


@pytest.mark.parametrize("kind", ["FiberDown", "KubeletProblem", "MigrationPending", "IBMCloudMaintenance"])
def test_names_about_something_else(kind: str) -> None:
    assert judged((kind, "True")).done
