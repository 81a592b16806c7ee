# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each defect that azure_rm_aksagentpool was seen to have, against our node_pool, read back with Azure's own SDK."""

from __future__ import annotations

from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import four, play, pool, text_of
from harness import Ansible, pools
from node_pool_harness import ARTICLE, ansible, properties, puts, sandbox

__all__ = ["ansible", "sandbox"]

Json = dict[str, Any]

SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"


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


@pytest.mark.parametrize("dropped", ["refuse", "accept", "readd"])
def test_a_spot_pool_keeps_the_taint_of_aks(sandbox: Sandbox, ansible: Ansible, dropped: str) -> None:
    sandbox.set(spot_taint_dropped=dropped)
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
    # maxUnavailable is AKS's default: CLI test_aks_nodepool_stop_and_start.yaml, 2025-07-08
    assert sent["upgradeSettings"] == {
        "drainTimeoutInMinutes": 11,
        "nodeSoakDurationInMinutes": 3,
        "maxSurge": "1",
        "maxUnavailable": "0",
    }
    assert "nodeImageVersion" not in sent
    assert "If-Match" in put["request_headers"] or "if-match" in put["request_headers"]
