# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node pools that inventory hosts stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.aks.gpu.plugins.filter.duplicate_node_pools import pool_variables

DOCUMENTATION = r"""
name: named_pools
short_description: The node pools that inventory hosts stand for
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Takes names of hosts and returns the node pool that each of them names, as the option
    O(aks.gpu.evidence_report#module:named_pools) takes them. Hosts without C(aks_cluster_name) are passed over.
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: The node pools of the inventory
  ansible.builtin.debug:
    msg: "{{ groups['all'] | aks.gpu.named_pools(hostvars) }}"
"""

RETURN = r"""
_value:
  description:
    - C(resource_group), C(cluster_name) and C(node_pool) of each host. C(node_pool) is null where the variables of a
      host can't be evaluated.
  type: list
  elements: dict
"""


def named_pools(value: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str | None]]:
    """Returns the node pools that hosts name.

    Args:
        value: The hosts.
        hostvars: The variables of all hosts.
    """
    named = []
    for host in value:
        found = hostvars[host]
        try:
            cluster, group = str(found.get("aks_cluster_name") or ""), str(found.get("aks_resource_group") or "")
        except AnsibleError:  # A host of another kind, whose variables refer to what is not there.
            continue
        if not cluster:
            continue
        try:
            pool: str | None = pool_variables(found)
        except AnsibleError:
            pool = None
        named.append({"resource_group": group, "cluster_name": cluster, "node_pool": pool})
    return named


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"named_pools": named_pools}
