# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of NVIDIA's GPU Operator, and which nodes depend on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._device_plugin_conflicts import (
    operator_dependent_nodes,
    operator_problems,
)

DOCUMENTATION = r"""
name: gpu_operator_checks
short_description: What stands in the way of NVIDIA's GPU Operator, and which nodes depend on it
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Reads the GPU nodes that M(aks.gpu.wait_for_gpus) returned.
options:
  _input:
    description: What M(aks.gpu.wait_for_gpus) returned.
    type: dict
    required: true
  namespace:
    description: The namespace of the operator.
    type: str
    required: true
  deleted_pool:
    description: The node pool that has gone, or in check mode will have. Its nodes depend on nothing.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Keep an operator that is in use
  ansible.builtin.debug:
    msg: "{{ (gpu_nodes | aks.gpu.gpu_operator_checks('gpu-operator')).dependent_nodes }}"
"""

RETURN = r"""
_value:
  description: C(problems), a list of sentences, and C(dependent_nodes), the names of the nodes that need the operator.
  type: dict
"""


def gpu_operator_checks(value: Mapping[str, Any], namespace: str, deleted_pool: str = "") -> dict[str, list[str]]:
    """Returns the problems, and the nodes that depend on the operator.

    Args:
        value: What ``wait_for_gpus`` returned.
        namespace: The namespace of the operator.
        deleted_pool: The pool that has gone; empty for none.
    """
    return {
        "problems": operator_problems(value, namespace),
        "dependent_nodes": operator_dependent_nodes(value, namespace, deleted_pool),
    }


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"gpu_operator_checks": gpu_operator_checks}
