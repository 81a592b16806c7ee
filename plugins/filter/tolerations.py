# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tolerations of a Pod that has to run on nodes with given taints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.aks.gpu.plugins.filter.to_list import to_list

DOCUMENTATION = r"""
name: tolerations
short_description: The tolerations that match the taints of a node pool
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Turns taints as AKS writes them, V(key=value:Effect), into the tolerations of a Pod.
  - A taint without a value is tolerated by its key alone.
  - A dictionary among the items is taken for a toleration and kept as it is.
options:
  _input:
    description: The taints, as a list or as comma-separated text.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: The toleration of the taint sku=gpu:NoSchedule
  ansible.builtin.debug:
    msg: "{{ 'sku=gpu:NoSchedule' | aks.gpu.tolerations }}"
    # [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}]
"""

RETURN = r"""
_value:
  description: Tolerations as a Pod's C(spec.tolerations) has them.
  type: list
  elements: dict
"""


def tolerations(value: Any) -> list[dict[str, Any]]:
    """Returns a toleration for each taint.

    Args:
        value: Taints ``key=value:Effect`` or ready tolerations, as a list or as comma-separated text.

    Raises:
        AnsibleFilterError: An item is no taint.
    """
    return [item if isinstance(item, dict) else _toleration(str(item)) for item in to_list(value)]


def _toleration(taint: str) -> dict[str, Any]:
    what, separator, effect = taint.rpartition(":")
    key, _equals, content = what.partition("=")
    if not (separator and key and effect):
        raise AnsibleFilterError(f"{taint!r} is not a taint: key=value:Effect, such as sku=gpu:NoSchedule.")
    if not content:
        return {"key": key, "operator": "Exists", "effect": effect}
    return {"key": key, "operator": "Equal", "value": content, "effect": effect}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"tolerations": tolerations}
