"""Nodes of agent pools, with real Kubernetes: stopped pools, machines that go, drains that are blocked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aks_sandbox.arm_client import GPU_POOL, Arm
from aks_sandbox.testing import Sandbox

SCALED = {"enableAutoScaling": True, "minCount": 0, "maxCount": 3}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    settings = {"clock_speed": 10, "node_ready_seconds": 0.3, "drain_timeout_seconds": 2.0}
    with Sandbox.started("test-nodes-recorded", settings=settings) as sandbox:
        yield sandbox


@pytest.fixture
def arm(sandbox: Sandbox) -> Iterator[Arm]:
    arm = Arm(sandbox, "owner")
    yield arm
    sandbox.kubectl("delete", "pod,poddisruptionbudget", "--all", "--force", "--grace-period=0")
    for pool in arm.ask("GET", arm.cluster + "/agentPools").json()["value"]:
        if pool["name"] != "nodepool1":
            arm.delete(pool["name"])


def nodes(sandbox: Sandbox, pool: str = "gpunp") -> list[str]:
    """Names of a pool's nodes."""
    found = json.loads(sandbox.kubectl("get", "nodes", "--selector", f"agentpool={pool}", "--output", "json"))
    return [node["metadata"]["name"] for node in found["items"]]


def pod(name: str, **more: Any) -> dict[str, Any]:
    """A Pod for a node of the pool `gpunp`."""
    container = {"name": "main", "image": "nginx", "resources": {"requests": {"cpu": "3"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"nodeSelector": {"agentpool": "gpunp"}, "containers": [container], **more},
    }


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_autoscaler_starts_no_node_in_a_stopped_pool(arm: Arm, sandbox: Sandbox) -> None:
    """Microsoft's page on starting and stopping node pools; no recording."""
    arm.create("gpunp", {**GPU_POOL, **SCALED})
    arm.wait(arm.put_pool("gpunp", {**arm.properties("gpunp"), "powerState": {"code": "Stopped"}}))
    assert nodes(sandbox) == []
    sandbox.kubectl("apply", "--filename", "-", stdin=json.dumps(pod("waiting")))
    time.sleep(3)
    assert nodes(sandbox) == []
    assert arm.properties("gpunp")["count"] == 0
    arm.wait(arm.put_pool("gpunp", {**arm.properties("gpunp"), "powerState": {"code": "Running"}}))
    assert len(nodes(sandbox)) == arm.properties("gpunp")["count"] == 1
    sandbox.kubectl("wait", "--for=condition=Ready", "pod/waiting", "--timeout=30s")


def test_a_cordoned_node_takes_no_share_of_waiting_pods(arm: Arm, sandbox: Sandbox) -> None:
    """As the upstream autoscaler has it; no recording."""
    arm.create("gpunp", {**GPU_POOL, **SCALED})
    (node,) = nodes(sandbox)
    sandbox.kubectl("cordon", node)
    sandbox.kubectl("apply", "--filename", "-", stdin=json.dumps(pod("waiting")))
    until(lambda: arm.properties("gpunp")["count"] == 2)
    sandbox.kubectl("wait", "--for=condition=Ready", "pod/waiting", "--timeout=30s")


def test_deleted_machines_are_nodes_that_go_with_their_pods(arm: Arm, sandbox: Sandbox) -> None:
    """CLI test_aks_nodepool_delete_machines.yaml, 2024-09-19; that nothing is drained: AKS's documentation."""
    arm.create("gpunp", {**GPU_POOL, "count": 2})
    first, second = nodes(sandbox)
    listed = arm.ask("GET", arm.pool("gpunp") + "/machines").json()["value"]
    assert [each["name"] for each in listed] == [first, second]
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "held"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}},
    }
    held = pod("held", nodeName=first)
    sandbox.kubectl(
        "apply", "--filename", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": [held, budget]})
    )
    sandbox.kubectl("wait", "--for=condition=Ready", "pod/held", "--timeout=30s")

    leaving = arm.wait(arm.ask("DELETE", arm.pool("gpunp")), seconds=60)
    assert (leaving["status"], leaving["error"]["code"]) == ("Failed", "DeleteVMSSAgentPoolFailed")
    prefix, _brace, rest = leaving["error"]["message"].partition("{")
    assert prefix == "VMSSAgentPoolReconciler retry failed: "
    inner = json.loads("{" + rest)
    assert inner["code"] == "PodDrainFailure"
    assert inner["message"].startswith(
        f"Node '{first}' failed to be drained with error: 'Drain did not complete pods ["
    )
    assert "default/held" in inner["message"]
    assert inner["message"].endswith("] within 2s'")

    gone = arm.ask("POST", arm.pool("gpunp") + "/deleteMachines", {"machineNames": [first]})
    assert arm.wait(gone)["status"] == "Succeeded"
    assert nodes(sandbox) == [second]
    assert arm.properties("gpunp")["count"] == 1
    assert sandbox.kubectl("get", "pod", "--output", "name") == ""
