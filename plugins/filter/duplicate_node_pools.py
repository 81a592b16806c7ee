# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts of a play that name the same node pool, which would undo each other's work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: duplicate_node_pools
short_description: Node pools that several hosts of a play name
version_added: 0.1.0
author: the aks.gpu authors
description:
  - A host is a GPU node pool of a cluster. Several hosts may name the same cluster, but each its own node pool.
  - Looks at C(aks_subscription_id), C(aks_resource_group), C(aks_cluster_name) and C(node_pool_name) of each host.
    Letter case does not count, as Azure has it.
options:
  _input:
    description: The hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse hosts that would undo each other's work
  ansible.builtin.assert:
    that: ansible_play_hosts_all | aks.gpu.duplicate_node_pools(hostvars) | length == 0
  run_once: true
"""

RETURN = r"""
_value:
  description: A sentence for each node pool that several hosts name.
  type: list
  elements: str
"""

CLUSTER_VARIABLES = ("aks_subscription_id", "aks_resource_group", "aks_cluster_name")


def pool_variables(variables: Mapping[str, Any]) -> str:
    """Returns the name of the node pool that a host stands for.

    Args:
        variables: The variables of the host.
    """
    return str(variables.get("node_pool_name") or "gpunp")


def duplicate_node_pools(value: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns a sentence for each node pool that several hosts name.

    Args:
        value: The hosts.
        hostvars: The variables of all hosts.
    """
    named: dict[tuple[str, ...], list[str]] = {}
    for host in value:
        found = hostvars[host]
        cluster = [str(found.get(name) or "").lower() for name in CLUSTER_VARIABLES]
        if cluster[-1]:
            named.setdefault((*cluster, pool_variables(found).lower()), []).append(host)
    return [
        f"{', '.join(hosts[:-1])} and {hosts[-1]} name the same node pool {key[-1]} of cluster {key[-2]}."
        for key, hosts in named.items()
        if len(hosts) > 1
    ]


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"duplicate_node_pools": duplicate_node_pools}
