# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is returned of a pool without details, and of the node pools of its cluster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import evaluate_nodes
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import expectation_of
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import Expectations, Observations
from ansible_collections.aks.gpu.plugins.module_utils._evidence._document import document
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._reconcile import (
    ESSENTIAL,
    TELLING,
    _essential_pool,
    _pools,
)

Json = dict[str, Any]
POOL: Json = {
    "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c/agentPools/gpunp",
    "name": "gpunp",
    "provisioning_state": "Succeeded",
    "etag": "e",
    "vm_size": "Standard_NC4as_T4_v3",
    "count": 1,
    "enable_auto_scaling": True,
    "min_count": 1,
    "max_count": 3,
    "gpu_instance_profile": None,
    "node_taints": ["sku=gpu:NoSchedule"],
    "node_labels": {},
    "os_disk_size_gb": 128,
}


class Read(Json):
    """A pool that keeps in mind which of its fields were read."""

    def __init__(self, pool: Json) -> None:
        super().__init__(pool)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"enable_auto_scaling": False},
        {"power_state": "Stopped"},
        {"scale_set_priority": "Spot"},
        {"gpu_profile": {"driver": "None"}},
    ],
)
@pytest.mark.parametrize("node_pool", ["gpunp", None])
def test_everything_is_returned_that_is_read_of_a_settled_pool(node_pool: str | None, more: Json) -> None:
    pool = Read({**POOL, **more})
    params = {
        "pool": pool,
        "node_pool": node_pool,
        "vm_size": None,
        "nodes": None,
        "gpus_per_node": None,
        "resource_name": "nvidia.com/gpu",
        "gpu_stack": "device_plugin",
    }
    verdict = evaluate_nodes(expectation_of(params, gpus_of_size=lambda size: 1), [], [], [])
    document(
        host="h",
        cluster={"name": "c"},
        node_pool="gpunp",
        pool=pool,
        asked=Expectations(),
        found=Observations(),
        failure=None,
        steps=[],
        run={},
        now="",
    )
    assert {"provisioning_state", "min_count" if pool["enable_auto_scaling"] else "count"} <= pool.names
    assert pool.names <= {*ESSENTIAL, *TELLING}
    short = {**params, "pool": _essential_pool(pool, settled=True)}
    assert evaluate_nodes(expectation_of(short, gpus_of_size=lambda size: 1), [], [], []).problems == verdict.problems


def test_what_says_nothing_is_left_out() -> None:
    told = {"enable_auto_scaling": True, "min_count": 1, "node_taints": ["sku=gpu:NoSchedule"]}
    assert _essential_pool(POOL, settled=True) == {**{name: POOL[name] for name in ESSENTIAL}, **told}
    predicted = {**POOL, "etag": None}
    assert _essential_pool(predicted, settled=False) == {name: predicted[name] for name in ESSENTIAL}


def test_a_pool_of_ours_has_the_tag() -> None:
    """Azure returns names of tags in any letter case."""
    profiles = [
        {"name": "nodepool1", "tags": None},
        {"name": "gpunp", "tags": {"AKS.GPU.created-by": "aks.gpu", "team": "vision"}},
        {"name": "theirs", "tags": {"team": "vision"}},
    ]
    assert _pools({"properties": {"agentPoolProfiles": profiles}}) == [
        {"name": "nodepool1", "own": False},
        {"name": "gpunp", "own": True},
        {"name": "theirs", "own": False},
    ]
