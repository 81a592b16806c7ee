# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aks.gpu.plugins.filter.coordinates import coordinates


def test_each_cluster_once() -> None:
    hostvars = {
        "a": {"aks_resource_group": "g", "aks_cluster_name": "c", "node_pool_name": "one"},
        "b": {"aks_resource_group": "G", "aks_cluster_name": "C", "node_pool_name": "two"},
        "c": {"aks_resource_group": "g", "aks_cluster_name": "c", "aks_subscription_id": "s"},
    }
    assert coordinates(["a", "b", "c"], hostvars) == [
        {"resource_group": "g", "cluster_name": "c"},
        {"subscription_id": "s", "resource_group": "g", "cluster_name": "c"},
    ]


def test_a_host_without_coordinates() -> None:
    with pytest.raises(AnsibleFilterError, match="Host a has no aks_cluster_name"):
        coordinates(["a"], {"a": {"aks_resource_group": "g"}})
