# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GPU nodes that depend on a device plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._device_plugin_conflicts import dependent_nodes

DOCUMENTATION = r"""
name: dependent_nodes
short_description: The GPU nodes that lose their GPUs with a DaemonSet
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Names the nodes whose GPUs a DaemonSet hands out.
  - Where DaemonSets may not be listed, every node that has GPUs may have them from this one, and is named.
options:
  _input:
    description: What M(aks.gpu.wait_for_gpus) returned.
    type: dict
    required: true
  daemon_set:
    description: The DaemonSet, V(namespace/name).
    type: str
    required: true
  deleted_pool:
    description: The node pool that has gone, or in check mode will have. Its nodes depend on nothing.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Keep a device plugin that is in use
  ansible.builtin.debug:
    msg: "{{ gpu_nodes | aks.gpu.dependent_nodes('gpu-resources/nvidia-device-plugin-gpunp') }}"
"""

RETURN = r"""
_value:
  description: The names of the nodes.
  type: list
  elements: str
"""


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"dependent_nodes": dependent_nodes}
