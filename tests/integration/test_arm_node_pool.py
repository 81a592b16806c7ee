# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module node_pool against an emulated Azure, read back with Azure's own SDK.

The first part holds each defect that peers.md lists of azure_rm_aksagentpool against ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import QUICK, Call, four, play, pool, run, text_of
from azure.mgmt.containerservice.models import AgentPool
from harness import Ansible, pools

Json = dict[str, Any]

ARTICLE: Json = {
    "vm_size": "Standard_NC4as_T4_v3",
    "count": 1,
    "node_taints": ["sku=gpu:NoSchedule"],
    "enable_auto_scaling": True,
    "min_count": 1,
    "max_count": 3,
}
MISSING_SUBNET = (
    "/subscriptions/2f06dd11-4cf1-51c7-b0d4-787953e6b020/resourceGroups/myResourceGroup/providers/Microsoft.Network"
    "/virtualNetworks/none/subnets/none"
)
SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An Azure of its own for each test; it starts in half a second."""
    with Sandbox.started("arm-node-pool", kubernetes=False, settings=QUICK) as own:
        yield own


@pytest.fixture
def ansible(sandbox: Sandbox, tmp_path: Path) -> Ansible:
    return Ansible(sandbox, tmp_path)


def properties(sandbox: Sandbox, name: str = "gpunp") -> Json:
    """A pool's properties as the SDK reads them."""
    found: Json = pools(sandbox)[name]["properties"]
    return found


def puts(sandbox: Sandbox, since: int) -> list[Json]:
    return [each for each in sandbox.writes(since) if each["method"] == "PUT"]


# --- the four variants -------------------------------------------------------------------------------------------


def test_present_and_absent_in_four_variants(sandbox: Sandbox, ansible: Ansible) -> None:
    mark = sandbox.mark()
    (checked,) = play(ansible, pool(sandbox, **ARTICLE, check=True))
    assert checked["changed"]
    assert sandbox.writes(mark) == []
    assert "gpunp" not in pools(sandbox)

    applied, again, check_again = play(
        ansible, pool(sandbox, **ARTICLE), pool(sandbox, **ARTICLE), pool(sandbox, **ARTICLE, check=True)
    )
    assert (applied["changed"], again["changed"], check_again["changed"]) == (True, False, False)
    assert len(sandbox.writes(mark)) == 1
    found = properties(sandbox)
    assert (found["count"], found["minCount"], found["maxCount"], found["enableAutoScaling"]) == (1, 1, 3, True)
    assert found["nodeTaints"] == ["sku=gpu:NoSchedule"]
    assert found["provisioningState"] == "Succeeded"
    for result in (checked, applied, again, check_again):
        shown = result["node_pool"]
        assert shown["name"] == "gpunp"
        for option, value in ARTICLE.items():
            assert shown[option] == value
    assert checked["diff"] == applied["diff"]
    assert checked["diff"]["after"]["vm_size"] == "Standard_NC4as_T4_v3"

    gone = four(ansible, pool(sandbox, state="absent"))
    assert [result["changed"] for result in gone] == [True, True, False, False]
    assert all(result["node_pool"] is None for result in gone)
    assert "gpunp" not in pools(sandbox)


