# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module node_pool in its four variants, and node_pool_info, read back with Azure's own SDK."""

from __future__ import annotations

from aks_sandbox.testing import Sandbox
from arm_harness import Call, four, play, pool, text_of
from azure.mgmt.containerservice.models import AgentPool
from harness import Ansible, pools
from node_pool_harness import ARTICLE, ansible, properties, puts, sandbox

__all__ = ["ansible", "sandbox"]


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
    left = four(ansible, pool(sandbox, "theirs", state="absent", only_created_by_us=True))
    assert [result["changed"] for result in left] == [False] * 4
    assert "aks.gpu did not create it" in " ".join(left[1]["warnings"])
    assert left[1]["node_pool"]["tags"] == {"owner": "somebody"}
    assert sandbox.writes(mark) == []
    gone, told = play(
        ansible, pool(sandbox, state="absent", only_created_by_us=True), pool(sandbox, "theirs", state="absent")
    )
    assert (gone["changed"], told["changed"]) == (True, True)
    assert set(pools(sandbox)) == {"nodepool1"}


def test_node_pool_info(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(page_size=1, empty_last_page="all")
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
