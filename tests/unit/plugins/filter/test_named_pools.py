# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleUndefinedVariable
from ansible_collections.aks.gpu.plugins.filter.named_pools import named_pools


class Variables(dict[str, Any]):
    """The variables of a host; one of them refers to what is not there, as Ansible's own raise for it."""

    def get(self, name: str, default: Any = None) -> Any:
        if super().get(name) is Ellipsis:
            raise AnsibleUndefinedVariable(f"{name} refers to what is not there")
        return super().get(name, default)


def test_named_pools() -> None:
    cluster = {"aks_resource_group": "g", "aks_cluster_name": "c"}
    hostvars = {
        "default": Variables(cluster),
        "named": Variables({**cluster, "node_pool_name": "a100"}),
        "empty": Variables({**cluster, "node_pool_name": ""}),
        "unknown": Variables({**cluster, "node_pool_name": ...}),
        "web1": Variables({"ansible_host": "10.0.0.1"}),
        "web2": Variables({"aks_cluster_name": ...}),
    }
    made = {"resource_group": "g", "cluster_name": "c"}
    assert named_pools(hostvars, hostvars) == [
        {**made, "node_pool": "gpunp"},
        {**made, "node_pool": "a100"},
        {**made, "node_pool": "gpunp"},
        {**made, "node_pool": None},
    ]
