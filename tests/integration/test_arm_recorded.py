# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module node_pool meets what real Azure was recorded to answer; each test names the recording."""

from __future__ import annotations

import time

import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import Json, four, play, pool, text_of
from harness import Ansible
from node_pool_harness import ARTICLE, ansible, properties, puts, sandbox

__all__ = ["ansible", "sandbox"]

T4: Json = {"vm_size": "Standard_NC4as_T4_v3"}
NO_CAPACITY = {"code": "ZonalAllocationFailed", "message": "Allocation failed."}


def changes(results: list[Json]) -> list[bool]:
    """Which of the tasks changed something; none of them failed."""
    assert not any(result["failed"] for result in results), [result.get("msg") for result in results]
    return [bool(result["changed"]) for result in results]


@pytest.mark.parametrize(
    "options", [{"count": 2}, {"count": 2, "enable_auto_scaling": True, "min_count": 1, "max_count": 3}]
)
def test_a_pool_is_stopped_and_started(sandbox: Sandbox, ansible: Ansible, options: Json) -> None:
    """CLI test_aks_nodepool_abort.yaml, 2023-06-29; CLI test_aks_nodepool_stop_and_start.yaml, 2025-07-08."""
    play(ansible, pool(sandbox, **T4, **options))
    stopped = four(ansible, pool(sandbox, **T4, **options, power_state="Stopped"))
    assert changes(stopped) == [True, True, False, False]
    assert (properties(sandbox)["count"], properties(sandbox)["powerState"]["code"]) == (0, "Stopped")
    mark = sandbox.mark()
    assert changes(four(ansible, pool(sandbox, **T4, **options))) == [False, False, False, False]
    assert sandbox.writes(mark) == []
    started = four(ansible, pool(sandbox, **T4, **options, power_state="Running"))
    assert changes(started) == [True, True, False, False]
    assert (properties(sandbox)["count"], properties(sandbox)["powerState"]["code"]) == (2, "Running")


def test_a_pool_is_created_stopped(sandbox: Sandbox, ansible: Ansible) -> None:
    wanted = pool(sandbox, **T4, count=2, power_state="Stopped")
    assert changes(play(ansible, wanted, wanted)) == [True, False]
    assert properties(sandbox)["powerState"]["code"] == "Stopped"


@pytest.mark.parametrize("price", [0.577, 88.88888, 0.29, -1])
@pytest.mark.parametrize("default", ["shown", "absent"])
def test_a_spot_price_is_no_difference(sandbox: Sandbox, ansible: Ansible, price: float, default: str) -> None:
    """PS TestSpot.json, 2025-10-28; CLI test_aks_create_spot_node_pool.yaml, 2025-07-07."""
    sandbox.set(spot_max_price_default=default)
    wanted = pool(sandbox, **T4, count=1, scale_set_priority="Spot", spot_max_price=price)
    assert changes(four(ansible, wanted)) == [True, True, False, False]


@pytest.mark.parametrize("answer", ["another_operation", "in_progress_operation", "on_agent_pool", "etag_mismatch"])
def test_each_wording_of_a_busy_cluster_is_waited_for(sandbox: Sandbox, ansible: Ansible, answer: str) -> None:
    """cilium#25944, azure-cli-extensions#9855, Microsoft's article, terraform-azurerm-aks#604."""
    play(ansible, pool(sandbox, **ARTICLE))
    for method in ("PUT", "DELETE"):
        sandbox.fault(method, "/agentPools/gpunp", in_progress=answer, times=2)
    changed, removed = play(ansible, pool(sandbox, max_count=4), pool(sandbox, state="absent"))
    assert changes([changed, removed]) == [True, True]
    assert [fault["hits"] for fault in sandbox.faults()] == [2, 2]


@pytest.mark.parametrize(
    "shape", ["direct", "json_in_message", "code_in_message", "subcode_in_message", "details", "internal"]
)
def test_the_cause_of_a_failure_is_found(sandbox: Sandbox, ansible: Ansible, shape: str) -> None:
    """jenkins-infra/azure#997, terraform#10411, terraform#9342, AKS#2417, kaito#2075, AKS#4975."""
    sandbox.fault("PUT", "/agentPools/gpunp", operation={**NO_CAPACITY, "shape": shape})
    (failed,) = play(ansible, pool(sandbox, **ARTICLE))
    assert ("Azure has no capacity" in text_of(failed)) is (shape != "internal")
    assert ("ZonalAllocationFailed" in (failed["code"], failed["cause"])) is (shape != "internal")


def test_a_create_succeeds_without_a_precondition_that_azure_refuses(sandbox: Sandbox, ansible: Ansible) -> None:
    """azure-cli#30309, 2024-11-13."""
    sandbox.set(create_precondition="refuse")
    mark = sandbox.mark()
    assert changes(four(ansible, pool(sandbox, **ARTICLE))) == [True, True, False, False]
    refused, *created = puts(sandbox, mark)
    assert (refused["status"], created[-1]["status"]) == (412, 201)
    assert "Resource not found but ETag header is provided" in refused["response_body"]["message"]


def test_a_create_that_is_always_refused_ends(sandbox: Sandbox, ansible: Ansible) -> None:
    """As above, whatever is sent. No recording."""
    sandbox.fault("PUT", "/agentPools/gpunp", precondition_failed=True, times=0)
    begun, mark = time.monotonic(), sandbox.mark()
    (failed,) = play(ansible, pool(sandbox, **ARTICLE, wait_timeout=600))
    assert time.monotonic() - begun < 60
    assert "The condition specified using HTTP conditional header(s) is not met" in text_of(failed)
    assert len(puts(sandbox, mark)) <= 4


def test_an_api_without_etags(sandbox: Sandbox, ansible: Ansible) -> None:
    """PS TestSpot.json, 2025-10-28."""
    sandbox.set(etag_since="never")
    play(ansible, pool(sandbox, **ARTICLE))
    mark = sandbox.mark()
    assert changes(four(ansible, pool(sandbox, max_count=5))) == [True, True, False, False]
    (put,) = puts(sandbox, mark)
    assert "if-match" not in {name.lower() for name in put["request_headers"]}


def test_a_pool_of_type_virtual_machines_is_refused(sandbox: Sandbox, ansible: Ansible) -> None:
    """CLI test_aks_create_autoscaler_then_update_vms_pool.yaml, 2026-07-28."""
    sandbox.act(
        "pool", cluster=sandbox.cluster, pool="gpunp", properties={"type": "VirtualMachines", "vmSize": T4["vm_size"]}
    )
    mark = sandbox.mark()
    (refused,) = play(ansible, pool(sandbox, count=1))
    assert "VirtualMachines" in text_of(refused)
    assert sandbox.writes(mark) == []
