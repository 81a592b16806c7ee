# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real Azure was recorded to do to a node pool, and to two operations at once: each run is right, nothing fails.

Read back with Azure's own SDK and with plain requests. Each test names its recording; ISS is a public issue.
"""

from __future__ import annotations

import copy
import itertools
import threading
import time
from typing import Any

import pytest
from aks_sandbox.arm_client import Arm
from aks_sandbox.testing import Sandbox
from arm_harness import Call, four, play, pool, text_of
from harness import Ansible, pools
from node_pool_harness import ARTICLE, ansible, properties, puts, sandbox

__all__ = ["ansible", "sandbox"]

Json = dict[str, Any]

ETAG_MISMATCH: Json = {
    "code": "EtagMismatch",
    "details": [{"code": "Unspecified", "message": "rpc error: code = FailedPrecondition desc = Etag mismatched"}],
    "message": "Operation is not allowed: Another operation is in progress",
    "subcode": "PutManagedClusterAndComponents_Fa",
}
"""ISS Azure/terraform-azurerm-aks#604 (2024-11-15), microsoft/retina#1212 (2025-01-13)."""

PRECONDITION_FAILED: Json = {
    "code": "PreconditionFailed",
    "details": None,
    "message": "Resource not found but ETag header is provided. If this is a request to create, please do not provide "
    "ETag.",
    "subcode": "",
}
"""azure-cli pull request 30309 (2024-11-13); the frame of the body was not shown."""

BUSY_TEXTS = (
    "Operation is not allowed: Another agentpool operation (nodepool1 - Creating) is in progress, please wait for it "
    "to finish before starting a new operation. See https://aka.ms/aks-pending-operation for more details",
    "Operation is not allowed because there's an in progress create managed cluster operation (operation ID: 0d52f9f1) "
    "on the managed cluster. Please wait for it to finish before starting a new operation.",
    "Managed Cluster operation is not allowed: Another operation (Updating) is in progress on agent pool (nodepool1).",
)
"""ISS cilium/cilium#25944 (2023-06-06), terraform-provider-azurerm#28878 (2025-02-27); Microsoft's support article."""

FREE_TEXTS = (
    "CreatingAgentPool",
    "CreatingAgentPools: 0/1 nodes completed",
    "ProvisioningControlPlane",
    "ReconcilingDNS",
)
"""azure-powershell TestAPI20250801WithMSI.json (2025-12-12); azure-service-operator
Test_AKS_ManagedCluster_20260501_CRUD.yaml (2026-09-18).
"""

TWO: Json = {"vm_size": "Standard_NC4as_T4_v3", "count": 2}
SPOT: Json = {"vm_size": "Standard_NC4as_T4_v3", "count": 1, "scale_set_priority": "Spot"}


def requests_of_pool(sandbox: Sandbox, since: int, name: str = "gpunp") -> list[str]:
    """The methods of the requests to a pool itself, in order."""
    path = f"/agentpools/{name}"
    return [each["method"] for each in sandbox.traffic(since) if each["url"].partition("?")[0].lower().endswith(path)]


# --- stopped and started -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [TWO, {**ARTICLE, "count": 2}], ids=["a count of 2", "the autoscaler"])
def test_stop_rerun_start_rerun(sandbox: Sandbox, ansible: Ansible, options: Json) -> None:
    """azure-cli-extensions test_aks_nodepool_stop_and_start.yaml (2023-06-21): a stopped pool shows 0 nodes.

    What the autoscaler's bounds are while the pool is stopped was not recorded.
    """
    play(ansible, pool(sandbox, **options))
    if options.get("enable_auto_scaling"):
        sandbox.act("count", cluster=sandbox.cluster, pool="gpunp", count=2)
    mark = sandbox.mark()
    stop, start = {**options, "power_state": "Stopped"}, {**options, "power_state": "Running"}

    stopped = four(ansible, pool(sandbox, **stop))
    assert [result["failed"] for result in stopped] == [False] * 4, [result.get("msg") for result in stopped]
    assert [result["changed"] for result in stopped] == [True, True, False, False]
    found = properties(sandbox)
    assert (found["powerState"]["code"], found["count"], found["provisioningState"]) == ("Stopped", 0, "Succeeded")
    assert stopped[1]["settled"]

    unset = four(ansible, pool(sandbox, **options))
    assert [(result["failed"], result["changed"]) for result in unset] == [(False, False)] * 4
    assert properties(sandbox)["powerState"]["code"] == "Stopped"

    started = four(ansible, pool(sandbox, **start))
    assert [result["failed"] for result in started] == [False] * 4, [result.get("msg") for result in started]
    assert [result["changed"] for result in started] == [True, True, False, False]
    found = properties(sandbox)
    assert (found["powerState"]["code"], found["count"], found["provisioningState"]) == ("Running", 2, "Succeeded")
    assert [put["request_body"]["properties"]["powerState"]["code"] for put in puts(sandbox, mark)] == [
        "Stopped",
        "Running",
    ]


