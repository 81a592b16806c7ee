# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of NVIDIA's device plugin on a node pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._device_plugin_conflicts import (
    PluginOptions,
    plugin_problems,
    plugin_warnings,
)

DOCUMENTATION = r"""
name: device_plugin_checks
short_description: What stands in the way of NVIDIA's device plugin on a node pool
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Compares the GPU nodes that M(aks.gpu.wait_for_gpus) returned with the device plugin that a node pool is to have.
  - Two device plugins on one node would hand out each GPU twice.
options:
  _input:
    description: What M(aks.gpu.wait_for_gpus) returned.
    type: dict
    required: true
  options:
    description:
      - What is asked for. C(gpu_stack), C(manifest) (V(current) or V(article)), C(daemon_set) (V(namespace/name)) and
        C(node_pool) are required.
      - Others are C(pool_filter), C(operator_namespace), C(node_labels), C(sharing), C(sharing_replicas),
        C(sharing_rename), C(mig_strategy) and C(autoscaling).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse a second device plugin
  ansible.builtin.assert:
    that: checks.problems | length == 0
  vars:
    checks: "{{ gpu_nodes | aks.gpu.device_plugin_checks(options) }}"
    options: {gpu_stack: managed, manifest: current, daemon_set: gpu-resources/plugin, node_pool: gpunp}
"""

RETURN = r"""
_value:
  description: Two lists of sentences, C(problems) and C(warnings).
  type: dict
"""


def device_plugin_checks(value: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns problems and warnings, a sentence or two each.

    Args:
        value: What ``wait_for_gpus`` returned.
        options: What is asked for, by the names of ``PluginOptions``.

    Raises:
        AnsibleFilterError: An option is missing or not known.
    """
    try:
        asked = PluginOptions(**options)
    except TypeError as error:
        raise AnsibleFilterError(f"aks.gpu.device_plugin_checks: {error}") from error
    return {"problems": plugin_problems(value, asked), "warnings": plugin_warnings(value, asked)}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"device_plugin_checks": device_plugin_checks}
