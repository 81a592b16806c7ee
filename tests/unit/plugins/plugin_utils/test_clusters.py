# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters as hosts: variables, selection, names, groups."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.plugin_utils._clusters import (
    Wanted,
    cluster_facts,
    gpu_pool_facts,
    groups_of,
    host_names,
    matches,
)
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]
T4 = "Standard_NC4as_T4_v3"


def cluster(name: str = "one", group: str = "rg", subscription: str = "s1", **more: Any) -> Json:
    identifier = f"/subscriptions/{subscription}/resourcegroups/{group}/providers/Microsoft.ContainerService"
    return {"id": f"{identifier}/managedClusters/{name}", "name": name, "location": "westus2", **more}


def test_a_cluster_of_which_nothing_is_known() -> None:
    found = cluster_facts(cluster())
    assert (found["aks_subscription_id"], found["aks_resource_group"], found["aks_cluster_name"]) == ("s1", "rg", "one")
    assert (found["aks_gpu_pools"], found["aks_gpus"], found["aks_tags"], found["aks_private"]) == ([], 0, {}, False)
    assert groups_of(found) == ["aks_region_westus2", "aks_subscription_s1", "aks_without_gpus"]


def test_names_are_always_the_same() -> None:
    full = cluster(
        tags={"team": "vision"},
        sku={"name": "Automatic"},
        properties={
            "currentKubernetesVersion": "1.36.2",
            "powerState": {"code": "Stopped"},
            "apiServerAccessProfile": {"enablePrivateCluster": True},
            "privateFQDN": "one.private",
            "agentPoolProfiles": [
                {"name": "nodepool1", "vmSize": "Standard_D4ds_v5", "count": 1},
                {"name": "t4", "vmSize": T4, "count": 2, "gpuProfile": {"driver": "Install"}},
                {"name": "a100", "vmSize": "standard_nc48ads_a100_v4", "count": 1, "gpuProfile": {"driver": "None"}},
            ],
        },
    )
    found = cluster_facts(full, "prod")
    assert found.keys() == cluster_facts(cluster()).keys()
    assert [pool["name"] for pool in found["aks_gpu_pools"]] == ["t4", "a100"]
    assert (found["aks_gpus"], found["aks_gpu_models"]) == (4, ["NVIDIA A100", "NVIDIA T4"])
    assert found["aks_gpu_stacks"] == ["device_plugin", "operator"]
    assert (found["aks_private"], found["aks_fqdn"], found["aks_sku"]) == (True, "one.private", "Automatic")
    assert groups_of(found) == [
        "aks_region_westus2",
        "aks_version_1_36",
        "aks_subscription_s1",
        "aks_gpu_model_nvidia_a100",
        "aks_gpu_model_nvidia_t4",
        "aks_gpu_stack_device_plugin",
        "aks_gpu_stack_operator",
        "aks_stopped",
    ]


@pytest.mark.parametrize(
    ("profile", "stack", "gpus"),
    [
        ({"vmSize": T4, "count": 3}, "device_plugin", 3),
        ({"vmSize": T4, "gpuProfile": {"nvidia": {"managementMode": "Managed"}}}, "managed", 0),
        ({"vmSize": T4, "gpuProfile": {"driver": "none"}, "count": 1}, "operator", 1),
        ({"vmSize": "Standard_ND96isr_MI300X_v5", "count": 1}, None, 8),
        ({"vmSize": "Standard_NC999_new_v9", "count": 1}, "device_plugin", None),
    ],
)
def test_stacks_and_counts(profile: Json, stack: str | None, gpus: int | None) -> None:
    found = gpu_pool_facts({"name": "p", **profile})
    assert found is not None
    assert (found["gpu_stack"], found["gpus"]) == (stack, gpus)


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    pools = [{"name": "a", "vmSize": T4, "count": 1}, {"name": "b", "vmSize": "Standard_NC999_new_v9", "count": 1}]
    assert cluster_facts(cluster(properties={"agentPoolProfiles": pools}))["aks_gpus"] is None


def test_no_cluster() -> None:
    with pytest.raises(Failure, match="no id of a managed cluster"):
        cluster_facts({"id": "/subscriptions/s/resourceGroups/g", "name": "x"})


@pytest.mark.parametrize(
    ("patterns", "fits"),
    [
        ([], True),
        (["prod-*"], True),
        (["PROD-?ne"], True),
        (["test-*"], False),
        (["!prod-*"], False),
        (["!test-*"], True),
        (["prod-*", "!*-one"], False),
        (["test-*", "!x"], False),
    ],
)
def test_patterns(patterns: list[str], fits: bool) -> None:
    assert matches("prod-one", patterns) is fits


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(), True),
        (Wanted(names=["o*"], resource_groups=["RG"], locations=["West US 2"]), True),
        (Wanted(locations=["eastus"]), False),
        (Wanted(tags={"TEAM": ["vision"]}), True),
        (Wanted(tags={"team": ["Vision"]}), False),
        (Wanted(tags={"team": ["speech", "v*"]}), True),
        (Wanted(tags={"team": []}), True),
        (Wanted(tags={"owner": []}), False),
        (Wanted(gpu_pools=False), True),
        (Wanted(gpu_pools=True), False),
        (Wanted(power_state="Running"), True),
        (Wanted(power_state="Stopped"), False),
    ],
)
def test_selection(wanted: Wanted, fits: bool) -> None:
    found = cluster_facts(cluster(tags={"team": "vision"}, properties={"powerState": {"code": "Running"}}))
    assert wanted.fits(found) is fits


def names(*clusters: Json) -> list[str]:
    return host_names([cluster_facts(each) for each in clusters], lambda facts: None)


def test_names_grow_only_where_they_must() -> None:
    found = names(cluster("a"), cluster("b"), cluster("b", "other"), cluster("c"), cluster("C", subscription="s2"))
    assert found == ["a", "b.rg", "b.other", "c.rg.s1", "C.rg.s2"]


def test_a_name_that_the_user_gives_twice() -> None:
    clusters = [cluster_facts(cluster("a")), cluster_facts(cluster("b"))]
    assert host_names(clusters, lambda facts: "x-" + str(facts["aks_cluster_name"])) == ["x-a", "x-b"]
    with pytest.raises(Failure, match=r"managedClusters/a, .*managedClusters/b"):
        host_names(clusters, lambda facts: "same")


places = st.tuples(st.sampled_from("abAB"), st.sampled_from(["g", "h", "g.x"]), st.sampled_from(["s1", "s2"]))


@given(st.lists(places, unique_by=lambda place: tuple(part.lower() for part in place)))
def test_names_are_unique_and_of_no_order(found: list[tuple[str, str, str]]) -> None:
    given_names = names(*(cluster(*place) for place in found))
    assert len({name.lower() for name in given_names}) == len(found)
    turned = names(*(cluster(*place) for place in reversed(found)))
    assert given_names == turned[::-1]
