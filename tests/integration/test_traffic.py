# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our modules send, and what the sandbox answers, has the names and types of the official SDK's models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import CLUSTER, RESOURCE_GROUP, Emulated, emulated
from environment import COLLECTIONS
from sdk_models import mistakes

from playbooks import Ansible, without_foreign_settings

Json = dict[str, Any]

WHERE = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER}
EVERYTHING = {
    "vm_size": "Standard_NC24ads_A100_v4",
    "mode": "User",
    "enable_auto_scaling": True,
    "min_count": 1,
    "max_count": 3,
    "node_taints": ["sku=gpu:NoSchedule"],
    "node_labels": {"team": "vision"},
    "tags": {"owner": "ml"},
    "availability_zones": ["1", "2"],
    "os_type": "Linux",
    "os_sku": "Ubuntu",
    "os_disk_size_gb": 256,
    "os_disk_type": "Managed",
    "max_pods": 60,
    "scale_set_priority": "Spot",
    "scale_set_eviction_policy": "Delete",
    "spot_max_price": 1.5,
    "gpu_profile": {"driver": "Install"},
    "gpu_instance_profile": "MIG3g",
    "upgrade_settings": {"max_unavailable": "1", "drain_timeout_in_minutes": 60, "undrainable_node_behavior": "Cordon"},
}


@pytest.fixture(scope="module")
def azure() -> Iterator[Emulated]:
    with emulated() as sandbox:
        sandbox.set(clock_speed=20.0)
        yield sandbox


def test_what_our_modules_send_and_are_answered(azure: Emulated) -> None:
    ansible = Ansible(
        Path(sys.executable), COLLECTIONS, {**without_foreign_settings(), **azure.environment}, by_server=True
    )
    pool = {**WHERE, "name": "gpunp", "subscription_id": azure.environment["AZURE_SUBSCRIPTION_ID"]}
    ran = ansible.run(
        [
            {"name": "create", "aks.gpu.node_pool": {**pool, **EVERYTHING}},
            {"name": "update", "aks.gpu.node_pool": {**pool, "node_labels": {"team": "research"}, "max_count": 4}},
            {"name": "info", "aks.gpu.node_pool_info": WHERE},
            {"name": "credentials", "aks.gpu.kubeconfig": WHERE},
            {"name": "remove", "aks.gpu.node_pool": {**pool, "state": "absent"}},
        ]
    )
    assert ran.status == 0, ran.output
    exchanges = [(each, mistakes(each)) for each in azure.sent()]
    held = [(each["method"], text) for each, found in exchanges for text in found or ()]
    assert not held
    methods = [each["method"] for each, found in exchanges if found is not None]
    assert {"PUT", "GET", "POST"} <= set(methods)


def exchange(name: str, value: object) -> Json:
    return {
        "method": "PUT",
        "url": f"https://localhost/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c/{name}",
        "request_body": {"properties": value},
        "status": 400,
        "response_body": None,
    }


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        ({"vmsize": "Standard_NC6"}, "sent.properties.vmsize is not of"),
        ({"count": "1"}, "sent.properties.count: '1' is not int"),
        ({"osType": "Unix"}, "sent.properties.osType: 'Unix' is not a OSType"),
        ({"nodeTaints": "a=b:NoSchedule"}, "sent.properties.nodeTaints is no list"),
        ({"gpuProfile": {"drivers": "None"}}, "sent.properties.gpuProfile.drivers is not of GPUProfile"),
    ],
)
def test_what_is_wrong_would_show(properties: Json, complaint: str) -> None:
    found = mistakes(exchange("agentPools/gpunp", properties))
    assert found is not None
    assert found[0].startswith(complaint)


def test_only_what_has_a_model_is_held_against_one() -> None:
    assert mistakes(exchange("abort", {})) is None
