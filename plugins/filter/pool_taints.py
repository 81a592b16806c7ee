# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The taints that the nodes of a pool will have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.aks.gpu.plugins.filter.to_list import to_list
from ansible_collections.aks.gpu.plugins.module_utils._ansible._values import is_unset

DOCUMENTATION = r"""
name: pool_taints
short_description: The taints that the nodes of a pool will have
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Returns the taints of the role P(aks.gpu.node_pool#role), and the taint that AKS adds to the nodes of a Spot pool.
options:
  _input:
    description:
      - The variable C(node_pool_node_taints), a list or comma-separated text. Where it is unset, the taint is the
        role's default, V(sku=gpu:NoSchedule). V(keep) adds no taint.
    type: raw
    required: true
  scale_set_priority:
    description: The variable C(node_pool_scale_set_priority).
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: The taints of a Spot pool
  ansible.builtin.debug:
    msg: "{{ '' | aks.gpu.pool_taints('Spot') }}"
    # ["sku=gpu:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"]
"""

RETURN = r"""
_value:
  description: The taints, each C(key=value:Effect).
  type: list
  elements: raw
"""

DEFAULT_TAINT = "sku=gpu:NoSchedule"
"""https://learn.microsoft.com/azure/aks/gpu-cluster adds GPU pools with it."""

SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
"""https://learn.microsoft.com/azure/aks/spot-node-pool: AKS adds it to each node of a Spot pool."""


def pool_taints(value: Any, scale_set_priority: str | None = "") -> list[Any]:
    """Returns the taints of the nodes of a pool.

    Args:
        value: The taints that are asked for, as a list or as comma-separated text; unset for the default.
        scale_set_priority: ``Regular``, ``Spot``, or empty.
    """
    asked = [DEFAULT_TAINT] if is_unset(value) else [taint for taint in to_list(value) if taint != "keep"]
    return [*asked, *([SPOT_TAINT] if scale_set_priority == "Spot" else [])]


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"pool_taints": pool_taints}