def test_a_new_pool_that_is_to_be_stopped(sandbox: Sandbox, ansible: Ansible) -> None:
    results = four(ansible, pool(sandbox, **TWO, power_state="Stopped"))
    assert [result["failed"] for result in results] == [False] * 4, [result.get("msg") for result in results]
    assert [result["changed"] for result in results] == [True, True, False, False]
    found = properties(sandbox)
    assert (found["powerState"]["code"], found["count"]) == ("Stopped", 0)
    (started,) = play(ansible, pool(sandbox, **TWO, power_state="Running"))
    assert started["changed"]
    assert properties(sandbox)["count"] == 2


def test_a_stopped_pool_is_started_with_another_count(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **TWO), pool(sandbox, **TWO, power_state="Stopped"))
    results = four(ansible, pool(sandbox, **{**TWO, "count": 3}, power_state="Running"))
    assert [result["failed"] for result in results] == [False] * 4, [result.get("msg") for result in results]
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert properties(sandbox)["count"] == 3


def test_a_stopped_pool_still_refuses_other_changes_before_any_write(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **TWO), pool(sandbox, **TWO, power_state="Stopped"))
    mark = sandbox.mark()
    for refused in four(ansible, pool(sandbox, **{**TWO, "count": 5}, node_labels={"team": "vision"})):
        text = text_of(refused)
        assert "power_state: Running" in text
        assert "node_labels" in text
        assert "nothing was changed" in text
    assert sandbox.writes(mark) == []


# --- Spot --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "shown"), [(0.577, 0.57699), (88.88888, 88.88888), (-1, -1.0), (None, -1.0)])
def test_a_spot_pool_is_the_same_the_second_time(
    sandbox: Sandbox, ansible: Ansible, price: float | None, shown: float
) -> None:
    """azure-powershell TestSpot.json (2025-10-28): 0.577 comes back as 0.57699; 88.88888 comes back whole in azure-cli
    test_aks_create_spot_node_pool.yaml (2025-07-07). Whether -1 is shown was not recorded.
    """
    options = SPOT if price is None else {**SPOT, "spot_max_price": price}
    mark = sandbox.mark()
    results = four(ansible, pool(sandbox, **options))
    assert [result["failed"] for result in results] == [False] * 4, [result.get("msg") for result in results]
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert len(puts(sandbox, mark)) == 1
    assert properties(sandbox).get("spotMaxPrice", -1.0) == shown
    mark = sandbox.mark()
    (refused,) = play(ansible, pool(sandbox, **{**SPOT, "spot_max_price": 0.61}))
    assert "spot_max_price can't be changed" in text_of(refused)
    assert sandbox.writes(mark) == []


# --- two operations at once --------------------------------------------------------------------------------------


def test_an_update_that_meets_another_operation_is_planned_again(sandbox: Sandbox, ansible: Ansible) -> None:
    """The body is not sent again as it is: the pool is read before each attempt."""
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.fault("PUT", "agentPools/gpunp", status=409, body=ETAG_MISMATCH, times=2)
    mark = sandbox.mark()
    (result,) = play(ansible, pool(sandbox, **{**ARTICLE, "max_count": 4}))
    assert not result["failed"], result["msg"]
    assert result["changed"]
    assert properties(sandbox)["maxCount"] == 4
    sent = requests_of_pool(sandbox, mark)
    assert sent.count("PUT") == 3
    writes = [number for number, method in enumerate(sent) if method == "PUT"]
    assert all("GET" in sent[one:other] for one, other in itertools.pairwise(writes))


