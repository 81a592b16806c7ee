# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics of one cluster among those of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: cluster_metrics
short_description: The metrics of one cluster among those of a fleet
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Finds a cluster by its resource group and name, whose letter case Azure ignores.
options:
  _input:
    description: What M(aks.gpu.gpu_metrics_info) returned.
    type: dict
    required: true
  resource_group:
    description: The resource group of the cluster.
    type: str
    required: true
  cluster_name:
    description: The name of the cluster.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: The GPU memory of this cluster
  ansible.builtin.debug:
    msg: "{{ (found | aks.gpu.cluster_metrics('myResourceGroup', 'myAKSCluster')).memory_used }}"
"""

RETURN = r"""
_value:
  description: The item of C(clusters); an empty dictionary when there is none.
  type: dict
"""


def cluster_metrics(value: Mapping[str, Any], resource_group: str, cluster_name: str) -> dict[str, Any]:
    """Returns the metrics of a cluster; nothing when it was not read.

    Args:
        value: What ``gpu_metrics_info`` returned.
        resource_group: The resource group of the cluster.
        cluster_name: The name of the cluster.
    """
    wanted = (resource_group.lower(), cluster_name.lower())
    for cluster in value["clusters"]:
        parts = str(cluster["id"]).lower().split("/")
        if len(parts) > 8 and (parts[4], parts[8]) == wanted:
            return dict(cluster)
    return {}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"cluster_metrics": cluster_metrics}
