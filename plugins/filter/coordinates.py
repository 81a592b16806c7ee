# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clusters that inventory hosts stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: coordinates
short_description: The clusters that inventory hosts stand for
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Takes names of hosts and returns the coordinates of their clusters, as the option
    O(aks.gpu.gpu_metrics_info#module:clusters) takes them. Each cluster is there once, also when several hosts are
    node pools of it.
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
- name: The clusters of the play
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | aks.gpu.coordinates(hostvars) }}"
"""

RETURN = r"""
_value:
  description: C(resource_group), C(cluster_name), and C(subscription_id) where the host has one.
  type: list
  elements: dict
"""

_VARIABLES = {
    "subscription_id": "aks_subscription_id",
    "resource_group": "aks_resource_group",
    "cluster_name": "aks_cluster_name",
}


def coordinates(hosts: Iterable[str], hostvars: Mapping[str, Any]) -> list[dict[str, str]]:
    """Returns the clusters that hosts stand for, each once.

    Args:
        hosts: Their names.
        hostvars: Ansible's variable of that name.

    Raises:
        AnsibleFilterError: A host lacks a resource group or a name.
    """
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for host in hosts:
        variables = hostvars[host]
        cluster = {
            option: str(variables[variable]) for option, variable in _VARIABLES.items() if variables.get(variable)
        }
        missing = [_VARIABLES[option] for option in ("resource_group", "cluster_name") if option not in cluster]
        if missing:
            raise AnsibleFilterError(f"Host {host} has no {' and no '.join(missing)}.")
        found.setdefault(tuple(cluster.get(option, "").lower() for option in _VARIABLES), cluster)
    return list(found.values())


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"coordinates": coordinates}
