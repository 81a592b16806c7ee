# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What node_pool refuses before anything is changed: all of it at once, and by the preflight."""

from __future__ import annotations

from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import Call, four, play, pool, text_of
from harness import Ansible
from node_pool_harness import ARTICLE, ansible, properties, puts, sandbox

__all__ = ["ansible", "sandbox"]

Json = dict[str, Any]

MISSING_SUBNET = (
    "/subscriptions/2f06dd11-4cf1-51c7-b0d4-787953e6b020/resourceGroups/myResourceGroup/providers/Microsoft.Network"
    "/virtualNetworks/none/subnets/none"
)


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