def test_update_in_four_variants(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    change = {**ARTICLE, "max_count": 5, "node_labels": {"team": "Vision"}, "upgrade_settings": {"max_surge": "33%"}}
    results = four(ansible, pool(sandbox, **change))
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert results[0]["diff"]["before"]["max_count"] == 3
    assert results[0]["diff"]["after"]["max_count"] == 5
    found = properties(sandbox)
    assert (found["maxCount"], found["nodeLabels"], found["upgradeSettings"]["maxSurge"]) == (
        5,
        {"team": "Vision"},
        "33%",
    )


def test_module_and_action_return_the_same(sandbox: Sandbox, ansible: Ansible) -> None:
    calls = (pool(sandbox, **ARTICLE), pool(sandbox, **ARTICLE, check=True), pool(sandbox, state="absent"))
    here = play(ansible, *calls)
    apart = play(ansible, *calls, environment={"AKS_GPU_IN_PROCESS": "never"})
    for one, other in zip(here, apart, strict=True):
        assert one["changed"] == other["changed"]
        if one["node_pool"]:
            assert one["node_pool"].keys() == other["node_pool"].keys()


def test_only_own_leaves_the_pools_of_others(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    client = sandbox.container_service("owner")
    theirs = {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "mode": "User", "tags": {"owner": "somebody"}}
    client.agent_pools.begin_create_or_update(
        sandbox.resource_group, sandbox.cluster, "theirs", AgentPool({"properties": theirs})
    ).result()

    mark = sandbox.mark()
    left = four(ansible, pool(sandbox, "theirs", state="absent", only_own=True))
    assert [result["changed"] for result in left] == [False] * 4
    assert "aks.gpu did not create it" in " ".join(left[1]["warnings"])
    assert left[1]["node_pool"]["tags"] == {"owner": "somebody"}
    assert sandbox.writes(mark) == []
    gone, told = play(ansible, pool(sandbox, state="absent", only_own=True), pool(sandbox, "theirs", state="absent"))
    assert (gone["changed"], told["changed"]) == (True, True)
    assert set(pools(sandbox)) == {"nodepool1"}


# --- peers.md, line by line --------------------------------------------------------------------------------------


def test_absent_waits_and_an_error_of_the_operation_is_not_lost(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.fault("DELETE", "agentPools/gpunp", operation={"code": "InternalOperationError", "message": "It broke."})
    (failed,) = play(ansible, pool(sandbox, state="absent"))
    assert "Deleting node pool gpunp: InternalOperationError: It broke." in text_of(failed)
    (gone,) = play(ansible, pool(sandbox, state="absent"))
    assert gone["changed"]
    assert "gpunp" not in pools(sandbox)


def test_a_label_removed_an_empty_dict_and_a_change_of_case_are_seen(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE, node_labels={"team": "vision", "tier": "gold"}))
    for labels in ({"team": "vision"}, {"team": "Vision"}, {}):
        results = play(ansible, pool(sandbox, node_labels=labels), pool(sandbox, node_labels=labels))
        assert [result["changed"] for result in results] == [True, False]
        assert (properties(sandbox).get("nodeLabels") or {}) == labels


@pytest.mark.parametrize("disputed", ["ignore", "refuse", "accept"])
def test_the_autoscalers_count_is_left_alone(sandbox: Sandbox, ansible: Ansible, disputed: str) -> None:
    sandbox.set(count_under_autoscaler=disputed)
    options = {**ARTICLE, "max_count": 5}
    play(ansible, pool(sandbox, **options))
    sandbox.act("count", cluster=sandbox.cluster, pool="gpunp", count=5)
    mark = sandbox.mark()
    (same,) = play(ansible, pool(sandbox, **options))
    assert not same["changed"]
    assert sandbox.writes(mark) == []
    (changed,) = play(ansible, pool(sandbox, **{**options, "max_count": 6}))
    assert changed["changed"]
    assert (properties(sandbox)["count"], properties(sandbox)["maxCount"]) == (5, 6)


@pytest.mark.parametrize("readded", [False, True])
def test_a_spot_pool_keeps_the_taint_of_aks(sandbox: Sandbox, ansible: Ansible, readded: bool) -> None:
    sandbox.set(spot_taint_readded=readded)
    options: Json = {
        "vm_size": "Standard_NC4as_T4_v3",
        "scale_set_priority": "spot",
        "node_taints": ["sku=gpu:NoSchedule"],
        "node_labels": {"a": "b"},
    }
    results = four(ansible, pool(sandbox, **options))
    assert [result["changed"] for result in results] == [True, True, False, False]
    results = play(ansible, pool(sandbox, node_taints=["sku=gpu:NoExecute"], node_labels={}))
    assert results[0]["changed"]
    assert set(properties(sandbox)["nodeTaints"]) == {SPOT_TAINT, "sku=gpu:NoExecute"}
    assert properties(sandbox)["nodeLabels"] == {"kubernetes.azure.com/scalesetpriority": "spot"}


def test_immutable_options_are_refused_by_name_before_any_write(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    mark = sandbox.mark()
    changes: Json = {"scale_set_priority": "Spot", "spot_max_price": 1.5, "vm_size": "Standard_NC8as_T4_v3"}
    for result in four(ansible, pool(sandbox, **changes, max_count=9)):
        text = text_of(result)
        for name in changes:
            assert f"{name} can't be changed" in text
        assert "'Standard_NC4as_T4_v3', 'Standard_NC8as_T4_v3' was asked for" in text
    assert sandbox.writes(mark) == []


def test_spelling_and_defaults_are_no_difference(sandbox: Sandbox, ansible: Ansible) -> None:
    group = f"/subscriptions/{sandbox.subscription}/resourceGroups/{sandbox.resource_group}"
    subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/v"
    subnet += "/subnets/Nodes"
    sandbox.set(vnet_subnets={subnet: "10.9.0.0/16"})
    first: Json = {
        "vm_size": "Standard_NC4as_T4_v3",
        "os_type": "Linux",
        "availability_zones": ["1", "2", "3"],
        "vnet_subnet_id": subnet,
    }
    second: Json = {
        "vm_size": "standard_nc4AS_t4_v3",
        "os_type": "linux",
        "availability_zones": [3, 1, 2],
        "vnet_subnet_id": subnet.upper(),
        "enable_auto_scaling": False,
    }
    results = play(ansible, pool(sandbox, **first), pool(sandbox, **second))
    assert [result["changed"] for result in results] == [True, False], results


def test_a_failed_pool_fails_the_task_and_repair_repairs_it(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(capacity_missing={"Standard_NC4as_T4_v3": "ZonalAllocationFailed"})
    first, second = play(ansible, pool(sandbox, **ARTICLE), pool(sandbox, **ARTICLE))
    assert "Creating node pool gpunp: ZonalAllocationFailed" in text_of(first)
    assert "Azure has no capacity" in text_of(first)
    assert "in state Failed" in text_of(second)
    assert "repair: true" in text_of(second)
    sandbox.set(capacity_missing={})
    results = four(ansible, pool(sandbox, **ARTICLE, repair=True))
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert properties(sandbox)["provisioningState"] == "Succeeded"


def test_an_update_keeps_what_it_does_not_know(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(future_fields={"futureField": {"some": "thing"}})
    upgrade = {"drain_timeout_in_minutes": 11, "node_soak_duration_in_minutes": 3, "max_surge": "1"}
    play(ansible, pool(sandbox, **ARTICLE, upgrade_settings=upgrade))
    mark = sandbox.mark()
    play(ansible, pool(sandbox, max_count=4))
    (put,) = puts(sandbox, mark)
    sent = put["request_body"]["properties"]
    assert sent["futureField"] == {"some": "thing"}
    assert sent["upgradeSettings"] == {"drainTimeoutInMinutes": 11, "nodeSoakDurationInMinutes": 3, "maxSurge": "1"}
    assert "nodeImageVersion" not in sent
    assert "If-Match" in put["request_headers"] or "if-match" in put["request_headers"]


def test_an_operation_in_progress_is_waited_for(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.act("background", cluster=sandbox.cluster, seconds=150)
    done = run(ansible, pool(sandbox, max_count=4))
    assert done.results[0].result["changed"]
    assert "waiting for another operation: OperationNotAllowed" in done.output
    assert properties(sandbox)["maxCount"] == 4


def test_there_is_a_deadline(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(create_seconds=10000)
    start = time.monotonic()
    (late,) = play(ansible, pool(sandbox, **ARTICLE, wait_timeout=3))
    assert time.monotonic() - start < 20
    assert "still InProgress after 3 s" in text_of(late)
    assert "run again" in text_of(late)
    (busy,) = play(ansible, pool(sandbox, "other", **ARTICLE, wait_timeout=3))
    assert "OperationNotAllowed" in text_of(busy)
    assert "gpunp - Creating" in text_of(busy)


def test_started_in_one_task_awaited_in_the_next(sandbox: Sandbox, ansible: Ansible) -> None:
    started, state = play(
        ansible, pool(sandbox, **ARTICLE, wait=False), pool(sandbox, **ARTICLE, wait=False, check=True)
    )
    assert started["changed"]
    assert started["node_pool"]["provisioning_state"] == "Creating"
    assert not state["changed"]
    checked, awaited = play(ansible, pool(sandbox, **ARTICLE, check=True), pool(sandbox, **ARTICLE))
    assert not checked["changed"]
    assert not awaited["changed"]
    assert awaited["node_pool"]["provisioning_state"] == "Succeeded"
    results = play(ansible, pool(sandbox, state="absent", wait=False), pool(sandbox, state="absent"))
    assert [result["changed"] for result in results] == [True, False]
    assert "gpunp" not in pools(sandbox)


def test_a_pool_that_is_being_deleted_is_awaited_and_created(sandbox: Sandbox, ansible: Ansible) -> None:
    results = play(
        ansible,
        pool(sandbox, **ARTICLE),
        pool(sandbox, state="absent", wait=False),
        pool(sandbox, **ARTICLE, check=True),
        pool(sandbox, **ARTICLE),
    )
    assert [result["changed"] for result in results] == [True] * 4
    assert properties(sandbox)["provisioningState"] == "Succeeded"


# --- etags -------------------------------------------------------------------------------------------------------


def test_a_create_never_overwrites(sandbox: Sandbox, ansible: Ansible) -> None:
    mark = sandbox.mark()
    play(ansible, pool(sandbox, **ARTICLE))
    (put,) = puts(sandbox, mark)
    headers = {name.lower(): value for name, value in put["request_headers"].items()}
    assert headers["if-none-match"] == "*"


def test_a_late_update_is_planned_again(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.fault("PUT", "agentPools/gpunp", precondition_failed=True)
    (result,) = play(ansible, pool(sandbox, max_count=4))
    assert result["changed"]
    assert properties(sandbox)["maxCount"] == 4


def test_somebody_elses_change_of_the_same_option_is_not_overwritten(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    planted = sandbox.fault("PUT", "agentPools/gpunp", hang=5)

    def meddle() -> None:
        while not any(fault["id"] == planted and fault["hits"] for fault in sandbox.faults()):
            time.sleep(0.1)
        sandbox.act("pool", cluster=sandbox.cluster, pool="gpunp", properties={"maxCount": 7})

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    (result,) = play(ansible, pool(sandbox, max_count=4))
    meddler.join(timeout=10)
    assert "max_count was 3, is now 7, and shall become 4" in text_of(result)
    assert properties(sandbox)["maxCount"] == 7


# --- what depends on each other ----------------------------------------------------------------------------------


def test_autoscaler_off_and_scaled_takes_two_puts(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(count_under_autoscaler="refuse")
    play(ansible, pool(sandbox, **ARTICLE))
    mark = sandbox.mark()
    results = four(ansible, pool(sandbox, enable_auto_scaling=False, count=2))
    assert [result["changed"] for result in results] == [True, True, False, False]
    first, second = (put["request_body"]["properties"] for put in puts(sandbox, mark))
    assert (first["count"], "minCount" in first, "maxCount" in first) == (1, False, False)
    assert second["count"] == 2
    found = properties(sandbox)
    assert (found["count"], found["enableAutoScaling"], found.get("minCount")) == (2, False, None)
    assert results[0]["node_pool"]["count"] == 2


def test_a_stopped_pool_is_started_before_it_is_changed(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, vm_size="Standard_NC4as_T4_v3", count=1), pool(sandbox, power_state="Stopped"))
    assert properties(sandbox)["powerState"]["code"] == "Stopped"
    refused, changed = play(
        ansible, pool(sandbox, node_labels={"a": "b"}), pool(sandbox, node_labels={"a": "b"}, power_state="Running")
    )
    assert "power_state: Running" in text_of(refused)
    assert changed["changed"]
    found = properties(sandbox)
    assert (found["powerState"]["code"], found["nodeLabels"]) == ("Running", {"a": "b"})


def test_abort_ends_a_stuck_operation(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.fault("PUT", "agentPools/gpunp", operation={"endless": True})
    play(ansible, pool(sandbox, max_count=4, wait=False))
    (stuck,) = play(ansible, pool(sandbox, max_count=4, wait_timeout=2))
    assert "abort: true" in text_of(stuck)
    (result,) = play(ansible, pool(sandbox, max_count=4, abort=True))
    assert result["changed"]
    assert properties(sandbox)["provisioningState"] == "Succeeded"
    assert properties(sandbox)["maxCount"] == 4


# --- refused before anything is changed --------------------------------------------------------------------------


def test_every_problem_of_bad_input_at_once(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(quotas={"cores": 10})
    mark = sandbox.mark()
    bad: Json = {
        "vm_size": "Standard_NC64as_T4_v3",
        "node_taints": ["sku:NoSchedule"],
        "enable_auto_scaling": True,
        "min_count": 3,
        "max_count": 2,
        "gpu_stack": "managed",
    }
    (result,) = play(ansible, pool(sandbox, "GPU_1", **bad))
    assert len(result["problems"]) == 5
    text = text_of(result)
    for part in ("GPU_1", "sku:NoSchedule", "greater than max_count", "excludes gpu_stack: managed", "Quota"):
        assert part in text
    assert sandbox.writes(mark) == []


def test_an_unknown_cluster_or_group_lists_the_known_ones(sandbox: Sandbox, ansible: Ansible) -> None:
    place = {"resource_group": sandbox.resource_group, "cluster_name": "nope", "name": "gpunp"}
    for state in ("present", "absent"):
        (result,) = play(ansible, Call("node_pool", {**place, **ARTICLE, "state": state}))
        assert f"has these clusters: {sandbox.cluster}" in text_of(result)
    (result,) = play(ansible, Call("node_pool_info", {**place, "resource_group": "nowhere"}))
    assert f"has these resource groups: {sandbox.resource_group}" in text_of(result)


@pytest.mark.parametrize(
    ("settings", "options", "text"),
    [
        ({"quotas": {"cores": 8}}, ARTICLE, "Lower max_count"),
        ({}, {"vm_size": "Standard_NC6"}, "Azure retired Standard_NC6"),
        ({}, {**ARTICLE, "vnet_subnet_id": MISSING_SUBNET}, "there is no subnet"),
        ({}, {"vm_size": "Standard_D4ds_v5"}, "has no GPU"),
        ({}, {"vm_size": "Standard_NC9000_v9"}, "is not offered in westus2"),
        ({"sizes_restricted": {"Standard_NC4as_T4_v3": "NotAvailableForSubscription"}}, ARTICLE, "may not use"),
        ({"permissions_removed": ["*agentPools/write"]}, ARTICLE, "agentPools/write"),
    ],
)
def test_preflight(sandbox: Sandbox, ansible: Ansible, settings: Json, options: Json, text: str) -> None:
    sandbox.set(**settings)
    mark = sandbox.mark()
    checked, applied = play(ansible, pool(sandbox, **options, check=True), pool(sandbox, **options))
    assert text in text_of(checked)
    assert text in text_of(applied)
    assert sandbox.writes(mark) == []


def test_preflight_can_be_switched_off(sandbox: Sandbox, ansible: Ansible) -> None:
    (result,) = play(ansible, pool(sandbox, vm_size="Standard_D4ds_v5", preflight=False))
    assert result["changed"]
    assert properties(sandbox)["vmSize"] == "Standard_D4ds_v5"


def test_a_managed_pool_needs_its_feature_but_not_in_check_mode(sandbox: Sandbox, ansible: Ansible) -> None:
    options: Json = {"vm_size": "Standard_NC4as_T4_v3", "gpu_stack": "managed"}
    checked, refused = play(ansible, pool(sandbox, **options, check=True), pool(sandbox, **options))
    assert checked["changed"]
    assert "ManagedGPUExperiencePreview, which is NotRegistered" in text_of(refused)
    results = play(
        ansible,
        Call("feature", {"name": "ManagedGPUExperiencePreview"}),
        Call("resource_provider", {"refresh": True}),
        pool(sandbox, **options),
        pool(sandbox, **options),
        pool(sandbox, gpu_stack="device_plugin"),
    )
    assert [result["changed"] for result in results[:4]] == [True, True, True, False]
    assert properties(sandbox)["gpuProfile"]["nvidia"]["managementMode"] == "Managed"
    assert "excludes gpu_stack: device_plugin" in text_of(results[4])


def test_the_gpu_image_is_sent_as_a_header_and_warned_of(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(azure_of_2023=True)
    play(ansible, Call("feature", {"name": "GPUDedicatedVHDPreview"}), Call("resource_provider", {"refresh": True}))
    mark = sandbox.mark()
    call = pool(sandbox, **ARTICLE, gpu_stack="gpu_image", custom_headers={"usegen2vm": True})
    checked, *_rest = results = four(ansible, call)
    assert [result.get("changed") for result in results] == [True, True, False, False], results
    assert any("retired the AKS GPU image on 2025-01-10" in text for text in checked["warnings"])
    (put,) = puts(sandbox, mark)
    headers = {name.lower(): value for name, value in put["request_headers"].items()}
    assert (headers["usegpudedicatedvhd"], headers["usegen2vm"]) == ("true", "true")


# --- node_pool_info ----------------------------------------------------------------------------------------------


def test_node_pool_info(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(page_size=1, empty_last_page=True)
    place = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster}
    _created, every, one, none = play(
        ansible,
        pool(sandbox, **ARTICLE),
        Call("node_pool_info", place, check=True),
        Call("node_pool_info", {**place, "name": "gpunp"}),
        Call("node_pool_info", {**place, "name": "missing"}),
    )
    assert {found["name"] for found in every["node_pools"]} == {"gpunp", "nodepool1"}
    assert one["node_pools"][0]["vm_size"] == "Standard_NC4as_T4_v3"
    assert none["node_pools"] == []
    assert every["node_pools"][0].keys() >= one["node_pools"][0].keys() - {"gpu_profile", "node_taints"}