def test_a_creation_that_meets_another_operation_is_made_again(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.fault("PUT", "agentPools/gpunp", status=409, body=ETAG_MISMATCH, times=2)
    results = play(ansible, pool(sandbox, **ARTICLE), pool(sandbox, **ARTICLE))
    assert [result["failed"] for result in results] == [False, False], [result.get("msg") for result in results]
    assert [result["changed"] for result in results] == [True, False]
    assert properties(sandbox)["provisioningState"] == "Succeeded"


def test_a_deletion_that_meets_another_operation_waits(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.fault("DELETE", "agentPools/gpunp", status=409, body=ETAG_MISMATCH, times=2)
    results = play(ansible, pool(sandbox, state="absent"), pool(sandbox, state="absent"))
    assert [result["failed"] for result in results] == [False, False], [result.get("msg") for result in results]
    assert [result["changed"] for result in results] == [True, False]
    assert "gpunp" not in pools(sandbox)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_each_wording_of_an_operation_in_progress_is_waited_for(
    sandbox: Sandbox, ansible: Ansible, method: str
) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    for text in BUSY_TEXTS:
        busy = {"code": "OperationNotAllowed", "details": None, "message": text, "subcode": ""}
        sandbox.fault(method, "agentPools/gpunp", status=409, body=busy)
    change: Json = {"max_count": 5} if method == "PUT" else {"state": "absent"}
    (result,) = play(ansible, pool(sandbox, **change))
    assert not result["failed"], result["msg"]
    assert result["changed"]
    assert [fault["hits"] for fault in sandbox.faults()] == [1] * len(BUSY_TEXTS)
    left = pools(sandbox)
    assert left["gpunp"]["properties"]["maxCount"] == 5 if method == "PUT" else "gpunp" not in left


@pytest.mark.parametrize("state", ["new", "present", "absent"])
def test_another_operation_without_end_ends_with_the_deadline(sandbox: Sandbox, ansible: Ansible, state: str) -> None:
    if state != "new":
        play(ansible, pool(sandbox, **ARTICLE))
    method = "DELETE" if state == "absent" else "PUT"
    sandbox.fault(method, "agentPools/gpunp", status=409, body=ETAG_MISMATCH, times=0)
    change: Json = {"state": "absent"} if state == "absent" else {**ARTICLE, "max_count": 4}
    start = time.monotonic()
    (late,) = play(ansible, pool(sandbox, **change, wait_timeout=4))
    assert time.monotonic() - start < 30
    text = text_of(late)
    assert "EtagMismatch" in text
    assert "Another operation is in progress" in text
    assert "run again" in text.lower()
    assert "somebody else" not in text, "Azure did not say that the pool was changed"
    if state != "new":
        assert properties(sandbox)["maxCount"] == ARTICLE["max_count"]


def test_a_change_by_another_client_is_not_overwritten_after_a_mismatch(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    planted = sandbox.fault("PUT", "agentPools/gpunp", status=409, body=ETAG_MISMATCH, hang=5)

    def meddle() -> None:
        deadline = time.monotonic() + 60
        while not any(fault["id"] == planted and fault["hits"] for fault in sandbox.faults()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        sandbox.act("pool", cluster=sandbox.cluster, pool="gpunp", properties={"maxCount": 7})

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    (result,) = play(ansible, pool(sandbox, max_count=4))
    meddler.join(timeout=10)
    assert "max_count was 3, is now 7, and shall become 4" in text_of(result)
    assert properties(sandbox)["maxCount"] == 7


def test_a_creation_that_is_refused_for_its_etag_ends_soon(sandbox: Sandbox, ansible: Ansible) -> None:
    """It does not go on to the deadline, and the error has Azure's own sentence."""
    sandbox.fault("PUT", "agentPools/gpunp", status=412, body=PRECONDITION_FAILED, times=0)
    mark = sandbox.mark()
    start = time.monotonic()
    (refused,) = play(ansible, pool(sandbox, **ARTICLE, wait_timeout=90))
    assert time.monotonic() - start < 60
    text = text_of(refused)
    assert "PreconditionFailed" in text
    assert "please do not provide ETag" in text
    assert "somebody else" not in text
    assert 1 <= len(puts(sandbox, mark)) <= 3
    assert "gpunp" not in pools(sandbox)


def test_a_creation_that_is_refused_once_for_its_etag_is_made(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.fault("PUT", "agentPools/gpunp", status=412, body=PRECONDITION_FAILED, times=1)
    results = play(ansible, pool(sandbox, **ARTICLE), pool(sandbox, **ARTICLE))
    assert [(result["failed"], result["changed"]) for result in results] == [(False, True), (False, False)]
    assert properties(sandbox)["provisioningState"] == "Succeeded"


def test_the_status_of_an_operation_is_free_text(sandbox: Sandbox, ansible: Ansible) -> None:
    """terraform-provider-azurerm#28878 (2025-02-27): a word that a client doesn't know broke it."""
    for nth, text in enumerate(FREE_TEXTS, 1):
        body = {"name": "b0e3c0de", "status": text, "startTime": "2026-09-18T09:07:48.3685935Z"}
        sandbox.fault("GET", "/operations/", status=200, body=body, nth=nth)
    results = play(ansible, pool(sandbox, **ARTICLE), pool(sandbox, **ARTICLE))
    assert [(result["failed"], result["changed"]) for result in results] == [(False, True), (False, False)]
    assert any(fault["hits"] for fault in sandbox.faults())


# --- why an operation failed -------------------------------------------------------------------------------------


def test_a_drain_that_fails_says_what_to_do(sandbox: Sandbox, ansible: Ansible) -> None:
    """terraform-provider-azurerm#10411 (2021-02-01): the cause is JSON inside the message of a wrapper's code."""
    play(ansible, pool(sandbox, **ARTICLE))
    message = (
        'VMSSAgentPoolReconciler retry failed: {\n  "code": "PodDrainFailure",\n  "message": "Node \'aks-1\' failed to '
        "be drained with error: 'Drain did not complete pods [a] within 10m0s'\"\n }"
    )
    sandbox.fault("DELETE", "agentPools/gpunp", operation={"code": "DeleteVMSSAgentPoolFailed", "message": message})
    (failed,) = play(ansible, pool(sandbox, state="absent"))
    text = text_of(failed)
    assert "DeleteVMSSAgentPoolFailed" in text
    assert "Drain did not complete" in text
    assert "ignore_pod_disruption_budget: true" in text
    assert (failed["code"], failed["cause"]) == ("DeleteVMSSAgentPoolFailed", "PodDrainFailure")


# --- what a refusal says -----------------------------------------------------------------------------------------


def test_a_refusal_after_a_change_does_not_say_that_nothing_was_changed(sandbox: Sandbox, ansible: Ansible) -> None:
    """Two PUTs; between them, the pool gets another value of an immutable option."""
    play(ansible, pool(sandbox, **ARTICLE))
    found = properties(sandbox)
    sandbox.set(update_seconds=40.0)
    mark = sandbox.mark()

    def meddle() -> None:
        deadline = time.monotonic() + 60
        while not puts(sandbox, mark):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        sandbox.act("pool", cluster=sandbox.cluster, pool="gpunp", properties={"maxPods": 31})

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    (refused,) = play(ansible, pool(sandbox, enable_auto_scaling=False, count=2, max_pods=found["maxPods"]))
    meddler.join(timeout=10)
    text = text_of(refused)
    assert "max_pods can't be changed" in text
    assert "nothing was changed" not in text.lower()
    assert len(puts(sandbox, mark)) == 1
    assert properties(sandbox)["enableAutoScaling"] is False, "something was changed"


# --- pools of type VirtualMachines -------------------------------------------------------------------------------


@pytest.fixture
def machines(sandbox: Sandbox) -> Json:
    """A pool as azure-cli test_aks_create_autoscaler_then_update_vms_pool.yaml (2026-07-28) shows it."""
    client = sandbox.container_service("owner")
    body = {"properties": {"vmSize": "Standard_D2s_v3", "count": 1, "mode": "User"}}
    client.agent_pools.begin_create_or_update(sandbox.resource_group, sandbox.cluster, "vmspool", body).result()
    scale = {"autoscale": [{"size": "standard_d2s_v3", "minCount": 1, "maxCount": 3}]}
    changed = {"type": "VirtualMachines", "vmSize": "", "virtualMachinesProfile": {"scale": scale}}
    sandbox.act("pool", cluster=sandbox.cluster, pool="vmspool", properties=changed)
    return copy.deepcopy(properties(sandbox, "vmspool"))


def test_a_pool_of_virtual_machines_is_told_and_never_changed(
    sandbox: Sandbox, ansible: Ansible, machines: Json
) -> None:
    wishes: list[Json] = [
        {},
        {"count": 2},
        {"vm_size": "Standard_D2s_v3", "count": 1},
        {"node_labels": {"team": "vision"}},
        {"enable_auto_scaling": True, "min_count": 1, "max_count": 3},
        {"power_state": "Stopped"},
    ]
    calls = [pool(sandbox, "vmspool", **options, check=check) for options in wishes for check in (True, False)]
    mark = sandbox.mark()
    for refused in play(ansible, *calls):
        text = text_of(refused)
        assert "VirtualMachines" in text
        assert "aks.gpu" in text
        assert "can't be changed" not in text, "one reason, in words that fit"
    assert sandbox.writes(mark) == []
    assert properties(sandbox, "vmspool") == machines


def test_a_pool_of_virtual_machines_is_listed_as_such(sandbox: Sandbox, ansible: Ansible, machines: Json) -> None:
    place = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster, "name": "vmspool"}
    (found,) = play(ansible, Call("node_pool_info", place))
    assert found["node_pools"][0]["type"] == machines["type"] == "VirtualMachines"


def test_azure_shows_the_pool_that_was_planted(sandbox: Sandbox, machines: Json) -> None:
    """By a plain request, so that the tests above are about what they say."""
    arm = Arm(sandbox, "owner")
    shown = arm.ask("GET", f"{arm.cluster}/agentPools/vmspool").json()["properties"]
    assert (shown["type"], shown["vmSize"]) == ("VirtualMachines", "")
    assert machines["virtualMachinesProfile"]["scale"]["autoscale"][0]["maxCount"] == 3
